//! `magewarden shape`: the shape of a statement.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use detect::shape::{self, Known};
use serde_json::json;

use super::Output;
use crate::failure::{Failure, OrFail};

/// Show the shape of an SQL statement: tables, columns, predicate, rows expected, and whether Magento itself issues it
#[derive(Args)]
#[command(after_help = "Example:\n  magewarden shape \"SELECT * FROM sales_order_payment\"")]
pub(crate) struct Shape {
    /// The statement
    sql: String,
    /// Table prefix of the shop
    #[arg(long, value_name = "PREFIX", default_value = "")]
    table_prefix: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

impl Shape {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let shape = shape::Shape::of(&self.sql, false, &self.table_prefix);
        let known = match shape::judge(&shape, &self.sql) {
            Known::Known(id) => format!("known: {id}"),
            Known::Explained(why) => format!("explained: {why}"),
            Known::NotJudged => "not judged: touches no table that is listed".to_owned(),
            Known::Unknown => "unknown: Magento is not known to issue it".to_owned(),
        };
        let value = json!({
            "normalised": shape::Shape::normalised(&self.sql, &self.table_prefix),
            "fingerprint": format!("{:016x}", shape.fingerprint),
            "class": shape.class.name(),
            "tables": shape.tables,
            "tables_written": shape.tables_written,
            "columns": shape.columns,
            "predicate": shape.predicate.name(),
            "row_class": shape.row_class.name(),
            "traits": shape.traits.names(),
            "magento": known,
        });
        let mut out = std::io::stdout().lock();
        let hint = "check where the output goes";
        if self.format == Output::Human {
            for (name, value) in value.as_object().into_iter().flatten() {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                writeln!(out, "{name:>15}  {text}").or_fail(hint)?;
            }
        } else {
            writeln!(out, "{value}").or_fail(hint)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

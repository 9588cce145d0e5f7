//! `magewarden shape`: the shape of a statement, or of every statement of a log.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardholder::{FingerprintKey, Masker};
use clap::Args;
use detect::shape::{self, Issuer, Shaper, Verdict};
use engine::intake::{Block, Intake, TokenKey};
use engine::judge::shipped_shapes;
use model::{Event, EventRef, Field, Generation, Sequence, SourceId};
use parse::{Joined, Joiner, SourceState};
use serde_json::{Value, json};

use super::Output;
use super::parse::{format_named, format_names};
use super::settings::Reading;
use crate::failure::{Failure, OrFail};

const HINT: &str = "check where the output goes";

/// Show the shape of an SQL statement: tables, columns, predicate, rows expected, and whether Magento itself issues it
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden shape \"SELECT * FROM sales_order_payment\"\n  magewarden shape --log /var/log/mysql/server_audit.log --format ndjson"
)]
pub(crate) struct Shape {
    /// The statement, judged as if the shop's own account had issued it
    #[arg(required_unless_present = "log")]
    sql: Option<String>,
    /// Judge every statement of a database's log that touches a listed table; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    log: Option<PathBuf>,
    /// Show statements that touch no listed table too
    #[arg(long, requires = "log")]
    all: bool,
    /// Format of the log; recognised from the file when not given
    #[arg(long = "as", value_name = "FORMAT", value_parser = format_names(), requires = "log")]
    log_format: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

impl Shape {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match (&self.sql, &self.log) {
            (Some(sql), _) => self.statement(sql),
            (None, Some(path)) => self.log(path),
            (None, None) => Err(Failure::say(
                "there is nothing to judge",
                "give a statement",
            )),
        }
    }

    fn statement(&self, sql: &str) -> Result<ExitCode, Failure> {
        let prefix = &self.reading.table_prefix;
        // Values are shown: none of them may be a card number.
        let mut masked = sql.as_bytes().to_vec();
        Masker::new(FingerprintKey::new([0; 32])).mask(&mut masked, &mut Vec::new());
        let sql = &*String::from_utf8_lossy(&masked);
        let shape = shape::Shape::of(sql, false, prefix);
        let shapes = shipped_shapes().or_fail("mend content/shapes")?;
        let verdict = shapes.judge(&shape, sql, prefix, Issuer::Shop);
        self.print(&told(&shape, verdict, sql, prefix))?;
        Ok(ExitCode::SUCCESS)
    }

    fn log(&self, path: &Path) -> Result<ExitCode, Failure> {
        let hint = "check the path, and that you may read it";
        let mut bytes = Vec::new();
        if path.as_os_str() == "-" {
            std::io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .or_fail(hint)?;
        } else {
            bytes = std::fs::read(path).or_fail(hint)?;
        }
        let format = match &self.log_format {
            Some(name) => format_named(name)?,
            None => parse::sniff(bytes.get(..bytes.len().min(16_384)).unwrap_or_default())
                .ok_or_else(|| {
                    Failure::say("no format recognises this file", "name it with --as FORMAT")
                })?,
        };
        let context = self.reading.context()?;
        // The key is thrown away with the process: nothing printed here depends on it.
        let masker = Masker::new(FingerprintKey::new([0; 32]));
        let mut intake = Intake::new(
            SourceId(String::new()),
            Generation::default(),
            0,
            format,
            TokenKey::default(),
        );
        let mut block = Block::default();
        intake.push(&bytes, true, &masker, &context, &mut block);
        let (mut state, mut joiner) = (SourceState::default(), Joiner::new());
        let mut shaper = Shaper::new(
            context.table_prefix.clone(),
            shipped_shapes().or_fail("mend content/shapes")?,
        );
        for (record, sequence) in block.records.iter().zip(0..) {
            let masked = block.bytes.get(record.range.clone()).unwrap_or_default();
            let Ok(mut event) = format.parse(masked, &context, &mut state) else {
                continue;
            };
            event.put_text(Field::Format, format.name());
            let at = EventRef {
                sequence: Sequence(sequence),
                index: 0,
            };
            let mut joined = Vec::new();
            joiner.push(event, at, &mut joined);
            for Joined { mut event, .. } in joined {
                if !self.event(&mut event, record.offset_bytes, &mut shaper)? {
                    return Ok(ExitCode::SUCCESS); // a closed pipe, e.g. `head`
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Prints what a statement of a log is judged to be; gives whether anybody still reads.
    fn event(
        &self,
        event: &mut Event<'_>,
        offset_bytes: u64,
        shaper: &mut Shaper,
    ) -> Result<bool, Failure> {
        let Some((shape, verdict)) = shaper.enrich(event) else {
            return Ok(true);
        };
        if verdict.known == shape::Known::NotJudged && !self.all {
            return Ok(true);
        }
        let statement = event.text(Field::Statement).unwrap_or_default();
        let mut value = told(&shape, verdict, statement, &self.reading.table_prefix);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("offset_bytes".to_owned(), json!(offset_bytes));
            fields.insert("account".to_owned(), json!(event.text(Field::DbUser)));
            fields.insert(
                "connection".to_owned(),
                json!(event.int(Field::ConnectionId)),
            );
            fields.insert(
                "time".to_owned(),
                json!(event.time.map(|time| time.to_string())),
            );
        }
        Ok(self.print(&value).is_ok())
    }

    fn print(&self, value: &Value) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        if self.format == Output::Human {
            for (name, value) in value.as_object().into_iter().flatten() {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                writeln!(out, "{name:>15}  {text}").or_fail(HINT)?;
            }
        } else {
            writeln!(out, "{value}").or_fail(HINT)?;
        }
        Ok(())
    }
}

fn told(shape: &shape::Shape, verdict: Verdict<'_>, statement: &str, prefix: &str) -> Value {
    json!({
        "magento": verdict.known.name(),
        "why": verdict.why,
        "normalised": shape::Shape::normalised(statement, prefix),
        "fingerprint": format!("{:016x}", shape.fingerprint),
        "class": shape.class.name(),
        "tables": shape.tables,
        "tables_written": shape.tables_written,
        "columns": shape.columns,
        "predicate": shape.predicate.name(),
        "row_class": shape.row_class.name(),
        "literals": shape::Shape::literals(statement),
        "key_literal": shape.key_literal,
        "traits": shape.traits.names(),
    })
}

//! `magewarden parse`: what a format reads from a file, masked.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use cardholder::{FingerprintKey, Masker};
use clap::Args;
use engine::intake::{Block, Intake, TokenKey};
use model::{Event, Generation, SourceId, Value};
use parse::{Format, SourceState};
use serde_json::{Map, json};

use super::settings::Reading;
use crate::failure::{Failure, OrFail};

/// Show what a log format reads from a file, one JSON document a record, card numbers masked
#[derive(Args)]
#[command(
    after_help = "Example:\n  magewarden parse --as nginx_combined /var/log/nginx/access.log | head"
)]
pub(crate) struct Parse {
    /// Format; recognised from the file when not given
    #[arg(long = "as", value_name = "FORMAT", value_parser = format_names())]
    format: Option<String>,
    /// File; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    reading: Reading,
}

/// Names of the formats there are, as a flag takes them.
pub(crate) fn format_names() -> clap::builder::PossibleValuesParser {
    parse::FORMATS.iter().map(|format| format.name()).into()
}

/// Finds a format by name, or says which there are.
pub(crate) fn format_named(name: &str) -> Result<&'static dyn Format, Failure> {
    parse::named(name).ok_or_else(|| {
        let names: Vec<_> = parse::FORMATS.iter().map(|format| format.name()).collect();
        Failure::say(
            format!("there is no format `{name}`"),
            format!("one of {}", names.join(", ")),
        )
    })
}

impl Parse {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut bytes = Vec::new();
        let hint = "check the path, and that you may read it";
        if self.file.as_os_str() == "-" {
            std::io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .or_fail(hint)?;
        } else {
            bytes = std::fs::read(&self.file).or_fail(hint)?;
        }
        let format = match &self.format {
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
        let (mut block, mut state) = (Block::default(), SourceState::default());
        intake.push(&bytes, true, &masker, &context, &mut block);
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for record in &block.records {
            let masked = block.bytes.get(record.range.clone()).unwrap_or_default();
            let line = match format.parse(masked, &context, &mut state) {
                Ok(event) => event_json(&event),
                Err(error) => json!({ "quarantined": error.to_string() }),
            };
            if writeln!(out, "{line}").is_err() {
                break; // a closed pipe, e.g. `head`
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn event_json(event: &Event<'_>) -> serde_json::Value {
    let mut fields = Map::new();
    for (field, value) in &event.fields {
        let value = match value {
            Value::Text(text) => json!(text),
            Value::Int(number) => json!(number),
            Value::List(list) => json!(list),
        };
        fields.insert(field.name().to_owned(), value);
    }
    json!({
        "category": event.category.name(),
        "time": event.time.map(|time| time.to_string()),
        "time_quality": event.time_quality,
        "fields": fields,
    })
}

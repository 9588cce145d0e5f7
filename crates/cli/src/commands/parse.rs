//! `magewarden parse`: what a format reads from a file, masked.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use cardholder::{FingerprintKey, Masker};
use clap::Args;
use engine::intake::{Block, Intake, TokenKey};
use model::{Event, Field, Generation, SourceId, Value};
use parse::{Format, SourceState};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::json;

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
        let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
        let mut line = Vec::new();
        for record in &block.records {
            let masked = block.bytes.get(record.range.clone()).unwrap_or_default();
            line.clear();
            let written = match format.parse(masked, &context, &mut state) {
                Ok(event) => serde_json::to_writer(&mut line, &Printed(&event)),
                Err(error) => {
                    serde_json::to_writer(&mut line, &json!({ "quarantined": error.to_string() }))
                }
            };
            line.push(b'\n');
            if written.is_err() || out.write_all(&line).is_err() {
                break; // a closed pipe, e.g. `head`
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An event as it is printed, written without a copy of it.
struct Printed<'a>(&'a Event<'a>);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("category", event.category.name())?;
        map.serialize_entry("fields", &Fields(&event.fields))?;
        map.serialize_entry("time", &event.time.map(|time| time.to_string()))?;
        map.serialize_entry("time_quality", &event.time_quality)?;
        map.end()
    }
}

struct Fields<'a>(&'a [(Field, Value<'a>)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (field, value) in self.0 {
            match value {
                Value::Text(text) => map.serialize_entry(field.name(), text)?,
                Value::Int(number) => map.serialize_entry(field.name(), number)?,
                Value::List(list) => map.serialize_entry(field.name(), list)?,
            }
        }
        map.end()
    }
}

//! `magewarden parse`: what a format reads from a file, masked.

use std::io::{Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use cardholder::{FingerprintKey, Masker};
use clap::Args;
use engine::intake::{Block, Intake, TokenKey};
use model::{Event, Field, Generation, SourceId, Value};
use parse::Format;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::json;

use super::settings::Reading;
use crate::failure::{Failure, OrFail};

/// Bytes read at once: memory stays the same however long a log is.
const READ_BYTES: usize = 256 * 1024;

/// Bytes by which a format is recognised.
const SNIFFED_BYTES: usize = 16_384;

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
        let hint = "check the path, and that you may read it";
        let mut input: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(std::fs::File::open(&self.file).or_fail(hint)?)
        };
        let mut bytes = vec![0; READ_BYTES];
        let mut length = 0;
        let format = match &self.format {
            Some(name) => format_named(name)?,
            None => {
                length = fill(&mut input, &mut bytes[..SNIFFED_BYTES]).or_fail(hint)?;
                parse::sniff(&bytes[..length]).ok_or_else(|| {
                    Failure::say("no format recognises this file", "name it with --as FORMAT")
                })?
            }
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
        let mut out = std::io::stdout().lock();
        let (mut block, mut lines) = (Block::default(), Vec::new());
        loop {
            if length == 0 {
                length = input.read(&mut bytes).or_fail(hint)?;
            }
            let is_end = length == 0;
            let read = bytes.get(..length).unwrap_or_default();
            intake.push_heard(read, is_end, &masker, &context, &mut block, &mut |read| {
                // Writing to memory doesn't fail.
                let _written = match read {
                    Ok(event) => serde_json::to_writer(&mut lines, &Printed(event)),
                    Err(error) => serde_json::to_writer(
                        &mut lines,
                        &json!({ "quarantined": error.to_string() }),
                    ),
                };
                lines.push(b'\n');
            });
            // What a pipe brought is shown at once.
            if out.write_all(&lines).and_then(|()| out.flush()).is_err() || is_end {
                return Ok(ExitCode::SUCCESS); // the end, or a closed pipe, e.g. `head`
            }
            length = 0;
            lines.clear();
            block.bytes.clear();
            block.records.clear();
        }
    }
}

/// Reads until the buffer is full or the input ends; gives the bytes read.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match input.read(rest)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// An event as it is printed, written without a copy of it.
struct Printed<'a>(&'a Event<'a>);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("category", event.category.name())?;
        map.serialize_entry("fields", &Fields(event.fields()))?;
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

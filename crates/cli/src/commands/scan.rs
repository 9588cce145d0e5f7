//! `magewarden scan`: card numbers in files and archives, streaming.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardholder::{Form, Hit, Scanner, search_deep};
use clap::Args;
use engine::analyze::Progress as _;
use model::MarkKind;
use serde_json::{Value, json};
use sources::{Limits, discover};

use super::{FOUND, Output};
use crate::failure::{Failure, OrFail};
use crate::terminal::{Bar, inert};

/// Find card numbers and sensitive authentication data in files, archives and ledgers; never prints more than the last four digits
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden scan /var/www/shop/var /backup/dump.sql.gz\n  \
    magewarden scan magewarden-out/latest/ledger\n  \
    magewarden scan --deep var/log        base64, hex, character references, other digits too\n\n\
    A ledger is always searched deep: what is found there is a number the mask missed, and\n\
    magewarden redact destroys it.\n\n\
    Exit code 10 when something other than published test numbers was found."
)]
pub(crate) struct Scan {
    /// Files, folders, archives, or a ledger's folder
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Also report published test numbers
    #[arg(long)]
    test_numbers: bool,
    /// Also look into base64, hexadecimal, character references, digits of other scripts and
    /// percent-encoding done twice (slower; a ledger is always searched so)
    #[arg(long)]
    deep: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Longest line that is searched deep as one.
const DEEP_BYTES: usize = 1 << 20;

impl Scan {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (mut rows, mut skipped) = (Vec::new(), Vec::new());
        let mut plain = Vec::new();
        for path in &self.paths {
            if path.join("segments").is_dir() {
                self.ledger(path, &mut rows)?;
            } else {
                plain.push(path.clone());
            }
        }
        if !plain.is_empty() {
            self.files(&plain, &mut rows, &mut skipped)?;
        }
        self.print(&rows, &skipped)?;
        let found = rows.iter().any(|row| row["test"] == json!(false));
        Ok(if found {
            ExitCode::from(FOUND)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn files(
        &self,
        paths: &[PathBuf],
        rows: &mut Vec<Value>,
        skipped: &mut Vec<Value>,
    ) -> Result<(), Failure> {
        let limits = Limits::default();
        let found =
            discover(paths, &limits).or_fail("check the paths, and that you may read them")?;
        skipped.extend(
            found
                .skipped
                .iter()
                .map(|(path, why)| json!({"path": path.display().to_string(), "why": why})),
        );
        let total = found.inputs.iter().map(|input| input.size_bytes).sum();
        let mut bar = Bar::bytes(total, "scanning");
        let mut buffer = vec![0; 256 * 1024];
        for input in &found.inputs {
            let mut scanner = Scanner::new();
            let (mut line, mut line_at) = (Vec::new(), 0);
            let mut take = |form: Form, hit: Hit| self.take(&input.id.0, None, form, &hit, rows);
            match input.open(&limits) {
                Ok(mut reader) => loop {
                    let length = match reader.read(&mut buffer) {
                        Ok(length) => length,
                        Err(error) => {
                            skipped.push(json!({"path": input.id.0, "why": error.to_string()}));
                            0
                        }
                    };
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if self.deep {
                        line.extend_from_slice(bytes);
                        line_at += deep(&mut line, line_at, length == 0, &mut take);
                    } else {
                        scanner.push(bytes, length == 0, &mut |hit| take(Form::Plain, hit));
                    }
                    if length == 0 {
                        break;
                    }
                },
                Err(error) => skipped.push(json!({"path": input.id.0, "why": error.to_string()})),
            }
            bar.advance(input.size_bytes);
        }
        bar.finish();
        Ok(())
    }

    /// Scans what a ledger sealed: a number here is one the mask missed.
    fn ledger(&self, path: &Path, rows: &mut Vec<Value>) -> Result<(), Failure> {
        let ledger = super::verify::open_ledger(path, &parse::Context::default())?;
        let mut bar = Bar::bytes(ledger.len(), "scanning entries");
        for sequence in 0..ledger.len() {
            bar.advance(1);
            let entry = ledger
                .read(model::Sequence(sequence))
                .or_fail("magewarden verify the ledger")?;
            let Some(payload) = entry.payload else {
                continue;
            };
            let name = format!("{}#{sequence}", path.display());
            search_deep(&payload, &mut |form, hit| {
                self.take(&name, Some(sequence), form, &hit, rows);
            });
        }
        bar.finish();
        Ok(())
    }

    fn take(&self, path: &str, entry: Option<u64>, form: Form, hit: &Hit, rows: &mut Vec<Value>) {
        if hit.kind == MarkKind::Secret || (hit.is_test && !self.test_numbers) {
            return;
        }
        let last_four = hit
            .last_four
            .map(|digits| String::from_utf8_lossy(&digits).into_owned());
        rows.push(json!({
            "path": path, "entry": entry, "offset_bytes": hit.offset_bytes, "length_bytes": hit.length_bytes,
            "kind": hit.kind, "brand": hit.brand, "digits": hit.digits, "last_four": last_four, "test": hit.is_test, "form": form.name(),
        }));
    }

    fn print(&self, rows: &[Value], skipped: &[Value]) -> Result<(), Failure> {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let hint = "check where the output goes";
        match self.format {
            Output::Json => {
                writeln!(
                    out,
                    "{}",
                    json!({"version": 1, "found": rows, "not_read": skipped})
                )
                .or_fail(hint)?;
            }
            Output::Ndjson => {
                for row in rows {
                    writeln!(out, "{row}").or_fail(hint)?;
                }
            }
            Output::Human => {
                for row in rows {
                    let text = |name: &str| row[name].as_str().unwrap_or("unknown").to_owned();
                    writeln!(
                        out,
                        "{}: byte {}: {} {} {} digits, ends in {} ({})",
                        inert(&text("path")),
                        row["offset_bytes"],
                        text("kind"),
                        text("brand"),
                        row["digits"],
                        text("last_four"),
                        text("form"),
                    )
                    .or_fail(hint)?;
                }
                for row in skipped {
                    let text = |name: &str| inert(row[name].as_str().unwrap_or_default());
                    writeln!(out, "not read: {}: {}", text("path"), text("why")).or_fail(hint)?;
                }
                writeln!(
                    out,
                    "{} found, {} inputs not read",
                    rows.len(),
                    skipped.len()
                )
                .or_fail(hint)?;
            }
        }
        Ok(())
    }
}

/// Searches the whole lines of `line` (all of it at the end), which begins at `at`; gives how many bytes are done.
fn deep(line: &mut Vec<u8>, at: u64, end: bool, take: &mut dyn FnMut(Form, Hit)) -> u64 {
    let whole = match line.iter().rposition(|byte| *byte == b'\n') {
        _ if end => line.len(),
        Some(last) => last + 1,
        None if line.len() >= DEEP_BYTES => line.len(),
        None => return 0,
    };
    let mut from = at;
    for one in line
        .get(..whole)
        .unwrap_or_default()
        .split_inclusive(|byte| *byte == b'\n')
    {
        search_deep(one, &mut |form, mut hit| {
            hit.offset_bytes += from;
            take(form, hit);
        });
        from += one.len() as u64;
    }
    line.drain(..whole);
    whole as u64
}

/// Those of some files that hold a card number, in any form; what can't be read is left out.
pub(super) fn files_with_numbers(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    paths
        .into_iter()
        .filter(|path| {
            let mut holds = false;
            for line in std::fs::read(path)
                .unwrap_or_default()
                .split(|byte| *byte == b'\n')
            {
                search_deep(line, &mut |_, hit| holds |= hit.kind != MarkKind::Secret);
            }
            holds
        })
        .collect()
}

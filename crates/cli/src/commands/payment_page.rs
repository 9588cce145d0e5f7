//! `magewarden payment-page`: what is on a payment page by the ledger, since when, and whether it is authorised.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use engine::ledger::{Ledger, Query};
use model::SourceId;
use serde_json::{Value, json};

use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// List what is on a payment page: scripts, headers, frames, forms, fields and hosts, since when, and who authorised them
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden payment-page LEDGER --view de\n  \
    magewarden payment-page LEDGER --view de --format toml > scripts.toml   # then say by whom and why, and name it with `authorised`\n\n\
    Each line names the entry it rests on. `unknown` in the column of authorisation: there was no list at that look."
)]
pub(crate) struct PaymentPage {
    /// Folder of the ledger
    ledger: PathBuf,
    /// Code of the store view, as the source's settings name it
    #[arg(long, value_name = "CODE")]
    view: String,
    /// Only by this way of looking [default: both]
    #[arg(long, value_enum)]
    way: Option<Way>,
    /// Also what is gone
    #[arg(long)]
    gone: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    Browser,
    Fetch,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Human,
    Json,
    /// A list of authorised scripts to be completed
    Toml,
}

/// A part by what was told of it last.
struct Part {
    since: String,
    changed: String,
    changes: u64,
    entry: u64,
    last: Value,
}

impl PaymentPage {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let ledger = super::verify::open_ledger(&self.ledger)?;
        let ways = match self.way {
            Some(Way::Browser) => &["browser"][..],
            Some(Way::Fetch) => &["fetch"][..],
            None => &["browser", "fetch"][..],
        };
        let write = "check where the output goes";
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut shown = Vec::new();
        let mut is_known = false;
        for way in ways {
            let (parts, looks) = self.parts(&ledger, way)?;
            let Some((looks, last)) = looks else { continue };
            is_known = true;
            let there: Vec<_> = parts
                .iter()
                .filter(|(_, part)| self.gone || part.last["change"] != "removed")
                .collect();
            match self.format {
                Format::Human => {
                    writeln!(out, "view {}, by {way}: {} parts, {looks} looks, the last one {} in entry {}", inert(&self.view), there.len(), last.0, last.1).or_fail(write)?;
                    for ((kind, name), part) in there {
                        let told = |field: &str| inert(part.last[field].as_str().unwrap_or_default());
                        let is_gone = if part.last["change"] == "removed" { ", gone" } else { "" };
                        writeln!(out, "  {kind:<8} {}", inert(name)).or_fail(write)?;
                        writeln!(
                            out,
                            "           since {}, {} changes, the last {}{is_gone} (entry {}); authorised: {} {}",
                            part.since, part.changes, part.changed, part.entry, authorised(&part.last), told("log.context")
                        )
                        .or_fail(write)?;
                    }
                }
                Format::Json => shown.extend(there.iter().map(|((kind, name), part)| {
                    json!({"way": way, "part": kind, "name": name, "since": part.since, "changed": part.changed, "changes": part.changes, "entry": part.entry,
                        "state": part.last["change"], "sha256": part.last["file.sha256"], "hosts": part.last["page.hosts"], "signatures": part.last["signatures"],
                        "authorised": authorised(&part.last), "authorisation": part.last["log.context"]})
                })),
                Format::Toml => {
                    for ((kind, name), part) in there {
                        if !["script", "inline", "handler", "frame", "form", "host", "base"].contains(&kind.as_str()) || authorised(&part.last) == "yes" {
                            continue;
                        }
                        let text: String = part.last["page.text"].as_str().unwrap_or_default().chars().take(100).collect();
                        writeln!(out, "# since {}, entry {}: {}\n[[script]]\nname = {}\nby = \"\"\njustification = \"\"\nviews = [{}]\n", part.since, part.entry,
                            inert(&text).replace('\n', " "), json!(format!("{kind} {name}")), json!(self.view)).or_fail(write)?;
                    }
                }
            }
        }
        if !is_known {
            return Err(Failure::say(
                format!(
                    "nothing is known of a payment page of view `{}`",
                    inert(&self.view)
                ),
                "watch it with a source of kind payment_page (docs/payment-page.md); its view is the one named there",
            ));
        }
        if matches!(self.format, Format::Json) {
            writeln!(
                out,
                "{}",
                json!({"version": 1, "view": self.view, "parts": shown})
            )
            .or_fail(write)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The parts by one way of looking; how often it was looked, and when and in which entry last.
    #[expect(clippy::type_complexity, reason = "read once, right above")]
    fn parts(
        &self,
        ledger: &Ledger,
        way: &str,
    ) -> Result<
        (
            BTreeMap<(String, String), Part>,
            Option<(u64, (String, u64))>,
        ),
        Failure,
    > {
        let hint = "magewarden verify the ledger";
        let source = Some(SourceId(format!("payment_page:{}:{way}", self.view)));
        let query = Query {
            source,
            ..Query::default()
        };
        let mut parts: BTreeMap<(String, String), Part> = BTreeMap::new();
        let mut looks = None;
        for sequence in ledger.find(&query, usize::MAX).or_fail(hint)? {
            let entry = ledger.read(sequence).or_fail(hint)?;
            let Some(told) = entry
                .payload
                .and_then(|payload| serde_json::from_slice::<Value>(&payload).ok())
            else {
                continue;
            };
            let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
            let (time, change) = (text("time"), text("change"));
            let (kind, name) = (text("page.part"), text("page.name"));
            if kind.is_empty() {
                let count = looks.map_or(0, |(count, _)| count);
                if change == "baseline_changed" {
                    parts.clear();
                }
                looks = Some((count + 1, (time, sequence.0)));
                continue;
            }
            let part = parts.entry((kind, name)).or_insert_with(|| Part {
                since: time.clone(),
                changed: time.clone(),
                changes: 0,
                entry: sequence.0,
                last: Value::Null,
            });
            part.changes += u64::from(change != "seen" && !part.last.is_null());
            (part.changed, part.entry, part.last) = (time, sequence.0, told);
        }
        Ok((parts, looks))
    }
}

fn authorised(told: &Value) -> &str {
    told["page.authorised"].as_str().unwrap_or("unknown")
}

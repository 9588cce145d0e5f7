//! `magewarden payment-page`: what is on a payment page by the ledger, since when, and whether it is authorised.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use engine::inventory::{self, PageList, Part};
use engine::ledger::{Ledger, Query};
use serde_json::json;

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

impl PaymentPage {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let ledger = super::verify::open_ledger(&self.ledger, &parse::Context::default())?;
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
            let page = self.page(&ledger, way)?;
            let Some(last) = &page.last else { continue };
            is_known = true;
            let there: Vec<&Part> = page.parts(self.gone).map(|part| &**part).collect();
            match self.format {
                Format::Human => {
                    writeln!(
                        out,
                        "view {}, by {way}: {} parts, {} looks, the last one {} in entry {}",
                        inert(&self.view),
                        there.len(),
                        page.looks,
                        inert(&last.time),
                        last.entry
                    )
                    .or_fail(write)?;
                    if page.left_out > 0 {
                        writeln!(
                            out,
                            "  {} parts more than a list holds were left out",
                            page.left_out
                        )
                        .or_fail(write)?;
                    }
                    for part in there {
                        let is_gone = if part.history.is_gone() { ", gone" } else { "" };
                        writeln!(out, "  {:<8} {}", inert(&part.kind), inert(&part.name))
                            .or_fail(write)?;
                        writeln!(
                            out,
                            "           since {}, {} changes, the last {}{is_gone} (entry {}); authorised: {} {}",
                            inert(&part.history.since), part.history.changes, inert(&part.history.changed), part.history.entry, part.authorised,
                            inert(part.authorisation.as_deref().unwrap_or_default())
                        )
                        .or_fail(write)?;
                    }
                }
                Format::Json => {
                    for part in there {
                        let mut told = json!(part);
                        told["way"] = json!(way);
                        shown.push(told);
                    }
                }
                Format::Toml => {
                    for part in there {
                        if ![
                            "script", "inline", "handler", "frame", "form", "host", "base",
                        ]
                        .contains(&part.kind.as_str())
                            || part.authorised == "yes"
                        {
                            continue;
                        }
                        let text: String = part.begin.chars().take(100).collect();
                        writeln!(out, "# since {}, entry {}: {}\n[[script]]\nname = {}\nby = \"\"\njustification = \"\"\nviews = [{}]\n", inert(&part.history.since), part.history.entry,
                            inert(&text).replace('\n', " "), json!(format!("{} {}", part.kind, part.name)), json!(self.view)).or_fail(write)?;
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

    /// What is known of the page by one way of looking.
    fn page(&self, ledger: &Ledger, way: &str) -> Result<PageList, Failure> {
        let hint = "magewarden verify the ledger";
        let query = Query {
            source: Some(inventory::page_source(&self.view, way)),
            ..Query::default()
        };
        let mut page = PageList::default();
        for sequence in ledger.find(&query, usize::MAX).or_fail(hint)? {
            let entry = ledger.read(sequence).or_fail(hint)?;
            if let Some(payload) = entry.payload.filter(|_| !entry.header.quarantined) {
                page.take(sequence, &payload);
            }
        }
        Ok(page)
    }
}

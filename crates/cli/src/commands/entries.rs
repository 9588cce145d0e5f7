//! `magewarden entries`: what the ledger holds, by sequence, time, source, actor and scope.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use engine::evidence;
use engine::judge::understand;
use engine::ledger::{Entry, Query};
use model::{Field, Scope, Sequence, SourceId, Timestamp};
use serde_json::{Value, json};

use super::Output;
use super::settings::read_stores;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Find sealed entries by sequence number, time, source, actor and scope
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden entries LEDGER --address 203.0.113.66\n  \
    magewarden entries LEDGER --account shop --from 2026-08-05T10:00:00Z --to 2026-08-05T11:00:00Z\n  \
    magewarden entries LEDGER --sequence 1041 --format json\n\n\
    Conditions are joined by and. Times are the record's own, or else when it was received."
)]
pub(crate) struct Entries {
    /// Folder of the ledger
    ledger: PathBuf,
    /// One entry, by its sequence number; may be repeated
    #[arg(long, value_name = "N")]
    sequence: Vec<u64>,
    /// Earliest time, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Latest time, RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Source, as `magewarden entries` prints it, e.g. `file:/var/log/nginx/access.log`
    #[arg(long)]
    source: Option<String>,
    /// Actor: a client's address
    #[arg(long)]
    address: Option<String>,
    /// Actor: a database account
    #[arg(long)]
    account: Option<String>,
    /// Scope: a host name of the shop
    #[arg(long)]
    host: Option<String>,
    /// Actor: an administrator of the shop, by name
    #[arg(long)]
    administrator: Option<String>,
    /// A module (`Vendor_Module`) or package (`vendor/package`)
    #[arg(long)]
    module: Option<String>,
    /// Scope: `website:CODE`, `store:CODE`, `view:CODE`, `host:NAME`, `installation` or `unknown`; that entries were sealed under
    #[arg(long, value_name = "PLACE")]
    place: Option<String>,
    /// Websites, stores, views and hosts of the shop (TOML; docs/stores.md), to tell each entry's place by
    #[arg(long, value_name = "FILE")]
    stores: Option<PathBuf>,
    /// Most entries to print
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

impl Entries {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let hint = "magewarden verify the ledger";
        let context = parse::Context {
            stores: read_stores(self.stores.as_deref())?,
            ..parse::Context::default()
        };
        let ledger = super::verify::open_ledger(&self.ledger, &context)?;
        let found = if self.sequence.is_empty() {
            let key = ledger.token_key();
            let named = [
                (Field::ClientIp, &self.address),
                (Field::DbUser, &self.account),
                (Field::Host, &self.host),
                (Field::AdminName, &self.administrator),
            ];
            let place = self.place.as_deref().map(|text| {
                evidence::place(text).ok_or_else(|| {
                    Failure::say(
                        format!("there is no place `{text}`"),
                        "website:CODE, store:CODE, view:CODE, host:NAME, installation or unknown",
                    )
                })
            });
            let place = place.transpose()?;
            let mut any: Vec<Vec<u64>> = Vec::new();
            any.extend(place.map(|place| {
                let places = evidence::within(&place, &context.stores);
                places.iter().map(|place| key.place(place)).collect()
            }));
            any.extend(self.module.as_ref().map(|name| {
                let fields = [Field::Module, Field::Package];
                fields.map(|field| key.token(field, name)).to_vec()
            }));
            let query = Query {
                any,
                from: time(self.from.as_deref())?,
                to: time(self.to.as_deref())?,
                source: self.source.clone().map(SourceId),
                tokens: named
                    .into_iter()
                    .filter_map(|(field, value)| Some(key.token(field, value.as_ref()?)))
                    .collect(),
                ..Query::default()
            };
            ledger.find(&query, self.limit).or_fail(hint)?
        } else {
            self.sequence.iter().copied().map(Sequence).collect()
        };
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let write = "check where the output goes";
        let mut rows = Vec::new();
        for sequence in &found {
            let entry = ledger.read(*sequence).or_fail(hint)?;
            match self.format {
                Output::Human => writeln!(out, "{}", line(&entry, &context)).or_fail(write)?,
                Output::Ndjson => writeln!(out, "{}", row(&entry, &context)).or_fail(write)?,
                Output::Json => rows.push(row(&entry, &context)),
            }
        }
        if self.format == Output::Json {
            writeln!(out, "{}", json!({"version": 1, "entries": rows})).or_fail(write)?;
        }
        if self.format == Output::Human && found.len() == self.limit {
            writeln!(out, "… there may be more: --limit, or a narrower time").or_fail(write)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn time(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let time: jiff::Timestamp = text
        .parse()
        .or_fail("RFC 3339 with its zone, e.g. 2026-08-05T10:15:00Z")?;
    Ok(Some(Timestamp(time.as_microsecond())))
}

fn text(entry: &Entry) -> Option<String> {
    let payload = entry.payload.as_ref()?;
    Some(String::from_utf8_lossy(payload).trim_end().to_owned())
}

/// Where the entry belongs, as far as anything tells.
fn place(entry: &Entry, context: &parse::Context) -> Scope {
    let payload = entry.payload.as_deref();
    payload
        .and_then(|payload| understand(&entry.header.format, payload, context))
        .map_or(Scope::Unknown, |understood| understood.place)
}

fn line(entry: &Entry, context: &parse::Context) -> String {
    let header = &entry.header;
    let time = header.said.unwrap_or(header.received);
    format!(
        "{:>8}  {time}  {}  {}  {}",
        header.sequence.0,
        inert(&header.source.0),
        inert(&place(entry, context).to_string()),
        text(entry).map_or_else(|| "(destroyed)".to_owned(), |text| inert(&text))
    )
}

fn row(entry: &Entry, context: &parse::Context) -> Value {
    let header = &entry.header;
    let leaf: String = entry
        .leaf_hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "sequence": header.sequence.0, "source": header.source.0, "format": header.format,
        "said": header.said.map(|time| time.to_string()), "received": header.received.to_string(),
        "quarantined": header.quarantined, "leaf_hash": leaf, "text": text(entry),
        "place": place(entry, context).to_string(),
    })
}

//! State and ledger side by side: what of a database's rows isn't what the sealed entries say.
//!
//! The rows are copies; where they differ, the ledger is right. A difference is a fault of ours, a
//! restored backup, or somebody's hand in the database.

use std::collections::BTreeMap;

use custody::EntryKind;
use model::{Finding, Handling, Incident, Sequence};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use stores::Snapshot;

use crate::ledger::{Ledger, LedgerError};
use crate::sealed::Decided;

/// Differences that are told; more are counted.
const TOLD_MAX: usize = 1000;

/// A row that isn't what the ledger says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `finding`, `incident`, `handling` or `source`.
    pub table: &'static str,
    /// Whose row.
    pub id: String,
    /// `missing` in the state, `unknown` to the ledger, or `differs`.
    pub what: &'static str,
    /// The last entry that tells of it; `None` when none does.
    pub entry: Option<u64>,
}

/// What comparing found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Entries of the ledger.
    pub entries: u64,
    /// Of these, entries that the rows reflect: later ones are folded when the pipeline runs.
    pub reflects: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// How many differ.
    pub count: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// What the entries say, up to one; of findings and incidents the hash, since there may be very many.
#[derive(Default)]
struct Fold {
    findings: BTreeMap<String, (u64, Hash)>,
    incidents: BTreeMap<String, (u64, Hash)>,
    handlings: BTreeMap<String, (u64, Handling)>,
    sources: BTreeMap<String, (u64, u64)>,
}

type Hash = [u8; 32];

/// The hash of a value as this version writes it.
fn hash(value: &impl Serialize) -> Option<Hash> {
    let text = serde_json::to_vec(value).ok()?;
    Some(Sha256::digest(text).into())
}

/// Compares rows with the entries they reflect.
///
/// # Errors
///
/// [`LedgerError`] when an entry can't be read.
pub fn compare(ledger: &Ledger, rows: &Snapshot) -> Result<Compared, LedgerError> {
    let mut out = Compared {
        entries: ledger.len(),
        reflects: rows.reflects,
        ..Compared::default()
    };
    if rows.reflects > ledger.len() {
        out.put("reflects", String::new(), "unknown", None);
        return Ok(out);
    }
    let fold = fold(ledger, rows.reflects)?;
    out.table(
        "finding",
        &fold.findings,
        rows.findings.iter().map(|row| (&row.id, row)),
        |(sequence, told), row| {
            row.sequence == *sequence && read::<Finding>(&row.body) == Some(*told)
        },
    );
    out.table(
        "incident",
        &fold.incidents,
        rows.incidents.iter().map(|row| (&row.id, row)),
        |(sequence, told), row| {
            row.sequence == *sequence && read::<Incident>(&row.body) == Some(*told)
        },
    );
    out.table(
        "handling",
        &fold.handlings,
        rows.handlings.iter().map(|row| (&row.incident, row)),
        |(sequence, handling), row| {
            row.sequence == *sequence
                && serde_json::from_str(&row.body).ok().as_ref() == Some(handling)
        },
    );
    out.table(
        "source",
        &fold.sources,
        rows.sources.iter().map(|row| (&row.id, row)),
        |(_, end), row| row.offset_bytes == *end,
    );
    Ok(out)
}

impl Compared {
    fn put(&mut self, table: &'static str, id: String, what: &'static str, entry: Option<u64>) {
        self.count += 1;
        if self.differences.len() < TOLD_MAX {
            self.differences.push(Difference {
                table,
                id,
                what,
                entry,
            });
        }
    }

    fn table<'a, T: Sequenced, R: 'a>(
        &mut self,
        table: &'static str,
        fold: &BTreeMap<String, T>,
        rows: impl Iterator<Item = (&'a String, &'a R)>,
        same: impl Fn(&T, &R) -> bool,
    ) {
        let rows: BTreeMap<&String, &R> = rows.collect();
        for (id, told) in fold {
            self.rows += 1;
            match rows.get(id) {
                None => self.put(table, id.clone(), "missing", Some(told.sequence())),
                Some(row) if !same(told, row) => {
                    self.put(table, id.clone(), "differs", Some(told.sequence()))
                }
                Some(_) => {}
            }
        }
        for id in rows.keys().filter(|id| !fold.contains_key(**id)) {
            self.rows += 1;
            self.put(table, (*id).clone(), "unknown", None);
        }
    }
}

/// What knows the entry it is of.
trait Sequenced {
    fn sequence(&self) -> u64;
}

impl<T> Sequenced for (u64, T) {
    fn sequence(&self) -> u64 {
        self.0
    }
}

/// The hash of what a row says.
fn read<T: Serialize + DeserializeOwned>(body: &str) -> Option<Hash> {
    hash(&serde_json::from_str::<T>(body).ok()?)
}

fn fold(ledger: &Ledger, until: u64) -> Result<Fold, LedgerError> {
    let mut fold = Fold::default();
    for number in 0..until {
        let header = ledger.header(Sequence(number))?;
        if header.kind == EntryKind::Observed {
            if let Some(identity) = &header.identity {
                let end = identity.position.offset_bytes + u64::from(identity.length_bytes);
                fold.sources
                    .insert(identity.source.0.clone(), (number, end));
            }
            continue;
        }
        if header.kind != EntryKind::Decided {
            continue;
        }
        let payload = ledger.read(header.sequence)?.payload.unwrap_or_default();
        match serde_json::from_slice::<Decided>(&payload) {
            Ok(Decided::Finding { finding, .. }) => {
                let told = (number, hash(&finding).unwrap_or_default());
                fold.findings.insert(finding.id, told);
            }
            Ok(Decided::Incident { incident, .. }) => {
                let told = (number, hash(&incident).unwrap_or_default());
                fold.incidents.insert(incident.id, told);
            }
            Ok(Decided::Decision { decision, .. }) => {
                let (sequence, handling) =
                    fold.handlings.entry(decision.incident.clone()).or_default();
                *sequence = number;
                handling.take(header.sequence, *decision);
            }
            Ok(Decided::LedgerBroken { broken, .. }) => {
                for (source, _, end) in broken.positions {
                    fold.sources.insert(source.0, (number, end));
                }
            }
            // The others make no row; what a later version decided tells this one nothing.
            _ => {}
        }
    }
    Ok(fold)
}

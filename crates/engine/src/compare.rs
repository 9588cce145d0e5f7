//! State and ledger side by side: what of a database's rows isn't what the sealed entries say.
//!
//! The rows are copies; where they differ, the ledger is right. A difference is a fault of ours, a
//! restored backup, or somebody's hand in the database.
//!
//! Of findings and incidents, of which there may be a million, forty bytes each are held: what a row says and what the last
//! entry on it says are compared by their hashes.

use std::collections::BTreeMap;

use custody::EntryKind;
use model::{Finding, Handling, Incident, Sequence};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use stores::{Database, StateRow, StoreError, each_row};

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

/// Sixteen bytes that stand for an id, or for what is said under one.
type Digest = [u8; 16];

/// A row of many: by what it says, and what the entries say of it.
#[derive(Clone, Copy)]
struct Slot {
    key: Digest,
    row: Digest,
    /// One more than the last entry that tells of it, and in the highest bit whether that says what the row says; zero
    /// when none tells of it. In one number, since there are many.
    told: u64,
}

const FITS: u64 = 1 << 63;

/// Rows of one table of many.
#[derive(Default)]
struct Many {
    slots: Vec<Slot>,
    /// Ids that no key gives back: not ours.
    odd: BTreeMap<Digest, String>,
    /// What the entries tell of and no row does, each with its last entry.
    missing: BTreeMap<Digest, u64>,
}

impl Many {
    fn push(&mut self, id: &str, row: Digest) {
        let key = key(id);
        if hexadecimal(&key) != id && self.odd.len() < TOLD_MAX {
            self.odd.insert(key, id.to_owned());
        }
        self.slots.push(Slot { key, row, told: 0 });
    }

    fn told(&mut self, id: &str, number: u64, says: Digest) {
        let key = key(id);
        match self.slots.binary_search_by_key(&key, |slot| slot.key) {
            Ok(at) => {
                if let Some(slot) = self.slots.get_mut(at) {
                    let fits = if slot.row == says { FITS } else { 0 };
                    slot.told = (number + 1) | fits;
                }
            }
            Err(_) => {
                if hexadecimal(&key) != id && self.odd.len() < TOLD_MAX {
                    self.odd.insert(key, id.to_owned());
                }
                self.missing.insert(key, number);
            }
        }
    }

    fn id(&self, key: &Digest) -> String {
        let odd = self.odd.get(key).cloned();
        odd.unwrap_or_else(|| hexadecimal(key))
    }
}

/// What an id is found by: ours are sixteen bytes, hexadecimal.
fn key(id: &str) -> Digest {
    let byte = |at: usize| u8::from_str_radix(id.get(at * 2..at * 2 + 2)?, 16).ok();
    let mut key = Digest::default();
    let is_own = id.len() == 32
        && key.iter_mut().enumerate().all(|(at, into)| {
            let read = byte(at);
            *into = read.unwrap_or_default();
            read.is_some()
        });
    if is_own { key } else { short(id.as_bytes()) }
}

fn hexadecimal(key: &Digest) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn short(bytes: &[u8]) -> Digest {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// What is said under an id, as of an entry, as this version writes it; the zero for what this version can't read.
fn says(sequence: u64, value: &impl Serialize) -> Digest {
    let Ok(mut text) = serde_json::to_vec(value) else {
        return Digest::default();
    };
    text.extend_from_slice(&sequence.to_be_bytes());
    short(&text)
}

/// What a row says.
fn read<T: Serialize + DeserializeOwned>(sequence: u64, body: &str) -> Digest {
    let read = serde_json::from_str::<T>(body);
    read.map_or_else(|_| Digest::default(), |value| says(sequence, &value))
}

/// The state's rows as they were at one moment.
#[derive(Default)]
pub struct Rows {
    reflects: u64,
    findings: Many,
    incidents: Many,
    handlings: BTreeMap<String, Digest>,
    sources: BTreeMap<String, u64>,
}

impl Rows {
    /// Reads them beside whoever writes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database can't be read.
    pub fn read(database: &Database) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        rows.reflects = each_row(database, &mut |row| match row {
            StateRow::Finding(row) => {
                let says = read::<Finding>(row.sequence, &row.body);
                rows.findings.push(&row.id, says);
            }
            StateRow::Incident(row) => {
                let says = read::<Incident>(row.sequence, &row.body);
                rows.incidents.push(&row.id, says);
            }
            StateRow::Handling(row) => {
                let says = read::<Handling>(row.sequence, &row.body);
                rows.handlings.insert(row.incident, says);
            }
            StateRow::Source(row) => {
                rows.sources.insert(row.id, row.offset_bytes);
            }
            _ => {}
        })?;
        for many in [&mut rows.findings, &mut rows.incidents] {
            many.slots.sort_unstable_by_key(|slot| slot.key);
        }
        Ok(rows)
    }
}

/// Compares rows with the entries they reflect.
///
/// # Errors
///
/// [`LedgerError`] when an entry can't be read.
pub fn compare(ledger: &Ledger, mut rows: Rows) -> Result<Compared, LedgerError> {
    let mut out = Compared {
        entries: ledger.len(),
        reflects: rows.reflects,
        ..Compared::default()
    };
    if rows.reflects > ledger.len() {
        out.put("reflects", String::new(), "unknown", None);
        return Ok(out);
    }
    let (handlings, sources) = fold(ledger, &mut rows)?;
    out.many("finding", &rows.findings);
    out.many("incident", &rows.incidents);
    let handlings = handlings.into_iter();
    let handlings = handlings
        .map(|(incident, (sequence, handling))| {
            let says = says(sequence, &handling);
            (incident, (sequence, says))
        })
        .collect();
    out.few("handling", &handlings, &rows.handlings);
    out.few("source", &sources, &rows.sources);
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

    fn many(&mut self, table: &'static str, many: &Many) {
        for slot in &many.slots {
            self.rows += 1;
            if slot.told & FITS != 0 {
                continue;
            }
            let entry = slot.told.checked_sub(1);
            let what = entry.map_or("unknown", |_| "differs");
            self.put(table, many.id(&slot.key), what, entry);
        }
        for (key, entry) in &many.missing {
            self.rows += 1;
            self.put(table, many.id(key), "missing", Some(*entry));
        }
    }

    /// `told` has of each the last entry with what it says.
    fn few<T: PartialEq>(
        &mut self,
        table: &'static str,
        told: &BTreeMap<String, (u64, T)>,
        rows: &BTreeMap<String, T>,
    ) {
        for (id, (entry, says)) in told {
            self.rows += 1;
            let what = match rows.get(id) {
                None => "missing",
                Some(row) if row != says => "differs",
                Some(_) => continue,
            };
            self.put(table, id.clone(), what, Some(*entry));
        }
        for id in rows.keys().filter(|id| !told.contains_key(*id)) {
            self.rows += 1;
            self.put(table, id.clone(), "unknown", None);
        }
    }
}

/// Of each the last entry, and what comes of all.
type Folded<T> = BTreeMap<String, (u64, T)>;

/// Goes through the entries that the rows reflect: tells findings and incidents to their rows, gives what comes of the others.
fn fold(ledger: &Ledger, rows: &mut Rows) -> Result<(Folded<Handling>, Folded<u64>), LedgerError> {
    let (mut handlings, mut sources) = (Folded::<Handling>::new(), Folded::new());
    for number in 0..rows.reflects {
        let header = ledger.header(Sequence(number))?;
        if header.kind == EntryKind::Observed {
            if let Some(identity) = &header.identity {
                let end = identity.position.offset_bytes + u64::from(identity.length_bytes);
                sources.insert(identity.source.0.clone(), (number, end));
            }
            continue;
        }
        if header.kind != EntryKind::Decided {
            continue;
        }
        let payload = ledger.read(header.sequence)?.payload.unwrap_or_default();
        match serde_json::from_slice::<Decided>(&payload) {
            Ok(Decided::Finding { finding, .. }) => {
                let says = says(number, &finding);
                rows.findings.told(&finding.id, number, says);
            }
            Ok(Decided::Incident { incident, .. }) => {
                let says = says(number, &incident);
                rows.incidents.told(&incident.id, number, says);
            }
            Ok(Decided::Decision { decision, .. }) => {
                let (sequence, handling) = handlings.entry(decision.incident.clone()).or_default();
                *sequence = number;
                handling.take(header.sequence, *decision);
            }
            Ok(Decided::LedgerBroken { broken, .. }) => {
                for (source, _, end) in broken.positions {
                    sources.insert(source.0, (number, end));
                }
            }
            // The others make no row; what a later version decided tells this one nothing.
            _ => {}
        }
    }
    Ok((handlings, sources))
}

#[cfg(test)]
mod tests {
    use super::{Compared, Many, hexadecimal, key, says};

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn an_id_of_ours_is_given_back_and_another_is_told_apart() {
        assert_eq!(hexadecimal(&key(ID)), ID);
        for odd in [
            "",
            "planted",
            "0123456789ABCDEF0123456789abcdef",
            "+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1",
            "0123456789abcdef0123456789abcdé",
        ] {
            let mut many = Many::default();
            many.push(odd, [1; 16]);
            assert_eq!(many.id(&key(odd)), odd);
        }
    }

    #[test]
    fn the_last_entry_counts_and_whatever_is_left_is_told() {
        let mut many = Many::default();
        many.push(ID, says(7, &"b"));
        let told = |many: &Many| {
            let mut out = Compared::default();
            out.many("finding", many);
            let all = out.differences.into_iter();
            all.map(|one| (one.what, one.entry)).collect::<Vec<_>>()
        };
        assert_eq!(told(&many), [("unknown", None)]);
        many.told(ID, 0, says(0, &"a"));
        assert_eq!(told(&many), [("differs", Some(0))]);
        many.told(ID, 7, says(7, &"b"));
        assert_eq!(told(&many), []);
        // The same words as of another entry are another row.
        many.told(ID, 8, says(8, &"b"));
        assert_eq!(told(&many), [("differs", Some(8))]);
        many.told("other", 3, says(3, &"c"));
        many.told("other", 9, says(9, &"c"));
        assert_eq!(told(&many), [("differs", Some(8)), ("missing", Some(9))]);
    }
}

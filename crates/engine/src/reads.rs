//! Reads of tables that hold payments, kept over starts: the rows of the state, and counting again what these don't reflect.
//!
//! The counting itself is `detect::reads`. Rows reflect as many entries as all others do, so that a start counts the rest; where there
//! are none that can be read – an earlier version, `doctor --rebuild` – the entries of the last weeks are counted once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use custody::EntryKind;
use detect::shape::{Shape, payment_table};
use model::{Category, Field, Sequence, SourceId, Timestamp};
use parse::{Context, SourceState};
use serde::{Deserialize, Serialize};
use stores::ReadRow;

pub use detect::reads::{
    Account, Figure, HOURS_MAX, HOURS_MIN, Hour, Kept, Like, Line, Reads, Usual, Witness,
};
pub use detect::shape::is_payment_table;

use crate::ledger::{Ledger, LedgerError};

/// Version of what is stored; of another one is counted again.
const VERSION: u32 = 1;
/// The row that says that all others are there; no hour is as late.
const WHOLE: i64 = i64::MAX - 1;
/// Entries looked at at most where all is counted again; a busier shop's oldest ones stay uncounted.
const RECOUNT_MAX: u64 = 4_000_000;
/// How the ids of sources of observations that tell reads begin.
const DIGESTS: &str = "statement_digests:";

/// A row's body.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<Witness>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lines: Vec<Line>,
}

/// Hours that aren't written yet, and whether those before them are.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    rows: BTreeMap<(i64, String), ReadRow>,
    /// Earlier hours go.
    from: Option<i64>,
    /// Whether the state has all other rows.
    is_whole: bool,
}

impl Unwritten {
    /// What a state has, to go on from; `None` where all is to be counted again.
    pub(crate) fn restore(rows: &[ReadRow]) -> (Self, Option<Reads>) {
        let reads = restored(rows);
        let unwritten = Self {
            is_whole: reads.is_some(),
            ..Self::default()
        };
        (unwritten, reads)
    }

    /// Takes that the state's rows are no longer to be gone on from.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            from: Some(i64::MAX),
            ..Self::default()
        };
    }

    /// Whether the rows that were written, with these, are all.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes hours that changed; where the state has no others, all of them.
    pub(crate) fn take(
        &mut self,
        changed: Vec<(Hour, Kept)>,
        oldest: Hour,
    ) -> Result<(), serde_json::Error> {
        if self.is_whole {
            self.from = self.from.max(Some(oldest.0));
            self.rows.retain(|(hour, _), _| *hour >= oldest.0);
        } else {
            self.forget();
            self.put(WHOLE, "", &Stored::new())?;
            self.is_whole = true;
        }
        for (hour, kept) in changed {
            let mut stored = Stored::new();
            let name = match kept {
                Kept::Told(bits) => {
                    let all = Witness::ALL.into_iter();
                    stored.told = all.filter(|one| bits & one.bit() != 0).collect();
                    ""
                }
                Kept::Table(table, lines) => {
                    stored.lines = lines.to_vec();
                    table
                }
            };
            self.put(hour.0, name, &stored)?;
        }
        Ok(())
    }

    fn put(&mut self, hour: i64, name: &str, stored: &Stored) -> Result<(), serde_json::Error> {
        let name = name.to_owned();
        let row = ReadRow {
            hour,
            name: name.clone(),
            body: serde_json::to_string(stored)?,
        };
        self.rows.insert((hour, name), row);
        Ok(())
    }

    /// The rows to be written, and before which hour others go.
    pub(crate) fn rows(&self) -> (Vec<ReadRow>, Option<i64>) {
        (self.rows.values().cloned().collect(), self.from)
    }

    /// Whether there is nothing to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.from.is_none()
    }

    /// Notes that they are written.
    pub(crate) fn saved(&mut self) {
        self.rows.clear();
        self.from = None;
    }
}

impl Stored {
    fn new() -> Self {
        Self {
            v: VERSION,
            told: Vec::new(),
            lines: Vec::new(),
        }
    }
}

/// What rows say; `None` when they aren't all there, or one isn't what this version writes.
fn restored(rows: &[ReadRow]) -> Option<Reads> {
    let mut reads = Reads::default();
    let mut is_whole = false;
    for row in rows {
        let stored: Stored = serde_json::from_str(&row.body).ok()?;
        if stored.v != VERSION {
            return None;
        }
        let kept = if row.hour == WHOLE {
            is_whole = true;
            continue;
        } else if row.name.is_empty() {
            Kept::Told(stored.told.iter().fold(0, |bits, one| bits | one.bit()))
        } else {
            Kept::Table(payment_table(&row.name)?, Arc::new(stored.lines))
        };
        reads.restore(Hour(row.hour), kept);
    }
    is_whole.then_some(reads)
}

/// The first entry that is counted where all is counted again.
pub(crate) fn first(
    ledger: &Ledger,
    received_from: impl Fn(u64, Timestamp) -> Result<u64, LedgerError>,
) -> Result<u64, LedgerError> {
    let Some(last) = ledger.last_received()? else {
        return Ok(0);
    };
    let least = ledger.len().saturating_sub(RECOUNT_MAX);
    received_from(least, last.plus_seconds(-HOURS_MAX * 3600))
}

/// Counts entries that detection needn't be made warm by.
pub(crate) fn count(
    ledger: &Ledger,
    reads: &mut Reads,
    context: &Context,
    entries: std::ops::Range<u64>,
) -> Result<(), LedgerError> {
    let mut states: BTreeMap<SourceId, SourceState> = BTreeMap::new();
    for number in entries {
        let header = ledger.header(Sequence(number))?;
        let tells = header.kind == EntryKind::Observed
            && !header.quarantined
            && Witness::has(&header.format)
            && (header.format != parse::OBSERVATION || header.source.0.starts_with(DIGESTS));
        let Some(format) = parse::named(&header.format).filter(|_| tells) else {
            continue;
        };
        let Some(payload) = ledger.read(header.sequence)?.payload else {
            continue;
        };
        let state = states.entry(header.source.clone()).or_default();
        let Ok(mut event) = format.parse(&payload, context, state) else {
            continue;
        };
        if event.category != Category::Database {
            continue;
        }
        event.put_text(Field::Format, format.name());
        reads.take_table(&event, header.received, true);
        let cut = event.int(Field::StatementCut) == Some(1);
        let text = event.text(Field::Statement);
        let shape = text.map(|text| Shape::of(text, cut, &context.table_prefix));
        reads.take(&event, shape.as_ref(), header.received);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Unwritten, restored};
    use detect::reads::{Account, HOURS_MAX, Hour, Kept, Line, Reads, Witness};
    use std::sync::Arc;

    fn hour(reads: u64) -> Kept {
        let line = |name: &str, witness| Line {
            account: Account::Named(name.into()),
            witness,
            reads,
            rows: Some(7),
        };
        let lines = [
            line("it's \"<b>\"\u{0}", Witness::Audit),
            line("shop", Witness::Slow),
        ];
        Kept::Table("quote_payment", Arc::new(lines.to_vec()))
    }

    fn told() -> Kept {
        Kept::Told(Witness::Audit.bit() | Witness::Slow.bit())
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is() {
        let changed = vec![(Hour(9), told()), (Hour(9), hour(3)), (Hour(10), told())];
        let (mut unwritten, none) = Unwritten::restore(&[]);
        assert!(none.is_none() && !unwritten.is_whole());
        unwritten.take(changed.clone(), Hour(1)).expect("taken");
        let (rows, from) = unwritten.rows();
        assert_eq!(from, Some(i64::MAX), "what was there goes");
        let mut reads = Reads::default();
        for (hour, kept) in changed {
            reads.restore(hour, kept);
        }
        let all = |mut reads: Reads| {
            reads.unsave();
            reads.take_changed()
        };
        assert_eq!(restored(&rows).map(all), Some(all(reads)));
        // Rows that aren't whole, or that another version wrote.
        assert!(restored(&rows[..rows.len() - 1]).is_none());
        let mut others = rows.clone();
        others[0].body = others[0].body.replace("\"v\":1", "\"v\":2");
        assert!(restored(&others).is_none());
        others[0].body = "no JSON".to_owned();
        assert!(restored(&others).is_none());
        let mut others = rows;
        others[1].name = "a_later_table".to_owned();
        assert!(restored(&others).is_none());
    }

    #[test]
    fn hours_that_are_too_old_go_and_what_waits_is_bounded() {
        let mut unwritten = Unwritten {
            is_whole: true,
            ..Unwritten::default()
        };
        for now in 0..2 * HOURS_MAX {
            let oldest = Hour(now - HOURS_MAX + 1);
            unwritten
                .take(vec![(Hour(now), hour(1))], oldest)
                .expect("taken");
        }
        let (rows, from) = unwritten.rows();
        assert_eq!((rows.len() as i64, from), (HOURS_MAX, Some(HOURS_MAX)));
        unwritten.saved();
        assert!(unwritten.is_empty() && unwritten.is_whole());
    }
}

//! Reads of tables that hold payments, by hour and account: what an incident's reads are held against.
//!
//! Apart from detection: nothing here makes a finding. One statement stands in several logs (twins). Each kind of log is therefore
//! counted for itself, and a figure is that of the kind that tells most: never a sum over kinds. What one record adds depends on that
//! record alone, so that a start that counts the rest of a ledger comes to the same numbers.
//!
//! Bounded: [`HOURS_MAX`] hours, the tables of payments, [`ACCOUNTS_MAX`] accounts a table. Full, with ten accounts of every table in
//! six logs in every hour, that is 30 MB; a shop whose three accounts are told by two logs takes 3 MB.

mod line;
mod usual;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Event, Field, Timestamp};

use crate::shape::{Shape, StatementClass, payment_table};

pub use line::{Account, Hour, Line, Witness};
pub use usual::{Base, Figure, HOURS_MIN, Like, Usual};

/// Hours that are kept: five weeks, so that four of the same hour of a week lie before the present one.
pub const HOURS_MAX: i64 = 35 * 24;
/// Accounts of one table that are told apart; others are counted together.
pub const ACCOUNTS_MAX: usize = 8;
/// Longest name of an account that is kept (MariaDB allows 128 characters); longer ones are counted with the others.
const ACCOUNT_BYTES_MAX: usize = 512;
/// How far a record's own time may lie ahead of when it was received, in hours: a line that says more can't push away what is kept.
const AHEAD_HOURS_MAX: i64 = 1;

/// What is kept of one hour: of a table the lines, or which kinds of logs told anything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Kinds of logs that told anything of statements in the hour, as bits of [`Witness::bit`].
    Told(u8),
    /// Reads of a table.
    Table(&'static str, Arc<Vec<Line>>),
}

/// The fold over database events.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    told: BTreeMap<Hour, u8>,
    tables: BTreeMap<(Hour, &'static str), Arc<Vec<Line>>>,
    /// The latest hour there is.
    newest: Hour,
    /// What was told last, so that the next record of that hour is cheap.
    last: (Hour, u8),
    /// The statement whose TABLE records were counted last, and the tables of it: a table joined with itself is read once.
    statement: (i64, i64, Vec<&'static str>),
    /// Accounts told apart of each table, and the latest hour of each.
    accounts: BTreeMap<&'static str, Vec<(Arc<str>, Hour)>>,
    changed: BTreeSet<(Hour, &'static str)>,
}

impl Reads {
    /// Takes a statement with its shape, where it has one; other events are left out.
    pub fn take(&mut self, event: &Event<'_>, shape: Option<&Shape>, received: Timestamp) {
        let told = Witness::of(event).filter(|witness| *witness != Witness::AuditTables);
        let Some(witness) = told else {
            return;
        };
        // All since the server's start, as a first look tells it, is of no hour.
        if witness == Witness::Digests && event.text(Field::Change) != Some("called") {
            return;
        }
        let Some(hour) = self.tell(event, witness, received) else {
            return;
        };
        let Some(shape) = shape else {
            return;
        };
        let own = shape.tables.get(..shape.own_tables).unwrap_or_default();
        for table in own {
            let Some(table) = payment_table(table).filter(|table| reads(shape, table)) else {
                continue;
            };
            // What was refused or failed read nothing.
            if event.int(Field::ErrorCode).is_some_and(|code| code != 0) {
                return;
            }
            let calls = match witness {
                Witness::Digests => event.int(Field::ChangeCount).unwrap_or(0),
                _ => 1,
            };
            let rows = event.int(Field::RowsSent);
            self.add(hour, table, witness, event, calls, rows);
        }
    }

    /// Takes a TABLE record by itself, before it is joined to its statement; other events are left out.
    ///
    /// `counts` says whether it is new; otherwise it only tells to which statement the next one belongs.
    pub fn take_table(&mut self, event: &Event<'_>, received: Timestamp, counts: bool) {
        // Nearly every event is a statement, which is told quickly.
        if event.text(Field::Operation) == Some("query")
            || Witness::of(event) != Some(Witness::AuditTables)
        {
            return;
        }
        let hour = if counts {
            self.tell(event, Witness::AuditTables, received)
        } else {
            None
        };
        if event.text(Field::Operation) != Some("read") {
            return;
        }
        let first = event.list(Field::Tables).first();
        let Some(table) = first.and_then(|name| payment_table(name)) else {
            return;
        };
        let number = |field| event.int(field).unwrap_or(-1);
        let key = (number(Field::ConnectionId), number(Field::QueryId));
        let (connection, query, tables) = &mut self.statement;
        if (*connection, *query) != key {
            (*connection, *query) = key;
            tables.clear();
        } else if key.1 > 0 && tables.contains(&table) {
            return;
        }
        // One without a number belongs to none.
        if key.1 > 0 {
            tables.push(table);
        }
        if let Some(hour) = hour {
            self.add(hour, table, Witness::AuditTables, event, 1, None);
        }
    }

    /// Notes that a kind of log told something; gives the hour it is of, `None` where that isn't kept.
    fn tell(&mut self, event: &Event<'_>, witness: Witness, received: Timestamp) -> Option<Hour> {
        let latest = Hour(Hour::of(received).0.saturating_add(AHEAD_HOURS_MAX));
        let hour = Hour::of(event.time.unwrap_or(received)).min(latest);
        let bit = witness.bit();
        if self.last.0 == hour && self.last.1 & bit != 0 {
            return Some(hour);
        }
        self.reach(hour);
        if hour < self.oldest() {
            return None;
        }
        let told = self.told.entry(hour).or_default();
        if *told & bit == 0 {
            *told |= bit;
            self.changed.insert((hour, ""));
        }
        self.last = (hour, *told);
        Some(hour)
    }

    /// Takes that there is an hour: those too long before it go.
    fn reach(&mut self, hour: Hour) {
        if hour <= self.newest {
            return;
        }
        self.newest = hour;
        let oldest = self.oldest();
        self.told = self.told.split_off(&oldest);
        self.tables = self.tables.split_off(&(oldest, ""));
        self.changed = self.changed.split_off(&(oldest, ""));
        for known in self.accounts.values_mut() {
            known.retain(|(_, last)| *last >= oldest);
        }
    }

    fn add(
        &mut self,
        hour: Hour,
        table: &'static str,
        witness: Witness,
        event: &Event<'_>,
        calls: i64,
        rows: Option<i64>,
    ) {
        let account = self.account(hour, table, event.text(Field::DbUser).unwrap_or_default());
        let positive = |number: i64| u64::try_from(number).unwrap_or(0);
        // Whoever shows the lines keeps them as they were.
        let lines = Arc::make_mut(self.tables.entry((hour, table)).or_default());
        let (calls, rows) = (positive(calls), rows.map(positive));
        match lines.binary_search_by(|line| (&line.account, line.witness).cmp(&(&account, witness)))
        {
            Ok(at) => {
                if let Some(line) = lines.get_mut(at) {
                    line.reads = line.reads.saturating_add(calls);
                    line.rows = match (line.rows, rows) {
                        (Some(known), Some(more)) => Some(known.saturating_add(more)),
                        (known, more) => known.or(more),
                    };
                }
            }
            Err(at) => lines.insert(
                at,
                Line {
                    account,
                    witness,
                    reads: calls,
                    rows,
                },
            ),
        }
        self.changed.insert((hour, table));
    }

    /// Whom a table's reads are counted for: the accounts that are there keep their places as long as an hour of theirs is kept.
    fn account(&mut self, hour: Hour, table: &'static str, name: &str) -> Account {
        if name.is_empty() {
            return Account::Untold;
        }
        if name.len() > ACCOUNT_BYTES_MAX {
            return Account::Others;
        }
        let known = self.accounts.entry(table).or_default();
        if let Some((account, last)) = known.iter_mut().find(|(account, _)| &**account == name) {
            *last = hour.max(*last);
            return Account::Named(Arc::clone(account));
        }
        if known.len() >= ACCOUNTS_MAX {
            return Account::Others;
        }
        let account: Arc<str> = name.into();
        known.push((Arc::clone(&account), hour));
        Account::Named(account)
    }

    /// The earliest hour that is kept.
    #[must_use]
    pub fn oldest(&self) -> Hour {
        Hour(self.newest.0.saturating_sub(HOURS_MAX - 1))
    }

    /// The latest hour that anything was told of.
    #[must_use]
    pub fn newest(&self) -> Hour {
        self.newest
    }

    /// Takes what was kept of an hour before a start, in any order.
    pub fn restore(&mut self, hour: Hour, kept: Kept) {
        self.reach(hour);
        if hour < self.oldest() {
            return;
        }
        match kept {
            Kept::Told(bits) => drop(self.told.insert(hour, bits)),
            Kept::Table(table, lines) => {
                let known = self.accounts.entry(table).or_default();
                for line in &*lines {
                    let Account::Named(name) = &line.account else {
                        continue;
                    };
                    match known.iter_mut().find(|(account, _)| account == name) {
                        Some((_, last)) => *last = hour.max(*last),
                        None => known.push((Arc::clone(name), hour)),
                    }
                }
                self.tables.insert((hour, table), lines);
            }
        }
    }

    /// What changed since it was asked for last.
    pub fn take_changed(&mut self) -> Vec<(Hour, Kept)> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .filter_map(|(hour, table)| Some((hour, self.kept(hour, table)?)))
            .collect()
    }

    /// Has everything taken for changed.
    pub fn unsave(&mut self) {
        let told = self.told.keys().map(|hour| (*hour, ""));
        self.changed = told.chain(self.tables.keys().copied()).collect();
    }

    /// Whether anything changed since [`Self::take_changed`].
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    fn kept(&self, hour: Hour, table: &'static str) -> Option<Kept> {
        if table.is_empty() {
            return self.told.get(&hour).copied().map(Kept::Told);
        }
        let lines = self.tables.get(&(hour, table))?;
        Some(Kept::Table(table, Arc::clone(lines)))
    }
}

/// Whether a statement of a shape reads a table that it names.
fn reads(shape: &Shape, table: &str) -> bool {
    match shape.class {
        StatementClass::Select => true,
        // What is chosen from: `INSERT … SELECT`, a join of an UPDATE, `CREATE TABLE … AS SELECT`.
        StatementClass::Insert
        | StatementClass::Replace
        | StatementClass::Update
        | StatementClass::Delete
        | StatementClass::Ddl => !shape.tables_written.iter().any(|written| written == table),
        _ => false,
    }
}

#[cfg(test)]
mod tests;

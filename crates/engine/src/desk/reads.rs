//! Reads of tables that hold payments, held against what is usual: for whoever sees the whole installation, since all stores share
//! these tables.
//!
//! What is usual rests on hours before the ones that are asked for. Hours in which a finding of an incident touched the table are left
//! out of it, unless the incident was no incident: what a thief reads isn't usual.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use detect::reads::{Account, Base, Figure, Hour, Reads, Usual};
use model::{Asset, AssetKind, IncidentState, Scope, Timestamp};

use super::{Desk, Sight};
use crate::handled::state_of;

/// Hours of a day.
const DAY: i64 = 24;

/// Reads by one account within an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReads {
    /// Whose.
    pub account: Account,
    /// How often.
    pub figure: Figure,
    /// What is usual of this account in such an hour; `None` where too little is known.
    pub usual: Option<Usual>,
}

/// Reads within an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourReads {
    /// The hour.
    pub hour: Hour,
    /// How often the table was read; `None` where no log told anything of statements.
    pub figure: Option<Figure>,
    /// What is usual in such an hour; `None` where too little is known.
    pub usual: Option<Usual>,
    /// Accounts that read it, those first that did most often.
    pub accounts: Vec<AccountReads>,
}

/// Reads of a table by hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReads {
    /// The table.
    pub table: String,
    /// The hours that were asked for, in order.
    pub hours: Vec<HourReads>,
    /// Earlier hours that what is usual rests on; with fewer than `HOURS_MIN` nothing is said of it.
    pub hours_seen: usize,
    /// Earlier hours that aren't held to be usual, since they are an incident's.
    pub left_out: usize,
}

impl TableReads {
    fn new(
        reads: &Reads,
        table: &str,
        hours: RangeInclusive<Hour>,
        before: Hour,
        left_out: &BTreeSet<Hour>,
    ) -> Self {
        let base = |account: Option<&Account>| reads.base(table, account, before, left_out);
        let all = base(None);
        let accounts: Vec<(Account, Base)> = reads
            .accounts(table, hours.clone())
            .into_iter()
            .map(|account| {
                let base = base(Some(&account));
                (account, base)
            })
            .collect();
        let usual = |base: &Base, figure: &Figure, hour| base.usual(figure.witness, hour);
        let hour = |number| {
            let hour = Hour(number);
            let figure = reads.figure(table, None, hour);
            let mut by: Vec<AccountReads> = accounts
                .iter()
                .filter_map(|(account, base)| {
                    let figure = reads.figure(table, Some(account), hour)?;
                    (figure.reads > 0).then(|| AccountReads {
                        account: account.clone(),
                        figure,
                        usual: usual(base, &figure, hour),
                    })
                })
                .collect();
            by.sort_by(|a, b| (b.figure.reads, &a.account).cmp(&(a.figure.reads, &b.account)));
            HourReads {
                hour,
                figure,
                usual: figure.and_then(|figure| usual(&all, &figure, hour)),
                accounts: by,
            }
        };
        Self {
            table: table.to_owned(),
            hours: (hours.start().0..=hours.end().0).map(hour).collect(),
            hours_seen: all.hours(),
            left_out: left_out.range(reads.oldest()..before).count(),
        }
    }
}

/// What was read in the last day, for however many look; made when somebody asks, without the state in hand.
#[derive(Clone, Default)]
pub(super) struct Day(Arc<OnceLock<Arc<[TableReads]>>>);

impl Day {
    /// Forgets it.
    pub(super) fn take(&mut self) {
        self.0 = Arc::default();
    }
}

impl Desk {
    fn reads(&self) -> Arc<Reads> {
        Arc::clone(&self.state().reads)
    }

    /// Hours in which a finding of an incident touched a table.
    fn hours_of_incidents(&self, table: &str, kept: RangeInclusive<Hour>) -> BTreeSet<Hour> {
        let touches = |assets: &[Asset]| {
            let is_it = |asset: &Asset| asset.kind == AssetKind::Table && asset.name == table;
            assets.iter().any(is_it)
        };
        let mut hours = BTreeSet::new();
        let mut leave_out = |first: Timestamp, last: Timestamp| {
            let first = Hour::of(first).max(*kept.start());
            let last = Hour::of(last).min(*kept.end());
            hours.extend((first.0..=last.0).map(Hour));
        };
        let state = self.state();
        let is_one = |id: &str| {
            state.briefs.get(id).is_some_and(|brief| {
                let handling = state.handlings.get(id).map(|handling| &**handling);
                let found = state_of(&**brief, handling);
                !matches!(found, IncidentState::FalsePositive | IncidentState::Merged)
            })
        };
        for (id, finding) in &state.findings {
            let incident = state.incident_of.get(id);
            if touches(&finding.assets) && incident.is_some_and(|id| is_one(id)) {
                leave_out(finding.first, finding.last);
            }
        }
        // Of what rests, findings aren't at hand: all of its time is left out.
        for (id, brief) in &state.briefs {
            let rests = !state.incidents.contains_key(id);
            if rests && touches(&brief.assets) && is_one(id) {
                leave_out(brief.first, brief.last);
            }
        }
        hours
    }
}

impl Sight {
    /// Whether they see how often tables are read: which store's rows those were, no log tells.
    #[must_use]
    pub fn sees_reads(&self) -> bool {
        self.principal().sees(&[Scope::Unknown], self.stores())
    }

    /// The hours that are known, the latest last; `None` where nothing is, or for them to see.
    #[must_use]
    pub fn hours_of_reads(&self) -> Option<RangeInclusive<Hour>> {
        let reads = self.desk.reads();
        let is_known = self.sees_reads() && reads.newest() != Hour::default();
        is_known.then(|| reads.oldest()..=reads.newest())
    }

    /// Tables that were read within hours.
    #[must_use]
    pub fn tables_read(&self, hours: RangeInclusive<Hour>) -> Vec<&'static str> {
        if !self.sees_reads() {
            return Vec::new();
        }
        self.desk.reads().tables(hours).into_iter().collect()
    }

    /// Reads within the last hours that are known, of the tables that were read most first; none for whoever sees no reads.
    /// Takes some milliseconds: not for a thread others wait for.
    #[must_use]
    pub fn reads_of_day(&self) -> Arc<[TableReads]> {
        if !self.sees_reads() {
            return Arc::default();
        }
        let day = self.desk.state().day.clone();
        Arc::clone(day.0.get_or_init(|| self.make_day()))
    }

    fn make_day(&self) -> Arc<[TableReads]> {
        let Some(known) = self.hours_of_reads() else {
            return Arc::default();
        };
        let day = known.end().plus(1 - DAY)..=*known.end();
        let tables = self.tables_read(day.clone());
        let reads = tables
            .iter()
            .filter_map(|table| self.reads_of(table, day.clone(), *day.start()));
        let mut all: Vec<TableReads> = reads.collect();
        all.sort_by_cached_key(|reads| {
            let figures = reads.hours.iter().filter_map(|hour| hour.figure);
            let sum = figures.fold(0_u64, |sum, figure| sum.saturating_add(figure.reads));
            (Reverse(sum), reads.table.clone())
        });
        all.into()
    }

    /// Reads of a table within hours, held against those before `before`. Takes some milliseconds: not for a thread others wait for.
    #[must_use]
    pub fn reads_of(
        &self,
        table: &str,
        hours: RangeInclusive<Hour>,
        before: Hour,
    ) -> Option<TableReads> {
        let kept = self.hours_of_reads()?;
        let hours = *hours.start().max(kept.start())..=*hours.end().min(kept.end());
        if hours.is_empty() {
            return None;
        }
        let left_out = self.desk.hours_of_incidents(table, kept);
        let reads = self.desk.reads();
        Some(TableReads::new(&reads, table, hours, before, &left_out))
    }
}

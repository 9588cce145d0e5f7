//! What is usual: figures of hours held against those of earlier hours, by median and a high quantile.
//!
//! Like with like: an hour as one kind of log tells it is held against hours as that kind told them; an hour of which that kind told
//! nothing at all isn't an hour without reads, it is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::{Account, Hour, Reads, Witness};

/// Earlier hours that anything is said of at least.
pub const HOURS_MIN: usize = 24;
/// Hours of one kind that are held to be enough: four weeks of the same hour of a week, seven days of the same hour.
const WEEKS_MIN: usize = 4;
const DAYS_MIN: usize = 7;
/// The high quantile: so many of a hundred hours lie at or below it.
const HIGH_PERCENT: usize = 95;

/// How often a table was read within an hour, by the kind of log that tells most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Statements that read it.
    pub reads: u64,
    /// Rows that were sent, by the kind of log that tells most of them.
    pub rows: Option<u64>,
    /// What tells the reads.
    pub witness: Witness,
}

/// Which hours an hour is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Like {
    /// The same hour (UTC) of the same day of a week.
    HourOfWeek,
    /// The same hour (UTC) of any day.
    HourOfDay,
    /// Every hour.
    AnyHour,
}

/// What is usual in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// Half of the hours have at most so many reads.
    pub median: u64,
    /// 95 of a hundred hours have at most so many; of fewer than twenty hours that is the most there was.
    pub high: u64,
    /// Hours that this rests on.
    pub hours: usize,
    /// Which.
    pub like: Like,
}

impl Usual {
    /// Whether so many reads are more than is usual: more than the high number by what counting alone may add (three times its
    /// square root), since of a few hours the highest is exceeded often.
    #[must_use]
    pub fn is_exceeded_by(&self, reads: u64) -> bool {
        reads
            > self
                .high
                .saturating_add(self.high.isqrt().saturating_mul(3))
    }
}

/// Earlier hours of one table, of one account or all, by what told them.
#[derive(Clone, Debug, Default)]
pub struct Base(BTreeMap<Witness, Vec<(Hour, u64)>>);

impl Base {
    /// How many earlier hours are known by the kind of log that tells of most.
    #[must_use]
    pub fn hours(&self) -> usize {
        self.0.values().map(Vec::len).max().unwrap_or(0)
    }

    /// What is usual in an hour as a kind of log tells it; `None` where too little is known.
    #[must_use]
    pub fn usual(&self, witness: Witness, hour: Hour) -> Option<Usual> {
        let known = self.0.get(&witness).filter(|all| all.len() >= HOURS_MIN)?;
        let like = |hours: i64| {
            let same = |(one, _): &&(Hour, u64)| (one.0 - hour.0).rem_euclid(hours) == 0;
            known.iter().filter(same).map(|(_, reads)| *reads).collect()
        };
        let week: Vec<u64> = like(7 * 24);
        let day: Vec<u64> = like(24);
        let (like, mut reads) = if week.len() >= WEEKS_MIN {
            (Like::HourOfWeek, week)
        } else if day.len() >= DAYS_MIN {
            (Like::HourOfDay, day)
        } else {
            let all = known.iter().map(|(_, reads)| *reads);
            (Like::AnyHour, all.collect())
        };
        reads.sort_unstable();
        // Nearest rank: a number that there was.
        let quantile = |percent: usize| {
            let rank = (reads.len() * percent).div_ceil(100);
            reads.get(rank.saturating_sub(1)).copied()
        };
        Some(Usual {
            median: quantile(50)?,
            high: quantile(HIGH_PERCENT)?,
            hours: reads.len(),
            like,
        })
    }
}

impl Reads {
    /// Reads of a table within an hour, by one account or all; `None` when no log told anything of statements in that hour.
    #[must_use]
    pub fn figure(&self, table: &str, account: Option<&Account>, hour: Hour) -> Option<Figure> {
        let told = *self.told.get(&hour)?;
        let tells =
            |witness: &Witness| told & witness.bit() != 0 && tells_accounts_of(*witness, account);
        let mut best: Option<Figure> = None;
        for witness in Witness::ALL.into_iter().filter(tells) {
            let (reads, rows) = self.sum(table, account, hour, witness);
            let found = best.get_or_insert(Figure {
                reads,
                rows,
                witness,
            });
            found.rows = found.rows.max(rows);
            if reads > found.reads {
                (found.reads, found.witness) = (reads, witness);
            }
        }
        best
    }

    /// Hours before `before`, but those left out, which an hour can be held against.
    #[must_use]
    pub fn base(
        &self,
        table: &str,
        account: Option<&Account>,
        before: Hour,
        left_out: &BTreeSet<Hour>,
    ) -> Base {
        let mut base = Base::default();
        for (hour, told) in self.told.range(..before) {
            if left_out.contains(hour) {
                continue;
            }
            for witness in Witness::ALL {
                if told & witness.bit() != 0 && tells_accounts_of(witness, account) {
                    let (reads, _) = self.sum(table, account, *hour, witness);
                    base.0.entry(witness).or_default().push((*hour, reads));
                }
            }
        }
        base
    }

    /// Accounts that read a table within hours.
    #[must_use]
    pub fn accounts(&self, table: &str, hours: RangeInclusive<Hour>) -> BTreeSet<Account> {
        let mut out = BTreeSet::new();
        for (_, lines) in self.lines(table, hours) {
            out.extend(lines.iter().map(|line| line.account.clone()));
        }
        out
    }

    /// Tables that were read within hours.
    #[must_use]
    pub fn tables(&self, hours: RangeInclusive<Hour>) -> BTreeSet<&'static str> {
        let range = (*hours.start(), "")..(hours.end().plus(1), "");
        self.tables
            .range(range)
            .map(|((_, table), _)| *table)
            .collect()
    }

    fn lines<'a>(
        &'a self,
        table: &'a str,
        hours: RangeInclusive<Hour>,
    ) -> impl Iterator<Item = (Hour, &'a [super::Line])> {
        let range = (*hours.start(), "")..(hours.end().plus(1), "");
        let of = move |(hour, name): &(Hour, &str)| (*name == table).then_some(*hour);
        self.tables
            .range(range)
            .filter_map(move |(key, lines)| Some((of(key)?, lines.as_slice())))
    }

    fn sum(
        &self,
        table: &str,
        account: Option<&Account>,
        hour: Hour,
        witness: Witness,
    ) -> (u64, Option<u64>) {
        let (mut reads, mut rows) = (0_u64, None);
        for (_, lines) in self.lines(table, hour..=hour) {
            for line in lines {
                if line.witness == witness && account.is_none_or(|one| *one == line.account) {
                    reads = reads.saturating_add(line.reads);
                    if let Some(more) = line.rows {
                        rows = Some(rows.unwrap_or(0_u64).saturating_add(more));
                    }
                }
            }
        }
        (reads, rows)
    }
}

/// Whether a kind of log can tell of an account: digests name none.
fn tells_accounts_of(witness: Witness, account: Option<&Account>) -> bool {
    match account {
        None | Some(Account::Untold) => true,
        Some(Account::Named(_) | Account::Others) => witness != Witness::Digests,
    }
}

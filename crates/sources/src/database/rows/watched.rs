//! How a table is watched: which columns, how often, and what they tell.
//!
//! Apart from the list of tables, which is data.

use std::time::Duration;

use super::act::Act;

/// How a row tells its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It doesn't, or belongs to all.
    None,
    /// By this column's store id.
    StoreId(&'static str),
    /// `scope` and `scope_id` of `core_config_data`.
    ConfigScope,
}

/// How rows are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// All of them, each compared with the last look: few rows, and any of them may change.
    Whole,
    /// Those whose key is greater than the last, and so many of the latest ones again: many rows, or such that go soon.
    Latest(usize),
}

/// The row of another watched table that a row belongs to, and that says who or when.
#[derive(Debug)]
pub(crate) struct Of {
    /// The column here that holds the other's key.
    pub(crate) by: &'static str,
    pub(crate) table: &'static str,
    pub(crate) key: &'static str,
    /// What is read of it; each is watched there, too.
    pub(crate) columns: &'static [&'static str],
}

/// A watched table.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Its name without prefix.
    pub(crate) table: &'static str,
    /// Its key column.
    pub(crate) key: &'static str,
    /// The other columns that are read.
    pub(crate) columns: &'static [&'static str],
    pub(crate) place: Place,
    pub(crate) way: Way,
    pub(crate) every: Duration,
    pub(crate) of: Option<Of>,
    /// What a row, or the one it belongs to, tells of an act of an administrator.
    pub(crate) acts: &'static [Act],
    /// The column, here or in the row it belongs to, that says when that was.
    pub(crate) time: &'static str,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Often enough for what lives shortest: a finished cron row lives an hour, a customer's token too.
const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);
/// Rows looked at again of a table whose rows change, and of a log, whose rows may only become visible out of order.
const AGAIN: (usize, usize) = (5000, 1000);

impl Watched {
    /// Whether it can wait while others are due.
    pub(super) fn is_slow(&self) -> bool {
        self.every > MINUTE
    }

    /// Whether it changes with each click of a consumer: looked at hourly, and no source tells each change of it.
    pub(crate) fn is_busy(&self) -> bool {
        self.every == HOUR
    }

    pub(super) const fn of(mut self, of: Of) -> Self {
        self.of = Some(of);
        self
    }

    pub(super) const fn tells(mut self, time: &'static str, acts: &'static [Act]) -> Self {
        (self.time, self.acts) = (time, acts);
        self
    }
}

/// The administrator whom a row names by number alone.
pub(super) const fn administrator(by: &'static str) -> Of {
    Of {
        by,
        table: "admin_user",
        key: "user_id",
        columns: &["username"],
    }
}

const fn watched(
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
    (way, every): (Way, Duration),
) -> Watched {
    Watched {
        table,
        key,
        columns,
        place: Place::None,
        way,
        every,
        of: None,
        acts: &[],
        time: "",
    }
}

/// Few rows, any of which may change: each minute.
pub(super) const fn whole(
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
    place: Place,
) -> Watched {
    let mut watched = watched(table, key, columns, (Way::Whole, MINUTE));
    watched.place = place;
    watched
}

/// Rows that come, change and go soon: every ten minutes.
pub(super) const fn latest(
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
) -> Watched {
    watched(table, key, columns, (Way::Latest(AGAIN.0), TEN_MINUTES))
}

/// Rows that are written once: each minute, which costs little, since the new ones alone are looked for.
pub(super) const fn log(
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
) -> Watched {
    watched(table, key, columns, (Way::Latest(AGAIN.1), MINUTE))
}

/// What changes with each click of a consumer: hourly.
pub(super) const fn busy(
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
    place: Place,
) -> Watched {
    let mut watched = watched(table, key, columns, (Way::Latest(AGAIN.0), HOUR));
    watched.place = place;
    watched
}

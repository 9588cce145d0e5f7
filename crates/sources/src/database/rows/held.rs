//! Tables that somebody else holds by a lock: looked at later, and told.
//!
//! Nothing can be written to such a table but by who holds it, and that is seen once it is free; what it hides as long as it
//! lasts is said at once, and is trouble of the source when it lasts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::source::News;

/// After which time a table that is held is asked for again.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// How long a table may be held until the source counts as failing; it is told again as often.
const LONG: Duration = Duration::from_secs(30);

/// Tables that are held.
#[derive(Default)]
pub(super) struct Held {
    since: BTreeMap<&'static str, Instant>,
    failing: Option<Instant>,
}

impl Held {
    /// Notes that somebody holds a table; what is to be told of it, if anything.
    pub(super) fn holds(&mut self, table: &'static str, now: Instant) -> Option<News> {
        let is_first = !self.since.contains_key(table);
        let since = *self.since.entry(table).or_insert(now);
        let age = now.duration_since(since);
        let is_told = |told: Instant| now.duration_since(told) < LONG;
        if age >= LONG && !self.failing.is_some_and(is_told) {
            self.failing = Some(now);
            let why = format!(
                "{table} is locked by somebody for {} s: it can't be looked at",
                age.as_secs()
            );
            return Some(News::Failed { why });
        }
        // What is said of one that is held for long stays said.
        (is_first && self.failing.is_none()).then(|| News::Refused {
            why: format!("{table} is locked by somebody: it is looked at once it is free"),
        })
    }

    /// Notes that a table was looked at; whether it was the last one that was held.
    pub(super) fn frees(&mut self, table: &str) -> bool {
        let is_last = self.since.remove(table).is_some() && self.since.is_empty();
        if is_last {
            self.failing = None;
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Held;
    use crate::source::News;

    /// What is told of tables that are found held or free at given seconds: `r` refused, `f` failed, `w` well, `-` nothing.
    #[track_caller]
    fn check(found: &[(u64, &'static str, bool)], expected: &str) {
        let (mut held, begin) = (Held::default(), Instant::now());
        let told: String = found
            .iter()
            .map(|(second, table, is_held)| {
                let now = begin + Duration::from_secs(*second);
                match (*is_held).then(|| held.holds(table, now)) {
                    Some(Some(News::Refused { .. })) => 'r',
                    Some(Some(News::Failed { .. })) => 'f',
                    None if held.frees(table) => 'w',
                    _ => '-',
                }
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_table_that_is_held_is_told_once_and_fails_when_it_lasts() {
        check(&[(0, "a", false)], "-");
        check(&[(0, "a", true), (5, "a", true), (10, "a", false)], "r-w");
        let lasting = [0, 5, 30, 35, 60].map(|second| (second, "a", true));
        check(&lasting, "r-f-f");
    }

    #[test]
    fn all_is_well_once_the_last_one_is_free() {
        let both = [(0, "a", true), (1, "b", true), (30, "a", true)];
        let free = [(31, "b", false), (32, "b", true), (33, "a", false)];
        check(&[&both[..], &free, &[(34, "b", false)]].concat(), "rrf---w");
    }

    #[test]
    fn trouble_begins_anew_after_its_end() {
        let held = [(0, "a", true), (30, "a", true), (31, "a", false)];
        let again = [(40, "a", true), (69, "a", true), (70, "a", true)];
        check(&[held, again].concat(), "rfwr-f");
    }
}

//! A source that is expected to be silent for a while: said by a person, sealed, and over by itself.
//!
//! What is expected makes no finding meanwhile, and a hole with its reason; what goes on when the time is over is told then,
//! from its true beginning. Bounded, since whoever may say so could else blind us: a day at most, and renewals count from the
//! first. Nothing but silence and failing can be expected – what a source lost, or that its clock is wrong, is told as ever.

use std::collections::BTreeMap;

use model::{Person, Principal, Right, SourceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, id_of};
use crate::hide::hide;
use crate::ledger::{Ledger, LedgerError, Order, Query};
use crate::sealed::{Decided, VERSION};

/// Whose entries pauses are: a start finds them by it.
pub const SOURCE: &str = "magewarden:pauses";
/// Longest pause, in seconds; renewals count from the first.
pub const PAUSE_SECONDS_MAX: i64 = 24 * 3600;
/// Seconds between two pauses of a source that aren't one.
const BETWEEN_SECONDS: i64 = 3600;
/// Characters of a reason.
const REASON_CHARACTERS: std::ops::RangeInclusive<usize> = 10..=500;
/// Pauses that a start reads, the newest ones.
const READ_MAX: usize = 1000;

/// That a source is expected to be silent, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The source.
    pub source: String,
    /// Who says so.
    pub by: Person,
    /// When.
    pub at: Timestamp,
    /// Until when; `at` or before takes a pause back.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// A pause that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The latest that was said of it.
    pub pause: Pause,
    /// When it began; renewals don't change it.
    pub since: Timestamp,
}

impl Held {
    /// Whether it goes on.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.pause.until > now
    }
}

/// The pauses of all sources.
#[derive(Clone, Debug, Default)]
pub struct Pauses(BTreeMap<String, Held>);

impl Pauses {
    /// Those that a ledger tells of: what may go on, or count for what comes next.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when its entries can't be read.
    pub fn of(ledger: &Ledger, now: Timestamp) -> Result<Self, LedgerError> {
        let query = Query {
            source: Some(SourceId(SOURCE.to_owned())),
            from: Some(now.plus_seconds(-2 * PAUSE_SECONDS_MAX)),
            ..Query::default()
        };
        let found = ledger.find_in(&query, Order::Newest, READ_MAX, u64::MAX)?;
        let mut pauses = Self::default();
        for (sequence, _) in found.entries.iter().rev() {
            let payload = ledger.read(*sequence)?.payload.unwrap_or_default();
            if let Ok(Decided::Pause { pause, .. }) = serde_json::from_slice(&payload) {
                pauses.take(pause);
            }
        }
        Ok(pauses)
    }

    /// When the pause began that one said now belongs to.
    fn since(&self, pause: &Pause) -> Timestamp {
        let known = self.0.get(&pause.source);
        let known = known.filter(|held| pause.at < held.pause.until.plus_seconds(BETWEEN_SECONDS));
        known.map_or(pause.at, |held| held.since.min(pause.at))
    }

    /// Whether a pause may be said.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    pub fn check(&self, pause: &Pause, now: Timestamp) -> Result<(), String> {
        if pause.until <= pause.at {
            let holds = self
                .0
                .get(&pause.source)
                .is_some_and(|held| held.holds(now));
            return match holds {
                true => Ok(()),
                false => Err("this source isn't paused".to_owned()),
            };
        }
        if pause.until <= now {
            return Err("a pause ends in the future".to_owned());
        }
        let since = self.since(pause);
        // Whatever a clock said when it was written.
        if pause.until > since.min(now).plus_seconds(PAUSE_SECONDS_MAX) {
            return Err(match since < pause.at {
                true => format!(
                    "a source is paused for 24 hours at most, and this pause began at {since}: it can be paused again an hour after its end"
                ),
                false => "a source is paused for 24 hours at most".to_owned(),
            });
        }
        Ok(())
    }

    /// Takes what was sealed.
    pub fn take(&mut self, pause: Pause) {
        let since = self.since(&pause);
        self.0.insert(pause.source.clone(), Held { pause, since });
    }

    /// Those that go on, by source.
    pub fn holding(&self, now: Timestamp) -> impl Iterator<Item = &Held> {
        self.0.values().filter(move |held| held.holds(now))
    }
}

/// What somebody wants to say of a source.
#[derive(Clone, Debug)]
pub struct PauseWish {
    /// The caller's word for it: asked twice with one, it counts once.
    pub key: Option<String>,
    /// The source.
    pub source: String,
    /// Until when it is expected to be silent; `None` takes that back.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl Decider {
    /// Says that a source is expected to be silent, or no longer; gives the number of the entry.
    ///
    /// # Errors
    ///
    /// [`DecideError`]; [`DecideError::NotThere`] where there is no such source.
    pub async fn pause(
        &self,
        by: &Principal,
        wish: PauseWish,
        now: Timestamp,
    ) -> Result<u64, DecideError> {
        let inner = self.inner();
        // Each source reads for all of the installation.
        if !by.may_all(Right::SeeSources) || !inner.desk.reads_source(&wish.source) {
            return Err(DecideError::NotThere);
        }
        let right = Right::Decide;
        if !by.may_all(right) {
            return Err(DecideError::NotAllowed { right });
        }
        let refused = |why: &str| DecideError::Refused {
            why: why.to_owned(),
        };
        let mut pause = Pause {
            source: wish.source,
            by: Person {
                account: by.account.clone(),
                name: by.shown.clone(),
            },
            at: now,
            until: wish.until.unwrap_or(now),
            reason: wish.reason.trim().to_owned(),
        };
        hide(&mut pause.reason);
        hide(&mut pause.by.name);
        if !REASON_CHARACTERS.contains(&pause.reason.chars().count()) {
            return Err(refused("write why, in 10 to 500 characters"));
        }
        if wish.until.is_some_and(|until| until <= now) {
            return Err(refused("a pause ends in the future"));
        }
        let id = id_of(by, wish.key.map(|key| format!("pause {key}")));
        let decided = Decided::Pause {
            v: VERSION,
            id: id.clone(),
            pause: pause.clone(),
        };
        let is_known = |known: &Decided| matches!(known, Decided::Pause { pause: known, .. } if is_same(known, &pause));
        let put = self.seal((id, now), decided, None, is_known);
        Ok(put.await?.sequence)
    }
}

/// Whether two are one wish, asked at different times.
fn is_same(one: &Pause, other: &Pause) -> bool {
    let takes_back = |pause: &Pause| pause.until <= pause.at;
    let until = match (takes_back(one), takes_back(other)) {
        (true, true) => true,
        (false, false) => one.until == other.until,
        _ => false,
    };
    until && (&one.source, &one.by, &one.reason) == (&other.source, &other.by, &other.reason)
}

#[cfg(test)]
mod tests {
    use super::{Pause, Pauses};
    use model::{Person, Timestamp};

    const HOUR: i64 = 3600;

    fn pause(at: i64, until: i64) -> Pause {
        Pause {
            source: "a".to_owned(),
            by: Person {
                account: String::new(),
                name: String::new(),
            },
            at: Timestamp::from_seconds(at),
            until: Timestamp::from_seconds(until),
            reason: String::new(),
        }
    }

    /// Says pauses one after the other, each `(at, until)` in minutes, taken where it may be; tells which were.
    #[track_caller]
    fn check(said: &[(i64, i64)], expected: &[bool]) {
        let mut pauses = Pauses::default();
        let taken = said.iter().map(|(at, until)| {
            let one = pause(at * 60, until * 60);
            let may = pauses.check(&one, one.at).is_ok();
            if may {
                pauses.take(one);
            }
            may
        });
        assert_eq!(taken.collect::<Vec<_>>(), expected, "{said:?}");
    }

    #[test]
    fn a_pause_lasts_a_day_at_most_and_renewing_it_adds_nothing() {
        let day = 24 * 60;
        check(&[(0, day)], &[true]);
        check(&[(0, day + 1)], &[false]);
        check(&[(0, day), (60, day), (60, day + 1)], &[true, true, false]);
        // Right after its end, or within the hour, it is the same pause.
        check(
            &[(0, day), (day, day + 1), (day + 59, day + 60)],
            &[true, false, false],
        );
        check(&[(0, day), (day + 60, 2 * day + 60)], &[true, true]);
        // Ended and begun anew it is still the same.
        check(
            &[(0, 60), (30, 30), (31, day), (32, day + 1)],
            &[true, true, true, false],
        );
        check(&[(0, 0)], &[false]);
        check(&[(10, 5)], &[false]);
    }

    #[test]
    fn no_chain_of_pauses_hides_more_than_a_day_without_an_hour_between() {
        // Whatever is asked, in whatever order: the longest time that is covered without a break is a day.
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((state >> 33) % below).expect("small")
        };
        for _ in 0..200 {
            let (mut pauses, mut at, mut hidden) = (Pauses::default(), 0, 0);
            for _ in 0..200 {
                let step = 60 * (1 + next(90));
                let until = at + 60 * next(30 * 60);
                let one = pause(at, until);
                if pauses.check(&one, one.at).is_ok() {
                    pauses.take(one);
                }
                for minute in (at..at + step).step_by(60) {
                    let now = Timestamp::from_seconds(minute);
                    hidden = match pauses.holding(now).count() {
                        0 => 0,
                        _ => hidden + 60,
                    };
                    assert!(hidden <= 24 * HOUR, "{hidden} s");
                }
                at += step;
            }
        }
    }

    #[test]
    fn a_row_that_was_written_by_a_clock_that_was_wrong_hides_no_longer() {
        let pauses = Pauses::default();
        let (now, far) = (Timestamp::from_seconds(0), 90 * HOUR);
        assert!(pauses.check(&pause(far, far + HOUR), now).is_err());
        assert!(pauses.check(&pause(-far, -far + HOUR), now).is_err());
    }
}

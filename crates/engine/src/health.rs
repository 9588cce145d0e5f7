//! Whether sources still give what they gave: who fell silent, who lost records, who fails, and since when.
//!
//! Silence is judged by a source's own past and by its siblings: a shop that sleeps is silent everywhere. What a source lost, and
//! what went while nobody listened, is a hole with both its ends, too. Pure: times come in
//! as arguments, and what is to be told comes out; it is sealed as a record like any other (PCI DSS v4.0.1 req. 10.7.2, 10.7.3).

use std::collections::{BTreeMap, VecDeque};

use model::{SourceId, Timestamp};

use crate::pause::Pauses;

/// Shortest silence that is told, in seconds.
const SILENT_SECONDS_MIN: i64 = 300;
/// A silence is told when it is so many times as long as the source's usual pause,
const SILENT_TIMES: i64 = 6;
/// and so many times as long as its longest one of late: what comes in bursts pauses long between them.
const LONGEST_TIMES: i64 = 2;
/// Hours of which the longest pause is remembered.
const HOURS_MAX: i64 = 24;
/// A source is judged once it is known for so many seconds.
const KNOWN_SECONDS_MIN: i64 = 3600;
/// Pauses remembered of a source.
const PAUSES_MAX: usize = 64;
/// Pauses without which a source's silence isn't judged.
const PAUSES_MIN: usize = 16;
/// A source that usually pauses longer, in seconds, isn't judged: its silence says nothing for hours.
const PAUSE_SECONDS_MAX: i64 = 600;
/// Siblings count as awake when they gave something so many seconds ago at most.
const AWAKE_SECONDS: i64 = 120;
/// Seconds a record's time may lie ahead of when it was received.
const AHEAD_SECONDS_MAX: i64 = 120;
/// Holes remembered of a source.
const HOLES_MAX: usize = 64;
/// Seconds before the last entry of a run in which records may have come that were read and not sealed when it ended.
const UNSEALED_SECONDS: i64 = 10;

/// What is wrong with a source, by the names that rules use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Nothing comes, though its siblings are awake.
    Silent,
    /// It doesn't work.
    Failing,
    /// Its clock, or this host's, is wrong: it tells of times that haven't come.
    Ahead,
    /// Records, or bytes of a file, went before they could be read.
    Lost,
    /// magewarden was off, and what was sent meanwhile is gone.
    Off,
    /// Nothing comes, or it doesn't work, and somebody said that it would be so.
    Paused,
}

impl Trouble {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Failing => "failing",
            Self::Ahead => "clock ahead",
            Self::Lost => "lost",
            Self::Off => "off",
            Self::Paused => "paused",
        }
    }

    /// Whether it can be expected: that nothing comes. What went, or can't be trusted, is told whatever was said.
    const fn can_be_expected(self) -> bool {
        matches!(self, Self::Silent | Self::Failing)
    }
}

/// Something to be sealed about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Trouble began.
    Began {
        /// Of which source.
        source: SourceId,
        /// What.
        trouble: Trouble,
        /// Since when.
        since: Timestamp,
        /// Why, in words.
        why: String,
    },
    /// Trouble is over.
    Over {
        /// Of which source.
        source: SourceId,
        /// What it was.
        trouble: Trouble,
        /// From when.
        since: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// Records, or bytes of a file, went before they could be read.
    Lost {
        /// Of which source.
        source: SourceId,
        /// How many at least.
        count: u64,
        /// When they went at the earliest.
        since: Timestamp,
        /// When it was noticed.
        until: Timestamp,
    },
}

/// A time in which a source gave nothing that it should have given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// What it was.
    pub trouble: Trouble,
    /// From when.
    pub since: Timestamp,
    /// Until when; `None` while it lasts.
    pub until: Option<Timestamp>,
}

#[derive(Default)]
struct Known {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    pauses: VecDeque<i64>,
    /// The longest pause in seconds by the hour in which it ended.
    longest: BTreeMap<i64, i64>,
    open: BTreeMap<Trouble, Timestamp>,
    /// Until when nothing is expected, and why.
    paused: Option<(Timestamp, String)>,
    /// What was expected, with its beginning and why: told when the pause is over and it goes on.
    withheld: BTreeMap<Trouble, (Timestamp, String)>,
    holes: VecDeque<Hole>,
}

impl Known {
    /// Notes that it gave something.
    fn gave(&mut self, now: Timestamp) {
        self.first.get_or_insert(now);
        let pause = self.last.map_or(0, |last| now.seconds_since(last));
        self.last = Some(now);
        // What comes in one breath is one coming.
        if pause <= 0 {
            return;
        }
        self.pauses.push_back(pause);
        if self.pauses.len() > PAUSES_MAX {
            self.pauses.pop_front();
        }
        let hour = now.0 / (3600 * Timestamp::SECOND);
        let longest = self.longest.entry(hour).or_default();
        *longest = pause.max(*longest);
        self.longest = self.longest.split_off(&(hour - HOURS_MAX));
    }

    /// Remembers a hole; the oldest goes when there are too many.
    fn hole(&mut self, trouble: Trouble, since: Timestamp, until: Option<Timestamp>) {
        self.holes.push_back(Hole {
            trouble,
            since,
            until,
        });
        if self.holes.len() > HOLES_MAX {
            self.holes.pop_front();
        }
    }

    /// How long, in seconds, it may be silent before that is told; `None` while it can't be judged.
    fn patience(&self, now: Timestamp) -> Option<i64> {
        let (usual, longest) = (self.usual()?, self.longest.values().max()?);
        let is_known = now.seconds_since(self.first?) >= KNOWN_SECONDS_MIN;
        (is_known && usual <= PAUSE_SECONDS_MAX).then(|| {
            SILENT_SECONDS_MIN
                .max(usual.saturating_mul(SILENT_TIMES))
                .max(longest.saturating_mul(LONGEST_TIMES))
        })
    }

    /// Its usual pause in seconds: the median, since a night counts no more than a minute.
    fn usual(&self) -> Option<i64> {
        let mut pauses: Vec<i64> = self.pauses.iter().copied().collect();
        pauses.sort_unstable();
        (pauses.len() >= PAUSES_MIN)
            .then(|| pauses.get(pauses.len() / 2).copied())
            .flatten()
    }
}

/// Watches over sources.
#[derive(Default)]
pub struct Health {
    sources: BTreeMap<SourceId, Known>,
    told: Vec<Told>,
}

impl Health {
    /// A source gave records.
    pub fn gave(&mut self, source: &SourceId, now: Timestamp) {
        self.sources.entry(source.clone()).or_default().gave(now);
        self.end(source, Trouble::Silent, now);
    }

    /// A source says that it works, or that it doesn't and why.
    pub fn works(&mut self, source: &SourceId, trouble: Option<&str>, now: Timestamp) {
        match trouble {
            Some(why) => self.begin(source, Trouble::Failing, now, why),
            None => self.end(source, Trouble::Failing, now),
        }
    }

    /// A source gave records of which `least` is the earliest time: one forged line in a chunk says nothing of the clock.
    pub fn said(&mut self, source: &SourceId, least: Timestamp, now: Timestamp) {
        let ahead = least.seconds_since(now);
        if ahead > AHEAD_SECONDS_MAX {
            let why = format!(
                "its records are {ahead} s ahead of this host's clock: what happened before and after can't be told"
            );
            self.begin(source, Trouble::Ahead, now, &why);
        } else {
            self.end(source, Trouble::Ahead, now);
        }
    }

    /// A source says that it lost something, since when if it knows; else since it last gave something.
    pub fn lost(
        &mut self,
        source: &SourceId,
        count: u64,
        since: Option<Timestamp>,
        now: Timestamp,
    ) {
        if count == 0 {
            return;
        }
        let known = self.sources.entry(source.clone()).or_default();
        let since = since.or(known.last).unwrap_or(now).min(now);
        // What is lost without a pause is one hole.
        match known.holes.back_mut() {
            Some(last) if last.trouble == Trouble::Lost && last.until >= Some(since) => {
                last.until = last.until.max(Some(now));
            }
            _ => known.hole(Trouble::Lost, since, Some(now)),
        }
        for told in &mut self.told {
            if let Told::Lost {
                source: of,
                count: counted,
                until,
                ..
            } = told
                && of == source
                && *until >= since
            {
                *counted += count;
                *until = now.max(*until);
                return;
            }
        }
        self.told.push(Told::Lost {
            source: source.clone(),
            count,
            since,
            until: now,
        });
    }

    /// A source that nothing can be asked for again begins; the run before sealed its last entry at `sealed`.
    pub fn was_off(&mut self, source: &SourceId, sealed: Timestamp, now: Timestamp) {
        let since = Timestamp(sealed.0 - UNSEALED_SECONDS * Timestamp::SECOND).min(now);
        let known = self.sources.entry(source.clone()).or_default();
        known.hole(Trouble::Off, since, Some(now));
        self.told.push(Told::Over {
            source: source.clone(),
            trouble: Trouble::Off,
            since,
            until: now,
        });
    }

    /// Takes what is expected; what was, goes on, and is no longer expected, is told from its beginning.
    pub fn expect(&mut self, pauses: &Pauses, now: Timestamp) {
        let held: BTreeMap<SourceId, (Timestamp, String)> = pauses
            .holding(now)
            .map(|held| {
                let pause = &held.pause;
                let why = format!(
                    "{} expects it until {}: {}",
                    pause.by.name, pause.until, pause.reason
                );
                (SourceId(pause.source.clone()), (pause.until, why))
            })
            .collect();
        for source in held.keys() {
            self.sources.entry(source.clone()).or_default();
        }
        let mut over = Vec::new();
        for (source, known) in &mut self.sources {
            known.paused = held.get(source).cloned();
            if known.paused.is_none() && !known.withheld.is_empty() {
                over.push((source.clone(), std::mem::take(&mut known.withheld)));
            }
        }
        for (source, withheld) in over {
            self.end(&source, Trouble::Paused, now);
            for (trouble, (since, why)) in withheld {
                self.begin(&source, trouble, since, &why);
            }
        }
    }

    /// Looks who is silent; gives all that is to be told.
    pub fn look(&mut self, now: Timestamp) -> Vec<Told> {
        let awake: Vec<SourceId> = self
            .sources
            .iter()
            .filter(|(_, known)| {
                known
                    .last
                    .is_some_and(|last| now.seconds_since(last) <= AWAKE_SECONDS)
            })
            .map(|(source, _)| source.clone())
            .collect();
        let silent: Vec<(SourceId, Timestamp, String)> = self
            .sources
            .iter()
            .filter_map(|(source, known)| {
                let (last, patience) = (known.last?, known.patience(now)?);
                let sibling = awake.iter().find(|awake| *awake != source)?;
                let is_open = known.open.contains_key(&Trouble::Silent);
                if is_open || now.seconds_since(last) < patience {
                    return None;
                }
                let why = format!(
                    "it never paused {patience} s of late; {} goes on",
                    sibling.0
                );
                Some((source.clone(), last, why))
            })
            .collect();
        for (source, since, why) in silent {
            self.begin(&source, Trouble::Silent, since, &why);
        }
        std::mem::take(&mut self.told)
    }

    /// The holes of a source, in order.
    pub fn holes(&self, source: &SourceId) -> impl Iterator<Item = &Hole> {
        self.sources
            .get(source)
            .into_iter()
            .flat_map(|known| &known.holes)
    }

    fn begin(&mut self, source: &SourceId, trouble: Trouble, since: Timestamp, why: &str) {
        let known = self.sources.entry(source.clone()).or_default();
        if known.open.contains_key(&trouble) {
            return;
        }
        if let Some((_, expected)) = known.paused.clone().filter(|_| trouble.can_be_expected()) {
            let withheld = known.withheld.entry(trouble);
            withheld.or_insert_with(|| (since, why.to_owned()));
            self.begin(source, Trouble::Paused, since, &expected);
            return;
        }
        known.open.insert(trouble, since);
        known.hole(trouble, since, None);
        self.told.push(Told::Began {
            source: source.clone(),
            trouble,
            since,
            why: why.to_owned(),
        });
    }

    fn end(&mut self, source: &SourceId, trouble: Trouble, until: Timestamp) {
        let Some(known) = self.sources.get_mut(source) else {
            return;
        };
        if known.withheld.remove(&trouble).is_some() && known.withheld.is_empty() {
            self.end(source, Trouble::Paused, until);
            return;
        }
        let Some(since) = known.open.remove(&trouble) else {
            return;
        };
        if let Some(hole) = known
            .holes
            .iter_mut()
            .rev()
            .find(|hole| hole.trouble == trouble && hole.until.is_none())
        {
            hole.until = Some(until);
        }
        self.told.push(Told::Over {
            source: source.clone(),
            trouble,
            since,
            until,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, Told, Trouble};
    use crate::pause::{Pause, Pauses};
    use model::{SourceId, Timestamp};

    fn source(name: &str) -> SourceId {
        SourceId(name.to_owned())
    }

    /// Two sources that give something every ten seconds, up to `until`.
    fn awake(until: i64) -> Health {
        let mut health = Health::default();
        for second in (0..until).step_by(10) {
            health.gave(&source("a"), Timestamp::from_seconds(second));
            health.gave(&source("b"), Timestamp::from_seconds(second));
        }
        health
    }

    /// Seconds after which `a` is told to be silent while `b` goes on giving as `b_goes_on` says.
    #[track_caller]
    fn check(b_goes_on: bool, expected: Option<i64>) {
        let mut health = awake(4000);
        let mut found = None;
        for second in (4000..6000).step_by(10) {
            let now = Timestamp::from_seconds(second);
            if b_goes_on {
                health.gave(&source("b"), now);
            }
            for told in health.look(now) {
                assert!(
                    matches!(&told, Told::Began { source, trouble: Trouble::Silent, since, .. }
                        if source.0 == "a" && *since == Timestamp::from_seconds(3990)),
                    "{told:?}"
                );
                assert!(found.is_none(), "told twice");
                found = Some(second - 3990);
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn silence_is_judged_by_siblings() {
        check(true, Some(300));
        // A shop that sleeps.
        check(false, None);
    }

    #[test]
    fn a_silence_that_ends_is_a_hole_with_both_ends() {
        let mut health = awake(4000);
        for second in (4000..5000).step_by(10) {
            health.gave(&source("b"), Timestamp::from_seconds(second));
            drop(health.look(Timestamp::from_seconds(second)));
        }
        health.gave(&source("a"), Timestamp::from_seconds(5000));
        let told = health.look(Timestamp::from_seconds(5000));
        assert_eq!(
            told,
            [Told::Over {
                source: source("a"),
                trouble: Trouble::Silent,
                since: Timestamp::from_seconds(3990),
                until: Timestamp::from_seconds(5000),
            }]
        );
        let holes: Vec<_> = health.holes(&source("a")).collect();
        assert_eq!(holes.len(), 1);
        assert_eq!(holes[0].until, Some(Timestamp::from_seconds(5000)));
    }

    /// What is expected of `a`, said at `from` for the time until `until`.
    fn paused(from: i64, until: i64) -> Pauses {
        let mut pauses = Pauses::default();
        pauses.take(Pause {
            source: "a".to_owned(),
            by: model::Person {
                account: "l".to_owned(),
                name: "Lea".to_owned(),
            },
            at: Timestamp::from_seconds(from),
            until: Timestamp::from_seconds(until),
            reason: "the database is moved".to_owned(),
        });
        pauses
    }

    /// What is told of `a`, which gives nothing from 4000 s on while `b` goes on, until `a_is_back`: kind, since, and when.
    fn told_of((said, until): (i64, i64), fails: bool, a_is_back: i64) -> Vec<(String, i64, i64)> {
        let (nothing, pauses) = (Pauses::default(), paused(said, until));
        let (mut health, mut out) = (awake(4000), Vec::new());
        let seconds = |time: Timestamp| time.0 / Timestamp::SECOND;
        for second in (4000..9000).step_by(10) {
            let now = Timestamp::from_seconds(second);
            health.expect(if second < said { &nothing } else { &pauses }, now);
            health.gave(&source("b"), now);
            if second >= a_is_back {
                health.gave(&source("a"), now);
            }
            if fails && second == 4100 {
                health.works(&source("a"), Some("refused"), now);
            }
            if fails && second == a_is_back {
                health.works(&source("a"), None, now);
            }
            for told in health.look(now) {
                let (kind, since) = match told {
                    Told::Began { trouble, since, .. } => (trouble.name().to_owned(), since),
                    Told::Over { trouble, since, .. } => {
                        (format!("{} over", trouble.name()), since)
                    }
                    Told::Lost { since, .. } => ("lost".to_owned(), since),
                };
                out.push((kind, seconds(since), second));
            }
        }
        out
    }

    #[track_caller]
    fn expects(pauses: (i64, i64), fails: bool, a_is_back: i64, expected: &[(&str, i64, i64)]) {
        let told = told_of(pauses, fails, a_is_back);
        let told: Vec<_> = told
            .iter()
            .map(|(kind, since, at)| (kind.as_str(), *since, *at))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_expected_is_a_hole_and_what_outlasts_it_is_told_from_its_beginning() {
        // Back in time: a hole with both ends, and nothing that a rule looks for.
        let pause = (3900, 7000);
        let (began, over) = (("paused", 3990, 4290), ("paused over", 3990, 6000));
        expects(pause, false, 6000, &[began, over]);
        // Not back in time: told as soon as the time is over, as a silence that began when it did.
        let late = [
            began,
            ("paused over", 3990, 7000),
            ("silent", 3990, 7000),
            ("silent over", 3990, 8000),
        ];
        expects(pause, false, 8000, &late);
        // What doesn't work is expected, too.
        let fails = [("paused", 4100, 4100), ("paused over", 4100, 6000)];
        expects(pause, true, 6000, &fails);
        let late = [
            ("paused", 4100, 4100),
            ("paused over", 4100, 7000),
            ("silent", 3990, 7000),
            ("failing", 4100, 7000),
            ("silent over", 3990, 8000),
            ("failing over", 4100, 8000),
        ];
        expects(pause, true, 8000, &late);
        // What was told before somebody expected it stays told.
        let after = [("silent", 3990, 4290), ("silent over", 3990, 6000)];
        expects((4400, 7000), false, 6000, &after);
    }

    #[test]
    fn what_is_lost_or_a_clock_that_is_wrong_is_told_whatever_is_expected() {
        let (mut health, at) = (Health::default(), Timestamp::from_seconds);
        health.expect(&paused(0, 7000), at(1));
        health.lost(&source("a"), 3, Some(at(5)), at(6));
        health.said(&source("a"), at(5000), at(10));
        let told = health.look(at(10));
        assert!(
            matches!(
                told.as_slice(),
                [
                    Told::Lost { count: 3, .. },
                    Told::Began {
                        trouble: Trouble::Ahead,
                        ..
                    }
                ]
            ),
            "{told:?}"
        );
    }

    #[test]
    fn one_that_seldom_gives_is_not_judged() {
        let mut health = Health::default();
        for hour in 0..30 {
            health.gave(&source("a"), Timestamp::from_seconds(hour * 3600));
        }
        for second in (0..200_000).step_by(60) {
            let now = Timestamp::from_seconds(30 * 3600 + second);
            health.gave(&source("b"), now);
            assert_eq!(health.look(now), []);
        }
    }

    #[test]
    fn bursts_with_long_pauses_between_them_are_no_silence() {
        let mut health = Health::default();
        for second in 0..40_000 {
            let now = Timestamp::from_seconds(second);
            // Two minutes of every half hour.
            if second % 1800 < 120 {
                health.gave(&source("a"), now);
            }
            if second % 10 == 0 {
                health.gave(&source("b"), now);
                assert_eq!(health.look(now), [], "at {second}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_ahead_is_told_until_it_is_right() {
        let mut health = Health::default();
        let at = Timestamp::from_seconds;
        health.said(&source("a"), at(1100), at(1000));
        assert_eq!(health.look(at(1000)), []);
        health.said(&source("a"), at(4600), at(1000));
        health.said(&source("a"), at(4601), at(1001));
        let told = health.look(at(1001));
        assert!(
            matches!(told.as_slice(), [Told::Began { trouble: Trouble::Ahead, why, .. }] if why.contains("3600 s")),
            "{told:?}"
        );
        health.said(&source("a"), at(1002), at(1002));
        assert!(matches!(
            health.look(at(1002)).as_slice(),
            [Told::Over {
                trouble: Trouble::Ahead,
                ..
            }]
        ));
    }

    #[test]
    fn failing_is_told_once_and_its_end_too() {
        let (mut health, at) = (Health::default(), Timestamp::from_seconds(5));
        health.works(&source("a"), Some("gone"), at);
        health.works(&source("a"), Some("gone"), at);
        assert_eq!(health.look(at).len(), 1);
        health.works(&source("a"), None, at);
        health.works(&source("a"), None, at);
        assert!(matches!(
            health.look(at).as_slice(),
            [Told::Over {
                trouble: Trouble::Failing,
                ..
            }]
        ));
    }

    #[test]
    fn what_is_lost_is_counted_and_a_hole() {
        let (mut health, at) = (Health::default(), Timestamp::from_seconds);
        health.lost(&source("a"), 0, None, at(5));
        assert_eq!(health.look(at(5)), []);
        assert_eq!(health.holes(&source("a")).count(), 0);
        // Without a pause between them: one hole, and one record.
        health.lost(&source("a"), 3, Some(at(5)), at(6));
        health.lost(&source("a"), 4, Some(at(6)), at(7));
        let told = health.look(at(7));
        assert_eq!(
            told,
            [Told::Lost {
                source: source("a"),
                count: 7,
                since: at(5),
                until: at(7),
            }]
        );
        health.lost(&source("a"), 1, Some(at(7)), at(8));
        health.gave(&source("a"), at(20));
        // Who doesn't know since when lost it since he last gave something.
        health.lost(&source("a"), 1, None, at(30));
        let holes: Vec<_> = health
            .holes(&source("a"))
            .map(|hole| (hole.trouble, hole.since, hole.until))
            .collect();
        let lost = Trouble::Lost;
        assert_eq!(
            holes,
            [(lost, at(5), Some(at(8))), (lost, at(20), Some(at(30)))]
        );
        assert_eq!(health.look(at(30)).len(), 2);
    }

    #[test]
    fn a_run_that_ended_leaves_a_hole_where_nothing_can_be_asked_again() {
        let (mut health, at) = (Health::default(), Timestamp::from_seconds);
        health.was_off(&source("a"), at(100), at(160));
        let expected = Told::Over {
            source: source("a"),
            trouble: Trouble::Off,
            since: at(90),
            until: at(160),
        };
        assert_eq!(health.look(at(160)), [expected]);
        assert_eq!(health.holes(&source("a")).count(), 1);
    }
}

//! How far each numbering of a journal was read, and whether a record that comes is new. Pure.
//!
//! `journalctl` merges the files of a journal by time and only goes forward: what comes into one file later than something
//! newer in another was shown, it never shows. Within a numbering no number is left out, so that is seen as soon as
//! the numbering goes on, and the journal is asked again from before the gap.
//! Invariant: of a numbering records are new in order of their numbers, each once.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::place::{Cursor, Numbering, Place};

/// Numberings remembered, the newest ones: those of a journal's files.
pub(super) const NUMBERINGS_MAX: usize = 256;
/// Askings in a row for what a numbering left out that find nothing, until its gaps are taken as they are: those of files that
/// this account may not read, or of a flush to disk.
const FRUITLESS_MAX: u32 = 3;

/// How far back it is looked for what came late: from where reading was that long ago.
const LATE_MAX: Duration = Duration::from_secs(180);
/// How often it is noted where reading is.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// How far a numbering was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The last number.
    pub(super) number: u64,
    /// Where that is, or something before it.
    pub(super) cursor: String,
    /// When the journal took it, in µs since 1970.
    pub(super) micros: u64,
}

impl From<&Cursor> for Mark {
    fn from(cursor: &Cursor) -> Self {
        Self {
            number: cursor.place.number,
            cursor: cursor.text.clone(),
            micros: cursor.micros,
        }
    }
}

/// How far a journal was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Each numbering.
    pub(super) last: BTreeMap<Numbering, Mark>,
    /// The record that came last, whatever its numbering; from the journal's start without one.
    pub(super) end: Option<Cursor>,
}

impl Progress {
    /// Takes a record as read.
    pub(super) fn take(&mut self, cursor: &Cursor) {
        self.last.insert(cursor.place.numbering, cursor.into());
        if self.last.len() > NUMBERINGS_MAX {
            let oldest = self.last.iter().min_by_key(|(_, mark)| mark.micros);
            if let Some(numbering) = oldest.map(|(numbering, _)| *numbering) {
                self.last.remove(&numbering);
            }
        }
        self.end = Some(cursor.clone());
    }
}

/// Where reading was of late.
#[derive(Debug, Default)]
pub(super) struct Trail(VecDeque<(Instant, Cursor)>);

impl Trail {
    /// Notes where it is.
    pub(super) fn note(&mut self, now: Instant, end: &Cursor) {
        let is_due = |(at, _): &(Instant, Cursor)| now.saturating_duration_since(*at) >= NOTE_EVERY;
        if self.0.back().is_none_or(is_due) {
            self.0.push_back((now, end.clone()));
        }
        // The last one that is old enough stays.
        let is_old = |(at, _): &(Instant, Cursor)| now.saturating_duration_since(*at) >= LATE_MAX;
        while self.0.get(1).is_some_and(is_old) {
            self.0.pop_front();
        }
    }

    /// From where it is looked for what came late.
    pub(super) fn begin(&self) -> Option<&Cursor> {
        self.0.front().map(|(_, cursor)| cursor)
    }
}

/// Why the journal is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// To go on behind what was read last.
    Start,
    /// For what a numbering left out.
    Gap,
    /// For what came late and was followed by nothing.
    Sweep,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// Read before.
    Known,
    /// New.
    New,
    /// New, and some before it are gone that nobody read.
    NewAfter {
        /// How many at least.
        lost: u64,
    },
    /// Something before it wasn't shown: ask again from this cursor on.
    Again(String),
}

/// Tells of each record that one asking shows what it is.
#[derive(Debug)]
pub(super) struct Gate {
    /// The record from which on was asked, until its numbering is behind it.
    asked: Option<Place>,
    why: Why,
    /// Whether that record is still there.
    is_there: bool,
    /// Whether it must come first.
    must_be_first: bool,
    /// Whether the journal is shown from its start.
    from_start: bool,
}

impl Gate {
    /// Of an asking from `cursor` on, the record there included.
    pub(super) fn new(cursor: Option<&str>, why: Why) -> Self {
        Self {
            asked: cursor.and_then(Place::read),
            why,
            is_there: false,
            must_be_first: why == Why::Start && cursor.is_some(),
            from_start: cursor.is_none(),
        }
    }

    /// What the record that comes next is. `fruitless`: how often each numbering was asked for in vain.
    pub(super) fn is(
        &mut self,
        next: &Cursor,
        progress: &Progress,
        fruitless: &mut BTreeMap<Numbering, u32>,
    ) -> Is {
        let place = next.place;
        self.is_there |= self.asked == Some(place);
        let is_lost = std::mem::take(&mut self.must_be_first) && !self.is_there;
        let mark = progress.last.get(&place.numbering);
        let known = mark.map_or(0, |mark| mark.number);
        let Some(missing) = place.number.checked_sub(known + 1) else {
            return Is::Known;
        };
        let is_asked = self
            .asked
            .is_some_and(|asked| asked.numbering == place.numbering);
        let tries = fruitless.get(&place.numbering).copied().unwrap_or(0);
        if is_asked {
            // From here on a gap of this numbering is another one.
            self.asked = None;
            let is_gone = !self.is_there && mark.is_some() && self.why != Why::Sweep;
            match missing {
                0 => {
                    fruitless.remove(&place.numbering);
                    return Is::New;
                }
                // What was vacuumed was the oldest: all of these were behind it.
                lost if is_gone => return Is::NewAfter { lost },
                _ if self.why == Why::Gap => {
                    if fruitless.len() >= NUMBERINGS_MAX {
                        fruitless.clear();
                    }
                    fruitless.insert(place.numbering, tries + 1);
                    return Is::New;
                }
                _ => {}
            }
        }
        if missing > 0 && tries < FRUITLESS_MAX && !(self.from_start && mark.is_none()) {
            let first = Place { number: 1, ..place };
            return Is::Again(mark.map_or_else(|| first.cursor(), |mark| mark.cursor.clone()));
        }
        if is_lost {
            // Another numbering, or another journal: how many there were nobody knows.
            return Is::NewAfter { lost: 1 };
        }
        Is::New
    }
}

#[cfg(test)]
mod tests {
    use super::{FRUITLESS_MAX, Gate, Is, NUMBERINGS_MAX, Progress, Trail, Why};
    use crate::journald::place::Cursor;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::{Duration, Instant};

    fn cursor(numbering: u8, number: u64) -> Cursor {
        let micros = number * 10;
        let text = format!("s={numbering:032x};i={number:x};t={micros:x}");
        Cursor::read(&text).expect("a cursor")
    }

    fn read(records: &[(u8, u64)]) -> Progress {
        let mut progress = Progress::default();
        for (numbering, number) in records {
            progress.take(&cursor(*numbering, *number));
        }
        progress
    }

    /// What each record is, after `before` was read, when asked from `from` on.
    #[track_caller]
    fn check(before: &[(u8, u64)], from: Option<(u8, u64)>, why: Why, records: &[((u8, u64), Is)]) {
        let (mut progress, mut fruitless) = (read(before), BTreeMap::new());
        let from = from.map(|(numbering, number)| cursor(numbering, number).text);
        let mut gate = Gate::new(from.as_deref(), why);
        for ((numbering, number), expected) in records {
            let next = cursor(*numbering, *number);
            let is = gate.is(&next, &progress, &mut fruitless);
            assert_eq!(is, *expected, "{numbering}/{number}");
            if matches!(is, Is::New | Is::NewAfter { .. }) {
                progress.take(&next);
            }
        }
    }

    #[test]
    fn each_record_is_new_once() {
        let first = [((1, 1), Is::New), ((2, 5), Is::New), ((1, 2), Is::New)];
        check(&[], None, Why::Start, &first);
        let before = [(1, 1), (2, 5), (1, 2)];
        let then = [((1, 2), Is::Known), ((1, 3), Is::New), ((2, 6), Is::New)];
        check(&before, Some((1, 2)), Why::Start, &then);
        // A numbering that begins meanwhile.
        check(
            &before,
            Some((1, 2)),
            Why::Start,
            &[((1, 2), Is::Known), ((3, 1), Is::New)],
        );
    }

    #[test]
    fn what_was_not_shown_is_asked_for_again() {
        let again = |numbering, number| Is::Again(cursor(numbering, number).text);
        let before = [(2, 5), (1, 2)];
        check(
            &before,
            Some((1, 2)),
            Why::Start,
            &[((1, 2), Is::Known), ((2, 7), again(2, 5))],
        );
        let then = [
            ((2, 5), Is::Known),
            ((2, 6), Is::New),
            ((1, 2), Is::Known),
            ((2, 7), Is::New),
        ];
        check(&before, Some((2, 5)), Why::Gap, &then);
        // It isn't there, either; the next gap is another one.
        let then = [
            ((2, 5), Is::Known),
            ((2, 7), Is::New),
            ((2, 8), Is::New),
            ((2, 10), again(2, 8)),
        ];
        check(&before, Some((2, 5)), Why::Gap, &then);
        // A numbering of which the first record that is shown isn't the first.
        let first = Is::Again("s=00000000000000000000000000000003;i=1".to_owned());
        check(
            &before,
            Some((1, 2)),
            Why::Start,
            &[((1, 2), Is::Known), ((3, 4), first)],
        );
        let then = [((3, 4), Is::New), ((3, 5), Is::New)];
        check(&before, Some((3, 1)), Why::Gap, &then);
    }

    #[test]
    fn a_gap_behind_the_last_record_may_be_one_that_comes_late() {
        let again = Is::Again(cursor(1, 2).text);
        for why in [Why::Start, Why::Sweep] {
            let then = [((1, 2), Is::Known), ((1, 4), again.clone())];
            check(&[(1, 2)], Some((1, 2)), why, &then);
        }
        // Of what was read before a sweep the oldest may be gone.
        check(
            &[(1, 1), (1, 5)],
            Some((1, 1)),
            Why::Sweep,
            &[((1, 5), Is::Known), ((1, 6), Is::New)],
        );
    }

    #[test]
    fn what_was_vacuumed_unread_is_told() {
        let lost = |lost| Is::NewAfter { lost };
        check(
            &[(1, 5)],
            Some((1, 5)),
            Why::Start,
            &[((1, 9), lost(3)), ((1, 10), Is::New)],
        );
        // Only the one read last is gone.
        check(&[(1, 5)], Some((1, 5)), Why::Start, &[((1, 6), Is::New)]);
        // A journal begun anew.
        check(
            &[(1, 5)],
            Some((1, 5)),
            Why::Start,
            &[((2, 1), lost(1)), ((2, 2), Is::New)],
        );
        // While it ran: asked for again, and gone.
        let before = [(2, 5), (1, 2)];
        check(
            &before,
            Some((2, 5)),
            Why::Gap,
            &[((1, 2), Is::Known), ((1, 3), Is::New), ((2, 9), lost(3))],
        );
    }

    #[test]
    fn gaps_that_stay_are_taken_as_they_are_in_the_end() {
        let (mut progress, mut fruitless) = (read(&[(1, 1)]), BTreeMap::new());
        let mut askings = 0;
        for number in (3..100).step_by(2) {
            let next = cursor(1, number);
            let mut gate = Gate::new(Some(&cursor(2, 1).text), Why::Sweep);
            if let Is::Again(from) = gate.is(&next, &progress, &mut fruitless) {
                askings += 1;
                let mut gate = Gate::new(Some(&from), Why::Gap);
                let there = Cursor::read(&from).expect("a cursor");
                assert_eq!(gate.is(&there, &progress, &mut fruitless), Is::Known);
                assert_eq!(gate.is(&next, &progress, &mut fruitless), Is::New);
            }
            progress.take(&next);
        }
        assert_eq!(askings, FRUITLESS_MAX);
    }

    #[test]
    fn the_newest_numberings_are_remembered() {
        let mut progress = Progress::default();
        for numbering in 0..=255 {
            progress.take(&cursor(numbering, u64::from(numbering) + 2));
        }
        let mut one_more = cursor(7, 1000);
        one_more.place.numbering = [9; 16];
        progress.take(&one_more);
        assert_eq!(progress.last.len(), NUMBERINGS_MAX);
        let oldest = cursor(0, 2).place.numbering;
        assert!(!progress.last.contains_key(&oldest));
    }

    #[test]
    fn three_minutes_back_are_looked_through() {
        let (mut trail, begin) = (Trail::default(), Instant::now());
        assert_eq!(trail.begin(), None);
        for second in 0..1000 {
            // Reading goes on for five minutes, and then nothing comes.
            let end = cursor(1, second.min(300) + 1);
            trail.note(begin + Duration::from_secs(second), &end);
            let back = trail.begin().expect("noted").place.number - 1;
            let expected = second.saturating_sub(180).min(300);
            assert!(
                back <= expected && expected - back <= 10,
                "{second}: {back}"
            );
        }
        assert!(trail.0.len() < 25, "{}", trail.0.len());
    }

    proptest! {
        /// Whatever order a journal's records become visible in, asking again shows each once and in order.
        #[test]
        fn late_records_are_read_once_and_none_is_left_out(late in prop::collection::vec(0_u64..40, 1..60)) {
            // Record `at` belongs to one of three numberings, has time `at`, and is visible from `at + late` on.
            let mut counts = [0_u64; 3];
            let mut until = [0_u64; 3];
            let records: Vec<(Cursor, u64)> = late.iter().enumerate().map(|(at, late)| {
                let numbering = at * 7 % 3;
                counts[numbering] += 1;
                let text = format!("s={numbering:032x};i={:x};t={at:x}", counts[numbering]);
                // A file grows in order.
                until[numbering] = until[numbering].max(at as u64 + late);
                (Cursor::read(&text).expect("a cursor"), until[numbering])
            }).collect();
            let (mut progress, mut fruitless, mut found) = (Progress::default(), BTreeMap::new(), Vec::new());
            let (mut clock, mut from, mut why) = (0_u64, None::<String>, Why::Start);
            // Asked again at each tick, as if the program ended: what isn't visible yet is passed by.
            while clock < 200 {
                let mut gate = Gate::new(from.as_deref(), why);
                let begin = from.as_deref().and_then(Cursor::read).map_or(0, |cursor| cursor.micros);
                let (mut again, mut shown) = (None, begin);
                for (cursor, visible) in &records {
                    if cursor.micros < shown || *visible > clock { continue; }
                    shown = cursor.micros;
                    match gate.is(cursor, &progress, &mut fruitless) {
                        Is::Known => {}
                        Is::New => { found.push(cursor.text.clone()); progress.take(cursor); }
                        Is::NewAfter { .. } => prop_assert!(false, "nothing was lost"),
                        Is::Again(cursor) => { again = Some(cursor); break; }
                    }
                }
                (from, why) = match again {
                    Some(cursor) => (Some(cursor), Why::Gap),
                    None => { clock += 1; (progress.end.as_ref().map(|end| end.text.clone()), Why::Start) }
                };
            }
            // From the start once more, for numberings that went on no more.
            let mut gate = Gate::new(None, Why::Sweep);
            for (cursor, _) in &records {
                if gate.is(cursor, &progress, &mut fruitless) == Is::New { found.push(cursor.text.clone()); progress.take(cursor); }
            }
            let all: BTreeSet<_> = records.iter().map(|(cursor, _)| cursor.text.clone()).collect();
            prop_assert_eq!(found.len(), all.len(), "each once");
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all);
        }
    }
}

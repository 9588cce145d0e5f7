//! How far the journal was read at each of the last deliveries, kept so that a start finds how far it is sealed.
//!
//! The ledger tells the place of the record that was sealed last, and no more. What a delivery holds is written down before it is
//! handed over, and in a delivery records stand in order of their numberings: so the place says what of it is sealed.
//! Kept under a code that only this installation can make. Losing it costs a look at the journal from its start, and of a
//! journal with several numberings records that are sealed twice.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use super::place::{Cursor, Numbering, Place};
use super::progress::{Mark, NUMBERINGS_MAX, Progress};
use crate::SourceError;
use crate::baseline;

/// Deliveries remembered: more than there can be between reading and sealing.
const STEPS_MAX: usize = 64;

/// What one delivery brings.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// The record in it that is sealed last; none in the first step, which is all that came before.
    pub(super) given: Option<Cursor>,
    /// The record that came last.
    pub(super) end: Option<Cursor>,
    /// How far each numbering in it was read.
    pub(super) last: BTreeMap<Numbering, Cursor>,
}

impl Step {
    /// Takes what comes after it.
    pub(super) fn then(&mut self, next: Self) {
        self.given = next.given.or(self.given.take());
        self.end = next.end.or(self.end.take());
        self.last.extend(next.last);
    }

    /// Its cursors as they are written: the one given, the one that came last, those of the numberings.
    fn texts(&self) -> Vec<String> {
        let text = |cursor: &Option<Cursor>| cursor.as_ref().map_or("", |one| &one.text).to_owned();
        let mut texts = vec![text(&self.given), text(&self.end)];
        texts.extend(self.last.values().map(|cursor| cursor.text.clone()));
        texts
    }

    fn read(texts: &[String]) -> Option<Self> {
        let (given, rest) = texts.split_first()?;
        let (end, last) = rest.split_first()?;
        let last = last.iter().map(|text| Cursor::read(text));
        Some(Self {
            given: Cursor::read(given),
            end: Cursor::read(end),
            last: last
                .map(|cursor| cursor.map(|cursor| (cursor.place.numbering, cursor)))
                .collect::<Option<_>>()?,
        })
    }
}

/// The last deliveries.
pub(super) struct Kept {
    path: PathBuf,
    key: [u8; 32],
    /// Never empty.
    steps: VecDeque<Step>,
}

impl Kept {
    /// Reads them; none where there are none, or where somebody else wrote them.
    pub(super) fn load(path: &Path, key: &[u8; 32]) -> Result<Self, SourceError> {
        let known = match baseline::load::<Vec<String>>(path, key)? {
            baseline::Kept::Whole(known) => known,
            baseline::Kept::None | baseline::Kept::Changed => BTreeMap::new(),
        };
        let steps: Option<VecDeque<Step>> = known.values().map(|texts| Step::read(texts)).collect();
        Ok(Self {
            path: path.to_owned(),
            key: *key,
            steps: steps
                .filter(|steps| !steps.is_empty())
                .unwrap_or_else(|| VecDeque::from([Step::default()])),
        })
    }

    /// Notes what is about to be handed over, durably.
    pub(super) fn note(&mut self, step: Step) -> Result<(), SourceError> {
        let mut steps = self.steps.clone();
        steps.push_back(step);
        if steps.len() > STEPS_MAX
            && let Some(mut first) = steps.pop_front()
            && let Some(second) = steps.front_mut()
        {
            first.then(std::mem::take(second));
            while first.last.len() > NUMBERINGS_MAX {
                let oldest = first.last.values().min_by_key(|cursor| cursor.micros);
                let oldest = oldest.map(|cursor| cursor.place.numbering);
                oldest.and_then(|numbering| first.last.remove(&numbering));
            }
            *second = first;
        }
        self.save(steps)
    }

    /// Notes what was read beyond the last delivery, and is none of what is wanted.
    pub(super) fn pass(&mut self, step: Step) -> Result<(), SourceError> {
        let mut steps = self.steps.clone();
        if let Some(last) = steps.back_mut() {
            last.then(step);
        }
        self.save(steps)
    }

    fn save(&mut self, steps: VecDeque<Step>) -> Result<(), SourceError> {
        let texts: BTreeMap<String, Vec<String>> = steps
            .iter()
            .enumerate()
            .map(|(at, step)| (format!("{at:04}"), step.texts()))
            .collect();
        baseline::save(&self.path, &baseline::write(&self.key, &texts))?;
        self.steps = steps;
        Ok(())
    }

    /// Where reading was some deliveries ago.
    pub(super) fn before(&self) -> Option<&Cursor> {
        self.steps.iter().find_map(|step| step.end.as_ref())
    }

    /// How far the journal is sealed, as the ledger's last record of it tells.
    pub(super) fn sealed(&self, sealed: Option<Place>) -> Progress {
        let mut progress = Progress::default();
        let Some(sealed) = sealed else {
            return progress;
        };
        for (at, step) in self.steps.iter().enumerate() {
            if step.given.as_ref().map(|cursor| cursor.place) == Some(sealed) {
                whole(&mut progress, step);
                return progress;
            }
            let known = progress.last.get(&sealed.numbering);
            let read = step.last.get(&sealed.numbering);
            if at > 0
                && known.is_none_or(|mark| mark.number < sealed.number)
                && read.is_some_and(|cursor| cursor.place.number >= sealed.number)
            {
                let before = step.last.range(..sealed.numbering);
                let before = before.map(|(numbering, cursor)| (*numbering, cursor.into()));
                progress.last.extend(before);
                up_to(&mut progress, sealed);
                return progress;
            }
            whole(&mut progress, step);
        }
        // These are of another time, or lost.
        let mut progress = Progress::default();
        up_to(&mut progress, sealed);
        progress
    }
}

/// All of a delivery is sealed.
fn whole(progress: &mut Progress, step: &Step) {
    let last = step.last.iter();
    progress
        .last
        .extend(last.map(|(numbering, cursor)| (*numbering, cursor.into())));
    progress.end = step.end.clone().or(progress.end.take());
}

/// A numbering is sealed up to a place, whose cursor isn't known: one before it does.
fn up_to(progress: &mut Progress, sealed: Place) {
    let mark = progress
        .last
        .entry(sealed.numbering)
        .or_insert_with(|| Mark {
            number: 0,
            cursor: sealed.cursor(),
            micros: 0,
        });
    mark.number = sealed.number;
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Kept, Place, STEPS_MAX, Step};
    use std::collections::BTreeMap;

    fn cursor(numbering: u8, number: u64) -> Cursor {
        let text = format!("s={numbering:032x};i={number:x};t={number:x}");
        Cursor::read(&text).expect("a cursor")
    }

    /// A delivery: of each numbering the last record; the greatest numbering's is sealed last.
    fn step(last: &[(u8, u64)], end: (u8, u64)) -> Step {
        let last: BTreeMap<_, _> = last
            .iter()
            .map(|(numbering, number)| cursor(*numbering, *number))
            .map(|cursor| (cursor.place.numbering, cursor))
            .collect();
        Step {
            given: last.values().next_back().cloned(),
            end: Some(cursor(end.0, end.1)),
            last,
        }
    }

    #[track_caller]
    fn check(kept: &Kept, sealed: (u8, u64), last: &[(u8, u64)], end: Option<(u8, u64)>) {
        let progress = kept.sealed(Some(cursor(sealed.0, sealed.1).place));
        let found: Vec<_> = progress
            .last
            .iter()
            .map(|(numbering, mark)| (numbering[15], mark.number))
            .collect();
        assert_eq!(found, last, "{sealed:?}");
        let end = end.map(|(numbering, number)| cursor(numbering, number));
        assert_eq!(progress.end, end, "{sealed:?}");
    }

    fn three() -> [Step; 3] {
        [
            step(&[(1, 5), (2, 3)], (1, 5)),
            step(&[(1, 9), (2, 6), (3, 2)], (2, 6)),
            step(&[(2, 8)], (2, 8)),
        ]
    }

    #[test]
    fn a_start_finds_what_is_sealed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cursors");
        let load = || Kept::load(&path, &[1; 32]).expect("reads");
        let mut kept = load();
        check(&kept, (1, 5), &[(1, 5)], None);
        for step in three() {
            kept.note(step).expect("noted");
        }
        let kept = load();
        assert_eq!(
            kept.sealed(None),
            super::Progress::default(),
            "nothing is sealed"
        );
        // Whole deliveries.
        check(&kept, (2, 3), &[(1, 5), (2, 3)], Some((1, 5)));
        check(&kept, (3, 2), &[(1, 9), (2, 6), (3, 2)], Some((2, 6)));
        check(&kept, (2, 8), &[(1, 9), (2, 8), (3, 2)], Some((2, 8)));
        // Parts of one, the very first too.
        check(&kept, (1, 4), &[(1, 4)], None);
        check(&kept, (2, 2), &[(1, 5), (2, 2)], None);
        check(&kept, (1, 7), &[(1, 7), (2, 3)], Some((1, 5)));
        check(&kept, (1, 9), &[(1, 9), (2, 3)], Some((1, 5)));
        check(&kept, (2, 6), &[(1, 9), (2, 6)], Some((1, 5)));
        check(&kept, (3, 1), &[(1, 9), (2, 6), (3, 1)], Some((1, 5)));
        check(&kept, (2, 7), &[(1, 9), (2, 7), (3, 2)], Some((2, 6)));
        // Of another time.
        check(&kept, (4, 4), &[(4, 4)], None);
        check(&kept, (2, 9), &[(2, 9)], None);
        // What somebody else wrote counts for nothing.
        let text = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, text.replace("i=6", "i=7")).expect("written");
        check(&load(), (2, 3), &[(2, 3)], None);
    }

    #[test]
    fn what_is_passed_by_counts_once_the_delivery_before_is_sealed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kept = Kept::load(&folder.path().join("cursors"), &[1; 32]).expect("reads");
        kept.note(step(&[(1, 5)], (1, 5))).expect("noted");
        let passed = Step {
            given: None,
            ..step(&[(1, 8), (2, 2)], (2, 2))
        };
        kept.pass(passed).expect("noted");
        check(&kept, (1, 5), &[(1, 8), (2, 2)], Some((2, 2)));
        check(&kept, (1, 4), &[(1, 4)], None);
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cursors");
        let mut kept = Kept::load(&path, &[1; 32]).expect("reads");
        kept.note(step(&[(7, 1)], (7, 1))).expect("noted");
        for number in 1..=STEPS_MAX as u64 + 10 {
            kept.note(step(&[(1, number)], (1, number))).expect("noted");
        }
        let kept = Kept::load(&path, &[1; 32]).expect("reads");
        assert_eq!(kept.steps.len(), STEPS_MAX);
        let newest = STEPS_MAX as u64 + 10;
        check(
            &kept,
            (1, newest),
            &[(1, newest), (7, 1)],
            Some((1, newest)),
        );
        check(
            &kept,
            (1, newest - 20),
            &[(1, newest - 20), (7, 1)],
            Some((1, newest - 20)),
        );
        // Longer ago than is remembered.
        check(&kept, (1, 3), &[(1, 3)], None);
        let place = Place {
            numbering: cursor(1, 3).place.numbering,
            number: 3,
        };
        let mark = kept.sealed(Some(place)).last.into_values().next();
        assert_eq!(mark.expect("one").cursor, place.cursor());
    }
}

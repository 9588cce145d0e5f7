//! When changes are told: at once, one by one when it is quiet, or as a release; and judging anew what didn't change itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Field;
use sha2::{Digest as _, Sha256};

use super::packages::{Found, Hash, Judged, Known};
use super::record::{Crowd, is_foreign_code};
use super::scan::{FoundContent, ReadFile};
use super::{BATCH, Tree, layout};
use crate::SourceError;
use crate::source::Hand;

/// Changes of deployed files that wait for others to come with them.
const QUIET: Duration = Duration::from_secs(3);
/// How long they wait at most.
const GATHER_MAX: Duration = Duration::from_secs(60);
/// Paths of a release named in its record.
const NAMED_MAX: usize = 50;
/// How long nothing of the shop's code changed before files that stayed are judged by packages that are other now:
/// composer writes down what it will install long before it does.
const QUIET_TO_JUDGE: Duration = Duration::from_secs(900);
/// How often it is looked whether they are other.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A change that waits for others to come with it.
pub(super) struct Waiting {
    change: &'static str,
    /// `None` when the file went.
    read: Option<ReadFile>,
}

impl Waiting {
    /// What is to be told of both: that a file got other rights later makes what was written in it no less.
    fn after(before: Option<Self>, now: Self) -> Self {
        match (before, now) {
            (
                Some(Self {
                    change,
                    read: Some(before),
                }),
                Self {
                    change: "attributes",
                    read: Some(read),
                },
            ) => Self {
                change,
                read: Some(ReadFile {
                    writer: before.writer,
                    ..read
                }),
            },
            (_, now) => now,
        }
    }
}

/// Changes that wait, and judging that does.
#[derive(Default)]
pub(super) struct Settling {
    waiting: BTreeMap<String, Waiting>,
    /// When the first of them came, and the last.
    since: Option<Instant>,
    last: Option<Instant>,
    /// Packages are other than when files were judged, since then.
    other: Option<Instant>,
    looked: Option<Instant>,
}

impl Settling {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Tree {
    /// Lets a change wait for the release it may be part of.
    pub(super) fn wait(&mut self, name: &str, change: &'static str, read: Option<ReadFile>) {
        let now = Instant::now();
        self.settling.since.get_or_insert(now);
        self.settling.last = Some(now);
        if self.settling.other.is_some() {
            self.settling.other = Some(now);
        }
        let before = self.settling.waiting.remove(name);
        let waiting = Waiting::after(before, Waiting { change, read });
        self.settling.waiting.insert(name.to_owned(), waiting);
    }

    /// Tells what waited, once it is quiet or `now`: one by one, or as a release. False when told to stop.
    pub(super) fn settle(&mut self, hand: &Hand, now: bool) -> Result<bool, SourceError> {
        let (Some(since), Some(last)) = (self.settling.since, self.settling.last) else {
            return Ok(true);
        };
        if !now && last.elapsed() < QUIET && since.elapsed() < GATHER_MAX {
            return Ok(true);
        }
        // Files and what says what they should be come together, in any order.
        self.look_at_packages()?;
        (self.settling.since, self.settling.last) = (None, None);
        let waiting = std::mem::take(&mut self.settling.waiting);
        let mut records = Vec::new();
        if waiting.len() < self.release_files {
            for (name, one) in waiting {
                let judged = self.judge(&name, one.read.as_ref());
                records.push(self.observe(&name, one.change, one.read.as_ref(), &judged));
            }
        } else {
            records = self.release(&waiting);
        }
        Ok(self.give(hand, records))
    }

    /// The record of a release, and of what in it isn't what was distributed.
    fn release(&mut self, waiting: &BTreeMap<String, Waiting>) -> Vec<Vec<u8>> {
        // What the release is: each path and what it holds now, so that two of them can be told to be the same.
        let (mut holds, mut crowd) = (Sha256::new(), Crowd::default());
        let (mut records, mut counts) = (Vec::new(), BTreeMap::<Known, usize>::new());
        for (name, one) in waiting {
            let hash = self.files.get(name).map(|state| state.hash.as_str());
            holds.update(format!("{} {name}\n", hash.unwrap_or("-")));
            let judged = self.judge(name, one.read.as_ref());
            *counts.entry(judged.known).or_default() += 1;
            if let Some(read) = &one.read
                && is_foreign_code(name, &read.content, &judged)
                && crowd.takes(name, &judged)
            {
                records.push(self.observe(name, one.change, Some(read), &judged));
            }
        }
        records.extend(self.rest(crowd));
        let is_first = |path: &&String| layout::is_named_first(layout::class(path));
        let (mut named, rest): (Vec<_>, Vec<_>) = waiting.keys().partition(is_first);
        named.extend(rest);
        let counted: Vec<_> = counts
            .iter()
            .filter(|(known, _)| !known.is_no())
            .map(|(known, count)| format!("{count} {}", known.name()))
            .collect();
        let record = self
            .plain("release", waiting.len())
            .text(Field::FileHash, &Hash::of(holds).to_string())
            .text(Field::Context, &counted.join(", "))
            .list(Field::RowValues, named.into_iter().take(NAMED_MAX))
            .record();
        records.push(record);
        records
    }

    /// Looks at what is installed.
    pub(super) fn look_at_packages(&mut self) -> Result<(), SourceError> {
        self.settling.looked = Some(Instant::now());
        if self.packages.refresh()? {
            self.settling.other = Some(Instant::now());
        }
        Ok(())
    }

    /// Judges files that stayed by packages that are other now, once the shop's code is quiet; tells whether any was.
    pub(super) fn judge_when_quiet(&mut self, hand: &Hand) -> Result<bool, SourceError> {
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if is_due(self.settling.looked) {
            self.look_at_packages()?;
        }
        let is_quiet = |at: Instant| at.elapsed() >= QUIET_TO_JUDGE;
        if !self.settling.is_empty() || !self.settling.other.is_some_and(is_quiet) {
            return Ok(false);
        }
        self.judge_all(hand);
        Ok(true)
    }

    /// Judges every file below `vendor/` that stayed as it is; what is found out to be foreign code is told.
    pub(super) fn judge_all(&mut self, hand: &Hand) {
        self.settling.other = None;
        let stayed: Vec<_> = self
            .files
            .iter()
            .filter(|(name, _)| {
                name.starts_with("vendor/") && !self.settling.waiting.contains_key(*name)
            })
            .map(|(name, state)| (name.clone(), Hash::parse(&state.hash), state.known))
            .collect();
        let reading = Arc::clone(&self.reading);
        let (mut reader, mut crowd) = (reading.reader(), Crowd::default());
        let (mut records, mut verdicts) = (Vec::new(), Vec::new());
        for (name, hash, before) in stayed {
            let path = self.root.join(&name);
            // Of a file with numbers like a card's no hash is kept.
            let read = match hash {
                Some(_) => None,
                None => reader.read(&path),
            };
            let hash = hash.or_else(|| read.as_ref()?.hash);
            let judged = self
                .packages
                .judge(&name, hash.map_or(Found::Unread, Found::Content));
            if judged.known == before {
                continue;
            }
            verdicts.push((name.clone(), judged.known));
            if judged.known.is_foreign() {
                let read = read.or_else(|| reader.read(&path));
                records.extend(self.seen(&name, read.as_ref(), &judged, &mut crowd));
            }
            if records.len() >= BATCH
                && !self.give_verdicts(hand, std::mem::take(&mut records), &mut verdicts)
            {
                return;
            }
        }
        records.extend(self.rest(crowd));
        self.give_verdicts(hand, records, &mut verdicts);
    }

    /// The record of a file that was there before, when it is foreign code and to be named.
    pub(super) fn seen(
        &self,
        name: &str,
        read: Option<&ReadFile>,
        judged: &Judged,
        crowd: &mut Crowd,
    ) -> Option<Vec<u8>> {
        let none = FoundContent::default();
        let content = read.map_or(&none, |read| &read.content);
        (is_foreign_code(name, content, judged) && crowd.takes(name, judged))
            .then(|| self.observe(name, "seen", read, judged))
    }

    /// Hands records over, and only then remembers what they say.
    fn give_verdicts(
        &mut self,
        hand: &Hand,
        records: Vec<Vec<u8>>,
        verdicts: &mut Vec<(String, Known)>,
    ) -> bool {
        let is_given = self.give(hand, records);
        for (name, known) in verdicts.drain(..).filter(|_| is_given) {
            if let Some(state) = self.files.get_mut(&name) {
                state.known = known;
            }
        }
        is_given
    }
}

//! Looks at what changes as it comes, also while something long goes on: a large file holds up no web shell that is put beside it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::stands_alone;
use super::scan::{LARGE_BYTES, ReadFile, Reader, shown};
use super::watch::{Watcher, Why};
use super::{Tree, layout};
use crate::SourceError;
use crate::source::Hand;

/// Who is told, who names what changes, and what reads it.
pub(super) struct Tending<'a> {
    pub(super) hand: &'a Hand,
    pub(super) watcher: &'a Watcher,
    pub(super) reader: Reader<'a>,
}

impl Tree {
    /// Looks at what changed, waiting up to `wait` for it; what takes long is put aside. Tells whether anything did.
    pub(super) fn tend(
        &mut self,
        with: &mut Tending<'_>,
        wait: Duration,
    ) -> Result<bool, SourceError> {
        let changed = with.watcher.wait(wait);
        if changed.overflow || changed.moved {
            self.missed = Some(Why::of(&changed));
        }
        let any = !changed.paths.is_empty();
        let mut records = Vec::new();
        for path in changed.paths {
            self.look(path, &mut with.reader, &mut records);
        }
        self.give(with.hand, records);
        self.settle(with.hand, false)?;
        Ok(any)
    }

    /// Reads a file that takes long, and looks meanwhile at what else changes. `None` as [`Reader::read`], or when told to stop.
    pub(super) fn read_large(
        &mut self,
        path: &Path,
        reader: &mut Reader<'_>,
        with: &mut Tending<'_>,
    ) -> Result<Option<ReadFile>, SourceError> {
        let mut failed = None;
        let read = reader.large(path, &mut || {
            failed = self.tend(with, Duration::ZERO).err();
            failed.is_none() && !with.hand.stopped()
        });
        failed.map_or(Ok(read), Err)
    }

    /// Looks at one path that was put aside, and lets as much time pass as that took: one that is written without end doesn't
    /// take a core for itself.
    pub(super) fn look_at_large(
        &mut self,
        path: &Path,
        with: &mut Tending<'_>,
    ) -> Result<(), SourceError> {
        let (reading, begin) = (Arc::clone(&self.reading), Instant::now());
        let mut records = Vec::new();
        if let Some(read) = self.read_large(path, &mut reading.reader(), with)? {
            self.changed(&shown(&self.root, path), read, &mut records);
        }
        self.give(with.hand, records);
        self.rests = Some(Instant::now() + begin.elapsed());
        Ok(())
    }

    /// Looks at one path that inotify named.
    fn look(&mut self, path: PathBuf, reader: &mut Reader<'_>, records: &mut Vec<Vec<u8>>) {
        let name = shown(&self.root, &path);
        let is_transient = layout::is_transient(&name);
        let is_large = |path: &Path| {
            std::fs::symlink_metadata(path)
                .is_ok_and(|seen| seen.is_file() && seen.size() > LARGE_BYTES)
        };
        if !is_transient && is_large(&path) {
            self.large.insert(path);
            return;
        }
        // These come and go, and grow line by line: they are looked at, not read.
        let read = if is_transient {
            reader.head(&path)
        } else {
            reader.read(&path)
        };
        match read {
            None if std::fs::symlink_metadata(&path).is_err() => self.gone(&name, records),
            None => {}
            Some(read) if !is_transient => drop(self.changed(&name, read, records)),
            Some(mut read) if stands_alone(&name, &read.content) => {
                read.writer = self.writers.of(&read.state);
                let judged = self.judge(&name, Some(&read));
                records.push(self.observe(&name, "created", Some(&read), &judged));
            }
            Some(_) => {}
        }
    }
}

//! Looks at what changes as it comes, also while something long goes on: a large file holds up no web shell that is put beside it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::record::stands_alone;
use super::scan::{LARGE_BYTES, ReadFile, shown};
use super::watch::{Watcher, Why};
use super::{Tree, layout};
use crate::SourceError;
use crate::source::Hand;

impl Tree {
    /// Looks at what changed, waiting up to `wait` for it; what takes long is put aside. Tells whether anything did.
    pub(super) fn tend(
        &mut self,
        hand: &Hand,
        watcher: &Watcher,
        wait: Duration,
    ) -> Result<bool, SourceError> {
        let changed = watcher.wait(wait);
        if changed.overflow || changed.moved {
            self.missed = Some(Why::of(&changed));
        }
        let any = !changed.paths.is_empty();
        let (mut buffer, mut records) = (Vec::new(), Vec::new());
        for path in changed.paths {
            self.look(path, &mut buffer, &mut records);
        }
        self.give(hand, records);
        self.settle(hand, false)?;
        Ok(any)
    }

    /// Reads a file that takes long, and looks meanwhile at what else changes. `None` as [`Reading::read`], or when told to stop.
    pub(super) fn read_large(
        &mut self,
        path: &Path,
        buffer: &mut Vec<u8>,
        hand: &Hand,
        watcher: &Watcher,
    ) -> Result<Option<ReadFile>, SourceError> {
        let reading = Arc::clone(&self.reading);
        let mut failed = None;
        let read = reading.large(path, buffer, &mut || {
            failed = self.tend(hand, watcher, Duration::ZERO).err();
            failed.is_none() && !hand.stopped()
        });
        failed.map_or(Ok(read), Err)
    }

    /// Looks at one path that was put aside.
    pub(super) fn look_at_large(
        &mut self,
        path: &Path,
        hand: &Hand,
        watcher: &Watcher,
    ) -> Result<(), SourceError> {
        let mut records = Vec::new();
        if let Some(read) = self.read_large(path, &mut Vec::new(), hand, watcher)? {
            self.changed(&shown(&self.root, path), read, &mut records);
        }
        self.give(hand, records);
        Ok(())
    }

    /// Looks at one path that inotify named.
    fn look(&mut self, path: PathBuf, buffer: &mut Vec<u8>, records: &mut Vec<Vec<u8>>) {
        let name = shown(&self.root, &path);
        let reading = Arc::clone(&self.reading);
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
            reading.head(&path, buffer)
        } else {
            reading.read(&path, buffer)
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

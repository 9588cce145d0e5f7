//! Follows files as they grow, are renamed, truncated, deleted and come back.
//!
//! Woken by inotify on the folders, with a look at every file at least once a second: a lost wake-up
//! costs a second, never a record. The caller pulls; one call gives at most `CHUNKS_MAX` chunks and
//! nothing else is kept in memory.
//!
//! A generation is device, inode and a hash of the file's first bytes: those it had when its first
//! byte was seen, at most 256. It doesn't change while the file grows, so a later look at the same
//! file tries every length up to 256. An empty file has no generation yet and no records.

mod file;
mod siblings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};
use model::{Generation, Position, SourceId};

use crate::SourceError;
use crate::source::{Chunk, Hand, Source};
use file::Followed;

/// Bytes given at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks given by one call: what bounds the caller's memory.
const CHUNKS_MAX: usize = 64;
/// Longest wait for something new before a look at whether to stop.
const WAIT: Duration = Duration::from_millis(200);
/// Longest pause between two looks while wake-ups come.
const LOOK: Duration = Duration::from_secs(1);
/// Longest pause when none can come, or while an old file is waited for.
const LOOK_SOON: Duration = Duration::from_millis(5);

/// Follows files.
pub struct Follower {
    files: Vec<Followed>,
    alarm: Option<Alarm>,
    /// Which file is looked at first: none can starve the others.
    first: usize,
}

impl Follower {
    /// Follows `files`, going on where `resume` says each one's records are sealed up to: in the
    /// file itself or wherever it was rotated to, then through what was rotated after it. Files and
    /// folders may come later; a file named twice is followed once.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when a path is a folder.
    pub fn new(
        files: Vec<PathBuf>,
        mut resume: BTreeMap<SourceId, (Generation, Position)>,
    ) -> Result<Self, SourceError> {
        let mut followed = Vec::new();
        let mut seen = BTreeSet::new();
        for path in files {
            if path.is_dir() {
                return Err(SourceError::io(&path)(
                    std::io::ErrorKind::IsADirectory.into(),
                ));
            }
            if seen.insert(path.clone()) {
                let source = SourceId(format!("file:{}", path.display()));
                let sealed = resume.remove(&source);
                followed.push(Followed::new(path, source, sealed));
            }
        }
        let mut follower = Self {
            files: followed,
            alarm: Alarm::new(),
            first: 0,
        };
        follower.watch();
        Ok(follower)
    }

    /// Waits up to `timeout` for something new and adds it to `out`, in order for each source; at most 16 MiB.
    ///
    /// # Errors
    ///
    /// None today: what can't be read of one file is [`News::Unreadable`], and the others go on.
    pub fn next(&mut self, timeout: Duration, out: &mut Vec<Chunk>) -> Result<(), SourceError> {
        let (start, had) = (Instant::now(), out.len());
        loop {
            self.look(out);
            let left = timeout.saturating_sub(start.elapsed());
            if out.len() > had || left.is_zero() {
                return Ok(());
            }
            self.wait(left);
        }
    }

    fn look(&mut self, out: &mut Vec<Chunk>) {
        let (now, mut budget) = (Instant::now(), CHUNKS_MAX);
        let count = self.files.len().max(1);
        for index in 0..count {
            if let Some(file) = self.files.get_mut((self.first + index) % count) {
                file.step(now, &mut budget, out);
            }
        }
        self.first = (self.first + 1) % count;
    }

    fn wait(&mut self, left: Duration) {
        let soon = self.files.iter().any(Followed::is_in_transition);
        let Some(alarm) = self
            .alarm
            .as_ref()
            .filter(|alarm| !alarm.watched.is_empty())
        else {
            std::thread::sleep(left.min(LOOK_SOON));
            return self.watch();
        };
        let pause = left.min(if soon { LOOK_SOON } else { LOOK });
        match alarm.wakes.recv_timeout(pause) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => self.watch(),
            // The thread that reads events ended: looks alone have to do.
            Err(RecvTimeoutError::Disconnected) => self.alarm = None,
        }
    }

    /// Watches the folders that aren't watched yet, also those that links lead to.
    fn watch(&mut self) {
        let Some(alarm) = &mut self.alarm else { return };
        for file in &self.files {
            alarm.watch(folder(file.path()));
            if let Ok(target) = file.path().canonicalize() {
                alarm.watch(folder(&target));
            }
        }
    }
}

impl Source for Follower {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        while !hand.stopped() {
            let mut chunks = Vec::new();
            self.next(WAIT, &mut chunks)?;
            if hand.give(chunks).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        SourceId("files".to_owned())
    }
}

/// The folder a file lies in.
fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Wake-ups from inotify. A thread waits for events, so that the caller can wait with a timeout.
struct Alarm {
    watches: Watches,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    wakes: Receiver<()>,
    stop: Arc<AtomicBool>,
}

impl Alarm {
    fn new() -> Option<Self> {
        let mut inotify = Inotify::init().ok()?;
        let watches = inotify.watches();
        // One waiting wake-up says as much as many.
        let (bell, wakes) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let listen = move || {
            let mut buffer = [0; 16 * 1024];
            while inotify.read_events_blocking(&mut buffer).is_ok()
                && !stopped.load(Ordering::Acquire)
            {
                if let Err(std::sync::mpsc::TrySendError::Disconnected(())) = bell.try_send(()) {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("follow".to_owned())
            .spawn(listen)
            .ok()?;
        Some(Self {
            watches,
            watched: BTreeMap::new(),
            wakes,
            stop,
        })
    }

    fn watch(&mut self, folder: &Path) {
        if !self.watched.contains_key(folder) {
            let mask = WatchMask::MODIFY
                | WatchMask::CREATE
                | WatchMask::MOVE
                | WatchMask::DELETE
                | WatchMask::ATTRIB;
            // Without a watch the look at each file still finds everything, later.
            if let Ok(descriptor) = self.watches.add(folder, mask) {
                self.watched.insert(folder.to_owned(), descriptor);
            }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A watch that goes is an event itself: it wakes the thread, which then ends.
        for descriptor in self.watched.values() {
            drop(self.watches.remove(descriptor.clone()));
        }
    }
}

#[cfg(test)]
mod tests;

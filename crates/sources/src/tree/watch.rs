//! Names the paths that change, by inotify on every folder of a tree.
//!
//! A folder that comes is watched and then looked into, so that what was put there before the watch is named, too. Where the
//! system allows no more watches, or its queue runs over, that is said, and comparing takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use crate::SourceError;

/// Bytes of events read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long further events of the same burst are waited for: what is closed within it is looked at once.
const DEBOUNCE: Duration = Duration::from_millis(3);
/// Pause between two looks for events.
const LOOK: Duration = Duration::from_millis(2);
/// Paths named at once.
const PATHS_MAX: usize = 4096;

/// What changed.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Events were lost.
    pub(super) overflow: bool,
    /// A folder went elsewhere: which files went with it only comparing tells.
    pub(super) moved: bool,
}

pub(super) struct Watcher {
    inotify: Inotify,
    folders: BTreeMap<WatchDescriptor, PathBuf>,
    /// Folders that could not be watched.
    unwatched: usize,
    buffer: Vec<u8>,
}

impl Watcher {
    pub(super) fn new(root: &Path) -> Result<Self, SourceError> {
        let inotify = Inotify::init().map_err(SourceError::io(root))?;
        let mut watcher = Self {
            inotify,
            folders: BTreeMap::new(),
            unwatched: 0,
            buffer: vec![0; BUFFER_BYTES],
        };
        watcher.add(root, &mut Changed::default());
        if watcher.folders.is_empty() {
            return Err(SourceError::io(root)(ErrorKind::PermissionDenied.into()));
        }
        Ok(watcher)
    }

    /// Whether there are folders whose changes only comparing finds.
    pub(super) const fn is_blind(&self) -> bool {
        self.unwatched > 0
    }

    pub(super) fn describe(&self, root: &Path, files: usize) -> String {
        let blind = match self.unwatched {
            0 => String::new(),
            count => format!(
                "; {count} folders can't be watched and are compared each minute: raise fs.inotify.max_user_watches"
            ),
        };
        format!(
            "watches {files} files in {} folders of {}{blind}",
            self.folders.len(),
            root.display()
        )
    }

    /// Watches a folder and those in it; names the files that are there.
    fn add(&mut self, folder: &Path, changed: &mut Changed) {
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::ONLYDIR
            | WatchMask::DONT_FOLLOW;
        match self.inotify.watches().add(folder, mask) {
            Ok(descriptor) => drop(self.folders.insert(descriptor, folder.to_owned())),
            Err(_) => self.unwatched += 1,
        }
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.add(&entry.path(), changed),
                Ok(kind) if kind.is_file() => drop(changed.paths.insert(entry.path())),
                _ => {}
            }
        }
    }

    /// Waits up to `wait` for changes, then a little longer for those that come with them.
    pub(super) fn wait(&mut self, wait: Duration) -> Changed {
        let mut changed = Changed::default();
        let until = Instant::now() + wait;
        let mut quiet_at: Option<Instant> = None;
        loop {
            if self.read(&mut changed) {
                quiet_at = Some(Instant::now() + DEBOUNCE);
            }
            let now = Instant::now();
            if changed.paths.len() >= PATHS_MAX || quiet_at.map_or(now >= until, |at| now >= at) {
                return changed;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Reads what is there; tells whether there was any.
    fn read(&mut self, changed: &mut Changed) -> bool {
        let mut found = Vec::new();
        match self.inotify.read_events(&mut self.buffer) {
            Ok(events) => {
                found.extend(
                    events.map(|event| (event.wd, event.mask, event.name.map(ToOwned::to_owned))),
                );
            }
            Err(_) => return false,
        }
        let any = !found.is_empty();
        for (descriptor, mask, name) in found {
            if mask.contains(EventMask::Q_OVERFLOW) {
                changed.overflow = true;
                continue;
            }
            if mask.contains(EventMask::IGNORED) {
                self.folders.remove(&descriptor);
                continue;
            }
            let (Some(folder), Some(name)) = (self.folders.get(&descriptor), name) else {
                continue;
            };
            let path = folder.join(name);
            if mask.contains(EventMask::ISDIR) {
                if mask.intersects(EventMask::CREATE | EventMask::MOVED_TO) {
                    self.add(&path, changed);
                } else {
                    changed.moved |= mask.contains(EventMask::MOVED_FROM);
                }
            } else if !mask.contains(EventMask::CREATE) || is_link_or_empty(&path) {
                // A file that is being written is looked at when it is closed.
                changed.paths.insert(path);
            }
        }
        any
    }
}

/// A link, or a second name of a file, is created and never closed; so is an empty file by some programs.
fn is_link_or_empty(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path)
        .is_ok_and(|metadata| !metadata.is_file() || metadata.nlink() > 1)
}

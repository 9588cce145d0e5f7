//! Names the paths that change, by inotify on every folder of a tree.
//!
//! A thread of its own takes events as they come, so that the system's queue runs over only when folders come faster than they can
//! be watched; each path waits once, however often it changes. A folder that comes is watched and then looked into, so that what was
//! put there before the watch is named, too. Where the system allows no more watches, or its queue runs over, that is said, and comparing
//! takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;

use crate::SourceError;

/// Bytes of events read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long further events of the same burst are waited for: what is closed within it is looked at once.
const DEBOUNCE: Duration = Duration::from_millis(3);
/// Paths named at once.
const PATHS_MAX: usize = 4096;
/// Paths that wait to be named; more are an overflow.
const WAITING_MAX: usize = 1_000_000;

/// What changed.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Events were lost.
    pub(super) overflow: bool,
    /// A folder went elsewhere: which files went with it only comparing tells.
    pub(super) moved: bool,
}

/// Why a tree is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is time to: every file is read.
    Due,
    /// Signatures or content rules are other than at the last look: every file is read.
    Rules,
    /// Magewarden starts, or folders can't be watched.
    Blind,
    /// A folder went elsewhere.
    Moved,
    /// Changes were lost.
    Overflow,
}

impl Why {
    pub(super) const fn of(changed: &Changed) -> Self {
        if changed.overflow {
            Self::Overflow
        } else {
            Self::Moved
        }
    }
}

/// What the thread and the source share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    changed: Changed,
    /// Events so far.
    events: u64,
    folders: usize,
    /// Folders that could not be watched.
    unwatched: usize,
    /// No event comes any more.
    is_over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches until it is dropped.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

impl Watcher {
    pub(super) fn new(root: &Path) -> Result<Self, SourceError> {
        let refused = |error| SourceError::io(root)(error);
        let inotify = Inotify::init().map_err(refused)?;
        let mut events = Events {
            watches: inotify.watches(),
            folders: BTreeMap::new(),
            unwatched: 0,
        };
        events.add(root, &mut Changed::default());
        if events.folders.is_empty() {
            return Err(refused(ErrorKind::PermissionDenied.into()));
        }
        let shared = Arc::new(Shared::default());
        {
            let mut state = shared.state();
            (state.folders, state.unwatched) = (events.folders.len(), events.unwatched);
        }
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|source| SourceError::Thread { source })?;
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("inotify".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = events.take(inotify, &theirs) => {}
                    }
                });
                theirs.state().is_over = true;
            })
            .map_err(|source| SourceError::Thread { source })?;
        Ok(Self {
            shared,
            _stop: stop,
        })
    }

    /// Whether there are folders whose changes only comparing finds.
    pub(super) fn is_blind(&self) -> bool {
        let state = self.shared.state();
        state.unwatched > 0 || state.is_over
    }

    pub(super) fn describe(&self, root: &Path, files: usize) -> String {
        let state = self.shared.state();
        let blind = match state.unwatched {
            0 => String::new(),
            count => format!(
                "; {count} folders can't be watched and are compared each minute: raise fs.inotify.max_user_watches"
            ),
        };
        format!(
            "watches {files} files in {} folders of {}{blind}",
            state.folders,
            root.display()
        )
    }

    /// Waits up to `wait` for changes, then a little longer for those that come with them.
    pub(super) fn wait(&self, wait: Duration) -> Changed {
        let until = Instant::now() + wait;
        let mut state = self.shared.state();
        let is_any = |state: &State| {
            let changed = &state.changed;
            !changed.paths.is_empty() || changed.overflow || changed.moved
        };
        while !is_any(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Changed::default();
            }
            state = self.await_more(state, left);
        }
        while state.changed.paths.len() < PATHS_MAX {
            let events = state.events;
            state = self.await_more(state, DEBOUNCE);
            if state.events == events {
                break;
            }
        }
        let mut changed = std::mem::take(&mut state.changed);
        if let Some(beyond) = changed.paths.iter().nth(PATHS_MAX).cloned() {
            state.changed.paths = changed.paths.split_off(&beyond);
        }
        changed
    }

    fn await_more<'a>(
        &self,
        state: MutexGuard<'a, State>,
        wait: Duration,
    ) -> MutexGuard<'a, State> {
        let waited = self.shared.came.wait_timeout(state, wait);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread's end.
struct Events {
    watches: Watches,
    folders: BTreeMap<WatchDescriptor, PathBuf>,
    unwatched: usize,
}

impl Events {
    /// Takes events without end; ends when the system gives none any more.
    async fn take(&mut self, inotify: Inotify, shared: &Shared) {
        let Ok(mut events) = inotify.into_event_stream(vec![0; BUFFER_BYTES]) else {
            return;
        };
        while let Some(event) = events.next().await {
            let Ok(event) = event else {
                return;
            };
            let mut changed = Changed::default();
            self.event(&event.wd, event.mask, event.name.as_deref(), &mut changed);
            let mut state = shared.state();
            state.changed.overflow |= changed.overflow;
            state.changed.moved |= changed.moved;
            if state.changed.paths.len() < WAITING_MAX {
                state.changed.paths.append(&mut changed.paths);
            } else {
                state.changed.overflow |= !changed.paths.is_empty();
            }
            state.events += 1;
            (state.folders, state.unwatched) = (self.folders.len(), self.unwatched);
            drop(state);
            shared.came.notify_one();
        }
    }

    fn event(
        &mut self,
        descriptor: &WatchDescriptor,
        mask: EventMask,
        name: Option<&OsStr>,
        changed: &mut Changed,
    ) {
        if mask.contains(EventMask::Q_OVERFLOW) {
            changed.overflow = true;
            return;
        }
        if mask.contains(EventMask::IGNORED) {
            self.folders.remove(descriptor);
            return;
        }
        let (Some(folder), Some(name)) = (self.folders.get(descriptor), name) else {
            return;
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

    /// Watches a folder and those in it; names the files that are there.
    fn add(&mut self, folder: &Path, changed: &mut Changed) {
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::ONLYDIR
            | WatchMask::DONT_FOLLOW;
        match self.watches.add(folder, mask) {
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
}

/// A link, or a second name of a file, is created and never closed; so is an empty file by some programs.
fn is_link_or_empty(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path)
        .is_ok_and(|metadata| !metadata.is_file() || metadata.nlink() > 1)
}

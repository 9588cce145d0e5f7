//! Walks a tree and reads files: what each is on disk, and what it holds. Two threads; every file is read once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::content::{Content, Look, Signatures};
use super::layout;
use super::packages::{Hash, Known};
use super::process::Process;
use super::yara::Scanner;

/// Bytes read at once; what is larger is looked at in blocks.
pub(super) const BLOCK_BYTES: usize = 4 << 20;
/// Bytes of a block that content rules see with the next one again.
const OVERLAP_BYTES: usize = 8 << 10;
/// A file larger than this waits until the others that changed were looked at, and they come first while it is read.
pub(super) const LARGE_BYTES: u64 = 16 << 20;
/// Bytes read of a file that comes and goes.
const HEAD_BYTES: u64 = 64 * 1024;
/// Folders that can't be read and are remembered by name.
const REFUSED_MAX: usize = 1000;
/// How often a file that changes while it is read is tried.
const TRIES: usize = 3;
/// Threads that walk.
const WALKERS: usize = 2;

/// Counts card numbers in a block.
pub type CardCount = dyn Fn(&[u8]) -> u32 + Send + Sync;

/// What a file is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) modified: i64,
    pub(super) changed: i64,
    pub(super) inode: u64,
    /// The file system's number; another after each start of the system, so it isn't kept.
    #[serde(skip)]
    pub(super) device: u64,
    pub(super) mode: u32,
    pub(super) owner: u32,
    /// SHA-256, hexadecimal; empty where it wasn't read.
    #[serde(default)]
    pub(super) hash: String,
    /// What it was to its package when it was judged last.
    #[serde(default, skip_serializing_if = "Known::is_no")]
    pub(super) known: Known,
    /// Signatures it had when it was read last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) signatures: Vec<String>,
}

impl State {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
            mode: metadata.mode() & 0o7777,
            owner: metadata.uid(),
            hash: String::new(),
            known: Known::No,
            signatures: Vec::new(),
        }
    }

    /// Whether nothing that the disk tells has changed.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        (
            self.size,
            self.modified,
            self.changed,
            self.inode,
            self.mode,
            self.owner,
        ) == (
            other.size,
            other.modified,
            other.changed,
            other.inode,
            other.mode,
            other.owner,
        )
    }
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadFile {
    pub(super) state: State,
    pub(super) content: FoundContent,
    /// Hash of the whole, kept nowhere; `None` where it wasn't read.
    pub(super) hash: Option<Hash>,
    /// Who wrote it, where it is a change and that is known.
    pub(super) writer: Option<Arc<Process>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundContent {
    pub(super) kinds: Vec<&'static str>,
    pub(super) signatures: Vec<String>,
    pub(super) is_polyglot: bool,
    pub(super) cards: u32,
    /// Content rules took too long: what they would have said isn't known.
    pub(super) is_unfinished: bool,
    /// It changed each time it was read: hash and content may be of several states.
    pub(super) is_unstable: bool,
    /// It can't be read: only what the disk tells is known.
    pub(super) is_unread: bool,
}

/// How files are read.
pub(super) struct Reading {
    pub(super) root: PathBuf,
    pub(super) signatures: Arc<Signatures>,
    pub(super) cards: Arc<CardCount>,
}

/// What a walk could not do.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Files and folders that can't be read.
    pub(super) refused: AtomicU64,
    /// Sockets, pipes, devices, links.
    pub(super) special: AtomicU64,
    /// Folders among the refused.
    folders: Mutex<BTreeSet<PathBuf>>,
}

impl Unread {
    fn folder(&self, folder: &Path) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.len() < REFUSED_MAX {
            folders.insert(folder.to_owned());
        }
    }

    /// Paths, as [`shown`], below which nothing is known; `None` when there are too many to tell.
    pub(super) fn unknown(&self, root: &Path) -> Option<Vec<String>> {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |folder: &PathBuf| format!("{}/", shown(root, folder));
        (folders.len() < REFUSED_MAX).then(|| folders.iter().map(of).collect())
    }
}

/// A path below the root as text: bytes that are no UTF-8, and control characters, as `%XX`.
pub(super) fn shown(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let mut text = String::new();
    for part in below.as_os_str().as_bytes().utf8_chunks() {
        for one in part.valid().chars() {
            if one.is_control() || one == '%' {
                let mut buffer = [0; 4];
                for byte in one.encode_utf8(&mut buffer).bytes() {
                    text.push_str(&format!("%{byte:02X}"));
                }
            } else {
                text.push(one);
            }
        }
        for byte in part.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Gives `each` every file below `from`, on two threads, each with a state of its own from `begin`; links are never followed, so
/// a loop of them ends.
pub(super) fn walk<S>(
    from: &Path,
    unread: &Unread,
    begin: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, PathBuf, &Metadata) + Sync,
) {
    let folders = Mutex::new(vec![from.to_owned()]);
    let open = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        for _ in 0..WALKERS {
            scope.spawn(|| {
                let mut state = begin();
                while open.load(Ordering::Acquire) > 0 {
                    let next = folders.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(folder) = next else {
                        std::thread::sleep(std::time::Duration::from_micros(200));
                        continue;
                    };
                    let each = &mut |path, metadata: &_| each(&mut state, path, metadata);
                    folder_of(&folder, unread, each, &mut |inner| {
                        open.fetch_add(1, Ordering::AcqRel);
                        folders
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(inner);
                    });
                    open.fetch_sub(1, Ordering::AcqRel);
                }
            });
        }
    });
}

fn folder_of(
    folder: &Path,
    unread: &Unread,
    each: &mut dyn FnMut(PathBuf, &Metadata),
    inner: &mut dyn FnMut(PathBuf),
) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        unread.folder(folder);
        return;
    };
    for entry in entries {
        let Ok(entry) = entry else {
            // What of it wasn't listed isn't gone.
            unread.folder(folder);
            return;
        };
        let Ok(metadata) = entry.metadata() else {
            unread.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            inner(entry.path());
        } else if kind.is_file() {
            each(entry.path(), &metadata);
        } else {
            unread.special.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Reads files one after the other, with what is made once for all of them.
pub(super) struct Reader<'a> {
    reading: &'a Reading,
    buffer: Vec<u8>,
    scanner: Scanner<'a>,
}

impl Reader<'_> {
    /// Reads one file; `None` when it went, or is none.
    pub(super) fn read(&mut self, path: &Path) -> Option<ReadFile> {
        let mut last = None;
        for _ in 0..TRIES {
            let read = self.once(path, u64::MAX, &mut || true)?;
            if !read.content.is_unstable {
                return Some(read);
            }
            last = Some(read);
        }
        last
    }

    /// Reads the first bytes of a file that comes and goes; its hash isn't known.
    pub(super) fn head(&mut self, path: &Path) -> Option<ReadFile> {
        self.once(path, HEAD_BYTES, &mut || true)
    }

    /// Reads a file that takes long, once: each [`LARGE_BYTES`] `tend` is called, and when that says false the rest is left and
    /// nothing told. One that changed meanwhile is closed again later.
    pub(super) fn large(
        &mut self,
        path: &Path,
        tend: &mut dyn FnMut() -> bool,
    ) -> Option<ReadFile> {
        self.once(path, u64::MAX, tend)
    }

    fn once(
        &mut self,
        path: &Path,
        limit: u64,
        tend: &mut dyn FnMut() -> bool,
    ) -> Option<ReadFile> {
        // What is opened must be what was seen: a link put there meanwhile isn't followed, a pipe isn't waited for.
        let seen = std::fs::symlink_metadata(path).ok()?;
        if !seen.is_file() {
            return None;
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Some(ReadFile {
                    state: State::of(&seen),
                    content: FoundContent {
                        is_unread: true,
                        ..FoundContent::default()
                    },
                    hash: None,
                    writer: None,
                });
            }
            Err(_) => return None,
        };
        let before = State::of(&file.metadata().ok()?);
        if before.inode != seen.ino() {
            return None;
        }
        // Of one that grows without end no more is read than there was; it counts as changed while it was read.
        let whole = before.size <= limit;
        let mut bytes = file.take(before.size.min(limit));
        let name = shown(&self.reading.root, path);
        let (mut look, mut hash, mut cards) =
            (Look::new(&self.reading.signatures), Sha256::new(), 0_u32);
        self.scanner.begin(&name, before.size);
        self.buffer.resize(OVERLAP_BYTES + BLOCK_BYTES, 0);
        let (mut offset, mut kept, mut left) = (0, 0, LARGE_BYTES);
        loop {
            if left == 0 {
                if !tend() {
                    return None;
                }
                left = LARGE_BYTES;
            }
            let length = fill(&mut bytes, self.buffer.get_mut(kept..kept + BLOCK_BYTES)?).ok()?;
            let block = self.buffer.get(kept..kept + length).unwrap_or_default();
            if block.is_empty() {
                break;
            }
            left = left.saturating_sub(BLOCK_BYTES as u64);
            hash.update(block);
            look.block(block);
            cards = cards.saturating_add((self.reading.cards)(block));
            let is_last = length < BLOCK_BYTES;
            let part = self.buffer.get(..kept + length).unwrap_or_default();
            let is_whole = offset == 0 && is_last;
            // Most files are small and hold nothing that a rule is about.
            if !is_whole || look.asks_rules() {
                self.scanner.part(offset, part, is_whole);
            }
            if is_last {
                break;
            }
            offset += part.len() - OVERLAP_BYTES;
            self.buffer
                .copy_within(kept + length - OVERLAP_BYTES..kept + length, 0);
            kept = OVERLAP_BYTES;
        }
        let rules = self.scanner.end();
        let after = State::of(&bytes.into_inner().metadata().ok()?);
        let content: Content = look.end(&name);
        let mut signatures = content.signatures.clone();
        signatures.extend(rules.names);
        let mut state = after.clone();
        state.signatures.clone_from(&signatures);
        let hash = whole.then(|| Hash::of(hash));
        // Beside a number that is masked, a plain hash of its text would give it back.
        if let (0, Some(hash)) = (cards, hash) {
            state.hash = hash.to_string();
        }
        Some(ReadFile {
            state,
            content: FoundContent {
                is_polyglot: content.is_polyglot(),
                kinds: content.kinds,
                signatures,
                cards,
                is_unfinished: rules.is_unfinished,
                is_unstable: !before.is_as(&after),
                is_unread: false,
            },
            hash,
            writer: None,
        })
    }
}

impl Reading {
    /// One that reads.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            reading: self,
            buffer: Vec::new(),
            scanner: self.signatures.scanner(),
        }
    }

    /// Reads every file that isn't transient.
    pub(super) fn all(&self, unread: &Unread) -> BTreeMap<String, ReadFile> {
        let found = Mutex::new(BTreeMap::new());
        walk(
            &self.root,
            unread,
            || self.reader(),
            |reader, path, _| {
                let name = shown(&self.root, &path);
                if layout::is_transient(&name) {
                    return;
                }
                match reader.read(&path) {
                    Some(read) => {
                        let refused = u64::from(read.content.is_unread);
                        unread.refused.fetch_add(refused, Ordering::Relaxed);
                        found
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(name, read);
                    }
                    None => {
                        unread.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            },
        );
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every file that isn't transient is on disk; nothing is read.
    pub(super) fn states(&self, unread: &Unread) -> BTreeMap<String, (PathBuf, State)> {
        let found = Mutex::new(BTreeMap::new());
        walk(
            &self.root,
            unread,
            || (),
            |(), path, metadata| {
                let name = shown(&self.root, &path);
                if !layout::is_transient(&name) {
                    let state = State::of(metadata);
                    found
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(name, (path, state));
                }
            },
        );
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills the buffer as far as the file goes.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> Result<usize, std::io::Error> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

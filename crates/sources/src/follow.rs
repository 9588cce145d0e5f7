//! Follows files as they grow, are renamed, truncated, deleted and come back.
//!
//! Woken by inotify on the folders, with a look at every file at least once a second: a lost wake-up
//! costs a second, never a record. A generation is device, inode and the hash of its first bytes; a file
//! is hashed again while it is shorter than [`HEAD_BYTES`], so the hash of the position it had then counts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use model::{Generation, Position, SourceId};

use crate::SourceError;
use crate::files::{HEAD_BYTES, head_hash};

/// Bytes given at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks given by one call: what bounds the caller's memory.
const CHUNKS_MAX: usize = 64;
/// Longest pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// It got shorter; it is read again from its start.
    Truncated,
    /// It was renamed away; the old one was read to its end.
    Rotated,
    /// It was deleted.
    Deleted,
    /// It came, or came back.
    Appeared,
    /// Bytes went before they could be read.
    Lost {
        /// How many.
        bytes: u64,
    },
}

/// Bytes of one source, in order.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The source.
    pub source: SourceId,
    /// Which incarnation.
    pub generation: Generation,
    /// Where the bytes start in it.
    pub offset_bytes: u64,
    /// The bytes; at most 256 KiB.
    pub bytes: Vec<u8>,
    /// Whether this incarnation ends here.
    pub end_of_generation: bool,
    /// What happened.
    pub news: Option<News>,
}

struct Open {
    file: File,
    generation: Generation,
    offset: u64,
}

struct Followed {
    path: PathBuf,
    source: SourceId,
    open: Option<Open>,
    resume: Option<(Generation, Position)>,
    seen: bool,
}

/// Follows files.
pub struct Follower {
    files: Vec<Followed>,
    inotify: Option<Inotify>,
}

impl Follower {
    /// Follows `files`, going on where `resume` says each one's records are sealed up to.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when no file's folder exists.
    pub fn new(
        files: Vec<PathBuf>,
        resume: &BTreeMap<SourceId, (Generation, Position)>,
    ) -> Result<Self, SourceError> {
        let inotify = Inotify::init().ok();
        let mut followed = Vec::new();
        for path in files {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or(Path::new("."))
                .to_owned();
            fs::metadata(&folder).map_err(SourceError::io(&folder))?;
            if let Some(inotify) = &inotify {
                // Without the watch the look at each file still finds everything, later.
                drop(inotify.watches().add(
                    &folder,
                    WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVE | WatchMask::DELETE,
                ));
            }
            let source = SourceId(format!("file:{}", path.display()));
            let resume = resume.get(&source).copied();
            followed.push(Followed {
                path,
                source,
                open: None,
                resume,
                seen: false,
            });
        }
        Ok(Self {
            files: followed,
            inotify,
        })
    }

    /// Waits up to `timeout` for something new and adds it to `out`, in order for each source.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when a file that is open can't be read.
    pub fn next(&mut self, timeout: Duration, out: &mut Vec<Chunk>) -> Result<(), SourceError> {
        let mut waited = Duration::ZERO;
        let mut look = true;
        loop {
            if look {
                for file in &mut self.files {
                    file.step(out)?;
                }
            }
            if !out.is_empty() || waited >= timeout {
                return Ok(());
            }
            std::thread::sleep(LOOK);
            waited += LOOK;
            let mut buffer = [0; 4096];
            look = match self
                .inotify
                .as_mut()
                .map(|inotify| inotify.read_events(&mut buffer).map(Iterator::count))
            {
                Some(Ok(count)) => count > 0,
                Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => waited >= timeout,
                _ => true,
            };
        }
    }
}

impl Followed {
    /// Reads what is new of one file.
    fn step(&mut self, out: &mut Vec<Chunk>) -> Result<(), SourceError> {
        let first = out.len();
        let Some(open) = &mut self.open else {
            return self.try_open(out);
        };
        let facts = open.file.metadata().map_err(SourceError::io(&self.path))?;
        let on_disk = fs::metadata(&self.path)
            .ok()
            .map(|facts| (facts.dev(), facts.ino()));
        if facts.len() < open.offset {
            // What was between our position and the old end is unknown; the file is read from its start.
            let news = News::Truncated;
            *open = Open {
                generation: generation(&open.file, &facts).map_err(SourceError::io(&self.path))?,
                file: open.file.try_clone().map_err(SourceError::io(&self.path))?,
                offset: 0,
            };
            out.push(chunk(&self.source, open, Vec::new(), Some(news)));
        }
        read(&self.source, open, out).map_err(SourceError::io(&self.path))?;
        let full = out.len() - first >= CHUNKS_MAX;
        if !full && on_disk != Some((facts.dev(), facts.ino())) {
            let news = if on_disk.is_some() {
                News::Rotated
            } else {
                News::Deleted
            };
            let mut last = chunk(&self.source, open, Vec::new(), Some(news));
            last.end_of_generation = true;
            out.push(last);
            self.open = None;
            return self.try_open(out);
        }
        Ok(())
    }

    /// Opens the file when it is there, at the position its records are sealed up to.
    fn try_open(&mut self, out: &mut Vec<Chunk>) -> Result<(), SourceError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.seen = true;
                return Ok(());
            }
            Err(source) => {
                return Err(SourceError::Io {
                    path: self.path.clone(),
                    source,
                });
            }
        };
        let facts = file.metadata().map_err(SourceError::io(&self.path))?;
        let now = generation(&file, &facts).map_err(SourceError::io(&self.path))?;
        let mut offset = 0;
        if let Some((sealed, position)) = self.resume.take() {
            let same_file = (sealed.device, sealed.inode) == (now.device, now.inode)
                && position.offset_bytes <= facts.len();
            if same_file && same_head(&file, sealed, position) {
                offset = position.offset_bytes;
            } else {
                self.finish_rotated(sealed, position, out)?;
            }
        }
        let open = self.open.insert(Open {
            file,
            generation: now,
            offset,
        });
        if self.seen {
            out.push(chunk(&self.source, open, Vec::new(), Some(News::Appeared)));
        }
        self.seen = true;
        read(&self.source, open, out).map_err(SourceError::io(&self.path))?;
        Ok(())
    }

    /// Finds the file that was being read among its rotated siblings, and reads it to its end.
    fn finish_rotated(
        &self,
        sealed: Generation,
        position: Position,
        out: &mut Vec<Chunk>,
    ) -> Result<(), SourceError> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let base = self
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for entry in fs::read_dir(folder)
            .map_err(SourceError::io(folder))?
            .flatten()
        {
            let sibling = entry
                .file_name()
                .to_string_lossy()
                .starts_with(base.as_str())
                && entry.path() != self.path;
            let Ok(facts) = entry.metadata() else {
                continue;
            };
            if !sibling || (facts.dev(), facts.ino()) != (sealed.device, sealed.inode) {
                continue;
            }
            let file = File::open(entry.path()).map_err(SourceError::io(&entry.path()))?;
            let mut open = Open {
                file,
                generation: sealed,
                offset: position.offset_bytes,
            };
            while read(&self.source, &mut open, out).map_err(SourceError::io(&entry.path()))? > 0 {}
            let mut last = chunk(&self.source, &open, Vec::new(), Some(News::Rotated));
            last.end_of_generation = true;
            out.push(last);
            return Ok(());
        }
        Ok(())
    }
}

fn generation(file: &File, facts: &fs::Metadata) -> std::io::Result<Generation> {
    let mut head = [0; HEAD_BYTES];
    let count = file.read_at(&mut head, 0)?;
    Ok(Generation {
        device: facts.dev(),
        inode: facts.ino(),
        head_hash: head_hash(head.get(..count).unwrap_or_default()),
    })
}

/// Whether a file's first bytes are those it had when it was sealed up to `position`.
fn same_head(file: &File, sealed: Generation, position: Position) -> bool {
    let mut head = [0; HEAD_BYTES];
    let Ok(count) = file.read_at(&mut head, 0) else {
        return false;
    };
    // It may have been shorter than it is now when it was first seen.
    let most = usize::try_from(position.offset_bytes)
        .unwrap_or(HEAD_BYTES)
        .min(count);
    (0..=most.max(count)).rev().any(|length| {
        head.get(..length)
            .is_some_and(|part| head_hash(part) == sealed.head_hash)
    })
}

fn chunk(source: &SourceId, open: &Open, bytes: Vec<u8>, news: Option<News>) -> Chunk {
    Chunk {
        source: source.clone(),
        generation: open.generation,
        offset_bytes: open.offset,
        bytes,
        end_of_generation: false,
        news,
    }
}

/// Reads on, up to [`CHUNKS_MAX`] chunks; gives how many bytes.
fn read(source: &SourceId, open: &mut Open, out: &mut Vec<Chunk>) -> std::io::Result<usize> {
    let mut total = 0;
    for _ in 0..CHUNKS_MAX {
        let mut bytes = vec![0; CHUNK_BYTES];
        let count = open.file.read_at(&mut bytes, open.offset)?;
        if count == 0 {
            break;
        }
        bytes.truncate(count);
        let at = chunk(source, open, bytes, None);
        open.offset += count as u64;
        total += count;
        out.push(at);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Follower, News};
    use model::Position;
    use std::collections::BTreeMap;
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::path::Path;
    use std::time::Duration;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("writable");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn next(follower: &mut Follower) -> Vec<Chunk> {
        let mut out = Vec::new();
        follower
            .next(Duration::from_secs(1), &mut out)
            .expect("read");
        out
    }

    fn text(chunks: &[Chunk]) -> String {
        chunks
            .iter()
            .map(|chunk| String::from_utf8_lossy(&chunk.bytes).into_owned())
            .collect()
    }

    #[test]
    fn reads_on_across_growth_rotation_and_truncation() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        append(&path, "one\n");
        let mut follower = Follower::new(vec![path.clone()], &BTreeMap::new()).expect("followed");
        assert_eq!(text(&next(&mut follower)), "one\n");
        append(&path, "two\n");
        assert_eq!(text(&next(&mut follower)), "two\n");
        append(&path, "three\n");
        fs::rename(&path, folder.path().join("a.log.1")).expect("renamed");
        append(&path, "four\n");
        let chunks = next(&mut follower);
        assert_eq!(text(&chunks), "three\nfour\n");
        assert!(
            chunks
                .iter()
                .any(|chunk| chunk.end_of_generation && chunk.news == Some(News::Rotated))
        );
        fs::write(&path, "5\n").expect("written");
        let chunks = next(&mut follower);
        assert_eq!(text(&chunks), "5\n");
        assert!(
            chunks
                .iter()
                .any(|chunk| chunk.news == Some(News::Truncated))
        );
    }

    #[test]
    fn goes_on_where_the_records_are_sealed_also_in_a_rotated_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        append(&path, "one\ntwo\n");
        let mut follower = Follower::new(vec![path.clone()], &BTreeMap::new()).expect("followed");
        let first = next(&mut follower);
        let resume = BTreeMap::from([(
            first[0].source.clone(),
            (first[0].generation, Position { offset_bytes: 4 }),
        )]);
        let mut again = Follower::new(vec![path.clone()], &resume).expect("followed");
        assert_eq!(text(&next(&mut again)), "two\n");
        append(&path, "three\n");
        fs::rename(&path, folder.path().join("a.log.1")).expect("renamed");
        append(&path, "four\n");
        let mut again = Follower::new(vec![path], &resume).expect("followed");
        assert_eq!(text(&next(&mut again)), "two\nthree\nfour\n");
    }
}

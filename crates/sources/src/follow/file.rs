//! One followed file: its rotated predecessors first, then itself as it grows.
//!
//! Invariant: bytes are given only after the file was seen, behind the read, to be still the one it
//! was before: a truncation between can't mix two incarnations.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Generation, Position, SourceId};

use super::siblings::{Old, Search, Wanted, hashed_length, head_of, read_at, search};
use crate::reader::head_hash;
use crate::source::{Chunk, Framing, News};

/// How long a renamed file must be quiet, once its successor has bytes, before it counts as ended:
/// writers move over one after the other.
const QUIET: Duration = Duration::from_millis(200);
/// How long a deleted file without a successor is read on.
const DELETED_KEPT: Duration = Duration::from_secs(3600);
/// Last bytes remembered, by which a copy is told.
const TAIL_BYTES: usize = 64;
/// How often a search is begun again when files are rotated under it.
const SEARCHES_MAX: u32 = 3;
/// Turns of one look: ending a file, searching, opening and reading its successor take five.
const TURNS_MAX: usize = 8;

struct Open {
    file: File,
    place: (u64, u64),
    head: Vec<u8>,
    tail: Vec<u8>,
    generation: Generation,
    offset: u64,
    length: u64,
}

/// An incarnation that was being read, and isn't at the path any more.
struct Left {
    generation: Generation,
    offset: u64,
    tail: Option<Vec<u8>>,
    news: News,
    lost: u64,
}

/// The path leads elsewhere or nowhere.
struct Moved {
    /// Since when nothing new came.
    quiet: Instant,
    told: bool,
    /// Whether only time is waited for.
    soon: bool,
}

/// One file and where reading it stands.
pub(super) struct Followed {
    path: PathBuf,
    source: SourceId,
    left: Option<Left>,
    backlog: VecDeque<Old>,
    open: Option<Open>,
    moved: Option<Moved>,
    absent: bool,
    unreadable: bool,
    searches: u32,
}

impl Followed {
    pub(super) fn new(
        path: PathBuf,
        source: SourceId,
        sealed: Option<(Generation, Position)>,
    ) -> Self {
        let left = sealed.map(|(generation, position)| Left {
            generation,
            offset: position.offset_bytes,
            tail: None,
            news: News::Rotated,
            lost: 0,
        });
        Self {
            path,
            source,
            left,
            backlog: VecDeque::new(),
            open: None,
            moved: None,
            absent: false,
            unreadable: false,
            searches: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether waiting time decides what comes next.
    pub(super) fn is_in_transition(&self) -> bool {
        self.moved.as_ref().is_some_and(|moved| moved.soon)
    }

    /// Reads what is new, as far as `budget` chunks go.
    pub(super) fn step(&mut self, now: Instant, budget: &mut usize, out: &mut Vec<Chunk>) {
        // A file that ends is followed by its successor in the same look.
        for _ in 0..TURNS_MAX {
            self.drain(budget, out);
            if !self.backlog.is_empty() || *budget == 0 {
                return;
            }
            let result = match self.open {
                Some(_) => self.read_on(now, budget, out),
                None => self.attach(out),
            };
            match result {
                Ok(true) => self.unreadable = false,
                Ok(false) => return,
                Err(_) => return self.tell_unreadable(out),
            }
        }
    }

    /// Reads rotated files to their ends.
    fn drain(&mut self, budget: &mut usize, out: &mut Vec<Chunk>) {
        while *budget > 0
            && let Some(old) = self.backlog.front_mut()
        {
            let (generation, offset) = (old.generation, old.offset);
            let (bytes, news) = match old.read() {
                Ok(bytes) => (bytes, old.news.clone()),
                Err(_) => (Vec::new(), News::Unreadable),
            };
            let end = bytes.is_empty();
            out.push(Chunk {
                source: self.source.clone(),
                generation,
                offset_bytes: offset,
                bytes,
                framing: Framing::ByFormat,
                format: None,
                end_of_generation: end,
                news: end.then_some(news),
                marks: Vec::new(),
            });
            *budget -= 1;
            if end {
                self.backlog.pop_front();
            }
        }
    }

    /// Opens what is at the path; `true` when there is something to go on with.
    fn attach(&mut self, out: &mut Vec<Chunk>) -> io::Result<bool> {
        let facts = match fs::metadata(&self.path) {
            Ok(facts) => Some(facts),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // Opening anything else (a pipe) could block for ever.
        if facts.as_ref().is_some_and(|facts| !facts.is_file()) {
            return Err(io::Error::other("no regular file"));
        }
        let Some(file) = facts.map(|_| File::open(&self.path)).transpose()? else {
            self.absent = true;
            return Ok(self.find_left(None, out));
        };
        let (facts, head) = (file.metadata()?, head_of(&file)?);
        let place = (facts.dev(), facts.ino());
        if self.left.is_some() && !self.resumes_in(place, &head, facts.len()) {
            return Ok(self.find_left(Some(place), out));
        }
        if head.is_empty() {
            return Ok(false);
        }
        let mut generation = Generation {
            device: place.0,
            inode: place.1,
            head_hash: head_hash(&head),
        };
        let mut offset = 0;
        if let Some(left) = self.left.take() {
            // The same incarnation keeps its name, whatever its head has grown to.
            (generation, offset) = (left.generation, left.offset);
        }
        let open = Open {
            file,
            place,
            head,
            tail: Vec::new(),
            generation,
            offset,
            length: facts.len(),
        };
        if std::mem::take(&mut self.absent) {
            out.push(note(
                &self.source,
                generation,
                offset,
                Some(News::Appeared),
                false,
            ));
        }
        self.open = Some(open);
        Ok(true)
    }

    /// Whether the file at the path is the one that was being read.
    fn resumes_in(&self, place: (u64, u64), head: &[u8], length: u64) -> bool {
        self.left.as_ref().is_some_and(|left| {
            // What was left behind while running is known to be elsewhere.
            left.tail.is_none()
                && place == (left.generation.device, left.generation.inode)
                && length >= left.offset
                && hashed_length(head, left.generation.head_hash).is_some()
        })
    }

    /// Looks for what was being read among the rotated siblings; `true` when the search is over.
    fn find_left(&mut self, current: Option<(u64, u64)>, out: &mut Vec<Chunk>) -> bool {
        let Some(left) = &self.left else { return false };
        let wanted = Wanted {
            generation: left.generation,
            offset: left.offset,
            tail: left.tail.as_deref(),
            news: left.news.clone(),
        };
        self.searches += 1;
        match search(&self.path, current, &wanted, self.searches >= SEARCHES_MAX) {
            Search::Again => return true,
            Search::Found(olds) => self.backlog.extend(olds),
            Search::Unknown => {
                let news = if left.tail.is_some() {
                    left.news.clone()
                } else {
                    News::Missing
                };
                out.push(note(
                    &self.source,
                    left.generation,
                    left.offset,
                    Some(news),
                    true,
                ));
                if left.lost > 0 {
                    let news = News::Lost { bytes: left.lost };
                    out.push(note(
                        &self.source,
                        left.generation,
                        left.offset,
                        Some(news),
                        true,
                    ));
                }
            }
        }
        self.left = None;
        self.searches = 0;
        true
    }

    /// Reads the open file's new bytes; `true` when it ended.
    fn read_on(
        &mut self,
        now: Instant,
        budget: &mut usize,
        out: &mut Vec<Chunk>,
    ) -> io::Result<bool> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let (first, from) = (out.len(), open.offset);
        let mut ended = false;
        let mut tail = Vec::new();
        while *budget > 0 {
            let bytes = read_at(&open.file, open.offset)?;
            ended = bytes.is_empty();
            if ended {
                break;
            }
            tail = bytes
                .get(bytes.len().saturating_sub(TAIL_BYTES)..)
                .unwrap_or_default()
                .to_vec();
            let offset_bytes = open.offset;
            open.offset += bytes.len() as u64;
            *budget -= 1;
            out.push(Chunk {
                source: self.source.clone(),
                generation: open.generation,
                offset_bytes,
                bytes,
                framing: Framing::ByFormat,
                format: None,
                end_of_generation: false,
                news: None,
                marks: Vec::new(),
            });
        }
        let length = open.file.metadata()?.len();
        let whole = head_of(&open.file)?;
        if length < open.offset || !whole.starts_with(&open.head) {
            // What was just read may be of either incarnation.
            out.truncate(first);
            let lost = open.length.saturating_sub(from);
            let left = Left {
                generation: open.generation,
                offset: from,
                tail: Some(std::mem::take(&mut open.tail)),
                news: News::Truncated,
                lost,
            };
            self.left = Some(left);
            self.open = None;
            self.moved = None;
            return Ok(true);
        }
        open.length = length;
        let grew = open.offset > from;
        if grew {
            open.tail = tail;
        }
        if !ended {
            return Ok(false);
        }
        Ok(self.look_at_path(now, grew, out))
    }

    /// Tells whether the path still leads to the open file; `true` when the file is over.
    fn look_at_path(&mut self, now: Instant, grew: bool, out: &mut Vec<Chunk>) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        let there = match fs::metadata(&self.path) {
            Ok(facts) if (facts.dev(), facts.ino()) == open.place => {
                self.moved = None;
                return false;
            }
            Ok(facts) => Some(facts.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            // What can't be told now is told later; the open file is still read.
            Err(_) => return false,
        };
        let moved = self.moved.get_or_insert(Moved {
            quiet: now,
            told: false,
            soon: true,
        });
        if grew {
            moved.quiet = now;
        }
        let quiet = now.saturating_duration_since(moved.quiet);
        let (generation, offset) = (open.generation, open.offset);
        let over = match there {
            Some(length) => length > 0 && quiet >= QUIET,
            None => quiet >= DELETED_KEPT,
        };
        if there.is_none() && !moved.told && quiet >= QUIET {
            // A rotation has a moment without a file, too.
            moved.told = true;
            self.absent = true;
            out.push(note(
                &self.source,
                generation,
                offset,
                Some(News::Deleted),
                false,
            ));
        }
        if !over {
            moved.soon = there.map_or(!moved.told, |length| length > 0);
            return false;
        }
        let tail = Some(std::mem::take(&mut open.tail));
        self.left = Some(Left {
            generation,
            offset,
            tail,
            news: News::Rotated,
            lost: 0,
        });
        self.open = None;
        self.moved = None;
        true
    }

    /// Says once that the file can't be read; where reading stood is kept.
    fn tell_unreadable(&mut self, out: &mut Vec<Chunk>) {
        let place = self.open.take().map(|open| (open.generation, open.offset));
        if let Some((generation, offset)) = place {
            self.left = Some(Left {
                generation,
                offset,
                tail: None,
                news: News::Rotated,
                lost: 0,
            });
        }
        if !std::mem::replace(&mut self.unreadable, true) {
            let (generation, offset) = self
                .left
                .as_ref()
                .map_or((Generation::default(), 0), |left| {
                    (left.generation, left.offset)
                });
            out.push(note(
                &self.source,
                generation,
                offset,
                Some(News::Unreadable),
                false,
            ));
        }
    }
}

/// A chunk without bytes.
fn note(
    source: &SourceId,
    generation: Generation,
    offset_bytes: u64,
    news: Option<News>,
    end: bool,
) -> Chunk {
    Chunk {
        source: source.clone(),
        generation,
        offset_bytes,
        bytes: Vec::new(),
        framing: Framing::ByFormat,
        format: None,
        end_of_generation: end,
        news,
        marks: Vec::new(),
    }
}

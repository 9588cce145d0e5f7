//! Where a file that was being read went: which rotated sibling it is, and what was rotated after it.
//!
//! A sibling is it when device, inode and head agree, else when the head alone does (a copy, or
//! compressed since). Siblings are opened youngest first; the same inode twice means that a rotation
//! happened meanwhile, and the search starts again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use model::Generation;

use super::{CHUNK_BYTES, folder};
use crate::files::whole;
use crate::reader::{HEAD_BYTES, head_hash};
use crate::rotation::{Age, rotation};
use crate::source::News;
use crate::{Compression, Limits, Reader};

/// Rotated siblings looked at: the youngest ones.
const SIBLINGS_MAX: usize = 100;
/// Entries of a folder looked at for siblings.
const ENTRIES_MAX: usize = 100_000;
/// Fewest bytes of a head that tell a copy.
const HEAD_BYTES_MIN: usize = 16;

/// A rotated file to read to its end.
pub(super) struct Old {
    body: Body,
    /// Which incarnation it is.
    pub(super) generation: Generation,
    /// Bytes of it that were given.
    pub(super) offset: u64,
    /// What its end means.
    pub(super) news: News,
    /// Why it can't be read on, behind what was given.
    fault: Option<io::Error>,
}

enum Body {
    Plain(File),
    Packed(Box<Reader>),
}

impl Old {
    /// The next bytes; empty at the end.
    pub(super) fn read(&mut self) -> io::Result<Vec<u8>> {
        let bytes = match &mut self.body {
            Body::Plain(file) => read_at(file, self.offset)?,
            Body::Packed(reader) => {
                let mut bytes = Vec::new();
                // What came before a fault is given first.
                self.fault = reader
                    .by_ref()
                    .take(CHUNK_BYTES as u64)
                    .read_to_end(&mut bytes)
                    .err();
                bytes
            }
        };
        if bytes.is_empty()
            && let Some(error) = self.fault.take()
        {
            return Err(error);
        }
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}

/// Up to one chunk of a plain file.
pub(super) fn read_at(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![
        0;
        usize::try_from(left)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES)
    ];
    let count = file.read_at(&mut bytes, offset)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// A plain file's first bytes.
pub(super) fn head_of(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let count = file.read_at(&mut head, 0)?;
    head.truncate(count);
    Ok(head)
}

/// How many first bytes give the hash; the most, when several do.
pub(super) fn hashed_length(head: &[u8], hash: [u8; 16]) -> Option<usize> {
    (1..=head.len()).rev().find(|length| {
        head.get(..*length)
            .is_some_and(|part| head_hash(part) == hash)
    })
}

/// What is looked for.
pub(super) struct Wanted<'a> {
    /// The incarnation that was being read.
    pub(super) generation: Generation,
    /// Bytes of it that were given.
    pub(super) offset: u64,
    /// The last bytes given, where they are known: a copy must have them there too.
    pub(super) tail: Option<&'a [u8]>,
    /// What its end means.
    pub(super) news: News,
}

/// What came of the search.
pub(super) enum Search {
    /// Rotated files to read, oldest first; the first is the one looked for.
    Found(Vec<Old>),
    /// None is it.
    Unknown,
    /// A rotation happened meanwhile: look again.
    Again,
}

struct Candidate {
    body: Body,
    generation: Generation,
    head: Vec<u8>,
    length: Option<u64>,
}

/// Looks for an incarnation among the rotated siblings of `path`; `current` is the device and inode at `path`, if any.
///
/// `last` takes what it finds, also when the same inode is there twice (a hard link does that too).
pub(super) fn search(
    path: &Path,
    current: Option<(u64, u64)>,
    wanted: &Wanted<'_>,
    last: bool,
) -> Search {
    let mut seen: BTreeSet<(u64, u64)> = current.into_iter().collect();
    let mut candidates = Vec::new();
    for sibling in siblings(path) {
        // One that can't be read can't be told either; those beside it can.
        let Ok(candidate) = open(&sibling) else {
            continue;
        };
        let place = (candidate.generation.device, candidate.generation.inode);
        if place != (0, 0) && !seen.insert(place) {
            if last {
                continue;
            }
            return Search::Again;
        }
        candidates.push(candidate);
    }
    let same = |candidate: &Candidate| {
        matches!(candidate.body, Body::Plain(_))
            && (candidate.generation.device, candidate.generation.inode)
                == (wanted.generation.device, wanted.generation.inode)
    };
    let told = |candidate: &Candidate, least: usize| {
        candidate
            .length
            .is_none_or(|length| length >= wanted.offset)
            && hashed_length(&candidate.head, wanted.generation.head_hash)
                .is_some_and(|length| length >= least)
    };
    let found = candidates
        .iter()
        .position(|candidate| same(candidate) && told(candidate, 1))
        .or_else(|| {
            (0..candidates.len()).find(|index| {
                candidates.get_mut(*index).is_some_and(|candidate| {
                    told(candidate, HEAD_BYTES_MIN) && reaches(candidate, wanted)
                })
            })
        });
    let Some(index) = found else {
        return Search::Unknown;
    };
    candidates.truncate(index + 1);
    let olds = candidates
        .into_iter()
        .rev()
        .enumerate()
        .map(|(index, candidate)| {
            let (generation, offset, news) = match index {
                0 => (wanted.generation, wanted.offset, wanted.news.clone()),
                _ => (candidate.generation, 0, News::Rotated),
            };
            Old {
                body: candidate.body,
                generation,
                offset,
                news,
                fault: None,
            }
        });
    Search::Found(olds.collect())
}

/// Whether a copy holds what was given of the original; a packed one is then read up to there.
fn reaches(candidate: &mut Candidate, wanted: &Wanted<'_>) -> bool {
    match (&mut candidate.body, wanted.tail) {
        (Body::Plain(_), None) => true,
        (Body::Plain(file), Some(tail)) => {
            let mut there = vec![0; tail.len()];
            let Some(from) = wanted.offset.checked_sub(tail.len() as u64) else {
                return false;
            };
            file.read_exact_at(&mut there, from).is_ok() && there == tail
        }
        (Body::Packed(reader), None) => {
            let skipped = io::copy(&mut reader.by_ref().take(wanted.offset), &mut io::sink());
            skipped.is_ok_and(|skipped| skipped == wanted.offset)
        }
        // A file truncated a moment ago was copied, not packed.
        (Body::Packed(_), Some(_)) => false,
    }
}

/// Rotated siblings, youngest first; of two with the same age the plain one.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder(path)) else {
        return Vec::new();
    };
    let plain = |path: &Path| {
        path.extension().is_none_or(|ending| {
            !["gz", "bz2", "xz", "zst"]
                .iter()
                .any(|known| ending == *known)
        })
    };
    let mut found: Vec<(Age, bool, PathBuf)> = entries
        .take(ENTRIES_MAX)
        .flatten()
        .filter_map(|entry| {
            let sibling = path.with_file_name(entry.file_name());
            let (base, age) = rotation(&sibling);
            (base == path && sibling != path && age != Age::Current)
                .then(|| (age, plain(&sibling), sibling))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.dedup_by_key(|(age, ..)| *age);
    found.truncate(SIBLINGS_MAX);
    found.into_iter().map(|(_, _, path)| path).collect()
}

fn open(path: &Path) -> io::Result<Candidate> {
    let facts = fs::metadata(path)?;
    let (input, _) = whole(path, &facts)?;
    if input.compression == Compression::Plain {
        let file = File::open(path)?;
        let (facts, head) = (file.metadata()?, head_of(&file)?);
        let generation = Generation {
            device: facts.dev(),
            inode: facts.ino(),
            head_hash: head_hash(&head),
        };
        return Ok(Candidate {
            body: Body::Plain(file),
            generation,
            head,
            length: Some(facts.len()),
        });
    }
    let mut reader = input.open(&Limits::default()).map_err(io::Error::other)?;
    let generation = reader.generation().map_err(io::Error::other)?;
    let head = reader.head().to_vec();
    Ok(Candidate {
        body: Body::Packed(Box::new(reader)),
        generation,
        head,
        length: None,
    })
}

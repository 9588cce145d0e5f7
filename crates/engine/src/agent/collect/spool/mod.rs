//! What was collected and isn't known to be in the ledger: frames in files, bounded, in the order they were read.
//!
//! `spool/NNNNNNNN.spool` holds frames of [`link::records`], `spool/cursor` where the first one lies that the server hasn't, and where
//! each source stands there. Invariants: what [`Spool::append`] wrote is on disk when it returns; what isn't whole at the end is what a
//! kill tore, and is cut off; what is damaged is kept aside and told; a file is removed only once the server has all of it.

mod disk;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::records::{Batch, Place};
use link::wire::Known;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use stores::StoreError;

pub(super) use disk::set_aside;

/// Largest file of a spool, in bytes, but for its last frame; smaller where the spool is.
const FILE_BYTES: u64 = 16 << 20;

/// Bytes of a file from which on it takes nothing more once the server has all of it.
const SENT_BYTES: u64 = 64 << 10;

/// Why a spool can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SpoolError {
    /// A file can't be used.
    #[error("can't use {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Where it stands can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It isn't what was written: it is set aside, and begun anew.
    #[error("{} isn't what was written", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
    },
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::File { path, source }
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Spot {
    file: u32,
    at: u64,
}

/// Where sources stand, by their names.
pub(super) type Stand = BTreeMap<String, Place>;

/// What is kept of where the server stands.
#[derive(Serialize, Deserialize)]
struct Cursor {
    v: u32,
    spot: Spot,
    stand: Vec<Known>,
}

/// What opening found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes of a write that never finished, cut off.
    pub(super) cut_bytes: u64,
    /// Where what was damaged lies now.
    pub(super) aside: Option<PathBuf>,
}

/// Frames to be sent.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// As they travel.
    pub(super) frames: Vec<u8>,
    end: Spot,
    stand: Stand,
    skips: Stand,
    /// Whether anything is passed by it, be it only what the server has.
    pub(super) moves: bool,
}

/// The spool. One thread writes, one sends.
pub(super) struct Spool {
    folder: PathBuf,
    most: u64,
    file_bytes: u64,
    inner: Mutex<Inner>,
    grown: Condvar,
}

struct Inner {
    /// Bytes of each file.
    files: BTreeMap<u32, u64>,
    /// The last one, which grows.
    last: File,
    /// The first frame that the server hasn't.
    spot: Spot,
    /// Where the server stands.
    stand: Stand,
    /// Sources of which the server has more than what lies before `spot`: up to where.
    skips: Stand,
    /// Where the spool's end stands.
    end: Stand,
    /// Since when something waits.
    waits_since: Option<Timestamp>,
}

impl Spool {
    /// Opens the one of a folder; none when there is none, or it was never begun.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Damaged`] when where it stands can't be read.
    pub(super) fn open(
        folder: &Path,
        most: u64,
        now: Timestamp,
    ) -> Result<Option<(Self, Found)>, SpoolError> {
        let path = folder.join("cursor");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file(&path)(error)),
        };
        let cursor: Cursor = serde_json::from_slice(&text)
            .map_err(|_| SpoolError::Damaged { path: path.clone() })?;
        if cursor.v != 1 {
            return Err(SpoolError::Damaged { path });
        }
        let stand = standing(cursor.stand);
        let mut end = stand.clone();
        let mut found = Found::default();
        let files = disk::look(folder, cursor.spot, &mut found, &mut |batch| {
            note(&mut end, batch);
        })?;
        Self::with(folder, most, files, (cursor.spot, stand), end, now).map(|spool| {
            let found = found;
            Some((spool, found))
        })
    }

    /// Begins one where the server stands.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] when it can't be written.
    pub(super) fn begin(
        folder: &Path,
        most: u64,
        stand: Stand,
        now: Timestamp,
    ) -> Result<Self, SpoolError> {
        crate::runs::make_ours(folder).map_err(file(folder))?;
        disk::clear(folder)?;
        let spot = Spot { file: 1, at: 0 };
        let spool = Self::with(
            folder,
            most,
            BTreeMap::from([(1, 0)]),
            (spot, stand.clone()),
            stand,
            now,
        )?;
        let inner = spool.lock();
        spool.keep(inner.spot, &inner.stand)?;
        drop(inner);
        Ok(spool)
    }

    fn with(
        folder: &Path,
        most: u64,
        mut files: BTreeMap<u32, u64>,
        (spot, stand): (Spot, Stand),
        end: Stand,
        now: Timestamp,
    ) -> Result<Self, SpoolError> {
        let number = files.keys().next_back().copied().unwrap_or(spot.file);
        files.entry(number).or_insert(0);
        let waits = files
            .range(spot.file..)
            .map(|(_, bytes)| bytes)
            .sum::<u64>()
            > spot.at;
        Ok(Self {
            folder: folder.to_owned(),
            most,
            file_bytes: FILE_BYTES.min(most / 4),
            inner: Mutex::new(Inner {
                last: disk::append_to(folder, number)?,
                files,
                spot,
                stand,
                skips: Stand::new(),
                end,
                waits_since: waits.then_some(now),
            }),
            grown: Condvar::new(),
        })
    }

    /// Where its end stands: from there on the sources are read.
    pub(super) fn end(&self) -> Stand {
        self.lock().end.clone()
    }

    /// Bytes that wait, what there is room for, and since when something waits.
    pub(super) fn fill(&self) -> (u64, u64, Option<Timestamp>) {
        let inner = self.lock();
        let all: u64 = inner.files.values().sum();
        (
            all.saturating_sub(inner.spot.at),
            self.most,
            inner.waits_since,
        )
    }

    /// Writes batches after each other, and has them on disk; each is given the place that it comes after. Gives whether there was room:
    /// where there isn't, nothing is written.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] when the disk doesn't take them: then the spool is as before.
    pub(super) fn append(&self, batches: &mut [Batch], now: Timestamp) -> Result<bool, SpoolError> {
        let mut inner = self.lock();
        let mut end = inner.end.clone();
        let mut bytes = Vec::new();
        for batch in batches {
            batch.after = end.get(&batch.source).copied();
            bytes.extend_from_slice(&batch.frame());
            note(&mut end, batch);
        }
        let length = bytes.len() as u64;
        if inner.files.values().sum::<u64>() + length > self.most {
            return Ok(false);
        }
        let (mut number, mut at) = inner.last_file();
        // What the server has all of goes soon, too.
        let is_sent = inner.spot == (Spot { file: number, at }) && at >= SENT_BYTES;
        if at >= self.file_bytes || is_sent {
            number += 1;
            at = 0;
            inner.last = disk::append_to(&self.folder, number)?;
            inner.files.insert(number, 0);
        }
        disk::write(&self.folder, number, &inner.last, &bytes, at)?;
        inner.files.insert(number, at + length);
        inner.end = end;
        if length > 0 {
            inner.waits_since.get_or_insert(now);
        }
        drop(inner);
        self.grown.notify_all();
        Ok(true)
    }

    /// Waits until something is written, at most so long.
    pub(super) fn wait(&self, most: Duration) {
        let inner = self.lock();
        if inner.waits_since.is_none() {
            drop(self.grown.wait_timeout(inner, most));
        }
    }

    /// The next frames to send: at least one where any waits, at most `most` bytes beside it.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Damaged`] when they aren't what was written.
    pub(super) fn load(&self, most: usize, records_most: usize) -> Result<Load, SpoolError> {
        let inner = self.lock();
        let mut load = Load {
            end: inner.spot,
            stand: inner.stand.clone(),
            skips: inner.skips.clone(),
            ..Load::default()
        };
        let mut reader = disk::Frames::new(&self.folder, &inner.files, inner.spot);
        // What lies there stays until it is acknowledged, by this same thread.
        drop(inner);
        let mut records = 0;
        while load.frames.len() < most && records < records_most {
            let Some((batch, end)) = reader.next()? else {
                break;
            };
            load.end = end;
            load.moves = true;
            let rest = match load.skips.get(&batch.source).copied() {
                None => Some(batch),
                Some(place) => match batch.behind(place) {
                    None => None,
                    Some(rest) => {
                        load.skips.remove(&rest.source);
                        Some(rest)
                    }
                },
            };
            if let Some(batch) = rest.filter(|batch| !batch.is_empty()) {
                records += batch.records();
                note(&mut load.stand, &batch);
                load.frames.extend_from_slice(&batch.frame());
            }
        }
        Ok(load)
    }

    /// The server has what was loaded: it is never sent again, and files that hold nothing else are removed.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] when that can't be written: then it is found out from the server once more.
    pub(super) fn sent(&self, load: Load) -> Result<(), SpoolError> {
        self.keep(load.end, &load.stand)?;
        let mut inner = self.lock();
        inner.spot = load.end;
        inner.stand = load.stand;
        inner.skips = load.skips;
        let behind: u64 = inner
            .files
            .range(inner.spot.file..)
            .map(|(_, bytes)| bytes)
            .sum();
        if behind <= inner.spot.at {
            inner.waits_since = None;
        }
        let first = inner.spot.file;
        let over: Vec<u32> = inner.files.range(..first).map(|(file, _)| *file).collect();
        for number in over {
            disk::remove(&self.folder, number)?;
            inner.files.remove(&number);
        }
        Ok(())
    }

    /// Fits what the server has to what waits: what it has already is passed by. Gives the sources of which it stands where the spool
    /// never was, so that it can't go on from here.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Damaged`] when frames aren't what was written.
    pub(super) fn fit(&self, server: &Stand) -> Result<Vec<String>, SpoolError> {
        let mut inner = self.lock();
        let mut open: Stand = Stand::new();
        let mut strange = Vec::new();
        let names: Vec<String> = inner.end.keys().cloned().collect();
        for source in names {
            let (known, there) = (inner.stand.get(&source), server.get(&source));
            match there {
                _ if known == there => {}
                Some(place) => drop(open.insert(source, *place)),
                None => strange.push(source),
            }
        }
        // What was found before, and holds, isn't looked for again.
        let mut skips = inner.skips.clone();
        let mut reader = disk::Frames::new(&self.folder, &inner.files, inner.spot);
        while !open.is_empty()
            && let Some((batch, _)) = reader.next()?
        {
            if let Some(place) = open.get(&batch.source).copied()
                && batch.behind(place).is_some()
            {
                open.remove(&batch.source);
                skips.insert(batch.source, place);
            }
        }
        strange.extend(open.into_keys());
        if strange.is_empty() {
            for (source, place) in &skips {
                inner.stand.insert(source.clone(), *place);
            }
            inner.skips = skips;
        }
        Ok(strange)
    }

    fn keep(&self, spot: Spot, stand: &Stand) -> Result<(), SpoolError> {
        let stand = stand.iter().map(|(source, place)| Known {
            source: source.clone(),
            generation: place.0,
            position: place.1,
        });
        let cursor = Cursor {
            v: 1,
            spot,
            stand: stand.collect(),
        };
        let path = self.folder.join("cursor");
        let text = serde_json::to_vec(&cursor).map_err(|error| file(&path)(error.into()))?;
        Ok(stores::write_atomically(&path, &text)?)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn last_file(&self) -> (u32, u64) {
        let last = self.files.last_key_value();
        last.map_or((1, 0), |(number, bytes)| (*number, *bytes))
    }
}

/// Notes where a batch takes its source.
fn note(stand: &mut Stand, batch: &Batch) {
    if let Some(end) = batch.end() {
        stand.insert(batch.source.clone(), end);
    }
}

/// Places as they are kept and sent.
pub(super) fn standing(known: Vec<Known>) -> Stand {
    let known = known.into_iter();
    known
        .map(|one| (one.source, (one.generation, one.position)))
        .collect()
}

#[cfg(test)]
mod tests;

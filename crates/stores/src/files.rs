//! Segment files: `NNNNNNNN.leaf` and `NNNNNNNN.data`, records with their length in front.
//!
//! An append is one write and one `fdatasync` per file, payloads before leaves: an entry exists once
//! its leaf does. A torn tail is cut back to the last whole entry at the next opening. After a failed
//! sync the writer takes nothing more: what the kernel kept is unknown ("Can Applications Recover
//! from fsync Failures?", ATC 2020).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::frames::{
    Failed, LEAF_MAX, PAYLOAD_MAX, framed, length, open_end, open_plain, path, read_framed,
    read_prefix, sync_folder, walk, write,
};
use crate::{BLOCK_ENTRIES, StoreError};

/// Bytes after which a new segment begins.
const SEGMENT_BYTES: u64 = 64 << 20;

/// One entry's stored bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Leaf data.
    pub leaf: Vec<u8>,
    /// Encrypted payload; empty once destroyed.
    pub payload: Vec<u8>,
}

/// What was cut off at opening: an append that never finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of leaves.
    pub leaf_bytes: u64,
    /// Bytes of payloads.
    pub data_bytes: u64,
}

/// Where an entry begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: u32,
    /// First byte of its framed leaf.
    pub leaf: u64,
    /// First byte of its framed payload.
    pub data: u64,
}

/// The places of one block's entries, kept for the next read near it.
struct OpenBlock {
    number: u64,
    places: Vec<Place>,
    files: BTreeMap<u32, (File, File)>,
}

/// A folder of segments. In memory: one place for each [`BLOCK_ENTRIES`] entries.
pub struct SegmentFiles {
    folder: PathBuf,
    /// Where each block begins; the last one may be empty yet.
    starts: Vec<Place>,
    count: u64,
    end: Place,
    leaf: File,
    data: File,
    writer: bool,
    stopped: bool,
    open_block: Mutex<Option<OpenBlock>>,
    _lock: Option<File>,
}

impl SegmentFiles {
    /// Opens a folder to write, making it when absent; cuts a torn tail. `ends` tells where whole
    /// blocks end, as far as that is known; `promised` entries were signed for.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be used, another process writes to them, or fewer entries
    /// are whole than were promised: then nothing was cut or changed.
    pub fn open(folder: &Path, ends: &[Place], promised: u64) -> Result<(Self, Cut), StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(StoreError::io(folder))?;
        let path = folder.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io(&path))?;
        lock.try_lock().map_err(|_| StoreError::Locked { path })?;
        Self::load(folder, ends, promised, Some(lock))
    }

    /// Opens a folder to read; a torn tail is not shown. `ends` as in [`Self::open`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be read.
    pub fn open_read(folder: &Path, ends: &[Place]) -> Result<Self, StoreError> {
        Ok(Self::load(folder, ends, 0, None)?.0)
    }

    /// Takes in what was written since a folder was opened to read.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be read: it stays as it was.
    pub fn look_again(&mut self) -> Result<(), StoreError> {
        if !self.writer {
            let ends = self.starts.get(1..).unwrap_or_default();
            let again = Self::load(&self.folder, ends, 0, None)?.0;
            *self = again;
        }
        Ok(())
    }

    fn load(
        folder: &Path,
        ends: &[Place],
        promised: u64,
        lock: Option<File>,
    ) -> Result<(Self, Cut), StoreError> {
        let writer = lock.is_some();
        let mut starts = vec![Place::default()];
        starts.extend_from_slice(ends);
        let mut at = starts.last().copied().unwrap_or_default();
        let mut count = ends.len() as u64 * BLOCK_ENTRIES;
        loop {
            let next = path(folder, at.segment + 1, "leaf").exists();
            if path(folder, at.segment, "leaf").exists() || !writer {
                walk(folder, at, u64::MAX, &mut |_, end| {
                    at = end;
                    count += 1;
                    if count.is_multiple_of(BLOCK_ENTRIES) {
                        starts.push(end);
                    }
                })?;
            }
            let (leaf, data) = (
                length(folder, at.segment, "leaf"),
                length(folder, at.segment, "data"),
            );
            if next && (leaf, data) == (at.leaf, at.data) {
                at = Place {
                    segment: at.segment + 1,
                    ..Place::default()
                };
                continue;
            }
            if next {
                return Err(StoreError::Corrupt {
                    path: path(folder, at.segment, "leaf"),
                    what: "a broken record before the last segment",
                });
            }
            // What was signed for and is not whole is no torn tail: it must stay as it was found.
            if count < promised {
                return Err(StoreError::Short {
                    folder: folder.to_owned(),
                    whole: count,
                    promised,
                });
            }
            let cut = Cut {
                leaf_bytes: leaf.saturating_sub(at.leaf),
                data_bytes: data.saturating_sub(at.data),
            };
            let (leaf, data) = if writer {
                (
                    open_end(folder, at.segment, "leaf", at.leaf)?,
                    open_end(folder, at.segment, "data", at.data)?,
                )
            } else {
                (
                    open_plain(folder, at.segment, "leaf")?,
                    open_plain(folder, at.segment, "data")?,
                )
            };
            if writer {
                sync_folder(folder)?;
            }
            let files = Self {
                folder: folder.to_owned(),
                starts,
                count,
                end: at,
                leaf,
                data,
                writer,
                stopped: false,
                open_block: Mutex::new(None),
                _lock: lock,
            };
            return Ok((files, cut));
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where a whole block ends; `None` when it is not whole yet.
    #[must_use]
    pub fn end_of_block(&self, block: u64) -> Option<Place> {
        let next = usize::try_from(block).ok()?.checked_add(1)?;
        self.starts.get(next).copied()
    }

    /// Appends entries; they are durable when it returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: none of them counts as written. The writer stops when a sync failed; a full
    /// disk does not stop it: what was written is cut back and the next append may succeed.
    pub fn append(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        if self.stopped || !self.writer {
            return Err(StoreError::Stopped);
        }
        let too_long = rows.iter().any(|row| {
            row.leaf.len() > LEAF_MAX as usize || row.payload.len() > PAYLOAD_MAX as usize
        });
        if too_long {
            return Err(StoreError::TooLong {
                leaf: LEAF_MAX,
                payload: PAYLOAD_MAX,
            });
        }
        if self.end.leaf + self.end.data > SEGMENT_BYTES {
            let segment = self.end.segment + 1;
            let leaf = open_end(&self.folder, segment, "leaf", 0)?;
            let data = open_end(&self.folder, segment, "data", 0)?;
            // A name that is not durable would take the whole segment with it.
            sync_folder(&self.folder)?;
            (self.leaf, self.data) = (leaf, data);
            self.end = Place {
                segment,
                ..Place::default()
            };
        }
        let (mut leaves, mut payloads) = (Vec::new(), Vec::new());
        let (mut end, mut count, mut starts) = (self.end, self.count, Vec::new());
        for row in rows {
            framed(&mut leaves, &row.leaf);
            framed(&mut payloads, &row.payload);
            end.leaf = self.end.leaf + leaves.len() as u64;
            end.data = self.end.data + payloads.len() as u64;
            count += 1;
            if count.is_multiple_of(BLOCK_ENTRIES) {
                starts.push(end);
            }
        }
        let written = write(&self.data, &payloads, self.end.data)
            .and_then(|()| write(&self.leaf, &leaves, self.end.leaf));
        if let Err(failed) = written {
            let (Failed::Write(source) | Failed::Sync(source)) = &failed;
            let source = std::io::Error::new(source.kind(), source.to_string());
            let cut_back = self
                .leaf
                .set_len(self.end.leaf)
                .and_then(|()| self.data.set_len(self.end.data));
            // After a failed sync, what the kernel kept is unknown: take nothing more.
            self.stopped = matches!(failed, Failed::Sync(_)) || cut_back.is_err();
            return Err(StoreError::Io {
                path: path(&self.folder, self.end.segment, "leaf"),
                source,
            });
        }
        (self.end, self.count) = (end, count);
        self.starts.extend(starts);
        Ok(())
    }

    /// Reads one entry; `None` when there is none of that number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be read.
    pub fn read(&self, number: u64) -> Result<Option<Row>, StoreError> {
        self.at(number, |place, leaf, data| {
            let file = |ending| path(&self.folder, place.segment, ending);
            Ok(Row {
                leaf: read_framed(leaf, place.leaf, LEAF_MAX)
                    .map_err(StoreError::io(&file("leaf")))?,
                payload: read_framed(data, place.data, PAYLOAD_MAX)
                    .map_err(StoreError::io(&file("data")))?,
            })
        })
    }

    /// Reads one entry's leaf alone; `None` when there is none of that number.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_leaf(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.at(number, |place, leaf, _| {
            read_framed(leaf, place.leaf, LEAF_MAX).map_err(StoreError::io(&path(
                &self.folder,
                place.segment,
                "leaf",
            )))
        })
    }

    /// Finds an entry's place and its open files.
    fn at<T>(
        &self,
        number: u64,
        read: impl FnOnce(Place, &File, &File) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if number >= self.count {
            return Ok(None);
        }
        let block = number / BLOCK_ENTRIES;
        let mut open = self
            .open_block
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let within = usize::try_from(number % BLOCK_ENTRIES).unwrap_or(0);
        let known = open
            .as_ref()
            .is_some_and(|open| open.number == block && open.places.len() > within);
        if !known {
            *open = Some(self.open_block(block)?);
        }
        let found = open.as_ref().and_then(|open| {
            let place = *open.places.get(within)?;
            let (leaf, data) = open.files.get(&place.segment)?;
            Some((place, leaf, data))
        });
        let Some((place, leaf, data)) = found else {
            return Err(StoreError::Corrupt {
                path: path(&self.folder, 0, "leaf"),
                what: "fewer records than when it was opened",
            });
        };
        read(place, leaf, data).map(Some)
    }

    fn open_block(&self, number: u64) -> Result<OpenBlock, StoreError> {
        let start = usize::try_from(number)
            .ok()
            .and_then(|at| self.starts.get(at))
            .copied()
            .unwrap_or_default();
        let wanted = (self.count - number * BLOCK_ENTRIES).min(BLOCK_ENTRIES);
        let (mut places, mut files) = (Vec::new(), BTreeMap::new());
        let mut at = start;
        while (places.len() as u64) < wanted {
            let before = places.len();
            let left = wanted - places.len() as u64;
            walk(&self.folder, at, left, &mut |place, _| places.push(place))?;
            if places.len() > before {
                let open = (
                    open_plain(&self.folder, at.segment, "leaf")?,
                    open_plain(&self.folder, at.segment, "data")?,
                );
                files.insert(at.segment, open);
            }
            if at.segment >= self.end.segment {
                break;
            }
            at = Place {
                segment: at.segment + 1,
                ..Place::default()
            };
        }
        Ok(OpenBlock {
            number,
            places,
            files,
        })
    }

    /// Overwrites an entry's payload in place with bytes of the same length, and syncs.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the file can't be written, or the new bytes have another length.
    pub fn overwrite_payload(&self, number: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let place = self.at(number, |place, _, data| {
            let file = path(&self.folder, place.segment, "data");
            let old = read_prefix(data, place.data).map_err(StoreError::io(&file))?;
            Ok((place, file, old))
        })?;
        let Some((place, file, old)) = place else {
            return Ok(());
        };
        if old as usize != bytes.len() {
            return Err(StoreError::Corrupt {
                path: file,
                what: "a payload of another length",
            });
        }
        let data = OpenOptions::new()
            .write(true)
            .open(&file)
            .map_err(StoreError::io(&file))?;
        data.write_all_at(bytes, place.data + 4)
            .and_then(|()| data.sync_data())
            .map_err(StoreError::io(&file))
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, SegmentFiles, StoreError};
    use crate::BLOCK_ENTRIES;
    use std::fs;

    fn rows(from: u64, count: u64) -> Vec<Row> {
        (from..from + count)
            .map(|value| Row {
                leaf: value.to_be_bytes().to_vec(),
                payload: vec![value.to_be_bytes()[7]; 20],
            })
            .collect()
    }

    #[test]
    fn a_torn_tail_is_cut_wherever_it_tears_and_what_was_acknowledged_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut files, _) = SegmentFiles::open(folder.path(), &[], 0).expect("opened");
        files.append(&rows(0, 3)).expect("appended");
        drop(files);
        let (leaf, data) = (
            folder.path().join("00000000.leaf"),
            folder.path().join("00000000.data"),
        );
        let (whole_leaf, whole_data) = (
            fs::read(&leaf).expect("leaves"),
            fs::read(&data).expect("payloads"),
        );
        for torn in 0..12 {
            fs::write(&leaf, [&whole_leaf[..], &whole_leaf[..torn]].concat()).expect("written");
            fs::write(&data, [&whole_data[..], &whole_data[..24]].concat()).expect("written");
            let (mut files, cut) = SegmentFiles::open(folder.path(), &[], 3).expect("opened");
            assert_eq!((files.len(), cut.leaf_bytes), (3, torn as u64));
            files.append(&rows(9, 1)).expect("appended");
            let row = files.read(3).expect("read");
            assert_eq!(row, rows(9, 1).pop());
            let row = files.read(2).expect("read");
            assert_eq!(row, rows(2, 1).pop());
        }
    }

    #[test]
    fn fewer_entries_than_were_signed_for_are_no_torn_tail_and_nothing_is_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut files, _) = SegmentFiles::open(folder.path(), &[], 0).expect("opened");
        files.append(&rows(0, 3)).expect("appended");
        drop(files);
        let leaf = folder.path().join("00000000.leaf");
        let mut bytes = fs::read(&leaf).expect("leaves");
        bytes[12] = 0xff;
        fs::write(&leaf, &bytes).expect("written");
        let opened = SegmentFiles::open(folder.path(), &[], 3);
        assert!(
            matches!(
                opened,
                Err(StoreError::Short {
                    whole: 1,
                    promised: 3,
                    ..
                })
            ),
            "{:?}",
            opened.err()
        );
        assert_eq!(fs::read(&leaf).expect("leaves"), bytes);
    }

    #[test]
    fn every_entry_is_read_again_across_blocks_from_known_ends_or_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut files, _) = SegmentFiles::open(folder.path(), &[], 0).expect("opened");
        let count = BLOCK_ENTRIES * 3 + 7;
        let mut at = 0;
        for step in [1, 255, 2, 300].iter().cycle() {
            let step = (*step).min(count - at);
            files.append(&rows(at, step)).expect("appended");
            at += step;
            if at == count {
                break;
            }
        }
        let ends: Vec<_> = (0..3)
            .filter_map(|block| files.end_of_block(block))
            .collect();
        assert_eq!((ends.len(), files.end_of_block(3)), (3, None));
        for known in 0..=3 {
            let again = SegmentFiles::open_read(folder.path(), &ends[..known]).expect("opened");
            assert_eq!(again.len(), count);
            for number in (0..count).step_by(17).chain([count - 1]) {
                assert_eq!(again.read(number).expect("read"), rows(number, 1).pop());
            }
            assert_eq!(again.read(count).expect("read"), None);
        }
    }

    #[test]
    fn a_reader_takes_in_what_was_written_since() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut files, _) = SegmentFiles::open(folder.path(), &[], 0).expect("opened");
        files.append(&rows(0, 250)).expect("appended");
        let mut reader = SegmentFiles::open_read(folder.path(), &[]).expect("opened");
        for (at, step) in [(250, 0), (250, 6), (256, 300), (556, 1)] {
            files.append(&rows(at, step)).expect("appended");
            reader.look_again().expect("read");
            assert_eq!(reader.len(), at + step);
            assert_eq!(reader.read(3).expect("read"), rows(3, 1).pop());
            let last = at + step - 1;
            assert_eq!(reader.read(last).expect("read"), rows(last, 1).pop());
        }
        files.look_again().expect("a writer knows");
        assert_eq!(files.len(), 557);
    }

    #[test]
    fn what_no_reader_would_take_is_refused_when_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut files, _) = SegmentFiles::open(folder.path(), &[], 0).expect("opened");
        let long = Row {
            leaf: vec![0; 65_536],
            payload: Vec::new(),
        };
        let refused = files.append(&[long]);
        assert!(matches!(refused, Err(StoreError::TooLong { .. })));
        files.append(&rows(0, 1)).expect("still taken");
    }

    #[test]
    fn one_writer_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = SegmentFiles::open(folder.path(), &[], 0).expect("opened");
        assert!(SegmentFiles::open(folder.path(), &[], 0).is_err());
    }
}

//! Segment files: `NNNNNNNN.leaf` and `NNNNNNNN.data`, records with their length in front.
//!
//! An append is one write and one `fdatasync` per file, payloads before leaves: an entry exists once
//! its leaf does. A torn tail is cut back to the last whole entry at the next opening. After a failed
//! sync the writer takes nothing more: what the kernel kept is unknown ("Can Applications Recover
//! from fsync Failures?", ATC 2020).

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes after which a new segment begins.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Longest leaf (C2SP tiles' limit) and longest payload, in bytes.
const LEAF_MAX: u32 = 65_535;
const PAYLOAD_MAX: u32 = 4 << 20;

/// Why the files can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused.
    #[error("can't use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Another process writes here.
    #[error("another magewarden writes to {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The bytes aren't what was written.
    #[error("{} holds {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A sync failed before: the writer stopped.
    #[error("writing stopped after an earlier failure; start again")]
    Stopped,
}

impl StoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

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

#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u32,
    leaf: u64,
    data: u64,
}

/// A folder of segments.
pub struct SegmentFiles {
    folder: PathBuf,
    places: Vec<Place>,
    segment: u32,
    leaf: File,
    data: File,
    leaf_length: u64,
    data_length: u64,
    writer: bool,
    stopped: bool,
    readers: std::sync::Mutex<Option<(u32, File, File)>>,
    _lock: Option<File>,
}

impl SegmentFiles {
    /// Opens a folder to write, making it when absent; cuts a torn tail.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be used, or another process writes to them.
    pub fn open(folder: &Path) -> Result<(Self, Cut), StoreError> {
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
        Self::load(folder, Some(lock))
    }

    /// Opens a folder to read; a torn tail is not shown.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be read.
    pub fn open_read(folder: &Path) -> Result<Self, StoreError> {
        Ok(Self::load(folder, None)?.0)
    }

    fn load(folder: &Path, lock: Option<File>) -> Result<(Self, Cut), StoreError> {
        let writer = lock.is_some();
        let mut places = Vec::new();
        let mut segment = 0;
        loop {
            let next = path(folder, segment + 1, "leaf").exists();
            let (leaf_end, data_end) = scan(folder, segment, writer, &mut places)?;
            let lengths = (
                length(folder, segment, "leaf"),
                length(folder, segment, "data"),
            );
            if next && (lengths.0, lengths.1) != (leaf_end, data_end) {
                return Err(StoreError::Corrupt {
                    path: path(folder, segment, "leaf"),
                    what: "a broken record before the last segment",
                });
            }
            if next {
                segment += 1;
                continue;
            }
            let cut = Cut {
                leaf_bytes: lengths.0 - leaf_end,
                data_bytes: lengths.1.saturating_sub(data_end),
            };
            let (leaf, data) = if writer {
                (
                    open_end(folder, segment, "leaf", leaf_end)?,
                    open_end(folder, segment, "data", data_end)?,
                )
            } else {
                (
                    open_plain(folder, segment, "leaf")?,
                    open_plain(folder, segment, "data")?,
                )
            };
            let files = Self {
                folder: folder.to_owned(),
                places,
                segment,
                leaf,
                data,
                leaf_length: leaf_end,
                data_length: data_end,
                writer,
                stopped: false,
                readers: std::sync::Mutex::new(None),
                _lock: lock,
            };
            return Ok((files, cut));
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.places.len() as u64
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Appends entries; they are durable when it returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: none of them counts as written, and the writer stops when a sync failed.
    pub fn append(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        if self.stopped || !self.writer {
            return Err(StoreError::Stopped);
        }
        if self.leaf_length + self.data_length > SEGMENT_BYTES {
            self.segment += 1;
            self.leaf = open_end(&self.folder, self.segment, "leaf", 0)?;
            self.data = open_end(&self.folder, self.segment, "data", 0)?;
            (self.leaf_length, self.data_length) = (0, 0);
        }
        let (mut leaves, mut payloads, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            places.push(Place {
                segment: self.segment,
                leaf: self.leaf_length + leaves.len() as u64,
                data: self.data_length + payloads.len() as u64,
            });
            framed(&mut leaves, &row.leaf);
            framed(&mut payloads, &row.payload);
        }
        let written = write(&self.data, &payloads, self.data_length)
            .and_then(|()| write(&self.leaf, &leaves, self.leaf_length));
        if let Err(source) = written {
            // What the kernel kept is unknown: cut back what can be, and take nothing more.
            self.stopped = true;
            drop(self.leaf.set_len(self.leaf_length));
            drop(self.data.set_len(self.data_length));
            return Err(StoreError::Io {
                path: path(&self.folder, self.segment, "leaf"),
                source,
            });
        }
        self.leaf_length += leaves.len() as u64;
        self.data_length += payloads.len() as u64;
        self.places.extend(places);
        Ok(())
    }

    /// Reads one entry; `None` when there is none of that number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be read.
    pub fn read(&self, number: u64) -> Result<Option<Row>, StoreError> {
        let Some(place) = usize::try_from(number)
            .ok()
            .and_then(|at| self.places.get(at))
            .copied()
        else {
            return Ok(None);
        };
        let mut readers = self
            .readers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if readers
            .as_ref()
            .is_none_or(|(segment, ..)| *segment != place.segment)
        {
            *readers = Some((
                place.segment,
                open_plain(&self.folder, place.segment, "leaf")?,
                open_plain(&self.folder, place.segment, "data")?,
            ));
        }
        let Some((_, leaf, data)) = readers.as_ref() else {
            return Ok(None);
        };
        let leaf = read_framed(leaf, place.leaf, LEAF_MAX).map_err(StoreError::io(&path(
            &self.folder,
            place.segment,
            "leaf",
        )))?;
        let payload = read_framed(data, place.data, PAYLOAD_MAX).map_err(StoreError::io(&path(
            &self.folder,
            place.segment,
            "data",
        )))?;
        Ok(Some(Row { leaf, payload }))
    }

    /// Rewrites the payloads of one segment: `change` gives new bytes of the same length, or `None` to keep them.
    /// Old bytes are overwritten in place and synced.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the file can't be written, or new bytes have another length.
    pub fn overwrite_payload(&self, number: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(place) = usize::try_from(number)
            .ok()
            .and_then(|at| self.places.get(at))
            .copied()
        else {
            return Ok(());
        };
        let file = path(&self.folder, place.segment, "data");
        let old = self
            .read(number)?
            .map(|row| row.payload.len())
            .unwrap_or_default();
        if old != bytes.len() {
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

fn path(folder: &Path, segment: u32, ending: &str) -> PathBuf {
    folder.join(format!("{segment:08}.{ending}"))
}

fn length(folder: &Path, segment: u32, ending: &str) -> u64 {
    fs::metadata(path(folder, segment, ending)).map_or(0, |facts| facts.len())
}

fn open_plain(folder: &Path, segment: u32, ending: &str) -> Result<File, StoreError> {
    let path = path(folder, segment, ending);
    File::open(&path).map_err(StoreError::io(&path))
}

fn open_end(folder: &Path, segment: u32, ending: &str, end: u64) -> Result<File, StoreError> {
    let path = path(folder, segment, ending);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(StoreError::io(&path))?;
    file.set_len(end)
        .and_then(|()| file.seek(SeekFrom::Start(end)))
        .map_err(StoreError::io(&path))?;
    Ok(file)
}

fn framed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn write(mut file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    file.sync_data()
}

fn read_framed(file: &File, at: u64, most: u32) -> std::io::Result<Vec<u8>> {
    let mut prefix = [0; 4];
    file.read_exact_at(&mut prefix, at)?;
    let length = u32::from_be_bytes(prefix);
    if length > most {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "a record longer than any that was written",
        ));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, at + 4)?;
    Ok(bytes)
}

/// Finds the whole entries of a segment: ends of leaves and payloads.
fn scan(
    folder: &Path,
    segment: u32,
    make: bool,
    places: &mut Vec<Place>,
) -> Result<(u64, u64), StoreError> {
    let leaf_path = path(folder, segment, "leaf");
    if !leaf_path.exists() && make {
        return Ok((0, 0));
    }
    let leaves = lengths(&leaf_path, LEAF_MAX)?;
    let payloads = lengths(&path(folder, segment, "data"), PAYLOAD_MAX)?;
    let (mut leaf, mut data) = (0, 0);
    for (leaf_length, data_length) in leaves.iter().zip(&payloads) {
        places.push(Place {
            segment,
            leaf,
            data,
        });
        leaf += 4 + u64::from(*leaf_length);
        data += 4 + u64::from(*data_length);
    }
    Ok((leaf, data))
}

/// Lengths of the whole records of a file.
fn lengths(path: &Path, most: u32) -> Result<Vec<u32>, StoreError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(StoreError::io(path))?;
    let (mut found, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*prefix);
        let Some(next) = usize::try_from(length)
            .ok()
            .filter(|_| length <= most)
            .and_then(|length| after.get(length..))
        else {
            break;
        };
        found.push(length);
        rest = next;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Row, SegmentFiles};
    use std::fs;

    fn rows(from: u8, count: u8) -> Vec<Row> {
        (from..from + count)
            .map(|value| Row {
                leaf: vec![value; 10],
                payload: vec![value; 20],
            })
            .collect()
    }

    #[test]
    fn a_torn_tail_is_cut_wherever_it_tears_and_what_was_acknowledged_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut files, _) = SegmentFiles::open(folder.path()).expect("opened");
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
        for torn in 0..14 {
            fs::write(&leaf, [&whole_leaf[..], &whole_leaf[..torn]].concat()).expect("written");
            fs::write(&data, [&whole_data[..], &whole_data[..24]].concat()).expect("written");
            let (mut files, cut) = SegmentFiles::open(folder.path()).expect("opened");
            assert_eq!((files.len(), cut.leaf_bytes), (3, torn as u64));
            files.append(&rows(9, 1)).expect("appended");
            assert_eq!(
                files.read(3).expect("read").map(|row| row.leaf),
                Some(vec![9; 10])
            );
            assert_eq!(
                files.read(2).expect("read").map(|row| row.payload),
                Some(vec![2; 20])
            );
        }
    }

    #[test]
    fn one_writer_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = SegmentFiles::open(folder.path()).expect("opened");
        assert!(SegmentFiles::open(folder.path()).is_err());
    }
}

//! Framed records of one file: four bytes of length, big-endian, then that many bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{Place, StoreError};

/// Longest leaf (C2SP tiles' limit) and longest payload, in bytes.
pub(crate) const LEAF_MAX: u32 = 65_535;
pub(crate) const PAYLOAD_MAX: u32 = 64 << 20;

/// Goes over at most `most` whole entries of one segment from a place on; tells where each begins and ends.
pub(crate) fn walk(
    folder: &Path,
    from: Place,
    most: u64,
    tell: &mut dyn FnMut(Place, Place),
) -> Result<(), StoreError> {
    let mut leaves = Frames::open(path(folder, from.segment, "leaf"), from.leaf, LEAF_MAX)?;
    let mut payloads = Frames::open(path(folder, from.segment, "data"), from.data, PAYLOAD_MAX)?;
    let mut at = from;
    for _ in 0..most {
        let (Some(leaf), Some(data)) = (leaves.next()?, payloads.next()?) else {
            break;
        };
        let end = Place { leaf, data, ..from };
        tell(at, end);
        at = end;
    }
    Ok(())
}

/// The framed records of a file, by where they end.
pub(crate) struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    at: u64,
    length: u64,
    most: u32,
}

impl Frames {
    pub(crate) fn open(path: PathBuf, at: u64, most: u32) -> Result<Self, StoreError> {
        let mut file = File::open(&path).map_err(StoreError::io(&path))?;
        let length = file
            .metadata()
            .and_then(|facts| file.seek(SeekFrom::Start(at)).map(|_| facts.len()))
            .map_err(StoreError::io(&path))?;
        Ok(Self {
            path,
            file: BufReader::with_capacity(64 * 1024, file),
            at,
            length,
            most,
        })
    }

    /// Where the next whole record ends; `None` at the end, and where a record is not whole.
    pub(crate) fn next(&mut self) -> Result<Option<u64>, StoreError> {
        if self.at + 4 > self.length {
            return Ok(None);
        }
        let mut prefix = [0; 4];
        self.file
            .read_exact(&mut prefix)
            .map_err(StoreError::io(&self.path))?;
        let length = u32::from_be_bytes(prefix);
        let end = self.at + 4 + u64::from(length);
        if length > self.most || end > self.length {
            return Ok(None);
        }
        self.file
            .seek_relative(i64::from(length))
            .map_err(StoreError::io(&self.path))?;
        self.at = end;
        Ok(Some(end))
    }
}

pub(crate) fn path(folder: &Path, segment: u32, ending: &str) -> PathBuf {
    folder.join(format!("{segment:08}.{ending}"))
}

pub(crate) fn length(folder: &Path, segment: u32, ending: &str) -> u64 {
    fs::metadata(path(folder, segment, ending)).map_or(0, |facts| facts.len())
}

pub(crate) fn open_plain(folder: &Path, segment: u32, ending: &str) -> Result<File, StoreError> {
    let path = path(folder, segment, ending);
    File::open(&path).map_err(StoreError::io(&path))
}

pub(crate) fn open_end(
    folder: &Path,
    segment: u32,
    ending: &str,
    end: u64,
) -> Result<File, StoreError> {
    let path = path(folder, segment, ending);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(StoreError::io(&path))?;
    file.set_len(end).map_err(StoreError::io(&path))?;
    Ok(file)
}

pub(crate) fn framed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// What failed of a write.
pub(crate) enum Failed {
    Write(std::io::Error),
    Sync(std::io::Error),
}

pub(crate) fn write(file: &File, bytes: &[u8], at: u64) -> Result<(), Failed> {
    file.write_all_at(bytes, at).map_err(Failed::Write)?;
    file.sync_data().map_err(Failed::Sync)
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::io(folder))
}

pub(crate) fn read_prefix(file: &File, at: u64) -> std::io::Result<u32> {
    let mut prefix = [0; 4];
    file.read_exact_at(&mut prefix, at)?;
    Ok(u32::from_be_bytes(prefix))
}

pub(crate) fn read_framed(file: &File, at: u64, most: u32) -> std::io::Result<Vec<u8>> {
    let length = read_prefix(file, at)?;
    if length > most {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "a record longer than any that was written",
        ));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, at + 4)?;
    Ok(bytes)
}

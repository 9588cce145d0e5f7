//! The files of a spool.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use link::records::{Batch, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, RecordsError};

use super::{Found, SpoolError, Spot, file};

/// How a spool's files end.
const ENDING: &str = "spool";

fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.{ENDING}"))
}

/// The files there are, by number, with their bytes.
fn list(folder: &Path) -> Result<BTreeMap<u32, u64>, SpoolError> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(file(folder))? {
        let path = entry.map_err(file(folder))?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if path.extension().is_some_and(|one| one == ENDING)
            && let Some(number) = name.and_then(|name| name.parse().ok())
        {
            let facts = fs::metadata(&path).map_err(file(&path))?;
            out.insert(number, facts.len());
        }
    }
    Ok(out)
}

/// Opens a file to be appended to.
pub(super) fn append_to(folder: &Path, number: u32) -> Result<File, SpoolError> {
    let path = path(folder, number);
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(file(&path))?;
    // Its name is to be there when its bytes are.
    let folder_file = File::open(folder).and_then(|one| one.sync_all());
    folder_file.map_err(file(folder))?;
    Ok(opened)
}

/// Writes bytes at a file's end, and has them on disk; what fails leaves the file as it was.
pub(super) fn write(
    folder: &Path,
    number: u32,
    to: &File,
    bytes: &[u8],
    at: u64,
) -> Result<(), SpoolError> {
    let written = to.write_all_at(bytes, at).and_then(|()| to.sync_data());
    if let Err(error) = written {
        // What can't be cut off now is overwritten by the next write, or cut off at the next start.
        let _cut = to.set_len(at);
        return Err(file(&path(folder, number))(error));
    }
    Ok(())
}

/// Removes a file.
pub(super) fn remove(folder: &Path, number: u32) -> Result<(), SpoolError> {
    let path = path(folder, number);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file(&path)(error)),
        _ => Ok(()),
    }
}

/// Removes every file but the cursor.
pub(super) fn clear(folder: &Path) -> Result<(), SpoolError> {
    for number in list(folder)?.into_keys() {
        remove(folder, number)?;
    }
    Ok(())
}

/// Sets a whole spool aside, in place of one that was set aside before; gives where it lies.
pub(in crate::agent::collect) fn set_aside(folder: &Path) -> Result<PathBuf, SpoolError> {
    let aside = folder.with_extension("aside");
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(file(&aside))?;
    }
    fs::rename(folder, &aside).map_err(file(folder))?;
    Ok(aside)
}

/// Looks through what waits from a spot on, and makes the files end with what is whole. What a kill tore is cut off; behind something
/// that is damaged all is kept aside.
pub(super) fn look(
    folder: &Path,
    from: Spot,
    found: &mut Found,
    each: &mut dyn FnMut(&Batch),
) -> Result<BTreeMap<u32, u64>, SpoolError> {
    let mut files = list(folder)?;
    // What the server has, and wasn't removed before a kill.
    let over: Vec<u32> = files
        .range(..from.file)
        .map(|(number, _)| *number)
        .collect();
    for number in over {
        remove(folder, number)?;
        files.remove(&number);
    }
    if !files.contains_key(&from.file) && (from.at > 0 || !files.is_empty()) {
        let path = path(folder, from.file);
        return Err(SpoolError::Damaged { path });
    }
    let mut reader = Frames::new(folder, &files, from);
    let whole = loop {
        let before = reader.spot;
        match reader.next() {
            Ok(Some((batch, _))) => each(&batch),
            Ok(None) => break None,
            Err(SpoolError::Damaged { .. }) => break Some(before),
            Err(error) => return Err(error),
        }
    };
    let Some(end) = whole else { return Ok(files) };
    let last = files.last_key_value().map_or(0, |(number, _)| *number);
    let bad = path(folder, end.file);
    let rest = read_from(&bad, end.at)?;
    if end.file == last && is_torn(&rest) {
        found.cut_bytes = rest.len() as u64;
    } else {
        found.aside = Some(keep(folder, end, &rest, &files)?);
    }
    let cut = append_to(folder, end.file)?;
    cut.set_len(end.at)
        .and_then(|()| cut.sync_all())
        .map_err(file(&bad))?;
    let behind: Vec<u32> = files
        .range(end.file + 1..)
        .map(|(number, _)| *number)
        .collect();
    for number in behind {
        remove(folder, number)?;
        files.remove(&number);
    }
    files.insert(end.file, end.at);
    Ok(files)
}

/// Whether bytes at the very end are what a write that never finished left: no whole frame begins anywhere behind the first.
fn is_torn(rest: &[u8]) -> bool {
    let length = rest
        .first_chunk::<4>()
        .map(|four| u32::from_be_bytes(*four));
    let Some(length) = length.map(|length| length as usize) else {
        return true;
    };
    if length > FRAME_BYTES_MAX {
        return rest.iter().all(|byte| *byte == 0);
    }
    match rest.get(FRAME_HEAD_BYTES + length..) {
        // The frame would end behind the file.
        None => true,
        // The file grew, and its bytes never came.
        Some(_) => rest.iter().all(|byte| *byte == 0),
    }
}

/// Keeps damaged bytes, and files behind them, in a folder of their own; gives which.
fn keep(
    folder: &Path,
    end: Spot,
    rest: &[u8],
    files: &BTreeMap<u32, u64>,
) -> Result<PathBuf, SpoolError> {
    let aside = folder.with_extension("aside");
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(file(&aside))?;
    }
    crate::runs::make_ours(&aside).map_err(file(&aside))?;
    stores::write_atomically(&path(&aside, end.file), rest)?;
    for number in files.range(end.file + 1..).map(|(number, _)| *number) {
        let (from, to) = (path(folder, number), path(&aside, number));
        fs::rename(&from, &to).map_err(file(&from))?;
    }
    Ok(aside)
}

fn read_from(path: &Path, at: u64) -> Result<Vec<u8>, SpoolError> {
    let opened = File::open(path).map_err(file(path))?;
    let length = opened.metadata().map_err(file(path))?.len();
    let mut bytes = vec![0; usize::try_from(length.saturating_sub(at)).unwrap_or_default()];
    opened.read_exact_at(&mut bytes, at).map_err(file(path))?;
    Ok(bytes)
}

/// Reads frames one after the other, over the files as they were when it began.
pub(super) struct Frames {
    folder: PathBuf,
    files: BTreeMap<u32, u64>,
    /// Where the next one begins.
    pub(super) spot: Spot,
    open: Option<File>,
}

impl Frames {
    pub(super) fn new(folder: &Path, files: &BTreeMap<u32, u64>, from: Spot) -> Self {
        Self {
            folder: folder.to_owned(),
            files: files.clone(),
            spot: from,
            open: None,
        }
    }

    /// The next frame, and where it ends; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Batch, Spot)>, SpoolError> {
        loop {
            let length = self.files.get(&self.spot.file).copied().unwrap_or_default();
            if self.spot.at < length {
                break;
            }
            let behind = self.files.range(self.spot.file + 1..).next();
            let Some((number, _)) = behind else {
                return Ok(None);
            };
            self.spot = Spot {
                file: *number,
                at: 0,
            };
            self.open = None;
        }
        let path = path(&self.folder, self.spot.file);
        let opened = match self.open.take() {
            Some(opened) => opened,
            None => File::open(&path).map_err(file(&path))?,
        };
        let damaged = || SpoolError::Damaged { path: path.clone() };
        let read = |at: u64, most: usize| {
            let mut bytes = vec![0; most];
            let read = opened.read_exact_at(&mut bytes, at);
            read.map(|()| bytes).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => damaged(),
                _ => file(&path)(error),
            })
        };
        let head = read(self.spot.at, FRAME_HEAD_BYTES)?;
        let length = head.first_chunk::<4>().copied().unwrap_or_default();
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(damaged());
        }
        let whole = read(self.spot.at, FRAME_HEAD_BYTES + length)?;
        let unframed = Batch::unframe(&whole);
        let (batch, length) = unframed.map_err(|_: RecordsError| damaged())?;
        self.spot.at += length as u64;
        self.open = Some(opened);
        Ok(Some((batch, self.spot)))
    }
}

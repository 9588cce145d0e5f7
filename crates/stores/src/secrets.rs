//! Small files that must be whole or absent: keys and checkpoints. 0600, written aside and renamed.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::StoreError;

/// Reads a file of exactly `N` bytes.
///
/// # Errors
///
/// [`StoreError`] when it can't be read, or holds another number of bytes.
pub fn read<const N: usize>(path: &Path) -> Result<[u8; N], StoreError> {
    let bytes = fs::read(path).map_err(StoreError::io(path))?;
    bytes.try_into().map_err(|_| StoreError::Corrupt {
        path: path.to_owned(),
        what: "a key of the wrong length",
    })
}

/// Reads a file of exactly `N` bytes, or makes it with `fresh` (mode 0600) when it is absent.
///
/// # Errors
///
/// [`StoreError`] when it can't be read or written, or holds another number of bytes.
pub fn read_or_make<const N: usize>(
    path: &Path,
    fresh: impl FnOnce() -> [u8; N],
) -> Result<[u8; N], StoreError> {
    match read(path) {
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let bytes = fresh();
            write_atomically(path, &bytes)?;
            Ok(bytes)
        }
        read => read,
    }
}

/// Makes an empty file (mode 0600) when there is none.
pub(crate) fn touch(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(StoreError::io(path))
}

/// Writes a file aside, syncs it, renames it into place and syncs the folder.
///
/// # Errors
///
/// [`StoreError::Io`] naming the file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .map_err(StoreError::io(&aside))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(StoreError::io(&aside))?;
    fs::rename(&aside, path).map_err(StoreError::io(path))?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::io(folder))
}

/// Overwrites a file with zeros, syncs, and removes it. On a copying file system old blocks may stay.
///
/// # Errors
///
/// [`StoreError::Io`] naming the file; an absent file is no error.
pub fn destroy(path: &Path) -> Result<(), StoreError> {
    let length = match fs::metadata(path) {
        Ok(facts) => facts.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::io(path)(source)),
    };
    let mut file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(StoreError::io(path))?;
    let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
    file.write_all(&zeros)
        .and_then(|()| file.sync_all())
        .map_err(StoreError::io(path))?;
    fs::remove_file(path).map_err(StoreError::io(path))
}

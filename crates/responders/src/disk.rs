//! The one place that changes anything: each change is a step that a test can make the last one.
//!
//! Invariant: a file is replaced whole, by a temporary beside it that is on disk before it takes the name.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use crate::ActionError;

/// Counts steps down to a death that tests ask for.
pub(crate) struct Disk {
    left: AtomicU32,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            left: AtomicU32::new(u32::MAX),
        }
    }
}

impl Disk {
    /// From now on as many steps are done as `steps` says, and then none, as if the process had been killed.
    pub(crate) fn die_after(&self, steps: u32) {
        self.left.store(steps, Ordering::SeqCst);
    }

    /// Whether that came to pass.
    pub(crate) fn died(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// One step is about to be done.
    pub(crate) fn step(&self, path: &Path) -> Result<(), ActionError> {
        let count = |left: u32| match left {
            0 => None,
            u32::MAX => Some(u32::MAX),
            left => Some(left - 1),
        };
        let counted = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count);
        counted.map(drop).map_err(|_| ActionError::File {
            what: "go on at",
            path: path.to_owned(),
            source: std::io::Error::other("the process ended here"),
        })
    }

    /// Replaces a file whole, or makes it; a file that is there keeps its mode and owner. `modified` is set when given.
    pub(crate) fn replace(
        &self,
        path: &Path,
        content: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<(), ActionError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let temporary = temporary(path);
        let before = match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(ActionError::Refused {
                    why: format!("{} is no plain file", path.display()),
                });
            }
            Ok(found) => Some(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ActionError::file("look at", path)(error)),
        };
        self.remove(&temporary)?;
        self.step(&temporary)?;
        let failed = || ActionError::file("write", &temporary);
        let mode = before.as_ref().map_or(0o644, |found| found.mode() & 0o7777);
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600);
        let mut file = made.open(&temporary).map_err(failed())?;
        file.write_all(content).map_err(failed())?;
        if let Some(found) = &before {
            std::os::unix::fs::fchown(&file, Some(found.uid()), Some(found.gid()))
                .map_err(failed())?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(failed())?;
        if let Some(modified) = modified {
            file.set_times(FileTimes::new().set_modified(modified))
                .map_err(failed())?;
        }
        file.sync_all().map_err(failed())?;
        self.step(path)?;
        std::fs::rename(&temporary, path).map_err(ActionError::file("replace", path))?;
        sync(folder)
    }

    /// Removes a file; one that isn't there is removed.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), ActionError> {
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            _ => self.step(path)?,
        }
        std::fs::remove_file(path).map_err(ActionError::file("remove", path))?;
        sync(path.parent().unwrap_or(Path::new("/")))
    }
}

/// Where a file is written before it takes its name.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// Brings a folder's names to disk.
pub(crate) fn sync(folder: &Path) -> Result<(), ActionError> {
    let opened = File::open(folder).and_then(|folder| folder.sync_all());
    opened.map_err(ActionError::file("sync", folder))
}

//! The one place that changes files: each change is a step that a test can make the last one.
//!
//! Invariant: a file is replaced whole, by a temporary beside it that is on disk before it takes the name.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::ActionError;
use crate::steps::Steps;

/// Changes files of this host.
#[derive(Default)]
pub(crate) struct Disk {
    /// Counts its changes, and those of the database.
    pub(crate) steps: Steps,
}

impl Disk {
    /// One step is about to be done.
    pub(crate) fn step(&self, path: &Path) -> Result<(), ActionError> {
        self.steps.step(path.display())
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

//! The one place that changes files: each change is a step that a test can make the last one.
//!
//! Invariant: a file is replaced whole, by a temporary beside it that is on disk before it takes the name.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr, lgetxattr, llistxattr};
use rustix::io::Errno;

use crate::ActionError;
use crate::steps::Steps;

/// Largest attribute, and all their names: what Linux allows.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

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

    /// Replaces a file whole, or makes it; a file that is there keeps its mode, owner and attributes. `modified` is set when given.
    pub(crate) fn replace(
        &self,
        path: &Path,
        content: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<(), ActionError> {
        let done = self.replaced(path, content, modified);
        if !matches!(done, Ok(()) | Err(ActionError::Ended { .. })) {
            // It may hold secrets of the shop; what isn't there needs no removing, and the failure is told in any case.
            drop(std::fs::remove_file(temporary(path)));
        }
        done
    }

    fn replaced(
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
        if before.is_some() {
            keep_attributes(path, &file)
                .map_err(ActionError::file("keep the attributes of", path))?;
        }
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

/// Gives a file the extended attributes of another: access control lists above all, without which a web server might no longer read it.
fn keep_attributes(from: &Path, to: &File) -> Result<(), std::io::Error> {
    let mut names = vec![0; ATTRIBUTE_BYTES_MAX];
    let told = match llistxattr(from, names.as_mut_slice()) {
        Err(Errno::NOTSUP) => return Ok(()),
        told => told?,
    };
    let names = names.get(..told).unwrap_or_default();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let (mut value, mut has) = (vec![0; ATTRIBUTE_BYTES_MAX], vec![0; ATTRIBUTE_BYTES_MAX]);
        let told = lgetxattr(from, name, value.as_mut_slice())?;
        let value = value.get(..told).unwrap_or_default();
        // A label that the system gave the new file by itself needn't be set, and often may not.
        let has =
            fgetxattr(to, name, has.as_mut_slice()).map(|told| has.get(..told) == Some(value));
        if has != Ok(true) {
            fsetxattr(to, name, value, XattrFlags::empty())?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use rustix::fs::{XattrFlags, lgetxattr, setxattr};

    use super::Disk;

    #[test]
    fn a_replaced_file_keeps_its_attributes() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("env.php");
        std::fs::write(&file, "old").expect("written");
        // An access control list as Linux keeps it: version 2; owner, user 33, group, mask, others.
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in [
            (1_u16, 6_u16, u32::MAX),
            (2, 4, 33),
            (4, 0, u32::MAX),
            (0x10, 4, u32::MAX),
            (0x20, 0, u32::MAX),
        ] {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let name = "system.posix_acl_access";
        setxattr(&file, name, &list, XattrFlags::empty()).expect("a list");
        Disk::default()
            .replace(&file, b"new", None)
            .expect("replaced");
        let mut told = vec![0; 1024];
        let length = lgetxattr(&file, name, told.as_mut_slice()).expect("a list");
        assert_eq!(told.get(..length), Some(list.as_slice()));
        assert_eq!(std::fs::read(&file).expect("read"), b"new");
    }
}

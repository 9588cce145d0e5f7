//! The way to a file below Magento's root: each folder opened by its handle and never through a link, so that whoever may write
//! there can't turn it to another file in between.

use std::fs::File;
use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::ActionError;

/// Opens the folder that a file is in; gives it with the file's name. The root itself may be a link.
pub(crate) fn folder_of<'a>(root: &Path, file: &'a str) -> Result<(File, &'a str), ActionError> {
    walk(root, file, &|_| Ok(()))
}

/// The same, with a look at each folder on the way, the root first.
pub(crate) fn walk<'a>(
    root: &Path,
    file: &'a str,
    look: &dyn Fn(&File) -> Result<(), ActionError>,
) -> Result<(File, &'a str), ActionError> {
    let shown = Path::new(file);
    let mut folder = File::open(root).map_err(ActionError::file("open", root))?;
    look(&folder)?;
    let mut parts = file.split('/');
    let name = parts.next_back().unwrap_or_default();
    for part in parts {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(&folder, part, flags, Mode::empty());
        folder = File::from(opened.map_err(|error| match error {
            Errno::ELOOP | Errno::ENOTDIR => ActionError::Refused {
                why: format!("{file} has a link or a file on its way"),
            },
            error => ActionError::file("open the folders of", shown)(error.into()),
        })?);
        look(&folder)?;
    }
    Ok((folder, name))
}

/// Opens a plain file, or whatever else is there without waiting for it; a link is an error. When it was last read stays as it is
/// where that may be asked for (its owner and root may).
pub(crate) fn open(
    folder: &File,
    name: &(impl NixPath + ?Sized),
    shown: &Path,
) -> Result<File, ActionError> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = match openat(folder, name, flags | OFlag::O_NOATIME, Mode::empty()) {
        Err(Errno::EPERM) => openat(folder, name, flags, Mode::empty()),
        opened => opened,
    };
    let opened = opened.map_err(|error| ActionError::file("open", shown)(error.into()));
    opened.map(File::from)
}

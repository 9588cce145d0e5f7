//! The shop's files and our folder `quarantine`: what was at a place is moved there and back as it is, by its inode.
//!
//! Invariants: no link is followed below Magento's root; a file is known by its device and inode, so that another one under the
//! same name is told apart; nothing is overwritten.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::sys::stat::{FileStat, SFlag, fstatat};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::action::{ActionError, read_kept};
use crate::below;
use crate::host::Host;

/// A file that is moved aside: which one it is, and its name in our folder.
#[derive(Serialize, Deserialize)]
pub(crate) struct Moved {
    device: u64,
    inode: u64,
    pub(crate) name: String,
}

impl Moved {
    /// What is at a place now.
    pub(crate) fn of(found: &FileStat, shown: &Path) -> Self {
        let about = format!("{} {} {}", shown.display(), found.st_dev, found.st_ino);
        Self {
            device: found.st_dev,
            inode: found.st_ino,
            name: name_for(&about),
        }
    }

    /// Reads one back; a name that isn't ours leads nowhere.
    pub(crate) fn read(kept: &[u8]) -> Result<Self, ActionError> {
        let kept: Self = read_kept(kept)?;
        is_ours(&kept.name)?;
        Ok(kept)
    }

    /// Whether it is that file.
    pub(crate) const fn is(&self, found: &FileStat) -> bool {
        found.st_dev == self.device && found.st_ino == self.inode
    }

    /// Whether it is in our folder.
    pub(crate) fn is_aside(&self, ends: &Ends) -> Result<bool, ActionError> {
        let found = look(&ends.to, &self.name, &ends.shown)?;
        Ok(found.is_some_and(|found| self.is(&found)))
    }
}

/// A name in our folder, for what a text tells of.
pub(crate) fn name_for(about: &str) -> String {
    let hash = Sha256::digest(about.as_bytes());
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Refuses what isn't a name of ours.
pub(crate) fn is_ours(name: &str) -> Result<(), ActionError> {
    let is_ours = name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if is_ours {
        Ok(())
    } else {
        Err(ActionError::Kept)
    }
}

/// Both ends of a move, their folders held open.
pub(crate) struct Ends {
    /// The file's folder.
    pub(crate) from: File,
    pub(crate) name: String,
    pub(crate) shown: PathBuf,
    /// Ours.
    pub(crate) to: File,
}

impl Ends {
    /// Opens them. The settings' own paths may be links; below the root nothing may.
    pub(crate) fn open(host: &Host, file: &str) -> Result<Self, ActionError> {
        let settings = host.magento()?;
        let Some(ours) = &settings.quarantine else {
            return Err(ActionError::NotSetUp {
                what: "the host's settings name no `quarantine`".to_owned(),
            });
        };
        let (from, name) = below::folder_of(&settings.root, file)?;
        let to = File::open(ours).map_err(ActionError::file("open", ours))?;
        let about = to.metadata().map_err(ActionError::file("look at", ours))?;
        if !about.is_dir() || about.mode() & 0o077 != 0 || !is_outside(ours, &settings.root)? {
            return Err(ActionError::NotSetUp {
                what: format!(
                    "{} has to be a folder for its owner alone (0700), outside Magento's root",
                    ours.display()
                ),
            });
        }
        Ok(Self {
            from,
            name: name.to_owned(),
            shown: PathBuf::from(file),
            to,
        })
    }

    /// Refuses a file that a move would have to copy.
    pub(crate) fn on_one_file_system(&self, found: &FileStat) -> Result<(), ActionError> {
        let about = self.to.metadata().map_err(ActionError::file(
            "look at",
            Path::new("the folder `quarantine`"),
        ))?;
        if about.dev() == found.st_dev {
            return Ok(());
        }
        Err(ActionError::NotSetUp {
            what:
                "`quarantine` is on another file system than the file: a move would lose what it is"
                    .to_owned(),
        })
    }
}

/// Whether a folder of the settings is neither Magento's root nor below it.
pub(crate) fn is_outside(folder: &Path, root: &Path) -> Result<bool, ActionError> {
    let whole = |path: &Path| {
        path.canonicalize()
            .map_err(ActionError::file("look at", path))
    };
    Ok(!whole(folder)?.starts_with(whole(root)?))
}

pub(crate) fn refused(path: &Path, why: &str) -> ActionError {
    ActionError::Refused {
        why: format!("{} {why}", path.display()),
    }
}

/// What is at a name, links not followed.
pub(crate) fn look(
    folder: impl AsFd,
    name: &str,
    shown: &Path,
) -> Result<Option<FileStat>, ActionError> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(ActionError::file("look at", shown)(error.into())),
    }
}

/// Whether it is a plain file.
pub(crate) fn is_plain(found: &FileStat) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

/// Moves without replacing anything, and brings both folders to disk.
pub(crate) fn rename(
    from: &File,
    old: &str,
    to: &File,
    new: &str,
    shown: &Path,
) -> Result<(), ActionError> {
    turn(from, old, to, new, RenameFlags::RENAME_NOREPLACE, shown)
}

/// Two files take each other's names in one moment: none is ever missing.
pub(crate) fn exchange(
    from: &File,
    one: &str,
    to: &File,
    other: &str,
    shown: &Path,
) -> Result<(), ActionError> {
    turn(from, one, to, other, RenameFlags::RENAME_EXCHANGE, shown)
}

fn turn(
    from: &File,
    old: &str,
    to: &File,
    new: &str,
    how: RenameFlags,
    shown: &Path,
) -> Result<(), ActionError> {
    let moved = renameat2(from, old, to, new, how);
    moved.map_err(|error| match error {
        // One file system, and yet two mounts: each of a unit's writable paths is one of its own.
        Errno::EXDEV => ActionError::NotSetUp {
            what: "`quarantine` is on another mount than the file, and nothing is moved from one to another: have both lie below one path, \
                under systemd below one of the unit's ReadWritePaths"
                .to_owned(),
        },
        error => ActionError::file("move", shown)(error.into()),
    })?;
    let synced = to.sync_all().and_then(|()| from.sync_all());
    synced.map_err(ActionError::file("sync the folders of", shown))
}

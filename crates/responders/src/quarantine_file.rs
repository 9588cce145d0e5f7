//! Moves a file of the shop to where it is neither served nor run, as it is: content, mode, owner, times, attributes.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::sys::stat::{FileStat, SFlag, fstatat};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument};
use crate::below;
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "quarantine_file",
    about: "Moves a file out of Magento's root to a folder that isn't served, with its mode, owner, times and attributes",
    parameters: &[Parameter {
        name: "file",
        kind: ParameterKind::File,
        is_required: true,
        about: "the file to move",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::AllBut("the times of change of its inode and of its folders"),
    layer: Layer::Files,
    reach: Reach::Host,
    acts_on_cause: true,
    stays_open: "what made the file may make it again; PHP goes on running it from OPcache until php-fpm is reloaded where \
        opcache.validate_timestamps is 0; other hosts of the installation have their own copy; an include of it fails",
};

/// Files without which the shop doesn't answer at all: these are restored, not moved.
const ENTRY_POINTS: [&str; 13] = [
    "pub/index.php",
    "pub/get.php",
    "pub/static.php",
    "pub/cron.php",
    "pub/health_check.php",
    "pub/errors/404.php",
    "pub/errors/503.php",
    "pub/errors/report.php",
    "bin/magento",
    "app/bootstrap.php",
    "app/autoload.php",
    "app/etc/env.php",
    "app/etc/config.php",
];

/// What undoes it: which file it was, and its name in our folder.
#[derive(Serialize, Deserialize)]
struct Kept {
    device: u64,
    inode: u64,
    name: String,
}

/// Both ends of the move, their folders held open.
struct Ends {
    /// The file's folder.
    from: File,
    name: String,
    shown: PathBuf,
    /// Ours.
    to: File,
}

/// `quarantine_file`.
pub(crate) struct QuarantineFile;

impl Action for QuarantineFile {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let ends = ends(host, arguments)?;
        let found = look(&ends.from, &ends.name, &ends.shown)?;
        let found = found.ok_or_else(|| refused(&ends.shown, "isn't there"))?;
        if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(refused(&ends.shown, "is no plain file"));
        }
        if found.st_dev != device(&ends.to)? {
            return Err(ActionError::NotSetUp {
                what: "`quarantine` is on another file system than the file: a move would lose what it is".to_owned(),
            });
        }
        let change = Change {
            what: format!("file {}", ends.shown.display()),
            now: format!("{} bytes, mode {:o}", found.st_size, found.st_mode & 0o7777),
            then: "kept aside, not served".to_owned(),
        };
        let about = format!("{} {} {}", ends.shown.display(), found.st_dev, found.st_ino);
        let name = Sha256::digest(about.as_bytes());
        let name = name
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let kept = Kept {
            device: found.st_dev,
            inode: found.st_ino,
            name,
        };
        Ok(Survey {
            changes: vec![change],
            kept: serde_json::to_vec(&kept).map_err(|_| ActionError::Kept)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let (ends, kept) = (ends(host, arguments)?, read(kept)?);
        let is_there = look(&ends.from, &ends.name, &ends.shown)?;
        match (is_there, is_moved(&ends, &kept)?) {
            (None, true) => Ok(()),
            (Some(found), false) if is_same(&found, &kept) => {
                host.disk.step(&ends.shown)?;
                rename(&ends.from, &ends.name, &ends.to, &kept.name, &ends.shown)
            }
            (Some(_), _) => Err(refused(&ends.shown, "is another file than was surveyed")),
            (None, false) => Err(refused(&ends.shown, "isn't there")),
        }
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let (ends, kept) = (ends(host, arguments)?, read(kept)?);
        let is_there = look(&ends.from, &ends.name, &ends.shown)?;
        let words = match (is_there, is_moved(&ends, &kept)?) {
            (None, true) => return Ok(Effect::InEffect),
            (Some(found), false) if is_same(&found, &kept) => return Ok(Effect::NotInEffect),
            (Some(_), true) => "the file is kept aside, and another one is in its place again",
            (Some(_), false) => "another file is in its place, and it isn't kept aside",
            (None, false) => "the file is neither in its place nor kept aside",
        };
        Ok(Effect::Partly(words.to_owned()))
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let (ends, kept) = (ends(host, arguments)?, read(kept)?);
        let is_there = look(&ends.from, &ends.name, &ends.shown)?;
        match (is_there, is_moved(&ends, &kept)?) {
            (Some(found), false) if is_same(&found, &kept) => Ok(()),
            (None, true) => {
                host.disk.step(&ends.shown)?;
                rename(&ends.to, &kept.name, &ends.from, &ends.name, &ends.shown)
            }
            (Some(_), _) => Err(refused(
                &ends.shown,
                "is there again: move that aside first",
            )),
            (None, false) => Err(refused(&ends.shown, "isn't kept aside any more")),
        }
    }
}

fn refused(path: &Path, why: &str) -> ActionError {
    ActionError::Refused {
        why: format!("{} {why}", path.display()),
    }
}

fn read(kept: &[u8]) -> Result<Kept, ActionError> {
    let kept: Kept = serde_json::from_slice(kept).map_err(|_| ActionError::Kept)?;
    let is_ours = kept.name.len() == 32 && kept.name.bytes().all(|b| b.is_ascii_hexdigit());
    if is_ours {
        Ok(kept)
    } else {
        Err(ActionError::Kept)
    }
}

/// Opens both ends. The settings' own paths may be links; below the root nothing may.
fn ends(host: &Host, arguments: &Arguments) -> Result<Ends, ActionError> {
    let settings = host.magento()?;
    let file = argument(arguments, "file")?.as_str();
    let shown = PathBuf::from(file);
    if ENTRY_POINTS.contains(&file) {
        return Err(refused(
            &shown,
            "is one of Magento's entry points: restore it from its package",
        ));
    }
    let Some(ours) = &settings.quarantine else {
        return Err(ActionError::NotSetUp {
            what: "the host's settings name no `quarantine`".to_owned(),
        });
    };
    let (from, name) = below::folder_of(&settings.root, file)?;
    let to = File::open(ours).map_err(ActionError::file("open", ours))?;
    let about = to.metadata().map_err(ActionError::file("look at", ours))?;
    let inside = ours
        .canonicalize()
        .map_err(ActionError::file("look at", ours))?;
    let root = settings.root.canonicalize();
    let root = root.map_err(ActionError::file("look at", &settings.root))?;
    if !about.is_dir() || about.mode() & 0o077 != 0 || inside.starts_with(root) {
        return Err(ActionError::NotSetUp {
            what: format!(
                "{} has to be a folder for its owner alone (0700), outside Magento's root",
                ours.display()
            ),
        });
    }
    Ok(Ends {
        from,
        name: name.to_owned(),
        shown,
        to,
    })
}

fn device(folder: &File) -> Result<u64, ActionError> {
    let about = folder.metadata();
    about.map(|about| about.dev()).map_err(ActionError::file(
        "look at",
        Path::new("the folder `quarantine`"),
    ))
}

/// What is at a name, links not followed.
fn look(folder: impl AsFd, name: &str, shown: &Path) -> Result<Option<FileStat>, ActionError> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(ActionError::file("look at", shown)(error.into())),
    }
}

const fn is_same(found: &FileStat, kept: &Kept) -> bool {
    found.st_dev == kept.device && found.st_ino == kept.inode
}

fn is_moved(ends: &Ends, kept: &Kept) -> Result<bool, ActionError> {
    let found = look(&ends.to, &kept.name, &ends.shown)?;
    Ok(found.is_some_and(|found| is_same(&found, kept)))
}

/// Moves without replacing anything, and brings both folders to disk.
fn rename(from: &File, old: &str, to: &File, new: &str, shown: &Path) -> Result<(), ActionError> {
    let moved = renameat2(from, old, to, new, RenameFlags::RENAME_NOREPLACE);
    moved.map_err(|error| ActionError::file("move", shown)(error.into()))?;
    let synced = to.sync_all().and_then(|()| from.sync_all());
    synced.map_err(ActionError::file("sync the folders of", shown))
}

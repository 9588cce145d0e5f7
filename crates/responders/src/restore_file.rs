//! Puts a file of the shop back to its known-good content.
//!
//! What is good isn't typed in: it is the file at the same path below a folder of the settings. It is written beside the file that
//! is there, the two take each other's names in one moment, and what was there is moved to our folder `quarantine` as it is: the
//! undo gives back that very inode.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::aside::{self, Ends, Moved, exchange, is_outside, is_plain, look, refused, rename};
use crate::below;
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "restore_file",
    about: "Puts a file below Magento's root back to what the same path below the settings' folder `good_files` holds; what was there \
        is kept aside with its mode, owner, times and attributes",
    parameters: &[Parameter {
        name: "file",
        kind: ParameterKind::File,
        is_required: true,
        about: "the file to put back",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::AllBut("the times of change of its inode and of its folders"),
    layer: Layer::Files,
    reach: Reach::Host,
    acts_on_cause: true,
    closes: false,
    stays_open: "whoever changed the file may change it again: mode and owner stay as they are, see what the survey tells of them; PHP \
        goes on running what it holds in OPcache until php-fpm is reloaded where opcache.validate_timestamps is 0; browsers keep \
        pub/static for a year until pub/static/deployed_version.txt changes; other hosts of the installation have their own copy; caches",
};

/// Largest file put back, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bits of a mode that are taken over: none that gives another user's rights.
const MODE: u32 = 0o777;

/// What undoes it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The file that was there; none where there was none.
    before: Option<Moved>,
    /// SHA-256 of the good content.
    good: String,
    /// Name that the good one has until it takes the file's.
    name: String,
    mode: u32,
    owner: u32,
    group: u32,
    /// Nothing had to be done.
    is_so: bool,
}

/// Where the file that was there is.
enum Before {
    InPlace,
    Beside,
    Aside,
    Gone,
}

/// `restore_file`.
pub(crate) struct RestoreFile;

impl Action for RestoreFile {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let ends = ends(host, arguments)?;
        let (content, about) = good(host, &ends)?;
        let good = hash(&content);
        let found = look(&ends.from, &ends.name, &ends.shown)?;
        let mut now = "isn't there".to_owned();
        let mut is_so = false;
        let (mut mode, mut owner, mut group) = (about.mode(), about.uid(), about.gid());
        if let Some(found) = &found {
            let Some(is) = hash_at(&ends.from, &ends.name, &ends)? else {
                return Err(refused(&ends.shown, "is no plain file"));
            };
            ends.on_one_file_system(found)?;
            (mode, owner, group) = (found.st_mode, found.st_uid, found.st_gid);
            now = format!(
                "{} bytes of SHA-256 {is}, mode {:o}, owner {owner}:{group}",
                found.st_size,
                found.st_mode & 0o7777
            );
            if found.st_nlink > 1 {
                now.push_str("; its other names go on holding it");
            }
            is_so = is == good;
        }
        let then = format!(
            "{} bytes of SHA-256 {good}, mode {:o}, owner {owner}:{group}",
            content.len(),
            mode & MODE
        );
        let change = Change {
            what: format!("file {}", ends.shown.display()),
            now,
            then: if is_so { "so already".to_owned() } else { then },
        };
        let before = found.map(|found| Moved::of(&found, &ends.shown));
        let kept = Kept {
            name: match &before {
                Some(before) => before.name.clone(),
                None => aside::name_for(&format!("{} {good}", ends.shown.display())),
            },
            before,
            good,
            mode: mode & MODE,
            owner,
            group,
            is_so,
        };
        Ok(Survey {
            changes: vec![change],
            kept: keep(&kept)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let (ends, kept) = (ends(host, arguments)?, read(kept)?);
        let is_good = is_good(&ends.from, &ends.name, &ends, &kept)?;
        let changed = || refused(&ends.shown, "is another file than was surveyed");
        match kept.before_is(&ends)? {
            _ if kept.is_so => return if is_good { Ok(()) } else { Err(changed()) },
            Before::Aside if is_good => return Ok(()),
            Before::Gone if kept.before.is_none() && is_good => return Ok(()),
            Before::Gone if kept.before.is_none() && is_there(&ends)?.is_none() => {
                write_beside(host, &ends, &kept)?;
                host.disk.step(&ends.shown)?;
                let beside = kept.beside();
                return rename(&ends.from, &beside, &ends.from, &ends.name, &ends.shown);
            }
            Before::InPlace => {
                // The good one that an undo, ended midway, left there.
                clear(host, &ends.to, &kept.name, &ends)?;
                write_beside(host, &ends, &kept)?;
                host.disk.step(&ends.shown)?;
                swap(&ends, &ends.from, &kept.beside(), &|found| {
                    kept.is_before(found)
                })?;
            }
            Before::Beside if is_good => {}
            Before::Beside | Before::Aside | Before::Gone => return Err(changed()),
        }
        host.disk.step(&ends.shown)?;
        rename(
            &ends.from,
            &kept.beside(),
            &ends.to,
            &kept.name,
            &ends.shown,
        )
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let (ends, kept) = (ends(host, arguments)?, read(kept)?);
        let is_good = is_good(&ends.from, &ends.name, &ends, &kept)?;
        let words = match kept.before_is(&ends)? {
            _ if kept.is_so && is_good => return Ok(Effect::InEffect),
            Before::Aside if is_good => return Ok(Effect::InEffect),
            Before::Gone if kept.before.is_none() && is_good => return Ok(Effect::InEffect),
            Before::Gone if kept.before.is_none() && is_there(&ends)?.is_none() => {
                return Ok(Effect::NotInEffect);
            }
            Before::InPlace if !kept.is_so => return Ok(Effect::NotInEffect),
            Before::Beside if is_good => {
                "the good file is in place, and the one before is still beside it"
            }
            Before::Gone if is_good => {
                "the good file is in place, and the one before isn't kept aside"
            }
            Before::Beside | Before::Aside | Before::InPlace | Before::Gone => {
                "the file was changed again: survey it anew"
            }
        };
        Ok(Effect::Partly(words.to_owned()))
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let (ends, kept) = (ends(host, arguments)?, read(kept)?);
        if kept.is_so {
            return Ok(());
        }
        let is_good = is_good(&ends.from, &ends.name, &ends, &kept)?;
        let beside = kept.beside();
        let (folder, name) = match kept.before_is(&ends)? {
            Before::Aside => (&ends.to, &kept.name),
            Before::Beside | Before::Gone | Before::InPlace => (&ends.from, &beside),
        };
        let is_there = is_there(&ends)?.is_some();
        match kept.before_is(&ends)? {
            Before::InPlace => {}
            Before::Aside | Before::Beside if is_good => {
                host.disk.step(&ends.shown)?;
                swap(&ends, folder, name, &|_| {
                    self::is_good(folder, name, &ends, &kept)
                })?;
            }
            Before::Aside | Before::Beside if !is_there => {
                host.disk.step(&ends.shown)?;
                rename(folder, name, &ends.from, &ends.name, &ends.shown)?;
            }
            Before::Gone if kept.before.is_some() => {
                return Err(refused(&ends.shown, "isn't kept aside any more"));
            }
            Before::Gone if is_good => {
                clear(host, folder, name, &ends)?;
                host.disk.step(&ends.shown)?;
                rename(&ends.from, &ends.name, folder, name, &ends.shown)?;
            }
            Before::Gone if !is_there => {}
            Before::Aside | Before::Beside | Before::Gone => {
                let why = "was changed again since: move that aside first";
                return Err(refused(&ends.shown, why));
            }
        }
        // What is left at either name is the good one: the file before is in its place.
        for (folder, name) in [(&ends.from, &beside), (&ends.to, &kept.name)] {
            clear(host, folder, name, &ends)?;
        }
        Ok(())
    }
}

impl Kept {
    /// Where the good one is written, and where what was there is for a moment: nobody asks for a name with this in it.
    fn beside(&self) -> String {
        format!(".{}.new", self.name)
    }

    fn is_before(&self, found: &FileStat) -> Result<bool, ActionError> {
        Ok(self.before.as_ref().is_some_and(|before| before.is(found)))
    }

    fn before_is(&self, ends: &Ends) -> Result<Before, ActionError> {
        let beside = self.beside();
        for (folder, name, is) in [
            (&ends.from, &ends.name, Before::InPlace),
            (&ends.from, &beside, Before::Beside),
            (&ends.to, &self.name, Before::Aside),
        ] {
            if let Some(found) = look(folder, name, &ends.shown)?
                && self.is_before(&found)?
            {
                return Ok(is);
            }
        }
        Ok(Before::Gone)
    }
}

fn read(kept: &[u8]) -> Result<Kept, ActionError> {
    let kept: Kept = read_kept(kept)?;
    aside::is_ours(&kept.name)?;
    match &kept.before {
        Some(before) if before.name != kept.name => Err(ActionError::Kept),
        _ => Ok(kept),
    }
}

/// Both ends; what isn't code, or is this host's own, is refused.
fn ends(host: &Host, arguments: &Arguments) -> Result<Ends, ActionError> {
    let file = argument(arguments, "file")?.as_str();
    if file.starts_with("var/") {
        let why = "is made while the shop runs: there is no good one";
        return Err(refused(file.as_ref(), why));
    }
    if file == "app/etc/env.php" {
        let why = "holds this host's keys and passwords: put it back by hand";
        return Err(refused(file.as_ref(), why));
    }
    Ends::open(host, file)
}

fn is_there(ends: &Ends) -> Result<Option<FileStat>, ActionError> {
    look(&ends.from, &ends.name, &ends.shown)
}

/// The good content, and its file's mode and owner. Whoever may write to any folder on its way would say what is good.
fn good(host: &Host, ends: &Ends) -> Result<(Vec<u8>, std::fs::Metadata), ActionError> {
    let settings = host.magento()?;
    let folder = settings
        .good_files
        .as_ref()
        .ok_or_else(|| ActionError::NotSetUp {
            what: "[magento] names no `good_files`".to_owned(),
        })?;
    let owner = folder
        .metadata()
        .map_err(ActionError::file("look at", folder))?
        .uid();
    let own = |file: &File| {
        let about = file.metadata();
        let about = about.map_err(ActionError::file("look at", folder))?;
        if about.mode() & 0o022 == 0 && about.uid() == owner {
            return Ok(about);
        }
        Err(ActionError::NotSetUp {
            what: format!(
                "{} and what is below it have to be written by the folder's owner alone",
                folder.display()
            ),
        })
    };
    if !is_outside(folder, &settings.root)? {
        return Err(ActionError::NotSetUp {
            what: format!("{} has to be outside Magento's root", folder.display()),
        });
    }
    let shown = folder.join(&ends.shown);
    let way = ends.shown.to_string_lossy();
    let (folder, name) = below::walk(folder, &way, &|folder| own(folder).map(drop))?;
    let file = below::open(&folder, name, &shown)?;
    let about = own(&file)?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        let why = "has to be a plain file of at most 64 MiB";
        return Err(refused(&shown, why));
    }
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut content)
        .map_err(ActionError::file("read", &shown))?;
    Ok((content, about))
}

fn hash(content: &[u8]) -> String {
    words(&Sha256::digest(content))
}

fn words(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of the plain file at a name; none when something else or nothing is there.
fn hash_at(folder: &File, name: &str, ends: &Ends) -> Result<Option<String>, ActionError> {
    match look(folder, name, &ends.shown)? {
        Some(found) if is_plain(&found) => {}
        _ => return Ok(None),
    }
    let file = below::open(folder, name, &ends.shown)?;
    let about = file.metadata();
    if !about
        .map_err(ActionError::file("look at", &ends.shown))?
        .is_file()
    {
        return Ok(None);
    }
    let (mut hash, mut part) = (Sha256::new(), vec![0; 64 << 10]);
    let mut file = file;
    loop {
        let read = file.read(&mut part);
        match read.map_err(ActionError::file("read", &ends.shown))? {
            0 => return Ok(Some(words(&hash.finalize()))),
            read => hash.update(part.get(..read).unwrap_or_default()),
        }
    }
}

fn is_good(folder: &File, name: &str, ends: &Ends, kept: &Kept) -> Result<bool, ActionError> {
    Ok(hash_at(folder, name, ends)?.is_some_and(|hash| hash == kept.good))
}

/// Writes the good content beside the file, and brings it to disk. What an act that was ended left there is written anew.
fn write_beside(host: &Host, ends: &Ends, kept: &Kept) -> Result<(), ActionError> {
    let (content, _) = good(host, ends)?;
    if hash(&content) != kept.good {
        let why = "isn't in `good_files` any more as it was surveyed: survey it again";
        return Err(refused(&ends.shown, why));
    }
    let beside = kept.beside();
    clear(host, &ends.from, &beside, ends)?;
    host.disk.step(&ends.shown)?;
    let failed = || ActionError::file("write beside", &ends.shown);
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let made = openat(
        &ends.from,
        beside.as_str(),
        flags,
        Mode::S_IRUSR | Mode::S_IWUSR,
    );
    let mut file = File::from(made.map_err(|error| failed()(error.into()))?);
    let (owner, group) = (Some(kept.owner), Some(kept.group));
    let written = file
        .write_all(&content)
        .and_then(|()| std::os::unix::fs::fchown(&file, owner, group))
        .and_then(|()| file.set_permissions(Permissions::from_mode(kept.mode & MODE)))
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // What can't be made whole isn't left beside the file.
        let _first_error_is_told = remove(&ends.from, &beside, ends);
        failed()(error)
    })
}

/// Exchanges the file with another; back again when what comes out isn't what it has to be: somebody was faster.
fn swap(
    ends: &Ends,
    folder: &File,
    name: &str,
    is_right: &dyn Fn(&FileStat) -> Result<bool, ActionError>,
) -> Result<(), ActionError> {
    exchange(folder, name, &ends.from, &ends.name, &ends.shown)?;
    let out = look(folder, name, &ends.shown)?;
    if let Some(out) = out
        && is_right(&out)?
    {
        return Ok(());
    }
    exchange(folder, name, &ends.from, &ends.name, &ends.shown)?;
    Err(refused(
        &ends.shown,
        "was changed by somebody else meanwhile: survey it again",
    ))
}

/// Removes what is at a name of ours, as a step; nothing there is none.
fn clear(host: &Host, folder: &File, name: &str, ends: &Ends) -> Result<(), ActionError> {
    if look(folder, name, &ends.shown)?.is_some() {
        host.disk.step(&ends.shown)?;
        remove(folder, name, ends)?;
    }
    Ok(())
}

fn remove(folder: &File, name: &str, ends: &Ends) -> Result<(), ActionError> {
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
        Err(error) => {
            return Err(ActionError::file("remove beside", &ends.shown)(
                error.into(),
            ));
        }
    }
    let synced = folder.sync_all();
    synced.map_err(ActionError::file("sync the folder of", &ends.shown))
}

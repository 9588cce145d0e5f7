//! A hold on logs: a folder of ours with a copy of each, and a manifest that says what each copy is of.
//!
//! It is apart from its action because it reads folders that others write to. Invariants: no link is followed to a log; a log is
//! known by its device, inode and time of birth, whatever name rotation gave it meanwhile; only our own folder is ever changed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, FileTimes, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::action::{ActionError, Effect, read_kept};
use crate::disk::{sync, temporary};
use crate::host::Host;
use crate::{aside, below};

/// Logs of one hold at most.
pub(crate) const LOGS_MAX: usize = 2_000;
/// Name of the manifest in the hold's folder; no copy has it, for theirs begin with a digit.
const MANIFEST: &str = "manifest.json";
/// Characters of a log's own name in that of its copy, at most.
const NAME_CHARACTERS_MAX: usize = 80;

/// Which file it is, whatever its name: an inode's number alone is given to another file once it is free.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Identity {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970, where the file system tells.
    born: Option<(u64, u32)>,
}

/// A log as it was surveyed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Log {
    folder: PathBuf,
    /// Its name, see [`written`].
    name: String,
    identity: Identity,
    /// Its size: no more of it is held.
    pub(crate) bytes: u64,
    mode: u32,
    owner: u32,
    group: u32,
    accessed: String,
    modified: String,
    changed: String,
}

/// What is held, and where: it undoes the hold.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hold {
    /// Folder of all holds, as the settings had it.
    folder: PathBuf,
    /// Name of this one in it.
    name: String,
    pub(crate) logs: Vec<Log>,
}

/// What the manifest says of a copy.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// The copy's name in the hold's folder.
    held_as: String,
    /// Where the log was, see [`written`].
    path: String,
    /// Size of the copy.
    bytes: u64,
    /// Size of the log when it was surveyed: more, where it was emptied before it was copied.
    bytes_surveyed: u64,
    /// Of the copy, in hexadecimal.
    sha256: String,
    /// In octal.
    mode: String,
    owner: u32,
    group: u32,
    /// Times in seconds since 1970, as the log had them when it was surveyed.
    accessed: String,
    modified: String,
    changed: String,
}

/// What lies beside the copies.
#[derive(Serialize, Deserialize)]
struct Manifest {
    v: u32,
    held: Vec<Entry>,
    /// Paths of logs that were surveyed and were no longer to be found when they should be copied.
    gone: Vec<String>,
}

/// Where logs are now.
type Places = BTreeMap<Identity, (PathBuf, OsString)>;

impl Hold {
    /// A hold of its own name on logs.
    pub(crate) fn on(folder: &Path, logs: Vec<Log>) -> Result<Self, ActionError> {
        let (source, mut random) = (Path::new("/dev/urandom"), [0_u8; 16]);
        File::open(source)
            .and_then(|mut file| file.read_exact(&mut random))
            .map_err(ActionError::file("read", source))?;
        Ok(Self {
            folder: folder.to_owned(),
            name: hex(&random),
            logs,
        })
    }

    /// Reads one back; it has to be below the folder of the settings.
    pub(crate) fn read(kept: &[u8], folder: &Path) -> Result<Self, ActionError> {
        let kept: Self = read_kept(kept)?;
        aside::is_ours(&kept.name)?;
        if kept.folder != folder {
            return Err(ActionError::NotSetUp {
                what: format!(
                    "[hold] names another `folder` than when the logs were held: {}",
                    kept.folder.display()
                ),
            });
        }
        Ok(kept)
    }

    /// The hold's own folder.
    pub(crate) fn place(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Copies what isn't yet, then writes down what is held. Copies that are whole stay: their logs may be gone by now.
    pub(crate) fn keep(&self, host: &Host) -> Result<(), ActionError> {
        let place = self.place();
        if found(&place)?.is_none() {
            host.disk.step(&place)?;
            let made = DirBuilder::new().mode(0o700).create(&place);
            made.map_err(ActionError::file("make", &place))?;
            sync(&self.folder)?;
        }
        let mut places = places(&self.logs)?;
        let mut manifest = Manifest {
            v: 1,
            held: Vec::new(),
            gone: Vec::new(),
        };
        for (number, log) in self.logs.iter().enumerate() {
            let copy = place.join(log.held_as(number));
            if found(&copy)?.is_none() && !self.copy(host, log, &copy, &mut places)? {
                manifest.gone.push(log.path());
                continue;
            }
            manifest.held.push(log.entry(number, &copy)?);
        }
        let text = serde_json::to_vec_pretty(&manifest).map_err(|_| ActionError::Kept)?;
        put(host, &place.join(MANIFEST), &mut |file| {
            file.write_all(&text)
        })
    }

    /// Copies one, wherever it is by now; says no when it is nowhere.
    fn copy(
        &self,
        host: &Host,
        log: &Log,
        copy: &Path,
        places: &mut Places,
    ) -> Result<bool, ActionError> {
        let mut source = log.open(places)?;
        if source.is_none() {
            // It was given another name since they were listed.
            *places = self::places(&self.logs)?;
            source = log.open(places)?;
        }
        let Some((source, about)) = source else {
            return Ok(false);
        };
        let times = about.modified().map(|at| FileTimes::new().set_modified(at));
        put(host, copy, &mut |file| {
            // The kernel copies: where the file system can, both share their blocks.
            std::io::copy(&mut (&source).take(log.bytes), file)?;
            match &times {
                Ok(times) => file.set_times(*times),
                Err(_) => Ok(()),
            }
        })?;
        Ok(true)
    }

    /// Whether every log of it is held, by the manifest and the copies alone: the logs themselves may be gone.
    pub(crate) fn standing(&self) -> Result<Effect, ActionError> {
        let place = self.place();
        if found(&place)?.is_none() {
            return Ok(Effect::NotInEffect);
        }
        let file = place.join(MANIFEST);
        let manifest = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice::<Manifest>(&text).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(ActionError::file("read", &file)(error)),
        };
        let Some(manifest) = manifest else {
            let words = "logs are being held, and no manifest says yet which";
            return Ok(Effect::Partly(words.to_owned()));
        };
        let mut missing = 0;
        for (number, log) in self.logs.iter().enumerate() {
            let name = log.held_as(number);
            let said = manifest.held.iter().find(|entry| entry.held_as == name);
            let copy = found(&place.join(&name))?;
            missing += usize::from(match (said, copy) {
                (Some(said), Some(copy)) => !copy.is_file() || copy.len() != said.bytes,
                (Some(_), None) => true,
                (None, _) => !manifest.gone.contains(&log.path()),
            });
        }
        Ok(match missing {
            0 => Effect::InEffect,
            missing => Effect::Partly(format!(
                "{missing} of {} logs aren't held, or not as the manifest has them",
                self.logs.len()
            )),
        })
    }

    /// Removes what it made, the manifest last, and nothing else.
    pub(crate) fn release(&self, host: &Host) -> Result<(), ActionError> {
        let place = self.place();
        if found(&place)?.is_none() {
            return Ok(());
        }
        let copies = self.logs.iter().enumerate();
        let copies = copies.map(|(number, log)| place.join(log.held_as(number)));
        for file in copies.chain([place.join(MANIFEST)]) {
            host.disk.remove(&temporary(&file))?;
            host.disk.remove(&file)?;
        }
        host.disk.step(&place)?;
        match std::fs::remove_dir(&place) {
            Ok(()) => sync(&self.folder),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                let why = "holds something that this hold didn't put there: move it away first";
                Err(aside::refused(&place, why))
            }
            Err(error) => Err(ActionError::file("remove", &place)(error)),
        }
    }
}

impl Log {
    fn of(folder: &Path, name: &OsString, about: &Metadata) -> Self {
        let time = |seconds: i64, nanoseconds: i64| format!("{seconds}.{nanoseconds:09}");
        Self {
            folder: folder.to_owned(),
            name: written(name.as_bytes()),
            identity: Identity::of(about),
            bytes: about.len(),
            mode: about.mode() & 0o7777,
            owner: about.uid(),
            group: about.gid(),
            accessed: time(about.atime(), about.atime_nsec()),
            modified: time(about.mtime(), about.mtime_nsec()),
            changed: time(about.ctime(), about.ctime_nsec()),
        }
    }

    fn path(&self) -> String {
        shown(&self.folder, &self.name)
    }

    /// Name of its copy: a number, and what of its own name is plain.
    fn held_as(&self, number: usize) -> String {
        let plain = |c: char| match c {
            '.' | '-' | '_' => c,
            c if c.is_ascii_alphanumeric() => c,
            _ => '_',
        };
        let name = self.name.chars().take(NAME_CHARACTERS_MAX).map(plain);
        format!("{:04}-{}", number + 1, name.collect::<String>())
    }

    /// Opens it where it is, if it is there.
    fn open(&self, places: &Places) -> Result<Option<(File, Metadata)>, ActionError> {
        match places.get(&self.identity) {
            Some((folder, name)) => {
                let opened = open(folder, name)?;
                Ok(opened.filter(|(_, about)| Identity::of(about) == self.identity))
            }
            None => Ok(None),
        }
    }

    fn entry(&self, number: usize, copy: &Path) -> Result<Entry, ActionError> {
        let failed = || ActionError::file("read", copy);
        let mut file = File::open(copy).map_err(failed())?;
        let mut hash = Sha256::new();
        let mut part = vec![0; 64 << 10];
        let mut bytes = 0_u64;
        loop {
            match file.read(&mut part).map_err(failed())? {
                0 => break,
                read => {
                    hash.update(part.get(..read).unwrap_or_default());
                    bytes += u64::try_from(read).unwrap_or_default();
                }
            }
        }
        Ok(Entry {
            held_as: self.held_as(number),
            path: self.path(),
            bytes,
            bytes_surveyed: self.bytes,
            sha256: hex(&hash.finalize()),
            mode: format!("{:04o}", self.mode),
            owner: self.owner,
            group: self.group,
            accessed: self.accessed.clone(),
            modified: self.modified.clone(),
            changed: self.changed.clone(),
        })
    }
}

impl Identity {
    fn of(about: &Metadata) -> Self {
        let born = about.created().ok();
        let since = born.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self {
            device: about.dev(),
            inode: about.ino(),
            born: since.map(|since: Duration| (since.as_secs(), since.subsec_nanos())),
        }
    }
}

/// Plain files directly in a folder, by name; none when the folder isn't there. Each is opened once, so that one which can't be
/// read is told before anything is done.
pub(crate) fn logs_in(folder: &Path) -> Result<Option<Vec<Log>>, ActionError> {
    let Some(listed) = list(folder)? else {
        return Ok(None);
    };
    let mut logs = Vec::new();
    for (name, _) in listed {
        if let Some((_, about)) = open(folder, &name)? {
            logs.push(Log::of(folder, &name, &about));
        }
    }
    Ok(Some(logs))
}

/// Leaves each file once, whatever names and folders it has.
pub(crate) fn once(logs: &mut Vec<Log>) {
    let mut known = std::collections::BTreeSet::new();
    logs.retain(|log| known.insert(log.identity.clone()));
}

/// Names of plain files in a folder with what they are, by name; none when it isn't there.
fn list(folder: &Path) -> Result<Option<Vec<(OsString, Metadata)>>, ActionError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ActionError::file("list", folder)(error)),
    };
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ActionError::file("list", folder))?;
        // One that went since it was listed is none.
        match entry.metadata() {
            Ok(about) if about.is_file() => out.push((entry.file_name(), about)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(ActionError::file("look into", folder)(error)),
        }
        if out.len() > LOGS_MAX {
            return Err(too_many(folder));
        }
    }
    out.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(Some(out))
}

/// A hold has a limit.
pub(crate) fn too_many(folder: &Path) -> ActionError {
    ActionError::NotSetUp {
        what: format!(
            "with {} there would be more than {LOGS_MAX} logs to hold: move what is no log away",
            folder.display()
        ),
    }
}

/// Where every file of the logs' folders is now.
fn places(logs: &[Log]) -> Result<Places, ActionError> {
    let mut places = Places::new();
    let folders: std::collections::BTreeSet<_> = logs.iter().map(|log| &log.folder).collect();
    for folder in folders {
        for (name, about) in list(folder)?.unwrap_or_default() {
            places.insert(Identity::of(&about), (folder.clone(), name));
        }
    }
    Ok(places)
}

/// Opens a plain file of a folder, no link followed; none when it went or something else is there.
fn open(folder: &Path, name: &OsString) -> Result<Option<(File, Metadata)>, ActionError> {
    let path = PathBuf::from(shown(folder, &written(name.as_bytes())));
    let within = match File::open(folder) {
        Ok(within) => within,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ActionError::file("open", folder)(error)),
    };
    match below::open(&within, name.as_os_str(), &path) {
        Ok(file) => {
            let about = file.metadata();
            let about = about.map_err(ActionError::file("look at", &path))?;
            Ok(about.is_file().then_some((file, about)))
        }
        // It went, or a link or a socket took its name.
        Err(ActionError::File { source, .. })
            if [Errno::ENOENT, Errno::ELOOP, Errno::ENXIO]
                .map(|error| Some(error as i32))
                .contains(&source.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What is at a path of ours, links not followed.
fn found(path: &Path) -> Result<Option<Metadata>, ActionError> {
    match std::fs::symlink_metadata(path) {
        Ok(about) => Ok(Some(about)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ActionError::file("look at", path)(error)),
    }
}

/// Makes a file of ours (0600), whole and on disk before it takes its name.
fn put(
    host: &Host,
    path: &Path,
    write: &mut dyn FnMut(&mut File) -> std::io::Result<()>,
) -> Result<(), ActionError> {
    let new = temporary(path);
    host.disk.remove(&new)?;
    host.disk.step(&new)?;
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(&new);
    let written = made.and_then(|mut file| write(&mut file).and_then(|()| file.sync_all()));
    written.map_err(ActionError::file("write", &new))?;
    host.disk.step(path)?;
    std::fs::rename(&new, path).map_err(ActionError::file("write", path))?;
    sync(path.parent().unwrap_or(Path::new("/")))
}

fn shown(folder: &Path, name: &str) -> String {
    format!("{}/{name}", folder.display())
}

/// A name as it is written down: bytes that aren't printable ASCII, and `%`, as `%` and two hexadecimal digits (RFC 3986 §2.1), for
/// whoever may write to a folder of logs chooses names there.
fn written(name: &[u8]) -> String {
    let mut out = String::new();
    for byte in name {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(char::from(*byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

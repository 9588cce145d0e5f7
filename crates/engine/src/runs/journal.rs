//! A run's entries in a file of its own: a line of JSON each, on disk before it counts.
//!
//! A line that was cut off by the end of a process was told to nobody: it is cut away. Anything else that doesn't fit is an error,
//! never skipped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use model::{Happened, RunEntry, Timestamp};
use playbook::{LineError, Run, RunError};

use super::make_ours;
use crate::hex::hex;

/// Largest journal that is read, in bytes: a plan of 500 steps with its changes is far below.
const BYTES_MAX: u64 = 64 << 20;
pub(super) const ENDING: &str = "ndjson";

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file can't be read or written; the host's administrator acts.
    #[error("can't {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such run here; the caller's fault.
    #[error("there is no run `{id}` here")]
    NoRun {
        /// Its id.
        id: String,
    },
    /// Another process is at it; wait for its end.
    #[error("another process is at run `{id}`")]
    Busy {
        /// Its id.
        id: String,
    },
    /// A line is damaged; what stands before it is sound.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Which line, and what is wrong.
        source: LineError,
    },
    /// The file is named after another run than it tells of.
    #[error("{} tells of another run than its name does", path.display())]
    OtherRun {
        /// Where.
        path: PathBuf,
    },
    /// An entry doesn't follow; the caller's fault.
    #[error(transparent)]
    Unfit(#[from] RunError),
}

impl JournalError {
    /// What to do next.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        match self {
            Self::File { .. } => "see to the folder's rights and space, then do it again",
            Self::NoRun { .. } => "`magewarden runs` lists those of this host",
            Self::Busy { .. } => "wait for it, or end it: a run goes on where it stopped",
            Self::Damaged { .. } | Self::OtherRun { .. } => {
                "keep the file; `magewarden respond ACTION --undo` with the run's vault undoes steps one by one"
            }
            Self::Unfit(RunError::OtherPlan) => {
                "`magewarden playbooks plan` prints the hash of what it shows: read that plan, and give its file and its hash"
            }
            Self::Unfit(RunError::TwoPeople) => "name both, with --by twice",
            Self::Unfit(RunError::Missing { .. }) => {
                "`magewarden playbooks plan --set` takes values; its questions name them"
            }
            Self::Unfit(_) => "`magewarden runs show` says where the run is",
        }
    }

    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

/// An open journal; nobody else writes to it meanwhile.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    run: Run,
}

impl Journal {
    /// Begins a run.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; nothing is begun then.
    pub fn begin(folder: &Path, approval: &RunEntry) -> Result<Self, JournalError> {
        let run = Run::begin(approval)?;
        let path = path_of(folder, &run.id)?;
        make_ours(folder).map_err(JournalError::file("make", folder))?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(&path);
        let mut file = file.map_err(JournalError::file("make", &path))?;
        lock(&file, &path, &run.id)?;
        // A beginning that was cut off before its first line was whole is none: it was told to nobody.
        if fold(&mut file, &path, &run.id)?.0.is_some() {
            let there = std::io::ErrorKind::AlreadyExists.into();
            return Err(JournalError::file("make", &path)(there));
        }
        let emptied = file.set_len(0);
        emptied.map_err(JournalError::file("write", &path))?;
        let mut journal = Self { path, file, run };
        journal.write(approval)?;
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(JournalError::file("sync", folder))?;
        Ok(journal)
    }

    /// Opens the journal of a run, to go on with it.
    ///
    /// # Errors
    ///
    /// [`JournalError`], also when another process is at it.
    pub fn open(folder: &Path, id: &str) -> Result<Self, JournalError> {
        let path = path_of(folder, id)?;
        let opened = OpenOptions::new().read(true).append(true).open(&path);
        let mut file = opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => JournalError::NoRun { id: id.to_owned() },
            _ => JournalError::file("open", &path)(error),
        })?;
        lock(&file, &path, id)?;
        let (run, whole) = fold(&mut file, &path, id)?;
        file.set_len(whole)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(JournalError::file("write", &path))?;
        let run = run.ok_or_else(|| JournalError::NoRun { id: id.to_owned() })?;
        Ok(Self { path, file, run })
    }

    /// The run as it stands.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what happened; when it returns, it is on disk and counts.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; then the run is as before.
    pub fn append(&mut self, what: Happened, at: Timestamp) -> Result<(), JournalError> {
        self.append_for(String::new(), what, at)
    }

    /// As [`Self::append`], of what an order from the console brought about.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; then the run is as before.
    pub fn append_for(
        &mut self,
        order: String,
        what: Happened,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let mut entry = self.run.entry(what, at);
        entry.order = order;
        let mut run = self.run.clone();
        run.take(&entry)?;
        self.write(&entry)?;
        self.run = run;
        Ok(())
    }

    fn write(&mut self, entry: &RunEntry) -> Result<(), JournalError> {
        let failed = JournalError::file("write", &self.path);
        let mut line = match serde_json::to_vec(entry) {
            Ok(line) => line,
            Err(error) => return Err(failed(error.into())),
        };
        line.push(b'\n');
        let before = self.file.metadata().map(|about| about.len());
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if written.is_err()
            && let Ok(before) = before
        {
            // Half a line would stand before the next one; if this fails, too, opening it cuts it away.
            let _cut = self.file.set_len(before);
        }
        written.map_err(failed)
    }
}

/// Reads a run without going on with it.
///
/// # Errors
///
/// [`JournalError`].
pub fn read(folder: &Path, id: &str) -> Result<Run, JournalError> {
    let path = path_of(folder, id)?;
    let opened = File::open(&path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => JournalError::NoRun { id: id.to_owned() },
        _ => JournalError::file("open", &path)(error),
    })?;
    let (run, _) = fold(&mut file, &path, id)?;
    run.ok_or_else(|| JournalError::NoRun { id: id.to_owned() })
}

/// A run's entries from a number on, without going on with it; what doesn't follow is an error as in [`read`].
///
/// # Errors
///
/// [`JournalError`].
pub fn entries(folder: &Path, id: &str, from: u64) -> Result<Vec<RunEntry>, JournalError> {
    let path = path_of(folder, id)?;
    let failed = |source| JournalError::file("read", &path)(source);
    let bytes = std::fs::read(&path).map_err(failed)?;
    let damaged = |source| JournalError::Damaged {
        path: path.clone(),
        source,
    };
    let (run, whole) = Run::read(&bytes).map_err(damaged)?;
    if run.is_some_and(|run| run.id != id) {
        return Err(JournalError::OtherRun { path });
    }
    let whole = usize::try_from(whole).unwrap_or(usize::MAX);
    let lines = bytes
        .get(..whole)
        .unwrap_or_default()
        .split(|b| *b == b'\n');
    let skipped = usize::try_from(from).unwrap_or(usize::MAX);
    let wanted = lines.filter(|line| !line.is_empty()).skip(skipped);
    let read =
        wanted.map(|line| serde_json::from_slice(line).map_err(|error| failed(error.into())));
    read.collect()
}

/// A new run's id: when, and what tells it from others by chance.
///
/// # Errors
///
/// [`JournalError`] when the host has no random bytes.
pub fn new_id(now: Timestamp) -> Result<String, JournalError> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| JournalError::File {
        what: "get random bytes for a name in",
        path: PathBuf::from("/dev/urandom"),
        source: error.into(),
    })?;
    Ok(id_of(now, &hex(&random)))
}

/// A run's id: when, and the beginning of what tells it from others. Digits and small letters alone.
#[must_use]
pub fn id_of(now: Timestamp, tail: &str) -> String {
    let when = now.to_string();
    let when: String = when.chars().take(16).filter(char::is_ascii_digit).collect();
    let tail: String = tail.chars().take(8).collect();
    format!("run-{when}-{tail}")
}

/// Whether a text is a run's id: 1 to 64 small letters, digits and `-`.
#[must_use]
pub fn is_id(id: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&id.len()) && id.bytes().all(is_fine)
}

/// Where a run's journal lies; an id that isn't one names no file.
fn path_of(folder: &Path, id: &str) -> Result<PathBuf, JournalError> {
    if !is_id(id) {
        return Err(JournalError::NoRun { id: id.to_owned() });
    }
    Ok(folder.join(format!("{id}.{ENDING}")))
}

fn lock(file: &File, path: &Path, id: &str) -> Result<(), JournalError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => JournalError::Busy { id: id.to_owned() },
        TryLockError::Error(error) => JournalError::file("lock", path)(error),
    })
}

/// The run that a file tells of, and how many bytes of it are whole lines.
fn fold(file: &mut File, path: &Path, id: &str) -> Result<(Option<Run>, u64), JournalError> {
    let failed = || JournalError::file("read", path);
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(failed()(std::io::Error::other("it is too large")));
    }
    let (run, whole) = Run::read(&bytes).map_err(|damage| JournalError::Damaged {
        path: path.to_owned(),
        source: damage,
    })?;
    // A name that was looked at is what is shown and what folders are named after; the file's own word for it is nobody's.
    if run.as_ref().is_some_and(|run| run.id != id) {
        let path = path.to_owned();
        return Err(JournalError::OtherRun { path });
    }
    Ok((run, whole))
}

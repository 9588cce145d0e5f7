//! The host's own logs and journal, followed, masked here and handed over: what `up` does on its own machine, with a spool and a line between.
//!
//! Invariants: nothing unmasked is written or sent; a place in a file counts as taken once its records are in the spool and that is on
//! disk; when the spool is full, files aren't read and stay as they are. Whatever is lost of a file meanwhile is told as `up` tells it.

mod forward;
mod line;
mod others;
mod read;
mod spool;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cardholder::{FingerprintKey, Masker};
use link::wire::Places;
use model::{SourceId, Timestamp};
use sources::{Follower, Positions, Running};

use forward::Forward;
use line::Line;
use read::Reader;
use spool::{Found, Spool, SpoolError, standing};

pub use others::KINDS;

/// Smallest spool, in bytes: the longest frame fits in twice.
pub const SPOOL_BYTES_MIN: u64 = 4 << 20;
/// The spool where nothing else is said, in bytes.
pub const SPOOL_BYTES: u64 = 1 << 30;
/// Most files that are followed, as many as a server takes of one host.
pub const FILES_MAX: usize = link::wire::SOURCES_MAX;
/// Pause until what can't be done is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it looks whether to stop.
const TICK: Duration = Duration::from_millis(200);
/// Longest wait, when told to stop, for a call that is out.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What an agent collects.
pub struct Collect {
    /// Files to follow; they may come later. At most [`FILES_MAX`].
    pub files: Vec<PathBuf>,
    /// What else: settings as `up` has them, each with its `kind`, of [`KINDS`].
    pub sources: Vec<toml::Table>,
    /// Bytes that its spool may hold, at least [`SPOOL_BYTES_MIN`].
    pub spool_bytes: u64,
    /// Hears what an administrator should know, a line each.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Collect {
    /// Whether what is collected beside files can be, looked at before anything begins.
    ///
    /// # Errors
    ///
    /// What is wrong with its settings.
    pub fn check(&self, folder: &std::path::Path) -> Result<(), sources::SourceError> {
        let nothing = Positions::new();
        let others = others::open(&self.sources, folder, &nothing, (|| Timestamp(0), [0; 32]))?;
        let unusable = |why: String| sources::SourceError::Unusable { why };
        for source in &others {
            if !crate::link::is_plain(&source.id().0) {
                let why = "the name of a source holds what looks like a card number, or characters that nobody sees";
                return Err(unusable(why.to_owned()));
            }
        }
        match self.files.len() + others.len() > FILES_MAX {
            true => Err(unusable(format!(
                "a server takes {FILES_MAX} sources of one host"
            ))),
            false => Ok(()),
        }
    }

    /// Whether a server takes records of a file of this path: one that holds what is masked, or characters that nobody sees, it refuses.
    #[must_use]
    pub fn takes(path: &std::path::Path) -> bool {
        crate::link::is_plain(&path.display().to_string())
    }
}

/// Why it can't go on at the moment.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    /// The spool can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// What is kept can't be used.
    #[error(transparent)]
    Store(#[from] stores::StoreError),
    /// A file can't be followed.
    #[error(transparent)]
    Source(#[from] sources::SourceError),
    /// The server isn't reached, or refuses.
    #[error(transparent)]
    Call(#[from] link::CallError),
    /// What it answered is nothing to go by.
    #[error("the server gave no key of fingerprints: are both of one version?")]
    NoKey,
}

/// What its threads share.
struct Shared {
    folder: PathBuf,
    collect: Collect,
    clock: fn() -> Timestamp,
    stop: AtomicBool,
    /// What holds it up now, by what it is about.
    troubles: Mutex<BTreeMap<String, String>>,
}

/// Collecting, on threads of its own.
pub(super) struct Collecting {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Collecting {
    /// Begins.
    ///
    /// # Errors
    ///
    /// What the system says when there is no thread.
    pub(super) fn begin(
        collect: Collect,
        folder: PathBuf,
        clock: fn() -> Timestamp,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            folder,
            collect,
            clock,
            stop: AtomicBool::new(false),
            troubles: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("collect".to_owned())
            .spawn(move || own.run())?;
        Ok(Self { shared, thread })
    }

    /// Tells it to stop, and waits for that a while; a call that is out may end with the process, which is as a kill: nothing is lost.
    pub(super) fn end(self) {
        self.shared.stop.store(true, Ordering::Release);
        let until = Instant::now() + STOP_MAX;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(TICK / 4);
        }
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn say(&self, line: &str) {
        (self.collect.tell)(line);
    }

    /// Notes what holds something up, or that nothing does; a change is said.
    fn trouble(&self, about: &str, what: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Some(what) => {
                if troubles.get(about) != Some(&what) {
                    self.say(&what);
                    troubles.insert(about.to_owned(), what);
                }
            }
            None => {
                if troubles.remove(about).is_some() {
                    self.say(&format!("{about}: all is well again"));
                }
            }
        }
    }

    /// All that holds it up, but for what the server knows better.
    fn troubles(&self) -> String {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let told = troubles.iter().filter(|(about, _)| *about != line::SERVER);
        told.map(|(_, what)| what.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn pause(&self, most: Duration) {
        let until = Instant::now() + most;
        while !self.is_stopped() && Instant::now() < until {
            std::thread::sleep(TICK);
        }
    }

    fn spool_folder(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Until it is stopped: each round with one spool.
    fn run(&self) {
        while !self.is_stopped() {
            match self.round() {
                Ok(()) => self.trouble(COLLECTING, None),
                Err(error) => {
                    let mut why = error.to_string();
                    if let Some(cause) = std::error::Error::source(&error) {
                        why = format!("{why}: {cause}");
                    }
                    self.trouble(COLLECTING, Some(format!("nothing is collected: {why}")));
                    self.pause(AGAIN);
                }
            }
        }
    }

    /// Follows, writes and sends until it is stopped, or the spool is to be begun anew.
    fn round(&self) -> Result<(), CollectError> {
        let mut line = Line::new(self);
        let Some((spool, key)) = self.open(&mut line)? else {
            return Ok(());
        };
        self.trouble(COLLECTING, None);
        let resume: Positions = spool
            .end()
            .into_iter()
            .map(|(source, place)| (SourceId(source), place))
            .collect();
        let others = others::open(
            &self.collect.sources,
            &self.folder,
            &resume,
            (self.clock, key),
        )?;
        let others = Running::start(others)?;
        let follower = Follower::new(self.collect.files.clone(), resume)?;
        let masker = Masker::new(FingerprintKey::new(key));
        let anew = AtomicBool::new(false);
        let is_over = || self.is_stopped() || anew.load(Ordering::Acquire);
        let why = std::thread::scope(|scope| {
            let forward = scope.spawn(|| {
                let why = Forward::new(self, &spool, line, key).run(&is_over);
                anew.store(why.is_some(), Ordering::Release);
                why
            });
            let mut reader = Reader::new(self, &spool, &masker, (follower, others));
            reader.run(&is_over);
            reader.end();
            forward.join().unwrap_or(None)
        });
        if let Some(why) = why {
            drop(spool);
            let aside = spool::set_aside(&self.spool_folder())?;
            self.say(&format!(
                "{why}; what waited is kept in {}, and files are read on from where the server stands",
                aside.display()
            ));
        }
        Ok(())
    }

    /// The spool and the key to mask with: those of before, or as the server says. None when stopped meanwhile.
    fn open(&self, line: &mut Line<'_>) -> Result<Option<(Spool, [u8; 32])>, CollectError> {
        let (folder, most) = (self.spool_folder(), self.collect.spool_bytes);
        let opened = match Spool::open(&folder, most, self.now()) {
            Err(error @ SpoolError::Damaged { .. }) => {
                let aside = spool::set_aside(&folder)?;
                self.say(&format!("{error}; it is kept in {}", aside.display()));
                None
            }
            opened => opened?,
        };
        let path = self.folder.join("fingerprint.key");
        if let (Some((spool, found)), true) = (opened, path.exists()) {
            self.tell_found(&found);
            return Ok(Some((spool, stores::read(&path)?)));
        }
        let Places {
            places,
            fingerprint,
            ..
        } = line.places()?;
        let key: [u8; 32] = fingerprint.try_into().map_err(|_| CollectError::NoKey)?;
        stores::write_atomically(&path, &key)?;
        let spool = Spool::begin(&folder, most, standing(places), self.now())?;
        Ok(Some((spool, key)))
    }

    fn tell_found(&self, found: &Found) {
        if found.cut_bytes > 0 {
            let bytes = found.cut_bytes;
            self.say(&format!(
                "{bytes} bytes of a write to the spool that never finished were cut off: they are read again"
            ));
        }
        if let Some(aside) = &found.aside {
            self.say(&format!(
                "a part of the spool isn't what was written and is kept in {}; what it held is read again from the files, as far as they are there",
                aside.display()
            ));
        }
    }
}

const COLLECTING: &str = "collecting";

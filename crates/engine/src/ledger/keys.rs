//! The keys of a ledger: checkpoint signing, fingerprints, wrapping; and payload keys per source and day.
//!
//! Each in a 0600 file of its own, made at first use. Payload keys lie with the ledger, wrapped, so
//! that destroying one file destroys a day of one source.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody::{PayloadKey, hash_leaf, open_payload};
use model::{Sequence, SourceId, Timestamp};
use stores::StoreError;

use super::LedgerError;

/// Microseconds of a day.
const DAY: i64 = 86_400 * Timestamp::SECOND;

/// The UTC day of a time, counted from the epoch.
pub(super) fn day(time: Timestamp) -> i64 {
    time.0.div_euclid(DAY)
}

fn random() -> Result<[u8; 32], LedgerError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|source| LedgerError::Random { source })?;
    Ok(bytes)
}

fn make_folder(folder: &Path) -> Result<(), LedgerError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        })
}

/// The installation's own keys.
pub(super) struct Keys {
    pub(super) checkpoint: [u8; 32],
    pub(super) fingerprint: [u8; 32],
    /// Under which actors and scopes are hashed for finding entries.
    pub(super) token: [u8; 16],
    wrapping: PayloadKey,
}

impl Keys {
    pub(super) fn load_or_make(folder: &Path) -> Result<Self, LedgerError> {
        make_folder(folder)?;
        Self::with(&|name| {
            let fresh = random()?;
            Ok(stores::read_or_make(&folder.join(name), || fresh)?)
        })
    }

    /// Reads keys that are there; makes none.
    pub(super) fn load(folder: &Path) -> Result<Self, LedgerError> {
        Self::with(&|name| Ok(stores::read(&folder.join(name))?))
    }

    fn with(key: &dyn Fn(&str) -> Result<[u8; 32], LedgerError>) -> Result<Self, LedgerError> {
        let token = key("token.key")?;
        Ok(Self {
            checkpoint: key("checkpoint.key")?,
            fingerprint: key("fingerprint.key")?,
            token: token.first_chunk().copied().unwrap_or_default(),
            wrapping: PayloadKey::new(key("wrapping.key")?),
        })
    }
}

/// A source and a UTC day counted from the epoch: what one payload key serves.
type SourceDay = (SourceId, i64);

/// Payload keys in use, and where they lie.
pub(super) struct PayloadKeys {
    folder: PathBuf,
    current: BTreeMap<SourceDay, PayloadKey>,
    last: Option<SourceDay>,
    /// Keys read to open payloads: reading a file for each entry would cost more than decrypting it.
    opened: RefCell<BTreeMap<SourceDay, Arc<Vec<PayloadKey>>>>,
}

impl PayloadKeys {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            current: BTreeMap::new(),
            last: None,
            opened: RefCell::default(),
        }
    }

    /// The files of a source's day, oldest first.
    fn paths(&self, source: &SourceId, day: i64) -> Vec<PathBuf> {
        let name = name(source, day);
        (0..)
            .map(|version| self.folder.join(format!("{name}.{version}")))
            .scan(0, |missing, path| {
                // A renewed key leaves a gap where the old one lay.
                *missing = if path.exists() { 0 } else { *missing + 1 };
                (*missing < 8).then_some(path)
            })
            .filter(|path| path.exists())
            .collect()
    }

    /// The key to seal with; made at first use.
    pub(super) fn current(
        &mut self,
        keys: &Keys,
        source: &SourceId,
        received: Timestamp,
    ) -> Result<&PayloadKey, LedgerError> {
        let day = day(received);
        let known = self
            .last
            .as_ref()
            .is_some_and(|(last, of)| *of == day && last == source);
        if !known {
            let at = (source.clone(), day);
            if !self.current.contains_key(&at) {
                let key = match self.paths(source, day).pop() {
                    Some(path) => unwrap(keys, &path)?,
                    None => self.make(keys, source, day, 0)?,
                };
                self.current.insert(at.clone(), key);
            }
            self.last = Some(at);
        }
        let at = self.last.as_ref().expect("set above");
        Ok(self.current.get(at).expect("inserted above"))
    }

    /// Every key a source's day has; newest first.
    pub(super) fn of(
        &self,
        keys: &Keys,
        source: &SourceId,
        received: Timestamp,
    ) -> Result<Arc<Vec<PayloadKey>>, LedgerError> {
        let at = (source.clone(), day(received));
        if let Some(known) = self.opened.borrow().get(&at) {
            return Ok(Arc::clone(known));
        }
        let read: Result<Vec<PayloadKey>, LedgerError> = self
            .paths(source, at.1)
            .iter()
            .rev()
            .map(|path| unwrap(keys, path))
            .collect();
        let read = Arc::new(read?);
        // A day without a key yet may get one: only what was found is remembered.
        if !read.is_empty() {
            self.opened.borrow_mut().insert(at, Arc::clone(&read));
        }
        Ok(read)
    }

    /// Makes a new key for a source's day; gives it and the files of the old ones, to be destroyed.
    pub(super) fn renew(
        &mut self,
        keys: &Keys,
        source: &SourceId,
        received: Timestamp,
    ) -> Result<(PayloadKey, Vec<PathBuf>), LedgerError> {
        let day = day(received);
        let old = self.paths(source, day);
        let version = old
            .last()
            .and_then(|path| path.extension()?.to_str()?.parse::<u32>().ok())
            .map_or(0, |version| version + 1);
        Ok((self.make(keys, source, day, version)?, old))
    }

    /// Forgets a key held in memory.
    pub(super) fn forget(&mut self, source: &SourceId, day: i64) {
        self.current.remove(&(source.clone(), day));
        self.last = None;
        self.opened.borrow_mut().remove(&(source.clone(), day));
    }

    fn make(
        &self,
        keys: &Keys,
        source: &SourceId,
        day: i64,
        version: u32,
    ) -> Result<PayloadKey, LedgerError> {
        make_folder(&self.folder)?;
        let bytes = random()?;
        let path = self.folder.join(format!("{}.{version}", name(source, day)));
        let sequence = wrapping_number(&path);
        let (_, wrapped) = custody::seal_payload(&keys.wrapping, sequence, &bytes)
            .map_err(|source| LedgerError::Payload { sequence, source })?;
        stores::write_atomically(&path, &wrapped)?;
        Ok(PayloadKey::new(bytes))
    }
}

fn name(source: &SourceId, day: i64) -> String {
    let hash = hash_leaf(format!("{}\n{day}", source.0).as_bytes());
    let hash: String = hash
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{day}-{hash}")
}

/// The number a key is wrapped under: from its file's name, so that no two share a nonce.
fn wrapping_number(path: &Path) -> Sequence {
    let hash = hash_leaf(
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
            .as_bytes(),
    );
    Sequence(
        hash.iter()
            .take(8)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

fn unwrap(keys: &Keys, path: &Path) -> Result<PayloadKey, LedgerError> {
    let wrapped = fs::read(path).map_err(|source| LedgerError::Io {
        path: path.to_owned(),
        source,
    })?;
    let sequence = wrapping_number(path);
    let salted = open_payload(&keys.wrapping, sequence, &wrapped)
        .map_err(|source| LedgerError::Payload { sequence, source })?;
    let bytes = salted.get(16..).and_then(|bytes| bytes.try_into().ok());
    bytes.map(PayloadKey::new).ok_or(LedgerError::Store {
        source: StoreError::Corrupt {
            path: path.to_owned(),
            what: "a key of the wrong length",
        },
    })
}

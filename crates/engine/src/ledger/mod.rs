//! One installation's ledger: joins the bytes of `custody` with the files of `stores`.
//!
//! One writer. An entry is durable before [`Ledger::append`] returns. Payloads are encrypted under a
//! key per source and day, so that one can be destroyed while every proof holds.

mod keys;
mod verify;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use custody::{
    Checkpoint, CheckpointError, EncodeError, Hash, Header, MARKS_MAX, PayloadError, PayloadKey,
    Signer, Tree, hash_leaf,
};
use model::{
    Generation, InstallationId, Lane, Mark, Position, RecordIdentity, Sequence, SourceId, Timestamp,
};
use stores::{BlockIndex, Cut, IndexQuery, Indexed, Row, SegmentFiles, StoreError};

pub use custody::EntryKind;
use keys::{Keys, PayloadKeys};
pub use verify::{Break, Report, verify};

/// Why the ledger can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Its files can't be used.
    #[error("the ledger's files can't be used")]
    Store {
        /// What the store said.
        source: StoreError,
    },
    /// An entry isn't what was written.
    #[error("entry {} is broken", sequence.0)]
    Entry {
        /// The entry.
        sequence: Sequence,
        /// What is wrong.
        source: EncodeError,
    },
    /// A payload can't be opened.
    #[error("the payload of entry {} can't be opened", sequence.0)]
    Payload {
        /// The entry.
        sequence: Sequence,
        /// What is wrong.
        source: PayloadError,
    },
    /// A checkpoint isn't to be trusted.
    #[error("a checkpoint isn't to be trusted")]
    Checkpoint {
        /// What is wrong.
        source: CheckpointError,
    },
    /// A file beside the ledger can't be used.
    #[error("can't use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
}

impl From<StoreError> for LedgerError {
    fn from(source: StoreError) -> Self {
        Self::Store { source }
    }
}

/// An entry to be sealed.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// What it is.
    pub kind: EntryKind,
    /// Live or exercise.
    pub lane: Lane,
    /// The record's identity, for what a source said.
    pub identity: Option<RecordIdentity>,
    /// Where it comes from.
    pub source: SourceId,
    /// When the record says it happened.
    pub said: Option<Timestamp>,
    /// When it was received.
    pub received: Timestamp,
    /// Format it is read as.
    pub format: Cow<'static, str>,
    /// Whether the record could not be read.
    pub quarantined: bool,
    /// What was masked.
    pub marks: Vec<Mark>,
    /// The masked bytes.
    pub payload: Vec<u8>,
    /// Hashes by which it is found.
    pub tokens: Vec<u64>,
}

/// A sealed entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The header.
    pub header: Header,
    /// The masked bytes; `None` once destroyed.
    pub payload: Option<Vec<u8>>,
    /// Hash of the leaf.
    pub leaf_hash: Hash,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A new ledger.
    Fresh,
    /// An old one, whole; what an unfinished append left was cut.
    Resumed {
        /// Entries.
        size: u64,
        /// What was cut.
        cut: Cut,
    },
    /// The old one no longer fits its last checkpoint: it was set aside, a new one begun.
    Broken {
        /// Where the old one lies now.
        aside: PathBuf,
        /// What didn't fit.
        why: String,
    },
}

/// What is looked for in a ledger.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Earliest time, said or else received.
    pub from: Option<Timestamp>,
    /// Latest time.
    pub to: Option<Timestamp>,
    /// Source.
    pub source: Option<SourceId>,
    /// Hashes of actors and scopes ([`crate::intake::token`]) that must all be there.
    pub tokens: Vec<u64>,
}

/// One installation's ledger.
pub struct Ledger {
    folder: PathBuf,
    files: SegmentFiles,
    tree: Tree,
    hashes: Vec<Hash>,
    index: BlockIndex,
    keys: Keys,
    payload_keys: PayloadKeys,
    origin: String,
    second_place: Option<PathBuf>,
    last_checkpoint: Option<String>,
    positions: BTreeMap<SourceId, (Generation, Position)>,
    destroyed: std::collections::BTreeSet<u64>,
}

impl Ledger {
    /// Opens a ledger to write, making it and its keys (0600) when absent.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when files or keys can't be used, or another process writes to it.
    pub fn create_or_open(
        folder: &Path,
        keys: &Path,
        installation: &InstallationId,
        second_place: Option<&Path>,
    ) -> Result<(Self, Opening), LedgerError> {
        let own = Keys::load_or_make(keys)?;
        let origin = format!("magewarden/{}", installation.0);
        let fresh = !folder.join("segments").exists();
        let (mut ledger, cut) = Self::load(folder, own, origin, true)?;
        ledger.second_place = second_place.map(Path::to_owned);
        let verifier = ledger.signer().verifier().encode();
        stores::write_atomically(&folder.join("verifier.key"), verifier.as_bytes())?;
        let Err(why) = ledger.fits_last_checkpoint() else {
            let opening = if fresh {
                Opening::Fresh
            } else {
                Opening::Resumed {
                    size: ledger.len(),
                    cut,
                }
            };
            return Ok((ledger, opening));
        };
        // Nobody may blind us by flipping a bit: keep the old one as it is, go on in a new one.
        drop(ledger);
        let aside = (1..)
            .map(|number| folder.with_extension(format!("broken-{number}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| folder.with_extension("broken"));
        fs::rename(folder, &aside).map_err(|source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let (ledger, _) = Self::create_or_open(folder, keys, installation, second_place)?;
        Ok((ledger, Opening::Broken { aside, why }))
    }

    /// Opens a ledger to read.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when files or keys can't be read.
    pub fn open_read(folder: &Path, keys: &Path) -> Result<Self, LedgerError> {
        Ok(Self::load(folder, Keys::load_or_make(keys)?, String::new(), false)?.0)
    }

    fn load(
        folder: &Path,
        keys: Keys,
        origin: String,
        write: bool,
    ) -> Result<(Self, Cut), LedgerError> {
        let segments = folder.join("segments");
        let (files, cut) = if write {
            SegmentFiles::open(&segments)?
        } else {
            (SegmentFiles::open_read(&segments)?, Cut::default())
        };
        let mut ledger = Self {
            folder: folder.to_owned(),
            files,
            tree: Tree::default(),
            hashes: Vec::new(),
            index: BlockIndex::default(),
            payload_keys: PayloadKeys::new(folder.join("payload-keys")),
            keys,
            origin,
            second_place: None,
            last_checkpoint: fs::read_to_string(folder.join("checkpoint")).ok(),
            positions: BTreeMap::new(),
            destroyed: std::collections::BTreeSet::new(),
        };
        for number in 0..ledger.files.len() {
            let Some(row) = ledger.files.read(number)? else {
                break;
            };
            let header = Header::decode(&row.leaf).map_err(|source| LedgerError::Entry {
                sequence: Sequence(number),
                source,
            })?;
            let hash = hash_leaf(&row.leaf);
            // The tokens of actors are not in the header: a reopened ledger is found by time and source.
            ledger.note(&header, hash, &[]);
        }
        Ok((ledger, cut))
    }

    /// Takes an entry into tree, index and positions.
    fn note(&mut self, header: &Header, hash: Hash, tokens: &[u64]) {
        self.tree.push(hash);
        self.hashes.push(hash);
        let mut all = Vec::with_capacity(tokens.len() + 1);
        all.push(source_token(&header.source));
        all.extend_from_slice(tokens);
        self.index.push(&Indexed {
            received: header.received.0,
            said: header.said.map(|time| time.0),
            tokens: &all,
        });
        if let Some(identity) = &header.identity {
            let end = Position {
                offset_bytes: identity.position.offset_bytes + u64::from(identity.length_bytes),
            };
            match self.positions.get_mut(&identity.source) {
                Some(known) => *known = (identity.generation, end),
                None => drop(
                    self.positions
                        .insert(identity.source.clone(), (identity.generation, end)),
                ),
            }
        }
    }

    fn signer(&self) -> Signer {
        Signer::new(&self.origin, self.keys.checkpoint)
    }

    /// Proves that what is on disk goes on from the last checkpoint.
    fn fits_last_checkpoint(&self) -> Result<(), String> {
        let Some(note) = &self.last_checkpoint else {
            return Ok(());
        };
        let checkpoint = self
            .signer()
            .verifier()
            .verify(note)
            .map_err(|error| error.to_string())?;
        let size = usize::try_from(checkpoint.size).unwrap_or(usize::MAX);
        let Some(part) = self.hashes.get(..size) else {
            return Err(format!(
                "the last checkpoint tells of {size} entries, {} are there",
                self.hashes.len()
            ));
        };
        if custody::root_of(part) == checkpoint.root {
            Ok(())
        } else {
            Err(format!(
                "the first {size} entries are not those of the last checkpoint"
            ))
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.files.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The fingerprint key of this installation, for the mask.
    #[must_use]
    pub fn fingerprint_key(&self) -> [u8; 32] {
        self.keys.fingerprint
    }

    /// The last checkpoint, a signed note.
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<String> {
        self.last_checkpoint.clone()
    }

    /// Seals entries; they are durable when it returns. Gives the first one's number.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: none of them counts as sealed.
    pub fn append(&mut self, entries: &[NewEntry]) -> Result<Sequence, LedgerError> {
        let first = self.len();
        let mut rows = Vec::with_capacity(entries.len());
        let mut headers = Vec::with_capacity(entries.len());
        for (entry, number) in entries.iter().zip(first..) {
            let sequence = Sequence(number);
            let key = self
                .payload_keys
                .current(&self.keys, &entry.source, entry.received)?;
            let (payload_hash, payload) = custody::seal_payload(key, sequence, &entry.payload)
                .map_err(|source| LedgerError::Payload { sequence, source })?;
            let header = Header {
                sequence,
                kind: entry.kind,
                lane: entry.lane,
                quarantined: entry.quarantined,
                received: entry.received,
                said: entry.said,
                source: entry.source.clone(),
                format: entry.format.clone().into_owned(),
                identity: entry.identity.clone(),
                marks: entry.marks.iter().take(MARKS_MAX).cloned().collect(),
                payload_hash,
            };
            rows.push(Row {
                leaf: header.encode(),
                payload,
            });
            headers.push(header);
        }
        self.files.append(&rows)?;
        for ((header, row), entry) in headers.iter().zip(&rows).zip(entries) {
            self.note(header, hash_leaf(&row.leaf), &entry.tokens);
        }
        Ok(Sequence(first))
    }

    /// Signs the ledger as it is; the note goes to `checkpoint`, `checkpoints.log` and the second place.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when one of them can't be written.
    pub fn checkpoint(&mut self, _now: Timestamp) -> Result<Checkpoint, LedgerError> {
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size: self.tree.size(),
            root: self.tree.root(),
        };
        let note = self.signer().sign(&checkpoint);
        stores::write_atomically(&self.folder.join("checkpoint"), note.as_bytes())?;
        let copies = [
            Some(self.folder.join("checkpoints.log")),
            self.second_place.clone(),
        ];
        for path in copies.into_iter().flatten() {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(|source| LedgerError::Io {
                    path: path.clone(),
                    source,
                })?;
            file.write_all(format!("{note}\n").as_bytes())
                .and_then(|()| file.sync_data())
                .map_err(|source| LedgerError::Io { path, source })?;
        }
        self.last_checkpoint = Some(note);
        Ok(checkpoint)
    }

    /// Reads one entry.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it isn't there, or isn't what was written.
    pub fn read(&self, sequence: Sequence) -> Result<Entry, LedgerError> {
        let row = self.files.read(sequence.0)?.ok_or(LedgerError::Entry {
            sequence,
            source: EncodeError::Length,
        })?;
        let header =
            Header::decode(&row.leaf).map_err(|source| LedgerError::Entry { sequence, source })?;
        let leaf_hash = hash_leaf(&row.leaf);
        let payload =
            if row.payload.iter().all(|byte| *byte == 0) || self.destroyed.contains(&sequence.0) {
                None
            } else {
                let salted = self.open(&header, &row.payload)?;
                Some(salted.get(16..).unwrap_or_default().to_vec())
            };
        Ok(Entry {
            header,
            payload,
            leaf_hash,
        })
    }

    fn open(&self, header: &Header, stored: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let mut last = PayloadError;
        let keys = self
            .payload_keys
            .of(&self.keys, &header.source, header.received)?;
        for key in keys.iter() {
            match custody::open_payload(key, header.sequence, stored) {
                Ok(salted) if custody::payload_hash(&salted) == header.payload_hash => {
                    return Ok(salted);
                }
                Ok(_) => {}
                Err(error) => last = error,
            }
        }
        Err(LedgerError::Payload {
            sequence: header.sequence,
            source: last,
        })
    }

    /// Finds entries, in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when entries can't be read.
    pub fn find(&self, query: &Query, limit: usize) -> Result<Vec<Sequence>, LedgerError> {
        let mut tokens = query.tokens.clone();
        tokens.extend(query.source.as_ref().map(source_token));
        let index = IndexQuery {
            from: query.from.map(|time| time.0),
            to: query.to.map(|time| time.0),
            tokens,
        };
        let mut found = Vec::new();
        for first in self.index.candidates(&index) {
            for number in first..(first + stores::BLOCK_ENTRIES).min(self.len()) {
                if found.len() >= limit {
                    return Ok(found);
                }
                let sequence = Sequence(number);
                let Some(row) = self.files.read(number)? else {
                    break;
                };
                let header = Header::decode(&row.leaf)
                    .map_err(|source| LedgerError::Entry { sequence, source })?;
                let time = header.said.unwrap_or(header.received);
                let fits = query.from.is_none_or(|from| time >= from)
                    && query.to.is_none_or(|to| time <= to)
                    && query
                        .source
                        .as_ref()
                        .is_none_or(|source| *source == header.source);
                if fits {
                    found.push(sequence);
                }
            }
        }
        Ok(found)
    }

    /// Where each source goes on: its generation, and the first byte not sealed.
    #[must_use]
    pub fn resume_positions(&self) -> BTreeMap<SourceId, (Generation, Position)> {
        self.positions.clone()
    }

    /// The proof that an entry is in the ledger as it is now.
    #[must_use]
    pub fn inclusion_proof(&self, sequence: Sequence) -> Option<Vec<Hash>> {
        custody::inclusion_proof(&self.hashes, usize::try_from(sequence.0).ok()?)
    }

    /// The proof that the ledger goes on from its first `old` entries.
    #[must_use]
    pub fn consistency_proof(&self, old: u64) -> Option<Vec<Hash>> {
        custody::consistency_proof(&self.hashes, usize::try_from(old).ok()?)
    }

    /// The root over the entries as they are now.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Destroys payloads: their bytes are overwritten, the rest of their source's day is written
    /// under a new key, the old key destroyed; a `redacted` entry tells who, why and which. Proofs hold.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when files can't be written. The `redacted` entry is sealed first: a crash
    /// between leaves it to be done again.
    pub fn redact(
        &mut self,
        which: &[Sequence],
        who: [&str; 2],
        reason: &str,
        now: Timestamp,
    ) -> Result<Sequence, LedgerError> {
        let numbers: Vec<u64> = which.iter().map(|sequence| sequence.0).collect();
        let told = serde_json::json!({"what": "redacted", "v": 1, "entries": numbers, "who": who, "reason": reason});
        let sealed = self.append(&[NewEntry {
            kind: EntryKind::Redacted,
            lane: Lane::Live,
            identity: None,
            source: SourceId("magewarden".to_owned()),
            said: None,
            received: now,
            format: "magewarden_v1".into(),
            quarantined: false,
            marks: Vec::new(),
            payload: told.to_string().into_bytes(),
            tokens: Vec::new(),
        }])?;
        let mut days = BTreeMap::new();
        for sequence in which {
            let header = self.read(*sequence)?.header;
            days.insert(
                (header.source.clone(), keys::day(header.received)),
                header.received,
            );
        }
        for ((source, day), received) in days {
            let (key, old) = self.payload_keys.renew(&self.keys, &source, received)?;
            for number in 0..self.len() {
                let Some(row) = self.files.read(number)? else {
                    break;
                };
                let sequence = Sequence(number);
                let header = Header::decode(&row.leaf).map_err(|error| LedgerError::Entry {
                    sequence,
                    source: error,
                })?;
                if header.source != source
                    || keys::day(header.received) != day
                    || row.payload.iter().all(|byte| *byte == 0)
                {
                    continue;
                }
                let bytes = if numbers.contains(&number) {
                    vec![0; row.payload.len()]
                } else {
                    self.reseal(&header, &row.payload, &key)?
                };
                self.files.overwrite_payload(number, &bytes)?;
            }
            for path in old {
                stores::destroy(&path)?;
            }
            self.payload_keys.forget(&source, day);
        }
        self.destroyed.extend(numbers);
        Ok(sealed)
    }

    fn reseal(
        &self,
        header: &Header,
        stored: &[u8],
        key: &PayloadKey,
    ) -> Result<Vec<u8>, LedgerError> {
        let salted = self.open(header, stored)?;
        key.reseal(header.sequence, &salted)
            .map_err(|source| LedgerError::Payload {
                sequence: header.sequence,
                source,
            })
    }
}

/// Hash under which a source's entries are found.
fn source_token(source: &SourceId) -> u64 {
    source.0.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

//! One installation's ledger: joins the bytes of `custody` with the files of `stores`.
//!
//! One writer. An entry is durable before [`Ledger::append`] returns. Payloads are encrypted under a
//! key per source and day, so that one can be destroyed while every proof holds.

mod beside;
mod find;
mod keys;
mod open;
mod redact;
mod verify;

use std::borrow::Cow;
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use custody::{
    Checkpoint, CheckpointError, EncodeError, Hash, Header, MARKS_MAX, PayloadError, Signer, Tree,
    hash_leaf,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::{Lane, Mark, RecordIdentity, Scope, Sequence, SourceId, Timestamp};
use sha2::Sha256;
use stores::{BLOCK_ENTRIES, BlockIndex, Cut, Indexed, Row, SegmentFiles, StoreError};

use crate::intake::TokenKey;

pub use beside::Beside;
pub use custody::EntryKind;
pub use find::{Found, Query, Tallied};
use keys::{Keys, PayloadKeys};
pub use stores::Order;
pub use verify::{Break, Report, verify};

/// Levels of a full block's subtree: 2⁸ leaves.
const BLOCK_LEVEL: u32 = 8;

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
    /// The entries aren't those of the last checkpoint.
    #[error("the first {size} entries are not those of the last checkpoint")]
    Changed {
        /// Entries the checkpoint tells of.
        size: u64,
    },
    /// There is no such entry.
    #[error("there is no entry {}", sequence.0)]
    NotThere {
        /// The entry asked for.
        sequence: Sequence,
    },
    /// An entry's JSON can't be written or read.
    #[error("an entry's own JSON can't be written or read")]
    Json {
        /// What serde said.
        source: serde_json::Error,
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
        /// The last checkpoint that was signed of the old one, a signed note.
        last_checkpoint: Option<String>,
    },
}

/// One installation's ledger.
pub struct Ledger {
    folder: PathBuf,
    files: SegmentFiles,
    tree: Tree,
    /// Leaf hashes of the block that is not whole yet.
    leaves: Vec<Hash>,
    index: BlockIndex,
    keys: Keys,
    payload_keys: PayloadKeys,
    origin: String,
    second_place: Option<PathBuf>,
    last_checkpoint: Option<String>,
}

impl Ledger {
    /// Takes an entry into tree and index. The entry is durable: nothing here may fail.
    fn note(&mut self, header: &Header, hash: Hash, tokens: &[u64]) {
        self.tree.push(hash);
        self.leaves.push(hash);
        let mut all = Vec::with_capacity(tokens.len() + 1);
        all.push(find::source_token(&header.source));
        all.extend_from_slice(tokens);
        // What names nothing – our own entries, what was destroyed – is of no place anyone could tell.
        if tokens.is_empty() {
            all.push(self.token_key().place(&Scope::Unknown));
        }
        let whole = self.index.push(&Indexed {
            time: header.said.unwrap_or(header.received).0,
            tokens: &all,
        });
        if whole {
            let end = self
                .files
                .end_of_block(self.index.blocks())
                .unwrap_or_default();
            let root = custody::root_of(&self.leaves);
            self.leaves.clear();
            self.index.end_block(root, end);
        }
    }

    fn signer(&self) -> Signer {
        Signer::new(&self.origin, self.keys.checkpoint)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.tree.size()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fingerprint key of this installation, for the mask.
    #[must_use]
    pub fn fingerprint_key(&self) -> [u8; 32] {
        self.keys.fingerprint
    }

    /// A key that only this installation has, for one purpose outside the ledger.
    ///
    /// # Panics
    ///
    /// Never: HMAC takes a key of any length.
    #[must_use]
    pub fn key_for(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.fingerprint_key())
            .expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The key under which actors and scopes are hashed for finding entries.
    #[must_use]
    pub fn token_key(&self) -> TokenKey {
        TokenKey(self.keys.token)
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
        // The index is derived, and what can't be written of it now is with the checkpoint. Entries that are durable
        // were appended, whatever becomes of it: an error here would have them sealed twice.
        drop(self.index.write());
        Ok(Sequence(first))
    }

    /// Signs the ledger as it is; the note goes to `checkpoint`, `checkpoints.log` and the second place.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when one of them can't be written.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, LedgerError> {
        self.index.write()?;
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

    /// Reads one entry's header.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it isn't there, or isn't what was written.
    pub fn header(&self, sequence: Sequence) -> Result<Header, LedgerError> {
        let leaf = self.files.read_leaf(sequence.0)?;
        let leaf = leaf.ok_or(LedgerError::Entry {
            sequence,
            source: EncodeError::Length,
        })?;
        Header::decode(&leaf).map_err(|source| LedgerError::Entry { sequence, source })
    }

    /// When the last entry was received; `None` while there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn last_received(&self) -> Result<Option<Timestamp>, LedgerError> {
        let last = self.len().checked_sub(1).map(Sequence);
        let header = last.map(|last| self.header(last)).transpose()?;
        Ok(header.map(|header| header.received))
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
        let payload = if redact::is_destroyed(&row.payload) {
            None
        } else {
            let salted = self.open(&header, &row.payload)?;
            Some(salted.get(16..).unwrap_or_default().to_vec())
        };
        Ok(Entry {
            header,
            payload,
            leaf_hash: hash_leaf(&row.leaf),
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

    /// The proof that an entry is in the ledger as it is now; `None` when there is no such entry.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when leaves can't be read.
    pub fn inclusion_proof(&self, sequence: Sequence) -> Result<Option<Vec<Hash>>, LedgerError> {
        custody::inclusion_proof(self.len(), sequence.0, |range| self.root_over(range))
    }

    /// The proof that the ledger goes on from its first `old` entries; `None` of none or too many.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when leaves can't be read.
    pub fn consistency_proof(&self, old: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        custody::consistency_proof(self.len(), old, |range| self.root_over(range))
    }

    /// The root over a range of leaves: from whole blocks, and the rest read again.
    fn root_over(&self, range: Range<u64>) -> Result<Hash, LedgerError> {
        custody::root_over(
            range,
            BLOCK_LEVEL,
            &mut |block| match self.index.root(block) {
                Some(root) => Ok(root),
                None => self.root_of_leaves(block * BLOCK_ENTRIES..(block + 1) * BLOCK_ENTRIES),
            },
            &mut |range| self.root_of_leaves(range),
        )
    }

    fn root_of_leaves(&self, range: Range<u64>) -> Result<Hash, LedgerError> {
        let mut tree = Tree::default();
        for number in range {
            let leaf = self.files.read_leaf(number)?.ok_or(LedgerError::Entry {
                sequence: Sequence(number),
                source: EncodeError::Length,
            })?;
            tree.push(hash_leaf(&leaf));
        }
        Ok(tree.root())
    }

    /// The root over the entries as they are now.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }
}

//! Counsel's notes on incidents: written and read by whoever has that right there, and by nothing else.
//!
//! Apart by construction: a note is no decision and no part of an incident's handling, so that pages, the API, events,
//! reports, sinks and rows of the state, which are made of those, can't have it. It lies in the ledger alone, sealed
//! under `keys/counsel.key`; of its entry anybody reads that a note was sealed, and neither whose nor on what.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use custody::{PayloadKey, open_payload, seal_payload};
use hmac::{Hmac, KeyInit as _, Mac as _};
use incident::handling::COMMENT_BYTES_MAX;
use model::{Person, Principal, Right, Sequence, SourceId, StoreMap, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sources::Waker;
use stores::{Outbox, OutboxRow, Outcome, Put, StoreError};

use crate::attach::Shelf;
use crate::decider::{id_of, sealed};
use crate::desk::Desk;
use crate::hide::hide;
use crate::ledger::{Ledger, LedgerError, Query};
use crate::sealed::{Decided, VERSION};

/// Whose entries notes are.
pub(crate) const SOURCE: &str = "magewarden:counsel";
/// Bytes of randomness in front of a sealed note.
const SALT_BYTES: usize = 16;
/// Bytes of salt that `custody` puts in front of what it seals.
const PAYLOAD_SALT_BYTES: usize = 16;
/// A note's length is told in steps of so many bytes only.
const STEP_BYTES: usize = 1024;

/// Why a note isn't taken or can't be read. To whoever lacks the right there is no such incident.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CounselError {
    /// There is no such incident, or none for this person.
    #[error("there is no such incident")]
    NotThere,
    /// It is empty or too long.
    #[error("{why}")]
    Unfit {
        /// Which, and what to do.
        why: String,
    },
    /// Its key was used for another note.
    #[error("this key was used for another note: use a new one")]
    OtherNote,
    /// The database is away: nothing was written.
    #[error("nothing was recorded, since the database can't be used; try again in a minute")]
    Away {
        /// What it said.
        source: StoreError,
    },
    /// The ledger can't be read.
    #[error("the ledger can't be read: magewarden verify says what is wrong")]
    Ledger {
        /// What it said.
        source: LedgerError,
    },
    /// The key file can't be read or made.
    #[error("the key of counsel's notes can't be used")]
    Key {
        /// What the store said.
        source: StoreError,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
    /// It can't be sealed or written as JSON, which the types rule out.
    #[error("the note can't be sealed")]
    Seal,
    /// It is written and not sealed yet: it counts once it is.
    #[error("recorded, and not sealed yet: it counts once it is in the ledger")]
    Waiting,
}

/// A note, readable. Neither printed nor serialized by itself: whoever gives one out names what of it.
pub struct Note {
    /// Its entry.
    pub entry: u64,
    /// Who wrote it.
    pub by: Person,
    /// When.
    pub at: Timestamp,
    /// The text, card numbers and secrets masked.
    pub text: String,
}

/// What counsel keeps on an incident.
#[derive(Default)]
pub struct Notes {
    /// In the ledger's order.
    pub notes: Vec<Note>,
    /// How many entries of notes, on whatever incident, can't be opened: another key, or destroyed.
    pub closed: usize,
}

/// What is sealed of a note.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Inside {
    incident: String,
    by: Person,
    at: Timestamp,
    text: String,
}

/// Takes and reads counsel's notes. Clones share it.
#[derive(Clone)]
pub struct Counsel(Arc<Inner>);

struct Inner {
    key: [u8; 32],
    outbox: Outbox,
    desk: Desk,
    stores: Arc<StoreMap>,
    waker: Waker,
    shelf: Arc<Shelf>,
    /// Entries that were looked at, each with the incident it is on; `None` where it can't be opened.
    known: Mutex<BTreeMap<u64, Option<String>>>,
    /// How many entries the ledger has at least.
    size: AtomicU64,
}

impl Counsel {
    /// Takes what it needs; its key lies in `keys`, made at first use (0600).
    ///
    /// # Errors
    ///
    /// [`CounselError::Key`], [`CounselError::Random`].
    pub fn open(
        keys: &Path,
        outbox: Outbox,
        desk: Desk,
        stores: Arc<StoreMap>,
        waker: Waker,
        shelf: Arc<Shelf>,
    ) -> Result<Self, CounselError> {
        let fresh = random()?;
        let key = stores::read_or_make(&keys.join("counsel.key"), || fresh);
        Ok(Self(Arc::new(Inner {
            key: key.map_err(|source| CounselError::Key { source })?,
            outbox,
            desk,
            stores,
            waker,
            shelf,
            known: Mutex::default(),
            size: AtomicU64::new(0),
        })))
    }

    /// Whether somebody may read and write notes on an incident, which they see then.
    #[must_use]
    pub fn may(&self, by: &Principal, incident: &str) -> bool {
        let known = self.0.desk.incident(incident);
        known.is_some_and(|incident| {
            by.sees(&incident.scopes, &self.0.stores)
                && by.may(Right::CounselNotes, &incident.scopes, &self.0.stores)
        })
    }

    /// Writes a note; gives the number of its entry. Written again under one `key`, it counts once.
    ///
    /// # Errors
    ///
    /// [`CounselError`], each with what to do.
    pub async fn write(
        &self,
        by: &Principal,
        key: Option<String>,
        incident: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<u64, CounselError> {
        let inner = &*self.0;
        if !self.may(by, incident) {
            return Err(CounselError::NotThere);
        }
        let unfit = |why: String| Err(CounselError::Unfit { why });
        let mut text = text.trim().to_owned();
        if text.is_empty() {
            return unfit("the note is empty".to_owned());
        }
        if text.len() > COMMENT_BYTES_MAX {
            return unfit(format!("the note is longer than {COMMENT_BYTES_MAX} bytes"));
        }
        hide(&mut text);
        let inside = Inside {
            incident: incident.to_owned(),
            by: Person {
                account: by.account.clone(),
                name: by.shown.clone(),
            },
            at: now,
            text,
        };
        let id = id_of(by, key.map(|key| format!("counsel {key}")));
        let note = seal(&inner.key, &id, &inside)?;
        let decided = Decided::CounselNote {
            v: VERSION,
            id: id.clone(),
            note,
        };
        let body = serde_json::to_string(&decided).map_err(|_| CounselError::Seal)?;
        let row = OutboxRow {
            id: id.clone(),
            written: now.0,
            body,
        };
        // From before it is put, as of a decision.
        let version = inner.desk.version();
        let put = inner.outbox.put(&row).await;
        inner.waker.wake();
        let outcome = match put.map_err(|source| CounselError::Away { source })? {
            Put::New => None,
            Put::Known { body, outcome } => {
                let known = open(&inner.key, body.as_bytes()).ok_or(CounselError::OtherNote)?;
                let same = (&known.incident, &known.by, &known.text)
                    == (&inside.incident, &inside.by, &inside.text);
                if !same {
                    return Err(CounselError::OtherNote);
                }
                outcome
            }
        };
        match sealed(&inner.desk, version, &id, outcome).await {
            Some(Outcome::Sealed(sequence)) => {
                inner.size.fetch_max(sequence + 1, Ordering::Relaxed);
                Ok(sequence)
            }
            Some(Outcome::Refused(why)) => unfit(why),
            None => Err(CounselError::Waiting),
        }
    }

    /// Reads the notes on an incident. Reads files: not for a task that others wait for.
    ///
    /// # Errors
    ///
    /// [`CounselError::NotThere`], [`CounselError::Ledger`].
    pub fn notes(&self, by: &Principal, incident: &str) -> Result<Notes, CounselError> {
        let inner = &*self.0;
        if !self.may(by, incident) {
            return Err(CounselError::NotThere);
        }
        let told = inner.desk.overview().map_or(0, |told| told.ledger_size);
        let size = inner.size.load(Ordering::Relaxed).max(told);
        let read = |ledger: &Ledger| inner.read(ledger, incident);
        let notes = inner.shelf.with(size, read);
        notes.map_err(|source| CounselError::Ledger { source })
    }
}

impl Inner {
    fn read(&self, ledger: &Ledger, incident: &str) -> Result<Notes, LedgerError> {
        let query = Query {
            source: Some(SourceId(SOURCE.to_owned())),
            ..Query::default()
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes = Notes::default();
        for sequence in ledger.find(&query, usize::MAX)? {
            // What is on another incident, or closed, isn't opened once more.
            let is_sought = match known.get(&sequence.0) {
                Some(Some(on)) => on == incident,
                Some(None) => false,
                None => true,
            };
            if is_sought {
                let payload = ledger.read(sequence)?.payload.unwrap_or_default();
                let inside = open(&self.key, &payload);
                known.insert(
                    sequence.0,
                    inside.as_ref().map(|inside| inside.incident.clone()),
                );
                if let Some(inside) = inside.filter(|inside| inside.incident == incident) {
                    notes.notes.push(Note {
                        entry: sequence.0,
                        by: inside.by,
                        at: inside.at,
                        text: inside.text,
                    });
                }
            }
        }
        notes.closed = known.values().filter(|on| on.is_none()).count();
        Ok(notes)
    }
}

fn random<const N: usize>() -> Result<[u8; N], CounselError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| CounselError::Random { source })?;
    Ok(bytes)
}

/// A key for one note: none is used twice, so none needs a counter.
fn key_of(key: &[u8; 32], salt: &[u8], id: &str) -> PayloadKey {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in [b"magewarden counsel v1", salt, id.as_bytes()] {
        mac.update(part);
    }
    PayloadKey::new(mac.finalize().into_bytes().into())
}

fn seal(key: &[u8; 32], id: &str, inside: &Inside) -> Result<String, CounselError> {
    let salt = random::<SALT_BYTES>()?;
    let mut text = serde_json::to_vec(inside).map_err(|_| CounselError::Seal)?;
    // Spaces behind JSON are nothing.
    text.resize(text.len().next_multiple_of(STEP_BYTES), b' ');
    let sealed = seal_payload(&key_of(key, &salt, id), Sequence(0), &text);
    let (_, sealed) = sealed.map_err(|_| CounselError::Seal)?;
    Ok(BASE64.encode([&salt[..], &sealed].concat()))
}

/// Opens an entry's payload; `None` when it is none of these, or of another key.
fn open(key: &[u8; 32], payload: &[u8]) -> Option<Inside> {
    let Ok(Decided::CounselNote { id, note, .. }) = serde_json::from_slice(payload) else {
        return None;
    };
    let stored = BASE64.decode(note).ok()?;
    let (salt, stored) = stored.split_at_checked(SALT_BYTES)?;
    let opened = open_payload(&key_of(key, salt, &id), Sequence(0), stored).ok()?;
    serde_json::from_slice(opened.get(PAYLOAD_SALT_BYTES..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{Inside, open, seal};
    use crate::sealed::{Decided, VERSION};
    use model::{Person, Timestamp};

    fn inside(text: &str) -> Inside {
        Inside {
            incident: "incident-one".to_owned(),
            by: Person {
                account: "c".to_owned(),
                name: "Cora Counsel".to_owned(),
            },
            at: Timestamp(7),
            text: text.to_owned(),
        }
    }

    fn payload(key: u8, id: &str, text: &str) -> Vec<u8> {
        let note = seal(&[key; 32], id, &inside(text)).expect("sealed");
        let (v, id) = (VERSION, id.to_owned());
        let decided = Decided::CounselNote { v, id, note };
        decided.to_bytes().expect("JSON")
    }

    #[test]
    fn a_note_opens_under_its_key_as_its_own_entry_alone() {
        let sealed = payload(1, "a", "privileged");
        let opened = open(&[1; 32], &sealed).expect("opened");
        assert_eq!(opened.text, "privileged");
        assert!(open(&[2; 32], &sealed).is_none());
        let text = String::from_utf8(sealed.clone()).expect("JSON");
        assert!(open(&[1; 32], text.replace("\"a\"", "\"b\"").as_bytes()).is_none());
        // Long enough that no random text holds one.
        for word in ["privileged", "Cora Counsel", "incident-one"] {
            assert!(!text.contains(word), "{word}");
        }
        assert_ne!(sealed, payload(1, "a", "privileged"), "no two are alike");
        for at in (0..sealed.len()).step_by(7) {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let opened = open(&[1; 32], &changed);
            assert!(
                opened.is_none_or(|inside| inside.text == "privileged"),
                "{at}"
            );
        }
    }

    #[test]
    fn its_length_tells_little() {
        let of = |length: usize| payload(1, "a", &"x".repeat(length)).len();
        assert_eq!(of(1), of(800));
        assert!(of(5000) > of(1));
    }
}

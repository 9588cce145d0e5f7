//! What the pipeline seals of its own: findings, incidents and facts on inputs, as versioned JSON.
//!
//! Version 1. A field is added with a default, never renamed; a new meaning is a new version.

use model::{
    AccessEvent, Decision, Finding, Generation, Incident, Order, Person, Refused, RunEntry,
    SourceId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::containment::{KeptPiece, PlaybookEdit};
use crate::pause::Pause;

/// The payload of a `decided` entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
#[non_exhaustive]
pub enum Decided {
    /// A finding, or its latest state (same id, greater counts).
    Finding {
        /// Version of this shape.
        v: u32,
        /// The finding.
        finding: Box<Finding>,
    },
    /// An incident's latest state.
    Incident {
        /// Version of this shape.
        v: u32,
        /// The incident.
        incident: Box<Incident>,
    },
    /// A person's decision about an incident.
    Decision {
        /// Version of this shape.
        v: u32,
        /// The decision.
        decision: Box<Decision>,
    },
    /// Something that happened to an account: logged in, invited, disabled …
    Access {
        /// Version of this shape.
        v: u32,
        /// Its own id: written twice, it is sealed once.
        id: String,
        /// What happened.
        event: AccessEvent,
    },
    /// Somebody read evidence (PCI DSS v4.0.1 req. 10.2.1.1, 10.2.1.3).
    Read {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// What was read, by whom.
        read: Read,
    },
    /// A source is expected to be silent for a while, or no longer.
    Pause {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// Which, until when, who says so and why.
        pause: Pause,
    },
    /// A playbook of the installation's own was saved, or given up.
    Playbook {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// Which, as what, by whom.
        edit: Box<PlaybookEdit>,
    },
    /// A note of counsel's on an incident, which only counsel's own key opens: whose and on what is inside.
    CounselNote {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// Base64 of salt and sealed note.
        note: String,
    },
    /// A finding as another system told it: what comes of it is sealed after it, as a `Finding`.
    External {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// Who sent it.
        by: Person,
        /// When.
        at: Timestamp,
        /// What was told, masked; it rests on no event but this entry.
        finding: Box<Finding>,
    },
    /// What somebody asks of a run.
    Order {
        /// Version of this shape.
        v: u32,
        /// The order.
        order: Box<Order>,
    },
    /// What the host that carries a run out wrote down of it, masked there and looked through once more.
    Told {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// The host.
        host: String,
        /// What it wrote down.
        entry: Box<RunEntry>,
    },
    /// That a host won't carry out an order.
    HostRefused {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// The host.
        host: String,
        /// Which, and why.
        refused: Refused,
    },
    /// That a host handed over a piece of a run's evidence: its bytes are the entries right before.
    Evidence {
        /// Version of this shape.
        v: u32,
        /// Its own id, as of `Access`.
        id: String,
        /// The host.
        host: String,
        /// The run.
        run: String,
        /// Which piece.
        piece: KeptPiece,
    },
    /// An input that was read to its end.
    Input {
        /// Version of this shape.
        v: u32,
        /// The input.
        input: InputFacts,
    },
    /// An exercise begins: only records of a pipeline that sealed this are in lane `Exercise`.
    Exercise {
        /// Version of this shape.
        v: u32,
        /// The exercise's id.
        id: String,
        /// Sixteen random bytes, hexadecimal: told beforehand, nobody can guess it.
        nonce: String,
        /// When it is over at the latest.
        until: Timestamp,
    },
    /// The ledger before this one no longer fitted what was signed, and was set aside.
    LedgerBroken {
        /// Version of this shape.
        v: u32,
        /// What is known of it.
        broken: BrokenLedger,
    },
}

/// A reading of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Person,
    /// Which entries. The same person's reading one again within the hour isn't told again.
    pub entries: Vec<u64>,
}

/// What is known of a ledger that was set aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BrokenLedger {
    /// Where it lies now, read-only.
    pub aside: String,
    /// What didn't fit.
    pub why: String,
    /// The last checkpoint signed of it, a signed note; `None` when it was gone.
    pub last_checkpoint: Option<String>,
    /// Where each source goes on: generation, and first byte that the old ledger doesn't hold.
    pub positions: Vec<(SourceId, Generation, u64)>,
}

/// What is known of an input that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InputFacts {
    /// Source id.
    pub source: String,
    /// Path as given.
    pub path: String,
    /// Format it was read as.
    pub format: String,
    /// Size on disk in bytes.
    pub size_bytes: u64,
    /// Modification time, RFC 3339, or empty.
    pub modified: String,
    /// SHA-256 of the file's bytes; keyed (HMAC under the fingerprint key) when card numbers were
    /// found in it, since a plain hash beside masked bytes gives the number back.
    pub hash: String,
    /// `sha256` or `hmac-sha256`.
    pub hash_kind: String,
    /// Records sealed.
    pub records: u64,
    /// Of those, unreadable.
    pub quarantined: u64,
    /// Why reading ended early; empty when it did not.
    pub error: String,
}

/// The version of [`Decided`] written today.
pub const VERSION: u32 = 1;

impl Decided {
    /// The id under which it was in the outbox, where people made it.
    #[must_use]
    pub fn outbox_id(&self) -> Option<&str> {
        match self {
            Self::Decision { decision, .. } => Some(&decision.id),
            Self::Order { order, .. } => Some(&order.id),
            Self::Access { id, .. }
            | Self::Told { id, .. }
            | Self::HostRefused { id, .. }
            | Self::Evidence { id, .. }
            | Self::Read { id, .. }
            | Self::Pause { id, .. }
            | Self::CounselNote { id, .. }
            | Self::External { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The bytes to seal.
    ///
    /// # Errors
    ///
    /// When a value can't be written as JSON, which the types rule out.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

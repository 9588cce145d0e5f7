//! What names a record, an entry and a place in Magento's nesting.

use serde::{Deserialize, Serialize};

/// One Magento with its websites, stores and views; the wall between tenants
/// (PCI DSS v4.0.1 A1.1.1–A1.1.3). Lower-case letters, digits, `-`, `_`; 1 to 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(pub String);

/// Whether a record is of the shop, or of an exercise.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// From the shop.
    #[default]
    Live,
    /// From an exercise whose nonce was sealed beforehand.
    Exercise,
}

/// A source's stable name within its installation, e.g. `file:/var/log/nginx/access.log`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub String);

/// Which incarnation of a source gave a record. For files: device, inode and the first
/// 16 bytes of SHA-256 over the first 256 bytes, so that it survives rotation; for a
/// compressed or archived file, the same hash over its decompressed bytes with zero device and inode.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation {
    /// Device number; zero when there is none.
    pub device: u64,
    /// Inode number; zero when there is none.
    pub inode: u64,
    /// First 16 bytes of SHA-256 over the first 256 bytes.
    pub head_hash: [u8; 16],
}

/// Where a record starts in its generation, in (decompressed) bytes or receipts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// Bytes before the record.
    pub offset_bytes: u64,
}

/// What makes a record the same record when it is read again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordIdentity {
    /// Where it came from.
    pub source: SourceId,
    /// Which incarnation of the source.
    pub generation: Generation,
    /// Where it starts.
    pub position: Position,
    /// Length of the original record in bytes, its line end included.
    pub length_bytes: u32,
}

/// An entry's place in the ledger, counted from zero. The ledger's order is the only order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// A place in Magento's nesting. Unknown is a value, never a guess.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "code")]
pub enum Scope {
    /// Nothing in the record says which store.
    #[default]
    Unknown,
    /// Everything of the installation, e.g. a table all stores share.
    Installation,
    /// A website by its code.
    Website(String),
    /// A store (group) by its code.
    Store(String),
    /// A store view by its code.
    View(String),
    /// A host (with port, where it says one) not yet mapped to a website.
    Host(String),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Installation => f.write_str("whole installation"),
            Self::Website(code) => write!(f, "website {code}"),
            Self::Store(code) => write!(f, "store {code}"),
            Self::View(code) => write!(f, "view {code}"),
            Self::Host(host) => write!(f, "host {host}"),
        }
    }
}

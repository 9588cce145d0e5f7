//! Seal, chain, verify: the bytes of an entry, the tree over them, signed checkpoints.
//!
//! Apart so that an assessor can use it alone: pure, no files. Hashing as in RFC 9162 (SHA-256),
//! checkpoints as in C2SP tlog-checkpoint. The format is told in `docs/ledger.md`.

mod checkpoint;
mod entry;
mod merkle;
mod payload;

pub use checkpoint::{Checkpoint, CheckpointError, Signer, Verifier};
pub use entry::{EncodeError, EntryKind, Header, MARKS_MAX};
pub use merkle::{
    Hash, Tree, check_consistency, check_inclusion, consistency_proof, hash_children, hash_leaf,
    inclusion_proof, root_of, root_over,
};
pub use payload::{PayloadError, PayloadKey, open_payload, payload_hash, seal_payload};

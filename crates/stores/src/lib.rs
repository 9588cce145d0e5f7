//! The ledger's files – segments of opaque leaves and payloads, full subtrees, an index, key files – and the state's database.
//!
//! Touches the disk and decides nothing: what the bytes mean is `custody`'s, joined in `engine`.

mod database;
mod error;
mod files;
mod frames;
mod index;
mod looked;
mod mailed;
mod outbox;
mod people;
mod place;
mod rows;
mod secrets;
mod state;

pub use database::Database;
pub use error::{StoreError, is_full_disk};
pub use files::{Cut, Place, Row, SegmentFiles};
pub use index::{BLOCK_ENTRIES, BlockIndex, IndexQuery, Indexed, Order};
pub use looked::{Looked, Looks};
pub use mailed::{Mailed, MailedRow};
pub use outbox::{Outbox, OutboxRow, Outcome, Put, SettledRow};
pub use people::{
    AccountRow, AskedRow, CeremonyRow, DirectoryAccess, DirectoryChange, IdentityRow,
    InvitationRow, Joining, PasskeyRow, PeopleStore, PeopleStoreError, SessionRow, TokenRow,
    ViewRow,
};
pub use place::{Server, StatePlace};
pub use rows::{
    FindingRow, HandlingRow, IncidentRow, ListRow, ReadRow, SourceRow, StateRow, StateUpdate,
    each_row,
};
pub use secrets::{destroy, read, read_or_make, write_atomically};
pub use state::{Owner, State};

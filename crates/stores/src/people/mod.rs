//! Accounts, what identifies them, their sessions and tokens: rows, and the statements that must be one.
//!
//! Decides nothing. What two requests could do at once – count a failure, use a code, take an invitation – is one
//! statement or one transaction here, and says whether it was this caller's.

mod account;
mod asked;
mod directory;
mod invitation;
mod passkey;
mod session;
mod view;

use sqlx::AnyPool;
use sqlx::any::AnyRow;

pub use account::{AccountRow, IdentityRow};
pub use asked::AskedRow;
pub use directory::{DirectoryAccess, DirectoryChange};
pub use invitation::{InvitationRow, Joining};
pub use passkey::{CeremonyRow, PasskeyRow};
pub use session::{SessionRow, TokenRow};
pub use view::ViewRow;

/// The tables of people can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the accounts can't be read or written")]
pub struct PeopleStoreError {
    /// What the database said.
    #[from]
    source: sqlx::Error,
}

/// The tables of people; clones share the connections.
#[derive(Clone, Debug)]
pub struct PeopleStore {
    pool: AnyPool,
}

impl PeopleStore {
    /// Takes connections to a database whose tables are up to date.
    #[must_use]
    pub const fn new(pool: AnyPool) -> Self {
        Self { pool }
    }
}

/// Every row that was read, in the form asked for.
fn all<T>(
    rows: &[AnyRow],
    read: impl Fn(&AnyRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, PeopleStoreError> {
    let all: Result<Vec<T>, sqlx::Error> = rows.iter().map(read).collect();
    Ok(all?)
}

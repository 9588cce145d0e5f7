//! The state's database, taken for one installation.
//!
//! Apart because whoever takes it must have the installation's ledger open to write: that one's lock says who writes, and its key
//! whose the rows are.

use std::path::Path;

use model::InstallationId;
use stores::{Database, Owner, State};

pub use stores::{Outbox, Server, StatePlace, StoreError};

use crate::ledger::Ledger;

/// Name of the state's file beside the folder of the ledger.
const FILE: &str = "state.sqlite";

/// Opens the state's database for what people make; whose its rows are isn't asked.
///
/// # Errors
///
/// [`StoreError`] when it can't be used.
pub fn database(folder: &Path, place: Option<&StatePlace>) -> Result<Database, StoreError> {
    match place {
        Some(place) => Database::open(place),
        None => Database::open(&StatePlace::File(folder.with_file_name(FILE))),
    }
}

/// Takes the state of a ledger that is open to write: at `place`, or in the file beside the ledger's folder.
///
/// # Errors
///
/// [`StoreError`] when it can't be used, or is another installation's.
pub fn open(
    ledger: &Ledger,
    folder: &Path,
    place: Option<&StatePlace>,
    installation: &InstallationId,
) -> Result<State, StoreError> {
    let database = database(folder, place)?;
    let key = ledger.key_for("the state's owner");
    let id = key.iter().take(16).map(|byte| format!("{byte:02x}"));
    let owner = Owner {
        id: id.collect(),
        installation: installation.0.clone(),
    };
    State::open(&database, &owner)
}

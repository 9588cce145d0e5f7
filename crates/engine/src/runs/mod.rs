//! Runs on a shop's host: a plan that was approved, carried out and undone, also when the process ends anywhere in between.
//!
//! What is to be done next is told by [`playbook::Run`], a fold over a journal on this host. Each entry is on disk before
//! what it announces is done; what undoes a step and the evidence before it are on disk before the entry that names them. So
//! a run can be undone here with nothing else alive.

mod carry;
mod error;
pub(crate) mod evidence;
mod guard;
#[cfg(test)]
mod guard_tests;
mod journal;
mod known;
mod relies;
#[cfg(test)]
mod relies_tests;
mod sealing;
#[cfg(test)]
pub(crate) mod tests;
mod timed;
#[cfg(test)]
mod timed_tests;
#[cfg(test)]
mod unwind_tests;
mod vault;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use known::Known;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use stores::write_atomically;

pub use carry::{Carrier, Stand};
pub use error::CarryError;
pub use guard::{LOOK_WAIT, Looks, Watching, may_unwind};
pub use journal::{Journal, JournalError, entries, id_of, is_id, new_id, read};
pub use known::Looked;
pub use sealing::Sealing;
pub use vault::{Vault, VaultError};
pub use watch::Watch;

/// Folders of runs below one of ours, for its owner alone. Clones share what was read of it.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    known: Arc<Mutex<Known>>,
}

impl Place {
    /// Below a folder that is ours.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            known: Arc::default(),
        }
    }

    /// Its runs, oldest first, and what of them can't be read.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the folder can't be read; one that isn't there has none.
    pub fn runs(&self) -> Result<Looked, JournalError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.look(&self.journals())
    }

    /// Journals, one file a run.
    #[must_use]
    pub fn journals(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// What undoes them.
    #[must_use]
    pub fn vault(&self) -> PathBuf {
        self.folder.join("vault")
    }

    /// What was kept before anything was changed, masked.
    #[must_use]
    pub fn evidence(&self) -> PathBuf {
        self.folder.join("evidence")
    }
}

/// That nothing is done on a host: said there, with no server alive. What was done can still be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Who says so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

impl Place {
    /// Whether this host is frozen. What can't be read counts as frozen by whoever wrote it.
    ///
    /// # Errors
    ///
    /// When it can't be found out.
    pub fn frozen(&self) -> std::io::Result<Option<Frozen>> {
        match std::fs::read(self.frozen_file()) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|_| {
                Frozen {
                    by: "somebody".to_owned(),
                    at: Timestamp(0),
                    why: "the file that says why can't be read".to_owned(),
                }
            }))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets nothing be done on this host from the next step on.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn freeze(&self, frozen: &Frozen) -> std::io::Result<()> {
        make_ours(&self.journals())?;
        let text = serde_json::to_vec(frozen).map_err(std::io::Error::other)?;
        write_atomically(&self.frozen_file(), &text).map_err(std::io::Error::other)
    }

    /// Lets things be done again; a host that isn't frozen stays so.
    ///
    /// # Errors
    ///
    /// When it can't be removed.
    pub fn thaw(&self) -> std::io::Result<()> {
        match std::fs::remove_file(self.frozen_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn frozen_file(&self) -> PathBuf {
        self.journals().join("frozen")
    }
}

/// Makes a folder for its owner alone.
pub(crate) fn make_ours(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

//! Why a run can't go on, and what to do then.

use std::path::PathBuf;

use super::journal::JournalError;
use super::vault::VaultError;

/// Why a run can't go on. Nothing is lost: it goes on where it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarryError {
    /// Its journal can't be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What undoes its steps can't be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A file of ours can't be used.
    #[error("can't use {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl CarryError {
    /// What to do next.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.next(),
            Self::Vault(VaultError::Changed { .. }) => {
                "what undoes the step is gone: undo it by hand, the run's changes say what was before"
            }
            Self::Vault(_) | Self::File { .. } => {
                "see to the folder's rights and space, then let the run go on"
            }
        }
    }
}

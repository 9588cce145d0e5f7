//! Why the pipeline stops.

use std::path::PathBuf;

use crate::judge::JudgeError;
use crate::ledger::LedgerError;
use crate::projection::ProjectionError;
use crate::restart::RestartError;

/// Why the pipeline stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The ledger can't take or give entries.
    #[error("the ledger at {} failed", path.display())]
    Ledger {
        /// Folder of the ledger.
        path: PathBuf,
        /// What it said.
        source: LedgerError,
    },
    /// The state database can't be used.
    #[error("the state of {} can't be used", path.display())]
    Projection {
        /// Folder of the ledger.
        path: PathBuf,
        /// What is wrong.
        source: ProjectionError,
    },
    /// The pipeline can't go on where it stopped.
    #[error("can't go on where the ledger at {} ends", path.display())]
    Restart {
        /// Folder of the ledger.
        path: PathBuf,
        /// What is wrong.
        source: RestartError,
    },
    /// The content can't be used.
    #[error("the rules can't be used")]
    Judge {
        /// What is wrong.
        source: JudgeError,
    },
    /// A decision can't be written.
    #[error("a decision can't be written as JSON")]
    Encode {
        /// What serde said.
        source: serde_json::Error,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
}

impl PipelineError {
    /// Whether the disk is full: what failed may succeed later.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Ledger { source, .. } => source.is_full_disk(),
            Self::Projection { source, .. } => source.is_full_disk(),
            _ => false,
        }
    }
}

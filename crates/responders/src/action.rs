//! What an action is: facts that are known beforehand, and four calls that reach the world.
//!
//! An action decides nothing: whether it may be done is told by whoever calls it.

use std::path::{Path, PathBuf};

use model::{ActionFacts, Argument, Arguments};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Host;

/// One action. Yours: a file here, its `mod` line, its entry in [`ACTIONS`](crate::ACTIONS).
///
/// All calls block, each program they run and each request they send has a limit of time. `kept` is what
/// [`survey`](Action::survey) gave *before* the first act: every later call is given the same bytes.
pub trait Action: Sync {
    /// What is known of it before it is done.
    fn facts(&self) -> &'static ActionFacts;

    /// Says what is, what would be, and what is needed to undo it. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`ActionError`] when it could not be done here.
    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError>;

    /// Does it. Done twice, it is as done once.
    ///
    /// # Errors
    ///
    /// [`ActionError`]; then what was there before is back, unless the error is that it could not be put back.
    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError>;

    /// Asks the world whether it holds.
    ///
    /// # Errors
    ///
    /// [`ActionError`] when that could not be found out.
    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError>;

    /// Puts back what was before. Done twice, or after an act that stopped midway, it is as done once.
    ///
    /// # Errors
    ///
    /// [`ActionError`] when something could not be put back; it may be called again.
    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError>;
}

/// What an action would change, and what undoes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// In words, for whoever approves it; no secrets, no card numbers.
    pub changes: Vec<Change>,
    /// What is needed to undo it. It may hold secrets of the shop: it is for the shop's host alone.
    pub kept: Vec<u8>,
}

/// One thing that would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is, e.g. `store view fr`.
    pub what: String,
    /// How it is.
    pub now: String,
    /// How it would be.
    pub then: String,
}

/// Whether an action holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It holds.
    InEffect,
    /// Nothing of it holds.
    NotInEffect,
    /// Some of it, in words; acting or undoing again leads out of it.
    Partly(String),
}

/// Why an action, its undo or its reading back failed. The text says what is the case now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// An argument is missing; the caller's fault.
    #[error("`{name}` is missing")]
    Missing {
        /// Name of the parameter.
        name: &'static str,
    },
    /// What an argument names isn't there or must not be touched; the caller's fault.
    #[error("{why}")]
    Refused {
        /// Why, in words.
        why: String,
    },
    /// The host isn't set up for it; its administrator acts.
    #[error("{what}")]
    NotSetUp {
        /// What is missing, and what to do.
        what: String,
    },
    /// A file could not be read or written; its administrator acts.
    #[error("can't {what} {}", path.display())]
    File {
        /// What was tried, e.g. `write`.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed or took too long; its administrator acts.
    #[error("`{program}` {how}")]
    Program {
        /// What was run.
        program: String,
        /// How it ended, and the end of what it said.
        how: String,
    },
    /// The database refused or took too long; its administrator acts.
    #[error("the database can't {what}: {how}")]
    Database {
        /// What was tried, e.g. `lock the account`.
        what: String,
        /// What the server or the connection said.
        how: String,
    },
    /// A cache's server refused or took too long; its administrator acts.
    #[error("the cache's server can't {what}: {how}")]
    Cache {
        /// What was tried, e.g. `list entries`.
        what: &'static str,
        /// What the server or the connection said.
        how: String,
    },
    /// A CDN's API refused or took too long; its administrator acts.
    #[error("the service before the shop can't {what}: {how}")]
    Edge {
        /// What was tried, e.g. `add a rule`.
        what: &'static str,
        /// What it or the connection said.
        how: String,
    },
    /// The root helper couldn't do it, or can't be asked; its administrator acts.
    #[error("the root helper can't do {operation}: {how}")]
    Root {
        /// What was asked of it.
        operation: String,
        /// What it said, or why it can't be asked.
        how: String,
    },
    /// The process ended before a change; tests alone do that.
    #[error("the process ended before {before}")]
    Ended {
        /// The change that wasn't made.
        before: String,
    },
    /// It was done, and the world doesn't show it; what was before is back.
    #[error("{what}")]
    NotSeen {
        /// What was asked and what came.
        what: String,
    },
    /// What was kept is of another action or damaged; the caller's fault.
    #[error("what was kept to undo it can't be read")]
    Kept,
}

impl ActionError {
    /// What to do next, for whoever reads it.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::Refused { .. } => "give other arguments",
            Self::NotSetUp { .. } => {
                "docs/containment.md says what the host's administrator sets up once"
            }
            Self::File { .. } => "see to the file and its rights, then do it again",
            Self::Program { .. } => "see to what the program says, then do it again",
            Self::Database { .. } => {
                "see to the server and to the grants of docs/containment.md, then do it again"
            }
            Self::Cache { .. } => {
                "see to the server and to [cache] of docs/containment.md, then do it again"
            }
            Self::Edge { .. } => {
                "see to the service, to the token's rights and to [edge] of docs/containment.md, then do it again"
            }
            Self::Root { .. } => {
                "see to what it says, and to magewarden-agent-root.socket (docs/agent.md), then do it again"
            }
            Self::Ended { .. } => "do it again",
            Self::NotSeen { .. } => {
                "see whether what is asked includes our files, then do it again"
            }
            Self::Kept => "give the file that was kept when this action was surveyed",
        }
    }

    /// What must not be done, with what to do instead.
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }

    /// For `map_err`: a file that could not be used.
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

/// What undoes an action, as it is kept.
pub(crate) fn keep<T: Serialize + ?Sized>(kept: &T) -> Result<Vec<u8>, ActionError> {
    serde_json::to_vec(kept).map_err(|_| ActionError::Kept)
}

/// Reads it back.
pub(crate) fn read_kept<T: DeserializeOwned>(kept: &[u8]) -> Result<T, ActionError> {
    serde_json::from_slice(kept).map_err(|_| ActionError::Kept)
}

/// An argument that the action can't do without.
pub(crate) fn argument<'a>(
    arguments: &'a Arguments,
    name: &'static str,
) -> Result<&'a Argument, ActionError> {
    arguments.get(name).ok_or(ActionError::Missing { name })
}

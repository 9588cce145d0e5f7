//! Findings and incidents → SIEMs and people: one file each, one contract.
//!
//! A sink is told after the evidence is sealed; one that fails is shown and stops nothing.

pub mod contract;
pub mod mail;
pub mod memory;
pub mod ocsf;
pub mod webhook;

use model::{Decision, Finding, Incident, IncidentState, Level, Sequence};

/// Why a sink could not tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The file can't be written.
    #[error("the file of the sink can't be written")]
    Write {
        /// What the system said.
        source: std::io::Error,
    },
    /// The address isn't one that may be called.
    #[error("`{url}` is neither https nor http on loopback, or holds a user name")]
    Address {
        /// Its scheme and host: the rest may hold a secret.
        url: String,
    },
    /// The secret can't sign.
    #[error("the webhook's secret is empty, or isn't base64 behind `whsec_`")]
    Secret,
    /// The other side didn't take it.
    #[error("the other side did not take it: {why}")]
    Refused {
        /// What it said, without any content.
        why: String,
    },
}

/// A person's decision, sealed, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The decision, masked.
    pub decision: &'a Decision,
    /// Its entry.
    pub sequence: Sequence,
    /// Where the incident is in its life from then on.
    pub state: IncidentState,
    /// Its severity from then on.
    pub severity: Level,
}

/// Someone to tell.
pub trait Sink: Send {
    /// Its name in settings and counters.
    fn name(&self) -> &'static str;

    /// Tells of a finding, or that one grew (same id).
    ///
    /// # Errors
    ///
    /// [`SinkError`] when it could not be told.
    fn finding(&mut self, finding: &Finding, installation: &str) -> Result<(), SinkError>;

    /// Tells of an incident's latest state.
    ///
    /// # Errors
    ///
    /// [`SinkError`] when it could not be told.
    fn incident(&mut self, incident: &Incident, installation: &str) -> Result<(), SinkError>;

    /// Tells of a person's decision. A sink for findings alone leaves it out.
    ///
    /// # Errors
    ///
    /// [`SinkError`] when it could not be told.
    fn decision(&mut self, _decided: &Decided<'_>, _installation: &str) -> Result<(), SinkError> {
        Ok(())
    }

    /// Whether it works, of one that finds out by itself and not when it is told; `None` of others.
    fn works(&self) -> Option<Result<(), SinkError>> {
        None
    }

    /// Waits for what waits to be told, for a bounded time.
    ///
    /// # Errors
    ///
    /// [`SinkError`] when something could not be told.
    fn flush(&mut self) -> Result<(), SinkError>;
}

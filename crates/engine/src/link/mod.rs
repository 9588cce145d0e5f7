//! The server's side of the link to shops' hosts: which of them may come in, and what is asked of whoever does.
//!
//! A host is known by its key. Invariant: what may come in is what lies in the folder now; a host that was removed there is
//! refused from the next request on, whatever certificates it has.

mod agents;
mod arrivals;
mod keep;

use std::future::Future;
use std::pin::Pin;

use model::{HostReply, HostReport, Timestamp, WantedPiece};

pub use agents::{Agent, AgentError, Agents};
pub(crate) use arrivals::is_plain;
pub use arrivals::{ArrivalError, Arrivals};
pub use keep::{authority, plans};

/// What a future of [`Hosts`] is.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever takes what hosts tell, and says what they are to do.
pub trait Hosts: Send + Sync {
    /// Takes a report: when it returns, what the reply says is sealed is durable. A report that is told twice is taken once.
    ///
    /// `host` is the name that the host was invited by, from its certificate's key and not from what it says.
    fn report<'a>(
        &'a self,
        host: &'a str,
        report: HostReport,
        now: Timestamp,
    ) -> Answer<'a, Result<HostReply, ReportError>>;

    /// Takes a piece of evidence that the host kept: when it returns, the piece is durable. One that is handed over twice is taken once.
    fn evidence<'a>(
        &'a self,
        host: &'a str,
        piece: WantedPiece,
        content: Vec<u8>,
        now: Timestamp,
    ) -> Answer<'a, Result<(), ReportError>>;

    /// Notes that a host was let in, from an address; gives whether that is durable.
    fn enrolled<'a>(&'a self, host: &'a str, from: &'a str, now: Timestamp) -> Answer<'a, bool>;

    /// Ends when there may be something new to tell the host; it hears of every change after it was *made*, not after it is first
    /// waited for (as `tokio::sync::Notify::notified` does), so that none falls between a report and the wait.
    fn changed<'a>(&'a self, host: &'a str) -> Answer<'a, ()>;
}

/// Why a report isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Nothing is wrong with it: the host tries again later.
    #[error("come again later")]
    Away,
    /// It isn't taken as it is, and won't be.
    #[error("{why}")]
    Unfit {
        /// Why, in words.
        why: String,
    },
}

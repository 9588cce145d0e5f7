//! What needs root on a shop's host: a closed list of operations, asked for by whoever runs without, done by whoever runs with it.
//!
//! Invariants: nothing but an [`Operation`] passes; no program, path or text of a caller reaches the world – a network and a rule are
//! read to their kind, programs and folders are those of a file that root alone writes ([`RootSettings`]). nginx's file is
//! written here too, since whoever may write what nginx reads as root is root.

mod ask;
mod carry;
mod filter;
mod operation;
mod serve;
mod settings;

pub use operation::{Operation, Reply, RequestError, Rules};
pub use serve::{ServeError, inherited, serve};
pub use settings::{FilterPrograms, NginxPrograms, RootSettings, SettingsError, alone};

pub(crate) use ask::ask;
pub(crate) use carry::carry;
pub(crate) use filter::Filter;
pub(crate) use settings::nft;

use std::path::PathBuf;

/// Who does what needs root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The root helper, which listens on this socket.
    Helper(PathBuf),
    /// This process, by this program (`nft`); it changes networks and nothing else.
    Here(String),
}

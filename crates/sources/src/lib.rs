//! The world → bytes: folders of logs, compressed or not, files that grow, what is sent here, and a shop's own settings.
//!
//! Touches the world and decides nothing. Limits are named; what is not read is said, with the reason.

mod access_log;
mod alive;
mod archive;
mod baseline;
mod binlog;
mod chunk;
mod csp_reports;
pub mod database;
pub mod env_php;
mod files;
mod follow;
mod gateway;
#[doc(hidden)]
pub mod hostile;
mod http;
mod inventory;
mod journald;
mod listen;
mod observation;
mod payment_page;
pub mod platform;
mod prices;
mod private;
mod reader;
mod redis;
mod rotation;
pub mod shop;
mod source;
mod syslog;
mod tree;
mod unpack;

use std::path::PathBuf;

pub use access_log::stores_gap;
pub use files::{Compression, Discovery, Input, Limits, discover};
pub use follow::Follower;
pub use observation::{Observation, WHOLE};
pub use reader::Reader;
pub use rotation::group_rotated;
pub use source::{
    Chunk, DELIVERY_BYTES_MAX, Delivery, Framing, Given, Hand, Kind, News, NotSealed, Pending,
    Positions, Receipt, Recorder, Running, Source, Waker,
};
pub use tree::{CardCount, ExampleOutcome, Refused, SignatureError, Signatures};
pub use unpack::{UnpackError, unpack};

/// Every kind of live source that settings can ask for, by its name.
pub static SOURCES: &[&dyn Kind] = &[
    &syslog::Syslog,
    &journald::Journald,
    &http::Http,
    &gateway::Webhooks,
    &gateway::Polls,
    &database::ShopRows,
    &database::StatementDigests,
    &binlog::Binlog,
    &tree::Files,
    &inventory::Inventory,
    &redis::Redis,
    &payment_page::PaymentPage,
    &csp_reports::CspReports,
    &alive::Ping,
    &alive::Peer,
];

/// Finds a kind of source by its name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static dyn Kind> {
    SOURCES.iter().copied().find(|kind| kind.name() == name)
}

/// Reads a source's settings.
pub(crate) fn settings<T: serde::de::DeserializeOwned>(
    kind: &'static str,
    table: toml::Table,
) -> Result<T, SourceError> {
    table
        .try_into()
        .map_err(|error: toml::de::Error| SourceError::Settings {
            kind,
            why: error.message().to_owned(),
        })
}

/// Why a source can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system refused.
    #[error("can't read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A place on the network can't be listened at or reached.
    #[error("{place} can't be used")]
    Network {
        /// The place.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The shop's database can't be asked.
    #[error("the database at {server} can't be asked")]
    Database {
        /// Where.
        server: String,
        /// Why.
        source: Box<database::AskError>,
    },
    /// A file that holds secrets isn't its owner's alone.
    #[error("{} has mode {mode:03o}: others may read or change it; chmod 600 it", path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// The mode's last nine bits.
        mode: u32,
    },
    /// A source's settings make no sense.
    #[error("the settings of a source of kind `{kind}`: {why}")]
    Settings {
        /// Its kind.
        kind: &'static str,
        /// What is wrong, and what is wanted.
        why: String,
    },
    /// What it looks at can't be looked at.
    #[error("{why}")]
    Unusable {
        /// Why, and what to do about it.
        why: String,
    },
    /// A program that a source reads from ended.
    #[error("{} ended: {why}", program.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// How, and what it said.
        why: String,
    },
    /// The machine has no room for another thread.
    #[error("no thread can be started")]
    Thread {
        /// What it said.
        source: std::io::Error,
    },
    /// A file is larger than its limit.
    #[error("{} is larger than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
}

impl SourceError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

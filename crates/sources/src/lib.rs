//! The world → bytes: folders of logs, compressed or not, files that grow, what is sent here, and a shop's own settings.
//!
//! Touches the world and decides nothing. Limits are named; what is not read is said, with the reason.

mod archive;
pub mod database;
pub mod env_php;
mod files;
mod follow;
mod observation;
mod reader;
mod rotation;
pub mod shop;
mod source;

use std::path::PathBuf;

pub use files::{Compression, Discovery, Input, Limits, discover};
pub use follow::Follower;
pub use observation::Observation;
pub use reader::Reader;
pub use rotation::group_rotated;
pub use source::{
    Chunk, DELIVERY_BYTES_MAX, Delivery, Framing, Hand, News, NotSealed, Positions, Receipt,
    Running, Source,
};

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

//! Why a store can't be used, and whether what failed may succeed later.

use std::path::{Path, PathBuf};

/// Why the files or the state database can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused.
    #[error("can't use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Another process writes here.
    #[error("another magewarden writes to {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The bytes aren't what was written.
    #[error("{} holds {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Fewer entries are whole than were signed for.
    #[error("{} holds {whole} whole entries of {promised} signed for", folder.display())]
    Short {
        /// The folder.
        folder: PathBuf,
        /// Entries that are whole.
        whole: u64,
        /// Entries that were signed for.
        promised: u64,
    },
    /// A leaf or a payload longer than any reader takes.
    #[error("an entry's leaf is over {leaf} bytes or its payload over {payload}")]
    TooLong {
        /// Most bytes of a leaf.
        leaf: u32,
        /// Most bytes of a payload.
        payload: u32,
    },
    /// The state's file can't be used.
    #[error("can't use {}", path.display())]
    State {
        /// Its file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<sqlx::Error>,
    },
    /// The state's server can't be used.
    #[error("can't use {server}")]
    Server {
        /// Its address, without a password.
        server: String,
        /// What the server or the way to it said.
        source: Box<sqlx::Error>,
    },
    /// The connection to the state's server was lost; it is sought in the background.
    #[error("{server} isn't reached: {why}")]
    Lost {
        /// Its address.
        server: String,
        /// What was said last.
        why: String,
    },
    /// Another process writes this state.
    #[error("another magewarden writes the state in {server}")]
    InUse {
        /// Its address.
        server: String,
    },
    /// The database is somebody else's.
    #[error("{place} holds the state of another installation: \"{installation}\"")]
    Owned {
        /// The database.
        place: String,
        /// The name that the other one had when it wrote last.
        installation: String,
    },
    /// Rows that were written are gone: a copy took over, or a backup was played back.
    #[error("{place} reflects {entries} entries only, fewer than were written")]
    WentBack {
        /// The database.
        place: String,
        /// Entries it reflects.
        entries: u64,
    },
    /// The settings of the state's place can't be used.
    #[error("the state can't be kept at {place}: {why}")]
    Place {
        /// What was named, without a password.
        place: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Others may read or change a file that holds a password.
    #[error("{} may be read or changed by others (mode {mode:03o})", path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A sync failed before: the writer stopped.
    #[error("writing stopped after an earlier failure; start again")]
    Stopped,
}

/// Whether the system says that there is no room, on the disk or by a limit of it.
#[must_use]
pub fn is_full_disk(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl StoreError {
    /// Whether the disk is full: what failed may succeed later.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full_disk(source),
            // SQLite's own word for it (SQLITE_FULL); whatever else it says of its file, more room won't mend.
            Self::State { source, .. } => source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code == "13"),
            _ => false,
        }
    }

    /// Whether it is for somebody at the state's server to mend, while the ledger goes on: what failed is kept, and tried
    /// again by whoever holds it.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::Server { .. } | Self::Lost { .. } | Self::InUse { .. } | Self::Owned { .. }
        )
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

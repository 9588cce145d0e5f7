//! The state's database: brought up to date, and connected to – SQLite and PostgreSQL by the same statements.
//!
//! What both read alike: ids and JSON are TEXT, numbers and times (microseconds) BIGINT, nothing counts up by itself, `$1` stands for
//! a value. Owns the runtime that the connections live on.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_drivers};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Executor as _, Row as _, SqlSafeStr as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::{StatePlace, StoreError};

/// The migrations in order: version, name, text. A text that was given out never changes: its hash is in the databases.
const MIGRATIONS: [(i64, &str, &str); 12] = [
    (
        1,
        "projections",
        include_str!("../migrations/0001_projections.sql"),
    ),
    (2, "lists", include_str!("../migrations/0002_lists.sql")),
    (3, "owner", include_str!("../migrations/0003_owner.sql")),
    (4, "people", include_str!("../migrations/0004_people.sql")),
    (
        5,
        "handling",
        include_str!("../migrations/0005_handling.sql"),
    ),
    (
        6,
        "attached",
        include_str!("../migrations/0006_attached.sql"),
    ),
    (7, "views", include_str!("../migrations/0007_views.sql")),
    (8, "sign_in", include_str!("../migrations/0008_sign_in.sql")),
    (
        9,
        "administration",
        include_str!("../migrations/0009_administration.sql"),
    ),
    (10, "reads", include_str!("../migrations/0010_reads.sql")),
    (11, "mail", include_str!("../migrations/0011_mail.sql")),
    (12, "zone", include_str!("../migrations/0012_zone.sql")),
];

/// Most connections beside the state's own.
const CONNECTIONS_MAX: u32 = 4;
/// Longest wait for a connection.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for one at work elsewhere.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);

/// A database that is up to date.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    place: StatePlace,
    pool: AnyPool,
    /// Taken when it ends: who drops the last of it may be a task.
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Database {
    /// Opens a database and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be used, or was written by a newer version.
    pub fn open(place: &StatePlace) -> Result<Self, StoreError> {
        // A second time it says that they are there.
        drop(install_drivers(&[
            sqlx::sqlite::any::DRIVER,
            #[cfg(feature = "postgres")]
            sqlx::postgres::any::DRIVER,
        ]));
        let options = place.options()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("state")
            .enable_all()
            .build()
            .map_err(|source| place.failed(sqlx::Error::Io(source)))?;
        // PostgreSQL is locked by the migrator itself.
        let lock = match place {
            StatePlace::File(path) => {
                Some(alone(path).map_err(|source| place.failed(sqlx::Error::Io(source)))?)
            }
            StatePlace::Server(_) => None,
        };
        runtime.block_on(async {
            let mut connection = connect(place).await?;
            let migrated = bring_up(&mut connection, place.is_server()).await;
            migrated.map_err(|source| place.failed(source))
        })?;
        drop(lock);
        let entered = runtime.enter();
        let pool = pool(options, place.is_server());
        drop(entered);
        Ok(Self {
            inner: Arc::new(Inner {
                place: place.clone(),
                pool,
                runtime: Some(runtime),
            }),
        })
    }

    /// Connections for all but the state's rows, opened when they are asked for. What is committed there is on the disk.
    #[must_use]
    pub fn pool(&self) -> &AnyPool {
        &self.inner.pool
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &StatePlace {
        &self.inner.place
    }

    /// What connections live on.
    pub(crate) fn runtime(&self) -> &Runtime {
        let runtime = self.inner.runtime.as_ref();
        runtime.expect("it is taken only when the last of the database ends")
    }
}

/// Waits until no other process brings a file's tables up to date: SQLite knows no lock that holds over several migrations, and two
/// that begin at once would both make the same table. The folder is locked, so that nothing is left behind.
fn alone(path: &Path) -> std::io::Result<File> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = File::open(folder.unwrap_or(Path::new(".")))?;
    folder.lock()?;
    Ok(folder)
}

fn pool(options: AnyConnectOptions, is_server: bool) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_MAX)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if !is_server {
                    // Nothing makes these rows again: they are synced.
                    connection.execute("PRAGMA synchronous = FULL").await?;
                }
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

/// Connects. SQLite takes its other settings from sqlx: foreign keys are checked, and a lock is waited for (5 s).
pub(crate) async fn connect(place: &StatePlace) -> Result<AnyConnection, StoreError> {
    let options = place.options()?;
    let connected = timeout(CONNECT_MAX, options.connect()).await;
    connected
        .unwrap_or_else(|_| Err(timed_out()))
        .map_err(|source| place.failed(source))
}

pub(crate) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

async fn bring_up(connection: &mut AnyConnection, is_server: bool) -> Result<(), sqlx::Error> {
    if is_server {
        let row = connection
            .fetch_one("SELECT current_setting('server_encoding')")
            .await?;
        if row.try_get::<String, _>(0)? != "UTF8" {
            let why = "the database's encoding isn't UTF8, so it can't hold what logs say; make it with ENCODING 'UTF8'";
            return Err(sqlx::Error::Configuration(why.into()));
        }
    } else {
        // Kept by the file: readers and the writer don't wait for each other.
        connection.execute("PRAGMA journal_mode = WAL").await?;
    }
    let migrations = MIGRATIONS.map(|(version, name, text)| {
        let text = text.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.to_vec())
        .run(connection)
        .await?;
    Ok(())
}

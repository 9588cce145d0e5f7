//! State: projections of the ledger in SQLite, disposable and made again from its entries.
//!
//! One writer, one connection. Writing is not synced: after a power cut the state may be older than
//! the ledger, says which entries it reflects, and is brought up by folding the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlSafeStr as _};
use tokio::runtime::Runtime;

use crate::StoreError;

/// The migrations in order: version, name, text.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (
        1,
        "projections",
        include_str!("../migrations/0001_projections.sql"),
    ),
    (2, "lists", include_str!("../migrations/0002_lists.sql")),
];

/// Where a source goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Its id.
    pub id: String,
    /// Its generation, as JSON.
    pub generation: String,
    /// First byte not sealed.
    pub offset_bytes: u64,
}

/// A finding's latest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRow {
    /// Its id.
    pub id: String,
    /// The entry this state is of.
    pub sequence: u64,
    /// When it was first sealed, in microseconds; the earliest that was ever told stays.
    pub detected: i64,
    /// First event's time, in microseconds.
    pub first: i64,
    /// Last event's time, in microseconds.
    pub last: i64,
    /// The finding, as JSON.
    pub body: String,
}

/// An incident's latest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: String,
    /// The entry this state is of.
    pub sequence: u64,
    /// First event's time, in microseconds.
    pub first: i64,
    /// Last event's time, in microseconds.
    pub last: i64,
    /// The incident, as JSON.
    pub body: String,
}

/// What a source's records list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRow {
    /// The source.
    pub source: String,
    /// The list, as JSON with its version.
    pub body: String,
}

/// Rows to be written together.
#[derive(Clone, Debug, Default)]
pub struct StateUpdate {
    /// Entries reflected once these rows are there.
    pub reflects: u64,
    /// Sources that went on.
    pub sources: Vec<SourceRow>,
    /// Findings that are new or changed.
    pub findings: Vec<FindingRow>,
    /// Incidents that are new or changed.
    pub incidents: Vec<IncidentRow>,
    /// Lists that are new or changed.
    pub lists: Vec<ListRow>,
}

/// The state database of one installation.
pub struct State {
    path: PathBuf,
    runtime: Runtime,
    connection: SqliteConnection,
}

impl State {
    /// Opens the database, making it (0600) when absent, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be used, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StoreError::io(path))?;
        // SQLite takes the mode of a file that is there; it would make one others can read.
        crate::secrets::touch(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let migrations = MIGRATIONS.map(|(version, name, text)| {
            Migration::new(
                version,
                name.into(),
                MigrationType::Simple,
                text.into_sql_str(),
                false,
            )
        });
        let migrator = Migrator::with_migrations(migrations.to_vec());
        let connection = runtime
            .block_on(async {
                let mut connection = options.connect().await?;
                migrator.run(&mut connection).await?;
                Ok::<_, sqlx::Error>(connection)
            })
            .map_err(at(path))?;
        Ok(Self {
            path: path.to_owned(),
            runtime,
            connection,
        })
    }

    /// How many of the ledger's entries the rows reflect.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn reflects(&mut self) -> Result<u64, StoreError> {
        let rows = self.rows("SELECT entries FROM reflects")?;
        let entries = rows.first().map(|row| row.try_get::<i64, _>(0)).transpose();
        Ok(entries
            .map_err(at(&self.path))?
            .unwrap_or(0)
            .cast_unsigned())
    }

    /// Where each source goes on, by id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn sources(&mut self) -> Result<Vec<SourceRow>, StoreError> {
        let rows = self.rows("SELECT id, generation, offset_bytes FROM source ORDER BY id")?;
        let read = |row: &SqliteRow| {
            Ok(SourceRow {
                id: row.try_get(0)?,
                generation: row.try_get(1)?,
                offset_bytes: row.try_get::<i64, _>(2)?.cast_unsigned(),
            })
        };
        self.read_all(&rows, read)
    }

    /// Every finding, in order of detection.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn findings(&mut self) -> Result<Vec<FindingRow>, StoreError> {
        let rows = self.rows(
            "SELECT id, sequence, detected, first, last, body FROM finding ORDER BY detected, sequence",
        )?;
        let read = |row: &SqliteRow| {
            Ok(FindingRow {
                id: row.try_get(0)?,
                sequence: row.try_get::<i64, _>(1)?.cast_unsigned(),
                detected: row.try_get(2)?,
                first: row.try_get(3)?,
                last: row.try_get(4)?,
                body: row.try_get(5)?,
            })
        };
        self.read_all(&rows, read)
    }

    /// Every incident, those that went into others too, by id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn incidents(&mut self) -> Result<Vec<IncidentRow>, StoreError> {
        let rows = self.rows("SELECT id, sequence, first, last, body FROM incident ORDER BY id")?;
        let read = |row: &SqliteRow| {
            Ok(IncidentRow {
                id: row.try_get(0)?,
                sequence: row.try_get::<i64, _>(1)?.cast_unsigned(),
                first: row.try_get(2)?,
                last: row.try_get(3)?,
                body: row.try_get(4)?,
            })
        };
        self.read_all(&rows, read)
    }

    /// Every list, by source.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn lists(&mut self) -> Result<Vec<ListRow>, StoreError> {
        let rows = self.rows("SELECT source, body FROM list ORDER BY source")?;
        let read = |row: &SqliteRow| {
            Ok(ListRow {
                source: row.try_get(0)?,
                body: row.try_get(1)?,
            })
        };
        self.read_all(&rows, read)
    }

    /// Writes rows: all of them or none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they can't be written; what was there stays.
    pub fn apply(&mut self, update: &StateUpdate) -> Result<(), StoreError> {
        let connection = &mut self.connection;
        self.runtime
            .block_on(async {
                let mut all = connection.begin().await?;
                for row in &update.sources {
                    sqlx::query(
                        "INSERT INTO source (id, generation, offset_bytes) VALUES ($1, $2, $3) \
                         ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, \
                         offset_bytes = excluded.offset_bytes",
                    )
                    .bind(&row.id)
                    .bind(&row.generation)
                    .bind(row.offset_bytes.cast_signed())
                    .execute(&mut *all)
                    .await?;
                }
                for row in &update.findings {
                    sqlx::query(
                        "INSERT INTO finding (id, sequence, detected, first, last, body) \
                         VALUES ($1, $2, $3, $4, $5, $6) \
                         ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, \
                         detected = CASE WHEN excluded.detected < finding.detected \
                         THEN excluded.detected ELSE finding.detected END, \
                         first = excluded.first, last = excluded.last, body = excluded.body",
                    )
                    .bind(&row.id)
                    .bind(row.sequence.cast_signed())
                    .bind(row.detected)
                    .bind(row.first)
                    .bind(row.last)
                    .bind(&row.body)
                    .execute(&mut *all)
                    .await?;
                }
                for row in &update.incidents {
                    sqlx::query(
                        "INSERT INTO incident (id, sequence, first, last, body) \
                         VALUES ($1, $2, $3, $4, $5) \
                         ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, \
                         first = excluded.first, last = excluded.last, body = excluded.body",
                    )
                    .bind(&row.id)
                    .bind(row.sequence.cast_signed())
                    .bind(row.first)
                    .bind(row.last)
                    .bind(&row.body)
                    .execute(&mut *all)
                    .await?;
                }
                for row in &update.lists {
                    sqlx::query(
                        "INSERT INTO list (source, body) VALUES ($1, $2) \
                         ON CONFLICT (source) DO UPDATE SET body = excluded.body",
                    )
                    .bind(&row.source)
                    .bind(&row.body)
                    .execute(&mut *all)
                    .await?;
                }
                sqlx::query(
                    "INSERT INTO reflects (one, entries) VALUES (1, $1) \
                     ON CONFLICT (one) DO UPDATE SET entries = excluded.entries",
                )
                .bind(update.reflects.cast_signed())
                .execute(&mut *all)
                .await?;
                all.commit().await
            })
            .map_err(at(&self.path))
    }

    fn rows(&mut self, text: &'static str) -> Result<Vec<SqliteRow>, StoreError> {
        self.runtime
            .block_on(sqlx::query(text).fetch_all(&mut self.connection))
            .map_err(at(&self.path))
    }

    fn read_all<T>(
        &self,
        rows: &[SqliteRow],
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let all: Result<Vec<T>, sqlx::Error> = rows.iter().map(read).collect();
        all.map_err(at(&self.path))
    }
}

fn at(path: &Path) -> impl FnOnce(sqlx::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::State {
        path,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::{FindingRow, IncidentRow, ListRow, SourceRow, State, StateUpdate};
    use std::os::unix::fs::PermissionsExt as _;

    fn finding(sequence: u64, detected: i64) -> FindingRow {
        FindingRow {
            id: "f1".to_owned(),
            sequence,
            detected,
            first: 1,
            last: 2,
            body: format!("{{\"state\":{sequence}}}"),
        }
    }

    fn update(reflects: u64, detected: i64) -> StateUpdate {
        StateUpdate {
            reflects,
            sources: vec![SourceRow {
                id: "file:a".to_owned(),
                generation: "{}".to_owned(),
                offset_bytes: reflects * 10,
            }],
            findings: vec![finding(reflects, detected)],
            incidents: vec![IncidentRow {
                id: "i1".to_owned(),
                sequence: reflects,
                first: 1,
                last: 2,
                body: "{}".to_owned(),
            }],
            lists: vec![ListRow {
                source: "inventory:/shop".to_owned(),
                body: format!("{{\"v\":{reflects}}}"),
            }],
        }
    }

    #[test]
    fn the_latest_state_is_read_again_with_the_earliest_detection() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.sqlite");
        let mut state = State::open(&path).expect("opened");
        assert_eq!(state.reflects().expect("read"), 0);
        state.apply(&update(5, 70)).expect("written");
        state.apply(&update(9, 80)).expect("written");
        drop(state);
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut state = State::open(&path).expect("opened again");
        assert_eq!(state.reflects().expect("read"), 9);
        assert_eq!(state.sources().expect("read"), update(9, 80).sources);
        assert_eq!(state.findings().expect("read"), [finding(9, 70)]);
        assert_eq!(state.incidents().expect("read"), update(9, 80).incidents);
        assert_eq!(state.lists().expect("read"), update(9, 80).lists);
    }

    #[test]
    fn no_room_is_told_from_other_errors_and_is_no_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = State::open(&folder.path().join("state.sqlite")).expect("opened");
        state.apply(&update(1, 70)).expect("written");
        // A limit of SQLite's own stands for the disk: it says the same of both.
        state.rows("PRAGMA max_page_count = 1").expect("set");
        let mut large = update(2, 70);
        large.findings[0].body = "x".repeat(1 << 20);
        let error = state.apply(&large).expect_err("no room");
        assert!(error.is_full_disk(), "{error:?}");
        state.rows("PRAGMA max_page_count = 100000").expect("set");
        assert_eq!(state.reflects().expect("read"), 1);
        state.apply(&large).expect("written");
        assert_eq!(state.reflects().expect("read"), 2);
    }

    #[test]
    fn what_is_no_database_is_refused_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.sqlite");
        std::fs::write(&path, "not a database, and longer than its header would be")
            .expect("written");
        let error = State::open(&path).err().expect("refused");
        assert!(error.to_string().contains("state.sqlite"), "{error}");
    }
}

//! State: projections of the ledger, disposable and made again from its entries.
//!
//! One writer, one connection. In a file, writing is not synced: after a power cut the state may be older than the ledger, says
//! which entries it reflects, and is brought up by folding the rest. At a server the writer holds a lock as long as its session;
//! a session that is lost is sought again beside, so that nobody waits for a server that is away.

use std::time::Duration;

use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt as _;

use crate::database::{connect, timed_out};
use crate::rows::{self, FromRow, Reflects};
use crate::{
    Database, FindingRow, HandlingRow, IncidentRow, ListRow, OutboxRow, ReadRow, SourceRow,
    StatePlace, StateUpdate, StoreError,
};

/// Longest wait until the server has seen that the writer before is gone: one that was killed is, within moments.
const LOCK_MAX: Duration = Duration::from_secs(10);
/// Between two tries of that.
const LOCK_PAUSE: Duration = Duration::from_millis(200);
/// Between two looks whether a session was found.
const BACK_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for a session that is sought anew, by whoever writes: a server that was only started anew is back at once.
const BACK_MAX: Duration = Duration::from_millis(500);
/// Longest time of a small update at a server, and of all that is read at a start.
const WRITE_MAX: Duration = Duration::from_secs(5);
const READ_MAX: Duration = Duration::from_secs(60);
/// Rows that are allowed another second.
const ROWS_A_SECOND: usize = 1000;
/// Longest wait to say goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// The tables of the projections.
const CLEAR: [&str; 7] = [
    "DELETE FROM finding",
    "DELETE FROM incident",
    "DELETE FROM handling",
    "DELETE FROM source",
    "DELETE FROM list",
    "DELETE FROM read_hour",
    "DELETE FROM reflects",
];

/// Whose state it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// What no other installation has: made with its key.
    pub id: String,
    /// Its name, for people.
    pub installation: String,
}

/// The state of one installation, and the right to write it.
pub struct State {
    database: Database,
    owner: Owner,
    session: Session,
}

enum Session {
    Open(AnyConnection),
    /// Lost, and sought anew.
    Sought {
        task: JoinHandle<Result<AnyConnection, StoreError>>,
        /// Why the one before was lost, or not found.
        why: String,
    },
    /// Ended with the state.
    Closed,
}

impl State {
    /// Takes a database for `owner`; one that nobody has is its from now on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Owned`] when it is another installation's, [`StoreError::InUse`] when another process writes it, otherwise when
    /// it can't be used.
    pub fn open(database: &Database, owner: &Owner) -> Result<Self, StoreError> {
        let opened = open_session(database.place().clone(), owner.clone());
        let connection = database.runtime().block_on(opened)?;
        Ok(Self {
            database: database.clone(),
            owner: owner.clone(),
            session: Session::Open(connection),
        })
    }

    /// The database it is in.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// How many of the ledger's entries the rows reflect.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn reflects(&mut self) -> Result<u64, StoreError> {
        let rows: Vec<Reflects> = self.read()?;
        Ok(rows.first().map_or(0, |row| row.0))
    }

    /// Where each source goes on, by id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn sources(&mut self) -> Result<Vec<SourceRow>, StoreError> {
        let mut rows: Vec<SourceRow> = self.read()?;
        // Here, since databases differ in the order of text.
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(rows)
    }

    /// Every finding, in order of detection.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn findings(&mut self) -> Result<Vec<FindingRow>, StoreError> {
        let mut rows: Vec<FindingRow> = self.read()?;
        rows.sort_by_key(|row| (row.detected, row.sequence));
        Ok(rows)
    }

    /// Every incident, those that went into others too, by id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn incidents(&mut self) -> Result<Vec<IncidentRow>, StoreError> {
        let mut rows: Vec<IncidentRow> = self.read()?;
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(rows)
    }

    /// Hands over every finding, one by one in no order: there may be more than memory holds.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn each_finding(&mut self, take: &mut dyn FnMut(FindingRow)) -> Result<(), StoreError> {
        self.each(take)
    }

    /// Hands over every incident, one by one in no order, those that went into others too.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn each_incident(&mut self, take: &mut dyn FnMut(IncidentRow)) -> Result<(), StoreError> {
        self.each(take)
    }

    /// How every incident that was decided on is handled, by its id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn handlings(&mut self) -> Result<Vec<HandlingRow>, StoreError> {
        let mut rows: Vec<HandlingRow> = self.read()?;
        rows.sort_by(|a, b| a.incident.cmp(&b.incident));
        Ok(rows)
    }

    /// What people decided and isn't sealed yet, the oldest first; a bounded number of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn waiting(&mut self) -> Result<Vec<OutboxRow>, StoreError> {
        self.read()
    }

    /// The content put with a row of the outbox; `None` once that was settled, or where it has none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn upload(&mut self, id: &str) -> Result<Option<String>, StoreError> {
        self.once(READ_MAX, async |connection| {
            let row = sqlx::query("SELECT body FROM upload WHERE id = $1")
                .bind(id)
                .fetch_optional(connection)
                .await?;
            row.map(|row| row.try_get(0)).transpose()
        })
    }

    /// Every list, by source.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn lists(&mut self) -> Result<Vec<ListRow>, StoreError> {
        let mut rows: Vec<ListRow> = self.read()?;
        rows.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(rows)
    }

    /// Every hour of reads, by hour and name.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub fn reads(&mut self) -> Result<Vec<ReadRow>, StoreError> {
        let mut rows: Vec<ReadRow> = self.read()?;
        rows.sort_by(|a, b| (a.hour, &a.name).cmp(&(b.hour, &b.name)));
        Ok(rows)
    }

    /// Writes rows: all of them or none, each time the same, however often it is called.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they can't be written; what was there stays. [`StoreError::is_elsewhere`] tells when to try it again,
    /// and [`StoreError::WentBack`] that more has to be written than this.
    pub fn apply(&mut self, update: &StateUpdate) -> Result<(), StoreError> {
        let rows = update.findings.len() + update.incidents.len() + update.sources.len();
        let rows = rows + update.reads.len();
        let limit = WRITE_MAX + Duration::from_secs((rows / ROWS_A_SECOND) as u64);
        let entries = self.twice(limit, async |connection| apply(connection, update).await)?;
        if entries < update.after {
            return Err(StoreError::WentBack {
                place: self.database.place().to_string(),
                entries,
            });
        }
        Ok(())
    }

    /// Empties the projections, all of them or none; what people made stays.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be written; what was there stays.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.twice(WRITE_MAX, async |connection| {
            let mut all = connection.begin().await?;
            for text in CLEAR {
                all.execute(text).await?;
            }
            all.commit().await
        })
    }

    /// Empties the projections so that the database's files don't hold them any more either, as far as it decides that: a server's
    /// log of what was written and its backups are others' to forget.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be done.
    pub fn forget(&mut self) -> Result<(), StoreError> {
        self.clear()?;
        // What was sealed from here may be what was destroyed there; what waits is nobody's copy.
        self.twice(WRITE_MAX, async |connection| {
            let settled = "DELETE FROM outbox WHERE sequence IS NOT NULL OR refused IS NOT NULL";
            connection.execute(settled).await.map(drop)
        })?;
        let is_server = self.database.place().is_server();
        self.twice(READ_MAX, async |connection| {
            connection.execute("VACUUM").await?;
            if !is_server {
                connection
                    .execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    .await?;
            }
            Ok(())
        })
    }

    fn read<T: FromRow>(&mut self) -> Result<Vec<T>, StoreError> {
        self.once(READ_MAX, async |connection| {
            let rows = sqlx::query(T::QUERY).fetch_all(connection).await?;
            rows.iter().map(T::from_row).collect()
        })
    }

    fn each<T: FromRow>(&mut self, take: &mut dyn FnMut(T)) -> Result<(), StoreError> {
        self.once(READ_MAX, async |connection| {
            let mut rows = sqlx::query(T::QUERY).fetch(connection);
            while let Some(row) = rows.next().await {
                take(T::from_row(&row?)?);
            }
            Ok(())
        })
    }

    /// Does something that is the same when it is done again; after an error with a new session, where that is there at once.
    fn twice<T>(
        &mut self,
        limit: Duration,
        act: impl AsyncFn(&mut AnyConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let was_open = matches!(self.session, Session::Open(_));
        let done = self.once(limit, &act);
        if let (Session::Sought { task, .. }, true) = (&mut self.session, was_open) {
            let runtime = self.database.runtime();
            // Only looked whether it has ended: what it gives is taken below.
            let ended = async {
                let until = Instant::now() + BACK_MAX;
                while !task.is_finished() && Instant::now() < until {
                    sleep(BACK_PAUSE).await;
                }
                task.is_finished()
            };
            if runtime.block_on(ended) {
                return self.once(limit, act);
            }
        }
        done
    }

    fn once<T>(
        &mut self,
        limit: Duration,
        act: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        let (place, runtime) = (database.place(), database.runtime());
        let connection = self.connection()?;
        let done = if place.is_server() {
            let done = runtime.block_on(async { timeout(limit, act(connection)).await });
            done.unwrap_or_else(|_| Err(timed_out()))
        } else {
            runtime.block_on(act(connection))
        };
        done.map_err(|error| {
            if place.is_server() {
                // In what state the session is, nobody knows: the next one begins afresh.
                self.seek(error.to_string());
            }
            place.failed(error)
        })
    }

    /// The open connection, or the one that was sought and is there.
    fn connection(&mut self) -> Result<&mut AnyConnection, StoreError> {
        if let Session::Sought { task, why } = &mut self.session {
            if !task.is_finished() {
                return Err(StoreError::Lost {
                    server: self.database.place().to_string(),
                    why: why.clone(),
                });
            }
            let found = self.database.runtime().block_on(task);
            match found.unwrap_or_else(|ended| Err(self.lost(ended.to_string()))) {
                Ok(connection) => self.session = Session::Open(connection),
                Err(error) => {
                    let told = std::error::Error::source(&error).map(ToString::to_string);
                    self.seek(told.unwrap_or_else(|| error.to_string()));
                    return Err(error);
                }
            }
        }
        match &mut self.session {
            Session::Open(connection) => Ok(connection),
            Session::Sought { .. } | Session::Closed => Err(StoreError::Stopped),
        }
    }

    fn lost(&self, why: String) -> StoreError {
        let server = self.database.place().to_string();
        StoreError::Lost { server, why }
    }

    /// Begins to seek a new session, beside.
    fn seek(&mut self, why: String) {
        let sought = open_session(self.database.place().clone(), self.owner.clone());
        let task = self.database.runtime().spawn(sought);
        self.session = Session::Sought { task, why };
    }
}

impl Drop for State {
    /// Says goodbye, so that the next one needn't wait.
    fn drop(&mut self) {
        if let Session::Open(connection) = std::mem::replace(&mut self.session, Session::Closed) {
            let closing = async { timeout(CLOSE_MAX, connection.close()).await };
            drop(self.database.runtime().block_on(closing));
        }
    }
}

/// Connects, becomes the one who writes, and looks whose the rows are.
async fn open_session(place: StatePlace, owner: Owner) -> Result<AnyConnection, StoreError> {
    let mut connection = connect(&place).await?;
    let failed = |source| place.failed(source);
    if place.is_server() {
        if !lock(&mut connection).await.map_err(failed)? {
            let server = place.to_string();
            return Err(StoreError::InUse { server });
        }
    } else {
        // Who writes is decided by the lock of the ledger beside it. What is lost is folded again.
        let pragma = connection.execute("PRAGMA synchronous = NORMAL").await;
        pragma.map_err(failed)?;
        // What is emptied is overwritten.
        let pragma = connection.execute("PRAGMA secure_delete = ON").await;
        pragma.map_err(failed)?;
    }
    match own(&mut connection, &owner).await.map_err(failed)? {
        None => Ok(connection),
        Some(installation) => Err(StoreError::Owned {
            place: place.to_string(),
            installation,
        }),
    }
}

/// Takes the lock of whoever writes in this schema; the server lets go of it when the session ends, however it does.
async fn lock(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let until = Instant::now() + LOCK_MAX;
    loop {
        let row = connection
            .fetch_one("SELECT pg_try_advisory_lock(hashtextextended('magewarden ' || current_schema(), 0))")
            .await?;
        if row.try_get(0)? {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        sleep(LOCK_PAUSE).await;
    }
}

/// Writes whose the rows are where nobody did; the name of the other one where somebody did.
async fn own(connection: &mut AnyConnection, owner: &Owner) -> Result<Option<String>, sqlx::Error> {
    sqlx::query(
        "INSERT INTO owner (one, id, installation) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING",
    )
    .bind(owner.id.as_str())
    .bind(owner.installation.as_str())
    .execute(&mut *connection)
    .await?;
    let row = connection
        .fetch_one("SELECT id, installation FROM owner")
        .await?;
    let installation: String = row.try_get(1)?;
    if row.try_get::<String, _>(0)? != owner.id {
        return Ok(Some(installation));
    }
    if installation != owner.installation {
        sqlx::query("UPDATE owner SET installation = $1")
            .bind(owner.installation.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(None)
}

/// Writes rows; tells how many entries those there reflect. Where that is fewer than they must, nothing is written.
async fn apply(connection: &mut AnyConnection, update: &StateUpdate) -> Result<u64, sqlx::Error> {
    let mut all = connection.begin().await?;
    // Written before anything is read: SQLite turns no reader into a writer once another has written.
    all.execute("INSERT INTO reflects (one, entries) VALUES (1, 0) ON CONFLICT (one) DO NOTHING")
        .await?;
    let Reflects(entries) = Reflects::from_row(&all.fetch_one(Reflects::QUERY).await?)?;
    if entries < update.after {
        all.rollback().await?;
        return Ok(entries);
    }
    rows::write(&mut all, update).await?;
    sqlx::query("UPDATE reflects SET entries = $1")
        .bind(update.reflects.cast_signed())
        .execute(&mut *all)
        .await?;
    all.commit().await?;
    Ok(update.after)
}

#[cfg(test)]
mod tests {
    use super::{Owner, State};
    use crate::{Database, FindingRow, StatePlace, StateUpdate, StoreError};
    use sqlx::{Executor as _, Row as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn open(path: &Path) -> Result<State, StoreError> {
        let database = Database::open(&StatePlace::File(path.to_owned()))?;
        let owner = Owner {
            id: "a".to_owned(),
            installation: "shop".to_owned(),
        };
        State::open(&database, &owner)
    }

    fn update(reflects: u64, body: &str) -> StateUpdate {
        StateUpdate {
            reflects,
            findings: vec![FindingRow {
                id: "f1".to_owned(),
                sequence: reflects,
                detected: 70,
                first: 1,
                last: 2,
                body: body.to_owned(),
            }],
            ..StateUpdate::default()
        }
    }

    /// Runs a statement; gives its first row's first column.
    fn pragma(state: &mut State, text: &'static str) -> i64 {
        let done = state.once(super::READ_MAX, async |connection| {
            let row = connection.fetch_optional(text).await?;
            row.map_or(Ok(0), |row| row.try_get(0))
        });
        done.expect("done")
    }

    #[test]
    fn the_file_is_its_owners_alone_and_a_commit_of_its_rows_waits_for_no_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.sqlite");
        let mut state = open(&path).expect("opened");
        state.apply(&update(1, "{}")).expect("written");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(pragma(&mut state, "PRAGMA synchronous"), 1);
        assert_eq!(pragma(&mut state, "PRAGMA foreign_keys"), 1);
        assert_eq!(pragma(&mut state, "PRAGMA busy_timeout"), 5000);
    }

    #[test]
    fn no_room_is_told_from_other_errors_and_is_no_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = open(&folder.path().join("state.sqlite")).expect("opened");
        state.apply(&update(1, "{}")).expect("written");
        // A limit of SQLite's own stands for the disk: it says the same of both.
        pragma(&mut state, "PRAGMA max_page_count = 1");
        let large = update(2, &"x".repeat(1 << 20));
        let error = state.apply(&large).expect_err("no room");
        assert!(error.is_full_disk() && !error.is_elsewhere(), "{error:?}");
        pragma(&mut state, "PRAGMA max_page_count = 100000");
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
        let error = open(&path).err().expect("refused");
        assert!(error.to_string().contains("state.sqlite"), "{error}");
    }

    #[test]
    fn what_was_forgotten_stands_in_no_file_any_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = open(&folder.path().join("state.sqlite")).expect("opened");
        let found = |folder: &Path| {
            std::fs::read_dir(folder)
                .expect("listed")
                .flatten()
                .filter(|file| {
                    let bytes = std::fs::read(file.path()).expect("read");
                    bytes.windows(9).any(|part| part == b"forget-me")
                })
                .count()
        };
        state.apply(&update(1, "\"forget-me\"")).expect("written");
        state.apply(&update(2, "\"short\"")).expect("written");
        state.apply(&update(3, "\"forget-me\"")).expect("written");
        assert!(found(folder.path()) > 0);
        state.forget().expect("forgotten");
        assert_eq!(found(folder.path()), 0);
        assert_eq!(state.reflects().expect("read"), 0);
    }
}

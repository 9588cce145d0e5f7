//! The shop's database: a blocking connection, on which every statement has an end and every change is a step.
//!
//! Invariants: values are bound, never written into a statement; names come from [`quote`] alone; what waits for a lock
//! gives up before the client does, so that nothing of ours goes on at the server unseen. A connection lives for [`WHOLE_MAX`] and is dropped
//! once an answer didn't come: whatever the server or what lies before it does, an action's call comes to an end.

pub(crate) mod accounts;
pub(crate) mod evidence;
pub(crate) mod quote;
pub(crate) mod rights;
pub(crate) mod row_action;
pub(crate) mod rows;
pub(crate) mod websites;

use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::ActionError;
use crate::host::{DatabaseSettings, Host};
use crate::secret;
use crate::steps::Steps;

/// Longest that is waited for one statement; the server gives up after [`SESSION`]'s limits, before it.
const TIME_MAX: Duration = Duration::from_secs(15);
/// Longest that one connection is used, whatever is asked by it: one call of an action uses one after the other and no more than two.
const WHOLE_MAX: Duration = Duration::from_secs(60);
/// Most rows that are taken of one answer.
pub(crate) const ROWS_MAX: usize = 20_000;
/// Times in UTC, so that none is told twice in a year; what doesn't fit a column is an error.
const SESSION: &str = "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES', lock_wait_timeout = 5, \
    innodb_lock_wait_timeout = 5";
/// MariaDB's limit of a statement's own time, in seconds; MySQL has none for statements that change.
const SESSION_OF_MARIADB: &str = "SET max_statement_time = 10";
/// The server's errors whose text tells an administrator what to do and holds no value of a row: log-in, rights, locks, time,
/// too many connections, a table, a column, an account or a grant that isn't there.
const TOLD: [u16; 22] = [
    1040, 1044, 1045, 1054, 1130, 1133, 1141, 1142, 1143, 1146, 1147, 1203, 1205, 1213, 1226, 1227,
    1290, 1370, 1396, 1698, 1969, 4151,
];

/// One cell, as text; `None` is NULL.
pub(crate) type Cell = Option<String>;

/// An open connection to the shop's database.
pub(crate) struct Database<'a> {
    /// Taken when it is closed, or when an answer didn't come.
    connection: Option<MySqlConnection>,
    /// When it is over, at the latest.
    until: Instant,
    runtime: Runtime,
    steps: &'a Steps,
    settings: &'a DatabaseSettings,
    /// Number of this connection at the server.
    pub(crate) id: u64,
    /// The account that the server took us for, `user@host`.
    pub(crate) account: String,
    version: String,
}

impl<'a> Database<'a> {
    /// Logs in.
    pub(crate) fn open(host: &'a Host) -> Result<Self, ActionError> {
        let settings = host.database()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| failed("be asked", &error.to_string()))?;
        let until = Instant::now() + WHOLE_MAX;
        let connection = match runtime.block_on(connect(settings)) {
            Ok(connection) => connection,
            Err(error) => {
                // A name that nobody resolves is waited for on a thread, which isn't waited for.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let mut out = Self {
            connection: Some(connection),
            until,
            runtime,
            steps: &host.disk.steps,
            settings,
            id: 0,
            account: String::new(),
            version: String::new(),
        };
        out.run("be set up", SESSION)?;
        let asked = "SELECT CAST(CONNECTION_ID() AS CHAR), CURRENT_USER(), VERSION()";
        let told = out.rows("say who asks", asked, &[])?;
        let told: Vec<_> = told.into_iter().flatten().flatten().collect();
        // Whoever doesn't know who it is might lock itself.
        let [id, account, version] = <[String; 3]>::try_from(told)
            .map_err(|_| failed("say who asks", "it says something else"))?;
        let number = id.parse();
        out.id = number.map_err(|_| failed("say who asks", "its connection has no number"))?;
        (out.account, out.version) = (account, version);
        if out.is_mariadb() {
            out.run("be set up", SESSION_OF_MARIADB)?;
        }
        Ok(out)
    }

    /// What is there only since a version of MariaDB.
    pub(crate) fn since(&self, major: u32, minor: u32) -> Result<(), ActionError> {
        // 10.11.6-MariaDB; replication's old prefix is `5.5.5-`.
        let text = self.version.strip_prefix("5.5.5-").unwrap_or(&self.version);
        let mut parts = text.split(['.', '-']).map_while(|part| part.parse().ok());
        let told = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if self.is_mariadb() && told >= (major, minor) {
            return Ok(());
        }
        Err(ActionError::NotSetUp {
            what: format!("this needs MariaDB {major}.{minor} or later: do it by hand"),
        })
    }

    /// Whether the server is a MariaDB.
    pub(crate) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// The shop's schema.
    pub(crate) fn schema(&self) -> &str {
        &self.settings.schema
    }

    /// A table's name with the shop's prefix.
    pub(crate) fn prefixed(&self, table: &str) -> String {
        format!("{}{table}", self.settings.prefix)
    }

    /// A table of the shop, by Magento's name of it, to stand in a statement.
    pub(crate) fn table(&self, table: &str) -> String {
        quote::within(self.schema(), &self.prefixed(table))
    }

    /// Asks. Every column has to be text: `CAST(… AS CHAR)` where it isn't.
    pub(crate) fn rows(
        &mut self,
        what: &str,
        statement: &str,
        values: &[Cell],
    ) -> Result<Vec<Vec<Cell>>, ActionError> {
        let mut query = sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false);
        for value in values {
            query = query.bind(value.as_deref());
        }
        let (runtime, connection, within) = self.link()?;
        let answer = waited(runtime, within, query.fetch_all(connection));
        texts(what, &self.heard(what, answer)?)
    }

    /// Asks in the server's text protocol, in which every column is text: for what can't be prepared.
    pub(crate) fn shown(
        &mut self,
        what: &str,
        statement: &str,
    ) -> Result<Vec<Vec<Cell>>, ActionError> {
        let asked = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        let (runtime, connection, within) = self.link()?;
        let answer = waited(runtime, within, asked.fetch_all(connection));
        texts(what, &self.heard(what, answer)?)
    }

    /// Changes something; gives how many rows. One step.
    pub(crate) fn change(
        &mut self,
        what: &str,
        statement: &str,
        values: &[Cell],
    ) -> Result<u64, ActionError> {
        self.steps.step(what)?;
        let mut query = sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false);
        for value in values {
            query = query.bind(value.as_deref());
        }
        let (runtime, connection, within) = self.link()?;
        let answer = waited(runtime, within, query.execute(connection));
        Ok(self.heard(what, answer)?.rows_affected())
    }

    /// Changes something that can't be prepared: accounts, connections, triggers. One step.
    pub(crate) fn define(&mut self, what: &str, statement: &str) -> Result<(), ActionError> {
        self.steps.step(what)?;
        self.run(what, statement)
    }

    /// Sets something of this connection; changes nothing else.
    pub(crate) fn run(&mut self, what: &str, statement: &str) -> Result<(), ActionError> {
        let (runtime, connection, within) = self.link()?;
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())));
        let answer = waited(runtime, within, done);
        self.heard(what, answer).map(drop)
    }

    /// What asks, and how long an answer is waited for.
    fn link(&mut self) -> Result<(&Runtime, &mut MySqlConnection, Duration), ActionError> {
        let within = self.until.saturating_duration_since(Instant::now());
        let connection = self.connection.as_mut();
        let connection = connection.ok_or_else(|| failed("be asked", "it is closed"))?;
        Ok((&self.runtime, connection, within.min(TIME_MAX)))
    }

    /// Takes an answer. One that didn't come may come later, in place of another's: nothing more is asked then.
    fn heard<T>(&mut self, what: &str, answer: Answer<T>) -> Result<T, ActionError> {
        match answer {
            Err(_) => {
                drop(self.connection.take());
                Err(failed(what, "it took too long"))
            }
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(what, &told(&error))),
        }
    }

    /// Does all of it or nothing. A death before the last step leaves nothing: the server takes back what wasn't committed.
    pub(crate) fn whole<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self) -> Result<T, ActionError>,
    ) -> Result<T, ActionError> {
        self.run(what, "START TRANSACTION")?;
        let done = work(self).and_then(|value| {
            self.define(what, "COMMIT")?;
            Ok(value)
        });
        if done.is_err() {
            // A connection that is lost is taken back by the server itself.
            drop(self.run(what, "ROLLBACK"));
        }
        done
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // A farewell, so that the server doesn't log a connection that was lost; one it doesn't take is no trouble.
        if let Some(connection) = self.connection.take() {
            let farewell = async { timeout(Duration::from_secs(1), connection.close()).await };
            drop(self.runtime.block_on(farewell));
        }
    }
}

fn failed(what: &str, how: &str) -> ActionError {
    ActionError::Database {
        what: what.to_owned(),
        how: how.to_owned(),
    }
}

/// An answer, or that none came in time.
type Answer<T> = Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>;

/// Waits for an answer.
fn waited<T>(
    runtime: &Runtime,
    within: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Answer<T> {
    runtime.block_on(async { timeout(within, answer).await })
}

/// What the server says, as far as it holds no value of a row.
fn told(error: &sqlx::Error) -> String {
    let server = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    match server {
        Some(error) if TOLD.contains(&error.number()) => error.message().to_owned(),
        Some(error) => format!("error {} of the server", error.number()),
        None => match error {
            sqlx::Error::Io(error) => error.to_string(),
            _ => "the connection failed".to_owned(),
        },
    }
}

fn texts(what: &str, rows: &[sqlx::mysql::MySqlRow]) -> Result<Vec<Vec<Cell>>, ActionError> {
    if rows.len() > ROWS_MAX {
        return Err(failed(what, "there are too many rows"));
    }
    let text = |row: &sqlx::mysql::MySqlRow, at: usize| {
        let value: Option<Vec<u8>> = row
            .try_get_unchecked(at)
            .map_err(|_| failed(what, "a column is no text"))?;
        let text = value.map(String::from_utf8).transpose();
        text.map_err(|_| failed(what, "a value is no text"))
    };
    rows.iter()
        .map(|row| (0..row.len()).map(|at| text(row, at)).collect())
        .collect()
}

async fn connect(settings: &DatabaseSettings) -> Result<MySqlConnection, ActionError> {
    let mut options = MySqlConnectOptions::new()
        .username(&settings.user)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .statement_cache_capacity(0)
        .disable_statement_logging();
    let is_here = match (&settings.socket, &settings.host) {
        (Some(socket), None) => {
            options = options.socket(socket);
            true
        }
        (None, Some(host)) => {
            options = options.host(host).port(settings.port);
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        _ => {
            return Err(ActionError::NotSetUp {
                what: "[database] names either `socket` or `host`".to_owned(),
            });
        }
    };
    if let Some(file) = &settings.ca_file {
        options = options.ssl_ca(file);
    }
    if let Some(file) = &settings.password_file {
        options = options.password(&secret::password(file)?);
    }
    // On this host TLS protects from nobody; beyond it nothing is said to a server that isn't who it should be.
    let mode = if is_here {
        MySqlSslMode::Disabled
    } else {
        MySqlSslMode::VerifyIdentity
    };
    let answer = timeout(TIME_MAX, options.ssl_mode(mode).connect()).await;
    match answer {
        Err(_) => Err(failed("be reached", "it took too long")),
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(failed("be reached", &told(&error))),
    }
}

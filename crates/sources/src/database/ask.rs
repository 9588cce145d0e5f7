//! The few statements themselves, each within two seconds, and the log-in they need.
//!
//! `SHOW GRANTS` comes first: when the account may read more than it should, nothing else is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqlSafeStr};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use super::account::{self, SIZED, quoted_name, quoted_text};
use super::{Account, Server, Told};
use crate::{SourceError, private};

/// Longest time for logging in, and for each statement.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Rows taken of one answer.
const ROWS_MAX: usize = 1000;
/// Longest value taken, in bytes.
const VALUE_BYTES_MAX: usize = 65_536;

/// `ER_LOCK_WAIT_TIMEOUT` of MariaDB and MySQL: what was asked for is locked longer than the session waits.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// Variables and what is asked beside them; a name a server doesn't know is missing in its answer.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'datadir', \
'hostname', 'aurora_version', 'log_error', 'log_output', 'log_bin', 'performance_schema', 'query_cache_type', 'query_cache_size', \
'general_log', 'general_log_file', 'slow_query_log', 'slow_query_log_file', 'long_query_time', 'log_slow_verbosity', \
'log_slow_filter', 'log_slow_rate_limit', 'log_slow_extra', 'min_examined_row_limit') \
OR Variable_name LIKE 'server\\_audit%' OR Variable_name LIKE 'audit\\_log%'";
const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Uptime', 'Audit_log_events_lost', \
'Audit_log_buffer_size_overflow') OR Variable_name LIKE 'Server\\_audit%'";

/// Why the database was not asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The password file can't be read.
    #[error("the password file {} can't be read", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Others than its owner may read or change the password file.
    #[error("the password file {} has mode {mode:03o}: others may read or change it", path.display())]
    PasswordFileOpen {
        /// The file.
        path: PathBuf,
        /// The mode's last nine bits.
        mode: u32,
    },
    /// Nothing listens there, or it doesn't speak the protocol.
    #[error("no log-in at {server} as `{user}`")]
    Unreachable {
        /// Where.
        server: String,
        /// The account's name.
        user: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The server refused the account.
    #[error("the database at {server} refused `{user}`: error {number}")]
    Refused {
        /// Where.
        server: String,
        /// The account's name.
        user: String,
        /// The server's number, e.g. 1045: wrong password or no such account.
        number: u16,
    },
    /// It took longer than two seconds.
    #[error("the database at {server} did not answer {what} within 2 s")]
    TimedOut {
        /// Where.
        server: String,
        /// What was asked.
        what: &'static str,
    },
    /// A statement failed.
    #[error("the database answered {what} with an error")]
    Statement {
        /// What was asked.
        what: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The account may read more than magewarden may have; nothing was asked with it.
    #[error("the account `{user}` may do more than magewarden needs: {}", excess.join("; "))]
    TooStrong {
        /// The account's name.
        user: String,
        /// What it may do beyond, in words.
        excess: Vec<String>,
    },
}

impl AskError {
    /// Whether somebody else holds a lock on what was asked for, so that it is worth asking again.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Statement { source, .. } if number(source) == Some(LOCK_WAIT_TIMEOUT))
    }
}

/// Logs in, asks, and logs out; at most six statements of two seconds each, none of which names a
/// column of a card.
///
/// # Errors
///
/// [`AskError`]; each is for an operator to mend, and magewarden goes on without the answers.
pub async fn ask(
    server: &Server,
    account: &Account,
    schema: &str,
    prefix: &str,
) -> Result<Told, AskError> {
    let mut asking = Asking {
        connection: log_in(server, account).await?,
        server,
    };
    let told = asking.all(account, schema, prefix).await;
    // The answers are here; a server that doesn't take the farewell drops the connection itself.
    drop(timeout(TIME_MAX, asking.connection.close()).await);
    told
}

pub(super) async fn log_in(
    server: &Server,
    account: &Account,
) -> Result<MySqlConnection, AskError> {
    // No statement is sent at log-in: those are for what a shop does with text and time.
    let mut options = MySqlConnectOptions::new()
        .username(&account.user)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .statement_cache_capacity(0)
        .disable_statement_logging();
    options = match server {
        Server::Socket(path) => options.socket(path),
        Server::Network { host, port } => options.host(host).port(*port),
    };
    if let Some(file) = &account.ca_file {
        options = options.ssl_ca(file);
    }
    if let Some(file) = &account.password_file {
        options = options.password(&password(file)?);
    }
    // On this host TLS protects from nobody. It is tried, since an account may ask for it and MySQL's newer log-in
    // needs it, and left out where the server's own certificate is none that can be used.
    let (first, second) = if server.is_here() {
        (MySqlSslMode::Preferred, Some(MySqlSslMode::Disabled))
    } else {
        (MySqlSslMode::VerifyIdentity, None)
    };
    let connect = async {
        let answer = options.clone().ssl_mode(first).connect().await;
        match (answer, second) {
            // What the server itself says doesn't change with another try, which it would count.
            (Err(error), Some(second)) if error.as_database_error().is_none() => {
                options.ssl_mode(second).connect().await
            }
            (answer, _) => answer,
        }
    };
    match timeout(TIME_MAX, connect).await {
        Err(_) => Err(AskError::TimedOut {
            server: server.to_string(),
            what: "the log-in",
        }),
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) => {
            let (server, user) = (server.to_string(), account.user.clone());
            Err(match number(&source) {
                Some(number) => AskError::Refused {
                    server,
                    user,
                    number,
                },
                None => AskError::Unreachable {
                    server,
                    user,
                    source,
                },
            })
        }
    }
}

/// The server's number of an error, where it is the server that gave it.
fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// Reads a password: the file's text without the line end.
fn password(path: &Path) -> Result<String, AskError> {
    let text = private::read(path).map_err(|error| match error {
        SourceError::NotPrivate { path, mode } => AskError::PasswordFileOpen { path, mode },
        SourceError::Io { path, source } => AskError::PasswordFile { path, source },
        // Of the others it gives none.
        other => AskError::PasswordFile {
            path: path.to_owned(),
            source: std::io::Error::other(other),
        },
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// An open connection.
pub(super) struct Asking<'a> {
    pub(super) connection: MySqlConnection,
    pub(super) server: &'a Server,
}

impl Asking<'_> {
    /// Asks what the account may do, before anything else: one that may do more than is needed asks nothing. Gives its grants.
    pub(super) async fn refuse_excess(
        &mut self,
        account: &Account,
        schema: &str,
        prefix: &str,
    ) -> Result<Vec<String>, AskError> {
        let grants: Vec<String> = self
            .rows("SHOW GRANTS", "SHOW GRANTS")
            .await?
            .into_iter()
            .filter_map(|row| row.into_iter().next())
            .collect();
        let excess = account::excess(&grants, schema, prefix);
        if excess.is_empty() {
            return Ok(grants);
        }
        Err(AskError::TooStrong {
            user: account.user.clone(),
            excess,
        })
    }

    async fn all(
        &mut self,
        account: &Account,
        schema: &str,
        prefix: &str,
    ) -> Result<Told, AskError> {
        let grants = self.refuse_excess(account, schema, prefix).await?;
        let mut told = Told {
            by_server: true,
            ..Told::default()
        };
        for (statement, what, to) in [
            (VARIABLES, "SHOW GLOBAL VARIABLES", &mut told.variables),
            (STATUS, "SHOW GLOBAL STATUS", &mut told.status),
        ] {
            to.extend(
                self.rows(statement, what)
                    .await?
                    .into_iter()
                    .filter_map(pair),
            );
        }
        // An account without its grants, and a schema with another name, are no error: less is known.
        let table = |name: &str| {
            format!(
                "{}.{}",
                quoted_name(schema),
                quoted_name(&format!("{prefix}{name}"))
            )
        };
        let stores = format!(
            "SELECT store.code, website.code FROM {} store JOIN {} website ON website.website_id = store.website_id \
             WHERE store.store_id > 0 ORDER BY store.code",
            table("store"),
            table("store_website"),
        );
        if let Ok(rows) = self.rows(AssertSqlSafe(stores), "for the stores").await {
            told.stores = rows
                .into_iter()
                .filter_map(|row| {
                    let mut row = row.into_iter();
                    Some((row.next()?, row.next()?))
                })
                .collect();
        }
        let names: Vec<String> = SIZED
            .iter()
            .map(|name| quoted_text(&format!("{prefix}{name}")))
            .collect();
        let sizes = format!(
            "SHOW TABLE STATUS FROM {} WHERE Name IN ({})",
            quoted_name(schema),
            names.join(", ")
        );
        if let Ok(rows) = self.rows(AssertSqlSafe(sizes), "for the sizes").await {
            // Name, engine, version, row format, rows.
            told.rows = rows
                .into_iter()
                .filter_map(|row| Some((row.first()?.clone(), row.get(4)?.parse().ok()?)))
                .collect();
        }
        // Only an account that watches rows may; a refusal would stand in the audit log as somebody's try.
        if grants
            .iter()
            .any(|grant| grant.contains("core_config_data"))
        {
            let service = format!(
                "SELECT 1 FROM {} WHERE path = 'system/full_page_cache/fastly/fastly_service_id' AND value <> '' LIMIT 1",
                table("core_config_data")
            );
            let found = self.rows(AssertSqlSafe(service), "for Fastly").await;
            told.fastly_service = found.is_ok_and(|rows| !rows.is_empty());
        }
        Ok(told)
    }

    /// Texts of an answer; NULL is an empty one.
    pub(super) async fn rows(
        &mut self,
        statement: impl SqlSafeStr,
        what: &'static str,
    ) -> Result<Vec<Vec<String>>, AskError> {
        self.rows_up_to(statement, what, ROWS_MAX).await
    }

    /// The same, with another bound of rows; what is beyond isn't taken.
    pub(super) async fn rows_up_to(
        &mut self,
        statement: impl SqlSafeStr,
        what: &'static str,
        rows_max: usize,
    ) -> Result<Vec<Vec<String>>, AskError> {
        let connection = &mut self.connection;
        let answer = async {
            let mut rows = Vec::new();
            let mut stream = sqlx::raw_sql(statement).fetch(connection);
            while let Some(row) = stream.next().await {
                let row = row?;
                let text = |at: usize| {
                    // In the text protocol every value is text, whatever its column's type.
                    let value: Option<Vec<u8>> = row.try_get_unchecked(at)?;
                    let value = value.unwrap_or_default();
                    let value = value.get(..VALUE_BYTES_MAX).unwrap_or(&value);
                    Ok::<_, sqlx::Error>(String::from_utf8_lossy(value).into_owned())
                };
                if rows.len() < rows_max {
                    rows.push((0..row.len()).map(text).collect::<Result<Vec<_>, _>>()?);
                }
            }
            Ok::<_, sqlx::Error>(rows)
        };
        timeout(TIME_MAX, answer)
            .await
            .map_err(|_| AskError::TimedOut {
                server: self.server.to_string(),
                what,
            })?
            .map_err(|source| AskError::Statement { what, source })
    }
}

fn pair(row: Vec<String>) -> Option<(String, String)> {
    let mut row = row.into_iter();
    Some((row.next()?.to_ascii_lowercase(), row.next()?))
}

#[cfg(test)]
mod tests {
    use super::{AskError, STATUS, VARIABLES, ask, password};
    use crate::database::{Account, Server};
    use std::os::unix::fs::PermissionsExt as _;

    fn in_time<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn statements_name_no_card_column() {
        for statement in [VARIABLES, STATUS] {
            assert!(!statement.contains("cc_"), "{statement}");
        }
    }

    #[test]
    fn a_password_file_is_read_only_when_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "not a secret \n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        let refused = password(&path).expect_err("others may read it");
        assert!(
            matches!(refused, AskError::PasswordFileOpen { mode: 0o640, .. }),
            "{refused}"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        assert_eq!(password(&path).expect("private"), "not a secret ");
    }

    #[test]
    fn a_server_that_is_not_there_or_never_answers_costs_seconds_and_no_more() {
        let account = Account {
            user: "magewarden".to_owned(),
            password_file: None,
            ca_file: None,
        };
        let nowhere = Server::Socket("/nowhere/mysqld.sock".into());
        let error = in_time(ask(&nowhere, &account, "shop", "")).expect_err("nobody listens");
        assert!(matches!(error, AskError::Unreachable { .. }), "{error}");
        // Listens, and never says a word.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server::new(&silent.local_addr().expect("bound").to_string());
        let start = std::time::Instant::now();
        let error = in_time(ask(&server, &account, "shop", "")).expect_err("nobody answers");
        assert!(matches!(error, AskError::TimedOut { .. }), "{error}");
        assert!(start.elapsed().as_secs() < 4);
    }
}

//! Where the state lies: a file beside the ledger, or a PostgreSQL server.
//!
//! Apart because what an address may say is decided here, once: no password in it, TLS to another host, one limit of time for
//! all that is asked. Invariant: nothing that shows a place shows a password.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::any::AnyConnectOptions;

use crate::{StoreError, secrets};

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// What each session at a server is told. A statement never takes half a minute; the server sees within a minute that the host at
/// the other end is gone, and lets go of what it held.
const SESSION: [(&str, &str); 6] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "4s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "20"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// Where the state of one installation is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    /// A file of SQLite's, made (0600) when absent.
    File(PathBuf),
    /// A database at a PostgreSQL server (15 or later), or a schema of it.
    Server(Server),
}

/// A database at a PostgreSQL server.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    address: AnyAddress,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

/// An address that was checked: a URL without a password.
#[derive(Clone, PartialEq, Eq)]
struct AnyAddress {
    text: String,
    is_here: bool,
}

impl fmt::Display for StatePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Server(server) => formatter.write_str(&server.address.text),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address.text)
    }
}

impl Server {
    /// Takes `postgres://user@host:port/database`, or `postgres://user@%2Frun%2Fpostgresql/database` for the socket in a folder.
    ///
    /// Another host than this one is reached by TLS alone, with a certificate for its name that `ca_file` (PEM) vouches for; without
    /// `ca_file` the public authorities do (as `sslmode=verify-full` of libpq's). On this one TLS protects from nobody and is
    /// used where the server has it, and checked where `ca_file` is given.
    ///
    /// # Errors
    ///
    /// [`StoreError::Place`] when the address isn't of that form, or holds a password.
    pub fn new(
        url: &str,
        password_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        // Nothing of an address that can't be read is shown: it may hold a password.
        let wrong = |why| StoreError::Place {
            place: "the address given".to_owned(),
            why,
        };
        if !cfg!(feature = "postgres") {
            return Err(wrong("this magewarden was built without PostgreSQL"));
        }
        let url = url
            .parse::<AnyConnectOptions>()
            .map_err(|_| wrong("it is no URL; write postgres://user@host:port/database"))?
            .database_url;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err(wrong(
                "it doesn't begin with postgres://; without --state it is kept in a file of --data",
            ));
        }
        if url.password().is_some() {
            return Err(wrong(
                "it holds a password, which lists of processes and logs would show; write it to a file of mode 0600 and \
                 name that with --state-password-file",
            ));
        }
        if url.username().is_empty() || url.path().trim_matches('/').is_empty() {
            return Err(wrong(
                "it names no user or no database; write postgres://user@host:port/database",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "nothing may stand after the database's name: TLS and limits are magewarden's to choose",
            ));
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(wrong(
                "it names no host; write postgres://user@host:port/database",
            ));
        };
        let is_here = host == "localhost"
            || host.to_ascii_uppercase().starts_with("%2F")
            || host
                .trim_matches(['[', ']'])
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        Ok(Self {
            address: AnyAddress {
                text: url.to_string(),
                is_here,
            },
            password_file,
            ca_file,
        })
    }

    /// How it is connected to; the password file is read each time, so that it can change.
    fn options(&self) -> Result<AnyConnectOptions, StoreError> {
        let wrong = || StoreError::Place {
            place: self.address.text.clone(),
            why: "it is no URL",
        };
        let mut options: AnyConnectOptions = self.address.text.parse().map_err(|_| wrong())?;
        let verify = self.ca_file.is_some() || !self.address.is_here;
        let port = options.database_url.port().unwrap_or(5432).to_string();
        let mut query = options.database_url.query_pairs_mut();
        query
            .append_pair("port", &port)
            .append_pair("sslmode", if verify { "verify-full" } else { "prefer" })
            .append_pair("application_name", "magewarden");
        for (name, value) in SESSION {
            query.append_pair(&format!("options[{name}]"), value);
        }
        if let Some(file) = &self.ca_file {
            // What isn't there would be taken for a certificate's text.
            File::open(file).map_err(StoreError::io(file))?;
            query.append_pair("sslrootcert", &file.to_string_lossy());
        }
        if let Some(file) = &self.password_file {
            query.append_pair("password", &password(file)?);
        }
        drop(query);
        Ok(options)
    }
}

impl StatePlace {
    /// How it is connected to.
    pub(crate) fn options(&self) -> Result<AnyConnectOptions, StoreError> {
        let options = match self {
            Self::File(path) => file_options(path)?,
            Self::Server(server) => server.options()?,
        };
        // Statements carry what logs said.
        Ok(options.disable_statement_logging())
    }

    /// What an error of the database is to whoever asked.
    pub(crate) fn failed(&self, source: sqlx::Error) -> StoreError {
        let source = Box::new(source);
        match self {
            Self::File(path) => StoreError::State {
                path: path.clone(),
                source,
            },
            Self::Server(_) => StoreError::Server {
                server: self.to_string(),
                source,
            },
        }
    }

    /// Whether it is at a server.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

fn file_options(path: &Path) -> Result<AnyConnectOptions, StoreError> {
    // SQLite takes the mode of a file that is there; it would make one others can read.
    secrets::touch(path)?;
    // A URL takes `..` and `.` away by itself, and not where links lead.
    let path = path.canonicalize().map_err(StoreError::io(path))?;
    let mut url = "sqlite://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                url.push(char::from(*byte));
            }
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url.parse()
        .map_err(|source| StatePlace::File(path).failed(source))
}

/// Reads a password: the file's text without the line end. The file must be its owner's alone.
fn password(path: &Path) -> Result<String, StoreError> {
    let file = File::open(path).map_err(StoreError::io(path))?;
    // Of the open file, not of the path: it can't be exchanged in between.
    let mode = file.metadata().map_err(StoreError::io(path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::NotPrivate {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(StoreError::io(path))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::StatePlace;
    use std::path::Path;

    #[test]
    fn a_file_of_any_name_is_the_one_that_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["state.sqlite", "a b%41?x=#y.sqlite", "ä;&+.sqlite"] {
            let path = folder.path().join(name);
            let state = crate::Database::open(&StatePlace::File(path.clone())).expect("opened");
            drop(state);
            let length = std::fs::metadata(&path).expect("there").len();
            assert!(length > 0, "{name} is empty");
        }
        let names = std::fs::read_dir(folder.path()).expect("listed").count();
        assert!(names >= 3);
        assert!(!Path::new("state.sqlite").exists());
    }
}

#[cfg(test)]
#[cfg(feature = "postgres")]
mod server_tests {
    use super::{Server, StatePlace};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    /// What becomes of an address: how it is connected to, or why not.
    #[track_caller]
    fn check(url: &str, ca_file: Option<&str>, expected: Result<&str, &str>) {
        let options = Server::new(url, None, ca_file.map(PathBuf::from))
            .and_then(|server| server.options())
            .map(|options| options.database_url.to_string())
            .map_err(|error| error.to_string());
        match (&options, expected) {
            (Ok(options), Ok(expected)) => assert!(options.contains(expected), "{options}"),
            (Err(error), Err(expected)) => {
                assert!(error.contains(expected), "{error}");
                assert!(!error.contains("SECRET"), "{error}");
            }
            _ => panic!("{url}: {options:?}"),
        }
    }

    #[test]
    fn another_host_is_reached_by_verified_tls_alone() {
        check("postgres://m@db1/state", None, Ok("sslmode=verify-full"));
        check(
            "postgres://m@10.0.0.5:5433/state",
            None,
            Ok("sslmode=verify-full"),
        );
        check(
            "postgres://m@localhost.example/state",
            None,
            Ok("sslmode=verify-full"),
        );
        check("postgres://m@127.0.0.1/state", None, Ok("sslmode=prefer"));
        check("postgres://m@[::1]/state", None, Ok("sslmode=prefer"));
        check(
            "postgresql://m@localhost:5433/state",
            None,
            Ok("sslmode=prefer"),
        );
        check(
            "postgres://m@localhost/state",
            Some("/dev/null"),
            Ok("sslmode=verify-full"),
        );
        check(
            "postgres://m@%2Frun%2Fpostgresql/state",
            None,
            Ok("sslmode=prefer"),
        );
        check("postgres://m@db1/state", None, Ok("port=5432"));
        check(
            "postgres://m@db1/state",
            Some("/nowhere/ca.pem"),
            Err("/nowhere/ca.pem"),
        );
    }

    #[test]
    fn an_address_that_weakens_or_tells_a_password_is_refused_without_showing_it() {
        check(
            "postgres://m:SECRET@db1/state",
            None,
            Err("--state-password-file"),
        );
        check(
            "postgres://m@db1/state?password=SECRET",
            None,
            Err("nothing may stand"),
        );
        check(
            "postgres://m@db1/state?sslmode=disable",
            None,
            Err("nothing may stand"),
        );
        check(
            "postgres://m@db1/state?host=db2",
            None,
            Err("nothing may stand"),
        );
        check("postgres://m@db1/state#x", None, Err("nothing may stand"));
        check("postgres://m@/state", None, Err("no URL"));
        check("postgres://db1/state", None, Err("no user"));
        check("postgres://m@db1", None, Err("no database"));
        check("mysql://m@db1/state", None, Err("postgres://"));
        check("m:SECRET@db1", None, Err("postgres://"));
        check("", None, Err("no URL"));
    }

    #[test]
    fn a_password_comes_from_a_private_file_and_is_shown_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "a%41+ &b\n").expect("written");
        let server = Server::new("postgres://m@db1/state", Some(file.clone()), None).expect("fits");
        for (mode, is_private) in [(0o600, true), (0o400, true), (0o640, false), (0o602, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(server.options().is_ok(), is_private, "{mode:o}");
        }
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("set");
        let url = server.options().expect("fits").database_url;
        let given = url.query_pairs().find(|(name, _)| name == "password");
        assert_eq!(given.expect("given").1, "a%41+ &b");
        let shown = format!("{0} {0:?}", StatePlace::Server(server));
        assert!(!shown.contains("41"), "{shown}");
    }
}

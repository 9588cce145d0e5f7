//! Asks a shop's MariaDB or MySQL where its logs lie and what they leave out.
//!
//! Apart because it is the only place that logs in to the database. It does so only with an account
//! of magewarden's own, asks a handful of statements – and, where it is told to, watches rows ([`rows`]) – and names no column of a card. An account
//! that may read more than [`account::statements`] grants is refused: magewarden logs out again.
//! What follows from the answers ([`gaps`]) is a pure function of them.

pub mod account;
mod ask;
mod audit;
mod digests;
pub mod files;
mod gap;
mod gentle;
mod rows;
mod slow;

use std::collections::BTreeMap;
use std::fmt;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

pub use ask::{AskError, ask};
pub(crate) use digests::StatementDigests;
pub use gap::{Circumstances, Gap, Run, gaps};
pub(crate) use rows::ShopRows;
pub(crate) use rows::config::is_readable_config;
pub(crate) use rows::tables::WATCHED;
pub(crate) use rows::watched::{Place, Watched};

/// Where the database listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// A socket file on this host.
    Socket(PathBuf),
    /// A TCP port.
    Network {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Port of MariaDB and MySQL.
const PORT: u16 = 3306;
/// Where packages put the socket.
const SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

impl Server {
    /// Reads a host as `app/etc/env.php` writes it: `localhost`, `db1`, `db1:3307`, `[::1]:3306`,
    /// `/run/mysqld/mysqld.sock`. `localhost` is the first socket there is, else the loopback port.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let host = host.trim();
        if host.starts_with('/') {
            return Self::Socket(PathBuf::from(host));
        }
        if host.is_empty() || host == "localhost" {
            let socket = SOCKETS.iter().map(Path::new).find(|path| path.exists());
            return socket.map_or_else(
                || Self::Network {
                    host: "127.0.0.1".to_owned(),
                    port: PORT,
                },
                |path| Self::Socket(path.to_owned()),
            );
        }
        // An IPv6 address holds colons itself: a port stands behind its bracket or not at all.
        let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, rest)) => (name, rest.strip_prefix(':')),
            None if host.matches(':').count() == 1 => host
                .split_once(':')
                .map_or((host, None), |(name, port)| (name, Some(port))),
            None => (host, None),
        };
        Self::Network {
            host: name.to_owned(),
            port: port.and_then(|port| port.parse().ok()).unwrap_or(PORT),
        }
    }

    /// Whether the files the server writes can lie on this host. A container's port on loopback
    /// looks so, too: a file that isn't there is said.
    #[must_use]
    pub fn is_here(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Network { host, .. } => {
                host == "localhost"
                    || host
                        .parse()
                        .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
        }
    }
}

/// The address this host has for a server: what stands behind the `@` of an account. No packet is sent.
#[must_use]
pub fn own_address(server: &Server) -> String {
    let Server::Network { host, port } = server else {
        return "localhost".to_owned();
    };
    let reached = UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| socket.connect((host.as_str(), *port)).map(|()| socket))
        .and_then(|socket| socket.local_addr());
    reached.map_or_else(
        |_| "ADDRESS-OF-THIS-HOST".to_owned(),
        |address| address.ip().to_string(),
    )
}

impl fmt::Display for Server {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(to),
            Self::Network { host, port } if host.contains(':') => write!(to, "[{host}]:{port}"),
            Self::Network { host, port } => write!(to, "{host}:{port}"),
        }
    }
}

/// The account magewarden logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// File that holds its password, readable by its owner alone. Without one the server must tell the account
    /// by the operating system's user (`unix_socket`, `auth_socket`).
    pub password_file: Option<PathBuf>,
    /// Certificate of the authority that signed the server's, in PEM; without one, the public authorities.
    pub ca_file: Option<PathBuf>,
}

/// How the shop's database is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it listens.
    pub server: Server,
    /// Magewarden's own account.
    pub account: Account,
    /// The shop's schema.
    pub schema: String,
    /// Its table prefix.
    pub prefix: String,
}

/// Make of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// MariaDB.
    MariaDb,
    /// Percona Server.
    Percona,
    /// MySQL, Community or Enterprise.
    MySql,
}

/// What is known of a server's settings, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether the server itself said so: then a variable that is missing doesn't exist. Else they
    /// stand in settings files, and one that is missing isn't known.
    pub by_server: bool,
    /// Variables: name in lower case with `_` → value.
    pub variables: BTreeMap<String, String>,
    /// Counters of status.
    pub status: BTreeMap<String, String>,
    /// Stores: code → code of its website. Empty when the account may not read them.
    pub stores: BTreeMap<String, String>,
    /// Payment tables: name → rows by the server's own estimate.
    pub rows: BTreeMap<String, u64>,
    /// Whether the shop's configuration names a service at Fastly; `false`, too, when the account may not read it.
    pub fastly_service: bool,
}

impl Told {
    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether a switch is on; `None` when it isn't known or doesn't exist.
    #[must_use]
    pub fn on(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        Some(value.eq_ignore_ascii_case("on") || value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// A variable or counter as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)
            .or_else(|| self.status.get(name).map(String::as_str))?
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
    }

    /// The make, by version and comment; `None` when neither is known.
    #[must_use]
    pub fn make(&self) -> Option<Make> {
        let text = format!(
            "{} {}",
            self.get("version")?,
            self.get("version_comment").unwrap_or_default()
        )
        .to_ascii_lowercase();
        Some(if text.contains("mariadb") {
            Make::MariaDb
        } else if text.contains("percona") {
            Make::Percona
        } else {
            Make::MySql
        })
    }

    /// Statements a second on average since the server started.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let uptime = self.number("uptime").filter(|seconds| *seconds >= 60.0)?;
        Some(self.number("questions")? / uptime)
    }
}

#[cfg(test)]
mod tests {
    use super::{Server, own_address};

    #[test]
    fn knows_its_own_address_for_a_server() {
        assert_eq!(own_address(&Server::new("127.0.0.1:9")), "127.0.0.1");
        assert_eq!(own_address(&Server::new("/s")), "localhost");
    }

    #[test]
    fn reads_hosts_as_env_php_writes_them() {
        #[track_caller]
        fn check(host: &str, expected: &str, here: bool) {
            let server = Server::new(host);
            assert_eq!(
                (server.to_string().as_str(), server.is_here()),
                (expected, here)
            );
        }
        check("/run/x.sock", "/run/x.sock", true);
        check("db1", "db1:3306", false);
        check("db1:3307", "db1:3307", false);
        check("127.0.0.1", "127.0.0.1:3306", true);
        check("[::1]:3307", "[::1]:3307", true);
        check("::1", "[::1]:3306", true);
        check("2001:db8::5", "[2001:db8::5]:3306", false);
        assert!(Server::new("localhost").is_here());
    }
}

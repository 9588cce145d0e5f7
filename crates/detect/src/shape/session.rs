//! Whether a statement came through Magento's own adapter.
//!
//! Follows `threats.md` §5.2: `Magento\Framework\DB\Adapter\Pdo\Mysql` opens each connection with
//! `SET SQL_MODE=''` and `SET time_zone = '+00:00'`. A log that never shows this tells nothing, and
//! whoever speaks in it is taken for the shop; where it is shown, it tells the shop's accounts and
//! connections from a person's. Bounded: when there are too many, connections are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use model::{Event, Field};

/// Connections followed at once.
const CONNECTIONS_MAX: usize = 16_384;
/// Accounts remembered.
const ACCOUNTS_MAX: usize = 1024;

/// Logs remembered.
const LOGS_MAX: usize = 1024;

/// Who issued a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Issuer {
    /// The shop's own code, as far as the log tells.
    Shop,
    /// An account that never opened a connection the way Magento does.
    OtherAccount,
    /// The shop's account, on a connection that was not opened the way Magento does.
    OtherClient,
}

/// What a connection has shown.
#[derive(Clone, Copy, Default)]
struct Connection {
    /// Its opening was seen.
    opened: bool,
    mode: bool,
    zone: bool,
}

/// What connections and accounts have shown.
#[derive(Default)]
pub(super) struct Sessions {
    connections: BTreeMap<(String, i64), Connection>,
    accounts: BTreeSet<String>,
    /// Logs in which the adapter's opening was seen.
    telling: BTreeSet<String>,
}

impl Sessions {
    /// Takes an event of a database log into account.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        let Some(connection) = event.int(Field::ConnectionId) else {
            return;
        };
        let operation = event.text(Field::Operation);
        let part = event.text(Field::Statement).and_then(part_of_opening);
        if part.is_none() && !matches!(operation, Some("connect" | "disconnect")) {
            return;
        }
        let log = log(event);
        if operation == Some("disconnect") {
            self.connections.remove(&(log, connection));
            return;
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            self.connections.clear();
        }
        let known = self
            .connections
            .entry((log.clone(), connection))
            .or_default();
        match part {
            None => {
                *known = Connection {
                    opened: true,
                    ..Connection::default()
                }
            }
            Some(Opening::Mode) => known.mode = true,
            Some(Opening::Zone) => known.zone = true,
        }
        if known.mode && known.zone {
            if self.telling.len() < LOGS_MAX {
                self.telling.insert(log);
            }
            if let Some(user) = event.text(Field::DbUser)
                && self.accounts.len() < ACCOUNTS_MAX
            {
                self.accounts.insert(user.to_owned());
            }
        }
    }

    /// Tells who issued a statement.
    pub(super) fn issuer(&self, event: &Event<'_>) -> Issuer {
        let own = event
            .text(Field::DbUser)
            .is_none_or(|user| self.accounts.is_empty() || self.accounts.contains(user));
        if !own {
            return Issuer::OtherAccount;
        }
        let log = log(event);
        let Some(connection) = event
            .int(Field::ConnectionId)
            .filter(|_| self.telling.contains(&log))
        else {
            return Issuer::Shop;
        };
        match self.connections.get(&(log, connection)) {
            Some(known) if known.opened && !(known.mode && known.zone) => Issuer::OtherClient,
            _ => Issuer::Shop,
        }
    }
}

/// The log an event stands in: its format and the server that wrote it.
fn log(event: &Event<'_>) -> String {
    [Field::Format, Field::LogHost]
        .map(|field| event.text(field).unwrap_or_default())
        .join("\u{1f}")
}

enum Opening {
    Mode,
    Zone,
}

fn part_of_opening(statement: &str) -> Option<Opening> {
    if statement.len() > 48 || !statement.get(..3)?.eq_ignore_ascii_case("set") {
        return None;
    }
    let text: String = statement
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != ';')
        .collect();
    match text.to_ascii_lowercase().as_str() {
        "setsql_mode=''" => Some(Opening::Mode),
        "settime_zone='+00:00'" => Some(Opening::Zone),
        _ => None,
    }
}

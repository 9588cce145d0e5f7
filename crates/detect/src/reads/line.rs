//! What is counted: hours, kinds of logs, accounts.

use std::sync::Arc;

use model::{Event, Field, Timestamp};
use serde::{Deserialize, Serialize};

/// An hour, in whole hours since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

impl Hour {
    /// Microseconds of it.
    const MICROS: i64 = 3600 * Timestamp::SECOND;

    /// The hour that a time lies in.
    #[must_use]
    pub const fn of(time: Timestamp) -> Self {
        Self(time.0.div_euclid(Self::MICROS))
    }

    /// When it begins.
    #[must_use]
    pub const fn begin(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(Self::MICROS))
    }

    /// Another one, so many hours later.
    #[must_use]
    pub const fn plus(self, hours: i64) -> Self {
        Self(self.0.saturating_add(hours))
    }
}

/// A kind of log that statements are told by. Names are stored: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// Statements in an audit log.
    Audit,
    /// TABLE records of an audit log, which know what a cut statement, a view or a procedure reads.
    AuditTables,
    /// The general query log.
    General,
    /// The slow query log: rows, but only of slow statements unless it is set to tell all.
    Slow,
    /// ProxySQL's log.
    Proxy,
    /// Statement digests of `performance_schema`: sums, without accounts.
    Digests,
}

impl Witness {
    /// Every one, those first that are taken where several tell the same.
    pub const ALL: [Self; 6] = [
        Self::Audit,
        Self::AuditTables,
        Self::General,
        Self::Slow,
        Self::Proxy,
        Self::Digests,
    ];

    /// Its bit in a set of them.
    #[must_use]
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit log",
            Self::AuditTables => "audit log's TABLE records",
            Self::General => "general log",
            Self::Slow => "slow query log",
            Self::Proxy => "ProxySQL's log",
            Self::Digests => "statement digests",
        }
    }

    /// Whether records of a format may tell reads.
    #[must_use]
    pub fn has(format: &str) -> bool {
        match format {
            "observation" => true,
            _ => Self::of_format(format, true).is_some(),
        }
    }

    fn of_format(format: &str, is_statement: bool) -> Option<Self> {
        Some(match format {
            "mariadb_server_audit"
            | "percona_audit_json"
            | "percona_audit_xml"
            | "mysql_enterprise_audit_json" => {
                if is_statement {
                    Self::Audit
                } else {
                    Self::AuditTables
                }
            }
            "mysql_general" => Self::General,
            "mysql_slow" => Self::Slow,
            "proxysql_json" => Self::Proxy,
            _ => return None,
        })
    }

    /// What tells an event; `None` where that tells no reads.
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        let is_statement = match event.text(Field::Operation)? {
            "query" => true,
            "read" | "write" => false,
            _ => return None,
        };
        match event.text(Field::Format)? {
            // The binary log's statements are observations, too; it tells none that reads.
            "observation" => {
                let is_sum = is_statement && event.int(Field::ChangeCount).is_some();
                is_sum.then_some(Self::Digests)
            }
            format => Self::of_format(format, is_statement),
        }
    }
}

/// Whom reads are counted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// A database account, as the log names it.
    Named(#[serde(with = "shared")] Arc<str>),
    /// The log tells none.
    Untold,
    /// Beyond the accounts that are told apart.
    Others,
}

/// What one kind of log told of one account's reads of one table in one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whose.
    pub account: Account,
    /// What tells it.
    pub witness: Witness,
    /// Statements that read the table.
    pub reads: u64,
    /// Rows that these sent; `None` where the log tells none.
    pub rows: Option<u64>,
}

/// Stores a name that many lines share.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(name: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

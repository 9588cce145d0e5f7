//! A rule's claim about events.

use serde::{Deserialize, Serialize};

use crate::{Lane, Scope, Sequence, Timestamp};

/// One event: the entry it was read from, and which of that entry's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventRef {
    /// The entry.
    pub sequence: Sequence,
    /// Index of the event in the entry, from zero.
    pub index: u32,
}

/// Sigma's levels.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing; opens no incident.
    #[default]
    Informational,
    /// Joins incidents; opens none alone.
    Low,
    /// Opens an incident.
    Medium,
    /// Opens an incident someone should see today.
    High,
    /// Opens an incident someone should see now.
    Critical,
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 5] = [
        Self::Informational,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// The level of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The name Sigma uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What an actor's identifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActorKind {
    /// A client address.
    Address,
    /// A database account, `user` (host when it tells more).
    DatabaseAccount,
    /// One connection to the database, `user#connection`.
    DatabaseConnection,
    /// A Magento administrator.
    Administrator,
    /// A session, by hash.
    Session,
    /// An API token or integration, by hash or name.
    Token,
    /// A program on a host, by its path.
    HostProcess,
    /// An account of a host: who logged in where that is known, else whose rights were used.
    HostAccount,
}

impl ActorKind {
    /// In words, e.g. `database account`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::DatabaseAccount => "database account",
            Self::DatabaseConnection => "database connection",
            Self::Administrator => "administrator",
            Self::Session => "session",
            Self::Token => "API token",
            Self::HostProcess => "program",
            Self::HostAccount => "host account",
        }
    }
}

/// One identifier of whoever did it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// What the identifier is.
    pub kind: ActorKind,
    /// The identifier, masked where it is a secret.
    pub value: String,
}

/// What an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AssetKind {
    /// A table, without prefix and schema.
    Table,
    /// A file or a path of the web server.
    Path,
    /// A log.
    Log,
    /// A row of configuration or content, e.g. `core_config_data:design/head/includes`.
    Row,
}

/// How bad it is when an asset leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    /// Nothing worth stealing by itself.
    Public,
    /// Personal data.
    Personal,
    /// Credentials: password hashes, tokens, keys.
    Credential,
    /// Gateway tokens.
    Token,
    /// Truncated card numbers (last four, expiry).
    PanTruncated,
    /// Card numbers.
    Pan,
    /// Sensitive authentication data.
    Sad,
}

/// A place that can hold data worth stealing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Asset {
    /// What it is.
    pub kind: AssetKind,
    /// Its name.
    pub name: String,
    /// What it can hold.
    pub class: DataClass,
}

/// How sure a count is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Counted by a witness.
    Exact,
    /// Between a proven lower and a not excluded upper bound.
    Bounded,
    /// Only a worst case can be named, or not even that.
    WorstCase,
}

/// A count with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Proven.
    pub lower: u64,
    /// Not excluded; `None` when nothing bounds it.
    pub upper: Option<u64>,
    /// How sure.
    pub grade: Grade,
}

/// Where a finding of another system is found there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// The system, e.g. `qradar`.
    pub system: String,
    /// Its id there, masked.
    pub id: String,
    /// Its address there, `https` or `http`, masked; never followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A rule's claim about events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Hash of installation, rule id, group key and first event; 32 hexadecimal digits. Of another system's, a keyed hash of
    /// installation, system and its id there.
    pub id: String,
    /// Stable id of the rule; `external:SYSTEM` where another system made it.
    pub rule: String,
    /// The rule's title.
    pub title: String,
    /// How bad.
    pub level: Level,
    /// `Live` or `Exercise`.
    pub lane: Lane,
    /// First event's time.
    pub first: Timestamp,
    /// Last event's time.
    pub last: Timestamp,
    /// Whoever did it, most telling identifier first.
    pub actors: Vec<Actor>,
    /// Where.
    pub scope: Scope,
    /// What was touched.
    pub assets: Vec<Asset>,
    /// Rows that left, where anything tells.
    pub rows: Option<Count>,
    /// Bytes that left, where anything tells.
    pub bytes: Option<u64>,
    /// How many events matched in all.
    pub event_count: u64,
    /// The events it rests on: first and last ones, at most 256.
    pub events: Vec<EventRef>,
    /// Why, in plain words: values that decided, no record.
    pub reason: String,
    /// MITRE ATT&CK technique ids.
    pub attack: Vec<String>,
    /// Requirements it serves, e.g. `10.4.1`.
    pub requirements: Vec<String>,
    /// What else it could be.
    pub false_positives: Vec<String>,
    /// Where it is from, when another system made it; such a one counts as events how often it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Box<External>>,
}

//! Findings that belong together, with a state.

use serde::{Deserialize, Serialize};

use crate::{Actor, Asset, Count, Lane, Level, Scope, Timestamp};

/// Life cycle, after NIST SP 800-61 and ISO/IEC 27035. A machine sets only `Signal` and `Merged`;
/// every other move is a named person's decision.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IncidentState {
    /// Detected, nobody looked yet.
    #[default]
    Signal,
    /// Merged into another incident.
    Merged,
    /// Somebody looked and takes it for worth working on.
    Triaged,
    /// Account data may be at risk: PCI DSS v4.0.1 req. 12.10 asks to respond at once.
    Suspected,
    /// The response is called out, by a person entitled to.
    Declared,
    /// The attacker or the leak can no longer act, caches included.
    Contained,
    /// What made it possible is gone.
    Eradicated,
    /// The shop works as it should again.
    Recovered,
    /// Done, with what was learnt.
    Closed,
    /// Closed once, and work again.
    Reopened,
    /// Looked at, and nothing of the kind.
    FalsePositive,
}

impl IncidentState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Signal,
        Self::Triaged,
        Self::Suspected,
        Self::Declared,
        Self::Contained,
        Self::Eradicated,
        Self::Recovered,
        Self::Closed,
        Self::Reopened,
        Self::FalsePositive,
        Self::Merged,
    ];

    /// Its name in settings, addresses and the API, e.g. `false_positive`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Merged => "merged",
            Self::Triaged => "triaged",
            Self::Suspected => "suspected",
            Self::Declared => "declared",
            Self::Contained => "contained",
            Self::Eradicated => "eradicated",
            Self::Recovered => "recovered",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::FalsePositive => "false_positive",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nobody needs to work on it any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Merged | Self::Closed | Self::FalsePositive)
    }
}

/// Why a finding is in an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The finding.
    pub finding: String,
    /// Shared identifier, scope or asset, in plain words.
    pub because: String,
}

/// A finding of another incident that hangs together with one; the two aren't merged, since somebody decided on either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// The finding.
    pub finding: String,
    /// What ties them, in plain words.
    pub because: String,
}

/// What left, from where, whose, since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// What was reached.
    pub assets: Vec<Asset>,
    /// Which stores; `Installation` for shared tables.
    pub scopes: Vec<Scope>,
    /// Earliest proven time.
    pub first: Timestamp,
    /// Latest proven time.
    pub last: Timestamp,
    /// Records that left; `None` when nothing could be read (a denied attempt).
    pub rows: Option<Count>,
    /// Bytes that left, lower bound.
    pub bytes: Option<u64>,
    /// How it left: `database`, `web response`, `file on the server`, `payment page`.
    pub channels: Vec<String>,
    /// How each figure was computed.
    pub basis: Vec<String>,
}

/// How sure it is that a duty runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObligationState {
    /// The earliest deadline someone could argue; nobody decided yet.
    Projected,
}

/// A duty to tell someone by a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligation {
    /// Stable id of the regime's rule in `content/obligations/`.
    pub rule: String,
    /// The regime in words.
    pub regime: String,
    /// Who must be told.
    pub recipient: String,
    /// When the clock started, as far as anyone could argue.
    pub started: Timestamp,
    /// By when; `None` for "without undue delay" and its like.
    pub due: Option<Timestamp>,
    /// The text of the time limit, e.g. `72 hours after becoming aware`.
    pub limit: String,
    /// What the clock starts from, in words.
    pub trigger: String,
    /// How sure.
    pub state: ObligationState,
    /// Where the rule is from.
    pub source: String,
    /// `verified`, `single source`, `unverified`.
    pub confidence: String,
    /// Facts the duty depends on that are not known yet.
    pub depends_on: Vec<String>,
}

/// Findings that belong together, with a state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// That of its first finding.
    pub id: String,
    /// In plain words: who did what to what.
    pub title: String,
    /// Where it is in its life.
    pub state: IncidentState,
    /// `Live` or `Exercise`.
    pub lane: Lane,
    /// Severity after the floors of `pci.md` §2.3.
    pub severity: Level,
    /// Why the severity is what it is.
    pub severity_because: Vec<String>,
    /// Below this no person may set the severity: what the standard itself weighs (`pci.md` §2.3).
    #[serde(default)]
    pub severity_floor: Level,
    /// First event's time.
    pub first: Timestamp,
    /// Last event's time.
    pub last: Timestamp,
    /// When the first finding was sealed (the ledger's clock).
    pub detected: Timestamp,
    /// Whoever did it.
    pub actors: Vec<Actor>,
    /// What was touched.
    pub assets: Vec<Asset>,
    /// Where.
    pub scopes: Vec<Scope>,
    /// Its findings, with why each joined.
    pub findings: Vec<Joined>,
    /// What left.
    pub exposure: Exposure,
    /// Which duties to tell started.
    pub obligations: Vec<Obligation>,
    /// Requirements that its findings serve, as PCI DSS v4.0.1 numbers them: what has to be gone through before it closes.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// What hangs together with it and is in other incidents: a person may merge them.
    #[serde(default)]
    pub related: Vec<Related>,
}

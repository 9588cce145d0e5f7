//! How grouping is set: every gap and threshold with its name, in one place.

use std::collections::BTreeSet;

use model::{Actor, ActorKind};

/// What is known of the merchant and the people concerned; `None` means nobody said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityProfile {
    /// Regions where the people concerned live, as in `regions` of the rules, e.g. `EU`, `US-CA`.
    pub regions: Option<BTreeSet<String>>,
    /// What the merchant is, as in `entities` of the rules, e.g. `investment adviser`.
    pub entities: Option<BTreeSet<String>>,
}

/// How findings are grouped. All gaps are between the end of one finding and the start of the next.
///
/// An identifier joins two findings only within its gap: a campaign that goes on hours later is
/// a second incident, since one that spans both would name no honest beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupingSettings {
    /// Longest gap any identifier may bridge, in seconds; caps all others. Default 72 hours.
    pub idle_seconds: i64,
    /// Identifiers that never join findings alone, e.g. a proxy's address.
    pub shared_actors: BTreeSet<Actor>,
    /// Gap for one address doing the same kind of thing, in seconds.
    pub address_same_kind_seconds: i64,
    /// Gap for one address, administrator or token doing different things, in seconds.
    pub address_any_kind_seconds: i64,
    /// Gap for one session, in seconds.
    pub session_seconds: i64,
    /// Gap for one connection to the database, in seconds.
    pub connection_seconds: i64,
    /// Gap for a database account that is nobody's but one program's, same asset, in seconds.
    pub private_account_seconds: i64,
    /// Gap for a shared identifier with the same kind of rule and the same asset, in seconds.
    pub shared_same_act_seconds: i64,
    /// Gap between the web's and the database's view of one SQL injection, in seconds.
    pub twin_seconds: i64,
    /// Gap between a finding that names nobody and one of the same technique that does, in seconds.
    pub technique_seconds: i64,
    /// Gap within which a low finding joins, in seconds.
    pub low_seconds: i64,
    /// Gap for findings that name nobody, same rule and asset, in seconds.
    pub nameless_seconds: i64,
    /// Connections above which a database account is shared.
    pub shared_account_connections: u64,
    /// Sessions above which any other identifier is shared.
    pub shared_sessions: u64,
    /// What is known of the merchant and the people concerned.
    pub profile: EntityProfile,
}

impl GroupingSettings {
    /// The longest gap that anything bridges, in microseconds: what ended earlier, nothing new belongs to.
    #[must_use]
    pub fn longest_gap(&self) -> i64 {
        let gaps = [
            self.address_same_kind_seconds,
            self.address_any_kind_seconds,
            self.session_seconds,
            self.connection_seconds,
            self.private_account_seconds,
            self.shared_same_act_seconds,
            self.twin_seconds,
            self.technique_seconds,
            self.low_seconds,
            self.nameless_seconds,
        ];
        let longest = gaps.into_iter().max().unwrap_or_default();
        longest.min(self.idle_seconds).saturating_mul(1_000_000)
    }
}

impl Default for GroupingSettings {
    fn default() -> Self {
        let local = |value: &str| Actor {
            kind: ActorKind::Address,
            value: value.to_owned(),
        };
        Self {
            idle_seconds: 72 * 3600,
            // The shop's own calls to itself and most reverse proxies come from these.
            shared_actors: BTreeSet::from([local("127.0.0.1"), local("::1")]),
            address_same_kind_seconds: 300,
            address_any_kind_seconds: 120,
            session_seconds: 300,
            connection_seconds: 1800,
            private_account_seconds: 120,
            shared_same_act_seconds: 4,
            twin_seconds: 5,
            technique_seconds: 60,
            low_seconds: 60,
            nameless_seconds: 300,
            shared_account_connections: 20,
            shared_sessions: 200,
            profile: EntityProfile::default(),
        }
    }
}

//! Which identifiers many people stand behind; learnt from findings and from what traffic tells.
//!
//! Invariant: an identifier that was shared once stays shared.

use std::collections::{BTreeMap, BTreeSet};

use model::{Actor, ActorKind, Finding};

use crate::GroupingSettings;

/// What is known of how many stand behind an identifier.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    sessions: BTreeMap<Actor, u64>,
    connections: BTreeMap<String, BTreeSet<String>>,
}

impl Sharing {
    /// Learns from a finding's connections; gives the account that just turned out shared.
    pub(crate) fn learn(
        &mut self,
        finding: &Finding,
        settings: &GroupingSettings,
    ) -> Option<Actor> {
        let account = finding
            .actors
            .iter()
            .find(|a| a.kind == ActorKind::DatabaseAccount)?;
        let before = self.is_shared(account, settings);
        let seen = self.connections.entry(account.value.clone()).or_default();
        for actor in &finding.actors {
            let room =
                u64::try_from(seen.len()).is_ok_and(|n| n <= settings.shared_account_connections);
            if actor.kind == ActorKind::DatabaseConnection && room {
                seen.insert(actor.value.clone());
            }
        }
        (!before && self.is_shared(account, settings)).then(|| account.clone())
    }

    /// Takes what traffic tells; says whether that changes how the actor joins.
    pub(crate) fn note(
        &mut self,
        actor: &Actor,
        sessions: u64,
        settings: &GroupingSettings,
    ) -> bool {
        let before = (
            self.is_shared(actor, settings),
            self.is_private(actor, settings),
        );
        let known = self.sessions.entry(actor.clone()).or_default();
        *known = (*known).max(sessions);
        before
            != (
                self.is_shared(actor, settings),
                self.is_private(actor, settings),
            )
    }

    /// Whether many stand behind the identifier.
    pub(crate) fn is_shared(&self, actor: &Actor, settings: &GroupingSettings) -> bool {
        let limit = match actor.kind {
            ActorKind::DatabaseAccount => settings.shared_account_connections,
            _ => settings.shared_sessions,
        };
        let in_findings = self.connections.get(&actor.value).map_or(0, BTreeSet::len);
        settings.shared_actors.contains(actor)
            || self.sessions.get(actor).is_some_and(|n| *n > limit)
            || (actor.kind == ActorKind::DatabaseAccount
                && u64::try_from(in_findings).is_ok_and(|n| n > limit))
    }

    /// Whether traffic told that few stand behind it. Nothing told is no proof.
    pub(crate) fn is_private(&self, actor: &Actor, settings: &GroupingSettings) -> bool {
        self.sessions.contains_key(actor) && !self.is_shared(actor, settings)
    }
}

//! Twins: findings of several logs that tell of one act, of which only some name who did it.
//!
//! Apart from keys because a twin is a choice: a view of an act that could be of two clients is
//! nobody's. Invariant: the choice depends on the findings near it alone, never on their order.

use std::collections::BTreeSet;

use model::{Actor, ActorKind, Finding};

use crate::Grouper;
use crate::links::{families, is_of_a_file, is_web, opens, tells_of_injection};
use crate::near::gap_between;

/// Whether it may be another log's view of what a web finding tells.
pub(super) fn wants_twin(finding: &Finding) -> bool {
    let nameless = is_nameless(finding) && !finding.attack.is_empty();
    opens(finding) && (nameless || (!is_web(finding) && tells_of_injection(finding)))
}

/// Whether it may be whom such a view is of: it names somebody.
pub(super) fn offers_twin(finding: &Finding) -> bool {
    opens(finding) && !is_nameless(finding)
}

/// Whether it names nobody who could have asked for it: whose program wrote a file is no client.
fn is_nameless(finding: &Finding) -> bool {
    finding.actors.is_empty() || is_of_a_file(finding)
}

impl Grouper {
    /// The longest gap any twin may have, in microseconds.
    pub(super) fn twin_gap(&self) -> i64 {
        self.settings
            .twin_seconds
            .max(self.settings.technique_seconds)
            .saturating_mul(1_000_000)
    }

    /// Why one finding may be another log's view of what the other tells; `None` when it isn't.
    fn twin_because(&self, finding: &Finding, other: &Finding) -> Option<String> {
        let gap = gap_between(finding, other);
        let within = |seconds: i64| gap <= seconds.saturating_mul(1_000_000);
        if other.lane != finding.lane || other.id == finding.id {
            return None;
        }
        if within(self.settings.twin_seconds)
            && is_web(other)
            && tells_of_injection(finding)
            && tells_of_injection(other)
        {
            return Some(
                "the same SQL injection, told by another log in the same seconds".to_owned(),
            );
        }
        let technique = families(finding).into_iter().skip(1).find(|technique| {
            families(other)
                .iter()
                .skip(1)
                .any(|theirs| theirs == technique)
        })?;
        (is_nameless(finding) && within(self.settings.technique_seconds))
            .then(|| format!("the same technique {technique}, told by a log that names no client"))
    }

    /// The finding another log's view is of: none when it could be of several clients.
    pub(super) fn twin_of(&self, id: &str) -> Option<(String, String)> {
        let finding = &self
            .held
            .get(id)
            .filter(|held| wants_twin(&held.finding))?
            .finding;
        let mut candidates: Vec<(&Finding, String)> = self
            .offering
            .near(finding.first, finding.last, self.twin_gap())
            .filter_map(|id| self.held.get(id))
            .filter_map(|held| Some((&held.finding, self.twin_because(finding, &held.finding)?)))
            .collect();
        // Who speaks HTTP is the client; what the database says of the same act is another view.
        if candidates.iter().any(|(other, _)| is_web(other)) {
            candidates.retain(|(other, _)| is_web(other));
        }
        let whose = |other: &Finding| {
            let private = |actor: &&Actor| {
                actor.kind == ActorKind::Address && !self.sharing.is_shared(actor, &self.settings)
            };
            other
                .actors
                .iter()
                .find(private)
                .or(other.actors.first())
                .cloned()
        };
        let clients: BTreeSet<_> = candidates.iter().map(|(other, _)| whose(other)).collect();
        if clients.len() > 1 {
            return None;
        }
        candidates
            .into_iter()
            .min_by_key(|(other, _)| (gap_between(finding, other), other.first, other.id.clone()))
            .map(|(other, because)| (other.id.clone(), because))
    }
}

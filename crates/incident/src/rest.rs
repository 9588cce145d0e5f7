//! Incidents at rest: what ended long ago is let go of, and given back when something may belong to it.
//!
//! Nothing ties over more than the longest gap, so that two things alone can touch what ended before: a finding that
//! comes late, and a person's decision. Either wakes it first, and the fold goes on as if it had never rested – but that
//! an identifier which turned out shared meanwhile parts what rests only once it wakes.
//!
//! Invariant: an incident is held whole, with its low findings, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use model::{Finding, Incident, IncidentState, Timestamp};

use crate::Change;
use crate::grouper::{Grouper, Touched};
use crate::held::Held;

/// Incidents that are let go of.
#[derive(Debug, Default)]
pub(crate) struct Resting {
    /// First and last event of each that goes on.
    spans: BTreeMap<String, (Timestamp, Timestamp)>,
    /// Those that went into others.
    merged: BTreeSet<String>,
    /// The latest event of any.
    until: Timestamp,
}

impl Resting {
    fn put(&mut self, incident: &Incident) {
        if incident.state == IncidentState::Merged {
            self.merged.insert(incident.id.clone());
            return;
        }
        self.until = self.until.max(incident.last);
        let span = (incident.first, incident.last);
        self.spans.insert(incident.id.clone(), span);
    }

    fn take(&mut self, id: &str) -> bool {
        self.spans.remove(id).is_some() || self.merged.remove(id)
    }
}

/// What was let go of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rested {
    /// Incidents, those that went into others too.
    pub incidents: Vec<String>,
    /// Findings: of these incidents, and low ones that nothing tied to any.
    pub findings: Vec<String>,
}

impl Grouper {
    /// Lets go of what ended, and was sealed, before a time that lies back by more than the longest gap.
    ///
    /// A low finding that hangs on nothing by then never will.
    pub fn rest(&mut self, before: Timestamp) -> Rested {
        let is_old = |held: &Held| held.finding.last < before && held.detected < before;
        let mut out = Rested::default();
        for id in self.members.keys() {
            let findings: Vec<&String> = self.all_of(id).collect();
            let mut held = findings.iter().map(|finding| self.held.get(*finding));
            if held.all(|held| held.is_some_and(is_old)) {
                out.findings.extend(findings.into_iter().cloned());
                out.incidents.push(id.clone());
            }
        }
        for (id, held) in &self.held {
            let is_loose = !self.member_of.contains_key(id) && !self.hangs_on.contains_key(id);
            if is_loose && is_old(held) {
                out.findings.push(id.clone());
            }
        }
        for (id, merged) in &self.merged {
            if merged.last < before && merged.detected < before {
                out.incidents.push(id.clone());
            }
        }
        for id in &out.findings {
            self.let_go(id);
        }
        for id in &out.incidents {
            self.members.remove(id);
            let known = self.incidents.remove(id).or_else(|| self.merged.remove(id));
            if let Some(incident) = known {
                self.resting.put(&incident);
            }
        }
        out
    }

    /// Takes an incident that rested before a start, without its findings.
    pub fn lay_to_rest(&mut self, incident: &Incident) {
        self.resting.put(incident);
    }

    /// Learns from a finding that rests what it tells of who is shared.
    pub fn learn(&mut self, finding: &Finding) {
        self.sharing.learn(finding, &self.settings);
    }

    /// Incidents at rest that a finding may belong to, those that ended last first: to be woken before it is pushed.
    #[must_use]
    pub fn resting_near(&self, finding: &Finding) -> Vec<String> {
        let gap = self.settings.longest_gap();
        let reaches = |from: Timestamp, to: Timestamp| from.0.saturating_sub(to.0) <= gap;
        if !reaches(finding.first, self.resting.until) {
            return Vec::new();
        }
        let near = |(first, last): &(Timestamp, Timestamp)| {
            reaches(finding.first, *last) && reaches(*first, finding.last)
        };
        let spans = self.resting.spans.iter();
        let mut near: Vec<(Timestamp, &String)> = spans
            .filter(|(_, span)| near(span))
            .map(|(id, (_, last))| (*last, id))
            .collect();
        near.sort_unstable_by(|a, b| b.cmp(a));
        near.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// Whether an incident rests.
    #[must_use]
    pub fn rests(&self, id: &str) -> bool {
        self.resting.spans.contains_key(id) || self.resting.merged.contains(id)
    }

    /// Takes back an incident that rests, with its findings and when each was sealed first.
    ///
    /// Says what differs from how it went to rest; nothing, unless a sharedness changed meanwhile.
    pub fn wake(&mut self, incident: Incident, findings: Vec<(Finding, Timestamp)>) -> Vec<Change> {
        let id = incident.id.clone();
        if !self.resting.take(&id) {
            return Vec::new();
        }
        if incident.state == IncidentState::Merged {
            self.merged.insert(id, incident);
            return Vec::new();
        }
        let mut touched = Touched::default();
        let is_pinned = self.pins.holds(&id);
        for (finding, detected) in findings {
            if is_pinned {
                self.pins.put(&finding.id, &id);
            }
            self.put_in(finding, detected, &mut touched);
        }
        touched.incidents.insert(id.clone());
        self.incidents.insert(id, incident);
        self.settle(touched)
    }

    /// The findings of an incident, with the low ones that hang on them.
    fn all_of(&self, incident: &str) -> impl Iterator<Item = &String> {
        let openers = self.members.get(incident).into_iter();
        openers.flat_map(BTreeMap::keys).flat_map(|opener| {
            self.hanging
                .get(opener)
                .into_iter()
                .flatten()
                .chain([opener])
        })
    }

    /// Removes a finding from everywhere; what lies near stays as it is.
    fn let_go(&mut self, id: &str) {
        if let Some(held) = self.held.remove(id) {
            self.unindex(&held);
        }
        self.twins.remove(id);
        self.hangs_on.remove(id);
        self.hanging.remove(id);
        self.member_of.remove(id);
        self.pins.remove(id);
    }
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod tests;

//! What the judge lets go of, and takes back from the ledger when something may belong to it.

use incident::Rested;
use model::{Act, Decision, Finding, Incident, Timestamp};

use crate::archive::Archive;
use crate::judge::{Judge, note_change};

/// How long ago what rests ended and was sealed: no identifier bridges more, nothing is told again after a start, and pages that tell
/// of a week have it at hand.
pub(crate) const REST_SECONDS: i64 = 8 * 24 * 3600;

/// Incidents that one finding wakes: whoever tells of years mustn't have all of them held again.
const WOKEN_MAX: usize = 64;

impl Judge {
    /// Where what rests is read again from here on. Without it nothing rests.
    pub fn remember_by(&mut self, archive: Archive) {
        self.archive = Some(archive);
    }

    /// Lets go of what ended [`REST_SECONDS`] ago. All that changed must have been sealed.
    pub fn rest(&mut self, now: Timestamp) -> Rested {
        if self.archive.is_none() || !self.changed.is_empty() {
            return Rested::default();
        }
        self.grouper.rest(now.plus_seconds(-REST_SECONDS))
    }

    /// Takes an incident that rested before a start.
    pub fn lay_to_rest(&mut self, incident: &Incident) {
        self.grouper.lay_to_rest(incident);
    }

    /// Takes a finding that rested before a start: what it tells of who is shared, no more.
    pub fn learn(&mut self, finding: &Finding) {
        self.counters.findings += 1;
        self.grouper.learn(finding);
    }

    /// Whether an incident rests.
    #[must_use]
    pub fn rests(&self, id: &str) -> bool {
        self.grouper.rests(id)
    }

    /// Takes back an incident that rests, so that it can be asked for and decided on.
    pub fn wake(&mut self, id: &str) {
        let Some(archive) = self.archive.clone().filter(|_| self.grouper.rests(id)) else {
            return;
        };
        let Some(incident) = archive.incident(id) else {
            return;
        };
        let joined = incident.findings.iter();
        let findings = joined.filter_map(|joined| archive.finding(&joined.finding));
        for change in self.grouper.wake(incident.clone(), findings.collect()) {
            note_change(&mut self.changed, change);
        }
    }

    /// Takes back what a decision is about: the incident, the one it goes into, and what a person was told it hangs together with.
    pub fn wake_to_decide(&mut self, decision: &Decision) {
        self.wake(&decision.incident);
        if let Act::Merge { into } = &decision.act {
            self.wake(into);
        }
        let (Some(archive), Some(incident)) = (&self.archive, self.incident(&decision.incident))
        else {
            return;
        };
        let related = incident.related.iter();
        let related: Vec<String> = related
            .filter_map(|related| archive.incident_of(&related.finding))
            .collect();
        for id in related {
            self.wake(&id);
        }
    }

    /// Takes back what a finding may belong to, and the finding itself where it was told before.
    pub(crate) fn wake_for(&mut self, finding: &Finding) {
        let Some(archive) = self.archive.clone() else {
            return;
        };
        for id in self.grouper.resting_near(finding).iter().take(WOKEN_MAX) {
            self.wake(id);
        }
        if self.grouper.finding(&finding.id).is_some() || !archive.knows(&finding.id) {
            return;
        }
        if let Some(id) = archive.incident_of(&finding.id) {
            self.wake(&id);
        }
        if self.grouper.finding(&finding.id).is_none()
            && let Some((known, detected)) = archive.finding(&finding.id)
        {
            for change in self.grouper.push(&known, detected) {
                note_change(&mut self.changed, change);
            }
        }
    }
}

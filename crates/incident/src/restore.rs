//! A start: what was sealed is taken back at once.
//!
//! Incidents don't depend on the order of their findings, but what is made on the way does: pushed one by one, a finding that
//! begins earlier than those before it names the incident anew, and the old name stays as merged with all that was known
//! by then. So nothing is grouped before all is there, and each incident is composed once.

use std::collections::BTreeMap;

use model::{Finding, Incident, IncidentState, Timestamp};

use crate::grouper::Touched;
use crate::held::Held;
use crate::links::links;
use crate::{Change, Grouper};

impl Grouper {
    /// Takes incidents as they were sealed last, and the findings that are to be held, each with when it was sealed first.
    ///
    /// Says what differs from how it was sealed. An incident of which no finding is there any more is left out: what it says can't
    /// be made again.
    pub fn restore(
        &mut self,
        incidents: BTreeMap<String, Incident>,
        findings: Vec<(Finding, Timestamp)>,
    ) -> Vec<Change> {
        let mut touched = Touched::default();
        for (finding, _) in &findings {
            if let Some(actor) = self.sharing.learn(finding, &self.settings) {
                self.relink(&actor, &mut touched);
            }
        }
        for (finding, detected) in findings {
            let known = self.held.get(&finding.id).map(|held| held.detected);
            self.take_out(&finding.id, &mut touched);
            self.hold(Held {
                links: links(&finding, &self.settings, &self.sharing),
                detected: known.map_or(detected, |known| known.min(detected)),
                finding,
            });
        }
        // All of them are looked at, and so is what was there before: nobody needs to know what lies near.
        for held in self.held.values() {
            touched.finding(&held.finding);
        }
        touched.incidents.extend(self.members.keys().cloned());
        for (id, incident) in incidents {
            let mut joined = incident.findings.iter();
            if incident.state == IncidentState::Merged {
                self.merged.insert(id, incident);
            } else if joined.any(|joined| self.held.contains_key(&joined.finding)) {
                touched.incidents.insert(id.clone());
                self.incidents.insert(id, incident);
            }
        }
        self.settle(touched)
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;

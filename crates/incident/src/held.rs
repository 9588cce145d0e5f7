//! Findings that are held, and what is looked through for those that lie near one.
//!
//! Apart from the fold because neither knows of incidents.

use model::{Finding, Timestamp};

use crate::Grouper;
use crate::links::Link;
use crate::twins::{offers_twin, wants_twin};

/// A finding with what ties it to others.
pub(crate) struct Held {
    pub(crate) finding: Finding,
    pub(crate) detected: Timestamp,
    pub(crate) links: Vec<Link>,
}

impl Grouper {
    /// Adds a finding to everything that is looked through.
    pub(crate) fn hold(&mut self, held: Held) {
        let finding = &held.finding;
        for link in &held.links {
            let index = self.index.entry(link.key.clone()).or_default();
            index.insert(finding);
        }
        if wants_twin(finding) {
            self.wanting.insert(finding);
        }
        if offers_twin(finding) {
            self.offering.insert(finding);
        }
        self.held.insert(finding.id.clone(), held);
    }

    /// Removes a finding from what is looked through for neighbours.
    pub(crate) fn unindex(&mut self, old: &Held) {
        for link in &old.links {
            if let Some(index) = self.index.get_mut(&link.key) {
                index.remove(&old.finding);
                if index.by_first.is_empty() {
                    self.index.remove(&link.key);
                }
            }
        }
        self.wanting.remove(&old.finding);
        self.offering.remove(&old.finding);
    }
}

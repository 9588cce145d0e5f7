//! Which findings people have put where: what a person touched, no machine moves.
//!
//! An incident that somebody decided on is pinned with its findings. It takes in what comes later and
//! hangs together with it, until it is over; it is never merged, parted or named anew by the fold.

use std::collections::BTreeMap;

use model::Timestamp;

/// An incident that people decided on.
#[derive(Clone, Copy, Debug)]
struct Pinned {
    /// From when on it takes in what is sealed.
    since: Timestamp,
    /// Whether it takes nothing more in.
    is_over: bool,
}

/// Findings that are where people put them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pins {
    findings: BTreeMap<String, String>,
    incidents: BTreeMap<String, Pinned>,
}

impl Pins {
    /// Puts a finding into an incident.
    pub(crate) fn put(&mut self, finding: &str, incident: &str) {
        self.findings
            .insert(finding.to_owned(), incident.to_owned());
    }

    /// Says since when an incident takes things in, or that it is over. What came while it was over stays apart when
    /// it is worked on again.
    pub(crate) fn set(&mut self, incident: &str, since: Timestamp, is_over: bool) {
        let known = self.incidents.get(incident);
        let since = known
            .filter(|known| !known.is_over)
            .map_or(since, |known| known.since.min(since));
        self.incidents
            .insert(incident.to_owned(), Pinned { since, is_over });
    }

    /// The incident that people put a finding into.
    pub(crate) fn of(&self, finding: &str) -> Option<&str> {
        self.findings.get(finding).map(String::as_str)
    }

    /// Forgets where a finding was put; the incident stays one that people decided on.
    pub(crate) fn remove(&mut self, finding: &str) {
        self.findings.remove(finding);
    }

    /// Whether people decided on an incident.
    pub(crate) fn holds(&self, incident: &str) -> bool {
        self.incidents.contains_key(incident)
    }

    /// Whether an incident takes in a finding that was sealed then.
    pub(crate) fn takes(&self, incident: &str, detected: Timestamp) -> bool {
        self.incidents
            .get(incident)
            .is_some_and(|pinned| !pinned.is_over && pinned.since <= detected)
    }

    /// Whether nobody decided anything yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.incidents.is_empty()
    }
}

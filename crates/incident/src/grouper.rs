//! The fold from findings to incidents.
//!
//! Incidents are the connected parts of a graph: findings of level medium and above are its nodes,
//! common keys within their gaps its edges (`links`), and one edge more from a database's view of an
//! SQL injection to the one web client it can be of. A low finding hangs on the nearest node. As
//! all of this depends on the set of findings alone, it doesn't depend on their order of arrival.
//!
//! An incident's id is that of its earliest finding of level medium or above, in event time (ties:
//! smaller id). When an earlier one arrives later, the id changes and the old one stays as merged.
//!
//! Invariant: what a push can change is only the incidents it touches, and only these are rebuilt.

use std::collections::{BTreeMap, BTreeSet};

use model::{Actor, Finding, Incident, IncidentState, Timestamp};

use crate::compose::{Member, compose};
use crate::held::Held;
use crate::links::{Link, links, opens};
use crate::near::{TimeIndex, gap_between};
use crate::pins::Pins;
use crate::project::Projector;
use crate::rest::Resting;
use crate::sharing::Sharing;
use crate::twins::{offers_twin, wants_twin};
use crate::{GroupingSettings, ObligationRules};

/// What a finding changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An incident begins, by id.
    Opened(String),
    /// An incident has more or other findings, by id.
    Grew(String),
    /// One incident went into another.
    Merged {
        /// The one that goes on.
        into: String,
        /// The one that ends.
        from: String,
    },
    /// Too low to open an incident, and nothing to join.
    None,
}

/// The fold from findings to incidents: same findings in, same incidents out.
///
/// Holds the findings it was given until [`Grouper::rest`] lets go of old ones.
pub struct Grouper {
    pub(super) settings: GroupingSettings,
    projector: Projector,
    pub(super) sharing: Sharing,
    pub(super) held: BTreeMap<String, Held>,
    pub(super) index: BTreeMap<String, TimeIndex>,
    pub(super) wanting: TimeIndex,
    pub(super) offering: TimeIndex,
    /// Finding of a log that names no client → the finding it tells of once more.
    pub(super) twins: BTreeMap<String, (String, String)>,
    /// Low finding → the finding it hangs on, and back.
    pub(super) hangs_on: BTreeMap<String, (String, Link)>,
    pub(super) hanging: BTreeMap<String, BTreeSet<String>>,
    /// Finding that opens → its incident, and back.
    pub(super) member_of: BTreeMap<String, String>,
    pub(super) members: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) incidents: BTreeMap<String, Incident>,
    pub(super) merged: BTreeMap<String, Incident>,
    pub(super) pins: Pins,
    pub(super) resting: Resting,
}

/// What a push touches.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) incidents: BTreeSet<String>,
    openers: BTreeSet<String>,
    lows: BTreeSet<String>,
    databases: BTreeSet<String>,
}

impl Touched {
    /// A finding that is to be grouped.
    pub(super) fn finding(&mut self, finding: &Finding) {
        if wants_twin(finding) {
            self.databases.insert(finding.id.clone());
        }
        let grouped = match opens(finding) {
            true => &mut self.openers,
            false => &mut self.lows,
        };
        grouped.insert(finding.id.clone());
    }
}

impl Grouper {
    /// Makes an empty fold.
    #[must_use]
    pub fn new(settings: GroupingSettings, obligations: &ObligationRules) -> Self {
        Self {
            projector: Projector::new(obligations, settings.profile.clone()),
            settings,
            sharing: Sharing::default(),
            held: BTreeMap::new(),
            index: BTreeMap::new(),
            wanting: TimeIndex::default(),
            offering: TimeIndex::default(),
            twins: BTreeMap::new(),
            hangs_on: BTreeMap::new(),
            hanging: BTreeMap::new(),
            member_of: BTreeMap::new(),
            members: BTreeMap::new(),
            incidents: BTreeMap::new(),
            merged: BTreeMap::new(),
            pins: Pins::default(),
            resting: Resting::default(),
        }
    }

    /// Takes a finding; one with an id already seen replaces the former.
    ///
    /// `detected` is when it was sealed; of a finding seen before, the earliest counts.
    pub fn push(&mut self, finding: &Finding, detected: Timestamp) -> Vec<Change> {
        let mut touched = Touched::default();
        let detected = match self.held.get(&finding.id) {
            Some(old) if old.finding == *finding && old.detected <= detected => return Vec::new(),
            Some(old) => detected.min(old.detected),
            None => detected,
        };
        self.take_out(&finding.id, &mut touched);
        let flipped = self.sharing.learn(finding, &self.settings);
        self.put_in(finding.clone(), detected, &mut touched);
        if let Some(actor) = flipped {
            self.relink(&actor, &mut touched);
        }
        let mut changes = self.settle(touched);
        if changes.is_empty() {
            changes.push(Change::None);
        }
        changes
    }

    /// Takes what people decided of findings: they are in this incident from now on, whatever ties them to others.
    ///
    /// What is sealed from `since` on and hangs together with them joins as well, unless the incident `is_over`.
    pub fn pin(
        &mut self,
        incident: &str,
        findings: &[String],
        since: Timestamp,
        is_over: bool,
    ) -> Vec<Change> {
        let mut touched = Touched::default();
        for finding in findings {
            touched
                .incidents
                .extend(self.member_of.get(finding).cloned());
            self.pins.put(finding, incident);
        }
        touched.incidents.extend(
            self.members
                .contains_key(incident)
                .then(|| incident.to_owned()),
        );
        self.pins.set(incident, since, is_over);
        self.settle(touched)
    }

    /// Takes what traffic tells of how many sessions (or connections) an identifier had in all.
    pub fn note_actor_traffic(&mut self, actor: &Actor, sessions: u64) -> Vec<Change> {
        let mut touched = Touched::default();
        if self.sharing.note(actor, sessions, &self.settings) {
            self.relink(actor, &mut touched);
        }
        self.settle(touched)
    }

    /// Every incident that goes on, by id; merged ones are only in [`Grouper::incident`].
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values()
    }

    /// One incident, merged ones too.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.incidents.get(id).or_else(|| self.merged.get(id))
    }

    /// Every finding that is held, in its latest state, by id.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.held.values().map(|held| &held.finding)
    }

    /// One finding that is held.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.held.get(id).map(|held| &held.finding)
    }

    /// The findings of an incident in their latest state, in the incident's order.
    pub fn findings_of(&self, id: &str) -> impl Iterator<Item = &Finding> {
        self.incident(id)
            .into_iter()
            .flat_map(|incident| &incident.findings)
            .filter_map(|joined| self.held.get(&joined.finding))
            .map(|held| &held.finding)
    }

    /// Removes a finding from every index and remembers what that touches.
    pub(super) fn take_out(&mut self, id: &str, touched: &mut Touched) {
        let Some(old) = self.held.remove(id) else {
            return;
        };
        self.unindex(&old);
        touched.databases.extend(
            self.wanting
                .near(old.finding.first, old.finding.last, self.twin_gap())
                .filter(|_| offers_twin(&old.finding))
                .cloned(),
        );
        if let Some((twin, _)) = self.twins.remove(id) {
            touched.incidents.extend(self.member_of.get(&twin).cloned());
        }
        self.unhang(id, touched);
        for low in self.hanging.remove(id).unwrap_or_default() {
            self.hangs_on.remove(&low);
            touched.lows.insert(low);
        }
        if let Some(incident) = self.member_of.remove(id) {
            touched.incidents.insert(incident);
        }
    }

    fn unhang(&mut self, low: &str, touched: &mut Touched) {
        let Some((opener, _)) = self.hangs_on.remove(low) else {
            return;
        };
        touched
            .incidents
            .extend(self.member_of.get(&opener).cloned());
        if let Some(lows) = self.hanging.get_mut(&opener) {
            lows.remove(low);
        }
    }

    /// Adds a finding to every index and remembers what lies near.
    pub(super) fn put_in(&mut self, finding: Finding, detected: Timestamp, touched: &mut Touched) {
        let links = links(&finding, &self.settings, &self.sharing);
        for link in &links {
            let Some(index) = self.index.get(&link.key) else {
                continue;
            };
            for id in index.near(finding.first, finding.last, link.gap) {
                let Some(other) = self.held.get(id) else {
                    continue;
                };
                if gap_between(&finding, &other.finding) > link.gap {
                    continue;
                }
                if !opens(&other.finding) {
                    touched.lows.insert(id.clone());
                } else if opens(&finding) {
                    touched.incidents.extend(self.member_of.get(id).cloned());
                }
            }
        }
        if offers_twin(&finding) {
            let near = self
                .wanting
                .near(finding.first, finding.last, self.twin_gap());
            touched.databases.extend(near.cloned());
        }
        // Whom a person put together is one side, whatever ties them.
        if opens(&finding) {
            let side = self.pins.of(&finding.id).map(str::to_owned);
            touched.incidents.extend(side);
        }
        touched.finding(&finding);
        self.hold(Held {
            finding,
            detected,
            links,
        });
    }

    /// Takes every finding of an actor out and in again, after its sharedness changed.
    pub(super) fn relink(&mut self, actor: &Actor, touched: &mut Touched) {
        let ids: Vec<String> = self
            .held
            .values()
            .filter(|held| held.finding.actors.contains(actor))
            .map(|held| held.finding.id.clone())
            .collect();
        for id in ids {
            let Some((finding, detected)) = self
                .held
                .get(&id)
                .map(|held| (held.finding.clone(), held.detected))
            else {
                continue;
            };
            self.take_out(&id, touched);
            self.put_in(finding, detected, touched);
        }
    }

    /// Groups anew what was touched and rebuilds the incidents of it.
    pub(super) fn settle(&mut self, mut touched: Touched) -> Vec<Change> {
        for database in std::mem::take(&mut touched.databases) {
            let old = self.twins.remove(&database);
            let new = self.twin_of(&database);
            let ids = [&old, &new].into_iter().flatten().map(|(id, _)| id);
            for id in ids.chain([&database]) {
                touched.incidents.extend(self.member_of.get(id).cloned());
                if self.held.get(id).is_some_and(|held| opens(&held.finding)) {
                    touched.openers.insert(id.clone());
                }
            }
            if let Some(new) = new {
                self.twins.insert(database, new);
            }
        }
        let before = touched.incidents.clone();
        let mut openers = std::mem::take(&mut touched.openers);
        for incident in &before {
            openers.extend(
                self.members
                    .remove(incident)
                    .unwrap_or_default()
                    .into_keys(),
            );
        }
        openers.retain(|id| self.held.get(id).is_some_and(|held| opens(&held.finding)));
        let mut dirty = self.regroup(&openers);
        let mut low_touched = Touched::default();
        for low in &touched.lows {
            self.hang(low, &mut low_touched);
        }
        dirty.extend(low_touched.incidents);
        self.rebuild(&before, &dirty)
    }

    /// Hangs a low finding on the nearest one that opens.
    fn hang(&mut self, low: &str, touched: &mut Touched) {
        self.unhang(low, touched);
        let Some(held) = self.held.get(low).filter(|held| !opens(&held.finding)) else {
            return;
        };
        let mut best = None;
        for link in &held.links {
            // Rows are looked at each minute, so that who changed one is told of earlier than the change.
            let limit = if link.says_who {
                link.gap
            } else {
                link.gap
                    .min(self.settings.low_seconds.saturating_mul(1_000_000))
            };
            let Some(index) = self.index.get(&link.key) else {
                continue;
            };
            for id in index.near(held.finding.first, held.finding.last, limit) {
                let Some(other) = self.held.get(id).map(|other| &other.finding) else {
                    continue;
                };
                let gap = gap_between(&held.finding, other);
                if !opens(other) || gap > limit {
                    continue;
                }
                let rank = (!link.says_who, gap, other.first, other.id.as_str());
                if best.is_none_or(|(known, _)| rank < known) {
                    best = Some((rank, link));
                }
            }
        }
        let Some(((.., opener), link)) = best else {
            return;
        };
        let (opener, link) = (opener.to_owned(), link.clone());
        touched
            .incidents
            .extend(self.member_of.get(&opener).cloned());
        self.hanging
            .entry(opener.clone())
            .or_default()
            .insert(low.to_owned());
        self.hangs_on.insert(low.to_owned(), (opener, link));
    }

    /// Composes the incidents anew and says what changed.
    fn rebuild(&mut self, before: &BTreeSet<String>, dirty: &BTreeSet<String>) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut ended = Vec::new();
        for id in before.iter().filter(|id| !self.members.contains_key(*id)) {
            if let Some(incident) = self.incidents.remove(id) {
                ended.push(incident);
            }
        }
        for id in dirty {
            let Some(incident) = self.compose(id) else {
                continue;
            };
            let old = self.incidents.insert(id.clone(), incident);
            let was_merged = self.merged.remove(id).is_some();
            match old {
                None if !was_merged => changes.push(Change::Opened(id.clone())),
                Some(old) if self.incidents.get(id) == Some(&old) => {}
                _ => changes.push(Change::Grew(id.clone())),
            }
        }
        for mut incident in ended {
            let into = std::iter::once(&incident.id)
                .chain(incident.findings.iter().map(|joined| &joined.finding))
                .find_map(|finding| self.member_of.get(finding))
                .cloned();
            let from = incident.id.clone();
            incident.state = IncidentState::Merged;
            self.merged.insert(from.clone(), incident);
            changes.push(match into {
                Some(into) => Change::Merged { into, from },
                // Its only findings were taken back by replacements too low to open it.
                None => Change::Grew(from),
            });
        }
        changes
    }

    fn compose(&self, id: &str) -> Option<Incident> {
        let group = self.members.get(id)?;
        let mut members = Vec::with_capacity(group.len());
        for (finding, because) in group {
            let Some(held) = self.held.get(finding) else {
                continue;
            };
            members.push(Member {
                finding: &held.finding,
                detected: held.detected,
                because,
                names: true,
                opens: true,
            });
            for low in self.hanging.get(finding).into_iter().flatten() {
                let (Some(held), Some((_, link))) = (self.held.get(low), self.hangs_on.get(low))
                else {
                    continue;
                };
                members.push(Member {
                    finding: &held.finding,
                    detected: held.detected,
                    because: &link.because,
                    names: link.says_who,
                    opens: false,
                });
            }
        }
        let shared = |actor: &Actor| self.sharing.is_shared(actor, &self.settings);
        let mut incident = compose(
            id,
            members,
            &shared,
            self.settings.low_seconds,
            &self.projector,
        )?;
        incident.related = self.related(id, group);
        incident.related.extend(self.related_at_rest(id));
        Some(incident)
    }
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod pins_tests;

#[cfg(test)]
#[path = "grouper_tests.rs"]
pub(crate) mod tests;

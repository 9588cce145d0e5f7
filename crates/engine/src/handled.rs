//! What people decide, folded beside what the rules found: the judge's other half.
//!
//! A decision is looked at once more before it is sealed, since two people may have decided at once;
//! sealed, it is law, and folding it again asks nothing.

use std::collections::BTreeMap;

use incident::handling::{Refusal, check};
use model::{Act, Decision, Handling, Incident, IncidentState, Level, Sequence};

use crate::content::flows;
use crate::desk::Brief;
use crate::judge::{Judge, note_change};

impl Judge {
    /// Whether a decision may be sealed, as things stand.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with what to do instead.
    pub fn may(&self, decision: &Decision) -> Result<(), Refusal> {
        let id = || decision.incident.clone();
        let Some(incident) = self.incident(&decision.incident) else {
            return Err(Refusal::NotThere {
                what: "incident",
                id: id(),
            });
        };
        let untouched = Handling::default();
        let handling = self.handlings.get(&decision.incident).unwrap_or(&untouched);
        let other = |id: &str| Some(state_of(self.incident(id)?, self.handlings.get(id)));
        check(incident, handling, flows(), decision, &other)?;
        if let Act::Split { findings } = &decision.act {
            // Without one that opens an incident, there would be none; and the first gives this one its name.
            let opens = |id: &String| {
                self.finding(id)
                    .is_some_and(|finding| finding.level >= Level::Medium)
            };
            if findings.contains(&incident.id) || !findings.iter().any(opens) {
                let what = "split off findings of level medium or above, and not the first one, which names this incident";
                return Err(Refusal::Unfit {
                    what: what.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The entry of a decision that is sealed already.
    #[must_use]
    pub fn sealed_as(&self, decision: &Decision) -> Option<Sequence> {
        let taken = &self.handlings.get(&decision.incident)?.taken;
        let same = taken
            .iter()
            .rev()
            .find(|taken| taken.decision.id == decision.id);
        same.map(|taken| taken.sequence)
    }

    /// Takes a decision that is sealed.
    pub fn decide(&mut self, decision: &Decision, sequence: Sequence) {
        let handling = self.handlings.entry(decision.incident.clone()).or_default();
        handling.take(sequence, decision.clone());
        let is_over = handling.state.is_over();
        let members = self.members(&decision.incident);
        let mut pins = Vec::new();
        match &decision.act {
            Act::Merge { into } => {
                let over = self
                    .handlings
                    .get(into)
                    .is_some_and(|handling| handling.state.is_over());
                let mut all = self.members(into);
                all.extend(members);
                pins.push((into.clone(), all, over));
            }
            Act::Split { findings } => {
                let rest: Vec<String> = members
                    .into_iter()
                    .filter(|id| !findings.contains(id))
                    .collect();
                pins.push((decision.incident.clone(), rest, is_over));
                if let Some(id) = self.name_of(findings) {
                    pins.push((id, findings.clone(), false));
                }
            }
            _ => pins.push((decision.incident.clone(), members, is_over)),
        }
        for (id, findings, is_over) in pins {
            for change in self.grouper.pin(&id, &findings, decision.at, is_over) {
                note_change(&mut self.changed, change);
            }
            self.changed.insert(id);
        }
    }

    /// Takes how an incident was handled, as the state tells it, before any finding is restored.
    ///
    /// `incidents` are the known ones that don't rest: what is in them by people's decisions stays in them.
    pub fn restore_handlings(
        &mut self,
        handlings: BTreeMap<String, Handling>,
        incidents: &BTreeMap<String, Incident>,
    ) {
        for (id, handling) in &handlings {
            let Some(first) = handling.taken.first() else {
                continue;
            };
            let since = handling
                .reached
                .get(&IncidentState::Reopened)
                .map_or(first.decision.at, |at| (*at).max(first.decision.at));
            let others = handling
                .taken
                .iter()
                .filter_map(|taken| match &taken.decision.act {
                    Act::Split { findings } => {
                        let is_known =
                            |id: &&String| incidents.contains_key(*id) || self.grouper.rests(id);
                        let name = findings.iter().find(is_known)?;
                        Some((name.clone(), taken.decision.at))
                    }
                    Act::Merge { into } => Some((into.clone(), taken.decision.at)),
                    _ => None,
                });
            let own = std::iter::once((id.clone(), since));
            for (id, since) in own.chain(others).collect::<Vec<_>>() {
                let findings: Vec<String> = match incidents.get(&id) {
                    Some(known) if known.state != IncidentState::Merged => known
                        .findings
                        .iter()
                        .map(|joined| joined.finding.clone())
                        .collect(),
                    // Its findings are put back when it wakes.
                    None if self.grouper.rests(&id) => Vec::new(),
                    _ => continue,
                };
                let is_over = handlings
                    .get(&id)
                    .is_some_and(|handling| handling.state.is_over());
                drop(self.grouper.pin(&id, &findings, since, is_over));
            }
        }
        self.handlings = handlings;
    }

    /// How incidents are handled, by id.
    #[must_use]
    pub fn handlings(&self) -> &BTreeMap<String, Handling> {
        &self.handlings
    }

    fn members(&self, id: &str) -> Vec<String> {
        let joined = self
            .incident(id)
            .into_iter()
            .flat_map(|incident| &incident.findings);
        joined.map(|joined| joined.finding.clone()).collect()
    }

    /// The incident that findings make by themselves: that of the first that opens one.
    fn name_of(&self, findings: &[String]) -> Option<String> {
        let known = findings.iter().filter_map(|id| self.finding(id));
        let opens = known.filter(|finding| finding.level >= Level::Medium);
        opens
            .min_by_key(|finding| (finding.first, &finding.id))
            .map(|finding| finding.id.clone())
    }
}

/// What the machine says of an incident, whole or in brief, that people may say otherwise.
pub trait Weighed {
    /// Of its life.
    fn state(&self) -> IncidentState;
    /// Of its severity.
    fn severity(&self) -> Level;
    /// Below this no person may set it.
    fn severity_floor(&self) -> Level;
}

impl Weighed for Incident {
    fn state(&self) -> IncidentState {
        self.state
    }
    fn severity(&self) -> Level {
        self.severity
    }
    fn severity_floor(&self) -> Level {
        self.severity_floor
    }
}

impl Weighed for Brief {
    fn state(&self) -> IncidentState {
        self.state
    }
    fn severity(&self) -> Level {
        self.severity
    }
    fn severity_floor(&self) -> Level {
        self.severity_floor
    }
}

/// Where an incident is in its life: what people say, unless the machine merged it before anybody did.
#[must_use]
pub fn state_of(incident: &impl Weighed, handling: Option<&Handling>) -> IncidentState {
    match handling {
        Some(handling) if incident.state() != IncidentState::Merged => handling.state,
        _ => incident.state(),
    }
}

/// Its severity: a person's, unless what was found since weighs more.
#[must_use]
pub fn severity_of(incident: &impl Weighed, handling: Option<&Handling>) -> Level {
    match handling.and_then(|handling| handling.severity) {
        // Found since, and weighs more than what the person decided on.
        Some((level, told)) if incident.severity() > told => level.max(incident.severity()),
        Some((level, _)) => level.max(incident.severity_floor()),
        None => incident.severity(),
    }
}

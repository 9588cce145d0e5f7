//! What one person sees of the desk: the only way pages, the API and events have to it.
//!
//! Default deny: what lies in a place that the person's roles don't cover isn't there for them – not in
//! lists, not by its address, not as a number. An incident is seen whole or not at all: of one that
//! touches several stores, a person for one of them would otherwise read about the others.

use std::cmp::Reverse;
use std::sync::Arc;

use model::{
    Finding, Handling, Incident, IncidentState, Level, Person, Principal, Right, Scope, StoreMap,
    Timestamp,
};

use super::{Brief, Desk, EntryView, Figures, GapView, Overview, SourceView};
use crate::evidence::{self, Listed, Search};
use crate::handled::{Weighed, severity_of, state_of};
use crate::inventory::List;
use crate::ledger::LedgerError;
use crate::pause::Held;
use crate::rulebook::RuleBook;
use crate::zone::Zone;

/// Incidents of long ago that are read for one page, and their findings.
const OLD_INCIDENTS_MAX: usize = 20;
const OLD_FINDINGS_MAX: usize = 500;

/// An incident and how it is handled.
#[derive(Debug)]
pub struct Work<I = Brief> {
    /// What the machine tells: whole, or in brief in lists.
    pub incident: Arc<I>,
    /// What people decided.
    pub handling: Arc<Handling>,
    /// Where it is in its life.
    pub state: IncidentState,
    /// Its severity, a person's where one set it.
    pub severity: Level,
}

impl<I> Clone for Work<I> {
    fn clone(&self) -> Self {
        Self {
            incident: Arc::clone(&self.incident),
            handling: Arc::clone(&self.handling),
            ..*self
        }
    }
}

/// One person's view. Clones share the desk.
#[derive(Clone)]
pub struct Sight {
    pub(super) desk: Desk,
    principal: Arc<Principal>,
    stores: Arc<StoreMap>,
    zone: Zone,
}

impl Sight {
    /// What `principal` sees.
    #[must_use]
    pub fn new(desk: Desk, principal: Principal, stores: Arc<StoreMap>) -> Self {
        let principal = Arc::new(principal);
        Self {
            desk,
            principal,
            stores,
            zone: Zone::default(),
        }
    }

    /// The same, told times in a zone.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// In which they are told times.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whose it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// As decisions and readings name them.
    #[must_use]
    pub fn person(&self) -> Person {
        Person {
            account: self.principal.account.clone(),
            name: self.principal.shown.clone(),
        }
    }

    /// The shop's stores.
    #[must_use]
    pub fn stores(&self) -> &StoreMap {
        &self.stores
    }

    /// Whether they may do something with what lies there.
    #[must_use]
    pub fn may(&self, right: Right, scopes: &[Scope]) -> bool {
        self.principal.may(right, scopes, &self.stores)
    }

    /// Whether there are things they don't see.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        !self.principal.may_all(Right::SeeIncidents)
    }

    fn work<I: Weighed>(&self, incident: Arc<I>, id: &str, scopes: &[Scope]) -> Option<Work<I>> {
        if !self.principal.sees(scopes, &self.stores) {
            return None;
        }
        let handling = self.desk.handling(id);
        Some(Work {
            state: state_of(&*incident, Some(&handling)),
            severity: severity_of(&*incident, Some(&handling)),
            handling,
            incident,
        })
    }

    fn brief(&self, brief: &Arc<Brief>) -> Option<Work> {
        self.work(Arc::clone(brief), &brief.id, &brief.scopes)
    }

    /// Incidents that go on, as [`Desk::incidents`] has them in order.
    #[must_use]
    pub fn incidents(&self) -> Arc<[Work]> {
        let all = self.desk.incidents();
        if !self.is_narrow() {
            return all;
        }
        let sees = |work: &&Work| self.principal.sees(&work.incident.scopes, &self.stores);
        all.iter().filter(sees).cloned().collect()
    }

    /// What is said of the incidents they see that somebody has to work on.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        if self.is_narrow() {
            return Arc::new(Figures::of(&self.incidents()));
        }
        self.desk.figures()
    }

    /// Whether an incident they see is of an exercise.
    #[must_use]
    pub fn has_exercise(&self) -> bool {
        self.desk
            .any_exercise(|incident| self.principal.sees(&incident.scopes, &self.stores))
    }

    /// One incident, those that went into others too.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<Work<Incident>> {
        let incident = self.desk.incident(id)?;
        self.work(Arc::clone(&incident), &incident.id, &incident.scopes)
    }

    /// One incident in brief, as lists have it.
    #[must_use]
    pub fn in_brief(&self, id: &str) -> Option<Work> {
        self.brief(&self.desk.in_brief(id)?)
    }

    /// Incidents they watch or lead, and see.
    #[must_use]
    pub fn followed(&self) -> Vec<Work> {
        let followed = self.desk.followed_by(&self.principal.account).into_iter();
        followed.filter_map(|brief| self.brief(&brief)).collect()
    }

    /// The incident a finding is in.
    #[must_use]
    pub fn incident_of(&self, finding: &str) -> Option<Work> {
        self.brief(&self.desk.incident_of(finding)?)
    }

    /// One finding of an incident they see.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<Arc<Finding>> {
        let finding = self.desk.finding(id)?;
        let is_seen = match self.desk.incident_of(id) {
            Some(incident) => self.principal.sees(&incident.scopes, &self.stores),
            None => self
                .principal
                .sees(std::slice::from_ref(&finding.scope), &self.stores),
        };
        is_seen.then_some(finding)
    }

    /// Findings of the last days with the incidents they are in: those of incidents they see, and those in none at places they see.
    #[must_use]
    pub fn findings(&self) -> Vec<(Arc<Finding>, Option<Arc<Brief>>)> {
        let mut all = self.desk.findings();
        if self.is_narrow() {
            all.retain(|(finding, incident)| {
                let scopes = match incident {
                    Some(incident) => &*incident.scopes,
                    None => std::slice::from_ref(&finding.scope),
                };
                self.principal.sees(scopes, &self.stores)
            });
        }
        all
    }

    /// Findings of the newest incidents of long ago that are such ones. Reads files.
    #[must_use]
    pub fn findings_at_rest(
        &self,
        is_such: impl Fn(&Brief) -> bool,
    ) -> Vec<(Arc<Finding>, Option<Arc<Brief>>)> {
        let all = self.incidents();
        let mut old: Vec<Arc<Brief>> = all
            .iter()
            .map(|work| &work.incident)
            .filter(|brief| is_such(brief) && self.desk.rests(&brief.id))
            .cloned()
            .collect();
        old.sort_by_key(|brief| Reverse(brief.last));
        let incidents = old.into_iter().take(OLD_INCIDENTS_MAX);
        let findings = incidents.flat_map(|brief| {
            let joined = self.desk.incident(&brief.id);
            let joined = joined
                .map(|incident| incident.findings.clone())
                .unwrap_or_default();
            joined
                .into_iter()
                .map(move |joined| (joined.finding, Arc::clone(&brief)))
        });
        let read = |(id, brief): (String, Arc<Brief>)| Some((self.desk.finding(&id)?, Some(brief)));
        findings.take(OLD_FINDINGS_MAX).filter_map(read).collect()
    }

    /// One sealed entry, masked as it is. Whoever shows it notes that it was read.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Option<EntryView> {
        // Nobody waits for a disk to be told that they may not.
        if !self.principal.may_somewhere(Right::SeeEvidence) {
            return None;
        }
        let entry = self.desk.entry(sequence)?;
        let place = entry
            .understood
            .as_ref()
            .map_or(Scope::Unknown, |understood| understood.place.clone());
        self.may(Right::SeeEvidence, &[place]).then_some(entry)
    }

    /// Sealed entries as lists tell them: those whose place they may see evidence of. Reads files.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when they can't be read.
    pub fn entries(&self, search: &Search) -> Result<Listed, LedgerError> {
        if !self.principal.may_somewhere(Right::SeeEvidence) {
            return Ok(Listed::default());
        }
        if self.principal.may_all(Right::SeeEvidence) {
            return self.desk.entries(search);
        }
        // The index is asked for their places alone: how much there is elsewhere isn't told by what a search takes.
        let mut search = search.clone();
        let may = |place: &Scope| self.may(Right::SeeEvidence, std::slice::from_ref(place));
        if search.places.is_empty() {
            search.places = evidence::places(&self.stores).collect();
        }
        search.places.retain(may);
        if search.places.is_empty() {
            return Ok(Listed::default());
        }
        let mut listed = self.desk.entries(&search)?;
        listed.lines.retain(|line| may(&line.place));
        Ok(listed)
    }

    /// The rules that are judged by: of everybody who sees incidents, since findings are explained by them.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleBook> {
        self.desk.rules()
    }

    /// Who the merchant is, by which an incident's duties are told.
    #[must_use]
    pub fn merchant(&self) -> Arc<incident::EntityProfile> {
        self.desk.merchant()
    }

    /// What time it is: `now` where the console has a clock, else as far as counters tell.
    pub(super) fn clock(&self, now: Timestamp) -> Option<Timestamp> {
        let now = Some(now).filter(|now| *now != Timestamp::default());
        now.or_else(|| self.desk.overview().map(|overview| overview.now))
    }

    /// The same; the zero where nothing tells it.
    #[must_use]
    pub fn time(&self, now: Timestamp) -> Timestamp {
        self.clock(now).unwrap_or_default()
    }

    fn sees_sources(&self) -> bool {
        self.principal.may_all(Right::SeeSources)
    }

    /// Every source; none for whoever sees a part of the installation, since each reads for all of it.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceView> {
        if self.sees_sources() {
            self.desk.sources()
        } else {
            Vec::new()
        }
    }

    /// Pauses of sources that go on, as of sources. `now` where the console has a clock, else the zero.
    #[must_use]
    pub fn pauses(&self, now: Timestamp) -> Vec<Held> {
        let mut all = match self.sees_sources() {
            true => self.desk.pauses(),
            false => Vec::new(),
        };
        all.retain(|held| held.holds(now));
        all
    }

    /// Every gap, as of sources.
    #[must_use]
    pub fn gaps(&self) -> Vec<GapView> {
        if self.sees_sources() {
            self.desk.gaps()
        } else {
            Vec::new()
        }
    }

    /// Lists of what is there, as of sources.
    #[must_use]
    pub fn lists(&self) -> std::collections::BTreeMap<model::SourceId, Arc<List>> {
        if self.sees_sources() {
            self.desk.lists()
        } else {
            Default::default()
        }
    }

    /// The counters, once there are any; they count everything, so only for whoever sees everything.
    #[must_use]
    pub fn overview(&self) -> Option<Overview> {
        self.desk.overview().filter(|_| !self.is_narrow())
    }

    /// Whether an incident they see changed after a version of the desk.
    #[must_use]
    pub fn has_changes(&self, after: u64) -> bool {
        match self.desk.changed_since(after) {
            Some(changed) => changed
                .iter()
                .any(|incident| self.principal.sees(&incident.scopes, &self.stores)),
            None => true,
        }
    }

    /// Incidents they see that changed after a version of the desk; all of them when that is too long ago to tell.
    #[must_use]
    pub fn changed_since(&self, after: u64) -> Vec<Work> {
        match self.desk.changed_since(after) {
            Some(changed) => changed
                .into_iter()
                .filter_map(|brief| self.brief(&brief))
                .collect(),
            None => self.incidents().to_vec(),
        }
    }

    /// Changes with every piece of news, seen or not: ask [`Self::has_changes`].
    #[must_use]
    pub fn version(&self) -> tokio::sync::watch::Receiver<u64> {
        self.desk.version()
    }
}

#[cfg(test)]
mod tests {
    use super::Sight;
    use crate::desk::{Desk, Update};
    use model::{
        Exposure, Grant, Incident, IncidentState, Lane, Level, Principal, Role, Scope, StoreMap,
        Timestamp, Via, ViewPlace,
    };
    use std::sync::Arc;

    fn incident(id: &str, scopes: &[Scope]) -> Incident {
        Incident {
            id: id.to_owned(),
            title: String::new(),
            state: IncidentState::Signal,
            lane: Lane::Live,
            severity: Level::High,
            severity_because: Vec::new(),
            severity_floor: Level::Informational,
            first: Timestamp(0),
            last: Timestamp(0),
            detected: Timestamp(0),
            actors: Vec::new(),
            assets: Vec::new(),
            scopes: scopes.to_vec(),
            findings: vec![model::Joined {
                finding: id.to_owned(),
                because: String::new(),
            }],
            exposure: Exposure {
                assets: Vec::new(),
                scopes: Vec::new(),
                first: Timestamp(0),
                last: Timestamp(0),
                rows: None,
                bytes: None,
                channels: Vec::new(),
                basis: Vec::new(),
            },
            obligations: Vec::new(),
            requirements: Vec::new(),
            related: Vec::new(),
        }
    }

    fn sight(desk: &Desk, scope: Scope) -> Sight {
        let place = |website: &str| ViewPlace {
            website: website.to_owned(),
            ..ViewPlace::default()
        };
        let views = [("en", "main"), ("fr", "main"), ("us", "us")];
        let stores = StoreMap {
            views: views
                .map(|(view, website)| (view.to_owned(), place(website)))
                .into(),
            ..StoreMap::default()
        };
        let principal = Principal {
            account: "a".to_owned(),
            name: "ana".to_owned(),
            shown: "Ana".to_owned(),
            grants: vec![Grant {
                role: Role::Analyst,
                scope,
            }],
            via: Via::Session,
        };
        Sight::new(desk.clone(), principal, Arc::new(stores))
    }

    #[test]
    fn whoever_works_for_one_store_sees_nothing_of_another() {
        let desk = Desk::new(Box::new(|_| None));
        let view = |code: &str| Scope::View(code.to_owned());
        desk.publish(Update::Decided {
            findings: Vec::new(),
            incidents: vec![
                incident("fr", &[view("fr")]),
                incident("both", &[view("fr"), view("us")]),
                incident("us", &[view("us")]),
                incident("all", &[Scope::Installation]),
                incident("unknown", &[Scope::Unknown]),
            ],
        });
        let seen = |scope| {
            let sight = sight(&desk, scope);
            let ids: Vec<String> = sight
                .incidents()
                .iter()
                .map(|work| work.incident.id.clone())
                .collect();
            for id in ["fr", "both", "us", "all", "unknown"] {
                let is_seen = ids.iter().any(|seen| seen == id);
                assert_eq!(sight.incident(id).is_some(), is_seen);
                assert_eq!(sight.incident_of(id).is_some(), is_seen);
            }
            ids
        };
        assert_eq!(seen(Scope::Website("main".to_owned())), ["fr"]);
        assert_eq!(seen(view("us")), ["us"]);
        assert_eq!(seen(Scope::Installation).len(), 5);
    }

    #[test]
    fn events_tell_nothing_of_what_is_not_seen() {
        let desk = Desk::new(Box::new(|_| None));
        let us = sight(&desk, Scope::View("us".to_owned()));
        let all = sight(&desk, Scope::Installation);
        let tell = |id: &str| {
            let before = *desk.version().borrow();
            let scopes = [Scope::View(id.to_owned())];
            let (findings, incidents) = (Vec::new(), vec![incident(id, &scopes)]);
            desk.publish(Update::Decided {
                findings,
                incidents,
            });
            (us.has_changes(before), all.has_changes(before))
        };
        assert_eq!(tell("fr"), (false, true));
        assert_eq!(tell("us"), (true, true));
        assert_eq!(tell("fr"), (false, true));
    }
}

//! What one person sees of the desk: the only way pages, the API and events have to it.
//!
//! Default deny: what lies in a place that the person's roles don't cover isn't there for them – not in
//! lists, not by its address, not as a number. An incident is seen whole or not at all: of one that
//! touches several stores, a person for one of them would otherwise read about the others.

use std::sync::Arc;

use model::{Finding, Incident, IncidentState, Level, Principal, Right, Scope, StoreMap};

use super::{Desk, EntryView, GapView, Overview, SourceView};
use crate::inventory::List;

/// An incident as pages list it.
#[derive(Clone, Debug)]
pub struct Work {
    /// What the machine tells.
    pub incident: Arc<Incident>,
    /// Where it is in its life.
    pub state: IncidentState,
    /// Its severity.
    pub severity: Level,
}

/// One person's view. Clones share the desk.
#[derive(Clone)]
pub struct Sight {
    desk: Desk,
    principal: Arc<Principal>,
    stores: Arc<StoreMap>,
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
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
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

    fn work(&self, incident: Arc<Incident>) -> Option<Work> {
        if !self.principal.sees(&incident.scopes, &self.stores) {
            return None;
        }
        Some(Work {
            state: incident.state,
            severity: incident.severity,
            incident,
        })
    }

    /// Incidents that go on, the severest first, then the newest.
    #[must_use]
    pub fn incidents(&self) -> Vec<Work> {
        let all = self.desk.incidents().into_iter();
        all.filter_map(|incident| self.work(incident)).collect()
    }

    /// One incident, those that went into others too.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<Work> {
        self.work(self.desk.incident(id)?)
    }

    /// One finding of a place they see.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<Arc<Finding>> {
        let finding = self.desk.finding(id)?;
        let place = std::slice::from_ref(&finding.scope);
        self.principal.sees(place, &self.stores).then_some(finding)
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

    /// Changes with every piece of news.
    #[must_use]
    pub fn version(&self) -> tokio::sync::watch::Receiver<u64> {
        self.desk.version()
    }
}

//! Runs as the desk has them, and as one person sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Right;

use super::{Desk, Sight};
use crate::containment::{HostSeen, Powers, Standing, powers};

impl Desk {
    /// A run.
    #[must_use]
    pub fn run(&self, id: &str) -> Option<Arc<Standing>> {
        self.state().runs.get(id).map(Arc::clone)
    }

    /// Every run, the newest first.
    #[must_use]
    pub fn runs(&self) -> Vec<Arc<Standing>> {
        self.state().runs.values().rev().map(Arc::clone).collect()
    }

    /// Runs that a host carries out, or is to.
    pub(crate) fn runs_of_host(&self, host: &str) -> Vec<Arc<Standing>> {
        let state = self.state();
        let runs = state.runs.values().filter(|run| run.host == host);
        runs.map(Arc::clone).collect()
    }

    /// Hosts that reported since the start, by name.
    #[must_use]
    pub fn hosts(&self) -> BTreeMap<String, HostSeen> {
        self.state().hosts.clone()
    }
}

impl Sight {
    /// Runs they see, the newest first: those of incidents they see; of none where they see the whole installation.
    #[must_use]
    pub fn runs(&self) -> Vec<Arc<Standing>> {
        let mut all = self.desk.runs();
        all.retain(|run| self.sees_run(run));
        all
    }

    /// One of them.
    #[must_use]
    pub fn run(&self, id: &str) -> Option<Arc<Standing>> {
        self.desk.run(id).filter(|run| self.sees_run(run))
    }

    /// Hosts that reported, for whoever sees an incident anywhere: a plan names one.
    #[must_use]
    pub fn hosts(&self) -> BTreeMap<String, HostSeen> {
        match self.principal().may_somewhere(Right::SeeIncidents) {
            true => self.desk.hosts(),
            false => BTreeMap::new(),
        }
    }

    /// What they may do about a plan.
    #[must_use]
    pub fn powers(&self, plan: &model::Plan) -> Powers {
        powers(self.principal(), plan, self.stores())
    }

    fn sees_run(&self, run: &Standing) -> bool {
        match self.desk.in_brief(&run.incident) {
            Some(incident) => self.principal().sees(&incident.scopes, self.stores()),
            None => self.principal().may_all(Right::SeeIncidents),
        }
    }
}

//! Runs as the desk has them, and as one person sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Right, Scope};

use super::{Desk, Sight};
use crate::containment::{HostSeen, Playbooks, Powers, Standing, powers};

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

    /// The playbooks that plans are made from.
    #[must_use]
    pub fn playbooks(&self) -> Arc<Playbooks> {
        Arc::clone(&self.state().playbooks)
    }

    /// What the settings of containment don't come to, a sentence each.
    fn mode_remarks(&self) -> Vec<String> {
        let state = self.state();
        let (modes, playbooks) = (Arc::clone(&state.modes), Arc::clone(&state.playbooks));
        drop(state);
        modes.remarks(&playbooks)
    }

    /// Hosts that reported since the start, by name.
    #[must_use]
    pub fn hosts(&self) -> BTreeMap<String, HostSeen> {
        self.state().hosts.clone()
    }
}

impl Sight {
    /// The playbooks that plans are made from: they name nothing that happened.
    #[must_use]
    pub fn playbooks(&self) -> Arc<Playbooks> {
        self.desk.playbooks()
    }

    /// What the settings of containment don't come to, a sentence each: they name playbooks alone.
    #[must_use]
    pub fn mode_remarks(&self) -> Vec<String> {
        self.desk.mode_remarks()
    }

    /// Runs they see, the newest first: those of incidents they see; of none where they see the whole installation.
    #[must_use]
    pub fn runs(&self) -> Vec<Arc<Standing>> {
        let mut all = self.desk.runs();
        all.retain(|run| self.sees_run(run));
        all.into_iter().map(|run| self.narrowed(run)).collect()
    }

    /// Those of one incident.
    #[must_use]
    pub fn runs_of(&self, incident: &str) -> Vec<Arc<Standing>> {
        let mut all = self.desk.runs();
        all.retain(|run| run.incident == incident && self.sees_run(run));
        all.into_iter().map(|run| self.narrowed(run)).collect()
    }

    /// One of them.
    #[must_use]
    pub fn run(&self, id: &str) -> Option<Arc<Standing>> {
        let run = self.desk.run(id).filter(|run| self.sees_run(run))?;
        Some(self.narrowed(run))
    }

    /// Hosts that reported, for whoever sees an incident anywhere: a plan names one. Of what stores sold, that of theirs.
    #[must_use]
    pub fn hosts(&self) -> BTreeMap<String, HostSeen> {
        if !self.principal().may_somewhere(Right::SeeIncidents) {
            return BTreeMap::new();
        }
        let mut hosts = self.desk.hosts();
        for sales in hosts.values_mut().filter_map(|host| host.sales.as_mut()) {
            sales.views.retain(|view, _| self.sees_view(view));
            sales.revenue.retain(|view, _| self.sees_view(view));
        }
        hosts
    }

    fn sees_view(&self, view: &str) -> bool {
        let place = [Scope::View(view.to_owned())];
        self.principal().sees(&place, self.stores())
    }

    /// The run without the names of views they don't see: what the guard says of those is said of another store.
    fn narrowed(&self, run: Arc<Standing>) -> Arc<Standing> {
        if !self.is_narrow() {
            return run;
        }
        let mut own = Standing::clone(&run);
        for step in own.carried.iter_mut().flat_map(|run| &mut run.steps) {
            let Some(guarded) = &mut step.guarded else {
                continue;
            };
            let mut others = 0;
            let told = std::mem::take(guarded).into_iter().map(|(view, verdict)| {
                if self.sees_view(&view) {
                    return (view, verdict);
                }
                others += 1;
                (format!("another store ({others})"), verdict)
            });
            *guarded = told.collect();
        }
        Arc::new(own)
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

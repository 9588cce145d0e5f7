//! What other runs of this host have to do with a step: two never do the same thing, and none is undone below another.

use std::sync::Arc;

use model::{Layer, Work};
use playbook::{Run, StepState};
use responders::Effect;

use super::carry::{Carrier, Doing};
use super::error::CarryError;

impl Carrier<'_> {
    /// Another run that holds what a step would do, as the world shows it: what came back since is done anew.
    ///
    /// What keeps evidence is never left to another, for that kept it as it was then; nor is what is made anew (connections, cached
    /// pages), for it has been since.
    pub(super) fn held_by(&self, step: usize, doing: &Doing) -> Result<Option<String>, CarryError> {
        let facts = doing.action.facts();
        if facts.layer == Layer::Evidence || facts.undo.is_made_anew() {
            return Ok(None);
        }
        for (run, at) in self.others(step)? {
            let kept = run.steps.get(at).and_then(|one| one.kept.as_deref());
            let kept = kept.filter(|_| run.may_hold(at) && !run.is_closed);
            let Some(kept) = kept.and_then(|name| self.vault.get(&run.id, name).ok()) else {
                continue;
            };
            let effect = doing.action.read_back(self.host, &doing.arguments, &kept);
            if matches!(effect, Ok(Effect::InEffect)) {
                return Ok(Some(run.id.clone()));
            }
        }
        Ok(None)
    }

    /// Another run that leaves it to this one, and isn't to be undone itself.
    pub(super) fn relied_on_by(&self, step: usize) -> Result<Option<String>, CarryError> {
        let id = self.run().id.clone();
        let relies = |(run, at): &(Arc<Run>, usize)| {
            let state = run.steps.get(*at).map(|one| &one.state);
            !run.is_closed
                && run.undo.is_none()
                && matches!(state, Some(StepState::Relies(on)) if *on == id)
        };
        let others = self.others(step)?;
        Ok(others
            .into_iter()
            .find(relies)
            .map(|(run, _)| run.id.clone()))
    }

    /// Every step of other runs of this host that does the same.
    fn others(&self, step: usize) -> Result<Vec<(Arc<Run>, usize)>, CarryError> {
        let this = self.run();
        let Some(Work::Action {
            action, arguments, ..
        }) = this.planned(step).map(|one| &one.work)
        else {
            return Ok(Vec::new());
        };
        let same = |work: &Work| {
            matches!(work, Work::Action { action: other, arguments: given, .. }
            if other == action && given == arguments)
        };
        // One that can't be read doesn't stop this one: whoever lists them tells of it, and every action is idempotent.
        let (runs, _) = self.place.runs()?;
        let mut out = Vec::new();
        for run in runs.into_iter().filter(|run| run.id != this.id) {
            let steps = run.plan.steps.iter().enumerate();
            let at: Vec<usize> = steps
                .filter(|(_, other)| same(&other.work))
                .map(|(at, _)| at)
                .collect();
            out.extend(at.into_iter().map(|at| (Arc::clone(&run), at)));
        }
        Ok(out)
    }
}

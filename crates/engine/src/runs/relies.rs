//! What other runs of this host have to do with a step: two never do the same thing, and none is undone below another.

use model::{Layer, Work};
use playbook::{Run, StepState};

use super::carry::{Carrier, CarryError};
use super::journal::list;

impl Carrier<'_> {
    /// Another run that holds what a step would do. What keeps evidence is never left to another: that kept it as it was then.
    pub(super) fn held_by(&self, step: usize) -> Result<Option<String>, CarryError> {
        let planned = self.run().planned(step).map(|one| &one.work);
        if matches!(planned, Some(Work::Action { layer, .. }) if *layer == Layer::Evidence) {
            return Ok(None);
        }
        self.other(step, |run, at| run.may_hold(at))
    }

    /// Another run that leaves it to this one.
    pub(super) fn relied_on_by(&self, step: usize) -> Result<Option<String>, CarryError> {
        let id = self.run().id.clone();
        self.other(step, |run, at| {
            let state = run.steps.get(at).map(|one| &one.state);
            !run.is_closed && matches!(state, Some(StepState::Relies(on)) if *on == id)
        })
    }

    fn other(
        &self,
        step: usize,
        is: impl Fn(&Run, usize) -> bool,
    ) -> Result<Option<String>, CarryError> {
        let this = self.run();
        let Some(Work::Action {
            action, arguments, ..
        }) = this.planned(step).map(|one| &one.work)
        else {
            return Ok(None);
        };
        let same = |work: &Work| {
            matches!(work, Work::Action { action: other, arguments: given, .. }
            if other == action && given == arguments)
        };
        // One that can't be read doesn't stop this one: `list` tells of it, and every action is idempotent.
        let (runs, _) = list(&self.place.journals())?;
        let found = runs.iter().filter(|run| run.id != this.id).find(|run| {
            let mut steps = run.plan.steps.iter().enumerate();
            steps.any(|(at, other)| same(&other.work) && is(run, at))
        });
        Ok(found.map(|run| run.id.clone()))
    }
}

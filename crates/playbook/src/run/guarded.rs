//! What the guard says of the stores that a step isn't for, and what follows from it.
//!
//! Nothing is undone by itself: a step that a store suffers from holds, nothing goes forward past it, and a person decides.

use std::collections::BTreeMap;

use model::{Layer, UnknownWhy, Verdict, Work};

use super::{Run, RunStep, StepState};

impl Run {
    /// Steps of which the guard has yet to say whether other stores suffer: done by us, or undone before it was said.
    pub fn unguarded(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(|step| {
            let is_under_way = self.is_at(*step, &[StepState::UndoIntended]);
            !self.is_closed && self.has_others(*step) && !is_under_way && self.may_be_guarded(*step)
        })
    }

    /// Whether a step does something to the shop and there are stores that it isn't for: one that reaches everybody has none.
    #[must_use]
    pub fn has_others(&self, step: usize) -> bool {
        let work = self.planned(step).map(|one| &one.work);
        self.acts(step)
            && matches!(work, Some(Work::Action { touched, .. }) if !touched.is_everything)
    }

    /// Whether the guard's word of a step may follow: it is done, or was before somebody asked to undo it.
    pub(super) fn may_be_guarded(&self, step: usize) -> bool {
        let Some(one) = self.steps.get(step) else {
            return false;
        };
        let is_done = matches!(
            one.state,
            StepState::Done
                | StepState::UndoIntended
                | StepState::UndoFailed { .. }
                | StepState::Undone { .. }
        );
        is_done && one.guarded.is_none() && !one.by_hand && self.acts(step)
    }

    /// Whether a step of ours does something to the shop: it keeps no evidence.
    fn acts(&self, step: usize) -> bool {
        let planned = self.planned(step);
        planned.is_some_and(
            |one| matches!(&one.work, Work::Action { layer, .. } if *layer != Layer::Evidence),
        )
    }

    /// Whether another store suffers from a step that may hold, and nobody said that it is to hold.
    pub(super) fn suffers(&self, step: usize) -> bool {
        let one = self.steps.get(step);
        self.may_hold(step) && one.is_some_and(|one| !one.heeded && one.broken().next().is_some())
    }
}

impl RunStep {
    /// The views that sold before it and don't after it, each with where and why.
    pub fn broken(&self) -> impl Iterator<Item = (&str, String)> {
        let all = self.guarded.iter().flatten();
        all.filter_map(|(view, verdict)| match verdict {
            Verdict::Broken { stage, why } => {
                Some((view.as_str(), format!("at {}: {why}", stage.name())))
            }
            Verdict::Fine | Verdict::WasBroken | Verdict::Unknown { .. } => None,
        })
    }

    /// Which stores suffer from it, as a sentence's end; empty when none does.
    #[must_use]
    pub fn broken_words(&self) -> String {
        let each = self
            .broken()
            .map(|(view, place)| format!("the view {view} no longer sells ({place})"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// What the guard says of the other stores, in words that may hold what a host wrote; empty before it looked.
    #[must_use]
    pub fn guard_words(&self) -> String {
        let of = self.guarded.as_ref().map(in_words).unwrap_or_default();
        match (of.as_str(), self.heeded) {
            ("", _) | (_, false) => of,
            (_, true) => format!("{of}; it holds because a person says so"),
        }
    }
}

fn in_words(verdicts: &BTreeMap<String, Verdict>) -> String {
    let each = verdicts.iter().map(|(view, verdict)| match verdict {
        Verdict::Fine => format!("{view} still sells"),
        Verdict::Broken { stage, why } => {
            format!("{view}: broken at {} since this step: {why}", stage.name())
        }
        Verdict::WasBroken => format!("{view}: broken already before this step"),
        Verdict::Unknown { why } => format!("{view}: not known, since {}", since(*why)),
    });
    each.collect::<Vec<_>>().join("; ")
}

const fn since(why: UnknownWhy) -> &'static str {
    match why {
        UnknownWhy::Overload => "it fails as under load",
        UnknownWhy::Passive => "it wants to see a person",
        UnknownWhy::Before => "it isn't known how it was before",
        UnknownWhy::After => "it wasn't looked at in time afterwards",
        UnknownWhy::Scope => "how far the step reaches isn't known",
        UnknownWhy::Orders => "its orders stopped coming, though the way to the payment is open",
    }
}

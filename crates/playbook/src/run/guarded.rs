//! What the guard says of the stores that a step isn't to close, and what follows from it.
//!
//! A step that a store suffers from holds, nothing goes forward past it, and a person decides. Where the plan says so, it is undone
//! instead – once another step has taken the cause away, so that undoing it opens nothing, and by [`Run::unwinds`] alone. Invariant: a step
//! that acts on the cause is never undone without a person.

use std::collections::{BTreeMap, BTreeSet};

use model::{Layer, OnBreach, Stops, Timestamp, Touched, UnknownWhy, Verdict, WalkStage, Work};

use super::{Run, RunStep, StepState, Turn, Wait};

impl Run {
    /// Steps of which the guard has yet to say whether other stores suffer: done by us, or undone before it was said, or undone because
    /// of what it said.
    pub fn unguarded(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(|step| {
            let is_under_way = self.is_at(*step, &[StepState::UndoIntended]);
            !self.is_closed && self.has_others(*step) && !is_under_way && self.may_be_guarded(*step)
        })
    }

    /// Whom a step is meant to keep from buying while it holds; nothing where a person does it.
    #[must_use]
    pub fn closed_by(&self, step: usize) -> Option<Touched> {
        match &self.planned(step)?.work {
            Work::Action {
                closes: true,
                touched,
                ..
            } => Some(touched.clone()),
            Work::Action { .. } => Some(Touched::default()),
            Work::Person { .. } => None,
        }
    }

    /// Whether a step does something to the shop and there are stores that it isn't to close.
    #[must_use]
    pub fn has_others(&self, step: usize) -> bool {
        let closed = self.closed_by(step);
        self.acts(step) && closed.is_some_and(|closed| !closed.is_everything)
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
        let is_said = match &one.unwound {
            Some(unwound) if self.is_unwound(step) => unwound.after.is_some(),
            _ => one.guarded.is_some(),
        };
        is_done && !is_said && !one.by_hand && self.acts(step)
    }

    /// Takes what is said of a step.
    pub(super) fn say(&mut self, step: usize, verdicts: &BTreeMap<String, Verdict>) {
        let is_after = self.is_unwound(step);
        let Some(one) = self.steps.get_mut(step) else {
            return;
        };
        match &mut one.unwound {
            Some(unwound) if is_after => unwound.after = Some(verdicts.clone()),
            _ => {
                one.guarded = Some(verdicts.clone());
                return;
            }
        }
        // What sells again since this one is undone didn't suffer from another that still holds.
        let sells = verdicts.iter().filter(|(_, said)| **said == Verdict::Fine);
        let sells: Vec<_> = sells.map(|(view, _)| view.clone()).collect();
        for (at, other) in self.steps.iter_mut().enumerate() {
            let suffered: Vec<_> = other.broken().map(|(view, _)| view.to_owned()).collect();
            let sells = suffered.into_iter().filter(|view| sells.contains(view));
            if at != step {
                other.cleared.extend(sells);
            }
        }
    }

    /// A person lets a step hold although stores suffer: whichever step it is that they suffer from.
    pub(super) fn heed(&mut self, step: usize, note: &str) {
        let Some(one) = self.steps.get_mut(step) else {
            return;
        };
        note.clone_into(&mut one.note);
        let suffer: BTreeSet<_> = one.broken().map(|(view, _)| view.to_owned()).collect();
        for other in &mut self.steps {
            let broken: Vec<_> = other.broken().map(|(view, _)| view).collect();
            let is_known = !broken.is_empty() && broken.iter().all(|view| suffer.contains(*view));
            other.heeded |= is_known;
        }
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

    /// Of the steps that a store suffers from, as far as is known, the one that is doubted first: one that may be undone without a
    /// person, then what was done last.
    pub(super) fn doubted(&self) -> Option<usize> {
        let suffer = (0..self.steps.len()).filter(|step| self.suffers(*step));
        suffer.max_by_key(|step| (self.on_breach(*step) == OnBreach::Undo, *step))
    }

    /// Whether the guard had a step undone.
    pub(super) fn is_unwound(&self, step: usize) -> bool {
        self.steps.get(step).is_some_and(|one| {
            one.unwound.is_some() && matches!(one.state, StepState::Undone { .. })
        })
    }

    fn on_breach(&self, step: usize) -> OnBreach {
        self.planned(step)
            .map(|one| one.on_breach)
            .unwrap_or_default()
    }

    /// Whether a step that a store suffers from holds until what is ahead has taken the cause away: only then it may be undone.
    pub(super) fn is_first_contained(&self, step: usize, ahead: &Turn) -> bool {
        let goes_on = matches!(
            ahead,
            Turn::Survey(_) | Turn::Keep(_) | Turn::Act(_) | Turn::Settle(_) | Turn::Skip(..)
        );
        let open = [StepState::Waiting, StepState::Surveyed, StepState::Intended];
        let mut causes = self.other_causes(step);
        goes_on
            && self.on_breach(step) == OnBreach::Undo
            && causes.any(|one| self.is_at(one, &open))
    }

    fn other_causes(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(move |other| {
            let planned = self.planned(*other);
            *other != step && planned.is_some_and(|one| one.stops == Stops::Contains)
        })
    }

    /// Since when a step that a store suffers from may be undone without a person: the plan says so, the step gains time only, and every step
    /// that acts on the cause is done, or isn't to be. Nothing where a person decides. That nothing leaks since then is for who asks to
    /// find out.
    #[must_use]
    pub fn unwinds(&self, step: usize) -> Option<Timestamp> {
        let planned = self.planned(step)?;
        let is_meant = planned.on_breach == OnBreach::Undo && planned.stops == Stops::OnlyMitigates;
        let waits = self.turn() == Turn::Wait(Wait::Guard(step));
        if !is_meant || !waits || !self.is_at(step, &[StepState::Done]) {
            return None;
        }
        // Whoever buys up what the guard puts into its cart isn't to open anything by that.
        let one = self.steps.get(step)?;
        if one.breaches().any(|(_, stage, _)| stage == WalkStage::Item) {
            return None;
        }
        let mut since = None;
        for cause in self.other_causes(step) {
            let one = self.steps.get(cause)?;
            match &one.state {
                StepState::Done | StepState::Relies(_) if one.partly.is_empty() => {
                    since = since.max(one.at)
                }
                StepState::Skipped {
                    by_person: false, ..
                } => {}
                _ => return None,
            }
        }
        since
    }
}

impl RunStep {
    fn breaches(&self) -> impl Iterator<Item = (&str, WalkStage, &str)> {
        let all = self.guarded.iter().flatten();
        let all = all.filter(|(view, _)| !self.cleared.contains(*view));
        all.filter_map(|(view, verdict)| match verdict {
            Verdict::Broken { stage, why } => Some((view.as_str(), *stage, why.as_str())),
            Verdict::Fine | Verdict::WasBroken | Verdict::Unknown { .. } => None,
        })
    }

    /// The views that sold before it and don't after it, each with where and why.
    pub fn broken(&self) -> impl Iterator<Item = (&str, String)> {
        self.breaches()
            .map(|(view, stage, why)| (view, format!("at {}: {why}", stage.name())))
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
        let mut of = self.guarded.as_ref().map(in_words).unwrap_or_default();
        if of.is_empty() {
            return of;
        }
        if self.heeded {
            of.push_str("; it holds because a person says so");
        }
        for view in &self.cleared {
            of.push_str(&format!(
                "; {view} sells again since another step was undone"
            ));
        }
        if let Some(unwound) = &self.unwound {
            of.push_str("; the guard had it undone, as the plan says");
            for (view, verdict) in unwound.after.iter().flatten() {
                of.push_str(&match verdict {
                    Verdict::Fine => format!("; since then {view} sells"),
                    Verdict::Broken { stage, why } => format!(
                        "; {view} is still broken at {}, so it wasn't this step: {why}",
                        stage.name()
                    ),
                    Verdict::WasBroken => format!("; {view} was broken before"),
                    Verdict::Unknown { why } => {
                        format!("; of {view} nothing is known since then: {}", since(*why))
                    }
                });
            }
        }
        of
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

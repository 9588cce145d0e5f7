//! What a run does next, and which entries may follow.

use model::{Argument, ForensicImpact, Happened, Layer, ParameterKind, Stops, Work};

use super::guards::Holds;
use super::{KEEP_EVIDENCE, Run, RunError, StepState, two_people};

/// What is to be done next. Each is written down before and after, as the names of [`Happened`] say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Look at what is, keep what undoes the step.
    Survey(usize),
    /// Keep evidence.
    Keep(usize),
    /// Intend the step and do it.
    Act(usize),
    /// The step was intended and nothing is known of it: ask the world whether it holds. It holds: it is done. It
    /// doesn't: do it. In part: undo it, then do it.
    Settle(usize),
    /// Leave the step out, since a condition doesn't hold.
    Skip(usize, String),
    /// Intend the undoing of the step and do it.
    Undo(usize),
    /// A person has to say or do something first.
    Wait(Wait),
    /// Nothing: all that was to be done is done, or undone.
    Nothing,
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The answer to a condition, before this step.
    Answer {
        /// Which step.
        step: usize,
        /// The condition.
        condition: String,
    },
    /// A person does the step and says so, or leaves it out.
    Person(usize),
    /// The step failed: try it again, do it by hand and say so, leave it out, or undo the run.
    Failed(usize),
    /// The step could not be undone: ask to undo again, or take it over.
    UndoFailed(usize),
    /// Evidence that has to be kept before this step isn't: keep it, waive it by two people, or leave the step out.
    Evidence(usize),
    /// What this step would purge would be made again: the step before that acts on the cause wasn't done. Do that, or
    /// leave this one out.
    Cause(usize),
    /// A store that the step isn't for sold before it and doesn't after it: keep the step, or undo.
    Guard(usize),
}

impl Wait {
    /// The step it is about.
    #[must_use]
    pub const fn step(&self) -> usize {
        match self {
            Self::Answer { step, .. }
            | Self::Person(step)
            | Self::Failed(step)
            | Self::UndoFailed(step)
            | Self::Evidence(step)
            | Self::Cause(step)
            | Self::Guard(step) => *step,
        }
    }
}

impl Run {
    /// What is to be done next.
    #[must_use]
    pub fn turn(&self) -> Turn {
        if self.is_closed {
            return Turn::Nothing;
        }
        // Backwards first, last done first undone.
        for step in (0..self.steps.len()).rev() {
            if !self.asked_to_undo(step) || !self.is_to_undo(step) {
                continue;
            }
            return match self.steps.get(step).map(|one| &one.state) {
                Some(StepState::UndoFailed { .. }) => Turn::Wait(Wait::UndoFailed(step)),
                _ => Turn::Undo(step),
            };
        }
        if self.undo.is_some() {
            return Turn::Nothing;
        }
        let ahead = self.ahead();
        match self.doubted() {
            Some(step) if !self.is_first_contained(step, &ahead) => Turn::Wait(Wait::Guard(step)),
            _ => ahead,
        }
    }

    /// What is next when no store suffers.
    fn ahead(&self) -> Turn {
        let mut failed = None;
        for step in 0..self.steps.len() {
            let next = match self.steps.get(step).map(|one| &one.state) {
                Some(StepState::Failed { .. }) => {
                    failed = failed.or(Some(step));
                    None
                }
                Some(StepState::Undone { .. }) if self.is_unwound(step) => {
                    failed = failed.or(Some(step));
                    None
                }
                Some(StepState::Waiting | StepState::Surveyed | StepState::Intended) => {
                    match failed {
                        // What is to be done because it failed goes on; all else waits for a person.
                        Some(before) if !self.is_for_failure(step, before) => None,
                        _ => Some(self.forward(step)),
                    }
                }
                _ => None,
            };
            if let Some(next) = next {
                return next;
            }
        }
        failed.map_or(Turn::Nothing, |step| Turn::Wait(Wait::Failed(step)))
    }

    fn forward(&self, step: usize) -> Turn {
        let (Some(planned), Some(one)) = (self.planned(step), self.steps.get(step)) else {
            return Turn::Nothing;
        };
        if one.state == StepState::Intended {
            return Turn::Settle(step);
        }
        match self.guards(step) {
            Holds::Yes => {}
            Holds::No(why) => return Turn::Skip(step, why),
            Holds::Unknown(condition) => return Turn::Wait(Wait::Answer { step, condition }),
        }
        let Work::Action {
            action,
            forensic_impact,
            layer,
            ..
        } = &planned.work
        else {
            return Turn::Wait(Wait::Person(step));
        };
        if action == KEEP_EVIDENCE {
            return Turn::Keep(step);
        }
        let is_waived = planned.waiver.is_some() || one.is_waived;
        if *forensic_impact != ForensicImpact::None && !is_waived && !self.is_evidence_kept(step) {
            return Turn::Wait(Wait::Evidence(step));
        }
        if *layer == Layer::Cache && !self.is_cause_gone(step) {
            return Turn::Wait(Wait::Cause(step));
        }
        match one.state {
            StepState::Surveyed => Turn::Act(step),
            _ => Turn::Survey(step),
        }
    }

    /// Whether everything that the plan keeps before a step is kept.
    fn is_evidence_kept(&self, before: usize) -> bool {
        let mut has = false;
        for step in 0..before {
            if self.action(step) != Some(KEEP_EVIDENCE) {
                continue;
            }
            let one = self.steps.get(step);
            match one.map(|one| &one.state) {
                // What a person kept elsewhere is no evidence here: two people waive what this host lacks.
                Some(StepState::Done) if one.is_some_and(|one| !one.by_hand) => has = true,
                Some(StepState::Skipped {
                    by_person: false, ..
                }) => {}
                _ => return false,
            }
        }
        has
    }

    fn is_cause_gone(&self, before: usize) -> bool {
        let causes = (0..before).filter(|step| {
            self.planned(*step)
                .is_some_and(|one| one.stops == Stops::Contains)
        });
        let states = causes.filter_map(|step| self.steps.get(step).map(|one| &one.state));
        !states.into_iter().any(|state| {
            matches!(
                state,
                StepState::Failed { .. }
                    | StepState::Skipped {
                        by_person: true,
                        ..
                    }
                    | StepState::Undone { .. }
                    | StepState::UndoFailed { .. }
            )
        })
    }

    /// Whether an entry may follow.
    pub(super) fn fits(&self, what: &Happened) -> Result<(), RunError> {
        let unfit = |why: &str| {
            Err(RunError::Unfit {
                why: why.to_owned(),
            })
        };
        if self.is_closed {
            return unfit("the run is over");
        }
        if let Some(step) = step_of(what)
            && step >= self.steps.len()
        {
            return Err(RunError::NoStep { step });
        }
        let next = self.turn();
        let waits = |step: usize| matches!(&next, Turn::Wait(wait) if wait.step() == step);
        let is = |fine: bool, why: &str| if fine { Ok(()) } else { unfit(why) };
        match what {
            Happened::Approved { .. } => unfit("a run is approved once"),
            Happened::Surveyed { step, .. } => is(
                next == Turn::Survey(*step),
                "it isn't this step's turn to be surveyed",
            ),
            Happened::Kept { step, .. } => is(
                next == Turn::Keep(*step),
                "it isn't this step's turn to keep evidence",
            ),
            Happened::Intended { step, .. } => {
                is(next == Turn::Act(*step), "it isn't this step's turn")
            }
            // A step that was under way when people said something is still told of.
            Happened::Done { step } => is(
                self.is_at(*step, &[StepState::Intended]),
                "the step wasn't begun",
            ),
            Happened::Relies { step, .. } => is(
                next == Turn::Survey(*step) || next == Turn::Act(*step),
                "it isn't this step's turn",
            ),
            Happened::Failed { step, .. } => is(
                self.is_at(*step, &[StepState::Intended])
                    || [Turn::Survey(*step), Turn::Keep(*step), Turn::Act(*step)].contains(&next),
                "it isn't this step's turn",
            ),
            Happened::TimedOut { step } => is(
                self.timed_wait() == Some(*step),
                "the run doesn't wait at this step for a time that ends",
            ),
            Happened::Skipped { step, by: None, .. } => is(
                matches!(&next, Turn::Skip(at, _) if at == step),
                "nothing says that this step is left out",
            ),
            Happened::Skipped {
                step, by: Some(_), ..
            } => is(
                waits(*step) && !matches!(next, Turn::Wait(Wait::UndoFailed(_) | Wait::Guard(_))),
                "the run doesn't wait at this step",
            ),
            Happened::Answered { condition, .. } => {
                let asks = matches!(&next, Turn::Wait(Wait::Answer { condition: asked, .. }) if asked == condition);
                is(asks, "the run doesn't ask this")
            }
            Happened::PersonDid { step, .. } => is(
                next == Turn::Wait(Wait::Person(*step)) || next == Turn::Wait(Wait::Failed(*step)),
                "the run doesn't wait for a person to do this step",
            ),
            Happened::Retry { step, .. } => is(
                next == Turn::Wait(Wait::Failed(*step))
                    || (matches!(next, Turn::Wait(Wait::Evidence(_) | Wait::Cause(_)))
                        && self.is_left_out(*step)),
                "this step didn't fail",
            ),
            Happened::Waived { step, by, .. } => {
                two_people(by, true)?;
                is(
                    next == Turn::Wait(Wait::Evidence(*step)),
                    "the run doesn't wait for evidence before this step",
                )
            }
            Happened::UndoAsked { step: None, .. } => Ok(()),
            Happened::UndoAsked {
                step: Some(step), ..
            } => is(
                self.is_to_undo(*step),
                "there is nothing to undo of this step",
            ),
            Happened::UndoIntended { step } => {
                let again = matches!(next, Turn::Wait(Wait::UndoFailed(at)) if at == *step);
                is(
                    next == Turn::Undo(*step) || again,
                    "it isn't this step's turn to be undone",
                )
            }
            Happened::Undone { step, .. } | Happened::UndoFailed { step, .. } => is(
                self.is_at(*step, &[StepState::UndoIntended]),
                "undoing the step wasn't begun",
            ),
            Happened::UndoLeft { step, .. } => is(
                next == Turn::Wait(Wait::UndoFailed(*step)),
                "undoing this step didn't fail",
            ),
            Happened::Guarded { step, verdicts } => {
                let is_code = |code: &String| Argument::read(ParameterKind::View, code).is_ok();
                is(
                    verdicts.keys().all(is_code),
                    "what the guard speaks of is no store view",
                )?;
                is(
                    self.may_be_guarded(*step),
                    "the step isn't one whose effect on other stores is yet to be said",
                )
            }
            Happened::Unwound { step, .. } => is(
                self.unwinds(*step).is_some(),
                "the guard may not undo this step",
            ),
            Happened::Heeded { step, .. } => is(
                next == Turn::Wait(Wait::Guard(*step)),
                "no store suffers from this step, as far as is known",
            ),
            Happened::Closed { .. } => is(
                !(0..self.steps.len())
                    .any(|step| self.is_at(step, &[StepState::Intended, StepState::UndoIntended])),
                "a step is under way",
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn is_at(&self, step: usize, states: &[StepState]) -> bool {
        self.steps
            .get(step)
            .is_some_and(|one| states.contains(&one.state))
    }

    /// Whether a person left a step out, or it failed.
    fn is_left_out(&self, step: usize) -> bool {
        self.steps.get(step).is_some_and(|one| {
            matches!(
                one.state,
                StepState::Failed { .. }
                    | StepState::Skipped {
                        by_person: true,
                        ..
                    }
                    | StepState::Undone { .. }
            )
        })
    }
}

/// The step that an entry names.
const fn step_of(what: &Happened) -> Option<usize> {
    match what {
        Happened::Surveyed { step, .. }
        | Happened::Kept { step, .. }
        | Happened::Intended { step, .. }
        | Happened::Done { step }
        | Happened::Relies { step, .. }
        | Happened::Failed { step, .. }
        | Happened::TimedOut { step }
        | Happened::Skipped { step, .. }
        | Happened::PersonDid { step, .. }
        | Happened::Retry { step, .. }
        | Happened::Waived { step, .. }
        | Happened::UndoIntended { step }
        | Happened::Undone { step, .. }
        | Happened::UndoFailed { step, .. }
        | Happened::UndoLeft { step, .. }
        | Happened::Guarded { step, .. }
        | Happened::Unwound { step, .. }
        | Happened::Heeded { step, .. } => Some(*step),
        Happened::UndoAsked { step, .. } => *step,
        _ => None,
    }
}

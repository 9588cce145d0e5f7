//! Whether a step's conditions hold, as far as a run knows.

use super::{Run, StepState};
use crate::plan::{ANY_FAILS, fails};

/// Whether all of a step's conditions hold.
pub(super) enum Holds {
    Yes,
    /// One doesn't; in words.
    No(String),
    /// One isn't known; as the playbook has it.
    Unknown(String),
}

impl Run {
    pub(super) fn guards(&self, step: usize) -> Holds {
        let guards = self.planned(step).map(|one| one.only_if.as_slice());
        let mut unknown = None;
        for guard in guards.unwrap_or_default() {
            match self.is_true(&guard.condition, step) {
                Some(is) if is == guard.holds => {}
                Some(is) => {
                    let words = if is { "holds" } else { "doesn't hold" };
                    return Holds::No(format!("“{}” {words}", guard.condition));
                }
                None => unknown = unknown.or_else(|| Some(guard.condition.clone())),
            }
        }
        unknown.map_or(Holds::Yes, Holds::Unknown)
    }

    /// Whether a condition holds: that a step fails is known by itself, all else people answer.
    fn is_true(&self, condition: &str, before: usize) -> Option<bool> {
        let of_failure = (0..before).any(|step| self.is_about_failing(condition, step));
        if of_failure {
            let has = (0..before)
                .any(|step| self.is_about_failing(condition, step) && self.has_failed(step));
            return Some(has);
        }
        self.answers.get(condition).copied()
    }

    fn is_about_failing(&self, condition: &str, step: usize) -> bool {
        let called = self.planned(step).map(|one| match one.name.as_str() {
            "" => fails(&one.id),
            name => fails(name),
        });
        called.is_some_and(|called| called == condition) || condition == ANY_FAILS
    }

    fn has_failed(&self, step: usize) -> bool {
        let state = self.steps.get(step).map(|one| &one.state);
        matches!(state, Some(StepState::Failed { .. }))
    }

    /// Whether a step is there for another's failing.
    pub(super) fn is_for_failure(&self, step: usize, failed: usize) -> bool {
        let guards = self.planned(step).map(|one| one.only_if.as_slice());
        let mut guards = guards.unwrap_or_default().iter();
        guards.any(|guard| guard.holds && self.is_about_failing(&guard.condition, failed))
    }
}

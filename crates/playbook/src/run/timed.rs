//! What time does to a run: a step that waits for a person longer than its plan lets it counts as failed.
//!
//! Of a plan's own steps these waits end: for a person to do a step, for evidence before it, for the cause to be gone before it. In all of
//! them nothing of the step is done. What never ends by itself: a question, since it is asked before it is known whether the step is to be
//! done at all; a step that failed or could not be undone, and one that a store suffers from, since what holds there is a person's to judge.
//! Invariants: a time-out undoes nothing and does nothing; what the plan has for the step's failing goes on as after any failure.

use model::{Happened, RunEntry, Timestamp};

use super::{Run, RunError, StepState, Turn, Wait};

impl Run {
    /// The step with a time-out that waits for a person now.
    pub(super) fn timed_wait(&self) -> Option<usize> {
        let steps = &self.plan.steps;
        // Most plans have none: then what is next isn't asked for once more.
        if steps.iter().all(|one| one.timeout_milliseconds.is_none()) {
            return None;
        }
        let Turn::Wait(Wait::Person(step) | Wait::Evidence(step) | Wait::Cause(step)) = self.turn()
        else {
            return None;
        };
        self.planned(step)?.timeout_milliseconds.map(|_| step)
    }

    /// Remembers since when the run waits where it does.
    pub(super) fn mind_time(&mut self, at: Timestamp) {
        let step = self.timed_wait();
        if self.timed.map(|(step, _)| step) != step {
            self.timed = step.map(|step| (step, at));
        }
    }

    /// The step that waits for a person, and until when: from then on it counts as failed.
    #[must_use]
    pub fn waits_until(&self) -> Option<(usize, Timestamp)> {
        let (step, since) = self.timed?;
        let time = self.planned(step)?.timeout_milliseconds?;
        Some((step, since.plus_milliseconds(time)))
    }

    /// The step whose time is over, and that counts as failed as soon as somebody writes it down.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Option<usize> {
        let (step, until) = self.waits_until()?;
        (until <= now).then_some(step)
    }

    /// Whether a step that was begun, and of which nothing more is known, was begun longer ago than its time-out.
    #[must_use]
    pub fn is_out_of_time(&self, step: usize, now: Timestamp) -> bool {
        let time = self.planned(step).and_then(|one| one.timeout_milliseconds);
        let begun = self
            .steps
            .get(step)
            .filter(|_| self.is_at(step, &[StepState::Intended]));
        let begun = begun.and_then(|one| one.at);
        let until = begun
            .zip(time)
            .map(|(begun, time)| begun.plus_milliseconds(time));
        until.is_some_and(|until| until <= now)
    }

    /// What comes once a step has timed out, as a sentence's end.
    #[must_use]
    pub fn after_time_out(&self, step: usize) -> String {
        let for_it = (step + 1..self.steps.len()).filter(|next| {
            self.is_for_failure(*next, step)
                && self.is_at(*next, &[StepState::Waiting, StepState::Surveyed])
        });
        let named: Vec<_> = for_it
            .map(|next| format!("step {} “{}”", next + 1, self.called(next)))
            .collect();
        match named.as_slice() {
            [] => "it counts as failed, and the run waits for a person; nothing is done or undone by itself".to_owned(),
            named => format!("it counts as failed, and what the plan has for that begins: {}", named.join(", ")),
        }
    }

    /// Why a step failed that timed out.
    pub(super) fn time_out_words(&self, step: usize) -> String {
        let time = self.planned(step).and_then(|one| one.timeout_words());
        format!(
            "timed out: nobody answered within {}",
            time.unwrap_or_default()
        )
    }

    /// Whether an entry that says so doesn't come too early.
    pub(super) fn fits_time(&self, entry: &RunEntry) -> Result<(), RunError> {
        let is_early =
            matches!(entry.what, Happened::TimedOut { .. }) && self.overdue(entry.at).is_none();
        match is_early {
            false => Ok(()),
            true => Err(RunError::Unfit {
                why: "the step's time isn't over".to_owned(),
            }),
        }
    }
}

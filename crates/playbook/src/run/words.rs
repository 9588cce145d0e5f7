//! A run in words: what became of each step.

use model::Timestamp;

use super::guards::Holds;
use super::{Run, RunStep, StepState};

impl RunStep {
    /// Where it is, in words; they may hold what a host or a person wrote.
    #[must_use]
    pub fn words(&self) -> String {
        let words = match &self.state {
            StepState::Waiting => "not begun".to_owned(),
            StepState::Surveyed => "looked at, not begun".to_owned(),
            StepState::Intended => "begun, and not known whether it holds".to_owned(),
            StepState::Done if !self.pieces.is_empty() => {
                format!("kept {} pieces of evidence", self.pieces.len())
            }
            StepState::Done if self.by_hand => "done by a person".to_owned(),
            StepState::Done => "done, and seen to hold".to_owned(),
            StepState::Relies(on) => format!("held by {on}, left to it"),
            StepState::Failed { why } => format!("failed: {why}"),
            StepState::Skipped { why, .. } => format!("left out: {why}"),
            StepState::UndoIntended => {
                "being undone, and not known whether it still holds".to_owned()
            }
            StepState::Undone { lost } if lost.is_empty() => "undone: all is as before".to_owned(),
            StepState::Undone { lost } => format!("undone, but for {lost}"),
            StepState::UndoFailed {
                why,
                is_left: false,
            } => format!("could not be undone: {why}"),
            StepState::UndoFailed { why, is_left: true } => {
                format!("left to a person to undo: {why}")
            }
        };
        let words = match &self.unwound {
            Some(unwound) => format!("{words}; by the guard, since {}", unwound.why),
            None => words,
        };
        // Evidence that was sealed after the step may be said to have been made up.
        let words = match self.unsealed {
            true => format!("{words}; begun before the server had sealed the evidence"),
            false => words,
        };
        match self.partly.as_str() {
            "" => words,
            partly => format!("{words} – in effect of it: {partly}"),
        }
    }
}

impl Run {
    /// What a step is called.
    #[must_use]
    pub fn called(&self, step: usize) -> &str {
        let planned = self.planned(step);
        planned.map_or("", |one| match one.name.as_str() {
            "" => &one.id,
            name => name,
        })
    }

    /// When a step is to be done by, as its plan says.
    #[must_use]
    pub fn due(&self, step: usize) -> Option<Timestamp> {
        let seconds = self.planned(step)?.deadline_seconds?;
        Some(self.approved.plus_seconds(i64::from(seconds)))
    }

    /// Steps that were to be done by now and aren't: not those that a condition rules out, nor any of a run that is undone or over.
    #[must_use]
    pub fn late(&self, now: Timestamp) -> Vec<usize> {
        if self.is_closed || self.undo.is_some() {
            return Vec::new();
        }
        let open = |step: usize| match self.steps.get(step).map(|one| &one.state) {
            Some(StepState::Waiting | StepState::Surveyed) => {
                !matches!(self.guards(step), Holds::No(_))
            }
            Some(StepState::Intended | StepState::Failed { .. }) => true,
            _ => false,
        };
        let steps = 0..self.steps.len();
        steps
            .filter(|step| self.due(*step).is_some_and(|due| due < now) && open(*step))
            .collect()
    }

    /// How many steps hold that undoing the run would undo.
    #[must_use]
    pub fn holding(&self) -> usize {
        let steps = 0..self.steps.len();
        steps.filter(|step| self.is_to_undo(*step)).count()
    }
}

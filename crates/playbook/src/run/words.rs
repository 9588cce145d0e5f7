//! A run in words: what became of each step.

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

    /// How many steps hold that undoing the run would undo.
    #[must_use]
    pub fn holding(&self) -> usize {
        let steps = 0..self.steps.len();
        steps.filter(|step| self.is_to_undo(*step)).count()
    }
}

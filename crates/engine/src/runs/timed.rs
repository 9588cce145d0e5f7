//! What time does to a run on its host: a step that nobody answered counts as failed, and one that was begun and stopped isn't begun
//! anew once its time is over.
//!
//! Invariant: a step that holds is never failed for having taken long. What is under way isn't cut off: each action has its own ends.

use model::Happened;
use responders::Effect;

use super::carry::{Carrier, said};
use super::error::CarryError;

impl Carrier<'_> {
    /// Writes down that a step's time is over, if one's is and things may be done here; whether it was.
    pub(super) fn time_out(&mut self) -> Result<bool, CarryError> {
        let now = (self.clock)();
        let Some(step) = self.run().overdue(now) else {
            return Ok(false);
        };
        // What follows of it is done here, so a host that is frozen lets it wait.
        if self.frozen()?.is_some() {
            return Ok(false);
        }
        self.note_at(Happened::TimedOut { step }, now)?;
        Ok(true)
    }

    /// A step that was intended, of which nothing more is known.
    pub(super) fn settle(&mut self, step: usize) -> Result<(), CarryError> {
        let (doing, kept) = match self.kept(step) {
            Ok(found) => found,
            Err(why) => return self.failed(step, why.clone(), why),
        };
        let is_over = self.run().is_out_of_time(step, (self.clock)());
        let effect = doing.action.read_back(self.host, &doing.arguments, &kept);
        match effect {
            Ok(Effect::InEffect) => self.done(step),
            Ok(Effect::NotInEffect) if is_over => self.too_late(step),
            Ok(Effect::NotInEffect) => self.finish(step),
            Ok(Effect::Partly(partly)) => {
                match doing.action.undo(self.host, &doing.arguments, &kept) {
                    Ok(()) if is_over => self.too_late(step),
                    Ok(()) => self.finish(step),
                    Err(error) => self.failed(step, said(&error), partly),
                }
            }
            Err(error) => {
                let partly = "it was begun, and whether it holds can't be found out".to_owned();
                self.failed(step, said(&error), partly)
            }
        }
    }

    /// It was begun, doesn't hold, and what it was for may be over.
    fn too_late(&mut self, step: usize) -> Result<(), CarryError> {
        let time = self.run().planned(step).and_then(|one| one.timeout_words());
        let why = format!(
            "timed out: it was begun, stopped, and didn't hold {} later",
            time.unwrap_or_default()
        );
        self.failed(step, why, String::new())
    }
}

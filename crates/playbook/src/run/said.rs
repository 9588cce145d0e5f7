//! What a person's word means where a run is.

use model::{Happened, Person, Word};

use super::turn::{Turn, Wait};
use super::{Run, RunError};

impl Run {
    /// What happens when people say a word; they are as many as it takes.
    ///
    /// # Errors
    ///
    /// [`RunError`] when nobody says it, or it isn't what the run waits for.
    pub fn said(&self, word: Word, by: &[Person], note: &str) -> Result<Happened, RunError> {
        let who = by.first().ok_or(RunError::NotApproved)?.clone();
        let note = note.to_owned();
        if word == Word::Undo {
            let (step, by, why) = (None, who, note);
            return Ok(Happened::UndoAsked { step, by, why });
        }
        if word == Word::Close {
            return Ok(Happened::Closed { by: who });
        }
        let Turn::Wait(wait) = self.turn() else {
            return Err(RunError::Unfit {
                why: "the run waits for nobody".to_owned(),
            });
        };
        let step = wait.step();
        if !wait.takes(word) {
            return Err(RunError::Unfit {
                why: format!("`{}` isn't what the run waits for", word.name()),
            });
        }
        Ok(match (word, wait) {
            (Word::Yes | Word::No, Wait::Answer { condition, .. }) => Happened::Answered {
                holds: word == Word::Yes,
                condition,
                by: who,
            },
            (Word::Yes, Wait::Guard(_)) if note.trim().is_empty() => {
                return Err(RunError::Unfit {
                    why: "say why the step is kept although a store suffers".to_owned(),
                });
            }
            (Word::Yes, Wait::Guard(_)) => Happened::Heeded {
                step,
                by: who,
                note,
            },
            (Word::Done, Wait::UndoFailed(_)) => Happened::UndoLeft {
                step,
                by: who,
                note,
            },
            (Word::Done, _) => Happened::PersonDid {
                step,
                by: who,
                note,
            },
            (Word::Retry, _) => Happened::Retry { step, by: who },
            (Word::Waive, _) => Happened::Waived {
                step,
                by: by.to_vec(),
                why: note,
            },
            _ => Happened::Skipped {
                step,
                why: note,
                by: Some(who),
            },
        })
    }
}

impl Wait {
    /// Whether a word is an answer to it.
    #[must_use]
    pub const fn takes(&self, word: Word) -> bool {
        match word {
            Word::Yes => matches!(self, Self::Answer { .. } | Self::Guard(_)),
            Word::No => matches!(self, Self::Answer { .. }),
            Word::Done => matches!(
                self,
                Self::UndoFailed(_) | Self::Person(_) | Self::Failed(_)
            ),
            Word::Retry => matches!(self, Self::Failed(_)),
            Word::Waive => matches!(self, Self::Evidence(_)),
            Word::Skip => !matches!(self, Self::UndoFailed(_) | Self::Guard(_)),
            Word::Undo | Word::Close => true,
        }
    }
}

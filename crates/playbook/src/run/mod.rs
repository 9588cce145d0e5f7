//! A run: the fold over its entries, and what is to be done next.
//!
//! Pure. Whoever carries a run out asks [`Run::turn`], writes down what it is about to do, does it, writes down what came of
//! it; stopped at any point, the same entries give the same next. Why so: `docs/decisions/0013-from-a-playbook-to-a-run.md`.

mod guarded;
mod guards;
mod lines;
mod said;
#[cfg(test)]
mod tests;
mod timed;
mod turn;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    Happened, Person, Piece, Plan, PlanStep, RunChange, RunEntry, Timestamp, Verdict, Work,
};

use crate::plan::needs_two_people;

pub use lines::{LineError, LineFault};
pub use turn::{Turn, Wait};

/// Name of the action that keeps evidence: a step of it gives pieces, and is never undone.
pub const KEEP_EVIDENCE: &str = "keep_evidence";

/// Where a step is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    #[default]
    Waiting,
    /// What undoes it is kept.
    Surveyed,
    /// About to be done; stopped here, it may be in effect.
    Intended,
    /// In effect.
    Done,
    /// In effect by another run, whose id this is.
    Relies(String),
    /// Not in effect, or partly, as [`RunStep::partly`] says.
    Failed {
        /// Why.
        why: String,
    },
    /// Not to be done.
    Skipped {
        /// Why.
        why: String,
        /// Whether a person says so, and no condition.
        by_person: bool,
    },
    /// About to be undone; stopped here, it may be in effect.
    UndoIntended,
    /// Undone; what is lost for good, in words.
    Undone {
        /// Empty when all is as before.
        lost: String,
    },
    /// Undoing it failed.
    UndoFailed {
        /// Why.
        why: String,
        /// Whether a person has taken it.
        is_left: bool,
    },
}

/// A step and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunStep {
    /// Where it is.
    pub state: StepState,
    /// What it changes, once surveyed.
    pub changes: Vec<RunChange>,
    /// Name of what undoes it in the vault, once surveyed.
    pub kept: Option<String>,
    /// Whether all of it was so already when it was surveyed: nothing is to be given back.
    pub already: bool,
    /// What of it is in effect after it failed; empty when nothing is. Left out, it is still to be undone.
    pub partly: String,
    /// Evidence kept by it.
    pub pieces: Vec<Piece>,
    /// Two people waived evidence before it.
    pub is_waived: bool,
    /// It was begun before the server had sealed what was kept before it.
    pub unsealed: bool,
    /// When it came to where it is.
    pub at: Option<Timestamp>,
    /// What a person said of doing it.
    pub note: String,
    /// A person did it: nobody but a person can undo it.
    pub by_hand: bool,
    /// What the guard says of the stores that it isn't for, by the view's code; nothing before it looked.
    pub guarded: Option<BTreeMap<String, Verdict>>,
    /// A person lets it hold although a store suffers.
    pub heeded: bool,
    /// Views that suffered when it held, and sell again although it still does.
    pub cleared: BTreeSet<String>,
    /// That the guard had it undone.
    pub unwound: Option<Unwound>,
}

/// A step that the guard had undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwound {
    /// What a store suffered from.
    pub why: String,
    /// What is said of the stores since it was undone; nothing before they were looked at.
    pub after: Option<BTreeMap<String, Verdict>>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The plan; clones of a run share it.
    pub plan: Arc<Plan>,
    /// SHA-256 over it, hexadecimal.
    pub hash: String,
    /// Who approved it.
    pub approved_by: Vec<Person>,
    /// When.
    pub approved: Timestamp,
    /// What became of each step of the plan, in its order.
    pub steps: Vec<RunStep>,
    /// Conditions that were answered.
    pub answers: BTreeMap<String, bool>,
    /// Whether all of it is to be undone, and why.
    pub undo: Option<String>,
    /// Whether it was said to be over.
    pub is_closed: bool,
    /// Entries so far.
    pub entries: u64,
    /// Ids of orders from the console that were carried out.
    pub orders: BTreeSet<String>,
    /// Steps that are to be undone one by one.
    undo_steps: Vec<usize>,
    /// The step that waits for a person and has a time-out, and since when.
    timed: Option<(usize, Timestamp)>,
}

/// Why an entry doesn't follow from what is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The first entry has to be the approval.
    #[error("a run begins with its approval")]
    NotApproved,
    /// The hash isn't that of the plan.
    #[error("the plan isn't the one that was approved: its hash differs")]
    OtherPlan,
    /// Too few people.
    #[error("the plan needs the approval of two different people")]
    TwoPeople,
    /// A step lacks something.
    #[error("step {} lacks `{name}`: make the plan with it", step + 1)]
    Missing {
        /// Which step.
        step: usize,
        /// Name of the parameter.
        name: String,
    },
    /// The entry is of another run, or one before it is missing.
    #[error("entry {number} doesn't follow entry {}", expected.saturating_sub(1))]
    Order {
        /// Its number.
        number: u64,
        /// The number that follows.
        expected: u64,
    },
    /// There is no such step.
    #[error("there is no step {}", step + 1)]
    NoStep {
        /// Which.
        step: usize,
    },
    /// It doesn't fit where the step or the run is.
    #[error("{why}")]
    Unfit {
        /// Why.
        why: String,
    },
}

impl Run {
    /// Begins a run by its approval.
    ///
    /// # Errors
    ///
    /// [`RunError`] when the entry is none, the plan isn't what was approved, lacks something, or people are too few.
    pub fn begin(entry: &RunEntry) -> Result<Self, RunError> {
        let Happened::Approved {
            plan,
            hash,
            by,
            answers,
        } = &entry.what
        else {
            return Err(RunError::NotApproved);
        };
        if entry.number != 0 {
            return Err(RunError::Order {
                number: entry.number,
                expected: 0,
            });
        }
        if *hash != hash_words(plan) {
            return Err(RunError::OtherPlan);
        }
        // As its steps say, whatever it says of itself: a hash is over what somebody wrote, and they may have written it by hand.
        let needs_two = plan.needs_two_people || plan.steps.iter().any(needs_two_people);
        two_people(by, needs_two)?;
        for (step, planned) in plan.steps.iter().enumerate() {
            let Work::Action { missing, .. } = &planned.work else {
                continue;
            };
            if let Some(name) = missing.keys().next() {
                let name = name.clone();
                return Err(RunError::Missing { step, name });
            }
        }
        let mut run = Self {
            id: entry.run.clone(),
            steps: vec![RunStep::default(); plan.steps.len()],
            plan: Arc::new((**plan).clone()),
            hash: hash.clone(),
            approved_by: by.clone(),
            approved: entry.at,
            answers: answers.clone(),
            undo: None,
            is_closed: false,
            entries: 1,
            orders: orders_of(entry).collect(),
            undo_steps: Vec::new(),
            timed: None,
        };
        run.mind_time(entry.at);
        Ok(run)
    }

    /// Takes an entry; one that was taken before changes nothing.
    ///
    /// # Errors
    ///
    /// [`RunError`] when it doesn't follow; the run is as before then.
    pub fn take(&mut self, entry: &RunEntry) -> Result<(), RunError> {
        if entry.number < self.entries && entry.run == self.id {
            return Ok(());
        }
        if entry.number != self.entries || entry.run != self.id {
            return Err(RunError::Order {
                number: entry.number,
                expected: self.entries,
            });
        }
        self.fits(&entry.what)?;
        self.fits_time(entry)?;
        self.apply(&entry.what, entry.at);
        self.mind_time(entry.at);
        self.orders.extend(orders_of(entry));
        self.entries += 1;
        Ok(())
    }

    /// Whether something may happen now.
    ///
    /// # Errors
    ///
    /// [`RunError`] when it doesn't follow from where the run is.
    pub fn may(&self, what: &Happened) -> Result<(), RunError> {
        self.fits(what)
    }

    /// The entry that says what happened now.
    #[must_use]
    pub fn entry(&self, what: Happened, at: Timestamp) -> RunEntry {
        RunEntry {
            v: model::RUN_VERSION,
            run: self.id.clone(),
            number: self.entries,
            at,
            order: String::new(),
            what,
        }
    }

    /// A step of the plan.
    #[must_use]
    pub fn planned(&self, step: usize) -> Option<&PlanStep> {
        self.plan.steps.get(step)
    }

    /// Whether what a step did may be in effect, by this run.
    #[must_use]
    pub fn may_hold(&self, step: usize) -> bool {
        let Some(step) = self.steps.get(step) else {
            return false;
        };
        let may = matches!(
            step.state,
            StepState::Intended
                | StepState::Done
                | StepState::UndoIntended
                | StepState::UndoFailed { is_left: false, .. }
        );
        may || !step.partly.is_empty()
    }

    /// The action of a step.
    #[must_use]
    pub fn action(&self, step: usize) -> Option<&str> {
        match &self.planned(step)?.work {
            Work::Action { action, .. } => Some(action),
            Work::Person { .. } => None,
        }
    }

    /// Whether undoing the run undoes it: evidence stays, and so does what a person did.
    #[must_use]
    pub fn is_to_undo(&self, step: usize) -> bool {
        let is_ours = self
            .action(step)
            .is_some_and(|action| action != KEEP_EVIDENCE);
        let by_hand = self
            .steps
            .get(step)
            .is_some_and(|one| one.by_hand && one.partly.is_empty());
        is_ours && !by_hand && self.may_hold(step)
    }

    fn apply(&mut self, what: &Happened, at: Timestamp) {
        match what {
            Happened::Approved { .. } => {}
            Happened::Surveyed {
                step,
                changes,
                kept,
                already,
            } => {
                let one = self.to(*step, StepState::Surveyed, at);
                one.changes.clone_from(changes);
                one.kept = Some(kept.clone());
                one.already = *already;
            }
            Happened::Kept { step, pieces } => {
                self.to(*step, StepState::Done, at)
                    .pieces
                    .clone_from(pieces);
            }
            Happened::Intended { step, unsealed } => {
                self.to(*step, StepState::Intended, at).unsealed = *unsealed;
            }
            Happened::Done { step } => self.to(*step, StepState::Done, at).partly.clear(),
            Happened::Relies { step, on } => {
                self.to(*step, StepState::Relies(on.clone()), at);
            }
            Happened::Failed { step, why, partly } => {
                let why = why.clone();
                self.to(*step, StepState::Failed { why }, at)
                    .partly
                    .clone_from(partly);
            }
            Happened::TimedOut { step } => {
                let why = self.time_out_words(*step);
                self.to(*step, StepState::Failed { why }, at);
            }
            Happened::Skipped { step, why, by } => {
                let (why, by_person) = (why.clone(), by.is_some());
                self.to(*step, StepState::Skipped { why, by_person }, at);
            }
            Happened::Answered {
                condition, holds, ..
            } => {
                self.answers.insert(condition.clone(), *holds);
            }
            Happened::PersonDid { step, note, .. } => {
                let one = self.to(*step, StepState::Done, at);
                one.note.clone_from(note);
                one.by_hand = true;
                // It is another deed than the one that the guard spoke of.
                (one.guarded, one.unwound) = (None, None);
            }
            Happened::Retry { step, .. } => {
                // What was kept before the first try is what was before: it stays.
                let has = self.steps.get(*step).is_some_and(|one| one.kept.is_some());
                let state = if has {
                    StepState::Surveyed
                } else {
                    StepState::Waiting
                };
                let was_undone = self.is_unwound(*step);
                self.undo_steps.retain(|asked| asked != step);
                let one = self.to(*step, state, at);
                // What was said of the stores is of the time before.
                (one.guarded, one.heeded, one.unwound) = (None, false, None);
                one.cleared.clear();
                if was_undone {
                    // All is as before, so that what was kept then may be of an older world.
                    one.state = StepState::Waiting;
                }
            }
            Happened::Waived { step, .. } => {
                if let Some(one) = self.steps.get_mut(*step) {
                    one.is_waived = true;
                }
            }
            Happened::UndoAsked { step, why, .. } => match step {
                Some(step) => self.undo_steps.push(*step),
                None => self.undo = Some(why.clone()),
            },
            Happened::UndoIntended { step } => {
                self.to(*step, StepState::UndoIntended, at);
            }
            Happened::Undone { step, lost } => {
                let lost = lost.clone();
                self.to(*step, StepState::Undone { lost }, at)
                    .partly
                    .clear();
            }
            Happened::UndoFailed { step, why } => {
                let (why, is_left) = (why.clone(), false);
                self.to(*step, StepState::UndoFailed { why, is_left }, at);
            }
            Happened::UndoLeft { step, note, .. } => {
                if let Some(one) = self.steps.get_mut(*step) {
                    one.note.clone_from(note);
                    one.partly.clear();
                    if let StepState::UndoFailed { is_left, .. } = &mut one.state {
                        *is_left = true;
                    }
                }
            }
            Happened::Guarded { step, verdicts } => self.say(*step, verdicts),
            Happened::Unwound { step, why } => {
                self.undo_steps.push(*step);
                if let Some(one) = self.steps.get_mut(*step) {
                    let (why, after) = (why.clone(), None);
                    one.unwound = Some(Unwound { why, after });
                }
            }
            Happened::Heeded { step, note, .. } => self.heed(*step, note),
            Happened::Closed { .. } => self.is_closed = true,
            // What `model` knows and this fold doesn't; a line of a later version is no entry here, and the journal is refused.
            _ => {}
        }
    }

    fn to(&mut self, step: usize, state: StepState, at: Timestamp) -> &mut RunStep {
        let one = self.steps.get_mut(step).expect("fits() looked");
        one.state = state;
        one.at = Some(at);
        one
    }

    pub(crate) fn asked_to_undo(&self, step: usize) -> bool {
        self.undo.is_some() || self.undo_steps.contains(&step)
    }
}

fn orders_of(entry: &RunEntry) -> impl Iterator<Item = String> + use<> {
    Some(entry.order.clone())
        .filter(|order| !order.is_empty())
        .into_iter()
}

/// Whether enough different people say so.
fn two_people(by: &[Person], needs_two: bool) -> Result<(), RunError> {
    let mut accounts: Vec<_> = by.iter().map(|person| &person.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    match accounts.len() {
        0 => Err(RunError::NotApproved),
        1 if needs_two => Err(RunError::TwoPeople),
        _ => Ok(()),
    }
}

/// What is approved of a plan: its hash, hexadecimal.
#[must_use]
pub fn hash_words(plan: &Plan) -> String {
    let hash = crate::hash(plan);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

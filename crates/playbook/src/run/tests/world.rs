//! A world in memory, and the process that acts on it.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ForensicImpact, Happened, Plan, RunEntry, Timestamp, UnknownWhy, Verdict, WalkStage, Work,
};

use super::super::{KEEP_EVIDENCE, Run, StepState, Turn, Wait};
use super::{NOW, approval, broken, person, replay};

/// A world that does what it is told, fails when `dice` says so, and a process that may end between any two things.
pub(super) struct World {
    pub(super) run: Run,
    pub(super) journal: Vec<RunEntry>,
    /// Steps in effect.
    pub(super) holds: BTreeSet<usize>,
    now: Timestamp,
    dice: Vec<u8>,
}

/// What it came to.
struct Died;

impl World {
    pub(super) fn of(plan: Plan, dice: Vec<u8>) -> Self {
        let first = approval(plan, &["ann"]);
        let run = Run::begin(&first).expect("approved");
        Self {
            run,
            journal: vec![first],
            holds: BTreeSet::new(),
            now: NOW,
            dice,
        }
    }

    fn roll(&mut self, sides: u8) -> u8 {
        self.dice.pop().map_or(0, |die| die % sides)
    }

    /// Writes an entry, unless the process ends right before or right after.
    fn write(&mut self, what: Happened) -> Result<(), Died> {
        let fate = self.roll(16);
        if fate == 1 {
            return Err(Died);
        }
        let entry = self.run.entry(what, self.now);
        self.run.take(&entry).expect("it follows");
        self.journal.push(entry);
        if fate == 2 { Err(Died) } else { Ok(()) }
    }

    /// The guard says something of a step, at whatever time it comes to.
    fn guard(&mut self) -> Result<(), Died> {
        let kind = self.roll(8);
        let steps: Vec<_> = (0..self.run.steps.len()).collect();
        let may = |step: &usize| {
            let (step, verdicts) = (*step, BTreeMap::new());
            self.run.may(&Happened::Guarded { step, verdicts }).is_ok()
        };
        let Some(step) = steps.into_iter().find(may) else {
            return Ok(());
        };
        let verdict = match kind {
            1 => broken(WalkStage::Payment),
            2 => Verdict::Fine,
            3 => Verdict::WasBroken,
            4 => Verdict::Unknown {
                why: UnknownWhy::Overload,
            },
            _ => return Ok(()),
        };
        let verdicts = [("de".to_owned(), verdict)].into();
        self.write(Happened::Guarded { step, verdicts })
    }

    /// Whether a store suffers from a step that holds, and nobody said that it may.
    fn suffers(&self) -> bool {
        let steps = self.run.steps.iter().enumerate();
        let mut holding = steps.filter(|(at, _)| self.holds.contains(at));
        holding.any(|(_, one)| {
            let verdicts = one.guarded.iter().flat_map(BTreeMap::values);
            let is_broken = |one: &Verdict| matches!(one, Verdict::Broken { .. });
            // What a person took over is theirs.
            let is_left = matches!(one.state, StepState::UndoFailed { is_left: true, .. });
            !one.heeded && !is_left && verdicts.into_iter().any(is_broken)
        })
    }

    fn act(&mut self, step: usize) -> Result<(), Died> {
        self.guard()?;
        match self.roll(8) {
            1 => return Err(Died),
            2 => {
                // What was before is back.
                self.holds.remove(&step);
                let why = "failed".to_owned();
                let partly = String::new();
                return self.write(Happened::Failed { step, why, partly });
            }
            3 => {
                self.holds.insert(step);
                let (why, partly) = ("failed".to_owned(), "half".to_owned());
                return self.write(Happened::Failed { step, why, partly });
            }
            _ => {}
        }
        self.holds.insert(step);
        if self.roll(8) == 1 {
            return Err(Died);
        }
        self.write(Happened::Done { step })
    }

    /// One turn; `false` when there is nothing more.
    fn go(&mut self) -> Result<bool, Died> {
        self.guard()?;
        let turn = self.run.turn();
        let is_forward = !matches!(
            turn,
            Turn::Undo(_) | Turn::Nothing | Turn::Wait(Wait::UndoFailed(_) | Wait::Guard(_))
        );
        let is_undone = self.run.undo.is_some();
        assert!(
            !(is_forward && self.suffers()),
            "nothing goes forward while a store suffers: {turn:?}"
        );
        assert!(turn != Turn::Nothing || is_undone || !self.suffers());
        match turn {
            Turn::Survey(step) => {
                assert!(!self.holds.contains(&step), "what is kept is from before");
                if self.roll(12) == 3 {
                    let (why, partly) = ("no".to_owned(), String::new());
                    self.write(Happened::Failed { step, why, partly })?;
                } else {
                    let (changes, kept) = (Vec::new(), "k".to_owned());
                    self.write(Happened::Surveyed {
                        step,
                        changes,
                        kept,
                        already: false,
                    })?;
                }
            }
            Turn::Keep(step) => {
                if self.roll(12) == 3 {
                    let (why, partly) = ("no".to_owned(), String::new());
                    self.write(Happened::Failed { step, why, partly })?;
                } else {
                    let pieces = Vec::new();
                    self.write(Happened::Kept { step, pieces })?;
                }
            }
            Turn::Act(step) => {
                self.before_acting(step);
                self.write(Happened::Intended {
                    step,
                    unsealed: false,
                })?;
                self.act(step)?;
            }
            Turn::Settle(step) => {
                if self.holds.contains(&step) {
                    self.write(Happened::Done { step })?;
                } else {
                    self.act(step)?;
                }
            }
            Turn::Skip(step, why) => {
                let by = None;
                self.write(Happened::Skipped { step, why, by })?;
            }
            Turn::Undo(step) => self.undo(step)?,
            Turn::Wait(wait) => self.answer(wait)?,
            Turn::Nothing => return Ok(false),
        }
        Ok(true)
    }

    fn undo(&mut self, step: usize) -> Result<(), Died> {
        self.write(Happened::UndoIntended { step })?;
        self.guard()?;
        if self.roll(8) == 1 {
            let why = "no".to_owned();
            return self.write(Happened::UndoFailed { step, why });
        }
        self.holds.remove(&step);
        if self.roll(8) == 1 {
            return Err(Died);
        }
        let lost = String::new();
        self.write(Happened::Undone { step, lost })
    }

    /// What has to be so before anything is changed.
    fn before_acting(&mut self, step: usize) {
        let has_failed = !self.run.steps.get(step).expect("a step").partly.is_empty();
        assert!(
            has_failed || !self.holds.contains(&step),
            "nothing is done twice"
        );
        let alters = matches!(&self.run.planned(step).expect("a step").work,
            Work::Action { forensic_impact, .. } if *forensic_impact != ForensicImpact::None);
        let states = self.run.steps.iter().take(step).enumerate();
        let kept = states
            .filter(|(at, one)| {
                self.run.action(*at) == Some(KEEP_EVIDENCE) && one.state == StepState::Done
            })
            .count();
        let is_waived = self.run.steps.get(step).expect("a step").is_waived;
        assert!(!alters || is_waived || kept > 0, "evidence first");
    }

    /// Nobody says anything until a step's time is over.
    fn wait_in_vain(&mut self, step: usize, until: Timestamp) -> Result<(), Died> {
        let before = Timestamp(until.0 - 1);
        let early = self.run.entry(Happened::TimedOut { step }, before);
        self.run.clone().take(&early).expect_err("it is too early");
        assert_eq!(self.run.overdue(before), None);
        self.now = self.now.max(until);
        assert_eq!(self.run.overdue(self.now), Some(step));
        let may_hold: Vec<_> = (0..self.run.steps.len())
            .map(|at| self.run.may_hold(at))
            .collect();
        self.write(Happened::TimedOut { step })?;
        let after: Vec<_> = (0..self.run.steps.len())
            .map(|at| self.run.may_hold(at))
            .collect();
        assert_eq!(may_hold, after, "time alone changes nothing");
        assert!(
            !matches!(self.run.turn(), Turn::Undo(_)),
            "and undoes nothing"
        );
        Ok(())
    }

    /// A person who says this or that.
    fn answer(&mut self, wait: Wait) -> Result<(), Died> {
        if let Some((step, until)) = self.run.waits_until() {
            assert_eq!(step, wait.step(), "a time is of what is waited for");
            if self.roll(3) == 1 {
                return self.wait_in_vain(step, until);
            }
        }
        let (by, why) = (person("ann"), "because".to_owned());
        if self.roll(6) == 1 && self.run.undo.is_none() {
            return self.write(Happened::UndoAsked {
                step: None,
                by,
                why,
            });
        }
        match wait {
            Wait::Answer { condition, .. } => {
                let holds = self.roll(2) == 1;
                self.write(Happened::Answered {
                    condition,
                    holds,
                    by,
                })
            }
            Wait::Person(step) => {
                let note = why;
                self.write(Happened::PersonDid { step, by, note })
            }
            Wait::Failed(step) if self.roll(2) == 1 => self.write(Happened::Retry { step, by }),
            Wait::Evidence(step) if self.roll(2) == 1 => {
                let by = vec![person("ann"), person("bob")];
                self.write(Happened::Waived { step, by, why })
            }
            Wait::Guard(step) if self.roll(2) == 1 => self.write(Happened::UndoAsked {
                step: Some(step),
                by,
                why,
            }),
            Wait::Guard(step) => {
                let note = why;
                self.write(Happened::Heeded { step, by, note })
            }
            Wait::Failed(step) | Wait::Evidence(step) | Wait::Cause(step) => {
                let by = Some(by);
                self.write(Happened::Skipped { step, why, by })
            }
            Wait::UndoFailed(step) if self.roll(2) == 1 => {
                let note = why;
                self.write(Happened::UndoLeft { step, by, note })
            }
            Wait::UndoFailed(step) => self.undo(step),
        }
    }

    /// Goes on until nothing is left; after a death the run is what its journal says.
    pub(super) fn run_out(&mut self) {
        for _ in 0..3000 {
            match self.go() {
                Ok(true) => {}
                Ok(false) => return,
                Err(Died) => {
                    let read = replay(&self.journal);
                    assert_eq!(read, self.run, "the journal says it all");
                    self.run = read;
                }
            }
        }
        unreachable!("a run comes to its end: {:?}", self.run);
    }
}

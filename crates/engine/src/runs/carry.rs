//! Carries a run out, or undoes it: asks what is next, writes it down, does it, writes down what came of it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

use model::{Argument, Arguments, Happened, RunChange, Timestamp, Work};
use playbook::{Run, Turn, Wait};
use responders::{Action, ActionError, Effect, Host};

use super::error::CarryError;
use super::guard::Watched;
use super::journal::Journal;
use super::sealing::{Seal, Sealed};
use super::vault::Vault;
use super::{Frozen, Place, evidence, make_ours};

/// Where a run came to a rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It waits for a person.
    Waits(Wait),
    /// Nothing is done on this host until it is thawed.
    Frozen(Frozen),
    /// There is nothing more to do.
    Over,
}

/// Carries one run out on this host.
pub struct Carrier<'a> {
    pub(super) host: &'a Host,
    pub(super) place: Place,
    pub(super) vault: Vault,
    journal: Journal,
    pub(super) clock: &'a dyn Fn() -> Timestamp,
    pub(super) watched: Watched<'a>,
    pub(super) sealed: Sealed<'a>,
}

/// What is needed to do a step.
pub(super) struct Doing {
    pub(super) action: &'static dyn Action,
    pub(super) arguments: Arguments,
}

impl<'a> Carrier<'a> {
    /// Of a journal that is open.
    ///
    /// # Errors
    ///
    /// [`CarryError`] when the vault can't be used.
    pub fn new(
        host: &'a Host,
        place: Place,
        journal: Journal,
        clock: &'a dyn Fn() -> Timestamp,
    ) -> Result<Self, CarryError> {
        let vault = Vault::open(&place.vault())?;
        Ok(Self {
            host,
            place,
            vault,
            journal,
            clock,
            watched: Watched::default(),
            sealed: Sealed::default(),
        })
    }

    /// The run as it stands.
    #[must_use]
    pub fn run(&self) -> &Run {
        self.journal.run()
    }

    /// Takes what a person says.
    ///
    /// # Errors
    ///
    /// [`CarryError`] when it doesn't fit where the run is.
    pub fn say(&mut self, what: Happened) -> Result<(), CarryError> {
        self.say_for(String::new(), what)
    }

    /// As [`Self::say`], of what people say by an order from the console.
    ///
    /// # Errors
    ///
    /// [`CarryError`] when it doesn't fit where the run is.
    pub fn say_for(&mut self, order: String, what: Happened) -> Result<(), CarryError> {
        let closes = matches!(what, Happened::Closed { .. });
        // Closed before what undoes it was gone, it is closed once more.
        if !(closes && self.run().is_closed) {
            self.may_write()?;
            self.journal.append_for(order, what, (self.clock)())?;
        }
        if closes {
            self.vault.destroy(&self.run().id)?;
        }
        Ok(())
    }

    /// Tries once more to undo a step that could not be undone.
    ///
    /// # Errors
    ///
    /// [`CarryError`].
    pub fn undo_again(&mut self, step: usize) -> Result<(), CarryError> {
        let _lock = self.lock()?;
        self.undo(step)
    }

    /// Goes on until a person has to say something, or nothing is left. `told` hears of each entry after it is on disk.
    ///
    /// # Errors
    ///
    /// [`CarryError`]; what was begun is settled when it goes on.
    pub fn go(&mut self, told: &mut dyn FnMut(&Run)) -> Result<Stand, CarryError> {
        loop {
            let before = self.run().entries;
            if let Some(stand) = self.step()? {
                return Ok(stand);
            }
            if self.run().entries > before {
                told(self.run());
            }
        }
    }

    /// Does what is next and writes it down, or says why nothing is next. Whoever is to stop stops between two of these: none waits
    /// for more than half a second, but for what a step itself takes.
    ///
    /// # Errors
    ///
    /// [`CarryError`]; what was begun is settled when it goes on.
    pub fn step(&mut self) -> Result<Option<Stand>, CarryError> {
        if self.time_out()? {
            return Ok(None);
        }
        let turn = self.run().turn();
        let stand = match &turn {
            Turn::Wait(wait) => Some(Stand::Waits(wait.clone())),
            Turn::Nothing => Some(Stand::Over),
            Turn::Undo(_) | Turn::Skip(..) => None,
            Turn::Keep(_) | Turn::Survey(_) | Turn::Act(_) | Turn::Settle(_) => {
                self.frozen()?.map(Stand::Frozen)
            }
        };
        // What the guard says may change what is next.
        if self.watch(&turn, stand.is_some())? || self.unwind()? {
            return Ok(None);
        }
        if stand.is_some() {
            return Ok(stand);
        }
        if !matches!(turn, Turn::Act(_)) {
            self.sealed.rests();
        }
        let unsealed = match turn {
            Turn::Act(step) => match self.seal_before(step) {
                Seal::Waits => return Ok(None),
                seal => seal == Seal::Lacks,
            },
            _ => false,
        };
        // One step at a time on this host: two that write one file would each put back what the other did.
        let _lock = self.lock()?;
        self.take(turn, unsealed)?;
        Ok(None)
    }

    pub(super) fn frozen(&self) -> Result<Option<Frozen>, CarryError> {
        let path = self.place.journals();
        self.place
            .frozen()
            .map_err(|source| CarryError::File { path, source })
    }

    fn take(&mut self, turn: Turn, unsealed: bool) -> Result<(), CarryError> {
        match turn {
            Turn::Keep(step) => self.keep(step),
            Turn::Survey(step) => self.survey(step),
            Turn::Act(step) => self.act(step, unsealed),
            Turn::Settle(step) => self.settle(step),
            Turn::Undo(step) => self.undo(step),
            Turn::Skip(step, why) => {
                let by = None;
                self.note(Happened::Skipped { step, why, by })
            }
            Turn::Wait(_) | Turn::Nothing => Ok(()),
        }
    }

    fn keep(&mut self, step: usize) -> Result<(), CarryError> {
        let arguments = match self.arguments(step, playbook::EXPECTED) {
            Ok(arguments) => arguments,
            Err(why) => return self.failed(step, why, String::new()),
        };
        let kept = evidence::keep(&self.place, self.host, &self.run().id, step, &arguments);
        match kept {
            Ok(pieces) => self.note(Happened::Kept { step, pieces }),
            Err(why) => self.failed(step, why, String::new()),
        }
    }

    fn survey(&mut self, step: usize) -> Result<(), CarryError> {
        let doing = match self.doing(step) {
            Ok(doing) => doing,
            Err(why) => return self.failed(step, why, String::new()),
        };
        if let Some(on) = self.held_by(step, &doing)? {
            return self.note(Happened::Relies { step, on });
        }
        let survey = match doing.action.survey(self.host, &doing.arguments) {
            Ok(survey) => survey,
            Err(error) => return self.failed(step, said(&error), String::new()),
        };
        self.may_write()?;
        let kept = self.vault.put(&self.run().id, &survey.kept)?;
        let changes = survey.changes.into_iter().map(|change| {
            let mut change = RunChange {
                what: change.what,
                now: change.now,
                then: change.then,
            };
            for text in [&mut change.what, &mut change.now, &mut change.then] {
                crate::hide::hide(text);
            }
            change
        });
        // By hand, or by a run that was closed: then undoing this one opens nothing.
        let effect = doing
            .action
            .read_back(self.host, &doing.arguments, &survey.kept);
        let already =
            matches!(effect, Ok(Effect::InEffect)) && !doing.action.facts().undo.is_made_anew();
        self.note(Happened::Surveyed {
            step,
            changes: changes.collect(),
            kept,
            already,
        })
    }

    fn act(&mut self, step: usize, unsealed: bool) -> Result<(), CarryError> {
        // Another run may have done the same since the survey; done twice, the first that is undone would open it for both.
        if let Ok(doing) = self.doing(step)
            && let Some(on) = self.held_by(step, &doing)?
        {
            return self.note(Happened::Relies { step, on });
        }
        self.remember(step);
        self.note(Happened::Intended { step, unsealed })?;
        self.finish(step)
    }

    /// Does what was intended, and looks.
    pub(super) fn finish(&mut self, step: usize) -> Result<(), CarryError> {
        let (doing, kept) = match self.kept(step) {
            Ok(found) => found,
            Err(why) => return self.failed(step, why, String::new()),
        };
        let done = doing.action.act(self.host, &doing.arguments, &kept);
        let effect = doing.action.read_back(self.host, &doing.arguments, &kept);
        let (why, effect) = match (done, effect) {
            (Ok(()), Ok(Effect::InEffect)) => return self.done(step),
            (Ok(()), Ok(effect)) => (
                "it was done, and the world doesn't show it".to_owned(),
                Ok(effect),
            ),
            (Ok(()), Err(error)) => (said(&error), Err(error)),
            (Err(error), effect) => (said(&error), effect),
        };
        let partly = match effect {
            Ok(Effect::NotInEffect) => return self.failed(step, why, String::new()),
            Ok(Effect::InEffect) => "it holds".to_owned(),
            Ok(Effect::Partly(words)) => words,
            Err(_) => "whether it holds can't be found out".to_owned(),
        };
        // What failed is taken back at once; what can't be is told.
        match doing.action.undo(self.host, &doing.arguments, &kept) {
            Ok(()) => self.failed(step, why, String::new()),
            Err(error) => self.failed(step, format!("{why}; then {}", said(&error)), partly),
        }
    }

    fn undo(&mut self, step: usize) -> Result<(), CarryError> {
        self.note(Happened::UndoIntended { step })?;
        let relies = self.relied_on_by(step)?;
        let undone = match relies {
            Some(other) => Err(format!(
                "{other} relies on it: undo that first, or leave this one as it is"
            )),
            None => self.kept(step).and_then(|(doing, kept)| {
                doing
                    .action
                    .undo(self.host, &doing.arguments, &kept)
                    .map_err(|error| said(&error))?;
                // What is made anew isn't given back, so nothing shows that it was.
                if doing.action.facts().undo.is_made_anew() {
                    return Ok(lost(doing.action));
                }
                let effect = doing.action.read_back(self.host, &doing.arguments, &kept);
                let already = self.run().steps.get(step).is_some_and(|one| one.already);
                match effect.map_err(|error| said(&error))? {
                    Effect::NotInEffect => Ok(lost(doing.action)),
                    Effect::InEffect if already => Ok(String::new()),
                    Effect::InEffect => Err("it was undone, and it still holds".to_owned()),
                    Effect::Partly(words) => Err(words),
                }
            }),
        };
        match undone {
            Ok(lost) => {
                self.note(Happened::Undone { step, lost })?;
                self.watched.undone();
                Ok(())
            }
            Err(mut why) => {
                crate::hide::hide(&mut why);
                self.note(Happened::UndoFailed { step, why })
            }
        }
    }

    pub(super) fn done(&mut self, step: usize) -> Result<(), CarryError> {
        self.note(Happened::Done { step })?;
        self.ask_for_look();
        Ok(())
    }

    pub(super) fn failed(
        &mut self,
        step: usize,
        mut why: String,
        mut partly: String,
    ) -> Result<(), CarryError> {
        crate::hide::hide(&mut why);
        crate::hide::hide(&mut partly);
        self.note(Happened::Failed { step, why, partly })
    }

    pub(super) fn note(&mut self, what: Happened) -> Result<(), CarryError> {
        self.note_at(what, (self.clock)())
    }

    pub(super) fn note_at(&mut self, what: Happened, at: Timestamp) -> Result<(), CarryError> {
        self.may_write()?;
        Ok(self.journal.append(what, at)?)
    }

    /// In tests of what comes after the end of a process, each write may be the last.
    fn may_write(&self) -> Result<(), CarryError> {
        self.host
            .step(self.journal.path())
            .map_err(|error| CarryError::File {
                path: self.journal.path().to_owned(),
                source: std::io::Error::other(error.to_string()),
            })
    }

    /// The action of a step and what it is given, read to its kinds anew.
    fn doing(&self, step: usize) -> Result<Doing, String> {
        let name = self.run().action(step).unwrap_or_default();
        let action = responders::action(name).ok_or_else(|| {
            format!("magewarden doesn't do `{name}` on this host: do it by hand and say so")
        })?;
        let facts = action.facts();
        let says = self.run().planned(step).is_some_and(|planned| {
            matches!(&planned.work, Work::Action { forensic_impact, layer, undo, .. }
                if *forensic_impact == facts.forensic_impact && *layer == facts.layer
                    && undo.is_danger == (facts.undo == model::Undo::Danger))
        });
        if !says {
            // Order, evidence and approval went by what the plan says.
            return Err(format!(
                "the plan says of `{name}` what isn't so: make the plan anew"
            ));
        }
        let arguments = self.arguments(step, &[*facts])?;
        Ok(Doing { action, arguments })
    }

    fn arguments(&self, step: usize, facts: &[model::ActionFacts]) -> Result<Arguments, String> {
        let planned = self.run().planned(step).map(|one| &one.work);
        let Some(Work::Action {
            action, arguments, ..
        }) = planned
        else {
            return Err("it is no action".to_owned());
        };
        let facts = facts.iter().find(|facts| facts.name == action);
        let parameters = facts.map(|facts| facts.parameters).unwrap_or_default();
        let mut out = Arguments::new();
        for parameter in parameters {
            let Some(text) = arguments.get(parameter.name) else {
                if parameter.is_required {
                    return Err(format!("`{}` is missing", parameter.name));
                }
                continue;
            };
            let read = Argument::read(parameter.kind, text).map_err(|error| error.to_string())?;
            out.insert(parameter.name, read);
        }
        Ok(out)
    }

    /// What does a step, and what undoes it.
    pub(super) fn kept(&self, step: usize) -> Result<(Doing, Vec<u8>), String> {
        let run = self.run();
        let name = run.steps.get(step).and_then(|one| one.kept.as_deref());
        let name = name.ok_or("nothing is kept of it")?;
        let kept = self.vault.get(&run.id, name);
        let kept = kept.map_err(|error| error.to_string())?;
        Ok((self.doing(step)?, kept))
    }

    fn lock(&self) -> Result<File, CarryError> {
        let folder = self.place.journals();
        let path = folder.join("lock");
        let lock = || {
            make_ours(&folder)?;
            let mut options = File::options();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| CarryError::File {
            path: path.clone(),
            source,
        })
    }
}

/// An error and what is behind it.
pub(super) fn said(error: &ActionError) -> String {
    let mut out = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        out.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    out
}

/// What undoing an action doesn't bring back.
fn lost(action: &dyn Action) -> String {
    match action.facts().undo {
        model::Undo::Whole => String::new(),
        model::Undo::AllBut(what) | model::Undo::MadeAnew(what) => what.to_owned(),
        model::Undo::Danger => "nothing undoes it".to_owned(),
    }
}

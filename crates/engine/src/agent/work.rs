//! What an agent does between two calls: takes what it is told, lets runs go on, says what is new.
//!
//! Invariant: an order that a run's journal names isn't taken again, whatever else was lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Happened, HostReply, HostReport, Instructed, Instruction, ORDER_VERSION, RUN_VERSION, Refused,
    RunEntry, Signed, Timestamp, Word,
};
use playbook::{Run, Turn, Wait};
use responders::Host;

use super::Settings;
use super::examine::{Clocks, Me, examine};
use super::handing::Handing;
use super::hands::{Hands, said};
use super::kept::{KeptError, Told};
use super::policy::{Around, Policy};
use super::unsealed::Unsealed;
use crate::runs::{
    Carrier, CarryError, Journal, JournalError, Place, Watch, Watching, entries, read,
};

/// Entries of one report – with refusals no more than the 200 that the server takes –, and bytes of them at most: the rest is told with the next.
const ENTRIES_MAX: usize = 100;
const ENTRIES_BYTES_MAX: usize = 2 << 20;
/// Refusals of one report.
const REFUSALS_MAX: usize = 100;
/// Letters of why nothing is done here.
const FROZEN_MAX: usize = 500;
/// Largest plan that is begun, in bytes of JSON: the entry that begins it has to fit a report.
const PLAN_BYTES_MAX: usize = 960 << 10;
/// Instructions that wait for a run to stop.
const PENDING_MAX: usize = 100;
/// Seconds until a run that could not go on is tried again.
const AGAIN_SECONDS: i64 = 30;

/// What became of an instruction.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// It was done, now or before.
    Done,
    /// The run has to stop first, or another process is at it.
    Later,
}

/// What is done on this host.
pub(super) struct Work {
    folder: std::path::PathBuf,
    place: Place,
    host: Arc<Host>,
    policy: Policy,
    clock: fn() -> Timestamp,
    program: String,
    tell: Box<dyn Fn(&str) + Send>,
    me: Me,
    told: Told,
    pub(super) hands: Hands,
    handing: Handing,
    /// Instructions whose run has to stop first.
    pending: VecDeque<Instruction>,
    /// Runs that could not go on, and when they are tried again.
    resting: BTreeMap<String, Timestamp>,
    unsealed: Unsealed,
    /// What was said of a run already, so that it is said once.
    mentioned: BTreeMap<String, String>,
}

impl Work {
    pub(super) fn new(settings: Settings, me: Me) -> Result<Self, KeptError> {
        let place = Place::below(&settings.folder);
        let host = Arc::new(settings.host);
        let told = Told::read(&settings.folder)?;
        // Without its guard a host still contains.
        let watch = Watch::begin(Arc::clone(&host), settings.clock).unwrap_or_else(|error| {
            (settings.tell)(&format!("there is no thread for the guard: {error}"));
            None
        });
        // So that there is one when the first step is done.
        if let Some(watch) = &watch {
            drop(watch.after((settings.clock)(), Duration::ZERO));
        }
        let hands = Hands::new(Arc::clone(&host), place.clone(), settings.clock, watch);
        hands.seals().hear(&told.sealed);
        Ok(Self {
            folder: settings.folder,
            place,
            host,
            policy: settings.policy,
            clock: settings.clock,
            program: settings.program,
            tell: settings.tell,
            me,
            told,
            hands,
            handing: Handing::default(),
            pending: VecDeque::new(),
            resting: BTreeMap::new(),
            unsealed: Unsealed::default(),
            mentioned: BTreeMap::new(),
        })
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn say(&self, line: &str) {
        (self.tell)(line);
    }

    /// Says something of a run, or of all, once until it is something else.
    pub(super) fn mention(&mut self, about: &str, line: &str) {
        if self.mentioned.get(about).is_none_or(|said| said != line) {
            self.mentioned.insert(about.to_owned(), line.to_owned());
            self.say(line);
        }
    }

    pub(super) fn forget(&mut self, about: &str) -> bool {
        self.mentioned.remove(about).is_some()
    }

    /// Whether nothing moves here, so that the server may take its time to answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.hands.is_idle() && self.pending.is_empty()
    }

    /// Whether a run may begin to move without a word of the server: it has to be told soon then.
    pub(super) fn rests(&self) -> bool {
        !self.resting.is_empty() || !matches!(self.place.frozen(), Ok(None))
    }

    /// What was closed before a stop and whose undo data is still there.
    pub(super) fn tidy(&mut self) {
        for run in self.runs().into_iter().filter(|run| run.is_closed) {
            let by = run.approved_by.first().cloned();
            let Some(by) = by else { continue };
            // A run that is closed once more only loses what undoes it; where it can't now, the next start does.
            if let Ok(mut carrier) = self.carrier(&run.id)
                && let Err(error) = carrier.say(Happened::Closed { by })
            {
                self.say(&format!("{}: {}", run.id, said(&error)));
            }
        }
    }

    /// Lets runs go on that can, and takes what waited for one to stop.
    pub(super) fn go_on(&mut self) {
        let now = self.now();
        if let Some(trouble) = self.hands.watch().and_then(Watch::trouble) {
            self.mention("the guard", &format!("the guard sees nothing: {trouble}"));
        }
        for trouble in self.handing.troubles() {
            self.say(&trouble);
        }
        self.handing.go_on(&self.folder);
        for rest in self.hands.rested() {
            if let Some(trouble) = rest.trouble {
                self.mention(&rest.run, &format!("{}: {trouble}", rest.run));
                let again = now.plus_seconds(AGAIN_SECONDS);
                self.resting.insert(rest.run, again);
            }
        }
        for _ in 0..self.pending.len() {
            if let Some(instruction) = self.pending.pop_front() {
                self.take(instruction);
            }
        }
        let is_frozen = self.place.frozen().map_or(true, |frozen| frozen.is_some());
        for run in self.runs() {
            let rests = self.resting.get(&run.id).is_some_and(|until| *until > now);
            // One that an administrator began by hand is theirs.
            let is_ours = !run.orders.is_empty();
            if is_ours && !rests && !self.hands.is_at(&run.id) && self.may_move(&run, is_frozen) {
                self.resting.remove(&run.id);
                self.begin(&run.id, false);
            }
        }
    }

    fn may_move(&mut self, run: &Run, is_frozen: bool) -> bool {
        // What the guard has yet to say is waited for, whether or not anything else is to be done.
        let is_watched = self.hands.watch().is_some() && run.unguarded().next().is_some();
        match run.turn() {
            Turn::Wait(_) | Turn::Nothing if run.overdue(self.now()).is_none() => {
                is_watched || self.hands.may_unwind(run)
            }
            // Undoing is always allowed.
            Turn::Undo(_) => true,
            _ if is_frozen && !is_watched => false,
            _ => {
                let reasons = self.policy.refuses(&run.plan, self.around());
                if let Some(reason) = reasons.first() {
                    let line = format!("{} doesn't go on: {reason}", run.id);
                    self.mention(&run.id, &line);
                }
                reasons.is_empty()
            }
        }
    }

    /// Lets every run stop after its present entry; whether all have.
    pub(super) fn stop(&mut self) -> bool {
        self.hands.stop_all();
        self.hands.rested();
        self.hands.is_idle()
    }

    /// What is new since the server last answered.
    pub(super) fn report(&mut self) -> HostReport {
        let frozen = match self.place.frozen() {
            Ok(None) => String::new(),
            Ok(Some(frozen)) => {
                format!("since {} by {}: {}", frozen.at, frozen.by, frozen.why)
            }
            Err(error) => format!("whether it is frozen can't be found out: {error}"),
        };
        HostReport {
            v: ORDER_VERSION,
            at: self.now(),
            program: self.program.clone(),
            actions: self.policy.actions.iter().cloned().collect(),
            frozen: frozen.chars().take(FROZEN_MAX).collect(),
            entries: self.news(),
            refused: self
                .told
                .refused
                .iter()
                .take(REFUSALS_MAX)
                .cloned()
                .collect(),
            sales: self.hands.watch().and_then(Watch::sales),
        }
    }

    fn news(&mut self) -> Vec<RunEntry> {
        let (mut out, mut bytes, now) = (Vec::new(), 0, self.now());
        self.unsealed.begin();
        for run in self.runs() {
            let from = self.told.sealed.get(&run.id).copied().unwrap_or_default();
            if from >= run.entries || self.unsealed.waits(&run.id, now) {
                continue;
            }
            let Ok(new) = entries(&self.place.journals(), &run.id, from) else {
                continue;
            };
            for entry in new {
                bytes += serde_json::to_vec(&entry).map_or(0, |text| text.len());
                let is_full = out.len() >= ENTRIES_MAX || bytes > ENTRIES_BYTES_MAX;
                // One that is too large by itself is told alone.
                if is_full && !out.is_empty() {
                    return out;
                }
                self.unsealed.tell(&run.id, from);
                out.push(entry);
            }
        }
        out
    }

    /// Takes what the server answered; whether it had anything new for us.
    ///
    /// # Errors
    ///
    /// [`KeptError`] when it can't be remembered; then it is as if nothing had been answered.
    pub(super) fn hear(&mut self, reply: &HostReply) -> Result<bool, KeptError> {
        let mut told = self.told.clone();
        // Only of runs that are here: the file grows with them alone.
        for run in self.runs() {
            if let Some(sealed) = reply.sealed.get(&run.id) {
                told.sealed
                    .insert(run.id.clone(), *sealed.min(&run.entries));
            }
        }
        let is_heard = |one: &Refused| reply.heard.contains(&one.order);
        told.refused.retain(|one| !is_heard(one));
        let clocks = Clocks {
            own: self.now(),
            server: reply.at,
        };
        let is_news = told != self.told || !reply.instructions.is_empty();
        self.keep(told)?;
        self.hands.hear(&reply.quiet_seconds);
        self.hands.seals().hear(&self.told.sealed);
        self.unsealed.heard(&self.told.sealed, clocks.own);
        self.handing.want(&reply.wanted);
        for signed in &reply.instructions {
            self.hear_signed(signed, clocks);
        }
        Ok(is_news)
    }

    fn hear_signed(&mut self, signed: &Signed, clocks: Clocks) {
        match examine(signed, &self.me, clocks) {
            Ok(instruction) => self.take(instruction),
            Err(refused) if refused.order.is_empty() => {
                self.mention("forged", &format!("not taken: {}", refused.why));
            }
            // What is known is no news, and what was taken before is no refusal now that its time is over.
            Err(refused) if self.is_taken(&refused.run, &refused.order) => {}
            Err(refused) => self.refuse(*refused),
        }
    }

    fn is_taken(&self, run: &str, order: &str) -> bool {
        read(&self.place.journals(), run).is_ok_and(|run| run.orders.contains(order))
    }

    fn take(&mut self, instruction: Instruction) {
        let is_refused = |one: &Refused| one.order == instruction.order;
        if self.told.refused.iter().any(is_refused) {
            return;
        }
        let (run, order) = (instruction.run.clone(), instruction.order.clone());
        let why = match self.carry_out(&instruction) {
            Ok(Taken::Done) => return,
            Ok(Taken::Later) => {
                let is_known = |one: &Instruction| one.order == order;
                if self.pending.len() < PENDING_MAX && !self.pending.iter().any(is_known) {
                    self.pending.push_back(instruction);
                }
                return;
            }
            // What failed after it was on disk is done all the same.
            Err(_) if self.is_taken(&run, &order) => return,
            Err(why) => why,
        };
        let at = self.now();
        self.refuse(Refused {
            run,
            order,
            why,
            at,
        });
    }

    fn refuse(&mut self, refused: Refused) {
        self.say(&format!("{} not taken: {}", refused.run, refused.why));
        let mut told = self.told.clone();
        told.refuse(refused);
        if let Err(error) = self.keep(told) {
            self.say(&said(&error));
        }
    }

    fn keep(&mut self, mut told: Told) -> Result<(), KeptError> {
        if told != self.told {
            told.write(&self.folder)?;
            self.told = told;
        }
        Ok(())
    }

    fn carry_out(&mut self, instruction: &Instruction) -> Result<Taken, String> {
        if self.is_taken(&instruction.run, &instruction.order) {
            return Ok(Taken::Done);
        }
        if instruction.until <= self.now() {
            return Err(format!(
                "its run didn't stop until {}, when it was over",
                instruction.until
            ));
        }
        match &instruction.what {
            Instructed::Begin {
                plan,
                hash,
                answers,
            } => {
                let mut reasons = self.policy.refuses(plan, self.around());
                reasons.extend(self.policy.refuses_people(&instruction.by));
                if serde_json::to_vec(plan).map_or(usize::MAX, |text| text.len()) > PLAN_BYTES_MAX {
                    reasons.push("the plan is longer than 960 KiB".to_owned());
                }
                if !reasons.is_empty() {
                    return Err(reasons.join("; "));
                }
                let approval = RunEntry {
                    v: RUN_VERSION,
                    run: instruction.run.clone(),
                    number: 0,
                    at: self.now(),
                    order: instruction.order.clone(),
                    what: Happened::Approved {
                        plan: plan.clone(),
                        hash: hash.clone(),
                        by: instruction.by.clone(),
                        answers: answers.clone(),
                    },
                };
                let begun = Journal::begin(&self.place.journals(), &approval);
                drop(begun.map_err(|error| said(&error))?);
                self.begin(&instruction.run, false);
                Ok(Taken::Done)
            }
            Instructed::Say { seen, word, note } => self.hear_word(instruction, *seen, *word, note),
            _ => Err("this version of magewarden doesn't know what is asked".to_owned()),
        }
    }

    fn hear_word(
        &mut self,
        instruction: &Instruction,
        seen: u64,
        word: Word,
        note: &str,
    ) -> Result<Taken, String> {
        let known = read(&self.place.journals(), &instruction.run);
        if known.is_ok_and(|run| run.orders.is_empty()) {
            return Err("it was begun by hand on this host: say it there".to_owned());
        }
        if self.hands.is_at(&instruction.run) {
            // One that rests and only waits for the guard takes an answer as any that rests.
            let rests = read(&self.place.journals(), &instruction.run)
                .is_ok_and(|run| matches!(run.turn(), Turn::Wait(_)));
            if word.is_answer() && !rests {
                return Err("the run goes on and waits for nobody".to_owned());
            }
            self.hands.stop(&instruction.run);
            return Ok(Taken::Later);
        }
        let mut carrier = match self.carrier(&instruction.run) {
            Ok(carrier) => carrier,
            Err(CarryError::Journal(JournalError::Busy { .. })) => return Ok(Taken::Later),
            Err(error) => return Err(said(&error)),
        };
        let run = carrier.run();
        if word.is_answer() && run.entries != seen {
            return Err(format!(
                "it was said when {seen} entries of the run were known, and there are {}",
                run.entries
            ));
        }
        if word == Word::Close && run.is_closed {
            return Err("the run is over already".to_owned());
        }
        let what = run.said(word, &instruction.by, note);
        let what = what.map_err(|error| error.to_string())?;
        let order = instruction.order.clone();
        let heard = carrier.say_for(order, what);
        heard.map_err(|error| said(&error))?;
        // What could not be undone before is tried anew.
        let again =
            word == Word::Undo && matches!(carrier.run().turn(), Turn::Wait(Wait::UndoFailed(_)));
        drop(carrier);
        if again {
            self.begin(&instruction.run, true);
        }
        self.resting.remove(&instruction.run);
        Ok(Taken::Done)
    }

    fn begin(&mut self, run: &str, again: bool) {
        if let Err(error) = self.hands.begin(run, again) {
            self.mention(run, &format!("{run}: there is no thread for it: {error}"));
        }
    }

    fn carrier(&self, run: &str) -> Result<Carrier<'_>, CarryError> {
        let journal = Journal::open(&self.place.journals(), run)?;
        Carrier::new(&self.host, self.place.clone(), journal, &self.clock)
    }

    /// Every run of this host that can be read, oldest first.
    fn runs(&mut self) -> Vec<Arc<Run>> {
        let (runs, errors) = match self.place.runs() {
            Ok(looked) => looked,
            Err(error) => (Vec::new(), vec![Arc::new(error)]),
        };
        for error in errors {
            // Not begun: its first line isn't whole.
            if !matches!(*error, JournalError::NoRun { .. }) {
                let line = said(&error);
                self.mention(&line, &line);
            }
        }
        runs
    }

    fn around(&self) -> Around<'_> {
        let nginx = self.host.settings.nginx.as_ref();
        Around {
            facts: playbook::EXPECTED,
            stores: &self.host.stores,
            proxies: nginx.map(|one| one.proxies.as_slice()).unwrap_or_default(),
        }
    }
}

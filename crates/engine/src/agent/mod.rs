//! The agent on a shop's host: carries out what the server signed and the owner's policy allows, tells what came of it, and hands over
//! what the host's logs say.
//!
//! It calls and is never called. With the server away it goes on with what was begun, and an administrator undoes a run or freezes
//! the host by files that both read. Why plans are carried out here: `docs/decisions/0013-from-a-playbook-to-a-run.md`.

mod calls;
mod collect;
mod examine;
mod handing;
mod hands;
mod kept;
mod looking;
mod policy;
mod seals;
#[cfg(test)]
mod tests;
mod unsealed;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use link::wire::WAIT_SECONDS_MAX;
use link::{CallError, LinkError};
use model::Timestamp;
use responders::Host;

use calls::{Calls, pause};
use collect::Collecting;
use examine::Me;
use hands::said;
use work::Work;

pub use calls::BeginError;
pub use collect::{Collect, FILES_MAX, KINDS as SOURCE_KINDS, SPOOL_BYTES, SPOOL_BYTES_MIN};
pub use kept::{KeptError, identity, keep_identity, may_enrol};
pub use policy::{Around, Policy, PolicyError};

/// How often it looks for what moved.
const TICK: Duration = Duration::from_millis(200);
/// Least pause after a report that the server has and didn't seal.
const REPORT: Duration = Duration::from_secs(1);

/// What an agent is given.
pub struct Settings {
    /// The folder of runs and of what the agent remembers: ours alone.
    pub folder: std::path::PathBuf,
    /// What is there on this host.
    pub host: Host,
    /// What its owner lets be done.
    pub policy: Policy,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Version of the program.
    pub program: String,
    /// Hears what an administrator should know, a line each.
    pub tell: Box<dyn Fn(&str) + Send>,
    /// What is collected here, if anything is.
    pub collect: Option<Collect>,
}

/// Why an agent can't run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// What it remembers can't be used.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// What it was enrolled with can't be used.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It can't begin to call.
    #[error(transparent)]
    Begin(#[from] BeginError),
}

/// Runs until `stop` is set, and then until every run has written down what it was doing.
///
/// # Errors
///
/// [`RunError`] when it can't begin. A server that is away is no error.
pub fn run(mut settings: Settings, stop: &AtomicBool) -> Result<(), RunError> {
    let identity = identity(&settings.folder)?;
    let me = Me {
        installation: identity.installation.clone(),
        name: identity.name.clone(),
        verifier: identity.verifier()?,
    };
    let (collect, clock) = (settings.collect.take(), settings.clock);
    let mut work = Work::new(settings, me)?;
    let collecting = collect
        .map(|collect| Collecting::begin(collect, work.folder().to_owned(), clock))
        .transpose()
        .map_err(|source| BeginError::Thread { source })?;
    let mut calls = Calls::begin(work.folder(), identity)?;
    let mut line = Line::default();
    work.tidy();
    while !stop.load(Ordering::SeqCst) {
        work.go_on();
        if let Some(answer) = calls.answer(TICK, work.hands.seals()) {
            line.next = Instant::now() + line.heard(answer, &mut work);
            // What it is told is done at once.
            work.go_on();
        }
        let is_due = Instant::now() >= line.next;
        // A step that waits for its evidence to be sealed waits for no pause.
        let is_awaited = line.is_well() && work.hands.seals().is_awaited();
        if !calls.is_out() && (is_due || is_awaited) {
            let report = work.report();
            let has_news = !report.entries.is_empty() || !report.refused.is_empty();
            if !is_due && !has_news {
                continue;
            }
            let wait = match work.is_quiet() && !has_news && line.failures == 0 {
                true if work.rests() => 1,
                true => WAIT_SECONDS_MAX,
                false => 0,
            };
            line.told = report.entries.len() + report.refused.len();
            line.asked = Instant::now();
            calls.ask(report, wait);
        }
    }
    while !work.stop() {
        std::thread::sleep(TICK);
    }
    if let Some(collecting) = collecting {
        collecting.end();
    }
    Ok(())
}

/// How the line to the server is.
struct Line {
    failures: u32,
    next: Instant,
    /// When the report that is out was sent, and how much it tells.
    asked: Instant,
    told: usize,
    /// How often in a row the server had what was told and didn't seal it.
    unsealed: u32,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            failures: 0,
            next: Instant::now(),
            asked: Instant::now(),
            told: 0,
            unsealed: 0,
        }
    }
}

impl Line {
    /// Whether what is told is sealed.
    const fn is_well(&self) -> bool {
        self.failures == 0 && self.unsealed == 0
    }

    /// Takes an answer; gives how long until the next call.
    fn heard(&mut self, answer: Result<model::HostReply, CallError>, work: &mut Work) -> Duration {
        let trouble = match answer {
            Ok(reply) => {
                self.failures = 0;
                if work.forget(SERVER) {
                    work.say("the server answers again");
                }
                match work.hear(&reply) {
                    Ok(is_news) => {
                        // What it doesn't seal now is told again, less and less often.
                        let is_stuck = self.told > 0 && !is_news;
                        self.unsealed = if is_stuck { self.unsealed + 1 } else { 0 };
                        return match is_stuck {
                            true => pause(self.unsealed, u8::MAX).max(REPORT),
                            // After an answer that waited nobody waits: an order that comes meanwhile would, too.
                            false => TICK.saturating_sub(self.asked.elapsed()),
                        };
                    }
                    Err(error) => said(&error),
                }
            }
            Err(error) => error.to_string(),
        };
        self.failures = self.failures.saturating_add(1);
        work.hands.seals().away();
        // Once, however often it fails: what it does here goes on.
        if self.failures == 1 {
            work.mention(SERVER, &format!("{trouble}; what was begun goes on"));
        }
        let mut chance = [0];
        match getrandom::fill(&mut chance) {
            Ok(()) => pause(self.failures, chance[0]),
            // Hosts that call at once are no harm to one of them.
            Err(_) => pause(self.failures, u8::MAX),
        }
    }
}

const SERVER: &str = "the server";

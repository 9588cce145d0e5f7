//! `runs`: plans carried out and undone on this host, also when nothing else of magewarden is alive.

mod words;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use engine::runs::{
    Carrier, CarryError, Frozen, Journal, JournalError, LOOK_WAIT, Looks, Place, Stand, Watch,
    Watching as _, new_id, read,
};
use model::{Happened, Person, Plan, RUN_VERSION, RunEntry};
use playbook::{Run, Turn, Wait};
use responders::{Host, HostSettings};

use words::{asks, called, show, show_all, stands, states};

use super::settings::read_stores;
use super::{FOUND, now};
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// What `runs` is told.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    magewarden playbooks plan web-shell --set __file__=pub/media/x.php --stores stores.toml --json > plan.json\n  \
    magewarden runs begin plan.json --approve SHA256 --by ann --host host.toml --stores stores.toml\n  \
    magewarden runs                                    every run of this host, and what it waits for\n  \
    magewarden runs show RUN                           each step, what it changed, what undoes it\n  \
    magewarden runs say RUN done --note 'asked the provider' --by ann --host host.toml --stores stores.toml\n  \
    magewarden runs undo RUN --why 'false alarm' --by ann --host host.toml --stores stores.toml\n  \
    magewarden runs freeze --why 'who does this?' --by ann\n\n\
    For administrators, on the shop's own host (docs/containment.md).\n\n\
    Exit codes: 0 nothing is left to do; 1 error; 2 usage; 10 it waits for a person.")]
pub(crate) struct Runs {
    #[command(subcommand)]
    what: Option<What>,
    /// Folder of journals, evidence and of what undoes steps: ours alone
    #[arg(
        long,
        value_name = "DIR",
        default_value = DATA,
        global = true
    )]
    data: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// List the runs of this host (what is done when nothing else is said)
    List,
    /// Show a run: each step, what it changed, what came of it, what it waits for
    Show {
        /// Its id
        run: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Carry out a plan that was approved
    Begin {
        /// The plan, as `magewarden playbooks plan --json` prints it
        plan: PathBuf,
        /// SHA-256 of what was approved
        #[arg(long, value_name = "SHA256")]
        approve: String,
        /// A condition that is known to hold or not
        #[arg(long = "answer", value_name = "CONDITION=true|false")]
        answers: Vec<String>,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        on: On,
    },
    /// Go on with a run where it stopped
    Go {
        /// Its id
        run: String,
        #[command(flatten)]
        on: On,
    },
    /// Say what a run waits for
    Say {
        /// Its id
        run: String,
        /// What
        #[arg(value_enum)]
        word: Word,
        /// What is to be remembered of it
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        on: On,
    },
    /// Undo a run, last step first; or one step of it
    Undo(Undo),
    /// End a run for good: what undoes it is destroyed
    Close {
        /// Its id
        run: String,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        on: On,
    },
    /// Let nothing more be done on this host, whoever asks; undoing still works
    Freeze(Freeze),
    /// Let things be done again
    Thaw,
}

/// What is undone, and why; `agent undo` is the same.
#[derive(Args)]
#[group(skip)]
pub(super) struct Undo {
    /// Its id
    run: String,
    /// Which step alone, from 1
    #[arg(long)]
    step: Option<usize>,
    /// Why
    #[arg(long)]
    why: String,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    on: On,
}

impl Undo {
    pub(super) fn run(self, place: &Place) -> Result<ExitCode, Failure> {
        let (step, why, by) = (self.step, self.why, self.by);
        with(place, &self.run, &self.on, |carrier| {
            undo(carrier, step, why, &by)
        })
    }
}

/// Why nothing is to be done; `agent freeze` is the same.
#[derive(Args)]
#[group(skip)]
pub(super) struct Freeze {
    /// Why
    #[arg(long)]
    why: String,
    #[command(flatten)]
    by: By,
}

impl Freeze {
    pub(super) fn run(self, place: &Place) -> Result<ExitCode, Failure> {
        let (by, at, why) = (self.by.person().name, now(), self.why);
        let frozen = Frozen { by, at, why };
        place
            .freeze(&frozen)
            .or_fail("see to the folder's rights")?;
        say("frozen: nothing more is done on this host; `runs undo` still works\n")
    }
}

/// Lets things be done again; `agent thaw` is the same.
pub(super) fn thaw(place: &Place) -> Result<ExitCode, Failure> {
    place.thaw().or_fail("see to the folder's rights")?;
    say("thawed; `runs go RUN` goes on with a run\n")
}

/// What people say to a run that waits.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Word {
    /// The condition it asks for holds; or a step is kept although a store suffers
    Yes,
    /// The condition it asks for doesn't hold
    No,
    /// A person did the step it waits at
    Done,
    /// The step it waits at is left out
    Skip,
    /// The step that failed is tried again
    Retry,
    /// No evidence is kept before the step; two people say so
    Waive,
}

impl From<Word> for model::Word {
    fn from(word: Word) -> Self {
        match word {
            Word::Yes => Self::Yes,
            Word::No => Self::No,
            Word::Done => Self::Done,
            Word::Skip => Self::Skip,
            Word::Retry => Self::Retry,
            Word::Waive => Self::Waive,
        }
    }
}

#[derive(Args)]
struct By {
    /// Who says so; twice where two people have to
    #[arg(long = "by", value_name = "NAME", required = true)]
    by: Vec<String>,
}

impl By {
    fn people(&self) -> Vec<Person> {
        let person = |name: &String| Person {
            account: format!("host:{name}"),
            name: name.clone(),
        };
        self.by.iter().map(person).collect()
    }

    fn person(&self) -> Person {
        self.people().swap_remove(0)
    }
}

/// Where runs and what undoes them lie on a shop's host.
pub(super) const DATA: &str = "/var/lib/magewarden/containment";

#[derive(Args)]
pub(super) struct On {
    /// What is there on this host (TOML; docs/containment.md)
    #[arg(long, value_name = "FILE")]
    host: PathBuf,
    /// Websites, stores, views and hosts of the shop (TOML; docs/stores.md)
    #[arg(long, value_name = "FILE")]
    stores: Option<PathBuf>,
}

impl On {
    pub(super) fn open(&self) -> Result<Host, Failure> {
        let text = std::fs::read_to_string(&self.host).or_fail("check the path of --host")?;
        let settings: HostSettings =
            toml::from_str(&text).or_fail("docs/containment.md shows one")?;
        Ok(Host::new(settings, read_stores(self.stores.as_deref())?))
    }
}

impl Runs {
    /// Runs it.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let place = Place::below(&self.data);
        match self.what.unwrap_or(What::List) {
            What::List => show_all(&place),
            What::Show { run, json } => {
                let run = read(&place.journals(), &run).map_err(|error| journal(&error))?;
                show(&run, json)
            }
            What::Begin {
                plan,
                approve,
                answers,
                by,
                on,
            } => begin(&place, &plan, approve, &answers, &by, &on),
            What::Go { run, on } => with(&place, &run, &on, |_| Ok(())),
            What::Say {
                run,
                word,
                note,
                by,
                on,
            } => with(&place, &run, &on, |carrier| {
                let what = said(carrier.run(), word, &note, &by)?;
                carrier.say(what).map_err(|error| carry(&error))
            }),
            What::Undo(undo) => undo.run(&place),
            What::Close { run, by, on } => with(&place, &run, &on, |carrier| {
                let by = by.person();
                carrier
                    .say(Happened::Closed { by })
                    .map_err(|error| carry(&error))
            }),
            What::Freeze(freeze) => freeze.run(&place),
            What::Thaw => thaw(&place),
        }
    }
}

fn journal(error: &JournalError) -> Failure {
    Failure::new(error, error.next())
}

fn carry(error: &CarryError) -> Failure {
    Failure::new(error, error.next())
}

fn say(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .or_fail("check where the output goes")?;
    Ok(ExitCode::SUCCESS)
}

fn begin(
    place: &Place,
    path: &std::path::Path,
    approve: String,
    answers: &[String],
    by: &By,
    on: &On,
) -> Result<ExitCode, Failure> {
    let text = std::fs::read(path).or_fail("check the path of the plan")?;
    let plan: Plan =
        serde_json::from_slice(&text).or_fail("`magewarden playbooks plan --json` prints one")?;
    let at = now();
    let entry = RunEntry {
        v: RUN_VERSION,
        run: new_id(at).map_err(|error| journal(&error))?,
        number: 0,
        at,
        order: String::new(),
        what: Happened::Approved {
            plan: Box::new(plan),
            hash: approve,
            by: by.people(),
            answers: read_answers(answers)?,
        },
    };
    // Settings that don't work begin nothing.
    let host = on.open()?;
    let journal = Journal::begin(&place.journals(), &entry).map_err(|error| journal(&error))?;
    go(host, place, journal, |_| Ok(()))
}

fn read_answers(answers: &[String]) -> Result<BTreeMap<String, bool>, Failure> {
    let one = |text: &String| {
        let read = text.rsplit_once('=').and_then(|(condition, holds)| {
            let holds = holds.parse().ok()?;
            Some((condition.to_owned(), holds))
        });
        read.ok_or_else(|| {
            Failure::say(
                format!("`{text}` is no answer"),
                "write it as --answer \"CONDITION=true\", the condition as the plan has it",
            )
        })
    };
    answers.iter().map(one).collect()
}

fn with(
    place: &Place,
    id: &str,
    on: &On,
    first: impl FnOnce(&mut Carrier<'_>) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let host = on.open()?;
    let journal = Journal::open(&place.journals(), id).map_err(|error| journal(&error))?;
    go(host, place, journal, first)
}

/// Says what is to be said, then goes on to where the run waits; each step is told as it is done.
fn go(
    host: Host,
    place: &Place,
    journal: Journal,
    first: impl FnOnce(&mut Carrier<'_>) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let clock = || now();
    let host = Arc::new(host);
    let watch = Watch::begin(Arc::clone(&host), now).or_fail("the machine has no room for it")?;
    let mut carrier =
        Carrier::new(&host, place.clone(), journal, &clock).map_err(|error| carry(&error))?;
    if let Some(watch) = &watch {
        carrier = carrier.watched_by(watch, Looks::default());
    }
    say(&format!("{}\n", carrier.run().id))?;
    first(&mut carrier)?;
    if let Some(watch) = &watch {
        look_before(carrier.run(), watch)?;
    }
    let mut before: Vec<_> = states(carrier.run());
    let mut lines = String::new();
    let stand = carrier.go(&mut |run| {
        let now = states(run);
        for (at, (was, is)) in before.iter().zip(&now).enumerate() {
            if was != is {
                lines = format!("{:>3}. {}: {is}\n", at + 1, called(run, at));
                // Whether anybody reads along doesn't matter to the run.
                drop(say(&lines));
            }
        }
        before = now;
    });
    let stand = stand.map_err(|error| carry(&error))?;
    say(&stands(carrier.run(), &stand))?;
    Ok(match stand {
        Stand::Over => ExitCode::SUCCESS,
        Stand::Waits(_) | Stand::Frozen(_) => ExitCode::from(FOUND),
    })
}

/// How the other stores are before anything is done; undoing doesn't wait for it.
fn look_before(run: &Run, watch: &Watch) -> Result<(), Failure> {
    if matches!(run.turn(), Turn::Wait(_) | Turn::Nothing | Turn::Undo(_)) {
        return Ok(());
    }
    let late = || format!("they weren't seen within {} seconds", LOOK_WAIT.as_secs());
    let why = match watch.after(now(), LOOK_WAIT) {
        Some(_) => watch.trouble(),
        None => Some(late()),
    };
    if let Some(why) = why {
        say(&format!(
            "how the other stores are before this isn't known: {}\n",
            inert(&why)
        ))?;
    }
    Ok(())
}

fn undo(
    carrier: &mut Carrier<'_>,
    step: Option<usize>,
    why: String,
    by: &By,
) -> Result<(), Failure> {
    let step = match step {
        Some(0) => return Err(Failure::say("steps are counted from 1", "")),
        step => step.map(|step| step - 1),
    };
    let by = by.person();
    let asked = Happened::UndoAsked { step, by, why };
    carrier.say(asked).map_err(|error| carry(&error))?;
    // What could not be undone before is tried anew.
    if let Turn::Wait(Wait::UndoFailed(step)) = carrier.run().turn() {
        carrier.undo_again(step).map_err(|error| carry(&error))?;
    }
    Ok(())
}

/// What a person's word means where the run is.
fn said(run: &Run, word: Word, note: &str, by: &By) -> Result<Happened, Failure> {
    let said = run.said(word.into(), &by.people(), note);
    said.map_err(|error| match run.turn() {
        Turn::Wait(wait) => Failure::say(error.to_string(), asks(run, &wait)),
        _ => Failure::new(&error, "`magewarden runs go RUN` goes on with it"),
    })
}

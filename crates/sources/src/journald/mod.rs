//! systemd's journal, asked through its own program `journalctl`: what services, log-ins, `sudo` and cron say.
//!
//! A record has a place of its own there: the name of a numbering, and a number. It is sealed under that place, so the ledger
//! itself tells what is sealed, and each record is sealed once, also after a kill. What `journalctl` passes by – it merges
//! files by time and only goes forward – is seen by the numbers and asked for again ([`progress`]).

mod filter;
mod kept;
mod place;
mod program;
mod progress;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::SourceId;
use serde::Deserialize;

use crate::source::{Chunk, Given, Hand, Kind, News, Source};
use crate::{SourceError, private, settings};
use filter::Filter;
use kept::{Kept, Step};
use place::{Cursor, Numbering, Place};
use program::{Heard, Journalctl, Next};
use progress::{Gate, Is, Progress, Trail, Why};

/// The format of its records.
const FORMAT: &str = "journal_json";
/// Records handed over together.
const BATCH_RECORDS: usize = 1000;
/// Bytes handed over together.
const BATCH_BYTES: usize = 4 << 20;
/// How long records are gathered, from the first one on.
const GATHER: Duration = Duration::from_millis(300);
/// How often it is looked whether to stop.
const STOP_LOOK: Duration = Duration::from_millis(200);
/// A program that is there for so long, and says nothing, does what it should.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a program that ended is taken as one that was ended with magewarden itself, and how long is waited before
/// it is asked for what came late.
const PAUSE: Duration = Duration::from_millis(500);
/// How often what was read of late is looked through for what came late and was followed by nothing.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often it is written down how far was read without finding anything wanted.
const PASS_EVERY: Duration = Duration::from_secs(60);

/// The kind `journald`.
pub(crate) struct Journald;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folder of journal files; else the system's own journal.
    directory: Option<PathBuf>,
    /// Units whose records are wanted; all where none is named.
    #[serde(default)]
    units: Vec<String>,
    /// Identifiers (`SYSLOG_IDENTIFIER`), likewise. Where both are named a record needs both.
    #[serde(default)]
    identifiers: Vec<String>,
}

impl Kind for Journald {
    fn name(&self) -> &'static str {
        "journald"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let program = program::PROGRAMS
            .iter()
            .map(Path::new)
            .find(|path| path.is_file());
        let missing = || wrong(format!("there is none of {}", program::PROGRAMS.join(", ")));
        let journal = Journal::open(program.ok_or_else(missing)?, table, given)?;
        Ok(Box::new(journal))
    }
}

fn wrong(why: impl Into<String>) -> SourceError {
    SourceError::Settings {
        kind: "journald",
        why: why.into(),
    }
}

/// A journal that is read.
struct Journal {
    id: SourceId,
    program: PathBuf,
    directory: Option<PathBuf>,
    filter: Filter,
    kept: Kept,
    /// How far it was handed over.
    progress: Progress,
    /// What of that isn't written down yet, since nothing in it is wanted.
    passed: Step,
    last_pass: Instant,
    /// From where it is asked next, when not from where reading ended.
    again: Option<(String, Why)>,
    /// How often each numbering was asked for in vain.
    fruitless: BTreeMap<Numbering, u32>,
    /// Where reading was of late, and when that was looked through.
    trail: Trail,
    last_sweep: Instant,
    /// Whether it was said that it works.
    is_well: bool,
    /// Held so that no second source reads the same journal under the same name.
    _lock: File,
}

impl Journal {
    fn open(program: &Path, table: toml::Table, given: &Given) -> Result<Self, SourceError> {
        let settings: Settings = settings("journald", table)?;
        let filter = Filter::new(&settings.units, &settings.identifiers).map_err(wrong)?;
        let place = match &settings.directory {
            None => "system".to_owned(),
            Some(path) if path.is_absolute() => path.display().to_string(),
            Some(_) => return Err(wrong("directory: its path begins with /")),
        };
        let id = SourceId(format!("journald:{place}"));
        let code = private::code(&given.key, id.0.as_bytes());
        let name = code.get(..16).unwrap_or_default();
        let path = |ending| given.data.join(format!("journald-{name}.{ending}"));
        let lock = lock(&path("lock"))?;
        let kept = Kept::load(&path("cursors"), &given.key)?;
        let sealed = given
            .resume
            .get(&id)
            .and_then(|(generation, end)| Place::sealed(*generation, *end));
        let progress = kept.sealed(sealed);
        let mut trail = Trail::default();
        // What came late may have done so before this start.
        if let Some(end) = progress.end.as_ref() {
            trail.note(Instant::now(), kept.before().unwrap_or(end));
        }
        Ok(Self {
            id,
            program: program.to_owned(),
            directory: settings.directory,
            filter,
            progress,
            kept,
            passed: Step::default(),
            last_pass: Instant::now(),
            again: None,
            fruitless: BTreeMap::new(),
            trail,
            last_sweep: Instant::now(),
            is_well: false,
            _lock: lock,
        })
    }

    /// What `journalctl` is told. `--merge` undoes that `--follow` shows the newest boot alone, `--all` that a long field
    /// is left out. `--cursor` begins with the record itself, so that it is seen whether that is still there; `--after-cursor`
    /// would leave out another one where it isn't.
    fn arguments(&self, cursor: Option<&str>) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "--output=json",
            "--all",
            "--merge",
            "--follow",
            "--no-tail",
            "--no-pager",
        ]
        .map(str::to_owned)
        .into();
        let directory = self.directory.iter();
        arguments.extend(directory.map(|path| format!("--directory={}", path.display())));
        arguments.extend(cursor.map(|cursor| format!("--cursor={cursor}")));
        arguments
    }

    /// Reads until told to stop, or until the journal is to be asked from another place.
    fn follow(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let end = self.progress.end.as_ref().map(|end| end.text.clone());
        let (cursor, why) = match self.again.take() {
            Some((cursor, why)) => (Some(cursor), why),
            None => (end, Why::Start),
        };
        let mut gate = Gate::new(cursor.as_deref(), why);
        let mut asked = Journalctl::start(&self.program, &self.arguments(cursor.as_deref()))?;
        let begun = Instant::now();
        while !hand.stopped() {
            let mut progress = self.progress.clone();
            let mut batch = self.gather(hand, &mut asked, &mut gate, &mut progress);
            if !self.is_well && (batch.records > 0 || begun.elapsed() > SETTLED) {
                self.is_well = true;
                batch.news.insert(0, News::Well { what: self.what() });
            }
            if let Some(said) = asked.said().filter(|_| self.is_well) {
                let why = format!("journalctl says: {said}");
                batch.news.push(News::Refused { why });
            }
            let (is_end, is_full) = (batch.is_end, batch.is_full());
            self.again = batch.again.take().map(|cursor| (cursor, Why::Gap));
            if !self.hand_over(hand, batch, progress)? {
                return Ok(());
            }
            if is_end {
                // Whoever stops magewarden's service ends both at once: that is no failure.
                hand.pause(PAUSE);
                if hand.stopped() {
                    return Ok(());
                }
                return Err(asked.ended());
            }
            if self.again.is_some() {
                hand.pause(PAUSE);
                return Ok(());
            }
            if let Some(end) = &self.progress.end {
                self.trail.note(Instant::now(), end);
            }
            // While it catches up there is always more to come.
            if !is_full && self.last_sweep.elapsed() >= SWEEP_EVERY {
                self.last_sweep = Instant::now();
                let begin = self.trail.begin();
                self.again = begin.map(|cursor| (cursor.text.clone(), Why::Sweep));
                if self.again.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes what comes within a short time.
    fn gather(
        &mut self,
        hand: &Hand,
        asked: &mut Journalctl,
        gate: &mut Gate,
        progress: &mut Progress,
    ) -> Batch {
        let mut batch = Batch::default();
        let mut until = None;
        while !hand.stopped() && !batch.is_full() && batch.again.is_none() {
            let left = until.map_or(STOP_LOOK, |until: Instant| {
                until.saturating_duration_since(Instant::now())
            });
            match asked.next(left) {
                Next::Heard(heard) => {
                    until.get_or_insert_with(|| Instant::now() + GATHER);
                    self.take(heard, gate, progress, &mut batch);
                }
                Next::Quiet => break,
                Next::Ended => {
                    batch.is_end = true;
                    break;
                }
            }
        }
        batch
    }

    fn take(&mut self, heard: Heard, gate: &mut Gate, progress: &mut Progress, batch: &mut Batch) {
        batch.records += 1;
        let Some(cursor) = heard.cursor else {
            // Without a place it can't be told from what is sealed already.
            return batch.news.push(News::Dropped {
                records: 1,
                since: None,
            });
        };
        match gate.is(&cursor, progress, &mut self.fruitless) {
            Is::Known => return,
            Is::Again(from) => {
                batch.again = Some(from);
                return;
            }
            Is::New => {}
            Is::NewAfter { lost } => {
                // How many of those were wanted nobody knows.
                let records = if self.filter.is_some() {
                    lost.min(1)
                } else {
                    lost
                };
                batch.news.push(News::Dropped {
                    records,
                    since: None,
                });
            }
        }
        progress.take(&cursor);
        batch.last.insert(cursor.place.numbering, cursor.clone());
        if !self.filter.wants(&heard.record) {
            return;
        }
        if let Some(records) = program::suppressed(&heard.record) {
            batch.news.push(News::Dropped {
                records,
                since: None,
            });
        }
        batch.bytes += heard.record.len();
        let chunk = Chunk::record(
            self.id.clone(),
            cursor.place.generation(),
            cursor.place.offset_bytes(),
            heard.record,
            Some(FORMAT),
        );
        let (chunks, last) = batch
            .wanted
            .entry(cursor.place.numbering)
            .or_insert_with(|| (Vec::new(), cursor.clone()));
        chunks.push(chunk);
        *last = cursor;
    }

    /// Hands over what was gathered; whether to go on.
    fn hand_over(
        &mut self,
        hand: &Hand,
        batch: Batch,
        progress: Progress,
    ) -> Result<bool, SourceError> {
        let news = batch.news.into_iter();
        let mut chunks: Vec<_> = news
            .map(|news| Chunk::news(self.id.clone(), news))
            .collect();
        let mut passed = std::mem::take(&mut self.passed);
        if !batch.last.is_empty() {
            let given = batch.wanted.values().next_back();
            passed.then(Step {
                given: given.map(|(_, last)| last.clone()),
                end: progress.end.clone(),
                last: batch.last,
            });
        }
        // Before it is handed over: whatever of it is sealed, a start finds where to go on.
        if passed.given.is_some() {
            self.kept.note(passed)?;
        } else if !passed.last.is_empty() && self.last_pass.elapsed() >= PASS_EVERY {
            self.last_pass = Instant::now();
            self.kept.pass(passed)?;
        } else {
            self.passed = passed;
        }
        self.progress = progress;
        chunks.extend(batch.wanted.into_values().flat_map(|(chunks, _)| chunks));
        Ok(hand.give(chunks).is_ok())
    }

    /// What it does, in words.
    fn what(&self) -> String {
        let of = match &self.directory {
            Some(path) => format!("reads the journal in {}", path.display()),
            None => "reads the system's journal".to_owned(),
        };
        if self.filter.is_some() {
            return format!("{of}, only of the units and identifiers that are named");
        }
        of
    }
}

/// Makes sure that nobody else reads the journal under this name.
fn lock(path: &Path) -> Result<File, SourceError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(SourceError::io(path))?;
    let taken = |_| wrong("another source reads this journal already: name all units in one");
    file.try_lock().map_err(taken)?;
    Ok(file)
}

/// What was gathered.
#[derive(Default)]
struct Batch {
    news: Vec<News>,
    /// What is wanted, by numbering: in this order it is sealed, so that the last one sealed tells how far all are. With the
    /// cursor of the last one.
    wanted: BTreeMap<Numbering, (Vec<Chunk>, Cursor)>,
    /// How far each numbering was read.
    last: BTreeMap<Numbering, Cursor>,
    /// Records heard, those known already too.
    records: usize,
    /// Bytes of those that are wanted.
    bytes: usize,
    /// Whether the program has ended.
    is_end: bool,
    /// From where it is to be asked again.
    again: Option<String>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.records >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }
}

impl Source for Journal {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        self.is_well = false;
        while !hand.stopped() {
            self.follow(hand)?;
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        self.id.clone()
    }
}

#[cfg(test)]
mod tests;

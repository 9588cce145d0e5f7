//! Watches Magento's files: what came, changed and went, and what is in it (PCI DSS v4.0.1 req. 11.5.2).
//!
//! A baseline of every file is kept; a start compares by what the disk tells and reads only what differs; inotify tells of
//! changes as they come; once a week every file is read again. A release that is put in place is one record, but what is
//! dangerous by itself – code where none may run, a signature, card numbers – is told alone, at once. Where the system allows it,
//! fanotify names who wrote.

mod accounts;
mod content;
mod layout;
mod marks;
mod packages;
mod process;
mod record;
mod rules;
mod scan;
mod settle;
mod tend;
mod watch;
mod writer;
#[cfg_attr(not(feature = "yara"), path = "yara_none.rs")]
mod yara;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Field, SourceId, Timestamp};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::baseline::{self, Kept};
use crate::source::{Given, Hand, Kind, News, Recorder, Source};
use crate::{SourceError, settings};
use accounts::Accounts;
use packages::{Known, Packages, Places};
use record::{Crowd, stands_alone, unread_words};
use scan::{LARGE_BYTES, ReadFile, Reading, State, Unread};
use settle::Settling;
use tend::Tending;
use watch::{Watcher, Why};
use writer::Writers;

pub use content::{SignatureError, Signatures};
pub use rules::{ExampleOutcome, Refused};
pub use scan::CardCount;

/// Records handed over together.
const BATCH: usize = 512;
/// Shortest time between two writes of the baseline, which is as large as the tree has files.
const SAVE_EVERY: Duration = Duration::from_secs(300);
/// Shortest time between two words on who is known to have written.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// Longest time between two looks at what changes while files are compared.
const TEND_EVERY: Duration = Duration::from_millis(50);
/// How long sealing is waited for before a baseline is written.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kind `files`.
pub(crate) struct Files;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Magento's root folder; that of `--magento` when it isn't said.
    root: Option<PathBuf>,
    /// So many changes of code at once are a release.
    #[serde(default = "release_files")]
    release_files: usize,
    /// Hours between two comparisons that read every file.
    #[serde(default = "compare_hours")]
    compare_hours: u64,
    /// Folder of packages the merchant vouches for: archives as composer's cache has them, `vendor/package/name.zip`.
    packages: Option<PathBuf>,
    /// Composer's cache: what `COMPOSER_CACHE_DIR` says, or `$COMPOSER_HOME/cache`.
    composer_cache: Option<PathBuf>,
    /// Folder of the merchant's own content rules, `*.yar` and `*.yara`; read at the start.
    yara: Option<PathBuf>,
}

const fn release_files() -> usize {
    200
}

const fn compare_hours() -> u64 {
    168
}

impl Kind for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let root =
            settings
                .root
                .or_else(|| given.magento.clone())
                .ok_or(SourceError::Settings {
                    kind: "files",
                    why: "it wants root, or --magento".to_owned(),
                })?;
        let root = root.canonicalize().map_err(SourceError::io(&root))?;
        let tag: String = Sha256::digest(root.as_os_str().as_encoded_bytes())
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        for folder in settings.packages.iter().chain(&settings.composer_cache) {
            std::fs::read_dir(folder).map_err(SourceError::io(folder))?;
        }
        let signatures = match &settings.yara {
            Some(folder) => Arc::new(given.signatures.with(folder)?),
            None => Arc::clone(&given.signatures),
        };
        let places = Places {
            root: root.clone(),
            vouched: settings.packages,
            cache: settings.composer_cache,
            kept: given.data.join(format!("packages-{tag}.baseline")),
        };
        Ok(Box::new(Tree {
            baseline: given.data.join(format!("files-{tag}.baseline")),
            rules: given.data.join(format!("rules-{tag}.baseline")),
            is_read_by_rules: false,
            reading: Arc::new(Reading {
                root: root.clone(),
                signatures,
                cards: Arc::clone(&given.cards),
            }),
            recorder: Recorder::observing(SourceId(format!("tree:{}", root.display())), given.now),
            root,
            key: given.key,
            release_files: settings.release_files,
            compare_every: Duration::from_secs(settings.compare_hours.saturating_mul(3600)),
            clock: given.clock,
            files: BTreeMap::new(),
            large: BTreeSet::new(),
            rests: None,
            missed: None,
            packages: Packages::new(places, given.key),
            settling: Settling::default(),
            accounts: Accounts::read(),
            writers: Writers::none(),
        }))
    }
}

struct Tree {
    root: PathBuf,
    baseline: PathBuf,
    /// Where it stands by which signatures and content rules every file was read.
    rules: PathBuf,
    /// Every file was read by those of today.
    is_read_by_rules: bool,
    key: [u8; 32],
    release_files: usize,
    compare_every: Duration,
    reading: Arc<Reading>,
    clock: fn() -> Timestamp,
    recorder: Recorder,
    files: BTreeMap<String, State>,
    /// Paths of large files that changed and weren't read yet.
    large: BTreeSet<PathBuf>,
    /// Until when none of them is read.
    rests: Option<Instant>,
    /// Changes that only comparing finds.
    missed: Option<Why>,
    packages: Packages,
    settling: Settling,
    accounts: Accounts,
    writers: Writers,
}

impl Source for Tree {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        // Watched before it is looked at: what changes meanwhile is told by either.
        self.writers = Writers::new(&self.root);
        let watcher = Watcher::new(&self.root)?;
        let reading = Arc::clone(&self.reading);
        let mut with = Tending {
            hand,
            watcher: &watcher,
            reader: reading.reader(),
        };
        let is_saved = self.begin(&mut with)?;
        let mut said = self.well(hand, &watcher);
        let (mut saved, mut dirty, mut compared) = (Instant::now(), !is_saved, Instant::now());
        while !hand.stopped() {
            let is_due =
                !self.large.is_empty() && self.rests.is_none_or(|end| end <= Instant::now());
            dirty |= self.tend(
                &mut with,
                Duration::from_millis(if is_due { 0 } else { 100 }),
            )?;
            if let Some(why) = self.missed.take() {
                self.compare(&mut with, why)?;
                dirty = true;
            }
            if is_due && let Some(path) = self.large.pop_first() {
                self.look_at_large(&path, &mut with)?;
                dirty = true;
            }
            if self.judge_when_quiet(hand)? {
                dirty = true;
                said = self.well(hand, &watcher);
            }
            let wait = if watcher.is_blind() {
                Duration::from_secs(60)
            } else {
                self.compare_every
            };
            if compared.elapsed() >= wait {
                let is_due = compared.elapsed() >= self.compare_every;
                let why = if is_due { Why::Due } else { Why::Blind };
                self.compare(&mut with, why)?;
                (compared, dirty) = (Instant::now(), true);
            }
            if dirty && saved.elapsed() >= SAVE_EVERY && self.settling.is_empty() {
                dirty = !self.save(hand)?;
                saved = Instant::now();
            }
            if said.0.elapsed() >= SAY_EVERY && said.1 != self.writers.words() {
                said = self.well(hand, &watcher);
            }
        }
        self.settle(hand, true)?;
        self.save(hand).map(drop)
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

impl Tree {
    /// Says what it does; gives when, and what it said of who wrote.
    fn well(&self, hand: &Hand, watcher: &Watcher) -> (Instant, String) {
        let who = self.writers.words();
        let what = format!(
            "{}; {}; {}; {who}",
            watcher.describe(&self.root, self.files.len()),
            self.reading.signatures.words(),
            self.packages.words()
        );
        hand.tell(self.recorder.source().clone(), News::Well { what });
        (Instant::now(), who)
    }

    /// Takes the baseline, or makes it; tells whether what is on disk is the one in memory.
    fn begin(&mut self, with: &mut Tending<'_>) -> Result<bool, SourceError> {
        let hand = with.hand;
        std::fs::read_dir(&self.root).map_err(SourceError::io(&self.root))?;
        if self.packages.load()? {
            let kept = self.packages.kept().display().to_string();
            let record = self
                .plain("baseline_changed", 0)
                .text(Field::Context, &kept);
            self.give(hand, vec![record.record()]);
            // What somebody else wrote is written over once that is sealed, or after a while.
            let _sealed = hand.give_and_wait(Vec::new(), PATIENCE);
        }
        if let Some(refused) = self.rules_refused() {
            self.give(hand, vec![refused]);
        }
        self.packages.refresh()?;
        let is_changed = match baseline::load(&self.baseline, &self.key)? {
            Kept::Whole(files) => {
                self.files = files;
                let read_by = baseline::load(&self.rules, &self.key)?;
                self.is_read_by_rules = read_by == Kept::Whole(self.rules_of_today());
                let is_same = self.is_read_by_rules;
                let why = if is_same { Why::Blind } else { Why::Rules };
                self.compare(with, why)?;
                self.judge_all(hand);
                return Ok(false);
            }
            Kept::Changed => true,
            Kept::None => false,
        };
        let mut records = Vec::new();
        if is_changed {
            records.push(self.plain("baseline_changed", self.files.len()).record());
        }
        let (unread, mut crowd) = (Unread::default(), Crowd::default());
        for (path, read) in self.reading.all(&unread) {
            self.files.insert(path.clone(), read.state.clone());
            let judged = self.judge(&path, Some(&read));
            // What has no business where it is, and code that isn't its package's, is told at a first look, too; the
            // rest is only remembered.
            if stands_alone(&path, &read.content) {
                records.push(self.observe(&path, "seen", Some(&read), &judged));
            } else {
                records.extend(self.seen(&path, Some(&read), &judged, &mut crowd));
            }
        }
        records.extend(self.rest(crowd));
        self.is_read_by_rules = true;
        let written = baseline::write(&self.key, &self.files);
        records.push(
            self.plain("baseline", self.files.len())
                .text(Field::FileHash, &written.code)
                .text(
                    Field::Context,
                    &format!(
                        "{}; {}; {}",
                        unread_words(&unread),
                        self.reading.signatures.words(),
                        self.packages.words()
                    ),
                )
                .record(),
        );
        if self.give(hand, records) && hand.give_and_wait(Vec::new(), PATIENCE).is_ok() {
            self.save_as(&written)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Writes the baseline once all that was told is sealed; false when it isn't, and nothing is written: the next start
    /// tells it again.
    fn save(&self, hand: &Hand) -> Result<bool, SourceError> {
        if hand.give_and_wait(Vec::new(), PATIENCE).is_err() {
            return Ok(false);
        }
        self.save_as(&baseline::write(&self.key, &self.files))?;
        Ok(true)
    }

    fn save_as(&self, written: &baseline::Written) -> Result<(), SourceError> {
        baseline::save(&self.baseline, written)?;
        if self.is_read_by_rules {
            let rules = baseline::write(&self.key, &self.rules_of_today());
            baseline::save(&self.rules, &rules)?;
        }
        Ok(())
    }

    fn rules_of_today(&self) -> BTreeMap<String, [u8; 32]> {
        BTreeMap::from([("rules".to_owned(), self.reading.signatures.code)])
    }

    /// Compares with the baseline by what the disk tells; when it is due it reads every file.
    fn compare(&mut self, with: &mut Tending<'_>, why: Why) -> Result<(), SourceError> {
        let hand = with.hand;
        let whole = matches!(why, Why::Due | Why::Rules);
        // A root that can't be read has lost no file.
        std::fs::read_dir(&self.root).map_err(SourceError::io(&self.root))?;
        let reading = Arc::clone(&self.reading);
        let unread = Unread::default();
        let now = reading.states(&unread);
        let (count, mut differences) = (now.len(), 0_usize);
        let (mut reader, mut records, mut tended) = (reading.reader(), Vec::new(), Instant::now());
        let unknown = unread.unknown(&self.root);
        let is_gone = |path: &&String| {
            let unknown = unknown.as_ref();
            !now.contains_key(*path)
                && unknown.is_some_and(|below| !below.iter().any(|one| path.starts_with(one)))
        };
        let gone: Vec<String> = self.files.keys().filter(is_gone).cloned().collect();
        for path in gone {
            differences += 1;
            self.gone(&path, &mut records);
        }
        for (name, (path, state)) in now {
            let known = self.files.get(&name);
            if !whole && known.is_some_and(|known| known.is_as(&state)) {
                continue;
            }
            let read = if state.size > LARGE_BYTES {
                self.read_large(&path, &mut reader, with)?
            } else {
                reader.read(&path)
            };
            if let Some(read) = read {
                differences += usize::from(self.changed(&name, read, &mut records));
            }
            if tended.elapsed() >= TEND_EVERY || records.len() >= BATCH {
                // What changes meanwhile doesn't wait for the end.
                let is_given = self.give(hand, std::mem::take(&mut records));
                self.tend(with, Duration::ZERO)?;
                tended = Instant::now();
                if !is_given || hand.stopped() {
                    return Ok(());
                }
            }
        }
        let because = match why {
            Why::Due => Some(""),
            Why::Rules => Some("; signatures or content rules are other, so every file was read"),
            // Nothing that is there now is missed; what came and went meanwhile is.
            Why::Overflow => Some(
                "; the system's queue of changes ran over (fs.inotify.max_queued_events), so all were compared",
            ),
            Why::Blind | Why::Moved => None,
        };
        if let Some(because) = because {
            let packages = self.packages.words();
            let unread = unread_words(&unread);
            let rules = self.reading.signatures.words();
            let context = format!("{differences} differ; {unread}; {rules}; {packages}{because}");
            let record = self.plain("compared", count).text(Field::Context, &context);
            records.push(record.record());
        }
        self.is_read_by_rules |= whole;
        self.give(hand, records);
        self.settle(hand, false).map(drop)
    }

    /// Takes a file that was read; tells whether it differs.
    fn changed(&mut self, name: &str, mut read: ReadFile, records: &mut Vec<Vec<u8>>) -> bool {
        let known = self.files.get(name);
        let change = match known {
            None => "created",
            Some(known) if known.hash != read.state.hash || known.size != read.state.size => {
                "modified"
            }
            // The bytes are the same, and rules see in them what those of the last look didn't, or can't say.
            Some(known)
                if read.content.is_unfinished
                    || !read
                        .content
                        .signatures
                        .iter()
                        .all(|one| known.signatures.contains(one)) =>
            {
                "seen"
            }
            Some(known) if known.mode != read.state.mode || known.owner != read.state.owner => {
                "attributes"
            }
            // Without a hash a later time is all that tells.
            Some(known) if known.hash.is_empty() && known.modified != read.state.modified => {
                "modified"
            }
            // Only times changed, or the inode: the bytes are the same.
            Some(_) => "",
        };
        // Who closed it last wrote what is in it, and needn't have given it its rights.
        if matches!(change, "created" | "modified") {
            read.writer = self.writers.of(&read.state);
        }
        let told = !change.is_empty();
        let mut state = read.state.clone();
        state.known = known.map_or(Known::No, |known| known.known);
        self.files.insert(name.to_owned(), state);
        if told {
            self.tell(name, change, Some(read), records);
        }
        told
    }

    fn gone(&mut self, name: &str, records: &mut Vec<Vec<u8>>) {
        if self.files.remove(name).is_some() {
            self.tell(name, "removed", None, records);
        }
    }

    /// Tells a change at once, or lets it wait for the release it may be part of.
    fn tell(
        &mut self,
        name: &str,
        change: &'static str,
        read: Option<ReadFile>,
        records: &mut Vec<Vec<u8>>,
    ) {
        let alone = read
            .as_ref()
            .is_some_and(|read| stands_alone(name, &read.content));
        if alone || !layout::is_deployed(layout::class(name)) {
            let judged = self.judge(name, read.as_ref());
            records.push(self.observe(name, change, read.as_ref(), &judged));
        } else {
            self.wait(name, change, read);
        }
    }

    /// Hands records over; false when told to stop.
    fn give(&mut self, hand: &Hand, records: Vec<Vec<u8>>) -> bool {
        let mut chunks = Vec::with_capacity(records.len().min(BATCH));
        for record in records {
            chunks.push(self.recorder.chunk(record));
            if chunks.len() >= BATCH && hand.give(std::mem::take(&mut chunks)).is_err() {
                return false;
            }
        }
        hand.give(chunks).is_ok()
    }
}

#[cfg(all(test, feature = "yara"))]
mod rules_tests;
#[cfg(test)]
mod tend_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer_tests;

//! Watches Magento's files: what came, changed and went, and what is in it (PCI DSS v4.0.1 req. 11.5.2).
//!
//! A baseline of every file is kept; a start compares by what the disk tells and reads only what differs; inotify tells of
//! changes as they come; once a week every file is read again. A release that is put in place is one record, but what is
//! dangerous by itself – code where none may run, a signature, an entry point – is told alone, at once.

mod baseline;
mod content;
mod layout;
mod scan;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::{Category, Field, Generation, SourceId, Timestamp};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::observation::Observation;
use crate::source::{Chunk, Framing, Given, Hand, Kind, News, Source};
use crate::{SourceError, settings};
use baseline::Kept;
use scan::{FoundContent, ReadFile, Reading, State, Unread, shown};
use watch::Watcher;

pub use content::{SignatureError, Signatures};
pub use scan::CardCount;

/// Changes of deployed files that wait for others to come with them.
const QUIET: Duration = Duration::from_secs(3);
/// How long they wait at most.
const GATHER_MAX: Duration = Duration::from_secs(60);
/// Paths of a release named in its record.
const NAMED_MAX: usize = 50;
/// Records handed over together.
const BATCH: usize = 512;
/// Longest time between two writes of the baseline while files change.
const SAVE_EVERY: Duration = Duration::from_secs(30);

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
        Ok(Box::new(Tree {
            baseline: given.data.join(format!("files-{tag}.baseline")),
            root,
            key: given.key,
            release_files: settings.release_files,
            compare_every: Duration::from_secs(settings.compare_hours.saturating_mul(3600)),
            signatures: Arc::clone(&given.signatures),
            cards: Arc::clone(&given.cards),
            clock: given.clock,
            generation: Generation {
                inode: given.now.0.unsigned_abs(),
                ..Generation::default()
            },
            next: 0,
            files: BTreeMap::new(),
            waiting: BTreeMap::new(),
            since: None,
            last: None,
            owners: owners(),
        }))
    }
}

/// Names of the system's users by number.
fn owners() -> BTreeMap<u32, String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        })
        .collect()
}

struct Tree {
    root: PathBuf,
    baseline: PathBuf,
    key: [u8; 32],
    release_files: usize,
    compare_every: Duration,
    signatures: Arc<Signatures>,
    cards: Arc<CardCount>,
    clock: fn() -> Timestamp,
    generation: Generation,
    next: u64,
    files: BTreeMap<String, State>,
    /// Changes of deployed files that wait for others: path → change and record.
    waiting: BTreeMap<String, Vec<u8>>,
    /// When the first of them came, and the last.
    since: Option<Instant>,
    last: Option<Instant>,
    owners: BTreeMap<u32, String>,
}

impl Source for Tree {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        // Watched before it is looked at: what changes meanwhile is told by either.
        let mut watcher = Watcher::new(&self.root)?;
        self.begin(hand)?;
        hand.tell(
            self.id(),
            News::Well {
                what: watcher.describe(&self.root, self.files.len()),
            },
        );
        let (mut saved, mut dirty, mut compared) = (Instant::now(), false, Instant::now());
        let mut buffer = Vec::new();
        while !hand.stopped() {
            let changed = watcher.wait(Duration::from_millis(100));
            if changed.overflow {
                hand.tell(self.id(), News::Dropped { records: 1 });
            }
            if changed.overflow || changed.moved {
                self.compare(hand, false);
                dirty = true;
            }
            let mut records = Vec::new();
            for path in changed.paths {
                dirty = true;
                self.look(&path, &mut buffer, &mut records);
            }
            if !self.give(hand, records) || !self.settle(hand, false) {
                break;
            }
            let wait = if watcher.is_blind() {
                Duration::from_secs(60)
            } else {
                self.compare_every
            };
            if compared.elapsed() >= wait {
                self.compare(hand, compared.elapsed() >= self.compare_every);
                (compared, dirty) = (Instant::now(), true);
            }
            if dirty && saved.elapsed() >= SAVE_EVERY {
                baseline::save(&self.baseline, &self.key, &self.files)?;
                (saved, dirty) = (Instant::now(), false);
            }
        }
        // What waits is told by the next start, which finds it changed: it isn't in the baseline yet.
        for path in std::mem::take(&mut self.waiting).into_keys() {
            self.files.remove(&path);
        }
        baseline::save(&self.baseline, &self.key, &self.files).map(drop)
    }

    fn id(&self) -> SourceId {
        SourceId(format!("tree:{}", self.root.display()))
    }
}

impl Tree {
    fn reading<'a>(
        root: &'a Path,
        signatures: &'a Signatures,
        cards: &'a CardCount,
    ) -> Reading<'a> {
        Reading {
            root,
            signatures,
            cards,
        }
    }

    /// Takes the baseline, or makes it.
    fn begin(&mut self, hand: &Hand) -> Result<(), SourceError> {
        match baseline::load(&self.baseline, &self.key)? {
            Kept::Whole(files) => {
                self.files = files;
                self.compare(hand, false);
            }
            kept => {
                let mut records = Vec::new();
                if kept == Kept::Changed {
                    records.push(self.plain("baseline_changed", self.files.len()).record());
                }
                let root = self.root.clone();
                let (signatures, cards) = (Arc::clone(&self.signatures), Arc::clone(&self.cards));
                let unread = Unread::default();
                let all = Self::reading(&root, &signatures, cards.as_ref()).all(&root, &unread);
                for (path, read) in all {
                    // What is dangerous is so at a first look, too; the rest is only remembered.
                    if is_dangerous(&path, &read.content) && !is_own_code(&path, &read.content) {
                        records.push(self.observe(&path, "seen", Some(&read)));
                    }
                    self.files.insert(path, read.state);
                }
                let code = baseline::save(&self.baseline, &self.key, &self.files)?;
                records.push(
                    self.plain("baseline", self.files.len())
                        .text(Field::FileHash, &code)
                        .text(Field::Context, &unread_words(&unread))
                        .record(),
                );
                self.give(hand, records);
            }
        }
        Ok(())
    }

    /// Compares with the baseline by what the disk tells; `whole` reads every file.
    fn compare(&mut self, hand: &Hand, whole: bool) {
        let root = self.root.clone();
        let (signatures, cards) = (Arc::clone(&self.signatures), Arc::clone(&self.cards));
        let reading = Self::reading(&root, &signatures, cards.as_ref());
        let unread = Unread::default();
        let now = reading.states(&root, &unread);
        let (count, mut differences) = (now.len(), 0_usize);
        let (mut buffer, mut records) = (Vec::new(), Vec::new());
        for path in self
            .files
            .keys()
            .filter(|path| !now.contains_key(*path))
            .cloned()
            .collect::<Vec<_>>()
        {
            differences += 1;
            self.gone(&path, &mut records);
        }
        for (name, (path, state)) in now {
            let known = self.files.get(&name);
            if !whole && known.is_some_and(|known| known.is_as(&state)) {
                continue;
            }
            let Some(read) = reading.read(&path, &mut buffer) else {
                continue;
            };
            differences += usize::from(self.changed(&name, read, &mut records));
            if records.len() >= BATCH && !self.give(hand, std::mem::take(&mut records)) {
                return;
            }
        }
        if whole {
            let record = self
                .plain("compared", count)
                .text(
                    Field::Context,
                    &format!("{differences} differ; {}", unread_words(&unread)),
                )
                .record();
            records.push(record);
        }
        self.give(hand, records);
        self.settle(hand, false);
    }

    /// Looks at one path that inotify named.
    fn look(&mut self, path: &Path, buffer: &mut Vec<u8>, records: &mut Vec<Vec<u8>>) {
        let name = shown(&self.root, path);
        let (signatures, cards) = (Arc::clone(&self.signatures), Arc::clone(&self.cards));
        let root = self.root.clone();
        let read = Self::reading(&root, &signatures, cards.as_ref()).read(path, buffer);
        match read {
            None if std::fs::symlink_metadata(path).is_err() => self.gone(&name, records),
            None => {}
            // These come and go; only what has no business there is told.
            Some(read) if layout::is_transient(&name) && is_dangerous(&name, &read.content) => {
                records.push(self.observe(&name, "created", Some(&read)));
            }
            Some(_) if layout::is_transient(&name) => {}
            Some(read) => {
                self.changed(&name, read, records);
            }
        }
    }

    /// Takes a file that was read; tells whether it differs.
    fn changed(&mut self, name: &str, read: ReadFile, records: &mut Vec<Vec<u8>>) -> bool {
        let known = self.files.get(name);
        let change = match known {
            None => "created",
            Some(known) if known.hash != read.state.hash || known.size != read.state.size => {
                "modified"
            }
            Some(known) if known.mode != read.state.mode || known.owner != read.state.owner => {
                "attributes"
            }
            // Only times changed, or the inode: the bytes are the same.
            Some(_) => "",
        };
        let told = !change.is_empty();
        if told {
            let record = self.observe(name, change, Some(&read));
            self.tell(
                name,
                record,
                is_dangerous(name, &read.content) && !is_own_code(name, &read.content),
                records,
            );
        }
        self.files.insert(name.to_owned(), read.state);
        told
    }

    fn gone(&mut self, name: &str, records: &mut Vec<Vec<u8>>) {
        if self.files.remove(name).is_some() {
            let record = self.observe(name, "removed", None);
            self.tell(name, record, false, records);
        }
    }

    /// Tells a change at once, or lets it wait for the release it may be part of.
    fn tell(&mut self, name: &str, record: Vec<u8>, alone: bool, records: &mut Vec<Vec<u8>>) {
        let class = layout::class(name);
        if alone || !layout::is_deployed(class) {
            records.push(record);
            return;
        }
        let now = Instant::now();
        self.since.get_or_insert(now);
        self.last = Some(now);
        self.waiting.insert(name.to_owned(), record);
    }

    /// Tells what waited, once it is quiet: one by one, or as a release. False when told to stop.
    fn settle(&mut self, hand: &Hand, now: bool) -> bool {
        let (Some(since), Some(last)) = (self.since, self.last) else {
            return true;
        };
        if !now && last.elapsed() < QUIET && since.elapsed() < GATHER_MAX {
            return true;
        }
        (self.since, self.last) = (None, None);
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.len() < self.release_files {
            return self.give(hand, waiting.into_values().collect());
        }
        let mut paths = Sha256::new();
        for path in waiting.keys() {
            paths.update(path.as_bytes());
            paths.update(b"\n");
        }
        let code: String = paths
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let record = self
            .plain("release", waiting.len())
            .text(Field::FileHash, &code)
            .list(Field::RowValues, waiting.keys().take(NAMED_MAX))
            .record();
        self.give(hand, vec![record])
    }

    fn plain(&self, change: &str, count: usize) -> Observation {
        Observation::new(Category::File, (self.clock)())
            .text(Field::Change, change)
            .text(Field::Against, &self.root.display().to_string())
            .int(Field::ChangeCount, i64::try_from(count).unwrap_or(i64::MAX))
    }

    fn observe(&self, name: &str, change: &str, read: Option<&ReadFile>) -> Vec<u8> {
        let mut observation = Observation::new(Category::File, (self.clock)())
            .text(Field::FilePath, name)
            .text(Field::Change, change)
            .text(Field::FileClass, layout::class(name));
        if layout::may_not_run(layout::class(name)) && layout::is_executable_name(name) {
            observation = observation.text(Field::Context, "named as code where none may run");
        }
        if let Some(read) = read {
            let owner = self
                .owners
                .get(&read.state.owner)
                .cloned()
                .unwrap_or_else(|| read.state.owner.to_string());
            observation = observation
                .int(
                    Field::FileBytes,
                    i64::try_from(read.state.size).unwrap_or(i64::MAX),
                )
                .text(Field::FileMode, &format!("{:04o}", read.state.mode))
                .text(Field::FileOwner, &owner)
                .text(Field::FileHash, &read.state.hash)
                .list(
                    Field::FileContent,
                    read.content
                        .kinds
                        .iter()
                        .chain(read.content.is_polyglot.then_some(&"polyglot")),
                )
                .list(Field::Signatures, &read.content.signatures);
            if read.content.cards > 0 {
                observation = observation.int(Field::FileCards, i64::from(read.content.cards));
            }
            if read.content.is_unstable {
                observation = observation.text(Field::Against, "it changed while it was read");
            }
        }
        observation.record()
    }

    /// Hands records over; false when told to stop.
    fn give(&mut self, hand: &Hand, records: Vec<Vec<u8>>) -> bool {
        let mut chunks = Vec::with_capacity(records.len().min(BATCH));
        for record in records {
            let offset_bytes = self.next;
            self.next += record.len() as u64;
            chunks.push(Chunk {
                source: self.id(),
                generation: self.generation,
                offset_bytes,
                bytes: record,
                framing: Framing::OneRecord,
                format: Some("observation"),
                end_of_generation: false,
                news: None,
            });
            if chunks.len() >= BATCH && hand.give(std::mem::take(&mut chunks)).is_err() {
                return false;
            }
        }
        hand.give(chunks).is_ok()
    }
}

/// Whether a file is worth telling alone, whatever comes with it.
fn is_dangerous(name: &str, content: &FoundContent) -> bool {
    let class = layout::class(name);
    !content.signatures.is_empty()
        || content.is_polyglot
        || content.cards > 0
        || matches!(class, "entry_point" | "settings")
        || (layout::may_not_run(class)
            && (layout::is_executable_name(name) || content.kinds.contains(&"php")))
}

/// Entry points and settings are dangerous when they change, not because they are there; and a package's own tests hold
/// published test numbers.
fn is_own_code(name: &str, content: &FoundContent) -> bool {
    let class = layout::class(name);
    content.signatures.is_empty() && !content.is_polyglot && layout::is_deployed(class)
}

fn unread_words(unread: &Unread) -> String {
    let (refused, special) = (
        unread.refused.load(Ordering::Relaxed),
        unread.special.load(Ordering::Relaxed),
    );
    format!("{refused} can't be read, {special} are links, sockets or devices")
}

#[cfg(test)]
mod tests;

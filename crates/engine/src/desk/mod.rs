//! What pages and reports read: the latest state the pipeline published. Cheap to read, one writer.

mod sight;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use model::{Finding, Incident, IncidentState, Lane, Mark, SourceId, Timestamp};
use tokio::sync::watch;

use crate::health::Hole;
use crate::inventory::List;
use crate::judge::Understood;
use crate::live::Delay;

pub use sight::{Sight, Work};

/// A sealed entry as a page shows it.
#[derive(Clone, Debug)]
pub struct EntryView {
    /// Place in the ledger.
    pub sequence: u64,
    /// Where it came from.
    pub source: String,
    /// Format it is read as.
    pub format: String,
    /// When the record says it happened.
    pub said: Option<Timestamp>,
    /// When it was received.
    pub received: Timestamp,
    /// Live or exercise.
    pub lane: Lane,
    /// Whether it could not be read.
    pub quarantined: bool,
    /// The masked bytes as text; `None` once destroyed.
    pub text: Option<String>,
    /// What was masked.
    pub marks: Vec<Mark>,
    /// Hash of the leaf, hexadecimal.
    pub leaf_hash: String,
    /// First byte in its source.
    pub offset_bytes: Option<u64>,
    /// What was understood of it; `None` when it can't be read.
    pub understood: Option<Understood>,
}

/// A source and its health.
#[derive(Clone, Debug, Default)]
pub struct SourceView {
    /// The source.
    pub id: String,
    /// Format it is read as.
    pub format: String,
    /// `reading`, `waiting`, `failing` or `not read`.
    pub state: String,
    /// Records, or bytes of a file, that went before they could be read.
    pub lost: u64,
    /// Records sealed.
    pub records: u64,
    /// Bytes sealed.
    pub bytes: u64,
    /// Records in quarantine.
    pub quarantined: u64,
    /// Seconds between the last event's time and now.
    pub lag_seconds: Option<i64>,
    /// The last event's time.
    pub last_event: Option<Timestamp>,
    /// What happened last, or why it isn't read.
    pub reason: String,
    /// How long its records waited to be judged, since this start.
    pub delay: Delay,
    /// When it gave nothing that it should have given, since this start.
    pub holes: Vec<Hole>,
}

/// Something magewarden can't see of this shop, and how to close it.
#[derive(Clone, Debug)]
pub struct GapView {
    /// What isn't seen.
    pub what: String,
    /// Why it matters.
    pub why_it_matters: String,
    /// The statement or setting that closes it.
    pub statement: String,
    /// What it costs the shop.
    pub price: String,
    /// What undoes it.
    pub undo: String,
}

/// Counters of the whole.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The installation.
    pub installation: String,
    /// Live or exercise.
    pub lane: Lane,
    /// Records judged.
    pub records: u64,
    /// Events read from them.
    pub events: u64,
    /// Findings.
    pub findings: u64,
    /// Entries in the ledger.
    pub ledger_size: u64,
    /// The last checkpoint, a signed note.
    pub checkpoint: String,
    /// When this process started.
    pub started: Timestamp,
    /// When these counters were taken.
    pub now: Timestamp,
}

/// What the pipeline tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Update {
    /// Findings and incidents, sealed.
    Decided {
        /// New findings, or their latest state.
        findings: Vec<Finding>,
        /// Incidents in their latest state.
        incidents: Vec<Incident>,
    },
    /// Every source.
    Sources(Vec<SourceView>),
    /// Every gap.
    Gaps(Vec<GapView>),
    /// Lists of what is there that changed, by their sources.
    Listed(Vec<(SourceId, Arc<List>)>),
    /// Counters.
    Overview(Overview),
}

#[derive(Default)]
struct State {
    incidents: BTreeMap<String, Arc<Incident>>,
    findings: BTreeMap<String, Arc<Finding>>,
    sources: Vec<SourceView>,
    gaps: Vec<GapView>,
    lists: BTreeMap<SourceId, Arc<List>>,
    overview: Option<Overview>,
}

/// Reads an entry of the ledger.
pub type EntryReader = Box<dyn Fn(u64) -> Option<EntryView> + Send + Sync>;

struct Inner {
    state: RwLock<State>,
    version: watch::Sender<u64>,
    read_entry: EntryReader,
}

/// The latest state; clones share it.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

impl Desk {
    /// Makes an empty desk that reads entries through `read_entry`.
    #[must_use]
    pub fn new(read_entry: EntryReader) -> Self {
        Self(Arc::new(Inner {
            state: RwLock::default(),
            version: watch::Sender::new(0),
            read_entry,
        }))
    }

    /// Takes news and wakes whoever waits for it.
    pub fn publish(&self, update: Update) {
        {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            match update {
                Update::Decided {
                    findings,
                    incidents,
                } => {
                    state.findings.extend(
                        findings
                            .into_iter()
                            .map(|finding| (finding.id.clone(), Arc::new(finding))),
                    );
                    state.incidents.extend(
                        incidents
                            .into_iter()
                            .map(|incident| (incident.id.clone(), Arc::new(incident))),
                    );
                }
                Update::Sources(sources) => state.sources = sources,
                Update::Gaps(gaps) => state.gaps = gaps,
                Update::Listed(lists) => state.lists.extend(lists),
                Update::Overview(overview) => state.overview = Some(overview),
            }
        }
        self.0.version.send_modify(|version| *version += 1);
    }

    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Incidents that go on, the severest first, then the newest.
    #[must_use]
    pub fn incidents(&self) -> Vec<Arc<Incident>> {
        let mut all: Vec<_> = self
            .state()
            .incidents
            .values()
            .filter(|incident| incident.state != IncidentState::Merged)
            .cloned()
            .collect();
        all.sort_by_key(|incident| {
            (
                std::cmp::Reverse((incident.severity, incident.last)),
                incident.id.clone(),
            )
        });
        all
    }

    /// One incident, those that went into others too.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<Arc<Incident>> {
        self.state().incidents.get(id).cloned()
    }

    /// One finding.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<Arc<Finding>> {
        self.state().findings.get(id).cloned()
    }

    /// Every source.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceView> {
        self.state().sources.clone()
    }

    /// Every gap.
    #[must_use]
    pub fn gaps(&self) -> Vec<GapView> {
        self.state().gaps.clone()
    }

    /// Lists of what is there, by their sources.
    #[must_use]
    pub fn lists(&self) -> BTreeMap<SourceId, Arc<List>> {
        self.state().lists.clone()
    }

    /// The counters, once there are any.
    #[must_use]
    pub fn overview(&self) -> Option<Overview> {
        self.state().overview.clone()
    }

    /// One sealed entry.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Option<EntryView> {
        (self.0.read_entry)(sequence)
    }

    /// Changes with every piece of news.
    #[must_use]
    pub fn version(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }
}

//! Entries, sources, gaps and counters as pages show them.

use model::{Lane, Mark, Timestamp};
use serde_json::Value;

use crate::health::Hole;
use crate::judge::Understood;
use crate::live::Delay;

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

impl EntryView {
    /// What an observation keeps whole beside its fields, which no rule reads: a page as a browser had it.
    #[must_use]
    pub fn whole(&self) -> Option<String> {
        if self.format != parse::OBSERVATION || self.quarantined {
            return None;
        }
        let mut told: Value = serde_json::from_str(self.text.as_deref()?).ok()?;
        match told.get_mut(sources::WHOLE)?.take() {
            Value::String(whole) => Some(whole),
            _ => None,
        }
    }
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

impl SourceView {
    /// What stands among sources for a sink that fails begins so.
    pub const SINK: &str = "sink:";
    /// As what the state stands there while it can't be written.
    pub const STATE: &str = "state";

    /// Whether it is read, rather than a sink or the state that fails.
    #[must_use]
    pub fn is_source(&self) -> bool {
        !self.id.starts_with(Self::SINK) && self.id != Self::STATE
    }
}

/// How many letters went by mail since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailCounts {
    /// Letters that a server took.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// News that went with another's letter, since there were too many.
    pub joined: u64,
    /// Incidents with something to tell, by address, at the last look.
    pub waiting: u64,
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

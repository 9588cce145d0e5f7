//! Sealed records → findings → incidents: the part that is the same for live, `analyze` and replay.
//!
//! It sees only what the ledger holds – masked bytes, marks, received time – and is a fold over it:
//! the same entries give the same findings and incidents.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use detect::reads::Reads;
use detect::shape::{ShapeError, Shaper, Shapes};
use detect::{Detector, RuleError, RuleSource};
use incident::{Change, Grouper, GroupingSettings, ObligationError, ObligationRules};
use model::{
    ActorKind, Category, Event, EventRef, Field, Finding, Handling, Incident, InstallationId, Lane,
    Mark, MarkKind, Scope, Sequence, SourceId, Timestamp, Value,
};
use parse::{Context, Format, Joined, Joiner, SourceState};

use crate::archive::Archive;
use crate::content;
use crate::peers::Peers;
use crate::rulebook::RuleBook;

/// Different user agents after which an address is taken for a proxy: never an actor alone.
const PROXY_AGENTS_MIN: usize = 64;
/// Longest name of a host (RFC 1035 §2.3.4, with its dots); what is longer names none.
const HOST_BYTES_MAX: usize = 255;
/// Addresses whose user agents are remembered; the oldest names in order go first.
const PROXY_ADDRESSES_MAX: usize = 65_536;

/// An entry as judging sees it.
#[derive(Clone, Copy, Debug)]
pub struct SealedRecord<'a> {
    /// Its place in the ledger.
    pub sequence: Sequence,
    /// Where it came from.
    pub source: &'a SourceId,
    /// The format it was read as.
    pub format: &'static str,
    /// Live or exercise.
    pub lane: Lane,
    /// When it was received.
    pub received: Timestamp,
    /// What was masked in it.
    pub marks: &'a [Mark],
    /// The masked bytes.
    pub payload: &'a [u8],
}

/// Why a judge could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// A rule can't be used.
    #[error("a rule can't be used")]
    Rule {
        /// What is wrong with it.
        source: RuleError,
    },
    /// The shipped shapes can't be used.
    #[error("a shape can't be used")]
    Shape {
        /// What is wrong with it.
        source: ShapeError,
    },
    /// An obligation can't be used.
    #[error("an obligation can't be used")]
    Obligation {
        /// What is wrong with it.
        source: ObligationError,
    },
}

/// What a judge counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgeCounters {
    /// Entries seen.
    pub records: u64,
    /// Events read from them, joined.
    pub events: u64,
    /// Findings, each counted once.
    pub findings: u64,
}

/// What a source's records need to be read again.
struct Reader {
    format: &'static dyn Format,
    state: SourceState,
    joiner: Joiner,
    /// Of its latest record: what still waits to be joined is judged in it.
    lane: Lane,
}

/// The fold from entries to incidents.
pub struct Judge {
    context: Context,
    readers: BTreeMap<SourceId, Reader>,
    shaper: Shaper,
    detector: Detector,
    pub(crate) grouper: Grouper,
    /// Where what rests is read again; without one nothing rests.
    pub(crate) archive: Option<Archive>,
    agents: BTreeMap<String, BTreeSet<u64>>,
    /// Hosts the shop asks its database from.
    peers: Peers,
    pub(crate) changed: BTreeSet<String>,
    rehearsing: bool,
    pub(crate) counters: JudgeCounters,
    /// How often tables of payments were read.
    pub(crate) reads: Reads,
    /// Whether what comes isn't counted yet.
    pub(crate) counts: bool,
    book: Arc<RuleBook>,
    pub(crate) handlings: BTreeMap<String, Handling>,
}

impl Judge {
    /// Makes a judge with the embedded content and, where given, the merchant's own rules.
    ///
    /// # Errors
    ///
    /// [`JudgeError`] when a rule or an obligation can't be read.
    pub fn new(
        installation: &InstallationId,
        context: Context,
        own_rules: &[(String, String)],
    ) -> Result<Self, JudgeError> {
        let mut rules: Vec<RuleSource<'_>> = content::under("rules/", ".yml")
            .map(|(name, text)| RuleSource { name, text })
            .collect();
        rules.extend(
            own_rules
                .iter()
                .map(|(name, text)| RuleSource { name, text }),
        );
        let settings = detect::Settings {
            installation: installation.clone(),
            ..detect::Settings::default()
        };
        let detector =
            Detector::new(&rules, settings).map_err(|source| JudgeError::Rule { source })?;
        let obligations: Vec<_> = content::under("obligations/", ".toml").collect();
        let obligations = ObligationRules::parse(&obligations)
            .map_err(|source| JudgeError::Obligation { source })?;
        Ok(Self {
            shaper: Shaper::new(context.table_prefix.clone(), shipped_shapes()?),
            context,
            readers: BTreeMap::new(),
            detector,
            grouper: Grouper::new(GroupingSettings::default(), &obligations),
            archive: None,
            agents: BTreeMap::new(),
            peers: Peers::default(),
            changed: BTreeSet::new(),
            rehearsing: false,
            counters: JudgeCounters::default(),
            reads: Reads::default(),
            counts: true,
            book: Arc::new(RuleBook::new(own_rules)),
            handlings: BTreeMap::new(),
        })
    }

    /// The rules it judges by, as people read them.
    #[must_use]
    pub fn book(&self) -> Arc<RuleBook> {
        Arc::clone(&self.book)
    }

    /// How records are read: zone, trusted proxies, table prefix.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// From here on (or no longer), records only make detection warm: what they make is known already.
    pub fn rehearse(&mut self, rehearsing: bool) {
        self.rehearsing = rehearsing;
    }

    /// Takes what was sealed before: incidents, and the findings that are held, each with when it first was. What differs from how it
    /// was sealed counts as changed.
    pub fn restore(
        &mut self,
        incidents: BTreeMap<String, Incident>,
        findings: Vec<(Finding, Timestamp)>,
    ) {
        self.counters.findings += findings.len() as u64;
        for change in self.grouper.restore(incidents, findings) {
            note_change(&mut self.changed, change);
        }
    }

    /// Judges one record; findings it makes or makes grow are added to `out`.
    pub fn push(&mut self, record: &SealedRecord<'_>, out: &mut Vec<Finding>) {
        self.counters.records += 1;
        let fits = self
            .readers
            .get(record.source)
            .is_some_and(|reader| reader.format.name() == record.format);
        if !fits {
            let Some(format) = parse::named(record.format) else {
                return;
            };
            let reader = Reader {
                format,
                state: SourceState::default(),
                joiner: Joiner::new(),
                lane: record.lane,
            };
            self.readers.insert(record.source.clone(), reader);
        }
        let Some(reader) = self.readers.get_mut(record.source) else {
            return;
        };
        reader.lane = record.lane;
        let read = reader
            .format
            .parse(record.payload, &self.context, &mut reader.state);
        let Ok(mut event) = read else { return };
        count_marks(&mut event, record.marks);
        event.put_text(Field::Format, record.format);
        if event.category == Category::Database {
            self.reads.take_table(&event, record.received, self.counts);
        }
        let at = EventRef {
            sequence: record.sequence,
            index: 0,
        };
        let mut joined = Vec::new();
        reader.joiner.push(event, at, &mut joined);
        for event in joined {
            self.judge(event, record.lane, record.received, out);
        }
    }

    fn judge(
        &mut self,
        joined: Joined<'_>,
        lane: Lane,
        received: Timestamp,
        out: &mut Vec<Finding>,
    ) {
        self.counters.events += 1;
        let Joined { mut event, refs } = joined;
        if event.category == Category::Database {
            let shape = self.shaper.enrich(&mut event).map(|(shape, _)| shape);
            if self.counts {
                self.reads.take(&event, shape.as_ref(), received);
            }
        }
        self.note_agent(&event);
        if let Some(host) = self.peers.note(&event) {
            for change in self.grouper.note_actor_traffic(&host, u64::MAX) {
                note_change(&mut self.changed, change);
            }
        }
        let scope = scope(&event, &self.context);
        let before = out.len();
        self.detector.push(&event, &refs, lane, &scope, out);
        self.settle(before, received, out);
    }

    /// Takes a finding of magewarden's own, which no rule makes.
    pub fn tell(&mut self, finding: Finding, received: Timestamp, out: &mut Vec<Finding>) {
        let before = out.len();
        out.push(finding);
        self.settle(before, received, out);
    }

    /// Tells the latest state of findings that grew.
    pub fn refresh(&mut self, now: Timestamp, out: &mut Vec<Finding>) {
        let before = out.len();
        self.detector.refresh(out);
        self.settle(before, now, out);
    }

    /// Ends what is open: joins still waiting, correlations still growing.
    pub fn flush(&mut self, now: Timestamp, out: &mut Vec<Finding>) {
        let mut waited = Vec::new();
        for reader in self.readers.values_mut() {
            let mut joined = Vec::new();
            reader.joiner.flush(&mut joined);
            waited.extend(joined.into_iter().map(|event| (reader.lane, event)));
        }
        for (lane, event) in waited {
            self.judge(event, lane, now, out);
        }
        let before = out.len();
        self.detector.flush(now, out);
        self.settle(before, now, out);
    }

    /// Remembers and groups the findings from `before` on; those known already are left out.
    fn settle(&mut self, before: usize, received: Timestamp, out: &mut Vec<Finding>) {
        if self.rehearsing {
            out.truncate(before);
            return;
        }
        let mut at = before;
        while let Some(finding) = out.get_mut(at) {
            self.leave_out_shared(finding);
            self.wake_for(finding);
            let known = self.grouper.finding(&finding.id);
            // After a start, a finding may be made again from fewer of its events.
            if known
                .is_some_and(|known| known == finding || known.event_count > finding.event_count)
            {
                out.remove(at);
                continue;
            }
            if known.is_none() {
                self.counters.findings += 1;
            }
            for change in self.grouper.push(finding, received) {
                note_change(&mut self.changed, change);
            }
            at += 1;
        }
    }

    /// Leaves out of a finding the addresses that many clients share: they name nobody.
    pub(crate) fn leave_out_shared(&self, finding: &mut Finding) {
        let many = |address: &str| {
            let seen = self.agents.get(address);
            seen.is_some_and(|seen| seen.len() >= PROXY_AGENTS_MIN) || self.peers.is_shops(address)
        };
        finding
            .actors
            .retain(|actor| actor.kind != ActorKind::Address || !many(&actor.value));
    }

    /// Counts the different user agents of an address, up to what makes it a proxy.
    fn note_agent(&mut self, event: &Event<'_>) {
        let (Some(address), Some(agent)) =
            (event.text(Field::ClientIp), event.text(Field::UserAgent))
        else {
            return;
        };
        if address.len() > HOST_BYTES_MAX {
            return;
        }
        let mut hasher = DefaultHasher::new();
        agent.hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(seen) = self.agents.get_mut(address) {
            if seen.len() < PROXY_AGENTS_MIN {
                seen.insert(hash);
            }
            return;
        }
        if self.agents.len() >= PROXY_ADDRESSES_MAX {
            self.agents.pop_first();
        }
        self.agents
            .insert(address.to_owned(), BTreeSet::from([hash]));
    }

    /// Gives the ids of incidents that changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// Every incident, in the grouper's order.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.grouper.incidents()
    }

    /// One incident.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.grouper.incident(id)
    }

    /// Every finding that is held, in its latest state, by id.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.grouper.findings()
    }

    /// One finding that is held.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.grouper.finding(id)
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> JudgeCounters {
        self.counters
    }
}

/// What a record says, by the names rules use.
#[derive(Clone, Debug)]
pub struct Understood {
    /// Website, store or view it is of.
    pub place: Scope,
    /// Fields by name, in the format's order.
    pub fields: Vec<(&'static str, String)>,
}

/// Reads one record by itself: what its neighbours add (parts of one statement, the sum of a join) isn't there.
///
/// `None` when the format isn't known or the record isn't one of it.
#[must_use]
pub fn understand(format: &str, payload: &[u8], context: &Context) -> Option<Understood> {
    let mut state = SourceState::default();
    let event = parse::named(format)?
        .parse(payload, context, &mut state)
        .ok()?;
    Some(Understood {
        place: scope(&event, context),
        fields: event
            .fields()
            .iter()
            .map(|(field, value)| (field.name(), value.to_string()))
            .collect(),
    })
}

/// The place in the installation that an event names.
pub(crate) fn scope(event: &Event<'_>, context: &Context) -> Scope {
    let short = |field| {
        event
            .text(field)
            .filter(|text| text.len() <= HOST_BYTES_MAX)
    };
    if let Some(view) = short(Field::StoreView) {
        return Scope::View(view.to_owned());
    }
    if let Some(website) = short(Field::Website) {
        return Scope::Website(website.to_owned());
    }
    match event.category {
        Category::Webserver | Category::PaymentPage
            if event
                .text(Field::Host)
                .is_none_or(|host| host.len() <= HOST_BYTES_MAX) =>
        {
            detect::place(event, &context.stores)
        }
        _ => Scope::Unknown,
    }
}

pub(crate) fn note_change(changed: &mut BTreeSet<String>, change: Change) {
    match change {
        Change::Merged { into, from } => {
            changed.insert(into);
            changed.insert(from);
        }
        Change::Opened(id) | Change::Grew(id) => {
            changed.insert(id);
        }
        _ => {}
    }
}

/// Reads the shipped set of statements that Magento issues.
///
/// # Errors
///
/// [`JudgeError::Shape`] when one can't be read.
pub fn shipped_shapes() -> Result<Shapes, JudgeError> {
    Shapes::parse(content::under("shapes/", ".toml")).map_err(|source| JudgeError::Shape { source })
}

/// Gives rules the marks as `cardholder.*`.
pub fn count_marks(event: &mut Event<'_>, marks: &[Mark]) {
    let (mut numbers, mut tests, mut sensitive) = (0, 0, 0);
    for mark in marks {
        match mark.kind {
            MarkKind::Pan => {
                numbers += 1;
                tests += i64::from(mark.is_test);
            }
            MarkKind::Secret => {}
            _ => sensitive += 1,
        }
    }
    for (field, count) in [
        (Field::PanCount, numbers),
        (Field::TestPanCount, tests),
        (Field::SadCount, sensitive),
    ] {
        if count > 0 {
            event.put(field, Value::Int(count));
        }
    }
}

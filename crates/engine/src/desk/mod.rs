//! What pages and reports read: the latest state the pipeline published. Cheap to read, one writer.

mod about;
mod behaviour;
mod brief;
mod in_order;
mod installation;
mod reads;
mod runs;
mod sight;
mod views;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use detect::reads::Reads;
use incident::{EntityProfile, Rested};
use model::{Finding, Handling, Incident, IncidentState, Lane, SourceId};
use stores::Outcome;
use tokio::sync::watch;

use crate::archive::Archive;
use crate::containment::{HostSeen, Modes, Playbooks, Standing};
use crate::evidence::{Listed, Search};
use crate::handled::{severity_of, state_of};
use crate::inventory::List;
use crate::ledger::LedgerError;
use crate::pause::Held;
use crate::rulebook::RuleBook;
use in_order::InOrder;

pub use about::{About, Touched};
pub use behaviour::Behaviour;
pub use brief::{Brief, Clock, Words, places};
pub use in_order::{Figures, RunningClock};
use reads::Day;
pub use reads::{AccountReads, HourReads, TableReads};
pub use sight::{Sight, Work};
pub use views::{EntryView, GapView, MailCounts, Overview, SourceView};

/// Outcomes that are remembered; whoever comes later asks the outbox.
const SETTLED_MAX: usize = 1024;

/// Changes whose incidents are remembered; whoever looks away for longer is told that there is news.
const CHANGES_MAX: usize = 1024;

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
    /// Incidents that rest, as they were sealed last.
    Resting(Vec<Brief>),
    /// What is let go of: it is read from the ledger from now on.
    Rested(Rested),
    /// How incidents are handled, by id.
    Handled(Vec<(String, Handling)>),
    /// What became of decisions, by their ids.
    Settled(BTreeMap<String, Outcome>),
    /// Every source.
    Sources(Vec<SourceView>),
    /// Pauses of sources that go on.
    Pauses(Vec<Held>),
    /// The playbooks that plans are made from.
    Playbooks(Arc<Playbooks>),
    /// What is asked for without a person.
    Modes(Arc<Modes>),
    /// Every gap.
    Gaps(Vec<GapView>),
    /// Lists of what is there that changed, by their sources.
    Listed(Vec<(SourceId, Arc<List>)>),
    /// How often tables of payments were read.
    Reads(Arc<Reads>),
    /// The rules that are judged by.
    Rules(Arc<RuleBook>),
    /// Runs, as they stand.
    Runs(Vec<Arc<Standing>>),
    /// A host reported: its name, and what it said.
    Host(String, HostSeen),
    /// Counters.
    Overview(Overview),
    /// Counters of mail.
    Mail(MailCounts),
}

#[derive(Default)]
struct State {
    /// Every incident in brief.
    briefs: BTreeMap<String, Arc<Brief>>,
    words: Words,
    /// Who the merchant is, by which clocks run.
    merchant: Arc<EntityProfile>,
    /// Those that go on; made when somebody asks.
    in_order: OnceLock<Arc<InOrder>>,
    /// What payment tables were read in the last day; made when somebody asks.
    day: Day,
    /// Those of exercises: every page asks.
    exercises: BTreeSet<String>,
    /// Where what rests is read.
    archive: Option<Archive>,
    /// Incidents that don't rest.
    incidents: BTreeMap<String, Arc<Incident>>,
    handlings: BTreeMap<String, Arc<Handling>>,
    /// The latest outcomes, for whoever waits for one.
    settled: VecDeque<(String, Outcome)>,
    /// Versions with the incidents that changed in each, the oldest first.
    changes: VecDeque<(u64, Vec<String>)>,
    /// Of each finding that doesn't rest, the incident it is in.
    incident_of: BTreeMap<String, String>,
    findings: BTreeMap<String, Arc<Finding>>,
    sources: Vec<SourceView>,
    pauses: Vec<Held>,
    playbooks: Arc<Playbooks>,
    modes: Arc<Modes>,
    gaps: Vec<GapView>,
    lists: BTreeMap<SourceId, Arc<List>>,
    reads: Arc<Reads>,
    rules: Arc<RuleBook>,
    runs: BTreeMap<String, Arc<Standing>>,
    hosts: BTreeMap<String, HostSeen>,
    overview: Option<Overview>,
    mail: Option<MailCounts>,
}

/// Reads an entry of the ledger.
pub type EntryReader = Box<dyn Fn(u64) -> Option<EntryView> + Send + Sync>;

/// Finds entries of the ledger.
pub type EntryFinder = Box<dyn Fn(&Search) -> Result<Listed, LedgerError> + Send + Sync>;

struct Inner {
    state: RwLock<State>,
    version: watch::Sender<u64>,
    read_entry: EntryReader,
    find_entries: EntryFinder,
}

/// The latest state; clones share it.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

impl State {
    fn keep(&mut self, brief: Brief) {
        if brief.lane == Lane::Exercise {
            self.exercises.insert(brief.id.clone());
        }
        self.briefs.insert(brief.id.clone(), Arc::new(brief));
    }

    fn list(&self) -> Arc<[Work]> {
        let goes_on = |brief: &&Arc<Brief>| brief.state != IncidentState::Merged;
        let untouched = Arc::<Handling>::default();
        let works = self.briefs.values().filter(goes_on).map(|brief| {
            let handling = self.handlings.get(&brief.id).unwrap_or(&untouched).clone();
            Work {
                state: state_of(&**brief, Some(&handling)),
                severity: severity_of(&**brief, Some(&handling)),
                handling,
                incident: Arc::clone(brief),
            }
        });
        let mut all: Vec<Work> = works.collect();
        all.sort_by_cached_key(|work| {
            let weight = Reverse((work.severity, work.incident.leak(), work.incident.last));
            (work.state.is_over(), weight, work.incident.id.clone())
        });
        all.into()
    }
}

impl Desk {
    /// Makes an empty desk that reads entries through `read_entry`, and finds none.
    #[must_use]
    pub fn new(read_entry: EntryReader) -> Self {
        Self::searching(read_entry, Box::new(|_| Ok(Listed::default())))
    }

    /// Makes an empty desk that reads entries through `read_entry` and finds them through `find_entries`.
    #[must_use]
    pub fn searching(read_entry: EntryReader, find_entries: EntryFinder) -> Self {
        Self(Arc::new(Inner {
            state: RwLock::default(),
            version: watch::Sender::new(0),
            read_entry,
            find_entries,
        }))
    }

    /// Takes news and wakes whoever waits for it.
    pub fn publish(&self, update: Update) {
        {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            let version = *self.0.version.borrow() + 1;
            let changed = changed(&update);
            if state.changes.len() >= CHANGES_MAX {
                state.changes.pop_front();
            }
            state.changes.push_back((version, changed));
            if !matches!(
                update,
                Update::Sources(_)
                    | Update::Pauses(_)
                    | Update::Playbooks(_)
                    | Update::Modes(_)
                    | Update::Overview(_)
                    | Update::Reads(_)
                    | Update::Host(..)
                    | Update::Mail(_)
                    | Update::Runs(_)
            ) {
                state.in_order.take();
                state.day.take();
            }
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
                    for incident in incidents {
                        if incident.state != IncidentState::Merged {
                            for joined in &incident.findings {
                                let id = incident.id.clone();
                                state.incident_of.insert(joined.finding.clone(), id);
                            }
                        }
                        let merchant = Arc::clone(&state.merchant);
                        let brief = Brief::of(&incident, &merchant, &mut state.words);
                        state.keep(brief);
                        state
                            .incidents
                            .insert(incident.id.clone(), Arc::new(incident));
                    }
                }
                Update::Resting(briefs) => {
                    for brief in briefs {
                        state.keep(brief);
                    }
                }
                Update::Rested(rested) => {
                    for id in &rested.incidents {
                        state.incidents.remove(id);
                    }
                    for id in &rested.findings {
                        state.findings.remove(id);
                        state.incident_of.remove(id);
                    }
                }
                Update::Handled(handlings) => {
                    let handlings = handlings.into_iter();
                    state
                        .handlings
                        .extend(handlings.map(|(id, handling)| (id, Arc::new(handling))));
                }
                Update::Settled(outcomes) => {
                    state.settled.extend(outcomes);
                    let over = state.settled.len().saturating_sub(SETTLED_MAX);
                    state.settled.drain(..over);
                }
                Update::Sources(sources) => state.sources = sources,
                Update::Pauses(pauses) => state.pauses = pauses,
                Update::Playbooks(playbooks) => state.playbooks = playbooks,
                Update::Modes(modes) => state.modes = modes,
                Update::Gaps(gaps) => state.gaps = gaps,
                Update::Listed(lists) => state.lists.extend(lists),
                Update::Reads(reads) => {
                    state.reads = reads;
                    state.day.take();
                }
                Update::Rules(book) => state.rules = book,
                Update::Runs(runs) => {
                    let runs = runs.into_iter();
                    state.runs.extend(runs.map(|run| (run.run.clone(), run)));
                }
                Update::Host(name, seen) => drop(state.hosts.insert(name, seen)),
                Update::Overview(overview) => state.overview = Some(overview),
                Update::Mail(counts) => state.mail = Some(counts),
            }
        }
        self.0.version.send_modify(|version| *version += 1);
    }

    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on, what rests is read there.
    pub fn remember_by(&self, archive: Archive) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        state.archive = Some(archive);
    }

    /// From here on, clocks run by who the merchant is: said before anything is published.
    pub fn concerns(&self, merchant: EntityProfile) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        state.merchant = Arc::new(merchant);
    }

    /// Who the merchant is, as far as settings say.
    #[must_use]
    pub fn merchant(&self) -> Arc<EntityProfile> {
        Arc::clone(&self.state().merchant)
    }

    fn in_order(&self) -> Arc<InOrder> {
        let state = self.state();
        let in_order = || Arc::new(InOrder::new(state.list()));
        Arc::clone(state.in_order.get_or_init(in_order))
    }

    /// Incidents that go on: those somebody has to work on first; of these the severest, of these what leaks and how much is
    /// known of it, then the newest.
    #[must_use]
    pub fn incidents(&self) -> Arc<[Work]> {
        Arc::clone(&self.in_order().works)
    }

    /// What is said of all of them.
    pub(crate) fn figures(&self) -> Arc<Figures> {
        self.in_order().figures()
    }

    /// Incidents that changed after a version; `None` when that is too long ago to tell.
    pub(crate) fn changed_since(&self, version: u64) -> Option<Vec<Arc<Brief>>> {
        let state = self.state();
        let oldest = state.changes.front().map_or(1, |(oldest, _)| *oldest);
        if version + 1 < oldest {
            return None;
        }
        let after = state
            .changes
            .iter()
            .filter(|(changed, _)| *changed > version);
        let ids = after.flat_map(|(_, ids)| ids);
        Some(ids.filter_map(|id| state.briefs.get(id).cloned()).collect())
    }

    /// Whether an incident of an exercise is such a one.
    pub(crate) fn any_exercise(&self, is_such: impl Fn(&Brief) -> bool) -> bool {
        let state = self.state();
        let exercises = state.exercises.iter().filter_map(|id| state.briefs.get(id));
        exercises.into_iter().any(|incident| is_such(incident))
    }

    /// How an incident is handled; the empty one where nobody decided anything.
    #[must_use]
    pub fn handling(&self, incident: &str) -> Arc<Handling> {
        let known = self.state().handlings.get(incident).cloned();
        known.unwrap_or_default()
    }

    /// Incidents that an account watches or leads, those that went into others too.
    pub(crate) fn followed_by(&self, account: &str) -> Vec<Arc<Brief>> {
        let state = self.state();
        let handlings = state.handlings.iter();
        let followed = handlings.filter(|(_, handling)| handling.is_followed_by(account));
        followed
            .filter_map(|(id, _)| state.briefs.get(id).cloned())
            .collect()
    }

    /// The incident a finding is in.
    #[must_use]
    pub fn incident_of(&self, finding: &str) -> Option<Arc<Brief>> {
        let state = self.state();
        if let Some(id) = state.incident_of.get(finding) {
            return state.briefs.get(id).cloned();
        }
        let id = state.archive.as_ref()?.incident_of(finding)?;
        state.briefs.get(&id).cloned()
    }

    /// What became of a decision, of the latest.
    #[must_use]
    pub fn outcome(&self, decision: &str) -> Option<Outcome> {
        let state = self.state();
        let mut latest = state.settled.iter().rev();
        latest
            .find(|(id, _)| id == decision)
            .map(|(_, outcome)| outcome.clone())
    }

    /// One incident in brief, those that went into others too.
    #[must_use]
    pub fn in_brief(&self, id: &str) -> Option<Arc<Brief>> {
        self.state().briefs.get(id).cloned()
    }

    /// One incident, those that went into others too.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<Arc<Incident>> {
        let (known, archive) = {
            let state = self.state();
            (state.incidents.get(id).cloned(), state.archive.clone())
        };
        // Nobody waits for a disk with the state in hand.
        known.or_else(|| archive?.incident(id).map(Arc::new))
    }

    /// One finding.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<Arc<Finding>> {
        let (known, archive) = {
            let state = self.state();
            (state.findings.get(id).cloned(), state.archive.clone())
        };
        known.or_else(|| archive?.finding(id).map(|(finding, _)| Arc::new(finding)))
    }

    /// Every finding that doesn't rest, with the incident it is in.
    #[must_use]
    pub fn findings(&self) -> Vec<(Arc<Finding>, Option<Arc<Brief>>)> {
        let state = self.state();
        let incident = |id| state.briefs.get(state.incident_of.get(id)?).cloned();
        let all = state.findings.iter();
        all.map(|(id, finding)| (Arc::clone(finding), incident(id)))
            .collect()
    }

    /// Whether an incident is read from the ledger, with its findings.
    #[must_use]
    pub fn rests(&self, incident: &str) -> bool {
        let state = self.state();
        // One that was woken is at hand; of its findings, those told since alone.
        state.incidents.get(incident).is_none_or(|incident| {
            let mut joined = incident.findings.iter();
            joined.any(|joined| !state.findings.contains_key(&joined.finding))
        })
    }

    /// One sealed entry.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Option<EntryView> {
        (self.0.read_entry)(sequence)
    }

    /// Entries that are asked for. Reads files: not for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when they can't be read.
    pub fn entries(&self, search: &Search) -> Result<Listed, LedgerError> {
        (self.0.find_entries)(search)
    }

    /// Changes with every piece of news.
    #[must_use]
    pub fn version(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }
}

/// Incidents that an update changes.
fn changed(update: &Update) -> Vec<String> {
    match update {
        Update::Decided { incidents, .. } => incidents.iter().map(|one| one.id.clone()).collect(),
        Update::Handled(handlings) => handlings.iter().map(|(id, _)| id.clone()).collect(),
        Update::Runs(runs) => runs.iter().map(|run| run.incident.clone()).collect(),
        _ => Vec::new(),
    }
}

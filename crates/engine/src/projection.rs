//! What the pipeline decided, folded from the ledger's entries into the state database.
//!
//! The entry first, the row second: a row tells nothing that an entry doesn't. Rows are written
//! together, about once a second; what they don't reflect yet is folded at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::sync::Arc;

use custody::{EntryKind, Header};
use detect::reads::Reads;
use model::{Finding, Generation, Handling, Incident, Position, Sequence, SourceId, Timestamp};
use stores::{
    Database, FindingRow, HandlingRow, IncidentRow, ListRow, OutboxRow, Outcome, SettledRow,
    SourceRow, State, StateUpdate, StoreError,
};

use crate::inventory::{Inventory, List, is_listed};
use crate::reads::Unwritten;

/// Why the projections can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// The state database can't be used.
    #[error("the state database can't be used")]
    Store {
        /// What it said.
        source: StoreError,
    },
    /// A row's JSON can't be written or read.
    #[error("a row of the state database isn't what was written")]
    Json {
        /// What serde said.
        source: serde_json::Error,
    },
}

impl ProjectionError {
    /// Whether the disk is full: what failed may succeed later.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        matches!(self, Self::Store { source } if source.is_full_disk())
    }

    /// Whether it is for somebody at the state's server to mend, while the ledger goes on.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Store { source } if source.is_elsewhere())
    }

    /// How many entries the written rows reflect, where that is fewer than they did.
    #[must_use]
    pub fn went_back(&self) -> Option<u64> {
        match self {
            Self::Store {
                source: StoreError::WentBack { entries, .. },
            } => Some(*entries),
            _ => None,
        }
    }
}

impl From<StoreError> for ProjectionError {
    fn from(source: StoreError) -> Self {
        Self::Store { source }
    }
}

impl From<serde_json::Error> for ProjectionError {
    fn from(source: serde_json::Error) -> Self {
        Self::Json { source }
    }
}

/// Where each source goes on: its generation, and the first byte not sealed.
pub type Positions = BTreeMap<SourceId, (Generation, Position)>;

/// The rows of one installation, and those not written yet.
pub struct Projection {
    state: State,
    reflects: u64,
    positions: Positions,
    moved: BTreeSet<SourceId>,
    findings: BTreeMap<String, FindingRow>,
    incidents: BTreeMap<String, IncidentRow>,
    handlings: BTreeMap<String, HandlingRow>,
    settled: BTreeMap<String, SettledRow>,
    inventory: Inventory,
    reads: Unwritten,
    unwritten_bytes: usize,
}

impl Projection {
    /// Takes the state of a ledger of `entries`. One that reflects more is of another ledger: it is emptied.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be used.
    pub fn open(mut state: State, entries: u64) -> Result<Self, ProjectionError> {
        if state.reflects()? > entries {
            state.clear()?;
        }
        let positions = positions(&mut state)?;
        let mut inventory = Inventory::default();
        for row in state.lists()? {
            inventory.restore(SourceId(row.source), &row.body);
        }
        Ok(Self {
            reflects: state.reflects()?,
            state,
            positions,
            moved: BTreeSet::new(),
            findings: BTreeMap::new(),
            incidents: BTreeMap::new(),
            handlings: BTreeMap::new(),
            settled: BTreeMap::new(),
            inventory,
            reads: Unwritten::default(),
            unwritten_bytes: 0,
        })
    }

    /// Takes a state whose ledger was set aside: it is emptied. Gives where its sources stood.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be used.
    pub fn afresh(mut state: State) -> Result<(Self, Positions), ProjectionError> {
        // Rows that can't be read tell nothing: their sources are read from their starts again.
        let stood = match positions(&mut state) {
            Err(ProjectionError::Store { source }) => return Err(source.into()),
            read => read.unwrap_or_default(),
        };
        state.clear()?;
        Ok((Self::open(state, 0)?, stood))
    }

    /// The database that the rows are in.
    #[must_use]
    pub fn database(&self) -> &Database {
        self.state.database()
    }

    /// Entries the written rows reflect.
    #[must_use]
    pub fn reflects(&self) -> u64 {
        self.reflects
    }

    /// Where each source goes on.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// How incidents are handled, by id: what was written and not taken anew.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be read.
    pub fn handlings(&mut self) -> Result<BTreeMap<String, Handling>, ProjectionError> {
        let mut handlings = BTreeMap::new();
        for row in self.state.handlings()? {
            handlings.insert(row.incident, serde_json::from_str(&row.body)?);
        }
        Ok(handlings)
    }

    /// Hands over every finding in its latest state, one by one: written or not, its entry, and when it was first sealed.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be read.
    pub fn each_finding(
        &mut self,
        mut take: impl FnMut(Finding, Sequence, Timestamp),
    ) -> Result<(), ProjectionError> {
        let mut broken = None;
        let mut read = |row: &FindingRow| match serde_json::from_str(&row.body) {
            Ok(finding) => take(finding, Sequence(row.sequence), Timestamp(row.detected)),
            Err(error) => broken = Some(error),
        };
        let newer = &mut self.findings;
        self.state
            .each_finding(&mut |row| match newer.get_mut(&row.id) {
                Some(newer) => newer.detected = newer.detected.min(row.detected),
                None => read(&row),
            })?;
        self.findings.values().for_each(read);
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Hands over every incident in its latest state, one by one: written or not, and its entry.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be read.
    pub fn each_incident(
        &mut self,
        mut take: impl FnMut(Incident, Sequence),
    ) -> Result<(), ProjectionError> {
        let mut broken = None;
        let mut read = |row: &IncidentRow| match serde_json::from_str(&row.body) {
            Ok(incident) => take(incident, Sequence(row.sequence)),
            Err(error) => broken = Some(error),
        };
        let newer = &self.incidents;
        self.state.each_incident(&mut |row| {
            if !newer.contains_key(&row.id) {
                read(&row);
            }
        })?;
        newer.values().for_each(read);
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    /// How often tables of payments were read, as it was written; `None` where that isn't known and is to be counted again.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be read.
    pub fn reads(&mut self) -> Result<Option<Reads>, ProjectionError> {
        let (unwritten, reads) = Unwritten::restore(&self.state.reads()?);
        self.reads = unwritten;
        Ok(reads)
    }

    /// Takes that what was written of reads is to be counted again.
    pub fn forget_reads(&mut self) {
        self.reads.forget();
    }

    /// Takes hours in which tables of payments were read: those that changed, or all where the state has none.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Json`], which the types rule out.
    pub fn count(&mut self, reads: &mut Reads) -> Result<(), ProjectionError> {
        if !self.reads.is_whole() {
            reads.unsave();
        }
        if !self.reads.is_whole() || reads.has_changed() {
            self.reads.take(reads.take_changed(), reads.oldest())?;
        }
        Ok(())
    }

    /// How many bytes of findings and incidents wait to be written, at most: one that was taken anew is counted each time.
    #[must_use]
    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// Takes an observed record: its source goes on behind it.
    pub fn observed(&mut self, header: &Header) {
        if let Some(identity) = header
            .identity
            .as_ref()
            .filter(|_| header.kind == EntryKind::Observed)
        {
            let end = identity.position.offset_bytes + u64::from(identity.length_bytes);
            self.moved_to(&identity.source, identity.generation, end);
        }
    }

    /// Takes where a source goes on.
    pub fn moved_to(&mut self, source: &SourceId, generation: Generation, offset_bytes: u64) {
        let at = (generation, Position { offset_bytes });
        match self.positions.get_mut(source) {
            Some(known) => *known = at,
            None => drop(self.positions.insert(source.clone(), at)),
        }
        if !self.moved.contains(source) {
            self.moved.insert(source.clone());
        }
    }

    /// Takes what a source told in a sealed record, where that makes a list.
    pub fn told(&mut self, source: &SourceId, format: &str, sequence: Sequence, payload: &[u8]) {
        if format == parse::OBSERVATION {
            self.inventory.take(source, sequence, payload);
        }
    }

    /// Sources whose records make a list that isn't stored: an earlier version knew none.
    #[must_use]
    pub fn unlisted(&self) -> Vec<SourceId> {
        let sources = self.positions.keys();
        sources
            .filter(|source| is_listed(source) && !self.inventory.has(source))
            .cloned()
            .collect()
    }

    /// Every list, or those that changed since they were asked for last.
    pub fn lists(&mut self, all: bool) -> Vec<(SourceId, Arc<List>)> {
        self.inventory.to_show(all)
    }

    /// Takes a sealed finding.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Json`], which the types rule out.
    pub fn finding(
        &mut self,
        finding: &Finding,
        sequence: Sequence,
        sealed: Timestamp,
    ) -> Result<(), ProjectionError> {
        let detected = self
            .findings
            .get(&finding.id)
            .map_or(sealed.0, |row| row.detected.min(sealed.0));
        let row = FindingRow {
            id: finding.id.clone(),
            sequence: sequence.0,
            detected,
            first: finding.first.0,
            last: finding.last.0,
            body: serde_json::to_string(finding)?,
        };
        self.unwritten_bytes += row.body.len();
        self.findings.insert(finding.id.clone(), row);
        Ok(())
    }

    /// Takes a sealed state of an incident.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Json`], which the types rule out.
    pub fn incident(
        &mut self,
        incident: &Incident,
        sequence: Sequence,
    ) -> Result<(), ProjectionError> {
        let row = IncidentRow {
            id: incident.id.clone(),
            sequence: sequence.0,
            first: incident.first.0,
            last: incident.last.0,
            body: serde_json::to_string(incident)?,
        };
        self.unwritten_bytes += row.body.len();
        self.incidents.insert(incident.id.clone(), row);
        Ok(())
    }

    /// Takes how an incident is handled.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::Json`], which the types rule out.
    pub fn handled(&mut self, incident: &str, handling: &Handling) -> Result<(), ProjectionError> {
        let row = HandlingRow {
            incident: incident.to_owned(),
            sequence: handling.taken.last().map_or(0, |taken| taken.sequence.0),
            body: serde_json::to_string(handling)?,
        };
        self.handlings.insert(row.incident.clone(), row);
        Ok(())
    }

    /// What people decided and nobody looked at yet.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be read.
    pub fn waiting(&mut self) -> Result<Vec<OutboxRow>, ProjectionError> {
        let mut rows = self.state.waiting()?;
        rows.retain(|row| !self.settled.contains_key(&row.id));
        Ok(rows)
    }

    /// The content that waits with a row of the outbox.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be read.
    pub fn upload(&mut self, id: &str) -> Result<Option<String>, ProjectionError> {
        Ok(self.state.upload(id)?)
    }

    /// Takes what became of a decision.
    pub fn settled(&mut self, id: &str, outcome: Outcome) {
        let id = id.to_owned();
        self.settled.insert(id.clone(), SettledRow { id, outcome });
    }

    /// Takes that the written rows reflect `entries` only, after [`ProjectionError::went_back`]: what was decided since is to be taken
    /// again.
    pub fn went_back_to(&mut self, entries: u64) {
        self.reflects = entries;
        self.inventory.unsave();
        self.reads.forget();
        self.moved.extend(self.positions.keys().cloned());
    }

    /// Writes what was taken; the rows then reflect `entries`.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] when it can't be written: it is kept for the next time.
    pub fn save(&mut self, entries: u64) -> Result<(), ProjectionError> {
        if entries == self.reflects && self.settled.is_empty() && self.reads.is_empty() {
            return Ok(());
        }
        let mut sources = Vec::with_capacity(self.moved.len());
        for source in &self.moved {
            let Some((generation, position)) = self.positions.get(source) else {
                continue;
            };
            sources.push(SourceRow {
                id: source.0.clone(),
                generation: serde_json::to_string(generation)?,
                offset_bytes: position.offset_bytes,
            });
        }
        let lists = self.inventory.unsaved()?.into_iter();
        let lists = lists.map(|(SourceId(source), body)| ListRow { source, body });
        let (reads, reads_from) = self.reads.rows();
        // Handed over, not copied: there may be very many.
        let update = StateUpdate {
            after: self.reflects,
            reflects: entries,
            sources,
            findings: take(&mut self.findings).into_values().collect(),
            incidents: take(&mut self.incidents).into_values().collect(),
            handlings: take(&mut self.handlings).into_values().collect(),
            settled: take(&mut self.settled).into_values().collect(),
            lists: lists.collect(),
            reads,
            reads_from,
        };
        if let Err(error) = self.state.apply(&update) {
            self.put_back(update);
            return Err(error.into());
        }
        self.reflects = entries;
        self.unwritten_bytes = 0;
        self.moved.clear();
        self.inventory.saved();
        self.reads.saved();
        Ok(())
    }

    /// Takes rows back that couldn't be written.
    fn put_back(&mut self, update: StateUpdate) {
        let findings = update.findings.into_iter();
        self.findings = findings.map(|row| (row.id.clone(), row)).collect();
        let incidents = update.incidents.into_iter();
        self.incidents = incidents.map(|row| (row.id.clone(), row)).collect();
        let handlings = update.handlings.into_iter();
        self.handlings = handlings.map(|row| (row.incident.clone(), row)).collect();
        let settled = update.settled.into_iter();
        self.settled = settled.map(|row| (row.id.clone(), row)).collect();
    }
}

fn positions(state: &mut State) -> Result<Positions, ProjectionError> {
    let mut positions = Positions::new();
    for row in state.sources()? {
        let position = Position {
            offset_bytes: row.offset_bytes,
        };
        let generation = serde_json::from_str(&row.generation)?;
        positions.insert(SourceId(row.id), (generation, position));
    }
    Ok(positions)
}

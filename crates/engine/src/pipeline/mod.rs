//! One installation's pipeline: seal, then judge, then tell.
//!
//! [`Pipeline::append`] is the one way in. When it returns, the records are durable; what they
//! caused is sealed after them, so that whatever a page says rests on entries before it.

mod clock;
mod error;
mod external;
mod judging;
mod open;
mod own;
mod people;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cardholder::Masker;
use incident::EntityProfile;
use model::{Finding, Incident, InstallationId, Lane, Sequence, Timestamp};
use parse::Context;
use sinks::{Sink, SinkError};
use stores::{Database, Looks, Mailed, Outbox, StatePlace};

use crate::archive::Archive;
use crate::containment::{Containments, Modes, Playbooks};
use crate::desk::{Brief, Desk, Update};
use crate::intake::{Intake, MaskedRecord};
use crate::judge::Judge;
use crate::ledger::{EntryKind, Ledger, LedgerError, NewEntry, Opening};
use crate::pause::Pauses;
use crate::projection::{Positions, Projection, ProjectionError};
use crate::sealed::{Decided, VERSION};

use judging::{Judging, judge_all};

pub use error::PipelineError;

/// Where one installation lives and how its records are read.
pub struct Settings {
    /// Its name.
    pub installation: InstallationId,
    /// Folder of the ledger.
    pub ledger: PathBuf,
    /// Where its state lies; in a file beside it, `state.sqlite`, when no place is named.
    pub state: Option<StatePlace>,
    /// Folder of the keys; not on the ledger's volume where it can be helped.
    pub keys: PathBuf,
    /// A second place for checkpoints.
    pub second_place: Option<PathBuf>,
    /// Zone, proxies, table prefix.
    pub context: Context,
    /// Live or exercise.
    pub lane: Lane,
    /// The merchant's own rules: name and text.
    pub own_rules: Vec<(String, String)>,
    /// Who the merchant is, by which clocks run.
    pub merchant: EntityProfile,
}

/// Seals, judges and tells.
pub struct Pipeline {
    path: PathBuf,
    installation: InstallationId,
    lane: Lane,
    ledger: Ledger,
    opening: Opening,
    masker: Masker,
    context: Context,
    judging: Judging,
    projection: Projection,
    archive: Archive,
    merchant: EntityProfile,
    /// Incidents that rested at the start, until pages are told of them.
    resting: Vec<Brief>,
    /// When what ended long ago was let go of last.
    rested: Timestamp,
    /// Findings and incidents that are decided and not sealed yet.
    undecided: Vec<Finding>,
    changed: BTreeSet<String>,
    desk: Option<Desk>,
    sinks: Vec<Box<dyn Sink>>,
    sink_errors: BTreeMap<String, String>,
    stopped: Option<Timestamp>,
    pauses: Pauses,
    containments: Containments,
    playbooks: Arc<Playbooks>,
    modes: Arc<Modes>,
    /// Why rows aren't written to the state's server at the moment.
    state_trouble: Option<String>,
    judged: Option<Instant>,
}

impl Pipeline {
    /// Tells pages of what is known, and from here on of what changes.
    pub fn show_on(&mut self, desk: Desk) {
        desk.remember_by(self.archive.clone());
        desk.concerns(self.merchant.clone());
        desk.publish(Update::Resting(std::mem::take(&mut self.resting)));
        desk.publish(Update::Decided {
            findings: self.judge().findings().cloned().collect(),
            incidents: self.judge().incidents().cloned().collect(),
        });
        let handlings = self.judge().handlings().clone();
        desk.publish(Update::Handled(handlings.into_iter().collect()));
        desk.publish(Update::Listed(self.projection.lists(true)));
        desk.publish(Update::Reads(Arc::new(self.judge().reads.clone())));
        desk.publish(Update::Rules(self.judge().book()));
        desk.publish(Update::Playbooks(Arc::clone(&self.playbooks)));
        desk.publish(Update::Modes(Arc::clone(&self.modes)));
        desk.publish(Update::Runs(self.containments.all().cloned().collect()));
        self.desk = Some(desk);
    }

    /// Where each source goes on: its generation, and the first byte not sealed.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        self.projection.positions()
    }

    /// Tells a sink of findings and incidents.
    pub fn tell(&mut self, sink: Box<dyn Sink>) {
        self.sinks.push(sink);
    }

    /// Where people's decisions are put, to be sealed by this pipeline.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.database().clone())
    }

    /// Where it is kept how much of an incident somebody saw.
    #[must_use]
    pub fn looks(&self) -> Looks {
        Looks::new(self.database().clone())
    }

    /// Where it is kept what was told by mail.
    #[must_use]
    pub fn mailed(&self) -> Mailed {
        Mailed::new(self.database().clone())
    }

    /// What opening the ledger found.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// When the run before this one sealed its last entry; `None` when the ledger is a new one.
    #[must_use]
    pub fn stopped(&self) -> Option<Timestamp> {
        self.stopped
    }

    /// What is expected to be silent.
    #[must_use]
    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// When what [`Self::append`] sealed last was judged: before what it caused was sealed and told. In no entry, since
    /// a replay judges at another time.
    #[must_use]
    pub fn judged(&self) -> Option<Instant> {
        self.judged
    }

    /// The installation's name.
    #[must_use]
    pub fn installation(&self) -> &InstallationId {
        &self.installation
    }

    /// Live or exercise.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The mask.
    #[must_use]
    pub fn masker(&self) -> &Masker {
        &self.masker
    }

    /// How records are read.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The judge, to read from.
    #[must_use]
    pub fn judge(&self) -> &Judge {
        self.judging.judge()
    }

    /// The ledger, to read from.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A key that only this installation has, for one purpose: what a source keeps outside the ledger.
    #[must_use]
    pub fn key_for(&self, purpose: &str) -> [u8; 32] {
        self.ledger.key_for(purpose)
    }

    /// The database of the state, for what people make.
    #[must_use]
    pub fn database(&self) -> &Database {
        self.projection.database()
    }

    /// Why rows aren't written to the state's server at the moment; nothing is lost meanwhile.
    #[must_use]
    pub fn state_trouble(&self) -> Option<&str> {
        self.state_trouble.as_deref()
    }

    /// The ledger, to redact in.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// The folder of the ledger.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last error of each sink that failed, or fails now.
    #[must_use]
    pub fn sink_errors(&self) -> BTreeMap<String, String> {
        let mut errors = self.sink_errors.clone();
        for sink in &self.sinks {
            if let Some(result) = sink.works() {
                note(&mut errors, sink.name(), result);
            }
        }
        errors
    }

    /// Makes the entry of a masked record of a block's `bytes`, to be sealed by [`Self::append`].
    #[must_use]
    pub fn entry(
        &self,
        intake: &Intake,
        bytes: &[u8],
        record: &mut MaskedRecord,
        received: Timestamp,
    ) -> NewEntry {
        NewEntry {
            kind: EntryKind::Observed,
            lane: self.lane,
            identity: Some(intake.identity(record)),
            source: intake.source().clone(),
            said: record.said,
            received,
            format: intake.format().name().into(),
            quarantined: record.quarantined,
            marks: std::mem::take(&mut record.marks),
            payload: bytes.get(record.range.clone()).unwrap_or_default().to_vec(),
            tokens: std::mem::take(&mut record.tokens),
        }
    }

    /// Seals records; when it returns they are durable. Then judges them, and seals and tells what they caused.
    ///
    /// What they caused and could not be sealed is kept, and sealed with the next checkpoint.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when they could not be made durable: nothing of them is acknowledged.
    pub fn append(&mut self, entries: &[NewEntry]) -> Result<(), PipelineError> {
        if entries.is_empty() {
            return Ok(());
        }
        // What was appended ahead of these is judged before them.
        self.settle();
        let first = self
            .ledger
            .append(entries)
            .map_err(|source| self.ledger_error(source))?;
        let received = self.sealed(entries, first);
        judge_all(
            self.judging.judge_mut(),
            entries,
            first,
            &mut self.undecided,
        );
        self.judged = Some(Instant::now());
        // The records are sealed whatever becomes of this: it is done again with the checkpoint.
        drop(self.decide(received));
        Ok(())
    }

    /// As [`Self::append`], but what the records caused is judged while the caller goes on, and sealed with the
    /// next records. [`Self::flush`] waits for it.
    pub(crate) fn append_ahead(&mut self, entries: Vec<NewEntry>) -> Result<(), PipelineError> {
        if entries.is_empty() {
            return Ok(());
        }
        let first = self
            .ledger
            .append(&entries)
            .map_err(|source| self.ledger_error(source))?;
        let received = self.sealed(&entries, first);
        drop(self.decide(received));
        self.judging.start(entries, first);
        Ok(())
    }

    /// Waits until all that was appended is judged.
    pub(crate) fn settle(&mut self) {
        self.judging.wait(&mut self.undecided);
    }

    /// Notes that entries are sealed, and shows what they list; tells when the last one was received.
    fn sealed(&mut self, entries: &[NewEntry], first: Sequence) -> Timestamp {
        for (entry, sequence) in entries.iter().zip((first.0..).map(Sequence)) {
            let Some(identity) = &entry.identity else {
                continue;
            };
            let end = identity.position.offset_bytes + u64::from(identity.length_bytes);
            self.projection
                .moved_to(&identity.source, identity.generation, end);
            if !entry.quarantined {
                let (source, payload) = (&entry.source, &entry.payload);
                self.projection
                    .told(source, &entry.format, sequence, payload);
            }
        }
        let lists = self.projection.lists(false);
        if let Some(desk) = self.desk.as_ref().filter(|_| !lists.is_empty()) {
            desk.publish(Update::Listed(lists));
        }
        entries
            .last()
            .map_or(Timestamp::default(), |entry| entry.received)
    }

    /// Seals findings and changed incidents, then tells pages and sinks. What can't be sealed is kept.
    fn decide(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        self.settle();
        self.changed.extend(self.judging.judge_mut().take_changed());
        let incidents: Vec<Incident> = self
            .changed
            .iter()
            .filter_map(|id| self.judge().incident(id).cloned())
            .collect();
        if self.undecided.is_empty() && incidents.is_empty() {
            return Ok(());
        }
        let encode = |decided: Decided| {
            let payload = decided
                .to_bytes()
                .map_err(|source| PipelineError::Encode { source })?;
            Ok(self.own_entry(EntryKind::Decided, payload, now))
        };
        let mut entries = Vec::with_capacity(self.undecided.len() + incidents.len());
        for finding in &self.undecided {
            entries.push(encode(Decided::Finding {
                v: VERSION,
                finding: Box::new(finding.clone()),
            })?);
        }
        for incident in &incidents {
            entries.push(encode(Decided::Incident {
                v: VERSION,
                incident: Box::new(incident.clone()),
            })?);
        }
        let first = self
            .ledger
            .append(&entries)
            .map_err(|source| self.ledger_error(source))?;
        let findings = std::mem::take(&mut self.undecided);
        self.changed.clear();
        self.project(first, &findings, &incidents, now)
            .map_err(|source| PipelineError::Projection {
                path: self.path.clone(),
                source,
            })?;
        for sink in &mut self.sinks {
            for finding in &findings {
                let result = sink.finding(finding, &self.installation.0);
                note(&mut self.sink_errors, sink.name(), result);
            }
            for incident in &incidents {
                let result = sink.incident(incident, &self.installation.0);
                note(&mut self.sink_errors, sink.name(), result);
            }
        }
        if let Some(desk) = &self.desk {
            let (findings, incidents) = (findings, incidents.clone());
            desk.publish(Update::Decided {
                findings,
                incidents,
            });
        }
        // A page that shows an order knows the incident that it is for.
        self.contain(&incidents, now)
    }

    fn project(
        &mut self,
        first: Sequence,
        findings: &[Finding],
        incidents: &[Incident],
        now: Timestamp,
    ) -> Result<(), ProjectionError> {
        let mut sequences = (first.0..).map(Sequence);
        for (finding, sequence) in findings.iter().zip(&mut sequences) {
            self.archive.note_finding(&finding.id, sequence, now);
            self.projection.finding(finding, sequence, now)?;
        }
        for (incident, sequence) in incidents.iter().zip(sequences) {
            self.archive.note_incident(incident, sequence);
            self.projection.incident(incident, sequence)?;
        }
        Ok(())
    }

    fn ledger_error(&self, source: LedgerError) -> PipelineError {
        PipelineError::Ledger {
            path: self.path.clone(),
            source,
        }
    }
}

/// A sink that fails is shown, and stops nothing: the evidence is sealed already.
fn note(errors: &mut BTreeMap<String, String>, name: &str, result: Result<(), SinkError>) {
    match result {
        Ok(()) => {
            errors.remove(name);
        }
        Err(error) => {
            errors.insert(name.to_owned(), error.to_string());
        }
    }
}

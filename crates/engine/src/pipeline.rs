//! One installation's pipeline: seal, then judge, then tell.
//!
//! [`Pipeline::append`] is the one way in. When it returns, the records are durable; what they
//! caused is sealed after them, so that whatever a page says rests on entries before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cardholder::{FingerprintKey, Masker};
use model::{Finding, Incident, InstallationId, Lane, Sequence, SourceId, Timestamp};
use parse::Context;
use sinks::{Sink, SinkError};

use crate::desk::{Desk, Update};
use crate::intake::{Intake, MaskedRecord};
use crate::judge::{Judge, JudgeError, SealedRecord};
use crate::ledger::{EntryKind, Ledger, LedgerError, NewEntry, Opening};
use crate::sealed::{Decided, InputFacts, VERSION};

/// Where one installation lives and how its records are read.
pub struct Settings {
    /// Its name.
    pub installation: InstallationId,
    /// Folder of the ledger.
    pub ledger: PathBuf,
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
}

/// Why the pipeline stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The ledger can't take or give entries.
    #[error("the ledger at {} failed", path.display())]
    Ledger {
        /// Folder of the ledger.
        path: PathBuf,
        /// What it said.
        source: LedgerError,
    },
    /// The content can't be used.
    #[error("the rules can't be used")]
    Judge {
        /// What is wrong.
        source: JudgeError,
    },
    /// A decision can't be written.
    #[error("a decision can't be written as JSON")]
    Encode {
        /// What serde said.
        source: serde_json::Error,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
}

/// Seals, judges and tells.
pub struct Pipeline {
    path: PathBuf,
    installation: InstallationId,
    lane: Lane,
    ledger: Ledger,
    opening: Opening,
    masker: Masker,
    judge: Judge,
    desk: Option<Desk>,
    sinks: Vec<Box<dyn Sink>>,
    sink_errors: BTreeMap<String, String>,
}

impl Pipeline {
    /// Opens (or begins) the ledger and makes the judge.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger, the keys or the content can't be used.
    pub fn open(settings: Settings) -> Result<Self, PipelineError> {
        let (ledger, opening) = Ledger::create_or_open(
            &settings.ledger,
            &settings.keys,
            &settings.installation,
            settings.second_place.as_deref(),
        )
        .map_err(|source| PipelineError::Ledger {
            path: settings.ledger.clone(),
            source,
        })?;
        let judge = Judge::new(
            &settings.installation,
            settings.context,
            &settings.own_rules,
        )
        .map_err(|source| PipelineError::Judge { source })?;
        let masker = Masker::new(FingerprintKey::new(ledger.fingerprint_key()));
        Ok(Self {
            path: settings.ledger,
            installation: settings.installation,
            lane: settings.lane,
            ledger,
            opening,
            masker,
            judge,
            desk: None,
            sinks: Vec::new(),
            sink_errors: BTreeMap::new(),
        })
    }

    /// Tells pages of what changes.
    pub fn show_on(&mut self, desk: Desk) {
        self.desk = Some(desk);
    }

    /// Tells a sink of findings and incidents.
    pub fn tell(&mut self, sink: Box<dyn Sink>) {
        self.sinks.push(sink);
    }

    /// What opening the ledger found.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.opening
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
        self.judge.context()
    }

    /// The judge, to read from.
    #[must_use]
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The ledger, to read from.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
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

    /// The last error of each sink that failed.
    #[must_use]
    pub fn sink_errors(&self) -> &BTreeMap<String, String> {
        &self.sink_errors
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
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when they could not be made durable: nothing of them is acknowledged.
    pub fn append(&mut self, entries: &[NewEntry]) -> Result<(), PipelineError> {
        if entries.is_empty() {
            return Ok(());
        }
        let first = self
            .ledger
            .append(entries)
            .map_err(|source| self.ledger_error(source))?;
        let mut findings = Vec::new();
        let mut received = Timestamp::default();
        for (entry, sequence) in entries.iter().zip(first.0..) {
            received = entry.received;
            if entry.kind != EntryKind::Observed || entry.quarantined {
                continue;
            }
            let Some(format) = parse::named(&entry.format) else {
                continue;
            };
            self.judge.push(
                &SealedRecord {
                    sequence: Sequence(sequence),
                    source: &entry.source,
                    format: format.name(),
                    lane: entry.lane,
                    received: entry.received,
                    marks: &entry.marks,
                    payload: &entry.payload,
                },
                &mut findings,
            );
        }
        self.decide(findings, received)
    }

    /// Ends what is open and seals the state of every incident that changed.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when the ledger can't take it.
    pub fn flush(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        let mut findings = Vec::new();
        self.judge.flush(now, &mut findings);
        self.decide(findings, now)?;
        for sink in &mut self.sinks {
            let result = sink.flush();
            note(&mut self.sink_errors, sink.name(), result);
        }
        self.checkpoint(now)
    }

    /// Signs the ledger as it is and copies the checkpoint to the second place.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when it can't be written.
    pub fn checkpoint(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        self.ledger
            .checkpoint(now)
            .map_err(|source| self.ledger_error(source))?;
        Ok(())
    }

    /// Seals a tick, the entry that tells time while nothing arrives.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when the ledger can't take it.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        let entry = self.own_entry(EntryKind::Tick, Vec::new(), now);
        self.ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        let mut findings = Vec::new();
        self.judge.flush(now, &mut findings);
        self.decide(findings, now)
    }

    /// Seals what is known of an input that was read.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger can't take it.
    pub fn seal_input(&mut self, input: InputFacts, now: Timestamp) -> Result<(), PipelineError> {
        let payload = Decided::Input { v: VERSION, input }
            .to_bytes()
            .map_err(|source| PipelineError::Encode { source })?;
        let entry = self.own_entry(EntryKind::Decided, payload, now);
        self.ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        Ok(())
    }

    fn own_entry(&self, kind: EntryKind, payload: Vec<u8>, received: Timestamp) -> NewEntry {
        NewEntry {
            kind,
            lane: self.lane,
            identity: None,
            source: SourceId("magewarden".to_owned()),
            said: None,
            received,
            format: "magewarden_v1".into(),
            quarantined: false,
            marks: Vec::new(),
            payload,
            tokens: Vec::new(),
        }
    }

    /// Seals findings and changed incidents, then tells pages and sinks.
    fn decide(&mut self, findings: Vec<Finding>, now: Timestamp) -> Result<(), PipelineError> {
        let changed: Vec<Incident> = self
            .judge
            .take_changed()
            .iter()
            .filter_map(|id| self.judge.incident(id).cloned())
            .collect();
        if findings.is_empty() && changed.is_empty() {
            return Ok(());
        }
        let mut entries = Vec::with_capacity(findings.len() + changed.len());
        for finding in &findings {
            let decided = Decided::Finding {
                v: VERSION,
                finding: Box::new(finding.clone()),
            };
            let payload = decided
                .to_bytes()
                .map_err(|source| PipelineError::Encode { source })?;
            entries.push(self.own_entry(EntryKind::Decided, payload, now));
        }
        for incident in &changed {
            let decided = Decided::Incident {
                v: VERSION,
                incident: Box::new(incident.clone()),
            };
            let payload = decided
                .to_bytes()
                .map_err(|source| PipelineError::Encode { source })?;
            entries.push(self.own_entry(EntryKind::Decided, payload, now));
        }
        self.ledger
            .append(&entries)
            .map_err(|source| self.ledger_error(source))?;
        for sink in &mut self.sinks {
            for finding in &findings {
                let result = sink.finding(finding, &self.installation.0);
                note(&mut self.sink_errors, sink.name(), result);
            }
            for incident in &changed {
                let result = sink.incident(incident, &self.installation.0);
                note(&mut self.sink_errors, sink.name(), result);
            }
        }
        if let Some(desk) = &self.desk {
            desk.publish(Update::Decided {
                findings,
                incidents: changed,
            });
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

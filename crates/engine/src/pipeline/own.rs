//! Entries of magewarden's own that no finding makes: inputs read, exercises begun, ledgers set aside.

use model::{SourceId, Timestamp};

use super::{Pipeline, PipelineError};
use crate::ledger::{EntryKind, NewEntry};
use crate::restart;
use crate::sealed::{BrokenLedger, Decided, InputFacts, VERSION};

impl Pipeline {
    /// Seals as the first entry that the ledger before was set aside, and opens an incident on it.
    pub(super) fn tell_of_break(
        &mut self,
        broken: BrokenLedger,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        for (source, generation, offset_bytes) in &broken.positions {
            self.projection.moved_to(source, *generation, *offset_bytes);
        }
        let finding = restart::broken_ledger(
            &self.installation,
            self.lane,
            &broken,
            self.ledger.len(),
            now,
        );
        let payload = Decided::LedgerBroken { v: VERSION, broken }
            .to_bytes()
            .map_err(|source| PipelineError::Encode { source })?;
        let entry = self.own_entry(EntryKind::Decided, payload, now);
        self.ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        let mut findings = Vec::new();
        self.judging.judge_mut().tell(finding, now, &mut findings);
        self.undecided.extend(findings);
        self.checkpoint(now)
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

    /// Seals that an exercise begins, with a nonce, before any of its records.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when there is no randomness, or the ledger can't take it.
    pub fn seal_exercise(
        &mut self,
        id: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|source| PipelineError::Random { source })?;
        let decided = Decided::Exercise {
            v: VERSION,
            id: id.to_owned(),
            nonce: nonce.iter().map(|byte| format!("{byte:02x}")).collect(),
            until,
        };
        let payload = decided
            .to_bytes()
            .map_err(|source| PipelineError::Encode { source })?;
        let entry = self.own_entry(EntryKind::Decided, payload, now);
        self.ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        self.checkpoint(now)
    }

    pub(super) fn own_entry(
        &self,
        kind: EntryKind,
        payload: Vec<u8>,
        received: Timestamp,
    ) -> NewEntry {
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
}

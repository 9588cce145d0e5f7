//! What is due when time has passed: findings that grew, checkpoints, ticks, and the end.

use model::Timestamp;

use super::{Pipeline, PipelineError, note};
use crate::ledger::EntryKind;

impl Pipeline {
    /// Ends what is open and seals the state of every incident that changed.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when the ledger can't take it.
    pub fn flush(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        self.settle();
        self.judging.judge_mut().flush(now, &mut self.undecided);
        self.decide(now)?;
        for sink in &mut self.sinks {
            let result = sink.flush();
            note(&mut self.sink_errors, sink.name(), result);
        }
        self.checkpoint(now)
    }

    /// Seals and tells the latest state of findings that grew.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when the ledger can't take it.
    pub fn refresh(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        self.settle();
        self.judging.judge_mut().refresh(now, &mut self.undecided);
        self.decide(now)
    }

    /// Seals what is decided, signs the ledger as it is, copies the checkpoint to the second place,
    /// and writes the state.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when one of them can't be written.
    pub fn checkpoint(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        self.decide(now)?;
        self.ledger
            .checkpoint()
            .map_err(|source| self.ledger_error(source))?;
        self.projection
            .save(self.ledger.len())
            .map_err(|source| PipelineError::Projection {
                path: self.path.clone(),
                source,
            })
    }

    /// Seals a tick, the entry that tells time while nothing arrives.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Ledger`] when the ledger can't take it.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        self.settle();
        let entry = self.own_entry(EntryKind::Tick, Vec::new(), now);
        self.ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        self.judging.judge_mut().flush(now, &mut self.undecided);
        self.decide(now)
    }
}

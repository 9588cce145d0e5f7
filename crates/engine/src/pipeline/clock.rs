//! What is due when time has passed: findings that grew, checkpoints, ticks, and the end.

use std::error::Error as _;
use std::sync::Arc;

use model::Timestamp;

use super::{Pipeline, PipelineError, note};
use crate::desk::Update;
use crate::ledger::EntryKind;
use crate::projection::ProjectionError;
use crate::restart;

/// Between two times that what ended long ago is let go of.
const REST_PAUSE_SECONDS: i64 = 3600;

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
        self.decide(now)?;
        self.rest(now);
        Ok(())
    }

    /// Lets go of what ended long ago, once an hour.
    fn rest(&mut self, now: Timestamp) {
        if now < self.rested.plus_seconds(REST_PAUSE_SECONDS) {
            return;
        }
        self.rested = now;
        let rested = self.judging.judge_mut().rest(now);
        if let Some(desk) = &self.desk {
            desk.publish(Update::Rested(rested));
        }
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
        self.save()
    }

    /// Writes the state. While its server is away the rows are kept, and [`Self::state_trouble`] says so.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when it can't be written and isn't at a server.
    pub fn save(&mut self) -> Result<(), PipelineError> {
        self.count()?;
        let mut saved = self.projection.save(self.ledger.len());
        if let Some(entries) = saved.as_ref().err().and_then(ProjectionError::went_back) {
            let handlings = self.judging.judge().handlings();
            restart::decided_since(&self.ledger, &mut self.projection, handlings, entries)
                .map_err(|source| PipelineError::Restart {
                    path: self.path.clone(),
                    source,
                })?;
            self.count()?;
            saved = self.projection.save(self.ledger.len());
        }
        match saved {
            Ok(()) => self.state_trouble = None,
            Err(error) if error.is_elsewhere() => {
                let mut why = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    let told = error.to_string();
                    // Of the database's errors some tell their cause themselves.
                    if !why.ends_with(&told) {
                        why.push_str(&format!(": {told}"));
                    }
                    cause = error.source();
                }
                self.state_trouble = Some(why);
            }
            Err(source) => {
                return Err(PipelineError::Projection {
                    path: self.path.clone(),
                    source,
                });
            }
        }
        Ok(())
    }

    /// Hands over to rows and pages how often tables of payments were read, where that changed.
    fn count(&mut self) -> Result<(), PipelineError> {
        self.settle();
        let reads = &mut self.judging.judge_mut().reads;
        let has_changed = reads.has_changed();
        let counted = self.projection.count(reads);
        if let Some(desk) = self.desk.as_ref().filter(|_| has_changed) {
            desk.publish(Update::Reads(Arc::new(reads.clone())));
        }
        counted.map_err(|source| PipelineError::Projection {
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

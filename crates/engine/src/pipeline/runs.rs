//! Orders and what hosts tell of runs, from the outbox into the ledger: looked at as things stand, sealed, folded, shown.

use std::sync::Arc;

use model::{Sequence, SourceId, Timestamp};
use stores::{OutboxRow, Outcome};

use super::{Pipeline, PipelineError};
use crate::containment::{self, Containments, Standing};
use crate::desk::Update;
use crate::ledger::NewEntry;
use crate::sealed::Decided;

impl Pipeline {
    /// Runs that people asked for, and what hosts told of them.
    #[must_use]
    pub fn containments(&self) -> &Containments {
        &self.containments
    }

    /// Seals one of them, if it fits.
    pub(super) fn take_of_run(
        &mut self,
        told: &Decided,
        row: OutboxRow,
        now: Timestamp,
    ) -> Result<(String, Outcome), PipelineError> {
        let id = row.id.clone();
        match self.fits(told) {
            Ok(Some(known)) => return Ok((id, Outcome::Sealed(known.0))),
            Ok(None) => {}
            Err(why) => return Ok((id, Outcome::Refused(why))),
        }
        let entry = NewEntry {
            source: SourceId(containment::SOURCE.to_owned()),
            ..self.entry_of(row.body, now)
        };
        let sequence = self
            .ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        if let (Some(standing), Some(desk)) = (self.fold_run(told, sequence), &self.desk) {
            desk.publish(Update::Runs(vec![standing]));
        }
        Ok((id, Outcome::Sealed(sequence.0)))
    }

    /// Whether it may be sealed; the number of its entry when it is already.
    fn fits(&self, told: &Decided) -> Result<Option<Sequence>, String> {
        match told {
            Decided::Order { order, .. } => self
                .containments
                .may(order)
                .map_err(|misfit| misfit.to_string()),
            Decided::Told { host, entry, .. } => {
                let is_new = self.containments.may_hear(host, entry);
                let is_new = is_new.map_err(|error| error.to_string())?;
                let known = self.containments.sequence_of(&entry.run, entry.number);
                Ok(known.filter(|_| !is_new))
            }
            Decided::HostRefused { host, refused, .. } => {
                match self.containments.may_refuse(host, refused) {
                    true => Ok(None),
                    false => Err("it names no order to this host, or is known".to_owned()),
                }
            }
            _ => Err("it is nothing of a run".to_owned()),
        }
    }

    fn fold_run(&mut self, told: &Decided, sequence: Sequence) -> Option<Arc<Standing>> {
        match told {
            Decided::Order { order, .. } => self.containments.take(order, sequence).ok(),
            Decided::Told { host, entry, .. } => self.containments.hear(host, entry, sequence).ok(),
            Decided::HostRefused { host, refused, .. } => self.containments.refuse(host, refused),
            _ => None,
        }
    }
}

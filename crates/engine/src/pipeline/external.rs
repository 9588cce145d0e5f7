//! What other systems told, from the outbox into the ledger: looked at as things stand, sealed, folded as findings.

use std::collections::{BTreeMap, BTreeSet};

use model::{Finding, Sequence, SourceId, Timestamp};
use stores::{OutboxRow, Outcome};

use super::{Pipeline, PipelineError};
use crate::external::Hearing;
use crate::ledger::NewEntry;

/// Whose entries they are: apart from people's and the machine's own, since payloads are under keys by source.
const SOURCE: &str = "magewarden:external";

impl Pipeline {
    /// Seals what is new of them.
    pub(super) fn take_told(
        &mut self,
        rows: Vec<(Box<Finding>, OutboxRow)>,
        now: Timestamp,
        outcomes: &mut BTreeMap<String, Outcome>,
    ) -> Result<(), PipelineError> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            // In one append, up to one that is told of again: that is looked at as things stand after the first.
            let mut ids = BTreeSet::new();
            let (mut entries, mut news) = (Vec::new(), Vec::new());
            while let Some((finding, row)) = rows.next_if(|(told, _)| ids.insert(told.id.clone())) {
                match self.judging.judge_mut().hears(&finding) {
                    Hearing::Known(sequence) => {
                        self.settled(row.id, Outcome::Sealed(sequence.0), outcomes);
                    }
                    Hearing::Elsewhere => {
                        let why = "this id of the system was told of another place".to_owned();
                        self.settled(row.id, Outcome::Refused(why), outcomes);
                    }
                    Hearing::News => {
                        entries.push(NewEntry {
                            source: SourceId(SOURCE.to_owned()),
                            ..self.entry_of(row.body, now)
                        });
                        news.push((finding, row.id));
                    }
                }
            }
            if entries.is_empty() {
                continue;
            }
            let first = self
                .ledger
                .append(&entries)
                .map_err(|source| self.ledger_error(source))?;
            for ((finding, id), sequence) in news.into_iter().zip(first.0..) {
                self.judging.judge_mut().hear(
                    *finding,
                    Sequence(sequence),
                    self.lane,
                    now,
                    &mut self.undecided,
                );
                self.settled(id, Outcome::Sealed(sequence), outcomes);
            }
        }
        Ok(())
    }
}

//! What people decided, from the outbox into the ledger: each looked at once more, sealed, folded, told.

use std::collections::BTreeMap;

use model::{Decision, Sequence, SourceId, Timestamp};
use stores::{OutboxRow, Outcome};

use super::{Pipeline, PipelineError};
use crate::desk::Update;
use crate::ledger::{EntryKind, NewEntry};
use crate::sealed::Decided;

/// Whose entries decisions are: apart from the machine's own, since their payloads are under keys by source.
const PEOPLE: &str = "magewarden:people";

impl Pipeline {
    /// Seals what waits in the outbox. What can't be sealed now waits on.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the outbox can't be read or the ledger can't take it.
    pub fn take_outbox(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        self.settle();
        let rows = match self.projection.waiting() {
            Ok(rows) => rows,
            // What waits there waits on; that the database is away is told by who writes to it.
            Err(error) if error.is_elsewhere() => return Ok(()),
            Err(source) => {
                let path = self.path.clone();
                return Err(PipelineError::Projection { path, source });
            }
        };
        let mut outcomes = BTreeMap::new();
        let mut rows = rows.into_iter().map(|row| (read(&row), row)).peekable();
        while let Some((told, row)) = rows.next() {
            if let Told::Decision(decision) = told {
                // One by one: each is looked at as things stand after the one before.
                let outcome = self.take(&decision, row.body, now)?;
                self.settled(row.id, outcome, &mut outcomes);
                continue;
            }
            let mut together = vec![(told, row)];
            while let Some(more) = rows.next_if(|(told, _)| !matches!(told, Told::Decision(_))) {
                together.push(more);
            }
            self.take_deeds(together, now, &mut outcomes)?;
        }
        if outcomes.is_empty() {
            return Ok(());
        }
        // Pages know of the decision when whoever took it is told that it is sealed.
        self.decide(now)?;
        if let Some(desk) = &self.desk {
            desk.publish(Update::Settled(outcomes));
        }
        Ok(())
    }

    fn settled(&mut self, id: String, outcome: Outcome, outcomes: &mut BTreeMap<String, Outcome>) {
        self.projection.settled(&id, outcome.clone());
        outcomes.insert(id, outcome);
    }

    /// Seals what happened to accounts and who read what: nothing is asked of it.
    fn take_deeds(
        &mut self,
        rows: Vec<(Told, OutboxRow)>,
        now: Timestamp,
        outcomes: &mut BTreeMap<String, Outcome>,
    ) -> Result<(), PipelineError> {
        let (mut entries, mut ids) = (Vec::new(), Vec::new());
        for (told, row) in rows {
            if matches!(told, Told::Deed) {
                entries.push(self.entry_of(row.body, now));
                ids.push(row.id);
            } else {
                let refused = Outcome::Refused("it is nothing that people do".to_owned());
                self.settled(row.id, refused, outcomes);
            }
        }
        if entries.is_empty() {
            return Ok(());
        }
        let first = self
            .ledger
            .append(&entries)
            .map_err(|source| self.ledger_error(source))?;
        for (id, number) in ids.into_iter().zip(first.0..) {
            self.settled(id, Outcome::Sealed(number), outcomes);
        }
        Ok(())
    }

    fn take(
        &mut self,
        decision: &Decision,
        body: String,
        now: Timestamp,
    ) -> Result<Outcome, PipelineError> {
        // Sealed by a run that ended before it could say so.
        if let Some(sequence) = self.judge().sealed_as(decision) {
            return Ok(Outcome::Sealed(sequence.0));
        }
        self.judging.judge_mut().wake_to_decide(decision);
        if let Err(refusal) = self.judge().may(decision) {
            return Ok(Outcome::Refused(refusal.to_string()));
        }
        let entry = self.entry_of(body, now);
        let sequence = self
            .ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        self.handle(decision, sequence)?;
        Ok(Outcome::Sealed(sequence.0))
    }

    fn entry_of(&self, body: String, now: Timestamp) -> NewEntry {
        NewEntry {
            source: SourceId(PEOPLE.to_owned()),
            ..self.own_entry(EntryKind::Decided, body.into_bytes(), now)
        }
    }

    /// Folds a sealed decision, and shows what comes of it.
    fn handle(&mut self, decision: &Decision, sequence: Sequence) -> Result<(), PipelineError> {
        self.judging.judge_mut().decide(decision, sequence);
        let Some(handling) = self.judging.judge().handlings().get(&decision.incident) else {
            return Ok(());
        };
        self.projection
            .handled(&decision.incident, handling)
            .map_err(|source| PipelineError::Projection {
                path: self.path.clone(),
                source,
            })?;
        if let Some(desk) = &self.desk {
            desk.publish(Update::Handled(vec![(
                decision.incident.clone(),
                handling.clone(),
            )]));
        }
        Ok(())
    }
}

/// What a row of the outbox is.
enum Told {
    Decision(Box<Decision>),
    Deed,
    Other,
}

fn read(row: &OutboxRow) -> Told {
    match serde_json::from_str(&row.body) {
        Ok(Decided::Decision { decision, .. }) => Told::Decision(decision),
        Ok(Decided::Access { .. } | Decided::Read { .. }) => Told::Deed,
        _ => Told::Other,
    }
}

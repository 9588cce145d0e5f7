//! What people decided, from the outbox into the ledger: each looked at once more, sealed, folded, told.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::{Act, Decision, Finding, Sequence, SourceId, Timestamp};
use stores::{OutboxRow, Outcome};

use super::{Pipeline, PipelineError, note};
use crate::attach::{PART_BYTES, hash_of};
use crate::containment::{PLAYBOOKS_SOURCE, PlaybookEdit};
use crate::counsel;
use crate::desk::Update;
use crate::handled::{severity_of, state_of};
use crate::ledger::{EntryKind, NewEntry};
use crate::pause::{self, Pause};
use crate::sealed::Decided;

/// Whose entries decisions are: apart from the machine's own, since their payloads are under keys by source.
const PEOPLE: &str = "magewarden:people";
/// Whose entries the parts of attached files are: to destroy one, only these are written again.
const FILES: &str = "magewarden:attachments";

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
        let before = self.ledger.len();
        let mut outcomes = BTreeMap::new();
        let mut rows = rows.into_iter().map(|row| (read(&row), row)).peekable();
        while let Some((told, row)) = rows.next() {
            if let Told::Decision(decision) = told {
                // One by one: each is looked at as things stand after the one before.
                // What can't be taken now waits on, and what came after it, too.
                let Some(outcome) = self.take(&decision, row.body, now)? else {
                    break;
                };
                self.settled(row.id, outcome, &mut outcomes);
                continue;
            }
            if let Told::Pause(pause) = told {
                let outcome = self.take_pause(pause, row.body, now)?;
                self.settled(row.id, outcome, &mut outcomes);
                continue;
            }
            if let Told::Playbook(edit) = told {
                let outcome = self.take_playbook(&edit, row.body, now)?;
                self.settled(row.id, outcome, &mut outcomes);
                continue;
            }
            if let Told::OfRun(of_run) = told {
                // As of a decision's file: what can't be had now is waited for.
                let Some((id, outcome)) = self.take_of_run(&of_run, row, now)? else {
                    break;
                };
                self.settled(id, outcome, &mut outcomes);
                continue;
            }
            if let Told::External(finding) = told {
                let mut together = vec![(finding, row)];
                while let Some((Told::External(finding), row)) =
                    rows.next_if(|(told, _)| matches!(told, Told::External(_)))
                {
                    together.push((finding, row));
                }
                self.take_told(together, now, &mut outcomes)?;
                continue;
            }
            let mut together = vec![(told, row)];
            while let Some(more) = rows.next_if(|(told, _)| told.is_deed()) {
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
        // What is known or refused seals nothing that a checkpoint follows: unwritten, those rows would be read as waiting
        // before all that come later.
        if self.ledger.len() == before {
            self.save()?;
        }
        Ok(())
    }

    pub(super) fn settled(
        &mut self,
        id: String,
        outcome: Outcome,
        outcomes: &mut BTreeMap<String, Outcome>,
    ) {
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
            let mut entry = self.entry_of(row.body, now);
            match told {
                Told::Deed => {}
                Told::Counsel => entry.source = SourceId(counsel::SOURCE.to_owned()),
                Told::Decision(_)
                | Told::External(_)
                | Told::Pause(_)
                | Told::Playbook(_)
                | Told::OfRun(_)
                | Told::Other => {
                    let refused = Outcome::Refused("it is nothing that people do".to_owned());
                    self.settled(row.id, refused, outcomes);
                    continue;
                }
            }
            entries.push(entry);
            ids.push(row.id);
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
    ) -> Result<Option<Outcome>, PipelineError> {
        // Sealed by a run that ended before it could say so.
        if let Some(sequence) = self.judge().sealed_as(decision) {
            return Ok(Some(Outcome::Sealed(sequence.0)));
        }
        self.judging.judge_mut().wake_to_decide(decision);
        if let Err(refusal) = self.judge().may(decision) {
            return Ok(Some(Outcome::Refused(refusal.to_string())));
        }
        let mut entries = Vec::new();
        if let Act::Attach(attachment) = &decision.act {
            let is = (u64::from(attachment.entries), attachment.kept_hash.as_str());
            match self.content((&decision.id, FILES), is, now)? {
                Fetched::Whole(parts) => entries = parts,
                Fetched::Lost => {
                    let why = "its content was lost on the way: attach it again".to_owned();
                    return Ok(Some(Outcome::Refused(why)));
                }
                Fetched::Away => return Ok(None),
            }
        }
        // In one append: the decision names those right before it.
        let parts = entries.len() as u64;
        entries.push(self.entry_of(body, now));
        let first = self
            .ledger
            .append(&entries)
            .map_err(|source| self.ledger_error(source))?;
        let sequence = Sequence(first.0 + parts);
        self.handle(decision, sequence)?;
        Ok(Some(Outcome::Sealed(sequence.0)))
    }

    /// Seals that a source is expected to be silent, if that may be said.
    fn take_pause(
        &mut self,
        pause: Pause,
        body: String,
        now: Timestamp,
    ) -> Result<Outcome, PipelineError> {
        if let Err(why) = self.pauses.check(&pause, now) {
            return Ok(Outcome::Refused(why));
        }
        let entry = NewEntry {
            source: SourceId(pause::SOURCE.to_owned()),
            ..self.entry_of(body, now)
        };
        let sequence = self
            .ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        self.pauses.take(pause);
        if let Some(desk) = &self.desk {
            let holding = self.pauses.holding(now).cloned().collect();
            desk.publish(Update::Pauses(holding));
        }
        Ok(Outcome::Sealed(sequence.0))
    }

    /// Seals a change of a playbook, if it may be made.
    fn take_playbook(
        &mut self,
        edit: &PlaybookEdit,
        body: String,
        now: Timestamp,
    ) -> Result<Outcome, PipelineError> {
        // Sealed by a run that ended before it could say so.
        if let Some(own) = self.playbooks.saved_as(edit) {
            return Ok(Outcome::Sealed(own.0));
        }
        if let Err(why) = self.playbooks.may(edit) {
            return Ok(Outcome::Refused(why));
        }
        let entry = NewEntry {
            source: SourceId(PLAYBOOKS_SOURCE.to_owned()),
            ..self.entry_of(body, now)
        };
        let sequence = self
            .ledger
            .append(&[entry])
            .map_err(|source| self.ledger_error(source))?;
        Arc::make_mut(&mut self.playbooks).take(edit, sequence);
        if let Some(desk) = &self.desk {
            desk.publish(Update::Playbooks(Arc::clone(&self.playbooks)));
        }
        Ok(Outcome::Sealed(sequence.0))
    }

    /// The entries of a source that hold what waits in the outbox under an id: so many of them, of this hash.
    pub(super) fn content(
        &mut self,
        (id, source): (&str, &str),
        (entries, hash): (u64, &str),
        now: Timestamp,
    ) -> Result<Fetched, PipelineError> {
        let body = match self.projection.upload(id) {
            Ok(body) => body,
            Err(error) if error.is_elsewhere() => return Ok(Fetched::Away),
            Err(source) => {
                let path = self.path.clone();
                return Err(PipelineError::Projection { path, source });
            }
        };
        let content = body.and_then(|body| BASE64.decode(body).ok());
        let content = content.filter(|content| {
            content.len().div_ceil(PART_BYTES) as u64 == entries && hash_of(content) == hash
        });
        let Some(content) = content else {
            return Ok(Fetched::Lost);
        };
        let part = |part: &[u8]| NewEntry {
            source: SourceId(source.to_owned()),
            format: "attachment".into(),
            // Not `Decided`: whatever a file holds, no start reads it as a decision.
            ..self.own_entry(EntryKind::Observed, part.to_vec(), now)
        };
        Ok(Fetched::Whole(
            content.chunks(PART_BYTES).map(part).collect(),
        ))
    }

    pub(super) fn entry_of(&self, body: String, now: Timestamp) -> NewEntry {
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
        if let Some(incident) = self.judging.judge().incident(&decision.incident) {
            let decided = sinks::Decided {
                decision,
                sequence,
                state: state_of(incident, Some(handling)),
                severity: severity_of(incident, Some(handling)),
            };
            for sink in &mut self.sinks {
                let result = sink.decision(&decided, &self.installation.0);
                note(&mut self.sink_errors, sink.name(), result);
            }
        }
        if let Some(desk) = &self.desk {
            desk.publish(Update::Handled(vec![(
                decision.incident.clone(),
                handling.clone(),
            )]));
        }
        Ok(())
    }
}

/// What became of asking for a file's content.
pub(super) enum Fetched {
    Whole(Vec<NewEntry>),
    Lost,
    /// The database is away.
    Away,
}

/// What a row of the outbox is.
enum Told {
    Decision(Box<Decision>),
    Deed,
    Counsel,
    External(Box<Finding>),
    Pause(Pause),
    Playbook(Box<PlaybookEdit>),
    /// Of a run: an order, what a host told, or evidence that it handed over.
    OfRun(Box<Decided>),
    Other,
}

impl Told {
    /// Whether it is sealed with its neighbours, without being looked at.
    const fn is_deed(&self) -> bool {
        !matches!(
            self,
            Self::Decision(_)
                | Self::External(_)
                | Self::Pause(_)
                | Self::Playbook(_)
                | Self::OfRun(_)
        )
    }
}

fn read(row: &OutboxRow) -> Told {
    match serde_json::from_str(&row.body) {
        Ok(Decided::Decision { decision, .. }) => Told::Decision(decision),
        Ok(Decided::Access { .. } | Decided::Read { .. }) => Told::Deed,
        Ok(Decided::CounselNote { .. }) => Told::Counsel,
        Ok(Decided::Pause { pause, .. }) => Told::Pause(pause),
        Ok(Decided::Playbook { edit, .. }) => Told::Playbook(edit),
        Ok(Decided::External { finding, .. }) => Told::External(finding),
        Ok(
            of_run @ (Decided::Order { .. }
            | Decided::Told { .. }
            | Decided::HostRefused { .. }
            | Decided::Evidence { .. }),
        ) => Told::OfRun(Box::new(of_run)),
        _ => Told::Other,
    }
}

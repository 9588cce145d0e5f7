//! Orders and what hosts tell of runs, from the outbox into the ledger: looked at as things stand, sealed, folded, shown.

use std::sync::Arc;

use model::{Incident, Sequence, SourceId, Timestamp};
use stores::{OutboxRow, Outcome};

use super::people::Fetched;
use super::{Pipeline, PipelineError};
use crate::containment::{self, Containments, Modes, Standing};
use crate::desk::Update;
use crate::handled::{severity_of, state_of};
use crate::ledger::NewEntry;
use crate::sealed::{Decided, VERSION};

/// Whose entries the bytes of evidence are that hosts hand over: to destroy one, only these are written again.
const EVIDENCE: &str = "magewarden:evidence";
/// Findings of an incident whose rules are looked at.
const FINDINGS_MAX: usize = 200;
/// Incidents that a start asks for again aren't older.
const LATELY_SECONDS: i64 = 3600;

impl Pipeline {
    /// Runs that people asked for, and what hosts told of them.
    #[must_use]
    pub fn containments(&self) -> &Containments {
        &self.containments
    }

    /// What the settings of containment don't come to, a sentence each.
    #[must_use]
    pub fn mode_remarks(&self) -> Vec<String> {
        self.modes.remarks(&self.playbooks)
    }

    /// From here on asks by itself for what these say; also for incidents of the last hour, of which the run before this one may have
    /// ended between finding and asking.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger can't take it.
    pub fn contain_by(&mut self, modes: Modes, now: Timestamp) -> Result<(), PipelineError> {
        self.modes = Arc::new(modes);
        if let Some(desk) = &self.desk {
            desk.publish(Update::Modes(Arc::clone(&self.modes)));
        }
        let lately = self.judge().incidents();
        let lately = lately.filter(|incident| now.seconds_since(incident.last) < LATELY_SECONDS);
        let lately: Vec<Incident> = lately.cloned().collect();
        self.contain(&lately, now)
    }

    /// Asks for what the settings say, now that incidents changed: sealed before any host hears of it.
    pub(super) fn contain(
        &mut self,
        incidents: &[Incident],
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        if self.modes.is_empty() {
            return Ok(());
        }
        for incident in incidents {
            let judge = self.judging.judge();
            let joined = incident.findings.iter().take(FINDINGS_MAX);
            let rules = joined.filter_map(|one| Some(judge.finding(&one.finding)?.rule.clone()));
            let handling = judge.handlings().get(&incident.id);
            let orders = self.modes.orders(
                incident,
                state_of(incident, handling),
                severity_of(incident, handling),
                &rules.collect(),
                (&self.playbooks, &self.containments),
                now,
            );
            for order in orders {
                if !matches!(self.containments.may(&order), Ok(None)) {
                    continue;
                }
                let told = Decided::Order {
                    v: VERSION,
                    order: Box::new(order),
                };
                let body = serde_json::to_string(&told)
                    .map_err(|source| PipelineError::Encode { source })?;
                self.seal_of_run(&told, (Vec::new(), body), now)?;
            }
        }
        Ok(())
    }

    /// Seals one of them, if it fits; nothing while what belongs to it can't be had.
    pub(super) fn take_of_run(
        &mut self,
        told: &Decided,
        row: OutboxRow,
        now: Timestamp,
    ) -> Result<Option<(String, Outcome)>, PipelineError> {
        let id = row.id;
        match self.fits(told) {
            Ok(Some(known)) => return Ok(Some((id, Outcome::Sealed(known.0)))),
            Ok(None) => {}
            Err(why) => return Ok(Some((id, Outcome::Refused(why)))),
        }
        let mut parts = Vec::new();
        if let Decided::Evidence { piece, .. } = told {
            let is = (piece.entries(), piece.hash.as_str());
            match self.content((&id, EVIDENCE), is, now)? {
                Fetched::Whole(content) => parts = content,
                Fetched::Lost => {
                    let why = "its bytes were lost on the way: it is asked for again".to_owned();
                    return Ok(Some((id, Outcome::Refused(why))));
                }
                Fetched::Away => return Ok(None),
            }
        }
        let sequence = self.seal_of_run(told, (parts, row.body), now)?;
        Ok(Some((id, Outcome::Sealed(sequence.0))))
    }

    /// Seals it right after entries that belong to it, folds it, shows it.
    fn seal_of_run(
        &mut self,
        told: &Decided,
        (mut entries, body): (Vec<NewEntry>, String),
        now: Timestamp,
    ) -> Result<Sequence, PipelineError> {
        let before = entries.len() as u64;
        entries.push(NewEntry {
            source: SourceId(containment::SOURCE.to_owned()),
            ..self.entry_of(body, now)
        });
        let first = self
            .ledger
            .append(&entries)
            .map_err(|source| self.ledger_error(source))?;
        let sequence = Sequence(first.0 + before);
        if let (Some(standing), Some(desk)) = (self.fold_run(told, sequence), &self.desk) {
            desk.publish(Update::Runs(vec![standing]));
        }
        Ok(sequence)
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
            Decided::Evidence {
                host, run, piece, ..
            } => {
                let known = self.containments.may_keep(host, run, piece);
                known.map_err(|error| error.to_string())
            }
            _ => Err("it is nothing of a run".to_owned()),
        }
    }

    fn fold_run(&mut self, told: &Decided, sequence: Sequence) -> Option<Arc<Standing>> {
        match told {
            Decided::Order { order, .. } => self.containments.take(order, sequence).ok(),
            Decided::Told { host, entry, .. } => self.containments.hear(host, entry, sequence).ok(),
            Decided::HostRefused { host, refused, .. } => self.containments.refuse(host, refused),
            Decided::Evidence {
                host, run, piece, ..
            } => self.containments.keep(host, run, piece, sequence).ok(),
            _ => None,
        }
    }
}

//! A start: the ledger as it is, or set aside and begun anew; the state brought up to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cardholder::{FingerprintKey, Masker};
use model::Timestamp;

use super::judging::Judging;
use super::{Pipeline, PipelineError, Settings};
use crate::archive::Archive;
use crate::containment::{Containments, Playbooks};
use crate::judge::Judge;
use crate::ledger::{Ledger, Opening};
use crate::pause::Pauses;
use crate::projection::{Positions, Projection, ProjectionError};
use crate::restart::{self, RestartError};
use crate::sealed::BrokenLedger;
use crate::state;

impl Pipeline {
    /// Opens (or begins) the ledger, and goes on where it ends.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when the ledger, the state, the keys or the content can't be used.
    pub fn open(settings: &Settings, now: Timestamp) -> Result<Self, PipelineError> {
        match Self::open_once(settings, None, now) {
            // Blocks the index knows aren't read at every start: only now an entry wasn't what was sealed.
            Err(PipelineError::Restart {
                path,
                source: RestartError::Ledger { source },
            }) if source.is_break() => {
                let broken = Ledger::set_aside(&settings.ledger, &settings.installation, &source)
                    .map_err(|source| PipelineError::Ledger { path, source })?;
                Self::open_once(settings, Some(broken), now)
            }
            opened => opened,
        }
    }

    fn open_once(
        settings: &Settings,
        broken: Option<Opening>,
        now: Timestamp,
    ) -> Result<Self, PipelineError> {
        let path = settings.ledger.clone();
        let ledger_failed = |source| PipelineError::Ledger {
            path: path.clone(),
            source,
        };
        let state_failed = |source: ProjectionError| PipelineError::Projection {
            path: path.clone(),
            source,
        };
        let (mut ledger, opening) = Ledger::create_or_open(
            &settings.ledger,
            &settings.keys,
            &settings.installation,
            settings.second_place.as_deref(),
            &settings.context,
        )
        .map_err(ledger_failed)?;
        let opening = broken.unwrap_or(opening);
        let stopped = ledger.last_received().map_err(ledger_failed)?;
        let mut judge = Judge::new(
            &settings.installation,
            settings.context.clone(),
            &settings.own_rules,
        )
        .map_err(|source| PipelineError::Judge { source })?;
        let masker = Masker::new(FingerprintKey::new(ledger.fingerprint_key()));
        let state = state::open(
            &ledger,
            &settings.ledger,
            settings.state.as_ref(),
            &settings.installation,
        )
        .map_err(|source| state_failed(source.into()))?;
        let (mut projection, stood) = match &opening {
            Opening::Broken { .. } => Projection::afresh(state).map_err(state_failed)?,
            _ => {
                let projection = Projection::open(state, ledger.len());
                (projection.map_err(state_failed)?, Positions::new())
            }
        };
        let pauses = Pauses::of(&ledger, now).map_err(ledger_failed)?;
        let containments = Containments::of(&ledger).map_err(ledger_failed)?;
        let playbooks = Arc::new(Playbooks::of(&ledger).map_err(ledger_failed)?);
        let archive =
            Archive::of_ledger(&settings.ledger, &settings.keys, settings.context.clone());
        let resumed = restart::resume(
            &mut ledger,
            &mut judge,
            &mut projection,
            &archive,
            &settings.merchant,
        )
        .map_err(|source| PipelineError::Restart {
            path: path.clone(),
            source,
        })?;
        let mut pipeline = Self {
            path: settings.ledger.clone(),
            installation: settings.installation.clone(),
            lane: settings.lane,
            ledger,
            opening,
            masker,
            context: settings.context.clone(),
            judging: Judging::new(judge),
            projection,
            archive,
            merchant: settings.merchant.clone(),
            resting: resumed.resting,
            rested: now,
            undecided: resumed.findings,
            changed: resumed.incidents.into_iter().collect(),
            desk: None,
            sinks: Vec::new(),
            sink_errors: BTreeMap::new(),
            stopped,
            pauses,
            containments,
            playbooks,
            modes: Arc::default(),
            state_trouble: None,
            judged: None,
        };
        if let Opening::Broken {
            aside,
            why,
            last_checkpoint,
        } = pipeline.opening.clone()
        {
            let broken = BrokenLedger {
                aside: aside.display().to_string(),
                why,
                last_checkpoint,
                positions: stood
                    .into_iter()
                    .map(|(source, (generation, at))| (source, generation, at.offset_bytes))
                    .collect(),
            };
            pipeline.tell_of_break(broken, now)?;
        }
        Ok(pipeline)
    }
}

//! A sink that keeps what it is told, for tests and exercises: a real one under the same contract.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::{Decision, Finding, Incident, IncidentState, Level, Sequence};

use crate::{Decided, Sink, SinkError};

/// What a sink was told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Told {
    /// A finding of an installation.
    Finding {
        /// The installation.
        installation: String,
        /// The finding.
        finding: Box<Finding>,
    },
    /// An incident of an installation.
    Incident {
        /// The installation.
        installation: String,
        /// The incident.
        incident: Box<Incident>,
    },
    /// A decision of an installation.
    Decision {
        /// The installation.
        installation: String,
        /// The decision.
        decision: Box<Decision>,
        /// Its entry.
        sequence: Sequence,
        /// The incident's state from then on.
        state: IncidentState,
        /// Its severity.
        severity: Level,
    },
}

/// Keeps what it is told until someone reads it.
pub struct Memory {
    told: SyncSender<Told>,
}

impl Memory {
    /// Makes the sink and the end it is read from; at most `waiting_max` wait, more are refused.
    #[must_use]
    pub fn new(waiting_max: usize) -> (Self, Receiver<Told>) {
        let (told, reader) = sync_channel(waiting_max);
        (Self { told }, reader)
    }

    fn keep(&self, told: Told) -> Result<(), SinkError> {
        let why = "too many wait, or nobody reads";
        self.told.try_send(told).map_err(|_| SinkError::Refused {
            why: why.to_owned(),
        })
    }
}

impl Sink for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn finding(&mut self, finding: &Finding, installation: &str) -> Result<(), SinkError> {
        let finding = Box::new(finding.clone());
        self.keep(Told::Finding {
            installation: installation.to_owned(),
            finding,
        })
    }

    fn incident(&mut self, incident: &Incident, installation: &str) -> Result<(), SinkError> {
        let incident = Box::new(incident.clone());
        self.keep(Told::Incident {
            installation: installation.to_owned(),
            incident,
        })
    }

    fn decision(&mut self, decided: &Decided<'_>, installation: &str) -> Result<(), SinkError> {
        self.keep(Told::Decision {
            installation: installation.to_owned(),
            decision: Box::new(decided.decision.clone()),
            sequence: decided.sequence,
            state: decided.state,
            severity: decided.severity,
        })
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, Told};
    use crate::{Sink as _, contract};

    #[test]
    fn fulfils_the_contract_and_keeps_the_order() {
        let (mut memory, told) = Memory::new(100);
        contract::check(&mut memory);
        let told: Vec<Told> = told.try_iter().collect();
        assert_eq!(
            told[0],
            Told::Finding {
                installation: "shop".to_owned(),
                finding: Box::new(contract::finding())
            }
        );
        assert!(
            told.iter()
                .any(|told| matches!(told, Told::Incident { .. }))
        );
    }

    #[test]
    fn refuses_what_nobody_reads() {
        let (mut memory, told) = Memory::new(1);
        assert!(memory.finding(&contract::finding(), "shop").is_ok());
        assert!(memory.finding(&contract::finding(), "shop").is_err());
        drop(told);
    }
}

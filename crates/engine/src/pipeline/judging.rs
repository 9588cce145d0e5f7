//! The judge at hand, or at work on a thread of its own.
//!
//! Apart because only old logs are judged while the next records are read and sealed: what is live is
//! judged before anyone reads on. Either way only sealed records are judged, in their order.

use std::thread::JoinHandle;

use model::{Finding, Sequence};

use crate::judge::{Judge, SealedRecord};
use crate::ledger::{EntryKind, NewEntry};

/// Who has the judge: the pipeline, or the thread it works on.
pub(super) struct Judging {
    at_hand: Option<Box<Judge>>,
    at_work: Option<JoinHandle<(Box<Judge>, Vec<Finding>)>>,
}

/// Why a judge can be asked.
const SETTLED: &str = "whoever sends the judge to work waits for it before anyone asks it";

impl Judging {
    pub(super) fn new(judge: Judge) -> Self {
        Self {
            at_hand: Some(Box::new(judge)),
            at_work: None,
        }
    }

    /// The judge, to read from.
    pub(super) fn judge(&self) -> &Judge {
        self.at_hand.as_deref().expect(SETTLED)
    }

    /// The judge, to judge with.
    pub(super) fn judge_mut(&mut self) -> &mut Judge {
        self.at_hand.as_deref_mut().expect(SETTLED)
    }

    /// Waits until the judge is at hand; what it found meanwhile is added to `findings`.
    pub(super) fn wait(&mut self, findings: &mut Vec<Finding>) {
        if let Some(work) = self.at_work.take() {
            match work.join() {
                Ok((judge, found)) => {
                    findings.extend(found);
                    self.at_hand = Some(judge);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    }

    /// Sends the judge, which is at hand, to work on sealed entries, of which the first has the number `first`.
    pub(super) fn start(&mut self, entries: Vec<NewEntry>, first: Sequence) {
        let mut judge = self.at_hand.take().expect(SETTLED);
        self.at_work = Some(std::thread::spawn(move || {
            let mut findings = Vec::new();
            judge_all(&mut judge, &entries, first, &mut findings);
            (judge, findings)
        }));
    }
}

/// Judges sealed entries, of which the first has the number `first`.
pub(super) fn judge_all(
    judge: &mut Judge,
    entries: &[NewEntry],
    first: Sequence,
    findings: &mut Vec<Finding>,
) {
    for (entry, sequence) in entries.iter().zip(first.0..) {
        if entry.kind != EntryKind::Observed || entry.quarantined {
            continue;
        }
        let Some(format) = parse::named(&entry.format) else {
            continue;
        };
        judge.push(
            &SealedRecord {
                sequence: Sequence(sequence),
                source: &entry.source,
                format: format.name(),
                lane: entry.lane,
                received: entry.received,
                marks: &entry.marks,
                payload: &entry.payload,
            },
            findings,
        );
    }
}

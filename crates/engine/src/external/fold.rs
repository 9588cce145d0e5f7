//! What other systems told, folded as findings of ours are: alike by a run and by a start.

use std::collections::BTreeMap;

use model::{EventRef, Finding, Lane, Sequence, Timestamp};

use crate::judge::Judge;

/// Entries that a finding tells it rests on: the first and the last ones.
const EVENTS_MAX: usize = 256;

/// What hearing a finding of another system would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It is a new one, or tells something new.
    News,
    /// It tells what is known, by this entry.
    Known(Sequence),
    /// This id of the system was told of another place.
    Elsewhere,
}

impl Judge {
    /// What hearing it would do.
    pub(crate) fn hears(&mut self, told: &Finding) -> Hearing {
        self.wake_for(told);
        let Some(known) = self.finding(&told.id) else {
            return Hearing::News;
        };
        // Whoever may tell of one store only would otherwise overwrite what is told of another.
        if known.scope != told.scope {
            return Hearing::Elsewhere;
        }
        let mut same = Finding {
            lane: known.lane,
            events: known.events.clone(),
            event_count: known.event_count,
            ..told.clone()
        };
        self.leave_out_shared(&mut same);
        match known.events.last() {
            Some(last) if same == *known => Hearing::Known(last.sequence),
            _ => Hearing::News,
        }
    }

    /// Takes one that is sealed, as the entry `sequence`.
    pub(crate) fn hear(
        &mut self,
        mut told: Finding,
        sequence: Sequence,
        lane: Lane,
        received: Timestamp,
        out: &mut Vec<Finding>,
    ) {
        self.wake_for(&told);
        let known = self.finding(&told.id);
        let mut events = known.map_or_else(Vec::new, |known| known.events.clone());
        if events.len() >= EVENTS_MAX {
            events.remove(EVENTS_MAX / 2);
        }
        events.push(EventRef { sequence, index: 0 });
        told.event_count = known.map_or(0, |known| known.event_count) + 1;
        told.events = events;
        told.lane = lane;
        self.tell(told, received, out);
    }
}

/// What other systems told in sealed entries of which no sealed finding tells yet: a run that was killed in between left them.
#[derive(Debug, Default)]
pub(crate) struct Pending(BTreeMap<String, Vec<Sequence>>);

impl Pending {
    /// Notes an entry in which a finding is told.
    pub(crate) fn told(&mut self, finding: &Finding, sequence: Sequence) {
        self.0.entry(finding.id.clone()).or_default().push(sequence);
    }

    /// Notes a finding that was sealed itself.
    pub(crate) fn sealed(&mut self, finding: &Finding) {
        if let (Some(told), Some(last)) = (self.0.get_mut(&finding.id), finding.events.last()) {
            told.retain(|sequence| *sequence > last.sequence);
            if told.is_empty() {
                self.0.remove(&finding.id);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, in their order.
    pub(crate) fn entries(self) -> Vec<Sequence> {
        let mut all: Vec<Sequence> = self.0.into_values().flatten().collect();
        all.sort_unstable();
        all
    }
}

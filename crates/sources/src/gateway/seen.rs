//! What a listener remembers of messages: which are sealed already, and how many weren't believed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{SourceId, Timestamp};

use super::{REFUSED_MAX, SEEN_MAX};
use crate::source::{Chunk, Recorder};

/// Messages sealed already, the oldest forgotten first, and the places of records.
pub(super) struct Seen {
    run: Timestamp,
    recorders: BTreeMap<&'static str, Recorder>,
    known: BTreeSet<(&'static str, String)>,
    order: VecDeque<(&'static str, String)>,
    /// The minute, since 1970, and how many weren't believed in it.
    refused: (i64, u64),
}

impl Seen {
    pub(super) fn new(run: Timestamp) -> Self {
        Self {
            run,
            recorders: BTreeMap::new(),
            known: BTreeSet::new(),
            order: VecDeque::new(),
            refused: (0, 0),
        }
    }

    /// Whether a message is sealed already.
    pub(super) fn knows(&self, gateway: &'static str, id: &str) -> bool {
        self.known.contains(&(gateway, id.to_owned()))
    }

    /// Counts a message that isn't believed: whether it is sealed by itself, and how many of the minute before weren't.
    pub(super) fn refuse(&mut self, now: Timestamp) -> (bool, u64) {
        let minute = now.0 / (60 * Timestamp::SECOND);
        let mut before = 0;
        if minute != self.refused.0 {
            before = self.refused.1.saturating_sub(REFUSED_MAX);
            self.refused = (minute, 0);
        }
        self.refused.1 += 1;
        (self.refused.1 <= REFUSED_MAX, before)
    }

    pub(super) fn remember(&mut self, gateway: &'static str, id: &str) {
        let key = (gateway, id.to_owned());
        if self.known.insert(key.clone()) {
            self.order.push_back(key);
        }
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn chunk(&mut self, gateway: &'static str, record: Vec<u8>) -> Chunk {
        let run = self.run;
        self.recorders
            .entry(gateway)
            .or_insert_with(|| Recorder::observing(SourceId(format!("gateway:{gateway}")), run))
            .chunk(record)
    }
}

#[cfg(test)]
mod tests {
    use super::{REFUSED_MAX, Seen};
    use model::Timestamp;

    #[test]
    fn of_a_flood_a_minutes_share_is_sealed_alone_and_the_rest_counted() {
        let mut seen = Seen::new(Timestamp(0));
        let at = |second| Timestamp::from_seconds(second);
        let alone = (0..100).filter(|_| seen.refuse(at(600)).0).count();
        assert_eq!(alone as u64, REFUSED_MAX);
        assert_eq!(seen.refuse(at(660)), (true, 100 - REFUSED_MAX));
        assert_eq!(seen.refuse(at(661)), (true, 0));
    }
}

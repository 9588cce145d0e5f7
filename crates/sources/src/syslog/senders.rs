//! Who sends: a source for each, and what of it got lost on its way.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use model::{SourceId, Timestamp};

use super::sequence::Sequences;
use crate::source::{Chunk, News, Recorder};

/// Senders told apart; those beyond share one name.
const SENDERS_MAX: usize = 1024;
/// Originators whose numbers are followed, of all senders: anybody can forge more. Each may have missed two thousand numbers.
const ORIGINATORS_MAX: usize = 4096;

/// What gives each sender's records their places, shared with the threads of connections.
pub(super) struct Senders {
    run: Timestamp,
    known: Mutex<Known>,
}

struct Known {
    senders: BTreeMap<String, Sender>,
    originators: usize,
    /// The last two looks at what is lost.
    looks: [Timestamp; 2],
}

struct Sender {
    recorder: Recorder,
    sequences: Sequences,
}

impl Senders {
    pub(super) fn new(run: Timestamp) -> Self {
        Self {
            run,
            known: Mutex::new(Known {
                senders: BTreeMap::new(),
                originators: 0,
                looks: [run; 2],
            }),
        }
    }

    /// The chunk of one message.
    pub(super) fn chunk(&self, transport: &str, from: IpAddr, message: Vec<u8>) -> Chunk {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known {
            senders,
            originators,
            ..
        } = &mut *known;
        let mut name = format!("syslog:{transport}:{}", from.to_canonical());
        if senders.len() >= SENDERS_MAX && !senders.contains_key(&name) {
            name = format!("syslog:{transport}:others");
        }
        let sender = senders.entry(name.clone()).or_insert_with(|| Sender {
            recorder: Recorder::new(SourceId(name), self.run),
            sequences: Sequences::default(),
        });
        let has_room = *originators < ORIGINATORS_MAX;
        *originators += usize::from(sender.sequences.see(&message, has_room));
        sender.recorder.chunk(message)
    }

    /// News of messages whose number never came.
    pub(super) fn look(&self, now: Timestamp) -> Vec<Chunk> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let [since, last] = known.looks;
        known.looks = [last, now];
        let lost = |sender: &mut Sender| {
            let records = sender.sequences.lost();
            let since = Some(since);
            let news = News::Dropped { records, since };
            (records > 0).then(|| Chunk::news(sender.recorder.source().clone(), news))
        };
        known.senders.values_mut().filter_map(lost).collect()
    }
}

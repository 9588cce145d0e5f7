//! Who sends: a source for each, and what of it got lost on its way.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use model::{SourceId, Timestamp};

use super::sequence::Sequences;
use crate::source::{Chunk, News, Recorder};

/// Senders told apart; those beyond share one name.
const SENDERS_MAX: usize = 1024;

/// What gives each sender's records their places, shared with the threads of connections.
pub(super) struct Senders {
    run: Timestamp,
    known: Mutex<Known>,
}

struct Known {
    senders: BTreeMap<String, Sender>,
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
                looks: [run; 2],
            }),
        }
    }

    /// The chunk of one message.
    pub(super) fn chunk(&self, transport: &str, from: IpAddr, message: Vec<u8>) -> Chunk {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = &mut known.senders;
        let mut name = format!("syslog:{transport}:{}", from.to_canonical());
        if senders.len() >= SENDERS_MAX && !senders.contains_key(&name) {
            name = format!("syslog:{transport}:others");
        }
        let sender = senders.entry(name.clone()).or_insert_with(|| Sender {
            recorder: Recorder::new(SourceId(name), self.run),
            sequences: Sequences::default(),
        });
        sender.sequences.see(&message);
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

//! When a run is told again of which the server sealed nothing new: less and less often, each run by itself, so that the others go on.

use std::collections::BTreeMap;

use model::Timestamp;

use super::calls::pause;

/// What was told in vain. Forgotten at a stop: then all is told once more.
#[derive(Debug, Default)]
pub(super) struct Unsealed {
    /// Runs of the report that is out, with how many of their entries the server had before.
    out: BTreeMap<String, u64>,
    /// By run, how often in a row nothing new was sealed, and when it is told again.
    waiting: BTreeMap<String, (u32, Timestamp)>,
}

impl Unsealed {
    /// A new report begins: what the last one told doesn't count where nobody answered.
    pub(super) fn begin(&mut self) {
        self.out.clear();
    }

    /// Whether a run isn't told now.
    pub(super) fn waits(&self, run: &str, now: Timestamp) -> bool {
        let again = self.waiting.get(run);
        again.is_some_and(|(_, until)| *until > now)
    }

    /// A run is told from an entry on.
    pub(super) fn tell(&mut self, run: &str, from: u64) {
        self.out.insert(run.to_owned(), from);
    }

    /// Takes how many entries of each run the server has now. Fewer than before are news as well: what it lost is told anew.
    pub(super) fn heard(&mut self, sealed: &BTreeMap<String, u64>, now: Timestamp) {
        for (run, from) in std::mem::take(&mut self.out) {
            if sealed.get(&run).copied().unwrap_or_default() != from {
                self.waiting.remove(&run);
                continue;
            }
            let (times, until) = self.waiting.entry(run).or_default();
            *times = times.saturating_add(1);
            let seconds = pause(*times, u8::MAX).as_secs();
            *until = now.plus_seconds(seconds.cast_signed());
        }
    }
}

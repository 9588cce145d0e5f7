//! Who looks along a run here: the guard's thread, and what the server last said of leaks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{Look, Timestamp};

use crate::runs::{Watch, Watching};

/// How long the server's word that nothing shows is believed.
const WORD_AGE_MAX: Duration = Duration::from_secs(20);

/// The guard and the server's word. Clones share both.
#[derive(Clone)]
pub(super) struct Looking {
    watch: Arc<Watch>,
    word: Arc<Mutex<Option<Word>>>,
}

struct Word {
    heard: Instant,
    /// By run, when anything last showed, by this host's clock.
    last: BTreeMap<String, Timestamp>,
}

impl Looking {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch: Arc::new(watch),
            word: Arc::default(),
        }
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Takes the server's word; it tells how long ago, so that two clocks need not agree.
    pub(super) fn hear(&self, quiet_seconds: &BTreeMap<String, u64>, now: Timestamp) {
        let last = quiet_seconds.iter().map(|(run, seconds)| {
            let seconds = i64::try_from(*seconds).unwrap_or(i64::MAX);
            let ago = seconds.saturating_mul(Timestamp::SECOND);
            (run.clone(), Timestamp(now.0.saturating_sub(ago)))
        });
        let (heard, last) = (Instant::now(), last.collect());
        *self.word() = Some(Word { heard, last });
    }

    fn word(&self) -> MutexGuard<'_, Option<Word>> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching for Looking {
    fn before(&self) -> Option<Arc<Look>> {
        self.watch.before()
    }

    fn after(&self, time: Timestamp, most: Duration) -> Option<Arc<Look>> {
        self.watch.after(time, most)
    }

    fn last_leak(&self, run: &str) -> Option<Timestamp> {
        let word = self.word();
        let fresh = word
            .as_ref()
            .filter(|word| word.heard.elapsed() <= WORD_AGE_MAX)?;
        fresh.last.get(run).copied()
    }
}

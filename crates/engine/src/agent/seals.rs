//! How much of each run the server has sealed, for steps that wait for it.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::runs::Sealing;

/// Pause between two looks while a step waits.
const TICK: Duration = Duration::from_millis(10);

/// What the server has, and who waits for it to have more.
#[derive(Debug, Default)]
pub(super) struct Seals {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By run, how many of its entries are sealed.
    sealed: BTreeMap<String, u64>,
    /// Whether the last call came to nothing.
    is_away: bool,
    /// Steps that wait.
    waiting: usize,
}

impl Seals {
    /// Takes what the server has now.
    pub(super) fn hear(&self, sealed: &BTreeMap<String, u64>) {
        let mut state = self.state();
        state.sealed.clone_from(sealed);
        state.is_away = false;
        drop(state);
        self.moved.notify_all();
    }

    /// Notes that the server isn't reached: nobody waits for it.
    pub(super) fn away(&self) {
        self.state().is_away = true;
        self.moved.notify_all();
    }

    /// Whether a step waits for what is told next.
    pub(super) fn is_awaited(&self) -> bool {
        self.state().waiting > 0
    }

    /// Rests for a time, or until a step begins to wait.
    pub(super) fn rest(&self, most: Duration) {
        let until = Instant::now() + most;
        let mut state = self.state();
        if state.waiting > 0 {
            drop(state);
            return std::thread::sleep(most.min(TICK));
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.waiting > 0 {
                return;
            }
            state = self.wait(state, left);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, most: Duration) -> MutexGuard<'a, State> {
        let woken = self.moved.wait_timeout(state, most);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Sealing for Seals {
    fn has(&self, run: &str, entries: u64, most: Duration) -> Option<bool> {
        let until = Instant::now() + most;
        let mut state = self.state();
        state.waiting += 1;
        self.moved.notify_all();
        let has = loop {
            let known = state.sealed.get(run).copied().unwrap_or_default();
            let left = until.saturating_duration_since(Instant::now());
            match known >= entries {
                true => break Some(true),
                false if state.is_away => break None,
                false if left.is_zero() => break Some(false),
                false => state = self.wait(state, left),
            }
        };
        state.waiting -= 1;
        has
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::Seals;
    use crate::runs::Sealing as _;

    const LONG: Duration = Duration::from_secs(60);

    fn of(entries: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("r1".to_owned(), entries)])
    }

    #[test]
    fn a_step_waits_until_the_server_has_enough_and_never_for_one_that_is_away() {
        let seals = Seals::default();
        assert_eq!(seals.has("r1", 1, Duration::ZERO), Some(false));
        seals.hear(&of(3));
        assert_eq!(seals.has("r1", 3, LONG), Some(true));
        assert_eq!(seals.has("r1", 4, Duration::from_millis(5)), Some(false));
        assert_eq!(seals.has("r2", 1, Duration::ZERO), Some(false));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| seals.has("r1", 4, LONG));
            // Whoever tells the server rests until a step waits, and then no longer.
            let began = Instant::now();
            seals.rest(LONG);
            assert!(seals.is_awaited() && began.elapsed() < LONG);
            seals.hear(&of(4));
            assert_eq!(waits.join().expect("it ends"), Some(true));
            let waits = scope.spawn(|| seals.has("r1", 5, LONG));
            seals.rest(LONG);
            seals.away();
            assert_eq!(waits.join().expect("it ends"), None);
        });
        assert!(!seals.is_awaited());
        assert_eq!(seals.has("r1", 5, LONG), None);
    }
}

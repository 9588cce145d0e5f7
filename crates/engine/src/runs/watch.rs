//! A thread that looks at the shop's stores: again and again once it was asked, and at once when a step was done.
//!
//! It keeps its last look alone. A shop that answers slowly makes looks late, never runs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use model::{Look, Sales, Timestamp};
use responders::{ActionError, Host};

use super::guard::Watching;

/// How old a look may be to tell how things were before a step.
const BEFORE_AGE_MAX: Duration = Duration::from_secs(60);
/// Longest that a look under way is waited for at the end, so that it takes its cart away.
const END_WAIT: Duration = Duration::from_secs(10);

/// A thread that looks; it ends when this is dropped.
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    last: Option<Seen>,
    /// When the look that is under way began.
    under_way: Option<Timestamp>,
    /// Whether one more is wanted now.
    is_asked: bool,
    is_over: bool,
    /// Why there was none.
    trouble: Option<String>,
}

struct Seen {
    began: Timestamp,
    ended: Instant,
    look: Arc<Look>,
}

impl Watch {
    /// Of a host whose settings have a part `[guard]`; nothing for one without. It looks when it is first asked.
    ///
    /// # Errors
    ///
    /// When there is no thread for it.
    pub fn begin(host: Arc<Host>, clock: fn() -> Timestamp) -> std::io::Result<Option<Self>> {
        let Some(every) = host.settings.guard.as_ref().map(|guard| guard.every) else {
            return Ok(None);
        };
        let look = move || responders::look(&host, &[]);
        Self::of(every, clock, look).map(Some)
    }

    fn of(
        every: Duration,
        clock: fn() -> Timestamp,
        look: impl Fn() -> Result<Look, ActionError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = Builder::new().name("guard".to_owned()).spawn(move || {
            let mut next = None;
            while let Some(began) = its.turn(next, clock) {
                next = Some(Instant::now() + every);
                its.has(began, look());
            }
        })?;
        let thread = Some(thread);
        Ok(Self { shared, thread })
    }

    /// What the stores sold, as the last look counted it.
    #[must_use]
    pub fn sales(&self) -> Option<Sales> {
        let state = self.shared.state();
        let seen = state.last.as_ref()?;
        let views = seen.look.views.iter();
        let views = views.filter_map(|(code, one)| Some((code.clone(), one.orders?)));
        let sales = Sales {
            at: seen.began,
            views: views.collect(),
            revenue: seen.look.revenue.clone(),
        };
        (!sales.views.is_empty()).then_some(sales)
    }

    /// Why the last look came to nothing, if it did.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.moved.notify_all();
        let begun = Instant::now();
        while self.thread.as_ref().is_some_and(|one| !one.is_finished())
            && begun.elapsed() < END_WAIT
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, most: Duration) -> MutexGuard<'a, State> {
        let woken = self.moved.wait_timeout(state, most);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the time of the next look, or until one is asked for; gives when it begins, nothing when there are to be no more.
    fn turn(&self, next: Option<Instant>, clock: fn() -> Timestamp) -> Option<Timestamp> {
        let mut state = self.state();
        loop {
            let left = next.map(|at| at.saturating_duration_since(Instant::now()));
            if state.is_over {
                return None;
            }
            if state.is_asked || left.is_some_and(|left| left.is_zero()) {
                let began = clock();
                (state.is_asked, state.under_way) = (false, Some(began));
                return Some(began);
            }
            state = self.wait(state, left.unwrap_or(BEFORE_AGE_MAX));
        }
    }

    fn has(&self, began: Timestamp, look: Result<Look, ActionError>) {
        let mut state = self.state();
        state.under_way = None;
        state.trouble = look.as_ref().err().map(ToString::to_string);
        // A host that isn't set up for it is seen without any view, so that nobody waits for what doesn't come.
        let (look, ended) = (Arc::new(look.unwrap_or_default()), Instant::now());
        state.last = Some(Seen { began, ended, look });
        drop(state);
        self.moved.notify_all();
    }
}

impl Watching for Watch {
    /// Nobody tells it: by hand, a person is there.
    fn last_leak(&self, _run: &str) -> Option<Timestamp> {
        None
    }

    fn before(&self) -> Option<Arc<Look>> {
        let state = self.shared.state();
        let last = state.last.as_ref();
        last.filter(|seen| seen.ended.elapsed() <= BEFORE_AGE_MAX)
            .map(|seen| Arc::clone(&seen.look))
    }

    fn after(&self, time: Timestamp, most: Duration) -> Option<Arc<Look>> {
        let until = Instant::now() + most;
        let mut state = self.shared.state();
        loop {
            if let Some(seen) = state.last.as_ref().filter(|seen| seen.began > time) {
                return Some(Arc::clone(&seen.look));
            }
            let comes = state.under_way.is_some_and(|began| began > time);
            if !comes && !state.is_asked {
                state.is_asked = true;
                self.shared.moved.notify_all();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.is_over {
                return None;
            }
            state = self.shared.wait(state, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use super::{Watch, Watching as _};
    use model::{Look, Timestamp};
    use responders::ActionError;

    const LONG: Duration = Duration::from_secs(60);

    /// A clock of its own, so that looks have an order.
    fn clock() -> Timestamp {
        static TICKS: AtomicI64 = AtomicI64::new(0);
        Timestamp(TICKS.fetch_add(1, Ordering::SeqCst))
    }

    fn numbered(number: u32) -> Look {
        let orders_lack = number.to_string();
        Look {
            orders_lack,
            ..Look::default()
        }
    }

    /// Looks that each wait for a word before they end.
    fn held() -> (Watch, mpsc::Sender<()>, mpsc::Receiver<u32>) {
        let (go, goes) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let (goes, count) = (Mutex::new(goes), AtomicU32::new(0));
        let watch = Watch::of(LONG, clock, move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            begin.send(number).unwrap_or_default();
            goes.lock().expect("a lock").recv().unwrap_or_default();
            Ok(numbered(number))
        });
        (watch.expect("a thread"), go, begun)
    }

    #[test]
    fn a_look_that_began_before_a_step_ended_is_none_after_it() {
        let (watch, go, begun) = held();
        assert!(watch.before().is_none() && watch.after(clock(), Duration::ZERO).is_none());
        assert_eq!(begun.recv(), Ok(0));
        let ended = clock();
        go.send(()).expect("it waits");
        go.send(()).expect("it waits");
        let after = watch.after(ended, LONG).expect("a look");
        assert_eq!(after.orders_lack, "1");
        assert_eq!(watch.before().expect("a look").orders_lack, "1");
        assert_eq!(begun.recv(), Ok(1));
        assert!(begun.try_recv().is_err(), "no more were asked for");
        drop(go);
    }

    #[test]
    fn a_look_that_takes_too_long_is_none() {
        let (watch, go, begun) = held();
        assert!(watch.after(clock(), Duration::from_millis(5)).is_none());
        assert_eq!(begun.recv(), Ok(0));
        assert!(watch.after(clock(), Duration::from_millis(5)).is_none());
        drop(go);
    }

    #[test]
    fn it_looks_again_and_again_and_says_why_it_sees_nothing() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let watch = Watch::of(Duration::from_millis(1), clock, move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let what = "no shop".to_owned();
            Err(ActionError::NotSetUp { what })
        });
        let watch = watch.expect("a thread");
        assert_eq!(watch.trouble(), None);
        assert!(watch.after(clock(), Duration::ZERO).is_none());
        while count.load(Ordering::SeqCst) < 3 {
            std::thread::yield_now();
        }
        assert!(watch.trouble().is_some_and(|why| why.contains("no shop")));
        let seen = watch.after(clock(), LONG).expect("a look");
        assert_eq!(*seen, Look::default());
        drop(watch);
        assert_eq!(Arc::strong_count(&count), 1, "its thread ended");
    }
}

//! Runs that are carried out now: a thread each, as long as there is something to do.
//!
//! A run that waits holds no thread. Whoever is to stop stops between two entries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use model::Timestamp;
use playbook::{Run, Turn, Wait};
use responders::Host;

use super::looking::Looking;
use super::seals::Seals;
use crate::runs::{Carrier, CarryError, Journal, Looks, Place, Watch, may_unwind};

/// One run that is carried out.
struct Hand {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Looks, Result<(), CarryError>)>,
}

/// What a run's thread came to.
pub(super) struct Rest {
    pub(super) run: String,
    /// Why it could not go on; nothing when it waits, is over, or was stopped.
    pub(super) trouble: Option<String>,
}

/// All that are carried out.
pub(super) struct Hands {
    host: Arc<Host>,
    place: Place,
    clock: fn() -> Timestamp,
    busy: BTreeMap<String, Hand>,
    /// The guard, where this host has one.
    watch: Option<Looking>,
    /// What runs that stopped remembered for it.
    looks: BTreeMap<String, Looks>,
    /// What the server has sealed.
    seals: Arc<Seals>,
}

impl Hands {
    pub(super) fn new(
        host: Arc<Host>,
        place: Place,
        clock: fn() -> Timestamp,
        watch: Option<Watch>,
    ) -> Self {
        Self {
            host,
            place,
            clock,
            busy: BTreeMap::new(),
            watch: watch.map(Looking::new),
            looks: BTreeMap::new(),
            seals: Arc::default(),
        }
    }

    /// What the server has sealed, for steps that wait for it.
    pub(super) const fn seals(&self) -> &Arc<Seals> {
        &self.seals
    }

    /// The guard, where this host has one.
    pub(super) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref().map(Looking::watch)
    }

    /// Whether the guard may have a step of a run undone.
    pub(super) fn may_unwind(&self, run: &Run) -> bool {
        let looking = self.watch.as_ref();
        looking.is_some_and(|looking| may_unwind(run, looking).is_some())
    }

    /// What the server says of leaks, heard just now.
    pub(super) fn hear(&self, quiet_seconds: &BTreeMap<String, u64>) {
        if let Some(looking) = &self.watch {
            looking.hear(quiet_seconds, (self.clock)());
        }
    }

    pub(super) fn is_at(&self, run: &str) -> bool {
        self.busy.contains_key(run)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// Goes on with a run; `again` tries once more what could not be undone.
    pub(super) fn begin(&mut self, run: &str, again: bool) -> std::io::Result<()> {
        if self.is_at(run) {
            return Ok(());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (host, place, clock) = (Arc::clone(&self.host), self.place.clone(), self.clock);
        let (id, stopped) = (run.to_owned(), Arc::clone(&stop));
        let (watch, seals) = (self.watch.clone(), Arc::clone(&self.seals));
        let looks = self.looks.remove(run).unwrap_or_default();
        let thread = Builder::new().name("run".to_owned()).spawn(move || {
            let opened = Journal::open(&place.journals(), &id)
                .map_err(CarryError::from)
                .and_then(|journal| Carrier::new(&host, place, journal, &clock));
            let mut carrier = match opened {
                Ok(carrier) => carrier.sealed_by(&*seals),
                Err(error) => return (looks, Err(error)),
            };
            if let Some(watch) = &watch {
                carrier = carrier.watched_by(watch, looks);
            }
            let carried = carry(&mut carrier, again, &stopped);
            (carrier.into_looks(), carried)
        })?;
        self.busy.insert(run.to_owned(), Hand { stop, thread });
        Ok(())
    }

    /// Lets a run stop after its present entry.
    pub(super) fn stop(&self, run: &str) {
        if let Some(hand) = self.busy.get(run) {
            hand.stop.store(true, Ordering::SeqCst);
        }
    }

    /// Lets all of them stop after their present entries.
    pub(super) fn stop_all(&self) {
        for hand in self.busy.values() {
            hand.stop.store(true, Ordering::SeqCst);
        }
    }

    /// Those that came to a rest.
    pub(super) fn rested(&mut self) -> Vec<Rest> {
        let done = self
            .busy
            .iter()
            .filter(|(_, hand)| hand.thread.is_finished());
        let done: Vec<_> = done.map(|(run, _)| run.clone()).collect();
        let mut out = Vec::new();
        for run in done {
            let hand = self.busy.remove(&run);
            let trouble = match hand.map(|hand| hand.thread.join()) {
                None => None,
                Some(Ok((looks, carried))) => {
                    if !looks.is_empty() {
                        self.looks.insert(run.clone(), looks);
                    }
                    carried.err().map(|error| said(&error))
                }
                // The journal says where it stopped, and settles it when it goes on.
                Some(Err(_)) => Some("its thread broke".to_owned()),
            };
            out.push(Rest { run, trouble });
        }
        out
    }
}

fn carry(carrier: &mut Carrier<'_>, again: bool, stop: &AtomicBool) -> Result<(), CarryError> {
    if again && let Turn::Wait(Wait::UndoFailed(step)) = carrier.run().turn() {
        carrier.undo_again(step)?;
    }
    while !stop.load(Ordering::SeqCst) && carrier.step()?.is_none() {}
    Ok(())
}

/// An error and what is behind it.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    out
}

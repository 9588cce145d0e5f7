//! What a step waits for before it changes what evidence is read from: that the ledger has what was kept before it.
//!
//! A host can be lost to whoever attacks it, and with it the only copy of a hash; sealed elsewhere first, what was kept can't be exchanged
//! afterwards. A server that is away or slow holds no step up: then the entry that announces the step says so.

use std::time::{Duration, Instant};

use model::{ForensicImpact, Work};

use super::carry::Carrier;

/// Longest that a step waits for it.
const SEAL_WAIT: Duration = Duration::from_secs(3);
/// Longest that it waits at once: whoever is to stop stops in between.
const SLICE: Duration = Duration::from_millis(500);

/// Whoever knows how much of a run is sealed.
pub trait Sealing: Sync {
    /// Whether so many entries of a run are sealed, waited for at most so long; nothing when nobody seals them now.
    fn has(&self, run: &str, entries: u64, most: Duration) -> Option<bool>;
}

/// Who seals, and what waits for it.
#[derive(Default)]
pub(super) struct Sealed<'a> {
    pub(super) sealing: Option<&'a dyn Sealing>,
    /// For which step, and since when.
    since: Option<(usize, Instant)>,
}

impl Sealed<'_> {
    /// No step waits any more.
    pub(super) const fn rests(&mut self) {
        self.since = None;
    }
}

/// What a step that is about to be done is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// All before it is sealed, or nobody is to seal anything.
    Has,
    /// It is to be waited for.
    Waits,
    /// It is waited for no longer.
    Lacks,
}

impl<'a> Carrier<'a> {
    /// Has steps that change what evidence is read from wait until what was kept before is sealed.
    #[must_use]
    pub fn sealed_by(mut self, sealing: &'a dyn Sealing) -> Self {
        self.sealed.sealing = Some(sealing);
        self
    }

    /// Whether a step is done now.
    pub(super) fn seal_before(&mut self, step: usize) -> Seal {
        let is_harmless = self.run().planned(step).is_some_and(|planned| {
            matches!(&planned.work, Work::Action { forensic_impact, .. } if *forensic_impact == ForensicImpact::None)
        });
        let Some(sealing) = self.sealed.sealing.filter(|_| !is_harmless) else {
            return Seal::Has;
        };
        let known = self.sealed.since.filter(|(known, _)| *known == step);
        let (_, since) = known.unwrap_or((step, Instant::now()));
        self.sealed.since = Some((step, since));
        let left = SEAL_WAIT.saturating_sub(since.elapsed());
        let has = sealing.has(&self.run().id, self.run().entries, left.min(SLICE));
        let seal = match has {
            Some(true) => Seal::Has,
            Some(false) if !left.is_zero() => Seal::Waits,
            Some(false) | None => Seal::Lacks,
        };
        if seal != Seal::Waits {
            self.sealed.since = None;
        }
        seal
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use model::{ForensicImpact, Happened, Work};

    use super::Sealing;
    use crate::runs::tests::{answer, approval, in_memory, now, planned};
    use crate::runs::{Carrier, Journal, Place, Stand, entries};
    use responders::memory;

    /// Has so much sealed, after it was asked so often.
    struct Server {
        says: Option<bool>,
        after: usize,
        asked: Mutex<Vec<u64>>,
    }

    impl Sealing for Server {
        fn has(&self, run: &str, entries: u64, most: Duration) -> Option<bool> {
            assert_eq!(run, "run-1");
            let mut asked = self.asked.lock().expect("a lock");
            asked.push(entries);
            let is_early = asked.iter().filter(|one| **one == entries).count() <= self.after;
            assert!(
                !most.is_zero() || !is_early,
                "it waits for as long as it takes"
            );
            if is_early { Some(false) } else { self.says }
        }
    }

    /// Carries a plan out beside a server: for each step that was begun whether it changes what evidence is read from, and whether that was
    /// said not to be sealed; and what the server was asked.
    fn carried(says: Option<bool>, after: usize) -> (Vec<(bool, bool)>, Vec<u64>) {
        let folder = in_memory();
        let host = memory::host(folder.path()).expect("a host");
        let place = Place::below(&folder.path().join("ours"));
        let plan = planned("web-shell");
        let journal = Journal::begin(&place.journals(), &approval("run-1", plan.clone()));
        let server = Server {
            says,
            after,
            asked: Mutex::default(),
        };
        let carrier = Carrier::new(&host, place.clone(), journal.expect("begun"), &now);
        let mut carrier = carrier.expect("a carrier").sealed_by(&server);
        while let Stand::Waits(wait) = carrier.go(&mut |_| {}).expect("it goes on") {
            answer(&mut carrier, wait).expect("it is heard");
        }
        let told = entries(&place.journals(), "run-1", 0).expect("its entries");
        let alters = |step: usize| match &plan.steps[step].work {
            Work::Action {
                forensic_impact, ..
            } => *forensic_impact != ForensicImpact::None,
            Work::Person { .. } => false,
        };
        let begun = told.iter().filter_map(|entry| match entry.what {
            Happened::Intended { step, unsealed } => Some((entry.number, step, unsealed)),
            _ => None,
        });
        let begun: Vec<_> = begun.collect();
        let mut asked = server.asked.into_inner().expect("a lock");
        asked.dedup();
        let altering = begun.iter().filter(|(_, step, _)| alters(*step));
        assert_eq!(
            altering.map(|(number, ..)| *number).collect::<Vec<_>>(),
            asked,
            "all that comes before the step is asked for, and of no other step"
        );
        let begun = begun.into_iter();
        let begun = begun.map(|(_, step, unsealed)| (alters(step), unsealed));
        (begun.collect(), asked)
    }

    #[test]
    fn what_changes_evidence_waits_for_its_seal_and_says_when_it_had_none() {
        for (says, after) in [(Some(true), 0), (Some(true), 3), (None, 0), (None, 2)] {
            let (begun, asked) = carried(says, after);
            assert!(!asked.is_empty(), "a step of it alters something");
            assert!(begun.iter().any(|(alters, _)| *alters));
            for (alters, unsealed) in begun {
                assert_eq!(unsealed, alters && says.is_none());
            }
        }
    }
}

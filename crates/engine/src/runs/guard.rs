//! The guard beside a run: its look before a step is remembered, its look after is taken as soon as it is there and waited for where the
//! run rests, and what it says of the stores that the step isn't to close is written down.
//!
//! It is apart because it decides nothing: what follows is told by [`playbook::Run::turn`], and what is undone without a person by
//! [`playbook::Run::unwinds`] and the word of who knows whether anything leaks still. Invariants: no step waits for a look before
//! it is done or undone; a look that was lost or came too late is never held against a step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Argument, Happened, Look, ParameterKind, Timestamp, Touched, UnknownWhy, Verdict};
use playbook::{Run, Turn, Wait};

use super::carry::Carrier;
use super::error::CarryError;

/// Longest that a run that rests waits for a look.
pub const LOOK_WAIT: Duration = Duration::from_secs(90);
/// Longest that it waits at once: whoever is to stop stops in between.
const SLICE: Duration = Duration::from_millis(500);

/// Somebody who looks at the stores, again and again.
pub trait Watching: Sync {
    /// The last look, if it isn't older than a minute. It is there or it isn't: nobody waits for it.
    fn before(&self) -> Option<Arc<Look>>;

    /// A look that began after a time, waited for at most so long; not waited for at all, it is asked for.
    fn after(&self, time: Timestamp, most: Duration) -> Option<Arc<Look>>;

    /// When what a run is for last showed anything, by this host's clock, as far as was known a moment ago; nothing when nobody said.
    fn last_leak(&self, run: &str) -> Option<Timestamp>;
}

/// The step of a run that may be undone without a person now, if there is one: see [`Run::unwinds`], and nothing has shown since.
pub fn may_unwind(run: &Run, watching: &dyn Watching) -> Option<usize> {
    let Turn::Wait(Wait::Guard(step)) = run.turn() else {
        return None;
    };
    let since = run.unwinds(step)?;
    let last = watching.last_leak(&run.id)?;
    (last < since).then_some(step)
}

/// Looks from before the steps of one run of which nothing is said yet.
#[derive(Clone, Debug, Default)]
pub struct Looks(BTreeMap<usize, Arc<Look>>);

impl Looks {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who looks along, and what is remembered for it.
pub(super) struct Watched<'a> {
    watching: Option<&'a dyn Watching>,
    /// [`LOOK_WAIT`], but in tests.
    pub(super) most: Duration,
    looks: Looks,
    /// Since when a look is waited for.
    since: Option<Instant>,
    /// Whether a step was undone since the run last rested.
    has_undone: bool,
}

impl Default for Watched<'_> {
    fn default() -> Self {
        Self {
            watching: None,
            most: LOOK_WAIT,
            looks: Looks::default(),
            since: None,
            has_undone: false,
        }
    }
}

impl Watched<'_> {
    pub(super) const fn undone(&mut self) {
        self.has_undone = true;
    }
}

impl<'a> Carrier<'a> {
    /// Has somebody look along. `looks` are what an earlier carrier of this run remembered.
    #[must_use]
    pub fn watched_by(mut self, watching: &'a dyn Watching, looks: Looks) -> Self {
        self.watched.watching = Some(watching);
        self.watched.looks = looks;
        self
    }

    /// What is remembered for steps of which nothing is said yet.
    #[must_use]
    pub fn into_looks(self) -> Looks {
        self.watched.looks
    }

    /// A step is about to be done.
    pub(super) fn remember(&mut self, step: usize) {
        let before = self
            .watched
            .watching
            .filter(|_| self.run().has_others(step))
            .and_then(Watching::before);
        let looks = &mut self.watched.looks.0;
        // One from before an earlier try says nothing of this one.
        match before {
            Some(before) => looks.insert(step, before),
            None => looks.remove(&step),
        };
    }

    /// A step was done: whoever looks is to look now, and nobody waits for it.
    pub(super) fn ask_for_look(&self) {
        if let Some(watching) = self.watched.watching {
            drop(watching.after((self.clock)(), Duration::ZERO));
        }
    }

    /// Takes the guard's word on a step that it has yet to say one of; where the run rests, or something was undone, waits for it. Whether
    /// something was written, or is to be waited for still.
    pub(super) fn watch(&mut self, turn: &Turn, rests: bool) -> Result<bool, CarryError> {
        let Some(watching) = self.watched.watching else {
            return Ok(false);
        };
        let rests = rests || (self.watched.has_undone && !matches!(turn, Turn::Undo(_)));
        let Some(step) = self.run().unguarded().next() else {
            self.watched.since = None;
            self.watched.has_undone &= !rests;
            return Ok(false);
        };
        if !rests {
            self.watched.since = None;
            let at = self.run().steps.get(step).and_then(|one| one.at);
            return match watching.after(at.unwrap_or_default(), Duration::ZERO) {
                Some(after) => self.tell(step, Some(&after)).map(|()| true),
                None => Ok(false),
            };
        }
        let since = *self.watched.since.get_or_insert_with(Instant::now);
        let left = self.watched.most.saturating_sub(since.elapsed());
        let at = self.run().steps.get(step).and_then(|one| one.at);
        let after = watching.after(at.unwrap_or_default(), left.min(SLICE));
        if after.is_none() && !left.is_zero() {
            return Ok(true);
        }
        self.tell(step, after.as_deref())?;
        Ok(true)
    }

    fn tell(&mut self, step: usize, after: Option<&Look>) -> Result<(), CarryError> {
        let verdicts = self.verdicts(step, after);
        let is_broken = |one: &Verdict| matches!(one, Verdict::Broken { .. });
        let suffers = verdicts.values().any(is_broken);
        self.note(Happened::Guarded { step, verdicts })?;
        if !suffers {
            // Undone, it is compared with how things were before once more.
            self.watched.looks.0.remove(&step);
        }
        Ok(())
    }

    /// Has a step undone that a store suffers from, where nobody needs to be asked; whether it did.
    pub(super) fn unwind(&mut self) -> Result<bool, CarryError> {
        let step = self
            .watched
            .watching
            .and_then(|watching| may_unwind(self.run(), watching));
        let Some(step) = step else {
            return Ok(false);
        };
        let mut why = self
            .run()
            .steps
            .get(step)
            .map(|one| one.broken_words())
            .unwrap_or_default();
        crate::hide::hide(&mut why);
        self.note(Happened::Unwound { step, why })?;
        Ok(true)
    }

    /// What is said of the views that a step isn't to close; a look that isn't there leaves them unknown.
    fn verdicts(&self, step: usize, after: Option<&Look>) -> BTreeMap<String, Verdict> {
        let Some(touched) = &self.run().closed_by(step) else {
            return BTreeMap::new();
        };
        let none = Look::default();
        let before = self.watched.looks.0.get(&step);
        let before = before.map_or(&none, |look| look.as_ref());
        let mut out = playbook::judge(before, after.unwrap_or(&none), touched);
        for view in self.views(touched) {
            let why = UnknownWhy::After;
            out.entry(view).or_insert(Verdict::Unknown { why });
        }
        for verdict in out.values_mut() {
            if let Verdict::Broken { why, .. } = verdict {
                crate::hide::hide(why);
            }
        }
        out
    }

    /// Views that the guard knows and a step isn't to close.
    fn views(&self, touched: &Touched) -> Vec<String> {
        let settings = self.host.settings.guard.as_ref();
        let all = settings.into_iter().flat_map(|one| one.view.keys());
        // Settings may name what is none: no look has it then.
        let is_code = |code: &&String| Argument::read(ParameterKind::View, code).is_ok();
        all.filter(is_code)
            .filter(|code| !touched.is_everything && !touched.views.contains(*code))
            .cloned()
            .collect()
    }
}

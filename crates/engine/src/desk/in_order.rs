//! Incidents in the order in which somebody has to work on them, and what the first page says of all of them: made once
//! after each change, for however many look.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use model::{Level, Scope, TaskState};

use super::{Clock, Work};

/// Clocks that are told of all of them.
const CLOCKS_MAX: usize = 8;
/// Incidents that are told of one of them.
const WORKS_MAX: usize = 4;

/// Incidents that go on, in their order.
#[derive(Debug)]
pub(super) struct InOrder {
    pub(super) works: Arc<[Work]>,
    /// Made when somebody asks.
    figures: OnceLock<Arc<Figures>>,
}

impl InOrder {
    pub(super) fn new(works: Arc<[Work]>) -> Self {
        let figures = OnceLock::new();
        Self { works, figures }
    }

    pub(super) fn figures(&self) -> Arc<Figures> {
        let figures = || Arc::new(Figures::of(&self.works));
        Arc::clone(self.figures.get_or_init(figures))
    }
}

/// A duty with the incidents by which it runs.
#[derive(Clone, Debug)]
pub struct RunningClock {
    /// With the earliest deadline of all.
    pub clock: Clock,
    /// Those by which it ends first, in that order, at most four.
    pub works: Vec<Work>,
    /// How many there are in all.
    pub count: usize,
}

/// Those by which a duty ends first, and how many there are.
type Running<'a> = (Vec<(&'a Clock, &'a Work)>, usize);

/// What is said of incidents that somebody has to work on.
#[derive(Debug, Default)]
pub struct Figures {
    /// How many there are.
    pub open: usize,
    /// How many of them nobody looked at.
    pub unseen: usize,
    /// The clocks that end first, at most eight: each duty once, with its earliest deadline.
    pub clocks: Vec<RunningClock>,
    /// By place the severest level there, and how many.
    pub places: BTreeMap<Scope, (Level, usize)>,
    /// Those with a task that somebody has to do.
    pub with_tasks: Vec<Work>,
}

impl Figures {
    /// Of incidents in their order.
    pub(super) fn of(works: &[Work]) -> Self {
        let mut out = Self::default();
        // By the duty: those that end first, and how many there are.
        let mut clocks: BTreeMap<&str, Running<'_>> = BTreeMap::new();
        for work in works.iter().take_while(|work| !work.state.is_over()) {
            out.open += 1;
            out.unseen += usize::from(work.handling.acknowledged.is_none());
            for clock in &work.incident.clocks {
                let running = clocks.entry(&clock.rule).or_default();
                let at = running.0.partition_point(|(known, _)| *known <= clock);
                running.0.insert(at, (clock, work));
                running.0.truncate(WORKS_MAX);
                running.1 += 1;
            }
            for scope in work.incident.places() {
                match out.places.get_mut(&scope) {
                    Some((level, count)) => {
                        *level = (*level).max(work.severity);
                        *count += 1;
                    }
                    None => {
                        out.places.insert(scope, (work.severity, 1));
                    }
                }
            }
            let mut tasks = work.handling.tasks.iter();
            if tasks.any(|task| task.state == TaskState::Open) {
                out.with_tasks.push(work.clone());
            }
        }
        let running = clocks.into_values().filter_map(|(first, count)| {
            Some(RunningClock {
                clock: first.first()?.0.clone(),
                works: first.iter().map(|(_, work)| (*work).clone()).collect(),
                count,
            })
        });
        out.clocks = running.collect();
        out.clocks.sort_by(|a, b| a.clock.cmp(&b.clock));
        out.clocks.truncate(CLOCKS_MAX);
        out
    }
}

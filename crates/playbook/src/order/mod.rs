//! The laws of order (decision 0013), over every order of steps that a playbook allows.
//!
//! A workflow isn't unrolled: of each step it is known what is done before it on *every* way to it and on *some* way. So a
//! playbook with many branches costs no more than one with few. What isn't done for certain doesn't count as kept.

mod deed;

use std::collections::{BTreeMap, BTreeSet};

use model::{ActionFacts, Plan, Stops, Work};

use crate::document::{Document, Step};

use crate::flow::{Flow, When, leads_to};
use deed::{Deed, Keeps, State};

/// A law of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// What a step alters is kept before it.
    EvidenceFirst,
    /// What takes from the attacker comes before what keeps people away.
    CauseBeforeSymptom,
    /// What stands in front is closed before what is behind it.
    EdgeBeforeOrigin,
    /// Caches are emptied after they were kept, and after the cause is gone.
    PurgeLast,
    /// What ends by itself is kept before credentials end.
    SessionsBeforeCredentials,
}

impl Law {
    /// Why it holds.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::EvidenceFirst => {
                "what a step alters can't be kept after it: keep it first, or let two people waive that"
            }
            Self::CauseBeforeSymptom => {
                "whoever has the account, file, key, row or trigger goes on while the shop is closed: act on the cause first"
            }
            Self::EdgeBeforeOrigin => {
                "what stands in front goes on serving poisoned pages from memory when only the shop behind it is closed: close the front first"
            }
            Self::PurgeLast => {
                "what is purged before its cause is gone, or before it was kept, is made again, poisoned, and proves nothing: keep, end the cause, then purge"
            }
            Self::SessionsBeforeCredentials => {
                "sessions and connections go when credentials end: keep them before"
            }
        }
    }
}

/// An order that isn't allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The law.
    pub law: Law,
    /// Identifier of the step that comes too early.
    pub early: String,
    /// Identifier of the step that has to come before it; `None` when there is none.
    pub before_it: Option<String>,
    /// Both by name, and the law's reason.
    pub says: String,
}

struct Walk<'a> {
    document: &'a Document,
    flow: &'a Flow,
    deeds: BTreeMap<String, Deed>,
    /// What was done for certain when a step first began.
    must_at: BTreeMap<String, BTreeSet<String>>,
    refusals: BTreeSet<Refusal>,
}

/// Every order that a playbook allows and the laws don't.
#[must_use]
pub fn orders(document: &Document, facts: &[ActionFacts]) -> Vec<Refusal> {
    let (flow, _) = Flow::of(document);
    let deed = |(id, step): (&String, &Step)| Some((id.clone(), Deed::of_step(id, step, facts)?));
    let mut walk = Walk {
        document,
        flow: &flow,
        deeds: document.steps.iter().filter_map(deed).collect(),
        must_at: BTreeMap::new(),
        refusals: BTreeSet::new(),
    };
    if !flow.blocks.is_empty() {
        walk.block(0, State::default());
    }
    if let Some(block) = flow.exception {
        // Whatever failed, nothing before it is certain.
        walk.block(block, State::default());
    }
    walk.refusals.into_iter().collect()
}

impl Walk<'_> {
    /// Goes through a block; what is known at its end.
    fn block(&mut self, block: usize, from: State) -> State {
        let flow = self.flow;
        let Some(order) = flow.blocks.get(block) else {
            return from;
        };
        let mut at: BTreeMap<&str, State> = BTreeMap::new();
        let mut end: Option<State> = None;
        let join =
            |old: Option<State>, new: &State| old.map_or_else(|| new.clone(), |old| old.join(new));
        for (index, id) in order.iter().enumerate() {
            let Some(step) = self.document.steps.get(id) else {
                continue;
            };
            let state = if index == 0 {
                Some(from.clone())
            } else {
                at.remove(id.as_str())
            };
            let Some(state) = state else {
                continue;
            };
            let (well, failed) = self.step(id, state);
            let mut leads_on = false;
            for (next, is_failure) in leads_to(step) {
                leads_on = true;
                let new = if is_failure { &failed } else { &well };
                let joined = join(at.remove(next), new);
                at.insert(next, joined);
            }
            if !leads_on {
                end = Some(join(end, &well));
            }
        }
        end.unwrap_or(from)
    }

    /// What is known after a step that succeeded, and after one that failed.
    fn step(&mut self, id: &str, from: State) -> (State, State) {
        if let Some(deed) = self.deeds.get(id).cloned() {
            self.judge(&deed, &from);
            let (mut well, mut failed) = (from.clone(), from);
            well.done(&deed);
            failed.failed(&deed);
            return (well, failed);
        }
        let branches = self.flow.branches.get(id).cloned().unwrap_or_default();
        if branches.is_empty() {
            return (from.clone(), from);
        }
        let mut after: Option<State> = None;
        let mut can_pass = true;
        for branch in &branches {
            let out = self.block(branch.block, from.clone());
            match branch.when {
                When::Always => {
                    can_pass = false;
                    after = Some(after.map_or_else(|| out.clone(), |old| old.and(&out)));
                    continue;
                }
                When::Again => self.in_another_round(branch.block),
                When::False => can_pass = false,
                When::Case(ref case) => can_pass &= case != "default",
                When::True => {}
            }
            after = Some(after.map_or_else(|| out.clone(), |old| old.join(&out)));
        }
        self.at_the_same_time(
            &branches
                .iter()
                .filter(|one| one.when == When::Always)
                .map(|one| one.block)
                .collect::<Vec<_>>(),
        );
        let after = after.unwrap_or_else(|| from.clone());
        let well = if can_pass {
            after.clone().join(&from)
        } else {
            after.clone()
        };
        (well, after.join(&from))
    }

    /// A loop's steps may come before others of it in a later round, unless those came first for certain: then it is the same
    /// again. More is never known in a later round than in the first, and less neither: what is kept stays kept.
    fn in_another_round(&mut self, block: usize) {
        let mut ids = Vec::new();
        self.flow.below(block, &mut ids);
        for one in &ids {
            for two in &ids {
                let came_first = self.must_at.get(one).is_none_or(|must| must.contains(two));
                if let (Some(one), Some(two), false) =
                    (self.deeds.get(one), self.deeds.get(two), came_first)
                {
                    refuse_pair(one, two, &mut self.refusals);
                }
            }
        }
    }

    /// Steps of branches that go on at the same time may come in either order.
    fn at_the_same_time(&mut self, blocks: &[usize]) {
        let below = |block: &usize| {
            let mut ids = Vec::new();
            self.flow.below(*block, &mut ids);
            ids
        };
        let branches: Vec<Vec<String>> = blocks.iter().map(below).collect();
        for (at, one) in branches.iter().enumerate() {
            for two in branches.iter().skip(at + 1) {
                for (one, two) in one
                    .iter()
                    .flat_map(|one| two.iter().map(move |two| (one, two)))
                {
                    if let (Some(one), Some(two)) = (self.deeds.get(one), self.deeds.get(two)) {
                        refuse_pair(one, two, &mut self.refusals);
                        refuse_pair(two, one, &mut self.refusals);
                    }
                }
            }
        }
    }

    fn judge(&mut self, deed: &Deed, state: &State) {
        let must_at = self.must_at.entry(deed.id.clone());
        must_at.or_insert_with(|| state.must.clone());
        for law in deed.lacks(&state.kept, state.cause_is_gone) {
            let others = self.deeds.values();
            self.refusals
                .insert(refuse_lack(law, deed, &state.must, &state.kept, others));
        }
        for earlier in &state.may {
            if let Some(earlier) = self.deeds.get(earlier) {
                refuse_pair(earlier, deed, &mut self.refusals);
            }
        }
    }
}

fn refuse_pair(earlier: &Deed, later: &Deed, into: &mut BTreeSet<Refusal>) {
    for law in earlier.may_not_precede(later) {
        into.insert(Refusal {
            law,
            early: earlier.id.clone(),
            before_it: Some(later.id.clone()),
            says: format!(
                "“{}” may come before “{}”: {}",
                earlier.name,
                later.name,
                law.reason()
            ),
        });
    }
}

fn refuse_lack<'a>(
    law: Law,
    deed: &Deed,
    must: &BTreeSet<String>,
    kept: &Keeps,
    mut others: impl Iterator<Item = &'a Deed>,
) -> Refusal {
    let wants_cause = law == Law::PurgeLast && kept.holds(deed);
    let would_do = |other: &&Deed| {
        let fits = if wants_cause {
            other.is_cause
        } else {
            other.keeps.as_ref().is_some_and(|keeps| keeps.holds(deed))
        };
        fits && !must.contains(&other.id)
    };
    let other = others.find(would_do);
    let says = match other {
        Some(other) => format!(
            "“{}” isn't done before “{}” on every way: {}",
            other.name,
            deed.name,
            law.reason()
        ),
        None if wants_cause => format!(
            "no step acts on the cause before “{}”: {}",
            deed.name,
            law.reason()
        ),
        None => format!(
            "no step keeps what “{}” changes: {}",
            deed.name,
            law.reason()
        ),
    };
    Refusal {
        law,
        early: deed.id.clone(),
        before_it: other.map(|other| other.id.clone()),
        says,
    }
}

/// Every pair of a plan's steps whose order the laws don't allow.
///
/// Steps that exclude each other aren't held against each other; what is done under a condition counts for steps under the
/// same one.
#[must_use]
pub fn line(plan: &Plan, facts: &[ActionFacts]) -> Vec<Refusal> {
    let deed = |step: &model::PlanStep| {
        let none = BTreeMap::new();
        let (known, arguments) = match &step.work {
            Work::Action {
                action,
                arguments,
                missing,
                ..
            } => {
                let mut named = arguments.clone();
                named.extend(
                    missing
                        .iter()
                        .map(|(name, variable)| (name.clone(), variable.clone())),
                );
                (facts.iter().find(|one| one.name == action), named)
            }
            Work::Person { .. } => (None, none),
        };
        let stops = step.stops == Stops::Contains;
        let name = if step.name.is_empty() {
            &step.id
        } else {
            &step.name
        };
        Deed::new(
            &step.id,
            name,
            known,
            &arguments,
            stops,
            step.waiver.is_some(),
        )
    };
    let deeds: Vec<Deed> = plan.steps.iter().map(deed).collect();
    let mut out = BTreeSet::new();
    for (at, (later, step)) in deeds.iter().zip(&plan.steps).enumerate() {
        let before = deeds.iter().zip(&plan.steps).take(at);
        let mut state = State::default();
        for (earlier, other) in before {
            let excludes = other.only_if.iter().any(|one| {
                step.only_if
                    .iter()
                    .any(|two| one.condition == two.condition && one.holds != two.holds)
            });
            if excludes {
                continue;
            }
            refuse_pair(earlier, later, &mut out);
            if other
                .only_if
                .iter()
                .all(|guard| step.only_if.contains(guard))
            {
                state.done(earlier);
            } else {
                state.failed(earlier);
                // Both ways of a condition may act on the cause, each in its way.
                state.cause_is_gone |= earlier.is_cause;
            }
        }
        for law in later.lacks(&state.kept, state.cause_is_gone) {
            out.insert(refuse_lack(
                law,
                later,
                &state.must,
                &state.kept,
                deeds.iter(),
            ));
        }
    }
    out.into_iter().collect()
}

//! Runs against a world in memory that fails, and processes that end, at every point.

mod guarded;
mod timed;
mod world;

use std::collections::BTreeMap;

use model::{
    ForensicImpact, Guard, Happened, Layer, OnBreach, Person, Plan, PlanStep, PlannedBy, Reach,
    RunEntry, Stops, Timestamp, Touched, UndoWords, Verdict, WalkStage, Work,
};
use proptest::prelude::*;

use super::{KEEP_EVIDENCE, Run, RunError, StepState, Turn, Wait, hash_words};
use crate::plan::fails;
use world::World;

const NOW: Timestamp = Timestamp(0);

fn person(name: &str) -> Person {
    Person {
        account: name.to_owned(),
        name: name.to_owned(),
    }
}

fn action(name: &str, forensic_impact: ForensicImpact, layer: Layer) -> Work {
    Work::Action {
        action: name.to_owned(),
        arguments: BTreeMap::new(),
        missing: BTreeMap::new(),
        layer,
        reach: Reach::Actor,
        touched: Touched::default(),
        closes: false,
        undo: UndoWords {
            words: String::new(),
            is_danger: false,
        },
        forensic_impact,
        stays_open: String::new(),
    }
}

fn step(at: usize, work: Work) -> PlanStep {
    PlanStep {
        id: format!("action--{at}"),
        name: format!("step {at}"),
        only_if: Vec::new(),
        stops: Stops::OnlyMitigates,
        deadline_seconds: None,
        timeout_milliseconds: None,
        waiver: None,
        on_breach: OnBreach::Hold,
        work,
    }
}

fn plan(steps: Vec<PlanStep>) -> Plan {
    Plan {
        version: 1,
        playbook: PlannedBy {
            id: "playbook--1".to_owned(),
            name: "p".to_owned(),
            modified: String::new(),
        },
        variables: BTreeMap::new(),
        steps,
        questions: Vec::new(),
        stops: Stops::OnlyMitigates,
        because: String::new(),
        needs_two_people: false,
    }
}

fn approval(plan: Plan, by: &[&str]) -> RunEntry {
    RunEntry {
        v: 1,
        run: "r".to_owned(),
        number: 0,
        at: NOW,
        order: String::new(),
        what: Happened::Approved {
            hash: hash_words(&plan),
            plan: Box::new(plan),
            by: by.iter().map(|name| person(name)).collect(),
            answers: BTreeMap::new(),
        },
    }
}

fn keep(at: usize) -> PlanStep {
    step(
        at,
        action(KEEP_EVIDENCE, ForensicImpact::None, Layer::Evidence),
    )
}

fn block(at: usize) -> PlanStep {
    step(
        at,
        action("block_network", ForensicImpact::None, Layer::Web),
    )
}

fn lock(at: usize) -> PlanStep {
    PlanStep {
        stops: Stops::Contains,
        ..step(
            at,
            action(
                "lock_database_account",
                ForensicImpact::Alters,
                Layer::Database,
            ),
        )
    }
}

fn purge(at: usize) -> PlanStep {
    step(
        at,
        action("purge_cache", ForensicImpact::Destroys, Layer::Cache),
    )
}

fn by_hand(at: usize) -> PlanStep {
    step(at, Work::Person { does: Vec::new() })
}

fn only_if(condition: &str, holds: bool, step: PlanStep) -> PlanStep {
    let condition = condition.to_owned();
    PlanStep {
        only_if: vec![Guard { condition, holds }],
        ..step
    }
}

fn timed(milliseconds: u64, step: PlanStep) -> PlanStep {
    PlanStep {
        timeout_milliseconds: Some(milliseconds),
        ..step
    }
}

fn broken(stage: WalkStage) -> Verdict {
    let why = "403".to_owned();
    Verdict::Broken { stage, why }
}

fn replay(journal: &[RunEntry]) -> Run {
    let mut run = Run::begin(journal.first().expect("approved")).expect("approved");
    for entry in journal {
        run.take(entry).expect("it follows");
        run.take(entry).expect("twice is once");
    }
    run
}

fn some_step() -> impl Strategy<Value = fn(usize) -> PlanStep> {
    prop_oneof![
        Just(keep as fn(usize) -> PlanStep),
        Just(block as fn(usize) -> PlanStep),
        Just(lock as fn(usize) -> PlanStep),
        Just(purge as fn(usize) -> PlanStep),
        Just(by_hand as fn(usize) -> PlanStep),
        Just((|at| timed(1000, by_hand(at))) as fn(usize) -> PlanStep),
        Just((|at| timed(60_000, lock(at))) as fn(usize) -> PlanStep),
        Just((|at| timed(1, purge(at))) as fn(usize) -> PlanStep),
        Just((|at| only_if("c", at % 2 == 0, block(at))) as fn(usize) -> PlanStep),
        Just((|at| only_if(&fails("step 1"), true, lock(at))) as fn(usize) -> PlanStep),
    ]
}

proptest! {
    #[test]
    fn whatever_fails_and_wherever_it_stops_a_run_ends_as_it_says(
        steps in proptest::collection::vec(some_step(), 1..8),
        dice in proptest::collection::vec(any::<u8>(), 0..400),
        undone in any::<bool>(),
    ) {
        let steps = steps.iter().enumerate().map(|(at, make)| make(at)).collect();
        let mut world = World::of(plan(steps), dice);
        world.run_out();
        if undone && world.run.undo.is_none() {
            let what = Happened::UndoAsked { step: None, by: person("ann"), why: "done".to_owned() };
            let entry = world.run.entry(what, NOW);
            world.run.take(&entry).expect("it may always be undone");
            world.journal.push(entry);
            world.run_out();
        }
        // The world is as the run says, step by step.
        for (at, step) in world.run.steps.iter().enumerate() {
            let is_ours = world.run.action(at).is_some_and(|action| action != KEEP_EVIDENCE);
            let says = match &step.state {
                StepState::Done => is_ours,
                StepState::Failed { .. } | StepState::Skipped { .. } => !step.partly.is_empty(),
                StepState::UndoFailed { is_left: true, .. } => continue,
                _ => false,
            };
            prop_assert_eq!(says, world.holds.contains(&at), "step {}: {:?}", at, step.state);
        }
        let read = replay(&world.journal);
        prop_assert_eq!(&read, &world.run);
        prop_assert_eq!(read.turn(), Turn::Nothing);
    }

    #[test]
    fn no_entry_but_one_that_follows_is_taken(
        steps in proptest::collection::vec(some_step(), 1..5),
        step in 0_usize..6,
        kind in 0_u8..10,
    ) {
        let steps = steps.iter().enumerate().map(|(at, make)| make(at)).collect();
        let world = World::of(plan(steps), Vec::new());
        let mut run = world.run.clone();
        let what = match kind {
            0 => Happened::Done { step },
            1 => Happened::Intended { step, unsealed: false },
            2 => Happened::Undone { step, lost: String::new() },
            3 => Happened::UndoIntended { step },
            4 => Happened::Retry { step, by: person("eve") },
            5 => Happened::PersonDid { step, by: person("eve"), note: String::new() },
            6 => Happened::UndoFailed { step, why: String::new() },
            7 => Happened::Guarded { step, verdicts: BTreeMap::new() },
            8 => Happened::Heeded { step, by: person("eve"), note: String::new() },
            _ => Happened::UndoLeft { step, by: person("eve"), note: String::new() },
        };
        let taken = run.take(&run.entry(what.clone(), NOW)).is_ok();
        let by_hand = matches!(what, Happened::PersonDid { step, .. } if run.action(step).is_none())
            && matches!(world.run.turn(), Turn::Wait(Wait::Person(at)) if at == step);
        prop_assert_eq!(taken, by_hand);
        if !taken {
            prop_assert_eq!(run, world.run);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_of_a_journal_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Run::read(&bytes));
    }

    #[test]
    fn a_journal_that_is_cut_anywhere_is_the_run_before(cut in 0_usize..2000) {
        let mut world = World::of(plan(vec![keep(0), block(1), by_hand(2)]), Vec::new());
        world.run_out();
        let lines = world.journal.iter().map(|entry| serde_json::to_string(entry).expect("text keys") + "\n");
        let whole: String = lines.collect();
        let bytes = whole.as_bytes();
        let part = bytes.get(..cut.min(bytes.len())).expect("a part");
        let (run, read) = Run::read(part).expect("what is whole follows");
        let entries = part.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(run.map(|run| run.entries).unwrap_or_default(), entries as u64);
        let read = usize::try_from(read).expect("it was in memory");
        let whole = part.get(..read).expect("no more than there is");
        prop_assert!(whole.is_empty() || whole.ends_with(b"\n"));
    }
}

#[track_caller]
fn begins(plan: Plan, by: &[&str], expected: &Result<(), RunError>) {
    assert_eq!(Run::begin(&approval(plan, by)).map(drop), *expected);
}

#[test]
fn what_is_approved_is_what_is_done() {
    begins(plan(vec![block(0)]), &["ann"], &Ok(()));
    begins(plan(vec![block(0)]), &[], &Err(RunError::NotApproved));
    let two = Plan {
        needs_two_people: true,
        ..plan(vec![block(0)])
    };
    begins(two.clone(), &["ann", "ann"], &Err(RunError::TwoPeople));
    begins(two, &["ann", "bob"], &Ok(()));
    // A plan that was written by hand and says less of itself than its steps do.
    let mut danger = block(0);
    if let Work::Action { undo, .. } = &mut danger.work {
        undo.is_danger = true;
    }
    begins(plan(vec![danger]), &["ann"], &Err(RunError::TwoPeople));
    let waived = PlanStep {
        waiver: Some("no time".to_owned()),
        ..lock(0)
    };
    begins(plan(vec![waived]), &["ann"], &Err(RunError::TwoPeople));
    let mut entry = approval(plan(vec![block(0)]), &["ann"]);
    if let Happened::Approved { plan, .. } = &mut entry.what {
        plan.steps.push(lock(1));
    }
    assert_eq!(Run::begin(&entry), Err(RunError::OtherPlan));
    let mut lacks = block(0);
    if let Work::Action { missing, .. } = &mut lacks.work {
        missing.insert("network".to_owned(), "__network__".to_owned());
    }
    let name = "network".to_owned();
    begins(
        plan(vec![lacks]),
        &["ann"],
        &Err(RunError::Missing { step: 0, name }),
    );
}

/// Takes what is told; gives what is next.
#[track_caller]
fn after(steps: Vec<PlanStep>, told: Vec<Happened>) -> Turn {
    let mut run = Run::begin(&approval(plan(steps), &["ann"])).expect("approved");
    for what in told {
        let entry = run.entry(what, NOW);
        run.take(&entry).expect("it follows");
    }
    run.turn()
}

fn failed(step: usize) -> Happened {
    let (why, partly) = (String::new(), String::new());
    Happened::Failed { step, why, partly }
}

fn left_out(step: usize) -> Happened {
    let (why, by) = (String::new(), Some(person("ann")));
    Happened::Skipped { step, why, by }
}

#[test]
fn what_changes_evidence_waits_for_it() {
    let steps = || vec![keep(0), lock(1)];
    assert_eq!(after(steps(), Vec::new()), Turn::Keep(0));
    assert_eq!(after(steps(), vec![failed(0)]), Turn::Wait(Wait::Failed(0)));
    let told = vec![failed(0), left_out(0)];
    assert_eq!(after(steps(), told), Turn::Wait(Wait::Evidence(1)));
    let waived = Happened::Waived {
        step: 1,
        by: vec![person("ann"), person("bob")],
        why: String::new(),
    };
    let told = vec![failed(0), left_out(0), waived.clone()];
    assert_eq!(after(steps(), told), Turn::Survey(1));
    // One person's word that it was kept elsewhere stands for no two people's.
    let by_hand = Happened::PersonDid {
        step: 0,
        by: person("ann"),
        note: "done".to_owned(),
    };
    let told = vec![failed(0), by_hand.clone()];
    assert_eq!(after(steps(), told), Turn::Wait(Wait::Evidence(1)));
    let told = vec![failed(0), by_hand, waived];
    assert_eq!(after(steps(), told), Turn::Survey(1));
}

#[test]
fn nothing_is_purged_before_its_cause_is_gone() {
    let steps = || vec![keep(0), lock(1), purge(2)];
    let pieces = Vec::new();
    let kept = Happened::Kept { step: 0, pieces };
    let told = vec![kept.clone(), failed(1), left_out(1)];
    assert_eq!(after(steps(), told), Turn::Wait(Wait::Cause(2)));
    let again = Happened::Retry {
        step: 1,
        by: person("ann"),
    };
    let told = vec![kept, failed(1), left_out(1), again];
    assert_eq!(after(steps(), told), Turn::Survey(1));
}

#[test]
fn what_is_there_for_a_failure_is_done_and_all_else_waits() {
    let steps = || {
        vec![
            block(0),
            only_if(&fails("step 0"), true, block(1)),
            block(2),
        ]
    };
    assert_eq!(after(steps(), vec![failed(0)]), Turn::Survey(1));
    let told = vec![failed(0), failed(1)];
    assert_eq!(after(steps(), told), Turn::Wait(Wait::Failed(0)));
}

#[test]
fn what_is_not_done_by_its_deadline_is_late() {
    let within = |seconds, step| PlanStep {
        deadline_seconds: Some(seconds),
        ..step
    };
    let steps = vec![
        within(60, by_hand(0)),
        within(120, by_hand(1)),
        by_hand(2),
        within(60, only_if(&fails("step 0"), true, by_hand(3))),
    ];
    let mut run = Run::begin(&approval(plan(steps), &["ann"])).expect("approved");
    let after = |seconds| NOW.plus_seconds(seconds);
    assert_eq!(run.late(after(60)), [0; 0]);
    assert_eq!(run.late(after(61)), [0]);
    assert_eq!(run.late(after(1000)), [0, 1]);
    let (by, note) = (person("ann"), String::new());
    let done = Happened::PersonDid { step: 0, by, note };
    run.take(&run.entry(done, NOW)).expect("it follows");
    assert_eq!(run.late(after(1000)), [1]);
    let (step, by, why) = (None, person("ann"), String::new());
    let undo = Happened::UndoAsked { step, by, why };
    run.take(&run.entry(undo, NOW)).expect("it follows");
    assert_eq!(run.late(after(1000)), [0; 0]);
}

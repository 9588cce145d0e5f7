//! An agent and a step that nobody answers: it counts as failed by itself, as far as the host's owner lets what follows be done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Guard, Happened, Instructed, Plan, PlanStep, Timestamp, Work};
use playbook::StepState;
use responders::memory;

use super::{ALL, Scene, now, planned, work_at};

const MINUTE: u64 = 60_000;

fn plan() -> Plan {
    let mut plan = planned("card-testing");
    let is_block = |step: &PlanStep| matches!(&step.work, Work::Action { action, .. } if action == "block_network");
    let block = plan
        .steps
        .iter()
        .find(|step| is_block(step))
        .expect("it ships")
        .clone();
    let ask = PlanStep {
        name: "ask".to_owned(),
        work: Work::Person { does: Vec::new() },
        timeout_milliseconds: Some(MINUTE),
        only_if: Vec::new(),
        ..block.clone()
    };
    let guard = Guard {
        condition: "“ask” fails".to_owned(),
        holds: true,
    };
    plan.steps = vec![
        ask,
        PlanStep {
            only_if: vec![guard],
            ..block
        },
    ];
    plan
}

#[test]
fn nobody_answers_an_agent() {
    static MINUTES: AtomicU64 = AtomicU64::new(0);
    fn clock() -> Timestamp {
        now().plus_milliseconds(MINUTES.load(Ordering::SeqCst) * MINUTE)
    }
    let mut scene = Scene::at(&|folder, plans, said| {
        let mut host = memory::host(folder).expect("a host");
        host.settings.guard = None;
        work_at(host, clock, folder, ALL, (plans, said))
    });
    let plan = Box::new(plan());
    let begin = scene.signed(
        "order-1",
        Instructed::Begin {
            hash: playbook::hash_words(&plan),
            plan,
            answers: BTreeMap::new(),
        },
    );
    scene.hear(vec![begin]);
    assert_eq!(
        scene.run().expect("a run").entries,
        1,
        "it waits for a person"
    );
    MINUTES.store(1, Ordering::SeqCst);
    scene.settle();
    let run = scene.run().expect("a run");
    assert!(
        matches!(run.steps[0].state, StepState::Failed { .. }),
        "{run:?}"
    );
    assert_eq!(run.steps[1].state, StepState::Done);
    let told = scene.seal().entries;
    let says_so = |one: &model::RunEntry| one.what == Happened::TimedOut { step: 0 };
    assert!(told.iter().any(says_so), "the console is told: {told:?}");
}

//! Time at a host in a folder: a step that nobody answers, one that was begun and stopped, and a host that is frozen meanwhile.

use std::cell::Cell;

use model::{Guard, Happened, Plan, PlanStep, Timestamp, Work};
use playbook::{StepState, Turn, Wait};
use responders::{Host, memory};

use super::tests::{approval, now, person, planned, shop};
use super::{Carrier, Frozen, Journal, Place, Stand, read};

const MINUTE: u64 = 60_000;

/// The step of a shipped playbook that blocks an address.
fn block() -> PlanStep {
    let steps = planned("card-testing").steps;
    let is_it = |step: &PlanStep| matches!(&step.work, Work::Action { action, .. } if action == "block_network");
    steps.into_iter().find(is_it).expect("it ships")
}

/// A person is asked for something within ten minutes; with `otherwise`, an address is blocked if nobody does it.
fn asking(otherwise: bool) -> Plan {
    let mut plan = planned("card-testing");
    let ask = PlanStep {
        name: "ask the gateway".to_owned(),
        work: Work::Person {
            does: vec!["ask".to_owned()],
        },
        timeout_milliseconds: Some(10 * MINUTE),
        only_if: Vec::new(),
        ..block()
    };
    let condition = "“ask the gateway” fails".to_owned();
    let then = PlanStep {
        only_if: vec![Guard {
            condition,
            holds: true,
        }],
        ..block()
    };
    plan.steps = vec![ask];
    plan.steps.extend(otherwise.then_some(then));
    plan
}

struct Scene {
    folder: tempfile::TempDir,
    host: Host,
    place: Place,
    time: Cell<Timestamp>,
}

impl Scene {
    fn new(plan: Plan) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = memory::host(folder.path()).expect("a host");
        let place = Place::below(&folder.path().join("ours"));
        Journal::begin(&place.journals(), &approval("run-1", plan)).expect("begun");
        let time = Cell::new(now());
        Self {
            folder,
            host,
            place,
            time,
        }
    }

    /// Goes on after so many minutes.
    fn go(&self, minutes: u64) -> (Stand, playbook::Run) {
        self.time.set(now().plus_milliseconds(minutes * MINUTE));
        let clock = || self.time.get();
        let journal = Journal::open(&self.place.journals(), "run-1").expect("open");
        let carrier = Carrier::new(&self.host, self.place.clone(), journal, &clock);
        let mut carrier = carrier.expect("a carrier");
        let stand = carrier.go(&mut |_| {}).expect("it goes on");
        let run = carrier.run().clone();
        drop(carrier);
        assert_eq!(read(&self.place.journals(), "run-1").expect("a run"), run);
        (stand, run)
    }
}

#[test]
fn nobody_answers_and_the_plan_goes_the_way_of_failure() {
    let scene = Scene::new(asking(true));
    let before = shop(scene.folder.path());
    for minutes in [0, 9] {
        let (stand, run) = scene.go(minutes);
        assert_eq!(stand, Stand::Waits(Wait::Person(0)));
        assert_eq!(
            run.waits_until(),
            Some((0, now().plus_milliseconds(10 * MINUTE)))
        );
    }
    assert_eq!(
        shop(scene.folder.path()),
        before,
        "until then nothing is done"
    );
    let (stand, run) = scene.go(10);
    assert_eq!(stand, Stand::Waits(Wait::Failed(0)));
    assert!(
        matches!(&run.steps[0].state, StepState::Failed { why } if why.contains("within 10 minutes"))
    );
    assert_eq!(run.steps[1].state, StepState::Done);
    assert_ne!(shop(scene.folder.path()), before);
}

#[test]
fn without_a_way_of_failure_time_does_nothing_but_say_so() {
    let scene = Scene::new(asking(false));
    let before = shop(scene.folder.path());
    let (stand, run) = scene.go(11);
    assert_eq!(stand, Stand::Waits(Wait::Failed(0)));
    assert_eq!((run.entries, shop(scene.folder.path())), (2, before));
    // And says it once.
    assert_eq!(scene.go(100).1.entries, 2);
}

#[test]
fn a_host_that_is_frozen_lets_time_pass() {
    let scene = Scene::new(asking(true));
    let (by, why) = ("ann".to_owned(), "stop".to_owned());
    scene
        .place
        .freeze(&Frozen { by, at: now(), why })
        .expect("frozen");
    let (stand, run) = scene.go(11);
    assert_eq!((stand, run.entries), (Stand::Waits(Wait::Person(0)), 1));
    scene.place.thaw().expect("thawed");
    assert_eq!(scene.go(12).0, Stand::Waits(Wait::Failed(0)));
}

/// An action with a time-out that was begun, and the process ended before it was done; `done` says whether it had done it.
fn stopped(done: bool, minutes: u64) -> StepState {
    let mut plan = asking(true);
    plan.steps = vec![PlanStep {
        timeout_milliseconds: Some(MINUTE),
        ..block()
    }];
    let scene = Scene::new(plan);
    let clock = || scene.time.get();
    let journal = Journal::open(&scene.place.journals(), "run-1").expect("open");
    let mut carrier =
        Carrier::new(&scene.host, scene.place.clone(), journal, &clock).expect("a carrier");
    while carrier.run().turn() != Turn::Act(0) {
        assert_eq!(carrier.step().expect("it goes on"), None);
    }
    carrier
        .say(Happened::Intended {
            step: 0,
            unsealed: false,
        })
        .expect("it is its turn");
    if done {
        let (doing, kept) = carrier.kept(0).expect("it was surveyed");
        doing
            .action
            .act(&scene.host, &doing.arguments, &kept)
            .expect("done");
    }
    drop(carrier);
    let before = shop(scene.folder.path());
    let state = scene.go(minutes).1.steps[0].state.clone();
    let is_same = shop(scene.folder.path()) == before;
    assert_eq!(
        is_same,
        done || minutes > 0,
        "what is over isn't begun anew"
    );
    state
}

#[test]
fn what_was_begun_and_stopped_is_not_begun_anew_when_its_time_is_over() {
    assert_eq!(stopped(false, 0), StepState::Done);
    let late = stopped(false, 2);
    assert!(
        matches!(&late, StepState::Failed { why } if why.contains("timed out: it was begun")),
        "{late:?}"
    );
    // What holds is done, however long it took to know.
    assert_eq!(stopped(true, 2), StepState::Done);
}

#[test]
fn who_answers_before_it_is_written_down_has_answered() {
    let scene = Scene::new(asking(true));
    let clock = || now().plus_milliseconds(11 * MINUTE);
    let journal = Journal::open(&scene.place.journals(), "run-1").expect("open");
    let mut carrier =
        Carrier::new(&scene.host, scene.place.clone(), journal, &clock).expect("a carrier");
    let (step, by, note) = (0, person("ann"), "asked".to_owned());
    carrier
        .say(Happened::PersonDid { step, by, note })
        .expect("it waits");
    assert_eq!(carrier.go(&mut |_| {}).expect("it goes on"), Stand::Over);
    assert_eq!(carrier.run().steps[0].state, StepState::Done);
}

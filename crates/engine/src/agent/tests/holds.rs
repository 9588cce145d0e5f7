//! What an agent goes on with, what it leaves alone, and that what it says stays short.

use std::collections::BTreeMap;

use model::{Instructed, Instruction, Signed, Word};
use playbook::StepState;

use super::{ALL, Scene, approval, now, person, planned, to_its_end};
use crate::runs::Frozen;

#[test]
fn undoing_takes_no_policy_and_brings_back_what_was() {
    let mut scene = Scene::new(ALL);
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    to_its_end(&mut scene);
    assert!(!scene.dropped());
    // The owner allows nothing any more.
    scene.restart("actions = []");
    let undo = scene.say("order-2", 0, Word::Undo);
    scene.hear(vec![undo]);
    assert!(scene.dropped());
    let run = scene.run().expect("a run");
    assert!(run.orders.contains("order-2"));
    let still = |state: &StepState| matches!(state, StepState::Done);
    let holds =
        (0..run.steps.len()).filter(|at| run.is_to_undo(*at) && still(&run.steps[*at].state));
    assert_eq!(holds.count(), 0);
    let close = scene.say("order-3", 0, Word::Close);
    scene.hear(vec![close]);
    assert!(scene.run().expect("a run").is_closed);
    let vault = std::fs::read_dir(scene.place().vault().join("run-1"));
    assert!(vault.is_err(), "what undoes it is destroyed");
}

#[test]
fn a_frozen_host_takes_a_run_and_does_nothing_of_it() {
    let mut scene = Scene::new(ALL);
    let frozen = Frozen {
        by: "ann".to_owned(),
        at: now(),
        why: "who does this?".to_owned(),
    };
    scene.place().freeze(&frozen).expect("frozen");
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    assert_eq!(scene.run().expect("a run").entries, 1);
    assert!(scene.work.report().frozen.contains("who does this?"));
    scene.place().thaw().expect("thawed");
    scene.settle();
    assert!(scene.run().expect("a run").entries > 1);
    assert_eq!(scene.work.report().frozen, "");
}

#[test]
fn a_run_that_was_begun_goes_on_after_a_restart_unless_the_policy_changed() {
    let mut scene = Scene::new(ALL);
    scene
        .place()
        .freeze(&Frozen {
            by: "ann".to_owned(),
            at: now(),
            why: "later".to_owned(),
        })
        .expect("frozen");
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    scene.place().thaw().expect("thawed");
    scene.restart("");
    scene.settle();
    assert_eq!(scene.run().expect("a run").entries, 1);
    let said = scene.said.lock().expect("a lock").join("\n");
    assert!(said.contains("run-1 doesn't go on"), "{said}");
    scene.restart(ALL);
    scene.settle();
    assert!(scene.run().expect("a run").entries > 1);
}

#[test]
fn what_an_administrator_began_is_theirs() {
    let mut scene = Scene::new(ALL);
    let entry = approval("run-1", planned("web-shell"));
    let journal = crate::runs::Journal::begin(&scene.place().journals(), &entry).expect("begun");
    // It is told like any other.
    assert_eq!(scene.work.report().entries, [entry]);
    // Whether or not they are at it, no word from the console is taken.
    for order in ["order-1", "order-2"] {
        let undo = scene.say(order, 0, Word::Undo);
        scene.hear(vec![undo]);
        scene.refused(order, "begun by hand on this host: say it there");
    }
    drop(journal);
    let close = scene.say("order-3", 0, Word::Close);
    scene.hear(vec![close]);
    scene.refused("order-3", "say it there");
    assert_eq!(scene.run().expect("a run").entries, 1);
}

#[test]
fn a_beginning_that_was_cut_off_is_begun_again() {
    let mut scene = Scene::new(ALL);
    let journals = scene.place().journals();
    std::fs::create_dir_all(&journals).expect("a folder");
    std::fs::write(journals.join("run-1.ndjson"), "{\"v\":1,\"run\":\"run").expect("written");
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    assert!(scene.run().expect("a run").entries > 1);
}

#[test]
fn what_names_no_file_of_ours_is_refused() {
    let mut scene = Scene::new(ALL);
    let instruction = Instruction {
        v: 1,
        installation: "shop".to_owned(),
        host: "web1".to_owned(),
        run: "../../x".to_owned(),
        order: "order-1".to_owned(),
        by: vec![person("ann"), person("bob")],
        at: now(),
        until: now().plus_seconds(600),
        what: Instructed::Begin {
            hash: playbook::hash_words(&planned("web-shell")),
            plan: Box::new(planned("web-shell")),
            answers: BTreeMap::new(),
        },
    };
    let signed = scene.plans.sign(&instruction);
    scene.hear(vec![signed]);
    scene.refused("order-1", "there is no run");
}

#[test]
fn what_is_forged_does_nothing() {
    let mut scene = Scene::new(ALL);
    let mut forged = scene.begin("order-1");
    forged.text = forged.text.replace("\"ann\"", "\"eve\"");
    let garbage = Signed {
        text: "{}".to_owned(),
        signature: String::new(),
    };
    scene.hear(vec![forged, garbage]);
    scene.refused("order-1", "isn't signed");
    assert!(scene.run().is_none() && scene.dropped());
    assert_eq!(scene.work.report().refused.len(), 1);
}

#[test]
fn a_report_stays_as_short_as_it_has_to_be() {
    let mut scene = Scene::new(ALL);
    let unknown: Vec<_> = (0..120)
        .map(|at| scene.say(&format!("order-{at}"), 0, Word::Undo))
        .collect();
    scene.hear(unknown);
    let told = scene.seal();
    assert_eq!(told.refused.len(), 100);
    assert_eq!(scene.work.report().refused.len(), 20);
    // A plan that would not fit one isn't begun.
    let mut plan = planned("web-shell");
    plan.because = "x".repeat(1 << 20);
    let hash = playbook::hash_words(&plan);
    let (plan, answers) = (Box::new(plan), BTreeMap::new());
    let begin = scene.signed(
        "long",
        Instructed::Begin {
            plan,
            hash,
            answers,
        },
    );
    scene.hear(vec![begin]);
    scene.refused("long", "longer than 960 KiB");
    // Neither is a reason without an end.
    let mut told = crate::agent::kept::Told::default();
    told.refuse(model::Refused {
        run: String::new(),
        order: String::new(),
        why: "x".repeat(5000),
        at: now(),
    });
    assert_eq!(told.refused[0].why.chars().count(), 4001);
}

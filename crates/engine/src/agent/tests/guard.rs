//! An agent whose host has a guard: its thread looks at a shop in memory, one view of which breaks by a step.

use std::sync::atomic::{AtomicI64, Ordering};

use model::{Happened, Timestamp, Verdict, WalkStage, Word};
use playbook::{Turn, Wait};
use responders::memory;

use crate::runs::Watching as _;

use super::{ALL, Scene, to_its_end, work_at};

/// A clock of its own, so that looks have an order.
fn clock() -> Timestamp {
    static TICKS: AtomicI64 = AtomicI64::new(0);
    let start = Timestamp::from_seconds(1_800_000_000);
    Timestamp(start.0 + TICKS.fetch_add(1, Ordering::SeqCst))
}

fn scene() -> Scene {
    let scene = Scene::at(&|folder, plans, said| {
        let host = memory::host(folder).expect("a host");
        let rules = folder.join("nginx/http.conf");
        // The view fr needs the network that the playbook blocks.
        let host = memory::answering(
            host,
            Box::new(move |shop, at, request, limit| {
                let mut answer = shop.request(at, request, limit)?;
                let rules = std::fs::read_to_string(&rules).unwrap_or_default();
                let is_blocked = rules.contains("203.0.113.");
                let is_fr = request.host == "fr.shop.test";
                if is_blocked && is_fr && request.path.contains("/payment") {
                    answer.status = 403;
                }
                Ok(answer)
            }),
        );
        work_at(host, clock, folder, ALL, (plans, said))
    });
    let watch = scene.work.hands.watch().expect("a guard");
    while watch.before().is_none() {
        std::thread::yield_now();
    }
    scene
}

/// Answers up to where the guard asks; gives the step.
fn to_the_guard(scene: &mut Scene) -> usize {
    for turn in 0..20 {
        let run = scene.run().expect("a run");
        match run.turn() {
            Turn::Wait(Wait::Guard(step)) => return step,
            Turn::Wait(wait) => {
                let word = [Word::Yes, Word::Done, Word::Skip];
                let word = word.into_iter().find(|word| wait.takes(*word));
                let order = format!("before-{turn}");
                let word = scene.say(&order, run.entries, word.expect("a word"));
                scene.hear(vec![word]);
            }
            turn => unreachable!("{turn:?}"),
        }
    }
    unreachable!("the guard never asks");
}

#[test]
fn a_store_that_breaks_by_a_step_stops_the_run_until_it_is_undone() {
    let mut scene = scene();
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    let step = to_the_guard(&mut scene);
    let run = scene.run().expect("a run");
    assert_eq!(run.action(step), Some("block_network"));
    let verdicts = run.steps[step].guarded.clone().expect("guarded");
    let stage = WalkStage::Payment;
    let is_broken = matches!(verdicts["fr"], Verdict::Broken { stage: at, .. } if at == stage);
    assert!(is_broken && verdicts["de"] == Verdict::Fine, "{verdicts:?}");
    let told = scene.seal();
    let is_told =
        |what: &Happened| matches!(what, Happened::Guarded { step: at, .. } if *at == step);
    assert!(told.entries.iter().any(|entry| is_told(&entry.what)));
    let undo = scene.say("order-2", 0, Word::Undo);
    scene.hear(vec![undo]);
    let run = scene.run().expect("a run");
    assert_eq!((run.turn(), run.holding()), (Turn::Nothing, 0));
    assert!(scene.dropped(), "all is given back");
}

#[test]
fn a_step_that_is_kept_lets_the_run_go_to_its_end() {
    let mut scene = scene();
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    let step = to_the_guard(&mut scene);
    let run = scene.run().expect("a run");
    let skip = scene.say("order-2", run.entries, Word::Skip);
    scene.hear(vec![skip]);
    assert_eq!(scene.run().expect("a run").turn(), run.turn(), "no skip");
    to_its_end(&mut scene);
    let run = scene.run().expect("a run");
    assert!(run.steps[step].heeded && run.may_hold(step));
    assert!(!scene.dropped(), "the file is in quarantine");
    assert_eq!(run.unguarded().count(), 0);
}

#[test]
fn once_the_server_says_that_nothing_shows_the_step_is_undone_by_itself() {
    let mut scene = scene();
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    let step = to_the_guard(&mut scene);
    // It leaks still, as far as anybody knows; then another run's word.
    for quiet in [("run-1", 0), ("run-2", 3600)] {
        scene.quiet(quiet);
        assert!(scene.run().expect("a run").may_hold(step), "{quiet:?}");
    }
    scene.quiet(("run-1", 3600));
    let run = scene.run().expect("a run");
    assert_eq!(run.turn(), Turn::Wait(Wait::Failed(step)));
    let unwound = run.steps[step]
        .unwound
        .clone()
        .expect("undone by the guard");
    assert_eq!(
        unwound.after.expect("looked at once more")["fr"],
        Verdict::Fine
    );
    assert!(
        unwound.why.contains("the view fr no longer sells"),
        "{}",
        unwound.why
    );
    assert!(run.holding() > 0, "what acts on the cause holds");
}

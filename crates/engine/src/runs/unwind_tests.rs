//! Runs whose guard may have a step undone: a store breaks by it, and sells again once it is undone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Look, Timestamp, Verdict, WalkEnd};
use playbook::{Run, StepState, Turn, Wait};

use super::guard_tests::{Scene, at, fails, look, on, undo};
use super::tests::{now, shop};
use super::{Carrier, Looks, Stand, Watching};

/// A shop whose stores don't sell while the network is blocked; and when the leak last showed.
struct Shop {
    rules: PathBuf,
    last: Option<Timestamp>,
}

impl Shop {
    fn of(scene: &Scene, last: Option<Timestamp>) -> Self {
        let rules = scene.folder().join("nginx/http.conf");
        Self { rules, last }
    }

    fn look(&self) -> Arc<Look> {
        let rules = std::fs::read_to_string(&self.rules).unwrap_or_default();
        match rules.contains("203.0.113.") {
            true => look(&fails()),
            false => look(&WalkEnd::Passed),
        }
    }
}

impl Watching for Shop {
    fn before(&self) -> Option<Arc<Look>> {
        Some(self.look())
    }

    fn after(&self, _time: Timestamp, _most: Duration) -> Option<Arc<Look>> {
        Some(self.look())
    }

    fn last_leak(&self, run: &str) -> Option<Timestamp> {
        self.last.filter(|_| run == "run-1")
    }
}

fn before_now() -> Option<Timestamp> {
    Some(Timestamp(now().0 - 1))
}

fn is_unwound(run: &Run) -> bool {
    matches!(run.steps[at(run)].state, StepState::Undone { .. })
        && run.steps[at(run)].unwound.is_some()
}

#[test]
fn what_gains_time_is_undone_after_the_cause_is_gone() {
    let scene = Scene::new();
    let before = shop(scene.folder());
    let watching = Shop::of(&scene, before_now());
    let mut carrier = scene.watched(&watching, Looks::default());
    let stand = loop {
        match carrier.go(&mut |_| {}).expect("it goes on") {
            Stand::Waits(wait) if !is_unwound(carrier.run()) => {
                super::tests::answer(&mut carrier, wait).expect("answered");
            }
            stand => break stand,
        }
    };
    let run = carrier.run();
    let step = at(run);
    assert_eq!(
        stand,
        Stand::Waits(Wait::Failed(step)),
        "a person says how it goes on"
    );
    let after = run.steps[step]
        .unwound
        .as_ref()
        .and_then(|one| one.after.clone());
    assert_eq!(after.expect("looked at once more")["fr"], Verdict::Fine);
    // What acts on the cause came before that, and holds.
    let cause = (0..run.steps.len()).find(|at| run.action(*at) == Some("quarantine_file"));
    assert!(run.may_hold(cause.expect("a cause")));
    undo(&mut carrier);
    assert_eq!(on(&mut carrier), Stand::Over);
    assert_eq!(shop(scene.folder()), before, "all is given back");
}

#[test]
fn where_it_leaks_still_or_nobody_knows_it_holds() {
    for last in [None, Some(now()), Some(Timestamp(now().0 + 1))] {
        let scene = Scene::new();
        let watching = Shop::of(&scene, last);
        let mut carrier = scene.watched(&watching, Looks::default());
        let stand = on(&mut carrier);
        let step = at(carrier.run());
        assert_eq!(stand, Stand::Waits(Wait::Guard(step)), "{last:?}");
        assert!(carrier.run().may_hold(step));
    }
}

#[test]
fn wherever_the_process_ends_the_step_is_undone_once() {
    let mut after = 0;
    loop {
        let scene = Scene::new();
        let watching = Shop::of(&scene, before_now());
        scene.host.die_after(after);
        let ended = to_unwound(&mut scene.watched(&watching, Looks::default()));
        let died = scene.host.died() && !ended;
        scene.host.die_after(u32::MAX);
        let mut carrier = scene.watched(&watching, Looks::default());
        to_unwound(&mut carrier);
        let run = carrier.run();
        let one = &run.steps[at(run)];
        // A look from before that was lost says nothing, so that a person decides.
        let is_lost = one
            .guarded
            .as_ref()
            .is_some_and(|said| !matches!(said["fr"], Verdict::Broken { .. }));
        assert!(is_unwound(run) || is_lost, "after {after}: {run:?}");
        let watched = look(&WalkEnd::Passed);
        assert!(is_lost || watching.look() == watched, "after {after}");
        if !died {
            break;
        }
        after += 1;
    }
    assert!(after > 10, "{after} writes");
}

/// Whether it comes to where the guard has undone the step, or to its end.
fn to_unwound(carrier: &mut Carrier<'_>) -> bool {
    loop {
        let Ok(stand) = carrier.go(&mut |_| {}) else {
            return false;
        };
        match stand {
            Stand::Waits(Wait::Failed(_)) if is_unwound(carrier.run()) => return true,
            Stand::Waits(wait) => {
                if super::tests::answer(carrier, wait).is_err() {
                    return false;
                }
            }
            stand => {
                assert!(matches!(carrier.run().turn(), Turn::Nothing), "{stand:?}");
                return true;
            }
        }
    }
}

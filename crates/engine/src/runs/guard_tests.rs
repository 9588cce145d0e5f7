//! Runs beside a guard whose looks are written down here: one that breaks by a step, one that was broken before, load, looks that
//! are lost or late.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use model::{
    Happened, Leftover, Look, Timestamp, UnknownWhy, Verdict, ViewLook, Walk, WalkEnd, WalkStage,
};
use playbook::{Run, StepState, Turn, Wait};
use responders::{Host, memory};

use super::tests::{answer, approval, in_memory, now, person, planned, shop};
use super::{Carrier, Frozen, Journal, Looks, Place, Stand, Watching, read};

/// The step of `web-shell` that isn't meant for any store.
const STEP: &str = "block_network";

struct Seen {
    before: Option<WalkEnd>,
    after: Option<WalkEnd>,
    /// How often a look was waited for.
    waited: AtomicU32,
}

fn seen(before: Option<WalkEnd>, after: Option<WalkEnd>) -> Seen {
    let waited = AtomicU32::new(0);
    Seen {
        before,
        after,
        waited,
    }
}

pub(super) fn look(end: &WalkEnd) -> Arc<Look> {
    let walk = Walk {
        stages: Vec::new(),
        tries: 1,
        end: end.clone(),
        left: Leftover::Nothing,
    };
    let one = ViewLook { walk, orders: None };
    let views = ["de", "fr"].map(|view| (view.to_owned(), one.clone()));
    Arc::new(Look {
        views: views.into(),
        ..Look::default()
    })
}

impl Watching for Seen {
    fn last_leak(&self, _run: &str) -> Option<Timestamp> {
        None
    }

    fn before(&self) -> Option<Arc<Look>> {
        self.before.as_ref().map(look)
    }

    fn after(&self, _time: Timestamp, most: Duration) -> Option<Arc<Look>> {
        // Asked for only, it isn't there yet.
        if !most.is_zero() {
            self.waited.fetch_add(1, Ordering::SeqCst);
        } else if self.after.is_some() {
            return None;
        }
        self.after.as_ref().map(look)
    }
}

pub(super) fn fails() -> WalkEnd {
    let (stage, why) = (WalkStage::Payment, "403 4111111111111111".to_owned());
    WalkEnd::Failed { stage, why }
}

fn load() -> WalkEnd {
    let (stage, why) = (WalkStage::Cart, "429".to_owned());
    WalkEnd::Overload { stage, why }
}

pub(super) struct Scene {
    folder: tempfile::TempDir,
    pub(super) host: Host,
    place: Place,
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = in_memory();
        let host = memory::host(folder.path()).expect("a host");
        let place = Place::below(&folder.path().join("ours"));
        let entry = approval("run-1", planned("web-shell"));
        Journal::begin(&place.journals(), &entry).expect("begun");
        Self {
            folder,
            host,
            place,
        }
    }

    pub(super) fn watched<'a>(&'a self, watching: &'a dyn Watching, looks: Looks) -> Carrier<'a> {
        let journal = Journal::open(&self.place.journals(), "run-1").expect("open");
        let carrier = Carrier::new(&self.host, self.place.clone(), journal, &now);
        carrier.expect("a carrier").watched_by(watching, looks)
    }

    fn carrier<'a>(&'a self, seen: &'a Seen, looks: Looks) -> Carrier<'a> {
        let mut carrier = self.watched(seen, looks);
        if seen.after.is_none() {
            carrier.watched.most = Duration::from_millis(1);
        }
        carrier
    }

    fn run(&self) -> Run {
        read(&self.place.journals(), "run-1").expect("a run")
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Goes on until nothing is left, or until the guard asks.
pub(super) fn on(carrier: &mut Carrier<'_>) -> Stand {
    loop {
        match carrier.go(&mut |_| {}).expect("it goes on") {
            Stand::Waits(wait) if !matches!(wait, Wait::Guard(_)) => {
                answer(carrier, wait).expect("answered");
            }
            stand => return stand,
        }
    }
}

pub(super) fn at(run: &Run) -> usize {
    let found = (0..run.steps.len()).find(|step| run.action(*step) == Some(STEP));
    found.expect("a step")
}

fn said(run: &Run) -> BTreeMap<String, Verdict> {
    run.steps[at(run)].guarded.clone().expect("guarded")
}

pub(super) fn undo(carrier: &mut Carrier<'_>) {
    let (step, by, why) = (None, person("ann"), "it breaks fr".to_owned());
    let asked = Happened::UndoAsked { step, by, why };
    carrier.say(asked).expect("asked");
}

#[test]
fn a_step_that_breaks_a_store_is_kept_by_a_person_or_undone() {
    for keeps in [true, false] {
        let scene = Scene::new();
        let before = shop(scene.folder());
        let seen = seen(Some(WalkEnd::Passed), Some(fails()));
        let mut carrier = scene.carrier(&seen, Looks::default());
        let Stand::Waits(Wait::Guard(step)) = on(&mut carrier) else {
            unreachable!("{:?}", carrier.run());
        };
        assert_eq!(step, at(carrier.run()));
        let broken = &said(carrier.run())["fr"];
        // Whatever the shop answered, no card number is written down.
        let is_broken = matches!(broken, Verdict::Broken { stage: WalkStage::Payment, why }
            if why.starts_with("403 ") && !why.contains("411111111111"));
        assert!(is_broken, "{broken:?}");
        if keeps {
            let (by, note) = (person("ann"), "the leak is worse".to_owned());
            let heeded = Happened::Heeded { step, by, note };
            carrier.say(heeded).expect("heeded");
            assert_eq!(on(&mut carrier), Stand::Over);
            assert!(scene.run().may_hold(step));
            undo(&mut carrier);
        } else {
            undo(&mut carrier);
        }
        assert_eq!(on(&mut carrier), Stand::Over);
        assert_eq!(shop(scene.folder()), before, "all is given back");
    }
}

#[track_caller]
fn check(before: Option<WalkEnd>, after: Option<WalkEnd>, expected: &Verdict) {
    let scene = Scene::new();
    let seen = seen(before, after);
    let mut carrier = scene.carrier(&seen, Looks::default());
    assert_eq!(on(&mut carrier), Stand::Over);
    let of = said(carrier.run());
    assert_eq!(of.get("fr"), Some(expected));
    assert_eq!(of.keys().collect::<Vec<_>>(), ["de", "fr"]);
    assert!(carrier.run().may_hold(at(carrier.run())), "it holds");
    assert!(carrier.into_looks().is_empty());
}

#[test]
fn what_a_step_is_not_to_blame_for_stops_nothing() {
    let unknown = |why| Verdict::Unknown { why };
    let passed = || Some(WalkEnd::Passed);
    check(passed(), passed(), &Verdict::Fine);
    check(Some(fails()), Some(fails()), &Verdict::WasBroken);
    check(passed(), Some(load()), &unknown(UnknownWhy::Overload));
    check(Some(load()), Some(fails()), &unknown(UnknownWhy::Before));
    check(None, Some(fails()), &unknown(UnknownWhy::Before));
    check(passed(), None, &unknown(UnknownWhy::After));
    check(None, None, &unknown(UnknownWhy::After));
}

#[test]
fn between_steps_nobody_waits_for_the_guard() {
    let scene = Scene::new();
    let seen = seen(Some(WalkEnd::Passed), Some(WalkEnd::Passed));
    let mut carrier = scene.carrier(&seen, Looks::default());
    loop {
        match carrier.run().turn() {
            Turn::Wait(_) | Turn::Nothing => break,
            _ => assert_eq!(carrier.step().expect("a step"), None),
        }
        assert_eq!(seen.waited.load(Ordering::SeqCst), 0);
    }
    on(&mut carrier);
    assert!(seen.waited.load(Ordering::SeqCst) > 0);
}

#[test]
fn whoever_is_to_stop_stops_and_the_look_before_is_handed_on() {
    let scene = Scene::new();
    let late = seen(Some(WalkEnd::Passed), None);
    let mut carrier = scene.carrier(&late, Looks::default());
    carrier.watched.most = Duration::from_secs(90);
    // Up to where it rests, and a little longer.
    for _ in 0..60 {
        let stand = carrier.step().expect("a step");
        match stand {
            Some(Stand::Waits(wait)) => answer(&mut carrier, wait).expect("answered"),
            Some(stand) => unreachable!("{stand:?}"),
            None => {}
        }
    }
    assert_eq!(carrier.run().steps[at(carrier.run())].guarded, None);
    let looks = carrier.into_looks();
    assert!(!looks.is_empty());
    let broken = seen(None, Some(fails()));
    let mut carrier = scene.carrier(&broken, looks);
    let stand = on(&mut carrier);
    assert!(matches!(stand, Stand::Waits(Wait::Guard(_))), "{stand:?}");
}

#[test]
fn frozen_and_undone_the_guard_still_says_what_it_sees() {
    let scene = Scene::new();
    let seen = seen(Some(WalkEnd::Passed), Some(WalkEnd::Passed));
    let mut carrier = scene.carrier(&seen, Looks::default());
    loop {
        let run = carrier.run();
        if run.steps[at(run)].state == StepState::Done {
            break;
        }
        if let Some(Stand::Waits(wait)) = carrier.step().expect("a step") {
            answer(&mut carrier, wait).expect("answered");
        }
    }
    let (by, why) = ("ann".to_owned(), "stop".to_owned());
    let frozen = Frozen { by, at: now(), why };
    scene.place.freeze(&frozen).expect("frozen");
    let stand = carrier.go(&mut |_| {}).expect("it rests");
    assert!(!matches!(stand, Stand::Over), "{stand:?}");
    assert_eq!(said(carrier.run())["fr"], Verdict::Fine);
    undo(&mut carrier);
    assert_eq!(on(&mut carrier), Stand::Over);
}

#[test]
fn wherever_the_process_ends_a_store_that_broke_is_asked_about_or_not_known() {
    let mut after = 0;
    loop {
        let scene = Scene::new();
        let before = shop(scene.folder());
        let seen = seen(Some(WalkEnd::Passed), Some(fails()));
        scene.host.die_after(after);
        let mut carrier = scene.carrier_or_none(&seen);
        let ended = carrier.as_mut().is_some_and(ends);
        drop(carrier);
        let died = scene.host.died() && !ended;
        scene.host.die_after(u32::MAX);
        let mut carrier = scene.carrier(&seen, Looks::default());
        let _is_over = ends(&mut carrier);
        let run = scene.run();
        let verdict = &said(&run)["fr"];
        let why = UnknownWhy::Before;
        let is_lost = *verdict == Verdict::Unknown { why };
        let is_heeded = run.steps[at(&run)].heeded;
        assert!(is_lost || is_heeded, "after {after}: {verdict:?}");
        undo(&mut carrier);
        assert_eq!(on(&mut carrier), Stand::Over);
        assert_eq!(shop(scene.folder()), before, "undone after {after}");
        if !died {
            break;
        }
        after += 1;
    }
    assert!(after > 10, "{after} writes");
}

impl Scene {
    fn carrier_or_none<'a>(&'a self, seen: &'a Seen) -> Option<Carrier<'a>> {
        let journal = Journal::open(&self.place.journals(), "run-1").ok()?;
        let carrier = Carrier::new(&self.host, self.place.clone(), journal, &now).ok()?;
        Some(carrier.watched_by(seen, Looks::default()))
    }
}

/// Whether it comes to its end, with a person who keeps what the guard asks about.
fn ends(carrier: &mut Carrier<'_>) -> bool {
    loop {
        let said = match carrier.go(&mut |_| {}) {
            Ok(Stand::Over) => return true,
            Ok(Stand::Waits(Wait::Guard(step))) => {
                let (by, note) = (person("ann"), "it stays".to_owned());
                carrier.say(Happened::Heeded { step, by, note })
            }
            Ok(Stand::Waits(wait)) => answer(carrier, wait),
            Ok(stand) => unreachable!("{stand:?}"),
            Err(_) => return false,
        };
        if said.is_err() {
            return false;
        }
    }
}

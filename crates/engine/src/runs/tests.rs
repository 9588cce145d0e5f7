//! Shipped playbooks at a host in a folder, ended before every single thing that is written, forwards and back.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::{Happened, Person, Plan, RunEntry, Timestamp};
use playbook::{Document, KEEP_EVIDENCE, LineError, StepState, Wait};
use responders::{Host, memory};

use super::{Carrier, CarryError, Frozen, Journal, JournalError, Place, Stand, read};
use crate::content;

/// Things written in a run are fewer.
const DEATHS_MAX: u32 = 400;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

pub(crate) fn person(name: &str) -> Person {
    Person {
        account: name.to_owned(),
        name: name.to_owned(),
    }
}

/// A shipped playbook with its examples, at the places that the stand-in host has.
pub(crate) fn planned(playbook: &str) -> Plan {
    let name = format!("playbooks/{playbook}.json");
    let (_, text) = content::under("playbooks/", ".json")
        .find(|(path, _)| *path == name)
        .expect("it ships");
    let document = Document::read(text.as_bytes()).expect("it is sound");
    let mut values: BTreeMap<_, _> = document.examples().into_iter().collect();
    for (name, value) in [("__view__", "fr"), ("__website__", "second")] {
        if let Some(known) = values.get_mut(name) {
            value.clone_into(known);
        }
    }
    playbook::plan(&document, &values, playbook::EXPECTED, &memory::stores()).expect("a plan")
}

pub(crate) fn approval(id: &str, plan: Plan) -> RunEntry {
    RunEntry {
        v: model::RUN_VERSION,
        run: id.to_owned(),
        number: 0,
        at: now(),
        order: String::new(),
        what: Happened::Approved {
            hash: playbook::hash_words(&plan),
            plan: Box::new(plan),
            by: vec![person("ann"), person("bob")],
            answers: BTreeMap::new(),
        },
    }
}

/// What the shop is made of.
pub(super) fn shop(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let mut out = BTreeMap::new();
    for part in ["shop", "nginx", "quarantine", "log", "hold"] {
        walk(&folder.join(part), &mut out);
    }
    out
}

fn walk(folder: &Path, out: &mut BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, out);
        } else {
            let about = entry.metadata().expect("a file");
            let content = std::fs::read(&path).expect("a file");
            let what = (content, about.mode(), about.mtime(), about.mtime_nsec());
            out.insert(path, what);
        }
    }
}

/// What a person says who does by hand whatever isn't done for them.
pub(crate) fn answer(carrier: &mut Carrier<'_>, wait: Wait) -> Result<(), CarryError> {
    let (by, note) = (person("ann"), "done".to_owned());
    match wait {
        Wait::Failed(step) | Wait::Person(step) => {
            carrier.say(Happened::PersonDid { step, by, note })
        }
        Wait::Answer { condition, .. } => {
            let holds = true;
            carrier.say(Happened::Answered {
                condition,
                holds,
                by,
            })
        }
        Wait::UndoFailed(step) => carrier.undo_again(step),
        // What a person kept by hand isn't evidence of this host.
        Wait::Evidence(step) => carrier.say(Happened::Waived {
            step,
            by: vec![by, person("bob")],
            why: note,
        }),
        Wait::Cause(_) | Wait::Guard(_) => unreachable!("{wait:?}"),
    }
}

pub(super) fn opened<'a>(host: &'a Host, place: &Place, id: &str) -> Carrier<'a> {
    let journal = Journal::open(&place.journals(), id).expect("open");
    Carrier::new(host, place.clone(), journal, &now).expect("a carrier")
}

/// Goes on with a run until nothing is left; `undo` asks first for all to be undone.
pub(super) fn to_its_end(
    host: &Host,
    place: &Place,
    id: &str,
    undo: bool,
) -> Result<(), CarryError> {
    let journal = Journal::open(&place.journals(), id)?;
    let mut carrier = Carrier::new(host, place.clone(), journal, &now)?;
    if undo && carrier.run().undo.is_none() {
        carrier.say(Happened::UndoAsked {
            step: None,
            by: person("ann"),
            why: "over".to_owned(),
        })?;
    }
    loop {
        match carrier.go(&mut |_| {})? {
            Stand::Over => return Ok(()),
            Stand::Frozen(frozen) => unreachable!("{frozen:?}"),
            Stand::Waits(wait) => answer(&mut carrier, wait)?,
        }
    }
}

/// Ends the process after so many writes, forwards or back, then goes on, and undoes it: the shop is as before. Whether it came to an end.
fn dies(folder: &Path, playbook: &str, undoing: bool, after: u32, changes: &mut bool) -> bool {
    let host = memory::host(folder).expect("a host");
    let place = Place::below(&folder.join("ours"));
    let before = shop(folder);
    let entry = approval("run-1", planned(playbook));
    Journal::begin(&place.journals(), &entry).expect("begun");
    if undoing {
        to_its_end(&host, &place, "run-1", false).expect("done");
    }
    host.die_after(after);
    let ended = to_its_end(&host, &place, "run-1", undoing);
    let died = host.died() && ended.is_err();
    host.die_after(u32::MAX);
    to_its_end(&host, &place, "run-1", undoing).expect("it goes on");
    let run = read(&place.journals(), "run-1").expect("a run");
    if !undoing {
        for (at, step) in run.steps.iter().enumerate() {
            let is_fine = matches!(step.state, StepState::Done | StepState::Skipped { .. });
            assert!(is_fine, "{playbook} step {at} after {after}: {step:?}");
        }
        *changes |= shop(folder) != before;
        to_its_end(&host, &place, "run-1", true).expect("undone");
    }
    let run = read(&place.journals(), "run-1").expect("a run");
    let holds = (0..run.steps.len()).any(|at| run.may_hold(at) && !run.steps[at].by_hand);
    let only_evidence = |at: usize| {
        run.action(at) == Some(KEEP_EVIDENCE) || !run.may_hold(at) || run.steps[at].by_hand
    };
    assert!(!holds || (0..run.steps.len()).all(only_evidence));
    assert_eq!(shop(folder), before, "{playbook} undone after {after}");
    died
}

/// A folder in memory where there is one: thousands of writes are brought to disk.
pub(crate) fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.expect("a folder")
}

/// Whether it changes anything here: what isn't done here yet is done by hand.
fn check(playbook: &str) -> bool {
    let mut changes = false;
    for undoing in [false, true] {
        let mut after = 0;
        loop {
            let folder = in_memory();
            if !dies(folder.path(), playbook, undoing, after, &mut changes) {
                break;
            }
            after += 1;
            assert!(after < DEATHS_MAX, "{playbook} has an end");
        }
        assert!(after > 3 || undoing, "{playbook}: {after} writes");
    }
    changes
}

#[test]
fn every_shipped_playbook_is_carried_out_and_undone_wherever_the_process_ends() {
    let mut changed = 0;
    for (path, _) in content::under("playbooks/", ".json") {
        let name = path
            .trim_start_matches("playbooks/")
            .trim_end_matches(".json");
        changed += usize::from(check(name));
    }
    assert!(
        changed >= 5,
        "{changed} playbooks change something of this host"
    );
}

#[test]
fn what_another_run_holds_is_left_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let place = Place::below(&folder.path().join("ours"));
    let before = shop(folder.path());
    for id in ["run-1", "run-2"] {
        let entry = approval(id, planned("card-testing"));
        Journal::begin(&place.journals(), &entry).expect("begun");
        to_its_end(&host, &place, id, false).expect("done");
    }
    let state = |id: &str, action: &str| {
        let run = read(&place.journals(), id).expect("a run");
        let at = (0..run.steps.len()).find(|at| run.action(*at) == Some(action));
        run.steps[at.expect("a step")].state.clone()
    };
    let on = "run-1".to_owned();
    assert_eq!(state("run-2", "block_network"), StepState::Relies(on));
    // The first can't be undone below the second, and says so.
    let mut carrier = opened(&host, &place, "run-1");
    let (by, why) = (person("ann"), "over".to_owned());
    let step = None;
    carrier
        .say(Happened::UndoAsked { step, by, why })
        .expect("asked");
    let stand = carrier.go(&mut |_| {}).expect("it waits");
    assert!(
        matches!(stand, Stand::Waits(Wait::UndoFailed(_))),
        "{stand:?}"
    );
    drop(carrier);
    let mut carrier = opened(&host, &place, "run-2");
    // Twice is as once: what undoes it may have been there still.
    for _ in 0..2 {
        carrier
            .say(Happened::Closed { by: person("ann") })
            .expect("closed");
    }
    drop(carrier);
    to_its_end(&host, &place, "run-1", true).expect("undone");
    assert_eq!(shop(folder.path()), before);
}

#[test]
fn each_run_holds_the_logs_as_they_are_when_it_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let place = Place::below(&folder.path().join("ours"));
    let log = folder.path().join("log/access.log");
    let held = || {
        let mut out = Vec::new();
        for entry in std::fs::read_dir(folder.path().join("hold")).expect("a folder") {
            let copy = entry.expect("a hold").path().join("0001-access.log");
            out.push(std::fs::read_to_string(copy).expect("a copy"));
        }
        out.sort();
        out
    };
    for (id, content) in [("run-1", "first"), ("run-2", "second")] {
        std::fs::write(&log, content).expect("written");
        let entry = approval(id, planned("web-shell"));
        Journal::begin(&place.journals(), &entry).expect("begun");
        to_its_end(&host, &place, id, false).expect("done");
        let run = read(&place.journals(), id).expect("a run");
        let at = (0..run.steps.len()).find(|at| run.action(*at) == Some("hold_retention"));
        assert_eq!(run.steps[at.expect("a step")].state, StepState::Done);
    }
    assert_eq!(held(), ["first", "second"]);
    // The later one is undone: what the first holds stays. Closed, its hold is a person's to remove.
    to_its_end(&host, &place, "run-2", true).expect("undone");
    assert_eq!(held(), ["first"]);
    let mut carrier = opened(&host, &place, "run-1");
    carrier
        .say(Happened::Closed { by: person("ann") })
        .expect("closed");
    drop(carrier);
    assert_eq!(held(), ["first"]);
}

/// Answers up to the step of an action; gives why that failed.
fn failure_of(host: &Host, place: &Place, plan: Plan, action: &str, times: usize) -> String {
    let entry = approval("run-1", plan);
    let journal = Journal::begin(&place.journals(), &entry).expect("begun");
    let mut carrier = Carrier::new(host, place.clone(), journal, &now).expect("a carrier");
    let of_it = |run: &playbook::Run, step: usize| run.action(step) == Some(action);
    for _ in 0..20 {
        let stand = carrier.go(&mut |_| {}).expect("it goes on");
        let Stand::Waits(wait) = stand else {
            unreachable!("{stand:?}");
        };
        let step = wait.step();
        let before = (0..step).filter(|at| of_it(carrier.run(), *at)).count();
        if of_it(carrier.run(), step) && before + 1 == times {
            let StepState::Failed { why } = &carrier.run().steps[step].state else {
                unreachable!("{:?}", carrier.run().steps[step]);
            };
            return why.clone();
        }
        answer(&mut carrier, wait).expect("answered");
    }
    unreachable!("{:?}", carrier.run());
}

#[test]
fn what_a_step_names_is_kept_or_the_run_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    // This host reaches no database.
    let host = memory::host(folder.path()).expect("a host");
    let place = Place::below(&folder.path().join("ours"));
    let plan = planned("skimmer-in-configuration-or-cms");
    let why = failure_of(&host, &place, plan, KEEP_EVIDENCE, 2);
    assert!(
        why.contains("row core_config_data:12 isn't kept") && why.contains("[database]"),
        "{why}"
    );
}

#[test]
fn a_plan_that_says_less_of_a_step_than_it_does_is_not_carried_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let place = Place::below(&folder.path().join("ours"));
    let mut plan = planned("web-shell");
    for step in &mut plan.steps {
        if let model::Work::Action {
            action,
            forensic_impact,
            ..
        } = &mut step.work
            && action == "quarantine_file"
        {
            *forensic_impact = model::ForensicImpact::None;
        }
    }
    let before = folder.path().join("shop/pub/media/x.php");
    let why = failure_of(&host, &place, plan, "quarantine_file", 1);
    assert!(why.contains("make the plan anew"), "{why}");
    assert!(before.exists(), "nothing was moved");
}

#[test]
fn frozen_nothing_is_done_and_all_can_be_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let place = Place::below(&folder.path().join("ours"));
    let before = shop(folder.path());
    for id in ["run-1", "run-2"] {
        let entry = approval(id, planned("card-testing"));
        Journal::begin(&place.journals(), &entry).expect("begun");
    }
    to_its_end(&host, &place, "run-1", false).expect("done");
    let frozen = Frozen {
        by: "ann".to_owned(),
        at: now(),
        why: "stop".to_owned(),
    };
    place.freeze(&frozen).expect("frozen");
    assert_eq!(place.frozen().expect("known"), Some(frozen));
    let done = shop(folder.path());
    let mut carrier = opened(&host, &place, "run-2");
    let stand = carrier.go(&mut |_| {}).expect("it waits");
    assert!(matches!(stand, Stand::Frozen(_)));
    assert_eq!(shop(folder.path()), done);
    to_its_end(&host, &place, "run-1", true).expect("undone");
    assert_eq!(shop(folder.path()), before);
    place.thaw().expect("thawed");
    place.thaw().expect("twice is as once");
    let stand = carrier.go(&mut |_| {}).expect("it waits");
    assert!(!matches!(stand, Stand::Frozen(_)));
}

#[test]
fn one_process_is_at_a_run_and_a_cut_line_counts_as_never_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::below(folder.path());
    let entry = approval("run-1", planned("web-shell"));
    let journal = Journal::begin(&place.journals(), &entry).expect("begun");
    let busy = Journal::open(&place.journals(), "run-1");
    assert!(matches!(busy, Err(JournalError::Busy { .. })));
    let path = journal.path().to_owned();
    drop(journal);
    let whole = std::fs::read(&path).expect("a journal");
    for cut in [1, whole.len() / 2, whole.len() - 1] {
        let torn = [&whole, &whole[..cut]].concat();
        std::fs::write(&path, torn).expect("written");
        drop(Journal::open(&place.journals(), "run-1").expect("open"));
        assert_eq!(std::fs::read(&path).expect("a journal"), whole);
    }
    let damaged = [whole.as_slice(), b"{}\n"].concat();
    std::fs::write(&path, damaged).expect("written");
    let error = Journal::open(&place.journals(), "run-1");
    assert!(matches!(
        error,
        Err(JournalError::Damaged {
            source: LineError { line: 2, .. },
            ..
        })
    ));
    let (runs, errors) = place.runs().expect("a folder");
    assert_eq!((runs.len(), errors.len()), (0, 1));
    for id in ["", "../x", "RUN", "run-1/", "run 1"] {
        let error = Journal::open(&place.journals(), id);
        assert!(matches!(error, Err(JournalError::NoRun { .. })), "{id:?}");
    }
}

#[test]
fn no_card_number_is_in_what_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let place = Place::below(&folder.path().join("ours"));
    let dropped = folder.path().join("shop/pub/media/x.php");
    std::fs::write(&dropped, "<?php // 4111111111111111 12/30 123\n").expect("written");
    let entry = approval("run-1", planned("web-shell"));
    Journal::begin(&place.journals(), &entry).expect("begun");
    to_its_end(&host, &place, "run-1", false).expect("done");
    let mut files = BTreeMap::new();
    walk(&folder.path().join("ours"), &mut files);
    assert!(files.len() > 6, "evidence, vault, journal");
    let number = b"4111111111111111";
    for (path, (content, mode, _, _)) in files {
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        let has = content.windows(number.len()).any(|part| part == number);
        assert!(!has, "{}", path.display());
    }
}

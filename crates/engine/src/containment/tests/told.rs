//! What a host tells by itself: how much of it is taken, and that a start reads all of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Guard, Happened, HostReport, Plan, RUN_VERSION, Refused, RunEntry, Sequence};
use playbook::{Run, hash_words};

use super::{HOST, at, failing, hear, person, shell};
use crate::containment::hosts::fitting;
use crate::containment::{
    CONDITIONS_MAX, Containments, ENTRIES_MAX, OWN_OPEN_MAX, PAGE, SOURCE, STEPS_MAX,
};
use crate::ledger::{EntryKind, Ledger, NewEntry};
use crate::sealed::{Decided, VERSION};

/// The entry by which an administrator begins a run on the host.
fn by_hand(run: &str, plan: &Plan) -> RunEntry {
    RunEntry {
        v: RUN_VERSION,
        run: run.to_owned(),
        number: 0,
        at: at(0),
        order: String::new(),
        what: Happened::Approved {
            plan: Box::new(plan.clone()),
            hash: hash_words(plan),
            by: vec![person("root")],
            answers: BTreeMap::new(),
        },
    }
}

#[test]
fn a_host_makes_no_more_grow_by_itself_than_is_bounded() {
    let plan = shell();
    let mut all = Containments::default();
    for number in 0..OWN_OPEN_MAX {
        let entry = by_hand(&format!("own-{number}"), &plan);
        hear(&mut all, &entry);
    }
    let next = by_hand("one-more", &plan);
    let error = all.may_hear(HOST, &next).expect_err("too many");
    assert!(error.to_string().contains("aren't over"), "{error}");
    // Another host has its own, and one that ends makes room.
    assert_eq!(all.may_hear("shop2", &next), Ok(true));
    let run = all.all().next().and_then(|one| one.carried.clone());
    let closed = run
        .expect("begun")
        .entry(Happened::Closed { by: person("root") }, at(1));
    hear(&mut all, &closed);
    assert_eq!(all.may_hear(HOST, &next), Ok(true));

    let mut long = plan.clone();
    long.steps = vec![plan.steps[0].clone(); STEPS_MAX + 1];
    let error = all.may_hear(HOST, &by_hand("long", &long));
    let error = error.expect_err("too long").to_string();
    assert!(error.contains("500 steps"), "{error}");
    for odd in ["", "Run-1", "../x", &"r".repeat(65)] {
        let error = all.may_hear(HOST, &by_hand(odd, &plan)).expect_err("no id");
        assert!(
            error.to_string().contains("small letters"),
            "{odd}: {error}"
        );
    }
    let mut named = plan.clone();
    named.playbook.name = "n".repeat(1001);
    let error = all.may_hear(HOST, &by_hand("named", &named));
    let error = error.expect_err("too long a name").to_string();
    assert!(error.contains("1000 bytes"), "{error}");
    let mut asking = plan;
    let condition = Guard {
        condition: "c".to_owned(),
        holds: true,
    };
    asking.steps[0].only_if = vec![condition; CONDITIONS_MAX + 1];
    let error = all.may_hear(HOST, &by_hand("asking", &asking));
    let error = error.expect_err("too many").to_string();
    assert!(error.contains("64 conditions"), "{error}");
}

#[test]
fn of_one_run_so_many_entries_are_taken_and_no_more() {
    let mut all = Containments::default();
    hear(&mut all, &by_hand("run-1", &shell()));
    let Some(standing) = all.0.get_mut("run-1").map(Arc::make_mut) else {
        panic!("begun");
    };
    let run = standing.carried.as_mut().expect("begun");
    let undo = |run: &Run| {
        let asked = Happened::UndoAsked {
            step: None,
            by: person("root"),
            why: "again".to_owned(),
        };
        run.entry(asked, at(2))
    };
    run.entries = ENTRIES_MAX - 1;
    let last = undo(run);
    run.entries = ENTRIES_MAX;
    let beyond = undo(run);
    run.entries = ENTRIES_MAX - 1;
    hear(&mut all, &last);
    let error = all.may_hear(HOST, &beyond).expect_err("too many");
    assert!(error.to_string().contains("20,000"), "{error}");
}

#[test]
fn a_start_reads_every_entry_page_by_page() {
    let mut wanted = Containments::default();
    let mut sealed = Vec::new();
    let mut put = |entry: RunEntry| {
        drop(
            wanted
                .hear(HOST, &entry, Sequence(sealed.len() as u64))
                .expect("it follows"),
        );
        let told = Decided::Told {
            v: VERSION,
            id: format!("t{}", sealed.len()),
            host: HOST.to_owned(),
            entry: Box::new(entry),
        };
        sealed.push(serde_json::to_vec(&told).expect("JSON"));
    };
    for run in ["run-1", "run-2"] {
        let first = by_hand(run, &shell());
        let mut run = Run::begin(&first).expect("begun");
        put(first);
        for _ in 0..10 {
            let Some(entry) = failing(&run) else { break };
            run.take(&entry).expect("it follows");
            put(entry);
        }
        for _ in 0..3 {
            let asked = Happened::UndoAsked {
                step: None,
                by: person("root"),
                why: "a false alarm".to_owned(),
            };
            let entry = run.entry(asked, at(3));
            run.take(&entry).expect("it follows");
            put(entry);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (mut ledger, _) = Ledger::create_or_open(
        &folder.path().join("ledger"),
        &folder.path().join("keys"),
        &model::InstallationId("shop".to_owned()),
        None,
        &parse::Context::default(),
    )
    .expect("opened");
    let entries = sealed.into_iter().map(|payload| NewEntry {
        kind: EntryKind::Observed,
        lane: model::Lane::Live,
        identity: None,
        source: model::SourceId(SOURCE.to_owned()),
        said: None,
        received: at(0),
        format: String::new().into(),
        quarantined: false,
        marks: Vec::new(),
        payload,
        tokens: Vec::new(),
    });
    let entries: Vec<_> = entries.collect();
    assert!(entries.len() > 6, "{}", entries.len());
    let first = ledger.append(&entries).expect("sealed");
    let lines = |all: &Containments| -> Vec<_> {
        let runs = all.all().map(|one| (one.run.clone(), one.carried.clone()));
        runs.collect()
    };
    for page in [1, 3, entries.len(), PAGE] {
        let read = Containments::by_pages(&ledger, page).expect("read");
        assert_eq!(lines(&read), lines(&wanted), "{page} at once");
        let told: Vec<_> = read.all().flat_map(|one| one.told.clone()).collect();
        let numbers = first.0..first.0 + entries.len() as u64;
        assert_eq!(told, numbers.map(Sequence).collect::<Vec<_>>());
    }
}

#[test]
fn of_a_report_what_fits_is_sealed_and_what_does_not_is_trouble() {
    let plan = shell();
    let first = by_hand("a", &plan);
    let run = Run::begin(&first).expect("begun");
    let undo = |number| {
        let asked = Happened::UndoAsked {
            step: None,
            by: person("root"),
            why: "a false alarm".to_owned(),
        };
        RunEntry {
            number,
            ..run.entry(asked, at(1))
        }
    };
    let nobody = Refused {
        run: "a".to_owned(),
        order: "o9".to_owned(),
        why: "no".to_owned(),
        at: at(1),
    };
    let mut headless = by_hand("c", &plan);
    headless.number = 7;
    let mut long = by_hand("long", &plan);
    if let Happened::Approved { by, .. } = &mut long.what {
        by[0].name = "x".repeat(1 << 20);
    }
    let report = HostReport {
        // Of `a` nothing counts after what doesn't follow; the others are none the worse for it.
        entries: vec![
            first.clone(),
            undo(2),
            undo(1),
            headless,
            long,
            by_hand("b", &plan),
        ],
        refused: vec![nobody],
        ..HostReport::default()
    };
    let sealed = |known: &Containments, host: &str| {
        let found = fitting(known.clone(), host, &report);
        let mut told = Vec::new();
        for row in &found.rows {
            match serde_json::from_str(&row.body).expect("JSON") {
                Decided::Told { entry, .. } => told.push(format!("{} {}", entry.run, entry.number)),
                other => panic!("{other:?}"),
            }
        }
        (told, found.trouble)
    };
    let mut known = Containments::default();
    let (told, trouble) = sealed(&known, HOST);
    assert_eq!(told, ["a 0", "b 0"]);
    let of: Vec<_> = trouble.iter().map(|one| one.split(':').next()).collect();
    let wanted = ["entry 2 of a", "entry 7 of c", "entry 0 of long"];
    assert_eq!(of, wanted.map(Some), "{trouble:?}");
    // What is known gives no row; another host tells nothing of it.
    hear(&mut known, &first);
    assert_eq!(sealed(&known, HOST).0, ["b 0"]);
    let (told, trouble) = sealed(&known, "shop2");
    assert_eq!(told, ["b 0"]);
    assert!(trouble[0].contains("another host's"), "{trouble:?}");
}

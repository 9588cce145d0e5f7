//! A start after a stop, a crash between sealing and judging, a lost state, a changed ledger.

mod opened;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use engine::desk::Desk;
use engine::intake::{Block, Intake};
use engine::inventory::{List, page_source};
use engine::ledger::{EntryKind, Ledger, NewEntry, Opening, verify};
use engine::pipeline::Pipeline;
use model::{Generation, Incident, InstallationId, Level, Sequence, SourceId, Timestamp};
use parse::Context;

use opened::{NOW, open};

/// The state alone, with the ledger that guards it.
fn state(folder: &Path) -> (Ledger, stores::State) {
    let (path, installation) = (folder.join("ledger"), InstallationId("shop".to_owned()));
    let (ledger, _) = Ledger::create_or_open(
        &path,
        &folder.join("keys"),
        &installation,
        Some(&folder.join("copy")),
        &Context::default(),
    )
    .expect("the ledger opens");
    let state = engine::state::open(&ledger, &path, None, &installation).expect("taken");
    (ledger, state)
}

/// A thief's dump of the payment table, as the audit plugin logs it.
const DUMP: &str = "\
20260805 10:16:00,db1,shop,203.0.113.66,91,0,CONNECT,shop,,0
20260805 10:16:00,db1,shop,203.0.113.66,91,9002,QUERY,shop,'START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */',0
20260805 10:16:00,db1,shop,203.0.113.66,91,9005,READ,shop,sales_order_payment,
20260805 10:16:00,db1,shop,203.0.113.66,91,9005,QUERY,shop,'SELECT /*!40001 SQL_NO_CACHE */ * FROM `sales_order_payment`',0
20260805 10:16:01,db1,shop,203.0.113.66,91,0,DISCONNECT,shop,,0
";

fn entries(pipeline: &Pipeline) -> Vec<NewEntry> {
    let format = parse::named("mariadb_server_audit").expect("a format");
    let source = SourceId("file:audit.log".to_owned());
    let tokens = pipeline.ledger().token_key();
    let mut intake = Intake::new(source, Generation::default(), 0, format, tokens);
    let mut block = Block::default();
    intake.push(
        DUMP.as_bytes(),
        true,
        pipeline.masker(),
        pipeline.context(),
        &mut block,
    );
    let mut records = std::mem::take(&mut block.records);
    records
        .iter_mut()
        .map(|record| pipeline.entry(&intake, &block.bytes, record, NOW))
        .collect()
}

fn incidents(pipeline: &Pipeline) -> Vec<Incident> {
    pipeline.judge().incidents().cloned().collect()
}

/// Seals the dump, judges it, and signs; gives what came of it and the ledger's size.
fn dumped(folder: &Path) -> (Vec<Incident>, u64) {
    let mut pipeline = open(folder);
    let entries = entries(&pipeline);
    pipeline.append(&entries).expect("sealed");
    pipeline.flush(NOW).expect("flushed");
    let incidents = incidents(&pipeline);
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    (incidents, pipeline.ledger().len())
}

#[test]
fn a_start_shows_the_incidents_that_were_there_and_seals_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let (before, size) = dumped(folder.path());
    let mut pipeline = open(folder.path());
    assert_eq!(incidents(&pipeline), before);
    let end = pipeline
        .positions()
        .get(&SourceId("file:audit.log".to_owned()))
        .map(|(_, position)| position.offset_bytes);
    assert_eq!(end, Some(DUMP.len() as u64));
    pipeline.flush(NOW).expect("flushed");
    assert_eq!(pipeline.ledger().len(), size);
}

#[test]
fn a_lost_or_older_state_is_made_again_from_the_ledger() {
    let folder = tempfile::tempdir().expect("a folder");
    let (before, size) = dumped(folder.path());
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        drop(fs::remove_file(folder.path().join(name)));
    }
    let mut pipeline = open(folder.path());
    assert_eq!(incidents(&pipeline), before);
    pipeline.flush(NOW).expect("flushed");
    assert_eq!(pipeline.ledger().len(), size);
}

#[test]
fn records_sealed_and_not_judged_are_judged_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let waiting = entries(&open(folder.path()));
    let (mut ledger, _) = Ledger::create_or_open(
        &folder.path().join("ledger"),
        &folder.path().join("keys"),
        &InstallationId("shop".to_owned()),
        None,
        &Context::default(),
    )
    .expect("opened");
    ledger.append(&waiting).expect("sealed");
    drop(ledger);
    let mut pipeline = open(folder.path());
    pipeline.flush(NOW).expect("flushed");
    assert_eq!(incidents(&pipeline).len(), 1);
    let size = pipeline.ledger().len();
    assert!(size > waiting.len() as u64, "the incident is sealed");
    drop(pipeline);
    assert_eq!(open(folder.path()).ledger().len(), size);
}

#[test]
fn a_changed_ledger_opens_a_critical_incident_and_collection_goes_on_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(dumped(folder.path()));
    let path = folder.path().join("ledger/segments/00000000.leaf");
    let mut bytes = fs::read(&path).expect("leaves");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let state = folder.path().join("state.sqlite");
    let number = fs::metadata(&state).expect("there").ino();
    let pipeline = open(folder.path());
    // The same file: what people made in it stays.
    assert_eq!(fs::metadata(&state).expect("there").ino(), number);
    let Opening::Broken { aside, .. } = pipeline.opening() else {
        panic!("{:?}", pipeline.opening());
    };
    let moved = fs::read(aside.join("segments/00000000.leaf")).expect("kept");
    assert_eq!(moved, bytes);
    let incidents = incidents(&pipeline);
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].severity, Level::Critical);
    let first = pipeline.ledger().read(Sequence(0)).expect("read");
    assert_eq!(first.header.kind, EntryKind::Decided);
    let told = String::from_utf8(first.payload.expect("there")).expect("text");
    assert!(
        told.contains("ledger.broken-1") && told.contains("magewarden/shop"),
        "{told}"
    );
    let source = SourceId("file:audit.log".to_owned());
    assert!(pipeline.positions().contains_key(&source));
    drop(pipeline);
    // The next start finds nothing wrong, and knows the incident and where sources stand.
    let again = open(folder.path());
    assert!(matches!(again.opening(), Opening::Resumed { .. }));
    assert_eq!(again.judge().incidents().count(), 1);
    assert!(again.positions().contains_key(&source));
    let copy = folder.path().join("copy");
    let report = verify(&folder.path().join("ledger"), None, Some(&copy)).expect("readable");
    assert!(report.ok, "{report}");
}

/// Seals what a look at a payment page told.
fn looked(pipeline: &mut Pipeline, records: &[&str]) {
    let format = parse::named(parse::OBSERVATION).expect("a format");
    let source = page_source("de", "browser");
    let tokens = pipeline.ledger().token_key();
    let mut intake = Intake::new(source, Generation::default(), 0, format, tokens);
    let mut block = Block::default();
    for record in records {
        let at = u64::try_from(block.bytes.len()).expect("small");
        let (masker, context) = (pipeline.masker(), pipeline.context());
        intake.push_record(record.as_bytes(), (at, &[]), masker, context, &mut block);
    }
    let mut records = std::mem::take(&mut block.records);
    let entries: Vec<_> = records
        .iter_mut()
        .map(|record| pipeline.entry(&intake, &block.bytes, record, NOW))
        .collect();
    pipeline.append(&entries).expect("sealed");
}

/// The parts a page of the console would show: name, state, first and last entry.
fn shown(pipeline: &mut Pipeline) -> Vec<(String, String, u64, u64)> {
    let desk = Desk::new(Box::new(|_| None));
    pipeline.show_on(desk.clone());
    let mut parts = Vec::new();
    for list in desk.lists().into_values() {
        if let List::Page(page) = &*list {
            parts.extend(page.parts(true).map(|part| {
                let (name, state) = (part.name.clone(), part.history.state.clone());
                (name, state, part.history.since_entry, part.history.entry)
            }));
        }
    }
    parts
}

/// What was told of a part of a page.
fn part(change: &str, name: &str) -> String {
    format!(
        r#"{{"category":"payment_page","time":"2026-08-05T10:15:30Z","change":"{change}","page.part":"header","page.name":"{name}"}}"#
    )
}

#[test]
fn what_is_on_a_page_is_there_again_after_a_start_also_without_its_row_or_the_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pipeline = open(folder.path());
    let look = r#"{"category":"payment_page","time":"2026-08-05T10:15:30Z","change":"baseline","page.way":"browser"}"#;
    looked(
        &mut pipeline,
        &[look, &part("seen", "a"), &part("seen", "b")],
    );
    pipeline.checkpoint(NOW).expect("signed");
    // Sealed, and not in the state yet: a crash.
    looked(&mut pipeline, &[&part("modified", "b")]);
    let wanted = shown(&mut pipeline);
    let names: Vec<_> = wanted.iter().map(|part| part.0.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((wanted[1].1.as_str(), wanted[1].2), ("modified", 2));
    drop(pipeline);
    assert_eq!(shown(&mut open(folder.path())), wanted, "after a crash");
    let mut pipeline = open(folder.path());
    pipeline.flush(NOW).expect("signed");
    let entries = pipeline.ledger().len();
    drop(pipeline);
    assert_eq!(shown(&mut open(folder.path())), wanted, "after a stop");
    // A row of another version is no row.
    let (ledger, mut state) = state(folder.path());
    let update = stores::StateUpdate {
        reflects: entries,
        lists: vec![stores::ListRow {
            source: page_source("de", "browser").0,
            body: r#"{"v":0}"#.to_owned(),
        }],
        ..stores::StateUpdate::default()
    };
    state.apply(&update).expect("written");
    drop((ledger, state));
    assert_eq!(shown(&mut open(folder.path())), wanted, "after an update");
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        drop(fs::remove_file(folder.path().join(name)));
    }
    assert_eq!(shown(&mut open(folder.path())), wanted, "without the state");
}

#[test]
fn rows_that_went_back_under_a_run_are_written_again_from_the_ledger() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pipeline = open(folder.path());
    let mut look = |when| {
        looked(&mut pipeline, &[&part("seen", when)]);
        let entries = entries(&pipeline);
        pipeline.append(&entries).expect("sealed");
        pipeline.flush(NOW).expect("flushed");
    };
    look("a");
    let (path, installation) = (
        folder.path().join("ledger"),
        InstallationId("shop".to_owned()),
    );
    let reader =
        Ledger::open_read(&path, &folder.path().join("keys"), &Context::default()).expect("opened");
    // As when a copy of the database takes over that hadn't heard of the last rows.
    let mut beside = engine::state::open(&reader, &path, None, &installation).expect("taken");
    let rows = |state: &mut stores::State| {
        (
            state.findings().expect("read"),
            state.incidents().expect("read"),
            state.sources().expect("read"),
            state.lists().expect("read"),
        )
    };
    let before = rows(&mut beside);
    assert!(!before.0.is_empty() && !before.1.is_empty());
    assert!(!before.2.is_empty() && !before.3.is_empty());
    beside.clear().expect("emptied");
    look("b");
    let after = rows(&mut beside);
    for row in &before.0 {
        let again = after.0.iter().find(|again| again.id == row.id);
        assert_eq!(again.map(|again| again.detected), Some(row.detected));
    }
    for row in &before.1 {
        assert!(after.1.iter().any(|again| again.id == row.id), "{row:?}");
    }
    assert_eq!(after.2.len(), before.2.len());
    let parts = |list: &stores::ListRow| list.body.matches("\"since\"").count();
    assert_eq!((parts(&before.3[0]), parts(&after.3[0])), (1, 2));
}

#[test]
fn a_bit_flipped_in_a_block_that_the_index_knows_is_no_end_of_collecting() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, size) = {
        let mut pipeline = open(folder.path());
        // More than one block, so that the first is known by its root alone.
        for number in 0..300 {
            let at = Timestamp(NOW.0 + number * Timestamp::SECOND);
            pipeline.tick(at).expect("sealed");
        }
        let entries = entries(&pipeline);
        pipeline.append(&entries).expect("sealed");
        pipeline.flush(NOW).expect("signed");
        (incidents(&pipeline), pipeline.ledger().len())
    };
    let leaves = folder.path().join("ledger/segments/00000000.leaf");
    let mut bytes = fs::read(&leaves).expect("leaves");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(&leaves, bytes).expect("written");
    let mut pipeline = open(folder.path());
    assert!(
        matches!(pipeline.opening(), Opening::Broken { .. }),
        "{:?}",
        pipeline.opening()
    );
    assert!(pipeline.ledger().len() < size);
    let told = incidents(&pipeline);
    assert!(
        told.iter().any(|one| one.severity == Level::Critical),
        "{told:#?}"
    );
    pipeline.flush(NOW).expect("goes on");
}

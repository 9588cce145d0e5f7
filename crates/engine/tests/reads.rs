//! Reads of tables of payments over starts: the same numbers as without one, counted again where the state has none, told to pages.

mod opened;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use detect::reads::{Account, Hour, Like};
use engine::desk::{Desk, Sight, TableReads};
use engine::intake::{Block, Intake};
use engine::pipeline::Pipeline;
use model::{Generation, Grant, Principal, Role, Scope, SourceId, StoreMap, Via};

use opened::{NOW, open};

/// The hour that `NOW` lies in.
fn now() -> Hour {
    Hour::of(NOW)
}

/// A statement as the audit plugin logs it, `hours` before now.
fn audit(hours: i64, number: i64, account: &str, statement: &str) -> String {
    let at = now().plus(-hours).begin().plus_seconds(60).to_string();
    let at = at.replace(['-', 'Z'], "").replace('T', " ");
    format!("{at},db1,{account},web1,{number},{number},QUERY,shop,'{statement}',0\n")
}

const READ: &str = "SELECT * FROM `sales_order_payment` WHERE (parent_id = 7)";

fn append(pipeline: &mut Pipeline, text: &str) {
    let format = parse::named("mariadb_server_audit").expect("a format");
    let source = SourceId("file:audit.log".to_owned());
    let tokens = pipeline.ledger().token_key();
    let offset = pipeline
        .positions()
        .get(&source)
        .map_or(0, |(_, at)| at.offset_bytes);
    let mut intake = Intake::new(source, Generation::default(), offset, format, tokens);
    let mut block = Block::default();
    intake.push(
        text.as_bytes(),
        true,
        pipeline.masker(),
        pipeline.context(),
        &mut block,
    );
    let mut records = std::mem::take(&mut block.records);
    let entry = |record| pipeline.entry(&intake, &block.bytes, record, NOW);
    let entries: Vec<_> = records.iter_mut().map(entry).collect();
    pipeline.append(&entries).expect("sealed");
}

/// Two reads by the shop in each of thirty hours, the newest now.
fn shop() -> String {
    let hours = (0..30).rev();
    let twice = |hour| [audit(hour, 10, "shop", READ), audit(hour, 11, "shop", READ)];
    hours.flat_map(twice).collect()
}

fn sight(pipeline: &mut Pipeline, scope: Scope) -> Sight {
    let desk = Desk::new(Box::new(|_| None));
    pipeline.show_on(desk.clone());
    let principal = Principal {
        account: "a".to_owned(),
        name: "ana".to_owned(),
        shown: "Ana".to_owned(),
        grants: vec![Grant {
            role: Role::Analyst,
            scope,
        }],
        via: Via::Session,
    };
    Sight::new(desk, principal, Arc::new(StoreMap::default()))
}

fn reads(pipeline: &mut Pipeline) -> Option<TableReads> {
    let sight = sight(pipeline, Scope::Installation);
    sight.reads_of("sales_order_payment", now().plus(-40)..=now(), now())
}

fn lose_state(folder: &Path) {
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        drop(fs::remove_file(folder.join(name)));
    }
}

#[test]
fn a_start_changes_no_number_however_the_one_before_ended() {
    let whole = tempfile::tempdir().expect("a folder");
    let mut pipeline = open(whole.path());
    append(&mut pipeline, &shop());
    append(&mut pipeline, &audit(0, 12, "shop", READ));
    let expected = reads(&mut pipeline).expect("told");
    let last = expected.hours.last().expect("hours");
    let figure = last.figure.expect("told");
    assert_eq!(figure.reads, 3);
    let usual = last.usual.expect("29 hours are known");
    assert_eq!(
        (usual.median, usual.hours, usual.like),
        (2, 29, Like::AnyHour)
    );
    // Nothing was told of the hours before.
    assert_eq!(expected.hours[0].figure, None);
    // After each of these the state reflects the first part, all, or nothing.
    for (saves, loses) in [(0, false), (1, false), (2, false), (2, true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut pipeline = open(folder.path());
        append(&mut pipeline, &shop());
        if saves > 0 {
            pipeline.checkpoint(NOW).expect("saved");
        }
        append(&mut pipeline, &audit(0, 12, "shop", READ));
        if saves > 1 {
            pipeline.flush(NOW).expect("saved");
        }
        drop(pipeline);
        if loses {
            lose_state(folder.path());
        }
        for _ in 0..2 {
            let mut pipeline = open(folder.path());
            assert_eq!(
                reads(&mut pipeline).as_ref(),
                Some(&expected),
                "{saves} {loses}"
            );
            pipeline.flush(NOW).expect("saved");
        }
    }
}

#[test]
fn what_an_earlier_version_sealed_is_counted_once_and_then_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pipeline = open(folder.path());
    append(&mut pipeline, &shop());
    pipeline.flush(NOW).expect("saved");
    let expected = reads(&mut pipeline);
    drop(pipeline);
    // The tables of it are there, and nothing is in the new one.
    let path = folder.path().join("state.sqlite");
    let place = stores::StatePlace::File(path);
    let rows = |text: &'static str| {
        let database = stores::Database::open(&place).expect("opened");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let row = sqlx::query_scalar::<_, i64>(text).fetch_optional(database.pool());
            row.await.expect("done").unwrap_or_default()
        })
    };
    let count = "SELECT COUNT(*) FROM read_hour";
    // Thirty hours, each with one table, and the row that says that these are all.
    assert_eq!(rows(count), 61);
    rows("DELETE FROM read_hour WHERE hour > 0 RETURNING hour");
    assert_eq!(rows(count), 0);
    let mut pipeline = open(folder.path());
    assert_eq!(reads(&mut pipeline), expected);
    pipeline.flush(NOW).expect("saved");
    drop(pipeline);
    assert_eq!(rows(count), 61);
}

#[test]
fn a_thief_s_hours_are_not_usual_and_a_hostile_name_is_a_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pipeline = open(folder.path());
    let thief = "t<script>\u{7f}";
    // Hours later the thief comes again; in between and before, the shop alone.
    let dump = "SELECT /*!40001 SQL_NO_CACHE */ * FROM `sales_order_payment`";
    append(&mut pipeline, &shop());
    append(&mut pipeline, &audit(5, 20, thief, dump));
    pipeline.flush(NOW).expect("saved");
    let told = reads(&mut pipeline).expect("told");
    assert_eq!(told.left_out, 1);
    let hour = &told.hours[told.hours.len() - 6];
    let account = Account::Named(thief.into());
    let by = hour.accounts.iter().find(|by| by.account == account);
    let by = by.expect("told apart");
    let usual = by.usual.expect("known");
    assert_eq!((by.figure.reads, usual.high, usual.hours), (1, 0, 28));
}

#[test]
fn whoever_works_for_one_store_is_told_of_no_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pipeline = open(folder.path());
    append(&mut pipeline, &shop());
    let narrow = sight(&mut pipeline, Scope::Website("main".to_owned()));
    let hours = || now().plus(-3)..=now();
    assert!(narrow.hours_of_reads().is_none());
    assert!(narrow.tables_read(hours()).is_empty());
    assert!(
        narrow
            .reads_of("sales_order_payment", hours(), now())
            .is_none()
    );
    let all = sight(&mut pipeline, Scope::Installation);
    assert_eq!(all.tables_read(hours()), ["sales_order_payment"]);
    assert!(
        all.reads_of("sales_order_payment", hours(), now())
            .is_some()
    );
    // As of now nothing was told of later hours.
    let later = now().plus(5)..=now().plus(9);
    assert!(all.reads_of("sales_order_payment", later, now()).is_none());
}

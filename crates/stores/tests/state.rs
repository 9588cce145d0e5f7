//! The contract of the state: the same on SQLite and, where `MAGEWARDEN_TEST_POSTGRES` names a server, on PostgreSQL.
//!
//! The address is one that may make databases, without the name of one: `postgres://postgres@127.0.0.1:5433`; `tests/services/state.py`
//! starts such a server. `MAGEWARDEN_TEST_POSTGRES_PASSWORD_FILE` may name its password's file.

mod outbox;
mod people;
mod reads;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Executor as _, Row as _};
use stores::{
    Database, FindingRow, HandlingRow, IncidentRow, ListRow, Looked, Looks, Owner, SourceRow,
    State, StatePlace, StateRow, StateUpdate, StoreError, each_row,
};
use tokio::runtime::Runtime;

#[cfg(feature = "postgres")]
#[expect(
    clippy::disallowed_methods,
    reason = "whoever starts the tests names a server by the environment"
)]
fn server(name: &str) -> Option<StatePlace> {
    let address = std::env::var("MAGEWARDEN_TEST_POSTGRES").ok()?;
    let password_file = std::env::var("MAGEWARDEN_TEST_POSTGRES_PASSWORD_FILE").ok();
    let server = stores::Server::new(
        &format!("{address}/{name}"),
        password_file.map(Into::into),
        None,
    );
    Some(StatePlace::Server(server.expect("an address")))
}

#[cfg(not(feature = "postgres"))]
fn server(_: &str) -> Option<StatePlace> {
    None
}

/// A new database at the server, where there is one.
fn made_at_server() -> Option<StatePlace> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    let name = format!("contract_{}_{number}", std::process::id());
    let first = Database::open(&server("postgres")?).expect("the server named answers");
    on(&first, &format!("CREATE DATABASE {name}"));
    server(&name)
}

/// Runs a claim at an empty place of each kind.
fn everywhere(claim: impl Fn(&StatePlace)) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = StatePlace::File(folder.path().join("state.sqlite"));
    for place in [Some(file), made_at_server()].into_iter().flatten() {
        claim(&place);
    }
}

#[test]
fn two_that_open_a_new_state_at_once_make_its_tables_once() {
    for _ in 0..8 {
        everywhere(|place| {
            let open = || Database::open(place).map(drop);
            let opened = std::thread::scope(|scope| {
                let all: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
                let all = all.into_iter().map(|one| one.join().expect("no panic"));
                all.collect::<Vec<_>>()
            });
            assert!(opened.iter().all(Result::is_ok), "{opened:?}");
        });
    }
}

/// Runs a statement by the pool; gives the number in its first row.
fn on(database: &Database, text: &str) -> i64 {
    wait(async {
        let mut connection = database.pool().acquire().await.expect("a connection");
        let text = sqlx::AssertSqlSafe(text.to_owned());
        let row = connection.fetch_optional(text).await.expect("a statement");
        connection.close().await.expect("closed");
        row.map_or(0, |row| row.try_get(0).unwrap_or_default())
    })
}

fn owner(id: &str, installation: &str) -> Owner {
    Owner {
        id: id.to_owned(),
        installation: installation.to_owned(),
    }
}

fn open(place: &StatePlace) -> State {
    let database = Database::open(place).expect("opened");
    State::open(&database, &owner("a", "shop")).expect("taken")
}

fn finding(sequence: u64, detected: i64) -> FindingRow {
    FindingRow {
        id: "f1".to_owned(),
        sequence,
        detected,
        first: -1,
        last: i64::MAX,
        body: format!("{{\"state\":{sequence},\"said\":\"it's \\u0000 $1 ? 😀\"}}"),
    }
}

fn update(reflects: u64, detected: i64) -> StateUpdate {
    StateUpdate {
        after: 0,
        reflects,
        sources: vec![SourceRow {
            id: "file:/a/'ä'".to_owned(),
            generation: "{}".to_owned(),
            offset_bytes: 1 << 40,
        }],
        findings: vec![finding(reflects, detected)],
        incidents: vec![IncidentRow {
            id: "i1".to_owned(),
            sequence: reflects,
            first: 1,
            last: 2,
            body: "{}".to_owned(),
        }],
        handlings: vec![HandlingRow {
            incident: "i1".to_owned(),
            sequence: reflects,
            body: format!("{{\"taken\":{reflects}}}"),
        }],
        settled: Vec::new(),
        lists: vec![ListRow {
            source: "inventory:/shop".to_owned(),
            body: format!("{{\"v\":{reflects}}}"),
        }],
        reads: vec![
            reads::row(-7, "", reflects),
            reads::row(495_834, "sales_order_payment", reflects),
        ],
        reads_from: Some(-7),
    }
}

#[track_caller]
fn holds(state: &mut State, expected: &StateUpdate) {
    let mut at_once = StateUpdate::default();
    let reflects = each_row(state.database(), &mut |row| match row {
        StateRow::Source(row) => at_once.sources.push(row),
        StateRow::Finding(row) => at_once.findings.push(row),
        StateRow::Incident(row) => at_once.incidents.push(row),
        StateRow::Handling(row) => at_once.handlings.push(row),
        _ => {}
    });
    assert_eq!(reflects.expect("read"), expected.reflects);
    assert_eq!(at_once.sources, expected.sources);
    assert_eq!(at_once.findings, expected.findings);
    assert_eq!(at_once.incidents, expected.incidents);
    assert_eq!(at_once.handlings, expected.handlings);
    assert_eq!(state.reflects().expect("read"), expected.reflects);
    assert_eq!(state.sources().expect("read"), expected.sources);
    assert_eq!(state.findings().expect("read"), expected.findings);
    assert_eq!(state.incidents().expect("read"), expected.incidents);
    assert_eq!(state.handlings().expect("read"), expected.handlings);
    assert_eq!(state.lists().expect("read"), expected.lists);
    assert_eq!(state.reads().expect("read"), expected.reads);
}

/// Waits for something that runs on the server's or the file's connections. One runtime for all: a connection of the pool
/// doesn't outlive the one it was made in.
fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        runtime.expect("a runtime")
    });
    RUNTIME.block_on(future)
}

#[test]
fn what_somebody_saw_is_kept_for_them_and_never_less() {
    everywhere(|place| {
        let database = Database::open(place).expect("opened");
        let looks = Looks::new(database);
        let look = |account: &str, incident: &str, decisions, findings| {
            let looked = Looked {
                decisions,
                findings,
            };
            wait(looks.look(account, incident, looked)).expect("written");
        };
        look("ana", "i1", 3, 2);
        look("ana", "i1", 2, 4);
        look("ana", "i2", 1, 1);
        look("bob", "i1", 9, 9);
        let of = wait(looks.of("ana")).expect("read");
        let seen: Vec<_> = of
            .iter()
            .map(|(id, looked)| (id.as_str(), looked.decisions, looked.findings))
            .collect();
        assert_eq!(seen, [("i1", 3, 4), ("i2", 1, 1)]);
        assert!(wait(looks.of("eve")).expect("read").is_empty());
    });
}

#[test]
fn the_latest_state_is_read_again_with_the_earliest_detection() {
    everywhere(|place| {
        let mut state = open(place);
        holds(&mut state, &StateUpdate::default());
        state.apply(&update(5, 70)).expect("written");
        state.apply(&update(9, 80)).expect("written");
        drop(state);
        let mut state = open(place);
        let mut expected = update(9, 80);
        expected.findings = vec![finding(9, 70)];
        holds(&mut state, &expected);
        // Once more, as after an answer that was lost.
        state.apply(&update(9, 80)).expect("written");
        holds(&mut state, &expected);
    });
}

#[test]
fn many_rows_and_long_ones_are_written_at_once_and_read_in_one_order() {
    everywhere(|place| {
        let mut state = open(place);
        let many = StateUpdate {
            reflects: 4000,
            findings: (0..1234)
                .map(|number| FindingRow {
                    id: format!("{:04x}", (number * 7919) % 65536),
                    body: "x".repeat(if number == 77 { 3 << 20 } else { 10 }),
                    ..finding(number, i64::try_from(number / 10).expect("small"))
                })
                .collect(),
            sources: ["Z", "a", "_", "é", "B", "b"]
                .map(|id| SourceRow {
                    id: id.to_owned(),
                    generation: String::new(),
                    offset_bytes: 0,
                })
                .to_vec(),
            ..StateUpdate::default()
        };
        state.apply(&many).expect("written");
        assert_eq!(state.findings().expect("read"), many.findings);
        let names: Vec<_> = state.sources().expect("read");
        let names: Vec<_> = names.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(names, ["B", "Z", "_", "a", "b", "é"]);
    });
}

#[test]
fn emptying_takes_the_projections_and_leaves_what_people_made_and_whose_it_is() {
    everywhere(|place| {
        let mut state = open(place);
        state.apply(&update(9, 70)).expect("written");
        let database = Database::open(place).expect("opened");
        on(&database, "CREATE TABLE person (name TEXT NOT NULL)");
        on(&database, "INSERT INTO person (name) VALUES ('ann')");
        state.clear().expect("emptied");
        holds(&mut state, &StateUpdate::default());
        assert_eq!(on(&database, "SELECT COUNT(*) FROM person"), 1);
        assert_eq!(on(&database, "SELECT COUNT(*) FROM owner"), 1);
        state.apply(&update(3, 70)).expect("written");
        state.forget().expect("emptied");
        holds(&mut state, &StateUpdate::default());
        assert_eq!(on(&database, "SELECT COUNT(*) FROM person"), 1);
        state.apply(&update(4, 70)).expect("written");
        holds(&mut state, &update(4, 70));
    });
}

#[test]
fn another_installations_database_is_refused_by_name_whatever_its_own_is() {
    everywhere(|place| {
        drop(open(place));
        let database = Database::open(place).expect("opened");
        for name in ["shop", "other"] {
            let error = State::open(&database, &owner("b", name)).err();
            let error = error.expect("refused");
            assert!(matches!(error, StoreError::Owned { .. }), "{error:?}");
            assert!(error.to_string().contains("\"shop\""), "{error}");
        }
        // One with the same key was renamed.
        drop(State::open(&database, &owner("a", "renamed")).expect("taken"));
        let error = State::open(&database, &owner("b", "shop")).err();
        assert!(error.expect("refused").to_string().contains("\"renamed\""));
    });
}

#[test]
fn rows_that_are_older_than_those_written_are_told_and_nothing_is_written_on_them() {
    everywhere(|place| {
        let mut state = open(place);
        let after = |after, reflects| StateUpdate {
            after,
            ..update(reflects, 70)
        };
        state.apply(&after(0, 5)).expect("written");
        // What was written before may be there already when its answer was lost.
        state.apply(&after(3, 6)).expect("written");
        state.apply(&after(6, 7)).expect("written");
        match state.apply(&after(8, 9)) {
            Err(StoreError::WentBack { entries, .. }) => assert_eq!(entries, 7),
            other => panic!("{other:?}"),
        }
        holds(&mut state, &update(7, 70));
        state.apply(&after(7, 9)).expect("written");
        holds(&mut state, &update(9, 70));
    });
}

#[test]
fn readers_beside_see_whole_updates_and_hold_no_writer_up() {
    everywhere(|place| {
        let mut state = open(place);
        state.apply(&update(5, 70)).expect("written");
        let database = Database::open(place).expect("opened");
        let entries = "SELECT entries FROM reflects";
        let (mut reader, before) = wait(async {
            let mut reader = database.pool().begin().await.expect("a connection");
            let row = reader.fetch_one(entries).await.expect("read");
            (reader, row.get::<i64, _>(0))
        });
        state.apply(&update(6, 70)).expect("written");
        wait(async {
            reader.execute(entries).await.expect("read");
            reader.commit().await.expect("ended");
            let row = database.pool().fetch_one(entries).await.expect("read");
            assert_eq!((before, row.get::<i64, _>(0)), (5, 6));
            database.pool().close().await;
        });
    });
}

#[test]
fn tables_of_a_version_before_are_brought_up_since_their_texts_have_not_changed() {
    // SHA-384 of the texts as they were given out: a database with others is refused.
    let given_out = [
        "402580a750f3c7d15a63b11590814631ea64714c8892c5027809e25b07c87af3ca2923cc3546401cb6302f251e381422",
        "55492181bb8d7812e8e55ff3ed333093964da09ae8e29999b385961b1c5ad67a802aebb72713043da442176f1bee22d8",
    ];
    everywhere(|place| {
        open(place).apply(&update(5, 70)).expect("written");
        let database = Database::open(place).expect("opened");
        // As version 2 left it.
        for table in [
            "mailed",
            "asked",
            "read_hour",
            "saved_view",
            "owner",
            "handling",
            "outbox",
            "upload",
            "looked",
            "ceremony",
            "passkey",
            "identity",
            "session",
            "api_token",
            "invitation",
            "account",
        ] {
            on(&database, &format!("DROP TABLE {table}"));
        }
        on(&database, "DELETE FROM _sqlx_migrations WHERE version > 2");
        for (version, hash) in (1..).zip(given_out) {
            let hex = match place {
                StatePlace::File(_) => "lower(hex(checksum))",
                StatePlace::Server(_) => "encode(checksum, 'hex')",
            };
            let text = format!(
                "SELECT COUNT(*) FROM _sqlx_migrations WHERE version = {version} AND {hex} = '{hash}'"
            );
            assert_eq!(on(&database, &text), 1, "migration {version} was changed");
        }
        drop(database);
        let mut expected = update(5, 70);
        expected.handlings.clear();
        expected.reads.clear();
        holds(&mut open(place), &expected);
        // One of a later version is refused.
        let database = Database::open(place).expect("opened");
        on(
            &database,
            "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 3",
        );
        drop(database);
        let error = Database::open(place).err().expect("refused");
        let cause = std::error::Error::source(&error).expect("a cause");
        assert!(cause.to_string().contains("9999"), "{cause}");
    });
}

#[test]
fn a_second_writer_at_a_server_is_refused_and_a_lost_session_comes_back_by_itself() {
    let Some(place) = made_at_server() else {
        return;
    };
    let mut state = open(&place);
    state.apply(&update(5, 70)).expect("written");
    let database = Database::open(&place).expect("opened");
    let second = State::open(&database, &owner("a", "shop")).err();
    let second = second.expect("refused");
    assert!(matches!(second, StoreError::InUse { .. }), "{second:?}");
    let end = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid()";
    for reflects in 6..10 {
        assert!(on(&database, end) > 0, "there was a session");
        state.apply(&update(reflects, 70)).expect("written");
        holds(&mut state, &update(reflects, 70));
    }
    // The lock came back with it.
    let second = State::open(&database, &owner("a", "shop")).err();
    assert!(matches!(second, Some(StoreError::InUse { .. })));
    drop(state);
    drop(State::open(&database, &owner("a", "shop")).expect("taken"));
}

//! Files that people attach: sealed with their decision, masked, found again, and destroyed where that is ordered.

use std::fs;
use std::path::Path;

use engine::attach::{Content, Shelf};
use engine::decider::{DecideError, Handed, Wish};
use engine::ledger::verify;
use model::{Act, Grant, Principal, Right, Role, Scope, Sequence};

use crate::house::House;
use crate::opened::NOW;
use crate::person;

fn attach(
    house: &mut House,
    who: &Principal,
    incident: &str,
    name: &str,
    content: &[u8],
) -> Result<u64, DecideError> {
    let handed = Handed {
        key: Some(format!("key of {name}")),
        incident: incident.to_owned(),
        name: name.to_owned(),
        about: format!("about {name}"),
        content: content.to_vec(),
    };
    let (decider, who) = (house.decider.clone(), who.clone());
    house.wait(async move { decider.attach(&who, handed, NOW).await })
}

/// What is kept of an incident's attachments.
fn kept(house: &House, folder: &Path, incident: &str) -> Vec<Content> {
    let shelf = Shelf::open(
        &folder.join("ledger"),
        &folder.join("keys"),
        parse::Context::default(),
    )
    .expect("opened");
    let handling = house.desk.handling(incident);
    handling
        .attachments()
        .map(|(_, attachment, entries)| {
            shelf.content(&attachment.kept_hash, entries).expect("read")
        })
        .collect()
}

fn without_state(folder: &Path) {
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        drop(fs::remove_file(folder.join(name)));
    }
}

#[test]
fn a_file_is_masked_sealed_found_again_without_the_state_and_destroyed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let table = b"name;card\nAna;4111111111111111\n".to_vec();
    let masked = b"name;card\nAna;************1111\n".to_vec();
    // Several parts, and nothing that a start takes for a decision.
    let forged = format!(
        r#"{{"what":"decision","v":1,"decision":{{"id":"x","incident":"{id}","by":{{"account":"a","name":"A"}},"at":1,"seen":0,"act":"move","to":"closed"}}}}"#
    );
    let long = forged.repeat((5 << 20) / 2 / forged.len());
    let analyst = person(Role::Analyst);
    attach(&mut house, &analyst, &id, "list.csv", &table).expect("sealed");
    attach(&mut house, &analyst, &id, "forged.json", forged.as_bytes()).expect("sealed");
    let last = attach(&mut house, &analyst, &id, "long.json", long.as_bytes()).expect("sealed");
    let wanted = [
        Content::Whole(masked),
        Content::Whole(forged.into_bytes()),
        Content::Whole(long.into_bytes()),
    ];
    assert_eq!(kept(&house, folder.path(), &id), wanted);
    let handling = house.desk.handling(&id);
    let (first, third) = (
        handling.taken[0].attachment().expect("one"),
        handling.taken[2].attachment().expect("one"),
    );
    assert_eq!(
        (first.0.masked, first.0.hash_kind.as_str()),
        (1, "hmac-sha256")
    );
    assert_eq!((third.0.entries, third.1), (3, last - 3..last));
    house.pipeline.flush(NOW).expect("signed");
    let rows = engine::compare::Rows::read(house.pipeline.database()).expect("read");
    let compared = engine::compare::compare(house.pipeline.ledger(), rows).expect("compared");
    assert_eq!(compared.count, 0, "{compared:?}");
    for entry in fs::read_dir(folder.path()).expect("a folder").flatten() {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let holds = bytes.windows(16).any(|some| some == b"4111111111111111");
        assert!(!holds, "{}", entry.path().display());
    }
    let before = house.state();
    drop(house);
    without_state(folder.path());
    let mut house = House::open(folder.path());
    assert_eq!(house.state(), before);
    assert_eq!(kept(&house, folder.path(), &id), wanted);
    // One is destroyed; the proofs hold, and the others are there.
    let which: Vec<Sequence> = third_entries(&house, &id).map(Sequence).collect();
    let ledger = house.pipeline.ledger_mut();
    ledger
        .redact(&which, ["Eve", "Adam"], "a person's letters", NOW)
        .expect("destroyed");
    house.pipeline.checkpoint(NOW).expect("signed");
    let left = kept(&house, folder.path(), &id);
    assert_eq!(left[..2], wanted[..2]);
    assert_eq!(left[2], Content::Destroyed);
    drop(house);
    let report = verify(&folder.path().join("ledger"), None, None).expect("read");
    assert_eq!((report.ok, report.redacted), (true, 3), "{report}");
}

fn third_entries(house: &House, incident: &str) -> std::ops::Range<u64> {
    let handling = house.desk.handling(incident);
    handling.taken[2].attachment().expect("one").1
}

#[test]
fn a_file_told_twice_or_after_a_kill_is_sealed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let analyst = person(Role::Analyst);
    let first = attach(&mut house, &analyst, &id, "a.txt", b"one").expect("sealed");
    let again = attach(&mut house, &analyst, &id, "a.txt", b"one").expect("the same");
    assert_eq!(first, again);
    let other = attach(&mut house, &analyst, &id, "a.txt", b"two");
    assert!(
        matches!(other, Err(DecideError::OtherDecision)),
        "{other:?}"
    );
    // Read while it is being written by another.
    let handling = house.desk.handling(&id);
    let (attachment, entries) = handling.taken[0].attachment().expect("one");
    let read = house
        .shelf
        .content(&attachment.kept_hash, entries)
        .expect("read");
    assert_eq!(read, Content::Whole(b"one".to_vec()));
    // No checkpoint: what became of it isn't written to the outbox, and its content waits there yet.
    let (before, size) = (house.state(), house.pipeline.ledger().len());
    drop(house);
    let mut house = House::open(folder.path());
    house.pipeline.take_outbox(NOW).expect("taken");
    assert_eq!(
        (house.state(), house.pipeline.ledger().len()),
        (before, size)
    );
    house.pipeline.flush(NOW).expect("signed");
    let pool = house.pipeline.database().pool().clone();
    let left: i64 = house.runtime.block_on(async move {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM upload");
        count.fetch_one(&pool).await.expect("counted")
    });
    assert_eq!(left, 0);
}

#[test]
fn content_that_was_lost_on_the_way_is_no_attachment() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let (decider, who) = (house.decider.clone(), person(Role::Analyst));
    let handed = Handed {
        key: None,
        incident: id.clone(),
        name: "a".to_owned(),
        about: "b".to_owned(),
        content: b"one".to_vec(),
    };
    let asked = house
        .runtime
        .spawn(async move { decider.attach(&who, handed, NOW).await });
    let pool = house.pipeline.database().pool().clone();
    house.runtime.block_on(async move {
        loop {
            let changed = sqlx::query("UPDATE upload SET body = 'b3Ro'")
                .execute(&pool)
                .await;
            if changed.expect("changed").rows_affected() == 1 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    while !asked.is_finished() {
        house.pipeline.take_outbox(NOW).expect("taken");
        std::thread::yield_now();
    }
    let told = house.runtime.block_on(asked).expect("no panic");
    let why = told.expect_err("refused").to_string();
    assert_eq!(why, "its content was lost on the way: attach it again");
    assert_eq!(house.desk.handling(&id).version(), 0);
}

#[test]
fn whoever_works_on_an_incident_attaches_to_it_and_by_handing_over_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    for role in Role::ALL {
        let told = attach(&mut house, &person(role), &id, "a.txt", b"one");
        match told {
            Ok(_) => assert!(role.may(Right::Work), "{role}"),
            Err(DecideError::NotAllowed { right: Right::Work }) => {
                assert!(!role.may(Right::Work), "{role}");
            }
            Err(error) => panic!("{role}: {error}"),
        }
    }
    let elsewhere = Principal {
        grants: vec![Grant {
            role: Role::Analyst,
            scope: Scope::View("us".to_owned()),
        }],
        ..person(Role::Analyst)
    };
    let told = attach(&mut house, &elsewhere, &id, "b.txt", b"one");
    assert!(matches!(told, Err(DecideError::NotThere)), "{told:?}");
    let empty = attach(&mut house, &person(Role::Analyst), &id, "c.txt", b"");
    assert!(matches!(empty, Err(DecideError::Unfit { .. })), "{empty:?}");
    let told_of = house.desk.handling(&id).taken[0].decision.act.clone();
    assert!(matches!(told_of, Act::Attach(_)));
    let wish = Wish {
        key: None,
        incident: id.clone(),
        seen: 0,
        act: told_of,
        reason: String::new(),
    };
    let told = house.ask(&person(Role::Analyst), wish);
    assert!(matches!(told, Err(DecideError::Refused { .. })), "{told:?}");
}

//! What people decide: sealed once, folded alike by a run and by a start, and never lost with the state.

mod advising;
mod attaching;
mod house;
mod opened;
mod resting;
mod telling;

use std::fs;

use engine::decider::{DecideError, Wish};
use engine::sealed::Decided;
use house::House;
use model::{Act, CommentKind, Grant, Handling, IncidentState, Principal, Role, Sequence, Via};
use opened::NOW;

fn person(role: Role) -> Principal {
    Principal {
        account: format!("id-{role}"),
        name: role.name().to_owned(),
        shown: format!("A {role}"),
        grants: vec![Grant::all(role)],
        via: Via::Session,
    }
}

fn comment(text: &str) -> Act {
    Act::Comment {
        text: text.to_owned(),
        kind: CommentKind::Fact,
    }
}

fn to(to: IncidentState) -> Act {
    Act::Move { to }
}

#[test]
fn a_decision_is_sealed_shown_and_found_again_by_a_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let lead = person(Role::IncidentLead);
    let sequence = house
        .decide(&lead, &id, to(IncidentState::Declared), "")
        .expect("sealed");
    house
        .decide(&lead, &id, comment("the agency's jump host"), "")
        .expect("sealed");
    assert_eq!(house.desk.handling(&id).state, IncidentState::Declared);
    let payload = house
        .pipeline
        .ledger()
        .read(Sequence(sequence))
        .expect("read")
        .payload
        .expect("there");
    let decided: Decided = serde_json::from_slice(&payload).expect("JSON");
    assert!(
        matches!(decided, Decided::Decision { decision, .. } if decision.by.name == "A incident lead")
    );
    let before = house.state();
    house.pipeline.checkpoint(NOW).expect("signed");
    let size = house.pipeline.ledger().len();
    drop(house);
    let house = House::open(folder.path());
    assert_eq!(
        (house.state(), house.pipeline.ledger().len()),
        (before.clone(), size)
    );
    drop(house);
    // The state is lost: the ledger has it all, and nothing waits to be sealed once more.
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        drop(fs::remove_file(folder.path().join(name)));
    }
    let mut house = House::open(folder.path());
    house.pipeline.take_outbox(NOW).expect("nothing waits");
    assert_eq!(
        (house.state(), house.pipeline.ledger().len()),
        (before, size)
    );
}

#[test]
fn a_kill_between_sealing_and_saying_so_seals_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let analyst = person(Role::Analyst);
    house
        .decide(&analyst, &id, comment("one"), "")
        .expect("sealed");
    let (who, read) = (
        model::Person {
            account: "a".to_owned(),
            name: "A".to_owned(),
        },
        [3, 4],
    );
    assert!(house.runtime.block_on(house.trail.read(&who, &read, NOW)));
    let size = house.pipeline.ledger().len();
    while house.pipeline.ledger().len() == size {
        house.pipeline.take_outbox(NOW).expect("taken");
    }
    // No checkpoint: what became of the rows isn't written to the outbox.
    let (before, size) = (house.state(), house.pipeline.ledger().len());
    drop(house);
    let mut house = House::open(folder.path());
    house.pipeline.take_outbox(NOW).expect("taken");
    assert_eq!(house.pipeline.ledger().len(), size);
    assert_eq!(house.state(), before);
}

#[test]
fn one_key_is_one_decision_however_often_it_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let analyst = person(Role::Analyst);
    let wish = |text: &str| Wish {
        key: Some("key-1".to_owned()),
        incident: id.clone(),
        seen: 0,
        act: comment(text),
        reason: String::new(),
    };
    let first = house.ask(&analyst, wish("one")).expect("sealed");
    assert_eq!(house.ask(&analyst, wish("one")).expect("the same"), first);
    assert!(matches!(
        house.ask(&analyst, wish("two")),
        Err(DecideError::OtherDecision)
    ));
    assert_eq!(house.desk.handling(&id).version(), 1);
}

#[test]
fn roles_decide_what_is_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    for role in Role::ALL {
        let mut may = |act: Act, reason: &str| match house.decide(&person(role), &id, act, reason) {
            Ok(_) => true,
            Err(DecideError::NotAllowed { .. }) => false,
            Err(error) => panic!("{role}: {error}"),
        };
        assert_eq!(
            may(comment("x"), ""),
            role.may(model::Right::Work),
            "{role}"
        );
        let severity = Act::Severity {
            to: Some(model::Level::Critical),
            told: model::Level::default(),
        };
        assert_eq!(
            may(severity, "sure"),
            role.may(model::Right::Decide),
            "{role}"
        );
    }
    let elsewhere = Principal {
        grants: vec![Grant {
            role: Role::IncidentLead,
            scope: model::Scope::View("us".to_owned()),
        }],
        ..person(Role::IncidentLead)
    };
    // Not "you may not": whoever doesn't see it isn't told that it is there.
    let refused = house.decide(&elsewhere, &id, Act::Acknowledge, "");
    assert!(matches!(refused, Err(DecideError::NotThere)), "{refused:?}");
}

#[test]
fn numbers_that_people_paste_are_masked_before_they_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let analyst = person(Role::Analyst);
    house
        .decide(
            &analyst,
            &id,
            comment("he typed 4111 1111 1111 1111 and left"),
            "",
        )
        .expect("sealed");
    // A program may send any words where a name goes, and as its key.
    let number = || "4111 1111 1111 1111".to_owned();
    let person = || {
        Some(model::Person {
            account: number(),
            name: number(),
        })
    };
    for act in [
        Act::Lead { to: person() },
        Act::AddTask {
            title: number(),
            owner: person(),
            due: None,
        },
    ] {
        let wish = Wish {
            key: Some(format!("{} {}", number(), act.name())),
            incident: id.clone(),
            seen: house.desk.handling(&id).version(),
            act,
            reason: number(),
        };
        house.ask(&analyst, wish).expect("sealed");
    }
    let handling = house.desk.handling(&id);
    assert!(!format!("{handling:?}").contains("4111 "), "{handling:?}");
    let Act::Comment { text, .. } = &handling.taken[0].decision.act else {
        panic!("a comment")
    };
    assert_eq!(text, "he typed **** **** **** 1111 and left");
    house.pipeline.checkpoint(NOW).expect("signed");
    for file in ["state.sqlite", "state.sqlite-wal"] {
        let bytes = fs::read(folder.path().join(file)).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&bytes).contains("4111 1111"),
            "{file}"
        );
    }
}

#[test]
fn people_merge_and_split_and_a_start_finds_it_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let ids = house.dump(10..13);
    assert_eq!(ids.len(), 3);
    let lead = person(Role::IncidentLead);
    let into = ids[0].clone();
    for from in &ids[1..] {
        house
            .decide(&lead, from, Act::Merge { into: into.clone() }, "one thief")
            .expect("merged");
    }
    assert_eq!(house.ids(), std::slice::from_ref(&into));
    let findings: Vec<String> = house.state().0[0]
        .findings
        .iter()
        .map(|joined| joined.finding.clone())
        .collect();
    let off: Vec<String> = findings
        .iter()
        .filter(|id| **id != into)
        .take(1)
        .cloned()
        .collect();
    let first = house.decide(
        &lead,
        &into,
        Act::Split {
            findings: vec![into.clone()],
        },
        "x",
    );
    assert!(
        matches!(first, Err(DecideError::Refused { .. })),
        "{first:?}"
    );
    house
        .decide(
            &lead,
            &into,
            Act::Split {
                findings: off.clone(),
            },
            "two thieves",
        )
        .expect("split");
    let mut expected = vec![into.clone(), off[0].clone()];
    expected.sort();
    assert_eq!(house.ids(), expected);
    let before = house.state();
    house.pipeline.checkpoint(NOW).expect("signed");
    drop(house);
    assert_eq!(House::open(folder.path()).state(), before);
}

#[test]
fn rows_that_somebody_changed_are_named_and_the_rest_is_said_to_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..12).remove(0);
    house
        .decide(&person(Role::Analyst), &id, comment("x"), "")
        .expect("sealed");
    house.pipeline.flush(NOW).expect("signed");
    let look = |house: &House| {
        let rows = engine::compare::Rows::read(house.pipeline.database()).expect("read");
        engine::compare::compare(house.pipeline.ledger(), rows).expect("compared")
    };
    let whole = look(&house);
    assert_eq!(
        (whole.count, whole.entries),
        (0, whole.reflects),
        "{whole:?}"
    );
    assert!(whole.rows >= 6, "{whole:?}");
    let change = |text: &'static str| {
        let pool = house.pipeline.database().pool().clone();
        house
            .runtime
            .block_on(async move { sqlx::query(text).execute(&pool).await.expect("changed") });
    };
    change(
        "UPDATE finding SET body = replace(body, 'shop', 'nobody') WHERE id = (SELECT min(id) FROM finding)",
    );
    change("DELETE FROM handling");
    change(
        "INSERT INTO incident (id, sequence, first, last, body) VALUES ('planted', 1, 1, 1, '{}')",
    );
    let changed = look(&house);
    let told: Vec<_> = changed
        .differences
        .iter()
        .map(|one| (one.table, one.what))
        .collect();
    assert_eq!(
        told,
        [
            ("finding", "differs"),
            ("incident", "unknown"),
            ("handling", "missing")
        ]
    );
}

#[test]
fn what_is_found_later_and_weighs_more_is_not_held_down_by_a_person() {
    use engine::handled::severity_of;
    use model::Level;
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    house.dump(10..11);
    let mut incident = house.state().0.remove(0);
    let handling = Handling {
        severity: Some((Level::Low, Level::Medium)),
        ..Handling::default()
    };
    for (machine, floor, expected) in [
        (Level::Medium, Level::Informational, Level::Low),
        (Level::Medium, Level::Medium, Level::Medium),
        (Level::High, Level::Informational, Level::High),
        (Level::Low, Level::Informational, Level::Low),
    ] {
        (incident.severity, incident.severity_floor) = (machine, floor);
        assert_eq!(severity_of(&incident, Some(&handling)), expected);
    }
}

#[test]
fn who_may_only_look_at_an_incident_merges_nothing_into_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let ids = house.dump(10..12);
    let scopes = |id: &str, scope: model::Scope| {
        let mut incident = house
            .state()
            .0
            .into_iter()
            .find(|one| one.id == id)
            .expect("there");
        incident.scopes = vec![scope];
        incident
    };
    let view = |code: &str| model::Scope::View(code.to_owned());
    let incidents = vec![scopes(&ids[0], view("us")), scopes(&ids[1], view("fr"))];
    let findings = Vec::new();
    house.desk.publish(engine::desk::Update::Decided {
        findings,
        incidents,
    });
    let grant = |role, scope| Grant { role, scope };
    let who = Principal {
        grants: vec![
            grant(Role::IncidentLead, view("us")),
            grant(Role::Viewer, view("fr")),
        ],
        ..person(Role::IncidentLead)
    };
    let into = ids[1].clone();
    let refused = house.decide(&who, &ids[0], Act::Merge { into }, "one thief");
    assert!(
        matches!(refused, Err(DecideError::NotAllowed { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_is_expected_to_be_silent_is_found_again_by_a_start_and_over_by_itself() {
    use engine::desk::{SourceView, Update};
    use engine::pause::PauseWish;
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = "file:access.log".to_owned();
    house.desk.publish(Update::Sources(vec![SourceView {
        id: id.clone(),
        ..SourceView::default()
    }]));
    let wish = PauseWish {
        key: None,
        source: id,
        until: Some(NOW.plus_seconds(3600)),
        reason: "the web server is moved".to_owned(),
    };
    let (decider, lead) = (house.decider.clone(), person(Role::IncidentLead));
    let asked = house
        .runtime
        .spawn(async move { decider.pause(&lead, wish, NOW).await });
    while !asked.is_finished() {
        house.pipeline.take_outbox(NOW).expect("taken");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let sealed = house.runtime.block_on(asked).expect("ended");
    let sequence = sealed.expect("sealed");
    house.pipeline.checkpoint(NOW).expect("signed");
    let held = |house: &House, seconds| {
        let pauses = house.pipeline.pauses();
        let held = pauses.holding(NOW.plus_seconds(seconds));
        held.cloned().collect::<Vec<_>>()
    };
    let before = held(&house, 10);
    assert_eq!((before.len(), held(&house, 3600).len()), (1, 0));
    drop(house);
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        drop(fs::remove_file(folder.path().join(name)));
    }
    let mut house = House::open(folder.path());
    house.pipeline.take_outbox(NOW).expect("nothing waits");
    assert_eq!(held(&house, 10), before, "by the ledger alone");
    let entry = house.pipeline.ledger().read(Sequence(sequence));
    let header = entry.expect("read").header;
    assert_eq!(header.source.0, engine::pause::SOURCE);
}

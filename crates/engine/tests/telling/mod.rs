//! What other systems tell: sealed, one finding for each id, grouped as ours are, and the same after a start.

use std::fs;

use engine::external::{Claim, Heard, PER_MINUTE, TellError};
use engine::ledger::{EntryKind, NewEntry};
use engine::sealed::Decided;
use model::{
    Act, CommentKind, Finding, Grant, IncidentState, Lane, Level, Principal, Role, Scope, Sequence,
    SourceId,
};
use serde_json::{Value, json};
use sinks::memory::{Memory, Told};
use stores::{Database, Outbox, OutboxRow, Outcome, StatePlace};

use crate::house::House;
use crate::opened::NOW;
use crate::person;

/// A claim; `more` replaces what it says.
fn claim(id: &str, more: Value) -> Claim {
    let mut claim = json!({
        "system": "qradar", "external_id": id, "title": "Bulk read of payments", "level": "high",
        "first": "2026-08-05T10:10:00Z", "last": "2026-08-05T10:14:00Z",
        "actors": [{"kind": "address", "value": "203.0.113.66"}],
        "scope": {"kind": "installation"}, "reason": "offense 17",
        "link": "https://siem.example/offense/17",
    });
    if let Value::Object(more) = more {
        for (name, value) in more {
            claim[name] = value;
        }
    }
    serde_json::from_value(claim).expect("a claim")
}

fn tell(house: &mut House, by: &Principal, claims: Vec<Claim>) -> Result<Vec<Heard>, TellError> {
    let (decider, by) = (house.decider.clone(), by.clone());
    house.wait(async move { decider.tell(&by, claims, NOW).await })
}

fn sealed(heard: &Heard) -> u64 {
    let sealed = match heard.outcome {
        Some(Outcome::Sealed(sequence)) => Some(sequence),
        _ => None,
    };
    sealed.expect("sealed")
}

fn findings(house: &House) -> Vec<Finding> {
    house.pipeline.judge().findings().cloned().collect()
}

#[test]
fn what_is_told_is_sealed_grouped_with_ours_and_the_same_after_a_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let ours = house.dump(10..11).remove(0);
    let siem = person(Role::StoreAdmin);
    let dump = findings(&house).remove(0);
    let seen = || json!({ "actors": dump.actors, "first": dump.first.to_string(), "last": dump.last.to_string() });
    let heard = tell(&mut house, &siem, vec![claim("17", seen())]).expect("taken");
    let entry = house.pipeline.ledger().read(Sequence(sealed(&heard[0])));
    let payload = entry.expect("read").payload.expect("there");
    let decided: Decided = serde_json::from_slice(&payload).expect("JSON");
    assert!(matches!(decided, Decided::External { by, .. } if by.account == siem.account));
    let finding = house.desk.finding(&heard[0].finding).expect("shown");
    assert_eq!(finding.rule, "external:qradar");
    assert_eq!(finding.events[0].sequence.0, sealed(&heard[0]));
    let external = finding.external.as_deref().expect("kept");
    assert_eq!(
        (external.system.as_str(), external.id.as_str()),
        ("qradar", "17")
    );
    // The same connection: one incident, whoever saw it.
    let incident = house.desk.incident_of(&finding.id).expect("in one");
    let incident = house.desk.incident(&incident.id).expect("there");
    let joined: Vec<&str> = incident
        .findings
        .iter()
        .map(|one| one.finding.as_str())
        .collect();
    assert!(joined.contains(&dump.id.as_str()), "{incident:?}");
    assert_eq!(house.ids().len(), 1, "{ours}");
    house.pipeline.checkpoint(NOW).expect("signed");
    let before = (
        house.state(),
        findings(&house),
        house.pipeline.ledger().len(),
    );
    drop(house);
    let house = House::open(folder.path());
    assert_eq!(
        (
            house.state(),
            findings(&house),
            house.pipeline.ledger().len()
        ),
        before
    );
    drop(house);
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        drop(fs::remove_file(folder.path().join(name)));
    }
    let mut house = House::open(folder.path());
    let again = tell(&mut house, &siem, vec![claim("17", seen())]).expect("known");
    assert_eq!(again, heard);
    assert_eq!(
        (
            house.state(),
            findings(&house),
            house.pipeline.ledger().len()
        ),
        before
    );
}

#[test]
fn told_again_it_is_an_update_and_never_a_second_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let siem = person(Role::StoreAdmin);
    let first = tell(&mut house, &siem, vec![claim("17", json!({}))]).expect("taken");
    let size = house.pipeline.ledger().len();
    let same = tell(&mut house, &siem, vec![claim("17", json!({}))]).expect("known");
    assert_eq!((&same, house.pipeline.ledger().len()), (&first, size));
    // Back and forth in one call: the last one counts.
    let titles = ["B", "A", "B"].map(|title| claim("17", json!({ "title": title })));
    let heard = tell(&mut house, &siem, titles.to_vec()).expect("taken");
    assert!(heard.iter().all(|one| one.finding == first[0].finding));
    let all = findings(&house);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].title.as_str(), all[0].event_count), ("B", 4));
    assert_eq!(
        all[0].events.last().map(|at| at.sequence.0),
        Some(sealed(&heard[2]))
    );
    assert_eq!(house.ids().len(), 1);
}

#[test]
fn a_run_killed_before_the_finding_was_sealed_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let siem = person(Role::StoreAdmin);
    tell(&mut house, &siem, vec![claim("17", json!({}))]).expect("taken");
    house.pipeline.checkpoint(NOW).expect("signed");
    let known = findings(&house).remove(0);
    let news = Finding {
        title: "It goes on".to_owned(),
        event_count: 0,
        events: Vec::new(),
        ..known.clone()
    };
    let decided = Decided::External {
        v: engine::sealed::VERSION,
        id: "row".to_owned(),
        by: model::Person {
            account: siem.account,
            name: siem.shown,
        },
        at: NOW,
        finding: Box::new(news),
    };
    let payload = decided.to_bytes().expect("JSON");
    let body = String::from_utf8(payload.clone()).expect("text");
    let entry = NewEntry {
        kind: EntryKind::Decided,
        lane: Lane::Live,
        identity: None,
        source: SourceId("magewarden:external".to_owned()),
        said: None,
        received: NOW,
        format: "magewarden_v1".into(),
        quarantined: false,
        marks: Vec::new(),
        payload,
        tokens: Vec::new(),
    };
    let sequence = house.pipeline.ledger_mut().append(&[entry]);
    let sequence = sequence.expect("appended");
    drop(house);
    let mut house = House::open(folder.path());
    let all = findings(&house);
    assert_eq!((all.len(), all[0].title.as_str()), (1, "It goes on"));
    assert_eq!((&all[0].id, all[0].event_count), (&known.id, 2));
    assert_eq!(all[0].events.last().map(|at| at.sequence), Some(sequence));
    // The row that told it waits once more: what it tells is known.
    house.pipeline.checkpoint(NOW).expect("signed");
    let size = house.pipeline.ledger().len();
    let place = StatePlace::File(folder.path().join("state.sqlite"));
    let outbox = Outbox::new(Database::open(&place).expect("opened"));
    let row = OutboxRow {
        id: "row-2".to_owned(),
        written: NOW.0,
        body,
    };
    house.runtime.block_on(outbox.put(&row)).expect("put");
    house.pipeline.take_outbox(NOW).expect("taken");
    assert_eq!(
        (findings(&house), house.pipeline.ledger().len()),
        (all.clone(), size)
    );
    drop(house);
    assert_eq!(findings(&House::open(folder.path())), all);
}

#[test]
fn whoever_works_for_one_store_tells_of_that_store_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let at = |code: &str| json!({"scope": {"kind": "view", "code": code}});
    let of = |code: &str| Principal {
        account: format!("id-{code}"),
        grants: vec![Grant {
            role: Role::StoreAdmin,
            scope: Scope::View(code.to_owned()),
        }],
        ..person(Role::StoreAdmin)
    };
    for (who, more) in [
        (of("us"), at("de")),
        (of("us"), json!({"scope": {"kind": "unknown"}})),
        (of("us"), json!({})),
        (person(Role::Viewer), at("us")),
        (person(Role::Auditor), json!({})),
        (person(Role::Admin), json!({})),
    ] {
        // One that doesn't fit: none of them is taken.
        let claims = vec![claim("1", at("us")), claim("2", more)];
        let told = tell(&mut house, &who, claims);
        assert!(
            matches!(told, Err(TellError::NotAllowed { .. })),
            "{told:?}"
        );
    }
    assert!(findings(&house).is_empty());
    tell(&mut house, &of("us"), vec![claim("17", at("us"))]).expect("taken");
    // The id of another store's finding isn't taken over.
    for who in [of("de"), person(Role::Analyst)] {
        let told = tell(&mut house, &who, vec![claim("17", at("de"))]);
        assert!(
            matches!(told, Err(TellError::Elsewhere { at: 0 })),
            "{told:?}"
        );
    }
    // Nor when both are told at once.
    let both = vec![claim("18", at("us")), claim("18", at("de"))];
    let told = tell(&mut house, &person(Role::Analyst), both).expect("taken");
    assert!(
        matches!(told[1].outcome, Some(Outcome::Refused(_))),
        "{told:?}"
    );
    let places: Vec<Scope> = findings(&house).into_iter().map(|one| one.scope).collect();
    assert_eq!(places, vec![Scope::View("us".to_owned()); 2]);
}

#[test]
fn only_so_many_are_taken_at_once_and_within_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let siem = person(Role::StoreAdmin);
    let many = |count: usize| vec![claim("17", json!({})); count];
    for count in [0, 101] {
        let told = tell(&mut house, &siem, many(count));
        assert!(matches!(told, Err(TellError::Count)), "{told:?}");
    }
    for _ in 0..PER_MINUTE / 100 {
        tell(&mut house, &siem, many(100)).expect("taken");
    }
    let told = tell(&mut house, &siem, many(1));
    assert!(
        matches!(told, Err(TellError::Often { seconds: 60 })),
        "{told:?}"
    );
    tell(&mut house, &person(Role::Analyst), many(1)).expect("another's");
}

#[test]
fn sinks_are_told_of_findings_incidents_and_decisions_in_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let (memory, told) = Memory::new(100);
    house.pipeline.tell(Box::new(memory));
    tell(
        &mut house,
        &person(Role::StoreAdmin),
        vec![claim("17", json!({}))],
    )
    .expect("taken");
    let id = house.ids().remove(0);
    let lead = person(Role::IncidentLead);
    let to = IncidentState::Declared;
    let sequence = house
        .decide(&lead, &id, Act::Move { to }, "")
        .expect("sealed");
    house
        .decide(
            &lead,
            &id,
            Act::Comment {
                text: "x".to_owned(),
                kind: CommentKind::Fact,
            },
            "",
        )
        .expect("sealed");
    let told: Vec<Told> = told.try_iter().collect();
    assert!(matches!(&told[0], Told::Finding { finding, .. } if finding.external.is_some()));
    assert!(matches!(&told[1], Told::Incident { incident, .. } if incident.id == id));
    let decisions = told.iter().filter_map(|told| match told {
        Told::Decision {
            decision,
            sequence,
            state,
            severity,
            ..
        } => Some((decision.by.account.as_str(), sequence.0, *state, *severity)),
        _ => None,
    });
    let decisions: Vec<_> = decisions.collect();
    assert_eq!(decisions.len(), 2, "{told:?}");
    assert_eq!(
        decisions[0],
        (lead.account.as_str(), sequence, to, Level::High)
    );
    assert_eq!(decisions[1].2, to);
}

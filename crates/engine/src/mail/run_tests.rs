//! Whom a run of containment that waits is told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Ask, Grant, Incident, Level, Order, Person, Principal, Role, Scope, Sequence, StoreMap,
    Timestamp, Via,
};
use playbook::hash_words;

use super::occasions::{Known, Limits, Occasion, Reader, look};
use crate::containment::{Playbooks, Standing, plan_of};
use crate::desk::{Desk, Sight, Update};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// A plan that `ana` asks for and can't approve.
fn asked() -> Standing {
    let values = [
        ("__file__", "pub/media/x.php"),
        ("__network__", "203.0.113.66"),
    ];
    let values: BTreeMap<_, _> = values
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let plan = plan_of(
        &Playbooks::default(),
        "web-shell",
        &values,
        &StoreMap::default(),
    )
    .expect("a plan");
    let ask = Ask::Propose {
        host: "shop1".to_owned(),
        hash: hash_words(&plan),
        plan: Box::new(plan),
        answers: BTreeMap::new(),
        signs: false,
    };
    Standing::proposed(&order("o1", "ana", ask), Sequence(1)).expect("proposed")
}

fn order(id: &str, by: &str, ask: Ask) -> Order {
    Order {
        id: id.to_owned(),
        run: "run-1".to_owned(),
        incident: "a".to_owned(),
        by: Person {
            account: by.to_owned(),
            name: by.to_owned(),
        },
        at: NOW,
        note: "because".to_owned(),
        ask,
    }
}

fn reader(account: &str, role: Role, scope: Scope) -> Reader {
    Reader {
        address: format!("{account}@example.com"),
        is_on_duty: false,
        people: vec![Principal {
            account: account.to_owned(),
            name: account.to_owned(),
            shown: account.to_owned(),
            grants: vec![Grant { role, scope }],
            via: Via::Session,
        }],
        since: NOW,
    }
}

/// What is told, and what is known from then on.
fn told(reader: &Reader, run: &Standing, known: Option<&Known>) -> (Vec<Occasion>, Option<Known>) {
    let desk = Desk::new(Box::new(|_| None));
    let incident = Incident {
        id: "a".to_owned(),
        severity: Level::High,
        scopes: vec![Scope::View("us".to_owned())],
        detected: NOW,
        ..sinks::contract::incident()
    };
    desk.publish(Update::Decided {
        findings: Vec::new(),
        incidents: vec![incident],
    });
    let all = reader_of_all();
    let sight = Sight::new(desk, all, Arc::default());
    let work = sight.in_brief("a").expect("there");
    let limits = Limits {
        severity: Level::High,
        clock_seconds: 0,
    };
    let runs = [Arc::new(run.clone())];
    let stores = StoreMap::default();
    match look(reader, &work, &runs, known, limits, &stores, NOW) {
        Some(look) => (look.occasions, Some(look.then)),
        None => (Vec::new(), None),
    }
}

fn reader_of_all() -> Principal {
    let mut reader = reader("all", Role::Viewer, Scope::Installation);
    reader.people.remove(0)
}

#[test]
fn a_run_that_waits_is_told_on_duty_and_to_whoever_may_approve_it() {
    let run = asked();
    let waits = Occasion::Run {
        host: "shop1".to_owned(),
        waits: "one person's approval".to_owned(),
    };
    let us = || Scope::View("us".to_owned());
    for (account, role, scope, is_told) in [
        ("bob", Role::Approver, us(), true),
        ("bob", Role::Approver, Scope::View("fr".to_owned()), false),
        ("bob", Role::Analyst, us(), false),
        // Whoever asked for it can't approve it.
        ("ana", Role::Approver, us(), false),
    ] {
        let reader = reader(account, role, scope);
        let (occasions, known) = told(&reader, &run, None);
        assert_eq!(occasions.contains(&waits), is_told, "{account} {role}");
        let (again, _) = told(&reader, &run, known.as_ref());
        assert!(again.is_empty(), "it is told once: {again:?}");
    }
    let mut duty = reader("duty", Role::Viewer, us());
    duty.people.clear();
    duty.is_on_duty = true;
    let (occasions, known) = told(&duty, &run, None);
    assert_eq!(occasions, [Occasion::Opened, waits.clone()]);
    // Approved, it waits for nobody; what waits anew is told anew.
    let mut approved = run.clone();
    let hash = run.hash.clone();
    approved.take(&order("o2", "bob", Ask::Approve { hash }), Sequence(2));
    let (occasions, known) = told(&duty, &approved, known.as_ref());
    assert!(occasions.is_empty(), "{occasions:?}");
    assert_eq!(told(&duty, &run, known.as_ref()).0, [waits]);
}

//! Changes of steps: each does what it says and leaves the rest as it was.

use std::collections::BTreeMap;

use playbook::{
    Document, EXPECTED, EXTENSION, EditError, Law, StepChange, StepKind, change_step, check,
    insert_after, move_down, move_up, orders, remove_step,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::ways::any_workflow;
use crate::{NAMES, shipped};

const NEW: &str = "action--99999999-9999-4999-8999-999999999999";

fn read(value: &Value) -> Document {
    Document::read(value.to_string().as_bytes()).expect("it is read")
}

/// The step as a form would send it back unchanged.
fn as_it_is(document: &Document, id: &str) -> StepChange {
    let step = &document.steps[id];
    let value = &document.value()["workflow"][id];
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let ours = &value["step_extensions"][EXTENSION];
    let names = ["action", "effect", "on_breach", "deadline_seconds", "bound"];
    let said = |name: &'static str| match &ours[name] {
        Value::String(text) => (name, text.clone()),
        Value::Number(number) => (name, number.to_string()),
        _ => (name, String::new()),
    };
    let wanted = step.wanted.clone().unwrap_or_default();
    let is_action = matches!(step.kind, StepKind::Action { .. });
    StepChange {
        name: text("name"),
        description: text("description"),
        does: is_action.then(|| {
            let manual = value["commands"].as_array().into_iter().flatten();
            let mut manual = manual.filter(|one| one["type"] == "manual");
            let text = manual.next().and_then(|one| one["command"].as_str());
            text.unwrap_or_default().to_owned()
        }),
        condition: value["condition"].as_str().map(str::to_owned),
        timeout: Some(
            value["timeout"]
                .as_u64()
                .map(|time| time.to_string())
                .unwrap_or_default(),
        ),
        ours: Some(names.into_iter().map(said).collect()),
        arguments: wanted.arguments,
        next: step
            .next
            .completion
            .clone()
            .or(step.next.success.clone())
            .unwrap_or_default(),
        failure: step.next.failure.clone().unwrap_or_default(),
    }
}

#[test]
fn a_form_sent_back_as_it_is_changes_nothing() {
    for name in NAMES {
        let document = shipped(name);
        let mut value = document.value().clone();
        for id in document.steps.keys() {
            change_step(&mut value, id, &as_it_is(&document, id)).expect("it is there");
        }
        assert_eq!(&value, document.value(), "{name}");
    }
}

fn step_named(document: &Document, name: &str) -> String {
    let mut all = document.steps.iter();
    let found = all.find(|(_, step)| step.name == name);
    found.expect("a step of that name").0.clone()
}

#[test]
fn what_a_form_says_is_written_and_what_is_no_number_is_told_at_its_place() {
    let document = shipped("web-shell");
    let id = step_named(&document, "Refuse the address");
    let mut value = document.value().clone();
    let mut change = as_it_is(&document, &id);
    change.name = "Refuse them".to_owned();
    change.does = Some("Refuse the network.".to_owned());
    change.arguments = BTreeMap::from([("network".to_owned(), "203.0.113.9".to_owned())]);
    let ours = change.ours.as_mut().expect("ours");
    ours.insert("deadline_seconds", "soon".to_owned());
    ours.insert("on_breach", String::new());
    change_step(&mut value, &id, &change).expect("it is there");
    let changed = read(&value);
    let step = &changed.steps[&id];
    assert_eq!(step.name, "Refuse them");
    let wanted = step.wanted.as_ref().expect("ours");
    assert_eq!(wanted.arguments["network"], "203.0.113.9");
    assert!(wanted.on_breach.is_hold());
    let problems = check(&changed);
    let told = problems.iter().find(|one| one.path.contains(&id));
    assert!(
        told.expect("told").path.ends_with("deadline_seconds"),
        "{problems:?}"
    );
}

#[test]
fn a_time_out_is_written_planned_with_and_told_where_it_is_none() {
    let document = shipped("web-shell");
    let id = step_named(&document, "Refuse the address");
    let with = |timeout: Option<&str>| {
        let mut value = document.value().clone();
        let mut change = as_it_is(&document, &id);
        change.timeout = timeout.map(str::to_owned);
        change_step(&mut value, &id, &change).expect("it is there");
        read(&value)
    };
    assert_eq!(with(None), document);
    assert_eq!(with(Some("")), document);
    for (text, time) in [
        ("90000", Some(90_000)),
        ("0", None),
        ("2592000000", Some(2_592_000_000)),
    ] {
        let changed = with(Some(text));
        assert_eq!(changed.steps[&id].timeout_milliseconds, time);
        let values = changed.examples();
        let plan = playbook::plan(&changed, &values, EXPECTED, &model::StoreMap::default());
        let plan = plan.expect("a plan");
        let step = plan
            .steps
            .iter()
            .find(|step| step.id == id)
            .expect("it is planned");
        assert_eq!(step.timeout_milliseconds, time);
    }
    for text in ["2592000001", "soon", "-1"] {
        let problems = check(&with(Some(text)));
        let is_told = |one: &playbook::Problem| one.path.ends_with("/timeout");
        assert!(problems.iter().any(is_told), "{text}: {problems:?}");
    }
}

#[test]
fn a_step_moved_before_what_keeps_its_evidence_breaks_the_law_and_moved_back_does_not() {
    let document = shipped("web-shell");
    let mut value = document.value().clone();
    let id = step_named(&document, "Move the file away");
    let mut moves = 0;
    while move_up(&mut value, &id).is_ok() {
        moves += 1;
    }
    let refusals = orders(&read(&value), EXPECTED);
    assert!(
        refusals.iter().any(|one| one.law == Law::EvidenceFirst),
        "{refusals:?}"
    );
    assert_eq!(
        move_up(&mut value, &id),
        Err(EditError::NoPlace { id: id.clone() })
    );
    for _ in 0..moves {
        move_down(&mut value, &id).expect("it has a step behind it");
    }
    assert_eq!(&value, document.value());
}

#[test]
fn a_step_put_in_and_left_out_again_leaves_the_document_as_it_was() {
    for name in NAMES {
        let document = shipped(name);
        for (id, step) in &document.steps {
            let mut value = document.value().clone();
            let put = insert_after(&mut value, id, NEW);
            assert_eq!(
                put.is_err(),
                matches!(step.kind, StepKind::End),
                "{name} {id}"
            );
            if put.is_ok() {
                let refuses = |one: &playbook::Problem| one.weight == playbook::Weight::Refuses;
                let problems = check(&read(&value));
                assert!(!problems.iter().any(refuses), "{name} {id}: {problems:?}");
                remove_step(&mut value, NEW).expect("it is plain");
            }
            assert_eq!(&value, document.value(), "{name} {id}");
        }
    }
}

#[test]
fn what_branches_is_not_left_out_by_itself() {
    let document = shipped("database-account-stolen");
    let is_fork = |step: &playbook::Step| matches!(step.kind, StepKind::If { .. });
    let fork = document.steps.iter().find(|(_, step)| is_fork(step));
    let fork = fork.expect("it has one").0;
    let mut value = document.value().clone();
    let refused = remove_step(&mut value, fork);
    assert_eq!(refused, Err(EditError::NotPlain { id: fork.clone() }));
    let none = remove_step(&mut value, "none");
    assert_eq!(
        none,
        Err(EditError::NoStep {
            id: "none".to_owned()
        })
    );
    assert_eq!(&value, document.value());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn moving_and_leaving_out_keeps_a_workflow_whole(document in any_workflow(), moves in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 1..8)) {
        let mut value = document.value().clone();
        for (number, (at, what)) in moves.into_iter().enumerate() {
            let ids: Vec<String> = read(&value).steps.keys().cloned().collect();
            let id = at.get(&ids);
            let new = format!("action--99999999-9999-4999-8999-{number:012}");
            let before = value.clone();
            let done = match what {
                0 => move_up(&mut value, id),
                1 => move_down(&mut value, id),
                2 => remove_step(&mut value, id),
                _ => insert_after(&mut value, id, &new),
            };
            if done.is_err() {
                prop_assert_eq!(&value, &before, "what isn't done changes nothing");
            }
            let edited = read(&value);
            prop_assert_eq!(playbook::Drawing::of(&edited), playbook::Drawing::of(&edited));
            // Left out, what was done when a step failed may no longer be reached: that is told.
            if edited.steps.values().any(|step| step.next.failure.is_some()) || document.steps.values().any(|step| step.next.failure.is_some()) {
                continue;
            }
            let mut problems = check(&edited);
            // The last one that does something may be left out: then only the ends are there.
            if edited.steps.len() < 3 {
                continue;
            }
            problems.retain(|one| !one.says.contains("no step that does anything"));
            prop_assert!(problems.iter().all(|one| one.weight == playbook::Weight::Notes), "{:?}", problems);
        }
    }
}

//! Playbooks that are wrong, or meant to harm: each is refused with its place, and nothing panics.

use std::collections::BTreeMap;

use model::{StoreMap, Work};
use playbook::{Document, EXPECTED, PlanError, ReadError, Weight, check, plan};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{NAMES, bytes, shipped};

/// A playbook that ships, changed; what is refused about it, as place and words.
#[track_caller]
fn check_changed(change: impl FnOnce(&mut Value), expected: &[(&str, &str)]) {
    let mut value = shipped("skimmer-in-configuration-or-cms").value().clone();
    change(&mut value);
    let document = Document::read(value.to_string().as_bytes()).expect("it is read");
    let problems = check(&document);
    for (path, says) in expected {
        let is_told = problems.iter().any(|one| {
            one.weight == Weight::Refuses
                && one.path.contains(path)
                && one.says.contains(says)
                && !one.hint.is_empty()
        });
        assert!(is_told, "{path} {says}: {problems:#?}");
    }
    let planned = plan(
        &document,
        &document.examples(),
        EXPECTED,
        &StoreMap::default(),
    );
    assert!(matches!(planned, Err(PlanError::Problems { .. })));
    assert_eq!(document.value(), &value, "nothing of it is lost");
}

/// Identifier of the first step of a type, with or without our extension.
fn step(value: &Value, kind: &str) -> String {
    let steps = value["workflow"].as_object().expect("steps");
    let found = steps.iter().find(|(_, step)| step["type"] == kind);
    found.expect("a step of that type").0.clone()
}

#[test]
fn what_the_schema_asks_for_is_asked_for() {
    for key in [
        "type",
        "spec_version",
        "id",
        "name",
        "created_by",
        "created",
        "modified",
        "workflow_start",
        "workflow",
    ] {
        check_changed(
            |value| drop(value.as_object_mut().expect("an object").remove(key)),
            &[("", &format!("lacks `{key}`"))],
        );
    }
    check_changed(
        |value| value["spec_version"] = json!("1.1"),
        &[("/spec_version", "cacao-2.0")],
    );
    check_changed(
        |value| value["id"] = json!("playbook--1"),
        &[("/id", "identifier")],
    );
    check_changed(
        |value| value["created"] = json!("2026-08-05T10:00:00Z"),
        &[("/created", "millisecond")],
    );
    check_changed(
        |value| value["modified"] = json!("2025-08-05T10:00:00.000Z"),
        &[("/modified", "before `created`")],
    );
    check_changed(
        |value| value["severity"] = json!(101),
        &[("/severity", "0 to 100")],
    );
    check_changed(
        |value| value["labels"] = json!([]),
        &[("/labels", "list of 1")],
    );
    check_changed(
        |value| value["revoked"] = json!(true),
        &[("/revoked", "no longer")],
    );
    check_changed(
        |value| value["playbook_variables"] = json!({"row": {"type": "string"}}),
        &[("/playbook_variables", "__name__")],
    );
    check_changed(
        |value| value["external_references"] = json!([{"name": "x"}]),
        &[("/external_references/0", "has none of")],
    );
    check_changed(
        |value| {
            drop(
                value
                    .as_object_mut()
                    .expect("an object")
                    .remove("playbook_activities"),
            )
        },
        &[("", "playbook_activities")],
    );
    check_changed(
        |value| {
            drop(
                value
                    .as_object_mut()
                    .expect("an object")
                    .remove("extension_definitions"),
            )
        },
        &[("/extension_definitions", "lacks our extension")],
    );
}

#[test]
fn steps_that_lead_nowhere_or_back_or_in_from_two_sides_are_refused() {
    let nowhere = "action--00000000-0000-4000-8000-000000000009";
    check_changed(
        |value| value["workflow_start"] = json!(step(value, "end")),
        &[("/workflow_start", "of type start")],
    );
    check_changed(
        |value| {
            let start = step(value, "start");
            value["workflow"][start]["on_completion"] = json!(nowhere);
        },
        &[("/on_completion", "there is no step")],
    );
    check_changed(
        |value| {
            let start = step(value, "start");
            value["workflow"][start]
                .as_object_mut()
                .expect("a step")
                .remove("on_completion");
        },
        &[("/workflow/start--", "leads nowhere")],
    );
    check_changed(
        |value| {
            let action = step(value, "action");
            value["workflow"][&action]["on_completion"] = json!(action);
        },
        &[("/workflow/action--", "leads back to itself")],
    );
    check_changed(
        |value| {
            let (loops, outer) = (step(value, "while-condition"), step(value, "action"));
            value["workflow"][loops]["on_true"] = json!(outer);
        },
        &[("/workflow/while-condition--", "from two branches")],
    );
    check_changed(
        |value| value["workflow"][nowhere] = json!({"type": "end"}),
        &[(nowhere, "another type")],
    );
    check_changed(
        |value| {
            let end = "end--00000000-0000-4000-8000-000000000009";
            value["workflow"][end] = json!({"type": "end"});
        },
        &[("/workflow/end--", "never reached")],
    );
    check_changed(
        |value| {
            let end = step(value, "end");
            let start = value["workflow_start"].clone();
            value["workflow"][end]["on_completion"] = start;
        },
        &[("/workflow/end--", "leads on")],
    );
    check_changed(
        |value| {
            let action = step(value, "action");
            value["workflow"][&action]["on_failure"] =
                value["workflow"][&action]["on_completion"].clone();
        },
        &[("/workflow/action--", "beside")],
    );
}

#[test]
fn loops_have_a_bound_and_variables_are_declared() {
    check_changed(
        |value| {
            let loops = step(value, "while-condition");
            value["workflow"][loops]
                .as_object_mut()
                .expect("a step")
                .remove("step_extensions");
        },
        &[("/workflow/while-condition--", "for ever")],
    );
    check_changed(
        |value| {
            let branch = step(value, "if-condition");
            value["workflow"][branch]["condition"] = json!("__other__:value = 1");
        },
        &[("/condition", "isn't declared")],
    );
    check_changed(
        |value| {
            let action = step(value, "action");
            value["workflow"][action]["agent"] =
                json!("individual--00000000-0000-4000-8000-000000000009");
        },
        &[("/agent", "isn't defined")],
    );
    check_changed(
        |value| {
            let action = step(value, "action");
            value["workflow"][action]["commands"] = json!([]);
        },
        &[
            ("/commands", "list of 1"),
            ("/commands", "says nothing to a person"),
        ],
    );
}

#[test]
fn more_said_of_an_action_than_it_does_is_refused() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value = shipped("web-shell").value().clone();
        for (_, step) in value["workflow"].as_object_mut().expect("steps") {
            if let Some(ours) = step
                .get_mut("step_extensions")
                .and_then(|all| all.get_mut(playbook::EXTENSION))
                && ours["action"] == "deny_php"
            {
                change(ours);
            }
        }
        let document = Document::read(value.to_string().as_bytes()).expect("it is read");
        playbook::fits(&document, EXPECTED)
            .iter()
            .map(|one| one.says.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(changed(&|_| {}), [""; 0]);
    assert_eq!(
        changed(&|ours| ours["effect"] = json!("contains")),
        ["`deny_php` doesn't act on the cause"]
    );
    assert_eq!(
        changed(&|ours| ours["action"] = json!("rm")),
        ["there is no action `rm`"]
    );
    assert_eq!(
        changed(&|ours| ours["arguments"] = json!({"path": "x"})),
        ["`deny_php` takes no `path`"]
    );
    assert_eq!(
        changed(&|ours| ours["action"] = json!("close_view")),
        ["`close_view` lacks `view`"]
    );
    assert_eq!(
        changed(&|ours| *ours = json!({"action": "purge_cache", "forensic_impact": "none"})),
        ["`purge_cache` does more to evidence than is said here"]
    );
    let view =
        changed(&|ours| *ours = json!({"action": "close_view", "arguments": {"view": "../us"}}));
    assert!(
        view[0].starts_with("`view` is no code of a store view"),
        "{view:?}"
    );
}

#[test]
fn a_command_for_a_program_is_kept_and_becomes_work_for_a_person() {
    let mut value = shipped("web-shell").value().clone();
    let person = value["workflow"]
        .as_object()
        .expect("steps")
        .iter()
        .find(|(_, step)| step["type"] == "action" && step["name"] == "Look for more")
        .expect("a step")
        .0
        .clone();
    value["workflow"][&person]["commands"] =
        json!([{"type": "bash", "command": "rm -rf /", "x_more": 1}]);
    value["x_unknown"] = json!({"deep": [1.5]});
    let document = Document::read(value.to_string().as_bytes()).expect("it is read");
    assert_eq!(document.value(), &value);
    let written: Value = serde_json::from_str(&document.write()).expect("JSON");
    assert_eq!(written, value);
    let notes = check(&document);
    assert!(
        notes.iter().all(|one| one.weight == Weight::Notes) && notes.len() == 3,
        "{notes:#?}"
    );
    let plan = plan(
        &document,
        &document.examples(),
        EXPECTED,
        &StoreMap::default(),
    )
    .expect("a plan");
    let step = plan
        .steps
        .iter()
        .find(|one| one.id == person)
        .expect("the step");
    let does = vec!["look at this and decide, it isn't run (bash): rm -rf /".to_owned()];
    assert_eq!(step.work, Work::Person { does });
}

#[test]
fn limits_hold() {
    assert!(matches!(
        Document::read(&vec![b' '; (1 << 20) + 1]),
        Err(ReadError::TooLarge { .. })
    ));
    assert!(matches!(Document::read(b"[]"), Err(ReadError::NoObject)));
    assert!(matches!(
        Document::read(b"{\"id\":1,\"id\":2}"),
        Err(ReadError::Json { .. })
    ));
    let steps: serde_json::Map<_, _> = (0..501)
        .map(|at| (format!("end--{at}"), json!({"type": "end"})))
        .collect();
    let many = json!({"workflow": steps}).to_string();
    assert!(matches!(
        Document::read(many.as_bytes()),
        Err(ReadError::TooManySteps { steps: 501 })
    ));
    // Branches in branches in branches: bounded, however they are written.
    let id = |kind: &str, at: usize| format!("{kind}--00000000-0000-4000-8000-{at:012}");
    let mut steps = serde_json::Map::new();
    for at in 0..200 {
        steps.insert(
            id("while-condition", at),
            json!({"type": "while-condition", "condition": "__a__ = 1",
            "on_true": id("while-condition", at + 1), "on_completion": id("end", at)}),
        );
        steps.insert(id("end", at), json!({"type": "end"}));
    }
    let deep = json!({"workflow": steps, "workflow_start": id("while-condition", 0)});
    let document = Document::read(deep.to_string().as_bytes()).expect("it is read");
    assert!(
        check(&document)
            .iter()
            .any(|one| one.says.contains("nested deeper")),
        "{:#?}",
        check(&document)
    );
    assert!(plan(&document, &BTreeMap::new(), EXPECTED, &StoreMap::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_panic(cut in 0usize..4000, at in 0usize..4000, with in any::<u8>(), name in 0usize..14) {
        let mut bytes = bytes(NAMES[name]);
        let length = bytes.len();
        bytes[at % length] = with;
        if cut % 3 == 0 {
            bytes.truncate(cut % length);
        }
        if let Ok(document) = Document::read(&bytes) {
            let problems = check(&document);
            let planned = plan(&document, &document.examples(), EXPECTED, &StoreMap::default());
            let refuses = problems.iter().any(|one| one.weight == Weight::Refuses);
            prop_assert!(!(refuses && planned.is_ok()));
            let has_escape = playbook::diagram(&document).contains('\u{1b}');
            prop_assert!(!has_escape);
        }
    }
}

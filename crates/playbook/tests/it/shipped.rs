//! The playbooks that ship: each is checked, planned and drawn.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use model::{Plan, PlanStep, Reach, Stops, StoreMap, Work};
use playbook::{Document, EXPECTED, EXTENSION, PlanError, check, line, orders, plan};
use serde_json::Value;

use crate::{NAMES, bytes, planned, shipped, stores};

#[test]
fn all_that_ship_are_named_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/playbooks");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .replace(".json", "")
        })
        .collect();
    names.sort();
    assert_eq!(names, NAMES);
}

#[test]
fn each_is_without_fault_and_is_written_as_it_was_read() {
    for name in NAMES {
        let document = shipped(name);
        assert_eq!(check(&document), [], "{name}");
        assert_eq!(orders(&document, EXPECTED), [], "{name}");
        let again = Document::read(document.write().as_bytes()).expect("what was written is read");
        assert_eq!(&again, &document, "{name}");
        let value: Value = serde_json::from_slice(&bytes(name)).expect("JSON");
        assert_eq!(document.value(), &value, "{name}");
    }
}

#[test]
fn each_is_planned_with_its_examples_and_its_line_keeps_the_laws() {
    for name in NAMES {
        let plan = planned(name);
        assert_eq!(line(&plan, EXPECTED), [], "{name}");
        let expected = match name {
            "address-that-attacks" | "card-testing" | "store-that-leaks" => Stops::OnlyMitigates,
            _ => Stops::Contains,
        };
        assert_eq!(plan.stops, expected, "{name}: {}", plan.because);
        assert_eq!(plan.questions, [], "{name}");
        assert_eq!(plan.needs_two_people, name == "key-compromise", "{name}");
        let keeps = plan.steps.iter().position(
            |step| matches!(&step.work, Work::Action { action, .. } if action == "keep_evidence"),
        );
        assert!(
            keeps.is_some_and(|at| at < 2),
            "{name} keeps evidence first"
        );
    }
}

#[test]
fn what_magento_caches_is_emptied_before_anybody_is_asked_whether_it_goes_on() {
    let action = |step: &PlanStep| match &step.work {
        Work::Action { action, .. } => action.clone(),
        Work::Person { does } => does.join(" "),
    };
    let empties = |done: &str| done == "purge_cache" || done.contains("cache:clean");
    for name in NAMES {
        // Nothing is known, so that every branch is in the plan.
        let nothing = BTreeMap::new();
        let plan = plan(&shipped(name), &nothing, EXPECTED, &StoreMap::default()).expect("a plan");
        for (at, step) in plan.steps.iter().enumerate() {
            let after = plan.steps.get(at + 1..).unwrap_or_default();
            let done = action(step);
            // Cached, a row that was put back goes on, and whoever looks answers that cards are still read.
            if done == "revert_row" && name != "stray-card-data" {
                let next = after.first().expect("a step after it");
                assert!(empties(&action(next)) && next.only_if.is_empty(), "{name}");
            }
            // Cached, a method that was switched off is still offered.
            if done == "disable_payment_method" {
                let same = after.iter().filter(|one| one.only_if == step.only_if);
                assert!(same.map(action).any(|done| empties(&done)), "{name}");
            }
        }
    }
}

#[test]
fn each_in_reverse_is_refused() {
    for name in NAMES {
        let mut plan = planned(name);
        plan.steps.reverse();
        let alters = plan.steps.iter().any(|step| step.id.starts_with("action--")
            && matches!(&step.work, Work::Action { forensic_impact, .. } if *forensic_impact != model::ForensicImpact::None));
        assert_eq!(!line(&plan, EXPECTED).is_empty(), alters, "{name}");
    }
}

#[test]
fn what_is_not_known_becomes_a_question_and_then_nothing_is_contained() {
    let document = shipped("database-account-stolen");
    let plan = plan(&document, &BTreeMap::new(), EXPECTED, &StoreMap::default()).expect("a plan");
    let about: Vec<_> = plan
        .questions
        .iter()
        .map(|one| one.about.as_str())
        .collect();
    assert!(about.contains(&"__account__"), "{about:?}");
    assert!(
        about
            .iter()
            .any(|about| about.contains("__is_shop_account__")),
        "{about:?}"
    );
    assert_eq!(plan.stops, Stops::OnlyMitigates);
    assert_eq!(
        plan.because,
        "“Lock the database account” can't be done before `__account__` is known"
    );
    let guarded = plan
        .steps
        .iter()
        .find(|step| !step.only_if.is_empty())
        .expect("a guarded step");
    assert_eq!(guarded.name, "Give the shop another account");
}

#[test]
fn a_known_condition_takes_one_branch() {
    let document = shipped("stray-card-data");
    let with = |case: &str| {
        let mut values = document.examples();
        values.extend([
            ("__where__".to_owned(), case.to_owned()),
            ("__row__".to_owned(), "cms_block:5".to_owned()),
        ]);
        let plan = plan(&document, &values, EXPECTED, &stores(1)).expect("a plan");
        let actions = plan.steps.iter().filter_map(|step| match &step.work {
            Work::Action { action, .. } => Some(action.clone()),
            Work::Person { .. } => None,
        });
        actions.collect::<Vec<_>>().join(" ")
    };
    let always = "hold_retention keep_evidence";
    assert_eq!(
        with("file"),
        format!("{always} keep_evidence quarantine_file")
    );
    assert_eq!(with("row"), format!("{always} keep_evidence revert_row"));
    assert_eq!(with("a log of the gateway"), always);
}

#[test]
fn what_a_step_reaches_comes_from_the_map_of_stores() {
    let plan = planned("skimmer-in-configuration-or-cms");
    let touched = |name: &str| {
        plan.steps.iter().find_map(|step| match &step.work {
            Work::Action {
                action,
                touched,
                reach,
                ..
            } if action == name => Some((touched.clone(), *reach)),
            _ => None,
        })
    };
    let (method, reach) = touched("disable_payment_method").expect("a step");
    assert_eq!(reach, Reach::Website);
    assert_eq!(
        method.views.into_iter().collect::<Vec<_>>(),
        ["us_en", "view1"]
    );
    assert_eq!(method.websites.into_iter().collect::<Vec<_>>(), ["base"]);
    let (row, _) = touched("revert_row").expect("a step");
    assert!(row.is_everything);
    assert_eq!(row.views.len(), 8);
    let document = shipped("skimmer-in-configuration-or-cms");
    let mut values = document.examples();
    values.insert("__website__".to_owned(), "nowhere".to_owned());
    let plan = playbook::plan(&document, &values, EXPECTED, &stores(8)).expect("a plan");
    let unknown = plan
        .steps
        .iter()
        .any(|step| matches!(&step.work, Work::Action { touched, .. } if touched.is_unknown));
    assert!(unknown);
}

#[test]
fn hostile_values_are_refused_and_not_repeated() {
    let document = shipped("database-account-stolen");
    for value in ["x'; DROP TABLE quote; --@%", "report", "a@b\n", ""] {
        let values = [("__account__".to_owned(), value.to_owned())].into();
        let error = plan(&document, &values, EXPECTED, &StoreMap::default()).expect_err("refused");
        assert!(matches!(error, PlanError::Value { .. }), "{error}");
        assert!(!error.to_string().contains("DROP"), "{error}");
    }
    let values = [("__nothing__".to_owned(), "x".to_owned())].into();
    let error = plan(&document, &values, EXPECTED, &StoreMap::default()).expect_err("refused");
    assert!(matches!(error, PlanError::NoVariable { .. }));
}

#[test]
fn canonical_bytes_are_the_same_for_the_same_plan_and_hash_differs_for_another() {
    let (one, two) = (planned("web-shell"), planned("web-shell"));
    assert_eq!(playbook::canonical(&one), playbook::canonical(&two));
    let read: Plan =
        serde_json::from_slice(&playbook::canonical(&one)).expect("a plan is read back");
    assert_eq!(read, one);
    let mut other = two;
    other.steps.pop();
    assert_ne!(playbook::hash(&one), playbook::hash(&other));
}

#[test]
fn a_plan_for_two_hundred_stores_takes_less_than_a_tenth_of_a_second() {
    let (documents, stores) = (NAMES.map(shipped), stores(200));
    for document in documents {
        let begun = Instant::now();
        let plan = plan(&document, &document.examples(), EXPECTED, &stores).expect("a plan");
        let bytes = playbook::canonical(&plan);
        assert!(
            begun.elapsed().as_millis() < 100,
            "{}: {:?}",
            document.name,
            begun.elapsed()
        );
        assert!(!bytes.is_empty());
    }
}

#[test]
fn each_is_drawn_with_every_step_that_does_something() {
    for name in NAMES {
        let (document, drawn) = (shipped(name), playbook::diagram(&shipped(name)));
        for step in document.steps.values().filter(|step| !step.name.is_empty()) {
            assert!(
                drawn.contains(&step.name),
                "{name} lacks {}:\n{drawn}",
                step.name
            );
        }
    }
}

#[test]
fn every_action_stands_in_the_reference_with_its_facts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/playbooks.md");
    let text = std::fs::read_to_string(path).expect("docs/playbooks.md");
    let word = |value: Value| value.as_str().expect("a word").to_owned();
    for facts in EXPECTED {
        let begin = format!("| `{}` |", facts.name);
        let row = text.lines().find(|line| line.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("{} isn't listed", facts.name));
        let layer = word(serde_json::to_value(facts.layer).expect("JSON"));
        let impact = word(serde_json::to_value(facts.forensic_impact).expect("JSON"));
        let reach = word(serde_json::to_value(facts.reach).expect("JSON"));
        let undo = match facts.undo {
            model::Undo::Whole => "whole".to_owned(),
            model::Undo::AllBut(what) => format!("all but {what}"),
            model::Undo::MadeAnew(what) => format!("{what} are made anew"),
            model::Undo::Danger => "danger: nothing, two people".to_owned(),
        };
        let cause = if facts.acts_on_cause { "yes " } else { "" };
        let end = format!("| {layer} | {impact} | {undo} | {reach} | {cause}|");
        assert!(row.ends_with(&end), "{row} should end {end}");
        for parameter in facts.parameters {
            assert!(row.contains(&format!("`{}`", parameter.name)), "{row}");
        }
    }
    assert!(text.contains(EXTENSION));
}

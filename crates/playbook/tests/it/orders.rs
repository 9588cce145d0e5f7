//! The laws of order: what keeps them passes, what doesn't is refused with both steps and the reason.

use std::collections::BTreeMap;

use model::StoreMap;
use playbook::{Document, EXPECTED, EXTENSION, Law, PlanError, check, line, orders, plan};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::shipped;

/// A playbook of steps of ours in a row, each `(action, arguments)`.
pub(crate) fn row(steps: &[(&str, Value)]) -> Document {
    let id = |kind: &str, at: usize| format!("{kind}--00000000-0000-4000-8000-{at:012}");
    let kinds = |at: usize| {
        if at == 0 {
            "start"
        } else if at > steps.len() {
            "end"
        } else {
            "action"
        }
    };
    let mut workflow = serde_json::Map::new();
    for at in 0..=steps.len() + 1 {
        let mut step = json!({"type": kinds(at)});
        if at <= steps.len() {
            step["on_completion"] = json!(id(kinds(at + 1), at + 1));
        }
        if let Some((action, arguments)) = at.checked_sub(1).and_then(|at| steps.get(at)) {
            step["name"] = json!(format!("{at} {action}"));
            step["agent"] = json!(id("individual", 0));
            step["commands"] = json!([{"type": "manual", "command": "do it"}]);
            let mut ours = json!({"action": action, "arguments": arguments});
            if let Some(waiver) = arguments.get("waiver") {
                ours["waiver"] = waiver.clone();
                ours["arguments"]
                    .as_object_mut()
                    .expect("an object")
                    .remove("waiver");
            }
            step["step_extensions"] = json!({EXTENSION: ours});
        }
        workflow.insert(id(kinds(at), at), step);
    }
    let mut value = shipped("web-shell").value().clone();
    value["workflow"] = Value::Object(workflow);
    value["workflow_start"] = json!(id("start", 0));
    value["agent_definitions"] =
        json!({id("individual", 0): {"type": "individual", "name": "a person"}});
    let document = Document::read(value.to_string().as_bytes()).expect("it is read");
    assert_eq!(check(&document), []);
    document
}

#[track_caller]
fn check_order(steps: &[(&str, Value)], expected: &[Law]) {
    let refusals = orders(&row(steps), EXPECTED);
    let laws: Vec<_> = refusals.iter().map(|one| one.law).collect();
    assert_eq!(laws, expected, "{refusals:#?}");
    for one in refusals {
        assert!(one.says.contains(one.law.reason()));
    }
}

#[test]
fn evidence_is_kept_before_what_alters_it() {
    let file = || json!({"file": "pub/media/x.php"});
    check_order(&[("quarantine_file", file())], &[Law::EvidenceFirst]);
    check_order(
        &[("keep_evidence", json!({})), ("quarantine_file", file())],
        &[],
    );
    check_order(
        &[("keep_evidence", file()), ("quarantine_file", file())],
        &[],
    );
    check_order(
        &[
            ("keep_evidence", json!({"file": "pub/y.php"})),
            ("quarantine_file", file()),
        ],
        &[Law::EvidenceFirst],
    );
    check_order(
        &[("hold_retention", json!({})), ("quarantine_file", file())],
        &[Law::EvidenceFirst],
    );
    check_order(
        &[("quarantine_file", file()), ("keep_evidence", json!({}))],
        &[Law::EvidenceFirst],
    );
    let waived = json!({"file": "pub/media/x.php", "waiver": "it sends card data out this minute"});
    check_order(&[("quarantine_file", waived)], &[]);
}

#[test]
fn the_cause_comes_before_what_keeps_people_away() {
    let keep = || ("keep_evidence", json!({}));
    let lock = || ("lock_database_account", json!({"account": "report@%"}));
    for away in [
        ("close_view", json!({"view": "us_en"})),
        ("close_website", json!({"website": "base"})),
        ("maintenance", json!({})),
        (
            "disable_payment_method",
            json!({"website": "base", "method": "checkmo"}),
        ),
    ] {
        check_order(&[keep(), away.clone(), lock()], &[Law::CauseBeforeSymptom]);
        check_order(&[keep(), lock(), away], &[]);
    }
    for fence in [
        ("block_network_edge", json!({"network": "192.0.2.1"})),
        ("block_network", json!({"network": "192.0.2.1"})),
        ("deny_php", json!({})),
        ("pause_job", json!({"job": "default"})),
    ] {
        check_order(&[keep(), fence, lock()], &[]);
    }
}

#[test]
fn the_front_is_closed_before_what_is_behind_it() {
    let view = || ("close_view", json!({"view": "us_en"}));
    check_order(
        &[("maintenance", json!({})), view()],
        &[Law::EdgeBeforeOrigin],
    );
    check_order(&[view(), ("maintenance", json!({}))], &[]);
}

#[test]
fn nothing_is_purged_before_it_was_kept_and_its_cause_is_gone() {
    let (keep, purge) = (
        || ("keep_evidence", json!({})),
        || ("purge_cache", json!({})),
    );
    let revert = || ("revert_row", json!({"row": "cms_block:5"}));
    check_order(&[keep(), revert(), purge()], &[]);
    check_order(
        &[purge(), keep(), revert()],
        &[Law::PurgeLast, Law::PurgeLast],
    );
    check_order(&[keep(), purge()], &[Law::PurgeLast]);
    check_order(
        &[keep(), purge(), revert()],
        &[Law::PurgeLast, Law::PurgeLast],
    );
}

#[test]
fn sessions_are_kept_before_credentials_end_even_when_evidence_is_waived() {
    let waived = json!({"administrator": "ann", "waiver": "they are at it this minute"});
    check_order(
        &[("deactivate_administrator", waived.clone())],
        &[Law::SessionsBeforeCredentials],
    );
    check_order(
        &[
            ("keep_evidence", json!({})),
            ("deactivate_administrator", waived),
        ],
        &[],
    );
}

#[test]
fn a_refusal_names_both_steps() {
    let document = row(&[
        ("purge_cache", json!({})),
        ("keep_evidence", json!({})),
        ("revert_row", json!({"row": "cms_block:5"})),
    ]);
    let refusals = orders(&document, EXPECTED);
    let says: Vec<_> = refusals.iter().map(|one| one.says.as_str()).collect();
    assert!(
        says.iter()
            .any(|says| says.starts_with("“1 purge_cache” may come before “3 revert_row”: ")),
        "{says:?}"
    );
    assert!(
        says.iter().any(|says| says
            .starts_with("“2 keep_evidence” isn't done before “1 purge_cache” on every way: ")),
        "{says:?}"
    );
    let error =
        plan(&document, &BTreeMap::new(), EXPECTED, &StoreMap::default()).expect_err("refused");
    assert!(matches!(error, PlanError::Order { .. }), "{error}");
}

/// Steps that a random playbook is made of.
pub(crate) fn any_step() -> impl Strategy<Value = (&'static str, Value)> {
    let step = |name, arguments: Value| Just((name, arguments)).boxed();
    proptest::strategy::Union::new([
        step("keep_evidence", json!({})),
        step("keep_evidence", json!({"file": "pub/x.php"})),
        step("keep_evidence", json!({"row": "cms_block:5"})),
        step("quarantine_file", json!({"file": "pub/x.php"})),
        step("revert_row", json!({"row": "cms_block:5"})),
        step("purge_cache", json!({})),
        step("close_view", json!({"view": "us_en"})),
        step("maintenance", json!({})),
        step("deny_php", json!({})),
        step("end_connections", json!({"account": "report@%"})),
        step("lock_database_account", json!({"account": "report@%"})),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What passes keeps, before each step that alters, all of it or what that step names; and its plan's line passes too.
    #[test]
    fn whatever_passes_has_evidence_before_what_alters(steps in proptest::collection::vec(any_step(), 1..7)) {
        let document = row(&steps);
        let is_fine = orders(&document, EXPECTED).is_empty();
        let alters = |name: &str| EXPECTED.iter().any(|one| one.name == name && one.forensic_impact != model::ForensicImpact::None);
        let mut kept: Vec<&Value> = Vec::new();
        let mut all_kept = true;
        for (name, arguments) in &steps {
            if *name == "keep_evidence" {
                kept.push(arguments);
            } else if alters(name) {
                all_kept &= kept.iter().any(|one| *one == &json!({}) || one == &arguments);
            }
        }
        prop_assert!(all_kept || !is_fine, "{steps:?}");
        if is_fine {
            let plan = plan(&document, &BTreeMap::new(), EXPECTED, &StoreMap::default()).expect("a plan");
            prop_assert_eq!(line(&plan, EXPECTED), []);
            let mut back = plan;
            back.steps.reverse();
            if steps.iter().any(|(name, _)| alters(name)) && steps.first().is_some_and(|(name, _)| !alters(name))
                && steps.iter().position(|(name, _)| *name == "keep_evidence") < steps.iter().position(|(name, _)| alters(name))
                && steps.iter().filter(|(name, _)| *name == "keep_evidence").count() == 1
            {
                prop_assert!(!line(&back, EXPECTED).is_empty(), "{:?}", steps);
            }
        }
    }
}

//! Drawings: whatever the document, nothing lies over anything else, and every way that a step has is a line.

use std::collections::{BTreeMap, BTreeSet};

use model::{Guard, Plan};
use playbook::{Document, Drawing, Line, Mark, SHAPES_MAX, Shape, Way};
use proptest::prelude::*;
use serde_json::Value;

use crate::ways::any_workflow;
use crate::{NAMES, planned, shipped};

/// Whether a stretch of a line runs through a shape, not only along its edge.
fn runs_through(from: (u32, u32), to: (u32, u32), shape: &Shape) -> bool {
    let (left, right) = (from.0.min(to.0), from.0.max(to.0));
    let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
    right > shape.x
        && left < shape.x + shape.width
        && bottom > shape.y
        && top < shape.y + shape.height
}

fn overlap(one: &Shape, other: &Shape) -> bool {
    let corner = (one.x + one.width, one.y + one.height);
    runs_through((one.x, one.y), corner, other)
}

fn is_at_edge(point: (u32, u32), shape: &Shape) -> bool {
    let (right, bottom) = (shape.x + shape.width, shape.y + shape.height);
    let across = (shape.x..=right).contains(&point.0);
    let down = (shape.y..=bottom).contains(&point.1);
    across && (point.1 == shape.y || point.1 == bottom)
        || down && (point.0 == shape.x || point.0 == right)
}

#[track_caller]
fn check_lies_apart(drawing: &Drawing) {
    for (at, one) in drawing.shapes.iter().enumerate() {
        assert!(one.x + one.width <= drawing.width, "{one:?}");
        assert!(one.y + one.height <= drawing.height, "{one:?}");
        for other in &drawing.shapes[at + 1..] {
            assert!(!overlap(one, other), "{one:?} over {other:?}");
        }
    }
    let marks: BTreeSet<_> = drawing.shapes.iter().map(|one| &one.mark).collect();
    let conditions = |one: &&Shape| matches!(one.mark, Mark::Condition(_));
    if !drawing.shapes.iter().any(|one| conditions(&one)) {
        assert_eq!(marks.len(), drawing.shapes.len(), "one is drawn twice");
    }
    for line in &drawing.lines {
        check_line(drawing, line);
    }
}

#[track_caller]
fn check_line(drawing: &Drawing, line: &Line) {
    assert!(line.points.len() >= 2, "{line:?}");
    for (from, to) in line.points.iter().zip(&line.points[1..]) {
        assert!(from.0 == to.0 || from.1 == to.1, "it slants: {line:?}");
        assert!(
            from.0.max(to.0) <= drawing.width && from.1.max(to.1) <= drawing.height,
            "{line:?}"
        );
        for shape in &drawing.shapes {
            assert!(
                !runs_through(*from, *to, shape),
                "{line:?} through {shape:?}"
            );
        }
    }
    if let Some(to) = &line.to {
        let last = line.points.last().expect("two at least");
        let mut ends = drawing.shapes.iter().filter(|one| one.mark == *to);
        assert!(ends.any(|shape| is_at_edge(*last, shape)), "{line:?}");
    }
}

/// Which step leads to which, by the document's own JSON.
fn leads(document: &Document) -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    let steps = document.value()["workflow"].as_object().expect("steps");
    for (id, step) in steps {
        let mut to = |next: &Value| {
            if let Some(next) = next.as_str() {
                out.insert((id.clone(), next.to_owned()));
            }
        };
        for key in [
            "on_completion",
            "on_success",
            "on_failure",
            "on_true",
            "on_false",
        ] {
            to(&step[key]);
        }
        step["next_steps"]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(&mut to);
        let cases = step["cases"].as_object().into_iter();
        cases.flat_map(|cases| cases.values()).for_each(&mut to);
    }
    out
}

#[track_caller]
fn check_document(document: &Document) {
    let drawing = Drawing::of(document);
    check_lies_apart(&drawing);
    let drawn = drawing.shapes.iter().map(|one| one.mark.clone());
    let steps = document.steps.keys().cloned().map(Mark::Step);
    assert_eq!(drawn.collect::<BTreeSet<_>>(), steps.collect());
    let lines = drawing.lines.iter().filter(|line| line.way != Way::Round);
    let lines = lines.filter_map(|line| match (&line.from, &line.to) {
        (Mark::Step(from), Some(Mark::Step(to))) => Some((from.clone(), to.clone())),
        _ => None,
    });
    assert_eq!(lines.collect::<BTreeSet<_>>(), leads(document));
    assert_eq!(Drawing::of(document), drawing, "it isn't the same again");
}

#[test]
fn every_shipped_playbook_and_its_plan_is_drawn_without_overlap() {
    for name in NAMES {
        check_document(&shipped(name));
        let plan = planned(name);
        let drawing = Drawing::of_plan(&plan).expect("it isn't large");
        check_lies_apart(&drawing);
        check_every_step(&plan, &drawing);
    }
}

#[track_caller]
fn check_every_step(plan: &Plan, drawing: &Drawing) {
    let steps = drawing.shapes.iter().filter_map(|one| match one.mark {
        Mark::Planned(at) => Some(at),
        _ => None,
    });
    let all: Vec<usize> = (0..plan.steps.len()).collect();
    let mut steps: Vec<usize> = steps.collect();
    steps.sort_unstable();
    assert_eq!(steps, all);
}

#[test]
fn a_loop_leads_back_to_its_condition_and_what_fails_has_a_line_of_its_own() {
    let mut found = BTreeMap::new();
    for name in NAMES {
        for line in Drawing::of(&shipped(name)).lines {
            *found.entry(line.way).or_insert(0) += 1;
        }
    }
    assert!(found.contains_key(&Way::True), "{found:?}");
    assert!(found.contains_key(&Way::Back), "{found:?}");
    assert_eq!(
        found.contains_key(&Way::Again),
        found.contains_key(&Way::Round)
    );
    assert_eq!(
        found.contains_key(&Way::Failure),
        found.contains_key(&Way::Success)
    );
}

#[test]
fn a_plan_with_more_conditions_than_can_be_looked_at_is_not_drawn() {
    let mut plan = planned("web-shell");
    let step = plan.steps.first().cloned().expect("a step");
    let guard = |at: usize| Guard {
        condition: at.to_string(),
        holds: true,
    };
    plan.steps = (0..100)
        .map(|at| {
            let mut step = step.clone();
            step.only_if = (0..60).map(|deep| guard(at * 100 + deep)).collect();
            step
        })
        .collect();
    assert!(plan.steps.len() * 60 > SHAPES_MAX);
    assert_eq!(Drawing::of_plan(&plan), None);
}

fn any_guards() -> impl Strategy<Value = Vec<Guard>> {
    let guard = (0..3_u8, any::<bool>()).prop_map(|(name, holds)| Guard {
        condition: format!("c{name}"),
        holds,
    });
    proptest::collection::vec(guard, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_workflow_is_drawn_whole_and_without_overlap(document in any_workflow()) {
        check_document(&document);
    }

    #[test]
    fn any_plan_is_drawn_whole_and_without_overlap(guards in proptest::collection::vec(any_guards(), 1..12)) {
        let mut plan = planned("web-shell");
        let step = plan.steps.first().cloned().expect("a step");
        plan.steps = guards.into_iter().map(|only_if| {
            let mut step = step.clone();
            step.only_if = only_if;
            step
        }).collect();
        let drawing = Drawing::of_plan(&plan).expect("it isn't large");
        check_lies_apart(&drawing);
        check_every_step(&plan, &drawing);
    }

    #[test]
    fn no_change_of_a_document_makes_drawing_it_panic(name in 0..NAMES.len(), step in any::<prop::sample::Index>(), key in 0..6_usize, to in any::<prop::sample::Index>()) {
        let document = shipped(NAMES[name]);
        let ids: Vec<String> = document.steps.keys().cloned().collect();
        let mut value = document.value().clone();
        let keys = ["on_completion", "on_success", "on_failure", "on_true", "on_false", "type"];
        value["workflow"][step.get(&ids)][keys[key]] = Value::from(to.get(&ids).as_str());
        let document = Document::read(value.to_string().as_bytes()).expect("it is read");
        check_lies_apart(&Drawing::of(&document));
    }
}

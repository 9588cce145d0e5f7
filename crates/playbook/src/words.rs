//! A playbook in words and as a drawing of text.

use std::fmt::Write as _;

use model::Touched;

use crate::document::{Document, Step, StepKind};
use crate::flow::{Flow, When, leads_to};

/// What a step does, in a line.
#[must_use]
pub fn step_words(id: &str, step: &Step) -> String {
    let called = step.called(id);
    let wanted = step.wanted.as_ref();
    match &step.kind {
        StepKind::Start => "start".to_owned(),
        StepKind::End => "end".to_owned(),
        StepKind::Action { .. } => match wanted.and_then(|wanted| wanted.action.as_ref()) {
            Some(action) => {
                let arguments = wanted.into_iter().flat_map(|wanted| &wanted.arguments);
                let arguments: Vec<_> = arguments
                    .map(|(name, text)| format!("{name}: {text}"))
                    .collect();
                format!("{called}  [{action}({})]", arguments.join(", "))
            }
            None => format!("{called}  [a person]"),
        },
        StepKind::PlaybookAction { playbook } => format!("{called}  [playbook {playbook}]"),
        StepKind::Parallel { .. } => format!("{called}: at the same time"),
        StepKind::If { condition, .. } => format!("{called}: if {condition}"),
        StepKind::While { condition, .. } => {
            let bound = wanted.and_then(|wanted| wanted.bound);
            let bound = bound.map_or_else(String::new, |bound| format!(", {bound} times at most"));
            format!("{called}: as long as {condition}{bound}")
        }
        StepKind::Switch { on, .. } => format!("{called}: by {on}"),
        StepKind::Unknown => format!("{called}: unknown"),
    }
}

/// Whom a step reaches, in words.
#[must_use]
pub fn whom(touched: &Touched) -> String {
    let (views, websites) = (touched.views.len(), touched.websites.len());
    match (touched.is_everything, touched.is_unknown) {
        (_, true) => "what the map of stores doesn't have".to_owned(),
        (true, _) if views > 0 => format!("everybody: {views} views of {websites} websites"),
        (true, _) => "everybody".to_owned(),
        _ if views > 0 => {
            let some: Vec<_> = touched.views.iter().take(10).map(String::as_str).collect();
            let more = if views > 10 {
                format!(" and {} more", views - 10)
            } else {
                String::new()
            };
            format!("views {}{more}", some.join(", "))
        }
        _ => "no shopper".to_owned(),
    }
}

/// The workflow as text: a line a step, branches further in.
#[must_use]
pub fn diagram(document: &Document) -> String {
    let (flow, _) = Flow::of(document);
    let mut out = String::new();
    block(document, &flow, 0, 0, &mut out);
    if let Some(exception) = flow.exception {
        out.push_str("when anything else fails\n");
        block(document, &flow, exception, 1, &mut out);
    }
    out
}

fn block(document: &Document, flow: &Flow, block_at: usize, deep: usize, out: &mut String) {
    let indent = "│  ".repeat(deep);
    for id in flow.blocks.get(block_at).into_iter().flatten() {
        let Some(step) = document.steps.get(id) else {
            continue;
        };
        let words = step_words(id, step).replace(['\n', '\r'], " ");
        let sign = match step.kind {
            StepKind::Start | StepKind::End if deep > 0 => continue,
            StepKind::Start | StepKind::End => '○',
            StepKind::Action { .. } | StepKind::PlaybookAction { .. } => '●',
            _ => '◇',
        };
        writeln!(out, "{indent}{sign} {words}").expect("a text takes all");
        for (next, _) in leads_to(step).filter(|(_, is_failure)| *is_failure) {
            let next = document
                .steps
                .get(next)
                .map_or(next, |step| step.called(next));
            writeln!(out, "{indent}│  if it fails: {next}").expect("a text takes all");
        }
        for branch in flow.branches.get(id).into_iter().flatten() {
            let when = match &branch.when {
                When::True => "then".to_owned(),
                When::False => "else".to_owned(),
                When::Again => "again and again".to_owned(),
                When::Always => "and".to_owned(),
                When::Case(case) => format!("when it is {case}"),
            };
            writeln!(out, "{indent}├─ {when}").expect("a text takes all");
            block(document, flow, branch.block, deep + 1, out);
        }
    }
}

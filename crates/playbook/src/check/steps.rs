//! What CACAO 2.0 asks of how parts refer to each other, and what we ask of our own steps.

use serde_json::Value;

use super::shape::named;
use crate::condition::Condition;
use crate::document::{Document, Step, StepKind};
use crate::extension::{EXTENSION, is_variable, mixes_in, variable_of};
use crate::problem::{Problem, part};

/// What concerns the whole document.
pub(super) fn whole(document: &Document, out: &mut Vec<Problem>) {
    let value = document.value();
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let (Some(created), Some(modified)) = (text("created"), text("modified"))
        && modified < created
    {
        out.push(Problem::refuses(
            "/modified",
            "is before `created`",
            "make it the same or later (CACAO 2.0 §3.1)",
        ));
    }
    if let (Some(from), Some(until)) = (text("valid_from"), text("valid_until"))
        && until.trim_end_matches('Z') <= from.trim_end_matches('Z')
    {
        out.push(Problem::refuses(
            "/valid_until",
            "isn't after `valid_from`",
            "make it later (CACAO 2.0 §3.1)",
        ));
    }
    let has = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
    };
    if has("playbook_types") && !has("playbook_activities") {
        let hint = "list at least one, as there are `playbook_types` (CACAO 2.0 §3.1)";
        out.push(Problem::refuses("", "lacks `playbook_activities`", hint));
    }
    for (key, id) in [
        ("workflow_start", Some(&document.start)),
        ("workflow_exception", document.exception.as_ref()),
    ] {
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            refers(document, id, &format!("/{key}"), out);
        }
    }
    let is_work = |step: &Step| {
        matches!(
            step.kind,
            StepKind::Action { .. } | StepKind::PlaybookAction { .. }
        )
    };
    if !document.steps.values().any(is_work) {
        out.push(Problem::refuses(
            "/workflow",
            "has no step that does anything",
            "add an action (CACAO 2.0 §3.1)",
        ));
    }
    let starts = document
        .steps
        .values()
        .filter(|step| step.kind == StepKind::Start)
        .count();
    if starts > 1 {
        out.push(Problem::refuses(
            "/workflow",
            "has several start steps",
            "leave one, and name it in `workflow_start`",
        ));
    }
    let is_ours = document.steps.values().any(|step| step.wanted.is_some());
    let defined = value
        .get("extension_definitions")
        .and_then(|all| all.get(EXTENSION));
    if is_ours && defined.is_none() {
        out.push(Problem::refuses(
            "/extension_definitions",
            "lacks our extension, which steps use",
            "add it, as docs/playbooks.md has it (CACAO 2.0 §8)",
        ));
    }
    if let Some(signatures) = value.get("signatures")
        && signatures.is_array()
    {
        out.push(Problem::notes(
            "/signatures",
            "aren't verified",
            "know by another way whose it is",
        ));
    }
    if value.get("revoked") == Some(&Value::Bool(true)) {
        out.push(Problem::refuses(
            "/revoked",
            "says that it holds no longer",
            "use a later version",
        ));
    }
    if value.get("authentication_info_definitions").is_some() {
        out.push(Problem::notes(
            "/authentication_info_definitions",
            "may hold secrets",
            "take them out: nothing here uses them",
        ));
    }
}

/// What concerns each step.
pub(super) fn each(document: &Document, out: &mut Vec<Problem>) {
    for (id, step) in &document.steps {
        let at = format!("/workflow/{}", part(id));
        leads(document, step, &at, out);
        match &step.kind {
            StepKind::Action {
                commands,
                agent,
                targets,
            } => {
                let is_defined = |agent: &String| document.agents.contains_key(agent);
                if let Some(agent) = agent.as_ref().filter(|agent| !is_defined(agent)) {
                    let says = format!("{} isn't defined", named(agent));
                    out.push(Problem::refuses(
                        &format!("{at}/agent"),
                        says,
                        "define it in `agent_definitions`",
                    ));
                }
                for target in targets
                    .iter()
                    .filter(|target| !document.targets.contains_key(*target))
                {
                    let says = format!("{} isn't defined", named(target));
                    out.push(Problem::refuses(
                        &format!("{at}/targets"),
                        says,
                        "define it in `target_definitions`",
                    ));
                }
                ours(step, commands.iter().map(|one| one.kind.as_str()), &at, out);
            }
            StepKind::If { condition, .. } => conditions(document, condition, &at, out),
            StepKind::While { condition, .. } => {
                conditions(document, condition, &at, out);
                if step
                    .wanted
                    .as_ref()
                    .is_none_or(|wanted| wanted.bound.is_none())
                {
                    let hint = format!("say how often at most: `bound` in {EXTENSION}");
                    out.push(Problem::refuses(&at, "may go on for ever", hint));
                }
            }
            StepKind::Switch { on, cases } => {
                let name = variable_of(on).unwrap_or(on);
                variable(document, name, &format!("{at}/switch"), out);
                if cases.is_empty() {
                    out.push(Problem::refuses(
                        &format!("{at}/cases"),
                        "has none",
                        "add a case (CACAO 2.0 §4.10)",
                    ));
                }
            }
            StepKind::Unknown => out.push(Problem::refuses(
                &at,
                "is no step of CACAO 2.0",
                "see §4.2 for the types of steps",
            )),
            StepKind::Start
            | StepKind::End
            | StepKind::PlaybookAction { .. }
            | StepKind::Parallel { .. } => {}
        }
        for (name, text) in step.wanted.iter().flat_map(|wanted| &wanted.arguments) {
            let at = format!("{at}/step_extensions/{EXTENSION}/arguments/{}", part(name));
            if let Some(name) = variable_of(text) {
                variable(document, name, &at, out);
            } else if mixes_in(text).is_some() {
                let hint = "give the variable alone: values are never put into a text";
                out.push(Problem::refuses(&at, "mixes a variable with text", hint));
            }
        }
    }
}

fn refers(document: &Document, id: &str, at: &str, out: &mut Vec<Problem>) {
    if !document.steps.contains_key(id) {
        let says = format!("there is no step {}", named(id));
        out.push(Problem::refuses(
            at,
            says,
            "name a step of `workflow`, or add it",
        ));
    }
}

fn leads(document: &Document, step: &Step, at: &str, out: &mut Vec<Problem>) {
    let next = &step.next;
    let leads = [
        ("on_completion", &next.completion),
        ("on_success", &next.success),
        ("on_failure", &next.failure),
    ];
    for (key, id) in leads
        .into_iter()
        .filter_map(|(key, id)| Some((key, id.as_ref()?)))
    {
        refers(document, id, &format!("{at}/{key}"), out);
    }
    let is_judged = next.success.is_some() || next.failure.is_some();
    if next.completion.is_some() && is_judged {
        out.push(Problem::refuses(
            at,
            "has `on_completion` beside `on_success` or `on_failure`",
            "leave one (CACAO 2.0 §4.1)",
        ));
    }
    match step.kind {
        StepKind::End if next.completion.is_some() || is_judged => {
            out.push(Problem::refuses(
                at,
                "is an end and leads on",
                "let it lead nowhere (CACAO 2.0 §4.4)",
            ));
        }
        StepKind::End => {}
        StepKind::Start if is_judged => {
            out.push(Problem::refuses(
                at,
                "is a start and may not succeed or fail",
                "use `on_completion` (CACAO 2.0 §4.3)",
            ));
        }
        _ if next.completion.is_none() && next.success.is_none() => {
            out.push(Problem::refuses(at, "leads nowhere", "lead to another step or an end by `on_completion` or `on_success` (CACAO 2.0 §4.1)"));
        }
        _ => {}
    }
    let branches = match &step.kind {
        StepKind::If {
            on_true, on_false, ..
        } => std::iter::once(on_true).chain(on_false).collect(),
        StepKind::While { on_true, .. } => vec![on_true],
        StepKind::Parallel { branches } => branches.iter().collect(),
        StepKind::Switch { cases, .. } => cases.values().collect(),
        StepKind::Start
        | StepKind::End
        | StepKind::Action { .. }
        | StepKind::PlaybookAction { .. }
        | StepKind::Unknown => Vec::new(),
    };
    for id in branches.into_iter().filter(|id| !id.is_empty()) {
        refers(document, id, at, out);
    }
}

fn variable(document: &Document, name: &str, at: &str, out: &mut Vec<Problem>) {
    if !is_variable(name) {
        out.push(Problem::refuses(
            at,
            "names no variable",
            "write it `__name__:value` (CACAO 2.0 §10.18)",
        ));
    } else if !document.variables.contains_key(name) {
        let says = format!("{} isn't declared", named(name));
        out.push(Problem::refuses(
            at,
            says,
            "declare it in `playbook_variables`",
        ));
    }
}

fn conditions(document: &Document, text: &str, at: &str, out: &mut Vec<Problem>) {
    let at = format!("{at}/condition");
    match Condition::read(text) {
        Ok(condition) => {
            let mut names = Vec::new();
            condition.variables(&mut names);
            for name in names {
                variable(document, name, &at, out);
            }
        }
        Err(error) => {
            let says = format!("isn't understood: {error}");
            out.push(Problem::notes(
                &at,
                says,
                "a person decides it; docs/playbooks.md says what is understood",
            ));
        }
    }
}

/// What we ask of a step of ours, and what is told of commands that we don't run.
fn ours<'a>(
    step: &Step,
    mut kinds: impl Iterator<Item = &'a str> + Clone,
    at: &str,
    out: &mut Vec<Problem>,
) {
    let action = step
        .wanted
        .as_ref()
        .and_then(|wanted| wanted.action.as_ref());
    if action.is_some() && !kinds.clone().any(|kind| kind == "manual") {
        let hint = "say in words what a person would do: a command of type `manual`";
        out.push(Problem::refuses(
            &format!("{at}/commands"),
            "says nothing to a person",
            hint,
        ));
    }
    if let Some(kind) = kinds.find(|kind| *kind != "manual") {
        let says = format!("holds a command of type {}", named(kind));
        out.push(Problem::notes(
            &format!("{at}/commands"),
            says,
            "it is never run: a person looks at it and decides",
        ));
    }
}

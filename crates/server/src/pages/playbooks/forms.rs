//! The steps of a draft as forms: what is filled in, what is wrong at each, and what comes of what was typed.

use std::collections::BTreeMap;

use engine::containment::Faults;
use playbook::{Document, Item, StepChange, StepKind, Weight, change_step, outline};
use serde_json::Value;

use super::DEEP_MAX;
use crate::access::Fields;
use crate::pages::drawn::{effect_words, kind_words, step_anchor};
use crate::pages::shortened;

/// Most steps that have forms: each form lists all of them.
pub(super) const FORMS_MAX: usize = 60;
/// Names of our extension that a form has.
const OURS: [&str; 5] = ["action", "effect", "on_breach", "deadline_seconds", "bound"];

/// A parameter of an action, as a form asks for it.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) value: String,
}

/// A step as a form.
pub(super) struct StepForm {
    pub(super) id: String,
    pub(super) anchor: String,
    pub(super) deep: usize,
    pub(super) called: String,
    pub(super) kind: String,
    pub(super) effect: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) does: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) is_loop: bool,
    /// Milliseconds after which it counts as failed; empty where it has no such time.
    pub(super) timeout: String,
    pub(super) ours: BTreeMap<&'static str, String>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) next: String,
    pub(super) failure: String,
    /// Whether it can be moved and left out.
    pub(super) is_plain: bool,
    /// Whether something follows it.
    pub(super) leads_on: bool,
    pub(super) problems: Vec<String>,
}

impl StepForm {
    pub(super) fn said(&self, name: &str) -> &str {
        self.ours.get(name).map_or("", String::as_str)
    }
}

pub(super) fn told(weight: Weight, words: &str) -> String {
    match weight {
        Weight::Refuses => words.to_owned(),
        Weight::Notes => format!("Worth knowing, not in the way: {words}"),
    }
}

/// Whether a place in the document lies in a step.
pub(super) fn is_at(path: &str, id: &str) -> bool {
    let rest = path
        .strip_prefix("/workflow/")
        .and_then(|path| path.strip_prefix(id));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn form(document: &Document, faults: &Faults, id: &str, deep: usize) -> Option<StepForm> {
    let step = document.steps.get(id)?;
    let value = document.value().get("workflow")?.get(id)?;
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let ours = value
        .get("step_extensions")
        .and_then(|all| all.get(playbook::EXTENSION));
    let said = |name: &'static str| {
        let text = match ours.and_then(|ours| ours.get(name)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        (name, text)
    };
    let arguments = step.wanted.as_ref().map(|wanted| wanted.arguments.clone());
    let mut arguments = arguments.unwrap_or_default();
    let known = super::facts_of(step).map_or(&[][..], |facts| facts.parameters);
    let mut parameters: Vec<Parameter> = known
        .iter()
        .map(|one| Parameter {
            name: one.name.to_owned(),
            about: one.about.to_owned(),
            value: arguments.remove(one.name).unwrap_or_default(),
        })
        .collect();
    // What the action doesn't take stands there to be taken away.
    parameters.extend(arguments.into_iter().map(|(name, value)| Parameter {
        about: "This action doesn't take it: empty it.".to_owned(),
        name,
        value,
    }));
    let manual = value.get("commands").and_then(Value::as_array);
    let mut manual = manual.into_iter().flatten();
    let does = manual.find(|one| text(one, "type") == "manual");
    let problems = faults.problems.iter().filter(|one| is_at(&one.path, id));
    let problems = problems.map(|one| told(one.weight, &format!("{} ({})", one.says, one.hint)));
    let refusals = faults.refusals.iter().filter(|one| one.early == id);
    let next = step
        .next
        .completion
        .clone()
        .or_else(|| step.next.success.clone());
    Some(StepForm {
        anchor: step_anchor(id),
        deep,
        called: match step.kind {
            StepKind::Start if step.name.is_empty() => "start".to_owned(),
            _ => shortened(step.called(id), 200),
        },
        kind: shortened(&kind_words(step), 200),
        effect: effect_words(step),
        name: step.name.clone(),
        description: step.description.clone(),
        does: matches!(step.kind, StepKind::Action { .. })
            .then(|| does.map(|one| text(one, "command")).unwrap_or_default()),
        condition: match &step.kind {
            StepKind::If { condition, .. } | StepKind::While { condition, .. } => {
                Some(condition.clone())
            }
            _ => None,
        },
        timeout: match value.get("timeout") {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        },
        is_loop: matches!(step.kind, StepKind::While { .. }),
        ours: OURS.into_iter().map(said).collect(),
        parameters,
        failure: step.next.failure.clone().unwrap_or_default(),
        leads_on: next.is_some(),
        next: next.unwrap_or_default(),
        is_plain: super::is_work(step),
        problems: problems
            .chain(refusals.map(|one| one.says.clone()))
            .map(|words| shortened(&words, 600))
            .collect(),
        id: id.to_owned(),
    })
}

pub(super) fn forms(document: &Document, faults: &Faults) -> Vec<StepForm> {
    if document.steps.len() > FORMS_MAX {
        return Vec::new();
    }
    let mut deeps: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for line in outline(document) {
        if let Item::Step(id) = line.what {
            deeps.insert(id.clone(), line.deep);
            order.push(id);
        }
    }
    // What isn't reached, or ends a branch, comes last.
    let others = document.steps.keys().filter(|id| !deeps.contains_key(*id));
    order.extend(others.cloned());
    let deep = |id: &String| deeps.get(id).copied().unwrap_or_default().min(DEEP_MAX);
    let all = order
        .iter()
        .filter_map(|id| form(document, faults, id, deep(id)));
    // An end says nothing, unless something is wrong with it.
    let mut all: Vec<StepForm> = all.collect();
    all.retain(|one| {
        one.leads_on || one.is_plain || !one.problems.is_empty() || one.does.is_some()
    });
    all
}

/// What the steps' fields make of a draft.
pub(super) fn changed(document: &Document, fields: &Fields) -> Value {
    let mut value = document.value().clone();
    let sent: BTreeMap<&str, &str> = fields.pairs().collect();
    for id in document.steps.keys() {
        let of = |name: &str| sent.get(format!("s.{id}.{name}").as_str()).copied();
        let Some(name) = of("name") else {
            continue;
        };
        let text = |name: &str| of(name).unwrap_or_default().to_owned();
        let prefix = format!("s.{id}.argument.");
        let arguments = sent.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(&prefix)?;
            (!value.trim().is_empty()).then(|| (name.to_owned(), (*value).trim().to_owned()))
        });
        // Of what the form doesn't have nothing is taken away.
        let ours = OURS.into_iter().filter(|name| of(name).is_some());
        let ours: BTreeMap<&'static str, String> = ours
            .map(|name| (name, text(name).trim().to_owned()))
            .collect();
        let change = StepChange {
            name: name.to_owned(),
            description: text("description"),
            does: of("does").map(str::to_owned),
            condition: of("condition").map(str::to_owned),
            timeout: of("timeout").map(|text| text.trim().to_owned()),
            ours: (!ours.is_empty()).then_some(ours),
            arguments: arguments.collect(),
            next: text("next"),
            failure: text("failure"),
        };
        // Its id is one of the document's own.
        drop(change_step(&mut value, id, &change));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::is_at;

    #[test]
    fn a_problem_stands_at_its_own_step_alone() {
        assert!(
            is_at("/workflow/action--1/name", "action--1")
                && is_at("/workflow/action--1", "action--1")
        );
        assert!(!is_at("/workflow/action--12/name", "action--1") && !is_at("/name", "action--1"));
    }
}

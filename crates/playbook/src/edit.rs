//! Changes of a document's steps, each leaving all that it doesn't name as it was.
//!
//! Whether what comes out is sound is for [`crate::check`] and [`crate::orders`] to say: a change that breaks a law is made, and told.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::EXTENSION;
use crate::problem::shown;

/// Why a change can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// There is no such step.
    #[error("there is no step `{id}`")]
    NoStep {
        /// Its identifier.
        id: String,
    },
    /// What branches, begins or ends isn't moved or left out by itself.
    #[error("`{id}` branches, begins or ends something: change it in the document's text")]
    NotPlain {
        /// Its identifier.
        id: String,
    },
    /// There is no step to change places with.
    #[error("`{id}` has no single step beside it in its branch to change places with")]
    NoPlace {
        /// Its identifier.
        id: String,
    },
}

/// What a step is to be; empty texts stand for what isn't there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepChange {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// What a person would do; `None` leaves commands as they are.
    pub does: Option<String>,
    /// Of a condition.
    pub condition: Option<String>,
    /// Milliseconds after which it counts as failed; `None` leaves it as it is.
    pub timeout: Option<String>,
    /// Of our extension, by name: texts and whole numbers; `None` leaves it as it is.
    pub ours: Option<BTreeMap<&'static str, String>>,
    /// Arguments by parameter; of no meaning without `ours`.
    pub arguments: BTreeMap<String, String>,
    /// What follows.
    pub next: String,
    /// What follows when it failed.
    pub failure: String,
}

fn steps(document: &mut Value) -> Option<&mut Map<String, Value>> {
    document.get_mut("workflow")?.as_object_mut()
}

fn step<'a>(document: &'a mut Value, id: &str) -> Result<&'a mut Map<String, Value>, EditError> {
    let step = steps(document).and_then(|steps| steps.get_mut(id)?.as_object_mut());
    step.ok_or_else(|| EditError::NoStep { id: shown(id) })
}

/// Writes a text, or leaves it out where it is empty; what is there already isn't written anew.
fn put(object: &mut Map<String, Value>, key: &str, text: &str) {
    let known = object.get(key).and_then(Value::as_str).unwrap_or_default();
    if known == text {
        return;
    }
    if text.is_empty() {
        object.remove(key);
    } else {
        object.insert(key.to_owned(), text.into());
    }
}

/// Writes a whole number, or what else stands there: the check says what is wrong with that, where it stands.
fn put_number(object: &mut Map<String, Value>, key: &str, text: &str) {
    match text.parse::<u64>() {
        Ok(number) if object.get(key).and_then(Value::as_u64) == Some(number) => {}
        Ok(number) => drop(object.insert(key.to_owned(), number.into())),
        Err(_) if text.is_empty() => drop(object.remove(key)),
        Err(_) => put(object, key, text),
    }
}

fn main_next(step: &Map<String, Value>) -> Option<&str> {
    let of = |key: &str| step.get(key).and_then(Value::as_str);
    of("on_completion").or_else(|| of("on_success"))
}

fn put_main_next(step: &mut Map<String, Value>, next: &str) {
    let key = if step.contains_key("on_success") {
        "on_success"
    } else {
        "on_completion"
    };
    put(step, key, next);
}

fn is_plain(step: &Map<String, Value>) -> bool {
    let kind = step.get("type").and_then(Value::as_str);
    matches!(kind, Some("action" | "playbook-action"))
}

/// Makes a step what a form says.
///
/// # Errors
///
/// [`EditError::NoStep`].
pub fn change_step(document: &mut Value, id: &str, change: &StepChange) -> Result<(), EditError> {
    let step = step(document, id)?;
    put(step, "name", &change.name);
    put(step, "description", &change.description);
    if let Some(condition) = &change.condition {
        put(step, "condition", condition);
    }
    if let Some(timeout) = &change.timeout {
        put_number(step, "timeout", timeout);
    }
    if let Some(does) = &change.does {
        put_manual(step, does);
    }
    if let Some(ours) = &change.ours {
        put_ours(step, ours, &change.arguments);
    }
    let now = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_next = main_next(step).unwrap_or_default() == change.next;
    if is_next && now("on_failure") == change.failure {
        return Ok(());
    }
    if change.failure.is_empty() {
        put(step, "on_completion", &change.next);
        put(step, "on_success", "");
        put(step, "on_failure", "");
    } else {
        put(step, "on_completion", "");
        put(step, "on_success", &change.next);
        put(step, "on_failure", &change.failure);
    }
    Ok(())
}

fn put_manual(step: &mut Map<String, Value>, does: &str) {
    let is_manual = |one: &Value| one.get("type").and_then(Value::as_str) == Some("manual");
    if let Some(Value::Array(commands)) = step.get_mut("commands")
        && let Some(Value::Object(manual)) = commands.iter_mut().find(|one| is_manual(one))
    {
        put(manual, "command", does);
        return;
    }
    if does.is_empty() {
        return;
    }
    let manual = json!({"type": "manual", "command": does});
    match step.get_mut("commands") {
        Some(Value::Array(commands)) => commands.push(manual),
        _ => drop(step.insert("commands".to_owned(), json!([manual]))),
    }
}

fn put_ours(
    step: &mut Map<String, Value>,
    ours: &BTreeMap<&'static str, String>,
    arguments: &BTreeMap<String, String>,
) {
    let says_nothing = ours.values().all(String::is_empty) && arguments.is_empty();
    let known = step
        .get("step_extensions")
        .and_then(|all| all.get(EXTENSION));
    if says_nothing && known.is_none() {
        return;
    }
    let all = step
        .entry("step_extensions")
        .or_insert_with(|| Value::Object(Map::new()));
    let Some(all) = all.as_object_mut() else {
        return;
    };
    let extension = all
        .entry(EXTENSION)
        .or_insert_with(|| Value::Object(Map::new()));
    let Some(extension) = extension.as_object_mut() else {
        return;
    };
    for (name, text) in ours {
        put_number(extension, name, text);
    }
    if arguments.is_empty() {
        extension.remove("arguments");
    } else {
        extension.insert("arguments".to_owned(), json!(arguments));
    }
    if extension.is_empty() {
        all.remove(EXTENSION);
    }
    if all.is_empty() {
        step.remove("step_extensions");
    }
}

/// Every place where a step may be named, but in the steps of `but`.
fn renamed(document: &mut Value, from: &str, to: &str, but: &[&str]) {
    let rename = |value: &mut Value| {
        if value.as_str() == Some(from) {
            *value = to.into();
        }
    };
    for (id, step) in steps(document).into_iter().flatten() {
        if but.contains(&id.as_str()) {
            continue;
        }
        let Some(step) = step.as_object_mut() else {
            continue;
        };
        for key in [
            "on_completion",
            "on_success",
            "on_failure",
            "on_true",
            "on_false",
        ] {
            step.get_mut(key).map(rename);
        }
        let branches = step.get_mut("next_steps").and_then(Value::as_array_mut);
        branches.into_iter().flatten().for_each(rename);
        let cases = step.get_mut("cases").and_then(Value::as_object_mut);
        let cases = cases.into_iter().flat_map(|cases| cases.values_mut());
        cases.for_each(rename);
    }
    for key in ["workflow_start", "workflow_exception"] {
        document.get_mut(key).map(rename);
    }
}

/// Puts a new step, for a person, behind another; `new` is its identifier.
///
/// # Errors
///
/// [`EditError`] when there is no such step, or nothing follows it.
pub fn insert_after(document: &mut Value, id: &str, new: &str) -> Result<(), EditError> {
    let agents = document.get("agent_definitions").and_then(Value::as_object);
    let first = agents.and_then(|agents| agents.keys().next().cloned());
    let before = step(document, id)?;
    let Some(next) = main_next(before).map(str::to_owned) else {
        return Err(EditError::NoPlace { id: shown(id) });
    };
    let agent = before.get("agent").and_then(Value::as_str);
    let agent = agent.map(str::to_owned).or(first);
    put_main_next(before, new);
    let mut step = json!({
        "type": "action",
        "name": "New step",
        "commands": [{"type": "manual", "command": "Say what is to be done."}],
        "on_completion": next,
    });
    if let Some(agent) = agent {
        step["agent"] = agent.into();
    }
    if let Some(steps) = steps(document) {
        steps.insert(new.to_owned(), step);
    }
    Ok(())
}

/// Leaves a step out: what led to it leads to what followed it.
///
/// # Errors
///
/// [`EditError`] when there is no such step, or it branches.
pub fn remove_step(document: &mut Value, id: &str) -> Result<(), EditError> {
    let gone = step(document, id)?;
    let next = main_next(gone).map(str::to_owned);
    let (true, Some(next)) = (is_plain(gone), next) else {
        return Err(EditError::NotPlain { id: shown(id) });
    };
    renamed(document, id, &next, &[id]);
    if let Some(steps) = steps(document) {
        steps.remove(id);
    }
    Ok(())
}

/// Lets a step change places with the one before it in its branch.
///
/// # Errors
///
/// [`EditError`] when there is no such step, one of both branches, or none or several stand before it.
pub fn move_up(document: &mut Value, id: &str) -> Result<(), EditError> {
    let moved = step(document, id)?;
    let next = main_next(moved).map(str::to_owned);
    let (true, Some(next)) = (is_plain(moved), next) else {
        return Err(EditError::NotPlain { id: shown(id) });
    };
    let leads = |(_, step): &(&String, &mut Value)| {
        let step = step.as_object();
        step.is_some_and(|step| is_plain(step) && main_next(step) == Some(id))
    };
    let mut before = steps(document).into_iter().flatten().filter(leads);
    let (Some((before, _)), None) = (before.next(), before.next()) else {
        return Err(EditError::NoPlace { id: shown(id) });
    };
    let before = before.clone();
    renamed(document, &before, id, &[&before, id]);
    put_main_next(step(document, &before)?, &next);
    put_main_next(step(document, id)?, &before);
    Ok(())
}

/// Lets a step change places with the one behind it in its branch.
///
/// # Errors
///
/// As [`move_up`].
pub fn move_down(document: &mut Value, id: &str) -> Result<(), EditError> {
    let moved = step(document, id)?;
    let next = main_next(moved).map(str::to_owned);
    match next {
        Some(next) if is_plain(step(document, id)?) && is_plain(step(document, &next)?) => {
            move_up(document, &next)
        }
        _ => Err(EditError::NoPlace { id: shown(id) }),
    }
}

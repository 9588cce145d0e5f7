//! What a step of ours says beside CACAO: which action, with what, by when, and what it does to the cause.
//!
//! An extension by the book (CACAO 2.0 §8): a tool that doesn't know it shows the step's `manual` command, and that is true.

use std::collections::BTreeMap;

use model::{ForensicImpact, OnBreach, Stops};
use serde_json::{Map, Value};

use crate::problem::{Problem, part, shown};

/// Identifier of our extension. Never changes: documents out there hold it.
pub const EXTENSION: &str = "extension-definition--6f1d7c1e-52a4-4d0b-9c3a-0a5b8e7f2d41";

/// Who made our playbooks and the extension (`created_by`).
pub const IDENTITY: &str = "identity--b0c6a0f4-1f0e-4a39-8a77-3d1f5a9e6c12";

/// Longest deadline: 30 days, in seconds.
const DEADLINE_MAX: u64 = 30 * 86_400;

/// Most rounds of a loop.
const BOUND_MAX: u64 = 100;

/// What a step wants, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the action; `None` for work of a person.
    pub action: Option<String>,
    /// Arguments by parameter: text, or `__variable__:value`.
    pub arguments: BTreeMap<String, String>,
    /// Seconds after approval.
    pub deadline_seconds: Option<u32>,
    /// What the author says it does to evidence; has to be what is known of the action, at least.
    pub forensic_impact: Option<ForensicImpact>,
    /// What the author says it does to the cause.
    pub effect: Option<Stops>,
    /// Why evidence needn't be kept before it.
    pub waiver: Option<String>,
    /// Most rounds of a `while-condition`.
    pub bound: Option<u32>,
    /// What follows when a store suffers that it isn't to close.
    pub on_breach: OnBreach,
}

/// Reads our extension of a step; what can't be read is left out and told.
pub(crate) fn read(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Wanted {
    let mut wanted = Wanted::default();
    let Value::Object(object) = value else {
        let hint = "make it an object, as docs/playbooks.md has it";
        problems.push(Problem::refuses(path, "is no object", hint));
        return wanted;
    };
    for (name, value) in object {
        let at = format!("{path}/{}", part(name));
        let mut say = |says: &str, hint: &str| problems.push(Problem::refuses(&at, says, hint));
        let whole = |least: u64, most: u64| {
            let read = value.as_u64().filter(|read| (least..=most).contains(read));
            read.and_then(|read| u32::try_from(read).ok())
        };
        match name.as_str() {
            "action" => match value.as_str() {
                Some(action) => wanted.action = Some(action.to_owned()),
                None => say("is no text", "name an action"),
            },
            "arguments" => wanted.arguments = arguments(value, &at, problems),
            "deadline_seconds" => match whole(1, DEADLINE_MAX) {
                Some(read) => wanted.deadline_seconds = Some(read),
                None => say("is no deadline", "give whole seconds, 1 to 2592000"),
            },
            "forensic_impact" => match serde_json::from_value(value.clone()) {
                Ok(read) => wanted.forensic_impact = Some(read),
                Err(_) => say(
                    "is no forensic impact",
                    "say `none`, `alters` or `destroys`",
                ),
            },
            "effect" => match value.as_str() {
                Some("contains") => wanted.effect = Some(Stops::Contains),
                Some("mitigates") => wanted.effect = Some(Stops::OnlyMitigates),
                _ => say("is no effect", "say `contains` or `mitigates`"),
            },
            "waiver" => match value.as_str().filter(|text| text.trim().len() >= 10) {
                Some(read) => wanted.waiver = Some(read.to_owned()),
                None => say(
                    "gives no reason",
                    "say in words why nothing is kept before it",
                ),
            },
            "bound" => match whole(1, BOUND_MAX) {
                Some(read) => wanted.bound = Some(read),
                None => say("is no bound", "give a whole number, 1 to 100"),
            },
            "on_breach" => match serde_json::from_value(value.clone()) {
                Ok(read) => wanted.on_breach = read,
                Err(_) => say("is no consequence", "say `hold` or `undo`"),
            },
            _ => say(
                "isn't known",
                "leave it out; docs/playbooks.md lists what can stand here",
            ),
        }
    }
    wanted
}

fn arguments(value: &Value, path: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let empty = Map::new();
    let object = value.as_object().unwrap_or_else(|| {
        let hint = "give an object: a parameter's name, and text";
        problems.push(Problem::refuses(path, "is no object", hint));
        &empty
    });
    let mut out = BTreeMap::new();
    for (name, value) in object {
        match value.as_str() {
            Some(text) => drop(out.insert(name.clone(), text.to_owned())),
            None => problems.push(Problem::refuses(
                &format!("{path}/{}", part(name)),
                "is no text",
                "give text, or a variable as `__name__:value`",
            )),
        }
    }
    out
}

/// The variable that a text stands for, `__name__` of `__name__:value`; text around a variable is refused elsewhere.
pub(crate) fn variable_of(text: &str) -> Option<&str> {
    let name = text.strip_suffix(":value")?;
    is_variable(name).then_some(name)
}

/// Whether it is a variable's name (CACAO 2.0 §10.18): `__`, a letter or `_`, more of these, digits and `-`, `__`.
pub(crate) fn is_variable(name: &str) -> bool {
    let Some(inner) = name
        .strip_prefix("__")
        .and_then(|name| name.strip_suffix("__"))
    else {
        return false;
    };
    let begins = inner
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    begins && inner.len() <= 200 && inner.bytes().all(is_fine)
}

/// What a variable would be in a text that isn't just that variable; building texts from parts is how strings break out.
pub(crate) fn mixes_in(text: &str) -> Option<String> {
    let is_mixed = variable_of(text).is_none() && text.contains("__:value");
    is_mixed.then(|| shown(text))
}

#[cfg(test)]
mod tests {
    use super::{is_variable, mixes_in, read, variable_of};
    use serde_json::json;

    #[test]
    fn names_of_variables_are_those_of_the_standard() {
        for (name, expected) in [
            ("__account__", true),
            ("__a-1__", true),
            ("__1__", false),
            ("____", false),
            ("account", false),
            ("__a b__", false),
            ("__é__", false),
        ] {
            assert_eq!(is_variable(name), expected, "{name}");
        }
        assert!(is_variable(&format!("__{}__", "a".repeat(200))));
        assert!(!is_variable(&format!("__{}__", "a".repeat(201))));
        assert_eq!(variable_of("__a__:value"), Some("__a__"));
        assert_eq!(variable_of("__a__"), None);
        assert!(mixes_in("x__a__:value").is_some());
        assert!(mixes_in("__a__:value").is_none());
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        let mut problems = Vec::new();
        let value = json!({"action": 1, "arguments": {"a": 2}, "deadline_seconds": 0, "forensic_impact": "some",
            "effect": "stops", "waiver": "no", "bound": 101, "on_breach": "wait", "more": 1});
        let wanted = read(&value, "/x", &mut problems);
        assert_eq!(wanted, super::Wanted::default());
        let mut paths: Vec<_> = problems.iter().map(|one| one.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "/x/action",
                "/x/arguments/a",
                "/x/bound",
                "/x/deadline_seconds",
                "/x/effect",
                "/x/forensic_impact",
                "/x/more",
                "/x/on_breach",
                "/x/waiver"
            ]
        );
        let mut problems = Vec::new();
        drop(read(&json!([]), "/x", &mut problems));
        assert_eq!(problems.len(), 1);
    }
}

//! Changes to a user (RFC 7644 §3.5.2), in the forms directories send them: all of them, or none.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::body::{attribute, folded, object};
use crate::filter::{Filter, FilterPath};
use crate::user::{set, within_limits, words};
use crate::{Kind, Refusal, User};

/// Most operations of one change.
pub const OPERATIONS_MAX: usize = 100;

/// Attributes that never change: what a decision is sealed with must go on naming the same account.
const FIXED: [&str; 4] = ["id", "meta", "schemas", "username"];

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// The user as a change wants them.
///
/// # Errors
///
/// [`Refusal`]; nothing is changed then.
pub fn patched(bytes: &[u8], user: &User) -> Result<User, Refusal> {
    let body = object(bytes)?;
    let syntax = |detail| Refusal::new(Kind::InvalidSyntax, detail);
    let Some(Value::Array(operations)) = body.get("operations") else {
        return Err(syntax("`Operations` is missing, or no list"));
    };
    if operations.is_empty() || operations.len() > OPERATIONS_MAX {
        return Err(syntax("a change has 1 to 100 operations"));
    }
    let mut user = user.clone();
    for operation in operations {
        let Value::Object(operation) = operation else {
            return Err(syntax("an operation is no object"));
        };
        let operation = folded(operation.clone())?;
        // Entra ID writes `Add`, `Replace`, `Remove`.
        let verb = match operation.get("op").and_then(Value::as_str) {
            Some(word) if word.eq_ignore_ascii_case("add") => Verb::Add,
            Some(word) if word.eq_ignore_ascii_case("replace") => Verb::Replace,
            Some(word) if word.eq_ignore_ascii_case("remove") => Verb::Remove,
            _ => return Err(syntax("`op` is none of add, replace, remove")),
        };
        let value = operation.get("value");
        match operation.get("path") {
            None | Some(Value::Null) => whole(&mut user, verb, value)?,
            Some(Value::String(path)) => at(&mut user, verb, path, value)?,
            Some(_) => return Err(Refusal::new(Kind::InvalidPath, "`path` is no text")),
        }
    }
    Ok(user)
}

/// An operation without a path: its value names what is changed.
fn whole(user: &mut User, verb: Verb, value: Option<&Value>) -> Result<(), Refusal> {
    if verb == Verb::Remove {
        return Err(Refusal::new(
            Kind::NoTarget,
            "what is removed has to be named by a path",
        ));
    }
    let Some(Value::Object(values)) = value else {
        return Err(Refusal::new(
            Kind::InvalidValue,
            "without a path, `value` is an object of attributes",
        ));
    };
    for (name, value) in folded(values.clone())? {
        // Okta sends the id with what it changes.
        if name == "id" || name == "schemas" || name == "meta" {
            continue;
        }
        at(user, verb, &name, Some(&value))?;
    }
    Ok(())
}

/// An operation on what a path names.
fn at(user: &mut User, verb: Verb, path: &str, value: Option<&Value>) -> Result<(), Refusal> {
    let path = FilterPath::read(path)?;
    let name = path.attribute.as_str();
    if matches!(name, "roles" | "groups" | "roles.value" | "groups.value") {
        let all = match name.split('.').next() {
            Some("roles") => &mut user.roles,
            _ => &mut user.groups,
        };
        return several(all, verb, &path, value);
    }
    if path.of.is_some() && matches!(name, "active" | "username" | "externalid" | "displayname") {
        return Err(Refusal::new(
            Kind::InvalidPath,
            "an attribute of one value takes no filter",
        ));
    }
    if verb != Verb::Remove {
        let Some(value) = value else {
            return Err(Refusal::new(Kind::InvalidValue, "`value` is missing"));
        };
        if name == "username" && same_name(value, &user.user_name) {
            return Ok(());
        }
        if FIXED.contains(&name) {
            return Err(Refusal::new(Kind::Mutability, FIXED_DETAIL));
        }
        if name == "name" {
            // What is shown follows the name that was sent.
            user.display_name = String::new();
        }
        return set(user, name, value);
    }
    match name {
        "externalid" => user.external_id = String::new(),
        "displayname" | "name" | "name.formatted" => user.display_name = String::new(),
        "emails" | "emails.value" => user.mail = String::new(),
        "active" => {
            return Err(Refusal::new(
                Kind::InvalidValue,
                "`active` can't be removed: send false",
            ));
        }
        name if FIXED.contains(&name) => {
            return Err(Refusal::new(Kind::Mutability, FIXED_DETAIL));
        }
        _ => {}
    }
    Ok(())
}

const FIXED_DETAIL: &str = "`userName` and `id` never change here: what somebody decided stays under the name it was sealed with";

fn same_name(value: &Value, name: &str) -> bool {
    value
        .as_str()
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(name))
}

/// An operation on an attribute of several values.
fn several(
    all: &mut Option<BTreeSet<String>>,
    verb: Verb,
    path: &FilterPath,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    let part = match path.attribute.split_once('.') {
        Some((_, part)) => part,
        None => path.part.as_str(),
    };
    if !part.is_empty() && part != "value" {
        // `display`, `type`: not kept.
        return Ok(());
    }
    let mut now = all.take().unwrap_or_default();
    let sent = value.map(words).transpose();
    let sent = match sent {
        Ok(sent) => sent,
        Err(refusal) => {
            *all = Some(now);
            return Err(refusal);
        }
    };
    match (verb, sent, &path.of) {
        (Verb::Remove, None, None) => now.clear(),
        (Verb::Remove, Some(sent), None) => now.retain(|word| !sent.contains(word)),
        (Verb::Remove, _, Some(of)) => now.retain(|word| !chosen(of, word)),
        (_, None, _) => return Err(Refusal::new(Kind::InvalidValue, "`value` is missing")),
        (Verb::Add, Some(sent), _) => now.extend(sent),
        (Verb::Replace, Some(sent), None) => now = sent,
        (Verb::Replace, Some(sent), Some(of)) => {
            now.retain(|word| !chosen(of, word));
            now.extend(sent);
        }
    }
    within_limits(&now)?;
    *all = Some(now);
    Ok(())
}

/// Whether a filter chooses a value. Which one is primary isn't kept: `primary` chooses all of them.
fn chosen(of: &Filter, word: &str) -> bool {
    of.fits(&|part: &str| match attribute(part).as_str() {
        "value" => vec![Value::from(word)],
        "primary" => vec![Value::from(true)],
        _ => Vec::new(),
    })
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;

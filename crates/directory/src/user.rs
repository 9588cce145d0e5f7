//! A user as a directory describes one; what isn't kept – phones, photos, where they live – is read over.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::body::{folded, object};
use crate::{Kind, Refusal};

/// Most roles, and most groups, of one user.
pub const WORDS_MAX: usize = 100;
/// Longest text that is kept of a user, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// A user as a directory describes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Unique name to log in with.
    pub user_name: String,
    /// The directory's own id; empty when it has none.
    pub external_id: String,
    /// The name to be shown; empty when none was said.
    pub display_name: String,
    /// Their address of mail: of several the primary one, else the first; empty when none was said.
    pub mail: String,
    /// Whether they may log in.
    pub active: bool,
    /// Values of `roles`; nothing when the directory said nothing of them.
    pub roles: Option<BTreeSet<String>>,
    /// Values of `groups`, likewise.
    pub groups: Option<BTreeSet<String>>,
}

/// Reads a user's body, as POST and PUT send it. Who isn't said to be inactive is active.
///
/// # Errors
///
/// [`Refusal`] without a `userName`, or for values of other kinds.
pub fn read(bytes: &[u8]) -> Result<User, Refusal> {
    let mut user = User {
        active: true,
        ..User::default()
    };
    let object = object(bytes)?;
    // `schemas` says what it is; a group sent here isn't one of these.
    if let Some(schemas) = object.get("schemas") {
        let named = schemas.as_array().is_some_and(|all| {
            all.iter()
                .filter_map(Value::as_str)
                .any(|one| one.eq_ignore_ascii_case(crate::body::USER_URN))
        });
        if !named {
            let detail = "`schemas` doesn't name urn:ietf:params:scim:schemas:core:2.0:User";
            return Err(Refusal::new(Kind::InvalidSyntax, detail));
        }
    }
    for (name, value) in object.iter().filter(|(name, _)| *name != "name") {
        set(&mut user, name, value)?;
    }
    // Counts where no other name is to be shown.
    if let Some(name) = object.get("name") {
        set(&mut user, "name", name)?;
    }
    if user.user_name.is_empty() {
        return Err(Refusal::new(Kind::InvalidValue, "`userName` is missing"));
    }
    Ok(user)
}

/// Sets one attribute, by its name in lower case, to a value; of what isn't kept, nothing.
pub(crate) fn set(user: &mut User, name: &str, value: &Value) -> Result<(), Refusal> {
    match name {
        "username" => user.user_name = text(value)?,
        "externalid" => user.external_id = text(value)?,
        "displayname" | "name.formatted" => user.display_name = text(value)?,
        "name" => {
            if let Some(shown) = name_of(value)?
                && user.display_name.is_empty()
            {
                user.display_name = shown;
            }
        }
        "active" => user.active = truth(value)?,
        "emails" | "emails.value" => user.mail = mail(value)?,
        "roles" => user.roles = Some(words(value)?),
        "groups" => user.groups = Some(words(value)?),
        _ => {}
    }
    Ok(())
}

/// An address, of a text, of an object with `value`, or of several of either.
fn mail(value: &Value) -> Result<String, Refusal> {
    let many = match value {
        Value::Array(many) => many.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut first = None;
    for one in many {
        let (address, is_primary) = match one {
            Value::Object(object) => {
                let object = folded(object.clone())?;
                let primary = object.get("primary").map_or(Ok(false), truth);
                (word_of(&object)?, primary.unwrap_or(false))
            }
            one => (text(one)?, false),
        };
        if is_primary {
            return Ok(address);
        }
        first.get_or_insert(address);
    }
    Ok(first.unwrap_or_default())
}

/// A text; null is an empty one (RFC 7643 §2.5: unassigned).
fn text(value: &Value) -> Result<String, Refusal> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) if text.len() <= TEXT_BYTES_MAX => Ok(text.trim().to_owned()),
        Value::String(_) => Err(Refusal::new(
            Kind::InvalidValue,
            "a text is longer than 256 bytes",
        )),
        _ => Err(Refusal::new(
            Kind::InvalidValue,
            "an attribute that is a text was sent as something else",
        )),
    }
}

/// True or false; Entra ID sends them as texts, too (`"False"`), unless told not to.
fn truth(value: &Value) -> Result<bool, Refusal> {
    let said = match value {
        Value::Bool(said) => Some(*said),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        // Some send the one value of an attribute as a list of one.
        Value::Array(one) if one.len() == 1 => match &one[0] {
            Value::Object(object) => object.get("value").map(truth).transpose()?,
            inner @ (Value::Bool(_) | Value::String(_)) => Some(truth(inner)?),
            _ => None,
        },
        _ => None,
    };
    said.ok_or_else(|| Refusal::new(Kind::InvalidValue, "`active` is neither true nor false"))
}

/// The name of a person, of its parts.
fn name_of(value: &Value) -> Result<Option<String>, Refusal> {
    let Value::Object(parts) = value else {
        return match value {
            Value::Null => Ok(None),
            _ => Err(Refusal::new(Kind::InvalidValue, "`name` is no object")),
        };
    };
    let parts = folded(parts.clone())?;
    let part = |name: &str| parts.get(name).map_or(Ok(String::new()), text);
    let whole = part("formatted")?;
    if !whole.is_empty() {
        return Ok(Some(whole));
    }
    let both = format!("{} {}", part("givenname")?, part("familyname")?);
    let both = both.trim();
    Ok((!both.is_empty()).then(|| both.to_owned()))
}

/// Values of an attribute that has several: objects with `value`, or texts, or one of either.
pub(crate) fn words(value: &Value) -> Result<BTreeSet<String>, Refusal> {
    let many = match value {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Array(many) => many.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut all = BTreeSet::new();
    for one in many {
        let word = match one {
            Value::Object(object) => word_of(object)?,
            Value::String(_) => text(one)?,
            _ => String::new(),
        };
        if word.is_empty() {
            return Err(Refusal::new(
                Kind::InvalidValue,
                "a role or group has no value",
            ));
        }
        all.insert(word);
    }
    within_limits(&all)?;
    Ok(all)
}

fn word_of(object: &Map<String, Value>) -> Result<String, Refusal> {
    let object = folded(object.clone())?;
    object.get("value").map_or(Ok(String::new()), text)
}

pub(crate) fn within_limits(words: &BTreeSet<String>) -> Result<(), Refusal> {
    if words.len() > WORDS_MAX {
        return Err(Refusal::new(
            Kind::InvalidValue,
            "more than 100 roles or groups",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{User, read};

    #[test]
    fn of_several_addresses_the_primary_one_is_kept() {
        let check = |emails: &str, expected: &str| {
            let body = format!(r#"{{"userName":"anna","emails":{emails}}}"#);
            let user = read(body.as_bytes()).expect("a user");
            assert_eq!(user.mail, expected, "{emails}");
        };
        check("[]", "");
        check("null", "");
        check(r#""a@example.com""#, "a@example.com");
        check(
            r#"[{"value":"a@example.com"},{"value":"b@example.com","primary":true}]"#,
            "b@example.com",
        );
        check(
            r#"[{"Value":"a@example.com","primary":"False"},{"value":"b@example.com"}]"#,
            "a@example.com",
        );
    }

    #[track_caller]
    fn check(body: &str, expected: Result<&str, &str>) {
        let shown = |user: User| {
            let words = |all: Option<std::collections::BTreeSet<String>>| {
                all.map_or("-".to_owned(), |all| {
                    all.into_iter().collect::<Vec<_>>().join("+")
                })
            };
            let User {
                user_name,
                external_id,
                display_name,
                mail: _,
                active,
                roles,
                groups,
            } = user;
            format!(
                "{user_name}|{external_id}|{display_name}|{active}|{}|{}",
                words(roles),
                words(groups)
            )
        };
        let read = read(body.as_bytes())
            .map(shown)
            .map_err(|refusal| refusal.detail);
        assert_eq!(read.as_deref().map_err(|error| *error), expected, "{body}");
    }

    #[test]
    fn a_user_is_read_as_entra_id_and_okta_send_one() {
        // Entra ID.
        check(
            r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"58342554","userName":"anna@example.com","active":true,"displayName":"Anna A","emails":[{"primary":true,"type":"work","value":"anna@example.com"}],"meta":{"resourceType":"User"},"name":{"formatted":"Anna Maria","familyName":"A","givenName":"Anna"},"roles":[]}"#,
            Ok("anna@example.com|58342554|Anna A|true||-"),
        );
        // Okta.
        check(
            r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"bob@example.com","name":{"givenName":"Bob","familyName":"B"},"emails":[{"primary":true,"value":"bob@example.com","type":"work"}],"displayName":"","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}"#,
            Ok("bob@example.com|00ujl29u0le5T6Aj10h7|Bob B|true|-|"),
        );
    }

    #[test]
    fn names_are_compared_in_any_case_and_what_is_twice_is_refused() {
        check(r#"{"USERNAME":"a","Active":"False"}"#, Ok("a|||false|-|-"));
        check(
            r#"{"urn:ietf:params:scim:schemas:core:2.0:User:userName":"a"}"#,
            Ok("a|||true|-|-"),
        );
        check(
            r#"{"userName":"a","active":true,"Active":false}"#,
            Err("an attribute stands twice in one object"),
        );
    }

    #[test]
    fn roles_come_as_objects_or_as_texts() {
        check(
            r#"{"userName":"a","roles":[{"Value":"x","primary":"True"},"y",{"value":"x"}],"groups":"g"}"#,
            Ok("a|||true|x+y|g"),
        );
        check(
            r#"{"userName":"a","roles":[{"display":"x"}]}"#,
            Err("a role or group has no value"),
        );
        check(
            r#"{"userName":"a","roles":[7]}"#,
            Err("a role or group has no value"),
        );
    }

    #[test]
    fn what_is_no_user_is_refused() {
        check("", Err("the body is no JSON object"));
        check("[]", Err("the body is no JSON object"));
        check("{}", Err("`userName` is missing"));
        check(r#"{"userName":null}"#, Err("`userName` is missing"));
        check(
            r#"{"userName":["a"]}"#,
            Err("an attribute that is a text was sent as something else"),
        );
        check(
            r#"{"userName":"a","active":"yes"}"#,
            Err("`active` is neither true nor false"),
        );
        check(
            r#"{"userName":"a","active":null}"#,
            Err("`active` is neither true nor false"),
        );
        check(
            r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"userName":"a"}"#,
            Err("`schemas` doesn't name urn:ietf:params:scim:schemas:core:2.0:User"),
        );
        let long = format!(r#"{{"userName":"{}"}}"#, "a".repeat(257));
        check(&long, Err("a text is longer than 256 bytes"));
        let deep = format!(
            r#"{{"userName":"a","x":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        check(&deep, Err("the body is no JSON object"));
        let many: Vec<_> = (0..101).map(|at| format!("\"{at}\"")).collect();
        let many = format!(r#"{{"userName":"a","roles":[{}]}}"#, many.join(","));
        check(&many, Err("more than 100 roles or groups"));
    }
}

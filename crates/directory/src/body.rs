//! Objects whose names are compared in any case (RFC 7643 §2.1).

use serde_json::{Map, Value};

use crate::{Kind, Refusal};

/// The URN that may stand before an attribute of a user.
pub(crate) const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:user";

/// Reads bytes as one object.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => folded(object),
        _ => Err(Refusal::new(
            Kind::InvalidSyntax,
            "the body is no JSON object",
        )),
    }
}

/// An object by its names in lower case, without the user's URN. Two names that are then one are refused: which of them
/// counts would be a guess.
pub(crate) fn folded(object: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let mut all = Map::new();
    for (name, value) in object {
        if all.insert(attribute(&name), value).is_some() {
            return Err(Refusal::new(
                Kind::InvalidSyntax,
                "an attribute stands twice in one object",
            ));
        }
    }
    Ok(all)
}

/// An attribute's name in lower case, without the URN of a user.
pub(crate) fn attribute(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let bare = name
        .strip_prefix(USER_URN)
        .and_then(|rest| rest.strip_prefix(':'));
    bare.map_or_else(|| name.clone(), str::to_owned)
}

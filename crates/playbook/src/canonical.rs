//! A plan as bytes that are the same for the same plan (RFC 8785), and the hash that is approved.

use std::fmt::Write as _;

use model::Plan;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A plan's canonical JSON: keys ordered by UTF-16, no white space, numbers whole.
///
/// # Panics
///
/// Never: a plan holds nothing that isn't JSON.
#[must_use]
pub fn canonical(plan: &Plan) -> Vec<u8> {
    let value = serde_json::to_value(plan).expect("a plan has text keys and whole numbers only");
    let mut out = String::new();
    write(&value, &mut out);
    out.into_bytes()
}

/// SHA-256 over [`canonical`].
#[must_use]
pub fn hash(plan: &Plan) -> [u8; 32] {
    Sha256::digest(canonical(plan)).into()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(list) => {
            out.push('[');
            for (at, one) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(one, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut keys: Vec<_> = object.iter().collect();
            keys.sort_by_cached_key(|(key, _)| key.encode_utf16().collect::<Vec<_>>());
            out.push('{');
            for (at, (key, one)) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(&Value::from(key.as_str()), out);
                out.push(':');
                write(one, out);
            }
            out.push('}');
        }
        // serde_json writes texts as RFC 8785 §3.2.2.2 asks, and whole numbers as they are.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            write!(out, "{value}").expect("a text takes all");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::write;
    use serde_json::json;

    #[test]
    fn keys_are_ordered_and_texts_escaped_as_the_standard_has_it() {
        let mut out = String::new();
        // The keys of RFC 8785 §3.2.3, whose order by UTF-16 isn't that by UTF-8.
        let value = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": [true, null, "\u{1}\n\"\\/"]});
        write(&value, &mut out);
        assert_eq!(
            out,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":[true,null,\"\\u0001\\n\\\"\\\\/\"],\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }
}

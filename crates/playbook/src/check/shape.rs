//! Whether properties are of the kind that CACAO 2.0 gives them.

use serde_json::Value;

use crate::extension::is_variable;
use crate::problem::{Problem, part, shown};

/// What a property holds.
pub(super) enum Kind {
    /// Text.
    Text,
    /// Text or nothing (a variable without value).
    TextOrNull,
    /// One of these words.
    Word(&'static [&'static str]),
    /// True or false.
    Flag,
    /// A whole number from, to.
    Whole(u64, u64),
    /// An identifier of one of these types; of any when there are none (§10.10).
    Id(&'static [&'static str]),
    /// A list of identifiers, so many at least.
    Ids(usize),
    /// A time (§10.16).
    Time,
    /// A time to the millisecond.
    Milliseconds,
    /// A list of texts, so many at least.
    Texts(usize),
    /// An object.
    Object(&'static Shape),
    /// A list of objects, so many at least.
    Objects(usize, &'static Shape),
    /// A dictionary of identifiers of one of these types, each of whose values is an object of its type.
    Dictionary(&'static [&'static str], usize, fn(&str) -> &'static Shape),
    /// A dictionary of variables (§10.18).
    Variables(&'static Shape),
    /// An extension's values: any object by an extension's identifier.
    Extensions,
    /// A dictionary of lists of texts.
    Headers,
    /// A dictionary of identifiers by any key.
    Cases,
    /// An object that isn't looked into.
    AnyObject,
    /// Anything.
    Free,
}

/// An object's properties.
pub(super) struct Shape {
    /// Section of CACAO 2.0.
    pub(super) section: &'static str,
    /// Those it may have, in tables that add up.
    pub(super) properties: &'static [&'static [(&'static str, Kind)]],
    /// Those it has to have.
    pub(super) required: &'static [&'static str],
    /// Of these, one at least.
    pub(super) one_of: &'static [&'static str],
}

/// Checks an object.
pub(super) fn object(value: &Value, shape: &Shape, path: &str, out: &mut Vec<Problem>) {
    let section = shape.section;
    let Some(object) = value.as_object() else {
        out.push(Problem::refuses(
            path,
            "is no object",
            format!("see CACAO 2.0 §{section}"),
        ));
        return;
    };
    for name in shape.required {
        if !object.contains_key(*name) {
            let hint = format!("add it, as CACAO 2.0 §{section} asks");
            out.push(Problem::refuses(path, format!("lacks `{name}`"), hint));
        }
    }
    if !shape.one_of.is_empty() && !shape.one_of.iter().any(|name| object.contains_key(*name)) {
        let says = format!("has none of `{}`", shape.one_of.join("`, `"));
        out.push(Problem::refuses(
            path,
            says,
            format!("add one, as CACAO 2.0 §{section} asks"),
        ));
    }
    for (name, value) in object {
        let at = format!("{path}/{}", part(name));
        let known = shape.properties.iter().flat_map(|table| table.iter());
        match known.into_iter().find(|(known, _)| known == name) {
            Some((_, kind)) => self::kind(value, kind, section, &at, out),
            None => out.push(Problem::notes(
                &at,
                "isn't a property of CACAO 2.0 there",
                "it is kept and means nothing here; put it into an extension to be within the schema",
            )),
        }
    }
}

fn kind(value: &Value, kind: &Kind, section: &str, path: &str, out: &mut Vec<Problem>) {
    let fits = match kind {
        Kind::Free => true,
        Kind::Text => value.is_string(),
        Kind::TextOrNull => value.is_string() || value.is_null(),
        Kind::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
        Kind::Flag => value.is_boolean(),
        Kind::Whole(least, most) => value
            .as_u64()
            .is_some_and(|n| (*least..=*most).contains(&n)),
        Kind::Id(types) => value
            .as_str()
            .is_some_and(|text| is_identifier(text, types)),
        Kind::Time => value.as_str().is_some_and(is_time),
        Kind::Milliseconds => value
            .as_str()
            .is_some_and(|text| is_time(text) && text.len() == 24),
        Kind::Ids(least) => list(value, *least, |one| {
            one.as_str().is_some_and(|text| is_identifier(text, &[]))
        }),
        Kind::Texts(least) => list(value, *least, Value::is_string),
        Kind::Object(shape) => return object(value, shape, path, out),
        Kind::Objects(least, shape) => {
            for (at, one) in value.as_array().into_iter().flatten().enumerate() {
                object(one, shape, &format!("{path}/{at}"), out);
            }
            list(value, *least, |_| true)
        }
        Kind::AnyObject => value.is_object(),
        Kind::Headers => entries(value, 0, |_, one| list(one, 0, Value::is_string)),
        Kind::Cases => entries(value, 0, |key, one| {
            key.len() <= 250 && one.as_str().is_some_and(|text| is_identifier(text, &[]))
        }),
        Kind::Extensions => entries(value, 1, |key, one| {
            is_identifier(key, &["extension-definition"]) && one.is_object()
        }),
        Kind::Variables(shape) => {
            for (name, one) in value.as_object().into_iter().flatten() {
                object(one, shape, &format!("{path}/{}", part(name)), out);
            }
            entries(value, 0, |key, _| is_variable(key))
        }
        Kind::Dictionary(types, least, of) => {
            for (id, one) in value.as_object().into_iter().flatten() {
                let at = format!("{path}/{}", part(id));
                let its = id.split("--").next().unwrap_or_default();
                if !is_identifier(id, types) {
                    let hint = format!("write it type--UUID, the type one of {}", types.join(", "));
                    out.push(Problem::refuses(
                        &at,
                        "is no identifier that can stand here",
                        hint,
                    ));
                    continue;
                }
                if one
                    .get("type")
                    .and_then(Value::as_str)
                    .is_some_and(|own| own != its)
                {
                    let says = "has another type than its identifier says";
                    out.push(Problem::refuses(
                        &at,
                        says,
                        "make them the same (CACAO 2.0 §10.10)",
                    ));
                }
                object(one, of(its), &at, out);
            }
            entries(value, *least, |_, _| true)
        }
    };
    if !fits {
        let hint = format!("see CACAO 2.0 §{section}");
        out.push(Problem::refuses(
            path,
            format!("isn't {}", wanted(kind)),
            hint,
        ));
    }
}

fn wanted(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::TextOrNull => "text or null".to_owned(),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
        Kind::Flag => "true or false".to_owned(),
        Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Id([]) => "an identifier, type--UUID".to_owned(),
        Kind::Id(types) => format!("an identifier, type--UUID, of type {}", types.join(" or ")),
        Kind::Ids(least) => format!("a list of {least} identifiers or more"),
        Kind::Time => "a time such as 2026-01-31T10:00:00Z".to_owned(),
        Kind::Milliseconds => {
            "a time to the millisecond, such as 2026-01-31T10:00:00.000Z".to_owned()
        }
        Kind::Texts(least) => format!("a list of {least} texts or more"),
        Kind::Objects(least, _) => format!("a list of {least} objects or more"),
        Kind::Dictionary(_, least, _) => format!("an object with {least} entries or more"),
        Kind::Variables(_) => "an object of variables, each named `__name__`".to_owned(),
        Kind::Extensions => "an object of extensions by their identifiers".to_owned(),
        Kind::Headers => "an object of lists of texts".to_owned(),
        Kind::Cases => "an object of identifiers of steps".to_owned(),
        Kind::Object(_) | Kind::AnyObject => "an object".to_owned(),
        Kind::Free => "anything".to_owned(),
    }
}

fn list(value: &Value, least: usize, fits: impl Fn(&Value) -> bool) -> bool {
    value
        .as_array()
        .is_some_and(|list| list.len() >= least && list.iter().all(fits))
}

fn entries(value: &Value, least: usize, fits: impl Fn(&str, &Value) -> bool) -> bool {
    let all = |object: &serde_json::Map<String, Value>| {
        object.len() >= least && object.iter().all(|(key, one)| fits(key, one))
    };
    value.as_object().is_some_and(all)
}

/// Whether it is `type--UUID` (§10.10), of one of the types when there are any.
pub(super) fn is_identifier(text: &str, types: &[&str]) -> bool {
    let Some((kind, uuid)) = text.split_once("--") else {
        return false;
    };
    let is_fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = kind.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let is_kind = kind.len() >= 3 && kind.bytes().all(is_fine) && begins && !kind.ends_with('-');
    let is_asked = types.is_empty() || types.contains(&kind);
    is_kind && is_asked && is_uuid(uuid)
}

/// A UUID of RFC 4122: version 1 to 5, variant of that standard.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            14 => (b'1'..=b'5').contains(&b),
            19 => matches!(b, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
            _ => b.is_ascii_hexdigit(),
        })
}

/// A time in UTC (§10.16): `yyyy-mm-ddThh:mm:ss`, a fraction or none, `Z`.
fn is_time(text: &str) -> bool {
    let Some((whole, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let form = whole.bytes().zip("dddd-dd-ddTdd:dd:dd".bytes());
    let is_form = form.into_iter().all(|(b, form)| {
        if form == b'd' {
            b.is_ascii_digit()
        } else {
            b == form
        }
    });
    let number = |from: usize| {
        whole
            .get(from..from + 2)
            .and_then(|part| part.parse::<u8>().ok())
            .unwrap_or(99)
    };
    let is_date = (1..=12).contains(&number(5)) && (1..=31).contains(&number(8));
    let is_clock = number(11) <= 23 && number(14) <= 59 && number(17) <= 60;
    let fraction = rest.strip_suffix('Z').map(|rest| {
        rest.strip_prefix('.')
            .unwrap_or(if rest.is_empty() { "0" } else { "" })
    });
    let is_fraction = fraction
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    is_form && is_date && is_clock && is_fraction
}

/// An identifier's words in a problem.
pub(super) fn named(id: &str) -> String {
    format!("`{}`", shown(id))
}

#[cfg(test)]
mod tests {
    use super::{is_identifier, is_time};

    #[test]
    fn identifiers_are_type_and_uuid() {
        for (text, expected) in [
            ("action--5a4d9cf1-9d4a-4f1e-8b2a-111122223333", true),
            ("action--5a4d9cf1-9d4a-6f1e-8b2a-111122223333", false),
            ("action--5a4d9cf1-9d4a-4f1e-cb2a-111122223333", false),
            ("action-5a4d9cf1-9d4a-4f1e-8b2a-111122223333", false),
            ("Action--5a4d9cf1-9d4a-4f1e-8b2a-111122223333", false),
            ("action--5a4d9cf1-9d4a-4f1e-8b2a-11112222333", false),
            ("action--../../etc/passwd", false),
            ("", false),
        ] {
            assert_eq!(is_identifier(text, &["action"]), expected, "{text}");
        }
        assert!(!is_identifier(
            "end--5a4d9cf1-9d4a-4f1e-8b2a-111122223333",
            &["action"]
        ));
    }

    #[test]
    fn times_are_in_utc() {
        for (text, expected) in [
            ("2026-01-31T10:00:00.000Z", true),
            ("2026-01-31T10:00:00Z", true),
            ("2026-01-31T23:59:60.123456Z", true),
            ("2026-01-31T10:00:00.Z", false),
            ("2026-01-31T10:00:00+01:00", false),
            ("2026-13-31T10:00:00Z", false),
            ("2026-01-31 10:00:00Z", false),
            ("2026-01-31T24:00:00Z", false),
            ("é026-01-31T10:00:0Z", false),
            ("", false),
        ] {
            assert_eq!(is_time(text), expected, "{text}");
        }
    }
}

//! JSON as a playbook may be written: no key twice, no deeper than [`DEPTH_MAX`].
//!
//! A key that stands twice is read in one way by one program and in another by the next; what was approved wouldn't be
//! what is done.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::DEPTH_MAX;
use crate::problem::shown;

/// Reads a value that is nested `left` deep at most.
struct Strict {
    left: usize,
}

/// Reads one value and nothing after it.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: DEPTH_MAX }.deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

impl Strict {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        left.map(|left| Self { left })
            .ok_or_else(|| E::custom(format!("nested deeper than {DEPTH_MAX}")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom("no finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(value) = from.next_element_seed(self.inner()?)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            let value = from.next_value_seed(self.inner()?)?;
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!("`{}` stands twice", shown(&key))));
            }
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let read = read(text.as_bytes()).map(|value| value.to_string());
        let read = read.map_err(|error| error.to_string());
        match (&read, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected),
            (Err(read), Err(expected)) => assert!(read.contains(expected), "{read}"),
            _ => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn reads_values_as_they_are() {
        let text = r#"{"a":"ü","b":[1,-2,1.5,null,true]}"#;
        check(text, Ok(text));
    }

    #[test]
    fn refuses_what_is_read_in_two_ways_or_too_deep() {
        check(r#"{"a":1,"a":2}"#, Err("`a` stands twice"));
        check(r#"{"a":{"b":1,"b":1}}"#, Err("`b` stands twice"));
        check("{} {}", Err("trailing"));
        check("{", Err("EOF"));
        check("[1e999]", Err("number out of range"));
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        check(&deep(33), Err("nested deeper than 32"));
        check(&deep(100_000), Err("nested deeper than 32"));
        assert!(read(deep(32).as_bytes()).is_ok());
    }
}

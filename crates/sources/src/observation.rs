//! What a source of ours observed, as the record it hands over: one flat JSON object whose keys are [`Field`] names.
//!
//! The format `observation` reads it back. A new kind of observation needs fields in `model` and nothing else.

use model::{Category, Field, Timestamp};
use serde_json::{Map, Value};

/// Name of the format, as `parse` has it.
pub(crate) const FORMAT: &str = "observation";
/// Longest text of one field in bytes; the rest is cut and ends in `…`.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// One observation being written.
pub struct Observation(Map<String, Value>);

impl Observation {
    /// Begins one of a category, at a time.
    #[must_use]
    pub fn new(category: Category, time: Timestamp) -> Self {
        let mut map = Map::new();
        map.insert("category".to_owned(), category.name().into());
        map.insert("time".to_owned(), time.to_string().into());
        Self(map)
    }

    /// Adds a text, cut at 16 KiB; an empty one is left out.
    #[must_use]
    pub fn text(mut self, field: Field, text: &str) -> Self {
        if !text.is_empty() {
            self.0.insert(field.name().to_owned(), cut(text).into());
        }
        self
    }

    /// Adds a whole number.
    #[must_use]
    pub fn int(mut self, field: Field, number: i64) -> Self {
        self.0.insert(field.name().to_owned(), number.into());
        self
    }

    /// Adds texts, each cut at 16 KiB; none are left out as a field.
    #[must_use]
    pub fn list<T: AsRef<str>>(mut self, field: Field, texts: impl IntoIterator<Item = T>) -> Self {
        let list: Vec<Value> = texts
            .into_iter()
            .map(|text| cut(text.as_ref()).into())
            .collect();
        if !list.is_empty() {
            self.0.insert(field.name().to_owned(), list.into());
        }
        self
    }

    /// The record: one line of JSON.
    #[must_use]
    pub fn record(self) -> Vec<u8> {
        let mut line = Value::Object(self.0).to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    format!("{}…", text.get(..end).unwrap_or_default())
}

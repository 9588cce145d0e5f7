//! What a source of ours observed, as the record it hands over: one flat JSON object whose keys are [`Field`] names.
//!
//! The format `observation` reads it back. A new kind of observation needs fields in `model` and nothing else.

use model::{Category, Field, Timestamp};
use serde_json::{Map, Value};

/// Name of the format, as `parse` has it.
pub(crate) const FORMAT: &str = "observation";
/// Longest text of one field in bytes; the rest is cut and ends in `…`.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Name of a text that is kept as evidence: no field's, so that no rule reads it.
pub const WHOLE: &str = "whole";
/// Bytes of one record, as the pipeline takes them: what is longer is cut.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// Bytes for quotes, what is said of a text, and the end of the line.
const ROOM: usize = 256;

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

    /// Adds a text that no rule reads, under [`WHOLE`], as much of it as a record holds; gives how many bytes of it that are.
    #[must_use]
    pub(crate) fn whole(mut self, text: &str) -> (Self, usize) {
        let room = RECORD_BYTES_MAX
            .saturating_sub(Value::Object(self.0.clone()).to_string().len())
            .saturating_sub(WHOLE.len() + ROOM);
        let mut left = room;
        let end = text.char_indices().find(|(_, one)| {
            let length = written(*one);
            let fits = length <= left;
            left = left.saturating_sub(length);
            !fits
        });
        let end = end.map_or(text.len(), |(end, _)| end);
        let text = text.get(..end).unwrap_or_default();
        self.0.insert(WHOLE.to_owned(), text.into());
        (self, end)
    }

    /// The record: one line of JSON.
    #[must_use]
    pub fn record(self) -> Vec<u8> {
        let mut line = Value::Object(self.0).to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

/// Bytes that a character takes in JSON, at most.
const fn written(one: char) -> usize {
    match one {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        _ => one.len_utf8(),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Observation, RECORD_BYTES_MAX, WHOLE};
    use model::{Category, Field, Timestamp};
    use proptest::prelude::*;
    use serde_json::Value;

    /// What is kept of a text, and how long its record is.
    #[track_caller]
    fn kept(text: &str) -> (String, usize) {
        let begun = Observation::new(Category::PaymentPage, Timestamp::from_seconds(1))
            .text(Field::Url, "https://shop.example/checkout");
        let (observation, kept) = begun.whole(text);
        let record = observation
            .text(Field::Context, "the first 1000000 of 9999999 bytes")
            .record();
        let told: Value = serde_json::from_slice(&record).expect("JSON");
        let whole = told[WHOLE].as_str().expect("a text").to_owned();
        assert_eq!(Some(whole.as_str()), text.get(..kept));
        (whole, record.len())
    }

    #[test]
    fn a_text_is_kept_whole_as_far_as_a_record_holds_it() {
        assert_eq!(kept("").0, "");
        assert_eq!(kept("<p>\"ä\"</p>\n").0, "<p>\"ä\"</p>\n");
        for text in ["a", "\"", "\u{1}", "ä", "\u{1f600}", "\u{7f}\\"] {
            let (whole, length) = kept(&text.repeat(2 << 20));
            assert!(!whole.is_empty() && length <= RECORD_BYTES_MAX);
            assert!(length > RECORD_BYTES_MAX - 1024, "{length} of {text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_kept(text in ".{0,200}") {
            prop_assert_eq!(kept(&text).0, text);
        }
    }
}

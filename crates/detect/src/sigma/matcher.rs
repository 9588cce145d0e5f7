//! Selections: fields with modifiers, matched against events.

use std::collections::BTreeMap;

use memchr::memmem::Finder;
use model::{Event, Field, Value};
use regex::Regex;

/// Lower-case texts of one event's fields, made once.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    lower: BTreeMap<Field, String>,
}

/// One of several maps must hold; each map's items all must.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) maps: Vec<Vec<Item>>,
}

/// One field with its values.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) field: Field,
    pub(crate) tests: Vec<Test>,
    /// Whether every value must hold (`|all`).
    pub(crate) all: bool,
}

/// One value with its modifier; texts are lower case unless cased.
#[derive(Debug)]
pub(crate) enum Test {
    Equals(String),
    Starts(String),
    Ends(String),
    Contains(Box<Finder<'static>>),
    /// `|cased`: exact bytes.
    Cased(String),
    Pattern(Regex),
    Number(Order, i64),
    Exists(bool),
    Null,
}

/// A comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
}

impl Selection {
    pub(crate) fn matches(&self, event: &Event<'_>, texts: &mut Texts) -> bool {
        self.maps
            .iter()
            .any(|items| items.iter().all(|item| item.matches(event, texts)))
    }
}

impl Item {
    fn matches(&self, event: &Event<'_>, texts: &mut Texts) -> bool {
        let value = event.get(self.field);
        let mut test = |test: &Test| test.matches(self.field, value, texts);
        if self.all {
            self.tests.iter().all(&mut test)
        } else {
            self.tests.iter().any(&mut test)
        }
    }
}

impl Test {
    fn matches(&self, field: Field, value: Option<&Value<'_>>, texts: &mut Texts) -> bool {
        match (self, value) {
            (Self::Exists(wanted), value) => value.is_some() == *wanted,
            (Self::Null, value) => value.is_none(),
            (_, None) => false,
            (Self::Number(order, wanted), Some(value)) => match value {
                Value::Int(number) => order.holds(*number, *wanted),
                Value::Text(text) => text
                    .parse()
                    .is_ok_and(|number| order.holds(number, *wanted)),
                Value::List(list) => {
                    order.holds(i64::try_from(list.len()).unwrap_or(i64::MAX), *wanted)
                }
            },
            (test, Some(Value::Int(number))) => test.text(&number.to_string(), &number.to_string()),
            (test, Some(Value::Text(text))) => {
                let lower = texts
                    .lower
                    .entry(field)
                    .or_insert_with(|| text.to_ascii_lowercase());
                test.text(text, lower)
            }
            (test, Some(Value::List(list))) => list
                .iter()
                .any(|text| test.text(text, &text.to_ascii_lowercase())),
        }
    }

    fn text(&self, text: &str, lower: &str) -> bool {
        match self {
            Self::Equals(wanted) => lower == wanted,
            Self::Starts(wanted) => lower.starts_with(wanted.as_str()),
            Self::Ends(wanted) => lower.ends_with(wanted.as_str()),
            Self::Contains(finder) => finder.find(lower.as_bytes()).is_some(),
            Self::Cased(wanted) => text == wanted,
            Self::Pattern(pattern) => pattern.is_match(text),
            Self::Number(..) | Self::Exists(_) | Self::Null => false,
        }
    }
}

impl Order {
    fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Equal => left == right,
        }
    }
}

//! Selections: fields with modifiers, matched against events.

use std::collections::BTreeMap;
use std::net::IpAddr;

use memchr::memmem::Finder;
use model::{Event, Field, FieldSet, Value};
use regex::Regex;

/// No field stands here.
const ABSENT: u8 = u8::MAX;

/// One event made quick to ask: where each field stands, and lower-case texts made once.
#[derive(Debug)]
pub(crate) struct Asked<'e> {
    event: &'e Event<'e>,
    /// Place in the event's list by the field's number.
    places: [u8; Field::ALL.len()],
    lower: BTreeMap<Field, String>,
}

impl<'e> Asked<'e> {
    pub(crate) fn new(event: &'e Event<'e>) -> Self {
        let mut asked = Self {
            event,
            places: [ABSENT; Field::ALL.len()],
            lower: BTreeMap::new(),
        };
        for ((field, _), place) in event.fields().iter().zip(0..ABSENT) {
            if let Some(slot) = asked.places.get_mut(usize::from(*field as u8)) {
                *slot = place;
            }
        }
        asked
    }

    /// Whether every field of a set is there.
    pub(crate) fn has_all(&self, needed: FieldSet) -> bool {
        self.event.present().has_all(needed)
    }

    fn get(&self, field: Field) -> Option<&'e Value<'e>> {
        let place = self.places.get(usize::from(field as u8))?;
        self.event
            .fields()
            .get(usize::from(*place))
            .map(|(_, value)| value)
    }

    fn lower(&mut self, field: Field, text: &str) -> &str {
        self.lower
            .entry(field)
            .or_insert_with(|| text.to_ascii_lowercase())
    }
}

/// One of several maps must hold; each map's items all must.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) maps: Vec<Vec<Item>>,
}

/// One field with its values.
#[derive(Debug)]
pub(crate) struct Item {
    /// `None` for a field no event has.
    pub(crate) field: Option<Field>,
    /// One entry a value; a value is one of its variants (`|windash`, `|base64offset`).
    pub(crate) tests: Vec<Vec<Test>>,
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
    /// `|cased`: exact bytes, open at either end with `contains` and its like.
    Cased {
        /// What is looked for.
        text: String,
        /// Anything may stand before it.
        open_start: bool,
        /// Anything may stand behind it.
        open_end: bool,
    },
    Pattern(Regex),
    Number(Order, i64),
    Exists(bool),
    Null,
    /// `|cidr`.
    Network(Network),
    /// `|fieldref`: the same value as another field's.
    SameAs(Field),
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
    pub(crate) fn matches(&self, asked: &mut Asked<'_>) -> bool {
        self.maps
            .iter()
            .any(|items| items.iter().all(|item| item.matches(asked)))
    }

    /// Fields without which it can't match, a bit each.
    pub(crate) fn needs(&self) -> FieldSet {
        let map = |items: &Vec<Item>| -> FieldSet {
            items
                .iter()
                .filter(|item| !item.takes_absence())
                .filter_map(|item| item.field)
                .collect()
        };
        self.maps
            .iter()
            .map(map)
            .reduce(FieldSet::common)
            .unwrap_or_default()
    }
}

impl Item {
    fn takes_absence(&self) -> bool {
        self.tests
            .iter()
            .flatten()
            .any(|test| matches!(test, Test::Null | Test::Exists(false)))
    }

    fn matches(&self, asked: &mut Asked<'_>) -> bool {
        let value = self.field.and_then(|field| asked.get(field));
        let mut test = |variants: &Vec<Test>| {
            variants
                .iter()
                .any(|test| test.matches(self.field, value, asked))
        };
        if self.all {
            self.tests.iter().all(&mut test)
        } else {
            self.tests.iter().any(&mut test)
        }
    }
}

impl Test {
    /// How dear it is to try: cheap tests go first.
    pub(crate) const fn cost(&self) -> u8 {
        match self {
            Self::Exists(_) | Self::Null | Self::Number(..) => 0,
            Self::Equals(_)
            | Self::Starts(_)
            | Self::Ends(_)
            | Self::Cased { .. }
            | Self::SameAs(_)
            | Self::Network(_) => 1,
            Self::Contains(_) => 2,
            Self::Pattern(_) => 3,
        }
    }

    fn matches(
        &self,
        field: Option<Field>,
        value: Option<&Value<'_>>,
        asked: &mut Asked<'_>,
    ) -> bool {
        match (self, value) {
            (Self::Exists(wanted), value) => value.is_some() == *wanted,
            (Self::Null, value) => value.is_none(),
            (_, None) => false,
            (Self::SameAs(other), Some(value)) => asked.get(*other) == Some(value),
            (Self::Number(order, wanted), Some(value)) => match value {
                Value::Int(number) => order.holds(*number, *wanted),
                Value::Text(text) => text
                    .parse()
                    .is_ok_and(|number| order.holds(number, *wanted)),
                Value::List(list) => {
                    order.holds(i64::try_from(list.len()).unwrap_or(i64::MAX), *wanted)
                }
            },
            (test, Some(Value::Int(number))) => test.text(&number.to_string()),
            (Self::Contains(finder), Some(Value::Text(text))) => field
                .is_some_and(|field| finder.find(asked.lower(field, text).as_bytes()).is_some()),
            (test, Some(Value::Text(text))) => test.text(text),
            (test, Some(Value::List(list))) => list.iter().any(|text| test.text(text)),
        }
    }

    fn text(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self {
            Self::Equals(wanted) => text.eq_ignore_ascii_case(wanted),
            Self::Starts(wanted) => bytes
                .get(..wanted.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(wanted.as_bytes())),
            Self::Ends(wanted) => {
                let from = bytes.len().checked_sub(wanted.len());
                from.and_then(|from| bytes.get(from..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(wanted.as_bytes()))
            }
            Self::Contains(finder) => finder.find(text.to_ascii_lowercase().as_bytes()).is_some(),
            Self::Cased {
                text: wanted,
                open_start,
                open_end,
            } => match (open_start, open_end) {
                (true, true) => text.contains(wanted.as_str()),
                (true, false) => text.ends_with(wanted.as_str()),
                (false, true) => text.starts_with(wanted.as_str()),
                (false, false) => text == wanted,
            },
            Self::Pattern(pattern) => pattern.is_match(text),
            Self::Network(network) => text.parse().is_ok_and(|address| network.holds(address)),
            Self::Number(..) | Self::Exists(_) | Self::Null | Self::SameAs(_) => false,
        }
    }
}

/// A range of addresses (`|cidr`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    base: u128,
    length: u32,
    is_v4: bool,
}

impl Network {
    /// Reads `192.0.2.0/24` or `2001:db8::/32`; without a length, the one address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text
            .split_once('/')
            .map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().ok()?;
        let (base, most, is_v4) = number(address);
        let length = match length {
            Some(length) => length
                .parse::<u32>()
                .ok()
                .filter(|length| *length <= most)?,
            None => most,
        };
        Some(Self {
            base,
            length,
            is_v4,
        })
    }

    fn holds(self, address: IpAddr) -> bool {
        let (number, most, is_v4) = number(address);
        is_v4 == self.is_v4
            && (self.length == 0 || (number ^ self.base).checked_shr(most - self.length) == Some(0))
    }
}

/// An address as a number, with its length in bits.
fn number(address: IpAddr) -> (u128, u32, bool) {
    match address {
        IpAddr::V4(four) => (u128::from(u32::from(four)), 32, true),
        IpAddr::V6(six) => (u128::from(six), 128, false),
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

//! Conditions of steps: comparisons joined by AND, OR and NOT. Parsed, never run as code.
//!
//! CACAO 2.0 §4.8 asks for the grammar of STIX patterns; what playbooks write in practice, and what is understood here, is
//! the part of it that compares variables with values. Anything else is kept and left to a person.

use std::collections::BTreeMap;

use crate::extension::is_variable;

/// Longest condition, in bytes.
const BYTES_MAX: usize = 2000;

/// Deepest nesting of brackets and NOT.
const DEEP_MAX: usize = 16;

/// Why a condition isn't understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} expected at byte {at}")]
pub struct ConditionError {
    /// Where.
    pub at: usize,
    /// What was expected there.
    pub wanted: &'static str,
}

/// What is known of whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It holds.
    Yes,
    /// It doesn't.
    No,
    /// A variable it needs has no value yet.
    Unknown,
}

impl Known {
    const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Two things compared.
    Is(Operand, Compared, Operand),
    /// The other way round.
    Not(Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// One of them, or both.
    Or(Box<Self>, Box<Self>),
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A variable's name, `__name__`.
    Variable(String),
    /// A text, number, `true` or `false`, all as text.
    Text(String),
}

/// How it is compared: as whole numbers where both are, as text otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// `=`
    Same,
    /// `!=`
    Other,
    /// `<`
    Less,
    /// `<=`
    LessOrSame,
    /// `>`
    More,
    /// `>=`
    MoreOrSame,
}

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`ConditionError`] where it isn't of the grammar, too long or nested too deep.
    pub fn read(text: &str) -> Result<Self, ConditionError> {
        let mut reader = Reader { text, at: 0 };
        if text.len() > BYTES_MAX {
            return reader.fail("at most 2000 bytes");
        }
        let condition = reader.either(DEEP_MAX)?;
        reader.space();
        if reader.at < text.len() {
            return reader.fail("AND, OR or the end");
        }
        Ok(condition)
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, values: &BTreeMap<String, String>) -> Known {
        match self {
            Self::Not(inner) => inner.holds(values).not(),
            Self::And(one, two) => one.holds(values).and(two.holds(values)),
            Self::Or(one, two) => one.holds(values).not().and(two.holds(values).not()).not(),
            Self::Is(one, compared, two) => match (one.value(values), two.value(values)) {
                (Some(one), Some(two)) => Known::of(compared.holds(one, two)),
                _ => Known::Unknown,
            },
        }
    }

    /// Variables it names.
    pub(crate) fn variables<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::Not(inner) => inner.variables(into),
            Self::And(one, two) | Self::Or(one, two) => {
                one.variables(into);
                two.variables(into);
            }
            Self::Is(one, _, two) => {
                for operand in [one, two] {
                    if let Operand::Variable(name) = operand {
                        into.push(name);
                    }
                }
            }
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Option<&'a str> {
        match self {
            Self::Variable(name) => values.get(name).map(String::as_str),
            Self::Text(text) => Some(text),
        }
    }
}

impl Compared {
    fn holds(self, one: &str, two: &str) -> bool {
        let order = match (one.parse::<i64>(), two.parse::<i64>()) {
            (Ok(one), Ok(two)) => one.cmp(&two),
            _ => one.cmp(two),
        };
        match self {
            Self::Same => order.is_eq(),
            Self::Other => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrSame => order.is_le(),
            Self::More => order.is_gt(),
            Self::MoreOrSame => order.is_ge(),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, wanted: &'static str) -> Result<T, ConditionError> {
        Err(ConditionError {
            at: self.at,
            wanted,
        })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn takes(&mut self, text: &str) -> bool {
        self.space();
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.space();
        let rest = self.rest();
        let begins = rest
            .get(..word.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(word));
        let after = rest
            .get(word.len()..)
            .and_then(|after| after.chars().next());
        let is_next = begins && !after.is_some_and(|c| c.is_alphanumeric() || c == '_');
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    fn either(&mut self, left: usize) -> Result<Condition, ConditionError> {
        let mut one = self.both(left)?;
        while self.takes_word("OR") {
            one = Condition::Or(Box::new(one), Box::new(self.both(left)?));
        }
        Ok(one)
    }

    fn both(&mut self, left: usize) -> Result<Condition, ConditionError> {
        let mut one = self.one(left)?;
        while self.takes_word("AND") {
            one = Condition::And(Box::new(one), Box::new(self.one(left)?));
        }
        Ok(one)
    }

    fn one(&mut self, left: usize) -> Result<Condition, ConditionError> {
        let Some(left) = left.checked_sub(1) else {
            return self.fail("less nesting");
        };
        if self.takes_word("NOT") {
            return Ok(Condition::Not(Box::new(self.one(left)?)));
        }
        if self.takes("(") {
            let inner = self.either(left)?;
            return if self.takes(")") {
                Ok(inner)
            } else {
                self.fail("`)`")
            };
        }
        let one = self.operand()?;
        let signs = [
            ("!=", Compared::Other),
            ("<=", Compared::LessOrSame),
            (">=", Compared::MoreOrSame),
            ("==", Compared::Same),
            ("=", Compared::Same),
            ("<", Compared::Less),
            (">", Compared::More),
        ];
        for (sign, compared) in signs {
            if self.takes(sign) {
                return Ok(Condition::Is(one, compared, self.operand()?));
            }
        }
        self.fail("a comparison")
    }

    fn operand(&mut self) -> Result<Operand, ConditionError> {
        if self.takes("'") {
            let mut out = String::new();
            let mut chars = self.rest().chars();
            while let Some(c) = chars.next() {
                self.at += c.len_utf8();
                match c {
                    '\'' => return Ok(Operand::Text(out)),
                    '\\' => match chars.next() {
                        Some(c @ ('\'' | '\\')) => {
                            self.at += 1;
                            out.push(c);
                        }
                        _ => return self.fail("`'` or `\\` after `\\`"),
                    },
                    c => out.push(c),
                }
            }
            return self.fail("`'`");
        }
        let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == ':';
        let rest = self.rest();
        let word = rest.split(|c| !is_fine(c)).next().unwrap_or_default();
        let name = word.strip_suffix(":value").unwrap_or(word);
        let is_text = word.parse::<i64>().is_ok() || word == "true" || word == "false";
        let operand = match (is_variable(name), is_text) {
            (true, _) => Operand::Variable(name.to_owned()),
            (_, true) => Operand::Text(word.to_owned()),
            _ => return self.fail("`__variable__:value`, 'text' or a number"),
        };
        self.at += word.len();
        Ok(operand)
    }
}

#[cfg(test)]
mod tests {
    use super::{Condition, Known};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[track_caller]
    fn check(text: &str, expected: Result<Known, &str>) {
        let values = [("__a__", "5"), ("__b__", "x"), ("__t__", "true")];
        let values: BTreeMap<_, _> = values
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let read = Condition::read(text).map(|read| read.holds(&values));
        let read = read.map_err(|error| error.to_string());
        assert_eq!(read, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn comparisons_are_of_numbers_where_both_are() {
        check("__a__:value = 5", Ok(Known::Yes));
        check("__a__:value < 10", Ok(Known::Yes));
        check("__a__:value >= '05'", Ok(Known::Yes));
        check("__b__:value != 'x'", Ok(Known::No));
        check("__t__ == true", Ok(Known::Yes));
        check(r"__b__:value = 'it\'s'", Ok(Known::No));
    }

    #[test]
    fn what_has_no_value_is_unknown_unless_it_does_not_matter() {
        check("__c__:value = 'x'", Ok(Known::Unknown));
        check("NOT __c__:value = 'x'", Ok(Known::Unknown));
        check("__c__:value = 'x' OR __a__:value = 5", Ok(Known::Yes));
        check("__c__:value = 'x' AND __a__:value = 6", Ok(Known::No));
        check("__c__:value = 'x' AND __a__:value = 5", Ok(Known::Unknown));
        check(
            "(__a__:value = 6 or not __b__:value = 'y') and __t__ = true",
            Ok(Known::Yes),
        );
    }

    #[test]
    fn what_is_no_comparison_is_refused_and_never_run() {
        for text in [
            "",
            "1",
            "system('id')",
            "__a__:value",
            "__a__:value = ",
            "__a__ = 'x",
            "(__a__ = 1",
            "__a__ = 1 __b__ = 2",
            "[file:name = 'x']",
            "__a__ = `id`",
            "__a__ = \"x\"",
        ] {
            assert!(Condition::read(text).is_err(), "{text}");
        }
        assert!(Condition::read(&format!("{}__a__ = 1", "NOT ".repeat(100))).is_err());
        assert!(Condition::read(&"(".repeat(1999)).is_err());
        assert!(Condition::read(&format!("__a__ = '{}'", "x".repeat(2000))).is_err());
        check(
            "__a__ = 1 ; 2",
            Err("AND, OR or the end expected at byte 10"),
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z_':=<>()! ANDORT0-9\\\\é]{0,80}") {
            if let Ok(condition) = Condition::read(&text) {
                let mut names = Vec::new();
                condition.variables(&mut names);
                if names.is_empty() {
                    prop_assert_ne!(condition.holds(&BTreeMap::new()), Known::Unknown);
                }
            }
        }
    }
}

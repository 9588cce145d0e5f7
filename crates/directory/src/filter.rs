//! Filters of SCIM (RFC 7644 §3.4.2.2) and the paths of changes (§3.5.2), read and looked through.
//!
//! Read by hand: a small grammar, a bounded depth, and no text of a filter in any answer.

use serde_json::Value;

use crate::body::attribute;
use crate::{Kind, Refusal};

/// Longest filter or path, in bytes.
const BYTES_MAX: usize = 1024;
/// Deepest nesting of a filter.
const DEPTH_MAX: usize = 16;

/// A filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// An attribute compared with a value.
    Compare(Comparison),
    /// An attribute that has a value.
    Present(String),
    /// Values of an attribute with several that fit a filter of their own: `emails[type eq "work"]`.
    Of(String, Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// Either.
    Or(Box<Self>, Box<Self>),
    /// Not.
    Not(Box<Self>),
}

/// An attribute compared with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The attribute, in lower case, its part behind a dot.
    pub attribute: String,
    /// How.
    pub operator: Operator,
    /// With what: a text, a number, true, false or null.
    pub value: Value,
}

/// How an attribute is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the words of the standard, spelled in `OPERATORS`"
)]
pub enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

const OPERATORS: [(&str, Operator); 9] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("co", Operator::Contains),
    ("sw", Operator::StartsWith),
    ("ew", Operator::EndsWith),
    ("gt", Operator::Greater),
    ("ge", Operator::GreaterOrEqual),
    ("lt", Operator::Less),
    ("le", Operator::LessOrEqual),
];

/// What a change is about: an attribute, some of its values, a part of them.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterPath {
    /// The attribute, in lower case, a part of it behind a dot.
    pub attribute: String,
    /// Which of its values; all without.
    pub of: Option<Filter>,
    /// The part of those values; empty for the whole.
    pub part: String,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of kind [`Kind::InvalidFilter`].
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let mut reader = Reader::new(text)?;
        let filter = reader.or(0)?;
        reader.end()?;
        Ok(filter)
    }

    /// Whether a resource fits, whose attributes are asked for by their names in lower case. Texts are compared in any
    /// case (RFC 7643: `caseExact` is false), but for `id` and `externalId`.
    pub fn fits(&self, value_of: &dyn Fn(&str) -> Vec<Value>) -> bool {
        match self {
            Self::Compare(comparison) => comparison.fits(value_of),
            Self::Present(name) => value_of(name).iter().any(|value| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                _ => true,
            }),
            // Of attributes with several values only the values themselves are kept.
            Self::Of(name, inner) => value_of(name).into_iter().any(|one| {
                inner.fits(&|part: &str| match part {
                    "value" => vec![one.clone()],
                    _ => Vec::new(),
                })
            }),
            Self::And(one, two) => one.fits(value_of) && two.fits(value_of),
            Self::Or(one, two) => one.fits(value_of) || two.fits(value_of),
            Self::Not(inner) => !inner.fits(value_of),
        }
    }
}

impl Comparison {
    fn fits(&self, value_of: &dyn Fn(&str) -> Vec<Value>) -> bool {
        let values = value_of(&self.attribute);
        let is_exact = matches!(self.attribute.as_str(), "id" | "externalid");
        let fold = |text: &str| {
            if is_exact {
                text.to_owned()
            } else {
                text.to_lowercase()
            }
        };
        if self.operator == Operator::NotEqual {
            let equal = Self {
                operator: Operator::Equal,
                ..self.clone()
            };
            return !equal.fits(value_of);
        }
        if self.value.is_null() {
            // Nothing and an empty text are the same as no value (RFC 7643 §2.5).
            return self.operator == Operator::Equal
                && values.iter().all(|value| value.is_null() || value == "");
        }
        values.iter().any(|value| match (value, &self.value) {
            (Value::String(has), Value::String(asked)) => {
                let (has, asked) = (fold(has), fold(asked));
                match self.operator {
                    Operator::Equal | Operator::NotEqual => has == asked,
                    Operator::Contains => has.contains(&asked),
                    Operator::StartsWith => has.starts_with(&asked),
                    Operator::EndsWith => has.ends_with(&asked),
                    Operator::Greater => has > asked,
                    Operator::GreaterOrEqual => has >= asked,
                    Operator::Less => has < asked,
                    Operator::LessOrEqual => has <= asked,
                }
            }
            // Entra ID asks for truth as a text, too.
            (Value::Bool(has), Value::String(asked)) => {
                self.operator == Operator::Equal && asked.eq_ignore_ascii_case(&has.to_string())
            }
            (has, asked) => self.operator == Operator::Equal && has == asked,
        })
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compare(Comparison {
                attribute,
                operator,
                value,
            }) => {
                let word = OPERATORS.iter().find(|(_, one)| one == operator);
                write!(
                    f,
                    "{attribute} {} {value}",
                    word.map_or("eq", |(word, _)| word)
                )
            }
            Self::Present(name) => write!(f, "{name} pr"),
            Self::Of(name, inner) => write!(f, "{name}[{inner}]"),
            Self::And(one, two) => write!(f, "({one}) and ({two})"),
            Self::Or(one, two) => write!(f, "({one}) or ({two})"),
            Self::Not(inner) => write!(f, "not ({inner})"),
        }
    }
}

impl FilterPath {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of kind [`Kind::InvalidPath`].
    pub fn read(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
            .map_err(|_| Refusal::new(Kind::InvalidPath, "the path of a change can't be read"))
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut reader = Reader::new(text)?;
        let attribute = reader.attribute()?;
        let of = reader.bracket(0)?;
        let mut part = String::new();
        if of.is_some() && reader.take(b'.') {
            part = reader.attribute()?;
        }
        reader.end()?;
        Ok(Self {
            attribute,
            of,
            part,
        })
    }
}

const UNREADABLE: Refusal = Refusal::new(Kind::InvalidFilter, "the filter can't be read");

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > BYTES_MAX {
            return Err(Refusal::new(
                Kind::InvalidFilter,
                "the filter is longer than 1024 bytes",
            ));
        }
        Ok(Self {
            text: text.as_bytes(),
            at: 0,
        })
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        while self.rest().first() == Some(&b' ') {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.rest().first() == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.blanks();
        if self.rest().is_empty() {
            Ok(())
        } else {
            Err(UNREADABLE)
        }
    }

    /// A word in any case, if it comes next and ends there.
    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        let rest = self.rest();
        let comes = rest
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
        let ends = rest
            .get(word.len())
            .is_none_or(|next| *next == b'(' || ends(*next));
        if comes && ends {
            self.at += word.len();
        }
        comes && ends
    }

    fn or(&mut self, depth: usize) -> Result<Filter, Refusal> {
        if depth > DEPTH_MAX {
            return Err(Refusal::new(
                Kind::InvalidFilter,
                "the filter is nested too deep",
            ));
        }
        let mut left = self.and(depth)?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Filter, Refusal> {
        let mut left = self.one(depth)?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Filter, Refusal> {
        let start = self.at;
        if self.word("not") {
            self.blanks();
            if self.take(b'(') {
                return Ok(Filter::Not(Box::new(self.closed(b')', depth)?)));
            }
            self.at = start;
        }
        self.blanks();
        if self.take(b'(') {
            return self.closed(b')', depth);
        }
        let name = self.attribute()?;
        if let Some(inner) = self.bracket(depth)? {
            return Ok(Filter::Of(name, Box::new(inner)));
        }
        if self.word("pr") {
            return Ok(Filter::Present(name));
        }
        for (word, operator) in OPERATORS {
            if self.word(word) {
                let value = self.value()?;
                let asked = Comparison {
                    attribute: name,
                    operator,
                    value,
                };
                return Ok(Filter::Compare(asked));
            }
        }
        Err(UNREADABLE)
    }

    /// A filter up to what closes it.
    fn closed(&mut self, byte: u8, depth: usize) -> Result<Filter, Refusal> {
        let inner = self.or(depth + 1)?;
        self.blanks();
        if self.take(byte) {
            Ok(inner)
        } else {
            Err(UNREADABLE)
        }
    }

    fn bracket(&mut self, depth: usize) -> Result<Option<Filter>, Refusal> {
        if !self.take(b'[') {
            return Ok(None);
        }
        self.closed(b']', depth).map(Some)
    }

    fn attribute(&mut self) -> Result<String, Refusal> {
        self.blanks();
        let fits = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-$:.".contains(byte);
        let length = self.rest().iter().take_while(fits).count();
        let name = self.rest().get(..length).unwrap_or_default();
        if !name
            .first()
            .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'$')
        {
            return Err(UNREADABLE);
        }
        self.at += length;
        // ASCII by what was taken.
        Ok(attribute(&String::from_utf8_lossy(name)))
    }

    /// A value as JSON has it; `True` as Entra ID writes it, too.
    fn value(&mut self) -> Result<Value, Refusal> {
        self.blanks();
        let rest = self.rest();
        let length = match rest.first() {
            Some(b'"') => quoted(rest).ok_or(UNREADABLE)?,
            _ => rest.iter().take_while(|byte| !ends(**byte)).count(),
        };
        let (token, after) = rest.split_at_checked(length).ok_or(UNREADABLE)?;
        self.at += length;
        // Nothing touches a value but what closes it.
        if !after.first().is_none_or(|next| ends(*next)) {
            return Err(UNREADABLE);
        }
        for (word, said) in [("true", true), ("false", false)] {
            if token.eq_ignore_ascii_case(word.as_bytes()) {
                return Ok(Value::Bool(said));
            }
        }
        match serde_json::from_slice(token) {
            Ok(Value::Array(_) | Value::Object(_)) | Err(_) => Err(UNREADABLE),
            Ok(value) => Ok(value),
        }
    }
}

const fn ends(byte: u8) -> bool {
    matches!(byte, b' ' | b')' | b']')
}

/// Bytes of a text in quotes, with them; nothing when it doesn't end.
fn quoted(rest: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Filter, FilterPath, OPERATORS};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn anna(name: &str) -> Vec<Value> {
        match name {
            "id" => vec![json!("a1")],
            "username" => vec![json!("anna@example.com")],
            "externalid" => vec![json!("")],
            "active" => vec![json!(true)],
            "roles" | "roles.value" => vec![json!("lead"), json!("viewer")],
            _ => Vec::new(),
        }
    }

    #[track_caller]
    fn check(filter: &str, expected: Option<bool>) {
        let fits = Filter::read(filter).ok().map(|filter| filter.fits(&anna));
        assert_eq!(fits, expected, "{filter}");
    }

    #[test]
    fn entra_id_and_okta_find_a_user_by_name() {
        check(r#"userName eq "anna@example.com""#, Some(true));
        check(r#"userName Eq "ANNA@example.com""#, Some(true));
        check(
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "anna@example.com""#,
            Some(true),
        );
        check(r#"userName eq "bob@example.com""#, Some(false));
        check(r#"externalId eq "58342554""#, Some(false));
        check(r#"id eq "a1" and active eq True"#, Some(true));
        check(r#"id eq "A1""#, Some(false));
        check(r#"active eq "true""#, Some(true));
    }

    #[test]
    fn the_standards_operators_are_known() {
        for (filter, fits) in [
            (r#"userName ne "anna@example.com""#, false),
            (r#"userName co "@EXAMPLE""#, true),
            (r#"userName sw "anna""#, true),
            (r#"userName ew ".com""#, true),
            (r#"userName gt "anna""#, true),
            (r#"userName le "anna""#, false),
            ("userName pr", true),
            ("externalId pr", false),
            ("externalId eq null", true),
            ("title pr", false),
            (
                r#"not (userName sw "b") and (active eq false or id pr)"#,
                true,
            ),
            (r#"roles[value eq "lead"]"#, true),
            (r#"roles[type eq "lead"]"#, false),
            (r#"not(roles.value eq "x")"#, true),
            (r#"id eq "x" and id eq "y" or id eq "a1""#, true),
        ] {
            check(filter, Some(fits));
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for filter in [
            "",
            " ",
            "userName",
            "userName eq",
            "userName eq anna",
            "eq \"x\"",
            "userName eq \"x",
            "userName eq \"x\" and",
            "(userName pr",
            "userName pr)",
            "userName eq [1]",
            "userName eq {}",
            "userName eq \"a\"\"b\"",
            "userName eq \"a\"and id pr",
            "1a pr",
            "userName like \"x\"",
            "roles[",
            "roles[value eq \"x\"",
            "userName eq 'x'; DROP TABLE account",
            "ä pr",
            "userName\tpr",
            "userName eq trueish",
        ] {
            check(filter, None);
        }
        check(
            &format!("{}id pr{}", "(".repeat(16), ")".repeat(16)),
            Some(true),
        );
        check(&format!("{}id pr{}", "(".repeat(17), ")".repeat(17)), None);
        check(&format!("id eq \"{}\"", "a".repeat(1100)), None);
    }

    #[test]
    fn paths_are_read_as_they_are_sent() {
        let path = |text| {
            FilterPath::read(text).ok().map(|path| {
                let of = path.of.map(|of| of.to_string()).unwrap_or_default();
                format!("{}|{of}|{}", path.attribute, path.part)
            })
        };
        assert_eq!(path("active").as_deref(), Some("active||"));
        assert_eq!(path("name.givenName").as_deref(), Some("name.givenname||"));
        assert_eq!(
            path(r#"emails[type eq "work"].value"#).as_deref(),
            Some(r#"emails|type eq "work"|value"#)
        );
        assert_eq!(
            path("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department")
                .as_deref(),
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:department||")
        );
        for text in [
            "",
            "a b",
            "roles[value eq]",
            "roles[].value",
            "a[b pr]c",
            "../x",
        ] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let name = "[a-z][a-z0-9]{0,8}(\\.[a-z]{1,5})?";
        let value = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            Just(Value::Null),
        ];
        let compare = (name, 0..OPERATORS.len(), value).prop_map(|(attribute, at, value)| {
            let operator = OPERATORS[at].1;
            Filter::Compare(Comparison {
                attribute,
                operator,
                value,
            })
        });
        let leaf = prop_oneof![compare, name.prop_map(Filter::Present)];
        leaf.prop_recursive(4, 8, 2, move |inner| {
            let two = (inner.clone(), inner.clone());
            let pair = |(one, two)| (Box::new(one), Box::new(two));
            prop_oneof![
                two.clone().prop_map(move |two| {
                    let (one, two) = pair(two);
                    Filter::And(one, two)
                }),
                two.prop_map(move |two| {
                    let (one, two) = pair(two);
                    Filter::Or(one, two)
                }),
                inner.clone().prop_map(|one| Filter::Not(Box::new(one))),
                (name, inner).prop_map(|(name, one)| Filter::Of(name, Box::new(one))),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_filter_that_is_written_is_read_as_the_same(filter in filters()) {
            let text = filter.to_string();
            prop_assume!(text.len() <= super::BYTES_MAX);
            prop_assert_eq!(Filter::read(&text), Ok(filter));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,80}") {
            drop(FilterPath::read(&text));
            if let Ok(filter) = Filter::read(&text) {
                prop_assert_eq!(Filter::read(&filter.to_string()), Ok(filter));
            }
        }
    }
}

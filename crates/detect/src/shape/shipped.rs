//! The shipped set of statements that Magento's own code issues on tables of payments.
//!
//! `content/shapes/*.toml` holds them as statements: `?` stands for a value, `…` for a run that
//! varies (columns written, columns of a grid). Any other difference makes another statement.
//! Follows `threats.md` §5.3; each entry names its source and carries examples.

use serde::Deserialize;

use super::lexer::{Lexer, Token};
use super::tables::{data_class, is_card_column, without_prefix};
use super::{Predicate, Shape, known::Known};

/// Words a run that varies may not hold: it would be another kind of statement.
const NEVER_VARIES: [&str; 11] = [
    "select",
    "table",
    "union",
    "into",
    "outfile",
    "dumpfile",
    "procedure",
    "sleep",
    "benchmark",
    "load_file",
    "handler",
];

/// Why shapes can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A file is no TOML of this form.
    #[error("`{file}` can't be read as shapes")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        source: toml::de::Error,
    },
    /// An entry names no statement.
    #[error("shape `{id}` in `{file}` names no statement, or one that touches no listed table")]
    Empty {
        /// The file.
        file: String,
        /// The entry.
        id: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    shape: Vec<Entry>,
}

/// One kind of statement Magento issues.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Stable id.
    pub id: String,
    /// What issues it, for people.
    pub title: String,
    /// Where this is known from.
    pub source: String,
    /// `known`, or `explained` when only a rare tool of Magento issues it.
    #[serde(default)]
    verdict: Word,
    /// Its statements.
    statements: Vec<String>,
    /// Listed tables it may touch; those of the statements when not given.
    #[serde(default)]
    tables: Vec<String>,
    /// Columns a select may name where they vary (`*` ends a start); without card columns when not given.
    #[serde(default)]
    columns: Vec<String>,
    /// Whether a statement cut by the log counts, as explained, by what is seen and its tables.
    #[serde(default)]
    cut: bool,
    /// What must and must not match.
    pub examples: Examples,
}

/// Examples of an entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// Statements that must match.
    pub matches: Vec<String>,
    /// Statements that must not.
    pub passes: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    #[default]
    Known,
    Explained,
}

/// The shipped set.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    entries: Vec<Entry>,
}

impl Shapes {
    /// Reads files, each given by name and text.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] naming file and entry.
    pub fn parse<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, ShapeError> {
        let mut entries = Vec::new();
        for (file, text) in files {
            let read: File = toml::from_str(text).map_err(|source| ShapeError::File {
                file: file.to_owned(),
                source,
            })?;
            for mut entry in read.shape {
                let named: Vec<String> = entry
                    .statements
                    .iter()
                    .flat_map(|statement| Shape::of(statement, false, "").tables)
                    .collect();
                if !named.iter().any(|table| data_class(table).is_some()) {
                    return Err(ShapeError::Empty {
                        file: file.to_owned(),
                        id: entry.id,
                    });
                }
                entry.tables.extend(named);
                entries.push(entry);
            }
        }
        Ok(Self { entries })
    }

    /// The entries, in order of file.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Finds the entry a statement is of.
    pub(super) fn find(
        &self,
        shape: &Shape,
        statement: &str,
        prefix: &str,
    ) -> Option<(Known, &Entry)> {
        let cut = shape.traits.has("cut");
        let mut tokens = None;
        self.entries.iter().find_map(|entry| {
            let allowed = entry.allows(shape, cut);
            if !allowed {
                return None;
            }
            let tokens = tokens.get_or_insert_with(|| {
                let mut tokens: Vec<_> = plain(statement, prefix).collect();
                if cut {
                    // The last one may be half a word.
                    tokens.pop();
                }
                tokens
            });
            entry
                .statements
                .iter()
                .any(|template| entry.fits(template, shape, tokens, cut))
                .then_some(match (entry.verdict, cut) {
                    (Word::Known, false) => (Known::Known, entry),
                    _ => (Known::Explained, entry),
                })
        })
    }
}

impl Entry {
    /// Whether the listed tables a statement touches are this entry's.
    fn allows(&self, shape: &Shape, cut: bool) -> bool {
        let mut listed = shape
            .tables
            .iter()
            .filter(|table| data_class(table).is_some());
        // Of a cut text only the TABLE records tell whether it is whole.
        let whole = !cut
            || self.cut
                && self.statements.iter().any(|statement| {
                    Shape::of(statement, false, "")
                        .tables
                        .iter()
                        .all(|table| shape.tables.contains(table))
                });
        whole && listed.all(|table| self.tables.contains(table))
    }

    fn fits(&self, template: &str, shape: &Shape, tokens: &[Token<'_>], cut: bool) -> bool {
        let template: Vec<_> = plain(template, "").collect();
        let reads = template.iter().any(|token| token.is("select"));
        let keyed = matches!(shape.predicate, Predicate::Key | Predicate::List);
        if !cut && !keyed && template.iter().any(|token| token.is("where")) {
            return false;
        }
        let mut at = 0;
        for (place, token) in template.iter().enumerate() {
            if cut && at >= tokens.len() {
                return true;
            }
            if token.is("…") {
                let next = template.get(place + 1);
                let Some(length) = tokens.get(at..).and_then(|rest| run(rest, next, cut)) else {
                    return false;
                };
                let varying = tokens.get(at..at + length).unwrap_or_default();
                if reads && !self.may_name(varying) {
                    return false;
                }
                at += length;
                continue;
            }
            let Some(length) = tokens.get(at..).and_then(|rest| same(token, rest)) else {
                return false;
            };
            at += length;
        }
        at == tokens.len()
    }

    /// Whether a run of a select names only columns that the entry takes, each once.
    fn may_name(&self, run: &[Token<'_>]) -> bool {
        let mut seen = Vec::new();
        for (place, token) in run.iter().enumerate() {
            if *token == Token::Sign(b'*') {
                return false;
            }
            let Some(name) = token.name() else { continue };
            let qualifies = run.get(place + 1) == Some(&Token::Sign(b'.'));
            if qualifies || ["as", "and", "in"].iter().any(|word| token.is(word)) {
                continue;
            }
            if self.columns.is_empty() {
                if is_card_column(name) {
                    return false;
                }
                continue;
            }
            let taken = self
                .columns
                .iter()
                .any(|column| match column.strip_suffix('*') {
                    Some(start) => name.starts_with(start),
                    None => name == column,
                });
            let alias = place > 0 && run.get(place - 1).is_some_and(|before| before.is("as"));
            if !taken || !alias && seen.contains(&name) {
                return false;
            }
            seen.push(name);
        }
        true
    }
}

/// Tokens without comments, closing semicolon and table prefix.
fn plain<'a>(statement: &'a str, prefix: &'a str) -> impl Iterator<Item = Token<'a>> {
    Lexer::new(statement).filter_map(move |token| match token {
        Token::Comment(_) | Token::Sign(b';') => None,
        Token::Quoted(name) => Some(Token::Quoted(without_prefix(name, prefix))),
        Token::Word(name) => Some(Token::Word(without_prefix(name, prefix))),
        token => Some(token),
    })
}

/// Length of what a template's token stands for at the front: a value may be a list of values.
fn same(wanted: &Token<'_>, rest: &[Token<'_>]) -> Option<usize> {
    let first = rest.first()?;
    let fits = match (wanted, first) {
        // A text stands for texts alone: compared with a number, a column of text matches too much.
        (Token::Text(_), first) => matches!(first, Token::Text(_)),
        (Token::Sign(b'?'), first) => first.is_literal() || first.is("null"),
        (Token::Word(wanted), Token::Word(first)) => wanted.eq_ignore_ascii_case(first),
        (wanted, first) => wanted == first,
    };
    if !fits {
        return None;
    }
    let mut length = 1;
    while wanted.is_literal()
        && rest.get(length) == Some(&Token::Sign(b','))
        && rest
            .get(length + 1)
            .is_some_and(|next| same_kind(wanted, next))
    {
        length += 2;
    }
    Some(length)
}

fn same_kind(wanted: &Token<'_>, next: &Token<'_>) -> bool {
    match wanted {
        Token::Text(_) => matches!(next, Token::Text(_)),
        _ => next.is_literal(),
    }
}

/// Length of a run that varies: up to `next` outside brackets, or to the end.
fn run(rest: &[Token<'_>], next: Option<&Token<'_>>, cut: bool) -> Option<usize> {
    let mut depth: usize = 0;
    for (length, token) in rest.iter().enumerate() {
        if depth == 0 && next.is_some_and(|next| same(next, &[*token]).is_some()) {
            return Some(length);
        }
        if NEVER_VARIES.iter().any(|word| token.is(word)) {
            return None;
        }
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (cut || next.is_none()).then_some(rest.len())
}

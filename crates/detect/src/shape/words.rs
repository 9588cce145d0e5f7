//! The words of a shape: class, predicate, rows expected, traits.

/// What a statement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementClass {
    /// SELECT, WITH, TABLE, HANDLER.
    Select,
    /// INSERT.
    Insert,
    /// REPLACE.
    Replace,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// LOAD DATA.
    Load,
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE.
    Ddl,
    /// GRANT, REVOKE, SET PASSWORD, CREATE USER.
    Grant,
    /// SET.
    Set,
    /// SHOW, DESCRIBE, EXPLAIN.
    Show,
    /// BEGIN, COMMIT and their like.
    Transaction,
    /// Anything else.
    #[default]
    Other,
}

impl StatementClass {
    /// What a statement that begins with this word is.
    pub(super) fn of(word: &str) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        match () {
            () if is(&["select", "with", "table", "handler"]) => Self::Select,
            () if is(&["insert"]) => Self::Insert,
            () if is(&["replace"]) => Self::Replace,
            () if is(&["update"]) => Self::Update,
            () if is(&["delete"]) => Self::Delete,
            () if is(&["load"]) => Self::Load,
            () if is(&["create", "alter", "drop", "rename", "truncate"]) => Self::Ddl,
            () if is(&["grant", "revoke"]) => Self::Grant,
            () if is(&["set"]) => Self::Set,
            () if is(&["show", "describe", "desc", "explain"]) => Self::Show,
            () if is(&[
                "begin",
                "start",
                "commit",
                "rollback",
                "savepoint",
                "release",
            ]) =>
            {
                Self::Transaction
            }
            () => Self::Other,
        }
    }

    /// The name rules use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Replace => "replace",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Load => "load",
            Self::Ddl => "ddl",
            Self::Grant => "grant",
            Self::Set => "set",
            Self::Show => "show",
            Self::Transaction => "transaction",
            Self::Other => "other",
        }
    }
}

/// How a statement chooses rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Predicate {
    /// It doesn't.
    #[default]
    None,
    /// By equality on a column that names one thing or a few, nothing beside it that widens it.
    Key,
    /// By a list of such keys.
    List,
    /// By something else.
    Other,
    /// By a condition that is always true.
    Tautology,
}

impl Predicate {
    /// The name rules use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Key => "key",
            Self::List => "list",
            Self::Other => "other",
            Self::Tautology => "tautology",
        }
    }
}

/// How many rows are to be expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowClass {
    /// At most one, or none.
    One,
    /// A handful.
    Few,
    /// A page of a list.
    Page,
    /// An unknown part.
    #[default]
    Many,
    /// Everything.
    All,
}

impl RowClass {
    /// The name rules use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Few => "few",
            Self::Page => "page",
            Self::Many => "many",
            Self::All => "all",
        }
    }
}

/// Properties of a shape, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u32);

/// Names of traits; the place is the bit.
const TRAITS: [&str; 27] = [
    "union",
    "tautology",
    "into_outfile",
    "into_dumpfile",
    "no_cache_hint",
    "sleep",
    "benchmark",
    "xpath_error",
    "information_schema",
    "comment",
    "hex_literal",
    "load_file",
    "limit_offset",
    "backticked",
    "cut",
    "sub_select",
    "char_function",
    "substring_probe",
    "script",
    "snapshot",
    "executable_comment",
    "copies",
    "card_column",
    "aggregate",
    "walk",
    "trigger",
    "hidden_table",
];

impl Traits {
    pub(crate) fn add(&mut self, name: &str) {
        if let Some(bit) = TRAITS.iter().position(|known| *known == name) {
            self.0 |= 1 << bit;
        }
    }

    /// Whether a trait is there.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        TRAITS
            .iter()
            .position(|known| *known == name)
            .is_some_and(|bit| self.0 >> bit & 1 == 1)
    }

    /// The names of those that are there.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        TRAITS
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| *name)
            .collect()
    }
}

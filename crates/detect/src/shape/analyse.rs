//! One pass over a statement's tokens to its shape.

use super::lexer::{Lexer, Token};

/// Tables and columns kept of one statement.
const TABLES_MAX: usize = 64;
const COLUMNS_MAX: usize = 128;

/// What a statement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementClass {
    /// SELECT, WITH, TABLE.
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
    /// By equality on an id-like column.
    Key,
    /// By a list of values.
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
const TRAITS: [&str; 20] = [
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

/// What a statement does, with its literals folded away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// FNV-1a (64 bit) over the normalised tokens.
    pub fingerprint: u64,
    /// What it is.
    pub class: StatementClass,
    /// Tables named, without schema and prefix, lower case, in order, at most 64.
    pub tables: Vec<String>,
    /// Tables written.
    pub tables_written: Vec<String>,
    /// Columns selected or written, at most 128; `*` for all.
    pub columns: Vec<String>,
    /// How it chooses rows.
    pub predicate: Predicate,
    /// Rows to be expected.
    pub row_class: RowClass,
    /// Its properties.
    pub traits: Traits,
    /// Value of an equality on an id-like column.
    pub key_literal: Option<i64>,
}

/// Which part of a statement a token stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Columns,
    Tables,
    Where,
    Limit,
    Other,
}

struct Walk<'a> {
    shape: Shape,
    prefix: &'a str,
    hash: u64,
    part: Part,
    /// The next identifier is a table.
    expect_table: bool,
    /// That table is written.
    written: bool,
    /// The identifier before, which a dot may turn into a schema.
    last_name: Option<&'a str>,
    dot: bool,
    last_word: &'a str,
    /// The last three tokens of a condition.
    condition: [Option<Token<'a>>; 3],
    has_where: bool,
    limit: Option<i64>,
    list: bool,
    folded: bool,
}

impl Shape {
    /// Reads a statement; `cut` says that the log cut it, `table_prefix` is stripped from tables.
    #[must_use]
    pub fn of(statement: &str, cut: bool, table_prefix: &str) -> Self {
        let mut walk = Walk {
            shape: Self::default(),
            prefix: table_prefix,
            hash: 0xcbf2_9ce4_8422_2325,
            part: Part::Other,
            expect_table: false,
            written: false,
            last_name: None,
            dot: false,
            last_word: "",
            condition: [None; 3],
            has_where: false,
            limit: None,
            list: false,
            folded: false,
        };
        let mut first = true;
        for token in Lexer::new(statement) {
            if first && let Token::Word(word) = token {
                walk.shape.class = class(word);
                if matches!(
                    walk.shape.class,
                    StatementClass::Update | StatementClass::Show
                ) {
                    walk.expect_table = true;
                    walk.written = walk.shape.class == StatementClass::Update;
                }
                first = false;
            }
            walk.token(token);
        }
        if cut {
            walk.shape.traits.add("cut");
        }
        walk.finish()
    }

    /// The statement with literals as `?`, lists folded, words in lower case.
    #[must_use]
    pub fn normalised(statement: &str, table_prefix: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        for token in Lexer::new(statement) {
            let word = match token {
                Token::Word(word) => word.to_lowercase(),
                Token::Quoted(name) => {
                    format!("`{}`", name.strip_prefix(table_prefix).unwrap_or(name))
                }
                Token::Text(_) | Token::Number(_) => "?".to_owned(),
                Token::Comment(text) if text.starts_with("/*!") => text.to_owned(),
                Token::Comment(_) => continue,
                Token::Sign(sign) => char::from(sign).to_string(),
            };
            let repeats = word == "?" && words.ends_with(&["?".to_owned(), ",".to_owned()]);
            if repeats {
                words.pop();
            } else {
                words.push(word);
            }
        }
        words.join(" ")
    }
}

fn class(word: &str) -> StatementClass {
    let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    match () {
        () if is(&["select", "with", "table"]) => StatementClass::Select,
        () if is(&["insert"]) => StatementClass::Insert,
        () if is(&["replace"]) => StatementClass::Replace,
        () if is(&["update"]) => StatementClass::Update,
        () if is(&["delete"]) => StatementClass::Delete,
        () if is(&["load"]) => StatementClass::Load,
        () if is(&["create", "alter", "drop", "rename", "truncate"]) => StatementClass::Ddl,
        () if is(&["grant", "revoke"]) => StatementClass::Grant,
        () if is(&["set"]) => StatementClass::Set,
        () if is(&["show", "describe", "desc", "explain"]) => StatementClass::Show,
        () if is(&[
            "begin",
            "start",
            "commit",
            "rollback",
            "savepoint",
            "release",
        ]) =>
        {
            StatementClass::Transaction
        }
        () => StatementClass::Other,
    }
}

/// Whether a column's name is that of an id.
fn is_key(name: &str) -> bool {
    let name = name.as_bytes();
    name.len() >= 2
        && (name.ends_with(b"_id")
            || name.eq_ignore_ascii_case(b"id")
            || name.ends_with(b"_hash")
            || name.eq_ignore_ascii_case(b"path"))
}

impl<'a> Walk<'a> {
    fn mix(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes.chain([b' ']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn token(&mut self, token: Token<'a>) {
        self.fold(token);
        match token {
            Token::Comment(text) => self.comment(text),
            Token::Word(word) => {
                if !self.keyword(word) {
                    self.name(word);
                }
                self.last_word = word;
            }
            Token::Quoted(name) => {
                self.shape.traits.add("backticked");
                self.name(name);
            }
            Token::Text(text) => {
                let lower = memchr::memchr(b'<', text.as_bytes()).is_some();
                if lower
                    && (contains(text, "<script")
                        || contains(text, "onerror=")
                        || contains(text, "<iframe"))
                    || contains(text, "atob(")
                    || contains(text, "eval(")
                {
                    self.shape.traits.add("script");
                }
            }
            Token::Number(number) => {
                if number.len() > 8 && (number.starts_with("0x") || number.starts_with("0X")) {
                    self.shape.traits.add("hex_literal");
                }
                if self.part == Part::Limit && self.limit.is_none() {
                    self.limit = number.parse().ok();
                }
            }
            Token::Sign(sign) => self.sign(sign),
        }
        if self.part == Part::Where
            && !matches!(token, Token::Comment(_) | Token::Sign(b'(' | b')' | b'.'))
        {
            self.condition.rotate_left(1);
            self.condition[2] = Some(token);
            self.judge_condition();
        }
    }

    /// Takes a token into the fingerprint; lists of literals count once.
    fn fold(&mut self, token: Token<'a>) {
        match token {
            Token::Word(word) => self.mix(word.bytes().map(|byte| byte.to_ascii_lowercase())),
            Token::Quoted(name) => self.mix(
                name.strip_prefix(self.prefix)
                    .unwrap_or(name)
                    .bytes()
                    .map(|byte| byte.to_ascii_lowercase()),
            ),
            Token::Text(_) | Token::Number(_) => {
                if !self.folded {
                    self.mix([b'?'].into_iter());
                }
                self.folded = true;
                return;
            }
            Token::Comment(text) if text.starts_with("/*!") => self.mix(text.bytes()),
            Token::Comment(_) => {}
            Token::Sign(b',') if self.folded => return,
            Token::Sign(b';') => {}
            Token::Sign(sign) => self.mix([sign].into_iter()),
        }
        self.folded = false;
    }

    fn comment(&mut self, text: &str) {
        if contains(text, "sql_no_cache") {
            self.shape.traits.add("no_cache_hint");
        } else if contains(text, "consistent snapshot") {
            self.shape.traits.add("snapshot");
        } else if !text.starts_with("/*!") {
            self.shape.traits.add("comment");
        }
    }

    /// Takes a word that steers; gives whether it was one.
    fn keyword(&mut self, word: &'a str) -> bool {
        let mut lower = [0; 18];
        let Some(short) = lower.get_mut(..word.len()) else {
            return false;
        };
        short.copy_from_slice(word.as_bytes());
        short.make_ascii_lowercase();
        let after_from = self.part == Part::Tables;
        match &*short {
            b"select" => {
                if self.shape.class == StatementClass::Select
                    && self.hash != 0
                    && self.part != Part::Other
                {
                    self.shape.traits.add("sub_select");
                }
                self.part = Part::Columns;
                self.expect_table = false;
            }
            b"from" => {
                (self.part, self.expect_table, self.written) = (
                    Part::Tables,
                    true,
                    self.shape.class == StatementClass::Delete && self.shape.tables.is_empty(),
                )
            }
            b"join" => (self.part, self.expect_table, self.written) = (Part::Tables, true, false),
            b"into" => {
                if self.shape.class != StatementClass::Select {
                    (self.part, self.expect_table, self.written) = (Part::Columns, true, true);
                }
            }
            b"table" | b"columns" | b"fields"
                if matches!(self.shape.class, StatementClass::Ddl | StatementClass::Show) =>
            {
                (self.expect_table, self.written) = (true, self.shape.class == StatementClass::Ddl);
            }
            b"outfile" => self.shape.traits.add("into_outfile"),
            b"dumpfile" => self.shape.traits.add("into_dumpfile"),
            b"where" | b"having" => {
                (self.part, self.expect_table) = (Part::Where, false);
                self.has_where = true;
                self.condition = [None; 3];
            }
            b"on" if after_from => (self.part, self.expect_table) = (Part::Other, false),
            b"set" if self.shape.class == StatementClass::Update => {
                (self.part, self.expect_table) = (Part::Columns, false)
            }
            b"values" | b"value" if self.shape.class == StatementClass::Insert => {
                self.part = Part::Other
            }
            b"group" | b"order" | b"procedure" => {
                (self.part, self.expect_table) = (Part::Other, false)
            }
            b"limit" => (self.part, self.expect_table) = (Part::Limit, false),
            b"offset" => self.shape.traits.add("limit_offset"),
            b"union" => {
                self.shape.traits.add("union");
                self.part = Part::Other;
            }
            b"in" if self.part == Part::Where => self.list = true,
            b"sleep" => self.shape.traits.add("sleep"),
            b"benchmark" => self.shape.traits.add("benchmark"),
            b"extractvalue" | b"updatexml" => self.shape.traits.add("xpath_error"),
            b"information_schema" => self.shape.traits.add("information_schema"),
            b"load_file" => self.shape.traits.add("load_file"),
            b"char" | b"unhex" => self.shape.traits.add("char_function"),
            b"substring" | b"ascii" | b"mid" | b"ord" if self.part == Part::Where => {
                self.shape.traits.add("substring_probe")
            }
            b"sql_no_cache" => self.shape.traits.add("no_cache_hint"),
            b"as" | b"and" | b"or" | b"ignore" | b"inner" | b"left" | b"right" | b"outer"
            | b"cross" | b"straight_join" | b"all" | b"distinct" | b"by" | b"like" | b"is"
            | b"null" | b"not" | b"low_priority" | b"delayed" | b"if" | b"exists" | b"create"
            | b"full" | b"using" | b"force" | b"index" | b"for" | b"update" | b"delete"
            | b"insert" | b"show" | b"describe" | b"desc" => {}
            _ => return false,
        }
        true
    }

    fn name(&mut self, name: &'a str) {
        if self.expect_table {
            if self.dot {
                // What came before the dot was the schema.
                self.drop_table();
            }
            self.add_table(name);
            self.expect_table = false;
            self.last_name = Some(name);
            self.dot = false;
            return;
        }
        if self.dot && self.part == Part::Tables && self.last_name.is_some() {
            self.drop_table();
            self.add_table(name);
        } else if self.part == Part::Columns && self.shape.columns.len() < COLUMNS_MAX {
            if self.dot {
                self.shape.columns.pop();
            }
            let name = name.to_ascii_lowercase();
            if !self.shape.columns.contains(&name) {
                self.shape.columns.push(name);
            }
        }
        self.last_name = None;
        self.dot = false;
    }

    fn add_table(&mut self, name: &str) {
        let plain = name
            .strip_prefix(self.prefix)
            .filter(|rest| !rest.is_empty())
            .unwrap_or(name)
            .to_ascii_lowercase();
        if self.shape.tables.len() >= TABLES_MAX {
            return;
        }
        if self.written && !self.shape.tables_written.contains(&plain) {
            self.shape.tables_written.push(plain.clone());
        }
        if !self.shape.tables.contains(&plain) {
            self.shape.tables.push(plain);
        }
    }

    fn drop_table(&mut self) {
        let schema = self.shape.tables.pop();
        if self.written && self.shape.tables_written.last() == schema.as_ref() {
            self.shape.tables_written.pop();
        }
        if schema.is_some_and(|schema| schema == "information_schema") {
            self.shape.traits.add("information_schema");
        }
    }

    fn sign(&mut self, sign: u8) {
        match sign {
            b'.' => self.dot = true,
            b'*' if self.part == Part::Columns && self.shape.class == StatementClass::Select => {
                if self.dot {
                    self.shape.columns.pop();
                }
                if !self.shape.columns.iter().any(|column| column == "*") {
                    self.shape.columns.push("*".to_owned());
                }
                self.dot = false;
            }
            b',' if self.part == Part::Tables => self.expect_table = true,
            b',' if self.part == Part::Limit => {
                self.shape.traits.add("limit_offset");
                self.limit = None;
            }
            b'(' => {
                self.expect_table = false;
                if self.part == Part::Tables && self.shape.class == StatementClass::Select {
                    self.part = Part::Other;
                }
            }
            _ => {}
        }
        if sign != b'.' {
            self.dot = false;
            self.last_name = None;
        }
    }

    /// Looks at the last three tokens of a condition: `id = 5`, `1 = 1`, `'a' = 'a'`.
    fn judge_condition(&mut self) {
        let [Some(left), Some(Token::Sign(b'=')), Some(right)] = self.condition else {
            return;
        };
        match (left, right) {
            (Token::Number(left), Token::Number(right))
            | (Token::Text(left), Token::Text(right))
                if left == right =>
            {
                self.shape.traits.add("tautology");
                self.shape.predicate = Predicate::Tautology;
            }
            (
                Token::Word(name) | Token::Quoted(name),
                Token::Number(value) | Token::Text(value),
            ) if is_key(name) => {
                if self.shape.predicate != Predicate::Tautology {
                    self.shape.predicate = Predicate::Key;
                }
                if self.shape.key_literal.is_none() {
                    self.shape.key_literal = value.trim_start_matches('0').parse().ok();
                }
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Shape {
        let shape = &mut self.shape;
        if self.has_where && shape.predicate == Predicate::None {
            shape.predicate = if self.list {
                Predicate::List
            } else {
                Predicate::Other
            };
        }
        shape.row_class = match (shape.predicate, self.limit) {
            _ if shape.tables.is_empty() => RowClass::One,
            (Predicate::Key, _) => RowClass::Few,
            (_, Some(limit)) if limit <= 1 => RowClass::One,
            (_, Some(limit)) if limit <= 1000 => RowClass::Page,
            (Predicate::None | Predicate::Tautology, _) => RowClass::All,
            (Predicate::List, _) => RowClass::Few,
            (Predicate::Other, _) => RowClass::Many,
        };
        shape.fingerprint = self.hash;
        self.shape
    }
}

/// Whether text holds a lower-case needle, in any case; linear.
pub(super) fn contains(text: &str, needle: &str) -> bool {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let Some(first) = needle.first() else {
        return true;
    };
    let upper = first.to_ascii_uppercase();
    memchr::memchr2_iter(*first, upper, text).any(|at| {
        text.get(at..at + needle.len())
            .is_some_and(|part| part.eq_ignore_ascii_case(needle))
    })
}

//! One pass over a statement's tokens to its shape.

use super::condition::{self, Region};
use super::lexer::{Lexer, Token};
use super::tables::{data_class, is_card_column, without_prefix};
use super::words::{Predicate, RowClass, StatementClass, Traits};

/// Tables and columns kept of one statement.
const TABLES_MAX: usize = 64;
const COLUMNS_MAX: usize = 128;
/// Values told of one statement.
const LITERALS_MAX: usize = 64;
/// Tokens of conditions looked at; what is longer counts as a condition of another kind.
const CONDITION_TOKENS_MAX: usize = 16_384;
/// Brackets followed; what lies deeper keeps the part it is in.
const DEPTH_MAX: usize = 256;

/// What a statement does, with its literals folded away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// FNV-1a (64 bit) over the normalised tokens.
    pub fingerprint: u64,
    /// What it is.
    pub class: StatementClass,
    /// Tables named, without schema and prefix, lower case, in order, at most 64.
    pub tables: Vec<String>,
    /// How many of `tables` the statement itself names; those behind them were told by other records.
    pub own_tables: usize,
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
    /// Whether each condition stands in brackets, as Magento's select builder writes them.
    pub bracketed: bool,
    /// Where it is in the rows: value of an equality or bound on a key, else its OFFSET.
    pub key_literal: Option<i64>,
}

/// Which part of a statement a token stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Columns,
    Tables,
    Where,
    Limit,
    Other,
}

pub(super) struct Walk<'a> {
    pub(super) shape: Shape,
    pub(super) prefix: &'a str,
    pub(super) hash: u64,
    pub(super) part: Part,
    /// The next identifier is a table.
    pub(super) expect_table: bool,
    /// That table is written.
    pub(super) written: bool,
    /// The identifier before, which a dot may turn into a schema.
    pub(super) last_name: Option<&'a str>,
    pub(super) dot: bool,
    pub(super) before: Option<Token<'a>>,
    /// Tokens but comments, as far as conditions reach.
    pub(super) tokens: Vec<Token<'a>>,
    pub(super) regions: Vec<Region>,
    /// The parts that open brackets stand in, with the depth of their list of tables.
    pub(super) stack: Vec<(Part, usize)>,
    pub(super) tables_depth: usize,
    pub(super) selects: usize,
    pub(super) joins: usize,
    pub(super) limits: Vec<i64>,
    pub(super) folded: bool,
    /// Some name stood in back-ticks.
    pub(super) quoted: bool,
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
            before: None,
            tokens: Vec::with_capacity(64),
            regions: Vec::new(),
            stack: Vec::new(),
            tables_depth: 0,
            selects: 0,
            joins: 0,
            limits: Vec::new(),
            folded: false,
            quoted: false,
        };
        let mut first = true;
        for token in Lexer::new(statement) {
            if first && let Token::Word(word) = token {
                walk.begin(word);
                first = false;
            }
            walk.token(token);
        }
        if cut {
            walk.shape.traits.add("cut");
        }
        if walk.quoted {
            walk.shape.traits.add("backticked");
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
                    format!("`{}`", without_prefix(name, table_prefix))
                }
                Token::Text(_) | Token::Number(_) => "?".to_owned(),
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

    /// The statement's values in order, at most 64, as they are written, without quotes.
    #[must_use]
    pub fn literals(statement: &str) -> Vec<&str> {
        Lexer::new(statement)
            .filter_map(|token| match token {
                Token::Text(text) | Token::Number(text) => Some(text),
                _ => None,
            })
            .take(LITERALS_MAX)
            .collect()
    }
}

impl<'a> Walk<'a> {
    fn begin(&mut self, word: &str) {
        self.shape.class = StatementClass::of(word);
        match self.shape.class {
            StatementClass::Update => self.tables(true),
            StatementClass::Show => self.expect_table = !word.eq_ignore_ascii_case("show"),
            StatementClass::Select if word.eq_ignore_ascii_case("handler") => {
                self.tables(false);
                self.all_columns();
            }
            _ => {}
        }
    }

    fn mix(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes.chain([b' ']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn token(&mut self, token: Token<'a>) {
        self.fold(token);
        match token {
            Token::Comment(text) => {
                self.shape
                    .traits
                    .add(if text.starts_with("/*!") || text.starts_with("/*M") {
                        "executable_comment"
                    } else {
                        "comment"
                    });
                return;
            }
            Token::Word(word) => {
                if !self.keyword(word) {
                    self.name(word);
                }
            }
            Token::Quoted(name) => {
                self.quoted = true;
                self.name(name);
            }
            // Where the server is set to ANSI_QUOTES, names stand in double quotes.
            Token::Text(text) if self.expect_table && self.part == Part::Tables => self.name(text),
            Token::Text(text) => self.text(text),
            Token::Number(number) => {
                if number.len() > 8 && (number.starts_with("0x") || number.starts_with("0X")) {
                    self.shape.traits.add("hex_literal");
                }
                if self.part == Part::Limit && self.limits.len() < 2 {
                    self.limits.push(number.parse().unwrap_or(i64::MAX));
                }
            }
            Token::Sign(sign) => self.sign(sign),
        }
        self.before = Some(token);
        if self.tokens.len() < CONDITION_TOKENS_MAX {
            self.tokens.push(token);
        }
    }

    /// Takes a token into the fingerprint; lists of literals count once.
    fn fold(&mut self, token: Token<'a>) {
        match token {
            Token::Word(word) => self.mix(word.bytes().map(|byte| byte.to_ascii_lowercase())),
            Token::Quoted(name) => self.mix(
                without_prefix(name, self.prefix)
                    .bytes()
                    .map(|byte| byte.to_ascii_lowercase()),
            ),
            token if token.is_literal() => {
                if !self.folded {
                    self.mix([b'?'].into_iter());
                }
                self.folded = true;
                return;
            }
            Token::Comment(_) => return,
            Token::Sign(b',') if self.folded => return,
            Token::Sign(b';') => {}
            Token::Sign(sign) => self.mix([sign].into_iter()),
            Token::Text(_) | Token::Number(_) => {}
        }
        self.folded = false;
    }

    fn text(&mut self, text: &str) {
        let holds = |sign| memchr::memchr(sign, text.as_bytes()).is_some();
        let any = |words: &[&str]| words.iter().any(|word| contains(text, word));
        if holds(b'<') && any(&["<script", "onerror=", "<iframe"])
            || holds(b'(') && any(&["atob(", "eval("])
        {
            self.shape.traits.add("script");
        }
    }

    pub(super) fn came_after(&self, word: &str) -> bool {
        self.before.is_some_and(|token| token.is(word))
    }

    /// Ends the conditions that reach down to a depth of brackets.
    pub(super) fn end_regions(&mut self, depth: usize) {
        let at = self.tokens.len();
        for region in &mut self.regions {
            if region.to.is_none() && region.depth >= depth {
                region.to = Some(at);
            }
        }
    }

    pub(super) fn open_region(&mut self, join: bool) {
        self.end_regions(self.stack.len());
        self.regions.push(Region {
            from: self.tokens.len() + 1,
            to: None,
            depth: self.stack.len(),
            join,
        });
    }

    pub(super) fn other(&mut self) {
        (self.part, self.expect_table) = (Part::Other, false);
        self.end_regions(self.stack.len());
    }

    pub(super) fn tables(&mut self, written: bool) {
        (self.part, self.expect_table, self.written) = (Part::Tables, true, written);
        self.tables_depth = self.stack.len();
        self.end_regions(self.stack.len());
    }

    pub(super) fn select(&mut self) {
        self.selects += 1;
        if self.shape.class != StatementClass::Select {
            self.shape.traits.add("copies");
        } else if !self.stack.is_empty() {
            self.shape.traits.add("sub_select");
        }
        (self.part, self.expect_table) = (Part::Columns, false);
    }

    fn name(&mut self, name: &'a str) {
        let card = is_card_column(name);
        if card {
            self.shape.traits.add("card_column");
        }
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
        } else if self.part == Part::Columns && (card || self.shape.columns.len() < COLUMNS_MAX) {
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
        let plain = Some(without_prefix(name, self.prefix))
            .filter(|rest| !rest.is_empty())
            .unwrap_or(name)
            .to_ascii_lowercase();
        // No number of others hides a table that is listed.
        if self.shape.tables.len() >= TABLES_MAX && data_class(&plain).is_none() {
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
            b'*' => self.star(),
            b',' if self.part == Part::Tables && self.stack.len() == self.tables_depth => {
                self.joins += 1;
                self.expect_table = true;
                self.end_regions(self.stack.len());
            }
            b',' if self.part == Part::Limit => self.shape.traits.add("limit_offset"),
            b'(' => {
                if self.stack.len() < DEPTH_MAX {
                    self.stack.push((self.part, self.tables_depth));
                }
                if self.part == Part::Tables && self.expect_table {
                    self.tables_depth = self.stack.len();
                } else {
                    self.expect_table = false;
                }
            }
            b')' => {
                self.end_regions(self.stack.len());
                if let Some((part, depth)) = self.stack.pop() {
                    (self.part, self.tables_depth) = (part, depth);
                    self.expect_table = false;
                }
            }
            _ => {}
        }
        if sign != b'.' {
            self.dot = false;
            self.last_name = None;
        }
    }

    /// A star that stands for columns; neither `COUNT(*)` nor a product.
    fn star(&mut self) {
        let selects = self.part == Part::Columns && self.selects > 0;
        let product = match self.before {
            Some(Token::Sign(sign)) => sign == b')',
            Some(Token::Word(word)) => {
                !["select", "distinct", "all", "sql_no_cache"]
                    .iter()
                    .any(|start| word.eq_ignore_ascii_case(start))
                    && !word.to_ascii_lowercase().starts_with("sql_")
            }
            Some(token) => token.name().is_some() || token.is_literal(),
            None => false,
        };
        let counted = self.before == Some(Token::Sign(b'('));
        if !selects || product || counted {
            return;
        }
        if self.dot {
            self.shape.columns.pop();
        }
        self.all_columns();
    }

    pub(super) fn all_columns(&mut self) {
        if !self.shape.columns.iter().any(|column| column == "*") {
            self.shape.columns.push("*".to_owned());
        }
    }

    fn finish(mut self) -> Shape {
        self.end_regions(0);
        let (mut conditions, bracketed) = condition::all(&self.tokens, &self.regions);
        let whole = self.tokens.len() >= CONDITION_TOKENS_MAX;
        // A select without a condition, or a join that ties nothing, gives more than the key picks.
        if self.selects > conditions.asked || self.joins > conditions.tied || whole {
            conditions.widen();
        }
        let shape = &mut self.shape;
        shape.own_tables = shape.tables.len();
        shape.bracketed = bracketed;
        shape.predicate = conditions.predicate;
        if conditions.tautology {
            shape.traits.add("tautology");
        }
        let paged = shape.traits.has("limit_offset");
        let (limit, offset) = match self.limits.as_slice() {
            // `LIMIT offset, rows` but `LIMIT rows OFFSET offset`.
            [first, second] if !contains_offset(&self.tokens) => (Some(*second), Some(*first)),
            [first, rest @ ..] => (Some(*first), rest.first().copied()),
            [] => (None, None),
        };
        shape.row_class = match (shape.predicate, limit) {
            _ if shape.tables.is_empty() && !shape.traits.has("cut") => RowClass::One,
            // What lies behind the cut may widen whatever is seen.
            (Predicate::None | Predicate::Key | Predicate::List, None)
                if shape.traits.has("cut") =>
            {
                RowClass::Many
            }
            (Predicate::Key, _) => RowClass::Few,
            (_, Some(limit)) if limit <= 1 && !paged => RowClass::One,
            (_, Some(limit)) if limit <= 1000 => RowClass::Page,
            (Predicate::None | Predicate::Tautology, _) => RowClass::All,
            (Predicate::List, _) => RowClass::Few,
            (Predicate::Other, _) => RowClass::Many,
        };
        shape.key_literal = conditions.literal.or(offset);
        shape.fingerprint = self.hash;
        self.shape
    }
}

fn contains_offset(tokens: &[Token<'_>]) -> bool {
    tokens.iter().rev().take(8).any(|token| token.is("offset"))
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

//! Conditions: what a `WHERE`, `HAVING` or `ON` asks of rows.
//!
//! A condition counts as a key only if nothing beside it can widen it: no `OR`, no `NOT`, no
//! sub-select, no function around it. What is always true is told apart from what only looks so.

use super::lexer::Token;
use super::words::Predicate;

/// Values in a list up to which it is a list of keys; Magento's own batches stay below.
const LIST_MAX: usize = 1000;

/// Columns whose names end like a key's and which many rows share.
const SHARED: [&str; 21] = [
    "store_id",
    "website_id",
    "group_id",
    "customer_group_id",
    "store_group_id",
    "default_store_id",
    "default_group_id",
    "attribute_id",
    "attribute_set_id",
    "entity_type_id",
    "attribute_group_id",
    "country_id",
    "region_id",
    "currency_id",
    "tax_class_id",
    "scope_id",
    "theme_id",
    "user_type_id",
    "type_id",
    "role_id",
    "root_category_id",
];
/// Keys that are text: compared with a number, MySQL takes every text without digits for 0.
const TEXT_KEYS: [&str; 7] = [
    "public_hash",
    "gateway_token",
    "increment_id",
    "masked_id",
    "txn_id",
    "parent_txn_id",
    "path",
];

/// What a statement's conditions come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) predicate: Predicate,
    /// Value of an equality or of a bound on a key.
    pub(super) literal: Option<i64>,
    pub(super) tautology: bool,
    /// Conditions asked of rows.
    pub(super) asked: usize,
    /// Joins whose tables a condition ties.
    pub(super) tied: usize,
}

/// A condition: its tokens from … to, and the depth of brackets it began in.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) from: usize,
    pub(super) to: Option<usize>,
    pub(super) depth: usize,
    pub(super) join: bool,
}

impl Condition {
    /// Takes back that it picks by key.
    pub(super) fn widen(&mut self) {
        if matches!(self.predicate, Predicate::Key | Predicate::List) {
            self.predicate = Predicate::Other;
        }
    }
}

/// Reads every condition of a statement, the widest of which counts; says whether each stands in brackets.
pub(super) fn all(tokens: &[Token<'_>], regions: &[Region]) -> (Condition, bool) {
    let mut all = Condition::default();
    let mut bracketed = true;
    for region in regions {
        let tokens = tokens
            .get(region.from..region.to.unwrap_or(tokens.len()))
            .unwrap_or_default();
        let found = judge(tokens);
        all.tautology |= found.tautology;
        if region.join {
            all.tied += usize::from(joins(tokens));
            continue;
        }
        bracketed &= tokens.first() == Some(&Token::Sign(b'('));
        all.asked += 1;
        all.literal = all.literal.or(found.literal);
        all.predicate = match (all.predicate, found.predicate) {
            (Predicate::None, found) => found,
            (before, found) if before == found => found,
            (Predicate::Key, Predicate::List) | (Predicate::List, Predicate::Key) => {
                Predicate::List
            }
            _ => Predicate::Other,
        };
    }
    if all.tautology {
        all.predicate = Predicate::Tautology;
    }
    (all, all.asked > 0 && bracketed)
}

/// Whether a column of this name names one thing, or few.
fn is_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    (name.ends_with("_id") && !SHARED.contains(&name.as_str()))
        || name == "id"
        || name.ends_with("_hash")
        || TEXT_KEYS.contains(&name.as_str())
}

/// One comparison between `AND`s and `OR`s.
#[derive(Default)]
struct Atom<'t, 'a> {
    tokens: Vec<&'t Token<'a>>,
    negated: bool,
    beside_or: bool,
}

/// What stands on a side of a comparison.
enum Side<'t, 'a> {
    Name(&'t [&'t Token<'a>], &'a str),
    Literal(Token<'a>),
}

/// Reads a condition's tokens, `WHERE` and comments left out.
fn judge(tokens: &[Token<'_>]) -> Condition {
    let atoms = atoms(tokens);
    let mut found = Condition {
        predicate: Predicate::Other,
        ..Condition::default()
    };
    let narrows =
        !tokens.iter().any(|token| token.is("select")) && !atoms.iter().any(|atom| atom.beside_or);
    for atom in &atoms {
        if atom.always_true(atoms.len() == 1) {
            found.tautology = true;
        }
        let list = atom.list();
        if let Some((name, literal, equal)) = atom.comparison().filter(|_| !atom.negated) {
            if is_key(name) && equal && is_value(name, literal) && narrows {
                found.predicate = Predicate::Key;
            }
            if is_key(name) && found.literal.is_none() {
                found.literal = number(literal);
            }
        } else if let Some((name, values)) = list
            && narrows
            && !atom.negated
            && is_key(name)
            && values <= LIST_MAX
            && found.predicate == Predicate::Other
        {
            found.predicate = Predicate::List;
        }
    }
    if found.tautology {
        found.predicate = Predicate::Tautology;
    }
    found
}

/// Whether the condition of a join ties its tables row by row: a key equals another, and nothing widens it.
fn joins(tokens: &[Token<'_>]) -> bool {
    let atoms = atoms(tokens);
    !atoms.iter().any(|atom| atom.beside_or || atom.negated)
        && atoms.iter().any(|atom| match atom.sides() {
            Some((Side::Name(left, one), b'=', Side::Name(right, other))) => {
                left != right && is_key(one) && is_key(other)
            }
            _ => false,
        })
}

fn number(literal: Token<'_>) -> Option<i64> {
    match literal {
        Token::Number(text) | Token::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether an equality with this value can pick a row: a text must be compared with a text.
fn is_value(name: &str, literal: Token<'_>) -> bool {
    let name = name.to_ascii_lowercase();
    let text = TEXT_KEYS.contains(&name.as_str()) || name.ends_with("_hash");
    !(text && matches!(literal, Token::Number(_)))
}

/// Splits at `AND` and `OR` outside calls; brackets that only group are left out.
fn atoms<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<Atom<'t, 'a>> {
    let mut atoms = vec![Atom::default()];
    let mut calls: usize = 0;
    let mut groups: Vec<bool> = Vec::new();
    let mut between = false;
    let mut doubled = None;
    for token in tokens {
        let Some(last) = atoms.last_mut() else { break };
        let before = last.tokens.last().copied().copied();
        let (mut and, mut or) = (token.is("and"), token.is("or") || token.is("xor"));
        if let Token::Sign(sign @ (b'&' | b'|')) = token {
            (and, or) = (
                *sign == b'&' && doubled == Some(b'&'),
                *sign == b'|' && doubled == Some(b'|'),
            );
            doubled = Some(*sign);
            if !and && !or {
                last.tokens.push(token);
                continue;
            }
            last.tokens.pop();
        }
        doubled = None;
        match token {
            Token::Sign(b'(') => {
                let call = calls > 0
                    || matches!(before, Some(Token::Word(word)) if !word.eq_ignore_ascii_case("not"))
                    || matches!(before, Some(Token::Quoted(_)));
                groups.push(call);
                if call {
                    calls += 1;
                    last.tokens.push(token);
                }
            }
            Token::Sign(b')') => {
                if groups.pop() == Some(true) {
                    calls -= 1;
                    last.tokens.push(token);
                }
            }
            _ if calls > 0 => last.tokens.push(token),
            _ if and && between => {
                between = false;
                last.tokens.push(token);
            }
            _ if and => atoms.push(Atom::default()),
            _ if or => {
                last.beside_or = true;
                atoms.push(Atom {
                    beside_or: true,
                    ..Atom::default()
                });
            }
            _ if token.is("not") || *token == Token::Sign(b'!') && last.tokens.is_empty() => {
                last.negated = !last.negated;
            }
            _ => {
                between |= token.is("between");
                last.tokens.push(token);
            }
        }
    }
    atoms.retain(|atom| !atom.tokens.is_empty());
    atoms
}

impl<'a> Atom<'_, 'a> {
    /// A name with what qualifies it, or a literal, at the front; and what follows.
    fn side(tokens: &[&'_ Token<'a>]) -> Option<(usize, Result<&'a str, Token<'a>>)> {
        let first = **tokens.first()?;
        if first.is_literal() {
            return Some((1, Err(first)));
        }
        let mut name = first.name()?;
        let mut length = 1;
        while let (Some(Token::Sign(b'.')), Some(next)) = (
            tokens.get(length).map(|token| **token),
            tokens.get(length + 1).and_then(|token| token.name()),
        ) {
            name = next;
            length += 2;
        }
        Some((length, Ok(name)))
    }

    /// Both sides of a comparison and the first sign of its operator; `l` for LIKE.
    fn sides(&self) -> Option<(Side<'_, 'a>, u8, Side<'_, 'a>)> {
        let (length, left) = Self::side(&self.tokens)?;
        let rest = self.tokens.get(length..)?;
        let (operator, signs) = match **rest.first()? {
            Token::Sign(sign @ (b'=' | b'<' | b'>' | b'!')) => {
                let more = rest
                    .iter()
                    .skip(1)
                    .take(2)
                    .take_while(|token| matches!(token, Token::Sign(b'=' | b'>')))
                    .count();
                let safe = sign == b'<' && more == 2;
                (if safe { b'=' } else { sign }, more + 1)
            }
            token if token.is("like") => (b'l', 1),
            _ => return None,
        };
        let rest = rest.get(signs..)?;
        let (end, right) = Self::side(rest)?;
        if end != rest.len() {
            return None;
        }
        let wrap = |tokens, side| match side {
            Ok(name) => Side::Name(tokens, name),
            Err(literal) => Side::Literal(literal),
        };
        Some((
            wrap(self.tokens.get(..length)?, left),
            operator,
            wrap(rest, right),
        ))
    }

    /// Column, value and whether it is an equality, of a comparison of the two.
    fn comparison(&self) -> Option<(&'a str, Token<'a>, bool)> {
        match self.sides()? {
            (Side::Name(_, name), sign, Side::Literal(literal))
            | (Side::Literal(literal), sign, Side::Name(_, name)) => {
                Some((name, literal, sign == b'='))
            }
            _ => None,
        }
    }

    /// Column and number of values of `column IN (…)` with nothing but literals.
    fn list(&self) -> Option<(&'a str, usize)> {
        let (length, Ok(name)) = Self::side(&self.tokens)? else {
            return None;
        };
        let rest = self.tokens.get(length..)?;
        if !rest.first()?.is("in") {
            return None;
        }
        let values = rest.get(1..)?;
        values
            .iter()
            .all(|token| token.is_literal() || matches!(token, Token::Sign(b'(' | b')' | b',')))
            .then(|| {
                (
                    name,
                    values.iter().filter(|token| token.is_literal()).count(),
                )
            })
    }

    /// Whether it holds whatever the row; `alone` says that nothing stands beside it.
    fn always_true(&self, alone: bool) -> bool {
        let truth = match self.sides() {
            Some((Side::Literal(left), sign, Side::Literal(right))) => {
                let equal = left == right;
                let ordered = number(left).zip(number(right));
                let holds = match (sign, ordered) {
                    (b'=' | b'l', _) => equal,
                    (b'<', Some((left, right))) => {
                        left < right || left != right && self.signs(b'>')
                    }
                    (b'>', Some((left, right))) => left > right,
                    (b'!', _) => !equal,
                    // Two constants beside each other have no place in a shop's statement.
                    _ => true,
                };
                // `1=1` is meant to be always true wherever it stands.
                return (holds != self.negated)
                    && (alone || self.beside_or || sign == b'=' && !self.negated);
            }
            Some((Side::Name(left, _), b'=' | b'l', Side::Name(right, _))) => left == right,
            _ => match self.tokens.as_slice() {
                [Token::Number(text)] => text.parse() != Ok(0.0),
                [Token::Text(text)] => text
                    .bytes()
                    .next()
                    .is_some_and(|byte| byte.is_ascii_digit() && byte != b'0'),
                [token] if token.is("true") => true,
                [token] if token.is("false") || token.is("null") => false,
                tokens => {
                    tokens.iter().all(|token| token.name().is_none())
                        && tokens.iter().any(|token| token.is_literal())
                }
            },
        };
        truth != self.negated && (alone || self.beside_or) && self.is_constant()
    }

    fn signs(&self, sign: u8) -> bool {
        self.tokens.contains(&&Token::Sign(sign))
    }

    /// Whether it depends on no row: literals alone, or a column compared with itself.
    fn is_constant(&self) -> bool {
        let names = self.tokens.iter().filter(|token| {
            token.name().is_some()
                && !["true", "false", "null", "like"]
                    .iter()
                    .any(|word| token.is(word))
        });
        names.count() == 0
            || matches!(self.sides(), Some((Side::Name(left, _), b'=' | b'l', Side::Name(right, _))) if left == right)
    }
}

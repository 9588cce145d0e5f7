//! What Magento's own files say and a row of the database can't change: `app/etc/env.php` and `app/etc/config.php`.
//!
//! Both are PHP that returns an array. It is read as far as it is literal and never run: a value that is code is told as
//! such, so that nobody takes "not found" for "isn't there".

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use crate::ActionError;
use crate::host::Host;

/// The file without which no shop runs.
pub(crate) const ENV: &str = "app/etc/env.php";
/// Largest file read, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 8 << 20;
/// Deepest array read; what is deeper counts as code.
const DEPTH_MAX: usize = 32;

/// A value as far as it is literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Php {
    /// A string or a number; `true` is `1`, `false` and `null` are empty.
    Text(String),
    /// Keys and values, in order.
    Array(Vec<(String, Self)>),
    /// Something that has to be run to be known.
    Code,
}

impl Php {
    /// What is at a path of keys; of two of one name the last counts.
    fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((key, rest)) = path.split_first() else {
            return Some(self);
        };
        match self {
            Self::Array(entries) => {
                let found = entries.iter().rev().find(|(name, _)| name == key);
                found.and_then(|(_, value)| value.at(rest))
            }
            Self::Text(_) => None,
            Self::Code => Some(&Self::Code),
        }
    }
}

/// Names of accounts by which the shop itself logs in at its databases (`db/connection/*/username`, and replicas' of
/// `db/slave_connection`).
pub(crate) fn shop_accounts(host: &Host) -> Result<Vec<String>, ActionError> {
    let path = host.magento()?.root.join(ENV);
    let unclear = || ActionError::NotSetUp {
        what: format!(
            "{} doesn't say in plain words by which account the shop logs in: see that it isn't this one, and do it by hand",
            path.display()
        ),
    };
    let file = read(&path)?.ok_or_else(unclear)?;
    accounts(&file).ok_or_else(unclear)
}

/// Names of accounts in `env.php`; none when it doesn't say all of them in plain words.
fn accounts(file: &Php) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for kind in ["connection", "slave_connection"] {
        let connections = match file.at(&["db", kind]) {
            Some(Php::Array(connections)) => connections.as_slice(),
            Some(_) => return None,
            None => &[],
        };
        for (_, connection) in connections {
            match connection.at(&["username"]) {
                Some(Php::Text(name)) => names.push(name.clone()),
                Some(_) => return None,
                None => {}
            }
        }
    }
    (!names.is_empty()).then_some(names)
}

/// What the files set for a setting in a scope, and where; they win over every row (`system/SCOPE[/CODE]/PATH`).
pub(crate) fn locked(
    host: &Host,
    scope: &[&str],
    setting: &str,
) -> Result<Option<(Php, String)>, ActionError> {
    let mut keys = vec!["system"];
    keys.extend(scope);
    keys.extend(setting.split('/'));
    for name in [ENV, "app/etc/config.php"] {
        let path = host.magento()?.root.join(name);
        let file = read(&path)?;
        if file.is_none() && name == ENV {
            // No shop runs without it: what it says isn't known.
            return Err(ActionError::NotSetUp {
                what: format!(
                    "{} isn't there: `root` of [magento] has to be the folder that holds app",
                    path.display()
                ),
            });
        }
        if let Some(value) = file.as_ref().and_then(|file| file.at(&keys)) {
            return Ok(Some((
                value.clone(),
                format!("{name} under {}", keys.join("/")),
            )));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<Php>, ActionError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ActionError::file("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(ActionError::file("read", path))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(parse(&text)))
}

/// The array that a file returns.
fn parse(text: &str) -> Php {
    Reader::returned(text).map_or(Php::Code, |mut reader| reader.value(0))
}

/// What is at a path of keys in a file's text, and where it stands there; an error when that isn't said in plain words.
pub(crate) fn placed(
    text: &str,
    path: &[&str],
) -> Result<Option<(Php, Range<usize>)>, UnclearError> {
    match parse(text).at(path) {
        None => return Ok(None),
        Some(Php::Code) => return Err(UnclearError),
        Some(_) => {}
    }
    let mut reader = Reader::returned(text).ok_or(UnclearError)?;
    for key in path {
        reader = reader.entry(key).ok_or(UnclearError)?;
    }
    reader.space();
    let start = text.len() - reader.rest.len();
    let value = reader.value(0);
    Ok(Some((value, start..text.len() - reader.left)))
}

/// What stands there is code, or there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnclearError;

struct Reader<'a> {
    rest: &'a str,
    /// Bytes that were left behind the last value.
    left: usize,
}

impl<'a> Reader<'a> {
    /// At what a file returns.
    fn returned(text: &'a str) -> Option<Self> {
        let mut reader = Self {
            rest: text,
            left: 0,
        };
        while !reader.rest.is_empty() {
            reader.space();
            if reader.word("return") {
                return Some(reader);
            }
            reader.skip();
        }
        None
    }

    /// At the value of a key of the array that begins here; none when there is no such key, or two.
    fn entry(mut self, key: &str) -> Option<Self> {
        let end = if self.mark("[") {
            "]"
        } else if self.word("array") && self.mark("(") {
            ")"
        } else {
            return None;
        };
        let mut found = None;
        while !self.mark(end) {
            let name = self.value(1);
            if self.mark("=>") {
                self.space();
                let here = self.rest;
                self.value(1);
                if name == Php::Text(key.to_owned()) && found.replace(here).is_some() {
                    return None;
                }
            }
            if !self.mark(",") && !self.rest.starts_with(end) {
                return None;
            }
        }
        found.map(|rest| Self { rest, left: 0 })
    }
}

impl Reader<'_> {
    /// Passes over blanks and comments.
    fn space(&mut self) {
        loop {
            let before = self.rest.len();
            self.rest = self.rest.trim_start();
            let is_line = self.rest.starts_with("//")
                || (self.rest.starts_with('#') && !self.rest.starts_with("#["));
            if is_line {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(rest) = self.rest.strip_prefix("/*") {
                self.rest = rest.split_once("*/").map_or("", |(_, rest)| rest);
            }
            if self.rest.len() == before {
                return;
            }
        }
    }

    fn mark(&mut self, mark: &str) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn word(&mut self, word: &str) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let told: String = self.rest.chars().take_while(|c| is_word(*c)).collect();
        let is_it = told.eq_ignore_ascii_case(word);
        if is_it {
            self.rest = self.rest.get(told.len()..).unwrap_or("");
        }
        is_it
    }

    /// Passes over one string, word or mark.
    fn skip(&mut self) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        match self.rest.chars().next() {
            Some('\'' | '"') => drop(self.string()),
            Some(c) if is_word(c) => self.rest = self.rest.trim_start_matches(is_word),
            Some(c) => self.rest = self.rest.get(c.len_utf8()..).unwrap_or(""),
            None => {}
        }
    }

    /// A string; none when it holds what PHP would put together.
    fn string(&mut self) -> Option<String> {
        let mut chars = self.rest.char_indices();
        let (_, quote) = chars.next()?;
        let (mut out, mut is_plain) = (String::new(), true);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let Some((_, next)) = chars.next() else { break };
                    let is_escape = next == '\\' || next == quote || (quote == '"' && next == '$');
                    if !is_escape {
                        // In single quotes it stands for itself; in double ones it may be anything.
                        is_plain &= quote == '\'';
                        out.push('\\');
                    }
                    out.push(next);
                }
                c if c == quote => {
                    self.rest = self.rest.get(at + 1..).unwrap_or("");
                    return is_plain.then_some(out);
                }
                '$' | '{' if quote == '"' => is_plain = false,
                c => out.push(c),
            }
        }
        self.rest = "";
        None
    }

    /// A value up to the mark that ends it; the mark stays.
    fn value(&mut self, depth: usize) -> Php {
        self.space();
        let value = match self.rest.chars().next() {
            _ if depth > DEPTH_MAX => Php::Code,
            Some('\'' | '"') => self.string().map_or(Php::Code, Php::Text),
            Some('[') => {
                self.skip();
                self.array("]", depth)
            }
            Some(c) if c.is_ascii_digit() || c == '-' => {
                let end = self
                    .rest
                    .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
                let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                Php::Text(number.to_owned())
            }
            _ if self.word("array") && self.mark("(") => self.array(")", depth),
            _ if self.word("true") => Php::Text("1".to_owned()),
            _ if self.word("false") || self.word("null") => Php::Text(String::new()),
            _ => Php::Code,
        };
        self.left = self.rest.len();
        self.space();
        let ends = [",", "]", ")", ";", "=>", "?>"];
        if self.rest.is_empty() || ends.iter().any(|end| self.rest.starts_with(end)) {
            return value;
        }
        // More than one token: code. It is passed over with the brackets in it.
        let mut open = 0_usize;
        while let Some(c) = self.rest.chars().next() {
            let is_end =
                open == 0 && (matches!(c, ',' | ']' | ')' | ';') || self.rest.starts_with("=>"));
            if is_end {
                break;
            }
            match c {
                '[' | '(' | '{' => open += 1,
                ']' | ')' | '}' => open = open.saturating_sub(1),
                _ => {}
            }
            self.skip();
            self.space();
        }
        Php::Code
    }

    fn array(&mut self, end: &str, depth: usize) -> Php {
        let (mut entries, mut next, mut is_literal) = (Vec::new(), 0, true);
        loop {
            if self.mark(end) {
                break;
            }
            if self.rest.is_empty() {
                return Php::Code;
            }
            let first = self.value(depth + 1);
            if self.mark("=>") {
                let value = self.value(depth + 1);
                match first {
                    Php::Text(key) => entries.push((key, value)),
                    // Any key might be meant.
                    _ => is_literal = false,
                }
            } else {
                // What is spread into the array (`...`) is code and may hold any key.
                is_literal &= first != Php::Code;
                entries.push((next.to_string(), first));
                next += 1;
            }
            if !self.mark(",") && !self.rest.starts_with(end) {
                return Php::Code;
            }
        }
        if is_literal {
            Php::Array(entries)
        } else {
            Php::Code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Php, accounts, parse, placed};
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, path: &[&str], expected: Option<&str>) {
        let shown = match parse(text).at(path) {
            None => None,
            Some(Php::Text(text)) => Some(text.clone()),
            Some(Php::Array(_)) => Some("an array".to_owned()),
            Some(Php::Code) => Some("code".to_owned()),
        };
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    #[test]
    fn settings_are_read_as_php_would() {
        let text = "<?php\n/* return 'no' */ $a = 'return [1]';\nreturn array (\n 'system' => ['default' => ['payment' => [\n# x\n 'checkmo' => \
            [\"active\" => '1', 'on' => true, 'off' => false, 'n' => -2.5],\n],],], 'name' => 'it\\'s \\\\ \\n', 'name' => 'last',);";
        let of = |key| ["system", "default", "payment", "checkmo", key];
        check(text, &of("active"), Some("1"));
        check(text, &of("on"), Some("1"));
        check(text, &of("off"), Some(""));
        check(text, &of("n"), Some("-2.5"));
        check(text, &of("gone"), None);
        check(text, &["name"], Some("last"));
        check(text, &["system", "default"], Some("an array"));
        check(
            "<?php return ['a' => 'it\\'s \\\\ \\n'];",
            &["a"],
            Some("it's \\ \\n"),
        );
    }

    #[track_caller]
    fn check_placed(text: &str, path: &[&str], expected: Option<Option<&str>>) {
        let told = placed(text, path).ok();
        let told = told.map(|found| found.and_then(|(_, range)| text.get(range)));
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn a_value_stands_where_it_is_written_or_nowhere() {
        let text = "<?php // return 'x'\nreturn array ('a' => [ 'key' /*k*/ => 'it\\'s' /* c */ , 'n' => 1\n], 'b' => array('x', [ ]  ),);";
        check_placed(text, &["a", "key"], Some(Some("'it\\'s'")));
        check_placed(text, &["a", "n"], Some(Some("1")));
        check_placed(text, &["b"], Some(Some("array('x', [ ]  )")));
        check_placed(text, &["c"], Some(None));
        check_placed(text, &["a", "c"], Some(None));
        for unclear in [
            "<?php return ['a' => X];",
            "<?php return ['a' => 1, 'a' => 2];",
            "<?php return ['a' => 'x' . Y];",
            "<?php return ['a' => 1] + more();",
            "<?php return [...$more, 'a' => 1];",
            "<?php $a = ['a' => 1];",
        ] {
            check_placed(unclear, &["a"], None);
        }
    }

    #[track_caller]
    fn check_accounts(db: &str, expected: Option<&[&str]>) {
        let told = accounts(&parse(&format!("<?php return ['db' => [{db}]];")));
        let told = told.as_ref().map(|names| names.iter().map(String::as_str));
        let told = told.map(Iterator::collect::<Vec<_>>);
        assert_eq!(told.as_deref(), expected, "{db}");
    }

    #[test]
    fn the_shop_s_accounts_are_all_that_are_said_or_none() {
        let one = "'connection' => ['default' => ['username' => 'shop'], 'checkout' => ['username' => 'sales']]";
        check_accounts(one, Some(&["shop", "sales"]));
        let replica = "'slave_connection' => ['default' => ['username' => 'reader']]";
        check_accounts(
            &format!("{one}, {replica}"),
            Some(&["shop", "sales", "reader"]),
        );
        check_accounts(&format!("{one}, 'slave_connection' => more()"), None);
        check_accounts("'connection' => ['default' => ['username' => NAME]]", None);
        check_accounts("'connection' => ['default' => ['host' => 'db']]", None);
        check_accounts("'connection' => []", None);
        check_accounts("", None);
    }

    #[test]
    fn what_has_to_be_run_is_told_as_code() {
        for value in [
            "getenv('X')",
            "'a' . B",
            "\"$x\"",
            "\"\\x41\"",
            "X",
            "array_merge(['b' => 1], [])",
            "$x ?? 'y'",
            "['b' => 1] + ['c' => 2]",
        ] {
            let text = format!("<?php return ['a' => {value}, 'z' => 'end'];");
            check(&text, &["a"], Some("code"));
            check(&text, &["a", "b"], Some("code"));
            check(&text, &["z"], Some("end"));
        }
        check("<?php return [...$more, 'a' => 1];", &["a"], Some("code"));
        check("<?php return [KEY => 1, 'a' => 1];", &["a"], Some("code"));
        check("<?php return require 'x.php';", &["a"], Some("code"));
        check("<?php $a = [];", &["a"], Some("code"));
        check("<?php return ['a' => 'open", &["a"], Some("code"));
        check("<?php return ['a' => 'open\\", &["a"], Some("code"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[a\\[\\]()=>,;'\"\\\\$#/*\n {.é-]{0,60}") {
            for text in [format!("<?php return {text}"), text] {
                drop(parse(&text));
                if let Ok(Some((_, range))) = placed(&text, &["a"]) {
                    prop_assert!(text.get(range).is_some());
                }
            }
        }
    }
}

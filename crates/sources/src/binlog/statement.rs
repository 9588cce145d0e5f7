//! What of a statement's text may be told: its words, and of its literals only those that are told as values anyway.
//!
//! A statement names values of columns that must not be read, too – a password's hash, an address in a condition. Whatever
//! literal isn't a value that may be read becomes `?`. Comments go. Text that doesn't come apart is not told at all.
//! Invariant: the server's default reading of text is assumed (a backslash escapes); a session that changed `sql_mode`
//! to read it otherwise writes texts that mostly end inside a literal, and those aren't told.

use std::collections::BTreeSet;

/// The statement as far as it may be told; `None` when it doesn't come apart.
pub(super) fn told(statement: &str, allowed: &BTreeSet<String>) -> Option<String> {
    let mut out = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..)?;
        match first {
            '\'' | '"' => {
                let (value, end) = literal(after, first)?;
                if allowed.contains(&value) {
                    out.push(first);
                    out.push_str(after.get(..end)?);
                } else {
                    out.push('?');
                }
                rest = after.get(end..)?;
            }
            '`' => {
                let end = after.find('`')? + 2;
                out.push_str(rest.get(..end)?);
                rest = rest.get(end..)?;
            }
            '#' => rest = line_end(rest),
            '-' if after.starts_with("- ") || after.starts_with("-\t") || after == "-" => {
                rest = line_end(rest);
            }
            // `/*!` and `/*M!` hold what the server runs.
            '/' if after.starts_with('*')
                && !after.starts_with("*!")
                && !after.starts_with("*M!") =>
            {
                let end = after.get(1..)?.find("*/")?;
                out.push(' ');
                rest = after.get(end + 3..)?;
            }
            first if is_word(first) => {
                let end = rest
                    .find(|one| !is_word(one) && one != '.')
                    .unwrap_or(rest.len());
                let word = rest.get(..end)?;
                if first.is_ascii_digit() && !allowed.contains(word) {
                    out.push('?');
                } else {
                    out.push_str(word);
                }
                rest = rest.get(end..)?;
            }
            other => {
                out.push(other);
                rest = after;
            }
        }
    }
    Some(out)
}

fn is_word(one: char) -> bool {
    one.is_alphanumeric() || one == '_' || one == '$' || one == '@'
}

fn line_end(text: &str) -> &str {
    text.find('\n')
        .and_then(|end| text.get(end..))
        .unwrap_or_default()
}

/// A literal's value, and where what follows its closing quote begins.
fn literal(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, one)) = chars.next() {
        match one {
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                '0' => value.push('\0'),
                'b' => value.push('\u{8}'),
                'Z' => value.push('\u{1a}'),
                other => value.push(other),
            },
            one if one == quote => {
                if chars.next_if(|(_, next)| *next == quote).is_none() {
                    return Some((value, at + quote.len_utf8()));
                }
                value.push(quote);
            }
            one => value.push(one),
        }
    }
    None
}

/// What a statement that isn't told by rows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It makes, changes or takes away a table, trigger, view, routine, event, index or schema.
    Definition,
    /// It writes rows, and the log has its text alone.
    Rows,
    /// It begins a transaction.
    Begin,
    /// It ends one.
    End,
    Other,
}

/// Tells a statement by its first words. Accounts are no definitions: their text may hold a password.
pub(super) fn kind(statement: &str) -> Kind {
    // Behind a comment a statement would look like none.
    let text = statement.get(..statement.floor_char_boundary(4096));
    let text = told(text.unwrap_or_default(), &BTreeSet::new());
    let head = text.as_deref().unwrap_or(statement);
    let mut words = head
        .split(|one: char| !is_word(one))
        .filter(|word| !word.is_empty())
        .take(24)
        .map(str::to_ascii_lowercase);
    match words.next().unwrap_or_default().as_str() {
        "begin" => Kind::Begin,
        "commit" | "rollback" => Kind::End,
        "insert" | "update" | "delete" | "replace" | "load" => Kind::Rows,
        "create" | "alter" | "drop" | "rename" | "truncate" => {
            let what = words.find(|word| {
                [
                    "temporary",
                    "table",
                    "trigger",
                    "view",
                    "procedure",
                    "function",
                    "event",
                    "index",
                    "database",
                    "schema",
                    "user",
                    "role",
                    "server",
                ]
                .contains(&word.as_str())
            });
            match what.as_deref() {
                None | Some("temporary" | "user" | "role" | "server") => Kind::Other,
                Some(_) => Kind::Definition,
            }
        }
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, kind, told};

    #[test]
    fn only_literals_that_may_be_read_are_told() {
        #[track_caller]
        fn check(statement: &str, allowed: &[&str], expected: Option<&str>) {
            let allowed = allowed.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(
                told(statement, &allowed).as_deref(),
                expected,
                "{statement}"
            );
        }
        check(
            "UPDATE admin_user SET password='x:1', is_active=1 WHERE email=\"a@b\" and user_id = 7",
            &["1", "7"],
            Some("UPDATE admin_user SET password=?, is_active=1 WHERE email=? and user_id = 7"),
        );
        // As the audit log has it, to the letter.
        check(
            r"insert into `t` values ('<b>\'x\'</b>', 'it''s')",
            &["<b>'x'</b>", "it's"],
            Some(r"insert into `t` values ('<b>\'x\'</b>', 'it''s')"),
        );
        check(
            "set a=x'4142', b=0x4142, c=-1.5e3",
            &[],
            Some("set a=x?, b=?, c=-?"),
        );
        check(
            "a /* don't */ = 's' -- it's\n, b # it's",
            &[],
            Some("a   = ? \n, b "),
        );
        check("a /*!50000 = 's' */", &[], Some("a /*!? = ? */"));
        check("a = 'open", &["open"], None);
        check("a `open", &[], None);
        check("a /* open", &[], None);
        check("é = 'ü'", &["ü"], Some("é = 'ü'"));
        check("t1.a2 = 5--1", &["1"], Some("t1.a2 = ?--1"));
    }

    #[test]
    fn tells_statements_by_their_first_words() {
        for (statement, expected) in [
            ("BEGIN", Kind::Begin),
            ("COMMIT", Kind::End),
            (
                "CREATE DEFINER=`root`@`localhost` TRIGGER t1 AFTER INSERT ON x FOR EACH ROW SET @a='user'",
                Kind::Definition,
            ),
            (
                "/* x */ create or replace algorithm=merge view v as select 1",
                Kind::Definition,
            ),
            ("drop temporary table if exists a", Kind::Other),
            ("CREATE USER a IDENTIFIED BY PASSWORD '*table'", Kind::Other),
            (
                "DROP TABLE IF EXISTS `a` /* generated by server */",
                Kind::Definition,
            ),
            ("insert into a values (1)", Kind::Rows),
            ("grant select on table a to b", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(kind(statement), expected, "{statement}");
        }
    }
}

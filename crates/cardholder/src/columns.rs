//! Values of an SQL statement that names its columns first: `INSERT INTO t (a, cc_cid) VALUES ('1', '123')`.
//!
//! Apart from `assigned` because key and value stand far from each other here. Reads a bounded number
//! of bytes for each column; the caller bounds the number of columns.

use std::ops::Range;

/// Longest list of columns, on either side of the one asked for.
const LIST_MAX: usize = 4096;
/// Most bytes of values that are looked at.
const VALUES_MAX: usize = 16_384;

/// Gives `found` each value of the column named by `bytes[start..end]`, without its quotes.
pub(crate) fn values(bytes: &[u8], start: usize, end: usize, found: &mut dyn FnMut(Range<usize>)) {
    let Some((column, mut at)) = position(bytes, start, end) else {
        return;
    };
    let limit = bytes.len().min(at.saturating_add(VALUES_MAX));
    let bytes = bytes.get(..limit).unwrap_or_default();
    while bytes.get(at) == Some(&b'(') {
        at += 1;
        let mut index = 0;
        loop {
            at = skip(bytes, at, b" \t");
            let (range, next) = value(bytes, at);
            if index == column {
                found(range);
            }
            index += 1;
            at = skip(bytes, next, b" \t");
            match bytes.get(at) {
                Some(b',') => at += 1,
                Some(b')') => break,
                _ => return,
            }
        }
        at = skip(bytes, at + 1, b" \t,\n");
    }
}

/// Which column of its list this is, and where the list of values begins.
fn position(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let in_list = |byte: &u8| byte.is_ascii_alphanumeric() || b"_`, .\"\\\n\t".contains(byte);
    let mut column = 0;
    let open = bytes
        .get(start.saturating_sub(LIST_MAX)..start)?
        .iter()
        .rev()
        .find(|byte| {
            column += usize::from(**byte == b',');
            !in_list(byte)
        })?;
    let close = bytes
        .get(end..)?
        .iter()
        .take(LIST_MAX)
        .position(|byte| !in_list(byte))?
        + end;
    if *open != b'(' || bytes.get(close) != Some(&b')') {
        return None;
    }
    let word = skip(bytes, close + 1, b" \t\n");
    let values = bytes.get(word..word + 6)?.eq_ignore_ascii_case(b"values");
    values.then(|| (column, skip(bytes, word + 6, b" \t\n")))
}

fn skip(bytes: &[u8], from: usize, any: &[u8]) -> usize {
    from + bytes
        .get(from..)
        .unwrap_or_default()
        .iter()
        .take_while(|byte| any.contains(byte))
        .count()
}

/// One value at `at`: its bytes without quotes, and what follows it.
fn value(bytes: &[u8], at: usize) -> (Range<usize>, usize) {
    let rest = bytes.get(at..).unwrap_or_default();
    for quote in [&b"\\'"[..], b"\\\"", b"'", b"\""] {
        if rest.starts_with(quote) {
            let from = at + quote.len();
            let mut to = from;
            while let Some(tail) = bytes.get(to..).filter(|tail| !tail.is_empty()) {
                let double = tail
                    .get(..2 * quote.len())
                    .is_some_and(|two| two.chunks(quote.len()).all(|one| one == quote));
                if double {
                    to += 2 * quote.len();
                } else if tail.starts_with(quote) {
                    return (from..to, to + quote.len());
                } else {
                    to += if quote.len() == 1 && tail.first() == Some(&b'\\') {
                        2
                    } else {
                        1
                    };
                }
            }
            return (from..bytes.len(), bytes.len());
        }
    }
    let mut depth = 0_usize;
    let length = rest
        .iter()
        .take_while(|byte| {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b')' | b',' if depth == 0 => return false,
                _ => {}
            }
            true
        })
        .count();
    (at..at + length, at + length)
}

#[cfg(test)]
mod tests {
    use super::values;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let start = text.find("key").expect("a column");
        let mut found = Vec::new();
        values(text.as_bytes(), start, start + 3, &mut |range| {
            found.push(text.get(range).expect("a range of the text"))
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn finds_the_values_of_a_column() {
        check(
            "INSERT INTO `t` (`a`, `key`, `b`) VALUES ('1', '23', '4')",
            &["23"],
        );
        check(
            "insert into t (key) values (7),(8), ('9')",
            &["7", "8", "9"],
        );
        check(
            "INSERT INTO `t` (`a`,`key`) VALUES (\\'it\\'\\'s, (x)\\', \\'23\\')",
            &["23"],
        );
        check(
            "INSERT INTO t (a,key) VALUES ('it''s \\' x', now(1,2)), (3, 'cut",
            &["now(1,2)", "cut"],
        );
    }

    #[test]
    fn finds_none_where_there_is_no_list() {
        check("SELECT key FROM t", &[]);
        check("INDEX (a, key)", &[]);
        check("f(a=1, key) VALUES (1)", &[]);
        check("(key", &[]);
        check("(key) VALUES", &[]);
        check("(a,key) VALUES (1", &[]);
    }
}

//! Where the value of a key begins and ends, in every notation a log may hold.
//!
//! Apart because notations are many and the keys don't care: forms, JSON (escaped once more or not),
//! SQL, PHP arrays and serialised values, XML, headers. Finding the beginning reads a bounded number of
//! bytes; the end is looked for only where a value is wanted, and what was read is masked.

use std::ops::Range;

/// Where a value begins, and what opened it.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    /// Its first byte, behind the quote.
    pub(crate) start: usize,
    /// The quote.
    pub(crate) quote: Option<&'static [u8]>,
}

impl Value {
    /// Where it ends: at the quote that opened it, or at what ends a bare word. Reads all of it, however long.
    pub(crate) fn range(self, bytes: &[u8]) -> Range<usize> {
        let rest = bytes.get(self.start..).unwrap_or_default();
        self.start
            ..self.start
                + self
                    .quote
                    .map_or_else(|| bare_length(rest), |quote| quoted_length(rest, quote))
    }
}

/// What may stand between a key and its sign, or a sign and its value.
static QUOTES: [&[u8]; 19] = [
    b"\\u0022", b"\\u0027", b"&quot;", b"&#34;", b"&#039;", b"\\x22", b"\\x27", b"%255B", b"%255D",
    b"%22", b"%27", b"%5D", b"%5d", b"%5B", b"\\\"", b"\\'", b"\"", b"'", b"`",
];
/// What stands between key and value.
static SIGNS: [&[u8]; 9] = [
    b"=>",
    b"=\\u003e",
    b"=&gt;",
    b"%3D",
    b"%3d",
    b"%3A",
    b"%3a",
    b"=",
    b":",
];
/// The most pieces between a key and its value.
const PIECES_MAX: usize = 10;

/// Finds the value behind a key that ends at `end`: `key=`, `"key":"`, `'key' => '`, `` `key` = ' ``, `key%5D=`,
/// `s:3:"cvv";s:3:"`, `<key>`.
pub(crate) fn assigned(bytes: &[u8], end: usize) -> Option<Value> {
    let (mut at, mut signs, mut opened, mut space) = (end, 0, None, 0);
    if bytes.get(at) == Some(&b'>') {
        return Some(Value {
            start: at + 1,
            quote: None,
        });
    }
    for _ in 0..PIECES_MAX {
        let rest = bytes.get(at..)?;
        if signs == 0
            && let Some(length) = serialized(rest)
        {
            at += length;
            signs = 1;
        } else if let Some(quote) = starts(rest, &QUOTES) {
            if signs > 0 {
                opened = Some(quote);
                at += quote.len();
                break;
            }
            at += quote.len();
        } else if let Some(sign) = starts(rest, &SIGNS).filter(|_| signs == 0) {
            signs = 1;
            at += sign.len();
        } else if matches!(rest.first(), Some(b' ' | b'\t')) && space < 4 {
            space += 1;
            at += 1;
        } else if signs == 0 && matches!(rest.first(), Some(b']' | b')')) {
            at += 1;
        } else {
            break;
        }
    }
    (signs > 0).then_some(Value {
        start: at,
        quote: opened,
    })
}

fn starts(rest: &[u8], pieces: &[&'static [u8]]) -> Option<&'static [u8]> {
    pieces.iter().copied().find(|piece| rest.starts_with(piece))
}

/// Length of PHP's `";s:3:` or `\";i:` between a serialised key and its value.
fn serialized(rest: &[u8]) -> Option<usize> {
    let quote = starts(rest, &[b"\\\"", b"\""])?.len();
    let tail = rest.get(quote..)?;
    if tail.starts_with(b";i:") {
        return Some(quote + 3);
    }
    let digits = tail
        .strip_prefix(b";s:")?
        .iter()
        .take(6)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (digits > 0 && tail.get(3 + digits) == Some(&b':')).then_some(quote + 3 + digits + 1)
}

/// Length of a value that `quote` opened; one that was cut off before its quote reaches to the end of the line.
fn quoted_length(rest: &[u8], quote: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = rest.get(at).filter(|byte| **byte != b'\n') {
        if rest.get(at..).is_some_and(|here| here.starts_with(quote)) {
            break;
        }
        // A quote behind a backslash doesn't close what a bare quote opened.
        at += if *byte == b'\\' && quote.len() == 1 {
            2
        } else {
            1
        };
    }
    at.min(rest.len())
}

/// Length of a value without quotes.
fn bare_length(rest: &[u8]) -> usize {
    // A placeholder of a prepared statement is no value; read no further, lest a row of them be read again from each.
    if matches!(rest.first(), Some(b':' | b'?' | b'@')) {
        return 0;
    }
    let ends = |byte: u8| byte <= b' ' || byte == 0x7f || b"\"'\\&;,)<>(}]`|".contains(&byte);
    let codes = [
        &b"22"[..],
        b"26",
        b"27",
        b"2C",
        b"7D",
        b"2c",
        b"7d",
        b"0A",
        b"0a",
    ];
    let escaped_end = |at: usize| {
        rest.get(at + 1..at + 3)
            .is_some_and(|code| codes.contains(&code))
    };
    rest.iter()
        .enumerate()
        .take_while(|(at, byte)| !(ends(**byte) || (**byte == b'%' && escaped_end(*at))))
        .count()
}

#[cfg(test)]
mod tests {
    use super::assigned;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let end = text.find("key").expect("a key") + 3;
        let found =
            assigned(text.as_bytes(), end).and_then(|value| text.get(value.range(text.as_bytes())));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn reads_every_notation() {
        check("key=abc&x", Some("abc"));
        check("\"key\":\"a b\\\"c\",", Some("a b\\\"c"));
        check("{\\\"key\\\":\\\"abc\\\"}", Some("abc"));
        check("'key' => 'abc',", Some("abc"));
        check("`key` = 'abc'", Some("abc"));
        check("payment%5Bkey%5D=abc&", Some("abc"));
        check("payment[key]=abc", Some("abc"));
        check("%22key%22%3A%22abc%22", Some("abc"));
        check("\\x22key\\x22:\\x22abc\\x22", Some("abc"));
        check("\\u0022key\\u0022:\\u0022abc\\u0022", Some("abc"));
        check("s:3:\"key\";s:3:\"abc\";", Some("abc"));
        check("s:3:\"key\";i:123;", Some("123"));
        check("<key>abc</key>", Some("abc"));
        check("key: abc, x", Some("abc"));
        check("&quot;key&quot;:&quot;abc&quot;", Some("abc"));
        check("\"key\": 123}", Some("123"));
    }

    #[test]
    fn a_key_without_a_sign_has_no_value() {
        check("key FROM x", None);
        check("key", None);
        check("`key`.* ", None);
        check("key/abc", None);
    }
}

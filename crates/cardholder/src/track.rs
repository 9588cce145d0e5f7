//! Magnetic stripe tracks: what stands behind a card number when it is part of one (`pci.md` §4.5).
//!
//! Apart because tracks are sensitive authentication data: found, they are never kept, not even in part.
//! Track 1 is `%B` number `^` name `^` YYMM, service code, more `?`; track 2 is `;` number `=` YYMM,
//! service code, more `?`; a chip's equivalent of track 2 has `D` for `=`.

use model::MarkKind;

/// The signs between a number and its expiry, plain and escaped.
static EQUALS: [&[u8]; 8] = [
    b"=", b"D", b"d", b"%3D", b"%3d", b"\\u003d", b"\\u003D", b"\\x3D",
];
/// The signs around the name.
static CARETS: [&[u8]; 6] = [b"^", b"%5E", b"%5e", b"\\u005e", b"\\u005E", b"\\x5E"];
/// Longest name between the carets, escapes included.
const NAME_MAX: usize = 80;
/// Most bytes behind the service code.
const REST_MAX: usize = 64;

/// Tells the track a number that ends at `end` stands in, and where the track ends.
pub(crate) fn around(bytes: &[u8], end: usize) -> Option<(MarkKind, usize)> {
    let first = bytes.get(end)?;
    if !b"=Dd%\\^".contains(first) {
        return None;
    }
    if let Some(length) = sign(bytes, end, &EQUALS) {
        let from = end + length;
        return expiry(bytes, from).then(|| {
            (
                MarkKind::Track2,
                from + run(bytes, from, u8::is_ascii_digit),
            )
        });
    }
    let from = end + sign(bytes, end, &CARETS)?;
    let name =
        (2..NAME_MAX).take_while(|at| bytes.get(from + at).is_some_and(|byte| *byte >= b' '));
    let (at, length) = name
        .filter_map(|at| Some((from + at, sign(bytes, from + at, &CARETS)?)))
        .next()?;
    let from = at + length;
    let more = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b' ' || *byte == b'^';
    expiry(bytes, from).then(|| {
        let length = run(bytes, from, more);
        // Only the end sentinel proves that letters still belong to the track.
        let closed = bytes.get(from + length) == Some(&b'?');
        (
            MarkKind::Track1,
            from + if closed {
                length
            } else {
                run(bytes, from, u8::is_ascii_digit)
            },
        )
    })
}

fn sign(bytes: &[u8], at: usize, signs: &[&[u8]]) -> Option<usize> {
    let rest = bytes.get(at..)?;
    signs
        .iter()
        .find(|sign| rest.starts_with(sign))
        .map(|sign| sign.len())
}

/// Year, month from 01 to 12, service code: seven digits.
fn expiry(bytes: &[u8], from: usize) -> bool {
    let digits = bytes
        .get(from..from + 7)
        .filter(|digits| digits.iter().all(u8::is_ascii_digit));
    matches!(
        digits,
        Some([_, _, b'0', b'1'..=b'9', ..] | [_, _, b'1', b'0'..=b'2', ..])
    )
}

fn run(bytes: &[u8], from: usize, good: impl Fn(&u8) -> bool) -> usize {
    bytes
        .get(from..)
        .unwrap_or_default()
        .iter()
        .take(REST_MAX)
        .take_while(|byte| good(byte))
        .count()
}

#[cfg(test)]
mod tests {
    use super::around;
    use model::MarkKind;

    /// `behind` follows a number; `covered` of it belongs to the track.
    #[track_caller]
    fn check(behind: &str, expected: Option<(MarkKind, &str)>) {
        let text = format!("4111111111111111{behind}");
        let found = around(text.as_bytes(), 16)
            .map(|(kind, end)| (kind, text.get(16..end).expect("a range of the text")));
        assert_eq!(found, expected);
    }

    #[test]
    fn reads_both_tracks() {
        check("=29121010000?", Some((MarkKind::Track2, "=29121010000")));
        check(
            "%3D29121010000%3F",
            Some((MarkKind::Track2, "%3D29121010000")),
        );
        check("D29121010000F", Some((MarkKind::Track2, "D29121010000")));
        check(
            "^DOE/JANE^2912101ABC?",
            Some((MarkKind::Track1, "^DOE/JANE^2912101ABC")),
        );
        check(
            "%5EDOE%2FJANE%5E29121010",
            Some((MarkKind::Track1, "%5EDOE%2FJANE%5E29121010")),
        );
    }

    #[test]
    fn refuses_what_is_none() {
        check("=2913101", None);
        check("=291210", None);
        check("^^2912101", None);
        check("", None);
        check("&cvv=1", None);
    }
}

//! What may stand between the groups of a number.

/// The separators that may stand between groups, longest first.
static SEPARATORS: [&[u8]; 22] = [
    b"\\xC2\\xA0",
    b"%C2%A0",
    b"%c2%a0",
    b"&nbsp;",
    b"&#160;",
    b"\\u00a0",
    b"\\u00A0",
    b"\\u2009",
    b"\\x20",
    b"\\x2D",
    b"\xe2\x80\x89",
    b"%20",
    b"%2D",
    b"%2d",
    b"%2E",
    b"%2B",
    b"%A0",
    b"\xc2\xa0",
    b" ",
    b"-",
    b".",
    b"+",
];

/// The separator a text begins with; `same` is the one that stood before.
pub(crate) fn separator_at<'a>(rest: &'a [u8], same: Option<&[u8]>) -> Option<&'a [u8]> {
    let length = match same {
        Some(same) => rest.starts_with(same).then_some(same.len()),
        None => SEPARATORS
            .iter()
            .find(|separator| rest.starts_with(separator))
            .map(|separator| separator.len()),
    };
    rest.get(..length?)
}

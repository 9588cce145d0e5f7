//! Percent-encoding, as addresses have it.

use std::borrow::Cow;

/// Decodes `%41` once, and `+` where a query or a form is meant. What is no text then is replaced, character by character.
#[must_use]
pub fn percent_decoded(text: &str, plus_is_blank: bool) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let is_coded = |byte: &u8| *byte == b'%' || (plus_is_blank && *byte == b'+');
    if !bytes.iter().any(is_coded) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| -> Option<u8> {
        let digit = char::from(*bytes.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high * 16 + low);
                at += 2;
            }
            (b'+', _, _) if plus_is_blank => plain.push(b' '),
            _ => plain.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(
        String::from_utf8(plain)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn decodes_once() {
        for (text, plus, plain) in [
            ("a%41+b", true, "aA b"),
            ("a%41+b", false, "aA+b"),
            ("%2541", true, "%41"),
            ("a%2", true, "a%2"),
            ("%zz", true, "%zz"),
            ("%ff", true, "\u{fffd}"),
            ("", true, ""),
        ] {
            assert_eq!(percent_decoded(text, plus), plain);
        }
    }
}

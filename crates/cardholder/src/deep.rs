//! Encodings the mask does not look into: found at leisure, in what is at rest already.
//!
//! Masking reads what a log writes in the clear, percent-encoded, escaped or as UTF-16. A record may
//! also hold base64, hexadecimal, character references, digits of other scripts, or percent-encoding
//! done twice. Decoding these costs too much for every record that arrives; a search of a ledger or
//! of files takes the time. One level each: base64 inside hexadecimal is not opened.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use model::MarkKind;

use crate::{Hit, Scanner};

/// Digits that a card number has at least.
const DIGITS_MIN: usize = 12;
/// Shortest run of base64 that can hold them.
const BASE64_MIN: usize = DIGITS_MIN * 4 / 3;
/// Shortest run of hexadecimal that can hold them.
const HEX_MIN: usize = DIGITS_MIN * 2;
/// How often percent-encoding is undone.
const PERCENT_ROUNDS: usize = 3;

/// How a number was hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// As the masks read it: in the clear, percent-encoded once, escaped, UTF-16.
    Plain,
    /// Base64, either alphabet.
    Base64,
    /// Two hexadecimal digits a byte.
    Hex,
    /// `&#52;` or `&#x34;`.
    CharacterReferences,
    /// Digits of another script, e.g. full-width ones.
    UnicodeDigits,
    /// Percent-encoded more than once.
    PercentTwice,
}

impl Form {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::CharacterReferences => "character references",
            Self::UnicodeDigits => "digits of another script",
            Self::PercentTwice => "percent-encoded twice",
        }
    }
}

/// Finds numbers in a whole record, in every form. A hit in a decoded part has the place of what it
/// was decoded from, or of the whole record where digits lie apart. A number found in the clear is
/// not reported again in another form.
pub fn search_deep(record: &[u8], found: &mut dyn FnMut(Form, Hit)) {
    let mut plain: Vec<Hit> = Vec::new();
    let mut scanner = Scanner::new();
    scanner.push(record, true, &mut |hit| plain.push(hit));
    for hit in &plain {
        found(Form::Plain, hit.clone());
    }
    let known = |hit: &Hit| {
        plain
            .iter()
            .any(|plain| plain.last_four == hit.last_four && plain.digits == hit.digits)
    };
    let mut piece = |form: Form, at: usize, length: usize, bytes: &[u8]| {
        if bytes.iter().filter(|byte| byte.is_ascii_digit()).count() < DIGITS_MIN {
            return;
        }
        Scanner::new().push(bytes, true, &mut |mut hit: Hit| {
            if hit.kind == MarkKind::Secret || known(&hit) {
                return;
            }
            hit.offset_bytes = at as u64;
            hit.length_bytes = u32::try_from(length).unwrap_or(u32::MAX);
            found(form, hit);
        });
    };
    for (at, run) in runs(record, is_hex, HEX_MIN) {
        piece(Form::Hex, at, run.len(), &from_hex(run));
    }
    for (at, run) in runs(record, is_base64, BASE64_MIN) {
        if let Some(bytes) = from_base64(run) {
            piece(Form::Base64, at, run.len(), &bytes);
        }
    }
    let text = String::from_utf8_lossy(record);
    for (form, decoded) in [
        (Form::CharacterReferences, from_references(&text)),
        (Form::UnicodeDigits, from_other_digits(&text)),
        (Form::PercentTwice, from_percent_twice(&text)),
    ] {
        if let Some(decoded) = decoded {
            piece(form, 0, record.len(), decoded.as_bytes());
        }
    }
}

/// The runs of bytes of a kind that are long enough, with where each begins.
fn runs(record: &[u8], of: fn(u8) -> bool, least: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    record
        .chunk_by(move |a, b| of(*a) == of(*b))
        .map(move |run| {
            let from = at;
            at += run.len();
            (from, run)
        })
        .filter(move |(_, run)| run.len() >= least && run.first().is_some_and(|byte| of(*byte)))
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn from_hex(run: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
    run.as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high) << 4 | digit(*low)).unwrap_or(0))
        .collect()
}

fn from_base64(run: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&STANDARD, config);
    let run: Vec<u8> = run
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    // One letter over holds less than a byte.
    let length = if run.len() % 4 == 1 {
        run.len() - 1
    } else {
        run.len()
    };
    engine.decode(run.get(..length)?).ok()
}

fn from_references(text: &str) -> Option<String> {
    if text.matches("&#").count() < DIGITS_MIN {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#") {
        out.push_str(before);
        let decoded = after.split_once(';').and_then(|(number, rest)| {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            Some((char::from_u32(code.ok()?)?, rest))
        });
        rest = match decoded {
            Some((letter, rest)) => {
                out.push(letter);
                rest
            }
            None => {
                out.push_str("&#");
                after
            }
        };
    }
    out.push_str(rest);
    Some(out)
}

/// First digits of the scripts whose digits are looked at: Arabic-Indic, its eastern form, Devanagari,
/// Bengali, Thai, full-width, and the five sets of mathematical ones (Unicode, general category Nd).
const ZEROS: [u32; 11] = [
    0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
];

fn from_other_digits(text: &str) -> Option<String> {
    let digit = |letter: char| {
        let code = u32::from(letter);
        ZEROS
            .iter()
            .find(|zero| (**zero..**zero + 10).contains(&code))
            .and_then(|zero| char::from_digit(code - zero, 10))
    };
    if text.is_ascii() || !text.chars().any(|letter| digit(letter).is_some()) {
        return None;
    }
    Some(
        text.chars()
            .map(|letter| digit(letter).unwrap_or(letter))
            .collect(),
    )
}

fn from_percent_twice(text: &str) -> Option<String> {
    if !text.contains("%25") {
        return None;
    }
    let mut text = Cow::Borrowed(text);
    for _ in 0..PERCENT_ROUNDS {
        if !text.contains("%25") {
            break;
        }
        text = Cow::Owned(text.replace("%25", "%"));
    }
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Form, search_deep};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    /// A published test number.
    const NUMBER: &str = "4111111111111111";

    fn forms(record: &str) -> Vec<(Form, Option<[u8; 4]>)> {
        let mut forms = Vec::new();
        search_deep(record.as_bytes(), &mut |form, hit| {
            forms.push((form, hit.last_four))
        });
        forms
    }

    #[test]
    fn a_number_is_found_in_every_form_the_mask_does_not_read() {
        let json = format!("{{\"cc\":\"{NUMBER}\"}}");
        let hex: String = NUMBER.bytes().map(|byte| format!("{byte:02x}")).collect();
        let references: String = NUMBER.bytes().map(|byte| format!("&#{byte};")).collect();
        let hexadecimal: String = NUMBER.bytes().map(|byte| format!("&#x{byte:x};")).collect();
        let wide: String = NUMBER
            .chars()
            .filter_map(|digit| char::from_u32(0xff10 + digit.to_digit(10)?))
            .collect();
        let twice: String = NUMBER
            .bytes()
            .map(|byte| format!("%25{byte:02x}"))
            .collect();
        for (form, hidden) in [
            (Form::Plain, NUMBER.to_owned()),
            (Form::Base64, STANDARD.encode(NUMBER)),
            (Form::Base64, URL_SAFE_NO_PAD.encode(&json)),
            (Form::Hex, hex),
            (Form::CharacterReferences, references),
            (Form::CharacterReferences, hexadecimal),
            (Form::UnicodeDigits, wide),
            (Form::PercentTwice, twice),
        ] {
            let record = format!("10:15:00 payment body={hidden} store=de");
            assert_eq!(forms(&record), [(form, Some(*b"1111"))], "{record}");
        }
    }

    #[test]
    fn what_looks_like_an_encoding_and_is_none_is_no_hit() {
        for record in [
            "session 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "100%25 of 4 orders",
            "&#41111; &#; &#x; &#99999999999; ",
        ] {
            assert_eq!(forms(record), [], "{record}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            search_deep(&bytes, &mut |_, _| {});
        }

        #[test]
        fn base64_is_found_wherever_it_starts(before in "[ -~]{0,9}", after in "[a-z ]{0,9}") {
            let record = format!("{before} b={};{after}", STANDARD.encode(format!("card {NUMBER} x")));
            let forms = forms(&record);
            prop_assert!(forms.iter().any(|(form, _)| *form == Form::Base64), "{record}");
        }
    }
}

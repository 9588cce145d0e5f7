//! A rule's values with their modifiers → tests, by the Sigma specification v2.1 (modifiers appendix).
//!
//! Apart from the rest of compiling because this is all about texts: wildcards, escapes, encodings.

use memchr::memmem::Finder;
use regex::RegexBuilder;
use rsigma_parser::Modifier;
use serde_json::Value as Yaml;

use super::compile::field;
use super::matcher::{Network, Order, Test};

/// A modifier's name.
///
/// # Errors
///
/// One that can't be used, by its name.
pub(super) fn name(modifier: Modifier) -> Result<&'static str, String> {
    Ok(match modifier {
        Modifier::Contains => "contains",
        Modifier::StartsWith => "startswith",
        Modifier::EndsWith => "endswith",
        Modifier::All => "all",
        Modifier::Cased => "cased",
        Modifier::Re => "re",
        Modifier::IgnoreCase => "i",
        Modifier::Multiline => "m",
        Modifier::DotAll => "s",
        Modifier::Cidr => "cidr",
        Modifier::Base64 => "base64",
        Modifier::Base64Offset => "base64offset",
        Modifier::Wide => "wide",
        Modifier::Utf16 => "utf16",
        Modifier::Utf16be => "utf16be",
        Modifier::WindAsh => "windash",
        Modifier::Gt => "gt",
        Modifier::Gte => "gte",
        Modifier::Lt => "lt",
        Modifier::Lte => "lte",
        Modifier::Exists => "exists",
        Modifier::FieldRef => "fieldref",
        Modifier::Expand => {
            return Err(
                "modifier `expand` needs placeholders, which there are none of; write the values"
                    .to_owned(),
            );
        }
        other => return Err(format!("modifier `{other:?}` can't be used")),
    })
}

/// Dashes in one value of `|windash`: five times as many variants with each.
const DASHES_MAX: usize = 4;
/// Compiled size of one pattern at most, in bytes.
const PATTERN_BYTES_MAX: usize = 4 << 20;

/// Makes the tests one value stands for; any of them may hold.
///
/// # Errors
///
/// What is wrong with it, in words.
pub(super) fn test(value: &Yaml, modifiers: &[&str]) -> Result<Vec<Test>, String> {
    let has = |name: &str| modifiers.contains(&name);
    if value.is_null() {
        return Ok(vec![Test::Null]);
    }
    if has("exists") {
        return Ok(vec![Test::Exists(value == &Yaml::Bool(true))]);
    }
    let orders = [
        ("gt", Order::Greater),
        ("gte", Order::GreaterOrEqual),
        ("lt", Order::Less),
        ("lte", Order::LessOrEqual),
    ];
    if let Some((_, order)) = orders.into_iter().find(|(name, _)| has(name)) {
        return Ok(vec![Test::Number(
            order,
            value.as_i64().ok_or("a comparison needs a whole number")?,
        )]);
    }
    let number = value.as_i64();
    if let (Some(number), false) = (
        number,
        ["contains", "startswith", "endswith", "re"]
            .into_iter()
            .any(has),
    ) {
        return Ok(vec![Test::Number(Order::Equal, number)]);
    }
    let text = match (number, value) {
        (Some(number), _) => number.to_string(),
        (None, Yaml::Bool(truth)) => truth.to_string(),
        _ => value
            .as_str()
            .ok_or("a value is a text or a number")?
            .to_owned(),
    };
    if has("fieldref") {
        return Ok(vec![Test::SameAs(
            field(&text).ok_or(format!("`{text}` is no field"))?,
        )]);
    }
    if has("cidr") {
        return Ok(vec![Test::Network(
            Network::parse(&text).ok_or(format!("`{text}` is no range of addresses"))?,
        )]);
    }
    if has("re") {
        let flags: String = ["i", "m", "s"]
            .into_iter()
            .filter(|flag| has(flag))
            .collect();
        let flags = if flags.is_empty() {
            flags
        } else {
            format!("(?{flags})")
        };
        return Ok(vec![pattern(&format!("{flags}{text}"))?]);
    }
    let encodes = [
        "base64",
        "base64offset",
        "wide",
        "utf16",
        "utf16le",
        "utf16be",
    ]
    .into_iter()
    .any(has);
    if encodes {
        return Ok(encoded(&text, modifiers));
    }
    let (open_start, open_end) = (
        has("contains") || has("endswith"),
        has("contains") || has("startswith"),
    );
    let variants = if has("windash") {
        windash(&text)?
    } else {
        vec![text]
    };
    variants
        .iter()
        .map(|text| {
            if has("cased") && !text.contains(['*', '?', '\\']) {
                Ok(Test::Cased {
                    text: text.clone(),
                    open_start,
                    open_end,
                })
            } else if has("cased") {
                wildcards(text, open_start, open_end, true)
            } else {
                wildcards(&text.to_ascii_lowercase(), open_start, open_end, false)
            }
        })
        .collect()
}

/// A text with Sigma's wildcards `*` and `?` (escaped by `\`), open at either end where asked.
fn wildcards(text: &str, open_start: bool, open_end: bool, cased: bool) -> Result<Test, String> {
    if let Some(plain) = plain(text).filter(|_| !cased) {
        return Ok(match (open_start, open_end) {
            (true, true) => Test::Contains(Box::new(Finder::new(plain.as_bytes()).into_owned())),
            (false, true) => Test::Starts(plain),
            (true, false) => Test::Ends(plain),
            (false, false) => Test::Equals(plain),
        });
    }
    let mut wanted = String::from(if cased { "(?s)" } else { "(?is)" });
    if !open_start {
        wanted.push('^');
    }
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let literal = characters
                    .next_if(|next| matches!(next, '*' | '?' | '\\'))
                    .unwrap_or('\\');
                wanted.push_str(&regex::escape(&literal.to_string()));
            }
            '*' => wanted.push_str(".*"),
            '?' => wanted.push('.'),
            other => wanted.push_str(&regex::escape(&other.to_string())),
        }
    }
    if !open_end {
        wanted.push('$');
    }
    pattern(&wanted)
}

/// The text with its escapes undone, when it holds no wildcard.
fn plain(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(
                characters
                    .next_if(|next| matches!(next, '*' | '?' | '\\'))
                    .unwrap_or('\\'),
            ),
            '*' | '?' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

fn pattern(text: &str) -> Result<Test, String> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map(Test::Pattern)
        .map_err(|error| error.to_string())
}

/// A text with each of its dashes as `-`, `/` and the three long dashes, in every mixture (`|windash`).
///
/// # Errors
///
/// More dashes than [`DASHES_MAX`].
fn windash(text: &str) -> Result<Vec<String>, String> {
    if text.matches('-').count() > DASHES_MAX {
        return Err(format!(
            "`windash` takes at most {DASHES_MAX} dashes in a value"
        ));
    }
    let mut variants = vec![String::new()];
    for letter in text.chars() {
        let each: &[char] = match letter {
            '-' => &['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'],
            _ => &[letter],
        };
        variants = each
            .iter()
            .flat_map(|letter| variants.iter().map(move |start| format!("{start}{letter}")))
            .collect();
    }
    Ok(variants)
}

/// A text as UTF-16 and base64, as asked; base64 at an unknown offset gives three texts.
fn encoded(text: &str, modifiers: &[&str]) -> Vec<Test> {
    let has = |name: &str| modifiers.contains(&name);
    let bytes: Vec<u8> = if has("wide") || has("utf16le") {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    } else if has("utf16be") {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    } else if has("utf16") {
        [0xff, 0xfe]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect()
    } else {
        text.as_bytes().to_vec()
    };
    let cased = |text| Test::Cased {
        text,
        open_start: has("contains") || has("endswith") || has("base64offset"),
        open_end: has("contains") || has("startswith") || has("base64offset"),
    };
    if has("base64offset") {
        let offset = |pad: usize| {
            let padded: Vec<u8> = std::iter::repeat_n(b' ', pad)
                .chain(bytes.iter().copied())
                .collect();
            // Characters that hold bits of a neighbour are left out.
            let whole = base64(&padded);
            let from = [0, 2, 3].get(pad).copied().unwrap_or(0);
            let to = (padded.len() * 8 / 6).min(whole.len());
            cased(whole.get(from..to).unwrap_or_default().to_owned())
        };
        return vec![offset(0), offset(1), offset(2)];
    }
    if has("base64") {
        return vec![cased(base64(&bytes))];
    }
    vec![cased(String::from_utf8_lossy(&bytes).into_owned())]
}

/// Base64 (RFC 4648 §4) with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            let letter = LETTERS.get(index).copied().unwrap_or(b'=');
            out.push(char::from(if place > chunk.len() { b'=' } else { letter }));
        }
    }
    out
}

//! Sensitive authentication data and secrets, by the key they stand behind or the form they have.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use model::MarkKind;

/// What stands behind a word.
#[derive(Clone, Copy)]
enum Behind {
    /// Three or four digits behind `=` or `:`.
    Verification,
    /// Sixteen or more hexadecimal digits behind `=` or `:`.
    PinBlock,
    /// Any value behind `=` or `:`.
    Assigned,
    /// The rest of the word: the mark is the secret's own beginning.
    Itself,
    /// A header: everything to the end of the line or quote, scheme word kept.
    Header,
    /// Hexadecimal digits right behind.
    Path,
}

static WORDS: [(&str, Behind); 30] = [
    ("cvv", Behind::Verification),
    ("cvc", Behind::Verification),
    ("cc_cid", Behind::Verification),
    ("csc", Behind::Verification),
    ("cvn", Behind::Verification),
    ("security_code", Behind::Verification),
    ("card_code", Behind::Verification),
    ("verification_value", Behind::Verification),
    ("pin_block", Behind::PinBlock),
    ("pinblock", Behind::PinBlock),
    ("authorization", Behind::Header),
    ("bearer ", Behind::Path),
    ("cookie", Behind::Header),
    ("phpsessid", Behind::Assigned),
    ("session_id", Behind::Assigned),
    ("?key", Behind::Assigned),
    ("&key", Behind::Assigned),
    ("form_key", Behind::Assigned),
    ("token", Behind::Assigned),
    ("password", Behind::Assigned),
    ("passwd", Behind::Assigned),
    ("password_hash", Behind::Assigned),
    ("secret", Behind::Assigned),
    ("api_key", Behind::Assigned),
    ("private_key", Behind::Assigned),
    ("/key/", Behind::Path),
    ("sk_live_", Behind::Itself),
    ("whsec_", Behind::Itself),
    ("$2y$", Behind::Itself),
    ("$argon2", Behind::Itself),
];

/// Finds secrets and sensitive authentication data.
pub(crate) struct Secrets {
    words: AhoCorasick,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(aho_corasick::AhoCorasickKind::DFA))
            .build(WORDS.iter().map(|(word, _)| word))
            .expect("thirty short words make an automaton");
        Self { words }
    }

    /// Gives `found` every place to mask, in order of where its word stands.
    pub(crate) fn find(&self, bytes: &[u8], found: &mut dyn FnMut(MarkKind, Range<usize>)) {
        let mut covered = 0;
        for hit in self.words.find_iter(bytes) {
            let Some((_, behind)) = WORDS.get(hit.pattern().as_usize()) else { continue };
            if hit.start() < covered {
                continue; // `bearer` inside an `authorization` header that is covered whole
            }
            if let Some((kind, range)) = value(bytes, hit.start(), hit.end(), *behind) {
                covered = range.end;
                found(kind, range);
            }
        }
        for colon in memchr::memchr_iter(b':', bytes) {
            if let Some(range) = magento_hash(bytes, colon) {
                found(MarkKind::Secret, range);
            }
        }
    }
}

fn value(bytes: &[u8], start: usize, end: usize, behind: Behind) -> Option<(MarkKind, Range<usize>)> {
    match behind {
        Behind::Itself => {
            let length = run(bytes, end, |byte| byte.is_ascii_alphanumeric() || b"$./=,+_-".contains(&byte));
            (length >= 8).then_some((MarkKind::Secret, start..end + length))
        }
        Behind::Path => {
            let length = run(bytes, end, |byte| byte.is_ascii_alphanumeric() || b"._-~+/=".contains(&byte));
            let length = bytes.get(end..end + length)?.iter().position(|byte| *byte == b'/').unwrap_or(length);
            (length >= 16).then_some((MarkKind::Secret, end..end + length))
        }
        Behind::Header => {
            let at = assigned(bytes, end)?;
            let length = run(bytes, at, |byte| byte >= b' ' && byte != b'"' && byte != b'\\' && byte != b'\'');
            (length >= 6).then_some((MarkKind::Secret, at..at + length))
        }
        Behind::Assigned => {
            let at = assigned(bytes, end)?;
            let length = run(bytes, at, |byte| byte > b' ' && byte < 0x7f && !b"\"'\\&;,)<>(}]`".contains(&byte));
            let text = bytes.get(at..at + length)?;
            let plain = [&b"NULL"[..], b"null", b"true", b"false", b"undefined"];
            (length >= 4 && !plain.contains(&text)).then_some((MarkKind::Secret, at..at + length))
        }
        Behind::Verification => {
            let at = assigned(bytes, skip_suffix(bytes, end))?;
            let length = run(bytes, at, |byte| byte.is_ascii_digit());
            (length == 3 || length == 4).then_some((MarkKind::Cvv, at..at + length))
        }
        Behind::PinBlock => {
            let at = assigned(bytes, end)?;
            let length = run(bytes, at, |byte| byte.is_ascii_hexdigit());
            (length >= 16).then_some((MarkKind::PinBlock, at..at + length))
        }
    }
}

/// `cvv2`, `cvc_number`, `cvvNumber`: what may follow the word of a verification code.
fn skip_suffix(bytes: &[u8], end: usize) -> usize {
    let rest = bytes.get(end..).unwrap_or_default();
    for suffix in [&b"2"[..], b"_number", b"Number", b"_code", b"Code"] {
        if rest.starts_with(suffix) {
            return end + suffix.len();
        }
    }
    end
}

/// Finds where the value behind `key=`, `"key":"`, `'key' => '`, `` `key` = ' `` begins.
fn assigned(bytes: &[u8], end: usize) -> Option<usize> {
    let mut at = end;
    let mut signs = 0;
    for byte in bytes.get(end..)?.iter().take(12) {
        match byte {
            b'=' | b':' => signs += 1,
            b'"' | b'\'' | b'`' | b' ' | b'\\' | b'>' | b'\t' | b')' | b']' => {}
            b'%' if signs == 0 && bytes.get(at..at + 3) == Some(b"%3D") => return Some(at + 3),
            _ => break,
        }
        at += 1;
    }
    (signs > 0).then_some(at)
}

fn run(bytes: &[u8], from: usize, good: impl Fn(u8) -> bool) -> usize {
    bytes.get(from..).unwrap_or_default().iter().take(4096).take_while(|byte| good(**byte)).count()
}

/// Magento's `hash:salt:version` (SHA-256 or Argon2id in hexadecimal; `magento.md` §3.7).
fn magento_hash(bytes: &[u8], colon: usize) -> Option<Range<usize>> {
    let start = colon.checked_sub(64)?;
    let hash = bytes.get(start..colon)?;
    if !hash.iter().rev().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let rest = bytes.get(colon + 1..)?;
    let salt = rest.iter().take(64).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let version = rest.get(salt..)?.first() == Some(&b':');
    (salt >= 8 && version).then_some(start..colon + 1 + salt)
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        Secrets::new().find(text.as_bytes(), &mut |_, range| found.push(text[range].to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_secrets_behind_their_keys() {
        check("Authorization: Bearer abcdefghijklmnop", &["Bearer abcdefghijklmnop"]);
        check(r#"{"access_token":"abcdef123456"}"#, &["abcdef123456"]);
        check("GET /admin/dashboard/key/0123456789abcdef0123456789abcdef/ HTTP", &["0123456789abcdef0123456789abcdef"]);
        check("GET /?key=abcdefgh&x=1", &["abcdefgh"]);
        check("`password` = 'hunter22'", &["hunter22"]);
        check("cvv=123&x", &["123"]);
        check(r#""cc_cid":"1234""#, &["1234"]);
    }

    #[test]
    fn leaves_names_alone() {
        check("SELECT `oauth_token`.* FROM `oauth_token` WHERE 1", &[]);
        check("POST /rest/V1/integration/customer/token HTTP/1.1", &[]);
        check(r#""cvvResponseCode":"M""#, &[]);
        check("`password` IS NULL", &[]);
    }

    #[test]
    fn finds_a_password_hash_without_its_key() {
        let hash = format!("'{}:abcdefghijklmnop:1'", "0123456789abcdef".repeat(4));
        check(&hash, &[&hash[1..hash.len() - 3]]);
    }
}

//! Sensitive authentication data and secrets, by the key they stand behind or the form they have.
//!
//! Apart from `search` because words, not digits, lead here: one pass looks for three letters of
//! every key at once ([`crate::triples`]), and what it stops at is read as a whole identifier.
//! Time stays linear: what is read without bound is masked and not read again; the rest is bounded.

use crate::password_hash::hashes;
use std::ops::Range;

use model::MarkKind;

use crate::assigned::assigned;
use crate::columns;
use crate::level::Level;
use crate::triples::Triples;

/// Longest run of digits that is looked at for its length.
const DIGITS_MAX: usize = 1024;
/// Lists of columns looked at in one record.
const LISTS_MAX: usize = 8;
/// Longest identifier.
const NAME_MAX: usize = 48;

/// Three letters, as rare as can be, of every key and of every secret of a known form.
static TRIPLES: [&[&str]; 8] = [
    &["cvv", "cvc", "cvn", "csc", "cid"],
    // securitycode, security_code, card_code, …
    &["yco", "y_c", "y-c", "dco", "d_c", "d-c"],
    // verification…, authorization, pwd
    &["rif", "riz", "pwd"],
    // pinblock, pin_block, sessionid, session_id, …
    &["nbl", "n_b", "nid", "n_i", "n-i"],
    // "pin", bearer, $argon2
    &["\"pi", "bea", "gon"],
    // cookie, token, key, sk_live_
    &["oki", "oke", "key", "k_l"],
    // phpsessid, password, passwd, passphrase, whsec_, sess_
    &["sid", "ssw", "sph", "whs", "ss_"],
    // secret, JWT, bcrypt
    &["ecr", "eyj", "$2y", "$2a", "$2b"],
];

/// What a key says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// Three or four digits.
    Verification,
    /// As [`Key::Verification`], if a card number stands in the record too.
    VerificationNearNumber,
    /// Sixteen or thirty-two hexadecimal digits.
    PinBlock,
    /// Four to twelve digits.
    Pin,
    /// Any value of so many bytes or more.
    Secret(usize),
    /// A header: everything to the end of the line or quote.
    Header,
    /// `Bearer` and the like: the next word.
    Scheme,
    /// `key`, that means an admin address's secret only behind `/`, `?` or `&`.
    Address,
}

/// Tells what an identifier says of its value; `name` is lower case, without `_` and `-`.
fn key(name: &[u8]) -> Option<Key> {
    let ends = |words: &[&[u8]]| words.iter().any(|word| name.ends_with(word));
    if ends(&[
        b"cvv",
        b"cvv2",
        b"cvc",
        b"cvc2",
        b"cvn",
        b"cvn2",
        b"csc",
        b"cccid",
        b"cardcid",
        b"cidenc",
        b"cvvnumber",
        b"cvcnumber",
        b"cvvcode",
        b"cvccode",
        b"cvnumber",
        b"securitycode",
        b"cardcode",
        b"verificationvalue",
        b"verificationcode",
    ]) {
        return Some(if ends(&[b"verificationcode"]) {
            Key::VerificationNearNumber
        } else {
            Key::Verification
        });
    }
    match name {
        b"cid" => return Some(Key::VerificationNearNumber),
        b"pin" => return Some(Key::Pin),
        b"key" | b"3fkey" | b"26key" => return Some(Key::Address),
        b"bearer" => return Some(Key::Scheme),
        b"authorization"
        | b"proxyauthorization"
        | b"httpauthorization"
        | b"cookie"
        | b"setcookie"
        | b"httpcookie" => {
            return Some(Key::Header);
        }
        _ => {}
    }
    if ends(&[b"pinblock"]) {
        return Some(Key::PinBlock);
    }
    if ends(&[
        b"password",
        b"passwd",
        b"pwd",
        b"passphrase",
        b"passwordhash",
        b"passwordconfirmation",
    ]) {
        return Some(Key::Secret(1));
    }
    if ends(&[
        b"secret",
        b"apikey",
        b"privatekey",
        b"secretkey",
        b"formkey",
        b"cryptkey",
        b"encryptionkey",
        b"accesskey",
        b"token",
        b"sessid",
        b"sessionid",
        b"tokensecret",
        b"xapikey",
        b"signingkey",
        b"sharedkey",
    ]) {
        return Some(Key::Secret(4));
    }
    None
}

/// Finds secrets and sensitive authentication data.
pub(crate) struct Secrets {
    triples: Triples,
    level: Level,
}

impl Secrets {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            triples: Triples::new(&TRIPLES),
            level,
        }
    }

    /// Gives `found` every place to mask. `near_number`: a card number stands in `bytes`.
    pub(crate) fn find(
        &self,
        bytes: &[u8],
        near_number: bool,
        found: &mut dyn FnMut(MarkKind, Range<usize>),
    ) {
        let (mut covered, mut lists) = (0, LISTS_MAX);
        self.triples.find(self.level, bytes, &mut |at| {
            // A key inside a value that is covered whole, such as `bearer` in a header.
            if at < covered {
                return;
            }
            let place = place(bytes, at).or_else(|| {
                let name = name(bytes, at)?;
                let place = value(bytes, &name, near_number);
                if place.is_none()
                    && lists > 0
                    && matches!(bytes.get(name.end), Some(b'`' | b',' | b')' | b'"' | b' '))
                {
                    lists -= 1;
                    columns::values(bytes, name.start, name.end, &mut |range| {
                        if let Some(kind) = listed(bytes, &range, name.key, near_number) {
                            found(kind, range);
                        }
                    });
                }
                place
            });
            if let Some((kind, range)) = place
                && range.start >= covered
            {
                covered = range.end;
                found(kind, range);
            }
        });
        hashes(bytes, found);
    }
}

/// An identifier that says something of a value.
struct Name {
    start: usize,
    end: usize,
    key: Key,
}

/// Tells whether the value of a column is what its name says.
fn listed(bytes: &[u8], range: &Range<usize>, key: Key, near_number: bool) -> Option<MarkKind> {
    let text = bytes.get(range.clone())?;
    let digits = text.iter().all(u8::is_ascii_digit);
    match key {
        Key::Verification => (digits && (3..=4).contains(&text.len())).then_some(MarkKind::Cvv),
        Key::VerificationNearNumber => {
            (near_number && digits && (3..=4).contains(&text.len())).then_some(MarkKind::Cvv)
        }
        Key::Pin => (digits && (4..=12).contains(&text.len())).then_some(MarkKind::PinBlock),
        Key::PinBlock => (text.iter().all(u8::is_ascii_hexdigit) && [16, 32].contains(&text.len()))
            .then_some(MarkKind::PinBlock),
        Key::Secret(least) => {
            let quoted = range
                .start
                .checked_sub(1)
                .and_then(|at| bytes.get(at))
                .is_some_and(|byte| b"'\"".contains(byte));
            secret(bytes, range.clone(), least.max(8))
                .filter(|_| quoted)
                .map(|(kind, _)| kind)
        }
        Key::Header | Key::Scheme | Key::Address => None,
    }
}

/// Reads a secret that is known by its own form.
fn place(bytes: &[u8], at: usize) -> Option<(MarkKind, Range<usize>)> {
    let rest = bytes.get(at..)?;
    match rest.first()? {
        b'$' => by_form(
            bytes,
            at,
            |byte| byte.is_ascii_alphanumeric() || b"$./".contains(&byte),
            20,
        ),
        b'g' if rest.starts_with(b"gon2") => {
            let start = at
                .checked_sub(3)
                .filter(|start| bytes.get(*start) == Some(&b'$'))?;
            by_form(
                bytes,
                start,
                |byte| byte.is_ascii_alphanumeric() || b"$./=,+_-".contains(&byte),
                20,
            )
        }
        b'w' if rest.starts_with(b"whsec_") => by_form(
            bytes,
            at,
            |byte| byte.is_ascii_alphanumeric() || b"_+/=".contains(&byte),
            14,
        ),
        b'K' if rest.starts_with(b"KEY-----")
            && bytes
                .get(..at)
                .is_some_and(|before| before.ends_with(b"PRIVATE ")) =>
        {
            let start = at + b"KEY-----".len();
            let length = run(bytes, start, |byte| byte != b'-');
            (length >= 32).then_some((MarkKind::Secret, start..start + length))
        }
        b'k' if rest.starts_with(b"k_live_") => by_form(
            bytes,
            at.checked_sub(1)?,
            |byte| byte.is_ascii_alphanumeric() || byte == b'_',
            16,
        ),
        // PHP's session files and Redis keys.
        b's' if rest.starts_with(b"ss_") => {
            let start = at
                .checked_sub(2)
                .filter(|start| bytes.get(*start..at) == Some(b"se"))?;
            let (kind, range) = by_form(
                bytes,
                start,
                |byte| byte.is_ascii_alphanumeric() || byte == b'_',
                25,
            )?;
            Some((kind, at + 3..range.end))
        }
        b'e' if rest.starts_with(b"eyJ") => {
            // Not behind another part of the same: a long row of them would be read again from each.
            if at > 0 && bytes.get(at - 1).is_some_and(|byte| b"_-.".contains(byte)) {
                return None;
            }
            let (kind, range) = by_form(
                bytes,
                at,
                |byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte),
                24,
            )?;
            bytes
                .get(range.clone())?
                .contains(&b'.')
                .then_some((kind, range))
        }
        _ => None,
    }
}

/// Reads the identifier around a triple that was found.
fn name(bytes: &[u8], at: usize) -> Option<Name> {
    let rest = bytes.get(at..)?;
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
    let first = at + usize::from(rest.starts_with(b"\""));
    let start = first
        - bytes
            .get(first.saturating_sub(NAME_MAX)..first)?
            .iter()
            .rev()
            .take_while(|byte| in_name(byte))
            .count();
    let end = first
        + bytes
            .get(first..)?
            .iter()
            .take(NAME_MAX)
            .take_while(|byte| in_name(byte))
            .count();
    let mut name = [0; 2 * NAME_MAX];
    let mut length = 0;
    for byte in bytes
        .get(start..end)?
        .iter()
        .filter(|byte| **byte != b'_' && **byte != b'-')
    {
        *name.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    Some(Name {
        start,
        end,
        key: key(name.get(..length)?)?,
    })
}

/// A secret told by its own form, from `at` on; not behind a letter or digit.
fn by_form(
    bytes: &[u8],
    at: usize,
    good: impl Fn(u8) -> bool,
    least: usize,
) -> Option<(MarkKind, Range<usize>)> {
    // `%22sk_live…`: what an escape ends with isn't a letter of the word.
    let escaped = at >= 3 && bytes.get(at - 3) == Some(&b'%');
    if !escaped && at > 0 && bytes.get(at - 1).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let length = run(bytes, at, good);
    (length >= least).then_some((MarkKind::Secret, at..at + length))
}

/// Reads the value of an identifier.
fn value(bytes: &[u8], name: &Name, near_number: bool) -> Option<(MarkKind, Range<usize>)> {
    let Name { start, end, key } = *name;
    match key {
        Key::Verification | Key::VerificationNearNumber => {
            if key == Key::VerificationNearNumber && !near_number {
                return None;
            }
            digits_alone(bytes, assigned(bytes, end)?.start, 3..=4)
                .map(|range| (MarkKind::Cvv, range))
        }
        Key::Pin => digits_alone(bytes, assigned(bytes, end)?.start, 4..=12)
            .map(|range| (MarkKind::PinBlock, range)),
        Key::PinBlock => {
            let at = assigned(bytes, end)?.start;
            let length = run(bytes.get(..bytes.len().min(at + DIGITS_MAX))?, at, |byte| {
                byte.is_ascii_hexdigit()
            });
            (length == 16 || length == 32).then_some((MarkKind::PinBlock, at..at + length))
        }
        Key::Secret(least) => secret(bytes, assigned(bytes, end)?.range(bytes), least),
        Key::Header => {
            let value = assigned(bytes, end)?;
            let in_header = |byte: u8| {
                (byte >= b' ' || byte == b'\t') && byte != b'"' && byte != b'\'' && byte != b'\\'
            };
            let length = if value.quote.is_some() {
                value.range(bytes).len()
            } else {
                run(bytes, value.start, in_header)
            };
            (length >= 4).then_some((MarkKind::Secret, value.start..value.start + length))
        }
        Key::Scheme => {
            let length = run(bytes, end + 1, |byte| {
                byte.is_ascii_alphanumeric() || b"._-~+/=".contains(&byte)
            });
            (bytes.get(end) == Some(&b' ') && length >= 16)
                .then_some((MarkKind::Secret, end + 1..end + 1 + length))
        }
        Key::Address => {
            let before = start.checked_sub(1).and_then(|at| bytes.get(at));
            match (before, bytes.get(end)) {
                (Some(b'/'), Some(b'/')) => {
                    let length = run(bytes, end + 1, |byte| byte.is_ascii_alphanumeric());
                    (length >= 16).then_some((MarkKind::Secret, end + 1..end + 1 + length))
                }
                (Some(b'?' | b'&' | b'%' | b';'), _) => {
                    secret(bytes, assigned(bytes, end)?.range(bytes), 8)
                }
                _ => None,
            }
        }
    }
}

/// A value that is no placeholder, name or constant.
fn secret(bytes: &[u8], range: Range<usize>, least: usize) -> Option<(MarkKind, Range<usize>)> {
    let text = bytes.get(range.clone())?;
    let constant = [&b"null"[..], b"true", b"false", b"undefined", b"none"];
    let placeholder = text.iter().all(|byte| *byte == b'*');
    let empty = constant
        .iter()
        .any(|constant| text.eq_ignore_ascii_case(constant));
    (text.len() >= least && !placeholder && !empty).then_some((MarkKind::Secret, range))
}

fn digits_alone(
    bytes: &[u8],
    at: usize,
    lengths: std::ops::RangeInclusive<usize>,
) -> Option<Range<usize>> {
    let length = run(bytes.get(..bytes.len().min(at + DIGITS_MAX))?, at, |byte| {
        byte.is_ascii_digit()
    });
    let alone = !bytes
        .get(at + length)
        .is_some_and(u8::is_ascii_alphanumeric);
    (alone && lengths.contains(&length)).then_some(at..at + length)
}

pub(crate) fn run(bytes: &[u8], from: usize, good: impl Fn(u8) -> bool) -> usize {
    bytes
        .get(from..)
        .unwrap_or_default()
        .iter()
        .take_while(|byte| good(**byte))
        .count()
}

#[cfg(test)]
mod tests {
    use super::Secrets;
    use crate::level::Level;
    use model::MarkKind;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        Secrets::new(Level::widest()).find(text.as_bytes(), false, &mut |_, range| {
            found.push(text.get(range).expect("a range of the text").to_owned())
        });
        assert_eq!(found, expected, "{text}");
    }

    #[track_caller]
    fn check_kind(text: &str, near_number: bool, expected: &[(MarkKind, &str)]) {
        let mut found = Vec::new();
        Secrets::new(Level::widest()).find(text.as_bytes(), near_number, &mut |kind, range| {
            found.push((
                kind,
                text.get(range).expect("a range of the text").to_owned(),
            ));
        });
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, text)| (*kind, (*text).to_owned()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn finds_secrets_behind_their_keys() {
        check(
            "Authorization: Bearer abcdefghijklmnop",
            &["Bearer abcdefghijklmnop"],
        );
        check(
            "\"authorization\":\"Basic dXNlcjpwYXNz\",\"x\":1",
            &["Basic dXNlcjpwYXNz"],
        );
        check(
            "Cookie: PHPSESSID=abcdef0123; admin=987",
            &["PHPSESSID=abcdef0123; admin=987"],
        );
        check("PHPSESSID=abcdef0123456789&x", &["abcdef0123456789"]);
        check(r#"{"access_token":"abcdef123456"}"#, &["abcdef123456"]);
        check(r#"{\"accessToken\":\"abcdef123456\"}"#, &["abcdef123456"]);
        check(
            "GET /admin/dashboard/key/0123456789abcdef0123456789abcdef/ HTTP",
            &["0123456789abcdef0123456789abcdef"],
        );
        check("GET /?key=abcdefgh&x=1", &["abcdefgh"]);
        check(
            "GET /customer/account/createPassword/?token=Zx81abQ HTTP",
            &["Zx81abQ"],
        );
        check("`password` = 'hunter22'", &["hunter22"]);
        check("login[password]=a%20b&x", &["a%20b"]);
        check("'api_key' => 'abcd1234'", &["abcd1234"]);
        check("client_secret=abcd1234", &["abcd1234"]);
        check("X-Api-Key: abcd1234", &["abcd1234"]);
    }

    #[test]
    fn finds_secrets_by_their_form() {
        let live = format!("sk_{}_{}", "live", "0".repeat(24));
        check(&format!("error with {live}."), &[&live]);
        check("whsec_0123456789abcdef", &["whsec_0123456789abcdef"]);
        let body = "MC4CAQAwBQYDK2VwBCIEIA\nabcdefghijkl0123456789\n";
        check(
            &format!("-----BEGIN {} KEY-----{body}-----END", "PRIVATE"),
            &[body],
        );
        let long = "a".repeat(20_000);
        check(&format!("access_token={long}&x"), &[&long]);
        check(
            "\"GET\" \"sess_4aesvd6vnnkvckclsjumdqvc99\"",
            &["4aesvd6vnnkvckclsjumdqvc99"],
        );
        check(
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x",
            &["eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x"],
        );
        let bcrypt = format!("$2y$10${}", "a".repeat(53));
        check(&format!("'{bcrypt}'"), &[&bcrypt]);
        let argon = "$argon2id$v=19$m=65536,t=4,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
        check(&format!("'{argon}'"), &[argon]);
    }

    #[test]
    fn finds_a_password_hash_without_its_key() {
        for (digits, version) in [
            (64, ":1"),
            (64, ":2"),
            (64, ":3_32_2_67108864"),
            (32, ":0:1"),
        ] {
            let hash = format!(
                "{}:abcdefghijklmnop",
                "0123456789abcdef".repeat(digits / 16)
            );
            check(&format!("VALUES ('x','{hash}{version}')"), &[&hash]);
        }
    }

    #[test]
    fn finds_verification_codes_and_pin_blocks() {
        use MarkKind::{Cvv, PinBlock};
        for text in [
            "cvv=123&x",
            "cvv2: 123",
            "\"cc_cid\":\"123\"",
            "payment%5Bcc_cid%5D=123&",
            "payment[cc_cid]=123",
            "'cvc' => '123'",
            "s:6:\"cc_cid\";s:3:\"123\";",
            "cardCode\\\":\\\"123\\\"",
            "<CardCode>123</CardCode>",
            "`cc_cid_enc` = '123'",
            "security_code=123",
            "%22cvv%22%3A%22123%22",
            "CVV: 123",
            "cvNumber=123",
            "cvv_number=123",
        ] {
            check_kind(text, false, &[(Cvv, "123")]);
        }
        check_kind("cid=123", false, &[]);
        check_kind("cid=123", true, &[(Cvv, "123")]);
        check_kind(
            "pin_block=0123456789ABCDEF",
            false,
            &[(PinBlock, "0123456789ABCDEF")],
        );
        check_kind("{\"pin\":\"4321\"}", false, &[(PinBlock, "4321")]);
    }

    #[test]
    fn finds_values_of_named_columns() {
        use MarkKind::{Cvv, Secret};
        check_kind(
            "INSERT INTO `quote_payment` (`method`, `cc_cid_enc`) VALUES ('cc', '123')",
            false,
            &[(Cvv, "123")],
        );
        check_kind(
            "INSERT INTO `oauth_token` (`consumer_id`, `token`, `secret`) VALUES (NULL, \\'abcd1234\\', \\'efgh5678\\')",
            false,
            &[(Secret, "abcd1234"), (Secret, "efgh5678")],
        );
        check_kind("INSERT INTO `t` (`a`, `cvv`) VALUES (1, NULL)", false, &[]);
    }

    #[test]
    fn leaves_names_and_placeholders_alone() {
        check("SELECT `oauth_token`.* FROM `oauth_token` WHERE 1", &[]);
        check("POST /rest/V1/integration/customer/token HTTP/1.1", &[]);
        check(r#""cvvResponseCode":"M""#, &[]);
        check("cvv=12345", &[]);
        check("`password` IS NULL", &[]);
        check("password = :password", &[]);
        check("password=NULL", &[]);
        check("password=***", &[]);
        check("type=SYSCALL key=\"webroot\"", &[]);
        check("Failed password for invalid user admin", &[]);
        check("shipping pinned", &[]);
        check(&format!("sha256={}", "0123456789abcdef".repeat(4)), &[]);
    }
}

//! Codes of the second factor (RFC 6238: SHA-1, six digits, 30 s), and their secrets as they are stored and shown.
//!
//! A secret is sealed under a key made of the installation's, a salt and whose it is: one copied to another account
//! doesn't open there, and no key serves twice.

use custody::{PayloadKey, open_payload, seal_payload};
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::{Sequence, Timestamp};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{PeopleError, bytes, hex, random};

/// Seconds of a step.
const STEP_SECONDS: i64 = 30;
/// Steps before and after the present one whose codes are taken: clocks differ, people are slow.
const DRIFT: i64 = 1;
/// Bytes of a secret (RFC 4226 §4 recommends 160 bits).
pub(super) const SECRET_BYTES: usize = 20;
/// Bytes of salt before a sealed secret.
const SALT_BYTES: usize = 16;
/// Bytes that `custody` puts before a payload.
const PAYLOAD_SALT_BYTES: usize = 16;

/// The code of a step.
fn code(secret: &[u8], step: i64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    // RFC 4226 §5.3: the last four bits say where the four bytes begin.
    let at = usize::from(digest[digest.len() - 1] & 15);
    let four = digest[at..].first_chunk::<4>().copied();
    let number = u32::from_be_bytes(four.unwrap_or_default()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// The step whose code this is; spaces in it don't count.
pub(super) fn step_of(secret: &[u8], typed: &str, now: Timestamp) -> Option<i64> {
    let typed: String = typed.chars().filter(|one| !one.is_whitespace()).collect();
    let present = now.0.div_euclid(Timestamp::SECOND).div_euclid(STEP_SECONDS);
    let mut found = None;
    for step in present - DRIFT..=present + DRIFT {
        if code(secret, step).as_bytes().ct_eq(typed.as_bytes()).into() {
            found = Some(step);
        }
    }
    found
}

/// The code at a time.
#[cfg(test)]
pub(super) fn code_at(secret: &[u8], now: Timestamp) -> String {
    code(
        secret,
        now.0.div_euclid(Timestamp::SECOND).div_euclid(STEP_SECONDS),
    )
}

fn key(key: &[u8; 32], salt: &[u8], whose: &str) -> PayloadKey {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in [b"magewarden totp v1", salt, whose.as_bytes()] {
        mac.update(part);
    }
    PayloadKey::new(mac.finalize().into_bytes().into())
}

/// Seals a secret for `whose`.
pub(super) fn seal(
    installation: &[u8; 32],
    whose: &str,
    secret: &[u8],
) -> Result<String, PeopleError> {
    let salt = random::<SALT_BYTES>()?;
    let key = key(installation, &salt, whose);
    let (_, sealed) = seal_payload(&key, Sequence(0), secret).map_err(|_| PeopleError::Sealed)?;
    Ok(hex(&[&salt[..], &sealed].concat()))
}

/// Opens a secret of `whose`.
pub(super) fn open(
    installation: &[u8; 32],
    whose: &str,
    sealed: &str,
) -> Result<Vec<u8>, PeopleError> {
    let stored = bytes(sealed).ok_or(PeopleError::Sealed)?;
    let (salt, stored) = stored
        .split_at_checked(SALT_BYTES)
        .ok_or(PeopleError::Sealed)?;
    let opened = open_payload(&key(installation, salt, whose), Sequence(0), stored);
    let opened = opened.map_err(|_| PeopleError::Sealed)?;
    let secret = opened.get(PAYLOAD_SALT_BYTES..);
    Ok(secret.ok_or(PeopleError::Sealed)?.to_vec())
}

/// A secret as people type it: base32 (RFC 4648), without padding.
pub(super) fn base32(secret: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let five = |chunk: &[u8]| {
        let mut bits = [0; 8];
        for (to, from) in bits.iter_mut().skip(3).zip(chunk) {
            *to = *from;
        }
        let bits = u64::from_be_bytes(bits);
        let letters = (chunk.len() * 8).div_ceil(5);
        (0..letters)
            .filter_map(|at| usize::try_from(bits >> (35 - 5 * at) & 31).ok())
            .map(|letter| char::from(LETTERS[letter]))
            .collect::<String>()
    };
    secret.chunks(5).map(five).collect()
}

/// The address an authenticator reads (Google's key URI format).
pub(super) fn uri(secret: &[u8], account: &str) -> String {
    let account = account.replace('+', "%2B").replace('@', "%40");
    format!(
        "otpauth://totp/magewarden:{account}?secret={}&issuer=magewarden&algorithm=SHA1&digits=6&period=30",
        base32(secret)
    )
}

#[cfg(test)]
mod tests {
    use super::{base32, code, code_at, open, seal, step_of, uri};
    use model::Timestamp;

    /// RFC 6238, appendix B, for SHA-1; its codes have eight digits, ours their last six.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = b"12345678901234567890";
        for (seconds, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(
                code_at(secret, Timestamp::from_seconds(seconds)),
                expected.split_at(2).1
            );
        }
    }

    #[test]
    fn a_code_is_taken_a_step_early_or_late_and_no_more() {
        let (secret, now) = ([3; 20], Timestamp::from_seconds(30 * 1000 + 15));
        for step in 995..=1005 {
            let typed = code(&secret, step);
            let taken = step_of(&secret, &typed, now);
            assert_eq!(taken, (999..=1001).contains(&step).then_some(step));
        }
        let typed = code(&secret, 1000);
        let (left, right) = typed.split_at(3);
        assert_eq!(
            step_of(&secret, &format!(" {left} {right}"), now),
            Some(1000)
        );
        for wrong in ["", "0", "1234567", "١٢٣٤٥٦"] {
            assert_eq!(step_of(&secret, wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn a_sealed_secret_opens_for_whom_it_was_sealed_alone() {
        let (key, secret) = ([1; 32], [9; 20]);
        let sealed = seal(&key, "anna", &secret).expect("sealed");
        assert!(!sealed.contains(&"09".repeat(20)));
        assert_eq!(open(&key, "anna", &sealed).expect("opened"), secret);
        assert_ne!(sealed, seal(&key, "anna", &secret).expect("sealed"));
        assert!(open(&key, "bob", &sealed).is_err());
        assert!(open(&[2; 32], "anna", &sealed).is_err());
        for broken in ["", "00", "zz", "ä", sealed.split_at(2).1] {
            assert!(open(&key, "anna", broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_secret_is_shown_in_base_32() {
        // RFC 4648 §10.
        for (plain, expected) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(plain.as_bytes()), expected);
        }
        assert_eq!(
            uri(b"foobar", "a+b@example.test"),
            "otpauth://totp/magewarden:a%2Bb%40example.test?secret=MZXW6YTBOI&issuer=magewarden&algorithm=SHA1&digits=6&period=30"
        );
    }
}

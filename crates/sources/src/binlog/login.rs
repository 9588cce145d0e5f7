//! The log-in to MariaDB and MySQL, as bytes; pure. Two ways of proving a password, and the operating system's word.
//!
//! Follows the documentation of the client/server protocol (version 10). What isn't here – MariaDB's ed25519, RSA without
//! TLS – is refused by name.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::bytes::{Bytes, text};

/// Long password and flag, protocol 4.1, transactions, secure connection, plugins.
const CAPABILITIES: u32 = 0x0001 | 0x0004 | 0x0200 | 0x2000 | 0x8000 | 0x0008_0000;
/// Speaks TLS.
pub(super) const TLS: u32 = 0x0800;
/// Largest packet that is asked for.
const PACKET_BYTES: u32 = 1 << 30;
/// `utf8mb4`.
const CHARSET: u8 = 45;

/// What a server says first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) capabilities: u32,
    pub(super) salt: Vec<u8>,
    pub(super) way: String,
}

/// Reads the server's first packet.
pub(super) fn greeting(packet: &[u8]) -> Option<Greeting> {
    let mut bytes = Bytes(packet);
    if bytes.byte()? != 10 {
        return None;
    }
    let version = text(bytes.until_zero()?);
    bytes.take(4)?;
    let mut salt = bytes.take(8)?.to_vec();
    bytes.take(1)?;
    let low = bytes.number(2)?;
    bytes.take(3)?;
    let high = bytes.number(2)?;
    bytes.take(11)?;
    salt.extend_from_slice(bytes.take(12)?);
    bytes.take(1)?;
    let way = bytes.until_zero().unwrap_or(bytes.0);
    Some(Greeting {
        version,
        capabilities: u32::try_from(high << 16 | low).ok()?,
        salt,
        way: text(way),
    })
}

/// Asks for TLS.
pub(super) fn wants_tls() -> Vec<u8> {
    head(CAPABILITIES | TLS)
}

fn head(capabilities: u32) -> Vec<u8> {
    let mut packet = capabilities.to_le_bytes().to_vec();
    packet.extend_from_slice(&PACKET_BYTES.to_le_bytes());
    packet.push(CHARSET);
    packet.extend_from_slice(&[0; 23]);
    packet
}

/// Names the account, and proves it as the server asked.
pub(super) fn answer(user: &str, way: &str, proof: &[u8], is_tls: bool) -> Vec<u8> {
    let mut packet = head(CAPABILITIES | if is_tls { TLS } else { 0 });
    packet.extend_from_slice(user.as_bytes());
    packet.push(0);
    // No proof is longer than 32 bytes: a password itself is only sent when it is asked for again.
    packet.push(u8::try_from(proof.len()).unwrap_or(0));
    packet.extend_from_slice(proof);
    packet.extend_from_slice(way.as_bytes());
    packet.push(0);
    packet
}

/// Proves a password; `None` for a way that isn't known.
pub(super) fn proof(way: &str, password: &[u8], salt: &[u8]) -> Option<Vec<u8>> {
    let salt = salt.get(..20).unwrap_or(salt);
    let mix = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a ^ b).collect();
    match way {
        "mysql_native_password" | "caching_sha2_password" if password.is_empty() => {
            Some(Vec::new())
        }
        "mysql_native_password" => {
            let once = Sha1::digest(password);
            let mut both = Sha1::new();
            both.update(salt);
            both.update(Sha1::digest(once));
            Some(mix(&once, &both.finalize()))
        }
        "caching_sha2_password" => {
            let once = Sha256::digest(password);
            let mut both = Sha256::new();
            both.update(Sha256::digest(once));
            both.update(salt);
            Some(mix(&once, &both.finalize()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Greeting, answer, greeting, proof};

    #[test]
    fn proves_a_password_in_both_ways() {
        let salt: Vec<u8> = (1..=20).collect();
        for (way, length) in [("mysql_native_password", 20), ("caching_sha2_password", 32)] {
            let made = proof(way, b"a word", &salt).expect("a known way");
            assert_eq!(made.len(), length);
            assert_ne!(Some(made), proof(way, b"another", &salt));
            assert_eq!(proof(way, b"", &salt), Some(Vec::new()));
        }
        assert_eq!(proof("client_ed25519", b"a word", &salt), None);
    }

    #[test]
    fn reads_a_greeting_and_nothing_shorter() {
        let mut packet =
            b"\x0a5.5.5-10.11\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15".to_vec();
        packet.extend_from_slice(&[0; 10]);
        packet.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
        let expected = Greeting {
            version: "5.5.5-10.11".to_owned(),
            capabilities: 0x81ff_f7fe,
            salt: b"abcdefghijklmnopqrst".to_vec(),
            way: "mysql_native_password".to_owned(),
        };
        assert_eq!(greeting(&packet), Some(expected));
        for end in 0..56 {
            let cut = packet.get(..end).expect("shorter");
            assert!(end >= 54 || greeting(cut).is_none(), "{end}");
        }
        assert_eq!(
            answer("u", "w", b"p", false).get(32..),
            Some(&b"u\0\x01pw\0"[..])
        );
    }
}

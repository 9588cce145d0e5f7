//! Payloads: encrypted apart from the leaf, so that one can be destroyed while every proof holds.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use model::Sequence;
use sha2::{Digest, Sha256};

use crate::Hash;

/// Bytes of salt in front of a payload.
const SALT_BYTES: usize = 16;

/// The key of one source's payloads of one day. Never printed.
pub struct PayloadKey {
    cipher: ChaCha20Poly1305,
    salt_key: [u8; 32],
}

/// The payload can't be opened: another key, or changed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload can't be opened with this key")]
pub struct PayloadError;

impl PayloadKey {
    /// Takes 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let salt_key = Sha256::new()
            .chain_update(b"magewarden salt v1")
            .chain_update(bytes)
            .finalize()
            .into();
        Self {
            cipher: ChaCha20Poly1305::new(&Key::from(bytes)),
            salt_key,
        }
    }

    fn salt(&self, sequence: Sequence) -> [u8; SALT_BYTES] {
        let full: Hash = Sha256::new()
            .chain_update(self.salt_key)
            .chain_update(sequence.0.to_be_bytes())
            .finalize()
            .into();
        let mut salt = [0; SALT_BYTES];
        for (to, from) in salt.iter_mut().zip(full) {
            *to = from;
        }
        salt
    }
}

fn nonce(sequence: Sequence) -> Nonce {
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().skip(4).zip(sequence.0.to_be_bytes()) {
        *to = from;
    }
    Nonce::from(nonce)
}

/// SHA-256 over salt and payload: what the leaf commits to. `salted` is salt and payload in one.
#[must_use]
pub fn payload_hash(salted: &[u8]) -> Hash {
    Sha256::digest(salted).into()
}

/// Salts and encrypts a payload; gives what the leaf commits to, and the bytes to store.
///
/// A salt that is given is kept (a payload written again under a new key keeps its commitment).
///
/// # Errors
///
/// [`PayloadError`] when the payload is longer than the cipher takes (256 GiB).
pub fn seal_payload(
    key: &PayloadKey,
    sequence: Sequence,
    payload: &[u8],
) -> Result<(Hash, Vec<u8>), PayloadError> {
    let mut salted = Vec::with_capacity(SALT_BYTES + payload.len());
    salted.extend_from_slice(&key.salt(sequence));
    salted.extend_from_slice(payload);
    let hash = payload_hash(&salted);
    Ok((hash, reseal(key, sequence, &salted)?))
}

/// Encrypts what [`open_payload`] gave under another key.
///
/// # Errors
///
/// As [`seal_payload`].
pub(crate) fn reseal(
    key: &PayloadKey,
    sequence: Sequence,
    salted: &[u8],
) -> Result<Vec<u8>, PayloadError> {
    key.cipher
        .encrypt(&nonce(sequence), salted)
        .map_err(|_| PayloadError)
}

/// Decrypts to salt and payload, which [`payload_hash`] checks against the leaf; the payload starts at byte 16.
///
/// # Errors
///
/// [`PayloadError`] when key or bytes aren't the right ones.
pub fn open_payload(
    key: &PayloadKey,
    sequence: Sequence,
    stored: &[u8],
) -> Result<Vec<u8>, PayloadError> {
    key.cipher
        .decrypt(&nonce(sequence), stored)
        .map_err(|_| PayloadError)
}

impl PayloadKey {
    /// Encrypts salt and payload, as [`open_payload`] gave them, under this key: the commitment stays.
    ///
    /// # Errors
    ///
    /// As [`seal_payload`].
    pub fn reseal(&self, sequence: Sequence, salted: &[u8]) -> Result<Vec<u8>, PayloadError> {
        reseal(self, sequence, salted)
    }
}

#[cfg(test)]
mod tests {
    use super::{PayloadKey, open_payload, payload_hash, seal_payload};
    use model::Sequence;

    #[test]
    fn a_payload_opens_with_its_key_and_no_other_and_keeps_its_commitment() {
        let (key, other) = (PayloadKey::new([1; 32]), PayloadKey::new([2; 32]));
        let (hash, stored) = seal_payload(&key, Sequence(5), b"hello").expect("sealed");
        let salted = open_payload(&key, Sequence(5), &stored).expect("opened");
        assert_eq!(&salted[16..], b"hello");
        assert_eq!(payload_hash(&salted), hash);
        assert!(open_payload(&other, Sequence(5), &stored).is_err());
        assert!(open_payload(&key, Sequence(6), &stored).is_err());
        let again = other.reseal(Sequence(5), &salted).expect("sealed again");
        assert_eq!(
            payload_hash(&open_payload(&other, Sequence(5), &again).expect("opened")),
            hash
        );
    }
}

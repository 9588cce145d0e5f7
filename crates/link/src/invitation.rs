//! The one word that lets a host in: a secret, and the fingerprint of the only authority that the host is to trust.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::{LinkError, hex};

const VERSION: u8 = 1;
const SECRET_BYTES: usize = 16;

/// An invitation. Its secret is in no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// SHA-256 over the certificate of the authority.
    pub authority: [u8; 32],
    secret: [u8; SECRET_BYTES],
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Invitation({})", hex(&self.authority))
    }
}

/// Why a word isn't one. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the word is no invitation: it is cut short, or has a letter too many")]
pub struct InvitationError;

impl Invitation {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the host gives no random bytes.
    pub fn make(authority: [u8; 32]) -> Result<Self, LinkError> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|source| LinkError::Random { source })?;
        Ok(Self { authority, secret })
    }

    /// The word. It ends with four bytes of a hash over the rest, so that a slip is seen where it is typed.
    #[must_use]
    pub fn word(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.authority);
        bytes.extend(self.secret);
        bytes.extend(check(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a word.
    ///
    /// # Errors
    ///
    /// [`InvitationError`] when it is none.
    pub fn read(word: &str) -> Result<Self, InvitationError> {
        let bytes = URL_SAFE_NO_PAD.decode(word.trim());
        let bytes = bytes.map_err(|_| InvitationError)?;
        let (rest, sum) = bytes.split_last_chunk::<4>().ok_or(InvitationError)?;
        if *sum != check(rest) || rest.len() != 1 + 32 + SECRET_BYTES {
            return Err(InvitationError);
        }
        let (version, rest) = rest.split_first().ok_or(InvitationError)?;
        let (authority, secret) = rest.split_first_chunk().ok_or(InvitationError)?;
        let secret = secret.try_into().map_err(|_| InvitationError)?;
        match *version {
            VERSION => Ok(Self {
                authority: *authority,
                secret,
            }),
            _ => Err(InvitationError),
        }
    }

    /// The secret as it is sent, hexadecimal.
    #[must_use]
    pub fn secret(&self) -> String {
        hex(&self.secret)
    }

    /// What the server keeps of a secret that is sent: a hash, hexadecimal.
    #[must_use]
    pub fn hash(secret: &str) -> String {
        let message = [b"magewarden invitation 1\n", secret.as_bytes()].concat();
        hex(&Sha256::digest(message))
    }
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::{Invitation, InvitationError};
    use proptest::prelude::*;

    #[test]
    fn a_word_is_read_back_and_shows_no_secret() {
        let made = Invitation::make([7; 32]).expect("random bytes");
        assert_eq!(Invitation::read(&made.word()), Ok(made.clone()));
        assert_eq!(
            Invitation::read(&format!(" {}\n", made.word())),
            Ok(made.clone())
        );
        assert!(!format!("{made:?}").contains(&made.secret()));
        assert_ne!(
            Invitation::make([7; 32]).expect("random").word(),
            made.word()
        );
    }

    proptest! {
        #[test]
        fn a_word_with_a_slip_is_none(at in 0..70_usize, letter in "[A-Za-z0-9_-]") {
            let made = Invitation::make([7; 32]).expect("random bytes");
            let mut word = made.word().into_bytes();
            let at = at % word.len();
            let before = word[at];
            word[at] = letter.as_bytes()[0];
            let read = Invitation::read(&String::from_utf8(word.clone()).expect("ASCII"));
            // The last letter may have bits that are nobody's; then it isn't read at all.
            prop_assert!(word[at] == before || read == Err(InvitationError));
        }

        #[test]
        fn anything_else_is_none(word in ".{0,90}") {
            prop_assert_eq!(Invitation::read(&word), Err(InvitationError));
        }
    }
}

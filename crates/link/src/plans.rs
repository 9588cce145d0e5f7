//! Signing what a host is to do, and verifying it there: Ed25519, by a key that signs nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use model::{Instruction, ORDER_VERSION, Signed};

use crate::LinkError;

/// Longest text of an instruction that is read, in bytes; a plan of 500 steps is far below.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// Signs plans.
pub struct Plans(SigningKey);

impl Plans {
    /// Bytes of a key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(key))
    }

    /// Bytes for a key that is made.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the host gives no random bytes.
    pub fn fresh() -> Result<[u8; 32], LinkError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|source| LinkError::Random { source })?;
        Ok(key)
    }

    /// What verifies its signatures: 32 bytes.
    #[must_use]
    pub fn verifying(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs an instruction.
    ///
    /// # Panics
    ///
    /// Never: an instruction is JSON.
    #[must_use]
    pub fn sign(&self, instruction: &Instruction) -> Signed {
        let text = serde_json::to_string(instruction).expect("plain values are JSON");
        let signature = self.0.sign(&Signed::message(&text));
        Signed {
            signature: STANDARD.encode(signature.to_bytes()),
            text,
        }
    }
}

/// Why something signed isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature isn't the server's over this text.
    #[error("it isn't signed by the key that this host was enrolled with")]
    Forged,
    /// The text is no instruction that this version knows.
    #[error("it is signed and no instruction that this version of magewarden knows")]
    Unknown,
}

/// Verifies plans.
#[derive(Clone, Debug)]
pub struct Verifier(VerifyingKey);

impl Verifier {
    /// Of a key, 32 bytes.
    ///
    /// # Errors
    ///
    /// [`LinkError::Kept`] when it is none.
    pub fn new(key: &[u8]) -> Result<Self, LinkError> {
        let what = "key that verifies plans";
        let bytes = key.try_into().map_err(|_| LinkError::Kept { what })?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| LinkError::Kept { what })?;
        // Under a weak key a signature holds over texts that nobody signed.
        if key.is_weak() {
            return Err(LinkError::Kept { what });
        }
        Ok(Self(key))
    }

    /// The instruction that was signed; nothing of the text is read before its signature holds.
    ///
    /// # Errors
    ///
    /// [`SignatureError`].
    pub fn open(&self, signed: &Signed) -> Result<Instruction, SignatureError> {
        if signed.text.len() > TEXT_BYTES_MAX {
            return Err(SignatureError::Unknown);
        }
        let signature = STANDARD.decode(&signed.signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        let signature = signature.ok_or(SignatureError::Forged)?;
        self.0
            .verify_strict(&Signed::message(&signed.text), &signature)
            .map_err(|_| SignatureError::Forged)?;
        serde_json::from_str(&signed.text)
            .ok()
            .filter(|one: &Instruction| one.v == ORDER_VERSION)
            .ok_or(SignatureError::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::{Plans, SignatureError, Verifier};
    use model::{Instructed, Instruction, Signed, Timestamp, Word};
    use proptest::prelude::*;

    fn instruction() -> Instruction {
        Instruction {
            v: 1,
            installation: "shop".to_owned(),
            host: "web1".to_owned(),
            run: "run-1".to_owned(),
            order: "order-1".to_owned(),
            by: vec![],
            at: Timestamp(1),
            until: Timestamp(2),
            what: Instructed::Say {
                seen: 3,
                word: Word::Undo,
                note: "false alarm".to_owned(),
            },
        }
    }

    fn pair() -> (Plans, Verifier) {
        let plans = Plans::new(&[9; 32]);
        let verifier = Verifier::new(&plans.verifying()).expect("a key");
        (plans, verifier)
    }

    #[test]
    fn what_was_signed_is_read_and_by_no_other_key() {
        let (plans, verifier) = pair();
        let signed = plans.sign(&instruction());
        assert_eq!(verifier.open(&signed), Ok(instruction()));
        let other = Plans::new(&[8; 32]).sign(&instruction());
        assert_eq!(verifier.open(&other), Err(SignatureError::Forged));
    }

    #[test]
    fn what_is_signed_without_being_an_instruction_is_unknown() {
        let (plans, verifier) = pair();
        let later = Instruction {
            v: 2,
            ..instruction()
        };
        assert_eq!(
            verifier.open(&plans.sign(&later)),
            Err(SignatureError::Unknown)
        );
    }

    #[test]
    fn weak_and_broken_keys_are_none() {
        let mut identity = [0; 32];
        identity[0] = 1;
        for key in [&identity[..], &[0; 32], &[7; 31], b""] {
            assert!(Verifier::new(key).is_err(), "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn one_changed_byte_is_a_forgery(at in any::<prop::sample::Index>(), to in any::<char>(), in_signature in any::<bool>()) {
            let (plans, verifier) = pair();
            let signed = plans.sign(&instruction());
            let mut bent = signed.clone();
            let text = if in_signature { &mut bent.signature } else { &mut bent.text };
            let mut letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len());
            letters[at] = to;
            *text = letters.into_iter().collect();
            prop_assert!(bent == signed || verifier.open(&bent) == Err(SignatureError::Forged));
        }

        #[test]
        fn whatever_comes_is_no_panic(text in ".{0,200}", signature in "[A-Za-z0-9+/=]{0,100}") {
            let (_, verifier) = pair();
            prop_assert_eq!(verifier.open(&Signed { text, signature }), Err(SignatureError::Forged));
        }
    }
}

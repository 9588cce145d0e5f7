//! Checkpoints: C2SP tlog-checkpoint in a C2SP signed note, Ed25519.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::Hash;

/// Signature type of Ed25519 in a note's key id (C2SP signed-note).
const ED25519: u8 = 1;

/// A ledger's head: its size and root, under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's name (origin line).
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// Why a checkpoint is not to be trusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It isn't a note.
    #[error("this is no checkpoint")]
    Format,
    /// No signature of the expected key.
    #[error("the checkpoint bears no signature of key `{name}`")]
    Unsigned {
        /// Name of the key.
        name: String,
    },
    /// The signature doesn't hold.
    #[error("the checkpoint's signature by `{name}` does not hold")]
    Forged {
        /// Name of the key.
        name: String,
    },
    /// The verifier key can't be read.
    #[error("the verifier key can't be read: want name+id+base64")]
    Key,
}

fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let hash: Hash = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update([ED25519])
        .chain_update(public)
        .finalize()
        .into();
    [hash[0], hash[1], hash[2], hash[3]]
}

impl Checkpoint {
    fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root)
        )
    }
}

/// Signs checkpoints.
pub struct Signer {
    name: String,
    key: SigningKey,
}

impl Signer {
    /// Takes the key's name (no blanks, no `+`) and 32 secret bytes.
    #[must_use]
    pub fn new(name: &str, secret: [u8; 32]) -> Self {
        Self {
            name: name.replace([' ', '+', '\n'], "_"),
            key: SigningKey::from_bytes(&secret),
        }
    }

    /// The key others verify with.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier {
            name: self.name.clone(),
            key: self.key.verifying_key(),
        }
    }

    /// Writes a signed note.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let body = checkpoint.body();
        let signature = self.key.sign(body.as_bytes());
        let mut bytes = key_id(&self.name, self.key.verifying_key().as_bytes()).to_vec();
        bytes.extend_from_slice(&signature.to_bytes());
        format!(
            "{body}\n\u{2014} {} {}\n",
            self.name,
            STANDARD.encode(bytes)
        )
    }
}

/// Verifies checkpoints.
#[derive(Clone, Debug)]
pub struct Verifier {
    name: String,
    key: VerifyingKey,
}

impl Verifier {
    /// The key's name: the origin of the checkpoints it verifies.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes `name+id+base64(type ‖ key)` (C2SP signed-note verifier key).
    #[must_use]
    pub fn encode(&self) -> String {
        let id: String = key_id(&self.name, self.key.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_bytes());
        format!("{}+{id}+{}", self.name, STANDARD.encode(bytes))
    }

    /// Reads a verifier key.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Key`] when it is none.
    pub fn decode(text: &str) -> Result<Self, CheckpointError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CheckpointError::Key);
        };
        let bytes = STANDARD.decode(key).map_err(|_| CheckpointError::Key)?;
        let key = bytes
            .strip_prefix(&[ED25519])
            .and_then(|key| <[u8; 32]>::try_from(key).ok())
            .ok_or(CheckpointError::Key)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| CheckpointError::Key)?;
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }

    /// Reads a note and checks its signature.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when it is no note, or not signed by this key.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let (body, signatures) = note.split_once("\n\n").ok_or(CheckpointError::Format)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Format);
        };
        let size: u64 = size.parse().map_err(|_| CheckpointError::Format)?;
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|root| root.try_into().ok())
            .ok_or(CheckpointError::Format)?;
        let unsigned = || CheckpointError::Unsigned {
            name: self.name.clone(),
        };
        let prefix = format!("\u{2014} {} ", self.name);
        let encoded = signatures
            .lines()
            .find_map(|line| line.strip_prefix(prefix.as_str()))
            .ok_or_else(unsigned)?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| CheckpointError::Format)?;
        let (id, signature) = bytes
            .split_first_chunk::<4>()
            .ok_or(CheckpointError::Format)?;
        if *id != key_id(&self.name, self.key.as_bytes()) {
            return Err(unsigned());
        }
        let signature = Signature::from_slice(signature).map_err(|_| CheckpointError::Format)?;
        self.key
            .verify_strict(format!("{body}\n").as_bytes(), &signature)
            .map_err(|_| CheckpointError::Forged {
                name: self.name.clone(),
            })?;
        Ok(Checkpoint {
            origin: origin.to_owned(),
            size,
            root,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, CheckpointError, Signer, Verifier};

    #[test]
    fn a_note_verifies_with_its_key_and_not_when_changed() {
        let signer = Signer::new("magewarden/shop", [7; 32]);
        let checkpoint = Checkpoint {
            origin: "magewarden/shop".to_owned(),
            size: 42,
            root: [3; 32],
        };
        let note = signer.sign(&checkpoint);
        let verifier = Verifier::decode(&signer.verifier().encode()).expect("a key");
        assert_eq!(verifier.verify(&note), Ok(checkpoint));
        assert_eq!(
            verifier.verify(&note.replace("\n42\n", "\n43\n")),
            Err(CheckpointError::Forged {
                name: "magewarden/shop".to_owned()
            })
        );
        assert!(
            Signer::new("magewarden/shop", [8; 32])
                .verifier()
                .verify(&note)
                .is_err()
        );
    }
}

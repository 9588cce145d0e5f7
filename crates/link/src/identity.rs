//! What a host is after it enrolled: its key, its certificate, and whom it trusts.

use model::Timestamp;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::wire::{Certified, LINK_VERSION};
use crate::{LinkError, Verifier, hex, key_of};

/// A host's key. It is shown nowhere and sent nowhere.
pub struct HostKey(KeyPair);

impl HostKey {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the host gives no random bytes.
    pub fn make() -> Result<Self, LinkError> {
        let what = "make a key";
        let key = KeyPair::generate_for(&PKCS_ED25519);
        let key = key.map_err(|source| LinkError::Certificate { what, source })?;
        Ok(Self(key))
    }

    /// A request for a certificate for it (PKCS #10, DER).
    ///
    /// # Errors
    ///
    /// [`LinkError`] when it can't be signed.
    pub fn request(&self) -> Result<Vec<u8>, LinkError> {
        let what = "ask for a certificate";
        let request = CertificateParams::default().serialize_request(&self.0);
        let request = request.map_err(|source| LinkError::Certificate { what, source })?;
        Ok(request.der().to_vec())
    }

    /// As it is kept (PKCS #8, DER).
    #[must_use]
    pub fn to_keep(&self) -> Vec<u8> {
        self.0.serialize_der()
    }
}

/// All that a host keeps of its enrolment; it holds the key, so the file is its owner's alone.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// [`LINK_VERSION`].
    pub v: u32,
    /// Where the server is reached, `https://HOST:PORT`.
    pub server: String,
    /// The name the server knows this host by.
    pub name: String,
    /// The installation.
    pub installation: String,
    /// The authority's certificate (DER): nobody else is trusted.
    #[serde(with = "crate::base64_bytes")]
    pub authority: Vec<u8>,
    /// What verifies plans: an Ed25519 key, 32 bytes.
    #[serde(with = "crate::base64_bytes")]
    pub plans: Vec<u8>,
    /// The key (PKCS #8, DER).
    #[serde(with = "crate::base64_bytes")]
    pub(crate) key: Vec<u8>,
    /// The certificate.
    #[serde(flatten)]
    pub certificate: Certified,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Identity({} at {})", self.name, self.server)
    }
}

impl Identity {
    /// Of an enrolment that was answered.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when what verifies plans is no key.
    pub fn new(
        server: &str,
        authority: &[u8],
        key: &HostKey,
        enrolled: crate::wire::Enrolled,
    ) -> Result<Self, LinkError> {
        let identity = Self {
            v: LINK_VERSION,
            server: server.to_owned(),
            name: enrolled.name,
            installation: enrolled.installation,
            authority: authority.to_vec(),
            plans: enrolled.plans,
            key: key.to_keep(),
            certificate: enrolled.certificate,
        };
        identity.verifier()?;
        identity.is_whole()?;
        Ok(identity)
    }

    /// Whether key and certificate belong together: what can't be used for TLS is said here, not in the middle of a call.
    ///
    /// # Errors
    ///
    /// [`LinkError::Kept`] when they don't.
    pub(crate) fn is_whole(&self) -> Result<(), LinkError> {
        let what = "key with its certificate";
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(self.key.as_slice()),
            &PKCS_ED25519,
        );
        let key = key.map_err(|_| LinkError::Kept { what })?;
        let own = hex(&Sha256::digest(key.subject_public_key_info()));
        match key_of(&self.certificate.certificate.as_slice().into()) {
            Some(certified) if certified == own => Ok(()),
            _ => Err(LinkError::Kept { what }),
        }
    }

    /// What verifies plans.
    ///
    /// # Errors
    ///
    /// [`LinkError::Kept`] when it is no key.
    pub fn verifier(&self) -> Result<Verifier, LinkError> {
        Verifier::new(&self.plans)
    }

    /// The same host with its next certificate.
    #[must_use]
    pub fn renewed(&self, certificate: Certified) -> Self {
        Self {
            certificate,
            ..self.clone()
        }
    }

    /// Whether half of the certificate's life is over, so that the next one is to be had.
    #[must_use]
    pub fn is_to_renew(&self, now: Timestamp) -> bool {
        let Certified { since, until, .. } = &self.certificate;
        let half = until.0.saturating_sub(since.0) / 2;
        now.0 >= since.0.saturating_add(half)
    }

    /// Whether the certificate is over by this host's clock, so that nothing but a new invitation helps.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.certificate.until
    }
}

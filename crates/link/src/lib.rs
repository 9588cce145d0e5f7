//! What a shop's host and the server say to each other by: certificates of one authority, signatures of plans, calls.
//!
//! Apart, since it is all that either side trusts the other for. It decides nothing: who may come in is the server's list, and
//! what is done on a host is that host's policy. Invariant: the host's key never leaves it, the authority's never leaves the server.

mod authority;
mod client;
mod identity;
mod invitation;
mod plans;
pub mod records;
pub mod wire;

pub use rustls::pki_types::CertificateDer;

pub use authority::{Authority, CERTIFICATE_LIFE, Request, key_of};
pub use client::{CallError, Client, authority_of};
pub use identity::{HostKey, Identity};
pub use invitation::{Invitation, InvitationError};
pub use plans::{Plans, SignatureError, Verifier};

/// Why a key or a certificate can't be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The host has no random bytes.
    #[error("the host gives no random bytes")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
    /// What was kept is no key or no certificate of ours; an operator puts back what was there.
    #[error("what is kept is no {what}")]
    Kept {
        /// What it should be.
        what: &'static str,
    },
    /// A certificate can't be made, or what asks for one is no request.
    #[error("can't {what}")]
    Certificate {
        /// What was tried.
        what: &'static str,
        /// What the maker of certificates said.
        source: rcgen::Error,
    },
    /// Certificate and key can't be used for TLS.
    #[error("certificate and key can't be used for TLS")]
    Tls {
        /// What rustls said.
        source: rustls::Error,
    },
}

/// A SHA-256 in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes in base64, as files and bodies have them.
mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

//! Signatures of XML, by the public keys of a provider's certificates and by `xmlsec1`, a program of its own.
//!
//! Why not in this process: there is nothing in Rust alone to trust with it, and no room for libxml2 and OpenSSL in a static
//! program (`docs/decisions/0010-saml-checked-by-xmlsec1.md`).

mod certificate;
mod program;

use std::path::Path;

use crate::ProviderError;
use program::{Fault, Program};

/// Where Debian has the program.
pub const XMLSEC1: &str = "/usr/bin/xmlsec1";

/// What checks the signatures of one provider.
pub struct Signatures {
    keys: Vec<String>,
    program: Program,
}

impl Signatures {
    /// Takes a provider's signing certificates (PEM) – one, or two while it changes – and finds the program.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Setting`], [`ProviderError::Program`].
    pub fn new(certificates: &[Vec<u8>], program: &Path) -> Result<Self, ProviderError> {
        let keys = certificate::keys(certificates);
        let keys = keys.map_err(|what| ProviderError::Setting { what })?;
        let program = Program::find(program).map_err(|fault| said(&fault))?;
        Ok(Self { keys, program })
    }

    /// What an element of a document was signed as, by one of the keys: the bytes that were digested. Nothing when its
    /// signature is none of theirs. `element` is its name behind its namespace and a colon, `id` its attribute `ID`. Takes
    /// up to ten seconds a key.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Program`] when that can't be told.
    pub fn digested(
        &self,
        document: &str,
        element: &str,
        id: &str,
    ) -> Result<Option<String>, ProviderError> {
        for key in &self.keys {
            let digested = self.program.digested(document, element, id, key);
            if let Some(digested) = digested.map_err(|fault| said(&fault))? {
                return Ok(Some(digested));
            }
        }
        Ok(None)
    }
}

fn said(fault: &Fault) -> ProviderError {
    ProviderError::Program {
        cause: fault.to_string(),
    }
}

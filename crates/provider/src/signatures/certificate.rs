//! The provider's signing certificates, as the settings have them: of each the public key alone counts.
//!
//! They are named by whoever runs this, so neither who signed them nor their dates are looked at, as SAML's own metadata
//! has it (SAML V2.0 Metadata Interoperability Profile §2.6.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;
use x509_parser::public_key::PublicKey;

/// Shortest modulus of RSA, in bits.
const RSA_BITS_MIN: usize = 2048;
/// Shortest key of ECDSA, in bits.
const EC_BITS_MIN: usize = 256;

/// Public keys (PEM) of one or two certificates (PEM).
pub(super) fn keys(certificates: &[Vec<u8>]) -> Result<Vec<String>, &'static str> {
    let mut keys = Vec::new();
    for pem in certificates
        .iter()
        .flat_map(|file| Pem::iter_from_buffer(file))
    {
        let pem = pem.map_err(|_| "a signing certificate can't be read (PEM)")?;
        if pem.label != "CERTIFICATE" {
            return Err("a file of signing certificates holds something else");
        }
        let certificate = pem.parse_x509();
        let certificate = certificate.map_err(|_| "a signing certificate can't be read (X.509)")?;
        let key = certificate.public_key();
        let is_strong = match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => rsa.key_size() >= RSA_BITS_MIN,
            Ok(PublicKey::EC(point)) => point.key_size() >= EC_BITS_MIN,
            _ => false,
        };
        if !is_strong {
            return Err(
                "a signing certificate's key is neither RSA of 2048 bits nor ECDSA of 256, or more",
            );
        }
        keys.push(written(key.raw));
    }
    if (1..=2).contains(&keys.len()) {
        return Ok(keys);
    }
    Err("a provider has one signing certificate, or two while it changes")
}

/// A key's DER as PEM (RFC 7468).
fn written(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn a_signing_certificate_is_strong_and_there_are_two_at_most() {
        let good = include_bytes!("example.pem").to_vec();
        let weak = include_bytes!("example_weak.pem").to_vec();
        let told = |all: &[Vec<u8>]| keys(all).map(|keys| keys.len());
        assert_eq!(told(std::slice::from_ref(&good)), Ok(1));
        assert_eq!(told(&[good.clone(), good.clone()]), Ok(2));
        assert!(told(&[good.clone(), good.clone(), good]).is_err());
        assert!(told(&[weak]).is_err_and(|why| why.contains("2048")));
        assert!(told(&[]).is_err());
        let key = include_bytes!("known_answer.pem").to_vec();
        assert!(told(&[key]).is_err_and(|why| why.contains("something else")));
    }
}

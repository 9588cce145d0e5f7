//! The authority of an installation's agents: it signs one certificate for the server and short ones for hosts, nothing else.
//!
//! Who a host is goes by its key, which the server's list names; what its certificate says of a name is for people who read it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
    SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::wire::Certified;
use crate::{LinkError, hex};

/// How long a host's certificate holds.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long the authority's and the server's hold: the server's key is made anew at each start.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// How far a host's clock may be behind the server's for a fresh certificate to hold there.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// The authority: a key and its own certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// Key and certificate as they are kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    v: u32,
    #[serde(with = "crate::base64_bytes")]
    key: Vec<u8>,
    #[serde(with = "crate::base64_bytes")]
    certificate: Vec<u8>,
}

/// A host's request for a certificate, whose signature proves that it has the key.
pub struct Request(CertificateSigningRequestParams);

impl Request {
    /// Reads one (PKCS #10, DER). What it says but for the key is nobody's.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when it is none, its signature doesn't hold, or its key isn't Ed25519.
    pub fn read(der: &[u8]) -> Result<Self, LinkError> {
        let what = "read the request for a certificate";
        let der = CertificateSigningRequestDer::from(der);
        let read = CertificateSigningRequestParams::from_der(&der);
        let read = read.map_err(|source| LinkError::Certificate { what, source })?;
        if read.public_key.algorithm() != &PKCS_ED25519 {
            return Err(LinkError::Kept {
                what: "request with an Ed25519 key",
            });
        }
        Ok(Self(read))
    }

    /// SHA-256 over its key (SubjectPublicKeyInfo), hexadecimal.
    #[must_use]
    pub fn key(&self) -> String {
        hex(&Sha256::digest(self.0.public_key.subject_public_key_info()))
    }
}

/// SHA-256 over the key that a certificate is for, hexadecimal; none when it can't be read.
#[must_use]
pub fn key_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    Some(hex(&Sha256::digest(
        certificate.subject_public_key_info().as_ref(),
    )))
}

impl Authority {
    /// Makes one, from now on.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the host gives no random bytes.
    pub fn make(now: Timestamp) -> Result<Self, LinkError> {
        let what = "make an authority";
        let fails = |source| LinkError::Certificate { what, source };
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(fails)?;
        let mut params = params("magewarden agents", now)?;
        params.not_after = (time(now) + AUTHORITY_LIFE).into();
        // It signs for hosts and the server, never for another authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).map_err(fails)?.into();
        let issuer = Issuer::new(params, key);
        Ok(Self {
            issuer,
            certificate,
        })
    }

    /// As it is kept: it holds the key.
    ///
    /// # Panics
    ///
    /// Never: it is plain JSON.
    #[must_use]
    pub fn to_keep(&self) -> Vec<u8> {
        serde_json::to_vec(&Kept {
            v: crate::wire::LINK_VERSION,
            key: self.issuer.key().serialize_der(),
            certificate: self.certificate.to_vec(),
        })
        .expect("plain values are JSON")
    }

    /// From what was kept.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when it isn't that.
    pub fn kept(bytes: &[u8]) -> Result<Self, LinkError> {
        let what = "authority of agents";
        let kept: Kept = serde_json::from_slice(bytes).map_err(|_| LinkError::Kept { what })?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(kept.key),
            &PKCS_ED25519,
        );
        let key = key.map_err(|_| LinkError::Kept { what })?;
        let certificate = CertificateDer::from(kept.certificate);
        if key_of(&certificate) != Some(hex(&Sha256::digest(key.subject_public_key_info()))) {
            return Err(LinkError::Kept { what });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key);
        Ok(Self {
            issuer: issuer.map_err(|_| LinkError::Kept { what })?,
            certificate,
        })
    }

    /// Its certificate (DER).
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 over its certificate: what an invitation names.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// A certificate for the key of a host's request, under the name that the server knows it by.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when it can't be signed.
    pub fn certify(
        &self,
        name: &str,
        request: &Request,
        now: Timestamp,
    ) -> Result<Certified, LinkError> {
        self.sign(name, &request.0.public_key, now)
    }

    /// The next certificate for the key of one that holds.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when it can't be read or signed.
    pub fn renew(
        &self,
        name: &str,
        certificate: &CertificateDer<'_>,
        now: Timestamp,
    ) -> Result<Certified, LinkError> {
        let what = "certificate of a host";
        let read = webpki::EndEntityCert::try_from(certificate);
        let read = read.map_err(|_| LinkError::Kept { what })?;
        let key = SubjectPublicKeyInfo::from_der(read.subject_public_key_info().as_ref());
        self.sign(name, &key.map_err(|_| LinkError::Kept { what })?, now)
    }

    fn sign(
        &self,
        name: &str,
        key: &impl PublicKeyData,
        now: Timestamp,
    ) -> Result<Certified, LinkError> {
        let what = "sign a host's certificate";
        let mut params = params(name, now)?;
        let until = time(now) + CERTIFICATE_LIFE;
        params.not_after = until.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(key, &self.issuer);
        let signed = signed.map_err(|source| LinkError::Certificate { what, source })?;
        Ok(Certified {
            certificate: signed.der().to_vec(),
            since: now,
            until: Timestamp(now.0.saturating_add(micros(CERTIFICATE_LIFE))),
        })
    }

    /// TLS of the server's listener, 1.3 alone: a key and certificate of its own for these names or addresses, made now and kept
    /// nowhere. Hosts show their certificates; who shows none can enrol and nothing else.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when a name is none, or the certificate can't be made.
    pub fn server(&self, names: &[String], now: Timestamp) -> Result<ServerConfig, LinkError> {
        let what = "make the server's certificate";
        let fails = |source| LinkError::Certificate { what, source };
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(fails)?;
        let mut params = params("magewarden server", now)?;
        params.not_after = (time(now) + AUTHORITY_LIFE).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(fails)?),
            });
        }
        let signed = params.signed_by(&key, &self.issuer).map_err(fails)?;
        let tls = |source| LinkError::Tls { source };
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(tls)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let hosts = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|_| LinkError::Kept {
                what: "authority of agents",
            })?;
        // A host that enrols knows the authority by its fingerprint, so it is sent along.
        let chain = vec![signed.into(), self.certificate.clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .and_then(|config| {
                let config = config.with_client_cert_verifier(hosts);
                config.with_single_cert(chain, key.into())
            })
            .map_err(tls)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that is taken up again would outlive the certificate it began with.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// What all certificates have in common.
fn params(name: &str, now: Timestamp) -> Result<CertificateParams, LinkError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (time(now) - SKEW).into();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|source| LinkError::Random { source })?;
    // Positive and never zero, at most 20 octets (RFC 5280 §4.1.2.2).
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.0).unwrap_or_default()).max(SKEW)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Authority, Request, key_of};
    use crate::identity::HostKey;
    use model::Timestamp;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    #[test]
    fn what_is_kept_is_the_same_authority() {
        let made = Authority::make(NOW).expect("made");
        let kept = Authority::kept(&made.to_keep()).expect("kept");
        assert_eq!(kept.fingerprint(), made.fingerprint());
        let other = Authority::make(NOW).expect("made");
        assert_ne!(other.fingerprint(), made.fingerprint());
        for bytes in [&b""[..], b"{}", b"[1]", &made.to_keep()[..200]] {
            assert!(Authority::kept(bytes).is_err());
        }
        // Another's certificate beside this key is none of it.
        let (mut mixed, others): (serde_json::Value, serde_json::Value) = (
            serde_json::from_slice(&made.to_keep()).expect("JSON"),
            serde_json::from_slice(&other.to_keep()).expect("JSON"),
        );
        mixed["certificate"] = others["certificate"].clone();
        assert!(Authority::kept(mixed.to_string().as_bytes()).is_err());
    }

    #[test]
    fn a_host_is_known_by_its_key_in_each_of_its_certificates() {
        let authority = Authority::make(NOW).expect("made");
        let key = HostKey::make().expect("a key");
        let request = Request::read(&key.request().expect("a request")).expect("read");
        let first = authority.certify("web1", &request, NOW).expect("signed");
        let first_der = first.certificate.as_slice().into();
        let next = authority.renew("web1", &first_der, NOW).expect("signed");
        assert_ne!(first.certificate, next.certificate);
        assert_eq!(
            key_of(&next.certificate.as_slice().into()),
            Some(request.key())
        );
        assert_eq!(first.until.0 - first.since.0, 24 * 3_600_000_000);
    }

    #[test]
    fn a_request_whose_signature_does_not_hold_is_none() {
        let key = HostKey::make().expect("a key");
        let request = key.request().expect("a request");
        assert!(Request::read(&request).is_ok());
        for at in [request.len() - 1, request.len() / 2] {
            let mut bent = request.clone();
            bent[at] ^= 1;
            assert!(Request::read(&bent).is_err(), "byte {at}");
        }
        assert!(Request::read(b"").is_err());
        assert!(Request::read(&[0x30; 64]).is_err());
    }
}

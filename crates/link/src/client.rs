//! A host's calls to its server: HTTPS to the authority it was enrolled with and to nobody else, with limits.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    Stream, version,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::wire::{ANSWER_BYTES_MAX, WAIT_SECONDS_MAX};
use crate::{Identity, LinkError};

/// Longest time until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest call, without what an answer may wait.
const CALL: Duration = Duration::from_secs(40);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server can't be reached, isn't the one that was enrolled with, or asks to come again later.
    #[error("the server can't be reached: {why}")]
    Away {
        /// Why, in words.
        why: String,
    },
    /// It was reached and refuses.
    #[error("the server refuses ({status}): {why}")]
    Refused {
        /// Status of HTTP.
        status: u16,
        /// Its words, cut to 500 letters, without control characters.
        why: String,
    },
    /// The address isn't one.
    #[error("`{address}` is no address of a server: https://HOST:PORT")]
    Address {
        /// As it was given.
        address: String,
    },
}

/// Calls one server.
pub struct Client {
    agent: ureq::Agent,
    server: String,
}

impl Client {
    /// Of a host that is enrolled.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when what is kept of its enrolment is no key and certificate that belong together.
    pub fn new(identity: &Identity) -> Result<Self, LinkError> {
        identity.is_whole()?;
        let chain = [Certificate::from_der(&identity.certificate.certificate).to_owned()];
        // There is no other way in for a key than PEM.
        let key = PrivateKey::from_pem(pem(&identity.key).as_bytes());
        let key = key.map_err(|_| LinkError::Kept { what: "key" })?;
        let shown = ClientCert::new_with_certs(&chain, key);
        Ok(Self::with(
            &identity.server,
            &identity.authority,
            Some(shown),
        ))
    }

    /// Of a host that is about to enrol.
    #[must_use]
    pub fn nameless(server: &str, authority: &[u8]) -> Self {
        Self::with(server, authority, None)
    }

    fn with(server: &str, authority: &[u8], shown: Option<ClientCert>) -> Self {
        let roots = vec![Certificate::from_der(authority).to_owned()];
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .client_cert(shown);
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .https_only(true)
            .proxy(None)
            .tls_config(tls.build())
            .user_agent("magewarden-agent");
        Self {
            agent: config.build().into(),
            server: server.trim_end_matches('/').to_owned(),
        }
    }

    /// Posts a body and reads the answer; `wait` seconds is how long the answer may wait for something to tell (RFC 7240 §4.3).
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        wait: u64,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Away {
            why: error.to_string(),
        })?;
        self.send(path, "application/json", &body, wait)
    }

    /// Posts bytes and reads the answer.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn post_bytes<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, CallError> {
        self.send(path, "application/octet-stream", body, 0)
    }

    fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: &str,
        body: &[u8],
        wait: u64,
    ) -> Result<T, CallError> {
        let away = |why: String| CallError::Away { why };
        let wait = wait.min(WAIT_SECONDS_MAX);
        let answer = self
            .agent
            .post(format!("{}{path}", self.server))
            .config()
            .timeout_global(Some(CALL + Duration::from_secs(wait)))
            .build()
            .header("content-type", kind)
            .header("prefer", format!("wait={wait}"))
            .send(body);
        let answer = answer.map_err(|error| away(error.to_string()))?;
        let (parts, body) = answer.into_parts();
        let mut bytes = Vec::new();
        body.into_reader()
            .take(ANSWER_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| away(error.to_string()))?;
        let status = parts.status.as_u16();
        if status == 200 {
            if bytes.len() as u64 > ANSWER_BYTES_MAX {
                return Err(away("its answer is longer than 16 MiB".to_owned()));
            }
            return serde_json::from_slice(&bytes)
                .map_err(|error| away(format!("its answer can't be read ({error})")));
        }
        let why = detail(&bytes);
        Err(match status {
            409 | 429 | 500.. => away(format!("{status} {why}")),
            _ => CallError::Refused { status, why },
        })
    }
}

/// A key (PKCS #8) as PEM (RFC 7468).
fn pem(key: &[u8]) -> String {
    let text = STANDARD.encode(key);
    let mut out = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(letter);
    }
    out.push_str("\n-----END PRIVATE KEY-----\n");
    out
}

/// What a problem says (RFC 9457), fit to be shown.
fn detail(bytes: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let detail = problem.as_ref().and_then(|one| one["detail"].as_str());
    let shown = detail.unwrap_or("it doesn't say why").chars();
    shown.filter(|one| !one.is_control()).take(500).collect()
}

/// The certificate of the authority that has this fingerprint, from a server that proves to be of it; nothing is told to it.
///
/// # Errors
///
/// [`CallError`], also when whoever answers is of another authority.
pub fn authority_of(server: &str, fingerprint: [u8; 32]) -> Result<Vec<u8>, CallError> {
    let wrong = || CallError::Address {
        address: server.to_owned(),
    };
    let url = url::Url::parse(server).map_err(|_| wrong())?;
    let is_plain = url.scheme() == "https"
        && matches!(url.path(), "" | "/")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none();
    let host = url.host_str().filter(|_| is_plain).ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
    let port = url.port_or_known_default().unwrap_or(443);
    let away = |error: std::io::Error| {
        let why = error.to_string();
        CallError::Away { why }
    };
    let places = (host, port).to_socket_addrs().map_err(away)?;
    let mut socket = Err(std::io::ErrorKind::NotFound.into());
    for place in places {
        socket = TcpStream::connect_timeout(&place, CONNECT);
        if socket.is_ok() {
            break;
        }
    }
    let mut socket = socket.map_err(away)?;
    socket.set_read_timeout(Some(CONNECT)).map_err(away)?;
    socket.set_write_timeout(Some(CONNECT)).map_err(away)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let told = |error: Error| CallError::Away {
        why: error.to_string(),
    };
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(told)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OfFingerprint {
            fingerprint,
            provider,
        }))
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(told)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(away)?;
    }
    let found = connection
        .peer_certificates()
        .and_then(|chain| of(chain, fingerprint))
        .map(|certificate| certificate.to_vec());
    connection.send_close_notify();
    // It was heard out; whether it hears us go is its own affair.
    drop(Stream::new(&mut connection, &mut socket).flush());
    found.ok_or_else(wrong)
}

fn of<'a>(
    chain: &'a [CertificateDer<'a>],
    fingerprint: [u8; 32],
) -> Option<&'a CertificateDer<'a>> {
    let is = |one: &&CertificateDer<'_>| Sha256::digest(one.as_ref()).as_slice() == fingerprint;
    chain.iter().find(is)
}

/// Trusts one authority, known by its fingerprint alone; all else is verified as ever.
#[derive(Debug)]
struct OfFingerprint {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OfFingerprint {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let other = || Error::General("it isn't the server that the invitation names".to_owned());
        let authority = of(others, self.fingerprint).ok_or_else(other)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .map_err(|_| other())?;
        verifier.verify_server_cert(own, &[], name, stapled, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

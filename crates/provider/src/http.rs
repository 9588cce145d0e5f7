//! Asking a provider: only where it says it is, without redirects, with limits.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Longest time one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Why nothing was answered, for whoever runs this.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HttpError(String);

pub(crate) struct Http(ureq::Agent);

impl Http {
    /// With certificates (PEM) of who signed the provider's, or the public ones.
    pub(crate) fn new(authorities: Option<&[u8]>) -> Result<Self, &'static str> {
        let mut tls = TlsConfig::builder();
        if let Some(pem) = authorities {
            let items = parse_pem(pem).filter_map(Result::ok);
            let all: Vec<Certificate<'static>> = items
                .filter_map(|item| match item {
                    PemItem::Certificate(certificate) => Some(certificate),
                    _ => None,
                })
                .collect();
            if all.is_empty() {
                return Err("the file of authorities holds no certificate (PEM)");
            }
            tls = tls.root_certs(RootCerts::from(all));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // A redirect would lead the secret elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls.build())
            .user_agent("magewarden");
        Ok(Self(config.build().into()))
    }

    pub(crate) fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let place = request.uri().to_string();
        if !may_be_asked(&place) {
            return Err(HttpError("an endpoint isn't https".to_owned()));
        }
        let answer = self
            .0
            .run(request)
            .map_err(|error| HttpError(error.to_string()))?;
        let (parts, body) = answer.into_parts();
        let mut bytes = Vec::new();
        let read = body
            .into_reader()
            .take(ANSWER_BYTES_MAX + 1)
            .read_to_end(&mut bytes);
        read.map_err(|error| HttpError(error.to_string()))?;
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(HttpError("the answer is longer than a MiB".to_owned()));
        }
        Ok(HttpResponse::from_parts(parts, bytes))
    }
}

/// Whether a secret may travel there: https, or http on this machine; without a name and password in it.
#[must_use]
pub fn may_be_asked(place: &str) -> bool {
    let Ok(url) = url::Url::parse(place) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost"
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
    let is_bare = url.username().is_empty() && url.password().is_none();
    !host.is_empty() && is_bare && (url.scheme() == "https" || url.scheme() == "http" && is_local)
}

#[cfg(test)]
mod tests {
    use super::may_be_asked;

    #[test]
    fn nothing_is_asked_in_the_clear_beyond_this_machine() {
        for place in [
            "https://login.example.com/tenant/v2.0",
            "http://127.0.0.1:8080/realms/x",
            "http://localhost:5556/dex",
            "http://[::1]:1/",
        ] {
            assert!(may_be_asked(place), "{place}");
        }
        for place in [
            "",
            "login.example.com",
            "http://login.example.com/",
            "http://127.0.0.1.evil.test/",
            "https://user:secret@login.example.com/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "http://192.0.2.1/",
        ] {
            assert!(!may_be_asked(place), "{place}");
        }
    }
}

//! Asks a service's API in JSON: by TLS, no redirect followed, each answer within a time and a size.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Request, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::host::EdgeSettings;
use crate::steps::Steps;
use crate::{ActionError, secret};

/// Longest time for a call.
const LIMIT: Duration = Duration::from_secs(20);
/// Largest answer: a list of every version that a service had.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Of a service's own words, as many are told.
const TOLD_CHARS_MAX: usize = 300;

/// An API with its token.
pub(crate) struct Api<'a> {
    agent: ureq::Agent,
    base: String,
    /// Header and value that say who asks.
    login: (&'static str, String),
    steps: &'a Steps,
}

/// What is sent with a call.
pub(crate) enum Body<'a> {
    /// Nothing.
    None,
    Form(&'a [(&'a str, &'a str)]),
    Json(Value),
}

impl<'a> Api<'a> {
    /// With the token of the settings' file.
    pub(crate) fn open(settings: &EdgeSettings, steps: &'a Steps) -> Result<Self, ActionError> {
        let base = settings.api.as_deref();
        let base = base.unwrap_or_else(|| settings.service.api());
        let base = base.trim_end_matches('/').to_owned();
        if !may_be_asked(&base) {
            return Err(ActionError::NotSetUp {
                what: "`api` of [edge] has to be an https address without a name or password in it"
                    .to_owned(),
            });
        }
        let token = secret::password(&settings.token_file)?;
        if token.is_empty() || !token.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            return Err(ActionError::NotSetUp {
                what: format!(
                    "{} holds no token: one line of it",
                    settings.token_file.display()
                ),
            });
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).map_err(ActionError::file("read", path))?;
            let items = parse_pem(&pem).filter_map(Result::ok);
            let all: Vec<Certificate<'static>> = items
                .filter_map(|item| match item {
                    PemItem::Certificate(certificate) => Some(certificate),
                    _ => None,
                })
                .collect();
            if all.is_empty() {
                return Err(ActionError::NotSetUp {
                    what: format!("{} holds no certificate (PEM)", path.display()),
                });
            }
            tls = tls.root_certs(RootCerts::from(all));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.limit.unwrap_or(LIMIT)))
            // A redirect would lead the token elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls.build())
            .user_agent("magewarden");
        Ok(Self {
            agent: config.build().into(),
            base,
            login: settings.service.login(&token),
            steps,
        })
    }

    /// Asks; `None` when it isn't there.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Value>, ActionError> {
        self.call("look", "GET", path, &Body::None)
    }

    /// Changes something: one step.
    pub(crate) fn change(
        &self,
        what: &'static str,
        method: &'static str,
        path: &str,
        body: &Body<'_>,
    ) -> Result<Value, ActionError> {
        self.steps.step(what)?;
        let done = self.call(what, method, path, body)?;
        done.ok_or_else(|| failed(what, "it isn't there (404)"))
    }

    fn call(
        &self,
        what: &'static str,
        method: &'static str,
        path: &str,
        body: &Body<'_>,
    ) -> Result<Option<Value>, ActionError> {
        let (kind, content) = match body {
            Body::None => (None, String::new()),
            Body::Form(fields) => (Some("application/x-www-form-urlencoded"), form(fields)),
            Body::Json(value) => (Some("application/json"), value.to_string()),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Accept", "application/json")
            .header(self.login.0, &self.login.1);
        if let Some(kind) = kind {
            request = request.header("Content-Type", kind);
        }
        let request = request.body(content);
        let request = request.map_err(|error| failed(what, &error.to_string()))?;
        let answer = self.agent.run(request);
        let answer = answer.map_err(|error| failed(what, &error.to_string()))?;
        let status = answer.status().as_u16();
        let mut bytes = Vec::new();
        let read = answer
            .into_body()
            .into_reader()
            .take(ANSWER_BYTES_MAX + 1)
            .read_to_end(&mut bytes);
        read.map_err(|error| failed(what, &error.to_string()))?;
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(failed(what, "its answer is longer than 16 MiB"));
        }
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        let said = value.as_ref().and_then(said).unwrap_or_default();
        let because = match status {
            200..=299 => {
                let value = value.ok_or_else(|| failed(what, "its answer is no JSON"))?;
                return Ok(Some(value));
            }
            404 => return Ok(None),
            401 | 403 => "the token isn't taken, or may not do this",
            409 | 412 | 423 => "something else is being changed there",
            429 => "it was asked too often: do it again in some minutes",
            500..=599 => "it fails itself",
            _ => "it refuses",
        };
        Err(failed(what, format!("{because} ({status}) {said}").trim()))
    }
}

/// What went wrong, in words.
pub(crate) fn failed(what: &'static str, how: &str) -> ActionError {
    ActionError::Edge {
        what,
        how: how.to_owned(),
    }
}

/// What a service says of a failure, made safe to print.
fn said(value: &Value) -> Option<String> {
    let words = [
        value.pointer("/errors/0/message"),
        value.get("detail"),
        value.get("msg"),
    ];
    let words = words.into_iter().flatten().find_map(Value::as_str)?;
    let words = words.chars().filter(|c| !model::is_hidden(*c));
    Some(words.take(TOLD_CHARS_MAX).collect())
}

/// Whether a token may travel there: https, or http on this machine.
fn may_be_asked(base: &str) -> bool {
    let Ok(uri) = base.parse::<Uri>() else {
        return false;
    };
    let authority = uri.authority().map_or("", |one| one.as_str());
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = bare
        .parse()
        .is_ok_and(|address: IpAddr| address.is_loopback());
    let is_bare = !host.is_empty() && !authority.contains('@') && uri.query().is_none();
    match uri.scheme_str() {
        Some("https") => is_bare,
        Some("http") => is_bare && is_local,
        _ => false,
    }
}

/// Fields as a form sends them (WHATWG URL §5.2).
fn form(fields: &[(&str, &str)]) -> String {
    let one = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    };
    let field = |(name, value): &(&str, &str)| format!("{}={}", one(name), one(value));
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::{form, may_be_asked};

    #[test]
    fn a_token_goes_nowhere_in_the_clear() {
        for base in [
            "https://api.fastly.com",
            "http://127.0.0.1:8080/v4",
            "http://[::1]:1",
            "https://proxy.internal:8443/cdn",
        ] {
            assert!(may_be_asked(base), "{base}");
        }
        for base in [
            "",
            "api.fastly.com",
            "http://api.fastly.com",
            "http://127.0.0.1.evil.test",
            "http://localhost.evil.test",
            "https://a:b@api.fastly.com",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(!may_be_asked(base), "{base}");
        }
    }

    #[test]
    fn a_form_has_no_other_fields_than_it_was_given() {
        assert_eq!(
            form(&[("a", "x&b=1 +é\n"), ("c", "")]),
            "a=x%26b%3D1%20%2B%C3%A9%0A&c="
        );
    }
}

//! Stand-ins of Fastly's and Cloudflare's APIs on this machine, as far as a block needs them: as their documentation says, with what goes wrong.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "token-of-the-stand-in";
pub(crate) const ID: &str = "SU1Z0isxPaozGVKXdv0eY";

/// A version of a service at Fastly.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) active: bool,
    pub(crate) locked: bool,
    pub(crate) comment: String,
    pub(crate) snippets: Vec<Value>,
}

/// What goes wrong with the calls that begin so.
#[derive(Clone)]
pub(crate) struct Fault {
    pub(crate) at: &'static str,
    pub(crate) how: How,
}

#[derive(Clone)]
pub(crate) enum How {
    /// Answered so, and nothing is done.
    Answers(u16, &'static str),
    /// Done, and no answer comes.
    Hangs,
    /// An answer without an end.
    Huge,
    /// The answer says that it was done, and it wasn't.
    Lies,
    /// A rule or a snippet is kept otherwise than it was sent.
    Bends,
    /// Somebody else makes a version of theirs active first, at Fastly.
    Meanwhile,
}

pub(crate) struct State {
    pub(crate) versions: Vec<Version>,
    /// Rules of the zone; none when it never had any.
    pub(crate) rules: Option<Vec<Value>>,
    pub(crate) fault: Option<Fault>,
    pub(crate) calls: Vec<String>,
    made: u64,
}

impl State {
    /// A service whose version 11 is active, and a zone with a rule of its own.
    fn new() -> Self {
        let own = json!({"name": "shop", "type": "recv", "content": "set req.http.X-Shop = \"1\";", "dynamic": "0", "priority": "5"});
        let version = |number, active| Version {
            number,
            active,
            locked: number < 12,
            comment: "by hand".to_owned(),
            snippets: vec![own.clone()],
        };
        let rule = json!({"id": "a1", "version": "1", "action": "challenge", "expression": "(ip.src.country eq \"XX\")", "description": "ours since 2024", "enabled": true});
        Self {
            versions: vec![version(10, false), version(11, true), version(12, false)],
            rules: Some(vec![rule]),
            fault: None,
            calls: Vec::new(),
            made: 0,
        }
    }

    pub(crate) fn active(&self) -> &Version {
        let active = self.versions.iter().find(|version| version.active);
        active.expect("one is active")
    }

    /// What somebody else does: a version of the active one with a snippet of theirs, active; its comment stays, as in a copy.
    pub(crate) fn somebody_else(&mut self) -> u64 {
        let mut theirs = self.active().clone();
        theirs.number = self.next();
        theirs.snippets.push(json!({"name": "theirs", "type": "deliver", "content": "unset resp.http.Via;", "dynamic": "0", "priority": "9"}));
        let number = theirs.number;
        self.versions.push(theirs);
        self.activate(number);
        number
    }

    fn next(&self) -> u64 {
        self.versions
            .iter()
            .map(|version| version.number)
            .max()
            .unwrap_or_default()
            + 1
    }

    fn activate(&mut self, number: u64) {
        for version in &mut self.versions {
            version.active = version.number == number;
            version.locked |= version.active;
        }
    }

    fn fastly(&mut self, method: &str, parts: &[&str], form: &[(String, String)]) -> (u16, Value) {
        let missing = || {
            (
                404,
                json!({"msg": "Record not found", "detail": "Cannot find version"}),
            )
        };
        let shown = |version: &Version| json!({"number": version.number, "active": version.active, "locked": version.locked, "comment": version.comment, "service_id": ID});
        let is_bent = matches!(&self.fault, Some(fault) if matches!(fault.how, How::Bends));
        let ["service", ID, "version", rest @ ..] = parts else {
            return missing();
        };
        let [number, rest @ ..] = rest else {
            return (200, self.versions.iter().map(shown).collect());
        };
        let next = self.next();
        let number = number.parse().unwrap_or(0);
        let found = self
            .versions
            .iter()
            .position(|version| version.number == number);
        let Some(at) = found else { return missing() };
        match (method, rest) {
            ("PUT", ["clone"]) => {
                let mut made = self.versions[at].clone();
                (made.number, made.active, made.locked) = (next, false, false);
                self.versions.push(made.clone());
                (200, shown(&made))
            }
            ("PUT", ["activate"]) => {
                self.activate(number);
                (200, shown(&self.versions[at]))
            }
            ("GET", ["validate"]) => {
                let snippets = &self.versions[at].snippets;
                let has = |kind: &str, words: &str| {
                    snippets.iter().any(|one| {
                        one["type"] == kind
                            && one["content"]
                                .as_str()
                                .is_some_and(|text| text.contains(words))
                    })
                };
                let list = has("init", "acl magewarden_block_");
                let is_valid = !has("recv", "client.ip ~ magewarden_block_") || list;
                (
                    200,
                    json!({"status": if is_valid { "ok" } else { "error" }, "msg": null}),
                )
            }
            ("PUT", []) => {
                let comment = form.iter().find(|(name, _)| name == "comment");
                self.versions[at].comment =
                    comment.map(|(_, value)| value.clone()).unwrap_or_default();
                (200, shown(&self.versions[at]))
            }
            ("GET", ["snippet"]) => (200, json!(self.versions[at].snippets)),
            (_, ["snippet", ..]) if self.versions[at].locked => (
                422,
                json!({"msg": "Bad request", "detail": "Version is locked"}),
            ),
            ("POST", ["snippet"]) => {
                let mut made: serde_json::Map<_, _> = form
                    .iter()
                    .map(|(name, value)| (name.clone(), json!(value)))
                    .collect();
                if is_bent {
                    made.insert("content".to_owned(), json!("# nothing\n"));
                }
                self.versions[at].snippets.push(Value::Object(made.clone()));
                (200, Value::Object(made))
            }
            ("DELETE", ["snippet", name]) => {
                let before = self.versions[at].snippets.len();
                self.versions[at]
                    .snippets
                    .retain(|one| one["name"] != **name);
                if self.versions[at].snippets.len() == before {
                    return missing();
                }
                (200, json!({"status": "ok"}))
            }
            _ => missing(),
        }
    }

    fn cloudflare(&mut self, method: &str, parts: &[&str], body: &Value) -> (u16, Value) {
        let missing = || {
            (
                404,
                json!({"success": false, "result": null, "errors": [{"code": 10003, "message": "could not find entrypoint ruleset in the http_request_firewall_custom phase"}]}),
            )
        };
        let ["zones", ID, "rulesets", rest @ ..] = parts else {
            return missing();
        };
        self.made += 1;
        let mut made = body.clone();
        if let Some(rule) = made
            .get_mut("rules")
            .map_or(Some(body.clone()), |rules| rules.get(0).cloned())
        {
            made = rule;
        }
        if made.is_object() {
            made["id"] = json!(format!("b{}", self.made));
            if matches!(&self.fault, Some(fault) if matches!(fault.how, How::Bends)) {
                made["enabled"] = json!(false);
            }
        }
        match (method, rest, &mut self.rules) {
            ("GET", ["phases", "http_request_firewall_custom", "entrypoint"], Some(_)) => {}
            ("POST", [], rules @ None) => {
                if body["phase"] != "http_request_firewall_custom" || body["kind"] != "zone" {
                    return (
                        400,
                        json!({"success": false, "errors": [{"message": "no such phase"}]}),
                    );
                }
                *rules = Some(vec![made]);
            }
            ("POST", ["r7", "rules"], Some(rules)) => {
                let at = made
                    .as_object_mut()
                    .and_then(|made| made.remove("position"));
                let at = at
                    .and_then(|at| at["index"].as_u64())
                    .map_or(rules.len(), |at| usize::try_from(at).expect("small") - 1);
                rules.insert(at, made);
            }
            ("DELETE", ["r7", "rules", id], Some(rules)) => {
                let before = rules.len();
                rules.retain(|rule| rule["id"] != **id);
                if rules.len() == before {
                    return missing();
                }
            }
            _ => return missing(),
        }
        (
            200,
            json!({"success": true, "errors": [], "messages": [], "result": {"id": "r7", "kind": "zone", "version": self.made.to_string(), "rules": self.rules}}),
        )
    }
}

/// A stand-in of both.
pub(crate) struct Cdn {
    pub(crate) at: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Cdn {
    pub(crate) fn start() -> Self {
        Self::serving(None)
    }

    /// One behind TLS, with its certificate (PEM), which nobody signed.
    pub(crate) fn start_with_tls() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"));
        let config = Arc::new(config.expect("settings"));
        let text = base64::engine::general_purpose::STANDARD.encode(made.cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        (Self::serving(Some(config)), pem)
    }

    fn serving(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let at = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::new()));
        let theirs = Arc::clone(&state);
        // It ends with the process: nobody waits for it.
        std::thread::spawn(move || {
            for link in listener.incoming().flatten() {
                let (state, tls) = (Arc::clone(&theirs), tls.clone());
                std::thread::spawn(move || match tls {
                    None => answer(link, &state),
                    Some(config) => {
                        let session = rustls::ServerConnection::new(config).expect("a session");
                        answer(rustls::StreamOwned::new(session, link), &state);
                    }
                });
            }
        });
        Self { at, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it was in the beginning; what goes wrong stays.
    pub(crate) fn anew(&self) {
        let mut state = self.state();
        let fault = state.fault.take();
        *state = State {
            fault,
            ..State::new()
        };
    }
}

/// Answers one request; who hangs up is no trouble.
fn answer(mut link: impl Read + Write, state: &Mutex<State>) {
    let Some((head, body)) = request(&mut link) else {
        return;
    };
    let mut first = head.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (
        first.next().unwrap_or_default(),
        first.next().unwrap_or_default(),
    );
    let call = format!("{method} {path}");
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let has = |line: &str| head.lines().any(|one| one.eq_ignore_ascii_case(line));
    let is_fastly = parts.first() == Some(&"service");
    let is_known = if is_fastly {
        has(&format!("Fastly-Key: {TOKEN}"))
    } else {
        has(&format!("Authorization: Bearer {TOKEN}"))
    };
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.calls.push(call.clone());
    let how = state.fault.as_ref().filter(|fault| call.contains(fault.at));
    let how = how.map(|fault| fault.how.clone());
    let run = |state: &mut State| {
        if is_fastly {
            let form = form(&body);
            state.fastly(method, &parts, &form)
        } else {
            let sent = serde_json::from_str(&body).unwrap_or_default();
            state.cloudflare(method, &parts, &sent)
        }
    };
    let (status, text) = match how {
        _ if !is_known => (401, r#"{"msg": "Provided credentials are missing or invalid", "success": false, "errors": [{"message": "Invalid API Token"}]}"#.to_owned()),
        Some(How::Answers(status, text)) => (status, text.to_owned()),
        Some(How::Hangs) => {
            run(&mut state);
            drop(state);
            std::thread::sleep(Duration::from_millis(1500));
            return;
        }
        Some(How::Huge) => {
            drop(state);
            let _sent = link.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[");
            while link.write_all(&[b' '; 64 << 10]).is_ok() {}
            return;
        }
        Some(How::Lies) => {
            let rules = json!({"success": true, "status": "ok", "number": 11, "result": {"id": "r7", "rules": []}});
            (200, rules.to_string())
        }
        Some(How::Meanwhile) => {
            state.fault = None;
            state.somebody_else();
            let (status, value) = run(&mut state);
            (status, value.to_string())
        }
        Some(How::Bends) | None => {
            let (status, value) = run(&mut state);
            (status, value.to_string())
        }
    };
    drop(state);
    let length = text.len();
    let _sent = link.write_all(format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}").as_bytes());
}

/// Head and body.
fn request(link: &mut impl Read) -> Option<(String, String)> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            });
            let length: usize = length.unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..].to_vec();
                return Some((head, String::from_utf8(body).ok()?));
            }
        }
        let read = link.read(&mut part).ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend(&part[..read]);
    }
}

/// Fields of a form.
fn form(body: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let (mut out, mut bytes) = (Vec::new(), text.bytes());
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let pair =
                    [bytes.next(), bytes.next()].map(|byte| char::from(byte.expect("two digits")));
                let pair: String = pair.into_iter().collect();
                out.push(u8::from_str_radix(&pair, 16).expect("a byte"));
            } else {
                out.push(byte);
            }
        }
        String::from_utf8(out).expect("text")
    };
    let fields = body.split('&').filter_map(|field| field.split_once('='));
    fields
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

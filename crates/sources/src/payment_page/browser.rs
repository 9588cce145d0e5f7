//! Looking with a browser: headless Chromium, asked over a pipe in the DevTools protocol.
//!
//! What was sent, what the page was in the end, every script that ran – whoever added it, and if it removed itself since –
//! and every host that was asked. The browser has a profile of its own that goes with it, no port is opened, and it is ended
//! at the latest after [`LOOK_MAX`].

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::Url;

use super::fetch::is_public;
use super::look::{Found, Kind};
use super::visit::Visit;
use crate::source::Hand;

/// Longest time one look may take.
const LOOK_MAX: Duration = Duration::from_secs(90);
/// How long nothing may be asked for until a page is taken as done.
const QUIET: Duration = Duration::from_millis(1500);
/// How long a page may go on asking.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Bytes of one message of the browser.
const MESSAGE_MAX: u64 = 64 << 20;
/// Events kept of one page; of one that makes more the rest isn't seen, and that is said.
const EVENTS_MAX: usize = 100_000;
/// How often it is looked whether to stop.
const STOP_LOOK: Duration = Duration::from_millis(200);
/// Scripts looked at of one page.
const SCRIPTS_MAX: usize = 1000;

/// Where a browser may be.
pub(super) const BROWSERS: [&str; 5] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/bin/google-chrome-stable",
    "/snap/bin/chromium",
];

struct Browser<'a> {
    hand: &'a Hand,
    process: Child,
    say: ChildStdin,
    heard: Receiver<Value>,
    next: u64,
    session: Option<String>,
    until: Instant,
    /// What it told meanwhile.
    events: Vec<Value>,
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Looks once, with a profile in `folder`.
pub(super) fn look(
    program: &Path,
    folder: &Path,
    visit: &Visit,
    hand: &Hand,
) -> Result<Found, String> {
    let _gone = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("no room for the browser's profile: {error}"))?;
    let looked =
        Browser::start(program, folder, visit, hand).and_then(|mut browser| browser.look(visit));
    let _gone = std::fs::remove_dir_all(folder);
    looked
}

impl<'a> Browser<'a> {
    fn start(program: &Path, folder: &Path, visit: &Visit, hand: &'a Hand) -> Result<Self, String> {
        let rules: Vec<String> = visit
            .addresses
            .iter()
            .map(|(host, address)| format!("MAP {host} {}", bracketed(*address)))
            .collect();
        // The protocol's pipes are descriptors 3 and 4, which only a shell can give a child.
        #[expect(
            clippy::disallowed_methods,
            reason = "the browser is what this source looks through"
        )]
        let mut command = Command::new("/bin/sh");
        command
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null",
                "sh",
            ])
            .arg(program)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-sync",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-default-apps",
                "--disable-extensions",
                "--disable-dev-shm-usage",
                "--mute-audio",
                "--password-store=basic",
                "--use-mock-keychain",
                "--window-size=1280,1600",
            ])
            .arg(format!("--user-data-dir={}", folder.display()))
            .arg(format!("--user-agent={}", visit.user_agent))
            .env_clear()
            .env("HOME", folder)
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if !rules.is_empty() {
            command.arg(format!("--host-resolver-rules={}", rules.join(",")));
        }
        if !visit.sandbox {
            command.arg("--no-sandbox");
        }
        command.arg("about:blank");
        let mut process = command
            .spawn()
            .map_err(|error| format!("{} can't be started: {error}", program.display()))?;
        let (Some(say), Some(hear)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the browser has no pipes".to_owned());
        };
        let (told, heard) = channel();
        let listen = move || {
            let mut hear = BufReader::new(hear);
            let mut message = Vec::new();
            while let Ok(read) =
                std::io::Read::take(&mut hear, MESSAGE_MAX).read_until(0, &mut message)
            {
                if read == 0 || message.pop() != Some(0) {
                    return;
                }
                whole_letters(&mut message);
                if let Ok(message) = serde_json::from_slice(&message)
                    && told.send(message).is_err()
                {
                    return;
                }
                message.clear();
            }
        };
        std::thread::Builder::new()
            .name("browser".to_owned())
            .spawn(listen)
            .map_err(|error| format!("no thread can be started: {error}"))?;
        Ok(Self {
            hand,
            process,
            say,
            heard,
            next: 0,
            session: None,
            until: Instant::now() + LOOK_MAX,
            events: Vec::new(),
        })
    }

    /// Asks for something and waits for the answer.
    fn ask(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let (Some(session), Some(object)) = (&self.session, message.as_object_mut()) {
            object.insert("sessionId".to_owned(), json!(session));
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.say
            .write_all(&bytes)
            .and_then(|()| self.say.flush())
            .map_err(|error| format!("the browser is gone: {error}"))?;
        loop {
            let mut heard = self
                .hear(self.until)?
                .ok_or_else(|| format!("the browser gave no answer to {method}"))?;
            if heard.get("id").and_then(Value::as_u64) != Some(id) {
                self.keep(heard);
                continue;
            }
            if let Some(error) = heard.pointer("/error/message").and_then(Value::as_str) {
                return Err(format!("the browser refused {method}: {error}"));
            }
            return Ok(heard.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }

    /// What it tells next; nothing when it is quiet until then.
    fn hear(&mut self, until: Instant) -> Result<Option<Value>, String> {
        loop {
            if self.hand.stopped() {
                return Err("told to stop".to_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left.min(STOP_LOOK)) {
                Ok(heard) => return Ok(Some(heard)),
                Err(RecvTimeoutError::Timeout) if left <= STOP_LOOK => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the browser ended by itself".to_owned());
                }
            }
        }
    }

    fn keep(&mut self, event: Value) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }

    /// Goes to an address and waits until the page has asked for all it wants.
    fn go(&mut self, url: &Url) -> Result<(), String> {
        self.events.clear();
        let gone = self.ask("Page.navigate", &json!({"url": url.as_str()}))?;
        if let Some(error) = gone.get("errorText").and_then(Value::as_str) {
            return Err(format!("{url} can't be asked: {error}"));
        }
        let end = (Instant::now() + SETTLE_MAX).min(self.until);
        let mut is_loaded = self
            .events
            .iter()
            .any(|event| named(event, "Page.loadEventFired"));
        let mut quiet = Instant::now() + QUIET;
        while Instant::now() < end {
            let Some(event) = self.hear(if is_loaded { quiet.min(end) } else { end })? else {
                if is_loaded && Instant::now() >= quiet {
                    break;
                }
                continue;
            };
            is_loaded |= named(&event, "Page.loadEventFired");
            if named(&event, "Network.requestWillBeSent")
                || named(&event, "Network.webSocketCreated")
                || named(&event, "Debugger.scriptParsed")
            {
                quiet = Instant::now() + QUIET;
            }
            self.keep(event);
        }
        Ok(())
    }

    fn look(&mut self, visit: &Visit) -> Result<Found, String> {
        let made = self.ask("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attached = self.ask(
            "Target.attachToTarget",
            &json!({"targetId": made.get("targetId"), "flatten": true}),
        )?;
        self.session = attached
            .get("sessionId")
            .and_then(Value::as_str)
            .map(str::to_owned);
        for domain in [
            "Page.enable",
            "Network.enable",
            "Debugger.enable",
            "Runtime.enable",
        ] {
            self.ask(domain, &json!({}))?;
        }
        // A script that stops in the debugger on purpose is not waited for.
        self.ask("Debugger.setSkipAllPauses", &json!({"skip": true}))?;
        if visit
            .url
            .host_str()
            .and_then(|host| host.parse().ok())
            .is_none_or(is_public)
        {
            let inside = [
                "127.*",
                "10.*",
                "192.168.*",
                "169.254.*",
                "localhost",
                "[::1]",
            ];
            let urls: Vec<String> = inside
                .iter()
                .flat_map(|host| [format!("*://{host}/*"), format!("*://{host}:*/*")])
                .collect();
            self.ask("Network.setBlockedURLs", &json!({"urls": urls}))?;
        }
        self.ask(
            "Network.setCookie",
            &json!({"name": "form_key", "value": visit.form_key, "url": visit.url.as_str()}),
        )?;
        let mut form_from: Option<Url> = None;
        for step in &visit.before {
            match &step.form {
                None => self.go(&step.url)?,
                Some(form) => {
                    if form_from.is_none() {
                        let home = step.url.join("/").map_err(|error| error.to_string())?;
                        self.go(&home)?;
                        form_from = Some(home);
                    }
                    let body = format!("{form}&form_key={}", visit.form_key);
                    let send = format!(
                        "fetch({}, {{method: 'POST', headers: {{'Content-Type': 'application/x-www-form-urlencoded'}}, body: {}}}).then(answer => answer.status)",
                        json!(step.url.as_str()),
                        json!(body)
                    );
                    let status = self.evaluate(&send)?;
                    if status.as_u64().is_none_or(|status| status >= 400) {
                        return Err(format!("{} answered {status} before the page", step.url));
                    }
                }
            }
        }
        self.go(&visit.url)?;
        self.found(visit)
    }

    fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let mut told = self.ask(
            "Runtime.evaluate",
            &json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        )?;
        Ok(told
            .pointer_mut("/result/value")
            .map(Value::take)
            .unwrap_or_default())
    }

    /// The document as it is now. Asked of the browser itself: what is asked by a script the page's own scripts can answer.
    fn markup(&mut self) -> Result<String, String> {
        let document = self.ask("DOM.getDocument", &json!({"depth": 0}))?;
        let node = document.get("root").and_then(|root| root.get("nodeId"));
        let mut told = self.ask(
            "DOM.getOuterHTML",
            &json!({"nodeId": node, "includeShadowDOM": true}),
        )?;
        match told.get_mut("outerHTML").map(Value::take) {
            Some(Value::String(markup)) => Ok(markup),
            _ => Err("the browser has no document".to_owned()),
        }
    }

    /// Puts together what the page was.
    fn found(&mut self, visit: &Visit) -> Result<Found, String> {
        // Taken first: what is evaluated from here on is no script of the page's.
        let events = std::mem::take(&mut self.events);
        let address = self.evaluate("location.href")?;
        let page: Url = address
            .as_str()
            .unwrap_or_default()
            .parse()
            .map_err(|error| format!("the page has no address: {error}"))?;
        let in_the_end = self.markup()?;
        let mut found = Found::default();
        let text = |event: &Value, at: &str| {
            event
                .pointer(at)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        // The last document that was loaded is the page; those before it led to it.
        let document = events.iter().rev().find(|event| {
            named(event, "Network.responseReceived")
                && text(event, "/params/type") == "Document"
                && text(event, "/params/response/url")
                    == page.as_str().split('#').next().unwrap_or_default()
        });
        let document = document.ok_or_else(|| format!("{page} sent no page"))?;
        let status = document
            .pointer("/params/response/status")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        visit.arrived(u16::try_from(status).unwrap_or_default(), &page)?;
        if let Some(headers) = document
            .pointer("/params/response/headers")
            .and_then(Value::as_object)
        {
            for (name, value) in headers {
                found.header(name, value.as_str().unwrap_or_default());
            }
        }
        let body = self.ask(
            "Network.getResponseBody",
            &json!({"requestId": text(document, "/params/requestId")}),
        );
        if let Some(sent) = body
            .ok()
            .and_then(|body| body.get("body").and_then(Value::as_str).map(str::to_owned))
        {
            let _scripts = found.read(&sent, &page);
        }
        let _scripts = found.read(&in_the_end, &page);
        found.markup = in_the_end;
        for event in &events {
            let asked = match event.get("method").and_then(Value::as_str) {
                Some("Network.requestWillBeSent") => text(event, "/params/request/url"),
                Some("Network.webSocketCreated") => text(event, "/params/url"),
                _ => continue,
            };
            if let Some(host) = asked.parse::<Url>().ok().as_ref().and_then(Url::host_str)
                && Some(host) != visit.url.host_str()
            {
                found.name(Kind::Host, host);
            }
        }
        let mut seen = BTreeMap::new();
        for event in events
            .iter()
            .filter(|event| named(event, "Debugger.scriptParsed"))
        {
            let (id, url) = (text(event, "/params/scriptId"), text(event, "/params/url"));
            // What magewarden itself asks the page, and the browser's own.
            if url.starts_with("chrome")
                || url.starts_with("devtools")
                || url.starts_with("debugger")
            {
                continue;
            }
            seen.insert(id, url);
        }
        found.is_cut |= seen.len() > SCRIPTS_MAX || events.len() >= EVENTS_MAX;
        for (id, url) in seen.into_iter().take(SCRIPTS_MAX) {
            let Ok(source) = self.ask("Debugger.getScriptSource", &json!({"scriptId": id})) else {
                continue;
            };
            let source = source
                .get("scriptSource")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let is_page =
                url.is_empty() || url.split('#').next() == page.as_str().split('#').next();
            if is_page || !url.starts_with("http") {
                found.code(Kind::Inline, &source);
            } else {
                found.script(&url, &source);
            }
        }
        Ok(found)
    }
}

/// Puts `U+FFFD` in place of halves of letters (lone surrogates, RFC 8259 §8.2), which a page's script can make and no message could be
/// read with: such a page would never be seen.
fn whole_letters(message: &mut [u8]) {
    /// The code unit that an escape at the start of these bytes stands for.
    fn unit(bytes: &[u8]) -> Option<u16> {
        let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
    let mut at = 0;
    while let Some(found) = message.get(at..).and_then(|rest| {
        let found = rest.iter().position(|byte| *byte == b'\\')?;
        Some(at + found)
    }) {
        let rest = message.get(found..).unwrap_or_default();
        let after = rest.get(6..).unwrap_or_default();
        at = found
            + match (unit(rest), unit(after)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
                (Some(0xd800..=0xdfff), _) => {
                    if let Some(half) = message.get_mut(found..found + 6) {
                        half.copy_from_slice(b"\\ufffd");
                    }
                    6
                }
                (Some(_), _) => 6,
                (None, _) => 2,
            };
    }
}

fn named(event: &Value, method: &str) -> bool {
    event.get("method").and_then(Value::as_str) == Some(method)
}

fn bracketed(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::whole_letters;

    #[track_caller]
    fn check(message: &str, expected: &str) {
        let mut bytes = message.as_bytes().to_vec();
        whole_letters(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }

    #[test]
    fn halves_of_letters_leave_a_message_readable() {
        check("", "");
        check(r#"{"a":"b"}"#, r#"{"a":"b"}"#);
        check(r#""\ud83d\ude00""#, r#""\ud83d\ude00""#);
        check(r#""\ud83d""#, r#""\ufffd""#);
        check(r#""\uDE00\ud83d""#, r#""\ufffd\ufffd""#);
        check(r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#);
        check(r#""\ud83dx\ude00""#, r#""\ufffdx\ufffd""#);
        // A backslash of its own, then letters.
        check(r#""\\ud83d""#, r#""\\ud83d""#);
        check(r#""\\\ud83d""#, r#""\\\ufffd""#);
        for cut in [r"\", r"\u", r"\ud8", r"\ud83", r"\ud83d\", r"\u00zz\n"] {
            let mut bytes = cut.as_bytes().to_vec();
            whole_letters(&mut bytes);
            assert_eq!(bytes.len(), cut.len());
        }
        let read: Result<String, _> = serde_json::from_str(r#""\ufffd""#);
        assert_eq!(read.expect("JSON"), "\u{fffd}");
    }
}

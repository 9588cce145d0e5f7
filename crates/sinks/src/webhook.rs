//! One signed webhook (the Standard Webhooks scheme: id, timestamp and body under HMAC-SHA-256).
//!
//! Sends from a thread of its own, so that a slow receiver holds up nothing. At most [`WAITING_MAX`]
//! messages wait; the newest is refused then and counted. It calls only where it was told to: no
//! redirect and no proxy is followed. The receiver tells a repeated message by `webhook-id`.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use model::{Act, Decision, Finding, Incident};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Decided, Sink, SinkError};

/// Messages that may wait.
pub const WAITING_MAX: usize = 1000;
/// Attempts for one message.
const ATTEMPTS: u32 = 4;
/// Longest time one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause behind the first failed attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for what waits, when flushed or ended.
const FLUSH: Duration = Duration::from_secs(10);
/// How often a flush looks.
const FLUSH_LOOK: Duration = Duration::from_millis(5);

struct Message {
    id: String,
    body: String,
}

#[derive(Default)]
struct Counters {
    waiting: AtomicU64,
    failed: AtomicU64,
}

/// Calls one address.
pub struct Webhook {
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    /// Gone, it ends pauses and further attempts.
    going: Option<Sender<Infallible>>,
    counters: Arc<Counters>,
}

/// What the sending thread works with.
struct Caller {
    agent: ureq::Agent,
    url: String,
    secret: Vec<u8>,
    going: Receiver<Infallible>,
    counters: Arc<Counters>,
}

impl Webhook {
    /// Starts the thread that calls `url`, signing with `secret`: its bytes, or behind `whsec_` their base64.
    ///
    /// # Errors
    ///
    /// [`SinkError::Address`] for what is neither https nor http on loopback, [`SinkError::Secret`]
    /// for a secret that can't sign.
    pub fn new(url: &str, secret: &[u8]) -> Result<Self, SinkError> {
        if !may_be_called(url) {
            return Err(SinkError::Address { url: shown(url) });
        }
        let secret = match secret.strip_prefix(b"whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| SinkError::Secret)?,
            None => secret.to_vec(),
        };
        if secret.is_empty() {
            return Err(SinkError::Secret);
        }
        let (queue, messages) = sync_channel::<Message>(WAITING_MAX);
        let (going, ends) = channel();
        let counters = Arc::new(Counters::default());
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("magewarden")
            .build()
            .into();
        let caller = Caller {
            agent,
            url: url.to_owned(),
            secret,
            going: ends,
            counters: Arc::clone(&counters),
        };
        let run = move || messages.iter().for_each(|message| caller.take(&message));
        let thread = std::thread::Builder::new()
            .name("webhook".to_owned())
            .spawn(run);
        let thread = thread.map_err(|source| SinkError::Write { source })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            going: Some(going),
            counters,
        })
    }

    /// Messages given up: refused by the other side, not delivered in time, or too many at once.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counters.failed.load(Ordering::Relaxed)
    }

    fn put(&self, of: &str, body: String) -> Result<(), SinkError> {
        let refused = |why: &str| SinkError::Refused {
            why: why.to_owned(),
        };
        // The same state of the same thing has the same id, however often it is told.
        let hash = Sha256::digest(body.as_bytes())
            .iter()
            .take(8)
            .fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
        let id = format!("{of}-{hash:016x}");
        self.counters.waiting.fetch_add(1, Ordering::AcqRel);
        let result = match self
            .queue
            .as_ref()
            .map(|queue| queue.try_send(Message { id, body }))
        {
            Some(Ok(())) => return self.state(),
            Some(Err(TrySendError::Full(_))) => Err(refused("too many messages wait")),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(refused("the sender has ended")),
        };
        self.counters.waiting.fetch_sub(1, Ordering::AcqRel);
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn state(&self) -> Result<(), SinkError> {
        match self.dropped() {
            0 => Ok(()),
            count => Err(SinkError::Refused {
                why: format!("{count} messages were given up so far"),
            }),
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        drop(self.flush());
        self.queue = None;
        self.going = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Sink for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn finding(&mut self, finding: &Finding, installation: &str) -> Result<(), SinkError> {
        let body = json!({"version": 1, "type": "finding", "installation": installation, "finding": finding});
        self.put(&finding.id, body.to_string())
    }

    fn incident(&mut self, incident: &Incident, installation: &str) -> Result<(), SinkError> {
        let body = json!({"version": 1, "type": "incident", "installation": installation, "incident": incident});
        self.put(&incident.id, body.to_string())
    }

    fn decision(&mut self, decided: &Decided<'_>, installation: &str) -> Result<(), SinkError> {
        let decision = decided.decision;
        let body = json!({
            "version": 1, "type": "decision", "installation": installation,
            "decision": told(decision), "entry": decided.sequence,
            "state": decided.state, "severity": decided.severity,
        });
        self.put(&decision.id, body.to_string())
    }

    fn works(&self) -> Option<Result<(), SinkError>> {
        Some(self.state())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let start = Instant::now();
        loop {
            match self.counters.waiting.load(Ordering::Acquire) {
                0 => return self.state(),
                count if start.elapsed() >= FLUSH => {
                    return Err(SinkError::Refused {
                        why: format!("{count} messages still wait"),
                    });
                }
                _ => std::thread::sleep(FLUSH_LOOK),
            }
        }
    }
}

/// What of a decision leaves: who did what, and when. What people wrote – reasons, remarks, tasks, what they filled in, what
/// they say of files – stays here, where it is known who reads it.
fn told(decision: &Decision) -> Value {
    let mut told = json!({
        "id": decision.id, "incident": decision.incident, "at": decision.at,
        "by": decision.by, "act": decision.act.name(),
    });
    let more = match &decision.act {
        Act::Move { to } => json!({ "to": to }),
        Act::Severity { to, .. } => json!({ "to": to }),
        Act::Lead { to } => json!({ "to": to }),
        Act::ChangeTask { task, state, .. } => json!({ "task": task, "state": state }),
        Act::Merge { into } => json!({ "into": into }),
        Act::Split { findings } => json!({ "findings": findings }),
        Act::Stage { flow, stage, .. } => json!({ "flow": flow, "stage": stage }),
        Act::Attach(attachment) => json!({ "size_bytes": attachment.size_bytes }),
        _ => json!({}),
    };
    if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more) {
        told.extend(more);
    }
    told
}

impl Caller {
    fn take(&self, message: &Message) {
        if !self.send(message) {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.counters.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the scheme signs the time of sending"
    )]
    fn send(&self, message: &Message) -> bool {
        for attempt in 0..ATTEMPTS {
            let pause = if attempt == 0 {
                Duration::ZERO
            } else {
                PAUSE * (1 << (attempt - 1))
            };
            if self.going.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return false;
            }
            let seconds = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs();
            let answer = self
                .agent
                .post(&self.url)
                .header("content-type", "application/json")
                .header("webhook-id", &message.id)
                .header("webhook-timestamp", seconds.to_string())
                .header(
                    "webhook-signature",
                    sign(&self.secret, &message.id, seconds, &message.body),
                )
                .send(message.body.as_bytes());
            match answer {
                Ok(answer) => return answer.status().is_success(),
                // "Too slow" and "too many" get better; another refusal is our fault and doesn't.
                Err(ureq::Error::StatusCode(300..=407 | 409..=428 | 430..=499)) => return false,
                Err(_) => {}
            }
        }
        false
    }
}

/// `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`.
fn sign(secret: &[u8], id: &str, seconds: u64, body: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    hmac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

/// Scheme, authority and the rest of an address.
fn split(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    Some((
        scheme,
        rest.split(['/', '?', '#', '\\']).next().unwrap_or_default(),
    ))
}

/// https to anyone, http to this host only. A user name could make one host look like another.
fn may_be_called(url: &str) -> bool {
    let Some((scheme, authority)) = split(url) else {
        return false;
    };
    if authority.is_empty()
        || url.contains(['@', '\\'])
        || !url.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return false;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let loopback = host == "localhost"
        || host == "[::1]"
        || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
    scheme == "https" || (scheme == "http" && loopback)
}

/// What of an address may be shown.
fn shown(url: &str) -> String {
    let (scheme, authority) = split(url).unwrap_or_default();
    format!(
        "{scheme}://{}",
        authority.rsplit('@').next().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::{Webhook, sign};
    use crate::{Decided, Sink as _, contract};
    use model::{Act, Attachment, CommentKind, Decision, IncidentState, Level, Sequence};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    /// Answers calls with these statuses, then no more; gives the calls' texts.
    fn receiver(statuses: &'static [u16]) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let (calls, texts) = channel();
        std::thread::spawn(move || {
            for status in statuses {
                let (mut stream, _) = listener.accept().expect("called");
                let mut text = String::new();
                let mut buffer = [0; 4096];
                while !is_whole(&text) {
                    let count = stream.read(&mut buffer).expect("read");
                    text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
                let location = "location: http://192.0.2.1/\r\n";
                write!(stream, "HTTP/1.1 {status} X\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n").expect("answered");
                calls.send(text).expect("awaited");
            }
        });
        (url, texts)
    }

    /// Whether a request's body is there.
    fn is_whole(text: &str) -> bool {
        text.split_once("\r\n\r\n")
            .is_some_and(|(head, body)| header(head, "content-length:").parse() == Ok(body.len()))
    }

    fn header<'a>(text: &'a str, name: &str) -> &'a str {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
            .expect("a header")
    }

    /// Sends one finding; whether it was told, and after how many calls.
    #[track_caller]
    fn check(statuses: &'static [u16], told: bool, calls: usize) {
        let (url, texts) = receiver(statuses);
        let mut webhook = Webhook::new(&url, b"key").expect("allowed");
        webhook
            .finding(&contract::finding(), "shop")
            .expect("queued");
        assert_eq!(webhook.flush().is_ok(), told);
        assert_eq!(webhook.dropped(), u64::from(!told));
        let texts: Vec<String> = texts.try_iter().collect();
        assert_eq!(texts.len(), calls);
        let ids: Vec<&str> = texts
            .iter()
            .map(|text| header(text, "webhook-id:"))
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn signs_so_that_the_receiver_can_check() {
        let (url, texts) = receiver(&[204]);
        let webhook = Webhook::new(&url, b"whsec_a2V5").expect("allowed");
        webhook.put("id", "{\"a\":{}}".to_owned()).expect("queued");
        let text = texts.recv().expect("called");
        let seconds = header(&text, "webhook-timestamp:")
            .parse()
            .expect("seconds");
        let id = header(&text, "webhook-id:");
        assert!(id.starts_with("id-"));
        assert_eq!(
            header(&text, "webhook-signature:"),
            sign(b"key", id, seconds, "{\"a\":{}}")
        );
        // Computed with `openssl dgst -sha256 -hmac key`.
        assert_eq!(
            sign(b"key", "msg_1", 1_785_924_930, "{}"),
            "v1,jNFIiZii+Dxf2IQUNKII2/Y2RL5MUvhjVxCIXb+/X4Y="
        );
    }

    #[test]
    fn tries_again_what_may_get_better_and_follows_no_redirect() {
        check(&[204], true, 1);
        check(&[503, 200], true, 2);
        check(&[429, 200], true, 2);
        check(&[400], false, 1);
        check(&[302], false, 1);
        check(&[500, 500, 500, 500], false, 4);
    }

    #[test]
    fn fulfils_the_contract() {
        let (url, texts) = receiver(&[200, 200, 200, 200]);
        contract::check(&mut Webhook::new(&url, b"key").expect("allowed"));
        let ids: Vec<String> = texts
            .iter()
            .map(|text| header(&text, "webhook-id:").to_owned())
            .collect();
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[2] != ids[3]);
    }

    /// Tells a decision; gives its id as it was sent, and its body.
    fn sent(act: Act) -> (String, serde_json::Value) {
        let (url, texts) = receiver(&[200]);
        let mut webhook = Webhook::new(&url, b"key").expect("allowed");
        let decision = Decision {
            act,
            ..contract::decision()
        };
        let decided = Decided {
            decision: &decision,
            sequence: Sequence(9),
            state: IncidentState::Declared,
            severity: Level::High,
        };
        webhook.decision(&decided, "shop").expect("queued");
        let text = texts.recv().expect("called");
        let (head, body) = text.split_once("\r\n\r\n").expect("whole");
        let id = header(head, "webhook-id:");
        let seconds = header(head, "webhook-timestamp:").parse().expect("seconds");
        assert_eq!(
            header(head, "webhook-signature:"),
            sign(b"key", id, seconds, body)
        );
        (id.to_owned(), serde_json::from_str(body).expect("JSON"))
    }

    #[test]
    fn a_decision_says_who_did_what_and_has_one_id() {
        let to = IncidentState::Declared;
        let (id, body) = sent(Act::Move { to });
        assert_eq!(sent(Act::Move { to }), (id.clone(), body.clone()));
        assert!(id.starts_with(&contract::decision().id), "{id}");
        let by = serde_json::json!({"account": "17", "name": "Ana \"A\""});
        let expected = serde_json::json!({
            "version": 1, "type": "decision", "installation": "shop", "entry": 9,
            "state": "declared", "severity": "high",
            "decision": {
                "id": contract::decision().id, "incident": contract::incident().id, "by": by,
                "at": 1_785_925_000_000_000_i64, "act": "move", "to": "declared",
            },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_people_wrote_does_not_leave() {
        let text = || "what I wrote".to_owned();
        let attachment = Attachment {
            name: text(),
            about: text(),
            size_bytes: 5,
            masked: 0,
            hash: text(),
            hash_kind: "sha256".to_owned(),
            kept_hash: text(),
            entries: 1,
        };
        let fields = std::iter::once(("why".to_owned(), text())).collect();
        for act in [
            Act::Comment {
                text: text(),
                kind: CommentKind::Fact,
            },
            Act::AddTask {
                title: text(),
                owner: None,
                due: None,
            },
            Act::Stage {
                flow: "response".to_owned(),
                stage: "decide".to_owned(),
                fields,
            },
            Act::Attach(attachment),
        ] {
            let name = act.name();
            let (_, body) = sent(act);
            assert_eq!(body["decision"]["act"], name);
            let body = body.to_string();
            assert!(
                !body.contains("I wrote") && !body.contains("denies"),
                "{body}"
            );
        }
    }

    #[test]
    fn refuses_other_addresses_and_empty_secrets() {
        for url in [
            "http://192.0.2.1/",
            "http://127.0.0.1.example/",
            "http://127.example/",
            "http://localhost:x@example/",
            "http://localhost\\@example/",
            "https://name:word@example/",
            "ftp://127.0.0.1/",
            "https:///x",
            "example",
        ] {
            let error = Webhook::new(url, b"key").err().expect(url).to_string();
            assert!(!error.contains("word"), "{error}");
        }
        for url in [
            "http://127.0.0.2:80/",
            "http://localhost",
            "http://[::1]:8080/x",
            "https://example:8443/x?y",
        ] {
            assert!(Webhook::new(url, b"key").is_ok(), "{url}");
        }
        assert!(Webhook::new("https://example/", b"").is_err());
        assert!(Webhook::new("https://example/", b"whsec_!").is_err());
    }
}

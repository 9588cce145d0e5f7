//! One signed webhook (the Standard Webhooks scheme: id, timestamp and body under HMAC-SHA-256).
//!
//! Sends from a thread of its own; at most [`WAITING_MAX`] messages wait, the newest is refused then and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use model::{Finding, Incident};
use serde_json::json;
use sha2::Sha256;

use crate::{Sink, SinkError};

/// Messages that may wait.
pub const WAITING_MAX: usize = 1000;
/// Attempts for one message.
const ATTEMPTS: u32 = 4;
/// Longest time one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);

struct Message {
    id: String,
    body: String,
}

/// Calls one address.
pub struct Webhook {
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    failed: Arc<AtomicU64>,
}

impl Webhook {
    /// Starts the thread that calls `url`, signing with `secret`.
    ///
    /// # Errors
    ///
    /// [`SinkError::Address`] for what is neither https nor http on loopback.
    pub fn new(url: &str, secret: &[u8]) -> Result<Self, SinkError> {
        let loopback = [
            "http://127.",
            "http://localhost:",
            "http://localhost/",
            "http://[::1]",
        ];
        if !url.starts_with("https://") && !loopback.iter().any(|start| url.starts_with(start)) {
            return Err(SinkError::Address {
                url: url.to_owned(),
            });
        }
        let (queue, messages) = sync_channel::<Message>(WAITING_MAX);
        let failed = Arc::new(AtomicU64::new(0));
        let (counter, url, secret) = (Arc::clone(&failed), url.to_owned(), secret.to_vec());
        let thread = std::thread::spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .timeout_global(Some(TIMEOUT))
                .build()
                .into();
            for message in messages {
                if !send(&agent, &url, &secret, &message) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            failed,
        })
    }

    fn put(&self, id: String, body: String) -> Result<(), SinkError> {
        let refused = |why: &str| SinkError::Refused {
            why: why.to_owned(),
        };
        match self
            .queue
            .as_ref()
            .map(|queue| queue.try_send(Message { id, body }))
        {
            Some(Ok(())) => match self.failed.load(Ordering::Relaxed) {
                0 => Ok(()),
                count => Err(SinkError::Refused {
                    why: format!("{count} messages were given up so far"),
                }),
            },
            Some(Err(TrySendError::Full(_))) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                Err(refused("too many messages wait"))
            }
            _ => Err(refused("the sender has ended")),
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the scheme signs the time of sending"
)]
fn send(agent: &ureq::Agent, url: &str, secret: &[u8], message: &Message) -> bool {
    for attempt in 0..ATTEMPTS {
        let seconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let answer = agent
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds.to_string())
            .header(
                "webhook-signature",
                sign(secret, &message.id, seconds, &message.body),
            )
            .send(message.body.as_bytes());
        match answer {
            Ok(_) => return true,
            // A refusal that names our fault doesn't get better by asking again.
            Err(ureq::Error::StatusCode(400..=428 | 430..=499)) => return false,
            Err(_) => std::thread::sleep(Duration::from_millis(200 << attempt)),
        }
    }
    false
}

/// `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`.
fn sign(secret: &[u8], id: &str, seconds: u64, body: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    hmac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

impl Sink for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn finding(&mut self, finding: &Finding, installation: &str) -> Result<(), SinkError> {
        let id = format!("{}-{}", finding.id, finding.event_count);
        self.put(id, json!({"version": 1, "type": "finding", "installation": installation, "finding": finding}).to_string())
    }

    fn incident(&mut self, incident: &Incident, installation: &str) -> Result<(), SinkError> {
        let id = format!("{}-{}", incident.id, incident.last.0);
        self.put(id, json!({"version": 1, "type": "incident", "installation": installation, "incident": incident}).to_string())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Webhook, sign};
    use std::io::{Read as _, Write as _};

    #[test]
    fn calls_a_listener_with_a_signature_that_holds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let webhook = Webhook::new(&url, b"key").expect("allowed");
        webhook
            .put("id-1".to_owned(), "{\"a\":1}".to_owned())
            .expect("queued");
        let (mut stream, _) = listener.accept().expect("called");
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.ends_with("{\"a\":1}") {
            let count = stream.read(&mut buffer).expect("read");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .expect("answered");
        let header = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
                .expect("a header")
                .to_owned()
        };
        let seconds = header("webhook-timestamp:").parse().expect("seconds");
        assert_eq!(
            header("webhook-signature:"),
            sign(b"key", "id-1", seconds, "{\"a\":1}")
        );
    }

    #[test]
    fn refuses_plain_http_to_elsewhere() {
        assert!(Webhook::new("http://192.0.2.1/", b"key").is_err());
    }
}

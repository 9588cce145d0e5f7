//! Webhooks of payment gateways, at a listener of its own that serves nothing else.
//!
//! Each gateway's scheme is one file. What a webhook says is verified over its raw bytes before anything of it is read;
//! one that isn't the gateway's is sealed as such and refused, so that a forger is seen and believed by nobody. A gateway
//! hears 200 once its message is sealed, and sends again otherwise: a message seen before is answered and not sealed
//! again. Two secrets may hold at a time, so that one can be changed without a gap.

mod adyen;
mod authorize_net;
mod braintree;
mod paypal;
mod seen;
mod stripe;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Named, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use hmac::{Hmac, Mac};
use model::{Category, Field, SourceId, Timestamp};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::observation::Observation;
use crate::source::{Given, Hand, Kind, News, Source};
use crate::{SourceError, settings};
use seen::Seen;

/// Longest body; the gateways' own messages are some kilobytes, Adyen's batches a few more.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Messages remembered, so that none is sealed twice.
const SEEN_MAX: usize = 100_000;
/// How long sealing is waited for; gateways give up after ten to twenty seconds.
const PATIENCE: Duration = Duration::from_secs(8);
/// Requests at work at a time.
const REQUESTS_MAX: usize = 32;
/// Messages that aren't believed and are sealed one by one, in a minute; those beyond are counted in one record.
const REFUSED_MAX: u64 = 60;
/// How far a signed time may be off, in seconds (Stripe's own default).
const TOLERANCE_SECONDS: i64 = 300;

/// One gateway's scheme. Yours: a file here, its `mod` line, its entry in [`GATEWAYS`].
trait Gateway: Sync {
    /// Its name, in the address and in settings.
    fn name(&self) -> &'static str;

    /// Verifies a message by any of `secrets`, and reads it. What it says is read whether it is signed or not.
    fn read(&self, message: &Message<'_>, secrets: &[Secret]) -> Verdict;
}

static GATEWAYS: [&dyn Gateway; 5] = [
    &adyen::Adyen,
    &authorize_net::AuthorizeNet,
    &braintree::Braintree,
    &paypal::PayPal,
    &stripe::Stripe,
];

/// A secret as its file holds it, without white space around it. No `Debug`.
struct Secret(Vec<u8>);

/// What came.
struct Message<'a> {
    headers: &'a HeaderMap,
    body: &'a [u8],
    now: Timestamp,
}

impl Message<'_> {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether a time in seconds since 1970 is near enough.
    fn is_near(&self, seconds: i64) -> bool {
        (self.now.0 / Timestamp::SECOND).abs_diff(seconds) <= TOLERANCE_SECONDS.unsigned_abs()
    }
}

/// What became of a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Why it isn't believed; `None` when its signature holds.
    refused: Option<&'static str>,
    /// What it tells of; one message may tell of several things.
    told: Vec<Told>,
    /// What the gateway wants to hear.
    answer: &'static str,
}

/// One thing a gateway tells of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Its id: what it is known again by.
    id: String,
    /// The gateway's own name of it.
    event: String,
    /// When it happened, where the message says.
    seconds: Option<i64>,
    /// What an order is found by.
    orders: Vec<String>,
    /// Amount in the currency's smallest unit.
    amount: Option<i64>,
    currency: String,
    /// Whether it is of the gateway's test mode.
    is_test: bool,
}

/// The kind `gateway`.
pub(crate) struct Webhooks;

/// Its settings; a name that is no gateway's is refused when it is opened.
#[derive(Deserialize)]
struct Settings {
    /// Address and port.
    listen: SocketAddr,
    /// File of secrets of each gateway, one a line; two while one is being changed.
    #[serde(flatten)]
    secrets: BTreeMap<String, PathBuf>,
}

impl Kind for Webhooks {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let wrong = |why: String| SourceError::Settings {
            kind: "gateway",
            why,
        };
        let mut doors = BTreeMap::new();
        for (name, file) in &settings.secrets {
            let gateway = GATEWAYS
                .into_iter()
                .find(|gateway| gateway.name() == name)
                .ok_or_else(|| wrong(format!("there is no gateway `{name}`: {}", names())))?;
            doors.insert(gateway.name(), (gateway, secrets(file)?));
        }
        if doors.is_empty() {
            return Err(wrong(format!(
                "it wants a file of secrets for at least one of: {}",
                names()
            )));
        }
        let failed = |source| SourceError::Network {
            place: format!("http://{}", settings.listen),
            source,
        };
        let listener = std::net::TcpListener::bind(settings.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Box::new(Listener {
            bound: listener.local_addr().map_err(failed)?,
            listener,
            doors: Arc::new(doors),
            seen: Arc::new(Mutex::new(Seen::new(given.now))),
            clock: given.clock,
        }))
    }
}

fn names() -> String {
    GATEWAYS.map(Gateway::name).join(", ")
}

/// Reads a file of secrets: one a line; blank lines and those that begin with `#` are none.
fn secrets(file: &Path) -> Result<Vec<Secret>, SourceError> {
    let text = std::fs::read_to_string(file).map_err(SourceError::io(file))?;
    // A certificate is one secret of many lines.
    if text.contains("-----BEGIN") {
        return Ok(vec![Secret(text.into_bytes())]);
    }
    let secrets: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Secret(line.as_bytes().to_vec()))
        .collect();
    if secrets.is_empty() {
        return Err(SourceError::Settings {
            kind: "gateway",
            why: format!("{} holds no secret", file.display()),
        });
    }
    Ok(secrets)
}

type Doors = BTreeMap<&'static str, (&'static dyn Gateway, Vec<Secret>)>;

struct Listener {
    bound: SocketAddr,
    listener: std::net::TcpListener,
    doors: Arc<Doors>,
    seen: Arc<Mutex<Seen>>,
    clock: fn() -> Timestamp,
}

impl Source for Listener {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let failed = |source| SourceError::Network {
            place: format!("http://{}", self.bound),
            source,
        };
        let desk = Desk {
            doors: Arc::clone(&self.doors),
            seen: Arc::clone(&self.seen),
            hand: hand.clone(),
            turns: Arc::new(tokio::sync::Semaphore::new(REQUESTS_MAX)),
            clock: self.clock,
        };
        let listener = self.listener.try_clone().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(REQUESTS_MAX)
            .build()
            .map_err(failed)?;
        let doors: Vec<_> = self.doors.keys().copied().collect();
        let what = format!(
            "takes webhooks at http://{}/ of {}",
            self.bound,
            doors.join(", ")
        );
        hand.tell(self.id(), News::Well { what });
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let hand = hand.clone();
            let stopped = async move {
                while !hand.stopped() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let router = Router::new()
                .route("/{gateway}", post(take))
                .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
                .with_state(desk);
            axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await
                .map_err(failed)
        })
    }

    fn id(&self) -> SourceId {
        SourceId(format!("gateway:{}", self.bound))
    }
}

#[derive(Clone)]
struct Desk {
    doors: Arc<Doors>,
    seen: Arc<Mutex<Seen>>,
    hand: Hand,
    turns: Arc<tokio::sync::Semaphore>,
    clock: fn() -> Timestamp,
}

async fn take(
    State(desk): State<Desk>,
    Named(name): Named<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(_turn) = desk.turns.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let work = {
        let desk = desk.clone();
        tokio::task::spawn_blocking(move || desk.judge(&name, &headers, &body))
    };
    work.await
        .unwrap_or((StatusCode::SERVICE_UNAVAILABLE, ""))
        .into_response()
}

impl Desk {
    fn judge(&self, name: &str, headers: &HeaderMap, body: &[u8]) -> (StatusCode, &'static str) {
        let Some((gateway, secrets)) = self.doors.get(name) else {
            return (StatusCode::NOT_FOUND, "no such gateway here");
        };
        let now = (self.clock)();
        let message = Message { headers, body, now };
        let verdict = gateway.read(&message, secrets);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chunks = Vec::new();
        let mut fresh = Vec::new();
        if verdict.refused.is_some() {
            let (alone, before) = seen.refuse(now);
            if before > 0 {
                let record = Observation::new(Category::Gateway, now)
                    .text(Field::Gateway, gateway.name())
                    .text(Field::Signed, "no")
                    .int(
                        Field::ChangeCount,
                        i64::try_from(before).unwrap_or(i64::MAX),
                    )
                    .text(
                        Field::Context,
                        "so many more came and weren't sealed one by one",
                    )
                    .record();
                chunks.push(seen.chunk(gateway.name(), record));
            }
            if !alone {
                return (StatusCode::BAD_REQUEST, "not verified");
            }
        }
        for told in &verdict.told {
            let known = seen.known.contains(&(gateway.name(), told.id.clone()));
            if verdict.refused.is_none() && known {
                continue;
            }
            let record = observe(gateway.name(), told, &verdict, &message);
            chunks.push(seen.chunk(gateway.name(), record));
            fresh.push(told.id.clone());
        }
        if chunks.is_empty() && verdict.refused.is_some() {
            let record = observe(gateway.name(), &Told::default(), &verdict, &message);
            chunks.push(seen.chunk(gateway.name(), record));
        }
        drop(seen);
        let sealed = chunks.is_empty() || self.hand.give_and_wait(chunks, PATIENCE).is_ok();
        match (verdict.refused, sealed) {
            // What isn't the gateway's needs no second try, sealed or not.
            (Some(_), _) => (StatusCode::BAD_REQUEST, "not verified"),
            (None, false) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "not sealed in time: send it again",
            ),
            (None, true) => {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                for id in &fresh {
                    seen.remember(gateway.name(), id);
                }
                (StatusCode::OK, verdict.answer)
            }
        }
    }
}

/// The record: what was told, whether it is believed, and the body as it came.
fn observe(gateway: &str, told: &Told, verdict: &Verdict, message: &Message<'_>) -> Vec<u8> {
    let time = told
        .seconds
        .and_then(|seconds| seconds.checked_mul(Timestamp::SECOND))
        .map_or(message.now, Timestamp);
    let mut observation = Observation::new(Category::Gateway, time)
        .text(Field::Gateway, gateway)
        .text(Field::GatewayEvent, &told.event)
        .text(Field::GatewayId, &told.id)
        .list(
            Field::OrderIds,
            told.orders.iter().filter(|id| !id.is_empty()),
        )
        .text(Field::Currency, &told.currency)
        .text(
            Field::Signed,
            if verdict.refused.is_none() {
                "yes"
            } else {
                "no"
            },
        )
        .text(Field::Severity, if told.is_test { "test" } else { "" })
        .text(Field::Message, &String::from_utf8_lossy(message.body));
    if let Some(why) = verdict.refused {
        observation = observation.text(Field::Context, why);
    }
    if let Some(amount) = told.amount {
        observation = observation.int(Field::Amount, amount);
    }
    observation.record()
}

/// Whether a code is the HMAC of `parts` under `key`; compared in constant time.
fn holds<M: Mac + hmac::KeyInit>(key: &[u8], parts: &[&[u8]], code: &[u8]) -> bool {
    let Ok(mut mac) = <M as hmac::KeyInit>::new_from_slice(key) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(code).is_ok()
}

type HmacSha256 = Hmac<sha2::Sha256>;

/// Bytes of hexadecimal digits; `None` when they aren't.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok())
        .collect()
}

/// A text under a path of keys.
fn text(json: &Json, path: &[&str]) -> String {
    let mut at = json;
    for key in path {
        match at.get(key) {
            Some(next) => at = next,
            None => return String::new(),
        }
    }
    match at {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => String::new(),
    }
}

/// A decimal amount in smallest units; most currencies have two digits, some none or three (ISO 4217).
fn minor(amount: &str, currency: &str) -> Option<i64> {
    let digits = match currency {
        "JPY" | "KRW" | "VND" | "CLP" | "ISK" | "XAF" | "XOF" | "XPF" | "UGX" | "PYG" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let (whole, fraction) = amount.trim().split_once('.').unwrap_or((amount.trim(), ""));
    if fraction.len() > 9 || whole.is_empty() {
        return None;
    }
    let mut text = String::from(whole);
    for at in 0..digits {
        text.push(
            fraction
                .as_bytes()
                .get(at)
                .map_or('0', |byte| *byte as char),
        );
    }
    text.parse().ok()
}

/// Seconds since 1970 of an RFC 3339 time.
fn seconds(time: &str) -> Option<i64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests;

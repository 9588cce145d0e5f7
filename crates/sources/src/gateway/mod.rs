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
mod poll;
mod seen;
mod stripe;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

use crate::listen::Door;
use crate::observation::Observation;
use crate::source::{Given, Hand, Kind, News, NotSealed, Pending, Source};
use crate::{SourceError, private, settings};
pub(crate) use poll::Polls;
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
/// What a sender hears whose message may not be durable.
const LATE: (StatusCode, &str) = (
    StatusCode::SERVICE_UNAVAILABLE,
    "not sealed in time: send it again",
);
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
        Ok(Box::new(Listener {
            door: Door::open(settings.listen)?,
            gateways: Arc::new(doors),
            seen: Arc::new(Mutex::new(Seen::new(given.now))),
            one_by_one: Arc::new(Mutex::new(Vec::new())),
            clock: given.clock,
        }))
    }
}

fn names() -> String {
    GATEWAYS.map(Gateway::name).join(", ")
}

/// Reads a file of secrets: one a line, or a certificate, which is one secret of many lines.
fn secrets(file: &Path) -> Result<Vec<Secret>, SourceError> {
    let text = private::read(file)?;
    if text.contains("-----BEGIN") {
        return Ok(vec![Secret(text.into_bytes())]);
    }
    let lines = private::lines("gateway", file, &text)?;
    Ok(lines
        .into_iter()
        .map(|line| Secret(line.into_bytes()))
        .collect())
}

type Gateways = BTreeMap<&'static str, (&'static dyn Gateway, Vec<Secret>)>;

struct Listener {
    door: Door,
    gateways: Arc<Gateways>,
    seen: Arc<Mutex<Seen>>,
    one_by_one: Arc<Mutex<Vec<Late>>>,
    clock: fn() -> Timestamp,
}

/// Messages of a gateway that were handed over and may be sealed yet.
struct Late {
    pending: Pending,
    gateway: &'static str,
    ids: Vec<String>,
}

impl Source for Listener {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let desk = Desk {
            gateways: Arc::clone(&self.gateways),
            seen: Arc::clone(&self.seen),
            one_by_one: Arc::clone(&self.one_by_one),
            hand: hand.clone(),
            clock: self.clock,
        };
        let names: Vec<_> = self.gateways.keys().copied().collect();
        let what = format!(
            "takes webhooks at http://{}/ of {}",
            self.door.address(),
            names.join(", ")
        );
        hand.tell(self.id(), News::Well { what });
        let router = Router::new()
            .route("/{gateway}", post(take))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(desk);
        self.door.serve(router, REQUESTS_MAX, hand)
    }

    fn id(&self) -> SourceId {
        SourceId(format!("gateway:{}", self.door.address()))
    }
}

#[derive(Clone)]
struct Desk {
    gateways: Arc<Gateways>,
    seen: Arc<Mutex<Seen>>,
    /// One believed message at a time, so that two copies of it can't both be new; and those that were not sealed in time.
    one_by_one: Arc<Mutex<Vec<Late>>>,
    hand: Hand,
    clock: fn() -> Timestamp,
}

async fn take(
    State(desk): State<Desk>,
    Named(name): Named<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    tokio::task::spawn_blocking(move || desk.judge(&name, &headers, &body))
        .await
        .unwrap_or((StatusCode::SERVICE_UNAVAILABLE, ""))
        .into_response()
}

impl Desk {
    fn judge(&self, name: &str, headers: &HeaderMap, body: &[u8]) -> (StatusCode, &'static str) {
        let Some((gateway, secrets)) = self.gateways.get(name) else {
            return (StatusCode::NOT_FOUND, "no such gateway here");
        };
        let now = (self.clock)();
        let message = Message { headers, body, now };
        let verdict = gateway.read(&message, secrets);
        match verdict.refused {
            Some(why) => self.refuse(gateway.name(), why, &verdict, &message),
            None => self.believe(gateway.name(), &verdict, &message),
        }
    }

    /// Seals that somebody claimed to be a gateway: one record, whatever the message tells of.
    fn refuse(
        &self,
        gateway: &'static str,
        why: &'static str,
        verdict: &Verdict,
        message: &Message<'_>,
    ) -> (StatusCode, &'static str) {
        let mut chunks = Vec::new();
        let mut seen = self.seen();
        let (alone, before) = seen.refuse(message.now);
        if before > 0 {
            let record = Observation::new(Category::Gateway, message.now)
                .text(Field::Gateway, gateway)
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
            chunks.push(seen.chunk(gateway, record));
        }
        if alone {
            let nothing = Told::default();
            let first = verdict.told.first().unwrap_or(&nothing);
            // When it happened is the forger's word, too: it counts from when it came.
            let record = observe(gateway, first, message.now)
                .text(Field::Signed, "no")
                .text(Field::Context, why)
                .text(Field::Message, &String::from_utf8_lossy(message.body))
                .record();
            chunks.push(seen.chunk(gateway, record));
        }
        drop(seen);
        if !chunks.is_empty() && self.hand.give_and_wait(chunks, PATIENCE).is_err() {
            return LATE;
        }
        (StatusCode::BAD_REQUEST, "not verified")
    }

    /// Seals what a gateway tells of, each thing once.
    fn believe(
        &self,
        gateway: &'static str,
        verdict: &Verdict,
        message: &Message<'_>,
    ) -> (StatusCode, &'static str) {
        let mut late = self
            .one_by_one
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.settle(&mut late, gateway, verdict);
        let is_late = |id: &String| {
            let mut all = late.iter().filter(|one| one.gateway == gateway);
            all.any(|one| one.ids.contains(id))
        };
        if verdict.told.iter().any(|told| is_late(&told.id)) {
            return LATE;
        }
        let mut chunks = Vec::new();
        let mut fresh = Vec::new();
        let mut seen = self.seen();
        for told in &verdict.told {
            if seen.knows(gateway, &told.id) {
                continue;
            }
            let time = told
                .seconds
                .and_then(|seconds| seconds.checked_mul(Timestamp::SECOND))
                .map_or(message.now, Timestamp);
            let mut observation = observe(gateway, told, time).text(Field::Signed, "yes");
            // The body as it came, with the first of what it tells of.
            if fresh.is_empty() {
                observation =
                    observation.text(Field::Message, &String::from_utf8_lossy(message.body));
            }
            chunks.push(seen.chunk(gateway, observation.record()));
            fresh.push(&told.id);
        }
        drop(seen);
        if !chunks.is_empty() {
            let Ok(pending) = self.hand.offer(chunks, PATIENCE) else {
                return LATE;
            };
            if let Err(why) = pending.wait(PATIENCE) {
                if why == NotSealed::Late {
                    let ids = fresh.into_iter().cloned().collect();
                    late.push(Late {
                        pending,
                        gateway,
                        ids,
                    });
                }
                return LATE;
            }
        }
        let mut seen = self.seen();
        for id in fresh {
            seen.remember(gateway, id);
        }
        (StatusCode::OK, verdict.answer)
    }

    /// Looks what became of messages that were not sealed in time; those that come again now are waited for.
    fn settle(&self, late: &mut Vec<Late>, gateway: &'static str, verdict: &Verdict) {
        late.retain(|one| {
            let comes_again = one.gateway == gateway
                && verdict.told.iter().any(|told| one.ids.contains(&told.id));
            let patience = if comes_again {
                PATIENCE
            } else {
                Duration::ZERO
            };
            let result = one.pending.wait(patience);
            if result.is_ok() {
                let mut seen = self.seen();
                for id in &one.ids {
                    seen.remember(one.gateway, id);
                }
            }
            result == Err(NotSealed::Late)
        });
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was told, without whether it is believed.
fn observe(gateway: &str, told: &Told, time: Timestamp) -> Observation {
    let observation = Observation::new(Category::Gateway, time)
        .text(Field::Gateway, gateway)
        .text(Field::GatewayEvent, &told.event)
        .text(Field::GatewayId, &told.id)
        .list(
            Field::OrderIds,
            told.orders.iter().filter(|id| !id.is_empty()),
        )
        .text(Field::Currency, &told.currency)
        .text(Field::Severity, if told.is_test { "test" } else { "" });
    match told.amount {
        Some(amount) => observation.int(Field::Amount, amount),
        None => observation,
    }
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

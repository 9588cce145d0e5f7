//! Splunk's HTTP Event Collector, as its senders speak it: events as JSON objects one after the other, or raw lines.
//!
//! Answers and codes are those senders know (Splunk's documentation of the collector). There are no channels to ask
//! for acknowledgements: the answer itself comes after sealing. What an envelope says besides source, format and
//! the event – its time, its fields – isn't kept: the record is the event as it was sent.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{Origin, origin};
use super::{BODY_BYTES_MAX, Desk, Items, Refusal, inflate};

/// One event's envelope; what isn't named is left aside.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    host: Option<String>,
    source: Option<String>,
    sourcetype: Option<String>,
}

/// What the address of a raw request may say.
#[derive(Deserialize)]
pub(super) struct Told {
    host: Option<String>,
    source: Option<String>,
    sourcetype: Option<String>,
}

pub(super) async fn events(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let result = async {
        let body = inflate(&headers, body, BODY_BYTES_MAX)?;
        desk.seal(read(&desk, &body)?, None).await
    };
    answer(&result.await.map(drop))
}

pub(super) async fn raw(
    State(desk): State<Desk>,
    Query(told): Query<Told>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let result = async {
        let body = inflate(&headers, body, BODY_BYTES_MAX)?;
        let origin = named(&desk, told.host, told.source, told.sourcetype)?;
        desk.seal(Items::lines(&origin, &body)?, None).await
    };
    answer(&result.await.map(drop))
}

pub(super) async fn health() -> Response {
    say(StatusCode::OK, "HEC is healthy", 17)
}

fn read(desk: &Desk, body: &[u8]) -> Result<Items, Refusal> {
    let mut items = Items::default();
    for envelope in serde_json::Deserializer::from_slice(body).into_iter::<Envelope<'_>>() {
        let envelope = envelope.map_err(|_| Refusal::BadData("Invalid data format"))?;
        let event = envelope.event.ok_or(Refusal::NoEvent)?.get();
        let origin = named(desk, envelope.host, envelope.source, envelope.sourcetype)?;
        // A text is the line it holds; an object is itself, byte for byte.
        match serde_json::from_str::<String>(event) {
            Ok(text) => items.push(&origin, text.as_bytes())?,
            Err(_) => items.push(&origin, event.as_bytes())?,
        }
    }
    Ok(items)
}

/// What an event is of, and its format where the source type is one or has a common name of one.
fn named(
    desk: &Desk,
    host: Option<String>,
    source: Option<String>,
    sourcetype: Option<String>,
) -> Result<Arc<Origin>, Refusal> {
    let name = match (host, source) {
        (Some(host), Some(source)) => format!("{host}:{source}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "hec".to_owned(),
    };
    // Of source types there are many that are no format's name: these records are recognised.
    let format = sourcetype.and_then(|kind| {
        desk.format(match kind.as_str() {
            "access_combined" | "nginx:plus:access" => "nginx_combined",
            "mysql:slowQuery" => "mysql_slow",
            other => other,
        })
        .ok()
    });
    origin("http", &name, format)
}

pub(super) fn refuse(refusal: &Refusal) -> Response {
    let (text, code) = match refusal {
        Refusal::NoToken => ("Token is required", 2),
        Refusal::BadToken => ("Invalid token", 4),
        Refusal::NoData => ("No data", 5),
        Refusal::NoEvent => ("Event field is required", 12),
        Refusal::BadData(_) => ("Invalid data format", 6),
        Refusal::TooLarge => ("Request entity too large", 27),
        Refusal::TooManyNames | Refusal::Late => ("Server is busy", 9),
    };
    say(refusal.status(), text, code)
}

fn answer(result: &Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => say(StatusCode::OK, "Success", 0),
        Err(refusal) => refuse(refusal),
    }
}

fn say(status: StatusCode, text: &str, code: u32) -> Response {
    let said = serde_json::json!({ "text": text, "code": code });
    (status, axum::Json(said)).into_response()
}

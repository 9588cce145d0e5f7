//! Splunk's HTTP Event Collector, as its senders speak it: events as JSON objects one after the other, or raw lines.
//!
//! Answers and codes are those senders know (Splunk's documentation of the collector). There are no channels to ask
//! for acknowledgements: the answer itself comes after sealing. What an envelope says besides source, format and
//! the event – its time, its fields – isn't kept: the record is the event as it was sent.

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Desk, Item, RECORDS_MAX, Refusal, inflate};

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
        desk.admit(&headers)?;
        let body = inflate(&headers, body)?;
        desk.seal(read(&desk, &body)?, None).await
    }
    .await;
    answer(result.map(drop))
}

pub(super) async fn raw(
    State(desk): State<Desk>,
    Query(told): Query<Told>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let result = async {
        desk.admit(&headers)?;
        let body = inflate(&headers, body)?;
        let (name, format) = named(&desk, told.host, told.source, told.sourcetype);
        let items = body
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| Item {
                name: name.clone(),
                format: format.clone(),
                bytes: line.to_vec(),
            })
            .collect();
        desk.seal(items, None).await
    }
    .await;
    answer(result.map(drop))
}

pub(super) async fn health() -> Response {
    (
        StatusCode::OK,
        axum::Json(serde_json::json!({ "text": "HEC is healthy", "code": 17 })),
    )
        .into_response()
}

fn read(desk: &Desk, body: &[u8]) -> Result<Vec<Item>, Refusal> {
    let mut items = Vec::new();
    for envelope in serde_json::Deserializer::from_slice(body).into_iter::<Envelope<'_>>() {
        let envelope = envelope.map_err(|_| Refusal::BadData("Invalid data format"))?;
        let event = envelope
            .event
            .ok_or(Refusal::BadData("Event field is required"))?
            .get();
        // A text is the line it holds; an object is itself, byte for byte.
        let bytes = match serde_json::from_str::<String>(event) {
            Ok(text) => text.into_bytes(),
            Err(_) => event.as_bytes().to_vec(),
        };
        let (name, format) = named(desk, envelope.host, envelope.source, envelope.sourcetype);
        items.push(Item {
            name,
            format,
            bytes,
        });
        if items.len() > RECORDS_MAX {
            return Err(Refusal::TooLarge);
        }
    }
    Ok(items)
}

/// The source's name, and its format where the source type is one or has a common name of one.
fn named(
    desk: &Desk,
    host: Option<String>,
    source: Option<String>,
    sourcetype: Option<String>,
) -> (String, Option<String>) {
    let name = match (host, source) {
        (Some(host), Some(source)) => format!("{host}:{source}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "hec".to_owned(),
    };
    let format = sourcetype.and_then(|kind| {
        let kind = match kind.as_str() {
            "access_combined" | "nginx:plus:access" => "nginx_combined",
            "mysql:slowQuery" => "mysql_slow",
            other => other,
        };
        desk.formats.contains(&kind).then(|| kind.to_owned())
    });
    (name, format)
}

fn answer(result: Result<(), Refusal>) -> Response {
    let (status, text, code) = match result {
        Ok(()) => (StatusCode::OK, "Success", 0),
        Err(refusal) => {
            let (text, code) = match &refusal {
                Refusal::NoToken => ("Token is required", 2),
                Refusal::BadToken => ("Invalid token", 4),
                Refusal::NoData => ("No data", 5),
                Refusal::BadData("Event field is required") => ("Event field is required", 12),
                Refusal::BadData(_) => ("Invalid data format", 6),
                Refusal::TooLarge => ("Request entity too large", 27),
                Refusal::TooManyNames | Refusal::Late => ("Server is busy", 9),
            };
            (refusal.status(), text, code)
        }
    };
    (
        status,
        axum::Json(serde_json::json!({ "text": text, "code": code })),
    )
        .into_response()
}

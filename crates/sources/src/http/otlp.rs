//! OpenTelemetry logs over HTTP (OTLP 1.x), as protobuf or JSON. A log record's body is the record.
//!
//! The messages are those of `opentelemetry/proto/logs/v1` and `common/v1` with the fields that are read here; protobuf
//! skips the others.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use prost::Message;
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::names::{Origin, origin};
use super::{Desk, Items, Refusal, inflate};

/// Longest body: read, it takes many times its size.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// How deep lists and maps of a body are followed.
const DEPTH_MAX: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Map(Map),
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Map {
    #[prost(message, repeated, tag = "1")]
    values: Vec<KeyValue>,
}

pub(super) async fn logs(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let result = async {
        let body = inflate(&headers, body, BODY_BYTES_MAX)?;
        let items = if json {
            from_json(&desk, &body)?
        } else {
            from_protobuf(&desk, &body)?
        };
        // Nothing to say is no fault in this protocol.
        if items.is_empty() {
            return Ok(());
        }
        desk.seal(items, None).await.map(drop)
    };
    match result.await {
        Ok(()) if json => axum::Json(serde_json::json!({})).into_response(),
        Ok(()) => (
            [(header::CONTENT_TYPE, "application/x-protobuf")],
            Vec::<u8>::new(),
        )
            .into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) fn refuse(refusal: &Refusal) -> Response {
    // 503 is what senders of this protocol try again after.
    let status = match refusal.status() {
        StatusCode::FORBIDDEN => StatusCode::UNAUTHORIZED,
        other => other,
    };
    let said = serde_json::json!({ "code": 13, "message": refusal.text() });
    (status, axum::Json(said)).into_response()
}

fn from_protobuf(desk: &Desk, body: &[u8]) -> Result<Items, Refusal> {
    let request = Request::decode(body).map_err(|_| Refusal::BadData("no OTLP logs request"))?;
    let mut items = Items::default();
    for of in request.resource_logs {
        let resource = of.resource.unwrap_or_default().attributes;
        for record in of.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let find = |key: &str| {
                let pairs = record.attributes.iter().chain(&resource);
                let value = pairs.into_iter().find(|pair| pair.key == key)?;
                match value.value.as_ref()?.value.as_ref()? {
                    Any::Text(text) => Some(text.clone()),
                    _ => None,
                }
            };
            let bytes: Cow<'_, [u8]> =
                match record.body.as_ref().and_then(|body| body.value.as_ref()) {
                    Some(Any::Text(text)) => text.as_bytes().into(),
                    Some(Any::Bytes(bytes)) => bytes.into(),
                    Some(other) => plain(other, 0).to_string().into_bytes().into(),
                    None => continue,
                };
            items.push(&named(desk, &find)?, &bytes)?;
        }
    }
    Ok(items)
}

/// The same messages as JSON has them; what isn't named is left aside.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest<'a> {
    #[serde(borrow, default)]
    resource_logs: Vec<JsonResourceLogs<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonResourceLogs<'a> {
    #[serde(borrow, default)]
    resource: JsonResource<'a>,
    #[serde(borrow, default)]
    scope_logs: Vec<JsonScopeLogs<'a>>,
}

#[derive(Default, Deserialize)]
struct JsonResource<'a> {
    #[serde(borrow, default)]
    attributes: Vec<JsonKeyValue<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonScopeLogs<'a> {
    #[serde(borrow, default)]
    log_records: Vec<JsonLogRecord<'a>>,
}

#[derive(Deserialize)]
struct JsonLogRecord<'a> {
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    attributes: Vec<JsonKeyValue<'a>>,
}

#[derive(Deserialize)]
struct JsonKeyValue<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

/// A value that is a text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonText {
    string_value: String,
}

fn text_of(value: &RawValue) -> Option<String> {
    let text: JsonText = serde_json::from_str(value.get()).ok()?;
    Some(text.string_value)
}

fn from_json(desk: &Desk, body: &[u8]) -> Result<Items, Refusal> {
    let request: JsonRequest<'_> =
        serde_json::from_slice(body).map_err(|_| Refusal::BadData("no OTLP logs request"))?;
    let mut items = Items::default();
    for of in &request.resource_logs {
        for record in of.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let find = |key: &str| {
                let mut pairs = record.attributes.iter().chain(&of.resource.attributes);
                text_of(pairs.find(|pair| pair.key == key)?.value?)
            };
            let Some(body) = record.body else { continue };
            let origin = named(desk, &find)?;
            match text_of(body) {
                Some(text) => items.push(&origin, text.as_bytes())?,
                None => items.push(&origin, body.get().as_bytes())?,
            }
        }
    }
    Ok(items)
}

/// What a record is of: its file, else its service.
fn named(desk: &Desk, find: &dyn Fn(&str) -> Option<String>) -> Result<Arc<Origin>, Refusal> {
    let file = find("log.file.path").or_else(|| find("log.file.name"));
    let name = match (find("service.name"), file) {
        (Some(service), Some(file)) => format!("{service}:{file}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "otlp".to_owned(),
    };
    let format = find("magewarden.format");
    let format = format.map(|name| desk.format(&name)).transpose()?;
    origin("http", &name, format)
}

/// A value as plain JSON.
fn plain(any: &Any, depth: usize) -> Json {
    if depth >= DEPTH_MAX {
        return Json::Null;
    }
    let inner = |value: Option<&AnyValue>| {
        value
            .and_then(|value| value.value.as_ref())
            .map_or(Json::Null, |value| plain(value, depth + 1))
    };
    match any {
        Any::Text(text) => text.clone().into(),
        Any::Bool(value) => (*value).into(),
        Any::Int(number) => (*number).into(),
        Any::Double(number) => (*number).into(),
        Any::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
        Any::List(list) => list.values.iter().map(|value| inner(Some(value))).collect(),
        Any::Map(map) => map
            .values
            .iter()
            .map(|pair| (pair.key.clone(), inner(pair.value.as_ref())))
            .collect(),
    }
}

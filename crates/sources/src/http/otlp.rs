//! OpenTelemetry logs over HTTP (OTLP 1.x), as protobuf or JSON. A log record's body is the record.
//!
//! The messages are those of `opentelemetry/proto/logs/v1` and `common/v1` with the fields that are read here; protobuf
//! skips the others.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use prost::Message;
use serde_json::Value as Json;

use super::{Desk, Item, RECORDS_MAX, Refusal, inflate};

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
        desk.admit(&headers)?;
        let body = inflate(&headers, body)?;
        let items = if json {
            from_json(&body)?
        } else {
            from_protobuf(&body)?
        };
        // Nothing to say is no fault in this protocol.
        if items.is_empty() {
            return Ok(());
        }
        desk.seal(items, None).await.map(drop)
    }
    .await;
    match result {
        Ok(()) if json => axum::Json(serde_json::json!({})).into_response(),
        Ok(()) => (
            [(header::CONTENT_TYPE, "application/x-protobuf")],
            Vec::<u8>::new(),
        )
            .into_response(),
        Err(refusal) => {
            // 503 is what senders of this protocol try again after.
            let status = match refusal.status() {
                StatusCode::FORBIDDEN => StatusCode::UNAUTHORIZED,
                other => other,
            };
            (
                status,
                axum::Json(serde_json::json!({ "code": 13, "message": refusal.text() })),
            )
                .into_response()
        }
    }
}

fn from_protobuf(body: &[u8]) -> Result<Vec<Item>, Refusal> {
    let request = Request::decode(body).map_err(|_| Refusal::BadData("no OTLP logs request"))?;
    let mut items = Vec::new();
    for of in request.resource_logs {
        let resource = of.resource.unwrap_or_default().attributes;
        for record in of
            .scope_logs
            .into_iter()
            .flat_map(|scope| scope.log_records)
        {
            let find = |key: &str| {
                record
                    .attributes
                    .iter()
                    .chain(&resource)
                    .find(|pair| pair.key == key)
                    .and_then(|pair| match pair.value.as_ref()?.value.as_ref()? {
                        Any::Text(text) => Some(text.clone()),
                        _ => None,
                    })
            };
            let bytes = match record.body.as_ref().and_then(|body| body.value.as_ref()) {
                Some(Any::Text(text)) => text.clone().into_bytes(),
                Some(Any::Bytes(bytes)) => bytes.clone(),
                Some(other) => plain(other, 0).to_string().into_bytes(),
                None => continue,
            };
            items.push(item(&find, bytes));
            if items.len() > RECORDS_MAX {
                return Err(Refusal::TooLarge);
            }
        }
    }
    Ok(items)
}

fn from_json(body: &[u8]) -> Result<Vec<Item>, Refusal> {
    let request: Json =
        serde_json::from_slice(body).map_err(|_| Refusal::BadData("no OTLP logs request"))?;
    let list = |json: &Json, name: &str| -> Vec<Json> {
        json.get(name)
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut items = Vec::new();
    for of in list(&request, "resourceLogs") {
        let resource = of
            .get("resource")
            .map(|resource| list(resource, "attributes"));
        for record in list(&of, "scopeLogs")
            .iter()
            .flat_map(|scope| list(scope, "logRecords"))
        {
            let attributes = list(&record, "attributes");
            let find = |key: &str| {
                attributes
                    .iter()
                    .chain(resource.iter().flatten())
                    .find(|pair| pair.get("key").and_then(Json::as_str) == Some(key))
                    .and_then(|pair| {
                        Some(pair.get("value")?.get("stringValue")?.as_str()?.to_owned())
                    })
            };
            let bytes = match record.get("body") {
                None | Some(Json::Null) => continue,
                Some(body) => match body.get("stringValue").and_then(Json::as_str) {
                    Some(text) => text.as_bytes().to_vec(),
                    None => body.to_string().into_bytes(),
                },
            };
            items.push(item(&find, bytes));
            if items.len() > RECORDS_MAX {
                return Err(Refusal::TooLarge);
            }
        }
    }
    Ok(items)
}

/// The record of a body: its source is its file, else its service.
fn item(find: &dyn Fn(&str) -> Option<String>, bytes: Vec<u8>) -> Item {
    let service = find("service.name");
    let name = match (
        service,
        find("log.file.path").or_else(|| find("log.file.name")),
    ) {
        (Some(service), Some(file)) => format!("{service}:{file}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "otlp".to_owned(),
    };
    Item {
        name,
        format: find("magewarden.format"),
        bytes,
    }
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

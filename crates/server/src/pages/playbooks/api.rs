//! Playbooks for programs.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use engine::containment::{Faults, PlaybookWish};
use model::Right;
use playbook::{Document, Weight};
use serde::Deserialize;
use serde_json::{Value, json};

use super::editor::words_of;
use super::{Row, all};
use crate::access::{Caller, Console, Seen, aside};
use crate::api;
use crate::pages::{json as answer, problem};

/// The list.
pub(crate) async fn list(Seen(sight): Seen, caller: Caller) -> Response {
    let rows = all(&sight, caller.now).await;
    let items: Vec<Value> = rows.iter().map(Row::told).collect();
    answer(&json!({ "items": items, "remarks": sight.mode_remarks() }))
}

/// One: what the list has of it, and the document.
pub(crate) async fn one(Seen(sight): Seen, caller: Caller, Path(name): Path<String>) -> Response {
    let rows = all(&sight, caller.now).await;
    let Some(row) = rows.into_iter().find(|row| row.playbook.name == name) else {
        return problem(StatusCode::NOT_FOUND, "there is no such playbook");
    };
    let mut out = row.told();
    out["document"] = row.playbook.document.value().clone();
    answer(&out)
}

/// What is told of a change beside the document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// As `version` had it; what somebody else changed since isn't overwritten.
    seen: u64,
    #[serde(default)]
    note: String,
}

type Told = Result<Query<Asked>, QueryRejection>;

/// Keeps a document, which is the body; answers when it is sealed.
pub(crate) async fn keep(
    State(console): State<Console>,
    caller: Caller,
    Path(name): Path<String>,
    told: Told,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(body) = body else {
        let why = "a document has at most 1 MiB";
        return problem(StatusCode::PAYLOAD_TOO_LARGE, why);
    };
    // Whoever may not hears that first.
    if caller.principal.may_all(Right::Decide) {
        let document = match Document::read(&body) {
            Ok(document) => document,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &words_of(&error)),
        };
        let of = document.clone();
        let faults = aside(move || Faults::of(&of)).await.unwrap_or_default();
        if faults.refuses() {
            return refused(&faults);
        }
        return wish(&console, &caller, (name, Some(document)), told, &headers).await;
    }
    let document = Document::read(&body).ok();
    wish(&console, &caller, (name, document), told, &headers).await
}

/// Gives an own one up; answers when it is sealed.
pub(crate) async fn give_up(
    State(console): State<Console>,
    caller: Caller,
    Path(name): Path<String>,
    told: Told,
    headers: HeaderMap,
) -> Response {
    wish(&console, &caller, (name, None), told, &headers).await
}

async fn wish(
    console: &Console,
    caller: &Caller,
    (name, document): (String, Option<Document>),
    told: Told,
    headers: &HeaderMap,
) -> Response {
    let Some(decider) = &console.decider else {
        return problem(StatusCode::NOT_FOUND, "this console only shows");
    };
    let Ok(Query(told)) = told else {
        let why = "say which version you read, 0 where there is no own one: ?seen=0&note=why";
        return problem(StatusCode::BAD_REQUEST, why);
    };
    let key = match api::key(headers) {
        Ok(key) => key,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let wish = PlaybookWish {
        key,
        name,
        seen: told.seen,
        document,
        note: told.note,
    };
    api::decided(
        decider
            .keep_playbook(&caller.principal, wish, caller.now)
            .await,
    )
}

/// All that is wrong with a document, each with its place (RFC 9457).
fn refused(faults: &Faults) -> Response {
    let problems = faults.problems.iter().map(|one| {
        json!({
            "path": one.path,
            "says": one.says,
            "hint": one.hint,
            "refuses": one.weight == Weight::Refuses,
        })
    });
    let orders = faults.refusals.iter().map(|one| {
        json!({
            "path": format!("/workflow/{}", one.early),
            "says": one.says,
            "hint": one.law.reason(),
            "refuses": true,
        })
    });
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": "no plan could be made from it, so it isn't kept: `problems` has what is wrong, and where",
        "problems": problems.chain(orders).collect::<Vec<Value>>(),
    });
    let kind = (header::CONTENT_TYPE, "application/problem+json");
    (status, [kind], body.to_string()).into_response()
}

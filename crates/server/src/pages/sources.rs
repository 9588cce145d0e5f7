//! Sources: how each is, what it can't show, and that one is expected to be silent; and the same as JSON.

use askama::Template;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::decider::DecideError;
use engine::desk::{GapView, Sight, SourceView};
use engine::health::Hole;
use engine::pause::{Held, PauseWish};
use model::{Right, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Frame, json as answer, missing, page, problem};
use crate::access::{Caller, Console, Fields, Seen};
use crate::api;
use crate::paging::{Asked, paged};

/// Times for which a form says that a source is expected to be silent: minutes, and words.
const TIMES: [(i64, &str); 6] = [
    (30, "30 minutes"),
    (60, "1 hour"),
    (2 * 60, "2 hours"),
    (4 * 60, "4 hours"),
    (8 * 60, "8 hours"),
    (24 * 60, "24 hours"),
];

/// A source, and whether it is expected to be silent.
struct Row {
    source: SourceView,
    pause: Option<Held>,
    /// Whether the refusal is about it.
    is_refused: bool,
}

#[derive(Template)]
#[template(path = "sources.html")]
struct Sources {
    frame: Frame,
    rows: Vec<Row>,
    gaps: Vec<GapView>,
    /// Whether they may say that one is expected to be silent.
    may_pause: bool,
    csrf: String,
    /// Why something wasn't done, and the reason that was typed.
    refusal: String,
    typed: String,
    done: &'static str,
}

/// Sources with their pauses; none for whoever sees a part of the installation.
fn rows(sight: &Sight, now: Timestamp) -> Vec<Row> {
    let mut pauses = sight.pauses(now);
    let mut pause = |id: &str| {
        let at = pauses.iter().position(|held| held.pause.source == id)?;
        Some(pauses.swap_remove(at))
    };
    let sources = sight.sources().into_iter();
    sources
        .map(|source| Row {
            pause: pause(&source.id),
            source,
            is_refused: false,
        })
        .collect()
}

/// What was done, or not.
#[derive(Default)]
struct News<'a> {
    refused: &'a str,
    refusal: String,
    typed: String,
    done: &'static str,
}

fn show(console: &Console, sight: &Sight, caller: &Caller, news: News<'_>) -> Response {
    let mut rows = rows(sight, caller.now);
    for row in &mut rows {
        row.is_refused = !news.refusal.is_empty() && row.source.id == news.refused;
    }
    page(&Sources {
        frame: Frame::new(sight).at("/sources", caller.now),
        rows,
        gaps: sight.gaps(),
        may_pause: console.decider.is_some() && caller.principal.may_all(Right::Decide),
        csrf: caller.csrf.clone(),
        refusal: news.refusal,
        typed: news.typed,
        done: news.done,
    })
}

/// Sources and their health, and what isn't seen.
pub(crate) async fn sources(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
) -> Response {
    let done = match query.get("done").map(String::as_str) {
        Some("paused") => {
            "Its silence is expected, and sealed with the reason. What goes on afterwards is told from its beginning."
        }
        Some("resumed") => "Its silence is no longer expected.",
        _ => "",
    };
    let news = News {
        done,
        ..News::default()
    };
    show(&console, &sight, &caller, news)
}

/// Says by a form that a source is expected to be silent, or no longer.
pub(crate) async fn pause(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    fields: Fields,
) -> Response {
    let Some(decider) = &console.decider else {
        return missing(&sight, "There is no such page");
    };
    let minutes = fields.text("minutes");
    let time = TIMES.iter().find(|(of, _)| of.to_string() == minutes);
    let resumes = fields.text("act") == "resume";
    let until = time.filter(|_| !resumes);
    if until.is_none() && !resumes {
        let refused = News {
            refused: fields.text("source"),
            refusal: "Choose for how long.".to_owned(),
            typed: fields.text("reason").to_owned(),
            ..News::default()
        };
        let page = show(&console, &sight, &caller, refused);
        return (StatusCode::UNPROCESSABLE_ENTITY, page).into_response();
    }
    let wish = PauseWish {
        key: None,
        source: fields.text("source").to_owned(),
        until: until.map(|(minutes, _)| caller.now.plus_seconds(minutes * 60)),
        reason: fields.text("reason").replace("\r\n", "\n"),
    };
    match decider.pause(&caller.principal, wish, caller.now).await {
        Ok(_) => {
            let done = if resumes { "resumed" } else { "paused" };
            Redirect::to(&format!("/sources?done={done}")).into_response()
        }
        Err(DecideError::NotThere) => missing(&sight, "There is no such source"),
        Err(error) => {
            let refused = News {
                refused: fields.text("source"),
                refusal: super::sentence(&error.to_string()),
                typed: fields.text("reason").to_owned(),
                ..News::default()
            };
            let page = show(&console, &sight, &caller, refused);
            (api::status(&error), page).into_response()
        }
    }
}

/// Sources by name, and what isn't seen.
pub(crate) async fn api_sources(Seen(sight): Seen, caller: Caller, query: Asked) -> Response {
    let (cursor, limit) = match paged(query) {
        Ok(page) => page,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let mut rows = rows(&sight, caller.now);
    let total = rows.len();
    rows.sort_by(|a, b| a.source.id.cmp(&b.source.id));
    rows.retain(|row| row.source.id > cursor);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|row| &row.source.id);
    let gap = |gap: GapView| {
        json!({
            "what": gap.what,
            "why_it_matters": gap.why_it_matters,
            "statement": gap.statement,
            "price": gap.price,
            "undo": gap.undo,
        })
    };
    answer(&json!({
        "items": rows.iter().map(told).collect::<Vec<Value>>(),
        "total": total,
        "next": next,
        "not_seen": sight.gaps().into_iter().map(gap).collect::<Vec<Value>>(),
    }))
}

/// One source.
pub(crate) async fn api_source(
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
) -> Response {
    let rows = rows(&sight, caller.now);
    match rows.iter().find(|row| row.source.id == id) {
        Some(row) => answer(&told(row)),
        None => no_source(),
    }
}

/// What a program says of a source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "act")]
enum Said {
    /// It is expected to be silent.
    Pause { until: String, reason: String },
    /// It no longer is.
    Resume { reason: String },
}

/// Says that a source is expected to be silent, or no longer; answers when it is sealed.
pub(crate) async fn api_decide(
    State(console): State<Console>,
    caller: Caller,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(decider) = &console.decider else {
        return problem(StatusCode::NOT_FOUND, "this console only shows");
    };
    let Ok(body) = body else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body has at most 64 KiB");
    };
    let Ok(said) = serde_json::from_slice::<Said>(&body) else {
        let shape = "the body isn't what /api/v1/openapi.json has here";
        return problem(StatusCode::BAD_REQUEST, shape);
    };
    let key = match api::key(&headers) {
        Ok(key) => key,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let (until, reason) = match said {
        Said::Resume { reason } => (None, reason),
        Said::Pause { until, reason } => match time(&until) {
            Some(until) => (Some(until), reason),
            None => {
                let why = "until is a time as RFC 3339 has it, e.g. 2026-08-05T12:00:00Z";
                return problem(StatusCode::UNPROCESSABLE_ENTITY, why);
            }
        },
    };
    let wish = PauseWish {
        key,
        source,
        until,
        reason,
    };
    match decider.pause(&caller.principal, wish, caller.now).await {
        Err(DecideError::NotThere) => no_source(),
        outcome => api::decided(outcome),
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let time = text.parse::<jiff::Timestamp>().ok()?;
    Some(Timestamp(time.as_microsecond()))
}

fn no_source() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such source")
}

fn told(row: &Row) -> Value {
    let (source, at) = (&row.source, |time: &Timestamp| time.to_string());
    let hole = |hole: &Hole| {
        json!({
            "trouble": hole.trouble.name(),
            "since": at(&hole.since),
            "until": hole.until.as_ref().map(at),
        })
    };
    let pause = row.pause.as_ref().map(|held| {
        json!({
            "since": at(&held.since),
            "until": at(&held.pause.until),
            "by": held.pause.by.name,
            "reason": held.pause.reason,
        })
    });
    let kind = match source.is_source() {
        true => source.id.split_once(':').map_or("", |(kind, _)| kind),
        false => "magewarden",
    };
    json!({
        "id": source.id,
        "kind": kind,
        "format": source.format,
        "state": source.state,
        "reason": source.reason,
        "records": source.records,
        "bytes": source.bytes,
        "unreadable": source.quarantined,
        "lost": source.lost,
        "lag_seconds": source.lag_seconds,
        "last_event": source.last_event.as_ref().map(at),
        "holes": source.holes.iter().map(hole).collect::<Vec<Value>>(),
        "pause": pause,
    })
}

//! Counsel's notes: a section of an incident's page and an address of the API, for whoever has the right there alone.
//!
//! Invariant: nothing else of the server names `engine::counsel`, so that no page, list, stream or export holds a note.

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Json, body::Bytes};
use engine::counsel::{CounselError, Note, Notes};
use engine::desk::Sight;
use model::Principal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Caller, Console, Fields, Seen};
use crate::api;
use crate::pages::{self, json as answer, problem};

/// A note as a program sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    text: String,
}

/// What the section of a page shows.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) notes: Vec<Note>,
    /// Entries that can't be opened.
    pub(crate) closed: usize,
    /// Why nothing is shown, or wasn't written.
    pub(crate) problem: String,
    /// What was typed then.
    pub(crate) typed: String,
}

/// The section of an incident's page; `None` for whoever isn't to know of it. What is in it is noted as read.
///
/// # Errors
///
/// The answer instead of it, when who reads can't be noted.
pub(crate) async fn view(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    incident: &str,
) -> Result<Option<View>, Response> {
    let mut view = View::default();
    match read(console, &caller.principal, incident).await {
        None | Some(Err(CounselError::NotThere)) => return Ok(None),
        Some(Err(error)) => view.problem = error.to_string(),
        Some(Ok(notes)) => (view.notes, view.closed) = (notes.notes, notes.closed),
    }
    let entries: Vec<u64> = view.notes.iter().map(|note| note.entry).collect();
    console.read(sight, caller, &entries).await?;
    Ok(Some(view))
}

/// Reads notes, off the tasks that others wait for; `None` where the console has no counsel.
async fn read(
    console: &Console,
    by: &Principal,
    incident: &str,
) -> Option<Result<Notes, CounselError>> {
    let counsel = console.counsel.clone()?;
    let (by, incident) = (by.clone(), incident.to_owned());
    let read = tokio::task::spawn_blocking(move || counsel.notes(&by, &incident)).await;
    Some(read.unwrap_or(Err(CounselError::NotThere)))
}

/// Takes a note from a form; what isn't taken comes back with the reason and what was typed.
pub(crate) async fn form(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
    fields: Fields,
) -> Response {
    let (Some(counsel), Some(work)) = (&console.counsel, sight.incident(&id)) else {
        return pages::missing(&sight, "There is no such page");
    };
    let key = fields.text("key").trim();
    let key = (!key.is_empty()).then(|| key.to_owned());
    let text = fields.text("text").replace("\r\n", "\n");
    let written = counsel.write(&caller.principal, key, &id, &text, caller.now);
    match written.await {
        Ok(_) => {
            let place = format!("/incidents/{}#counsel", pages::encoded(&id));
            Redirect::to(&place).into_response()
        }
        Err(CounselError::NotThere) => pages::missing(&sight, "There is no such page"),
        Err(error) => {
            let refused = View {
                problem: error.to_string(),
                // It will be there; nothing is to be typed again.
                typed: match error {
                    CounselError::Waiting => String::new(),
                    _ => text,
                },
                ..View::default()
            };
            let status = match error {
                CounselError::Waiting => StatusCode::OK,
                _ => status(&error),
            };
            pages::counsel_refused(&console, &sight, &caller, work, (status, refused)).await
        }
    }
}

/// The notes on an incident.
pub(crate) async fn list(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
) -> Response {
    let notes = match read(&console, &caller.principal, &id).await {
        None => return missing(),
        Some(Err(error)) => return problem(status(&error), &error.to_string()),
        Some(Ok(notes)) => notes,
    };
    let entries: Vec<u64> = notes.notes.iter().map(|note| note.entry).collect();
    if let Err(refused) = console.read(&sight, &caller, &entries).await {
        return refused;
    }
    let item = |note: &Note| {
        json!({
            "entry": note.entry,
            "by": note.by.name,
            "at": note.at.to_string(),
            "text": note.text,
        })
    };
    let items: Vec<Value> = notes.notes.iter().map(item).collect();
    answer(&json!({ "items": items, "closed": notes.closed }))
}

/// Takes a note from a program; answers when it is sealed.
pub(crate) async fn post(
    State(console): State<Console>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(counsel) = &console.counsel else {
        return missing();
    };
    let Ok(body) = body else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "a note has at most 16 KiB");
    };
    let Ok(told) = serde_json::from_slice::<Told>(&body) else {
        let shape = r#"the body is {"text": "…"}, as /api/v1/openapi.json has it"#;
        return problem(StatusCode::BAD_REQUEST, shape);
    };
    let key = match api::key(&headers) {
        Ok(key) => key,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let written = counsel.write(&caller.principal, key, &id, &told.text, caller.now);
    match written.await {
        Ok(entry) => answer(&json!({ "entry": entry })),
        Err(error @ CounselError::Waiting) => {
            let told = Json(json!({ "detail": error.to_string() }));
            (StatusCode::ACCEPTED, told).into_response()
        }
        Err(error) => problem(status(&error), &error.to_string()),
    }
}

fn missing() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such incident")
}

fn status(error: &CounselError) -> StatusCode {
    match error {
        CounselError::NotThere => StatusCode::NOT_FOUND,
        CounselError::Unfit { .. } | CounselError::OtherNote => StatusCode::UNPROCESSABLE_ENTITY,
        CounselError::Away { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

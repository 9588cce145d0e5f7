//! Files attached to incidents: taken by a form and by the API, listed, and given out as bytes that no browser shows.

use std::ops::Range;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::attach::{Content, file_name};
use engine::decider::Handed;
use engine::desk::Sight;
use model::{Right, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Caller, Console, Fields, Seen, multipart};
use crate::api;
use crate::pages::{self, json as answer, problem};

/// What a form has beside its file, in bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// What is told of a file beside its bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    name: String,
    about: String,
}

/// Takes a file from a form; what isn't taken comes back with the reason and what was typed.
pub(crate) async fn form(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (Some(decider), Some(work)) = (&console.decider, sight.incident(&id)) else {
        return pages::no_incident(&sight, &id);
    };
    let (parts, body) = request.into_parts();
    let mut typed = Fields::default();
    let told = match console.upload(body, FORM_BYTES_MAX).await {
        Err(unread) => {
            let words = unread.words(console.attachment_bytes_max);
            Err((
                unread.status(),
                format!("the file wasn't attached: {words}"),
            ))
        }
        Ok(body) => match read(&parts.headers, &body, &id, &mut typed) {
            None => {
                let why = "the file wasn't attached: the form names none".to_owned();
                Err((StatusCode::BAD_REQUEST, why))
            }
            // As exactly as what a program sends: the form's own words don't count.
            Some(handed) if handed.content.len() > console.attachment_bytes_max => {
                let too_large = crate::access::Unread::TooLarge;
                let words = too_large.words(console.attachment_bytes_max);
                Err((
                    too_large.status(),
                    format!("the file wasn't attached: {words}"),
                ))
            }
            Some(handed) => {
                drop(body);
                let attached = decider.attach(&caller.principal, handed, caller.now).await;
                attached.map_err(|error| (api::status(&error), error.to_string()))
            }
        },
    };
    match told {
        Ok(_) => {
            let place = format!("/incidents/{}#attachments", pages::encoded(&id));
            Redirect::to(&place).into_response()
        }
        Err((status, why)) => {
            // As things stand now.
            let work = sight.incident(&id).unwrap_or(work);
            pages::attach_refused(&console, &sight, &caller, work, (status, why), typed).await
        }
    }
}

/// What a form hands over; what was typed in it is left in `typed`.
fn read(headers: &HeaderMap, body: &[u8], id: &str, typed: &mut Fields) -> Option<Handed> {
    let parts = multipart::parts(body, &multipart::boundary(headers)?)?;
    let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
    let fields = parts.iter().filter(|part| part.file_name.is_none());
    *typed = fields
        .map(|part| (part.name.clone(), text(part.content)))
        .collect();
    let file = parts.iter().find(|part| part.name == "file")?;
    // A form that was sent without a file has an empty one without a name.
    let name = file.file_name.clone().filter(|name| !name.is_empty())?;
    let key = typed.text("key").trim();
    Some(Handed {
        key: (!key.is_empty()).then(|| key.to_owned()),
        incident: id.to_owned(),
        name,
        about: typed.text("about").trim().to_owned(),
        content: file.content.to_vec(),
    })
}

/// Takes a file from a program: its bytes are the body.
pub(crate) async fn post(
    State(console): State<Console>,
    caller: Caller,
    Path(incident): Path<String>,
    told: Result<Query<Told>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(decider) = &console.decider else {
        return problem(StatusCode::NOT_FOUND, "this console only shows");
    };
    let Ok(Query(told)) = told else {
        let known = "say the file's name and what it is: ?name=mail.txt&about=the+acquirer's+mail";
        return problem(StatusCode::BAD_REQUEST, known);
    };
    let key = match api::key(&headers) {
        Ok(key) => key,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let content = match console.upload(body, 0).await {
        Ok(content) => content,
        Err(unread) => {
            let words = unread.words(console.attachment_bytes_max);
            return problem(unread.status(), &words);
        }
    };
    let handed = Handed {
        key,
        incident,
        name: told.name,
        about: told.about,
        content,
    };
    api::decided(decider.attach(&caller.principal, handed, caller.now).await)
}

/// The files of an incident, in the order in which they were attached.
pub(crate) async fn list(Seen(sight): Seen, Path(id): Path<String>) -> Response {
    let Some(work) = sight.incident(&id) else {
        return problem(StatusCode::NOT_FOUND, "there is no such incident");
    };
    let items = work.handling.attachments().map(|(taken, file, entries)| {
        json!({
            "entry": taken.sequence.0,
            "name": file.name,
            "about": file.about,
            "size_bytes": file.size_bytes,
            "masked": file.masked,
            "hash": file.hash,
            "hash_kind": file.hash_kind,
            "kept_hash": file.kept_hash,
            "by": taken.decision.by.name,
            "at": taken.decision.at.to_string(),
            "entries": entries.collect::<Vec<u64>>(),
        })
    });
    answer(&json!({ "items": items.collect::<Vec<Value>>() }))
}

/// Gives one out, for whoever may see evidence. Who reads it is sealed.
pub(crate) async fn download(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path((id, entry)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    let Some(work) = sight.incident(&id) else {
        return missing(&uri);
    };
    let mut all = work.handling.attachments();
    let sought = all.find(|(taken, ..)| taken.sequence.0.to_string() == entry);
    let kept = sought.map(|(_, file, entries)| Kept {
        name: file.name.clone(),
        hash: file.kept_hash.clone(),
        entries,
    });
    give(
        &console,
        &sight,
        &caller,
        (&work.incident.scopes, kept),
        &uri,
    )
    .await
}

/// What lies in the ledger as entries of bytes.
pub(crate) struct Kept {
    /// What it is called.
    pub(crate) name: String,
    /// SHA-256 over its bytes, hexadecimal.
    pub(crate) hash: String,
    /// Entries that hold them.
    pub(crate) entries: Range<u64>,
}

/// Says that there is no such file, as a page or as a problem.
pub(crate) fn missing(uri: &Uri) -> Response {
    refuse(uri, StatusCode::NOT_FOUND, "There is no such file")
}

fn refuse(uri: &Uri, status: StatusCode, why: &'static str) -> Response {
    if uri.path().starts_with("/api/") {
        problem(status, why)
    } else {
        pages::refused(status, why)
    }
}

/// Gives out what is kept of a place, for whoever may see its evidence. Who reads it is sealed.
pub(crate) async fn give(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    (scopes, kept): (&[Scope], Option<Kept>),
    uri: &Uri,
) -> Response {
    if !sight.may(Right::SeeEvidence, scopes) {
        let why = "Your roles don't let you see sealed records here. Who administers the console can give you one that does.";
        return refuse(uri, StatusCode::FORBIDDEN, why);
    }
    let (Some(kept), Some(shelf)) = (kept, console.shelf.clone()) else {
        return missing(uri);
    };
    let read: Vec<u64> = kept.entries.clone().collect();
    if let Err(refused) = console.read(sight, caller, &read).await {
        return refused;
    }
    let name = file_name(&kept.name);
    let content = tokio::task::spawn_blocking(move || shelf.content(&kept.hash, kept.entries));
    match content.await {
        Ok(Ok(Content::Whole(content))) => saved(&name, content),
        Ok(Ok(Content::Destroyed)) => {
            let why = "It was destroyed by a sealed decision; its proof still holds.";
            refuse(uri, StatusCode::GONE, why)
        }
        _ => {
            let why = "What is kept of it can't be read, or isn't what was sealed: magewarden verify says what differs.";
            refuse(uri, StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

/// Bytes that a browser saves and never shows: whoever attacks the shop may have written them.
pub(crate) fn saved(name: &str, content: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, disposition(name)),
    ];
    (headers, content).into_response()
}

/// Has a browser save it under an inert name (RFC 6266).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|one| match one {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => one,
            _ => '_',
        })
        .collect();
    let full = pages::encoded(name);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn a_name_says_nothing_to_a_browser_but_how_to_save() {
        for (name, plain, full) in [
            ("mail.txt", "mail.txt", "mail.txt"),
            ("ä \"b\";c=d", "___b__c_d", "%C3%A4%20%22b%22%3Bc%3Dd"),
            ("a\r\nX: y", "a__X__y", "a%0D%0AX%3A%20y"),
        ] {
            let wanted = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}");
            assert_eq!(disposition(name), wanted);
        }
    }
}

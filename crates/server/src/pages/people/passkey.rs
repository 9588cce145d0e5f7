//! Passkeys: what the script asks for and sends. Everything else of an account works without one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use engine::people::{Asked, PeopleError};
use serde_json::json;

use super::super::problem;
use super::account::answer;
use crate::access::{Caller, Cookies, Entrance, Fields, Seen, local};

/// What isn't done, for the script to say.
fn refused(error: &PeopleError) -> Response {
    let status = match error {
        PeopleError::Late
        | PeopleError::LogIn
        | PeopleError::Code
        | PeopleError::Shown
        | PeopleError::NoSuch
        | PeopleError::NoPasskeys
        | PeopleError::Passkeys
        | PeopleError::Passkey
        | PeopleError::PasskeyCopied
        | PeopleError::Changed => StatusCode::UNPROCESSABLE_ENTITY,
        _ => {
            let why = "the accounts can't be read or written now";
            return problem(StatusCode::SERVICE_UNAVAILABLE, why);
        }
    };
    problem(status, &error.to_string())
}

fn asked(cookies: &Cookies, asked: Result<Asked, PeopleError>) -> Response {
    match asked {
        Ok(asked) => ([cookies.set_begun(&asked.kept)], Json(asked.options)).into_response(),
        Err(error) => refused(&error),
    }
}

/// Begins to add one.
pub(super) async fn begin(entrance: Entrance, caller: Caller, sent: Fields) -> Response {
    let (name, code) = (sent.text("name"), sent.text("code"));
    let begun = entrance.people.add_passkey(caller.act(), name, code).await;
    asked(&entrance.cookies, begun)
}

/// Adds it.
pub(super) async fn add(entrance: Entrance, caller: Caller, body: Bytes) -> Response {
    let kept = &entrance.cookies.begun;
    match entrance
        .people
        .added_passkey(caller.act(), kept, &body)
        .await
    {
        Ok(()) => {
            let next = json!({"next": "/account?done=passkey"});
            ([entrance.cookies.set_begun("")], Json(next)).into_response()
        }
        Err(error) => refused(&error),
    }
}

/// Removes one.
pub(super) async fn remove(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let (id, code) = (sent.text("id"), sent.text("code"));
    let done = entrance.people.remove_passkey(caller.act(), id, code).await;
    answer(entrance, seen, caller, "passkeys", done.map(|()| "removed")).await
}

/// The first step's session where a passkey is the second; none where it is the whole log-in.
fn pending<'a>(cookies: &'a Cookies, sent: &Fields) -> &'a str {
    match sent.text("step") {
        "second" => &cookies.session,
        _ => "",
    }
}

/// Asks for a passkey.
pub(super) async fn ask(entrance: Entrance, sent: Fields) -> Response {
    let pending = pending(&entrance.cookies, &sent);
    let begun = entrance.people.ask_passkey(pending, entrance.now).await;
    asked(&entrance.cookies, begun)
}

/// Takes its answer.
pub(super) async fn log_in(entrance: Entrance, RawQuery(query): RawQuery, body: Bytes) -> Response {
    let Entrance {
        people,
        from,
        now,
        cookies,
    } = &entrance;
    let sent = Fields::read(query.unwrap_or_default().as_bytes());
    let pending = pending(cookies, &sent);
    let fresh = people
        .log_in_by_passkey(&cookies.begun, pending, &body, from, *now)
        .await;
    match fresh {
        Ok(fresh) => {
            let next = json!({"next": local(sent.text("next"))});
            let mut response = Json(next).into_response();
            for (name, value) in [cookies.set(&fresh.token), cookies.set_begun("")] {
                response.headers_mut().append(name, value);
            }
            response
        }
        Err(error) => refused(&error),
    }
}

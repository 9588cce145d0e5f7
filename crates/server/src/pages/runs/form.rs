//! What people say on a run's page.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::containment::{OrderWish, Wanted};
use engine::decider::DecideError;
use model::Word;

use super::run::show;
use crate::access::{Caller, Console, Fields, Seen};
use crate::api;
use crate::pages::{encoded, sentence};

/// Takes it, and shows the run again.
pub(crate) async fn say(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
    fields: Fields,
) -> Response {
    let refused =
        |status, why: String, fields| show(&console, &sight, &caller, &id, (status, why, fields));
    let Some(decider) = &console.decider else {
        let why = "This console only shows.".to_owned();
        return refused(StatusCode::NOT_FOUND, why, fields).await;
    };
    let run = id.clone();
    let wanted = match (fields.text("ask"), Word::named(fields.text("ask"))) {
        ("approve", _) => Some(Wanted::Approve {
            run,
            hash: fields.text("hash").to_owned(),
        }),
        ("withdraw", _) => Some(Wanted::Withdraw { run }),
        (_, Some(word)) => {
            fields
                .text("seen")
                .parse()
                .ok()
                .map(|seen| Wanted::Say { run, seen, word })
        }
        _ => None,
    };
    let Some(wanted) = wanted else {
        let why = "This isn't what the form has.".to_owned();
        return refused(StatusCode::BAD_REQUEST, why, fields).await;
    };
    let key = fields.text("key");
    let wish = OrderWish {
        key: (!key.is_empty()).then(|| format!("{key} {}", fields.text("ask"))),
        note: fields.text("note").to_owned(),
        wanted,
    };
    match decider.order(&caller.principal, wish, caller.now).await {
        Ok(_) | Err(DecideError::Waiting { .. }) => {
            Redirect::to(&format!("/runs/{}", encoded(&id))).into_response()
        }
        Err(error) => {
            let why = sentence(&error.to_string());
            refused(api::status(&error), why, fields).await
        }
    }
}

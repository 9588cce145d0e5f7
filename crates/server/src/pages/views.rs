//! One's own views of the queue: kept under a name, opened by their address, removed.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{PeopleError, Saved, SavedView};

use super::queue::{Filter, show_with};
use super::{encoded, refused, trouble};
use crate::access::{Access, Caller, Console, Fields, Seen};

/// The views of whoever asks; none where there are no accounts.
pub(super) async fn of(console: &Console, caller: &Caller) -> Result<Vec<SavedView>, Response> {
    match &console.access {
        Access::Open => Ok(Vec::new()),
        Access::People { people, .. } => {
            let views = people.views(caller.act()).await;
            views.map_err(|error| trouble(&error))
        }
    }
}

/// Keeps the queue's filter under a name, or removes the view of a name.
pub(crate) async fn change_views(
    seen: Seen,
    caller: Caller,
    State(console): State<Console>,
    fields: Fields,
) -> Response {
    let query: BTreeMap<String, String> = fields
        .pairs()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let filter = Filter::new(&query);
    match change(&console, &caller, &fields, &filter).await {
        Ok("") => Redirect::to(&address(&filter.query())).into_response(),
        Ok(told) => show_with(seen, &caller, &console, &query, told.to_owned()).await,
        Err(PeopleError::NoSuch) => {
            let why = "Views are kept for people who logged in, not for programs.";
            refused(StatusCode::FORBIDDEN, why)
        }
        Err(error) => trouble(&error),
    }
}

/// Does it; says what is wrong with the form, if anything is.
async fn change(
    console: &Console,
    caller: &Caller,
    fields: &Fields,
    filter: &Filter,
) -> Result<&'static str, PeopleError> {
    let Access::People { people, .. } = &console.access else {
        return Ok("views are kept for people with accounts");
    };
    let name = fields.text("remove");
    if !name.is_empty() {
        people.remove_view(caller.act(), name).await?;
        return Ok("");
    }
    let saved = people
        .save_view(caller.act(), fields.text("name"), &filter.query())
        .await?;
    Ok(match saved {
        Saved::Done => "",
        Saved::Unfit => {
            "a view's name has 1 to 60 characters, and its text isn't longer than an address"
        }
        Saved::TooMany => "you keep 30 views already: remove one first",
    })
}

/// The address of a view.
pub(super) fn address(query: &str) -> String {
    if query.is_empty() {
        return "/incidents".to_owned();
    }
    format!("/incidents?{query}")
}

/// Where a view that is kept leads: whatever was kept, it is the queue's own filter.
pub(super) fn link(view: &SavedView) -> String {
    let pairs = view
        .query
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"%._-".contains(&byte))
    };
    let safe: Vec<String> = pairs
        .map(|(name, text)| {
            let text = if is_plain(text) {
                text.to_owned()
            } else {
                encoded(text)
            };
            format!("{}={text}", encoded(name))
        })
        .collect();
    address(&safe.join("&"))
}

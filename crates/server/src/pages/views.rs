//! One's own views of the queue: kept under a name, opened by their address, removed; and the same for programs.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{PeopleError, SavedView};
use model::{IncidentState, Level};
use serde::Deserialize;
use serde_json::{Value, json};

use super::queue::{Filter, show_with};
use super::{encoded, json as answer, problem, refused, trouble};
use crate::access::{Access, Caller, Console, Fields, Seen};
use crate::administration::{done, listed, refusal};
use crate::paging::Asked;

/// Why nothing is kept where nobody logs in.
const NOBODYS: &str = "views are kept for people with accounts";

/// The views of whoever asks; none where there are no accounts.
pub(super) async fn of(console: &Console, caller: &Caller) -> Result<Vec<SavedView>, Response> {
    kept(console, caller).await.map_err(|error| trouble(&error))
}

async fn kept(console: &Console, caller: &Caller) -> Result<Vec<SavedView>, PeopleError> {
    match &console.access {
        Access::Open => Ok(Vec::new()),
        Access::People { people, .. } => people.views(caller.act()).await,
    }
}

/// Keeps the queue's filter under a name, or removes the view of a name.
pub(crate) async fn change_views(
    seen: Seen,
    caller: Caller,
    State(console): State<Console>,
    fields: Fields,
) -> Response {
    let query = pairs(&fields);
    let filter = Filter::new(&query);
    let told = match &console.access {
        Access::Open => NOBODYS.to_owned(),
        Access::People { people, .. } => {
            let name = fields.text("remove");
            let done = if name.is_empty() {
                let text = filter.query();
                let saved = people.save_view(caller.act(), fields.text("name"), &text);
                saved.await.map(drop)
            } else {
                people.remove_view(caller.act(), name).await.map(drop)
            };
            match done {
                Ok(()) => return Redirect::to(&address(&filter.query())).into_response(),
                Err(error @ (PeopleError::View | PeopleError::Views)) => error.to_string(),
                Err(PeopleError::NotLoggedIn) => {
                    let why = "Views are kept for people who logged in, not for programs.";
                    return refused(StatusCode::FORBIDDEN, why);
                }
                Err(error) => return trouble(&error),
            }
        }
    };
    show_with(seen, &caller, &console, &query, told).await
}

fn pairs(fields: &Fields) -> BTreeMap<String, String> {
    let pairs = fields.pairs();
    pairs
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

/// A view as a program sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    name: String,
    #[serde(default = "work")]
    state: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    store: String,
    #[serde(default)]
    mine: bool,
    #[serde(default)]
    q: String,
}

fn work() -> String {
    "work".to_owned()
}

/// One that is to be kept.
#[derive(Deserialize)]
#[serde(try_from = "Sent")]
struct Wanted {
    name: String,
    filter: Filter,
}

impl TryFrom<Sent> for Wanted {
    type Error = &'static str;

    /// Misspelt, a filter would be kept that never shows anything.
    fn try_from(sent: Sent) -> Result<Self, Self::Error> {
        let is_state = ["work", "over", "all"].contains(&sent.state.as_str())
            || IncidentState::named(&sent.state).is_some();
        if !is_state || !sent.severity.is_empty() && Level::named(&sent.severity).is_none() {
            return Err("there is no such state or severity");
        }
        let mine = if sent.mine { "1" } else { "" };
        let query = [
            ("state", sent.state),
            ("severity", sent.severity),
            ("store", sent.store),
            ("mine", mine.to_owned()),
            ("q", sent.q),
        ];
        let query = query.map(|(name, text)| (name.to_owned(), text));
        Ok(Self {
            name: sent.name,
            filter: Filter::new(&query.into()),
        })
    }
}

/// One's own views, by name.
pub(crate) async fn api_views(
    State(console): State<Console>,
    caller: Caller,
    query: Asked,
) -> Response {
    let views = kept(&console, &caller).await;
    listed(query, views, |view| (&view.name, told(view)))
}

/// Keeps one, in place of one's own of its name.
pub(crate) async fn api_keep_view(
    State(console): State<Console>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Access::People { people, .. } = &console.access else {
        return problem(StatusCode::NOT_FOUND, NOBODYS);
    };
    let work = async |wanted: Wanted| {
        let query = wanted.filter.query();
        let view = people.save_view(caller.act(), &wanted.name, &query).await?;
        Ok((told(&view), None))
    };
    done(people, &caller, "/views", &headers, body, None, work).await
}

/// Which view is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    name: String,
}

/// Removes one of one's own. Its name is no part of the path: it may be `..`, or have a `/`.
pub(crate) async fn api_remove_view(
    State(console): State<Console>,
    caller: Caller,
    query: Result<Query<Named>, QueryRejection>,
) -> Response {
    let Access::People { people, .. } = &console.access else {
        return problem(StatusCode::NOT_FOUND, NOBODYS);
    };
    let Ok(Query(Named { name })) = query else {
        let known = "what is to be said is name, once";
        return problem(StatusCode::BAD_REQUEST, known);
    };
    match people.remove_view(caller.act(), &name).await {
        Ok(true) => answer(&json!({ "name": name })),
        Ok(false) => refusal(&PeopleError::NoSuch),
        Err(error) => refusal(&error),
    }
}

/// A view with what it filters by, as the queue reads its address.
fn told(view: &SavedView) -> Value {
    let filter = Filter::new(&pairs(&Fields::read(view.query.as_bytes())));
    let mut told = json!(filter);
    told["name"] = json!(view.name);
    told["address"] = json!(link(view));
    told
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

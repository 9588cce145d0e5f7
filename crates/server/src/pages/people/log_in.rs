//! Logging in, in two steps, and logging out.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{People, PeopleError};

use super::super::{Frame, encoded, page as show};
use super::{Fault, unfit};
use crate::access::{Caller, Entrance, Fields, Seen, local};

#[derive(Template, Default)]
#[template(path = "people/login.html")]
struct Name {
    frame: Frame,
    fault: Fault,
    name: String,
    next: String,
    has_passkeys: bool,
    /// Providers: their names in addresses, and on their buttons.
    providers: Vec<(String, String)>,
}

#[derive(Template, Default)]
#[template(path = "people/code.html")]
struct Code {
    frame: Frame,
    fault: Fault,
    next: String,
    has_passkeys: bool,
}

#[derive(Template)]
#[template(path = "people/logout.html")]
struct Out {
    frame: Frame,
    csrf: String,
}

fn next_of(query: &BTreeMap<String, String>) -> String {
    local(query.get("next").map_or("/", String::as_str)).to_owned()
}

/// Asks for name and password.
pub(super) async fn page(
    entrance: Entrance,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    show(&Name {
        next: next_of(&query),
        providers: entrance.people.providers(),
        has_passkeys: entrance.people.has_passkeys(),
        ..Name::default()
    })
}

/// The first step.
pub(super) async fn name(entrance: Entrance, sent: Fields) -> Response {
    let Entrance {
        people,
        from,
        now,
        cookies,
    } = entrance;
    let (name, next) = (sent.text("name"), local(sent.text("next")));
    match people.log_in(name, sent.text("present"), &from, now).await {
        Ok(fresh) => {
            let to = Redirect::to(&format!("/login/code?next={}", encoded(next)));
            ([cookies.set(&fresh.token)], to).into_response()
        }
        Err(error) => again(&people, &error, name, next),
    }
}

/// The first step once more, with what was wrong.
pub(super) fn again(people: &People, error: &PeopleError, name: &str, next: &str) -> Response {
    match Fault::of("login", error) {
        None => super::trouble(error),
        Some(fault) => unfit(show(&Name {
            fault,
            name: name.to_owned(),
            next: next.to_owned(),
            providers: people.providers(),
            has_passkeys: people.has_passkeys(),
            ..Name::default()
        })),
    }
}

/// Asks for a code.
pub(super) async fn code_page(
    entrance: Entrance,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    show(&Code {
        next: next_of(&query),
        has_passkeys: entrance.people.has_passkeys(),
        ..Code::default()
    })
}

/// The second step.
pub(super) async fn code(entrance: Entrance, sent: Fields) -> Response {
    let Entrance {
        people,
        from,
        now,
        cookies,
    } = entrance;
    let next = local(sent.text("next"));
    let confirmed = people
        .confirm(&cookies.session, sent.text("code"), &from, now)
        .await;
    match confirmed {
        Ok(fresh) => ([cookies.set(&fresh.token)], Redirect::to(next)).into_response(),
        Err(error @ PeopleError::Code) => match Fault::of("code", &error) {
            None => super::trouble(&error),
            Some(fault) => unfit(show(&Code {
                fault,
                next: next.to_owned(),
                has_passkeys: people.has_passkeys(),
                ..Code::default()
            })),
        },
        Err(error) => again(&people, &error, "", next),
    }
}

/// Asks whether to log out: a link alone ends nothing.
pub(super) async fn out_page(Seen(sight): Seen, caller: Caller) -> Response {
    show(&Out {
        frame: Frame::new(&sight),
        csrf: caller.csrf,
    })
}

/// Logs out.
pub(super) async fn out(entrance: Entrance, caller: Caller) -> Response {
    if let Err(error) = entrance.people.log_out(&caller.session, caller.act()).await {
        return super::trouble(&error);
    }
    ([entrance.cookies.set("")], Redirect::to("/login")).into_response()
}

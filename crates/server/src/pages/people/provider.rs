//! Logging in by a provider: away, and back.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{Back, PeopleError, Vouched};

use super::super::{Frame, encoded, page as show};
use super::log_in::again;
use super::unfit;
use crate::access::{Entrance, local};

/// Goes on by itself: a redirect would still be the other site's, and browsers would leave the session behind.
#[derive(Template)]
#[template(path = "people/back.html")]
struct Onward {
    frame: Frame,
    next: String,
}

/// Sends somebody to a provider. It is a link, so that no form's policy has to let browsers go elsewhere; what is begun
/// by a link of another site ends as the very same log-in.
pub(super) async fn begin(
    entrance: Entrance,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let next = local(query.get("next").map_or("/", String::as_str));
    match entrance.people.begin_with(&id, next, entrance.now).await {
        Ok((place, kept)) => {
            let cookie = entrance.cookies.set_begun(&kept);
            ([cookie], Redirect::to(&place)).into_response()
        }
        Err(error) => wrong(&entrance, &error, next),
    }
}

/// Takes somebody who comes back.
pub(super) async fn back(
    entrance: Entrance,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    let come = Back {
        provider: &id,
        kept: &entrance.cookies.begun,
        state: text("state"),
        code: text("code"),
        issuer: text("iss"),
    };
    let Entrance {
        people,
        from,
        now,
        cookies,
    } = &entrance;
    let vouched = match people.end_with(come, from, *now).await {
        Ok(vouched) => vouched,
        Err(error) => {
            let mut page = wrong(&entrance, &error, "/");
            let (name, value) = cookies.set_begun("");
            page.headers_mut().append(name, value);
            return page;
        }
    };
    let (token, next) = match vouched {
        Vouched::In { token, next } => (token, next),
        Vouched::SecondFactor { token, next } => {
            (token, format!("/login/code?next={}", encoded(&next)))
        }
        Vouched::Enrols { invitation } => {
            (String::new(), format!("/welcome?invitation={invitation}"))
        }
    };
    let frame = Frame::default();
    let mut page = show(&Onward { frame, next });
    // Whatever session there was before is another one's.
    for (name, value) in [cookies.set_begun(""), cookies.set(&token)] {
        page.headers_mut().append(name, value);
    }
    page
}

fn wrong(entrance: &Entrance, error: &PeopleError, next: &str) -> Response {
    match error {
        PeopleError::NoSuch => {
            let why = "There is no such provider.";
            super::super::refused(StatusCode::NOT_FOUND, why)
        }
        // Whoever runs this finds the cause in the ledger; by name and password one still comes in.
        error
        @ (PeopleError::Provider { .. } | PeopleError::NotHere { .. } | PeopleError::Late) => {
            again(&entrance.people, error, "", next)
        }
        PeopleError::Grants { .. } | PeopleError::LastAdmin | PeopleError::Changed => {
            unfit(again(&entrance.people, error, "", next))
        }
        error => super::trouble(error),
    }
}

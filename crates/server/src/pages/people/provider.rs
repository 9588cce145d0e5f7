//! Logging in by a provider: away, and back, by a link (OpenID Connect) or by a form of the provider's page (SAML).

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{Answered, Back, PeopleError, Vouched};

use super::super::{Frame, encoded, page as show};
use super::log_in::again;
use super::unfit;
use crate::access::{Entrance, Fields, local};

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
        Ok(sent) => {
            let cookie = if sent.is_answered_by_form {
                entrance.cookies.set_away(&sent.kept)
            } else {
                entrance.cookies.set_begun(&sent.kept)
            };
            ([cookie], Redirect::to(&sent.place)).into_response()
        }
        Err(error) => wrong(&entrance, &error, next),
    }
}

/// Takes somebody who comes back by a link.
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
    let vouched = entrance
        .people
        .end_with(come, &entrance.from, entrance.now)
        .await;
    onward(&entrance, vouched, entrance.cookies.set_begun(""))
}

/// Takes somebody who comes back by a form.
pub(super) async fn answered(
    entrance: Entrance,
    Path(id): Path<String>,
    fields: Fields,
) -> Response {
    let answered = Answered {
        provider: &id,
        kept: &entrance.cookies.away,
        relay: fields.text("RelayState"),
        response: fields.text("SAMLResponse"),
    };
    let vouched = entrance
        .people
        .end_saml(answered, &entrance.from, entrance.now)
        .await;
    onward(&entrance, vouched, entrance.cookies.set_away(""))
}

/// What this console says of itself to a provider.
pub(super) async fn metadata(entrance: Entrance, Path(id): Path<String>) -> Response {
    const KIND: &str = "application/samlmetadata+xml";
    match entrance.people.metadata(&id) {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(error) => wrong(&entrance, &error, "/"),
    }
}

/// Goes on with what became of somebody, and takes away what their browser kept.
fn onward(
    entrance: &Entrance,
    vouched: Result<Vouched, PeopleError>,
    over: (header::HeaderName, header::HeaderValue),
) -> Response {
    let (token, next) = match vouched {
        Ok(Vouched::In { token, next }) => (token, next),
        Ok(Vouched::SecondFactor { token, next }) => {
            (token, format!("/login/code?next={}", encoded(&next)))
        }
        Ok(Vouched::Enrols { invitation }) => {
            (String::new(), format!("/welcome?invitation={invitation}"))
        }
        Err(error) => {
            let mut page = wrong(entrance, &error, "/");
            page.headers_mut().append(over.0, over.1);
            return page;
        }
    };
    let frame = Frame::default();
    let mut page = show(&Onward { frame, next });
    // Whatever session there was before is another one's.
    for (name, value) in [over, entrance.cookies.set(&token)] {
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

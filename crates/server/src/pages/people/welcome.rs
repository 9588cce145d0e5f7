//! An invitation: a password, then the second factor.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{PASSWORD_CHARACTERS_MIN, People, Step, Welcome};
use model::Timestamp;

use super::super::{Frame, page as show, refused};
use super::{Fault, unfit};
use crate::access::{Entrance, Fields};
use crate::qr;

#[derive(Template)]
#[template(path = "people/welcome.html")]
struct Password {
    frame: Frame,
    fault: Fault,
    invitation: String,
    welcome: Welcome,
    password_hint: String,
}

#[derive(Template)]
#[template(path = "people/factor.html")]
struct Factor {
    frame: Frame,
    fault: Fault,
    invitation: String,
    name: String,
    /// Drawn by us alone: no text of others is in it.
    svg: String,
    secret: String,
}

/// What an invitation asks for next.
async fn step(
    people: &People,
    token: &str,
    fault: Fault,
    chosen: &Fields,
    now: Timestamp,
) -> Response {
    let Ok(mut welcome) = people.welcome(token, now).await else {
        return refused(
            StatusCode::NOT_FOUND,
            "This link was used before, or its day is over: ask for another one",
        );
    };
    let invitation = token.to_owned();
    match &welcome.step {
        Step::Factor { uri, secret } => show(&Factor {
            frame: Frame::default(),
            svg: qr::svg(uri),
            secret: secret.clone(),
            name: welcome.name.clone(),
            invitation,
            fault,
        }),
        Step::Password => {
            for (to, name) in [(&mut welcome.name, "name"), (&mut welcome.shown, "shown")] {
                if !chosen.text(name).is_empty() {
                    chosen.text(name).clone_into(to);
                }
            }
            show(&Password {
                frame: Frame::default(),
                password_hint: format!(
                    "At least {PASSWORD_CHARACTERS_MIN} characters, with letters and digits: a few words and a number. Not one you use elsewhere."
                ),
                fault,
                invitation,
                welcome,
            })
        }
    }
}

/// The same step once more, with what was wrong; where the invitation itself is over, that.
async fn again(
    people: &People,
    token: &str,
    fault: Fault,
    sent: &Fields,
    now: Timestamp,
) -> Response {
    let page = step(people, token, fault, sent, now).await;
    if page.status().is_success() {
        unfit(page)
    } else {
        page
    }
}

/// Shows an invitation.
pub(super) async fn page(
    entrance: Entrance,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let token = query.get("invitation").map_or("", String::as_str);
    let none = Fields::read(b"");
    step(
        &entrance.people,
        token,
        Fault::default(),
        &none,
        entrance.now,
    )
    .await
}

/// The first step.
pub(super) async fn password(entrance: Entrance, sent: Fields) -> Response {
    let (people, token, now) = (&entrance.people, sent.text("invitation"), entrance.now);
    let (name, shown) = (sent.text("name"), sent.text("shown"));
    let chosen = people
        .choose(token, name, shown, sent.text("password"), now)
        .await;
    let Err(error) = chosen else {
        return step(people, token, Fault::default(), &sent, now).await;
    };
    match Fault::of("welcome", &error) {
        None => super::trouble(&error),
        Some(fault) => again(people, token, fault, &sent, now).await,
    }
}

/// The second step: a code of the new factor.
pub(super) async fn code(entrance: Entrance, sent: Fields) -> Response {
    let Entrance {
        people,
        from,
        now,
        cookies,
    } = entrance;
    let token = sent.text("invitation");
    match people.join(token, sent.text("code"), &from, now).await {
        Ok(fresh) => ([cookies.set(&fresh.token)], Redirect::to("/")).into_response(),
        Err(error) => match Fault::of("factor", &error) {
            None => super::trouble(&error),
            Some(fault) => again(&people, token, fault, &sent, now).await,
        },
    }
}

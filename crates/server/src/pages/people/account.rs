//! One's own account: password, second factor, sessions, tokens, a further role for an hour.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{
    MANAGING_DAYS_MAX, PASSWORD_CHARACTERS_MIN, PasskeyView, PeopleError, SessionView, TOKEN_DAYS,
    TOKEN_DAYS_MAX, TokenView, TokenWish,
};
use engine::zone::Zone;
use model::{Grant, Principal, Right, Role, Timestamp, Via};

use super::super::{Frame, page as show};
use super::{Fault, unfit};
use crate::access::{Caller, Entrance, Fields, Seen};

#[derive(Template)]
#[template(path = "people/account.html")]
struct Account {
    frame: Frame,
    fault: Fault,
    /// What was done.
    done: &'static str,
    /// A token that was just made: it is shown once.
    token: String,
    csrf: String,
    principal: Principal,
    /// The zone they chose; empty where they chose none.
    zone: String,
    raised_until: Option<Timestamp>,
    /// Their address of mail, empty where there is none, and what is to be known of it.
    mail: String,
    mail_hint: &'static str,
    sessions: Vec<SessionView>,
    tokens: Vec<TokenView>,
    has_passkeys: bool,
    passkeys: Vec<PasskeyView>,
    /// Roles that may be taken for an hour.
    further: Vec<Role>,
    password_hint: String,
    days: i64,
    days_hint: String,
    /// Whether they may make a token that manages people, and its most days.
    manages: bool,
    managing_days: i64,
}

/// What was done, by the word in the address.
const DONE: [(&str, &str); 9] = [
    ("mail", "Your address of mail is kept."),
    (
        "password",
        "Your password is changed; you are logged out elsewhere.",
    ),
    ("sessions", "You are logged out elsewhere."),
    ("passkey", "The passkey is added: log in with it."),
    ("removed", "The passkey is removed."),
    ("revoked", "The token is taken back."),
    ("zone", "Times are told in this zone from now on."),
    (
        "broken",
        "You hold the further role for an hour. It is sealed who took it, when and why.",
    ),
    ("mended", "You gave the further role back."),
];

async fn account(
    entrance: &Entrance,
    seen: &Seen,
    caller: &Caller,
    fault: Fault,
    done: &'static str,
    token: String,
) -> Result<Response, PeopleError> {
    let principal = caller.principal.clone();
    let sessions = entrance
        .people
        .sessions(&principal, &caller.session, caller.now)
        .await?;
    let tokens = entrance.people.tokens(&principal).await?;
    let (mail, is_directorys) = entrance.people.own_mail(caller.act()).await?;
    let passkeys = entrance.people.passkeys(caller.act()).await?;
    let may_further = principal.may_all(Right::BreakGlass) && principal.via == Via::Session;
    let further = Role::ALL.into_iter().filter(|role| {
        let own = principal.grants.iter();
        let mut all: Vec<_> = own.cloned().collect();
        all.push(Grant::all(*role));
        may_further
            && !role.is_given_only()
            && !principal.grants.contains(&Grant::all(*role))
            && Grant::check(&all).is_ok()
    });
    Ok(show(&Account {
        frame: Frame::new(&seen.0),
        further: further.collect(),
        raised_until: match principal.via {
            Via::BreakGlass { until } => Some(until),
            _ => None,
        },
        tokens: tokens.into_iter().filter(|token| token.is_own).collect(),
        has_passkeys: entrance.people.has_passkeys(),
        passkeys,
        mail_hint: match is_directorys && !mail.is_empty() {
            true => {
                "It is the one that your company's directory says; another one here goes before it."
            }
            false => {
                "You are told there of what you watch, lead or have to do, if this console tells by mail. Empty: nowhere."
            }
        },
        mail,
        csrf: caller.csrf.clone(),
        password_hint: format!(
            "At least {PASSWORD_CHARACTERS_MIN} characters, with letters and digits; none of your last four."
        ),
        days: TOKEN_DAYS,
        manages: principal.may_all(Right::ManagePeople) && principal.via == Via::Session,
        managing_days: MANAGING_DAYS_MAX,
        days_hint: format!("At most {TOKEN_DAYS_MAX}"),
        zone: caller.zone.as_ref().map_or("", Zone::name).to_owned(),
        fault,
        done,
        token,
        principal,
        sessions,
    }))
}

/// Shows it.
pub(super) async fn page(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
) -> Response {
    let word = query.get("done").map_or("", String::as_str);
    let done = DONE.iter().find(|(of, _)| *of == word);
    let done = done.map_or("", |(_, text)| *text);
    shown(
        account(
            &entrance,
            &seen,
            &caller,
            Fault::default(),
            done,
            String::new(),
        )
        .await,
    )
}

fn shown(page: Result<Response, PeopleError>) -> Response {
    page.unwrap_or_else(|error| super::trouble(&error))
}

/// Goes back to the page, which says what was done or what is wrong.
pub(super) async fn answer(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    form: &'static str,
    done: Result<&'static str, PeopleError>,
) -> Response {
    match done {
        Ok(word) => Redirect::to(&format!("/account?done={word}")).into_response(),
        Err(error) => match Fault::of(form, &error) {
            None => super::trouble(&error),
            Some(fault) => unfit(shown(
                account(&entrance, &seen, &caller, fault, "", String::new()).await,
            )),
        },
    }
}

/// Changes the password.
pub(super) async fn password(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let (present, new) = (sent.text("present"), sent.text("password"));
    let done = entrance
        .people
        .change_password(caller.act(), &caller.session, present, new)
        .await;
    answer(
        entrance,
        seen,
        caller,
        "password",
        done.map(|()| "password"),
    )
    .await
}

/// Says where to tell them by mail.
pub(super) async fn mail(entrance: Entrance, seen: Seen, caller: Caller, sent: Fields) -> Response {
    let (address, code) = (sent.text("mail"), sent.text("code"));
    let done = entrance
        .people
        .set_own_mail(caller.act(), address, code)
        .await;
    answer(entrance, seen, caller, "mail", done.map(|()| "mail")).await
}

/// Begins to change the second factor.
pub(super) async fn factor(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let begun = entrance
        .people
        .change_factor(caller.act(), sent.text("present"), sent.text("code"))
        .await;
    match begun {
        Ok(token) => Redirect::to(&format!("/welcome?invitation={token}")).into_response(),
        Err(error) => answer(entrance, seen, caller, "factor", Err(error)).await,
    }
}

/// Chooses the zone in which times are told.
pub(super) async fn zone(entrance: Entrance, seen: Seen, caller: Caller, sent: Fields) -> Response {
    let done = entrance.people.choose_zone(caller.act(), sent.text("zone"));
    let done = done.await.map(|()| "zone");
    answer(entrance, seen, caller, "zone", done).await
}

/// Logs out elsewhere.
pub(super) async fn sessions(entrance: Entrance, seen: Seen, caller: Caller) -> Response {
    let done = entrance
        .people
        .log_out_elsewhere(&caller.session, caller.act())
        .await;
    answer(
        entrance,
        seen,
        caller,
        "sessions",
        done.map(|()| "sessions"),
    )
    .await
}

/// Makes a token, and shows it once.
pub(super) async fn make_token(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let (Some(role), Some(scope)) = (
        Role::named(sent.text("role")),
        Grant::place(sent.text("place")),
    ) else {
        let fault = Fault::new("token", "place", PLACE);
        let page = account(&entrance, &seen, &caller, fault, "", String::new()).await;
        return unfit(shown(page));
    };
    let days = sent.text("days").parse().unwrap_or(0);
    let grants = [Grant { role, scope }];
    let wish = TokenWish {
        name: sent.text("name"),
        grants: &grants,
        days,
        manages_people: !sent.text("manages_people").is_empty(),
    };
    match entrance.people.make(caller.act(), wish).await {
        Ok(made) => {
            let page = account(&entrance, &seen, &caller, Fault::default(), "", made.token);
            shown(page.await)
        }
        Err(error) => answer(entrance, seen, caller, "token", Err(error)).await,
    }
}

/// How a place is written.
pub(super) const PLACE: &str =
    "choose a role, and write the place as website:us, store:main or view:fr, or leave it empty";

/// Takes a token back.
pub(super) async fn revoke_token(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let done = entrance
        .people
        .revoke_token(caller.act(), sent.text("name"))
        .await;
    answer(entrance, seen, caller, "tokens", done.map(|()| "revoked")).await
}

/// Takes a further role for an hour.
pub(super) async fn break_glass(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let done = match Role::named(sent.text("role")) {
        Some(role) => {
            let (reason, code) = (sent.text("reason"), sent.text("code"));
            entrance
                .people
                .break_glass(
                    caller.act(),
                    &caller.session,
                    Grant::all(role),
                    reason,
                    code,
                )
                .await
        }
        None => Err(PeopleError::NoSuch),
    };
    answer(entrance, seen, caller, "glass", done.map(|()| "broken")).await
}

/// Gives it back.
pub(super) async fn mend_glass(entrance: Entrance, seen: Seen, caller: Caller) -> Response {
    let done = entrance
        .people
        .mend_glass(caller.act(), &caller.session)
        .await;
    answer(entrance, seen, caller, "glass", done.map(|()| "mended")).await
}

//! Managing people: who is there, what they may do, inviting, disabling – and the roles, as one table.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::{AccountView, PeopleError, TOKEN_DAYS_MAX, TokenView};
use model::{Grant, Right, Role, Scope, StoreMap};

use super::super::{Frame, encoded, page as show};
use super::account::PLACE;
use super::{Fault, unfit};
use crate::access::{Caller, Entrance, Fields, Seen};

#[derive(Template)]
#[template(path = "people/administration.html")]
struct Administration {
    frame: Frame,
    fault: Fault,
    /// Whose form the fault is about.
    about: String,
    /// What was done.
    done: String,
    /// A link that was just made: it is shown once.
    link: String,
    /// A directory's token that was just made: likewise.
    token: String,
    days: i64,
    days_hint: String,
    csrf: String,
    may_manage: bool,
    accounts: Vec<AccountView>,
    tokens: Vec<TokenView>,
    /// Places a role can be for, as the form writes them.
    places: Vec<String>,
    apart: Vec<(Role, Role, &'static str)>,
    /// What was typed into the form for invitations.
    name: String,
}

/// What was made or is wrong, to be shown with the list.
#[derive(Default)]
struct News {
    fault: Fault,
    about: String,
    done: String,
    link: String,
    token: String,
    name: String,
}

/// Websites, stores and views the shop is known to have.
fn places(stores: &StoreMap) -> Vec<String> {
    let mut all = std::collections::BTreeSet::new();
    for (code, view) in &stores.views {
        for (kind, code) in [(0, &view.website), (1, &view.store), (2, code)] {
            if !code.is_empty() {
                all.insert((kind, code));
            }
        }
    }
    let kinds = ["website", "store", "view"];
    all.into_iter()
        .map(|(kind, code)| format!("{}:{code}", kinds[kind]))
        .collect()
}

/// Pairs of roles that one person may not hold.
fn apart() -> Vec<(Role, Role, &'static str)> {
    let mut all = Vec::new();
    for (at, one) in Role::ALL.into_iter().enumerate() {
        for two in Role::ALL.into_iter().skip(at + 1) {
            if let Some(why) = one.apart_from(two) {
                all.push((one, two, why));
            }
        }
    }
    all
}

async fn list(
    entrance: &Entrance,
    seen: &Seen,
    caller: &Caller,
    news: News,
) -> Result<Response, PeopleError> {
    let accounts = entrance.people.accounts(caller.act()).await?;
    let tokens = entrance.people.tokens(&caller.principal).await?;
    Ok(show(&Administration {
        frame: Frame::new(&seen.0).at("/administration/people", model::Timestamp::default()),
        fault: news.fault,
        about: news.about,
        done: news.done,
        link: news.link,
        token: news.token,
        name: news.name,
        days: TOKEN_DAYS_MAX,
        days_hint: format!("At most {TOKEN_DAYS_MAX}"),
        csrf: caller.csrf.clone(),
        may_manage: caller.principal.may_all(Right::ManagePeople),
        places: places(seen.0.stores()),
        apart: apart(),
        accounts,
        tokens,
    }))
}

/// Shows it.
pub(super) async fn people(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let name = query.get("name").cloned().unwrap_or_default();
    let done = match query.get("done").map(String::as_str) {
        Some("granted") => format!("What {name} may do is changed, at once."),
        Some("disabled") => format!("{name} is disabled and logged out everywhere."),
        Some("unlocked") => format!("{name} may log in again, at once."),
        Some("out") => format!("{name} is logged out everywhere."),
        _ => String::new(),
    };
    let news = News {
        done,
        ..News::default()
    };
    shown(list(&entrance, &seen, &caller, news).await)
}

fn shown(page: Result<Response, PeopleError>) -> Response {
    page.unwrap_or_else(|error| super::trouble(&error))
}

async fn wrong(
    entrance: &Entrance,
    seen: &Seen,
    caller: &Caller,
    form: &'static str,
    about: &str,
    error: PeopleError,
) -> Response {
    match Fault::of(form, &error) {
        None => super::trouble(&error),
        Some(fault) => {
            let news = News {
                fault,
                about: about.to_owned(),
                name: about.to_owned(),
                ..News::default()
            };
            unfit(shown(list(entrance, seen, caller, news).await))
        }
    }
}

/// A link to be handed over, with its host as the administrator reached it.
fn link(token: &str) -> String {
    format!("/welcome?invitation={token}")
}

/// Invites somebody, and shows the link once.
pub(super) async fn invite(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let name = sent.text("name");
    let (Some(role), Some(scope)) = (
        Role::named(sent.text("role")),
        Grant::place(sent.text("place")),
    ) else {
        let news = News {
            fault: Fault::new("invite", "place", PLACE),
            name: name.to_owned(),
            ..News::default()
        };
        return unfit(shown(list(&entrance, &seen, &caller, news).await));
    };
    let grants = [Grant { role, scope }];
    match entrance.people.invite(caller.act(), name, &grants).await {
        Ok(token) => {
            let news = News {
                done: format!("{name} is invited."),
                link: link(&token),
                ..News::default()
            };
            shown(list(&entrance, &seen, &caller, news).await)
        }
        Err(error) => wrong(&entrance, &seen, &caller, "invite", name, error).await,
    }
}

/// Changes what somebody may do: what is ticked stays, what is chosen comes.
pub(super) async fn grant(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let name = sent.text("name");
    let read = |text: &str| {
        let (role, place) = text.split_once(' ').unwrap_or((text, ""));
        let (role, scope) = (Role::named(role)?, Grant::place(place)?);
        Some(Grant { role, scope })
    };
    let mut grants: Vec<Grant> = sent.all("keep").filter_map(read).collect();
    if !sent.text("role").is_empty() {
        match read(&format!("{} {}", sent.text("role"), sent.text("place"))) {
            Some(grant) => grants.push(grant),
            None => {
                let news = News {
                    fault: Fault::new("grant", "place", PLACE),
                    about: name.to_owned(),
                    ..News::default()
                };
                return unfit(shown(list(&entrance, &seen, &caller, news).await));
            }
        }
    }
    match entrance.people.grant(caller.act(), name, &grants).await {
        Ok(()) => back("granted", name),
        Err(error) => wrong(&entrance, &seen, &caller, "grant", name, error).await,
    }
}

fn back(done: &str, name: &str) -> Response {
    let name = encoded(name);
    Redirect::to(&format!("/administration/people?done={done}&name={name}")).into_response()
}

/// Takes an account out of use.
pub(super) async fn disable(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let name = sent.text("name");
    match entrance.people.disable(caller.act(), name).await {
        Ok(()) => back("disabled", name),
        Err(error) => wrong(&entrance, &seen, &caller, "disable", name, error).await,
    }
}

/// Lifts the lock after too many failures.
pub(super) async fn unlock(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let name = sent.text("name");
    match entrance.people.unlock(caller.act(), name).await {
        Ok(()) => back("unlocked", name),
        Err(error) => wrong(&entrance, &seen, &caller, "unlock", name, error).await,
    }
}

/// Logs somebody out everywhere.
pub(super) async fn end_sessions(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let name = sent.text("name");
    match entrance.people.end_sessions(caller.act(), name).await {
        Ok(()) => back("out", name),
        Err(error) => wrong(&entrance, &seen, &caller, "sessions", name, error).await,
    }
}

/// Takes password and second factor away, and shows a link to choose new ones once.
pub(super) async fn reset(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let name = sent.text("name");
    match entrance.people.reset(caller.act(), name).await {
        Ok(token) => {
            let news = News {
                done: format!(
                    "{name} chooses a new password and a new second factor by this link."
                ),
                link: link(&token),
                ..News::default()
            };
            shown(list(&entrance, &seen, &caller, news).await)
        }
        Err(error) => wrong(&entrance, &seen, &caller, "reset", name, error).await,
    }
}

/// Makes the directory's token, and shows it once.
pub(super) async fn directory(
    entrance: Entrance,
    seen: Seen,
    caller: Caller,
    sent: Fields,
) -> Response {
    let days = sent.text("days").parse().unwrap_or(0);
    let made = entrance
        .people
        .make_directory_token(caller.act(), sent.text("name"), days)
        .await;
    match made {
        Ok(made) => {
            let news = News {
                token: made.token,
                ..News::default()
            };
            shown(list(&entrance, &seen, &caller, news).await)
        }
        Err(error) => wrong(&entrance, &seen, &caller, "directory", "", error).await,
    }
}

/// A grant as the form sends it back.
fn written(grant: &Grant) -> String {
    let place = match &grant.scope {
        Scope::Website(code) => format!("website:{code}"),
        Scope::Store(code) => format!("store:{code}"),
        Scope::View(code) => format!("view:{code}"),
        _ => String::new(),
    };
    format!("{} {place}", grant.role.name())
}

#[cfg(test)]
mod tests {
    use super::{apart, places};
    use model::{StoreMap, ViewPlace};

    #[test]
    fn places_are_each_once_from_the_largest() {
        let mut stores = StoreMap::default();
        for code in ["fr", "de"] {
            let place = ViewPlace {
                website: "eu".to_owned(),
                store: "main".to_owned(),
                ..ViewPlace::default()
            };
            stores.views.insert(code.to_owned(), place);
        }
        stores.views.insert("lost".to_owned(), ViewPlace::default());
        assert_eq!(
            places(&stores),
            [
                "website:eu",
                "store:main",
                "view:de",
                "view:fr",
                "view:lost"
            ]
        );
    }

    #[test]
    fn every_pair_is_shown_with_its_reason() {
        let all = apart();
        assert!(all.len() > 10 && all.iter().all(|(_, _, why)| !why.is_empty()));
    }
}

//! People and tokens for programs: what the pages of people do, but for what takes a person – one's own password and factors,
//! passkeys, breaking the glass.
//!
//! What is shown once, a link or a token, stands in the first answer alone: asked again under the same key, it is `null`.

use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use engine::people::{
    AccountView, Made, Once, People, PeopleError, SessionView, TOKEN_DAYS, TokenView, TokenWish,
};
use model::{Grant, Right, Role, Via};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::access::{Caller, Entrance};
use crate::api;
use crate::pages::{json as answer, problem};
use crate::paging::{Asked, paged};

/// Somebody who is invited.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    name: String,
    grants: Vec<Grant>,
}

/// What is done about an account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "act")]
enum Change {
    /// Changes what they may do, as long as that is still what was seen.
    Grant {
        grants: Vec<Grant>,
        seen: Vec<Grant>,
    },
    // With braces: of an act without fields others wouldn't be refused.
    Disable {},
    Reset {},
    Unlock {},
    EndSessions {},
}

/// A token that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(default)]
    grants: Vec<Grant>,
    #[serde(default = "days", deserialize_with = "whole_number")]
    days: i64,
    #[serde(default)]
    manages_people: bool,
    /// One for the company's directory.
    #[serde(default)]
    directory: bool,
}

const fn days() -> i64 {
    TOKEN_DAYS
}

/// A whole number as JSON Schema has it: `9.0` is one as `9` is.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    // What has a fraction, or is beyond any number, is none.
    let text = number.to_string();
    text.parse().map_err(D::Error::custom)
}

/// Every account, by name.
pub(crate) async fn people(entrance: Entrance, caller: Caller, query: Asked) -> Response {
    let accounts = entrance.people.accounts(caller.act()).await;
    listed(query, accounts, |account| {
        (&account.name, account_of(account))
    })
}

/// One account, with its sessions.
pub(crate) async fn person(
    entrance: Entrance,
    caller: Caller,
    Path(name): Path<String>,
) -> Response {
    match entrance.people.account(caller.act(), &name).await {
        Ok((account, sessions)) => answer(&whole(&account, &sessions)),
        Err(error) => refusal(&error),
    }
}

/// Invites somebody.
pub(crate) async fn invite(
    entrance: Entrance,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let work = async |wanted: Invitation| {
        let people = &entrance.people;
        let token = people
            .invite(caller.act(), &wanted.name, &wanted.grants)
            .await?;
        let (account, sessions) = people.account(caller.act(), &wanted.name).await?;
        let link = Some(format!("/welcome?invitation={token}"));
        Ok((json!({ "account": whole(&account, &sessions) }), link))
    };
    done(
        &entrance.people,
        &caller,
        "/people",
        &headers,
        body,
        Some("link"),
        work,
    )
    .await
}

/// Changes an account.
pub(crate) async fn change(
    entrance: Entrance,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let work = async |change: Change| {
        let (people, act) = (&entrance.people, caller.act());
        // That there is none is said before anything else of it.
        people.account(act, &name).await?;
        let mut link = None;
        match change {
            Change::Grant { grants, seen } => {
                people.grant_from(act, &name, Some(&seen), &grants).await?;
            }
            Change::Disable {} => people.disable(act, &name).await?,
            Change::Reset {} => {
                let token = people.reset(act, &name).await?;
                link = Some(format!("/welcome?invitation={token}"));
            }
            Change::Unlock {} => people.unlock(act, &name).await?,
            Change::EndSessions {} => people.end_sessions(act, &name).await?,
        }
        let (account, sessions) = people.account(act, &name).await?;
        Ok((json!({ "account": whole(&account, &sessions) }), link))
    };
    let place = format!("/people/{name}/changes");
    done(
        &entrance.people,
        &caller,
        &place,
        &headers,
        body,
        Some("link"),
        work,
    )
    .await
}

/// Tokens: one's own, or all for whoever sees accounts.
pub(crate) async fn tokens(entrance: Entrance, caller: Caller, query: Asked) -> Response {
    let tokens = entrance.people.tokens(&caller.principal).await;
    listed(query, tokens, |token| (&token.name, token_of(token)))
}

/// Makes a token.
pub(crate) async fn make_token(
    entrance: Entrance,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let work = async |wanted: Wanted| {
        let (people, act) = (&entrance.people, caller.act());
        let Made {
            token,
            name,
            expires,
        } = if wanted.directory {
            people
                .make_directory_token(act, &wanted.name, wanted.days)
                .await?
        } else {
            let wish = TokenWish {
                name: &wanted.name,
                grants: &wanted.grants,
                days: wanted.days,
                manages_people: wanted.manages_people,
            };
            people.make(act, wish).await?
        };
        let told = json!({ "name": name, "expires": expires.to_string() });
        Ok((told, Some(token)))
    };
    done(
        &entrance.people,
        &caller,
        "/tokens",
        &headers,
        body,
        Some("token"),
        work,
    )
    .await
}

/// Takes a token back.
pub(crate) async fn revoke_token(
    entrance: Entrance,
    caller: Caller,
    Path(name): Path<String>,
) -> Response {
    match entrance.people.revoke_token(caller.act(), &name).await {
        Ok(()) => answer(&json!({ "name": name })),
        // No token has such a name.
        Err(PeopleError::Name) => refusal(&PeopleError::NoSuch),
        Err(error) => refusal(&error),
    }
}

/// What each role may do, and with which others one person may not hold it.
pub(crate) async fn roles() -> Response {
    let item = |role: Role| {
        let may = Right::ALL.into_iter().filter(|right| role.may(*right));
        let apart = Role::ALL.into_iter().filter_map(|other| {
            let why = role.apart_from(other)?;
            Some(json!({ "role": other.name(), "why": why }))
        });
        json!({
            "role": role.name(),
            "purpose": role.purpose(),
            "may": may.map(Right::words).collect::<Vec<_>>(),
            "apart_from": apart.collect::<Vec<_>>(),
            "for_all_only": role.is_for_all_only(),
        })
    };
    let items: Vec<Value> = Role::ALL.into_iter().map(item).collect();
    answer(&json!({ "items": items }))
}

/// Who asks, and what they may do now.
pub(crate) async fn me(caller: Caller) -> Response {
    let principal = &caller.principal;
    let (via, until) = match &principal.via {
        Via::Session => ("session", None),
        Via::BreakGlass { until } => ("break_glass", Some(until.to_string())),
        Via::Token => ("token", None),
        Via::Managing { .. } => ("managing_token", None),
        _ => ("open", None),
    };
    let may = Right::ALL.into_iter();
    let may = may.filter(|right| principal.may_somewhere(*right));
    answer(&json!({
        "name": principal.name,
        "shown": principal.shown,
        "via": via,
        "further_role_until": until,
        "grants": principal.grants,
        "may": may.map(Right::words).collect::<Vec<_>>(),
    }))
}

/// Does what is asked once for a key; `secret` names what stands in the first answer alone, where anything does.
pub(crate) async fn done<T: DeserializeOwned>(
    people: &People,
    caller: &Caller,
    place: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    secret: Option<&str>,
    work: impl AsyncFnOnce(T) -> Result<(Value, Option<String>), PeopleError>,
) -> Response {
    let Ok(body) = body else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body has at most 64 KiB");
    };
    let Ok(wanted) = serde_json::from_slice::<T>(&body) else {
        let shape = "the body isn't what /api/v1/openapi.json has here";
        return problem(StatusCode::BAD_REQUEST, shape);
    };
    let key = match api::key(headers) {
        Ok(key) => key,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let what = format!(
        "{} {place}\n{}",
        Method::POST,
        String::from_utf8_lossy(&body)
    );
    let ticket = match people.once(caller.act(), key, &what).await {
        Ok(Once::New(ticket)) => ticket,
        Ok(Once::Done(told)) => {
            return answer(&serde_json::from_str(&told).unwrap_or_default());
        }
        Err(error) => return refusal(&error),
    };
    match work(wanted).await {
        Ok((mut told, shown)) => {
            if let Some(secret) = secret {
                told[secret] = Value::Null;
            }
            // It is done: that its answer isn't kept is no reason to withhold it.
            drop(people.answered(ticket, &told.to_string()).await);
            if let (Some(secret), Some(shown)) = (secret, shown) {
                told[secret] = Value::String(shown);
            }
            answer(&told)
        }
        Err(error) => {
            drop(people.unanswered(ticket).await);
            refusal(&error)
        }
    }
}

/// A page of a list that is in the order of names.
pub(crate) fn listed<T>(
    query: Asked,
    all: Result<Vec<T>, PeopleError>,
    told: impl Fn(&T) -> (&String, Value),
) -> Response {
    let (cursor, limit) = match paged(query) {
        Ok(page) => page,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let all = match all {
        Ok(all) => all,
        Err(error) => return refusal(&error),
    };
    let total = all.len();
    let mut told: Vec<(&String, Value)> = all.iter().map(told).collect();
    // Databases order names in their own ways.
    told.sort_by_key(|(name, _)| *name);
    told.retain(|(name, _)| **name > cursor);
    let has_more = told.len() > limit;
    told.truncate(limit);
    let next = told.last().filter(|_| has_more).map(|(name, _)| *name);
    let next = next.cloned();
    let items: Vec<Value> = told.into_iter().map(|(_, value)| value).collect();
    answer(&json!({ "items": items, "total": total, "next": next }))
}

fn account_of(account: &AccountView) -> Value {
    json!({
        "name": account.name,
        "shown": account.shown,
        "state": account.state,
        "grants": account.grants,
        "created": account.created.to_string(),
        "last_seen": account.last_seen.to_string(),
        "locked_until": account.locked_until.map(|at| at.to_string()),
    })
}

fn whole(account: &AccountView, sessions: &[SessionView]) -> Value {
    let mut out = account_of(account);
    let sessions = sessions.iter().map(|session| {
        json!({ "created": session.created.to_string(), "seen": session.seen.to_string() })
    });
    out["sessions"] = sessions.collect();
    out
}

fn token_of(token: &TokenView) -> Value {
    json!({
        "name": token.name,
        "grants": token.grants,
        "directory": token.is_directory,
        "manages_people": token.manages_people,
        "created": token.created.to_string(),
        "expires": token.expires.to_string(),
        "last_used": token.last_used.map(|at| at.to_string()),
    })
}

/// How HTTP says why something about people wasn't done.
pub(crate) fn refusal(error: &PeopleError) -> Response {
    let status = match error {
        PeopleError::NotAllowed { .. }
        | PeopleError::OnlySees
        | PeopleError::ByPerson { .. }
        | PeopleError::Oneself
        | PeopleError::Beyond
        | PeopleError::NotLoggedIn => StatusCode::FORBIDDEN,
        PeopleError::NoSuch => StatusCode::NOT_FOUND,
        PeopleError::NameTaken
        | PeopleError::LastAdmin
        | PeopleError::Changed
        | PeopleError::UnderWay
        | PeopleError::Views => StatusCode::CONFLICT,
        PeopleError::Name
        | PeopleError::Grants { .. }
        | PeopleError::Days
        | PeopleError::ManagingDays
        | PeopleError::OtherAsked
        | PeopleError::View => StatusCode::UNPROCESSABLE_ENTITY,
        PeopleError::Store { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, &error.to_string())
}

//! SCIM 2.0 (RFC 7644) under `/scim/v2`, for the company's directory: users, and what this service can do.
//!
//! For a directory's token alone, which the guard has looked at. Extract, ask the people, answer as the standard has it.

mod shape;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get};
use directory::{Filter, Kind, Refusal};
use engine::people::{PeopleError, Resource};
use serde_json::{Value, json};

use crate::access::{Caller, Console, Entrance, Fields};

/// Users in one answer, unless fewer are asked for.
pub(crate) const PAGE_USERS: usize = 200;
/// Under what all of it lies.
const BASE: &str = "/scim/v2";

/// Whether a path is the directory's.
pub(crate) fn is_here(path: &str) -> bool {
    path.strip_prefix(BASE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Its routes.
pub(crate) fn routes() -> Router<Console> {
    let at = |path: &str| format!("{BASE}{path}");
    let known = |router: MethodRouter<Console>| {
        router.fallback(async || {
            failed(
                StatusCode::METHOD_NOT_ALLOWED,
                None,
                "there is no such method here",
            )
        })
    };
    Router::new()
        .route(&at("/Users"), known(get(list).post(create)))
        .route(
            &at("/Users/{id}"),
            known(get(read).put(replace).patch(change).delete(end)),
        )
        .route(
            &at("/ServiceProviderConfig"),
            known(get(async || answer(StatusCode::OK, &shape::service()))),
        )
        .route(&at("/ResourceTypes"), known(get(resource_types)))
        .route(&at("/ResourceTypes/{id}"), known(get(resource_type)))
        .route(&at("/Schemas"), known(get(schemas)))
        .route(&at("/Schemas/{id}"), known(get(schema)))
        .route(BASE, any(nothing))
        .route(&at("/"), any(nothing))
        .route(&at("/{*rest}"), any(nothing))
}

/// An answer of the standard.
fn answer(status: StatusCode, value: &Value) -> Response {
    let kind = HeaderValue::from_static("application/scim+json");
    (status, [(header::CONTENT_TYPE, kind)], value.to_string()).into_response()
}

/// An error as RFC 7644 §3.12 has it.
fn failed(status: StatusCode, kind: Option<&str>, detail: &str) -> Response {
    let mut value = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.as_u16().to_string(),
        "detail": detail,
    });
    if let Some(kind) = kind {
        value["scimType"] = kind.into();
    }
    answer(status, &value)
}

/// The answer to whoever has no directory's token.
pub(crate) fn unknown() -> Response {
    let detail = "send a directory's token: Authorization: Bearer mgw_…";
    let mut response = failed(StatusCode::UNAUTHORIZED, None, detail);
    let scheme = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    response
}

/// What isn't done, in the standard's words.
fn refused(error: &PeopleError) -> Response {
    let (status, kind) = match error {
        PeopleError::Directory { refusal } => (StatusCode::BAD_REQUEST, Some(refusal.kind.name())),
        PeopleError::Name | PeopleError::Grants { .. } => {
            (StatusCode::BAD_REQUEST, Some(Kind::InvalidValue.name()))
        }
        PeopleError::NameTaken => (StatusCode::CONFLICT, Some("uniqueness")),
        PeopleError::NoSuch => (StatusCode::NOT_FOUND, None),
        PeopleError::Kept | PeopleError::LastAdmin => (StatusCode::FORBIDDEN, None),
        // Somebody granted meanwhile: the directory tries again.
        PeopleError::Changed => (StatusCode::CONFLICT, None),
        _ => {
            let detail = "the accounts can't be read or written now; try again";
            return failed(StatusCode::SERVICE_UNAVAILABLE, None, detail);
        }
    };
    failed(status, kind, &error.to_string())
}

fn unreadable(refusal: Refusal) -> Response {
    refused(&PeopleError::Directory { refusal })
}

async fn nothing() -> Response {
    failed(
        StatusCode::NOT_FOUND,
        None,
        "there is nothing here; users are at /scim/v2/Users",
    )
}

/// Where the directory reaches this, as its request names it; the guard has looked at the host.
struct Place(String);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Place {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self(place(&parts.headers)))
    }
}

fn place(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    let scheme = if crate::access::is_loopback_name(host) {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{host}{BASE}")
}

async fn list(
    entrance: Entrance,
    caller: Caller,
    Place(place): Place,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Fields::read(query.unwrap_or_default().as_bytes());
    let number = |name: &str, without: usize| match query.text(name) {
        "" => Ok(without),
        // Less than the least is the least (§3.4.2.4).
        text => text
            .parse::<i64>()
            .map(|number| usize::try_from(number).unwrap_or(0)),
    };
    let (Ok(start), Ok(count)) = (number("startIndex", 1), number("count", PAGE_USERS)) else {
        let kind = Kind::InvalidValue.name();
        let detail = "`startIndex` and `count` are numbers";
        return failed(StatusCode::BAD_REQUEST, Some(kind), detail);
    };
    let filter = match query.text("filter") {
        "" => None,
        text => match Filter::read(text) {
            Ok(filter) => Some(filter),
            Err(refusal) => return unreadable(refusal),
        },
    };
    let users = match entrance.people.directory_users(caller.act()).await {
        Ok(users) => users,
        Err(error) => return refused(&error),
    };
    let fits = |user: &Resource| match &filter {
        Some(filter) => filter.fits(&|name| shape::values(user, name)),
        None => true,
    };
    let found: Vec<_> = users.iter().filter(|user| fits(user)).collect();
    let page: Vec<_> = found
        .iter()
        .skip(start.max(1) - 1)
        .take(count.min(PAGE_USERS))
        .map(|user| shape::user(user, &place))
        .collect();
    answer(
        StatusCode::OK,
        &shape::list(found.len(), start.max(1), &page),
    )
}

/// A user, and where they are.
fn told(status: StatusCode, user: Result<Resource, PeopleError>, place: &str) -> Response {
    match user {
        Ok(user) => {
            let mut response = answer(status, &shape::user(&user, place));
            if let Ok(at) = HeaderValue::try_from(format!("{place}/Users/{}", user.id)) {
                response.headers_mut().insert(header::LOCATION, at);
            }
            response
        }
        Err(error) => refused(&error),
    }
}

async fn read(
    entrance: Entrance,
    caller: Caller,
    Place(place): Place,
    Path(id): Path<String>,
) -> Response {
    let user = entrance.people.directory_user(caller.act(), &id).await;
    told(StatusCode::OK, user, &place)
}

/// A body; one that can't be taken, since it is too long, is answered as SCIM does.
struct Sent(Bytes);

impl<S: Send + Sync> axum::extract::FromRequest<S> for Sent {
    type Rejection = Response;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Response> {
        let taken = Bytes::from_request(request, state).await;
        taken
            .map(Self)
            .map_err(|rejection| failed(rejection.status(), None, "the body can't be taken"))
    }
}

async fn create(
    entrance: Entrance,
    caller: Caller,
    Place(place): Place,
    Sent(bytes): Sent,
) -> Response {
    match directory::read(&bytes) {
        Ok(user) => {
            let made = entrance.people.provision(caller.act(), user).await;
            told(StatusCode::CREATED, made, &place)
        }
        Err(refusal) => unreadable(refusal),
    }
}

async fn replace(
    entrance: Entrance,
    caller: Caller,
    Place(place): Place,
    Path(id): Path<String>,
    Sent(bytes): Sent,
) -> Response {
    match directory::read(&bytes) {
        Ok(user) => {
            let user = entrance.people.put_user(caller.act(), &id, user).await;
            told(StatusCode::OK, user, &place)
        }
        Err(refusal) => unreadable(refusal),
    }
}

async fn change(
    entrance: Entrance,
    caller: Caller,
    Place(place): Place,
    Path(id): Path<String>,
    Sent(bytes): Sent,
) -> Response {
    let user = entrance.people.patch_user(caller.act(), &id, &bytes).await;
    told(StatusCode::OK, user, &place)
}

async fn end(entrance: Entrance, caller: Caller, Path(id): Path<String>) -> Response {
    match entrance.people.end_user(caller.act(), &id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

async fn resource_types(Place(place): Place) -> Response {
    let all = [shape::resource_type(&place)];
    answer(StatusCode::OK, &shape::list(1, 1, &all))
}

async fn resource_type(Place(place): Place, Path(id): Path<String>) -> Response {
    if id == "User" {
        return answer(StatusCode::OK, &shape::resource_type(&place));
    }
    nothing().await
}

async fn schemas(Place(place): Place) -> Response {
    answer(StatusCode::OK, &shape::list(1, 1, &[shape::schema(&place)]))
}

async fn schema(Place(place): Place, Path(id): Path<String>) -> Response {
    if id.eq_ignore_ascii_case(shape::USER) {
        return answer(StatusCode::OK, &shape::schema(&place));
    }
    nothing().await
}

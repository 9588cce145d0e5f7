//! What every request passes: the host it names, where it was made, who makes it, and what they may.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::people::PeopleError;
use model::{Principal, Right, Timestamp};
use subtle::ConstantTimeEq as _;

use super::{Access, Caller, Console, Cookies, Fields, Seen};
use crate::{pages, scim};

/// What pages may load: their own style, script and pictures, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Longest form.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// What a page that renews itself sends: it is nobody's doing.
const REFRESH: &str = "x-magewarden-refresh";

/// Whether a page that is open renews itself.
pub(crate) fn is_refresh(headers: &HeaderMap) -> bool {
    headers.contains_key(REFRESH)
}

/// Names of loopback.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// Below it one comes in by a provider or a passkey.
const COMING: &str = "/login/";

/// Below it providers send people back. By SAML that is a form of the provider's own page, so of another site; what was
/// begun in the browser binds it, not where it comes from.
const BACK: &str = "/login/back/";

/// Pages by which one comes in, and what they look like.
const PUBLIC: [&str; 8] = [
    "/login",
    "/login/code",
    "/welcome",
    "/welcome/code",
    "/style.css",
    "/live.js",
    "/passkey.js",
    "/icon.svg",
];

/// Refuses a request made under another host's name (DNS rebinding) or by another site's page, finds out who makes it,
/// and sets the policies of every answer.
pub(crate) async fn guard(
    State(console): State<Console>,
    request: Request,
    next: Next,
) -> Response {
    let name = host_name(request.headers()).to_ascii_lowercase();
    let is_loopback_name = is_loopback_name(&name);
    if !is_loopback_name && !console.names.contains(&name) {
        return (
            StatusCode::MISDIRECTED_REQUEST,
            "this console answers on 127.0.0.1 and localhost, and to names given with --name\n",
        )
            .into_response();
    }
    let is_back = request.method() == Method::POST && request.uri().path().starts_with(BACK);
    let mut response = if changes(request.method()) && !is_back && !is_own(request.headers()) {
        let why = "The page that sent this isn't the console's own.";
        refused(&request, StatusCode::FORBIDDEN, why)
    } else {
        admit(&console, request, next, is_loopback_name).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // With no referrer at all browsers don't say either that a form is the console's own.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    if console.is_secure {
        let year = header::HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(header::HOST);
    host.and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// The name of the host that is asked for, without its port.
fn host_name(headers: &HeaderMap) -> &str {
    let host = host(headers);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a host, with its port or without, is this machine as it calls itself.
pub(crate) fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    LOOPBACK.contains(&name.to_ascii_lowercase().as_str())
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request was made by a page of this console, or by no page at all.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    match text("origin") {
        None => true,
        Some(origin) => {
            let place = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            place.is_some_and(|place| place.eq_ignore_ascii_case(host(headers)))
        }
    }
}

/// Where a request comes from; empty when that isn't known.
pub(crate) fn from(extensions: &Extensions) -> String {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|peer| peer.0.ip().to_canonical().to_string())
        .unwrap_or_default()
}

/// Finds out who makes a request, and hands it on with them.
async fn admit(
    console: &Console,
    request: Request,
    next: Next,
    is_loopback_name: bool,
) -> Response {
    let path = request.uri().path().to_owned();
    // A body can't be looked at from two threads, so it isn't held while the accounts are asked.
    let (parts, body) = request.into_parts();
    if scim::is_here(&path) {
        return match identify_directory(console, &parts).await {
            Ok(Some(caller)) => {
                let mut request = Request::from_parts(parts, body);
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Ok(None) => scim::unknown(),
            Err(error) => pages::trouble(&error),
        };
    }
    let caller = match identify(console, &parts).await {
        Ok(caller) => caller,
        Err(error) => return pages::trouble(&error),
    };
    let mut request = Request::from_parts(parts, body);
    let is_public = PUBLIC.contains(&path.as_str())
        || path.starts_with(COMING)
        || path == "/metrics" && is_loopback_name && is_loopback_peer(request.extensions());
    match caller {
        None if !is_public => {
            let why = "Log in, or send a token: Authorization: Bearer mgw_…";
            refused(&request, StatusCode::UNAUTHORIZED, why)
        }
        Some(caller) if !is_public && changes(request.method()) && !caller.session.is_empty() => {
            // A token is sent by nobody but a program; a cookie by a browser, whoever made it ask.
            let checked = has_csrf(request, &caller.csrf).await;
            let mut request = match checked {
                Ok(request) => request,
                Err(response) => return response,
            };
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        caller => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
    }
}

fn is_loopback_peer(extensions: &Extensions) -> bool {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
}

/// The token a program sent; empty when it sent something else.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    let value = value.to_str().unwrap_or_default();
    Some(match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    })
}

/// The directory whose token it is: no session and no other token opens its door.
async fn identify_directory(
    console: &Console,
    request: &Parts,
) -> Result<Option<Caller>, PeopleError> {
    let Access::People { people, now } = &console.access else {
        return Ok(None);
    };
    let (Some(token), now) = (bearer(&request.headers), now()) else {
        return Ok(None);
    };
    let principal = people.directory(token, now).await?;
    Ok(principal.map(|principal| Caller {
        principal,
        csrf: String::new(),
        session: String::new(),
        from: from(&request.extensions),
        now,
        zone: None,
    }))
}

async fn identify(console: &Console, request: &Parts) -> Result<Option<Caller>, PeopleError> {
    let from = from(&request.extensions);
    let (people, now) = match &console.access {
        Access::Open => {
            return Ok(Some(Caller {
                principal: Principal::open(),
                csrf: String::new(),
                session: String::new(),
                from,
                now: console.clock.map_or_else(Timestamp::default, |now| now()),
                zone: None,
            }));
        }
        Access::People { people, now } => (people, now()),
    };
    let headers = &request.headers;
    if let Some(token) = bearer(headers) {
        let principal = people.token(token, now).await?;
        return Ok(principal.map(|principal| Caller {
            principal,
            csrf: String::new(),
            session: String::new(),
            from,
            now,
            zone: None,
        }));
    }
    let session = Cookies::new(headers, console.is_secure).session;
    if session.is_empty() {
        return Ok(None);
    }
    let is_activity = request.uri.path() != "/live" && !is_refresh(headers);
    let known = people.session(&session, is_activity, now).await?;
    Ok(known.map(|known| Caller {
        principal: known.principal,
        csrf: known.csrf,
        session,
        from,
        now,
        zone: known.zone,
    }))
}

/// Looks for the session's own word in a form, or in the header that a script sends; gives the request back whole.
async fn has_csrf(request: Request, expected: &str) -> Result<Request, Response> {
    let why = "This form is of another session: open its page again.";
    let fits = |sent: &str| bool::from(sent.as_bytes().ct_eq(expected.as_bytes()));
    let header = request.headers().get("x-csrf-token");
    if let Some(sent) = header {
        return if fits(sent.to_str().unwrap_or_default()) {
            Ok(request)
        } else {
            Err(refused(&request, StatusCode::FORBIDDEN, why))
        };
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    if kind.starts_with("multipart/form-data") {
        // Not read here, however large: its form's address has it.
        let query = Fields::read(request.uri().query().unwrap_or_default().as_bytes());
        return if fits(query.text("csrf")) {
            Ok(request)
        } else {
            Err(refused(&request, StatusCode::FORBIDDEN, why))
        };
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, FORM_BYTES_MAX).await else {
        let too_long = "The form is too long.\n";
        return Err((StatusCode::PAYLOAD_TOO_LARGE, too_long).into_response());
    };
    let sent = Fields::read(&bytes);
    let request = Request::from_parts(parts, Body::from(bytes));
    if fits(sent.text("csrf")) {
        Ok(request)
    } else {
        Err(refused(&request, StatusCode::FORBIDDEN, why))
    }
}

/// Whether it is asked for by a program rather than by a person with a browser.
fn is_for_programs(request: &Request) -> bool {
    let path = request.uri().path();
    path.starts_with("/api/")
        || ["/live", "/metrics"].contains(&path)
        || request.headers().contains_key(header::AUTHORIZATION)
}

/// A refusal: for programs as RFC 9457 has it, for people a page, or the one where they log in.
fn refused(request: &Request, status: StatusCode, why: &'static str) -> Response {
    if is_for_programs(request) {
        return pages::problem(status, why);
    }
    if status != StatusCode::UNAUTHORIZED {
        return pages::refused(status, why);
    }
    let next = if request.method() == Method::GET {
        request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str())
    } else {
        "/"
    };
    if next == "/" {
        return Redirect::to("/login").into_response();
    }
    Redirect::to(&format!("/login?next={}", pages::encoded(next))).into_response()
}

/// A path of this console to go on at: none of another host, whatever was sent.
pub(crate) fn local(path: &str) -> &str {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if is_local { path } else { "/" }
}

/// Lets those through whose roles include a right somewhere. What of it they see is for the page.
pub(crate) async fn allow(
    State(right): State<Right>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Response {
    if caller.principal.may_somewhere(right) {
        return next.run(request).await;
    }
    refused(
        &request,
        StatusCode::FORBIDDEN,
        "Your roles don't include this. Who administers the console can give you one that does.",
    )
}

/// Lets people through who logged in: what is about an account isn't for its tokens.
pub(crate) async fn only_logged_in(caller: Caller, request: Request, next: Next) -> Response {
    if caller.session.is_empty() {
        let why = "This is for people who logged in, not for programs.";
        return refused(&request, StatusCode::FORBIDDEN, why);
    }
    next.run(request).await
}

/// Lets those through who see the incident that is asked for. To others it isn't there.
pub(crate) async fn allow_incident(
    State(console): State<Console>,
    Path(named): Path<BTreeMap<String, String>>,
    caller: Caller,
    Seen(sight): Seen,
    request: Request,
    next: Next,
) -> Response {
    let id = named.get("id").map_or("", String::as_str);
    let sees = match console.desk.in_brief(id) {
        Some(incident) => caller.principal.sees(&incident.scopes, &console.stores),
        None => true,
    };
    if sees {
        return next.run(request).await;
    }
    // In the very words for one that isn't there at all.
    if is_for_programs(&request) {
        return crate::api::no_incident();
    }
    pages::no_incident(&sight, id)
}

#[cfg(test)]
mod tests {
    use super::{host_name, is_own, local};
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = all.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    #[track_caller]
    fn own(all: &[(&'static str, &'static str)], expected: bool) {
        assert_eq!(is_own(&headers(all)), expected, "{all:?}");
    }

    #[test]
    fn a_change_is_asked_for_by_a_page_of_ones_own_or_by_none() {
        let host = ("host", "127.0.0.1:8780");
        own(&[host], true);
        own(&[host, ("origin", "http://127.0.0.1:8780")], true);
        own(&[host, ("origin", "http://127.0.0.1:8781")], false);
        own(&[host, ("origin", "http://evil.test")], false);
        own(
            &[host, ("origin", "http://127.0.0.1:8780.evil.test")],
            false,
        );
        own(&[host, ("origin", "null")], false);
        own(&[host, ("sec-fetch-site", "same-origin")], true);
        own(&[host, ("sec-fetch-site", "same-site")], false);
        own(&[host, ("sec-fetch-site", "cross-site")], false);
        let mixed = ("origin", "http://127.0.0.1:8780");
        own(&[host, mixed, ("sec-fetch-site", "cross-site")], false);
    }

    #[test]
    fn a_host_is_named_without_its_port() {
        for (host, expected) in [
            ("127.0.0.1:8780", "127.0.0.1"),
            ("[::1]:8780", "[::1]"),
            ("[::1]", "[::1]"),
            ("console.example.test", "console.example.test"),
            ("localhost:evil", "localhost:evil"),
            ("", ""),
        ] {
            assert_eq!(host_name(&headers(&[("host", host)])), expected);
        }
    }

    #[test]
    fn nobody_is_sent_to_another_host_after_logging_in() {
        for path in ["/", "/incidents/1?from=2", "/a//b", "/?q=https://x"] {
            assert_eq!(local(path), path);
        }
        for path in [
            "",
            "//evil.test",
            "/\\evil.test",
            "https://evil.test",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x",
            "/\t/evil.test",
            "/ä",
        ] {
            assert_eq!(local(path), "/", "{path:?}");
        }
    }
}

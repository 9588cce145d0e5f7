//! Each claim, by requests.

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use engine::desk::Update;
use model::{Grant, Role};
use tower::ServiceExt as _;

use super::{Browser, PASSWORD, code, stage, stage_named, wait};

#[test]
fn nobody_gets_in_but_to_the_pages_by_which_one_comes_in() {
    let stage = stage();
    let nobody = Browser::default();
    for (path, next) in [
        ("/", ""),
        ("/incidents/i1", "?next=%2Fincidents%2Fi1"),
        ("/account", "?next=%2Faccount"),
        ("/administration/people", "?next=%2Fadministration%2Fpeople"),
        ("/nowhere?x=1", "?next=%2Fnowhere%3Fx%3D1"),
    ] {
        let answer = stage.get(&nobody, path);
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert_eq!(answer.header("location"), format!("/login{next}"));
    }
    for path in [
        "/api/v1/incidents",
        "/api/v1/incidents/i1",
        "/live",
        "/metrics",
        "/api/nowhere",
    ] {
        let answer = stage.get(&nobody, path);
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(answer.body.contains(r#""status":401"#) && !answer.body.contains("i1"));
    }
    for path in ["/login", "/login/code", "/style.css", "/live.js"] {
        let answer = stage.get(&nobody, path);
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
    }
    assert_eq!(
        stage.get(&nobody, "/welcome?invitation=x").status,
        StatusCode::NOT_FOUND
    );
    let forged = Browser {
        cookie: "magewarden=00".to_owned(),
        ..nobody
    };
    assert_eq!(stage.get(&forged, "/").status, StatusCode::SEE_OTHER);
    assert_eq!(
        stage.post(&forged, "/account/password", &[]).status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        stage
            .get_with("/", &[("authorization", "Bearer mgw_00")])
            .status,
        StatusCode::UNAUTHORIZED
    );
}

#[test]
fn counters_are_open_on_loopback_alone() {
    let stage = stage_named(&["console.example.test"]);
    let ask = |host: &str, peer: &str| {
        let request = Request::get("/metrics").header("host", host);
        let mut request = request.body(Body::empty()).expect("a request");
        let peer: std::net::SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(peer));
        stage.send(request).status
    };
    assert_eq!(ask("127.0.0.1:8780", "127.0.0.1:5000"), StatusCode::OK);
    assert_eq!(ask("localhost", "[::1]:5000"), StatusCode::OK);
    assert_eq!(ask("127.0.0.1", "192.0.2.1:5000"), StatusCode::UNAUTHORIZED);
    // By a proxy in front.
    assert_eq!(
        ask("console.example.test", "127.0.0.1:5000"),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        ask("evil.test", "127.0.0.1:5000"),
        StatusCode::MISDIRECTED_REQUEST
    );
}

#[test]
fn one_joins_by_a_link_and_logs_in_and_out_by_forms_alone() {
    let stage = stage();
    let token = stage.people.first_invitation(super::now());
    let token = stage
        .runtime
        .block_on(token)
        .expect("asked")
        .expect("nobody is there");
    let nobody = Browser::default();
    let page = stage.get(&nobody, &format!("/welcome?invitation={token}"));
    assert_eq!(
        page.of("input[name=password]", "autocomplete"),
        "new-password"
    );
    assert_eq!(page.of("input[name=name]", "autocomplete"), "username");
    let short = [
        ("invitation", token.as_str()),
        ("name", "root.one"),
        ("shown", "Rita"),
        ("password", "short 1"),
    ];
    let page = stage.post(&nobody, "/welcome", &short);
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(page.of("input[name=password]", "aria-invalid"), "true");
    assert_eq!(
        page.of("#welcome-password-fault", ""),
        "A password has at least 12 characters."
    );
    assert_eq!(page.of("input[name=shown]", "value"), "Rita");
    assert_eq!(
        page.of("input[name=password]", "value"),
        "",
        "no page gives a password back"
    );
    let root = stage.join(&token, "root.one");
    assert_eq!(
        stage
            .get(&nobody, &format!("/welcome?invitation={token}"))
            .status,
        StatusCode::NOT_FOUND
    );
    let page = stage.get(&root, "/");
    assert!(page.body.contains("/incidents/i2") && page.body.contains("root.one"));
    let asks = stage.get(&root, "/logout");
    assert_eq!(
        asks.of("form[action='/logout'] input[name=csrf]", "value"),
        root.csrf
    );
    let out = stage.post(&root, "/logout", &[]);
    assert_eq!(
        (out.status, out.header("location")),
        (StatusCode::SEE_OTHER, "/login")
    );
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(
        stage.get(&root, "/").status,
        StatusCode::SEE_OTHER,
        "the old cookie opens nothing"
    );
    // Back in, to where they wanted to be.
    wait(60);
    let wrong = [
        ("name", "root.one"),
        ("present", "a wrong river 1"),
        ("next", "/sources"),
    ];
    let page = stage.post(&nobody, "/login", &wrong);
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.of("#login-present-fault", "")
            .starts_with("The name or the password isn't right")
    );
    assert_eq!(
        (
            page.of("input[name=name]", "value"),
            page.of("input[name=next]", "value")
        ),
        ("root.one".to_owned(), "/sources".to_owned())
    );
    let right = [
        ("name", "root.one"),
        ("present", PASSWORD),
        ("next", "/sources"),
    ];
    let step = stage.post(&nobody, "/login", &right);
    assert_eq!(
        (step.status, step.header("location")),
        (StatusCode::SEE_OTHER, "/login/code?next=%2Fsources")
    );
    let half = Browser {
        cookie: step.cookie(),
        ..root.clone()
    };
    assert_eq!(
        stage.get(&half, "/").status,
        StatusCode::SEE_OTHER,
        "half a log-in opens nothing"
    );
    let page = stage.post(
        &half,
        "/login/code",
        &[("code", "000000"), ("next", "/sources")],
    );
    assert_eq!(
        page.of("#code-code-fault", ""),
        "The code isn't right, or was used before: wait for the next one."
    );
    assert_eq!(page.of("input[name=code]", "autocomplete"), "one-time-code");
    let code = code(&root.secret);
    let done = stage.post(
        &half,
        "/login/code",
        &[("code", &code), ("next", "//evil.test/")],
    );
    assert_eq!(
        (done.status, done.header("location")),
        (StatusCode::SEE_OTHER, "/")
    );
    let set = done.header("set-cookie");
    assert!(
        set.contains("HttpOnly; SameSite=Strict") && set.contains("Path=/"),
        "{set}"
    );
    assert_ne!(done.cookie(), step.cookie(), "a new id");
    let back = Browser {
        cookie: done.cookie(),
        ..root
    };
    assert_eq!(stage.get(&back, "/").status, StatusCode::OK);
}

#[test]
fn a_page_that_renews_itself_keeps_nobody_logged_in() {
    let stage = stage();
    let root = stage.first();
    for _ in 0..2 {
        wait(440);
        let refresh = [
            ("cookie", root.cookie.as_str()),
            ("x-magewarden-refresh", "1"),
        ];
        assert_eq!(stage.get_with("/", &refresh).status, StatusCode::OK);
    }
    wait(20);
    assert_eq!(
        stage.get(&root, "/").status,
        StatusCode::SEE_OTHER,
        "15 minutes are over"
    );
}

#[test]
fn a_change_needs_a_form_of_ones_own_session_and_page() {
    let stage = stage();
    let root = stage.first();
    let bob = stage.invited("bob", Grant::all(Role::Analyst));
    let change = [("name", "siem"), ("role", "analyst"), ("days", "30")];
    let refused = |headers: &[(&str, &str)], csrf: &str| {
        let mut fields = change.to_vec();
        fields.push(("csrf", csrf));
        let answer = stage.post_raw(&root, "/account/tokens", headers, &fields);
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?} {csrf}");
    };
    refused(&[], "");
    refused(&[], &bob.csrf);
    refused(&[("x-csrf-token", &bob.csrf)], &root.csrf);
    refused(&[("origin", "http://127.0.0.1:9999")], &root.csrf);
    refused(&[("origin", "null")], &root.csrf);
    refused(&[("sec-fetch-site", "cross-site")], &root.csrf);
    refused(&[("content-type", "multipart/form-data; boundary=x")], "");
    let long = "x".repeat(70_000);
    let answer = stage.post(&root, "/account/tokens", &[("name", &long)]);
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let made = stage.post(&root, "/account/tokens", &change);
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    // Logging in for somebody else from another site, too.
    let log_in = [("name", "root.one"), ("present", PASSWORD)];
    let answer = stage.post_raw(
        &Browser::default(),
        "/login",
        &[("origin", "http://evil.test")],
        &log_in,
    );
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[test]
fn a_token_reads_for_programs_what_its_role_may_and_is_no_person() {
    let stage = stage();
    let root = stage.first();
    let fields = [("name", "siem"), ("role", "admin"), ("days", "30")];
    let page = stage.post(&root, "/account/tokens", &fields);
    let token = page.of("pre.secret", "");
    assert!(
        !stage.get(&root, "/account").body.contains(&token),
        "it is shown once"
    );
    let bearer = format!("Bearer {token}");
    let get = |path: &str| stage.get_with(path, &[("authorization", &bearer)]);
    assert!(get("/api/v1/incidents").body.contains("i2"));
    assert_eq!(get("/").status, StatusCode::OK);
    assert_eq!(get("/administration/people").status, StatusCode::OK);
    for path in ["/account", "/logout", "/entries/0"] {
        let answer = get(path);
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let again = stage.post(&root, "/account/tokens", &fields);
    assert_eq!(again.of("#token-name-fault", ""), "This name is taken.");
    let back = stage.post(&root, "/account/tokens/revoke", &[("name", "siem")]);
    assert_eq!(back.status, StatusCode::SEE_OTHER);
    assert_eq!(get("/api/v1/incidents").status, StatusCode::UNAUTHORIZED);
}

#[test]
fn beyond_loopback_cookies_travel_by_tls_alone() {
    let stage = stage_named(&["Console.Example.test"]);
    let root = stage.first();
    assert!(
        root.cookie.starts_with("__Host-magewarden="),
        "{}",
        root.cookie
    );
    let host = [
        ("host", "console.example.test"),
        ("cookie", root.cookie.as_str()),
    ];
    let answer = stage.get_with("/", &host);
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("strict-transport-security"),
        "max-age=31536000"
    );
    let plain = root.cookie.replace("__Host-", "");
    let host = [("host", "console.example.test"), ("cookie", plain.as_str())];
    assert_eq!(stage.get_with("/", &host).status, StatusCode::SEE_OTHER);
    let host = [("host", "evil.test"), ("cookie", root.cookie.as_str())];
    assert_eq!(
        stage.get_with("/", &host).status,
        StatusCode::MISDIRECTED_REQUEST
    );
}

#[test]
fn an_open_page_hears_nothing_more_once_its_session_is_over() {
    let stage = stage();
    let root = stage.first();
    let request = Request::get("/live")
        .header("host", "127.0.0.1:8780")
        .header("cookie", &root.cookie)
        .body(Body::empty())
        .expect("a request");
    let answer = stage
        .runtime
        .block_on(stage.router.clone().oneshot(request));
    let answer = answer.expect("answered");
    assert_eq!(answer.status(), StatusCode::OK);
    stage.post(&root, "/logout", &[]);
    stage.desk.publish(Update::Gaps(Vec::new()));
    // It ends by itself: whoever waits for all of it gets nothing.
    let heard = stage
        .runtime
        .block_on(to_bytes(answer.into_body(), 1 << 20));
    assert_eq!(heard.expect("ended"), "");
}

//! People and tokens by the API: who may, what is shown once, how often it is done, and what becomes of hostile strings.

use std::cell::Cell;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::people::{Act, TokenWish};
use model::{Grant, Principal, Right, Role};
use serde_json::{Value, json};

use super::{Answer, Browser, Stage, now, stage};
use crate::hostile::HOSTILE;

thread_local! {
    static KEYS: Cell<u32> = const { Cell::new(0) };
}

fn key() -> String {
    KEYS.set(KEYS.get() + 1);
    format!("key-{}", KEYS.get())
}

impl Stage {
    /// A program's token as it is sent.
    fn program(&self, name: &str, role: Role, manages_people: bool) -> String {
        let machine = Principal::machine();
        let act = Act {
            by: &machine,
            from: "",
            now: now(),
        };
        let wish = TokenWish {
            name,
            grants: &[Grant::all(role)],
            days: 30,
            manages_people,
        };
        let made = self.runtime.block_on(self.people.make(act, wish));
        format!("Bearer {}", made.expect("made").token)
    }

    fn ask(&self, bearer: &str, method: &str, path: &str, key: &str, body: &str) -> Answer {
        self.ask_api(&[("authorization", bearer)], method, path, key, body)
    }

    #[track_caller]
    fn told(&self, bearer: &str, method: &str, path: &str, body: &Value) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let answer = self.ask(bearer, method, path, &key(), &body);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    #[track_caller]
    fn refused(&self, bearer: &str, path: &str, body: &Value, status: StatusCode, words: &str) {
        let answer = self.ask(bearer, "POST", path, &key(), &body.to_string());
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.body.contains(words), "{}", answer.body);
    }
}

fn grants(role: &str) -> Value {
    json!([{ "role": role, "scope": { "kind": "installation" } }])
}

#[test]
fn a_program_does_what_the_pages_do_and_a_secret_is_shown_once() {
    let stage = stage();
    stage.first();
    let hr = stage.program("hr", Role::Admin, true);
    let me = stage.told(&hr, "GET", "/me", &Value::Null);
    assert_eq!(
        (&me["via"], &me["name"]),
        (&json!("managing_token"), &json!("token hr"))
    );
    let scope = json!({ "kind": "website", "code": "us" });
    let narrow = json!([{ "role": "analyst", "scope": scope }]);
    let wish = json!({ "name": "Bob", "grants": narrow });
    let body = wish.to_string();
    let first = stage.ask(&hr, "POST", "/people", "k1", &body);
    let told: Value = serde_json::from_str(&first.body).expect("JSON");
    let link = told["link"].as_str().expect("a link").to_owned();
    let token = link.strip_prefix("/welcome?invitation=").expect("a link");
    assert_eq!(told["account"]["grants"], narrow);
    let again: Value =
        serde_json::from_str(&stage.ask(&hr, "POST", "/people", "k1", &body).body).expect("JSON");
    assert_eq!(
        (&again["link"], &again["account"]),
        (&Value::Null, &told["account"])
    );
    let unfit = stage.ask(&hr, "POST", "/people", "k 1", &body.replace("Bob", "Eve"));
    assert_eq!(unfit.status, StatusCode::BAD_REQUEST, "{}", unfit.body);
    assert_eq!(unfit.header("content-type"), "application/problem+json");
    assert!(unfit.body.contains("without spaces"), "{}", unfit.body);
    let other = stage.ask(&hr, "POST", "/people", "k1", &body.replace("Bob", "Eve"));
    assert_eq!(
        other.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        other.body
    );
    // The first link is the one that holds: the second asking invited nobody anew.
    let bob = stage.join(token, "bob");
    let one = stage.told(&hr, "GET", "/people/bob", &Value::Null);
    assert_eq!(
        (&one["state"], one["sessions"].as_array().map(Vec::len)),
        (&json!("active"), Some(1))
    );
    let viewer = grants("viewer");
    let change = json!({ "act": "grant", "grants": viewer, "seen": narrow });
    let granted = stage.told(&hr, "POST", "/people/bob/changes", &change);
    assert_eq!(granted["account"]["grants"], viewer);
    stage.refused(
        &hr,
        "/people/bob/changes",
        &change,
        StatusCode::CONFLICT,
        "meanwhile",
    );
    assert!(
        stage.get(&bob, "/account").body.contains("viewer"),
        "at once"
    );
    stage.told(
        &hr,
        "POST",
        "/people/bob/changes",
        &json!({ "act": "end_sessions" }),
    );
    assert_eq!(stage.get(&bob, "/").status, StatusCode::SEE_OTHER, "out");
    stage.told(
        &hr,
        "POST",
        "/people/bob/changes",
        &json!({ "act": "unlock" }),
    );
    let reset = stage.told(
        &hr,
        "POST",
        "/people/bob/changes",
        &json!({ "act": "reset" }),
    );
    assert!(
        reset["link"]
            .as_str()
            .is_some_and(|link| link.starts_with("/welcome"))
    );
    let gone = stage.told(
        &hr,
        "POST",
        "/people/bob/changes",
        &json!({ "act": "disable" }),
    );
    assert_eq!(
        (&gone["account"]["state"], &gone["link"]),
        (&json!("disabled"), &Value::Null)
    );
    // Of tokens.
    let made = stage.told(
        &hr,
        "POST",
        "/tokens",
        &json!({ "name": "probe", "grants": grants("admin"), "days": 3 }),
    );
    let probe = format!("Bearer {}", made["token"].as_str().expect("a token"));
    for (days, status) in [
        ("2.0", StatusCode::OK),
        ("2.5", StatusCode::BAD_REQUEST),
        ("1e300", StatusCode::BAD_REQUEST),
        ("\"2\"", StatusCode::BAD_REQUEST),
        ("0", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let body = format!(
            r#"{{"name":"whole","grants":{},"days":{days}}}"#,
            grants("admin")
        );
        let answer = stage.ask(&hr, "POST", "/tokens", "", &body);
        assert_eq!(answer.status, status, "{days}: {}", answer.body);
    }
    stage.told(&hr, "DELETE", "/tokens/whole", &Value::Null);
    let listed = stage.told(&probe, "GET", "/tokens", &Value::Null);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    assert!(!listed.to_string().contains("mgw_"), "{listed}");
    for wrong in [
        json!({ "name": "x", "grants": grants("analyst") }),
        json!({ "name": "x", "grants": grants("admin"), "manages_people": true }),
        json!({ "name": "x", "directory": true }),
    ] {
        stage.refused(
            &hr,
            "/tokens",
            &wrong,
            StatusCode::FORBIDDEN,
            "only what you may",
        );
    }
    stage.told(&hr, "DELETE", "/tokens/probe", &Value::Null);
    assert_eq!(
        stage.ask(&probe, "GET", "/me", "", "").status,
        StatusCode::UNAUTHORIZED
    );
    let none = stage.ask(&hr, "DELETE", "/tokens/probe", "", "");
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

/// What somebody may of each act, by statuses: seen, done, done to a token.
fn acts(stage: &Stage, bearer: &str, number: usize) -> [bool; 5] {
    let name = format!("p{number}");
    let body = |value: Value| value.to_string();
    let wish = body(json!({ "name": name, "grants": grants("viewer") }));
    let asked = [
        ("GET", "/people".to_owned(), String::new()),
        ("POST", "/people".to_owned(), wish),
        (
            "POST",
            "/people/victim/changes".to_owned(),
            body(json!({ "act": "end_sessions" })),
        ),
        (
            "POST",
            "/tokens".to_owned(),
            body(json!({ "name": format!("t{number}"), "grants": grants("admin"), "days": 1 })),
        ),
        ("DELETE", "/tokens/siem".to_owned(), String::new()),
    ];
    asked.map(|(method, path, body)| {
        let status = stage.ask(bearer, method, &path, &key(), &body).status;
        // The one that may has taken it back before.
        let is_done = status == StatusCode::OK || status == StatusCode::NOT_FOUND;
        assert!(
            is_done || status == StatusCode::FORBIDDEN,
            "{method} {path}: {status}"
        );
        is_done
    })
}

#[test]
fn by_the_api_each_role_does_what_the_table_of_rights_says_and_no_token_what_it_was_not_made_for() {
    let stage = stage();
    stage.first();
    stage.invited("victim", Grant::all(Role::Viewer));
    let siem = stage.program("siem", Role::Viewer, false);
    assert_eq!(
        stage.ask(&siem, "GET", "/me", "", "").status,
        StatusCode::OK
    );
    for (number, role) in Role::ALL.into_iter().enumerate() {
        let sees = role.may(Right::SeeAdministration);
        let plain = stage.program(role.name(), role, false);
        assert_eq!(
            acts(&stage, &plain, number),
            [sees, false, false, false, false],
            "{role}"
        );
        assert_eq!(
            stage.ask(&plain, "GET", "/roles", "", "").status,
            StatusCode::OK
        );
        // Itself it may take back.
        let itself = format!("/tokens/{}", role.name());
        assert_eq!(
            stage.ask(&plain, "DELETE", &itself, "", "").status,
            StatusCode::OK
        );
    }
    let hr = stage.program("hr", Role::Admin, true);
    assert_eq!(acts(&stage, &hr, 99), [true; 5]);
    // What a person has to do.
    for (path, body) in [
        (
            "/people",
            json!({ "name": "more", "grants": grants("admin") }),
        ),
        (
            "/people",
            json!({ "name": "more", "grants": grants("counsel") }),
        ),
        ("/people/root.one/changes", json!({ "act": "disable" })),
        ("/people/root.one/changes", json!({ "act": "reset" })),
        (
            "/people/victim/changes",
            json!({ "act": "grant", "grants": grants("admin"), "seen": grants("viewer") }),
        ),
    ] {
        stage.refused(&hr, path, &body, StatusCode::FORBIDDEN, "a person has to");
    }
    let both = json!([
        { "role": "incident_lead", "scope": { "kind": "installation" } },
        { "role": "evidence_custodian", "scope": { "kind": "installation" } },
    ]);
    let wish = json!({ "name": "both", "grants": both });
    stage.refused(
        &hr,
        "/people",
        &wish,
        StatusCode::UNPROCESSABLE_ENTITY,
        "may not be one person",
    );
    // Nor does it come in by the pages of an account.
    assert_eq!(
        stage.get_with("/account", &[("authorization", &hr)]).status,
        StatusCode::FORBIDDEN
    );
}

#[test]
fn a_person_does_the_same_by_the_api_with_their_sessions_own_word() {
    let stage = stage();
    let root = stage.first();
    let send = |browser: &Browser, csrf: &str, body: &Value| {
        let request = Request::post("/api/v1/people")
            .header("host", "127.0.0.1:8780")
            .header("cookie", &browser.cookie)
            .header("x-csrf-token", csrf);
        stage.send(
            request
                .body(Body::from(body.to_string()))
                .expect("a request"),
        )
    };
    let wish = json!({ "name": "second", "grants": grants("admin") });
    assert_eq!(send(&root, "", &wish).status, StatusCode::FORBIDDEN);
    assert_eq!(
        send(&root, &root.csrf, &wish).status,
        StatusCode::OK,
        "a person may"
    );
    let bob = stage.invited("bob", Grant::all(Role::Analyst));
    assert_eq!(send(&bob, &bob.csrf, &wish).status, StatusCode::FORBIDDEN);
    let me = stage.get(&root, "/api/v1/me").body;
    assert!(me.contains(r#""via":"session""#), "{me}");
}

#[test]
fn lists_are_paged_in_the_order_of_names_and_what_is_misspelt_is_refused() {
    let stage = stage();
    stage.first();
    let hr = stage.program("hr", Role::Admin, true);
    for name in ["b", "a.9", "A-1", "z_z", "m+m@x"] {
        stage.told(
            &hr,
            "POST",
            "/people",
            &json!({ "name": name, "grants": grants("viewer") }),
        );
    }
    for limit in [1, 2, 3, 6, 200] {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!(
                "/people?limit={limit}&cursor={}",
                cursor.replace('+', "%2B")
            );
            let page = stage.told(&hr, "GET", &path, &Value::Null);
            assert_eq!(page["total"], 6);
            for item in page["items"].as_array().expect("items") {
                names.push(item["name"].as_str().expect("a name").to_owned());
            }
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(
            names,
            ["a-1", "a.9", "b", "m+m@x", "root.one", "z_z"],
            "{limit}"
        );
    }
    for path in [
        "/people?limit=0",
        "/people?limit=201",
        "/people?stat=x",
        "/tokens?limit=x",
    ] {
        assert_eq!(
            stage.ask(&hr, "GET", path, "", "").status,
            StatusCode::BAD_REQUEST,
            "{path}"
        );
    }
    for body in [
        r#"{"act":"end_sessions","more":1}"#,
        r#"{"act":"disable","seen":[]}"#,
        r#"{"act":"burn"}"#,
    ] {
        let answer = stage.ask(&hr, "POST", "/people/b/changes", "", body);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"name":"x"}"#,
        r#"{"name":"x","grants":[],"more":1}"#,
    ] {
        let answer = stage.ask(&hr, "POST", "/people", "", body);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[test]
fn hostile_strings_are_no_names_and_stand_in_no_answer_of_their_own_making() {
    let stage = stage();
    stage.first();
    let hr = stage.program("hr", Role::Admin, true);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    let unnamed = |text: &&&str| !text.trim().bytes().all(fits);
    for text in HOSTILE.iter().filter(unnamed) {
        let wish = json!({ "name": text, "grants": grants("viewer") });
        let unfit = StatusCode::UNPROCESSABLE_ENTITY;
        stage.refused(&hr, "/people", &wish, unfit, "64 letters");
        stage.refused(
            &hr,
            "/tokens",
            &json!({ "name": text, "grants": grants("admin"), "days": 1 }),
            unfit,
            "64 letters",
        );
        let path: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for path in [format!("/people/{path}"), format!("/tokens/{path}")] {
            let method = if path.starts_with("/tokens") {
                "DELETE"
            } else {
                "GET"
            };
            let answer = stage.ask(&hr, method, &path, "", "");
            assert!(
                [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&answer.status),
                "{path}: {}",
                answer.status
            );
            assert!(!answer.body.contains(*text) || text.len() < 4, "{text:?}");
        }
    }
}

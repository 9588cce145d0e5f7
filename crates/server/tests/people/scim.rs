//! The directory's door, by requests as Entra ID and Okta send them.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::people::Act;
use model::{Grant, Principal, Role};
use serde_json::{Value, json};

use super::{Answer, Browser, Stage, now, stage};

impl Stage {
    fn directory_token(&self) -> String {
        let machine = Principal::machine();
        let act = Act {
            by: &machine,
            from: "",
            now: now(),
        };
        let made = self.people.make_directory_token(act, "entra", 30);
        self.runtime.block_on(made).expect("made").token
    }

    fn scim(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/scim/v2{path}"))
            .header("host", "127.0.0.1:8780")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/scim+json");
        self.send(
            request
                .body(Body::from(body.to_owned()))
                .expect("a request"),
        )
    }
}

fn read(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), "application/scim+json");
    serde_json::from_str(&answer.body).expect("JSON")
}

#[track_caller]
fn error(answer: &Answer, status: u16, kind: &str) {
    let value = read(answer);
    assert_eq!(answer.status.as_u16(), status, "{value}");
    assert_eq!(
        value["status"],
        status.to_string(),
        "a text, as §3.12 has it"
    );
    assert_eq!(
        value["schemas"][0],
        "urn:ietf:params:scim:api:messages:2.0:Error"
    );
    assert_eq!(
        value["scimType"].as_str().unwrap_or_default(),
        kind,
        "{value}"
    );
}

const ANNA: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna@example.com","externalId":"7","displayName":"Anna","active":true,"emails":[{"value":"anna@example.com","primary":true}]}"#;

#[test]
fn only_a_directorys_token_opens_its_door_and_opens_no_other() {
    let stage = stage();
    let root = stage.first();
    let token = stage.directory_token();
    let grants = [Grant::all(Role::Admin)];
    let plain = {
        let machine = Principal::machine();
        let act = Act {
            by: &machine,
            from: "",
            now: now(),
        };
        let made = stage.people.make_token(act, "siem", &grants, 30);
        stage.runtime.block_on(made).expect("made")
    };
    for wrong in ["", "mgw_", "x y", &plain, &"0".repeat(5000)] {
        for (method, path) in [
            ("GET", "/Users"),
            ("POST", "/Users"),
            ("GET", "/ServiceProviderConfig"),
            ("GET", "/nowhere"),
            ("DELETE", "/Users/x"),
        ] {
            let answer = stage.scim(wrong, method, path, ANNA);
            error(&answer, 401, "");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    // Nor does a session, an administrator's either.
    let answer = stage.get(&root, "/scim/v2/Users");
    error(&answer, 401, "");
    let form = stage.post(&root, "/scim/v2/Users", &[("userName", "x")]);
    error(&form, 401, "");
    let bearer = format!("Bearer {token}");
    for path in [
        "/",
        "/api/incidents",
        "/api/v1/incidents",
        "/administration/people",
        "/account",
        "/live",
        "/sources",
        "/scim/v2x",
        "/scim",
    ] {
        let answer = stage.get_with(path, &[("authorization", &bearer)]);
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    // With a cookie beside it the token is what counts, and no page of elsewhere sends one.
    let answer = stage.get_with(
        "/account",
        &[("authorization", &bearer), ("cookie", &root.cookie)],
    );
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let foreign = [
        ("authorization", bearer.as_str()),
        ("origin", "https://evil.test"),
    ];
    let answer = stage.post_raw(&Browser::default(), "/scim/v2/Users", &foreign, &[]);
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(
        stage.scim(&token, "GET", "/Users", "").status,
        StatusCode::OK
    );
}

#[test]
fn a_person_comes_changes_leaves_and_is_gone_at_once() {
    let stage = stage();
    stage.first();
    let token = stage.directory_token();
    let find = |name: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("filter", &format!("userName eq \"{name}\""))
            .finish();
        read(&stage.scim(&token, "GET", &format!("/Users?{query}"), ""))
    };
    assert_eq!(find("anna@example.com")["totalResults"], 0);
    let made = stage.scim(&token, "POST", "/Users", ANNA);
    assert_eq!(made.status, StatusCode::CREATED);
    let anna = read(&made);
    let id = anna["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        made.header("location"),
        format!("http://127.0.0.1:8780/scim/v2/Users/{id}")
    );
    assert_eq!(anna["meta"]["location"], made.header("location"));
    assert_eq!(anna["emails"][0]["value"], "anna@example.com");
    assert!(anna["externalId"] == "7" && anna["active"] == true);
    error(
        &stage.scim(&token, "POST", "/Users", ANNA),
        409,
        "uniqueness",
    );
    assert_eq!(find("ANNA@example.com")["Resources"][0]["id"], id.as_str());
    // Somebody who was invited here is ended all the same.
    let bob = stage.invited("bob", Grant::all(Role::Analyst));
    assert_eq!(stage.get(&bob, "/").status, StatusCode::OK);
    let bobs = find("bob")["Resources"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let out = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}"#;
    let after = stage.scim(&token, "PATCH", &format!("/Users/{bobs}"), out);
    assert_eq!(
        (after.status, read(&after)["active"].clone()),
        (StatusCode::OK, json!(false))
    );
    assert_eq!(
        stage.get(&bob, "/").status,
        StatusCode::SEE_OTHER,
        "out with the next request"
    );
    let put = ANNA
        .replace("\"Anna\"", "\"Anna B\"")
        .replace("true,\"emails", "false,\"emails");
    let after = read(&stage.scim(&token, "PUT", &format!("/Users/{id}"), &put));
    assert_eq!(
        (&after["displayName"], &after["active"]),
        (&json!("Anna B"), &json!(false))
    );
    assert_eq!(
        stage
            .scim(&token, "DELETE", &format!("/Users/{id}"), "")
            .status,
        StatusCode::NO_CONTENT
    );
    error(
        &stage.scim(&token, "GET", &format!("/Users/{id}"), ""),
        404,
        "",
    );
    error(
        &stage.scim(&token, "DELETE", &format!("/Users/{id}"), ""),
        404,
        "",
    );
    assert_eq!(find("anna@example.com")["totalResults"], 0);
}

#[test]
fn pages_of_a_list_are_as_asked_for() {
    let stage = stage();
    stage.first();
    let token = stage.directory_token();
    for at in 0..5 {
        let body = format!(r#"{{"userName":"u{at}"}}"#);
        assert_eq!(
            stage.scim(&token, "POST", "/Users", &body).status,
            StatusCode::CREATED
        );
    }
    for (query, names) in [
        ("count=2", "root.one u0"),
        ("startIndex=3&count=2", "u1 u2"),
        ("startIndex=-1&count=1", "root.one"),
        ("startIndex=7", ""),
        ("count=0", ""),
        ("count=-5", ""),
        ("filter=userName+sw+%22u%22&startIndex=5&count=9", "u4"),
        ("filter=active+eq+false", ""),
    ] {
        let list = read(&stage.scim(&token, "GET", &format!("/Users?{query}"), ""));
        let all = list["Resources"].as_array().expect("a list");
        let found: Vec<_> = all
            .iter()
            .map(|one| one["userName"].as_str().expect("a name"))
            .collect();
        assert_eq!(found.join(" "), names, "{query}");
        assert_eq!(list["itemsPerPage"], found.len());
    }
    for (query, kind) in [
        ("count=x", "invalidValue"),
        ("startIndex=99999999999999999999", "invalidValue"),
        ("filter=userName", "invalidFilter"),
        ("filter=%00", "invalidFilter"),
        (
            "filter=((((((((((((((((((id+pr))))))))))))))))))",
            "invalidFilter",
        ),
    ] {
        error(
            &stage.scim(&token, "GET", &format!("/Users?{query}"), ""),
            400,
            kind,
        );
    }
}

#[test]
fn what_is_wrong_is_said_in_the_standards_words() {
    let stage = stage();
    stage.first();
    let token = stage.directory_token();
    let root = read(&stage.scim(&token, "GET", "/Users", ""));
    let root = format!(
        "/Users/{}",
        root["Resources"][0]["id"].as_str().expect("an id")
    );
    let out = r#"{"Operations":[{"op":"replace","value":{"active":false}}]}"#;
    let renamed = r#"{"Operations":[{"op":"replace","path":"userName","value":"x"}]}"#;
    for (method, path, body, status, kind) in [
        ("POST", "/Users", "", 400, "invalidSyntax"),
        ("POST", "/Users", "{}", 400, "invalidValue"),
        (
            "POST",
            "/Users",
            r#"{"userName":"a b"}"#,
            400,
            "invalidValue",
        ),
        (
            "POST",
            "/Users",
            r#"{"userName":"4111111111111111"}"#,
            400,
            "invalidValue",
        ),
        ("PATCH", root.as_str(), renamed, 400, "mutability"),
        ("PATCH", root.as_str(), out, 403, ""),
        ("DELETE", root.as_str(), "", 403, ""),
        (
            "PUT",
            root.as_str(),
            r#"{"userName":"root.two"}"#,
            400,
            "mutability",
        ),
        ("PATCH", "/Users/nobody", out, 404, ""),
        ("GET", "/Users/..%2f..%2fkeys", "", 404, ""),
        ("GET", "/Groups", "", 404, ""),
        ("GET", "", "", 404, ""),
        ("POST", "/Bulk", "{}", 404, ""),
        ("PUT", "/Users", "{}", 405, ""),
    ] {
        error(&stage.scim(&token, method, path, body), status, kind);
    }
    let long = format!(r#"{{"userName":"a","x":"{}"}}"#, "y".repeat(70_000));
    error(&stage.scim(&token, "POST", "/Users", &long), 413, "");
}

#[test]
fn the_service_says_what_it_can_do() {
    let stage = stage();
    stage.first();
    let token = stage.directory_token();
    let get = |path: &str| read(&stage.scim(&token, "GET", path, ""));
    let can = get("/ServiceProviderConfig");
    assert_eq!(
        (&can["patch"]["supported"], &can["bulk"]["supported"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        get("/ResourceTypes")["Resources"][0],
        get("/ResourceTypes/User")
    );
    let schema = get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User");
    assert_eq!(get("/Schemas")["Resources"][0], schema);
    let name = &schema["attributes"][0];
    assert_eq!(
        (&name["name"], &name["mutability"]),
        (&json!("userName"), &json!("immutable"))
    );
    error(&stage.scim(&token, "GET", "/Schemas/x", ""), 404, "");
}

#[test]
fn an_administrator_makes_the_token_on_the_page_of_people() {
    let stage = stage();
    let root = stage.first();
    let page = stage.post(
        &root,
        "/administration/people/directory",
        &[("name", "entra"), ("days", "366")],
    );
    assert_eq!(page.status, StatusCode::OK);
    let token = page.of("pre.secret", "");
    assert_eq!(
        stage.scim(&token, "GET", "/Users", "").status,
        StatusCode::OK
    );
    assert!(page.body.contains("for accounts alone"));
    let again = stage.post(
        &root,
        "/administration/people/directory",
        &[("name", "entra"), ("days", "366")],
    );
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    let bob = stage.invited("bob", Grant::all(Role::Auditor));
    let page = stage.post(
        &bob,
        "/administration/people/directory",
        &[("name", "mine"), ("days", "9")],
    );
    assert!(
        !page.status.is_success() && !page.body.contains("mgw_"),
        "{}",
        page.status
    );
}

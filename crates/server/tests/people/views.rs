//! Views of the queue by the API: whose they are, that the page and the API show the same ones, and what is refused.

use axum::http::StatusCode;
use model::{Grant, Role, Scope};
use serde_json::{Value, json};

use super::{Answer, Browser, Stage, encoded, stage};
use crate::hostile::HOSTILE;

impl Stage {
    fn ask_as(&self, browser: &Browser, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let who = [
            ("cookie", browser.cookie.as_str()),
            ("x-csrf-token", browser.csrf.as_str()),
        ];
        self.ask_api(&who, method, path, key, body)
    }

    #[track_caller]
    fn views(&self, browser: &Browser) -> Vec<Value> {
        let answer = self.get(browser, "/api/v1/views");
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let told: Value = serde_json::from_str(&answer.body).expect("JSON");
        let items = told["items"].as_array().expect("items").clone();
        assert_eq!(told["total"], items.len());
        items
    }

    #[track_caller]
    fn keep(&self, browser: &Browser, body: &Value) -> Value {
        let answer = self.ask_as(browser, "POST", "/views", "", &body.to_string());
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    fn remove(&self, browser: &Browser, name: &str) -> Answer {
        let path = format!("/views?{}", encoded(&[("name", name)]));
        self.ask_as(browser, "DELETE", &path, "", "")
    }
}

#[track_caller]
fn refused(answer: &Answer, status: StatusCode, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.body.contains(words), "{}", answer.body);
}

#[test]
fn the_api_and_the_page_keep_the_same_views_and_each_persons_are_their_own() {
    let stage = stage();
    stage.first();
    let us = Grant {
        role: Role::Analyst,
        scope: Scope::Website("us".to_owned()),
    };
    let (ana, us) = (
        stage.invited("ana", Grant::all(Role::Viewer)),
        stage.invited("us.only", us),
    );
    let kept = stage.keep(
        &ana,
        &json!({ "name": " Mine & high ", "state": "all", "severity": "high", "mine": true, "q": "a b&c" }),
    );
    let address = "/incidents?state=all&severity=high&q=a%20b%26c&mine=1";
    let expected = json!({ "name": "Mine & high", "state": "all", "severity": "high", "store": "", "mine": true, "q": "a b&c", "address": address });
    assert_eq!(kept, expected);
    assert_eq!(stage.views(&ana), std::slice::from_ref(&expected));
    let page = stage.get(&ana, "/incidents");
    assert_eq!(page.of(".views a", "href"), address);
    assert_eq!(page.of(".views a", ""), "Mine & high");
    // Somebody for one website has their own, and neither sees nor removes another's.
    assert_eq!(stage.views(&us), Vec::<Value>::new());
    refused(
        &stage.remove(&us, "Mine & high"),
        StatusCode::NOT_FOUND,
        "none of this name",
    );
    let fields = [("name", "Ours"), ("state", "closed"), ("store", "us_en")];
    stage.post(&us, "/incidents/views", &fields);
    let ours = stage.views(&us);
    assert_eq!(
        (ours.len(), &ours[0]["name"], &ours[0]["store"]),
        (1, &json!("Ours"), &json!("us_en"))
    );
    let page = stage.get(&us, "/incidents?state=all").body;
    assert!(
        page.contains("/incidents/i1") && !page.contains("i2"),
        "{page}"
    );
    assert_eq!(stage.views(&ana), [expected]);
    // In place of one of its name; what is left out is as the queue has it by itself.
    let again = stage.keep(&ana, &json!({ "name": "Mine & high" }));
    assert_eq!(
        (&again["state"], &again["address"]),
        (&json!("work"), &json!("/incidents"))
    );
    assert_eq!(stage.views(&ana), [again]);
    let gone = stage.remove(&ana, "Mine & high");
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.body);
    assert_eq!(stage.views(&ana), Vec::<Value>::new());
    let page = stage.get(&ana, "/incidents").body;
    assert!(!page.contains("class=\"chips views\""), "{page}");
    assert_eq!(stage.views(&us).len(), 1);
}

#[test]
fn a_token_has_no_views_and_a_page_of_another_site_keeps_none() {
    let stage = stage();
    stage.first();
    let ana = stage.invited("ana", Grant::all(Role::Analyst));
    stage.keep(&ana, &json!({ "name": "Mine" }));
    let fields = [("name", "siem"), ("role", "analyst"), ("days", "1")];
    let token = stage
        .post(&ana, "/account/tokens", &fields)
        .of("pre.secret", "");
    let bearer = format!("Bearer {token}");
    let ask = |method: &str, path: &str, body: &str| {
        let who = [("authorization", bearer.as_str())];
        stage.ask_api(&who, method, path, "k1", body)
    };
    let list = ask("GET", "/views", "");
    let told: Value = serde_json::from_str(&list.body).expect("JSON");
    assert_eq!(
        told,
        serde_json::json!({"items": [], "next": null, "total": 0})
    );
    for (method, path, body) in [
        ("POST", "/views", r#"{"name":"x"}"#),
        ("DELETE", "/views?name=Mine", ""),
    ] {
        let answer = ask(method, path, body);
        refused(&answer, StatusCode::FORBIDDEN, "not for programs");
    }
    let other = Browser {
        csrf: String::new(),
        ..ana.clone()
    };
    let answer = stage.ask_as(&other, "POST", "/views", "", r#"{"name":"x"}"#);
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    assert_eq!(stage.remove(&other, "Mine").status, StatusCode::FORBIDDEN);
    let nobody = stage.get_with("/api/v1/views", &[]);
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.views(&ana).len(), 1);
}

#[test]
fn a_key_counts_once_thirty_are_kept_and_lists_are_paged_by_name() {
    let stage = stage();
    stage.first();
    let ana = stage.invited("ana", Grant::all(Role::Analyst));
    let one = r#"{"name":"one"}"#;
    let first = stage.ask_as(&ana, "POST", "/views", "k1", one);
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    stage.remove(&ana, "one");
    let again = stage.ask_as(&ana, "POST", "/views", "k1", one);
    assert_eq!(again.body, first.body, "answered as before");
    assert_eq!(stage.views(&ana), Vec::<Value>::new(), "and done once");
    let other = stage.ask_as(&ana, "POST", "/views", "k1", r#"{"name":"two"}"#);
    refused(&other, StatusCode::UNPROCESSABLE_ENTITY, "a new one");
    let spaced = stage.ask_as(&ana, "POST", "/views", "k 1", one);
    refused(&spaced, StatusCode::BAD_REQUEST, "without spaces");
    for number in 0..30 {
        stage.keep(&ana, &json!({ "name": format!("v{number:02}") }));
    }
    let more = stage.ask_as(&ana, "POST", "/views", "", one);
    refused(&more, StatusCode::CONFLICT, "remove one first");
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/views?limit=7&cursor={cursor}");
        let page: Value = serde_json::from_str(&stage.get(&ana, &path).body).expect("JSON");
        assert_eq!(page["total"], 30);
        let items = page["items"].as_array().expect("items");
        names.extend(items.iter().map(|item| item["name"].clone()));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let expected: Vec<_> = (0..30)
        .map(|number| json!(format!("v{number:02}")))
        .collect();
    assert_eq!(names, expected);
    for path in ["/api/v1/views?limit=0", "/api/v1/views?nam=x"] {
        refused(&stage.get(&ana, path), StatusCode::BAD_REQUEST, "limit");
    }
}

#[test]
fn what_the_description_forbids_is_no_view_and_hostile_names_come_back_as_they_are_kept() {
    let stage = stage();
    stage.first();
    let ana = stage.invited("ana", Grant::all(Role::Analyst));
    for body in [
        "",
        "[]",
        "{}",
        r#"{"name":1}"#,
        r#"{"name":"x","state":"open"}"#,
        r#"{"name":"x","state":""}"#,
        r#"{"name":"x","severity":"worst"}"#,
        r#"{"name":"x","mine":"1"}"#,
        r#"{"name":"x","query":"state=all"}"#,
    ] {
        let answer = stage.ask_as(&ana, "POST", "/views", "", body);
        refused(&answer, StatusCode::BAD_REQUEST, "openapi.json");
    }
    let long = "x".repeat(1001);
    for body in [
        json!({ "name": " " }),
        json!({ "name": "x".repeat(61) }),
        json!({ "name": "a\u{0}b" }),
        json!({ "name": "x", "q": long }),
    ] {
        let answer = stage.ask_as(&ana, "POST", "/views", "", &body.to_string());
        refused(&answer, StatusCode::UNPROCESSABLE_ENTITY, "1 to 60");
    }
    for path in ["/views", "/views?name=a&name=b", "/views?name=a&more=b"] {
        let answer = stage.ask_as(&ana, "DELETE", path, "", "");
        refused(&answer, StatusCode::BAD_REQUEST, "name, once");
    }
    let none = stage.remove(&ana, "\u{0}");
    refused(&none, StatusCode::NOT_FOUND, "none of this name");
    assert_eq!(stage.views(&ana), Vec::<Value>::new());
    let plain = |text: &&&str| !text.contains(char::is_control);
    for text in HOSTILE
        .iter()
        .filter(plain)
        .chain(&["..", "a/b", "4111111111111111"])
    {
        let name: String = text.chars().take(60).collect();
        let kept = stage.keep(&ana, &json!({ "name": name, "q": text }));
        let name = kept["name"].as_str().expect("a name");
        assert!(!kept.to_string().contains("4111111111111111"), "{kept}");
        assert_eq!(stage.views(&ana), std::slice::from_ref(&kept));
        let address = kept["address"].as_str().expect("an address");
        assert_eq!(stage.get(&ana, address).status, StatusCode::OK, "{address}");
        assert_eq!(stage.remove(&ana, name).status, StatusCode::OK, "{name}");
    }
}

//! Counsel's notes: on their own section and address for counsel, and in nothing else that the console gives anybody.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::{Grant, Role, Scope};
use tokio_stream::StreamExt as _;
use tower::ServiceExt as _;

use super::attaching::{Sealing, sealing};
use super::{Answer, Browser};

const MARKER: &str = "privileged-7f3a";

/// Every address that is read, as the router's own source names them.
fn addresses(sealing: &Sealing) -> BTreeSet<String> {
    let sources = [
        include_str!("../../src/lib.rs"),
        include_str!("../../src/pages/people/mod.rs"),
    ];
    let mut found = BTreeSet::new();
    for source in sources {
        for rest in source.split(".route(").skip(1) {
            let path = rest.split('"').nth(1).expect("a path");
            let with = |entry: &str| {
                path.replace("{id}", &sealing.id)
                    .replace("{entry}", entry)
                    .replace("{sequence}", entry)
            };
            found.extend((0..60).map(|entry| with(&entry.to_string())));
        }
    }
    assert!(found.len() > 30, "{found:?}");
    // Streams, which have no end; they are listened to on their own.
    found.retain(|path| !["/live", "/api/v1/events"].contains(&path.as_str()));
    found
}

fn write(sealing: &Sealing, browser: &Browser, text: &str) -> Answer {
    let page = sealing.page(browser);
    let fields = [
        ("text", text),
        ("key", &page.of("#counsel input[name=key]", "value")),
    ];
    let to = page.of("#counsel form", "action");
    sealing.stage.post(browser, &to, &fields)
}

/// What a stream says while a note is written.
fn heard(sealing: &Sealing, listener: &Browser, path: &str, writer: &Browser) -> String {
    let request = Request::get(path)
        .header("host", "127.0.0.1:8780")
        .header("cookie", &listener.cookie)
        .body(Body::empty())
        .expect("a request");
    let answer = sealing.stage.router.clone().oneshot(request);
    let answer = sealing.stage.runtime.block_on(answer).expect("answered");
    let mut stream = answer.into_body().into_data_stream();
    let done = write(sealing, writer, MARKER);
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let mut all = Vec::new();
    sealing.stage.runtime.block_on(async {
        while let Ok(Some(Ok(part))) =
            tokio::time::timeout(Duration::from_millis(300), stream.next()).await
        {
            all.extend_from_slice(&part);
        }
        // It may hold a connection, which goes back by the runtime.
        drop(stream);
    });
    String::from_utf8(all).expect("text")
}

#[test]
fn no_page_list_stream_or_entry_holds_a_note_but_counsels_own() {
    let sealing = sealing();
    sealing.stage.first();
    let cora = sealing.stage.invited("cora", Grant::all(Role::Counsel));
    let others: Vec<Browser> = Role::ALL
        .into_iter()
        .filter(|role| *role != Role::Counsel)
        .map(|role| sealing.stage.invited(role.name(), Grant::all(role)))
        .collect();
    // Looked at before, since a page changes with what is written about readings: nothing else may change it.
    let viewer = others.first().expect("roles");
    let before = sealing.page(viewer).body;
    assert_eq!(
        write(&sealing, &cora, &format!("{MARKER} <script>")).status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        sealing.page(viewer).body,
        before,
        "not even that there is any"
    );
    let page = sealing.page(&cora);
    assert_eq!(
        page.of("#counsel li .text", ""),
        format!("{MARKER} <script>")
    );
    let (own, told) = (
        format!("/incidents/{}/counsel-notes", sealing.id),
        format!("/api/v1/incidents/{}/counsel-notes", sealing.id),
    );
    assert!(sealing.stage.get(&cora, &told).body.contains(MARKER));
    let pages = [
        own.clone(),
        format!("/incidents/{}", sealing.id),
        // Loaded again, the address of a form is the page it is on.
        format!("/incidents/{}/decide", sealing.id),
        format!("/incidents/{}/attachments", sealing.id),
    ];
    for path in addresses(&sealing) {
        let answer = sealing.stage.get(&cora, &path);
        let is_own = path == told || pages.contains(&path);
        assert_eq!(answer.body.contains(MARKER), is_own, "{path}");
        for other in &others {
            let answer = sealing.stage.get(other, &path);
            for word in [MARKER, "id=\"counsel\"", "Counsel's notes", "counsel-notes"] {
                // The API's description is everybody's.
                let is_described = path == "/api/v1/openapi.json" && word != MARKER;
                assert!(
                    is_described || !answer.body.contains(word),
                    "{word} at {path}"
                );
            }
        }
    }
    for other in &others {
        for (path, status) in [
            (&own, StatusCode::FORBIDDEN),
            (&told, StatusCode::FORBIDDEN),
        ] {
            assert_eq!(sealing.stage.get(other, path).status, status, "{path}");
        }
        assert_eq!(
            sealing.stage.post(other, &own, &[("text", "mine")]).status,
            StatusCode::FORBIDDEN
        );
    }
    for path in ["/live", "/api/v1/events"] {
        for listener in [viewer, &cora] {
            let heard = heard(&sealing, listener, path, &cora);
            assert!(
                !heard.contains(MARKER) && !heard.contains(&sealing.id),
                "{path}: {heard}"
            );
        }
    }
    // Counsel for another place is told that there is no such incident.
    let scope = Scope::View("us_en".to_owned());
    let role = Role::Counsel;
    let elsewhere = sealing.stage.invited("cleo", Grant { role, scope });
    for path in [&own, &told] {
        assert_eq!(
            sealing.stage.get(&elsewhere, path).status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(
        sealing
            .stage
            .post(&elsewhere, &own, &[("text", "mine")])
            .status,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn what_is_not_written_comes_back_with_the_reason_and_programs_write_too() {
    let sealing = sealing();
    sealing.stage.first();
    let cora = sealing.stage.invited("cora", Grant::all(Role::Counsel));
    let long = "x".repeat(20_000);
    let refused = write(&sealing, &cora, &long);
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused
            .of("#counsel .trouble", "")
            .contains("longer than 16384 bytes")
    );
    assert_eq!(refused.of("#note", ""), long);
    let token = sealing.token(&cora, "counsel");
    let path = format!("/api/v1/incidents/{}/counsel-notes", sealing.id);
    let post = |key: &str, body: &str| sealing.post(&token, &path, key, body.to_owned());
    let first = post("one", r#"{"text":"said on the phone"}"#);
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(
        post("one", r#"{"text":"said on the phone"}"#).body,
        first.body
    );
    for (key, body, status) in [
        (
            "one",
            r#"{"text":"another"}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("two", r#"{"text":" "}"#, StatusCode::UNPROCESSABLE_ENTITY),
        ("three", r#"{"text":"x","to":"y"}"#, StatusCode::BAD_REQUEST),
        ("four", "x", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(post(key, body).status, status, "{body}");
    }
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(post("five", &large).status, StatusCode::PAYLOAD_TOO_LARGE);
    let list = sealing
        .stage
        .get_with(&path, &[("authorization", &token)])
        .body;
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let items = list["items"].as_array().expect("a list");
    assert_eq!(
        (items.len(), &items[0]["text"]),
        (1, &"said on the phone".into()),
        "{list}"
    );
}

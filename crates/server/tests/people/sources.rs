//! Sources by page and by API, and that one is expected to be silent: who may say so, for how long, and what is seen of it.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::desk::{SourceView, Update};
use engine::sealed::Decided;
use model::{Grant, Right, Role, Scope};
use serde_json::{Value, json};

use super::attaching::{Sealing, sealing};
use super::{Answer, Browser, now};
use crate::hostile::HOSTILE;

const LOG: &str = "file:/var/log/nginx/access.log";

fn shown(on: &Sealing, more: &[&str]) {
    let ids = [LOG, "sink:webhook", "state"].iter().chain(more);
    let sources = ids.map(|id| SourceView {
        id: (*id).to_owned(),
        state: "reading".to_owned(),
        ..SourceView::default()
    });
    on.stage.desk.publish(Update::Sources(sources.collect()));
}

fn path(id: &str) -> String {
    let id: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/api/v1/sources/{id}")
}

fn say(on: &Sealing, bearer: &str, id: &str, key: &str, said: &Value) -> Answer {
    on.post(
        bearer,
        &format!("{}/decisions", path(id)),
        key,
        said.to_string(),
    )
}

fn in_minutes(minutes: i64) -> Value {
    let until = now().plus_seconds(minutes * 60).to_string();
    json!({ "act": "pause", "until": until, "reason": "the web server is moved" })
}

fn told(on: &Sealing, browser: &Browser, id: &str) -> Value {
    let answer = on.stage.get(browser, &path(id));
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn a_pause_is_said_by_who_decides_sealed_once_shown_everywhere_and_taken_back() {
    let on = sealing();
    on.stage.first();
    shown(&on, &[]);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let bearer = on.token(&lead, "incident_lead");
    assert_eq!(told(&on, &lead, LOG)["pause"], Value::Null);
    let first = say(&on, &bearer, LOG, "k", &in_minutes(60));
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(
        say(&on, &bearer, LOG, "k", &in_minutes(60)).body,
        first.body,
        "once"
    );
    let other = say(&on, &bearer, LOG, "k", &in_minutes(61));
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    let pause = told(&on, &lead, LOG)["pause"].clone();
    assert_eq!(pause["reason"], "the web server is moved");
    assert_eq!(pause["until"], now().plus_seconds(3600).to_string());
    for page in ["/sources", "/"] {
        let page = on.stage.get(&lead, page).body;
        assert!(page.contains("xpected to be silent") && page.contains("web server is moved"));
    }
    let sealed = |on: &Sealing| {
        let all = on.sealed().into_iter();
        all.filter(|told| matches!(told, Decided::Pause { .. }))
            .count()
    };
    assert_eq!(sealed(&on), 1);
    // Longer than a day in all, it isn't.
    let longer = say(&on, &bearer, LOG, "l", &in_minutes(24 * 60 + 1));
    assert_eq!(longer.status, StatusCode::CONFLICT, "{}", longer.body);
    assert!(longer.body.contains("24 hours at most"));
    for (said, status) in [
        (
            json!({ "act": "pause", "until": "soon", "reason": "the web server is moved" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "act": "pause", "until": "2020-01-01T00:00:00Z", "reason": "the web server is moved" }),
            StatusCode::CONFLICT,
        ),
        (
            json!({ "act": "resume", "reason": "short" }),
            StatusCode::CONFLICT,
        ),
        (json!({ "act": "resume" }), StatusCode::BAD_REQUEST),
        (
            json!({ "act": "blind", "reason": "the web server is moved" }),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let answer = say(&on, &bearer, LOG, "w", &said);
        assert_eq!(answer.status, status, "{said}: {}", answer.body);
    }
    for id in ["file:/none", "sink:webhook", "state", ""] {
        let answer = say(&on, &bearer, id, "n", &in_minutes(5));
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
    }
    let over = json!({ "act": "resume", "reason": "it is moved, all is well" });
    assert_eq!(say(&on, &bearer, LOG, "r", &over).status, StatusCode::OK);
    assert_eq!(told(&on, &lead, LOG)["pause"], Value::Null);
    let again = say(&on, &bearer, LOG, "s", &over);
    assert!(again.body.contains("isn't paused"), "{}", again.body);
    assert_eq!(sealed(&on), 2);
}

#[test]
fn only_who_decides_for_the_whole_installation_says_so_and_others_see_what_they_may() {
    let on = sealing();
    on.stage.first();
    shown(&on, &[]);
    for role in Role::ALL {
        let person = on.stage.invited(role.name(), Grant::all(role));
        let fields = [
            ("source", LOG),
            ("act", "pause"),
            ("minutes", "30"),
            ("reason", "the web server is moved"),
        ];
        let page = on.stage.post(&person, "/sources/pause", &fields);
        let expected = match (role.may(Right::SeeSources), role.may(Right::Decide)) {
            (_, true) => StatusCode::SEE_OTHER,
            (_, false) => StatusCode::FORBIDDEN,
        };
        assert_eq!(page.status, expected, "{role}: {}", page.body);
        let has_form = on
            .stage
            .get(&person, "/sources")
            .body
            .contains("/sources/pause");
        assert_eq!(has_form, role.may(Right::Decide), "{role}");
        let list = on.stage.get(&person, "/api/v1/sources");
        assert_eq!(
            list.status == StatusCode::OK,
            role.may(Right::SeeSources),
            "{role}"
        );
    }
    // Who leads in one website sees no source, so silences none.
    let scope = Scope::Website("us".to_owned());
    let us = on.stage.invited(
        "us",
        Grant {
            role: Role::IncidentLead,
            scope,
        },
    );
    let list = on.stage.get(&us, "/api/v1/sources").body;
    assert!(list.contains(r#""total":0"#), "{list}");
    let fields = [
        ("source", LOG),
        ("act", "pause"),
        ("minutes", "30"),
        ("reason", "the web server is moved"),
    ];
    assert_eq!(
        on.stage.post(&us, "/sources/pause", &fields).status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(on.stage.get(&us, &path(LOG)).status, StatusCode::NOT_FOUND);
    assert!(!on.stage.get(&us, "/").body.contains("xpected to be silent"));
}

#[test]
fn a_form_that_isnt_whole_comes_back_with_what_was_typed_and_hostile_reasons_are_inert() {
    let on = sealing();
    on.stage.first();
    shown(&on, HOSTILE);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let send = |source: &str, minutes: &str, reason: &str| {
        let fields = [
            ("source", source),
            ("act", "pause"),
            ("minutes", minutes),
            ("reason", reason),
        ];
        on.stage.post(&lead, "/sources/pause", &fields)
    };
    let page = send(LOG, "7", "the web server is moved");
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        page.of("details[open] input[name=reason]", "value"),
        "the web server is moved"
    );
    let page = send(LOG, "30", "short");
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert_eq!(
        page.of("[role=alert]", ""),
        "Write why, in 10 to 500 characters."
    );
    for text in HOSTILE {
        let reason: String = text.chars().chain("..........".chars()).take(400).collect();
        send(LOG, "30", &reason);
        for page in ["/sources", "/"] {
            let page = on.stage.get(&lead, page).body;
            for tag in ["<img", "<iframe", "<svg/", "<base", "<marquee", "<script>"] {
                assert!(!page.contains(tag), "{text:?}");
            }
        }
    }
    // A card number in a reason is masked before it is sealed.
    send(LOG, "60", "paid with 4111111111111111 there");
    let pages = on.stage.get(&lead, "/sources").body;
    assert!(!pages.contains("4111111111111111"), "{pages}");
    let sealed = on.sealed();
    let mut reasons = sealed.iter().filter_map(|told| match told {
        Decided::Pause { pause, .. } => Some(pause.reason.as_str()),
        _ => None,
    });
    assert!(
        reasons
            .next_back()
            .is_some_and(|reason| reason.contains("1111") && !reason.contains("411111"))
    );
}

#[test]
fn sources_are_paged_by_name() {
    let on = sealing();
    on.stage.first();
    shown(&on, &["b:2", "a:1", "c:3"]);
    let viewer = on.stage.invited("viewer", Grant::all(Role::Viewer));
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = on
            .stage
            .get(&viewer, &format!("/api/v1/sources?limit=2&cursor={cursor}"));
        let page: Value = serde_json::from_str(&page.body).expect("JSON");
        for item in page["items"].as_array().expect("items") {
            names.push(format!(
                "{} {}",
                item["kind"].as_str().expect("a kind"),
                item["id"].as_str().expect("an id")
            ));
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let expected = [
        "a a:1",
        "b b:2",
        "c c:3",
        &format!("file {LOG}"),
        "magewarden sink:webhook",
        "magewarden state",
    ];
    assert_eq!(names, expected);
    for query in ["limit=0", "limit=201", "limt=1"] {
        let answer = on.stage.get(&viewer, &format!("/api/v1/sources?{query}"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let request =
        Request::post(format!("{}/decisions", path("a:1"))).header("host", "127.0.0.1:8780");
    let nobody = on
        .stage
        .send(request.body(Body::from("{}")).expect("a request"));
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
}

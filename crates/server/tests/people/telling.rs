//! Findings that other systems tell: who may, of which store, how many, and what becomes of hostile strings.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::sealed::Decided;
use model::{Finding, Grant, Role, Scope};
use serde_json::{Value, json};

use super::attaching::{Sealing, sealing};
use super::{Answer, Browser, wait};
use crate::hostile::HOSTILE;

fn claim(id: &str, more: &Value) -> Value {
    let mut claim = json!({
        "system": "qradar", "external_id": id, "title": "Bulk read of payments", "level": "high",
        "first": "2026-08-05T10:10:00Z", "scope": {"kind": "installation"},
    });
    for (name, value) in more.as_object().expect("an object") {
        claim[name] = value.clone();
    }
    claim
}

fn tell(on: &Sealing, bearer: &str, told: &Value) -> Answer {
    on.post(bearer, "/api/v1/findings", "unused", told.to_string())
}

fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).expect("JSON");
    told["items"].as_array().expect("a list").clone()
}

/// Findings as they were sealed last.
fn findings(on: &Sealing) -> Vec<Finding> {
    let sealed = on.sealed().into_iter().filter_map(|told| match told {
        Decided::Finding { finding, .. } if finding.external.is_some() => Some(*finding),
        _ => None,
    });
    let by_id: std::collections::BTreeMap<String, Finding> = sealed
        .map(|finding| (finding.id.clone(), finding))
        .collect();
    by_id.into_values().collect()
}

#[test]
fn a_program_tells_findings_and_their_incident_shows_where_they_are_from() {
    let on = sealing();
    let admin = on.stage.first();
    let runs = on.stage.invited("runs.all", Grant::all(Role::StoreAdmin));
    let bearer = on.token(&runs, "store_admin");
    let more = json!({
        "actors": [{"kind": "address", "value": "198.51.100.9"}],
        "link": "https://siem.example/offense/17", "reason": "offense 17",
    });
    let told = items(&tell(&on, &bearer, &claim("OFF-17", &more)));
    let id = told[0]["finding"].as_str().expect("an id");
    assert!(told[0]["entry"].is_u64(), "{told:?}");
    // Told again, alone or in a list, it is the same one, as the same entry.
    let again = json!([
        claim("OFF-17", &more),
        claim("OFF-18", &json!({"level": "low"}))
    ]);
    let again = items(&tell(&on, &bearer, &again));
    assert_eq!(again[0], told[0]);
    assert_ne!(again[1]["finding"], told[0]["finding"]);
    let incident = on
        .stage
        .desk
        .incident_of(id)
        .expect("an incident")
        .id
        .clone();
    let page = on.stage.get(&admin, &format!("/incidents/{incident}"));
    assert!(
        page.body.contains("told by qradar as <code>OFF-17</code>"),
        "{}",
        page.body
    );
    assert!(page.body.contains("https://siem.example/offense/17"));
    assert!(
        !page.body.contains("href=\"https://siem.example"),
        "nobody is led there"
    );
    let found = on
        .stage
        .get(&admin, &format!("/api/v1/incidents/{incident}/findings"));
    let found: Value = serde_json::from_str(&found.body).expect("JSON");
    let external = found["items"].as_array().expect("a list").iter();
    let external: Vec<&Value> = external.map(|one| &one["finding"]["external"]).collect();
    assert!(
        external
            .iter()
            .any(|one| one["id"] == "OFF-17" && one["system"] == "qradar")
    );
    let about = on.stage.get(&admin, "/entities/address/198.51.100.9");
    assert!(
        about.body.contains("qradar <code>OFF-17</code>"),
        "{}",
        about.body
    );
    let about = on
        .stage
        .get(&admin, "/api/v1/entities/address/198.51.100.9");
    assert!(about.body.contains("\"id\":\"OFF-17\""), "{}", about.body);
}

#[test]
fn who_may_not_work_there_tells_nothing() {
    let on = sealing();
    let place = Scope::View("us_en".to_owned());
    let of = |role| Grant {
        role,
        scope: place.clone(),
    };
    let us = on.stage.invited("runs.us", of(Role::StoreAdmin));
    let us = on.token_at(&us, "us", "store_admin", "view:us_en");
    let view = |code: &str| json!({"scope": {"kind": "view", "code": code}});
    for more in [view("fr"), json!({}), json!({"scope": {"kind": "unknown"}})] {
        let answer = tell(
            &on,
            &us,
            &json!([claim("1", &view("us_en")), claim("2", &more)]),
        );
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    }
    items(&tell(&on, &us, &claim("1", &view("us_en"))));
    let all = on.stage.invited("an.all", Grant::all(Role::Analyst));
    let all = on.token_at(&all, "all", "analyst", "");
    let answer = tell(&on, &all, &claim("1", &view("fr")));
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    for role in [Role::Viewer, Role::Auditor, Role::Admin, Role::Approver] {
        let who = on
            .stage
            .invited(&format!("by.{role}").replace(' ', "."), Grant::all(role));
        let bearer = on.token_at(&who, role.name(), role.name(), "");
        let answer = tell(&on, &bearer, &claim("3", &json!({})));
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role}");
    }
    assert_eq!(
        tell(&on, "Bearer mgw_x", &claim("4", &json!({}))).status,
        StatusCode::UNAUTHORIZED
    );
    // A person's page of another site can't.
    let own = on.stage.invited("an.own", Grant::all(Role::Analyst));
    let forged = |browser: &Browser| {
        let request = Request::post("/api/v1/findings")
            .header("host", "127.0.0.1:8780")
            .header("cookie", &browser.cookie);
        let body = Body::from(claim("5", &json!({})).to_string());
        on.stage.send(request.body(body).expect("a request"))
    };
    assert_eq!(forged(&own).status, StatusCode::FORBIDDEN);
    let places: Vec<Scope> = findings(&on).into_iter().map(|one| one.scope).collect();
    assert_eq!(places, [place]);
}

/// A page without what it says of incidents that began about when this one did: each time there are more of them.
fn without_near(page: &str) -> String {
    let mut parts = page.split("<p class=\"near-by\">");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (near, rest) = part.split_once("</p>").expect("it ends");
        let names = crate::skeleton(near);
        let own = ["html ", "head ", "body ", "a href", "code "];
        assert!(
            names.iter().all(|name| own.contains(&name.as_str())),
            "{near}"
        );
        out.push_str(rest);
    }
    out
}

#[test]
fn hostile_strings_are_text_and_card_numbers_are_masked() {
    let on = sealing();
    let admin = on.stage.first();
    let runs = on.stage.invited("an.one", Grant::all(Role::Analyst));
    let bearer = on.token(&runs, "analyst");
    let mut plain = None;
    for (at, text) in HOSTILE
        .iter()
        .filter(|text| !text.trim().is_empty())
        .enumerate()
    {
        let text: String = text.chars().take(128).collect();
        let more = json!({
            "title": text, "reason": text, "actors": [{"kind": "administrator", "value": text}],
            "assets": [{"kind": "path", "name": text, "class": "public"}],
        });
        let told = tell(
            &on,
            &bearer,
            &claim(
                &format!("{at} {text}").chars().take(128).collect::<String>(),
                &more,
            ),
        );
        let told = items(&told);
        let id = told[0]["finding"].as_str().expect("an id");
        let incident = on
            .stage
            .desk
            .incident_of(id)
            .expect("an incident")
            .id
            .clone();
        let page = on.stage.get(&admin, &format!("/incidents/{incident}"));
        assert_eq!(page.status, StatusCode::OK);
        let skeleton = crate::skeleton(&without_near(&page.body));
        let plain = plain.get_or_insert_with(|| skeleton.clone());
        assert_eq!(plain, &skeleton, "{text}");
    }
    let number = "4111 1111 1111 1111";
    let more =
        json!({"title": number, "reason": number, "link": "https://siem.example/4111111111111111"});
    items(&tell(&on, &bearer, &claim(number, &more)));
    let sealed = format!("{:?}", on.sealed());
    assert!(!sealed.contains("4111 1111 1111") && !sealed.contains("411111111111"));
    let is_masked = |one: &Finding| one.title.ends_with("1111") && one.title != number;
    assert!(findings(&on).iter().any(is_masked));
    for (more, status) in [
        (
            json!({"link": "javascript:alert(1)"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"title": "x".repeat(201)}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (json!({"system": "<b>"}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"level": number}), StatusCode::BAD_REQUEST),
        (json!({"rows": 5}), StatusCode::BAD_REQUEST),
        (
            json!({"reason": "x".repeat(1 << 20)}),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let answer = tell(&on, &bearer, &claim("1", &more));
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(!answer.body.contains("4111"), "{}", answer.body);
    }
    for body in [
        json!([]),
        json!("x"),
        json!(null),
        Value::from(vec![claim("1", &json!({})); 101]),
    ] {
        assert_eq!(tell(&on, &bearer, &body).status, StatusCode::BAD_REQUEST);
    }
}

#[test]
fn who_tells_too_many_is_told_when_to_try_again() {
    let on = sealing();
    let runs = on.stage.invited("an.two", Grant::all(Role::Analyst));
    let bearer = on.token(&runs, "analyst");
    let many = Value::from(vec![claim("1", &json!({})); 100]);
    for _ in 0..6 {
        items(&tell(&on, &bearer, &many));
    }
    wait(20);
    let answer = tell(&on, &bearer, &claim("1", &json!({})));
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, "40")
    );
    wait(40);
    items(&tell(&on, &bearer, &claim("1", &json!({}))));
}

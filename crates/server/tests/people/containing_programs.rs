//! Plans and runs for programs: what they ask for, what takes a person, and what they hear where reading can't be recorded.

use axum::http::StatusCode;
use model::{Grant, Role};
use serde_json::{Value, json};

use super::attaching::sealing;
use super::host::{HOST, Shop};

#[test]
fn programs_read_a_plan_ask_for_it_and_approve_it_with_keys() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    shop.report(&[]);
    let (ana, app) = (
        on.stage.invited("ana", Grant::all(Role::Analyst)),
        on.stage.invited("app", Grant::all(Role::Approver)),
    );
    // Who approves is a person, whatever a token may do.
    let analyst = on.token(&ana, "analyst");
    let by_person = |path: &str, key: &str, body: &Value| {
        let who = [
            ("cookie", app.cookie.as_str()),
            ("x-csrf-token", app.csrf.as_str()),
        ];
        let path = path.trim_start_matches("/api/v1");
        on.stage.ask_api(&who, "POST", path, key, &body.to_string())
    };
    let values = json!({ "__file__": "pub/media/x.php", "__network__": "203.0.113.66" });
    let bound = json!({ "playbook": "web-shell", "values": values });
    let path = format!("/api/v1/incidents/{}/plans", on.id);
    let plan = on.post(&analyst, &path, "p", bound.to_string());
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.body);
    let plan: Value = serde_json::from_str(&plan.body).expect("JSON");
    let mut wish = json!({ "incident": on.id, "playbook": "web-shell", "values": values, "host": HOST, "sha256": "0" });
    let other = on.post(&analyst, "/api/v1/runs", "k", wish.to_string());
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.body);
    wish["sha256"] = plan["sha256"].clone();
    let first = on.post(&analyst, "/api/v1/runs", "k1", wish.to_string());
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = on.post(&analyst, "/api/v1/runs", "k1", wish.to_string());
    assert_eq!(again.body, first.body, "once");
    let run: Value = serde_json::from_str(&first.body).expect("JSON");
    let run = run["run"].as_str().expect("an id").to_owned();
    let orders = format!("/api/v1/runs/{run}/orders");
    let approve = json!({ "ask": "approve", "sha256": plan["sha256"] });
    let own = on.post(&analyst, &orders, "k2", approve.to_string());
    assert_eq!(own.status, StatusCode::CONFLICT, "{}", own.body);
    assert!(own.body.contains("takes a person"), "{}", own.body);
    // What a lead's token asks for waits for a person as well; it approves nothing.
    let lea = on.stage.invited("lea", Grant::all(Role::IncidentLead));
    let lead = on.token_at(&lea, "soar", "incident_lead", "");
    let asked = on.post(&lead, "/api/v1/runs", "k3", wish.to_string());
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    let asked: Value = serde_json::from_str(&asked.body).expect("JSON");
    let path = format!("/api/v1/runs/{}", asked["run"].as_str().expect("an id"));
    assert_eq!(on.told(&lea, &path)["stage"], "asked for");
    let none = on.post(&lead, &orders, "k4", approve.to_string());
    assert_eq!(none.status, StatusCode::CONFLICT, "{}", none.body);
    assert!(none.body.contains("takes a person"), "{}", none.body);
    assert!(shop.work().is_empty(), "nobody approved");
    for (body, status) in [
        (json!({ "ask": "burn" }), StatusCode::BAD_REQUEST),
        (
            json!({ "ask": "say", "word": "undo" }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "ask": "approve", "sha256": "1" }),
            StatusCode::CONFLICT,
        ),
        (approve.clone(), StatusCode::OK),
        (json!({ "ask": "withdraw" }), StatusCode::FORBIDDEN),
    ] {
        let answer = by_person(&orders, "", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
    assert!(!shop.work().is_empty());
    for odd in ["/api/v1/runs/none", "/api/v1/runs/none/orders"] {
        let answer = match odd.ends_with("orders") {
            true => by_person(odd, "", &approve),
            false => on.stage.get(&app, odd),
        };
        assert_eq!(
            answer.status,
            StatusCode::NOT_FOUND,
            "{odd}: {}",
            answer.body
        );
    }
}

#[test]
fn where_reading_cannot_be_recorded_a_program_hears_so_as_from_all_of_the_api() {
    let mut on = sealing();
    on.stage.first();
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let run = {
        let shop = Shop::of(&on);
        shop.report(&[]);
        let run = on.propose(&lead).header("location").to_owned();
        shop.work();
        run
    };
    // Nobody writes what is read.
    let place = stores::StatePlace::File(on.folder.join("other.sqlite"));
    let outbox = stores::Outbox::new(stores::Database::open(&place).expect("opened"));
    let waker = sources::Running::start(Vec::new())
        .expect("no source")
        .waker();
    let (trail, write) = engine::trail::Trail::begin(outbox, waker);
    drop(write);
    let access = server::Access::People {
        people: on.stage.people.clone(),
        now: super::now,
    };
    let console = server::Console::new(on.stage.desk.clone(), access, model::StoreMap::default())
        .deciding(on.decider.clone(), trail);
    on.stage.router = server::router(console);
    let page = on.stage.get(&lead, &run);
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    let answer = on.stage.get(&lead, &format!("/api/v1{run}"));
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(problem["status"], 503);
}

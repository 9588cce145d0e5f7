//! Own playbooks: who saves one, who read an older one, what isn't saved, and whatever stands in one.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::containment::Playbooks;
use engine::ledger::Ledger;
use model::{Grant, Role, Scope};
use serde_json::Value;

use super::attaching::{Sealing, sealing};
use super::host::Shop;
use super::{Answer, Browser};
use crate::hostile::{HOSTILE, skeleton};

const ID: &str = "playbook--11111111-2222-4333-8444-555555555555";

/// The shipped one against web shells, changed.
fn document(change: impl FnOnce(&mut Value)) -> String {
    let all = Playbooks::default();
    let shipped = all.named("web-shell").expect("it ships");
    let mut value = shipped.document.value().clone();
    change(&mut value);
    value.to_string()
}

fn own(value: &mut Value) {
    value["id"] = ID.into();
}

impl Sealing {
    /// Sends a form of several parts, as the editor's page does.
    fn parts(&self, browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
        let part = |(name, text): &(&str, &str)| {
            format!(
                "--b0undary\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            )
        };
        let body: String = fields.iter().map(part).collect();
        let request = Request::post(format!("{path}?csrf={}", browser.csrf))
            .header("host", "127.0.0.1:8780")
            .header("content-type", "multipart/form-data; boundary=b0undary")
            .header("origin", "http://127.0.0.1:8780")
            .header("cookie", &browser.cookie);
        let body = Body::from(format!("{body}--b0undary--\r\n"));
        self.stage.send(request.body(body).expect("a request"))
    }

    fn save(&self, browser: &Browser, name: &str, seen: u64, text: &str) -> Answer {
        let seen = seen.to_string();
        let fields = [
            ("form", "text"),
            ("do", "save"),
            ("seen", seen.as_str()),
            ("text", text),
            ("note", "as we do it"),
        ];
        self.parts(browser, &format!("/playbooks/{name}/edit"), &fields)
    }

    fn by_api(&self, browser: &Browser, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let who = [
            ("cookie", browser.cookie.as_str()),
            ("x-csrf-token", browser.csrf.as_str()),
        ];
        self.stage.ask_api(&who, method, path, key, body)
    }

    fn version(&self, browser: &Browser, name: &str) -> u64 {
        let told = self.told(browser, &format!("/api/v1/playbooks/{name}"));
        told["version"].as_u64().expect("a number")
    }
}

#[test]
fn what_a_lead_saves_is_sealed_and_who_read_an_older_one_is_told() {
    let on = sealing();
    on.stage.first();
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let saved = on.save(&lead, "ours", 0, &document(own));
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    assert_eq!(saved.header("location"), "/playbooks/ours");
    let version = on.version(&lead, "ours");
    let page = on.stage.get(&lead, "/playbooks/ours").body;
    assert!(page.contains("as we do it"), "{page}");
    let entry = on.stage.get(&lead, &format!("/entries/{version}")).body;
    assert!(entry.contains("magewarden:playbooks"), "{entry}");
    // Somebody whose page is older: the draft comes back, with who was first.
    let typed = document(|value| {
        own(value);
        value["description"] = "What I typed".into();
    });
    let late = on.save(&lead, "ours", 0, &typed);
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.body.contains("after you read it") && late.body.contains("What I typed"));
    let now = on.save(&lead, "ours", version, &typed);
    assert_eq!(now.status, StatusCode::SEE_OTHER, "{}", now.body);
    let known = on.stage.desk.playbooks();
    let shown = known.named("ours").expect("it is there").clone();
    // A start has the same from the ledger.
    let ledger = Ledger::open_read(
        &on.folder.join("ledger"),
        &on.folder.join("keys"),
        &parse::Context::default(),
    );
    let again = Playbooks::of(&ledger.expect("opened")).expect("read");
    let again = again.named("ours").expect("it is there");
    assert_eq!((&again.document, &again.own), (&shown.document, &shown.own));
    let fields = [("seen", shown.version().to_string())];
    let fields = fields.each_ref().map(|(name, text)| (*name, text.as_str()));
    let gone = on.stage.post(&lead, "/playbooks/ours", &fields);
    assert_eq!(gone.status, StatusCode::SEE_OTHER, "{}", gone.body);
    assert_eq!(
        on.stage.get(&lead, "/playbooks/ours").status,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn who_may_not_decide_for_the_whole_installation_saves_none() {
    let on = sealing();
    on.stage.first();
    let part = Grant {
        role: Role::IncidentLead,
        scope: Scope::Website("us".to_owned()),
    };
    let all = [
        ("ana", Grant::all(Role::Analyst)),
        ("app", Grant::all(Role::Approver)),
        ("vie", Grant::all(Role::Viewer)),
        ("par", part),
    ];
    for (name, grant) in all {
        let person = on.stage.invited(name, grant);
        let refused = on.save(&person, "ours", 0, &document(own));
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
        let put = on.by_api(&person, "PUT", "/playbooks/ours?seen=0", "", &document(own));
        assert_eq!(put.status, StatusCode::FORBIDDEN, "{name}: {}", put.body);
        let list = on.stage.get(&person, "/playbooks");
        assert_eq!(list.status, StatusCode::OK, "{name}");
        assert!(!list.body.contains("Look it through"), "{name}");
        let page = on.stage.get(&person, "/playbooks/web-shell/edit").body;
        assert!(!page.contains(">Save it<"), "{name}");
    }
    assert!(on.stage.desk.playbooks().named("ours").is_none());
}

#[test]
fn who_saved_a_playbook_does_not_let_it_be_carried_out_alone() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    shop.report(&[]);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let other = on.stage.invited("other", Grant::all(Role::IncidentLead));
    let same = document(|value| value["description"] = "Ours".into());
    let saved = on.save(&lead, "web-shell", 0, &same);
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let asked = on.propose(&lead);
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
    let run = asked.header("location").to_owned();
    let page = on.stage.get(&lead, &run).body;
    assert!(page.contains("one more person has to approve it"), "{page}");
    on.say(&lead, &run, "approve", "");
    assert_eq!(
        on.told(&lead, &format!("/api/v1{run}"))["stage"],
        "asked for"
    );
    on.say(&other, &run, "approve", "");
    assert_eq!(
        on.told(&lead, &format!("/api/v1{run}"))["stage"],
        "approved"
    );
    // Given back, the plan that was asked for is what it was.
    let version = on.version(&lead, "web-shell");
    let path = format!("/playbooks/web-shell?seen={version}");
    let back = on.by_api(&other, "DELETE", &path, "k", "");
    assert_eq!(back.status, StatusCode::OK, "{}", back.body);
    assert_eq!(on.version(&lead, "web-shell"), 0);
    assert_eq!(
        on.told(&lead, &format!("/api/v1{run}"))["stage"],
        "approved"
    );
}

#[test]
fn programs_are_told_all_that_is_wrong_and_a_key_counts_once() {
    let on = sealing();
    on.stage.first();
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let put = |path: &str, key: &str, body: &str| on.by_api(&lead, "PUT", path, key, body);
    let broken = document(|value| {
        own(value);
        value["severity"] = 1000.into();
        value["workflow"]
            .as_object_mut()
            .expect("steps")
            .remove("end--aa395576-bfb3-4126-96ef-c55d12205461");
    });
    let refused = put("/playbooks/ours?seen=0", "", &broken);
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let told: Value = serde_json::from_str(&refused.body).expect("JSON");
    assert!(
        told["problems"]
            .as_array()
            .is_some_and(|all| all.len() >= 2),
        "{told}"
    );
    for body in ["", "[]", "{\"a\":1,\"a\":2}", &"[".repeat(5000)] {
        assert_eq!(
            put("/playbooks/ours?seen=0", "", body).status,
            StatusCode::BAD_REQUEST,
            "{body:.20}"
        );
    }
    let large = " ".repeat(2 << 20);
    assert_eq!(
        put("/playbooks/ours?seen=0", "", &large).status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        put("/playbooks/ours", "", &document(own)).status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        put("/playbooks/Not%20a%20name?seen=0", "", &document(own)).status,
        StatusCode::CONFLICT
    );
    let first = put("/playbooks/ours?seen=0", "k1", &document(own));
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = put("/playbooks/ours?seen=0", "k1", &document(own));
    assert_eq!(again.body, first.body, "once");
    let other = document(|value| {
        own(value);
        value["name"] = "Another".into();
    });
    let other = put("/playbooks/ours?seen=0", "k1", &other);
    assert_eq!(
        other.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        other.body
    );
}

#[test]
fn whatever_stands_in_a_playbook_adds_no_element_to_any_page() {
    let on = sealing();
    on.stage.first();
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let pages = |text: &str| {
        let version = on
            .stage
            .desk
            .playbooks()
            .named("ours")
            .map_or(0, |one| one.version());
        let hostile = document(|value| {
            own(value);
            for key in ["name", "description"] {
                value[key] = text.into();
            }
            for step in value["workflow"]
                .as_object_mut()
                .expect("steps")
                .values_mut()
            {
                if step["type"] == "action" {
                    step["name"] = text.into();
                    step["description"] = text.into();
                    step["commands"][0]["command"] = text.into();
                }
            }
        });
        let saved = on.by_api(
            &lead,
            "PUT",
            &format!("/playbooks/ours?seen={version}"),
            "",
            &hostile,
        );
        (saved.status == StatusCode::OK).then(|| {
            ["/playbooks", "/playbooks/ours", "/playbooks/ours/edit"].map(|path| {
                let page = on.stage.get(&lead, path);
                assert_eq!(page.status, StatusCode::OK, "{path} {text:?}");
                skeleton(&page.body)
            })
        })
    };
    let plain = pages("a harmless text").expect("it is saved");
    let mut saved = 0;
    for text in HOSTILE.iter().filter(|text| !text.trim().is_empty()) {
        if let Some(shown) = pages(text) {
            saved += 1;
            for (shown, plain) in shown.iter().zip(&plain) {
                assert_eq!(shown, plain, "{text:?}");
            }
        }
    }
    assert!(saved > HOSTILE.len() / 2, "{saved}");
}

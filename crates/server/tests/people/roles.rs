//! What each sees and does once they are in.

use std::sync::Arc;

use axum::http::StatusCode;
use engine::desk::Update;
use model::{Grant, Role, Scope};

use super::attaching::sealing;
use super::{Browser, PASSWORD, code, stage, wait};
use crate::hostile::HOSTILE;

#[test]
fn each_sees_what_their_roles_cover_and_no_more() {
    let stage = stage();
    stage.first();
    let viewer = stage.invited("viewer", Grant::all(Role::Viewer));
    for path in ["/entries/0", "/entries", "/administration/people"] {
        let answer = stage.get(&viewer, path);
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        let why = answer.of("main p", "");
        assert!(why.starts_with("Your roles don't include this"), "{why}");
    }
    let invite = [("name", "eve"), ("role", "admin")];
    assert_eq!(
        stage
            .post(&viewer, "/administration/people/invite", &invite)
            .status,
        StatusCode::FORBIDDEN
    );
    let scope = Scope::Website("us".to_owned());
    let us = stage.invited(
        "us.only",
        Grant {
            role: Role::Analyst,
            scope,
        },
    );
    let list = stage.get(&us, "/");
    assert!(
        list.body.contains("/incidents/i1") && !list.body.contains("i2"),
        "{}",
        list.body
    );
    let list = stage.get(&us, "/api/v1/incidents").body;
    assert!(
        list.contains(r#""i1""#) && !list.contains(r#""i2""#),
        "{list}"
    );
    for (path, status) in [
        ("/incidents/i1", StatusCode::OK),
        ("/api/v1/incidents/i1", StatusCode::OK),
        ("/incidents/i2", StatusCode::NOT_FOUND),
        ("/api/v1/incidents/i2", StatusCode::NOT_FOUND),
        ("/incidents/none", StatusCode::NOT_FOUND),
        ("/entries", StatusCode::OK),
        ("/entities/store/view%3Aus_en", StatusCode::OK),
        ("/api/v1/entities/store/website%3Aus", StatusCode::OK),
        ("/entities/store/installation", StatusCode::NOT_FOUND),
        ("/entities/store/view%3Afr", StatusCode::NOT_FOUND),
        ("/api/v1/incidents/none", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(stage.get(&us, path).status, status, "{path}");
    }
    // Somebody who is in both incidents is told with the one that is seen.
    let told = stage.get(&us, "/entities/administrator/plain").body;
    assert!(
        told.contains("/incidents/i1") && !told.contains("i2"),
        "{told}"
    );
    for path in ["/api/v1/incidents", "/incidents"] {
        let hidden = stage.get(&us, &format!("{path}/i2")).body;
        let none = stage.get(&us, &format!("{path}/none")).body;
        assert_eq!(hidden, none, "what is for others isn't there");
    }
}

#[test]
fn reads_of_tables_that_all_stores_share_are_for_people_for_all_of_them() {
    let stage = stage();
    stage.first();
    let mut incident = (*stage.desk.incident("i1").expect("there")).clone();
    incident.assets = vec![crate::asset("sales_order_payment")];
    stage.desk.publish(Update::Decided {
        findings: Vec::new(),
        incidents: vec![incident],
    });
    stage
        .desk
        .publish(Update::Reads(Arc::new(crate::reads::reads(40))));
    let scope = Scope::Website("us".to_owned());
    let us = Grant {
        role: Role::Analyst,
        scope,
    };
    let us = stage.invited("us.only", us);
    let viewer = stage.invited("viewer", Grant::all(Role::Viewer));
    for (browser, is_told) in [(&us, false), (&viewer, true)] {
        for path in ["/incidents/i1", "/", "/api/v1/reads"] {
            let answer = stage.get(browser, path);
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            let is_said = |number: &&str| answer.body.contains(*number);
            let told = ["4\u{202f}180", "4180"].iter().any(is_said);
            assert_eq!(told, is_told, "{path}: {}", answer.body);
        }
    }
    // Who sees no entries isn't led to them.
    let page = stage.get(&viewer, "/incidents/i1").body;
    assert!(!page.contains("&#38;account="), "{page}");
}

#[test]
fn a_view_of_the_queue_is_kept_under_a_name_opened_and_removed_by_its_person_alone() {
    let stage = stage();
    stage.first();
    let [ana, bob] = ["ana", "bob"].map(|name| stage.invited(name, Grant::all(Role::Analyst)));
    let fields = [
        ("name", "Mine & <b>high</b>"),
        ("state", "all"),
        ("severity", "high"),
        ("q", "a b&c"),
    ];
    let kept = stage.post(&ana, "/incidents/views", &fields);
    let link = "/incidents?state=all&severity=high&q=a%20b%26c";
    assert_eq!(kept.header("location"), link, "{}", kept.body);
    let page = stage.get(&ana, "/incidents");
    assert_eq!(page.of(".views a", "href"), link);
    assert_eq!(page.of(".views a", ""), "Mine & <b>high</b>");
    assert_eq!(stage.get(&ana, link).status, StatusCode::OK);
    assert!(
        !stage
            .get(&bob, "/incidents")
            .body
            .contains("class=\"chips views\"")
    );
    let remove = [("remove", "Mine & <b>high</b>")];
    stage.post(&bob, "/incidents/views", &remove);
    assert!(
        stage
            .get(&ana, "/incidents")
            .body
            .contains("class=\"chips views\"")
    );
    for name in ["", " ", &"x".repeat(61)] {
        let page = stage.post(&ana, "/incidents/views", &[("name", name)]);
        assert!(page.of("[role=alert]", "").contains("1 to 60"), "{name}");
    }
    let gone = stage.post(&ana, "/incidents/views", &remove);
    assert_eq!(gone.header("location"), "/incidents");
    assert!(
        !stage
            .get(&ana, "/incidents")
            .body
            .contains("class=\"chips views\"")
    );
    for text in HOSTILE
        .iter()
        .filter(|text| !text.contains(char::is_control))
    {
        let name: String = text.chars().take(60).collect();
        stage.post(&ana, "/incidents/views", &[("name", &name), ("q", text)]);
        let page = stage.get(&ana, "/incidents");
        for tag in ["<img", "<iframe", "<b>", "<svg/", "<base", "<marquee"] {
            assert!(!page.body.contains(tag), "{text:?}");
        }
        assert!(
            page.of(".views a", "href").starts_with("/incidents"),
            "{text:?}"
        );
        stage.post(
            &ana,
            "/incidents/views",
            &[("remove", &page.of(".views input[name=remove]", "value"))],
        );
    }
}

#[test]
fn people_are_managed_by_forms_and_separation_of_duties_is_said_at_the_field() {
    let stage = stage();
    let root = stage.first();
    let invite = [
        ("name", "bob"),
        ("role", "analyst"),
        ("place", "website:us"),
    ];
    let page = stage.post(&root, "/administration/people/invite", &invite);
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let link = page.of("pre.secret", "");
    let token = link.strip_prefix("/welcome?invitation=").expect("a link");
    let bob = stage.join(token, "bob");
    assert!(
        !stage
            .get(&root, "/administration/people")
            .body
            .contains(token),
        "it is shown once"
    );
    let wrong = [("name", "eve"), ("role", "analyst"), ("place", "us")];
    let page = stage.post(&root, "/administration/people/invite", &wrong);
    assert!(page.of("#invite-place-fault", "").contains("website:us"));
    assert_eq!(page.of("#invite-name", "value"), "eve");
    let page = stage.get(&root, "/administration/people");
    let kept = page.of("input[name=keep]", "value");
    assert_eq!(kept, "analyst website:us");
    let both = [
        ("name", "bob"),
        ("keep", "incident_lead "),
        ("role", "evidence_custodian"),
    ];
    let page = stage.post(&root, "/administration/people/grant", &both);
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.of("#grant-role-fault", "")
            .contains("may not be one person")
    );
    let granted = stage.post(
        &root,
        "/administration/people/grant",
        &[("name", "bob"), ("keep", &kept), ("role", "viewer")],
    );
    assert_eq!(
        granted.header("location"),
        "/administration/people?done=granted&name=bob"
    );
    assert!(
        stage.get(&bob, "/account").body.contains("viewer"),
        "at once"
    );
    let oneself = stage.post(
        &root,
        "/administration/people/disable",
        &[("name", "root.one")],
    );
    assert_eq!(oneself.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = stage.post(&root, "/administration/people/reset", &[("name", "bob")]);
    assert!(
        page.of("pre.secret", "")
            .starts_with("/welcome?invitation=")
    );
    assert_eq!(
        stage.get(&bob, "/").status,
        StatusCode::SEE_OTHER,
        "out at once"
    );
    let gone = stage.post(&root, "/administration/people/disable", &[("name", "bob")]);
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
}

#[test]
fn the_account_page_changes_what_is_ones_own() {
    let stage = stage();
    stage.first();
    let bob = stage.invited("bob", Grant::all(Role::Analyst));
    let wrong = stage.post(
        &bob,
        "/account/password",
        &[
            ("present", "a wrong river 1"),
            ("password", "another river 8"),
        ],
    );
    assert!(
        wrong
            .of("#password-present-fault", "")
            .contains("isn't right")
    );
    let done = stage.post(
        &bob,
        "/account/password",
        &[("present", PASSWORD), ("password", "another river 8")],
    );
    assert_eq!(done.header("location"), "/account?done=password");
    wait(60);
    let code = code(&bob.secret);
    let glass = [
        ("role", "incident_lead"),
        ("reason", "nobody who leads answers"),
        ("code", &code),
    ];
    let done = stage.post(&bob, "/account/break-glass", &glass);
    assert_eq!(done.header("location"), "/account?done=broken");
    let page = stage.get(&bob, "/sources");
    assert!(page.body.contains("You hold a further role until"));
    let done = stage.post(&bob, "/account/mend-glass", &[]);
    assert_eq!(done.header("location"), "/account?done=mended");
    wait(60);
    let code = super::code(&bob.secret);
    let begun = stage.post(
        &bob,
        "/account/factor",
        &[("present", "another river 8"), ("code", &code)],
    );
    let page = stage.get(&bob, begun.header("location"));
    assert!(page.body.contains("<svg class=\"qr\""), "{}", page.body);
}

#[test]
fn names_that_people_choose_are_inert() {
    let stage = stage();
    let root = stage.first();
    stage.invited("bob", Grant::all(Role::Viewer));
    for (number, shown) in HOSTILE.iter().enumerate() {
        let reset = stage.post(&root, "/administration/people/reset", &[("name", "bob")]);
        let link = reset.of("pre.secret", "");
        let token = link
            .strip_prefix("/welcome?invitation=")
            .expect("a link")
            .to_owned();
        let shown: String = shown
            .chars()
            .filter(|one| !one.is_control())
            .take(100)
            .collect();
        let password = format!("a quiet river {}", number + 100);
        let fields = [
            ("invitation", token.as_str()),
            ("shown", &shown),
            ("password", &password),
        ];
        let page = stage.post(&Browser::default(), "/welcome", &fields);
        assert_eq!(page.status, StatusCode::OK, "{shown:?}: {}", page.body);
        let secret = super::decoded(&page.of("code.secret", ""));
        let code = code(&secret);
        stage.post(
            &Browser::default(),
            "/welcome/code",
            &[("invitation", &token), ("code", &code)],
        );
        let page = stage.get(&root, "/administration/people");
        let scripts = page.body.matches("<script").count();
        assert_eq!(scripts, 0, "{shown:?}");
        assert_eq!(page.body.matches("<img").count(), 0, "{shown:?}");
    }
}

#[test]
fn who_only_looks_reads_whose_the_next_steps_are() {
    let on = sealing();
    on.stage.first();
    let theirs = "Next, by whoever works on incidents there";
    for (role, name, is_theirs) in [(Role::Viewer, "vi", true), (Role::Analyst, "ana", false)] {
        let who = on.stage.invited(name, Grant::all(role));
        let page = on.stage.get(&who, &format!("/incidents/{}", on.id)).body;
        assert!(page.contains("I am looking at it"), "{page}");
        assert_eq!(page.contains(theirs), is_theirs, "{name}");
    }
}

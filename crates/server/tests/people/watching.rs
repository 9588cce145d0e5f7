//! Whoever watches or leads an incident is told on the first page what is new at it.

use axum::http::StatusCode;
use engine::desk::Update;
use model::{Grant, Joined, Role};
use scraper::{Html, Selector};

use super::Browser;
use super::attaching::{Sealing, sealing};

/// The lines of what is new, without their times.
fn news(sealing: &Sealing, browser: &Browser) -> Vec<String> {
    let page = Html::parse_document(&sealing.stage.get(browser, "/").body);
    let lines = Selector::parse("#news li").expect("a selector");
    let title = sealing
        .stage
        .desk
        .incident(&sealing.id)
        .expect("there")
        .title
        .clone();
    page.select(&lines)
        .map(|line| {
            let text: String = line.text().collect();
            let told = text
                .split_once(" UTC ")
                .map_or(text.as_str(), |(_, told)| told);
            told.trim().replace(&format!(" · {title}"), "")
        })
        .collect()
}

fn decide(sealing: &Sealing, browser: &Browser, fields: &[(&str, &str)]) {
    let seen = sealing.page(browser).of("#next input[name=seen]", "value");
    let mut all = vec![("seen", seen.as_str())];
    all.extend(fields);
    let to = format!("/incidents/{}/decide", sealing.id);
    let done = sealing.stage.post(browser, &to, &all);
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
}

#[test]
fn what_others_did_is_new_until_one_looks_and_what_one_did_oneself_never_is() {
    let sealing = sealing();
    sealing.stage.first();
    let ana = sealing.stage.invited("ana", Grant::all(Role::Analyst));
    let lea = sealing.stage.invited("lea", Grant::all(Role::IncidentLead));
    let none: [&str; 0] = [];
    decide(&sealing, &lea, &[("act", "acknowledge")]);
    assert_eq!(
        news(&sealing, &ana),
        none,
        "who doesn't watch is told nothing"
    );
    decide(&sealing, &ana, &[("act", "watch"), ("on", "1")]);
    assert_eq!(
        news(&sealing, &ana),
        none,
        "what was there when she began isn't new"
    );
    decide(&sealing, &lea, &[("act", "move"), ("to", "suspected")]);
    decide(&sealing, &lea, &[("act", "comment"), ("text", "x")]);
    super::wait(1);
    decide(
        &sealing,
        &lea,
        &[("act", "add_task"), ("title", "Ring the acquirer")],
    );
    let wanted = [
        "lea: added the task “Ring the acquirer”",
        "lea: moved it to suspected",
        "lea: wrote a remark",
    ];
    let mut told = news(&sealing, &ana);
    assert_eq!(
        told.first().map(String::as_str),
        Some(wanted[0]),
        "the newest first"
    );
    told.sort();
    assert_eq!(told, wanted);
    assert_eq!(news(&sealing, &lea), none, "she neither watches nor leads");
    // A page that is open renews itself: nobody looked.
    let path = format!("/incidents/{}", sealing.id);
    let refresh = [
        ("cookie", ana.cookie.as_str()),
        ("x-magewarden-refresh", "1"),
    ];
    assert_eq!(
        sealing.stage.get_with(&path, &refresh).status,
        StatusCode::OK
    );
    assert_eq!(news(&sealing, &ana).len(), 3);
    sealing.page(&ana);
    assert_eq!(news(&sealing, &ana), none);
    // What the machine found since, too.
    let mut incident = (*sealing.stage.desk.incident(&sealing.id).expect("there")).clone();
    for more in ["f8", "f9"] {
        incident.findings.push(Joined {
            finding: more.to_owned(),
            because: String::new(),
        });
    }
    sealing.stage.desk.publish(Update::Decided {
        findings: Vec::new(),
        incidents: vec![incident],
    });
    assert_eq!(news(&sealing, &ana), ["2 more findings"]);
    // Who leads needn't watch.
    decide(&sealing, &lea, &[("act", "lead"), ("to", "me")]);
    decide(&sealing, &ana, &[("act", "watch"), ("on", "0")]);
    decide(&sealing, &ana, &[("act", "comment"), ("text", "y")]);
    assert_eq!(news(&sealing, &ana), none);
    let mut told = news(&sealing, &lea);
    told.sort();
    assert_eq!(told, ["ana: no longer watches it", "ana: wrote a remark"]);
}

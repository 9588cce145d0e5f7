//! Plans and runs on the console: who asks for one, who approves it, what its host tells, and what is seen of it.

use axum::http::StatusCode;
use engine::containment::Containments;
use engine::ledger::Ledger;
use engine::link::{Hosts as _, ReportError};
use engine::sealed::Decided;
use model::{AccessKind, Grant, Happened, HostReport, Instructed, Refused, Role, RunEntry, Scope};
use serde_json::{Value, json};

use super::attaching::{Sealing, sealing};
use super::host::{HOST, Shop};
use super::{Answer, Browser};
use crate::hostile::HOSTILE;
use crate::opened::NOW;

const SHELL: &str = "v.__file__=pub%2Fmedia%2Fx.php&v.__network__=203.0.113.66";

impl Sealing {
    fn plan_path(&self) -> String {
        format!("/incidents/{}/plans/web-shell", self.id)
    }

    /// Asks for the plan as its page's form does.
    pub(super) fn propose(&self, browser: &Browser) -> Answer {
        let page = self
            .stage
            .get(browser, &format!("{}?{SHELL}", self.plan_path()));
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let (hash, key) = (
            page.of("input[name=hash]", "value"),
            page.of("input[name=key]", "value"),
        );
        let fields = [
            ("hash", hash.as_str()),
            ("key", key.as_str()),
            ("v.__file__", "pub/media/x.php"),
            ("v.__network__", "203.0.113.66"),
            ("host", HOST),
            ("note", "the shell is there"),
        ];
        self.stage.post(browser, &self.plan_path(), &fields)
    }

    pub(super) fn say(&self, browser: &Browser, run: &str, ask: &str, note: &str) -> Answer {
        let page = self.stage.get(browser, run);
        let field = |name: &str| {
            if page.body.contains(&format!("name=\"{name}\"")) {
                page.of(&format!("input[name={name}]"), "value")
            } else {
                String::new()
            }
        };
        let (seen, hash, key) = (field("seen"), field("hash"), field("key"));
        let fields = [
            ("ask", ask),
            ("note", note),
            ("seen", seen.as_str()),
            ("hash", hash.as_str()),
            ("key", key.as_str()),
        ];
        self.stage.post(browser, run, &fields)
    }

    pub(super) fn told(&self, browser: &Browser, path: &str) -> Value {
        let answer = self.stage.get(browser, path);
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }
}

#[test]
fn a_lead_lets_a_plan_be_carried_out_its_host_tells_how_it_went_and_it_is_undone() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    // Before a host has reported there is nobody to carry it out.
    let page = on
        .stage
        .get(&lead, &format!("{}?{SHELL}", on.plan_path()))
        .body;
    assert!(page.contains("No host of the shop has reported"), "{page}");
    shop.report(&[]);
    let incident = on.page(&lead).body;
    assert!(
        incident.contains("/plans/database-account-stolen"),
        "{incident}"
    );
    let asked = on.propose(&lead);
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
    let run = asked.header("location").to_owned();
    assert!(
        on.stage
            .get(&lead, &run)
            .body
            .contains("has yet to hear of it")
    );
    let told = shop.work();
    assert!(told.len() > 5, "{told:?}");
    let page = on.stage.get(&lead, &run).body;
    assert!(page.contains("done, and seen to hold"), "{page}");
    assert!(page.contains("/entries/"), "each is sealed");
    assert!(!page.contains(HOSTILE[0]), "{page}");
    let api = on.told(&lead, &format!("/api/v1{run}"));
    assert_eq!(api["version"], told.len());
    assert_eq!(api["told"].as_array().map(Vec::len), Some(told.len()));
    // What it waits for is said; then it is undone, and once all is back ended for good.
    let mut before = api["stage"].clone();
    for _ in 0..10 {
        if before != "waits" {
            break;
        }
        let answer = on.say(&lead, &run, "done", "looked at by hand");
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        shop.work();
        before = on.told(&lead, &format!("/api/v1{run}"))["stage"].clone();
    }
    assert_eq!(before, "in effect");
    let short = on.say(&lead, &run, "undo", "");
    assert_eq!(short.status, StatusCode::CONFLICT);
    assert!(short.body.contains("Write why"), "{}", short.body);
    assert_eq!(
        on.say(&lead, &run, "undo", "a false alarm").status,
        StatusCode::SEE_OTHER
    );
    assert!(
        on.stage
            .get(&lead, &run)
            .body
            .contains("The host has yet to hear of it")
    );
    shop.work();
    let api = on.told(&lead, &format!("/api/v1{run}"));
    assert_eq!(
        (&api["stage"], &api["holding"]),
        (&json!("undone"), &json!(0)),
        "{api}"
    );
    assert_eq!(
        on.say(&lead, &run, "close", "").status,
        StatusCode::SEE_OTHER
    );
    shop.work();
    assert_eq!(on.told(&lead, &format!("/api/v1{run}"))["stage"], "ended");
    let list = on.told(&lead, "/api/v1/runs");
    assert_eq!(list["total"], 1);
    assert!(on.stage.get(&lead, "/runs").body.contains(&run));
    assert!(on.page(&lead).body.contains(&run), "the incident names it");
    // Everything of it is in the ledger, and a start tells the same.
    let sealed = on.sealed();
    let of = |is: fn(&Decided) -> bool| sealed.iter().filter(|one| is(one)).count();
    assert!(of(|one| matches!(one, Decided::Order { .. })) >= 3);
    let enrolled = shop.desk.enrolled(HOST, "192.0.2.9", NOW);
    assert!(on.stage.runtime.block_on(enrolled));
    let is_there = || {
        let mut sealed = on.sealed().into_iter();
        sealed.any(|one| matches!(one, Decided::Access { event, .. } if event.kind == AccessKind::HostEnrolled && event.account == HOST))
    };
    for _ in 0..500 {
        if is_there() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(is_there(), "that a host was let in is sealed");
    let entries = of(|one| matches!(one, Decided::Told { .. }));
    let version = on.told(&lead, &format!("/api/v1{run}"))["version"].as_u64();
    assert_eq!(Some(entries as u64), version);
    let ledger = Ledger::open_read(
        &on.folder.join("ledger"),
        &on.folder.join("keys"),
        &parse::Context::default(),
    );
    let again = Containments::of(&ledger.expect("opened")).expect("read");
    let known: Vec<_> = again.all().map(|one| format!("{one:?}")).collect();
    let shown: Vec<_> = on
        .stage
        .desk
        .runs()
        .iter()
        .map(|one| format!("{one:?}"))
        .collect();
    assert_eq!(known, shown);
}

#[test]
fn each_role_does_what_it_may_and_nobody_approves_what_they_asked_for() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    shop.report(&[]);
    for role in Role::ALL {
        let person = on.stage.invited(role.name(), Grant::all(role));
        let asked = {
            let page = on
                .stage
                .get(&person, &format!("{}?{SHELL}", on.plan_path()));
            if page.body.contains("name=\"hash\"") {
                on.propose(&person)
            } else {
                let fields = [("hash", "x"), ("host", HOST)];
                on.stage.post(&person, &on.plan_path(), &fields)
            }
        };
        let expected = match (
            role.may(model::Right::Work),
            role.may(model::Right::SeeIncidents),
        ) {
            (true, _) => StatusCode::SEE_OTHER,
            (false, _) => StatusCode::FORBIDDEN,
        };
        assert_eq!(asked.status, expected, "{role}: {}", asked.body);
        if expected != StatusCode::SEE_OTHER {
            continue;
        }
        let run = asked.header("location").to_owned();
        let stage = on.told(&person, &format!("/api/v1{run}"))["stage"].clone();
        let decides = role.may(model::Right::Decide);
        let wanted = if decides { "approved" } else { "asked for" };
        assert_eq!(stage, wanted, "{role}");
        let own = on.say(&person, &run, "approve", "");
        assert!(
            [StatusCode::FORBIDDEN, StatusCode::CONFLICT].contains(&own.status),
            "{role}: {}",
            own.body
        );
        let withdrawn = on.say(&person, &run, "withdraw", "not now");
        assert_eq!(withdrawn.status, StatusCode::SEE_OTHER, "{role}");
    }
    let analyst = on.stage.invited("ana", Grant::all(Role::Analyst));
    let approver = on.stage.invited("app", Grant::all(Role::Approver));
    let viewer = on.stage.invited("vic", Grant::all(Role::Viewer));
    let run = on.propose(&analyst).header("location").to_owned();
    assert_eq!(shop.work(), Vec::new(), "nothing before it is approved");
    assert!(
        !on.stage
            .get(&viewer, &run)
            .body
            .contains("value=\"approve\"")
    );
    assert_eq!(
        on.say(&viewer, &run, "approve", "").status,
        StatusCode::FORBIDDEN
    );
    assert!(
        on.stage
            .get(&approver, &run)
            .body
            .contains("value=\"approve\"")
    );
    assert_eq!(
        on.say(&approver, &run, "approve", "").status,
        StatusCode::SEE_OTHER
    );
    assert!(!shop.work().is_empty());
    // A viewer sees where it is, and nothing of what the host told of the shop.
    let page = on.stage.get(&viewer, &run).body;
    assert!(
        page.contains("for those who may see evidence") && !page.contains("let in"),
        "{page}"
    );
    let api = on.told(&viewer, &format!("/api/v1{run}"));
    assert!(
        api["steps"]
            .as_array()
            .is_some_and(|steps| steps.iter().all(|step| step["changes"].is_null()))
    );
    for word in ["undo", "skip", "close", "done"] {
        let answer = on.say(&viewer, &run, word, "because");
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{word}");
    }
    // An analyst does what is theirs, and doesn't undo.
    assert_eq!(
        on.say(&analyst, &run, "undo", "because").status,
        StatusCode::FORBIDDEN
    );
}

#[test]
fn who_works_for_one_store_sees_no_run_of_others() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    shop.report(&[]);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let scope = Scope::Website("us".to_owned());
    let us = on.stage.invited(
        "us",
        Grant {
            role: Role::IncidentLead,
            scope,
        },
    );
    let run = on.propose(&lead).header("location").to_owned();
    shop.work();
    for path in [run.clone(), format!("/api/v1{run}"), on.plan_path()] {
        assert_eq!(
            on.stage.get(&us, &path).status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(on.told(&us, "/api/v1/runs")["total"], 0);
    assert!(!on.stage.get(&us, "/runs").body.contains(&run));
    let fields = [("ask", "undo"), ("note", "because"), ("seen", "1")];
    assert_eq!(
        on.stage.post(&us, &run, &fields).status,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn of_a_host_only_what_follows_is_believed_and_what_it_refuses_is_shown() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    shop.report(&[]);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let run = on.propose(&lead).header("location").to_owned();
    let told = shop.report(&[]);
    let order = told.first().expect("to begin").clone();
    let no = Refused {
        run: order.run.clone(),
        order: order.order,
        why: format!("the policy says no {}", HOSTILE[0]),
        at: NOW,
    };
    // Another host refuses nothing of this one: it is answered, and forgotten.
    let other = shop.try_report("other", &[], std::slice::from_ref(&no));
    let heard = other.expect("answered").heard;
    assert!(heard.iter().eq([&no.order]), "{heard:?}");
    assert_eq!(shop.report(&[]).len(), 1, "the order still stands");
    shop.try_report(HOST, &[], std::slice::from_ref(&no))
        .expect("taken");
    let page = on.stage.get(&lead, &run).body;
    assert!(
        page.contains("the policy says no") && !page.contains(HOSTILE[0]),
        "{page}"
    );
    assert_eq!(shop.report(&[]), Vec::new(), "it isn't told again");
    // Approved anew, it is told once more; what another host or nobody's order began isn't taken for it.
    assert_eq!(
        on.say(&lead, &run, "approve", "").status,
        StatusCode::SEE_OTHER
    );
    let order = shop.report(&[]).first().expect("anew").clone();
    let Instructed::Begin {
        plan,
        hash,
        answers,
    } = order.what
    else {
        panic!("a beginning");
    };
    let what = Happened::Approved {
        plan,
        hash,
        by: order.by,
        answers,
    };
    let entry = |order: &str, number: u64| RunEntry {
        v: model::RUN_VERSION,
        run: run.trim_start_matches("/runs/").to_owned(),
        number,
        at: NOW,
        order: order.to_owned(),
        what: what.clone(),
    };
    for (host, odd) in [
        ("other", entry(&order.order, 0)),
        (HOST, entry("", 0)),
        (HOST, entry(&order.order, 1)),
    ] {
        let before = on.sealed().len();
        let answer = shop.try_report(host, std::slice::from_ref(&odd), &[]);
        let answer = answer.expect("answered all the same");
        assert_eq!(answer.sealed.get(&odd.run), Some(&0), "{host}");
        // Whatever it tells, it hears what it is to do.
        assert_eq!(answer.instructions.len(), usize::from(host == HOST));
        assert_eq!(on.sealed().len(), before, "nothing is sealed of it");
        // Nothing told, nothing forgotten.
        shop.try_report(host, &[], &[]).expect("answered");
        let api = on.told(&lead, "/api/v1/hosts");
        let seen = api["items"].as_array().expect("hosts").iter();
        let mut of_host = seen.filter(|one| one["name"] == host);
        let trouble = of_host.next().expect("reported")["trouble"].clone();
        let about = format!("entry {} of {}: ", odd.number, odd.run);
        assert!(
            trouble.as_str().is_some_and(|why| why.starts_with(&about)),
            "{trouble}"
        );
    }
    assert!(
        on.stage
            .get(&lead, "/runs")
            .body
            .contains("what it told could not be taken")
    );
    let mut report = HostReport {
        v: 99,
        ..HostReport::default()
    };
    report.at = NOW;
    let odd = on
        .stage
        .runtime
        .block_on(shop.desk.report(HOST, report, NOW));
    assert!(matches!(odd, Err(ReportError::Unfit { .. })), "{odd:?}");
    // One that was begun by hand there is shown to who sees the whole installation.
    let mut by_hand = entry("", 0);
    by_hand.run = "run-1".to_owned();
    shop.report(std::slice::from_ref(&by_hand));
    let page = on.stage.get(&lead, "/runs/run-1").body;
    assert!(page.contains("begun by hand"), "{page}");
    // What is said to it is said there.
    assert!(!page.contains("value=\"undo\""), "{page}");
    assert!(page.contains("What is to be said to it is said on shop1"));
    let fields = [("ask", "undo"), ("note", "because"), ("seen", "1")];
    let undo = on.stage.post(&lead, "/runs/run-1", &fields);
    assert_eq!(undo.status, StatusCode::CONFLICT, "{}", undo.body);
    assert!(undo.body.contains("say it there"), "{}", undo.body);
}

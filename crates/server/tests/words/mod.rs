//! Pages read by whoever knows nothing of them: what to do next, which stores, what lies near, whom to call, whose duties.

use model::{Contact, Incident, Scope, Timestamp};
use server::{Console, Telling};

use crate::desks::{desk_of, with};
use crate::{NOW, answered, get};

#[test]
fn something_is_next_with_no_incident_and_on_every_one() {
    let (_, _, quiet) = get(&desk_of(Vec::new()), "/");
    assert!(quiet.contains("<h2>What next?</h2><ol><li><a href=\"/payment-pages\">"));
    let desk = desk_of(vec![with("b1", |_| {})]);
    assert!(!get(&desk, "/").2.contains("<h2>What next?</h2><ol>"));
    // A console that only shows says what is to be read.
    let (_, _, page) = get(&desk, "/incidents/b1");
    assert!(page.contains("<li><a href=\"#stop\">read what stops it"));
    assert!(page.contains("<li><a href=\"#tell\">see whom to tell"));
}

#[test]
fn what_reached_the_database_is_of_all_stores_and_unknown_is_only_what_is() {
    let unknown = |one: &mut Incident| one.scopes = vec![Scope::Unknown];
    let desk = desk_of(vec![with("b1", unknown)]);
    for path in ["/", "/incidents", "/incidents/b1"] {
        let (_, _, page) = get(&desk, path);
        assert!(page.contains("all stores"), "{path}");
        assert!(!page.contains("store unknown"), "{path}");
    }
    let (_, _, first) = get(&desk, "/");
    assert!(
        first.contains("<dt>not one store</dt>") && first.contains("no store view is known for it")
    );
    let (_, _, queue) = get(&desk, "/incidents?store=installation");
    assert!(queue.contains("/incidents/b1"));
    let elsewhere = desk_of(vec![with("b1", |one| {
        unknown(one);
        one.exposure.channels = vec!["web response".to_owned()];
    })]);
    assert!(get(&elsewhere, "/").2.contains("store unknown"));
    assert!(!get(&elsewhere, "/incidents/b1").2.contains("all stores</"));
}

#[test]
fn two_that_began_seconds_apart_say_so_each_with_what_they_share() {
    let later = |one: &mut Incident| {
        one.title = "The other".to_owned();
        one.first = Timestamp(NOW.0 + 12 * Timestamp::SECOND);
    };
    let desk = desk_of(vec![with("b1", |_| {}), with("b2", later)]);
    let (_, _, page) = get(&desk, "/incidents/b1");
    let told = "Began 12 s before <a href=\"/incidents/b2\">The other</a>, shares <code>address x</code>, <code>x</code> with it: may be one attacker.";
    assert!(page.contains(told));
    assert!(!page.contains("is also in"), "what they share is told once");
    assert!(
        get(&desk, "/incidents/b2")
            .2
            .contains("Began 12 s after <a href=\"/incidents/b1\">")
    );
    let stranger = |one: &mut Incident| {
        later(one);
        one.actors.clear();
        one.assets.clear();
    };
    let desk = desk_of(vec![with("b1", |_| {}), with("b2", stranger)]);
    assert!(
        get(&desk, "/incidents/b1")
            .2
            .contains("shares nothing with it yet: may be one attacker.")
    );
    let long_after = |one: &mut Incident| one.first = Timestamp(NOW.0 + 700 * Timestamp::SECOND);
    let desk = desk_of(vec![with("b1", |_| {}), with("b2", long_after)]);
    assert!(
        !get(&desk, "/incidents/b1")
            .2
            .contains("may be one attacker")
    );
}

#[test]
fn what_burns_is_the_headline_and_each_clock_stands_once() {
    let due = |one: &mut Incident, seconds: i64| {
        for duty in &mut one.obligations {
            duty.due = Some(Timestamp(NOW.0 + seconds * Timestamp::SECOND));
            duty.recipient = "the one to tell".to_owned();
        }
    };
    let desk = desk_of(vec![
        with("b1", |one| {
            due(one, 7200);
            one.severity = model::Level::High;
        }),
        with("b2", |one| {
            due(one, 3600);
            one.title = "What burns most".to_owned();
        }),
    ]);
    let (_, _, page) = get(&desk, "/");
    let (headline, rest) = page.split_once("</h1>").expect("a headline");
    assert!(
        headline.ends_with("critical:</span> What burns most"),
        "{headline}"
    );
    assert!(rest.contains("2 of 2 open incidents nobody looks at yet."));
    assert_eq!(page.matches("the one to tell").count(), 1);
    let clocks = page.find("the one to tell").and_then(|at| page.get(at..));
    let clocks = clocks.expect("a clock");
    let at = |id: &str| clocks.find(&format!("/incidents/{id}#tell"));
    assert!(
        at("b2") < at("b1") && at("b2").is_some(),
        "the earlier one goes first"
    );
}

fn told(telling: Telling) -> String {
    let desk = desk_of(vec![with("b1", |one| {
        let mut all = Vec::new();
        for (recipient, depends) in [
            ("acquirer, by telephone", ""),
            (
                "lead supervisory authority",
                "residence of the people concerned: EU",
            ),
            (
                "the NY regulator",
                "residence of the people concerned: US-NY",
            ),
        ] {
            let mut duty = one.obligations[0].clone();
            duty.recipient = recipient.to_owned();
            duty.depends_on = vec![depends.to_owned()];
            all.push(duty);
        }
        one.obligations = all;
    })]);
    let console = Console::from(desk).telling(telling);
    answered(console, "GET", "/incidents/b1", "127.0.0.1:8780").2
}

#[test]
fn who_is_called_stands_where_it_says_whom_to_tell_and_what_isnt_set_says_where_to_set_it() {
    let bank = ["<b>Bank", "+1 555 0100", "", "contract 7"].map(str::to_owned);
    let contacts = vec![Contact::new("acquirer", bank).expect("a contact")];
    let file = "/etc/magewarden/<i>.toml".to_owned();
    let page = told(Telling::new(contacts, None, None, file).expect("known words"));
    assert_eq!(
        page.matches("&#60;b&#62;Bank").count(),
        2,
        "in the list and beside the duty"
    );
    assert!(page.contains("contract 7") && !page.contains("<b>Bank") && !page.contains("<i>.toml"));
    let (_, absent) = page
        .split_once("No contact is set for: ")
        .expect("it says so");
    let (absent, _) = absent.split_once("</p>").expect("an end");
    for role in ["counsel", "pfi", "hosting_provider", "dpo"] {
        assert!(absent.contains(&format!("<code>{role}</code>")), "{role}");
    }
    assert!(!absent.contains("<code>acquirer</code>"));
    assert!(absent.contains("Set them in /etc/magewarden/&#60;i&#62;.toml"));
    assert!(told(Telling::default()).contains("Set them in the settings file"));
}

#[test]
fn where_customers_live_narrows_duties_and_unset_shows_all() {
    let page = told(Telling::default());
    assert!(page.contains("2 that bind only some merchants") && !page.contains("duties-elsewhere"));
    assert!(page.contains("To narrow them: in the settings file"));
    let germany = Some(vec!["DE".to_owned()]);
    let page = told(Telling::new(Vec::new(), germany, None, String::new()).expect("a place"));
    assert!(!page.contains("id=\"duties-some\""));
    assert!(page.contains("1 that don't bind this one"));
    let (bind, elsewhere) = page
        .split_once("id=\"duties-elsewhere\"")
        .expect("both are shown");
    assert!(bind.contains("lead supervisory authority") && elsewhere.contains("the NY regulator"));
    assert!(page.contains("Customers live in DE; the merchant is not set to be"));
    // That it is none of them is set, too.
    let shop = Telling::new(Vec::new(), None, Some(Vec::new()), String::new());
    let page = told(shop.expect("it is nothing"));
    assert!(page.contains("the merchant is nothing that only some are"));
    assert!(!page.contains("Every law's are shown"));
    let nowhere = Telling::new(Vec::new(), Some(Vec::new()), None, String::new());
    assert!(nowhere.is_err(), "every law would stand apart by it");
}

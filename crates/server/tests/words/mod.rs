//! Pages read by whoever knows nothing of them: what to do next, which stores, what lies near, whom to call, whose duties.

use engine::merchant::{EntityProfile, profile};
use model::{Contact, Incident, Scope, Timestamp};
use server::{Console, Telling};

use crate::desks::{desk_for, desk_of, with};
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

fn duties() -> Vec<Incident> {
    vec![with("b1", |one| {
        let mut all = Vec::new();
        for (recipient, depends, day) in [
            ("acquirer, by telephone", "", 3),
            (
                "lead supervisory authority",
                "residence of the people concerned: EU",
                2,
            ),
            (
                "the NY regulator",
                "residence of the people concerned: US-NY",
                1,
            ),
        ] {
            let mut duty = one.obligations[0].clone();
            duty.rule = recipient.to_owned();
            duty.recipient = recipient.to_owned();
            duty.depends_on = vec![depends.to_owned()];
            duty.due = Some(NOW.plus_seconds(day * 86_400));
            all.push(duty);
        }
        one.obligations = all;
    })]
}

fn told(telling: Telling, merchant: EntityProfile) -> String {
    let console = Console::from(desk_for(merchant, duties())).telling(telling);
    answered(console, "GET", "/incidents/b1", "127.0.0.1:8780").2
}

#[test]
fn who_is_called_stands_where_it_says_whom_to_tell_and_what_isnt_set_says_where_to_set_it() {
    let bank = ["<b>Bank", "+1 555 0100", "", "contract 7"].map(str::to_owned);
    let contacts = vec![Contact::new("acquirer", bank).expect("a contact")];
    let file = "/etc/magewarden/<i>.toml".to_owned();
    let page = told(
        Telling::new(contacts, file).expect("few"),
        EntityProfile::default(),
    );
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
    let unset = told(Telling::default(), EntityProfile::default());
    assert!(unset.contains("Set them in the settings file"));
}

fn german() -> EntityProfile {
    profile(Some(vec!["DE".to_owned()]), None).expect("a place")
}

#[test]
fn where_customers_live_narrows_duties_and_unset_shows_all() {
    let page = told(Telling::default(), EntityProfile::default());
    assert!(page.contains("2 that bind only some merchants") && !page.contains("duties-elsewhere"));
    assert!(page.contains("To narrow them: in the settings file"));
    let page = told(Telling::default(), german());
    assert!(!page.contains("id=\"duties-some\""));
    assert!(page.contains("1 that don't bind this one"));
    let (bind, elsewhere) = page
        .split_once("id=\"duties-elsewhere\"")
        .expect("both are shown");
    assert!(bind.contains("lead supervisory authority") && elsewhere.contains("the NY regulator"));
    assert!(page.contains("Customers live in DE; the merchant is not set to be"));
    // That it is none of them is set, too.
    let shop = profile(None, Some(Vec::new())).expect("it is nothing");
    let page = told(Telling::default(), shop);
    assert!(page.contains("the merchant is nothing that only some are"));
    assert!(!page.contains("Every law's are shown"));
    let nowhere = profile(Some(Vec::new()), None);
    assert!(nowhere.is_err(), "every law would stand apart by it");
}

/// Recipients whose clock each place tells of: the first page's, the queue's, the API's.
fn clocks(merchant: EntityProfile) -> [Vec<&'static str>; 4] {
    let desk = desk_for(merchant, duties());
    let told = ["/", "/incidents", "/api/v1/incidents"].map(|path| get(&desk, path).2);
    let one: serde_json::Value =
        serde_json::from_str(&get(&desk, "/api/v1/incidents/b1").2).expect("JSON");
    let binds = one["duties"]["binds"].to_string();
    let [first, queue, api] = told;
    [first, queue, api, binds].map(|text| {
        let all = [
            "acquirer, by telephone",
            "lead supervisory authority",
            "the NY regulator",
        ];
        all.into_iter().filter(|one| text.contains(one)).collect()
    })
}

#[test]
fn lists_pages_and_programs_are_told_of_the_same_clocks_by_who_the_merchant_is() {
    let [acquirer, eu] = ["acquirer, by telephone", "lead supervisory authority"];
    // Nobody said: what may bind hides nothing that does.
    let unset = clocks(EntityProfile::default());
    assert!(unset.iter().all(|told| *told == [acquirer]), "{unset:?}");
    // The queue tells the one that ends first.
    let both = vec![acquirer, eu];
    let expected = [both.clone(), vec![eu], both.clone(), both];
    assert_eq!(clocks(german()), expected);
}

//! Entries and entities as one person sees them, on a ledger that goes on being written: what is found by whom, and
//! what is told to nobody whose roles don't cover it.

use std::path::Path;
use std::sync::Arc;

use engine::desk::{Desk, Sight, Update};
use engine::evidence::{Entity, EntityKind, Search, of_ledger, place, places, within};
use engine::ledger::{EntryKind, Ledger, NewEntry, Order};
use model::{
    Actor, ActorKind, EventRef, Finding, Grant, InstallationId, Lane, Level, Principal, Role,
    RunType, Scope, Sequence, SourceId, StoreMap, Timestamp, Via, ViewPlace,
};
use parse::Context;

/// Two websites: `eu` with the views `de` and `fr`, `us` with `en`; each has a host.
fn context() -> Context {
    let view = |website: &str, is_default: bool| ViewPlace {
        website: website.to_owned(),
        store: format!("{website}_main"),
        is_active: true,
        is_default,
    };
    let views = [
        ("de", view("eu", true)),
        ("fr", view("eu", false)),
        ("en", view("us", true)),
    ];
    let hosts = [("eu.shop.example", "eu"), ("us.shop.example", "us")];
    Context {
        stores: StoreMap {
            views: views.map(|(code, view)| (code.to_owned(), view)).into(),
            hosts: hosts
                .map(|(host, code)| (host.to_owned(), (RunType::Website, code.to_owned())))
                .into(),
            code_in_path: Some(true),
            default_website: "eu".to_owned(),
            back_end: "admin".to_owned(),
        },
        ..Context::default()
    }
}

fn entry(ledger: &Ledger, number: i64, format: &'static str, text: &str) -> NewEntry {
    let payload = text.as_bytes().to_vec();
    NewEntry {
        kind: EntryKind::Observed,
        lane: Lane::Live,
        identity: None,
        source: SourceId(format!("file:{format}")),
        said: Some(Timestamp::from_seconds(number)),
        received: Timestamp::from_seconds(number),
        format: format.into(),
        quarantined: false,
        marks: Vec::new(),
        tokens: engine::intake::tokens(ledger.token_key(), format, &payload, &context()),
        payload,
    }
}

fn web(host: &str, path: &str, address: &str) -> String {
    format!(
        r#"{{"time":"2026-08-05T10:15:30+00:00","host":"{host}","remote_addr":"{address}","request":"GET {path} HTTP/1.1","status":200,"body_bytes_sent":5,"http_user_agent":"x"}}"#
    )
}

const ADMIN: &str = r#"{"category":"application","time":"2026-08-05T10:15:30Z","admin.name":"eve","admin.action":"save","admin.target":"cms_page:7","c-ip":"192.0.2.9"}"#;
const NUMBERED: &str = r#"{"category":"application","time":"2026-08-05T10:15:30Z","admin.id":7,"admin.action":"login"}"#;
const PACKAGE: &str = r#"{"category":"inventory","time":"2026-08-05T10:15:30Z","change":"seen","package.name":"vendor/pay","package.module":"Vendor_Pay"}"#;
const DATABASE: &str = "20260805 10:15:30,db,shop,localhost,7,9,READ,magento,sales_order_payment,";

fn open(folder: &Path) -> Ledger {
    let installation = InstallationId("shop".to_owned());
    let (ledger, keys) = (folder.join("ledger"), folder.join("keys"));
    let opened = Ledger::create_or_open(&ledger, &keys, &installation, None, &context());
    opened.expect("opened").0
}

/// A ledger of seven entries, and a desk that shows it.
fn stage(folder: &Path) -> (Ledger, Desk) {
    let mut ledger = open(folder);
    let texts = [
        (
            "nginx_json",
            web("eu.shop.example", "/fr/checkout", "192.0.2.1"),
        ),
        (
            "nginx_json",
            web("us.shop.example", "/en/checkout", "192.0.2.1"),
        ),
        ("nginx_json", web("eu.shop.example", "/de/", "192.0.2.2")),
        ("observation", ADMIN.to_owned()),
        ("observation", NUMBERED.to_owned()),
        ("observation", PACKAGE.to_owned()),
        ("mariadb_server_audit", DATABASE.to_owned()),
    ];
    let entries: Vec<_> = (0..)
        .zip(&texts)
        .map(|(number, (format, text))| entry(&ledger, number, format, text))
        .collect();
    ledger.append(&entries).expect("sealed");
    let (read, find) =
        of_ledger(&folder.join("ledger"), &folder.join("keys"), context()).expect("opened to read");
    (ledger, Desk::searching(read, find))
}

fn sight(desk: &Desk, role: Role, scope: Scope) -> Sight {
    let principal = Principal {
        account: "a".to_owned(),
        name: "ana".to_owned(),
        shown: "Ana".to_owned(),
        grants: vec![Grant { role, scope }],
        via: Via::Session,
    };
    Sight::new(desk.clone(), principal, Arc::new(context().stores))
}

fn all(desk: &Desk) -> Sight {
    sight(desk, Role::Analyst, Scope::Installation)
}

fn us(desk: &Desk) -> Sight {
    sight(desk, Role::Analyst, Scope::Website("us".to_owned()))
}

fn numbers(sight: &Sight, search: &Search) -> Vec<u64> {
    let search = Search {
        limit: 100,
        ..search.clone()
    };
    let listed = sight.entries(&search).expect("read");
    assert_eq!(listed.next, None);
    listed.lines.iter().map(|line| line.sequence).collect()
}

fn of(kind: EntityKind, name: &str) -> Search {
    Search {
        entities: vec![Entity::new(kind, name).expect("a name")],
        ..Search::default()
    }
}

fn at(name: &str) -> Search {
    Search {
        places: within(&place(name).expect("a place"), &context().stores),
        ..Search::default()
    }
}

#[test]
fn entries_are_found_by_who_what_and_where_after_the_index_is_made_again_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ledger, desk) = stage(folder.path());
    let check = |desk: &Desk| {
        use EntityKind::{Account, Address, Administrator, Module, Store};
        for (search, expected) in [
            (of(Administrator, "eve"), &[3][..]),
            (of(Administrator, "user_id 7"), &[4]),
            (of(Administrator, "nobody"), &[]),
            (of(Account, "shop"), &[6]),
            (of(Address, "192.0.2.1"), &[0, 1]),
            (of(Address, "192.0.2.9"), &[3]),
            (of(Module, "Vendor_Pay"), &[5]),
            (of(Module, "vendor/pay"), &[5]),
            (of(Store, "website:eu"), &[0, 2]),
            (of(Store, "view:fr"), &[0]),
            (at("website:us"), &[1]),
            (at("view:de"), &[2]),
            (at("unknown"), &[3, 4, 5, 6]),
        ] {
            assert_eq!(numbers(&all(desk), &search), expected, "{search:?}");
        }
        let both = Search {
            places: at("website:eu").places,
            ..of(Address, "192.0.2.1")
        };
        assert_eq!(numbers(&all(desk), &both), [0]);
    };
    check(&desk);
    drop(ledger);
    // As after an index of another version.
    for name in ["blocks", "postings"] {
        std::fs::remove_file(folder.path().join("ledger").join(name)).expect("removed");
    }
    drop(open(folder.path()));
    let (ledger, keys) = (folder.path().join("ledger"), folder.path().join("keys"));
    let (read, find) = of_ledger(&ledger, &keys, context()).expect("opened to read");
    check(&Desk::searching(read, find));
}

#[test]
fn what_is_sealed_meanwhile_is_listed_the_newest_first_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut ledger, desk) = stage(folder.path());
    let more: Vec<_> = (7..700)
        .map(|number| entry(&ledger, number, "mariadb_server_audit", DATABASE))
        .collect();
    ledger.append(&more).expect("sealed");
    let (sight, mut search) = (all(&desk), of(EntityKind::Account, "shop"));
    (search.limit, search.order) = (100, Order::Newest);
    let mut seen = Vec::new();
    loop {
        let listed = sight.entries(&search).expect("read");
        seen.extend(listed.lines.iter().map(|line| line.sequence));
        search.end = listed.next;
        if search.end.is_none() {
            break;
        }
    }
    assert_eq!(seen, (6..700).rev().collect::<Vec<_>>());
    assert_eq!(sight.entry(699).map(|entry| entry.sequence), Some(699));
}

#[test]
fn whoever_works_for_one_website_finds_what_is_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_ledger, desk) = stage(folder.path());
    assert_eq!(numbers(&us(&desk), &Search::default()), [1]);
    assert_eq!(
        numbers(&us(&desk), &of(EntityKind::Address, "192.0.2.1")),
        [1]
    );
    for name in ["website:eu", "unknown", "view:fr"] {
        assert_eq!(numbers(&us(&desk), &at(name)), [0_u64; 0], "{name}");
    }
    // Without the right to evidence nothing is listed, wherever it is.
    let viewer = sight(&desk, Role::Viewer, Scope::Installation);
    assert_eq!(numbers(&viewer, &Search::default()), [0_u64; 0]);
    assert!(places(&context().stores).any(|place| place == Scope::View("fr".to_owned())));
}

/// A finding of an address at a place.
fn finding(id: &str, scope: Scope) -> Finding {
    let actor = Actor {
        kind: ActorKind::Address,
        value: "192.0.2.1".to_owned(),
    };
    Finding {
        id: id.to_owned(),
        rule: "web-probing".to_owned(),
        title: id.to_owned(),
        level: Level::Low,
        lane: Lane::Live,
        first: Timestamp::from_seconds(50),
        last: Timestamp::from_seconds(60),
        actors: vec![actor],
        scope,
        assets: Vec::new(),
        rows: None,
        bytes: None,
        event_count: 1,
        events: vec![EventRef {
            sequence: Sequence(0),
            index: 0,
        }],
        reason: String::new(),
        attack: Vec::new(),
        requirements: Vec::new(),
        false_positives: Vec::new(),
        external: None,
    }
}

#[test]
fn what_is_known_of_an_address_is_told_as_far_as_its_places_are_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_ledger, desk) = stage(folder.path());
    let view = |code: &str| Scope::View(code.to_owned());
    desk.publish(Update::Decided {
        findings: vec![finding("at fr", view("fr")), finding("at en", view("en"))],
        incidents: Vec::new(),
    });
    let address = Entity::new(EntityKind::Address, "192.0.2.1").expect("a name");
    let told = |sight: &Sight| {
        let about = sight.about(&address).expect("read").expect("known");
        let findings: Vec<_> = about
            .findings
            .iter()
            .map(|(one, _)| one.title.clone())
            .collect();
        let places: Vec<_> = about
            .places
            .iter()
            .map(|(place, _)| place.clone())
            .collect();
        let last = about.last.map(|last| last.0 / Timestamp::SECOND);
        (findings, about.lines.len(), places, last)
    };
    let (findings, lines, places, last) = told(&all(&desk));
    assert_eq!((findings.len(), lines, last), (2, 2, Some(60)));
    assert_eq!(places, [view("en"), view("fr")]);
    let (findings, lines, places, _) = told(&us(&desk));
    assert_eq!(
        (findings, lines, places),
        (vec!["at en".to_owned()], 1, vec![view("en")])
    );
    // Who is known elsewhere alone isn't there for them, as who is known nowhere.
    for name in ["192.0.2.2", "192.0.2.77"] {
        let other = Entity::new(EntityKind::Address, name).expect("a name");
        assert!(us(&desk).about(&other).expect("read").is_none(), "{name}");
    }
    let place = |name: &str| Entity::new(EntityKind::Store, name).expect("a name");
    assert!(us(&desk).about(&place("view:en")).expect("read").is_some());
    assert!(us(&desk).about(&place("view:fr")).expect("read").is_none());
    let viewer = sight(&desk, Role::Viewer, Scope::Installation);
    let about = viewer.about(&address).expect("read").expect("known");
    assert_eq!((about.lines.len(), about.findings.len()), (0, 2));
    let store = all(&desk)
        .about(&place("view:fr"))
        .expect("read")
        .expect("known");
    assert_eq!(store.others, [(address, 2)]);
}

/// Asks how often each signature was found since a time.
fn tallied(sight: &Sight, names: &[&str], from: Option<Timestamp>) -> Vec<usize> {
    let search = Search {
        from,
        tally: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Search::default()
    };
    let tallied = sight.entries(&search).expect("read").tallied;
    assert_eq!(tallied.since, None);
    tallied.times.iter().map(Vec::len).collect()
}

#[test]
fn signatures_are_counted_in_one_go_as_searches_find_them_and_where_they_are_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut ledger, desk) = stage(folder.path());
    let names = ["js-a", "yara:b", "never"];
    // Over several blocks, one each second.
    let entries: Vec<_> = (0..1000_i64)
        .map(|number| {
            let has: Vec<&str> = [(7, "js-a"), (50, "yara:b")]
                .into_iter()
                .filter(|(each, _)| number % each == 0)
                .map(|(_, name)| name)
                .collect();
            let text = serde_json::json!({
                "category": "file_event", "change": "seen", "file.path": "pub/a.js", "signatures": has,
                "time": "2026-08-05T10:15:30Z",
            });
            entry(&ledger, 7 + number, "observation", &text.to_string())
        })
        .collect();
    ledger.append(&entries).expect("sealed");
    let seen = all(&desk);
    assert_eq!(tallied(&seen, &names, None), [143, 20, 0]);
    for second in (0..1100).step_by(97) {
        let from = Timestamp::from_seconds(second);
        let each = names.map(|name| {
            let search = Search {
                signature: Some(name.to_owned()),
                from: Some(from),
                limit: 1000,
                ..Search::default()
            };
            seen.entries(&search).expect("read").lines.len()
        });
        assert_eq!(tallied(&seen, &names, Some(from)), each, "{second}");
    }
    // What lies at no place of theirs isn't there for them, not as a number.
    assert_eq!(tallied(&us(&desk), &names, None), [0, 0, 0]);
    let viewer = sight(&desk, Role::Viewer, Scope::Installation);
    let search = Search {
        tally: vec!["js-a".to_owned()],
        ..Search::default()
    };
    assert!(
        viewer
            .entries(&search)
            .expect("read")
            .tallied
            .times
            .is_empty()
    );
}

//! The pages that list what is there: parts of payment pages, and what is installed.

mod kept;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use engine::desk::{Desk, EntryView, SourceView, Update};
use engine::inventory::{Inventory, page_source};
use engine::judge::Understood;
use model::{Scope, Sequence, SourceId};
use scraper::Html;
use serde_json::{Value, json};

use super::{entry, finding, get, incident, selector};

/// Publishes the lists that records make: source and record; the first is entry 1.
pub(crate) fn list(desk: &Desk, records: &[(SourceId, Value)]) {
    let mut inventory = Inventory::default();
    for (number, (source, record)) in (1..).zip(records) {
        inventory.take(source, Sequence(number), record.to_string().as_bytes());
    }
    desk.publish(Update::Listed(inventory.to_show(true)));
}

pub(crate) fn shop() -> SourceId {
    SourceId("inventory:/var/www/shop".to_owned())
}

/// A record of a look at a page.
pub(crate) fn look(change: &str) -> Value {
    json!({"time": "2026-08-05T10:15:30.5Z", "change": change, "url": "https://de.shop.example/checkout", "log.context": "2 parts, 0 changes"})
}

/// A record of a part; `more` is put over it.
pub(crate) fn part(change: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut record = json!({"time": "2026-08-05T10:15:30.5Z", "change": change, "page.part": kind, "page.name": name});
    over(&mut record, more);
    record
}

/// A record of a package; `more` is put over it.
pub(crate) fn package(change: &str, name: &str, more: Value) -> Value {
    let mut record =
        json!({"time": "2026-08-05T10:15:30Z", "change": change, "package.name": name});
    over(&mut record, more);
    record
}

fn over(record: &mut Value, more: Value) {
    let (Value::Object(record), Value::Object(more)) = (record, more) else {
        return;
    };
    record.extend(more);
}

/// A desk whose entries tell a difference.
fn desk() -> Desk {
    Desk::new(Box::new(|sequence| {
        let fields = vec![("page.difference", format!("{{+steal{sequence}()+}}"))];
        Some(EntryView {
            understood: Some(Understood {
                place: Scope::Unknown,
                fields,
            }),
            ..entry(sequence, "x")
        })
    }))
}

/// Texts of a page's rows, white space made one; those of a table of this name.
fn rows(page: &str, table: &str) -> Vec<String> {
    let document = Html::parse_document(page);
    document
        .select(&selector(&format!("table[aria-label='{table}'] tbody tr")))
        .map(|row| {
            let words: String = row.text().collect::<Vec<_>>().join(" ");
            words.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect()
}

const PARTS: &str = "Parts of the payment pages";
const PACKAGES: &str = "Packages and modules";

#[test]
fn what_nobody_looks_at_is_unknown_and_it_is_said_how_to_look() {
    let desk = desk();
    let (_, _, page) = get(&desk, "/payment-pages");
    assert!(page.contains("Nothing looks at a payment page: what is on it is unknown."));
    assert!(page.contains("kind = \"payment_page\"") || page.contains("kind = &#34;payment_page"));
    let (_, _, page) = get(&desk, "/modules");
    assert!(page.contains("Nothing looks at what is installed: it is unknown."));
    assert!(page.contains("--source inventory"));
    // A source that has begun and told nothing yet.
    let source = |id: &str| SourceView {
        id: id.to_owned(),
        state: "failing".to_owned(),
        reason: "no answer; it is tried again".to_owned(),
        ..SourceView::default()
    };
    desk.publish(Update::Sources(vec![
        source("payment_page:de:browser"),
        source(&shop().0),
    ]));
    let (_, _, page) = get(&desk, "/payment-pages");
    let watched = rows(&page, "Pages that are looked at");
    assert_eq!(
        watched,
        ["de, by browser unknown unknown not looked at yet failing no answer; it is tried again"]
    );
    let (_, _, page) = get(&desk, "/modules");
    assert!(page.contains("nothing was told yet") && page.contains("no answer"));
}

/// Two pages: an authorised script that changed, a script that nobody authorised, a header that went, and one without a list.
fn watched() -> Desk {
    let desk = desk();
    let (de, us) = (page_source("de", "browser"), page_source("us", "fetch"));
    let yes = json!({"time": "2026-08-06T09:00:00Z", "page.authorised": "yes", "log.context": "authorised by J. Doe: card fields"});
    let no = json!({"page.authorised": "no", "page.hosts": ["stats.example.test"], "signatures": ["js-card-sent"]});
    let gone = json!({"time": "2026-08-07T09:00:00Z"});
    list(
        &desk,
        &[
            (de.clone(), look("baseline")),
            (
                de.clone(),
                part("seen", "script", "https://js.example/v1.js", yes.clone()),
            ),
            (
                de.clone(),
                part("seen", "script", "https://de.shop.example/a.js", no),
            ),
            (
                de.clone(),
                part("seen", "header", "x-frame-options", json!({})),
            ),
            (
                de.clone(),
                part("modified", "script", "https://js.example/v1.js", yes),
            ),
            (de, part("removed", "header", "x-frame-options", gone)),
            (us.clone(), look("baseline")),
            (
                us,
                part("seen", "script", "https://us.shop.example/a.js", json!({})),
            ),
        ],
    );
    desk
}

#[test]
fn a_part_says_since_when_what_changed_and_who_authorised_it_and_leads_to_its_entries() {
    let (_, _, page) = get(&watched(), "/payment-pages");
    let parts = rows(&page, PARTS);
    assert_eq!(parts.len(), 3, "{parts:?}");
    for (row, words) in parts.iter().zip([
        [
            "script https://de.shop.example/a.js",
            "names stats.example.test",
            "signature js-card-sent",
            "none seen no",
        ],
        [
            "script https://us.shop.example/a.js",
            "us, by fetch",
            "entry 8",
            "none seen unknown",
        ],
        [
            "script https://js.example/v1.js de, by browser 2026-08-06 09:00:00 UTC , entry 2",
            "changed 2026-08-06 09:00:00 UTC , entry 5",
            "yes",
            "authorised by J. Doe: card fields",
        ],
    ]) {
        for word in words {
            assert!(row.contains(word), "{word:?} in {row:?}");
        }
    }
    // What changed last is on top, with what changed; what is the same at two pages is told once.
    let (top, _) = page.split_once("Pages that are looked at").expect("both");
    let (gone, changed) = (top.find("header gone"), top.find("script changed"));
    assert!(gone.is_some() && gone < changed, "{top}");
    assert!(top.contains("{+steal6()+}") && top.contains("{+steal5()+}"));
    for number in [2, 5, 6, 8] {
        assert!(
            page.contains(&format!("href=\"/entries/{number}\"")),
            "{number}"
        );
    }
    let watched = rows(&page, "Pages that are looked at");
    assert!(
        watched[0].starts_with(
            "de, by browser https://de.shop.example/checkout 2 1 yes, 1 no, 0 unknown"
        ),
        "{watched:?}"
    );
    assert!(
        watched[1].contains("0 yes, 0 no, 1 unknown")
            && watched[1].contains("nothing looks at it since this start")
    );
}

#[test]
fn the_same_change_at_several_pages_is_one_that_names_each() {
    let desk = Desk::new(Box::new(|sequence| {
        let came = if sequence < 20 { "steal()" } else { "other()" };
        let fields = vec![("page.difference", came.to_owned())];
        let place = Scope::Unknown;
        let understood = Some(Understood { place, fields });
        Some(EntryView {
            understood,
            ..entry(sequence, "x")
        })
    }));
    let sources = (1..=24).map(|number| page_source(&format!("v{number:02}"), "fetch"));
    let came = |source| (source, part("created", "inline", "ab12", json!({})));
    list(&desk, &sources.map(came).collect::<Vec<_>>());
    let (_, _, page) = get(&desk, "/payment-pages");
    let document = Html::parse_document(&page);
    let changes: Vec<String> = document
        .select(&selector(".story li"))
        .map(|one| one.text().collect())
        .collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[0].contains("steal()") && changes[0].contains("and at 13 more"));
    assert!(changes[1].contains("other()") && changes[1].contains("entry 24"));
}

#[test]
fn filters_keep_what_fits_and_what_is_gone_is_shown_when_asked_for() {
    let desk = watched();
    for (query, wanted) in [
        ("q=JS.example", vec!["https://js.example/v1.js"]),
        ("q=j.+doe", vec!["https://js.example/v1.js"]),
        ("q=js-card", vec!["https://de.shop.example/a.js"]),
        ("view=us", vec!["https://us.shop.example/a.js"]),
        ("way=fetch", vec!["https://us.shop.example/a.js"]),
        ("authorised=no", vec!["https://de.shop.example/a.js"]),
        ("q=header", vec![]),
        ("q=header&gone=1", vec!["x-frame-options gone"]),
        ("view=none", vec![]),
    ] {
        let (status, _, page) = get(&desk, &format!("/payment-pages?{query}"));
        assert_eq!(status, StatusCode::OK);
        let parts = rows(&page, PARTS);
        assert_eq!(parts.len(), wanted.len(), "{query}: {parts:?}");
        for (row, name) in parts.iter().zip(wanted) {
            assert!(row.contains(name), "{query}: {row}");
        }
    }
}

/// Packages of each kind, in another order than they are shown.
fn installed() -> Desk {
    let desk = desk();
    let records = [
        package("seen", "vendor/plain", json!({"package.version": "1.0"})),
        package(
            "seen",
            "vendor/hole",
            json!({"package.advisories": ["CVE-2026-0001"]}),
        ),
        package(
            "seen",
            "vendor/off",
            json!({"package.module": "Vendor_Off", "package.enabled": "no", "package.reach": ["opens GET /V1/off to anyone"]}),
        ),
        package(
            "seen",
            "vendor/login",
            json!({"package.module": "Vendor_Login", "package.enabled": "yes", "package.reach": ["observes customer_login by A"]}),
        ),
        package("seen", "vendor/pay", json!({"package.version": "1.4.0"})),
        package(
            "modified",
            "vendor/pay",
            json!({"package.version": "1.4.1", "package.type": "magento2-module", "package.module": "Vendor_Pay", "package.enabled": "yes",
            "package.reach": ["observes customer_login by A", "observes payment_method_assign_data by B"]}),
        ),
        package(
            "created",
            "app/code/Own/Feed",
            json!({"package.type": "app/code", "package.module": "Own_Feed", "package.reach": ["alters sales_order_payment: feed", "opens GET /V1/feed to anyone"]}),
        ),
        package("removed", "vendor/gone", json!({})),
    ];
    list(&desk, &records.map(|record| (shop(), record)));
    desk
}

#[test]
fn what_reaches_payment_or_is_open_to_anyone_comes_first() {
    let (_, _, page) = get(&installed(), "/modules");
    let packages = rows(&page, PACKAGES);
    let names: Vec<_> = packages
        .iter()
        .filter_map(|row| row.split(' ').next())
        .collect();
    assert_eq!(
        names,
        [
            "app/code/Own/Feed",
            "vendor/pay",
            "vendor/hole",
            "vendor/off",
            "vendor/login",
            "vendor/plain"
        ]
    );
    assert_eq!(
        packages[0],
        "app/code/Own/Feed version unknown · app/code Own_Feed on or off: unknown open to anyone, reaches payment opens GET /V1/feed to anyone \
         alters sales_order_payment: feed \
         none told came 2026-08-05 10:15:30 UTC , entry 7"
    );
    assert_eq!(
        packages[1],
        "vendor/pay 1.4.1 · magento2-module Vendor_Pay on reaches payment observes payment_method_assign_data by B observes customer_login by A \
         none told changed 2026-08-05 10:15:30 UTC , entry 6 known since 2026-08-05 10:15:30 UTC , entry 5"
    );
    assert!(packages[2].contains("CVE-2026-0001") && packages[3].contains("Vendor_Off off"));
    for number in 1..=7 {
        assert!(
            page.contains(&format!("href=\"/entries/{number}\"")),
            "{number}"
        );
    }
}

#[test]
fn packages_are_filtered_by_whatever_is_known_of_them() {
    let desk = installed();
    for (query, wanted) in [
        ("q=payment_method", vec!["vendor/pay"]),
        ("q=cve-2026", vec!["vendor/hole"]),
        ("q=Own_feed", vec!["app/code/Own/Feed"]),
        ("q=gone", vec![]),
        ("q=gone&gone=1", vec!["vendor/gone"]),
    ] {
        let (_, _, page) = get(&desk, &format!("/modules?{query}"));
        let packages = rows(&page, PACKAGES);
        assert_eq!(packages.len(), wanted.len(), "{query}: {packages:?}");
        for (row, name) in packages.iter().zip(wanted) {
            assert!(row.starts_with(name), "{query}: {row}");
        }
    }
}

#[test]
fn lists_stay_small_and_lead_on_however_much_there_is_and_whatever_it_says() {
    let desk = desk();
    let long = "<&\">".repeat(100);
    let lists: Vec<String> = (0..60)
        .map(|number| format!("opens {number} {long}"))
        .collect();
    let mut records = Vec::new();
    for number in 0..60 {
        let source = page_source(&format!("view{number}{}", "<".repeat(20)), "browser");
        records.push((source.clone(), look("baseline")));
        for name in 0..5 {
            let more = json!({"page.hosts": lists, "signatures": lists, "page.text": long, "log.context": long, "page.authorised": "no"});
            records.push((
                source.clone(),
                part(
                    "created",
                    "inline",
                    &format!("{number}-{name}-{long}"),
                    more,
                ),
            ));
        }
        let more = json!({"package.version": long, "package.type": long, "package.module": long, "package.reach": lists, "package.advisories": lists});
        records.push((
            shop(),
            package("modified", &format!("{number}/{long}"), more),
        ));
    }
    list(&desk, &records);
    for (first, table, wanted) in [("/payment-pages", PARTS, 300), ("/modules", PACKAGES, 60)] {
        let (mut seen, mut path) = (BTreeSet::new(), first.to_owned());
        for _ in 0..20 {
            let (_, _, page) = get(&desk, &path);
            assert!(page.len() < 200_000, "{path} has {} bytes", page.len());
            for row in rows(&page, table) {
                assert!(seen.insert(row), "shown twice");
            }
            let document = Html::parse_document(&page);
            match document.select(&selector("a[rel=next]")).next() {
                Some(next) => path = next.attr("href").expect("a link").to_owned(),
                None => break,
            }
        }
        assert_eq!(seen.len(), wanted, "{first}");
    }
}

#[test]
fn the_same_is_there_as_json() {
    let read = |desk: &Desk, path| -> Value {
        let (_, headers, body) = get(desk, path);
        assert_eq!(headers["content-type"], "application/json");
        serde_json::from_str(&body).expect("JSON")
    };
    let told = read(&watched(), "/api/payment-pages");
    assert_eq!(told["version"], 1);
    let page = &told["pages"][0];
    assert_eq!(
        (&page["view"], &page["way"], &page["looks"]),
        (&json!("de"), &json!("browser"), &json!(1))
    );
    let part = &page["parts"][2];
    assert_eq!(
        (&part["name"], &part["entry"]),
        (&json!("https://js.example/v1.js"), &json!(5))
    );
    assert_eq!(part["authorisation"], "authorised by J. Doe: card fields");
    let told = read(&installed(), "/api/modules");
    assert_eq!(
        told["shops"][0]["packages"].as_array().map(Vec::len),
        Some(7)
    );
    assert_eq!(read(&desk(), "/api/modules")["shops"], json!([]));
}

#[test]
fn an_incident_leads_to_the_list_of_what_it_is_about() {
    for (source, links) in [
        ("payment_page:de:browser", [true, false]),
        ("csp_reports:127.0.0.1:8790", [true, false]),
        ("inventory:/var/www/shop", [false, true]),
        ("file:access.log", [false, false]),
    ] {
        let text = Arc::<str>::from(source);
        let desk = Desk::new(Box::new(move |sequence| Some(entry(sequence, &text))));
        let finding = finding("a1", "x");
        desk.publish(Update::Decided {
            incidents: vec![incident("b1", "x", &[&finding])],
            findings: vec![finding],
        });
        let (_, _, page) = get(&desk, "/incidents/b1");
        let document = Html::parse_document(&page);
        let has = |path: &str| {
            let link = selector(&format!("main a[href='{path}']"));
            document.select(&link).next().is_some()
        };
        assert_eq!([has("/payment-pages"), has("/modules")], links, "{source}");
    }
}

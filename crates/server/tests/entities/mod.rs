//! Entries and who or what they name: their pages, their filters, the same by the API, and hostile names in their addresses.

use std::sync::Arc;

use axum::http::StatusCode;
use engine::desk::{Desk, SourceView, Update};
use engine::evidence::{Line, Listed, Search};
use engine::health::{Hole, Trouble};
use engine::ledger::Tallied;
use engine::rulebook::RuleBook;
use model::{Actor, ActorKind, Scope};
use scraper::Html;
use serde_json::Value;

use crate::hostile::HOSTILE;
use crate::{NOW, desk, entry, finding, get, incident, selector, skeleton};

/// Entries of the tests' ledger. Few: whole pages are read again and again.
const ENTRIES: u64 = 7;

/// What a ledger whose entries all name `text` finds.
pub(crate) fn listed(search: &Search, text: &str) -> Listed {
    of_many(ENTRIES, search, text)
}

fn of_many(count: u64, search: &Search, text: &str) -> Listed {
    if !search.tally.is_empty() {
        // One signature is there: now, and the day before yesterday.
        let times = |name: &String| match name.as_str() {
            "js-hidden-socket" => vec![NOW, NOW.plus_seconds(-150_000)],
            _ => Vec::new(),
        };
        let tallied = Tallied {
            times: search.tally.iter().map(times).collect(),
            since: Some(NOW.plus_seconds(-200_000)),
        };
        return Listed {
            tallied,
            ..Listed::default()
        };
    }
    let end = search.end.unwrap_or(count).min(count);
    let first = end.saturating_sub(search.limit as u64).max(search.first);
    Listed {
        lines: (first..end)
            .rev()
            .map(|sequence| Line::of(&entry(sequence, text)))
            .collect(),
        next: (first > search.first).then_some(first),
        ..Listed::default()
    }
}

/// As an address has it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Everything that has a page and is called `text`.
fn pages(text: &str) -> Vec<String> {
    let store = format!("host:{text}");
    let kinds = ["administrator", "account", "address", "module"];
    let mut all: Vec<String> = kinds
        .iter()
        .map(|kind| format!("/entities/{kind}/{}", encoded(text)))
        .collect();
    all.push(format!("/entities/store/{}", encoded(&store)));
    all.push(format!("/entries?address={0}&source={0}", encoded(text)));
    all
}

#[test]
fn hostile_names_have_pages_of_the_same_shape_and_lead_nowhere_else() {
    let harmless = desk("harmless");
    let wanted: Vec<_> = pages("harmless")
        .iter()
        .map(|path| skeleton(&get(&harmless, path).2))
        .collect();
    for text in HOSTILE {
        let desk = desk(text);
        for (path, wanted) in pages(text).iter().zip(&wanted) {
            let (status, _, page) = get(&desk, path);
            assert_eq!(status, StatusCode::OK, "{path} {text:?}");
            assert_eq!(&skeleton(&page), wanted, "{path} {text:?}");
            let document = Html::parse_document(&page);
            for link in document.select(&selector("[href]")) {
                let target = link.attr("href").unwrap_or_default();
                let is_own = target.starts_with('/') && !target.starts_with("//");
                assert!(target == "#main" || is_own, "{path} links to {target}");
            }
        }
    }
}

#[test]
fn every_name_on_a_page_leads_to_what_is_known_of_it() {
    for text in ["plain", "a/b c", "%2e%2e", "ü?#&", "../../etc"] {
        let (desk, mut followed) = (desk(text), std::collections::BTreeSet::new());
        for path in ["/incidents/b1", "/entries", "/entries/3"] {
            let (_, _, page) = get(&desk, path);
            let document = Html::parse_document(&page);
            let links: Vec<_> = document
                .select(&selector("main a[href^='/entities/']"))
                .map(|link| link.attr("href").expect("a link").to_owned())
                .collect();
            assert!(!links.is_empty(), "{path} {text}");
            for link in std::collections::BTreeSet::from_iter(links) {
                if !followed.insert(link.clone()) {
                    continue;
                }
                let (status, _, page) = get(&desk, &link);
                assert_eq!(status, StatusCode::OK, "{link}");
                let title = Html::parse_document(&page);
                let title = title.select(&selector("h1")).next().expect("a title");
                assert!(title.text().collect::<String>().contains(text), "{link}");
            }
        }
    }
}

#[test]
fn an_entitys_page_tells_incidents_what_was_touched_when_and_its_entries() {
    let desk = desk("eve");
    let (_, _, page) = get(&desk, "/entities/administrator/eve");
    for part in [
        "/incidents/b1",
        "who did it, in 1 of its 1 findings",
        "Findings that name it",
        "/incidents/b1#fa1",
        "<svg class=\"hours\"",
        "7 entries",
        "card numbers",
        "/entries?administrator=eve",
    ] {
        assert!(page.contains(part), "{part} isn't in {page}");
    }
    for (path, status) in [
        ("/entities/administrator/", StatusCode::NOT_FOUND),
        ("/entities/nobody/eve", StatusCode::NOT_FOUND),
        ("/entities/administrator/a/b", StatusCode::NOT_FOUND),
        ("/api/v1/entities/nobody/eve", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(get(&desk, path).0, status, "{path}");
    }
    let empty = Desk::new(Box::new(|_| None));
    let (status, _, page) = get(&empty, "/entities/administrator/eve");
    assert!(status == StatusCode::NOT_FOUND && page.contains("Nothing is known of it"));
}

#[test]
fn whom_and_where_a_step_names_each_say_their_whole_text_also_without_a_link() {
    let long = format!("process {}", "a".repeat(80));
    let desk = crate::desks::desk_of(Vec::new());
    let mut one = finding("a1", "x");
    one.actors = vec![crate::actor(ActorKind::HostProcess, &long)];
    one.assets = Vec::new();
    one.scope = Scope::Unknown;
    desk.publish(Update::Decided {
        incidents: vec![incident("i9", "x", &[&one])],
        findings: vec![one],
    });
    let (_, _, page) = get(&desk, "/incidents/i9");
    let document = Html::parse_document(&page);
    let titles: Vec<_> = document
        .select(&selector(
            "svg.chain g > g > title, svg.chain g > a > title",
        ))
        .map(|title| title.text().collect::<String>())
        .collect();
    assert_eq!(titles, [long.as_str(), "Title x", "unknown"]);
    let of_the_step = selector("svg.chain > g > title");
    let count = document.select(&of_the_step).count();
    assert_eq!(count, 0, "a title of a step hides its parts'");
}

#[test]
fn an_incident_is_drawn_as_steps_and_with_the_holes_of_what_was_seen() {
    let desk = desk("eve");
    let at = |seconds: i64| NOW.plus_seconds(seconds);
    let findings: Vec<_> = (0..30)
        .map(|number| {
            let mut finding = finding(&format!("{number:02}"), "eve");
            // Two of one rule after each other are a step.
            finding.rule = format!("rule-{}", number / 2);
            (finding.first, finding.last) = (at(number * 10), at(number * 10));
            finding
        })
        .collect();
    let all: Vec<_> = findings.iter().collect();
    let mut long = incident("long", "eve", &all);
    long.last = at(300);
    desk.publish(Update::Decided {
        findings,
        incidents: vec![long],
    });
    let (_, _, page) = get(&desk, "/incidents/long");
    let document = Html::parse_document(&page);
    let steps: Vec<_> = document.select(&selector("svg.chain g")).collect();
    assert_eq!(steps.len(), 10);
    let of_first: Vec<_> = steps[0]
        .text()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(
        of_first[1..],
        [
            "2 findings",
            "eve",
            "eve",
            "Title eve: eve",
            "Title eve",
            "eve",
            "host eve",
            "host eve"
        ]
    );
    let links: Vec<_> = steps[0]
        .select(&selector("a"))
        .filter_map(|link| link.attr("href"))
        .collect();
    let expected = [
        "/entities/administrator/eve",
        "/incidents/long#f00",
        "/entities/store/host%3Aeve",
    ];
    assert_eq!(links, expected);
    assert!(page.contains("and 5 later steps"));
    assert!(page.contains("No source is known to have had a hole"));
    assert_eq!(
        document
            .select(&selector("svg.times rect.critical"))
            .count(),
        30
    );
    let hole = |trouble, since, until: Option<i64>| Hole {
        trouble,
        since: at(since),
        until: until.map(at),
    };
    desk.publish(Update::Sources(vec![SourceView {
        id: "file:a".to_owned(),
        state: "reading".to_owned(),
        holes: vec![
            hole(Trouble::Silent, 60, Some(120)),
            hole(Trouble::Lost, -9000, Some(-8000)),
            hole(Trouble::Failing, 200, None),
        ],
        ..SourceView::default()
    }]));
    let (_, _, page) = get(&desk, "/incidents/long");
    let document = Html::parse_document(&page);
    assert_eq!(document.select(&selector("svg.times rect.hole")).count(), 2);
    assert!(page.contains("file:a: silent") && page.contains("file:a: failing, since"));
    assert!(!page.contains("file:a: lost"));
}

#[test]
fn rules_tell_what_they_look_for_and_what_they_did_of_late() {
    let desk = desk("eve");
    desk.publish(Update::Rules(Arc::new(RuleBook::new(&[]))));
    let (mut old, mut other) = (finding("old", "eve"), finding("other", "eve"));
    (old.first, old.last) = (NOW.plus_seconds(-90_000), NOW.plus_seconds(-90_000));
    other.rule = "skimmer-config-sql".to_owned();
    desk.publish(Update::Decided {
        findings: vec![old, other],
        incidents: Vec::new(),
    });
    let (_, rules) = told(&desk, "/api/v1/rules");
    let find = |id: &str| {
        let all = rules["items"].as_array().expect("a list").iter();
        all.clone()
            .find(|rule| rule["id"] == id)
            .expect("listed")
            .clone()
    };
    // A detector in code stands in no file.
    let dump = find("database-dump");
    for (name, value) in [("day", 1), ("week", 2), ("total", 2), ("incidents", 1)] {
        assert_eq!(dump[name], value, "{name}");
    }
    assert_eq!(
        (&dump["kind"], &dump["level"]),
        (&"code".into(), &"critical".into())
    );
    assert_eq!(find("skimmer-config-sql")["day"], 1);
    let socket = find("js-hidden-socket");
    for (name, value) in [("kind", "signature"), ("counts", "entries")] {
        assert_eq!(socket[name], value);
    }
    for (name, value) in [("day", 1), ("week", 2), ("total", 2), ("incidents", 0)] {
        assert_eq!(socket[name], value, "{name}");
    }
    assert_eq!(socket["last"], NOW.to_string());
    assert_eq!(
        socket["counted_since"],
        NOW.plus_seconds(-200_000).to_string()
    );
    assert_eq!(
        (&dump["counts"], &dump["counted_since"]),
        (&"findings".into(), &Value::Null)
    );
    let (_, _, page) = get(&desk, "/rules/js-hidden-socket");
    assert!(page.contains("How many entries have it") && page.contains("counted since"));
    let (_, _, page) = get(&desk, "/rules?q=js-hidden-socket");
    assert!(page.contains("1 fired within a week"), "{page}");
    let (_, _, page) = get(&desk, "/rules?q=skimmer-config");
    assert!(page.contains("href=\"/rules/skimmer-config-sql\"") && !page.contains("database-dump"));
    let (_, _, page) = get(&desk, "/rules/skimmer-config-sql");
    assert!(page.contains("db.tables_written: core_config_data") && page.contains("because eve"));
    let (_, _, page) = get(&desk, "/rules/database-dump");
    assert!(page.contains("/incidents/b1#fa1") && page.contains("a detector in code"));
    let (_, _, page) = get(&desk, "/rules/yara%3Ajs_card_fields_to_reversed_host");
    assert!(page.contains("rule js_card_fields_to_reversed_host {") && page.contains("/entries/6"));
    let (_, one) = told(&desk, "/api/v1/rules/database-dump");
    assert_eq!(one["incidents"][0]["id"], "b1");
    for path in ["/rules/none", "/api/v1/rules/none"] {
        assert_eq!(get(&desk, path).0, StatusCode::NOT_FOUND, "{path}");
    }
    let (mut path, mut seen) = ("/rules".to_owned(), 0);
    loop {
        let (_, _, page) = get(&desk, &path);
        assert!(page.len() < 200_000, "{path}");
        let document = Html::parse_document(&page);
        seen += document.select(&selector("td a[href^='/rules/']")).count();
        match document.select(&selector("a[rel=next]")).next() {
            Some(next) => path = next.attr("href").expect("a link").to_owned(),
            None => break,
        }
    }
    assert_eq!(Some(seen), rules["items"].as_array().map(Vec::len));
}

#[test]
fn a_hostile_rules_name_is_text_alone() {
    for text in HOSTILE {
        let desk = desk("x");
        let mut named = finding("n", text);
        named.rule = format!("r{text}");
        desk.publish(Update::Decided {
            findings: vec![named],
            incidents: Vec::new(),
        });
        let (status, _, page) = get(&desk, &format!("/rules/r{}", encoded(text)));
        assert_eq!(status, StatusCode::OK, "{text:?}");
        let (_, _, list) = get(&desk, "/rules");
        for page in [page, list] {
            let document = Html::parse_document(&page);
            assert_eq!(
                document
                    .select(&selector("main script, img, iframe, [onload]"))
                    .count(),
                0,
                "{text:?}"
            );
            assert_eq!(document.select(&selector("script")).count(), 1, "{text:?}");
        }
    }
}

fn told(desk: &Desk, path: &str) -> (StatusCode, Value) {
    let (status, headers, body) = get(desk, path);
    let kind = headers["content-type"].to_str().expect("text");
    assert!(kind.ends_with("json"), "{path}: {kind}");
    (status, serde_json::from_str(&body).expect("JSON"))
}

#[test]
fn the_api_tells_entries_page_by_page_and_refuses_what_it_does_not_know() {
    let desk = desk("x");
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let path = format!("/api/v1/entries?limit=3&address=x&cursor={cursor}");
        let (status, page) = told(&desk, &path);
        assert_eq!(status, StatusCode::OK);
        let items = page["items"].as_array().expect("a list");
        seen.extend(items.iter().map(|item| item["sequence"].as_u64()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = next.to_owned();
    }
    assert_eq!(seen, (0..ENTRIES).rev().map(Some).collect::<Vec<_>>());
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "adress=x",
        "address=x&address=y",
        "from=yesterday",
        "place=fr",
        "least=-1",
    ] {
        let (status, problem) = told(&desk, &format!("/api/v1/entries?{query}"));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(problem["detail"].is_string(), "{query}");
    }
    let (status, about) = told(&desk, "/api/v1/entities/address/x");
    assert_eq!((status, &about["name"]), (StatusCode::OK, &"x".into()));
    assert_eq!(about["entries"].as_array().map(Vec::len), Some(7));
}

#[test]
fn what_is_written_wrong_in_a_filter_is_said_and_kept() {
    let desk = desk("x");
    let (status, _, page) = get(&desk, "/entries?from=yesterday&address=192.0.2.7");
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(page.contains("a time is written") && page.contains("value=\"yesterday\""));
    assert!(page.contains("value=\"192.0.2.7\""));
    let (_, _, page) = get(&desk, "/entries?address=192.0.2.7&least=2&before=4");
    assert!(page.contains(">3</a>") && page.contains(">2</a>") && !page.contains(">1</a>"));
    assert!(page.contains("href=\"/entries?address=192.0.2.7&#38;least=2\""));
}

#[test]
fn pages_stay_small_however_long_names_are() {
    let long = "\"".repeat(150);
    let shown = long.clone();
    let desk = Desk::searching(
        Box::new(|_| None),
        Box::new(move |search| Ok(of_many(2000, search, &shown))),
    );
    let findings: Vec<_> = (0..300)
        .map(|number| {
            let mut finding = finding(&format!("c{number}"), &long);
            let actors = (0..15).map(|actor| Actor {
                kind: ActorKind::Address,
                value: format!("{actor}{}", "&".repeat(150)),
            });
            finding.actors.extend(actors);
            finding.scope = Scope::Host(format!("{number}{long}"));
            finding
        })
        .collect();
    let incidents = findings
        .iter()
        .map(|finding| incident(&finding.id, &long, &[finding]))
        .collect();
    desk.publish(Update::Decided {
        findings,
        incidents,
    });
    for path in pages(&long) {
        let (status, _, page) = get(&desk, &path);
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(page.len() < 200_000, "{path:.40} has {} bytes", page.len());
    }
}

/// What the API's description tells of.
#[test]
fn the_description_tells_of_every_route_of_the_api_and_of_no_other() {
    let desk = desk("x");
    let (_, described) = told(&desk, "/api/v1/openapi.json");
    let described: Vec<String> = described["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(|path| format!("/api/v1{path}"))
        .collect();
    let mut routes: Vec<_> = include_str!("../../src/lib.rs")
        .split('"')
        .filter(|text| text.starts_with("/api/v1/"))
        .collect();
    routes.sort_unstable();
    let mut told: Vec<_> = described.iter().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, routes);
}

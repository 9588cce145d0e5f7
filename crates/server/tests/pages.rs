//! The console's pages as they are served: policies, refused hosts, paging, and hostile strings in every field.

mod agents;
mod described;
mod desks;
mod drawn;
mod entities;
mod explained;
mod hostile;
#[path = "../../engine/tests/house/mod.rs"]
#[expect(dead_code, reason = "the engine's own tests use all of it")]
mod house;
mod lists;
mod open;
#[path = "../../engine/tests/opened/mod.rs"]
mod opened;
mod people;
mod reads;
mod running;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use engine::desk::{Desk, EntryView, GapView, Overview, SourceView, Update};
use engine::inventory::page_source;
use engine::judge::Understood;
use model::{
    Actor, ActorKind, Asset, AssetKind, Count, DataClass, EventRef, Exposure, Finding, Grade,
    Incident, IncidentState, Joined, Lane, Level, Obligation, ObligationState, Scope, Sequence,
    Timestamp,
};
use scraper::{Html, Selector};
use serde_json::json;
use tower::ServiceExt as _;

use hostile::{HOSTILE, skeleton};

const NOW: Timestamp = Timestamp::from_seconds(1_785_924_930);

fn actor(kind: ActorKind, value: &str) -> Actor {
    Actor {
        kind,
        value: value.to_owned(),
    }
}

fn asset(name: &str) -> Asset {
    Asset {
        kind: AssetKind::Table,
        name: name.to_owned(),
        class: DataClass::Pan,
    }
}

/// A finding with `text` wherever a log may write.
fn finding(id: &str, text: &str) -> Finding {
    Finding {
        id: id.to_owned(),
        rule: "database-dump".to_owned(),
        title: format!("Title {text}"),
        level: Level::Critical,
        lane: Lane::Live,
        first: NOW,
        last: NOW,
        actors: vec![actor(ActorKind::Administrator, text)],
        scope: Scope::Host(text.to_owned()),
        assets: vec![asset(text)],
        rows: None,
        bytes: None,
        event_count: 40,
        events: (0..40)
            .map(|number| EventRef {
                sequence: Sequence(number),
                index: 0,
            })
            .collect(),
        reason: format!("because {text}"),
        attack: vec!["T1190".to_owned()],
        requirements: vec!["10.4.1".to_owned()],
        false_positives: vec![text.to_owned()],
        external: None,
    }
}

fn incident(id: &str, text: &str, findings: &[&Finding]) -> Incident {
    Incident {
        id: id.to_owned(),
        title: format!("Dump: {text}"),
        state: IncidentState::Signal,
        lane: Lane::Live,
        severity: Level::Critical,
        severity_because: vec![text.to_owned()],
        first: NOW,
        last: Timestamp(NOW.0 + 60 * Timestamp::SECOND),
        detected: NOW,
        actors: vec![actor(ActorKind::Address, text)],
        assets: vec![asset(text)],
        scopes: vec![Scope::Host(text.to_owned())],
        findings: findings
            .iter()
            .map(|finding| Joined {
                finding: finding.id.clone(),
                because: text.to_owned(),
            })
            .collect(),
        exposure: Exposure {
            assets: vec![asset(text)],
            scopes: vec![Scope::Unknown],
            first: NOW,
            last: NOW,
            rows: Some(Count {
                lower: 1,
                upper: None,
                grade: Grade::Bounded,
            }),
            bytes: None,
            channels: vec!["database".to_owned()],
            basis: vec![text.to_owned()],
        },
        requirements: Vec::new(),
        related: Vec::new(),
        severity_floor: Level::Informational,
        obligations: vec![Obligation {
            rule: "gdpr-33".to_owned(),
            regime: "GDPR Art. 33".to_owned(),
            recipient: "the supervisory authority".to_owned(),
            started: NOW,
            due: Some(NOW),
            limit: "72 hours".to_owned(),
            trigger: "awareness".to_owned(),
            state: ObligationState::Projected,
            source: "pci.md".to_owned(),
            confidence: "verified".to_owned(),
            depends_on: vec![text.to_owned()],
        }],
    }
}

fn entry(sequence: u64, text: &str) -> EntryView {
    EntryView {
        sequence,
        source: text.to_owned(),
        format: "nginx_combined".to_owned(),
        said: Some(NOW),
        received: NOW,
        lane: Lane::Live,
        quarantined: false,
        text: Some(text.to_owned()),
        marks: Vec::new(),
        leaf_hash: "00".repeat(32),
        offset_bytes: Some(7),
        understood: Some(Understood {
            place: Scope::Host(text.to_owned()),
            fields: vec![
                ("url", text.to_owned()),
                ("admin.name", text.to_owned()),
                ("db.user", text.to_owned()),
                ("c-ip", text.to_owned()),
                ("package.name", text.to_owned()),
                ("page.difference", format!("x{text}")),
            ],
        }),
    }
}

/// A desk where every log-borne field holds `text`.
fn desk(text: &str) -> Desk {
    let shown = Arc::<str>::from(text);
    let listed = Arc::clone(&shown);
    let desk = Desk::searching(
        Box::new(move |sequence| (sequence < 100).then(|| entry(sequence, &shown))),
        Box::new(move |search| Ok(entities::listed(search, &listed))),
    );
    let finding = finding("a1", text);
    desk.publish(Update::Decided {
        incidents: vec![incident("b1", text, &[&finding])],
        findings: vec![finding],
    });
    desk.publish(Update::Handled(vec![(
        "b1".to_owned(),
        hostile::handling(text),
    )]));
    desk.publish(Update::Sources(vec![SourceView {
        id: text.to_owned(),
        format: text.to_owned(),
        state: "waiting".to_owned(),
        reason: text.to_owned(),
        last_event: Some(NOW),
        lag_seconds: Some(3),
        ..SourceView::default()
    }]));
    desk.publish(Update::Gaps(vec![GapView {
        what: text.to_owned(),
        why_it_matters: text.to_owned(),
        statement: text.to_owned(),
        price: text.to_owned(),
        undo: text.to_owned(),
    }]));
    let page = page_source(&format!("x{text}"), "browser");
    let told = json!({"page.authorised": "no", "log.context": format!("x{text}"), "page.text": format!("x{text}"),
        "page.hosts": [format!("x{text}")], "signatures": [format!("x{text}")]});
    let installed = json!({"package.version": format!("x{text}"), "package.type": format!("x{text}"), "package.module": format!("x{text}"),
        "package.enabled": "yes", "package.reach": [format!("x{text}")], "package.advisories": [format!("x{text}")]});
    let mut look = lists::look("baseline");
    look["url"] = text.into();
    let part = lists::part("created", "inline", text, told);
    let mut kept = lists::look("kept");
    kept["log.context"] = text.into();
    let package = lists::package("modified", &format!("x{text}"), installed);
    lists::list(
        &desk,
        &[
            (page.clone(), look),
            (page.clone(), part),
            (page, kept),
            (lists::shop(), package),
        ],
    );
    running::show(&desk, "b1", text);
    desk.publish(Update::Overview(Overview {
        installation: text.to_owned(),
        lane: Lane::Live,
        records: 1,
        events: 1,
        findings: 1,
        ledger_size: 100,
        checkpoint: String::new(),
        started: NOW,
        now: NOW,
    }));
    desk
}

const PAGES: [&str; 13] = [
    "/",
    "/entries",
    "/incidents?state=all",
    "/incidents/b1",
    "/entries/3",
    "/payment-pages",
    "/modules",
    "/sources",
    "/runs",
    "/runs/run-1",
    "/incidents/b1/plans/web-shell",
    "/playbooks",
    "/playbooks/web-shell",
];

fn ask(desk: &Desk, method: &str, path: &str, host: &str) -> (StatusCode, HeaderMap, String) {
    answered(desk.clone(), method, path, host)
}

fn answered(
    console: impl Into<server::Console>,
    method: &str,
    path: &str,
    host: &str,
) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .body(Body::empty())
        .expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let answer = server::router(console)
            .oneshot(request)
            .await
            .expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = to_bytes(answer.into_body(), 1 << 24).await.expect("a body");
        let text = String::from_utf8(body.to_vec()).expect("UTF-8");
        (status, headers, text)
    })
}

fn get(desk: &Desk, path: &str) -> (StatusCode, HeaderMap, String) {
    ask(desk, "GET", path, "127.0.0.1:8780")
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect("a selector")
}

#[test]
fn hostile_strings_add_no_element_no_attribute_and_no_link_to_any_page() {
    let harmless = desk("harmless");
    for path in PAGES {
        let (_, _, plain) = get(&harmless, path);
        let wanted = skeleton(&plain);
        for text in HOSTILE {
            let (status, _, page) = get(&desk(text), path);
            assert_eq!(status, StatusCode::OK, "{path} {text:?}");
            assert_eq!(skeleton(&page), wanted, "{path} {text:?}");
            let document = Html::parse_document(&page);
            for link in document.select(&selector("[href], [src], [action]")) {
                for name in ["href", "src", "action"] {
                    let Some(target) = link.attr(name) else {
                        continue;
                    };
                    let own = hostile::is_own(target);
                    assert!(own, "{path} {text:?} links to {target}");
                }
            }
            let bad = page.chars().find(|letter| {
                (letter.is_control() && !matches!(letter, '\n' | '\t'))
                    || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
            });
            assert_eq!(bad, None, "{path} {text:?}");
        }
    }
}

#[test]
fn every_answer_has_the_policies_and_every_page_loads_its_own_things_only() {
    let desk = desk("x");
    for path in PAGES.iter().chain(&[
        "/style.css",
        "/live.js",
        "/api/v1/incidents",
        "/api/payment-pages",
        "/api/modules",
        "/nothing",
        "/entries/x",
    ]) {
        let (_, headers, body) = get(&desk, path);
        let of = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let policy = of("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{path}: {policy}"
        );
        assert_eq!(of("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(of("x-frame-options"), "DENY", "{path}");
        assert_eq!(of("referrer-policy"), "same-origin", "{path}");
        assert_eq!(of("cache-control"), "no-store", "{path}");
        if of("content-type").starts_with("text/html") {
            let document = Html::parse_document(&body);
            let scripts: Vec<_> = document
                .select(&selector("script"))
                .map(|script| (script.attr("src"), script.inner_html()))
                .collect();
            assert_eq!(scripts, [(Some("/live.js"), String::new())], "{path}");
            assert!(
                document
                    .select(&selector("style, [style]"))
                    .next()
                    .is_none(),
                "{path}"
            );
            assert!(!body.to_lowercase().contains("compliant"), "{path}");
        }
    }
}

#[test]
fn another_hosts_name_is_refused_on_every_path() {
    let desk = desk("secret");
    for host in [
        "evil.example",
        "evil.example:8780",
        "127.0.0.1.evil.example",
        "",
        "localhost.evil.example:80",
    ] {
        for path in PAGES
            .iter()
            .chain(&["/api/v1/incidents", "/live", "/nothing"])
        {
            let (status, _, body) = ask(&desk, "GET", path, host);
            assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
            assert!(!body.contains("secret"), "{host} {path}");
        }
    }
    for host in ["127.0.0.1", "127.0.0.1:1", "localhost:8780", "[::1]:8780"] {
        assert_eq!(ask(&desk, "GET", "/", host).0, StatusCode::OK, "{host}");
    }
}

#[test]
fn odd_paths_and_methods_get_a_clear_answer() {
    let desk = desk("x");
    let long = format!("/?q={}", "a".repeat(8000));
    for (method, path, wanted) in [
        ("GET", "/incidents/none", StatusCode::NOT_FOUND),
        ("GET", "/incidents/%00", StatusCode::NOT_FOUND),
        ("GET", "/entries/100", StatusCode::NOT_FOUND),
        ("GET", "/entries/-1", StatusCode::NOT_FOUND),
        (
            "GET",
            "/entries/99999999999999999999",
            StatusCode::NOT_FOUND,
        ),
        ("GET", "/nothing", StatusCode::NOT_FOUND),
        ("GET", "/?from=99999999999999999999", StatusCode::OK),
        ("GET", "/?from=-1&from=2", StatusCode::OK),
        ("GET", "/incidents/b1?from=1000", StatusCode::OK),
        ("GET", &long, StatusCode::OK),
        ("POST", "/", StatusCode::METHOD_NOT_ALLOWED),
        ("DELETE", "/incidents/b1", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let (status, _, body) = ask(&desk, method, path, "localhost");
        assert_eq!(status, wanted, "{method} {path:.60}: {body:.200}");
    }
    let (_, _, body) = get(&desk, "/nothing");
    assert!(body.contains("There is no such page") && body.contains("href=\"/\""));
}

#[test]
fn pages_stay_small_and_lead_on_however_much_there_is() {
    let desk = desk("x");
    let findings: Vec<_> = (0..300)
        .map(|number| finding(&format!("c{number}"), &"y".repeat(300)))
        .collect();
    let all: Vec<_> = findings.iter().collect();
    let mut incidents = vec![incident("d0", "big", &all)];
    incidents
        .extend((1..1000).map(|number| incident(&format!("d{number}"), &"z".repeat(200), &[])));
    desk.publish(Update::Decided {
        findings,
        incidents,
    });
    for path in [
        "/",
        "/incidents",
        "/incidents?from=900",
        "/incidents/d0",
        "/incidents/d0?from=275",
    ] {
        let (_, _, page) = get(&desk, path);
        assert!(page.len() < 200_000, "{path} has {} bytes", page.len());
    }
    // Following `next` from the first page shows every incident once.
    let (mut seen, mut path) = (BTreeSet::new(), "/incidents".to_owned());
    for _ in 0..12 {
        let (_, _, page) = get(&desk, &path);
        let document = Html::parse_document(&page);
        for card in document.select(&selector("a.card")) {
            let link = card.attr("href").expect("a link").to_owned();
            assert!(seen.insert(link), "shown twice");
        }
        match document.select(&selector("a[rel=next]")).next() {
            Some(next) => path = next.attr("href").expect("a link").to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 1001);
}

#[test]
fn what_went_into_another_incident_leaves_the_queue_and_leads_on() {
    let desk = desk("x");
    let shared = finding("a1", "x");
    let mut old = incident("old", "x", &[&shared]);
    old.state = IncidentState::Merged;
    desk.publish(Update::Decided {
        findings: Vec::new(),
        incidents: vec![old],
    });
    for path in ["/", "/incidents", "/incidents?state=all"] {
        let (_, _, queue) = get(&desk, path);
        assert!(!queue.contains("/incidents/old"), "{path}");
    }
    let (status, _, page) = get(&desk, "/incidents/old");
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("went into another") && page.contains("/incidents/b1"));
}

#[test]
fn every_claim_leads_to_its_entries_and_what_troubles_is_told_on_every_page() {
    let desk = desk("x");
    let (_, _, page) = get(&desk, "/incidents/b1");
    for sequence in 0..24 {
        assert!(
            page.contains(&format!("href=\"/entries/{sequence}\"")),
            "entry {sequence}"
        );
    }
    assert!(page.contains("and 16 more"));
    for path in PAGES {
        assert!(get(&desk, path).2.contains("waiting"), "{path}");
    }
}

//! Reads of tables of payments against what is usual: on an incident's page, on the first page, by the API.

use std::sync::Arc;

use axum::http::StatusCode;
use engine::desk::{Desk, Update};
use engine::reads::{Account, Hour, Kept, Line, Reads, Witness};
use serde_json::{Value, json};

use super::{NOW, asset, finding, get, incident};

const TABLE: &str = "sales_order_payment";
const THIEF: &str = "t&<b>\"x";

fn line(account: Account, witness: Witness, reads: u64, rows: Option<u64>) -> Line {
    Line {
        account,
        witness,
        reads,
        rows,
    }
}

fn named(name: &str) -> Account {
    Account::Named(name.into())
}

/// Hours before `NOW` in which the shop reads twice each, but for the last, in which a thief does.
pub(crate) fn reads(before: i64) -> Reads {
    let mut reads = Reads::default();
    let now = Hour::of(NOW);
    let told = Kept::Told(Witness::Audit.bit() | Witness::Slow.bit());
    for hour in 0..before {
        let lines = vec![line(named("shop"), Witness::Audit, 2, None)];
        let hour = now.plus(hour - before);
        reads.restore(hour, told.clone());
        reads.restore(hour, Kept::Table(TABLE, Arc::new(lines)));
    }
    let lines = vec![
        line(named("shop"), Witness::Audit, 2, None),
        line(named(THIEF), Witness::Audit, 4180, None),
        line(named(THIEF), Witness::Slow, 17, Some(93_000)),
    ];
    reads.restore(now, told);
    reads.restore(now, Kept::Table(TABLE, Arc::new(lines)));
    reads
}

/// A desk with an incident at the table, and what is known of reads.
fn desk(reads: Reads) -> Desk {
    let desk = Desk::new(Box::new(|_| None));
    let found = finding("f1", "x");
    let mut incident = incident("i1", "x", &[&found]);
    incident.last = NOW;
    incident.assets = vec![asset(TABLE), asset("customer_entity")];
    desk.publish(Update::Reads(Arc::new(reads)));
    desk.publish(Update::Decided {
        findings: vec![found],
        incidents: vec![incident],
    });
    desk
}

fn section(page: &str) -> &str {
    let (_, rest) = page
        .split_once("<section id=\"reads\">")
        .expect("the section");
    rest.split("</section>").next().unwrap_or_default()
}

#[test]
fn an_incident_s_reads_are_held_against_what_is_usual_and_lead_to_their_entries() {
    let page = get(&desk(reads(40)), "/incidents/i1").2;
    let told = section(&page);
    for part in [
        "4\u{202f}180 reads",
        "More than usual:",
        "by <code>t&#38;&#60;b&#62;&#34;x</code> in the hour from <time datetime=\"2026-08-05T10:00:00Z\" title=\"2026-08-05 10:00:00 UTC\">2026-08-05 10:00:00 UTC</time>",
        "told by the audit log; at least 93\u{202f}000 rows",
        "usual: none (40 earlier hours, of any time of day)",
        "by <code>shop</code>",
        "usual: 2 (40 earlier hours, of any time of day)",
        "href=\"/entries?from=2026-08-05T10%3A00%3A00Z&#38;to=2026-08-05T10%3A59%3A59Z&#38;account=t%26%3Cb%3E%22x\"",
        "class=\"over\"",
        "class=\"within\"",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(!told.contains("<b>"), "{told}");
    assert!(!told.contains("customer_entity"), "no table of payments");
    // One that is over stands before one that isn't.
    assert!(told.find("180 reads") < told.find("<code>shop</code>"));
}

#[test]
fn what_is_not_known_is_said() {
    let few = get(&desk(reads(5)), "/incidents/i1").2;
    let told = section(&few);
    assert!(told.contains("what is usual is unknown"), "{told}");
    assert!(!told.contains("More than usual"), "{told}");
    assert!(
        told.contains(">usual not known yet: 5 of 24 hours seen</text>"),
        "{told}"
    );
    assert!(!section(&get(&desk(reads(40)), "/incidents/i1").2).contains("usual not known yet"));
    let none = get(&desk(Reads::default()), "/incidents/i1").2;
    assert!(section(&none).contains("Unknown: no log"), "{none}");
    assert!(!get(&desk(Reads::default()), "/").2.contains("id=\"reads\""));
    // Hours of which nothing was told, before and after those of an incident that are.
    let page = get(&desk(reads(5)), "/incidents/i1").2;
    assert_eq!(section(&page).matches("class=\"untold\"").count(), 19);
}

#[test]
fn the_first_page_tells_of_the_last_day() {
    let page = get(&desk(reads(80)), "/").2;
    let told = section(&page);
    assert!(told.contains("4\u{202f}180 reads"), "{told}");
    assert_eq!(told.matches("class=\"reads\"").count(), 23);
    assert_eq!(told.matches("class=\"over\"").count(), 1);
    assert!(!told.contains("class=\"within\""));
}

fn api(desk: &Desk, query: &str) -> (StatusCode, Value) {
    let (status, _, body) = get(desk, &format!("/api/v1/reads{query}"));
    (status, serde_json::from_str(&body).expect("JSON"))
}

#[test]
fn programs_are_told_the_same() {
    let desk = desk(reads(40));
    let (status, told) = api(&desk, "?hours=2");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(told["known"]["to"], "2026-08-05T11:00:00Z");
    let usual =
        |median: u64| json!({ "median": median, "high": median, "hours": 39, "like": "any_hour" });
    let hours = &told["tables"][0]["hours"];
    let expected = json!({
        "from": "2026-08-05T10:00:00Z", "reads": 4182, "rows": 93_000, "told_by": "audit", "usual": usual(2),
        "accounts": [
            { "account": { "named": THIEF }, "reads": 4180, "rows": 93_000, "told_by": "audit", "usual": usual(0) },
            { "account": { "named": "shop" }, "reads": 2, "rows": null, "told_by": "audit", "usual": usual(2) },
        ],
    });
    assert_eq!(hours[1], expected);
    assert_eq!(hours.as_array().map(Vec::len), Some(2));
    let (_, earlier) = api(&desk, "?hours=1&to=2026-08-05T05:30:00Z");
    let first = &earlier["tables"][0]["hours"][0];
    assert_eq!(
        (first["from"].as_str(), first["reads"].as_u64()),
        (Some("2026-08-05T05:00:00Z"), Some(2))
    );
    let (_, other) = api(&desk, "?table=quote_payment");
    assert_eq!(other["tables"], json!([]));
    for query in ["?hours=0", "?hours=169", "?hours=x", "?to=noon", "?tabel=x"] {
        assert_eq!(api(&desk, query).0, StatusCode::BAD_REQUEST, "{query}");
    }
    let (_, none) = api(&self::desk(Reads::default()), "");
    assert_eq!(none, json!({ "known": null, "tables": [] }));
}

#[test]
fn an_incident_of_months_draws_no_more_than_fits() {
    let found = finding("f1", "x");
    let mut long = incident("i2", "x", &[&found]);
    long.assets = vec![asset(TABLE)];
    long.first = NOW.plus_seconds(-30 * 86_400);
    long.last = NOW.plus_seconds(40 * 86_400);
    let desk = desk(reads(800));
    desk.publish(Update::Decided {
        findings: Vec::new(),
        incidents: vec![long],
    });
    let page = get(&desk, "/incidents/i2").2;
    assert_eq!(section(&page).matches("<title>2026").count(), 96);
}

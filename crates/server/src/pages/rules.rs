//! Rules: what each looks for, how often it fired of late, in which incidents; and the same as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use engine::desk::{Behaviour, Sight, Work};
use engine::evidence::{Line, Search};
use engine::ledger::Order;
use engine::rulebook::{RuleBook, RuleKind, RuleText};
use model::{Level, Right, Timestamp};
use serde_json::{Value, json};

use super::{Frame, encoded, entries, json as answer, missing, number, page, problem};
use crate::access::{Caller, Seen, aside};

/// Rules on one page.
const RULES_MAX: usize = 60;
/// Incidents and entries told of one rule.
const TOLD_MAX: usize = 25;
/// Seconds within which it is told how often a rule fired.
const DAY: i64 = 24 * 3600;
const WEEK: i64 = 7 * DAY;
/// Bytes shown of a rule's text.
const TEXT_BYTES: usize = 32_768;

/// A rule and what it did.
struct Row {
    rule: RuleText,
    did: Behaviour,
    /// Of a rule of contents, how many entries have it; `None` for whoever doesn't see entries.
    counted: Option<Counted>,
}

/// How many entries have what a rule of contents looks for.
#[derive(Clone, Copy, Default)]
struct Counted {
    day: usize,
    week: usize,
    last: Option<Timestamp>,
    /// From when on it was counted, where that is less than a week.
    since: Option<Timestamp>,
}

impl Row {
    /// How bad: as it says, else as its worst finding.
    fn level(&self) -> Option<Level> {
        let of_findings = Some(self.did.level).filter(|_| self.did.total > 0);
        self.rule.level.or(of_findings)
    }

    /// Whether it fired, or entries have it, within a week.
    fn fired(&self) -> bool {
        self.did.week > 0 || self.counted.is_some_and(|counted| counted.week > 0)
    }

    fn fits(&self, filter: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(filter);
        filter.is_empty()
            || has(&self.rule.id)
            || has(&self.rule.title)
            || has(&self.rule.description)
            || has(&self.rule.file)
            || self.rule.kind.name() == filter
            || self.level().is_some_and(|level| level.name() == filter)
    }

    fn told(&self) -> Value {
        let counted = self.counted.unwrap_or_default();
        // One kind has no entries of its own, the other no findings.
        let last = self.did.last.max(counted.last);
        json!({
            "counts": if self.rule.kind.is_of_content() { "entries" } else { "findings" },
            "counted_since": counted.since.map(|at| at.to_string()),
            "id": self.rule.id,
            "title": self.rule.title,
            "description": self.rule.description,
            "kind": self.rule.kind.name(),
            "level": self.level().map(Level::name),
            "file": self.rule.file,
            "day": self.did.day + counted.day,
            "week": self.did.week + counted.week,
            "total": self.did.total + counted.week,
            "last": last.map(|at| at.to_string()),
            "incidents": self.did.incidents.len(),
        })
    }
}

/// Every rule, what fired last first; those that fired and stand in no book are detectors in code.
async fn all(sight: &Sight, now: Timestamp) -> Vec<Row> {
    let (book, other) = (sight.rules(), sight.clone());
    let names = Arc::clone(&book);
    let did = aside(move || (other.behaviour(now), counted(&other, &names, now))).await;
    let (did, counted) = did.unwrap_or_default();
    rows(&book, did, &counted)
}

/// How many entries have what each rule of contents looks for; nothing for whoever doesn't see entries. Reads files.
fn counted(sight: &Sight, book: &RuleBook, now: Timestamp) -> BTreeMap<String, Counted> {
    let names = book.all().filter(|rule| rule.kind.is_of_content());
    let tally: Vec<String> = names.map(|rule| rule.id.clone()).collect();
    let now = sight.time(now);
    let search = Search {
        from: Some(now.plus_seconds(-WEEK)),
        tally: tally.clone(),
        ..Search::default()
    };
    // A ledger that can't be read is told by the page of a rule; the others go on.
    let tallied = sight.entries(&search).unwrap_or_default().tallied;
    let day = now.plus_seconds(-DAY);
    let of = |times: &Vec<Timestamp>| Counted {
        day: times.iter().filter(|time| **time >= day).count(),
        week: times.len(),
        last: times.iter().max().copied(),
        since: tallied.since,
    };
    tally
        .into_iter()
        .zip(tallied.times.iter().map(of))
        .collect()
}

fn rows(
    book: &Arc<RuleBook>,
    mut did: BTreeMap<String, Behaviour>,
    counted: &BTreeMap<String, Counted>,
) -> Vec<Row> {
    let mut all: Vec<Row> = book
        .all()
        .map(|rule| Row {
            did: did.remove(&rule.id).unwrap_or_default(),
            counted: counted.get(&rule.id).copied(),
            rule: rule.clone(),
        })
        .collect();
    all.extend(did.into_iter().map(|(id, did)| Row {
        rule: RuleText {
            id,
            title: did.title.clone(),
            description: String::new(),
            level: None,
            kind: RuleKind::Code,
            file: String::new(),
            text: String::new(),
        },
        counted: None,
        did,
    }));
    all.sort_by(|a, b| {
        let last = |row: &Row| {
            row.did
                .last
                .max(row.counted.and_then(|counted| counted.last))
        };
        let weight = |row: &Row| (last(row), row.level());
        weight(b)
            .cmp(&weight(a))
            .then_with(|| a.rule.id.cmp(&b.rule.id))
    });
    all
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Rules {
    frame: Frame,
    rows: Vec<Row>,
    total: usize,
    fired: usize,
    skipped: usize,
    filter: String,
}

impl Rules {
    fn link(&self, from: usize) -> String {
        format!("/rules?from={from}&q={}", encoded(&self.filter))
    }

    fn before(&self) -> usize {
        self.skipped.saturating_sub(RULES_MAX)
    }
}

/// The list; `?q=` keeps what names a text.
pub(crate) async fn rules(
    Seen(sight): Seen,
    caller: Caller,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut rows = all(&sight, caller.now).await;
    let filter = query.get("q").map_or("", |text| text.trim()).to_owned();
    rows.retain(|row| row.fits(&filter.to_lowercase()));
    let total = rows.len();
    let skipped = number(&query, "from").min(total);
    page(&Rules {
        frame: Frame::new(&sight).at("/rules", Timestamp::default()),
        fired: rows.iter().filter(|row| row.fired()).count(),
        rows: rows.into_iter().skip(skipped).take(RULES_MAX).collect(),
        total,
        skipped,
        filter,
    })
}

/// The list as JSON.
pub(crate) async fn api_rules(Seen(sight): Seen, caller: Caller) -> Response {
    let rows = all(&sight, caller.now).await;
    let items: Vec<Value> = rows.iter().map(Row::told).collect();
    answer(&json!({ "items": items }))
}

#[derive(Template)]
#[template(path = "rule.html")]
struct RulePage {
    frame: Frame,
    row: Row,
    incidents: Vec<Work>,
    /// Entries whose content has it, of a rule of contents.
    lines: Vec<Line>,
    sees_entries: bool,
}

fn incidents(sight: &Sight, did: &Behaviour) -> Vec<Work> {
    let all = did.incidents.iter();
    let mut all: Vec<Work> = all.filter_map(|id| sight.in_brief(id)).collect();
    all.sort_by(|a, b| (b.incident.last, &b.incident.id).cmp(&(a.incident.last, &a.incident.id)));
    all
}

/// One rule.
pub(crate) async fn rule(Seen(sight): Seen, caller: Caller, Path(id): Path<String>) -> Response {
    let rows = all(&sight, caller.now).await;
    let Some(row) = rows.into_iter().find(|row| row.rule.id == id) else {
        return missing(&sight, "There is no such rule");
    };
    let mut lines = Vec::new();
    if row.rule.kind.is_of_content() {
        let search = Search {
            signature: Some(row.rule.id.clone()),
            order: Order::Newest,
            ..Search::default()
        };
        match entries::find(&sight, search, None, TOLD_MAX).await {
            Ok(listed) => lines = listed.lines,
            Err(response) => return response,
        }
    }
    let mut incidents = incidents(&sight, &row.did);
    incidents.truncate(TOLD_MAX);
    page(&RulePage {
        frame: Frame::new(&sight).at("/rules", Timestamp::default()),
        row,
        incidents,
        lines,
        sees_entries: sight.principal().may_somewhere(Right::SeeEvidence),
    })
}

/// One rule as JSON.
pub(crate) async fn api_rule(
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
) -> Response {
    let rows = all(&sight, caller.now).await;
    let Some(row) = rows.into_iter().find(|row| row.rule.id == id) else {
        return problem(StatusCode::NOT_FOUND, "there is no such rule");
    };
    let findings = row
        .did
        .findings
        .iter()
        .map(|(finding, incident)| json!({ "finding": **finding, "incident": incident }));
    let incidents = incidents(&sight, &row.did);
    let incidents = incidents.iter().map(|work| {
        json!({ "id": work.incident.id, "title": work.incident.title, "state": work.state.name(), "severity": work.severity.name() })
    });
    answer(&json!({
        "rule": row.told(),
        "text": row.rule.text,
        "findings": findings.collect::<Vec<_>>(),
        "incidents": incidents.collect::<Vec<_>>(),
    }))
}

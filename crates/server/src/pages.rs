//! The pages: each a template and its values; and the same values as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use engine::desk::{Desk, EntryView, GapView, Overview, SourceView};
use model::{Finding, Incident, Lane, Timestamp};
use report::bar;

/// Incidents shown on one page.
const QUEUE_MAX: usize = 100;
/// Entries shown of one finding.
const ENTRIES_MAX: usize = 24;

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the page can't be made: {error}\n"),
        )
            .into_response(),
    }
}

fn missing(what: &str) -> Response {
    (
        StatusCode::NOT_FOUND,
        format!("there is no such {what}; it may have been named by another ledger\n"),
    )
        .into_response()
}

fn json(value: &serde_json::Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

/// What the frame around every page shows.
struct Frame {
    exercise: bool,
    overview: Option<Overview>,
}

impl Frame {
    fn new(desk: &Desk) -> Self {
        let overview = desk.overview();
        let exercise = overview
            .as_ref()
            .is_some_and(|overview| overview.lane == Lane::Exercise)
            || desk
                .incidents()
                .iter()
                .any(|incident| incident.lane == Lane::Exercise);
        Self { exercise, overview }
    }
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    frame: Frame,
    incidents: Vec<Arc<Incident>>,
    total: usize,
    filter: String,
    from: Timestamp,
    to: Timestamp,
}

impl Queue {
    fn bar(&self, incident: &Incident) -> (i64, i64) {
        bar(incident.first, incident.last, self.from, self.to)
    }
}

/// The queue of incidents; `?q=` keeps those that name a text.
pub(crate) async fn queue(
    State(desk): State<Desk>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let filter = query.get("q").cloned().unwrap_or_default();
    let lower = filter.to_lowercase();
    let fits = |incident: &Incident| {
        lower.is_empty()
            || incident.title.to_lowercase().contains(&lower)
            || incident.severity.name() == lower
            || incident
                .actors
                .iter()
                .any(|actor| actor.value.to_lowercase().contains(&lower))
            || incident
                .assets
                .iter()
                .any(|asset| asset.name.to_lowercase().contains(&lower))
    };
    let mut incidents: Vec<_> = desk
        .incidents()
        .into_iter()
        .filter(|incident| fits(incident))
        .collect();
    let total = incidents.len();
    incidents.truncate(QUEUE_MAX);
    let from = incidents
        .iter()
        .map(|incident| incident.first)
        .min()
        .unwrap_or_default();
    let to = incidents
        .iter()
        .map(|incident| incident.last)
        .max()
        .unwrap_or_default();
    page(&Queue {
        frame: Frame::new(&desk),
        incidents,
        total,
        filter,
        from,
        to,
    })
}

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    frame: Frame,
    incident: Arc<Incident>,
    findings: Vec<(Arc<Finding>, String)>,
}

impl IncidentPage {
    /// Whether what was touched is shared by every store.
    fn shared(&self) -> bool {
        self.incident
            .exposure
            .channels
            .iter()
            .any(|channel| channel == "database")
    }
}

/// One incident: the four questions, the story, the duties, the evidence.
pub(crate) async fn incident(State(desk): State<Desk>, Path(id): Path<String>) -> Response {
    let Some(incident) = desk.incident(&id) else {
        return missing("incident");
    };
    let mut findings: Vec<_> = incident
        .findings
        .iter()
        .filter_map(|joined| Some((desk.finding(&joined.finding)?, joined.because.clone())))
        .collect();
    findings.sort_by_key(|(finding, _)| finding.first);
    page(&IncidentPage {
        frame: Frame::new(&desk),
        incident,
        findings,
    })
}

#[derive(Template)]
#[template(path = "entry.html")]
struct EntryPage {
    frame: Frame,
    entry: EntryView,
}

/// One sealed entry.
pub(crate) async fn entry(State(desk): State<Desk>, Path(sequence): Path<u64>) -> Response {
    match desk.entry(sequence) {
        Some(entry) => page(&EntryPage {
            frame: Frame::new(&desk),
            entry,
        }),
        None => missing("entry"),
    }
}

#[derive(Template)]
#[template(path = "sources.html")]
struct Sources {
    frame: Frame,
    sources: Vec<SourceView>,
    gaps: Vec<GapView>,
}

/// Sources and their health, and what isn't seen.
pub(crate) async fn sources(State(desk): State<Desk>) -> Response {
    page(&Sources {
        frame: Frame::new(&desk),
        sources: desk.sources(),
        gaps: desk.gaps(),
    })
}

/// Every incident as JSON.
pub(crate) async fn api_incidents(State(desk): State<Desk>) -> Response {
    let incidents: Vec<_> = desk
        .incidents()
        .iter()
        .map(|incident| serde_json::json!(&**incident))
        .collect();
    json(&serde_json::json!({ "version": 1, "incidents": incidents }))
}

/// One incident with its findings as JSON.
pub(crate) async fn api_incident(State(desk): State<Desk>, Path(id): Path<String>) -> Response {
    let Some(incident) = desk.incident(&id) else {
        return missing("incident");
    };
    let findings: Vec<_> = incident
        .findings
        .iter()
        .filter_map(|joined| desk.finding(&joined.finding))
        .map(|finding| serde_json::json!(&*finding))
        .collect();
    json(&serde_json::json!({ "version": 1, "incident": &*incident, "findings": findings }))
}

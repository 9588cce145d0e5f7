//! The pages: each a template and its values; and the same values as JSON.

mod incident;
mod modules;
mod payment_pages;
pub(crate) mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use engine::desk::{Desk, EntryView, GapView, Overview, Sight, SourceView, Work};
use engine::people::PeopleError;
use model::{Incident, Lane, Principal, Right, Timestamp, Via};
use report::bar;

use crate::access::Seen;

pub(crate) use incident::{api_incident, incident};
pub(crate) use modules::{api_modules, modules};
pub(crate) use payment_pages::{api_payment_pages, payment_pages};

/// Incidents shown on one page.
const QUEUE_MAX: usize = 100;
/// Texts shown of a line that lists several.
const TEXTS_MAX: usize = 5;

fn page(template: &impl Template) -> Response {
    match template.render() {
        // Whatever a value holds: no page has control or direction characters of its own.
        Ok(html) => Html(report::inert(html)).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the page can't be made: {error}\n"),
        )
            .into_response(),
    }
}

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing {
    frame: Frame,
    what: &'static str,
    hint: &'static str,
}

fn missing(of: &impl Framed, what: &'static str) -> Response {
    let page = page(&Missing {
        frame: Frame::new(of),
        what,
        hint: "It may have been named by another ledger, not be sealed yet, or be for others to see.",
    });
    (StatusCode::NOT_FOUND, page).into_response()
}

/// A path that leads nowhere.
pub(crate) async fn no_page(Seen(sight): Seen) -> Response {
    missing(&sight, "There is no such page")
}

/// A page that says why something wasn't done.
pub(crate) fn refused(status: StatusCode, why: &'static str) -> Response {
    let page = page(&Missing {
        frame: Frame::default(),
        what: if status == StatusCode::NOT_FOUND {
            why
        } else {
            "This wasn't done"
        },
        hint: if status == StatusCode::NOT_FOUND {
            ""
        } else {
            why
        },
    });
    (status, page).into_response()
}

/// A refusal for programs (RFC 9457).
pub(crate) fn problem(status: StatusCode, detail: &'static str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    let kind = (header::CONTENT_TYPE, "application/problem+json");
    let mut response = (status, [kind], body.to_string()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let scheme = header::HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// That accounts can't be read or written now: nobody's fault who asks.
pub(crate) fn trouble(error: &PeopleError) -> Response {
    let status = match error {
        PeopleError::Busy => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{error}\n")).into_response()
}

/// A number of a query, zero when it is none.
fn number(query: &BTreeMap<String, String>, name: &str) -> usize {
    query
        .get(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// A text as an address's query has it.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// A record's own time for people: to the second, with its zone.
fn moment(time: &str) -> String {
    let second = time.split(['.', 'Z']).next().unwrap_or_default();
    format!("{} UTC", second.replace('T', " "))
}

/// Texts of a line that are shown, and how many more there are.
fn some(texts: &[String]) -> (&[String], usize) {
    let shown = texts.len().min(TEXTS_MAX);
    (texts.split_at(shown).0, texts.len() - shown)
}

fn json(value: &serde_json::Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

/// What the frame around every page shows.
#[derive(Default)]
struct Frame {
    exercise: bool,
    overview: Option<Overview>,
    /// Sources and sinks that don't do what they should.
    trouble: Vec<SourceView>,
    /// Who looks; nobody on a console that only shows.
    person: Option<Looker>,
}

/// Who looks at a page, and what of the navigation is theirs.
struct Looker {
    shown: String,
    sees_people: bool,
    /// Until when they hold a further role.
    raised_until: Option<Timestamp>,
}

/// What a frame is made of.
trait Framed {
    fn overview(&self) -> Option<Overview>;
    fn has_exercise(&self) -> bool;
    fn sources(&self) -> Vec<SourceView>;
    fn principal(&self) -> Option<&Principal>;
}

impl Framed for Sight {
    fn overview(&self) -> Option<Overview> {
        self.overview()
    }

    fn has_exercise(&self) -> bool {
        let mut incidents = self.incidents().into_iter();
        incidents.any(|work| work.incident.lane == Lane::Exercise)
    }

    fn sources(&self) -> Vec<SourceView> {
        self.sources()
    }

    fn principal(&self) -> Option<&Principal> {
        Some(self.principal())
    }
}

impl Framed for Desk {
    fn overview(&self) -> Option<Overview> {
        self.overview()
    }

    fn has_exercise(&self) -> bool {
        let mut incidents = self.incidents().into_iter();
        incidents.any(|incident| incident.lane == Lane::Exercise)
    }

    fn sources(&self) -> Vec<SourceView> {
        self.sources()
    }

    fn principal(&self) -> Option<&Principal> {
        None
    }
}

impl Frame {
    fn new(of: &impl Framed) -> Self {
        let overview = of.overview();
        let exercise = overview
            .as_ref()
            .is_some_and(|overview| overview.lane == Lane::Exercise)
            || of.has_exercise();
        let mut trouble = of.sources();
        trouble.retain(|source| source.state != "reading" && !source.reason.is_empty());
        trouble.truncate(3);
        let person = of
            .principal()
            .filter(|principal| principal.via != Via::Open);
        let person = person.map(|principal| Looker {
            shown: principal.shown.clone(),
            sees_people: principal.may_all(Right::SeeAdministration),
            raised_until: match principal.via {
                Via::BreakGlass { until } => Some(until),
                _ => None,
            },
        });
        Self {
            exercise,
            overview,
            trouble,
            person,
        }
    }
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    frame: Frame,
    incidents: Vec<Arc<Incident>>,
    total: usize,
    skipped: usize,
    filter: String,
    from: Timestamp,
    to: Timestamp,
}

impl Queue {
    /// Where the page after this one, or before it, is.
    fn link(&self, next: bool) -> String {
        let from = if next {
            self.skipped + QUEUE_MAX
        } else {
            self.skipped.saturating_sub(QUEUE_MAX)
        };
        format!("/?from={from}&q={}", encoded(&self.filter))
    }

    fn bar(&self, incident: &Incident) -> (i64, i64) {
        bar(incident.first, incident.last, self.from, self.to)
    }
}

/// The queue of incidents; `?q=` keeps those that name a text.
pub(crate) async fn queue(
    Seen(sight): Seen,
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
    let mut incidents: Vec<_> = sight
        .incidents()
        .into_iter()
        .map(|work| work.incident)
        .filter(|incident| fits(incident))
        .collect();
    let total = incidents.len();
    let skipped = number(&query, "from").min(total);
    incidents = incidents
        .into_iter()
        .skip(skipped)
        .take(QUEUE_MAX)
        .collect();
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
        frame: Frame::new(&sight),
        incidents,
        total,
        skipped,
        filter,
        from,
        to,
    })
}

#[derive(Template)]
#[template(path = "entry.html")]
struct EntryPage {
    frame: Frame,
    entry: EntryView,
}

/// One sealed entry.
pub(crate) async fn entry(Seen(sight): Seen, Path(sequence): Path<String>) -> Response {
    match sequence
        .parse()
        .ok()
        .and_then(|sequence| sight.entry(sequence))
    {
        Some(entry) => page(&EntryPage {
            frame: Frame::new(&sight),
            entry,
        }),
        None => missing(&sight, "There is no such entry"),
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
pub(crate) async fn sources(Seen(sight): Seen) -> Response {
    page(&Sources {
        frame: Frame::new(&sight),
        sources: sight.sources(),
        gaps: sight.gaps(),
    })
}

/// Every incident as JSON.
pub(crate) async fn api_incidents(Seen(sight): Seen) -> Response {
    let incidents: Vec<_> = sight
        .incidents()
        .iter()
        .map(|Work { incident, .. }| serde_json::json!(&**incident))
        .collect();
    json(&serde_json::json!({ "version": 1, "incidents": incidents }))
}

//! The pages: each a template and its values; and the same values as JSON.

mod modules;
mod payment_pages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use engine::desk::{Desk, EntryView, GapView, Overview, SourceView};
use model::{ActorKind, AssetKind, Finding, Incident, IncidentState, Lane, Obligation, Timestamp};
use report::bar;

pub(crate) use modules::{api_modules, modules};
pub(crate) use payment_pages::{api_payment_pages, payment_pages};

/// Incidents shown on one page.
const QUEUE_MAX: usize = 100;
/// Pages whose evidence commands name.
const PAGES_MAX: usize = 4;
/// Files that they name.
const FILES_MAX: usize = 8;
/// Findings shown on one page.
const FINDINGS_MAX: usize = 25;
/// Entries of one finding whose text is shown, and further ones linked.
const SHOWN_MAX: usize = 2;
const LINKED_MAX: usize = 22;
/// Duties shown at once.
const DUTIES_MAX: usize = 8;
/// Texts shown of a line that lists several.
const TEXTS_MAX: usize = 5;
/// Bytes shown of one entry in a story.
const EXCERPT_BYTES: usize = 600;

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

fn missing(desk: &Desk, what: &'static str) -> Response {
    let page = page(&Missing {
        frame: Frame::new(desk),
        what,
        hint: "It may have been named by another ledger, or not be sealed yet.",
    });
    (StatusCode::NOT_FOUND, page).into_response()
}

/// A path that leads nowhere.
pub(crate) async fn no_page(State(desk): State<Desk>) -> Response {
    missing(&desk, "There is no such page")
}

/// A number of a query, zero when it is none.
fn number(query: &BTreeMap<String, String>, name: &str) -> usize {
    query
        .get(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// A text as an address's query has it.
fn encoded(text: &str) -> String {
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
struct Frame {
    exercise: bool,
    overview: Option<Overview>,
    /// Sources and sinks that don't do what they should.
    trouble: Vec<SourceView>,
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
        let mut trouble = desk.sources();
        trouble.retain(|source| source.state != "reading" && !source.reason.is_empty());
        trouble.truncate(3);
        Self {
            exercise,
            overview,
            trouble,
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
        frame: Frame::new(&desk),
        incidents,
        total,
        skipped,
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
    /// The incident this one went into.
    into: Option<Arc<Incident>>,
    skipped: usize,
    findings: Vec<Member>,
}

/// A finding of an incident as its page tells it.
struct Member {
    finding: Arc<Finding>,
    because: String,
    /// The first entries it rests on.
    shown: Vec<EntryView>,
    /// Further ones, to be linked.
    rest: Vec<u64>,
    /// How many more there are.
    left: usize,
}

impl Member {
    fn new(desk: &Desk, finding: Arc<Finding>, because: String) -> Self {
        let sequences: Vec<u64> = finding
            .events
            .iter()
            .map(|event| event.sequence.0)
            .collect();
        let shown = sequences.iter().take(SHOWN_MAX);
        let rest: Vec<u64> = sequences
            .iter()
            .skip(SHOWN_MAX)
            .take(LINKED_MAX)
            .copied()
            .collect();
        Self {
            shown: shown.filter_map(|sequence| desk.entry(*sequence)).collect(),
            left: sequences.len().saturating_sub(SHOWN_MAX + rest.len()),
            rest,
            finding,
            because,
        }
    }
}

impl IncidentPage {
    /// Whether what was touched is shared by every store.
    fn shared(&self) -> bool {
        self.incident
            .exposure
            .channels
            .iter()
            .any(|channel| ["database", "program on a host"].contains(&channel.as_str()))
    }

    /// Pages that list what findings are about: where, and in words.
    fn lists(&self) -> Vec<(&'static str, &'static str)> {
        let of = |kinds: &[&str]| {
            let mut entries = self.findings.iter().flat_map(|member| &member.shown);
            entries.any(|entry| kinds.iter().any(|kind| entry.source.starts_with(kind)))
        };
        let lists = [
            (
                of(&["payment_page:", "csp_reports:"]),
                "/payment-pages",
                "What is on the payment pages, since when, and who authorised it",
            ),
            (
                of(&["inventory:"]),
                "/modules",
                "What is installed, and what it can touch",
            ),
        ];
        let lists = lists.into_iter().filter(|(is_of, ..)| *is_of);
        lists.map(|(_, path, words)| (path, words)).collect()
    }

    /// Commands that keep what goes away by itself, for what this incident is about; the most volatile first.
    fn preserve(&self) -> Vec<String> {
        let by = |kinds: &[ActorKind]| {
            let actors = &self.incident.actors;
            actors.iter().any(|actor| kinds.contains(&actor.kind))
        };
        let tells = |family: &str| {
            let findings = &self.findings;
            findings.iter().any(|m| m.finding.rule.starts_with(family))
        };
        let on_host = by(&[ActorKind::HostProcess, ActorKind::HostAccount]);
        let redis = tells("redis-");
        let page = tells("pp-");
        let database = by(&[ActorKind::DatabaseAccount, ActorKind::DatabaseConnection]);
        let mut out = Vec::new();
        if page {
            // Caches may still hold the page as it was; asking through them is what shows it.
            let pages = self
                .incident
                .assets
                .iter()
                .filter(|asset| asset.name.starts_with("http"));
            out.extend(pages.take(PAGES_MAX).map(|asset| {
                let quoted = asset.name.replace('\'', "'\\''");
                format!("curl -sS -D - -o checkout.html '{quoted}' | grep -iE 'age|cache|^date|security-policy'; sha256sum checkout.html")
            }));
        }
        if on_host {
            out.push("ps -eo pid,ppid,user,lstart,args --forest; w; last -F".to_owned());
            out.push("ls -l /proc/[0-9]*/exe 2>/dev/null".to_owned());
        }
        if redis {
            out.push(
                "redis-cli CLIENT LIST; redis-cli INFO all; redis-cli SLOWLOG GET 128".to_owned(),
            );
        }
        let files = self.files();
        let has_files = !files.is_empty();
        if has_files {
            // What deletes or mends a file takes its times along: they are read first, and the copy keeps them.
            let files = Vec::from_iter(files).join(" ");
            out.push(format!("stat {files}; sha256sum {files}; lsof -- {files}"));
            out.push(format!(
                "tar --xattrs --acls -cpf files.tar {files}; sha256sum files.tar"
            ));
        }
        if database || !(on_host || redis || page || has_files) {
            out.push(r#"mariadb -e "SHOW FULL PROCESSLIST; SHOW MASTER STATUS;""#.to_owned());
        }
        out.push("ss -tnp".to_owned());
        out
    }

    /// Files of the shop that findings are about, as a shell names them.
    fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        for member in &self.findings {
            let roots = member
                .shown
                .iter()
                .filter_map(|entry| entry.source.strip_prefix("tree:"));
            let Some(root) = roots.take(1).next() else {
                continue;
            };
            for asset in &member.finding.assets {
                if asset.kind == AssetKind::Path && files.len() < FILES_MAX {
                    let path = format!("{root}/{}", asset.name).replace('\'', "'\\''");
                    files.insert(format!("'{path}'"));
                }
            }
        }
        files
    }

    fn bar(&self, finding: &Finding) -> (i64, i64) {
        bar(
            finding.first,
            finding.last,
            self.incident.first,
            self.incident.last,
        )
    }

    /// The duties shown at once, and those behind a click.
    fn duties(&self) -> (&[Obligation], &[Obligation]) {
        let all = &self.incident.obligations;
        all.split_at(all.len().min(DUTIES_MAX))
    }

    fn before(&self) -> usize {
        self.skipped.saturating_sub(FINDINGS_MAX)
    }
}

/// One incident: the four questions, the story, the duties, the evidence.
pub(crate) async fn incident(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(incident) = desk.incident(&id) else {
        return missing(&desk, "There is no such incident");
    };
    let into = (incident.state == IncidentState::Merged)
        .then(|| {
            desk.incidents().into_iter().find(|other| {
                other.findings.iter().any(|theirs| {
                    incident
                        .findings
                        .iter()
                        .any(|own| own.finding == theirs.finding)
                })
            })
        })
        .flatten();
    let mut findings: Vec<_> = incident
        .findings
        .iter()
        .filter_map(|joined| Some((desk.finding(&joined.finding)?, joined.because.clone())))
        .collect();
    findings.sort_by_key(|(finding, _)| finding.first);
    let skipped = number(&query, "from").min(findings.len());
    let findings = findings
        .into_iter()
        .skip(skipped)
        .take(FINDINGS_MAX)
        .map(|(finding, because)| Member::new(&desk, finding, because))
        .collect();
    page(&IncidentPage {
        frame: Frame::new(&desk),
        incident,
        into,
        skipped,
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
pub(crate) async fn entry(State(desk): State<Desk>, Path(sequence): Path<String>) -> Response {
    match sequence
        .parse()
        .ok()
        .and_then(|sequence| desk.entry(sequence))
    {
        Some(entry) => page(&EntryPage {
            frame: Frame::new(&desk),
            entry,
        }),
        None => missing(&desk, "There is no such entry"),
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
        return (StatusCode::NOT_FOUND, "{}\n").into_response();
    };
    let findings: Vec<_> = incident
        .findings
        .iter()
        .filter_map(|joined| desk.finding(&joined.finding))
        .map(|finding| serde_json::json!(&*finding))
        .collect();
    json(&serde_json::json!({ "version": 1, "incident": &*incident, "findings": findings }))
}

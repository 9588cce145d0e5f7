//! One incident: the four questions, the story, the duties, the evidence.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use engine::containment::{Suggestion, suggest};
use engine::desk::{EntryView, Sight, Work, places};
use incident::handling::FieldKind;
use incident::is_shared;
use model::{Actor, ActorKind, Finding, Incident, IncidentState, Obligation, Scope, Timestamp};
use report::bar;

use super::containment::Containment;
use super::handling::Handled;
use super::near::{Near, near};
use super::pictures::Pictures;
use super::reads::{self, Chart};
use super::runs::{self, RunLine};
use super::telling::Whom;
use super::{Frame, no_incident, number, page};
use crate::access::{Caller, Console, Fields, Seen, aside, is_refresh};
use crate::counsel;

/// Findings shown on one page.
const FINDINGS_MAX: usize = 25;
/// Findings that pictures are drawn of.
const DRAWN_MAX: usize = 200;
/// Entries of one finding whose text is shown, and further ones linked.
const SHOWN_MAX: usize = 2;
const LINKED_MAX: usize = 22;
/// People named by other incidents too, and incidents told of each.
const ALSO_MAX: usize = 4;
/// Duties shown at once.
const DUTIES_MAX: usize = 8;
/// Bytes shown of one entry in a story.
const EXCERPT_BYTES: usize = 600;

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    frame: Frame,
    incident: Arc<Incident>,
    /// The incident this one went into.
    into: Option<Work>,
    /// Incidents that hang together with it, and why.
    related: Vec<(Work, String)>,
    /// Incidents that began about when it did.
    near: Vec<Near>,
    /// Other incidents that name the same address or person, by whom.
    also: Vec<(Actor, Vec<Work>)>,
    handled: Handled,
    /// For counsel alone; nobody else's page has the section.
    counsel: Option<counsel::View>,
    skipped: usize,
    /// Findings of this page that can't be read.
    unread: usize,
    findings: Vec<Member>,
    pictures: Pictures,
    containment: Containment,
    /// Plans that were asked for.
    runs: Vec<RunLine>,
    /// Playbooks that answer it, and the others.
    playbooks: [Vec<Suggestion>; 2],
    /// Whom to tell, and who is called.
    whom: Whom,
    /// Reads of the tables it touched, against what is usual.
    charts: Vec<Chart>,
}

/// A finding of an incident as its page tells it.
pub(super) struct Member {
    pub(super) finding: Arc<Finding>,
    because: String,
    /// The first entries it rests on.
    pub(super) shown: Vec<EntryView>,
    /// Further ones, to be linked.
    rest: Vec<u64>,
    /// How many more there are.
    left: usize,
}

impl Member {
    fn new(sight: &Sight, finding: Arc<Finding>, because: String) -> Self {
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
            shown: shown
                .filter_map(|sequence| sight.entry(*sequence))
                .collect(),
            left: sequences.len().saturating_sub(SHOWN_MAX + rest.len()),
            rest,
            finding,
            because,
        }
    }
}

impl IncidentPage {
    /// What every form sends along, as markup of our own.
    fn hidden(&self, act: &str) -> String {
        let handled = &self.handled;
        format!(
            "<input type=\"hidden\" name=\"csrf\" value=\"{}\"><input type=\"hidden\" name=\"seen\" value=\"{}\">\
             <input type=\"hidden\" name=\"key\" value=\"{}-{act}\">",
            handled.csrf,
            handled.seen(),
            handled.key
        )
    }

    /// Whether what was touched is shared by every store.
    fn shared(&self) -> bool {
        is_shared(&self.incident.exposure)
    }

    /// Where it is, for people.
    fn places(&self) -> Vec<Scope> {
        places(&self.incident.scopes, self.shared())
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

    fn bar(&self, finding: &Finding) -> (i64, i64) {
        bar(
            finding.first,
            finding.last,
            self.incident.first,
            self.incident.last,
        )
    }

    /// What binds this merchant: the next ones, and the later ones; then what may not bind it, and what doesn't by the settings.
    fn duties(&self) -> [Vec<&Obligation>; 4] {
        let duties = self.whom.duties(&self.incident);
        let (next, later) = duties.binds.split_at(duties.binds.len().min(DUTIES_MAX));
        [
            next.to_vec(),
            later.to_vec(),
            duties.unknown,
            duties.elsewhere,
        ]
    }

    /// Whether cards may go out as they are typed, which no log counts.
    fn is_page(&self) -> bool {
        let exposure = &self.incident.exposure;
        let is_counted = exposure.rows.is_some_and(|rows| rows.lower > 0);
        !is_counted
            && exposure
                .channels
                .iter()
                .any(|channel| channel == incident::PAGE)
    }

    /// The time of a day.
    fn clock(&self, time: &Timestamp) -> String {
        self.frame.zone.clock(time)
    }

    fn before(&self) -> usize {
        self.skipped.saturating_sub(FINDINGS_MAX)
    }
}

/// Other incidents that name whom this one names. An account of the database is left out: everybody uses the shop's own.
fn also(sight: &Sight, incident: &Incident, related: &[(Work, String)]) -> Vec<(Actor, Vec<Work>)> {
    let tells = |actor: &&Actor| {
        !matches!(
            actor.kind,
            ActorKind::DatabaseAccount | ActorKind::DatabaseConnection | ActorKind::HostProcess
        )
    };
    let actors: Vec<&Actor> = incident
        .actors
        .iter()
        .filter(tells)
        .take(ALSO_MAX)
        .collect();
    if actors.is_empty() {
        return Vec::new();
    }
    let all = sight.incidents();
    let of = |actor: &Actor| {
        let others = all.iter().filter(|work| {
            work.incident.id != incident.id
                && work.incident.actors.contains(actor)
                && related
                    .iter()
                    .all(|(known, _)| known.incident.id != work.incident.id)
        });
        others.take(ALSO_MAX).cloned().collect::<Vec<_>>()
    };
    let found = actors.into_iter().map(|actor| (actor.clone(), of(actor)));
    found.filter(|(_, others)| !others.is_empty()).collect()
}

/// One incident: the four questions, the story, the duties, the evidence, and what people do about it.
pub(crate) async fn incident(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let Some(work) = sight.incident(&id) else {
        return no_incident(&sight, &id);
    };
    // A page that renews itself in the background is looked at by nobody.
    if let Some(watching) = console.watching.as_ref().filter(|_| !is_refresh(&headers)) {
        watching.look(&sight, &work).await;
    }
    let mut handled = Handled::new(&sight, work, &caller);
    handled.is_open = console.decider.is_some();
    show(&console, &sight, &caller, handled, number(&query, "from")).await
}

/// The page of an incident, as it is handled now.
pub(super) async fn show(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    handled: Handled,
    skipped: usize,
) -> Response {
    let counsel = match counsel::view(console, sight, caller, &handled.work.incident.id).await {
        Ok(counsel) => counsel,
        Err(refused) => return refused,
    };
    show_with(console, sight, caller, handled, counsel, skipped).await
}

/// The same with counsel's section as it is given.
async fn show_with(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    handled: Handled,
    counsel: Option<counsel::View>,
    skipped: usize,
) -> Response {
    let incident = Arc::clone(&handled.work.incident);
    let into = match &handled.work.handling.merged_into {
        Some(into) => sight.in_brief(into),
        None if incident.state == IncidentState::Merged => {
            let mut joined = incident.findings.iter();
            joined.find_map(|joined| sight.incident_of(&joined.finding))
        }
        None => None,
    };
    // In order of time, as the incident has them: only those shown are read.
    let skipped = skipped.min(incident.findings.len());
    let (eyes, of) = (sight.clone(), Arc::clone(&incident));
    let read = move |from, count| {
        let joined = of.findings.iter().skip(from).take(count);
        joined
            .filter_map(|joined| Some((eyes.finding(&joined.finding)?, joined.because.clone())))
            .collect::<Vec<_>>()
    };
    let (eyes, of) = (sight.clone(), Arc::clone(&incident));
    let read = aside(move || {
        let charts = reads::of_incident(&eyes, &of);
        (read(0, DRAWN_MAX), read(skipped, FINDINGS_MAX), charts)
    });
    let (drawn, shown, charts) = read.await.unwrap_or_default();
    let wanted = (incident.findings.len() - skipped).min(FINDINGS_MAX);
    let unread = wanted.saturating_sub(shown.len());
    let pictures = Pictures::new(sight, &incident, &drawn, FINDINGS_MAX);
    let findings: Vec<Member> = shown
        .into_iter()
        .map(|(finding, because)| Member::new(sight, finding, because))
        .collect();
    let read = findings.iter().flat_map(|member| &member.shown);
    let read: Vec<u64> = read.map(|entry| entry.sequence).collect();
    if let Err(refused) = console.read(sight, caller, &read).await {
        return refused;
    }
    let containment = Containment::new(&incident, &drawn, &findings);
    let rules = drawn.iter().map(|(finding, _)| finding.rule.clone());
    let suggested = suggest(&sight.playbooks(), &incident, &rules.collect());
    let (answering, others) = suggested.into_iter().partition(|one| !one.rules.is_empty());
    let related = incident.related.iter().filter_map(|related| {
        let work = sight.incident_of(&related.finding)?;
        (work.incident.id != incident.id).then(|| (work, related.because.clone()))
    });
    let mut related: Vec<(Work, String)> = related.collect();
    related.dedup_by(|(a, _), (b, _)| a.incident.id == b.incident.id);
    let near = near(sight, &incident, &related);
    let mut also = also(sight, &incident, &related);
    // What they share with it is told once.
    for (_, others) in &mut also {
        others.retain(|other| {
            near.iter()
                .all(|one| one.work.incident.id != other.incident.id)
        });
    }
    also.retain(|(_, others)| !others.is_empty());
    page(&IncidentPage {
        frame: Frame::new(sight).at("/incidents", handled.now),
        whom: Whom::new(&console.telling, sight.merchant(), &incident),
        runs: runs::of_incident(sight, &incident.id, handled.now),
        playbooks: [answering, others],
        related,
        near,
        also,
        incident,
        into,
        skipped,
        unread,
        findings,
        pictures,
        containment,
        charts,
        handled,
        counsel,
    })
}

/// The page of an incident to which a file wasn't attached: why, and what was typed.
pub(crate) async fn attach_refused(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    work: Work<Incident>,
    (status, problem): (StatusCode, String),
    typed: Fields,
) -> Response {
    let mut handled = Handled::new(sight, work, caller);
    (handled.problem, handled.typed) = (problem, typed);
    let mut response = show(console, sight, caller, handled, 0).await;
    *response.status_mut() = status;
    response
}

/// The page of an incident on which a note of counsel's wasn't written: why, and what was typed.
pub(crate) async fn counsel_refused(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    work: Work<Incident>,
    (status, refused): (StatusCode, counsel::View),
) -> Response {
    let mut view = match counsel::view(console, sight, caller, &work.incident.id).await {
        Ok(view) => view.unwrap_or_default(),
        Err(response) => return response,
    };
    (view.problem, view.typed) = (refused.problem, refused.typed);
    let handled = Handled::new(sight, work, caller);
    let mut response = show_with(console, sight, caller, handled, Some(view), 0).await;
    *response.status_mut() = status;
    response
}

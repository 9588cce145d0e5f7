//! The queue: incidents by state, severity, store, person and text; every view of it is an address. Several can be decided at once.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::decider::Wish;
use engine::desk::{Sight, Work};
use engine::people::SavedView;
use model::{Act, IncidentState, Level, Right, Scope, Timestamp};
use report::bar;
use serde::Serialize;

use super::{Frame, encoded, number, page};
use crate::access::{Caller, Console, Fields, Seen};

/// Incidents shown on one page.
const QUEUE_MAX: usize = 100;
/// Incidents decided on at once.
const BULK_MAX: usize = 100;
/// Reasons shown of those that weren't.
const PROBLEMS_MAX: usize = 5;

/// Which incidents are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Filter {
    /// `work` (what somebody has to work on, unless said otherwise), `over`, `all`, or a state's name.
    state: String,
    severity: String,
    store: String,
    /// Those I lead, watch, or have an open task of.
    mine: bool,
    q: String,
}

impl Filter {
    pub(super) fn new(query: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| query.get(name).map_or("", |text| text.trim()).to_owned();
        let state = text("state");
        Self {
            state: if state.is_empty() {
                "work".to_owned()
            } else {
                state
            },
            severity: text("severity"),
            store: text("store"),
            mine: text("mine") == "1",
            q: text("q"),
        }
    }

    /// As the address has it.
    pub(super) fn query(&self) -> String {
        let mut out = Vec::new();
        for (name, value) in [
            ("state", &self.state),
            ("severity", &self.severity),
            ("store", &self.store),
            ("q", &self.q),
        ] {
            let is_usual = name == "state" && value == "work";
            if !value.is_empty() && !is_usual {
                out.push(format!("{name}={}", encoded(value)));
            }
        }
        if self.mine {
            out.push("mine=1".to_owned());
        }
        out.join("&")
    }

    fn fits(&self, work: &Work, me: &str) -> bool {
        let state = match self.state.as_str() {
            "work" => !work.state.is_over(),
            "over" => work.state.is_over(),
            "all" => true,
            name => work.state.name() == name,
        };
        state
            && (self.severity.is_empty() || work.severity.name() == self.severity)
            && (self.store.is_empty()
                || work
                    .incident
                    .places()
                    .iter()
                    .any(|scope| is(scope, &self.store)))
            && (!self.mine || is_mine(work, me))
            && super::names(&work.incident, &self.q.to_lowercase())
    }
}

/// Whether a place has a code, or is of its kind: `unknown`, `installation`.
fn is(scope: &Scope, code: &str) -> bool {
    match scope {
        Scope::Unknown => code == "unknown",
        Scope::Installation => code == "installation",
        Scope::Website(known) | Scope::Store(known) | Scope::View(known) | Scope::Host(known) => {
            known == code
        }
    }
}

fn is_mine(work: &Work, me: &str) -> bool {
    let handling = &work.handling;
    let is_me =
        |person: &Option<model::Person>| person.as_ref().is_some_and(|person| person.account == me);
    let has_task = |task: &model::Task| task.state == model::TaskState::Open && is_me(&task.owner);
    is_me(&handling.lead) || handling.watchers.contains(me) || handling.tasks.iter().any(has_task)
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    frame: Frame,
    sight: Sight,
    /// Whether decisions are taken here at all.
    is_open: bool,
    incidents: Vec<Work>,
    total: usize,
    skipped: usize,
    filter: Filter,
    from: Timestamp,
    to: Timestamp,
    /// Codes of stores that can be chosen.
    stores: Vec<String>,
    /// Whether there is anything to decide with.
    works: bool,
    csrf: String,
    key: String,
    /// What became of a decision on several.
    told: String,
    /// Views they keep.
    views: Vec<SavedView>,
    /// Whether they may keep some.
    keeps: bool,
}

impl Queue {
    fn link(&self, next: bool) -> String {
        let from = if next {
            self.skipped + QUEUE_MAX
        } else {
            self.skipped.saturating_sub(QUEUE_MAX)
        };
        format!("/incidents?from={from}&{}", self.filter.query())
    }

    fn bar(&self, work: &Work) -> (i64, i64) {
        bar(work.incident.first, work.incident.last, self.from, self.to)
    }

    fn states(&self) -> Vec<(&'static str, String)> {
        let groups = [("work", "to work on"), ("over", "ended"), ("all", "all")]
            .map(|(id, words)| (id, words.to_owned()));
        let states = IncidentState::ALL
            .into_iter()
            .filter(|state| *state != IncidentState::Merged);
        groups
            .into_iter()
            .chain(states.map(|state| (state.name(), super::handling::words(&state))))
            .collect()
    }

    fn levels(&self) -> Vec<&'static str> {
        Level::ALL.into_iter().rev().map(Level::name).collect()
    }

    fn next(&self, work: &Work) -> String {
        let may = self.sight.may(Right::Work, &work.incident.scopes);
        super::next::next_for(work, may, self.is_open)
    }
}

/// The queue.
pub(crate) async fn queue(
    seen: Seen,
    caller: Caller,
    State(console): State<Console>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    show_with(seen, &caller, &console, &query, String::new()).await
}

/// The queue, with what is to be told first.
pub(super) async fn show_with(
    seen: Seen,
    caller: &Caller,
    console: &Console,
    query: &BTreeMap<String, String>,
    told: String,
) -> Response {
    match super::views::of(console, caller).await {
        Ok(views) => show(seen, caller, console, query, told, views),
        Err(response) => response,
    }
}

fn show(
    Seen(sight): Seen,
    caller: &Caller,
    console: &Console,
    query: &BTreeMap<String, String>,
    told: String,
    views: Vec<SavedView>,
) -> Response {
    let filter = Filter::new(query);
    let me = sight.person().account;
    let all = sight.incidents();
    let fitting: Vec<&Work> = all.iter().filter(|work| filter.fits(work, &me)).collect();
    let total = fitting.len();
    let skipped = number(query, "from").min(total);
    let shown = fitting.into_iter().skip(skipped).take(QUEUE_MAX);
    let incidents: Vec<Work> = shown.cloned().collect();
    let from = incidents
        .iter()
        .map(|work| work.incident.first)
        .min()
        .unwrap_or_default();
    let to = incidents
        .iter()
        .map(|work| work.incident.last)
        .max()
        .unwrap_or_default();
    let codes = sight.stores().views.keys();
    let stores = codes.filter(|code| {
        sight
            .principal()
            .sees(&[Scope::View((*code).clone())], sight.stores())
    });
    page(&Queue {
        frame: Frame::new(&sight).at("/incidents", caller.now),
        is_open: console.decider.is_some(),
        incidents,
        total,
        skipped,
        from,
        to,
        stores: stores.cloned().collect(),
        works: console.decider.is_some() && sight.principal().may_somewhere(Right::Work),
        csrf: caller.csrf.clone(),
        key: engine::trail::new_id(),
        told,
        views,
        keeps: !caller.session.is_empty(),
        filter,
        sight,
    })
}

/// Decides on several: each by itself, so that one that can't be doesn't keep the others.
pub(crate) async fn decide(
    seen: Seen,
    caller: Caller,
    State(console): State<Console>,
    fields: Fields,
) -> Response {
    let query = BTreeMap::from([
        ("state", "state"),
        ("severity", "severity"),
        ("store", "store"),
        ("q", "q"),
        ("mine", "mine"),
    ])
    .into_iter()
    .map(|(name, field)| (name.to_owned(), fields.text(field).to_owned()))
    .collect();
    let Some(decider) = &console.decider else {
        return show_with(
            seen,
            &caller,
            &console,
            &query,
            "this console only shows".to_owned(),
        )
        .await;
    };
    let act = match fields.text("act") {
        "acknowledge" => Act::Acknowledge,
        "triaged" => Act::Move {
            to: IncidentState::Triaged,
        },
        "false_positive" => Act::Move {
            to: IncidentState::FalsePositive,
        },
        "watch" => Act::Watch { on: true },
        _ => {
            return show_with(
                seen,
                &caller,
                &console,
                &query,
                "choose what to do".to_owned(),
            )
            .await;
        }
    };
    let (mut done, mut problems) = (0, Vec::new());
    for chosen in fields.all("incident").take(BULK_MAX) {
        // Each line says which decisions its reader had seen.
        let (id, version) = chosen.rsplit_once(':').unwrap_or((chosen, "0"));
        let wish = Wish {
            key: Some(format!("{}-{id}", fields.text("key"))),
            incident: id.to_owned(),
            seen: version.parse().unwrap_or(0),
            act: act.clone(),
            reason: fields.text("reason").trim().to_owned(),
        };
        match decider.decide(&caller.principal, wish, caller.now).await {
            Ok(_) => done += 1,
            Err(error) => problems.push(format!("{id}: {error}")),
        }
    }
    if problems.is_empty() && done > 0 {
        let filter = Filter::new(&query);
        return Redirect::to(&format!("/incidents?{}", filter.query())).into_response();
    }
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    let mut told = format!("{done} done. ");
    if done == 0 && problems.is_empty() {
        told = "choose at least one incident".to_owned();
    }
    told.push_str(&problems.join("; "));
    if more > 0 {
        told.push_str(&format!("; and {more} more"));
    }
    show_with(seen, &caller, &console, &query, told).await
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use std::collections::BTreeMap;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: BTreeMap<_, _> = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(Filter::new(&query).query(), expected);
    }

    #[test]
    fn every_view_of_the_queue_is_an_address() {
        check("", "");
        check("state=work", "");
        check("state=closed&mine=1", "state=closed&mine=1");
        check(
            "severity=high&store=fr&q=a b",
            "severity=high&store=fr&q=a%20b",
        );
    }
}

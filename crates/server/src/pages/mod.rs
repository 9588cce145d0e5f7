//! The pages: each a template and its values; and the same values as JSON.

mod containment;
mod drawn;
mod entity;
mod entries;
mod entry;
mod handling;
mod incident;
mod modules;
mod near;
mod next;
mod overview;
mod payment_pages;
pub(crate) mod people;
mod pictures;
mod playbooks;
mod queue;
mod reads;
mod rules;
mod runs;
mod sources;
mod telling;
mod times;
mod views;

use std::collections::BTreeMap;

use askama::Template;
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use engine::desk::{Brief, Overview, Sight, SourceView};
use engine::evidence::{Entity, EntityKind};
use engine::people::PeopleError;
use engine::zone::Zone;
use model::{Actor, Asset, AssetKind, DataClass, Lane, Right, Scope, Timestamp, Via};

use crate::access::Seen;

pub(crate) use entity::{api_entity, entity};
pub(crate) use entries::{api_entries, entries};
pub(crate) use entry::{entry, entry_whole};
pub(crate) use handling::decide;
pub(crate) use incident::{attach_refused, counsel_refused, incident};
pub(crate) use modules::{api_modules, modules};
pub(crate) use overview::overview;
pub(crate) use payment_pages::{api_payment_pages, payment_pages};
pub(crate) use playbooks::{
    BODY_BYTES_MAX as PLAYBOOK_BYTES_MAX, api_give_up as api_give_playbook_up,
    api_keep as api_keep_playbook, api_list as api_all_playbooks, api_one as api_playbook,
    change as change_playbook, edit as edit_playbook, give_up as give_playbook_up,
    import as import_playbook, playbook, playbooks,
};
pub(crate) use queue::{decide as decide_on_several, queue};
pub(crate) use reads::api_reads;
pub(crate) use rules::{api_rule, api_rules, rule, rules};
pub(crate) use runs::{
    api_ask, api_hosts, api_playbooks, api_preview, api_propose, api_run, api_runs, piece, plan,
    propose, run, runs, say,
};
pub(crate) use sources::{
    api_decide as api_decide_source, api_source, api_sources, pause, sources,
};
pub use telling::{Telling, TellingError};
pub(crate) use views::{api_keep_view, api_remove_view, api_views, change_views};

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

pub(crate) fn missing(of: &Sight, what: &'static str) -> Response {
    let page = page(&Missing {
        frame: Frame::new(of),
        what,
        hint: "It may have been named by another ledger, not be sealed yet, or be for others to see.",
    });
    (StatusCode::NOT_FOUND, page).into_response()
}

/// None, or none for them to see; or one that lists have and the ledger no longer gives.
pub(crate) fn no_incident(of: &Sight, id: &str) -> Response {
    match of.in_brief(id) {
        Some(_) => missing(
            of,
            "This incident can't be read from the ledger: magewarden verify says whether it was destroyed or damaged",
        ),
        None => missing(of, "There is no such incident"),
    }
}

/// A path that leads nowhere.
pub(crate) async fn no_page(Seen(sight): Seen, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        let why = "there is no such address; a slash within a name is written %2F";
        return problem(StatusCode::NOT_FOUND, why);
    }
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
pub(crate) fn problem(status: StatusCode, detail: &str) -> Response {
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
    let more = match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            ": the database can't be used now, so nobody can be let in. What is watched goes on being sealed; try again in a minute"
        }
        _ => "",
    };
    (status, format!("{error}{more}\n")).into_response()
}

/// An error's words as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
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

/// The page of somebody or something.
pub(crate) fn entity_link(entity: &Entity) -> String {
    format!("/entities/{}/{}", entity.kind.name(), encoded(&entity.name))
}

/// The page of an actor; empty where there is none.
pub(crate) fn actor_link(actor: &Actor) -> String {
    let entity = Entity::of_actor(actor);
    entity.map_or_else(String::new, |entity| entity_link(&entity))
}

/// The page of a module or package; empty where there is none.
fn module_link(name: &str) -> String {
    let entity = Entity::new(EntityKind::Module, name);
    entity.map_or_else(String::new, |entity| entity_link(&entity))
}

/// The page of a rule.
pub(crate) fn rule_link(id: &str) -> String {
    format!("/rules/{}", encoded(id))
}

/// The page of a place; empty where there is none.
pub(crate) fn place_link(place: &Scope) -> String {
    let entity = Entity::of_place(place);
    entity.map_or_else(String::new, |entity| entity_link(&entity))
}

/// A place in words for people.
fn place_name(scope: &Scope) -> String {
    match scope {
        Scope::Installation => "all stores".to_owned(),
        _ => scope.to_string(),
    }
}

/// A place in words that stand in a line.
pub(crate) fn place_words(scope: &Scope) -> String {
    shortened(&place_name(scope), 60)
}

/// The first part of a text that stands in a line: whole elsewhere, so only a mark says that there is more.
pub(crate) fn shortened(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let begin = text.get(..text.floor_char_boundary(bytes));
    format!("{}…", begin.unwrap_or_default())
}

/// How long ago, or in how long, beside a time that stands whole: `4 min ago`; empty where nobody knows what time it is.
pub(crate) fn ago(time: &Timestamp, now: &Timestamp) -> String {
    if *now == Timestamp::default() {
        return String::new();
    }
    match now.seconds_since(*time) {
        0..=59 => "just now".to_owned(),
        past if past > 0 => format!("{} ago", coarse(past)),
        ahead => format!("in {}", coarse(-ahead)),
    }
}

/// What is left until a deadline, as the page's script goes on counting it.
pub(crate) fn until(due: &Timestamp, now: &Timestamp) -> String {
    if *now == Timestamp::default() {
        return String::new();
    }
    match due.seconds_since(*now) {
        left if left < 0 => format!("({} late)", coarse(-left)),
        left => format!("(in {})", coarse(left)),
    }
}

/// Days, hours and minutes, or minutes alone.
fn coarse(seconds: i64) -> String {
    let minutes = seconds / 60;
    let (hours, days) = (minutes / 60, minutes / 1440);
    match (days, hours) {
        (3.., _) => format!("{days} days"),
        (_, 1..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{minutes} min"),
    }
}

/// What is known to have left, for people who look at a list.
pub(crate) fn left(brief: &Brief) -> String {
    match brief.rows {
        Some(rows) if rows.lower > 0 => format!("rows that left: {}", report::count(&brief.rows)),
        _ if brief.is_page && brief.assets.iter().any(is_stored) => {
            "stored data was in reach, no log counts it; cards may go out as shoppers type them, too"
                .to_owned()
        }
        _ if brief.is_page => {
            "cards may go out as shoppers type them; how many can't be seen from here".to_owned()
        }
        Some(rows) if rows.upper == Some(0) => "refused: nothing left".to_owned(),
        Some(rows) if rows.upper.is_some() => {
            format!("rows that left: {}", report::count(&brief.rows))
        }
        Some(_) => {
            "data was in reach; no log counts how many rows left, so every row can't be excluded"
                .to_owned()
        }
        None => "nothing found shows that data left".to_owned(),
    }
}

/// Whether it is data worth stealing that the shop keeps.
fn is_stored(asset: &Asset) -> bool {
    matches!(asset.kind, AssetKind::Table | AssetKind::Log) && asset.class > DataClass::Public
}

/// Texts of a line that are shown, and how many more there are.
fn some(texts: &[String]) -> (&[String], usize) {
    let shown = texts.len().min(TEXTS_MAX);
    (texts.split_at(shown).0, texts.len() - shown)
}

pub(crate) fn json(value: &serde_json::Value) -> Response {
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
    /// The address of the page in the navigation that this is, or belongs to.
    at: &'static str,
    /// When it was asked for.
    now: Timestamp,
    /// In which it tells times.
    zone: Zone,
}

/// Who looks at a page, and what of the navigation is theirs.
struct Looker {
    shown: String,
    sees_people: bool,
    /// Until when they hold a further role.
    raised_until: Option<Timestamp>,
}

impl Frame {
    fn new(of: &Sight) -> Self {
        let overview = of.overview();
        let exercise = overview
            .as_ref()
            .is_some_and(|overview| overview.lane == Lane::Exercise)
            || of.has_exercise();
        let mut trouble = of.sources();
        trouble.retain(|source| source.state != "reading" && !source.reason.is_empty());
        trouble.truncate(3);
        let person = Some(of.principal()).filter(|principal| principal.via != Via::Open);
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
            at: "",
            now: Timestamp::default(),
            zone: of.zone().clone(),
        }
    }

    /// The same on a page of the navigation, as of a time.
    fn at(self, at: &'static str, now: Timestamp) -> Self {
        Self { at, now, ..self }
    }
}

/// Whether an incident names a text (lower case) in its title, actors or assets.
pub(crate) fn names(incident: &Brief, lower: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(lower);
    lower.is_empty()
        || has(&incident.title)
        || incident.severity.name() == lower
        || incident.actors.iter().any(|actor| has(&actor.value))
        || incident.assets.iter().any(|asset| has(&asset.name))
}

#[cfg(test)]
mod tests {
    use super::{ago, until};
    use model::Timestamp;

    #[track_caller]
    fn check(time: i64, now: i64, expected: &str, left: &str) {
        let at = Timestamp::from_seconds;
        assert_eq!(ago(&at(time), &at(now)), expected);
        assert_eq!(until(&at(time), &at(now)), left);
    }

    #[test]
    fn times_are_told_from_now() {
        check(1000, 1030, "just now", "(0 min late)");
        check(1000, 1000 + 4 * 60, "4 min ago", "(4 min late)");
        check(
            1000,
            1000 + 2 * 3600 + 300,
            "2 h 5 min ago",
            "(2 h 5 min late)",
        );
        check(1000 + 5 * 86_400, 1000, "in 5 days", "(in 5 days)");
        check(1000 + 900, 1000, "in 15 min", "(in 15 min)");
        // Who knows no time tells none.
        check(1000, 0, "", "");
    }
}

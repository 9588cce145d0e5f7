//! All that is known of an administrator, a database account, an address, a place or a module, and the same as JSON.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use engine::desk::{About, Sight, Touched};
use engine::evidence::{self, Entity, EntityKind};
use engine::inventory::{Package, Power};
use model::Right;
use serde_json::{Value, json};

use super::entries::{Filter, item};
use super::{Frame, json as answer, missing, page, problem};
use crate::access::{Seen, aside};

/// Height of the picture's bars, and width of one with its gap, in its units.
const BARS: u64 = 60;
const BAR: usize = 10;
/// Texts shown of what a module can touch.
const REACH_MAX: usize = 12;

/// A bar of the picture of hours.
struct Bar {
    x: usize,
    y: u64,
    height: u64,
    /// What it stands for, in words.
    words: String,
}

#[derive(Template)]
#[template(path = "entity.html")]
struct EntityPage {
    frame: Frame,
    about: About,
    sees_entries: bool,
}

impl EntityPage {
    /// Its name as people read it.
    fn name(&self) -> String {
        let entity = &self.about.entity;
        let place = Some(entity).filter(|entity| entity.kind == EntityKind::Store);
        let place = place.and_then(|entity| evidence::place(&entity.name));
        let name = place.map_or_else(|| entity.name.clone(), |place| place.to_string());
        report::excerpt(&name, 200)
    }

    fn entries(&self) -> String {
        Filter::of(&self.about.entity).link(None)
    }

    fn bars(&self) -> Vec<Bar> {
        let most = self.about.hours.iter().map(|(_, count)| *count).max();
        let most = most.unwrap_or(0).max(1);
        let hours = self.about.hours.iter().enumerate();
        hours
            .map(|(at, (hour, count))| {
                // What happened at all is seen.
                let height = (count * BARS / most).max(u64::from(*count > 0) * 2);
                let plural = if *count == 1 { "entry" } else { "entries" };
                Bar {
                    x: at * BAR,
                    y: BARS - height,
                    height,
                    words: format!("{}: {count} {plural}", self.frame.words(hour)),
                }
            })
            .collect()
    }

    fn width(&self) -> usize {
        self.about.hours.len() * BAR
    }

    /// What can be touched, the gravest first, and how many lines more there are.
    fn reach<'a>(&self, package: &'a Package) -> (&'a [String], usize) {
        let shown = package.reach.len().min(REACH_MAX);
        let (shown, rest) = package.reach.split_at(shown);
        (shown, rest.len())
    }

    fn is_grave(&self, line: &str) -> bool {
        matches!(Power::of(line), Power::Open | Power::Payment)
    }

    fn class(&self, touched: &Touched) -> String {
        let class = touched.class.map(|class| format!("{class:?}"));
        let words = match class.as_deref() {
            Some("Sad") => "sensitive authentication data",
            Some("Pan") => "card numbers",
            Some("PanTruncated") => "truncated card numbers",
            Some("Token") => "gateway tokens",
            Some("Credential") => "credentials",
            Some("Personal") => "personal data",
            _ => "",
        };
        words.to_owned()
    }
}

async fn about(sight: &Sight, kind: &str, name: &str) -> Result<Option<About>, StatusCode> {
    let entity = EntityKind::named(kind).and_then(|kind| Entity::new(kind, name));
    let Some(entity) = entity else {
        return Ok(None);
    };
    let sight = sight.clone();
    let about = aside(move || sight.about(&entity)).await;
    about
        .and_then(Result::ok)
        .ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// The page of one.
pub(crate) async fn entity(
    Seen(sight): Seen,
    Path((kind, name)): Path<(String, String)>,
) -> Response {
    match about(&sight, &kind, &name).await {
        Ok(Some(about)) => page(&EntityPage {
            frame: Frame::new(&sight),
            about,
            sees_entries: sight.principal().may_somewhere(Right::SeeEvidence),
        }),
        Ok(None) => missing(&sight, "Nothing is known of it"),
        Err(status) => (status, "the ledger can't be read now\n").into_response(),
    }
}

/// The same as JSON.
pub(crate) async fn api_entity(
    Seen(sight): Seen,
    Path((kind, name)): Path<(String, String)>,
) -> Response {
    match about(&sight, &kind, &name).await {
        Ok(Some(about)) => answer(&told(&about)),
        Ok(None) => problem(StatusCode::NOT_FOUND, "nothing is known of it"),
        Err(status) => problem(status, "the ledger can't be read now"),
    }
}

fn told(about: &About) -> Value {
    let named = |entity: &Entity| json!({ "kind": entity.kind.name(), "name": entity.name });
    let incidents = about.incidents.iter().map(|(work, part, findings)| {
        json!({
            "id": work.incident.id, "title": work.incident.title, "state": work.state.name(),
            "severity": work.severity.name(), "part": part, "findings": findings,
        })
    });
    let findings = about.findings.iter().map(|(finding, incident)| {
        json!({
            "id": finding.id, "rule": finding.rule, "title": finding.title, "level": finding.level,
            "first": finding.first.to_string(), "last": finding.last.to_string(), "incident": incident,
            "external": finding.external,
        })
    });
    let touched = about.touched.iter().map(|one| {
        json!({ "name": one.name, "class": one.class, "findings": one.findings, "entries": one.entries })
    });
    let others = about.others.iter().map(|(entity, count)| {
        let mut out = named(entity);
        out["count"] = (*count).into();
        out
    });
    let places = about
        .places
        .iter()
        .map(|(place, count)| json!({ "place": evidence::place_name(place), "count": count }));
    let hours = about
        .hours
        .iter()
        .map(|(at, count)| json!({ "from": at.to_string(), "entries": count }));
    let packages = about.packages.iter().map(|package| json!(**package));
    let entity = &about.entity;
    json!({
        "kind": entity.kind.name(),
        "name": entity.name,
        "first": about.first.map(|at| at.to_string()),
        "last": about.last.map(|at| at.to_string()),
        "incidents": incidents.collect::<Vec<_>>(),
        "incidents_total": about.incidents_total,
        "findings": findings.collect::<Vec<_>>(),
        "findings_total": about.findings_total,
        "touched": touched.collect::<Vec<_>>(),
        "others": others.collect::<Vec<_>>(),
        "places": places.collect::<Vec<_>>(),
        "hours": hours.collect::<Vec<_>>(),
        "entries_looked_at": about.looked,
        "has_more_entries": about.has_more,
        "entries": about.lines.iter().map(item).collect::<Vec<_>>(),
        "packages": packages.collect::<Vec<_>>(),
    })
}

//! One incident from its findings: title, bounds, actors, severity.
//!
//! Apart from grouping because it decides nothing about what belongs together. Words follow the
//! reference: `suspected` and `account data`, never a legal class; severity only rises above the
//! findings' own level by a named floor.

use std::collections::BTreeSet;

use model::{
    Actor, ActorKind, Asset, AssetKind, DataClass, Exposure, Finding, Incident, IncidentState,
    Joined, Level, Scope, Timestamp,
};

use crate::exposure::{exposure, is_denied, touches_payment_page};
use crate::project::Projector;
use crate::title::title;

/// Actors, assets and scopes an incident names; more are counted in its findings.
const NAMED_MAX: usize = 256;
/// People above whose number personal data weighs as much as card numbers (severity matrix).
const MANY_PEOPLE: u64 = 500;

/// A finding of an incident, and why it is in it.
pub(crate) struct Member<'a> {
    /// The finding.
    pub(crate) finding: &'a Finding,
    /// When it was sealed first.
    pub(crate) detected: Timestamp,
    /// Why it joined.
    pub(crate) because: &'a str,
    /// Whether whom it names is whom the incident is about.
    pub(crate) names: bool,
    /// Whether it can open an incident.
    pub(crate) opens: bool,
}

/// Builds an incident; `None` when nothing in it opens one.
pub(crate) fn compose(
    id: &str,
    mut members: Vec<Member<'_>>,
    shared: &dyn Fn(&Actor) -> bool,
    low_seconds: i64,
    projector: &Projector,
) -> Option<Incident> {
    members.sort_by(|a, b| (a.finding.first, &a.finding.id).cmp(&(b.finding.first, &b.finding.id)));
    let openers: Vec<&Member<'_>> = members.iter().filter(|member| member.opens).collect();
    let opener_first = openers.iter().map(|member| member.finding.first).min()?;
    let opener_last = openers.iter().map(|member| member.finding.last).max()?;
    let detected = openers.iter().map(|member| member.detected).min()?;
    let lead = openers
        .iter()
        .map(|member| member.finding)
        // Of equals the earliest: `max_by` gives the last of equals.
        .rev()
        .max_by_key(|finding| (finding.level, worst_class(finding)))?;
    // A low finding that stretches far beyond what it hangs on says nothing of when this began.
    let within = |finding: &&Finding| {
        finding.first >= opener_first.plus_seconds(-low_seconds)
            && finding.last <= opener_last.plus_seconds(low_seconds)
    };
    let lows = || {
        members
            .iter()
            .filter(|m| !m.opens)
            .map(|m| m.finding)
            .filter(within)
    };
    let first = lows()
        .map(|finding| finding.first)
        .fold(opener_first, Timestamp::min);
    let last = lows()
        .map(|finding| finding.last)
        .fold(opener_last, Timestamp::max);

    let findings: Vec<&Finding> = openers.iter().map(|member| member.finding).collect();
    let exposure = exposure(&findings, first, last);
    let actors = actors(&members, lead, shared);
    let assets = assets(&members);
    let Severity {
        level: severity,
        because: severity_because,
        floor: severity_floor,
    } = severity(&findings, lead, &exposure);
    let scopes = scopes(&members);
    let obligations = projector.project(&exposure, detected);
    Some(Incident {
        id: id.to_owned(),
        title: title(
            lead,
            is_page_besides(lead, &findings),
            &actors,
            &assets,
            &scopes,
        ),
        state: IncidentState::Signal,
        lane: lead.lane,
        severity,
        severity_because,
        severity_floor,
        first,
        last,
        detected,
        scopes,
        findings: story(&members)
            .into_iter()
            .map(|member| Joined {
                finding: member.finding.id.clone(),
                because: if member.finding.id == id {
                    "opened the incident".to_owned()
                } else {
                    member.because.to_owned()
                },
            })
            .collect(),
        actors,
        assets,
        exposure,
        obligations,
        requirements: requirements(&findings),
        related: Vec::new(),
    })
}

/// Whether cards may go out as they are typed, and the finding that leads doesn't say so.
fn is_page_besides(lead: &Finding, findings: &[&Finding]) -> bool {
    let mut others = findings.iter();
    !touches_payment_page(lead) && others.any(|finding| touches_payment_page(finding))
}

/// What findings serve, each once.
fn requirements(findings: &[&Finding]) -> Vec<String> {
    let all = findings.iter().flat_map(|finding| &finding.requirements);
    all.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Findings as it went: within one second in the order in which they came to the ledger, since many logs tell whole seconds only.
fn story<'a, 'b>(members: &'b [Member<'a>]) -> Vec<&'b Member<'a>> {
    let mut out: Vec<_> = members.iter().collect();
    out.sort_by_key(|member| {
        let finding = member.finding;
        let second = finding.first.0.div_euclid(Timestamp::SECOND);
        (second, finding.events.first(), finding.first, &finding.id)
    });
    out
}

fn worst_class(finding: &Finding) -> DataClass {
    finding
        .assets
        .iter()
        .map(|asset| asset.class)
        .max()
        .unwrap_or(DataClass::Public)
}

/// Order in which identifiers are named: who can be blocked first.
fn rank(kind: ActorKind) -> u8 {
    match kind {
        ActorKind::Address => 0,
        ActorKind::Administrator => 1,
        ActorKind::Token => 2,
        ActorKind::Session => 3,
        ActorKind::DatabaseAccount => 4,
        ActorKind::DatabaseConnection => 5,
        _ => 6,
    }
}

/// Everybody named, the lead finding's first; an address many stand behind names nobody.
fn actors(members: &[Member<'_>], lead: &Finding, shared: &dyn Fn(&Actor) -> bool) -> Vec<Actor> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    // Low findings hang on by one identifier; who else they name isn't whom this is about, unless they say who did it.
    let naming = members
        .iter()
        .filter(|member| member.names)
        .map(|member| member.finding);
    for actor in std::iter::once(lead)
        .chain(naming)
        .flat_map(|finding| &finding.actors)
    {
        let nobody = actor.kind != ActorKind::DatabaseAccount
            && actor.kind != ActorKind::DatabaseConnection
            && shared(actor);
        if !nobody && out.len() < NAMED_MAX && seen.insert(actor) {
            out.push(actor.clone());
        }
    }
    out.sort_by_key(|actor| rank(actor.kind));
    out
}

/// What was touched, worst first; the same place once, with its worst class.
fn assets(members: &[Member<'_>]) -> Vec<Asset> {
    let mut out: Vec<Asset> = Vec::new();
    let openers = members.iter().filter(|member| member.opens);
    for asset in openers.flat_map(|member| &member.finding.assets) {
        let full = out.len() >= NAMED_MAX;
        let same = out
            .iter_mut()
            .find(|other| other.kind == asset.kind && other.name == asset.name);
        match same {
            Some(other) => other.class = other.class.max(asset.class),
            None if !full => out.push(asset.clone()),
            None => {}
        }
    }
    out.sort_by_key(|asset| std::cmp::Reverse(asset.class));
    out
}

fn scopes(members: &[Member<'_>]) -> Vec<Scope> {
    let known: BTreeSet<&Scope> = members
        .iter()
        .map(|member| &member.finding.scope)
        .filter(|scope| **scope != Scope::Unknown)
        .take(NAMED_MAX)
        .collect();
    if known.is_empty() {
        vec![Scope::Unknown]
    } else {
        known.into_iter().cloned().collect()
    }
}

/// A severity with its reasons.
struct Severity {
    level: Level,
    because: Vec<String>,
    /// The highest floor, whether or not it raised anything.
    floor: Level,
}

/// The highest level of its findings, raised by floors; each with its reason.
fn severity(findings: &[&Finding], lead: &Finding, exposure: &Exposure) -> Severity {
    let mut level = lead.level;
    let mut highest = Level::Informational;
    let mut because = vec![format!(
        "{}: highest level of its findings ({})",
        level.name(),
        lead.title
    )];
    let mut floor = |least: Level, why: &str| {
        highest = highest.max(least);
        if least > level {
            because.push(format!(
                "raised from {} to {}: {why}",
                level.name(),
                least.name()
            ));
            level = least;
        }
    };
    let has = |class: DataClass| exposure.assets.iter().any(|asset| asset.class == class);
    let left = exposure.rows.is_some_and(|rows| rows.lower > 0);
    if has(DataClass::Sad) {
        floor(
            Level::Critical,
            "sensitive authentication data may have been reached",
        );
    }
    if findings
        .iter()
        .any(|f| !is_denied(f) && f.level >= Level::High && touches_payment_page(f))
    {
        floor(
            Level::Critical,
            "a page where cards are typed was tampered with",
        );
    }
    if has(DataClass::Pan) {
        if left {
            floor(Level::Critical, "rows that can hold card numbers left");
        }
        let outside = exposure
            .assets
            .iter()
            .any(|asset| asset.class == DataClass::Pan && asset.kind != AssetKind::Table);
        if outside {
            floor(
                Level::High,
                "card numbers may lie readable outside the place made for them",
            );
        }
    }
    let people = exposure
        .assets
        .iter()
        .any(|asset| asset.class >= DataClass::Personal);
    if people && exposure.rows.is_some_and(|rows| rows.lower >= MANY_PEOPLE) {
        floor(Level::Critical, "500 or more records about people left");
    }
    if people && left {
        floor(
            Level::High,
            "records about people left, fewer than 500 proven",
        );
    }
    Severity {
        level,
        because,
        floor: highest,
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;

//! An incident in brief: what lists show and look through, of however many there are.

use std::sync::Arc;

use incident::{Duties, EntityProfile};
use model::{
    Actor, Asset, Count, Incident, IncidentState, Lane, Level, Obligation, Scope, Timestamp,
};

use super::Work;

/// Clocks of one incident that lists know of: those that end first.
const CLOCKS_MAX: usize = 8;

/// An incident without its findings, reasons and most duties.
#[derive(Clone, Debug)]
pub struct Brief {
    /// That of its first finding.
    pub id: String,
    /// Who did what to what.
    pub title: String,
    /// What the machine says of its life.
    pub state: IncidentState,
    /// `Live` or `Exercise`.
    pub lane: Lane,
    /// Severity as the machine weighs it.
    pub severity: Level,
    /// Below this no person may set it.
    pub severity_floor: Level,
    /// First event's time.
    pub first: Timestamp,
    /// Last event's time.
    pub last: Timestamp,
    /// When the first finding was sealed.
    pub detected: Timestamp,
    /// Whoever did it.
    pub actors: Vec<Actor>,
    /// What was touched.
    pub assets: Vec<Asset>,
    /// Where.
    pub scopes: Vec<Scope>,
    /// Records that left; `None` when none could be read.
    pub rows: Option<Count>,
    /// Whether cards may go out as they are typed, which no log counts.
    pub is_page: bool,
    /// Whether it reached what all stores share: the database, or a program on a host.
    pub is_shared: bool,
    /// How many findings it has.
    pub findings: usize,
    /// The clocks that end first, in that order: of duties that bind the merchant.
    pub clocks: Vec<Clock>,
}

/// A duty to tell someone by a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    /// By when.
    pub due: Timestamp,
    /// Stable id of the regime's rule.
    pub rule: Arc<str>,
    /// The regime in words.
    pub regime: Arc<str>,
    /// Who must be told.
    pub recipient: Arc<str>,
}

impl Brief {
    /// Takes of an incident what lists need. Which clocks run goes by who the merchant is; texts of duties are shared through `words`.
    #[must_use]
    pub fn of(incident: &Incident, profile: &EntityProfile, words: &mut Words) -> Self {
        let running = Duties::of(incident, profile).clocks();
        let first = running.into_iter().take(CLOCKS_MAX);
        let clocks = first.map(|(due, duty)| words.clock(due, duty)).collect();
        Self {
            id: incident.id.clone(),
            title: incident.title.clone(),
            state: incident.state,
            lane: incident.lane,
            severity: incident.severity,
            severity_floor: incident.severity_floor,
            first: incident.first,
            last: incident.last,
            detected: incident.detected,
            actors: incident.actors.clone(),
            assets: incident.assets.clone(),
            scopes: incident.scopes.clone(),
            rows: incident.exposure.rows,
            is_page: incident
                .exposure
                .channels
                .iter()
                .any(|channel| channel == incident::PAGE),
            is_shared: incident::is_shared(&incident.exposure),
            findings: incident.findings.len(),
            clocks,
        }
    }
}

impl Brief {
    /// How it stands in the queue among equally severe ones: rows that are proven to have left, the more the first; then typed
    /// cards that go out; then rows in reach that nobody counted; then what shows nothing of the kind.
    #[must_use]
    pub fn leak(&self) -> (u64, u8) {
        let proven = self.rows.map_or(0, |rows| rows.lower);
        let in_reach = self.rows.is_some_and(|rows| rows.upper != Some(0));
        (proven, u8::from(self.is_page) * 2 + u8::from(in_reach))
    }

    /// Where it is, for people: see [`places`].
    #[must_use]
    pub fn places(&self) -> Vec<Scope> {
        places(&self.scopes, self.is_shared)
    }
}

impl<I> Work<I> {
    /// What it asks for next, in a few words.
    #[must_use]
    pub fn next(&self) -> &'static str {
        if self.handling.acknowledged.is_none() && !self.state.is_over() {
            return "look at it";
        }
        match self.state {
            IncidentState::Signal => "decide whether to take it on",
            IncidentState::Triaged | IncidentState::Reopened => "decide whether data is at risk",
            IncidentState::Suspected => "declare it, or stop the leak",
            IncidentState::Declared => "stop the leak, evidence first",
            IncidentState::Contained => "close what made it possible",
            IncidentState::Eradicated => "see that the shop works",
            IncidentState::Recovered => "fill the stages and close",
            _ => "nothing",
        }
    }
}

/// Where it is, for people: every store where nothing names one and what all stores share was reached; unknown only where it is.
///
/// Who may see it goes by the scopes themselves.
#[must_use]
pub fn places(scopes: &[Scope], is_shared: bool) -> Vec<Scope> {
    let is_unknown = scopes.iter().all(|scope| *scope == Scope::Unknown);
    if is_shared && is_unknown {
        return vec![Scope::Installation];
    }
    scopes.to_vec()
}

/// Texts that many briefs have in common, each held once.
#[derive(Debug, Default)]
pub struct Words(std::collections::BTreeSet<Arc<str>>);

impl Words {
    fn clock(&mut self, due: Timestamp, duty: &Obligation) -> Clock {
        Clock {
            due,
            rule: self.shared(&duty.rule),
            regime: self.shared(&duty.regime),
            recipient: self.shared(&duty.recipient),
        }
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text
    }
}

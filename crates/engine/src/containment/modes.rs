//! What magewarden asks for by itself: by playbook, severity and website, nothing unless it is set.
//!
//! `observe`, where nothing is set: the page of an incident shows what would be done. `approve`: the plan is asked for, and a person
//! decides. `automatic`: it is carried out at once, as long as it can be undone, keeps no shopper away unless that is allowed, and
//! the hour's budget lasts; else it is asked for. Whatever floods us with findings closes no shop.
//!
//! A setting may name a playbook that somebody has yet to save on the console: until then nothing is asked for by it, and that is said. Invariant:
//! what somebody saved there is never begun without a person, whatever the settings say of its name. Whoever writes the settings knows a
//! name; what stands under it changes with whoever may save.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Ask, Incident, IncidentState, Lane, Level, Order, Person, Plan, Scope, StoreMap, Timestamp,
    Work,
};
use playbook::hash_words;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Containments, Playbooks, Standing, Suggestion, facts, is_name, suggest};
use crate::hex::hex;

/// Runs begun by one setting in an hour, where it says nothing else.
const PER_HOUR: usize = 6;
/// Plans asked for by one setting in an hour: what comes beyond is on the incidents' pages, unasked.
const ASKED_PER_HOUR: usize = 30;
const HOUR_SECONDS: i64 = 3600;
/// Plans of one playbook that are asked for on one incident, as more becomes known of it.
const PER_INCIDENT: usize = 10;

/// Who asks when nobody does.
const MACHINE: &str = "magewarden";

/// How far magewarden goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It says on the incident's page what would be done.
    Observe,
    /// It asks for the plan; a person approves it.
    Approve,
    /// It lets the plan be carried out.
    Automatic,
}

/// One setting; of those that fit an incident the first counts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeSetting {
    /// A playbook by its name in the list, whether or not there is one of it now; or `*`.
    pub playbook: String,
    /// How far.
    pub mode: Mode,
    /// The host that carries it out.
    #[serde(default)]
    pub host: String,
    /// Least severity of the incident.
    #[serde(default = "high")]
    pub severity: Level,
    /// Only incidents that lie in these websites alone; empty: any.
    #[serde(default)]
    pub websites: Vec<String>,
    /// Runs that are begun by it in an hour at most.
    #[serde(default = "per_hour")]
    pub per_hour: usize,
    /// Whether steps that shoppers feel – a store closed, a payment method off – may be done without a person.
    #[serde(default)]
    pub shoppers: bool,
}

const fn high() -> Level {
    Level::High
}

const fn per_hour() -> usize {
    PER_HOUR
}

/// Why settings aren't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModeError {
    /// No playbook can have this name.
    #[error("no playbook can be called `{name}`: a name has 1 to 64 small letters, digits and `-`")]
    NoName {
        /// Its name.
        name: String,
    },
    /// Nobody would carry it out.
    #[error("`{name}` names no host")]
    NoHost {
        /// The playbook.
        name: String,
    },
    /// A website isn't in the map of stores.
    #[error("there is no website `{code}` in the map of stores")]
    NoWebsite {
        /// Its code.
        code: String,
    },
}

/// All settings.
#[derive(Clone, Debug, Default)]
pub struct Modes {
    settings: Vec<ModeSetting>,
    stores: StoreMap,
}

impl Modes {
    /// Checks them.
    ///
    /// # Errors
    ///
    /// [`ModeError`]. That a playbook isn't there yet is none: [`Modes::remarks`] tells it.
    pub fn new(settings: Vec<ModeSetting>, stores: StoreMap) -> Result<Self, ModeError> {
        let websites: BTreeSet<&String> =
            stores.views.values().map(|place| &place.website).collect();
        for one in &settings {
            let name = || one.playbook.clone();
            if one.playbook != "*" && !is_name(&one.playbook) {
                return Err(ModeError::NoName { name: name() });
            }
            if one.mode != Mode::Observe && one.host.is_empty() {
                return Err(ModeError::NoHost { name: name() });
            }
            if let Some(code) = one.websites.iter().find(|code| !websites.contains(code)) {
                let code = code.clone();
                return Err(ModeError::NoWebsite { code });
            }
        }
        Ok(Self { settings, stores })
    }

    /// Whether nothing is ever asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settings.iter().all(|one| one.mode == Mode::Observe)
    }

    /// What these settings don't come to as things stand, a sentence each: playbooks that aren't there, and own ones that are set to be
    /// carried out at once.
    #[must_use]
    pub fn remarks(&self, playbooks: &Playbooks) -> Vec<String> {
        let mut out = Vec::new();
        for one in self.settings.iter().filter(|one| one.playbook != "*") {
            let name = &one.playbook;
            let remark = match playbooks.named(name) {
                None => format!(
                    "[[containment]] names `{name}`, and there is no such playbook now: nothing comes of it until one is saved under that name"
                ),
                Some(playbook) if playbook.own.is_some() && one.mode == Mode::Automatic => format!(
                    "[[containment]] lets `{name}` be carried out at once, and somebody here wrote it: it is asked for, and another person approves it"
                ),
                Some(_) => continue,
            };
            if !out.contains(&remark) {
                out.push(remark);
            }
        }
        out
    }

    /// What is asked for now that an incident changed. `rules` are those of its findings.
    #[must_use]
    pub fn orders(
        &self,
        incident: &Incident,
        state: IncidentState,
        severity: Level,
        rules: &BTreeSet<String>,
        (playbooks, known): (&Playbooks, &Containments),
        now: Timestamp,
    ) -> Vec<Order> {
        let is_live = incident.lane == Lane::Live && !state.is_over();
        if self.is_empty() || !is_live || state == IncidentState::Merged {
            return Vec::new();
        }
        let suggested = suggest(playbooks, incident, rules).into_iter();
        let answering = suggested.filter(|one| !one.rules.is_empty());
        let mut out = Vec::new();
        for suggestion in answering {
            let name = suggestion.playbook.name.as_str();
            let setting = self.settings.iter().find(|one| {
                (one.playbook == "*" || one.playbook == name) && self.fits(one, incident, severity)
            });
            let setting = setting.filter(|one| one.mode != Mode::Observe);
            if let Some(setting) = setting
                && let Some(order) = self.order(setting, incident, &suggestion, known, now)
            {
                out.push(order);
            }
        }
        out
    }

    fn fits(&self, setting: &ModeSetting, incident: &Incident, severity: Level) -> bool {
        let is_there = |scope: &Scope| match scope {
            Scope::Website(code) => setting.websites.contains(code),
            Scope::View(code) => {
                let place = self.stores.views.get(code);
                place.is_some_and(|place| setting.websites.contains(&place.website))
            }
            Scope::Store(code) => {
                let mut views = self.stores.views.values();
                let place = views.find(|place| place.store == *code);
                place.is_some_and(|place| setting.websites.contains(&place.website))
            }
            _ => false,
        };
        let is_anywhere = setting.websites.is_empty();
        severity >= setting.severity
            && (is_anywhere || !incident.scopes.is_empty() && incident.scopes.iter().all(is_there))
    }

    fn order(
        &self,
        setting: &ModeSetting,
        incident: &Incident,
        suggestion: &Suggestion,
        known: &Containments,
        now: Timestamp,
    ) -> Option<Order> {
        let values = suggestion.values.iter();
        let values: BTreeMap<String, String> = values
            .filter_map(|(name, known)| Some((name.clone(), known.first()?.clone())))
            .collect();
        let name = suggestion.playbook.name.as_str();
        // What isn't of its kind, or isn't known, is for a person to say.
        let document = &suggestion.playbook.document;
        let plan = playbook::plan(document, &values, &facts(), &self.stores).ok()?;
        if lacks(&plan) {
            return None;
        }
        let id = id_of(&incident.id, name, &values);
        let mine = |one: &&std::sync::Arc<Standing>| {
            let asked = one.asked_by();
            asked.is_some_and(|asked| asked.order.by.account.is_empty())
        };
        let of_playbook: Vec<_> = known
            .all()
            .filter(|one| one.plan.playbook.id == plan.playbook.id)
            .collect();
        let here = of_playbook.iter().filter(|one| one.incident == incident.id);
        if here.clone().count() >= PER_INCIDENT
            || of_playbook
                .iter()
                .any(|one| one.orders.iter().any(|order| order.order.id == id))
            || here.clone().any(|one| one.hash == hash_words(&plan))
        {
            return None;
        }
        let lately = of_playbook.iter().copied().filter(mine).filter(|one| {
            let at = one.asked_by().map_or(now, |asked| asked.order.at);
            now.seconds_since(at) < HOUR_SECONDS
        });
        let lately: Vec<_> = lately.collect();
        if lately.len() >= ASKED_PER_HOUR {
            return None;
        }
        // Whatever the setting covers shares its budget, so that a flood under `*` has no budget for each playbook.
        let covered = known
            .all()
            .filter(|one| setting.playbook == "*" || one.plan.playbook.id == plan.playbook.id);
        let begun = covered.filter_map(|one| began_by_itself(one));
        let begun = begun.filter(|at| now.seconds_since(*at) < HOUR_SECONDS);
        let begun = begun.count();
        let (signs, note) = match setting.mode {
            Mode::Automatic if suggestion.playbook.own.is_some() => (
                false,
                "somebody here wrote the playbook, so another person approves it",
            ),
            Mode::Automatic if plan.needs_two_people => {
                (false, "it can't be undone, so two people approve it")
            }
            Mode::Automatic if !setting.shoppers && reaches_shoppers(&plan) => (
                false,
                "shoppers would feel it, and that isn't allowed without a person",
            ),
            Mode::Automatic if begun >= setting.per_hour => (
                false,
                "as many runs began by themselves in the last hour as may",
            ),
            Mode::Automatic => (true, "set to be carried out at once"),
            _ => (false, "set to be asked for"),
        };
        let run = crate::runs::id_of(now, &id);
        Some(Order {
            id,
            run,
            incident: incident.id.clone(),
            // No person's account: a host that does nothing by itself tells it by that.
            by: Person {
                account: String::new(),
                name: MACHINE.to_owned(),
            },
            at: now,
            note: note.to_owned(),
            ask: Ask::Propose {
                host: setting.host.clone(),
                hash: hash_words(&plan),
                plan: Box::new(plan),
                answers: BTreeMap::new(),
                signs,
            },
        })
    }
}

/// When magewarden began a run without a person; `None` where somebody asked for it or approved it.
fn began_by_itself(standing: &Standing) -> Option<Timestamp> {
    let order = &standing.asked_by()?.order;
    let signs = matches!(order.ask, Ask::Propose { signs: true, .. });
    (signs && order.by.account.is_empty()).then_some(order.at)
}

/// Whether a step that isn't left to a person lacks something.
fn lacks(plan: &Plan) -> bool {
    plan.steps
        .iter()
        .any(|step| matches!(&step.work, Work::Action { missing, .. } if !missing.is_empty()))
}

/// Whether a shopper would notice a step.
fn reaches_shoppers(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| match &step.work {
        Work::Action { touched, .. } => {
            touched.is_everything || touched.is_unknown || !touched.views.is_empty()
        }
        Work::Person { .. } => false,
    })
}

/// The same incident, playbook and values are the same order, asked as often as findings come.
fn id_of(incident: &str, playbook: &str, values: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for part in [MACHINE, incident, playbook] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    for (name, value) in values {
        for part in [name, value] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
    }
    let digest = hash.finalize();
    hex(digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
#[path = "modes_tests.rs"]
mod tests;

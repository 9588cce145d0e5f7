//! What would be done about one incident: a playbook bound to it, before anybody approved anything.
//!
//! Values only; `playbook` makes them. What is approved is the hash over a plan's canonical JSON, so every number here is a
//! whole one and every collection ordered.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{ForensicImpact, Layer, Reach};

/// Whether something stops the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stops {
    /// What is closed can't act any more.
    Contains,
    /// It goes on by another way, or as soon as the step is undone.
    OnlyMitigates,
}

impl Stops {
    /// In words that stand before a step.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Contains => "contains: closes what it came through",
            Self::OnlyMitigates => "only mitigates: gains time, the cause stays",
        }
    }
}

/// What a step reaches, by the shop's own nesting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Codes of store views; empty when nobody but an actor is reached, or when the map of stores is empty.
    pub views: BTreeSet<String>,
    /// Codes of websites.
    pub websites: BTreeSet<String>,
    /// Whether it reaches everybody whom the host or installation serves, known here or not.
    pub is_everything: bool,
    /// What it names isn't in the map of stores: how far it reaches isn't known.
    pub is_unknown: bool,
}

/// What undoes a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoWords {
    /// In words.
    pub words: String,
    /// Whether something can't be undone, so that two people have to approve.
    pub is_danger: bool,
}

/// A condition that has to hold, or not to hold, before a step is done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Guard {
    /// The condition as the playbook has it, or which step has to fail.
    pub condition: String,
    /// Whether it has to hold.
    pub holds: bool,
}

/// Who does a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Work {
    /// An action of ours.
    Action {
        /// Name of the action, e.g. `close_view`.
        action: String,
        /// What it is given, in the form [`crate::Argument::read`] made of it; whoever acts reads it again.
        arguments: BTreeMap<String, String>,
        /// Parameters whose variable has no value yet: name of the parameter → name of the variable.
        missing: BTreeMap<String, String>,
        /// Where it takes hold.
        layer: Layer,
        /// Whom it reaches.
        reach: Reach,
        /// Which views and websites that is.
        touched: Touched,
        /// Whether they are meant to sell nothing while it holds; if not, the guard looks at them as at all others.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        closes: bool,
        /// What undoes it.
        undo: UndoWords,
        /// What it does to evidence.
        forensic_impact: ForensicImpact,
        /// What stays open after it; empty when nothing is known.
        stays_open: String,
    },
    /// Work for a person: what a document from elsewhere wants run is shown and never run.
    Person {
        /// What to do, each command in words or as the document has it.
        does: Vec<String>,
    },
}

/// What plans say that were made before steps said it: nobody was judged then whom a step reached.
const fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde asks for"
)]
const fn is_true(value: &bool) -> bool {
    *value
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Identifier of the playbook's step.
    pub id: String,
    /// Its name; empty when it has none.
    pub name: String,
    /// Conditions that couldn't be decided from what is known, outermost first.
    pub only_if: Vec<Guard>,
    /// Who does what.
    pub work: Work,
    /// What it does to the cause.
    pub stops: Stops,
    /// Seconds after approval by which it has to be done.
    pub deadline_seconds: Option<u32>,
    /// Milliseconds after its turn came after which it counts as failed, where it isn't done by then (CACAO 2.0 §4.1, `timeout`);
    /// from 1 to [`TIMEOUT_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_milliseconds: Option<u64>,
    /// Why evidence needn't be kept before it: two people have to approve that.
    pub waiver: Option<String>,
    /// What follows when a store suffers that it isn't to close.
    #[serde(default, skip_serializing_if = "OnBreach::is_hold")]
    pub on_breach: OnBreach,
}

/// Longest time-out of a step, in milliseconds: 30 days, as of a deadline.
pub const TIMEOUT_MAX: u64 = 2_592_000_000;

impl PlanStep {
    /// How long a step may wait, in words such as `10 minutes`; nothing where it may for ever.
    #[must_use]
    pub fn timeout_words(&self) -> Option<String> {
        let time = self.timeout_milliseconds?;
        let units = [(3_600_000, "hour"), (60_000, "minute"), (1000, "second")];
        let whole = units.into_iter().find(|(unit, _)| time % unit == 0);
        let (unit, name) = whole.unwrap_or((1, "millisecond"));
        let count = time / unit;
        let plural = if count == 1 { "" } else { "s" };
        Some(format!("{count} {name}{plural}"))
    }
}

/// What follows when a store no longer sells since a step that isn't to close it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// The step holds, and a person decides.
    #[default]
    Hold,
    /// The step is undone, unless a leak would go on through it.
    Undo,
}

impl OnBreach {
    /// Whether a person decides.
    #[must_use]
    pub const fn is_hold(&self) -> bool {
        matches!(self, Self::Hold)
    }

    /// In words, as a sentence's end.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Hold => {
                "if a store suffers that it isn't to close, it holds and a person decides"
            }
            Self::Undo => {
                "if a store suffers that it isn't to close, it is undone by itself once the cause is gone"
            }
        }
    }
}

/// Something a person has to answer before the plan can be carried out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// The variable, or the condition.
    pub about: String,
    /// What is asked.
    pub asks: String,
}

/// Which version of which playbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedBy {
    /// Identifier, `playbook--…`.
    pub id: String,
    /// Name.
    pub name: String,
    /// When this version was made (RFC 3339).
    pub modified: String,
}

/// A playbook bound to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this form; 1.
    pub version: u32,
    /// The playbook.
    pub playbook: PlannedBy,
    /// Values of variables it was made with.
    pub variables: BTreeMap<String, String>,
    /// Steps in an order that can be done.
    pub steps: Vec<PlanStep>,
    /// What is to be answered first.
    pub questions: Vec<Question>,
    /// Whether the whole stops the cause.
    pub stops: Stops,
    /// Why that is said.
    pub because: String,
    /// Whether two people have to approve it.
    pub needs_two_people: bool,
}

//! A plan being carried out or undone: what happened, in the order it happened. What comes of it is `playbook::Run`.
//!
//! An entry is written before what it announces is done, and after what it tells of; so each of them is safe to stop after.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Person, Plan, Timestamp, Verdict};

/// Version of [`RunEntry`] written today. A field is added with a default, never renamed.
pub const RUN_VERSION: u32 = 1;

/// One thing that would change, in words without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunChange {
    /// What it is, e.g. `store view fr`.
    pub what: String,
    /// How it is.
    pub now: String,
    /// How it would be.
    pub then: String,
}

/// A piece of evidence that was kept before anything was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// What it is, e.g. `processes`, `file pub/media/x.php`.
    pub name: String,
    /// Bytes kept, masked.
    pub bytes: u64,
    /// SHA-256 over the kept bytes, hexadecimal.
    pub hash: String,
    /// Why it could not be had, or is cut short; empty when it is whole.
    pub lacks: String,
}

/// What happened in a run. `step` is the place in the plan's list of steps, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
#[non_exhaustive]
pub enum Happened {
    /// People approved the plan; the first entry of every run.
    Approved {
        /// The plan.
        plan: Box<Plan>,
        /// SHA-256 over its canonical JSON, hexadecimal: what was approved.
        hash: String,
        /// Who; two where the plan needs two.
        by: Vec<Person>,
        /// Conditions that were answered with the approval.
        #[serde(default)]
        answers: BTreeMap<String, bool>,
    },
    /// It was looked at what is and what would be; what undoes the step is in the vault.
    Surveyed {
        /// Which step.
        step: usize,
        /// What would change.
        changes: Vec<RunChange>,
        /// SHA-256 over what is kept to undo it, hexadecimal; its name in the vault.
        kept: String,
        /// Whether all of it was so already: there is nothing to undo then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        already: bool,
    },
    /// Evidence was kept and is on disk.
    Kept {
        /// Which step.
        step: usize,
        /// What, most volatile first (RFC 3227 §2.1).
        pieces: Vec<Piece>,
    },
    /// The step is about to be done.
    Intended {
        /// Which step.
        step: usize,
        /// Whether it changes what evidence is read from, and the server had yet to seal what was kept of that: it was away, or slow.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unsealed: bool,
    },
    /// The step was done, and the world shows it.
    Done {
        /// Which step.
        step: usize,
    },
    /// Another run holds the same thing: this one relies on it and leaves it as it is.
    Relies {
        /// Which step.
        step: usize,
        /// Id of the other run.
        on: String,
    },
    /// The step failed; what was before is back, unless it is partly in effect.
    Failed {
        /// Which step.
        step: usize,
        /// Why.
        why: String,
        /// What of it is in effect; empty when nothing is.
        #[serde(default)]
        partly: String,
    },
    /// Nobody answered, or did the step, within the time that the plan gives it: it counts as failed, and nothing of it was done.
    TimedOut {
        /// Which step.
        step: usize,
    },
    /// The step is not to be done: a condition doesn't hold, or a person says so.
    Skipped {
        /// Which step.
        step: usize,
        /// Why.
        why: String,
        /// Who says so; nobody when a condition does.
        #[serde(default)]
        by: Option<Person>,
    },
    /// A condition was answered.
    Answered {
        /// The condition, as the playbook has it.
        condition: String,
        /// Whether it holds.
        holds: bool,
        /// Who says so.
        by: Person,
    },
    /// A person did what only a person can.
    PersonDid {
        /// Which step.
        step: usize,
        /// Who.
        by: Person,
        /// What they say of it.
        note: String,
    },
    /// A failed step is to be tried again.
    Retry {
        /// Which step.
        step: usize,
        /// Who says so.
        by: Person,
    },
    /// Two people take it upon themselves that no evidence is kept before a step.
    Waived {
        /// Which step.
        step: usize,
        /// Who; two.
        by: Vec<Person>,
        /// Why.
        why: String,
    },
    /// What was done is to be undone.
    UndoAsked {
        /// Which step; all of them when none is named, and then nothing more is done.
        #[serde(default)]
        step: Option<usize>,
        /// Who says so.
        by: Person,
        /// Why.
        why: String,
    },
    /// The step is about to be undone.
    UndoIntended {
        /// Which step.
        step: usize,
    },
    /// The step was undone, and the world shows it.
    Undone {
        /// Which step.
        step: usize,
        /// What can't be had back, e.g. sessions that ended; empty when all is as before.
        #[serde(default)]
        lost: String,
    },
    /// The step could not be undone.
    UndoFailed {
        /// Which step.
        step: usize,
        /// Why, and what is the case now.
        why: String,
    },
    /// An undo that failed is left to a person.
    UndoLeft {
        /// Which step.
        step: usize,
        /// Who takes it.
        by: Person,
        /// What they say of it.
        note: String,
    },
    /// The guard looked at the stores that a step isn't for, after it.
    Guarded {
        /// Which step.
        step: usize,
        /// What is said of each, by the view's code.
        #[serde(default)]
        verdicts: BTreeMap<String, Verdict>,
    },
    /// A store suffers from a step, the plan says that it is undone then, and no leak goes on through it: it is to be undone.
    Unwound {
        /// Which step.
        step: usize,
        /// What the store suffers from.
        why: String,
    },
    /// A person lets a step hold although a store suffers from it.
    Heeded {
        /// Which step.
        step: usize,
        /// Who says so.
        by: Person,
        /// Why.
        note: String,
    },
    /// The run is over: what undoes it is destroyed, it can't be undone any more.
    Closed {
        /// Who says so.
        by: Person,
    },
}

/// An entry of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEntry {
    /// [`RUN_VERSION`].
    pub v: u32,
    /// Id of the run.
    pub run: String,
    /// Its place in the run, from 0: an entry that comes twice counts once.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Id of the order that it carries out, where it came from the console.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
    /// What happened.
    #[serde(flatten)]
    pub what: Happened,
}

//! What people decide about an incident: each decision a plain value with a name and a reason.
//!
//! A decision is sealed as it is; what comes of all of them is [`crate::Handling`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{IncidentState, Level, Timestamp};

/// Whoever decides, as the decision names them for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// Id of the account.
    pub account: String,
    /// The name shown, as it was then.
    pub name: String,
}

/// What a remark is: facts and guesses are kept apart, since what is written here may be read in court.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommentKind {
    /// Something seen or done.
    #[default]
    Fact,
    /// A guess, marked as one.
    Hypothesis,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// To be done.
    #[default]
    Open,
    /// Done.
    Done,
    /// Not to be done, for a reason.
    Dropped,
}

impl TaskState {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Dropped => "dropped",
        }
    }
}

/// A file attached to an incident, as it is kept: what could be masked is, and what couldn't wasn't taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name, without folders, control and direction characters. At most 200 bytes.
    pub name: String,
    /// What it is, in the person's words. At most 500 characters.
    pub about: String,
    /// Bytes of it; masking keeps their number.
    pub size_bytes: u64,
    /// Places masked in it.
    pub masked: u64,
    /// Hash of what was handed over, hexadecimal. Keyed when something was masked: a plain one beside the masked bytes gives
    /// the number back.
    pub hash: String,
    /// `sha256` or `hmac-sha256`.
    pub hash_kind: String,
    /// SHA-256 of what is kept, hexadecimal.
    pub kept_hash: String,
    /// Entries that hold it, in order: those right before the decision's own.
    pub entries: u32,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act")]
#[non_exhaustive]
pub enum Act {
    /// Says that somebody looks: the clock to the first human answer stops.
    Acknowledge,
    /// Moves it in its life.
    Move {
        /// Where to.
        to: IncidentState,
    },
    /// Sets the severity, never below what the standard weighs.
    Severity {
        /// To this; `None` is the machine's own again.
        to: Option<Level>,
        /// What the machine's was then: what weighs more later isn't held down by this.
        #[serde(default)]
        told: Level,
    },
    /// Says who leads.
    Lead {
        /// Nobody when absent.
        to: Option<Person>,
    },
    /// Writes a remark.
    Comment {
        /// The text, card numbers masked. At most 16 KiB.
        text: String,
        /// Fact or guess.
        kind: CommentKind,
    },
    /// Adds a task.
    AddTask {
        /// What is to be done. At most 500 characters.
        title: String,
        /// Whose it is.
        owner: Option<Person>,
        /// By when.
        due: Option<Timestamp>,
    },
    /// Changes a task.
    ChangeTask {
        /// Its number in the incident, from 1.
        task: u32,
        /// Whose it is.
        owner: Option<Person>,
        /// By when.
        due: Option<Timestamp>,
        /// Where it is.
        state: TaskState,
    },
    /// Begins or ends watching: whoever watches is told of each change.
    Watch {
        /// Whether to.
        on: bool,
    },
    /// Puts the incident into another.
    Merge {
        /// Which goes on.
        into: String,
    },
    /// Takes findings out into an incident of their own.
    Split {
        /// The findings.
        findings: Vec<String>,
    },
    /// Fills a stage of a flow, e.g. `decide` of `pan_leak`.
    Stage {
        /// The flow.
        flow: String,
        /// The stage.
        stage: String,
        /// What was filled in, by the field's id.
        fields: BTreeMap<String, String>,
    },
    /// Attaches a file.
    Attach(Attachment),
}

impl Act {
    /// Its name in the API and in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Move { .. } => "move",
            Self::Severity { .. } => "severity",
            Self::Lead { .. } => "lead",
            Self::Comment { .. } => "comment",
            Self::AddTask { .. } => "add_task",
            Self::ChangeTask { .. } => "change_task",
            Self::Watch { .. } => "watch",
            Self::Merge { .. } => "merge",
            Self::Split { .. } => "split",
            Self::Stage { .. } => "stage",
            Self::Attach(_) => "attach",
        }
    }
}

/// A person's decision about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its own id: told twice, it counts once.
    pub id: String,
    /// The incident.
    pub incident: String,
    /// Whose it is.
    pub by: Person,
    /// When it was taken.
    pub at: Timestamp,
    /// How many decisions on this incident the person knew of: what somebody else changed since isn't overwritten.
    pub seen: u64,
    /// What.
    #[serde(flatten)]
    pub act: Act,
    /// Why, in the person's words; empty where none is asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

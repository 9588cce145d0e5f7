//! What people ask of a run from the console, and what passes between the server and the host that carries it out.
//!
//! Two directions, each told as often as it takes and taken once: an [`Order`] is a person's decision, sealed before a host hears of
//! it as an [`Instruction`]; a [`RunEntry`](crate::RunEntry) is what the host wrote down, sealed when it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Orders, Person, Plan, Revenue, RunEntry, Timestamp};

/// Version of [`Instruction`], [`HostReport`] and [`HostReply`] written today. A field is added with a default, never renamed.
pub const ORDER_VERSION: u32 = 1;

/// What people say to a run. What a word means follows from what the run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The condition it asks for holds.
    Yes,
    /// The condition it asks for doesn't hold.
    No,
    /// A person did the step it waits at, or takes over what could not be undone.
    Done,
    /// The step it waits at is left out.
    Skip,
    /// The step that failed is tried again.
    Retry,
    /// No evidence is kept before the step; two people say so.
    Waive,
    /// What was done is undone, last step first.
    Undo,
    /// The run is over: what undoes it is destroyed.
    Close,
}

impl Word {
    /// Every word.
    pub const ALL: [Self; 8] = [
        Self::Yes,
        Self::No,
        Self::Done,
        Self::Skip,
        Self::Retry,
        Self::Waive,
        Self::Undo,
        Self::Close,
    ];

    /// Its name in the API and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Done => "done",
            Self::Skip => "skip",
            Self::Retry => "retry",
            Self::Waive => "waive",
            Self::Undo => "undo",
            Self::Close => "close",
        }
    }

    /// The word of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.name() == name)
    }

    /// Whether it answers what a run waits for at one place and no other.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        !matches!(self, Self::Undo | Self::Close)
    }
}

/// What is asked of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
#[non_exhaustive]
pub enum Ask {
    /// That a plan be carried out; nothing is done before it is approved.
    Propose {
        /// The host that would.
        host: String,
        /// The plan.
        plan: Box<Plan>,
        /// SHA-256 over its canonical JSON, hexadecimal.
        hash: String,
        /// Conditions that are answered with it.
        #[serde(default)]
        answers: BTreeMap<String, bool>,
        /// Whether asking for it is approving it: whoever asks may.
        #[serde(default)]
        signs: bool,
    },
    /// The plan of this hash is approved.
    Approve {
        /// What was read and approved.
        hash: String,
    },
    /// The plan isn't to be carried out, before it began.
    Withdraw,
    /// A word to a run that is carried out.
    Say {
        /// How many of its entries the person knew of.
        seen: u64,
        /// The word.
        word: Word,
    },
}

/// A person's decision about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its own id: told twice, it counts once.
    pub id: String,
    /// The run; it has its name before it begins.
    pub run: String,
    /// The incident it is for.
    pub incident: String,
    /// Whose it is.
    pub by: Person,
    /// When.
    pub at: Timestamp,
    /// Why, or what is to be remembered of it.
    #[serde(default)]
    pub note: String,
    /// What.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What a host is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
#[non_exhaustive]
pub enum Instructed {
    /// Begin a run.
    Begin {
        /// The plan.
        plan: Box<Plan>,
        /// SHA-256 over its canonical JSON, hexadecimal.
        hash: String,
        /// Conditions that were answered.
        answers: BTreeMap<String, bool>,
    },
    /// Take a word for a run.
    Say {
        /// How many of its entries people knew of.
        seen: u64,
        /// The word.
        word: Word,
        /// Why, or what is to be remembered of it.
        note: String,
    },
}

/// One instruction to one host: what the server signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// [`ORDER_VERSION`].
    pub v: u32,
    /// The installation.
    pub installation: String,
    /// The host.
    pub host: String,
    /// The run.
    pub run: String,
    /// Id of the order: carried out once, whatever is sent how often.
    pub order: String,
    /// Who decided it.
    pub by: Vec<Person>,
    /// When it was signed, by the server's clock.
    pub at: Timestamp,
    /// From when on it isn't to be carried out any more.
    pub until: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Instructed,
}

/// That a host won't carry out an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The run.
    pub run: String,
    /// Id of the order.
    pub order: String,
    /// Why, in words.
    pub why: String,
    /// When, by the host's clock.
    pub at: Timestamp,
}

/// What a host tells the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// [`ORDER_VERSION`].
    pub v: u32,
    /// The host's clock.
    pub at: Timestamp,
    /// Version of its program.
    pub program: String,
    /// Actions that its policy lets it do, by name.
    pub actions: Vec<String>,
    /// Why nothing is done there at the moment; empty when nothing holds it up.
    pub frozen: String,
    /// Entries of runs that the server hasn't acknowledged, in order.
    pub entries: Vec<RunEntry>,
    /// Orders it won't carry out that the server hasn't acknowledged.
    pub refused: Vec<Refused>,
    /// What its stores sell, where its guard counts that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sales: Option<Sales>,
}

/// What the stores of a shop sold lately, as its database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sales {
    /// When it was counted.
    pub at: Timestamp,
    /// Consumers' orders by the code of the store view.
    pub views: BTreeMap<String, Orders>,
    /// What they came to, where the host can tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revenue: BTreeMap<String, Revenue>,
}

/// What the server answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReply {
    /// [`ORDER_VERSION`].
    pub v: u32,
    /// The server's clock.
    pub at: Timestamp,
    /// By run, how many of its entries are sealed: what is below needn't be told again.
    pub sealed: BTreeMap<String, u64>,
    /// Ids of orders whose refusal is sealed.
    pub heard: Vec<String>,
    /// [`Instruction`]s as JSON, each signed.
    pub instructions: Vec<Signed>,
    /// By run that isn't over, seconds since what its incident is made of last showed anything; a run of which that isn't known is
    /// left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quiet_seconds: BTreeMap<String, u64>,
    /// Evidence that the host kept and is to hand over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<WantedPiece>,
}

/// A piece of evidence that the server has the hash of and wants to have itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WantedPiece {
    /// The run.
    pub run: String,
    /// SHA-256 over its bytes, hexadecimal.
    pub hash: String,
}

/// An instruction's exact bytes with their signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The instruction as JSON.
    pub text: String,
    /// Ed25519 over [`Signed::message`], base64.
    pub signature: String,
}

impl Signed {
    /// What is signed: nothing else that this key signs begins so.
    #[must_use]
    pub fn message(text: &str) -> Vec<u8> {
        [b"magewarden instruction 1\n", text.as_bytes()].concat()
    }
}

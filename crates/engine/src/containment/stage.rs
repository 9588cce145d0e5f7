//! Where a run is, as people ask, and why what they ask of it doesn't fit.

use playbook::{RunError, Wait};

/// Where a run is, as people ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// More people have to approve it.
    Proposed {
        /// How many more.
        lacks: usize,
    },
    /// Nobody wants it any more.
    Withdrawn,
    /// Its host has yet to hear of it.
    Ordered,
    /// Its host didn't hear of it in time: nothing was done.
    Lapsed,
    /// Its host won't.
    Refused {
        /// Why.
        why: String,
    },
    /// Its host is at it.
    Running,
    /// It waits for a person.
    Waits(Wait),
    /// All was done that was to be done.
    Done,
    /// What was done is undone.
    Undone,
    /// It is over for good.
    Closed,
}

/// Why an order doesn't fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// Another run has this id.
    #[error("there is a run of this id")]
    Known,
    /// Nothing was proposed under this id.
    #[error("there is no such run")]
    NoRun,
    /// Another plan was read than the one that waits.
    #[error("the plan isn't the one you read: read it again")]
    OtherPlan,
    /// It was asked for by the same person.
    #[error("you asked for this plan, so another person has to approve it")]
    Own,
    /// It was approved by the same person before.
    #[error("you approved this plan already")]
    Twice,
    /// It is too late for it.
    #[error("{0}")]
    Late(String),
    /// The run has gone on since the page was made.
    #[error("the run has gone on since you looked: look again")]
    Moved,
    /// It isn't what the run waits for.
    #[error(transparent)]
    Unfit(#[from] RunError),
}

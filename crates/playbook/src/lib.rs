//! Playbooks: OASIS CACAO 2.0 documents, read without loss, checked, bound to an incident as a plan.
//!
//! Pure: bytes and plain values in, plain values out. Every document may be somebody else's: nothing here panics, nothing
//! of a document is ever run, and everything has a limit. Why so: `docs/decisions/0013-from-a-playbook-to-a-run.md`.

mod canonical;
mod check;
mod condition;
mod document;
mod drawing;
mod edit;
mod expected;
mod extension;
mod fits;
mod flow;
mod judge;
mod order;
mod outline;
mod plan;
mod problem;
mod reach;
mod run;
mod strict;
mod words;

pub use canonical::{canonical, hash};
pub use check::check;
pub use condition::{Condition, ConditionError, Known};
pub use document::{Answers, Command, Document, Next, ReadError, Step, StepKind, Variable};
pub use drawing::{
    DOT_SIZE, Drawing, FORK_SIZE, Line, Mark, PILL_SIZE, SHAPES_MAX, STEP_SIZE, Shape, Way,
};
pub use edit::{EditError, StepChange, change_step, insert_after, move_down, move_up, remove_step};
pub use expected::EXPECTED;
pub use extension::{EXTENSION, IDENTITY, Wanted};
pub use fits::fits;
pub use judge::judge;
pub use order::{Law, Refusal, line, orders};
pub use outline::{Item, Outlined, outline};
pub use plan::{PlanError, plan};
pub use problem::{Problem, Weight};
pub use run::{
    KEEP_EVIDENCE, LineError, LineFault, Run, RunError, RunStep, StepState, Turn, Wait, hash_words,
};
pub use words::{diagram, step_words, whom};

/// Largest document that is read, in bytes.
pub const BYTES_MAX: usize = 1 << 20;

/// Most steps of a document.
pub const STEPS_MAX: usize = 500;

/// Deepest nesting of a document's JSON.
pub const DEPTH_MAX: usize = 32;

/// Deepest nesting of branches in branches.
pub const BRANCHES_DEEP_MAX: usize = 6;

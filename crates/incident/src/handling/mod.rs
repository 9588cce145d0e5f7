//! What people may do with an incident, and what comes of it.
//!
//! Pure: the same answer for whoever asks before a decision is written and for the pipeline that
//! seals it. A decision that is sealed was allowed; folding it again asks nothing.

mod check;
mod flow;
mod life;
mod measures;

pub use check::{
    ATTACHED_BYTES_MAX, COMMENT_BYTES_MAX, FILE_NAME_BYTES_MAX, NAME_CHARS_MAX, Refusal, check,
};
pub use flow::{Choice, FieldKind, Flow, FlowError, FlowField, FlowStage, Flows};
pub use life::{Move, moves};
pub use measures::{MEASURES, Measure, measure};

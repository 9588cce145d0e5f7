//! Findings → incidents: who did what to what, what left, whom to tell by when.
//!
//! A fold: the same findings in give the same incidents out. A machine sets only `signal`; everything
//! else is a named person's decision. Nothing here says that anyone complies with anything.

mod clock;
mod exposure;
mod group;
mod obligation;

pub use clock::{Limit, due};
pub use group::{Change, Grouper, GroupingSettings};
pub use obligation::{ObligationError, ObligationRules};

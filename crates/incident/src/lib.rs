//! Grouping as a graph, and clocks with calendars: same findings in, same incidents out, in any order.
//!
//! Beside the plain fold of the crate's root, which judges each finding as it arrives: here
//! incidents are the connected parts of all findings, so the order of arrival can't matter, an
//! identifier that turns out shared parts what it joined, and duties know calendars and chains.
//!
//! Invariants: a machine sets no state but `signal` and `merged`; duties are *projected* only.

mod calendar;
mod clock;
mod compose;
pub mod containment;
mod exposure;
mod grouper;
pub mod handling;
mod held;
mod links;
mod near;
mod pins;
#[cfg(test)]
mod plain;
mod project;
mod regroup;
mod rest;
mod restore;
mod rules;
mod settings;
mod sharing;
mod telling;
mod title;
mod twins;

pub use calendar::{BusinessCalendar, CalendarError};
pub use clock::{Candidate, ClockEngine, ClockError, Deadline, Delay, Facts};
pub use exposure::{PAGE, is_shared};
pub use grouper::{Change, Grouper};
pub use rest::Rested;
pub use rules::{Limit, ObligationError, ObligationRule, ObligationRules, Outer, Trigger};
pub use settings::{EntityProfile, GroupingSettings};
pub use telling::{Duties, Reach, called, is_place, reach};

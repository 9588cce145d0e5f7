//! Findings → incidents: grouping, exposure, severity and the duties to tell someone.
//!
//! Apart because it decides and does nothing else: a fold over findings, pure, so that the same
//! ledger gives the same incidents, in any order of arrival. What the law and the contracts say is
//! data (`content/obligations/*.toml`); only the arithmetic of time is code.
//!
//! Invariants: a machine sets no state but `signal` and `merged`; duties are *projected* only.

mod calendar;
mod clock;
mod compose;
mod exposure;
mod grouper;
mod links;
mod project;
mod rules;
mod settings;
mod sharing;

pub use calendar::{BusinessCalendar, CalendarError};
pub use clock::{Candidate, ClockEngine, ClockError, Deadline, Delay, Facts};
pub use grouper::{Change, Grouper};
pub use rules::{Limit, ObligationError, ObligationRule, ObligationRules, Outer, Trigger};
pub use settings::{EntityProfile, GroupingSettings};

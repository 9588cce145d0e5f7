//! When a duty to tell someone falls due: hours, days, working days, months, chains, disputes.
//!
//! Apart from the rules because it is arithmetic alone, pure, and tested by vectors. Hours pass
//! through nights, weekends and changes of the clock; days are those of the recipient's zone.
//!
//! Invariant: nothing pauses a clock but a ground its rule names, with a document.

use std::collections::BTreeMap;

use jiff::civil::Time;
use jiff::{ToSpan, ZonedDateTime};
use model::Timestamp;

use crate::rules::Roll;
use crate::{BusinessCalendar, Limit, ObligationRule, ObligationRules, Trigger};

/// A time at which a trigger may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// When.
    pub at: Timestamp,
    /// Who says so, and why.
    pub because: String,
}

/// A documented ground to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The ground, one of the rule's `can_delay`, e.g. `law enforcement`.
    pub ground: String,
    /// What documents it; never empty.
    pub document: String,
    /// Until when.
    pub until: Timestamp,
}

/// What is known of an incident that clocks depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Times of triggers; several where it is disputed.
    pub times: BTreeMap<Trigger, Vec<Candidate>>,
    /// Reports sent, by rule id.
    pub sent: BTreeMap<String, Timestamp>,
    /// Delays, by rule id.
    pub delays: BTreeMap<String, Delay>,
}

/// One deadline of a duty, by one reading of the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When the clock started.
    pub started: Timestamp,
    /// Who says that it did.
    pub because: String,
    /// By when, by the strictest reading; `None` when the rule has no figure.
    pub due: Option<Timestamp>,
    /// By when, by the mildest reading that is argued; never earlier than `due`.
    pub due_latest: Option<Timestamp>,
    /// Half of the time: what to aim at.
    pub internal_target: Option<Timestamp>,
    /// The documented ground it waits for, if any.
    pub delayed_by: Option<String>,
}

/// Why there is no deadline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// No such rule.
    #[error("no obligation `{id}`")]
    NoRule {
        /// What was asked for.
        id: String,
    },
    /// A delay on a ground the rule doesn't name, or without a document.
    #[error("`{id}` can't wait for `{ground}` without a document and a ground the rule names")]
    DelayRefused {
        /// The rule.
        id: String,
        /// The ground given.
        ground: String,
    },
    /// The time is out of the range calendars cover.
    #[error("a time of `{id}` is out of range")]
    OutOfRange {
        /// The rule.
        id: String,
    },
}

/// Computes deadlines from rules and facts.
#[derive(Clone, Debug)]
pub struct ClockEngine {
    rules: ObligationRules,
}

/// Strictest and mildest reading of one limit.
#[derive(Clone, Copy)]
struct Due {
    strict: Timestamp,
    mild: Timestamp,
}

impl ClockEngine {
    /// Takes the rules.
    #[must_use]
    pub fn new(rules: &ObligationRules) -> Self {
        Self {
            rules: rules.clone(),
        }
    }

    /// Gives a duty's deadlines, earliest first: one for each reading of a disputed start, none
    /// while nothing started it.
    ///
    /// # Errors
    ///
    /// [`ClockError`] when there is no such rule, a delay isn't allowed, or a time is out of range.
    pub fn deadlines(&self, id: &str, facts: &Facts) -> Result<Vec<Deadline>, ClockError> {
        let rule = self
            .rules
            .rule(id)
            .ok_or_else(|| ClockError::NoRule { id: id.to_owned() })?;
        let starts = starts(rule, facts);
        let mut out = Vec::new();
        if let Some(outer) = rule.outer {
            let bounds = facts
                .times
                .get(&outer.starts_from)
                .map_or(&[][..], Vec::as_slice);
            for bound in bounds {
                let limit = bound.at.plus_seconds(i64::from(outer.hours) * 3600);
                if starts.is_empty() {
                    let due = Due {
                        strict: limit,
                        mild: limit,
                    };
                    out.push(self.deadline(rule, bound, Some(due), facts)?);
                }
                for start in &starts {
                    let due = self.due(rule, start.at)?.map(|due| {
                        // Once the outer bound has passed before the start, only the inner one is left.
                        if start.at > limit {
                            return due;
                        }
                        Due {
                            strict: due.strict.min(limit),
                            mild: due.mild.min(limit),
                        }
                    });
                    out.push(self.deadline(rule, start, due, facts)?);
                }
            }
            if !bounds.is_empty() {
                out.sort_by_key(|deadline| (deadline.due, deadline.started));
                return Ok(out);
            }
        }
        for start in &starts {
            let due = self.due(rule, start.at)?;
            out.push(self.deadline(rule, start, due, facts)?);
        }
        out.sort_by_key(|deadline| (deadline.due, deadline.started));
        Ok(out)
    }

    fn deadline(
        &self,
        rule: &ObligationRule,
        start: &Candidate,
        due: Option<Due>,
        facts: &Facts,
    ) -> Result<Deadline, ClockError> {
        let delay = facts.delays.get(&rule.id);
        if let Some(delay) = delay
            && (delay.document.trim().is_empty() || !rule.can_delay.contains(&delay.ground))
        {
            return Err(ClockError::DelayRefused {
                id: rule.id.clone(),
                ground: delay.ground.clone(),
            });
        }
        let wait = |at: Timestamp| delay.map_or(at, |delay| at.max(delay.until));
        let strict = due.map(|due| wait(due.strict));
        Ok(Deadline {
            started: start.at,
            because: start.because.clone(),
            due: strict,
            due_latest: due.map(|due| wait(due.mild).max(wait(due.strict))),
            internal_target: strict.map(|due| Timestamp(start.at.0.midpoint(due.0))),
            delayed_by: delay.map(|delay| delay.ground.clone()),
        })
    }

    fn due(&self, rule: &ObligationRule, start: Timestamp) -> Result<Option<Due>, ClockError> {
        let Some(limit) = rule.limit else {
            return Ok(None);
        };
        let range = || ClockError::OutOfRange {
            id: rule.id.clone(),
        };
        let seconds = match limit {
            Limit::Minutes(minutes) => Some(i64::from(minutes) * 60),
            Limit::Hours(hours) => Some(i64::from(hours) * 3600),
            Limit::CalendarDays(_) | Limit::BusinessDays(_) | Limit::Months(_) => None,
        };
        if let Some(seconds) = seconds {
            let strict = start.plus_seconds(seconds);
            let mild = if rule.first_hour_disputed {
                strict.plus_seconds(3600)
            } else {
                strict
            };
            return Ok(Some(Due { strict, mild }));
        }
        let mut all: Option<Due> = None;
        for calendar in rule
            .calendars
            .iter()
            .filter_map(|id| self.rules.calendar(id))
        {
            let due = days(rule, limit, calendar, start).ok_or_else(range)?;
            all = Some(all.map_or(due, |all| Due {
                strict: all.strict.min(due.strict),
                mild: all.mild.max(due.mild),
            }));
        }
        Ok(all)
    }
}

/// When a rule's clock may have started.
fn starts(rule: &ObligationRule, facts: &Facts) -> Vec<Candidate> {
    if let Some(before) = &rule.chained_after {
        return facts
            .sent
            .get(before)
            .map(|at| Candidate {
                at: *at,
                because: format!("`{before}` was sent"),
            })
            .into_iter()
            .collect();
    }
    facts
        .times
        .get(&rule.starts_from)
        .cloned()
        .unwrap_or_default()
}

/// A limit in days by one calendar: strictly the same time of day, mildly the day's end.
fn days(
    rule: &ObligationRule,
    limit: Limit,
    calendar: &BusinessCalendar,
    start: Timestamp,
) -> Option<Due> {
    let start = jiff::Timestamp::from_microsecond(start.0)
        .ok()?
        .to_zoned_datetime(calendar.zone().clone());
    let (mut strict, business) = match limit {
        Limit::Minutes(_) | Limit::Hours(_) => return None,
        Limit::CalendarDays(count) => (start.checked_add(i64::from(count).days()).ok()?, false),
        Limit::Months(count) => (start.checked_add(i64::from(count).months()).ok()?, false),
        Limit::BusinessDays(count) => {
            let date = calendar.working_day_after(start.date(), count)?;
            (at(date.to_datetime(start.time()), &start)?, true)
        }
    };
    if rule.roll == Roll::NextWorkingDay && !calendar.is_working_day(strict.date()) {
        let date = calendar.working_day_after(strict.date(), 1)?;
        strict = at(date.to_datetime(strict.time()), &strict)?;
    }
    let close = match rule.closes_minute {
        None => None,
        Some(minute) => {
            let (hour, minute) = (
                i8::try_from(minute / 60).ok()?,
                i8::try_from(minute % 60).ok()?,
            );
            Some(Time::new(hour, minute, 0, 0).ok()?)
        }
    };
    let end = match close {
        Some(close) => at(strict.date().to_datetime(close), &strict)?,
        None => strict.end_of_day().ok()?,
    };
    // Working days are whole days: their end is what everyone means.
    let strict = if business { end.clone() } else { strict };
    let micros = |zoned: &ZonedDateTime| Timestamp(zoned.timestamp().as_microsecond());
    Some(Due {
        strict: micros(&strict),
        mild: micros(&strict).max(micros(&end)),
    })
}

fn at(local: jiff::civil::DateTime, like: &ZonedDateTime) -> Option<ZonedDateTime> {
    local.to_zoned_datetime(like.time_zone().clone()).ok()
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;

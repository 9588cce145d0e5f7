//! The duties to tell someone, as files of obligations say them.
//!
//! Apart from the clock because this is reading and checking, that is arithmetic. Each rule carries
//! its source and how sure it is; none is confirmed by counsel unless it says so.
//!
//! Invariants: ids are unique; every predecessor and calendar a rule names exists.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::calendar::{BusinessCalendar, CalendarError, CalendarSource};

/// What a clock starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trigger {
    /// A machine or a person noticed it.
    Detected,
    /// A named person called it suspected.
    Suspected,
    /// The organisation is aware, by a named person's decision.
    Aware,
    /// Determined to be reportable, by a named person's decision.
    DeterminedReportable,
    /// Classified as major.
    ClassifiedMajor,
    /// Determined to be material.
    DeterminedMaterial,
    /// A forensic investigator was ordered or engaged.
    InvestigatorEngaged,
    /// Money was paid to an extortionist.
    PaymentMade,
    /// The report named by `chained_after` was sent.
    PriorReportSent,
    /// The assessment whether to notify is complete.
    AssessmentComplete,
    /// The incident is over.
    Resolved,
}

impl Trigger {
    /// Whether the trigger can be argued to have happened as soon as the incident was detected.
    #[must_use]
    pub const fn is_arguable_at_detection(self) -> bool {
        matches!(
            self,
            Self::Detected
                | Self::Suspected
                | Self::Aware
                | Self::DeterminedReportable
                | Self::ClassifiedMajor
                | Self::DeterminedMaterial
                | Self::AssessmentComplete
        )
    }
}

/// A time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// Minutes as they pass.
    Minutes(u32),
    /// Hours as they pass, through nights and weekends.
    Hours(u32),
    /// Days of the recipient's calendar.
    CalendarDays(u32),
    /// Working days of the recipient's calendar; the day it starts isn't counted.
    BusinessDays(u32),
    /// Months: same day number, else the month's last day.
    Months(u32),
}

/// A second bound of a conditional clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outer {
    /// Hours from its own start.
    pub hours: u32,
    /// What it starts from.
    pub starts_from: Trigger,
}

/// How a deadline at a weekend is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Roll {
    /// It stays.
    #[default]
    Stays,
    /// It moves to the next working day.
    NextWorkingDay,
}

/// One duty to tell someone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObligationRule {
    /// Stable id.
    pub id: String,
    /// The regime in words.
    pub regime: String,
    /// `contractual`, `statutory`, `supervisory`, `listing` or `internal`.
    pub kind: String,
    /// Who must be told.
    pub recipient: String,
    /// What the clock starts from.
    pub starts_from: Trigger,
    /// The same in words.
    pub trigger: String,
    /// The limit; none for "without undue delay" and its like.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// The limit in words.
    pub limit_text: String,
    /// A second bound of a conditional clock.
    #[serde(default)]
    pub outer: Option<Outer>,
    /// The rule whose report must be sent before.
    #[serde(default)]
    pub chained_after: Option<String>,
    /// Calendars of whoever counts; with several the earliest deadline counts, all are shown.
    #[serde(default)]
    pub calendars: Vec<String>,
    /// Local time on the last day after which sending counts as the next day, minutes of the day.
    #[serde(default)]
    pub closes_minute: Option<u16>,
    /// What becomes of a deadline at a weekend.
    #[serde(default)]
    pub(crate) roll: Roll,
    /// Whether it is disputed that the hour in which it starts counts.
    #[serde(default)]
    pub first_hour_disputed: bool,
    /// Documented grounds that may pause it; without one it never pauses.
    #[serde(default)]
    pub can_delay: Vec<String>,
    /// Data it is about: `card`, `token`, `credential`, `personal`. Empty: any.
    #[serde(default)]
    pub data: BTreeSet<String>,
    /// Residence of the people concerned. Empty: wherever they live.
    #[serde(default)]
    pub regions: BTreeSet<String>,
    /// What the merchant must be. Empty: any merchant.
    #[serde(default)]
    pub entities: BTreeSet<String>,
    /// Facts it also depends on, in words.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Whether the machine may project it; off where it isn't law yet or needs a fact no log tells.
    #[serde(default = "yes")]
    pub projected: bool,
    /// Since when it applies, if it doesn't yet: `2027-03-18`.
    #[serde(default)]
    pub effective_from: Option<String>,
    /// Where the rule is from.
    pub source: String,
    /// `verified`, `single source`, `unverified`.
    pub confidence: String,
    /// Whether counsel confirmed it.
    #[serde(default)]
    pub counsel_confirmed: bool,
    /// Anything else a reader should know.
    #[serde(default)]
    pub note: String,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    obligation: Vec<ObligationRule>,
    #[serde(default)]
    calendar: Vec<CalendarSource>,
}

/// Why obligations can't be used. Whose fault: the author of the named file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObligationError {
    /// A file is no TOML of this shape.
    #[error("`{name}` is no file of obligations")]
    Syntax {
        /// Name of the file.
        name: String,
        /// What the reader said.
        source: Box<toml::de::Error>,
    },
    /// An id occurs twice.
    #[error("`{id}` in `{name}` is there twice")]
    Duplicate {
        /// Name of the file.
        name: String,
        /// The id.
        id: String,
    },
    /// A rule names a calendar or predecessor that isn't there, or says a word that isn't one.
    #[error("`{id}` names an unknown {what}: `{value}`")]
    Unknown {
        /// The rule's id.
        id: String,
        /// What is unknown, e.g. `calendar`.
        what: &'static str,
        /// What it says.
        value: String,
    },
    /// A calendar can't be used.
    #[error("a calendar in `{name}` can't be used")]
    Calendar {
        /// Name of the file.
        name: String,
        /// What is wrong.
        source: CalendarError,
    },
}

/// All duties and the calendars they count by.
#[derive(Clone, Debug, Default)]
pub struct ObligationRules {
    rules: BTreeMap<String, ObligationRule>,
    calendars: BTreeMap<String, BusinessCalendar>,
}

impl ObligationRules {
    /// Reads files given as (name, TOML text).
    ///
    /// # Errors
    ///
    /// [`ObligationError`] when a file can't be read or names what isn't there.
    pub fn parse(sources: &[(&str, &str)]) -> Result<Self, ObligationError> {
        let mut out = Self::default();
        for (name, text) in sources {
            let file: File = toml::from_str(text).map_err(|source| ObligationError::Syntax {
                name: (*name).to_owned(),
                source: Box::new(source),
            })?;
            for calendar in file.calendar {
                let calendar = BusinessCalendar::new(calendar).map_err(|source| {
                    ObligationError::Calendar {
                        name: (*name).to_owned(),
                        source,
                    }
                })?;
                let id = calendar.id().to_owned();
                if out.calendars.insert(id.clone(), calendar).is_some() {
                    return Err(ObligationError::Duplicate {
                        name: (*name).to_owned(),
                        id,
                    });
                }
            }
            for rule in file.obligation {
                let id = rule.id.clone();
                if out.rules.insert(id.clone(), rule).is_some() {
                    return Err(ObligationError::Duplicate {
                        name: (*name).to_owned(),
                        id,
                    });
                }
            }
        }
        out.check()?;
        Ok(out)
    }

    fn check(&self) -> Result<(), ObligationError> {
        const CONFIDENCE: &[&str] = &["verified", "single source", "unverified"];
        const KINDS: &[&str] = &[
            "contractual",
            "statutory",
            "supervisory",
            "listing",
            "internal",
        ];
        const DATA: &[&str] = &["card", "token", "credential", "personal"];
        for rule in self.rules.values() {
            let unknown = |what, value: &str| ObligationError::Unknown {
                id: rule.id.clone(),
                what,
                value: value.to_owned(),
            };
            for calendar in &rule.calendars {
                if !self.calendars.contains_key(calendar) {
                    return Err(unknown("calendar", calendar));
                }
            }
            if let Some(before) = &rule.chained_after
                && (!self.rules.contains_key(before)
                    || rule.starts_from != Trigger::PriorReportSent)
            {
                return Err(unknown("predecessor", before));
            }
            if rule.starts_from == Trigger::PriorReportSent && rule.chained_after.is_none() {
                return Err(unknown("predecessor", ""));
            }
            if !CONFIDENCE.contains(&rule.confidence.as_str()) {
                return Err(unknown("confidence", &rule.confidence));
            }
            if !KINDS.contains(&rule.kind.as_str()) {
                return Err(unknown("kind", &rule.kind));
            }
            if let Some(data) = rule.data.iter().find(|data| !DATA.contains(&data.as_str())) {
                return Err(unknown("data class", data));
            }
            let days = matches!(
                rule.limit,
                Some(Limit::CalendarDays(_) | Limit::BusinessDays(_) | Limit::Months(_))
            );
            if days && rule.calendars.is_empty() {
                return Err(unknown("calendar", "none, though it counts days"));
            }
        }
        Ok(())
    }

    /// One rule.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&ObligationRule> {
        self.rules.get(id)
    }

    /// Every rule, by id; `projected` says whether a machine may attach it.
    pub fn rules(&self) -> impl Iterator<Item = &ObligationRule> {
        self.rules.values()
    }

    /// One calendar.
    #[must_use]
    pub fn calendar(&self, id: &str) -> Option<&BusinessCalendar> {
        self.calendars.get(id)
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;

/// The files the binary embeds, for tests.
#[cfg(test)]
pub(crate) fn shipped() -> ObligationRules {
    ObligationRules::parse(tests::SHIPPED).expect("the shipped obligations can be read")
}

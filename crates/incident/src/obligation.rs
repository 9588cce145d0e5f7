//! Duties to tell someone by a time, as data, projected from an incident's facts.

use model::{DataClass, Obligation, ObligationState, Timestamp};
use serde::Deserialize;

use crate::clock::{Limit, due};

/// Why an obligation can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObligationError {
    /// The file isn't the TOML it should be.
    #[error("{file} can't be read")]
    Format {
        /// The file.
        file: String,
        /// What is wrong.
        source: toml::de::Error,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    obligation: Vec<Rule>,
}

/// One duty as `content/obligations/` tells it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    regime: String,
    recipient: String,
    trigger: String,
    /// Classes of data that touch it.
    data: Vec<DataClass>,
    /// Absent for "without undue delay" and its like.
    limit: Option<Limit>,
    limit_text: String,
    /// Facts it depends on that a machine doesn't know.
    #[serde(default)]
    depends_on: Vec<String>,
    source: String,
    confidence: String,
}

/// Every duty, in order of file and place.
#[derive(Debug, Default)]
pub struct ObligationRules {
    rules: Vec<Rule>,
}

impl ObligationRules {
    /// Reads files: name and text.
    ///
    /// # Errors
    ///
    /// [`ObligationError`] naming the file.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, ObligationError> {
        let mut rules = Vec::new();
        for (file, text) in files {
            let read: File = toml::from_str(text).map_err(|source| ObligationError::Format {
                file: (*file).to_owned(),
                source,
            })?;
            rules.extend(read.obligation);
        }
        Ok(Self { rules })
    }

    /// The earliest deadlines someone could argue, soonest first; those without a date last.
    pub(crate) fn project(&self, classes: &[DataClass], detected: Timestamp) -> Vec<Obligation> {
        let mut duties: Vec<Obligation> = self
            .rules
            .iter()
            .filter(|rule| rule.data.iter().any(|class| classes.contains(class)))
            .map(|rule| Obligation {
                rule: rule.id.clone(),
                regime: rule.regime.clone(),
                recipient: rule.recipient.clone(),
                started: detected,
                due: rule.limit.map(|limit| due(detected, limit)),
                limit: rule.limit_text.clone(),
                trigger: rule.trigger.clone(),
                state: ObligationState::Projected,
                source: rule.source.clone(),
                confidence: rule.confidence.clone(),
                depends_on: rule.depends_on.clone(),
            })
            .collect();
        duties.sort_by_key(|duty| (duty.due.is_none(), duty.due, duty.rule.clone()));
        duties
    }
}

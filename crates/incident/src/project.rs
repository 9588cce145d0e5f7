//! Which duties an incident's facts may have started, with the earliest deadline someone could argue.
//!
//! Apart from the clock because it decides relevance, not time. Nobody decided anything yet: every
//! duty here is *projected*, and what isn't known stands in `depends_on`.

use std::collections::BTreeSet;

use model::{DataClass, Exposure, Obligation, ObligationState, Timestamp};

use crate::clock::{Candidate, ClockEngine, Facts};
use crate::{EntityProfile, ObligationRule, ObligationRules, Trigger};

/// What a duty depends on while nobody said where the people concerned live, or what the merchant is.
pub(crate) const RESIDENCE: &str = "residence of the people concerned";
pub(crate) const MERCHANT: &str = "whether the merchant is";

/// Attaches duties to incidents.
pub(crate) struct Projector {
    rules: ObligationRules,
    clock: ClockEngine,
    profile: EntityProfile,
}

/// Triggers someone could argue to have happened when the first finding was sealed.
const ARGUABLE: &[Trigger] = &[
    Trigger::Detected,
    Trigger::Suspected,
    Trigger::Aware,
    Trigger::DeterminedReportable,
    Trigger::ClassifiedMajor,
    Trigger::DeterminedMaterial,
    Trigger::AssessmentComplete,
];

/// The words rules use for the data an exposure reached.
fn data_words(exposure: &Exposure) -> BTreeSet<&'static str> {
    exposure
        .assets
        .iter()
        .filter_map(|asset| match asset.class {
            DataClass::Public => None,
            DataClass::Personal => Some(&["personal"][..]),
            DataClass::Credential => Some(&["credential"][..]),
            DataClass::Token => Some(&["token"][..]),
            // A card is somebody's: card data is personal data too.
            DataClass::PanTruncated | DataClass::Pan | DataClass::Sad => {
                Some(&["card", "personal"][..])
            }
        })
        .flatten()
        .copied()
        .collect()
}

impl Projector {
    pub(crate) fn new(rules: &ObligationRules, profile: EntityProfile) -> Self {
        Self {
            rules: rules.clone(),
            clock: ClockEngine::new(rules),
            profile,
        }
    }

    /// Gives the duties, earliest deadline first; none when nothing was exposed.
    pub(crate) fn project(&self, exposure: &Exposure, detected: Timestamp) -> Vec<Obligation> {
        let data = data_words(exposure);
        if data.is_empty() {
            return Vec::new();
        }
        let because = "the first finding was sealed".to_owned();
        let facts = Facts {
            times: ARGUABLE
                .iter()
                .map(|trigger| {
                    (
                        *trigger,
                        vec![Candidate {
                            at: detected,
                            because: because.clone(),
                        }],
                    )
                })
                .collect(),
            ..Facts::default()
        };
        let truncated_only = exposure
            .assets
            .iter()
            .all(|asset| !matches!(asset.class, DataClass::Pan | DataClass::Sad));
        let mut out: Vec<Obligation> = self
            .rules
            .rules()
            .filter(|rule| rule.projected && started(rule, detected))
            .filter(|rule| {
                rule.data.is_empty() || rule.data.iter().any(|word| data.contains(word.as_str()))
            })
            .filter_map(|rule| self.obligation(rule, &facts, detected, truncated_only))
            .collect();
        out.sort_by(|a, b| {
            (a.due.is_none(), a.due, &a.rule).cmp(&(b.due.is_none(), b.due, &b.rule))
        });
        out
    }

    fn obligation(
        &self,
        rule: &ObligationRule,
        facts: &Facts,
        detected: Timestamp,
        truncated_only: bool,
    ) -> Option<Obligation> {
        let mut depends_on = Vec::new();
        match (&self.profile.regions, rule.regions.is_empty()) {
            (_, true) => {}
            (Some(known), false) if rule.regions.is_disjoint(known) => return None,
            (Some(_), false) => {}
            (None, false) => depends_on.push(format!("{RESIDENCE}: {}", join(&rule.regions))),
        }
        match (&self.profile.entities, rule.entities.is_empty()) {
            (_, true) => {}
            (Some(known), false) if rule.entities.is_disjoint(known) => return None,
            (Some(_), false) => {}
            (None, false) => {
                depends_on.push(format!("{MERCHANT}: {}", join(&rule.entities)));
            }
        }
        if truncated_only && rule.data.contains("card") && !rule.data.contains("personal") {
            depends_on
                .push("whether more of a card number than its last digits was readable".to_owned());
        }
        depends_on.extend(rule.depends_on.iter().cloned());
        if let Some(before) = &rule.chained_after {
            depends_on.push(format!("when `{before}` is sent"));
        } else if !rule.starts_from.is_arguable_at_detection() {
            depends_on.push(format!("whether and when: {}", rule.trigger));
        } else if rule.starts_from != Trigger::Detected {
            depends_on.push(format!("a named person's decision: {}", rule.trigger));
        }
        // A time out of the calendars' range has no deadline to show; the duty is shown all the same.
        let deadline = self
            .clock
            .deadlines(&rule.id, facts)
            .unwrap_or_default()
            .into_iter()
            .next();
        Some(Obligation {
            rule: rule.id.clone(),
            regime: rule.regime.clone(),
            recipient: rule.recipient.clone(),
            started: deadline
                .as_ref()
                .map_or(detected, |deadline| deadline.started),
            due: deadline.and_then(|deadline| deadline.due),
            limit: rule.limit_text.clone(),
            trigger: rule.trigger.clone(),
            state: ObligationState::Projected,
            source: rule.source.clone(),
            confidence: rule.confidence.clone(),
            depends_on,
        })
    }
}

/// Whether a rule applies already; dates are compared as text, both being ISO 8601.
fn started(rule: &ObligationRule, at: Timestamp) -> bool {
    rule.effective_from
        .as_ref()
        .is_none_or(|from| from.as_str() <= at.to_string().as_str())
}

fn join(words: &BTreeSet<String>) -> String {
    words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

//! Sigma rules: read, compiled, matched.

mod compile;
mod condition;
mod examples;
mod matcher;
mod values;

use model::{Field, FieldSet, Level};

use crate::RuleFacts;

pub(crate) use compile::compile;
pub use compile::{RuleError, RuleSource};
pub use examples::{ExampleOutcome, test_examples};
pub(crate) use matcher::Asked;

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) facts: RuleFacts,
    /// Category whose events it sees.
    pub(crate) category: &'static str,
    condition: condition::Condition,
    /// Fields without which it can't match, a bit each.
    needs: FieldSet,
    selections: Vec<matcher::Selection>,
    /// What is counted of its matches; a rule nobody counts is one window of one event.
    pub(crate) windows: Vec<WindowSpec>,
    pub(crate) examples: Vec<examples::Example>,
}

/// What of the matches is counted.
#[derive(Clone, Debug)]
pub(crate) enum Counted {
    /// Each.
    Events,
    /// Different values of a field.
    Values(Field),
    /// Different rules of those named (`temporal`), in whatever order.
    Rules,
    /// The rules named, one after the other (`temporal_ordered`), by the hash of their ids.
    RulesInOrder(Vec<u64>),
}

/// How matches become a finding.
#[derive(Clone, Debug)]
pub(crate) struct WindowSpec {
    pub(crate) facts: RuleFacts,
    pub(crate) group: Vec<Field>,
    pub(crate) timespan_seconds: i64,
    pub(crate) least: usize,
    pub(crate) counted: Counted,
    /// Least sum of bytes of the responses, where set.
    pub(crate) bytes_least: i64,
    pub(crate) about: About,
}

/// What a rule says of its findings.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) attack: Vec<String>,
    pub(crate) requirements: Vec<String>,
    pub(crate) false_positives: Vec<String>,
    /// Explicit assets, e.g. `row:core_config_data:design/head/includes` or `log:audit log`.
    pub(crate) assets: Vec<String>,
    pub(crate) denied: bool,
    pub(crate) level: Level,
}

impl Rule {
    /// Whether an event matches.
    pub(crate) fn matches(&self, asked: &mut Asked<'_>) -> bool {
        asked.has_all(self.needs)
            && self.condition.holds(&mut |index| {
                self.selections
                    .get(index)
                    .is_some_and(|selection| selection.matches(asked))
            })
    }
}

//! Events → findings: Sigma rules, correlations, statement shapes, detectors in code.
//!
//! Doesn't know where events come from. Pure: the same events give the same findings.

mod dump;
mod finding;
mod hash;
mod php;
mod place;
pub mod reads;
pub mod shape;
mod sigma;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use model::{Event, EventRef, Finding, InstallationId, Lane, Level, Scope, Timestamp};

pub use finding::path_pattern;
pub use place::place;
pub use sigma::{ExampleOutcome, RuleError, RuleSource, test_examples};
use window::{Seen, Windows};

/// How detection runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the installation; part of every finding's id.
    pub installation: InstallationId,
    /// Windows kept at most; the stalest goes first, counted.
    pub state_entries_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            installation: InstallationId("shop".to_owned()),
            state_entries_max: 200_000,
        }
    }
}

/// What is known of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFacts {
    /// Stable id.
    pub id: String,
    /// Title.
    pub title: String,
    /// How bad.
    pub level: Level,
    /// File it is from.
    pub file: String,
    /// Fields it names that no event has; it can't match on them.
    pub unknown_fields: Vec<String>,
}

/// Rules and their windows: a fold over events.
pub struct Detector {
    rules: Vec<sigma::Rule>,
    /// Rules by category name.
    by_category: BTreeMap<&'static str, Vec<usize>>,
    windows: Windows,
    dumps: dump::Dumps,
}

impl Detector {
    /// Compiles rules.
    ///
    /// # Errors
    ///
    /// [`RuleError`] naming file, rule and what is wrong.
    pub fn new(sources: &[RuleSource<'_>], settings: Settings) -> Result<Self, RuleError> {
        let rules = sigma::compile(sources)?;
        let mut by_category: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            by_category.entry(rule.category).or_default().push(index);
        }
        let dumps = dump::Dumps::new(settings.installation.clone());
        Ok(Self {
            rules,
            by_category,
            windows: Windows::new(settings),
            dumps,
        })
    }

    /// Judges one event; findings that open or grow are added to `out`.
    pub fn push(
        &mut self,
        event: &Event<'_>,
        refs: &[EventRef],
        lane: Lane,
        scope: &Scope,
        out: &mut Vec<Finding>,
    ) {
        let mut asked = sigma::Asked::new(event);
        let mut seen: Option<Seen> = None;
        for index in self
            .by_category
            .get(event.category.name())
            .into_iter()
            .flatten()
        {
            let Some(rule) = self.rules.get(*index) else {
                continue;
            };
            if rule.matches(&mut asked) {
                let seen = seen.get_or_insert_with(|| Seen::new(event, refs, lane, scope));
                for window in &rule.windows {
                    self.windows.push(rule, window, event, seen, out);
                }
            }
        }
        self.dumps.push(event, refs, lane, out);
    }

    /// Emits the latest state of findings that grew since they were last told.
    pub fn refresh(&mut self, out: &mut Vec<Finding>) {
        self.windows.flush(out);
    }

    /// The same, and ends what waits.
    pub fn flush(&mut self, now: Timestamp, out: &mut Vec<Finding>) {
        self.refresh(out);
        self.dumps.flush(now, out);
    }

    /// The rules, correlations among them, each once.
    pub fn rules(&self) -> impl Iterator<Item = &RuleFacts> {
        let mut seen = BTreeSet::new();
        self.rules
            .iter()
            .flat_map(|rule| {
                std::iter::once(&rule.facts).chain(rule.windows.iter().map(|window| &window.facts))
            })
            .filter(move |facts| seen.insert(facts.id.as_str()))
    }

    /// Windows given up because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.windows.evicted()
    }
}

#[cfg(test)]
mod tests;

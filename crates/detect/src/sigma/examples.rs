//! A rule's own examples of what must and must not match: each is a test.

use model::{Event, EventRef, Lane, Scope, Sequence, Timestamp};

use super::compile::RuleSource;
use crate::{Detector, Settings};

/// An example in a rule.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) rule: String,
    pub(crate) must: bool,
    pub(crate) format: String,
    /// The record; `{n}` becomes the number of the repetition.
    pub(crate) record: String,
    pub(crate) repeat: u64,
}

/// What became of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleOutcome {
    /// The rule's id.
    pub rule: String,
    /// What was expected, and what happened.
    pub description: String,
    /// Whether it held.
    pub passed: bool,
}

/// Reads records of a format into events: what the caller hands in, since formats are a neighbour's.
type Read<'a> = dyn FnMut(&str, &str) -> Result<Vec<Event<'static>>, String> + 'a;

/// Runs every rule's examples; a rule without any fails.
pub fn test_examples(sources: &[RuleSource<'_>], read: &mut Read<'_>) -> Vec<ExampleOutcome> {
    let mut outcomes = Vec::new();
    let Ok(listing) = Detector::new(sources, Settings::default()) else {
        return outcomes;
    };
    for rule in &listing.rules {
        for window in &rule.windows {
            let own: Vec<&Example> = rule
                .examples
                .iter()
                .filter(|example| example.rule == window.facts.id)
                .collect();
            if own.is_empty() {
                outcomes.push(ExampleOutcome {
                    rule: window.facts.id.clone(),
                    description: "has no examples".to_owned(),
                    passed: false,
                });
            }
            for example in own {
                outcomes.push(run(sources, example, read));
            }
        }
    }
    outcomes
}

fn run(sources: &[RuleSource<'_>], example: &Example, read: &mut Read<'_>) -> ExampleOutcome {
    let word = if example.must {
        "must match"
    } else {
        "must not match"
    };
    let outcome = |description: String, passed| ExampleOutcome {
        rule: example.rule.clone(),
        description,
        passed,
    };
    let Ok(mut detector) = Detector::new(sources, Settings::default()) else {
        return outcome("the rules can't be compiled".to_owned(), false);
    };
    let records: String = (0..example.repeat)
        .map(|number| {
            format!(
                "{}\n",
                example
                    .record
                    .trim_end()
                    .replace("{n}", &number.to_string())
            )
        })
        .collect();
    let events = match read(&example.format, &records) {
        Ok(events) => events,
        Err(why) => return outcome(format!("{word}: the record can't be read: {why}"), false),
    };
    let mut findings = Vec::new();
    for (event, number) in events.iter().zip(0..) {
        detector.push(
            event,
            &[EventRef {
                sequence: Sequence(number),
                index: 0,
            }],
            Lane::Live,
            &Scope::Unknown,
            &mut findings,
        );
    }
    detector.flush(Timestamp::default(), &mut findings);
    let matched = findings.iter().any(|finding| finding.rule == example.rule);
    outcome(
        format!("{word} ({} records as {})", example.repeat, example.format),
        matched == example.must,
    )
}

//! A finding that says nothing but its rule, for tests to say the rest of.

use model::{Finding, Lane, Level, Scope, Timestamp};

pub(crate) fn finding(rule: &str) -> Finding {
    Finding {
        id: rule.to_owned(),
        rule: rule.to_owned(),
        title: rule.replace('-', " "),
        level: Level::High,
        lane: Lane::Live,
        first: Timestamp::from_seconds(1_795_000_000),
        last: Timestamp::from_seconds(1_795_000_001),
        actors: Vec::new(),
        scope: Scope::Unknown,
        assets: Vec::new(),
        rows: None,
        bytes: None,
        event_count: 1,
        events: Vec::new(),
        reason: String::new(),
        attack: Vec::new(),
        requirements: Vec::new(),
        false_positives: Vec::new(),
        external: None,
    }
}

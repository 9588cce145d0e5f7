//! Claims about a start: what was sealed comes back as it was, and nothing is made on the way.

use std::collections::BTreeMap;

use model::{Finding, Incident, IncidentState, Level, Timestamp};
use proptest::prelude::*;

use crate::grouper::tests::{any_finding, finding, grouper, short};
use crate::{Change, Grouper};

/// What a ledger has of findings that were pushed one by one: the last state of each incident, and the findings.
#[derive(Default)]
struct Sealed {
    incidents: BTreeMap<String, Incident>,
    findings: Vec<(Finding, Timestamp)>,
}

impl Sealed {
    fn push(&mut self, grouper: &mut Grouper, finding: Finding) {
        let sealed = Timestamp(self.findings.len().try_into().unwrap_or_default());
        for change in grouper.push(&finding, sealed) {
            let ids = match change {
                Change::Opened(id) | Change::Grew(id) => vec![id],
                Change::Merged { into, from } => vec![into, from],
                Change::None => Vec::new(),
            };
            for id in ids {
                let incident = grouper.incident(&id).expect("what changed is there");
                self.incidents.insert(id, incident.clone());
            }
        }
        self.findings.push((finding, sealed));
    }
}

fn of_one(id: &'static str, seconds: i64) -> Finding {
    let short = short(id, "walk", (seconds, 1), "ip=192.0.2.7", "", "");
    finding(&short, Level::High)
}

#[test]
fn an_incident_whose_first_finding_has_the_last_id_is_named_once() {
    let (mut before, mut sealed) = (grouper(), Sealed::default());
    for (id, seconds) in [("d", 0), ("c", 10), ("b", 20), ("a", 30)] {
        sealed.push(&mut before, of_one(id, seconds));
    }
    sealed.findings.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    let mut after = grouper();
    let changes = after.restore(sealed.incidents, sealed.findings);
    assert_eq!(changes, []);
    assert!(after.incident("d").is_some());
    for never_sealed in ["a", "b", "c"] {
        assert!(after.incident(never_sealed).is_none());
    }
}

#[test]
fn what_was_not_sealed_any_more_is_told() {
    let (mut before, mut sealed) = (grouper(), Sealed::default());
    sealed.push(&mut before, of_one("b", 10));
    let known = sealed.incidents.clone();
    // The finding was sealed, what it made of the incident wasn't.
    sealed.push(&mut before, of_one("a", 0));
    let mut after = grouper();
    let changes = after.restore(known, sealed.findings);
    let merged = Change::Merged {
        into: "a".to_owned(),
        from: "b".to_owned(),
    };
    assert_eq!(changes, [Change::Opened("a".to_owned()), merged]);
    let state = after.incident("b").map(|incident| incident.state);
    assert_eq!(state, Some(IncidentState::Merged));
}

#[test]
fn what_was_woken_before_is_grouped_with_the_others() {
    let (mut before, mut sealed) = (grouper(), Sealed::default());
    for (id, seconds) in [("a", 0), ("b", 10), ("c", 900_000)] {
        sealed.push(&mut before, of_one(id, seconds));
    }
    let mut after = grouper();
    let woken = sealed.incidents.remove("a").expect("opened");
    after.lay_to_rest(&woken);
    assert_eq!(after.wake(woken, sealed.findings[..2].to_vec()), []);
    // One of its findings is told of again, as what grew when the incident said nothing new.
    let changes = after.restore(sealed.incidents, sealed.findings[1..].to_vec());
    assert_eq!(changes, []);
    assert!(after.incidents().eq(before.incidents()));
}

#[test]
fn an_incident_without_its_findings_is_left_out() {
    let (mut before, mut sealed) = (grouper(), Sealed::default());
    sealed.push(&mut before, of_one("a", 0));
    let mut after = grouper();
    assert_eq!(after.restore(sealed.incidents, Vec::new()), []);
    assert!(after.incident("a").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_sealed_comes_back_as_it_was(
        all in prop::collection::vec(any_finding(), 1..24)
            .prop_map(|all| all.into_iter().map(|f| (f.id.clone(), f)).collect::<BTreeMap<_, _>>())
            .prop_map(|all| all.into_values().collect::<Vec<_>>())
            .prop_shuffle(),
    ) {
        let (mut before, mut sealed) = (grouper(), Sealed::default());
        for finding in all {
            sealed.push(&mut before, finding);
        }
        let mut after = grouper();
        let changes = after.restore(sealed.incidents.clone(), sealed.findings);
        prop_assert_eq!(changes, vec![]);
        prop_assert!(after.incidents().eq(before.incidents()));
        for (id, incident) in &sealed.incidents {
            prop_assert_eq!(after.incident(id), Some(incident));
        }
    }
}

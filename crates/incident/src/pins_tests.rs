//! Claims about incidents that people decided on: the fold leaves them alone.

use std::collections::BTreeSet;

use model::{Level, Timestamp};
use proptest::prelude::*;

use super::Grouper;
use super::tests::{finding, grouper, ids, short};

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

/// Pushes a finding of one address, `seconds` after the start, sealed at `sealed`.
fn push(grouper: &mut Grouper, id: &'static str, seconds: i64, sealed: i64) {
    let short = short(id, "walk", (seconds, 5), "ip=192.0.2.7", "", "");
    grouper.push(&finding(&short, Level::High), at(sealed));
}

fn pin(grouper: &mut Grouper, incident: &str, findings: &[&str], since: i64, is_over: bool) {
    let findings: Vec<String> = findings.iter().map(|id| (*id).to_owned()).collect();
    grouper.pin(incident, &findings, at(since), is_over);
}

#[track_caller]
fn check(grouper: &Grouper, expected: &str) {
    let expected: BTreeSet<(String, BTreeSet<String>)> = expected
        .split('|')
        .filter_map(|set| set.split_once(':'))
        .map(|(id, set)| {
            (
                id.trim().to_owned(),
                set.split_whitespace().map(str::to_owned).collect(),
            )
        })
        .collect();
    let found: BTreeSet<_> = grouper
        .incidents()
        .map(|incident| (incident.id.clone(), ids(incident)))
        .collect();
    assert_eq!(found, expected);
}

/// Two incidents of one address that a third finding between them would make one; `a` is pinned at 100.
fn two() -> Grouper {
    let mut grouper = grouper();
    push(&mut grouper, "a", 0, 10);
    push(&mut grouper, "b", 400, 20);
    check(&grouper, "a: a | b: b");
    pin(&mut grouper, "a", &["a"], 100, false);
    grouper
}

#[test]
fn what_comes_later_joins_the_incident_somebody_works_on_and_merges_no_other() {
    let mut grouper = two();
    push(&mut grouper, "c", 200, 110);
    check(&grouper, "a: a c | b: b");
    let related = |id: &str| {
        grouper
            .incident(id)
            .expect("there")
            .related
            .iter()
            .map(|one| one.finding.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (related("a"), related("b")),
        (vec!["b".to_owned()], vec!["c".to_owned()])
    );
}

#[test]
fn what_was_sealed_before_stays_where_it_was() {
    let mut grouper = two();
    push(&mut grouper, "c", 200, 90);
    check(&grouper, "a: a | c: b c");
}

#[test]
fn an_incident_that_is_over_takes_nothing_in() {
    let mut grouper = two();
    pin(&mut grouper, "a", &[], 120, true);
    push(&mut grouper, "c", 200, 130);
    check(&grouper, "a: a | c: b c");
}

#[test]
fn an_earlier_finding_gives_a_pinned_incident_no_new_name() {
    let mut grouper = two();
    push(&mut grouper, "e", -200, 130);
    check(&grouper, "a: a e | b: b");
}

#[test]
fn a_person_merges_and_splits() {
    let mut grouper = two();
    pin(&mut grouper, "a", &["b"], 140, false);
    check(&grouper, "a: a b");
    assert_eq!(
        grouper.incident("b").map(|merged| merged.state),
        Some(model::IncidentState::Merged)
    );
    pin(&mut grouper, "b", &["b"], 150, false);
    check(&grouper, "a: a | b: b");
}

proptest! {
    /// A start pushes what is known in another order, with every pin there from the beginning.
    #[test]
    fn a_start_finds_the_same(
        spots in prop::collection::btree_map(0..40_i64, 0..200_i64, 2..12),
        pinned in prop::collection::vec((0..12_usize, 0..200_i64, any::<bool>()), 0..4),
        rotate in 0..12_usize,
    ) {
        const IDS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let mut all: Vec<(&str, i64, i64)> = IDS.iter().zip(&spots).map(|(id, (spot, sealed))| (*id, spot * 90, *sealed)).collect();
        all.sort_by_key(|(_, _, sealed)| *sealed);
        let mut live = grouper();
        let mut decided: Vec<(i64, usize, bool)> = pinned.into_iter().map(|(which, since, over)| (since, which, over)).collect();
        decided.sort_unstable();
        let mut waiting = decided.into_iter().peekable();
        let mut pins: Vec<(String, i64, bool)> = Vec::new();
        let mut decide = |live: &mut Grouper, until: i64| {
            while let Some((since, which, over)) = waiting.next_if(|(since, ..)| *since <= until) {
                let incidents: Vec<_> = live.incidents().cloned().collect();
                if incidents.is_empty() { continue }
                let incident = &incidents[which % incidents.len()];
                let members: Vec<String> = ids(incident).into_iter().collect();
                live.pin(&incident.id, &members, at(since), over);
                let known = pins.iter().find(|(id, _, over)| *id == incident.id && !over);
                let first = known.map_or(since, |(_, first, _)| *first);
                pins.retain(|(id, ..)| *id != incident.id);
                pins.push((incident.id.clone(), first, over));
            }
        };
        for (id, seconds, sealed) in &all {
            decide(&mut live, sealed - 1);
            push(&mut live, id, *seconds, *sealed);
        }
        decide(&mut live, i64::MAX);
        let mut again = grouper();
        for (id, since, over) in &pins {
            let members: Vec<String> = live.incident(id).map(ids).unwrap_or_default().into_iter().collect();
            again.pin(id, &members, at(*since), *over);
        }
        let length = all.len();
        all.rotate_left(rotate % length);
        for (id, seconds, sealed) in &all {
            push(&mut again, id, *seconds, *sealed);
        }
        let (live, again): (Vec<_>, Vec<_>) = (live.incidents().cloned().collect(), again.incidents().cloned().collect());
        prop_assert_eq!(live, again);
    }
}

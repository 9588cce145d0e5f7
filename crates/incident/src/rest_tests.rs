//! Claims about what rests: nobody can tell from the incidents that it did.

use std::collections::{BTreeMap, BTreeSet};

use model::{Finding, Incident, Level, Timestamp};
use proptest::prelude::*;

use crate::grouper::tests::{finding, grouper, ids, short};
use crate::{Change, Grouper};

const IDS: [&str; 16] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
];
const WHO: [&str; 4] = [
    "ip=192.0.2.7",
    "db=app conn=app#1",
    "ip=192.0.2.8 db=app conn=app#2",
    "",
];
const DAY: i64 = 86_400;

/// A grouper, and what a ledger would give back of what rests.
struct Shop {
    grouper: Grouper,
    incidents: BTreeMap<String, Incident>,
    findings: BTreeMap<String, (Finding, Timestamp)>,
}

impl Shop {
    fn new() -> Self {
        Self {
            grouper: grouper(),
            incidents: BTreeMap::new(),
            findings: BTreeMap::new(),
        }
    }

    fn keep(&mut self, changes: Vec<Change>) {
        for change in changes {
            let ids = match change {
                Change::Opened(id) | Change::Grew(id) => vec![id],
                Change::Merged { into, from } => vec![into, from],
                Change::None => Vec::new(),
            };
            for id in ids {
                if let Some(incident) = self.grouper.incident(&id) {
                    self.incidents.insert(id, incident.clone());
                }
            }
        }
    }

    fn wake(&mut self, id: &str) {
        let Some(incident) = self.incidents.get(id).filter(|_| self.grouper.rests(id)) else {
            return;
        };
        let joined = incident.findings.iter();
        let findings = joined.map(|joined| self.findings[&joined.finding].clone());
        let changes = self.grouper.wake(incident.clone(), findings.collect());
        self.keep(changes);
    }

    fn push(&mut self, finding: &Finding, sealed: Timestamp) {
        for id in self.grouper.resting_near(finding) {
            self.wake(&id);
        }
        let changes = self.grouper.push(finding, sealed);
        self.keep(changes);
        let known = self.findings.get(&finding.id);
        let sealed = known.map_or(sealed, |(_, before)| sealed.min(*before));
        self.findings
            .insert(finding.id.clone(), (finding.clone(), sealed));
    }

    fn pin(&mut self, id: &str, since: Timestamp, is_over: bool) {
        self.wake(id);
        let members = self.grouper.incident(id).map(ids).unwrap_or_default();
        let members: Vec<String> = members.into_iter().collect();
        let changes = self.grouper.pin(id, &members, since, is_over);
        self.keep(changes);
    }

    /// Everything awake.
    fn all(&mut self) -> Vec<Incident> {
        for id in self.incidents.keys().cloned().collect::<Vec<_>>() {
            self.wake(&id);
        }
        self.grouper.incidents().cloned().collect()
    }
}

fn made(id: &'static str, seconds: i64, who: usize, level: Level) -> Finding {
    finding(
        &short(id, "walk", (seconds, 5), WHO[who % 4], "quote", ""),
        level,
    )
}

#[test]
fn what_ended_long_ago_is_let_go_of_and_comes_back_as_it_was() {
    let mut shop = Shop::new();
    shop.push(&made("a", 0, 0, Level::High), Timestamp(1));
    shop.push(&made("b", 20, 0, Level::Low), Timestamp(1));
    shop.push(&made("c", 5000, 0, Level::Low), Timestamp(1));
    shop.push(&made("d", 10 * DAY, 0, Level::High), Timestamp(1));
    let before = made("x", 9 * DAY, 0, Level::High).first;
    let known = shop.grouper.incident("a").cloned();
    let rested = shop.grouper.rest(before);
    assert_eq!(rested.incidents, ["a"]);
    assert_eq!(rested.findings.len(), 3, "{:?}", rested.findings);
    assert!(shop.grouper.rests("a") && shop.grouper.incident("a").is_none());
    assert_eq!(shop.grouper.findings().count(), 1);
    assert!(
        shop.grouper
            .resting_near(&made("y", 3 * DAY, 0, Level::High))
            .is_empty()
    );
    shop.push(&made("e", 60, 0, Level::High), Timestamp(2));
    assert!(!shop.grouper.rests("a"));
    assert!(
        shop.grouper
            .incident("a")
            .is_some_and(|incident| incident.findings.len() == 3)
    );
    assert!(known.is_some_and(|incident| incident.findings.len() == 2));
}

#[test]
fn what_was_sealed_lately_or_goes_on_stays() {
    let mut shop = Shop::new();
    shop.push(&made("a", 0, 0, Level::High), Timestamp(i64::MAX));
    let before = made("x", 9 * DAY, 0, Level::High).first;
    assert_eq!(shop.grouper.rest(before), super::Rested::default());
}

proptest! {
    #[test]
    fn nobody_can_tell_that_it_rested(
        all in prop::collection::vec((0..40_i64, 0..4_usize, any::<bool>(), 0..30_i64), 2..16),
        rests in prop::collection::vec((0..16_usize, 0..30_i64), 1..6),
        pins in prop::collection::vec((0..16_usize, 0..16_usize, any::<bool>()), 0..3),
    ) {
        let second = |seconds: i64| made("x", seconds, 0, Level::High).first;
        let (mut one, mut other) = (Shop::new(), Shop::new());
        for (at, (spot, who, is_low, _)) in all.iter().enumerate() {
            let level = if *is_low { Level::Low } else { Level::High };
            let finding = made(IDS[at], spot * 400, *who, level);
            let sealed = Timestamp(i64::try_from(at).unwrap_or_default());
            one.push(&finding, sealed);
            other.push(&finding, sealed);
            for incident in other.grouper.incidents() {
                prop_assert_eq!(one.grouper.incident(&incident.id), Some(incident));
            }
            for (_, which, is_over) in pins.iter().filter(|(when, ..)| *when == at) {
                let known: Vec<String> = one.all().into_iter().map(|incident| incident.id).collect();
                let Some(id) = known.get(which % known.len().max(1)) else { continue };
                one.pin(id, sealed, *is_over);
                other.pin(id, sealed, *is_over);
            }
            for (_, until) in rests.iter().filter(|(when, _)| *when == at) {
                // A low finding that hangs on nothing is let go of for good, so nothing may come that it would have joined.
                let joined: BTreeSet<String> = other.grouper.incidents().flat_map(ids).collect();
                let loose = other.grouper.findings().filter(|finding| !joined.contains(&finding.id)).count();
                if loose == 0 {
                    other.grouper.rest(second(until * 400));
                }
            }
        }
        prop_assert_eq!(one.all(), other.all());
    }
}

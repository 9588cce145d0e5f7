//! Incidents of long ago: let go of by a run and by a start, shown, decided on and joined all the same.

use std::fs;

use model::{Act, IncidentState, Role, Timestamp};

use super::house::House;
use super::opened::NOW;
use super::{comment, person, to};

const DAYS: i64 = 24 * 3600;

/// Nine days later, told by an entry.
fn later(house: &mut House) -> Timestamp {
    let later = NOW.plus_seconds(9 * DAYS);
    house.pipeline.tick(later).expect("sealed");
    house.pipeline.refresh(later).expect("let go of");
    house.pipeline.checkpoint(later).expect("signed");
    later
}

/// What pages are told of an incident, with its findings.
fn told(house: &House, id: &str) -> String {
    let incident = house.desk.incident(id).expect("shown");
    let joined = incident.findings.iter();
    let findings: Vec<_> = joined.map(|one| house.desk.finding(&one.finding)).collect();
    assert!(
        findings.iter().all(Option::is_some),
        "every finding is read"
    );
    let first = incident.findings.first().expect("a finding");
    let of = house.desk.incident_of(&first.finding).expect("in one");
    assert_eq!(of.id, id);
    let listed = house.desk.incidents();
    assert!(listed.iter().any(|work| work.incident.id == id));
    format!("{incident:?} {findings:?}")
}

#[test]
fn what_rests_is_shown_decided_on_and_found_again_by_a_start_with_and_without_its_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let (before, incident) = (told(&house, &id), house.state().0);
    let later = later(&mut house);
    assert!(house.pipeline.judge().rests(&id) && house.ids().is_empty());
    assert_eq!(told(&house, &id), before);
    drop(house);
    let mut house = House::open(folder.path());
    assert!(house.pipeline.judge().rests(&id) && house.ids().is_empty());
    assert_eq!(told(&house, &id), before);
    let size = house.pipeline.ledger().len();
    let lead = person(Role::IncidentLead);
    house
        .decide(&lead, &id, to(IncidentState::Declared), "")
        .expect("sealed");
    // It woke as it was: the decision is sealed, and what it is after that.
    assert_eq!(house.state().0, incident);
    let size = size + 2;
    assert_eq!(house.pipeline.ledger().len(), size);
    let again = later.plus_seconds(2 * 3600);
    house.pipeline.checkpoint(again).expect("signed");
    house.pipeline.refresh(again).expect("let go of");
    assert!(house.pipeline.judge().rests(&id));
    assert_eq!(told(&house, &id), before);
    drop(house);
    for lost in [false, true] {
        let names = ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"];
        for name in names.iter().filter(|_| lost) {
            drop(fs::remove_file(folder.path().join(name)));
        }
        let mut house = House::open(folder.path());
        assert_eq!(told(&house, &id), before, "lost: {lost}");
        assert_eq!(house.desk.handling(&id).state, IncidentState::Declared);
        house.pipeline.flush(again).expect("flushed");
        assert_eq!(house.pipeline.ledger().len(), size, "lost: {lost}");
    }
}

#[test]
fn what_comes_late_wakes_what_it_belongs_to_and_joins_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let findings = |house: &House| {
        let incident = house.pipeline.judge().incident(&id);
        incident.map_or(0, |incident| incident.findings.len())
    };
    let before = findings(&house);
    later(&mut house);
    assert!(before > 0 && findings(&house) == 0);
    // The same connection in the same minute, by a log that was handed in late.
    assert_eq!(house.dump(10..11), std::slice::from_ref(&id));
    assert!(
        findings(&house) > before,
        "{} of {before}",
        findings(&house)
    );
}

#[test]
fn two_of_long_ago_are_merged_and_rest_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let ids = house.dump(10..12);
    let [one, other] = ids.as_slice() else {
        panic!("two incidents: {ids:?}");
    };
    let later = later(&mut house);
    let analyst = person(Role::IncidentLead);
    let into = Act::Merge { into: one.clone() };
    house
        .decide(&analyst, other, into, "the same thief")
        .expect("sealed");
    assert_eq!(house.ids(), std::slice::from_ref(one));
    let again = later.plus_seconds(2 * 3600);
    house.pipeline.checkpoint(again).expect("signed");
    house.pipeline.refresh(again).expect("let go of");
    assert!(house.ids().is_empty() && house.pipeline.judge().rests(other));
    drop(house);
    let mut house = House::open(folder.path());
    let refused = house.decide(&analyst, other, comment("gone"), "");
    assert!(refused.is_err(), "it went into the other: {refused:?}");
    house
        .decide(&analyst, one, comment("both"), "")
        .expect("sealed");
    assert_eq!(house.ids(), std::slice::from_ref(one));
}

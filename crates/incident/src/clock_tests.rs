//! The clock vectors: one test each, in the order of the reference, and what holds for all.

use std::collections::BTreeMap;

use model::Timestamp;

use super::{Candidate, ClockEngine, ClockError, Deadline, Delay, Facts};
use crate::Trigger;
use crate::rules::shipped;

fn time(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().expect("tests write good times");
    Timestamp(at.as_microsecond())
}

fn facts(times: &[(Trigger, &str)]) -> Facts {
    let mut out = Facts::default();
    for (trigger, at) in times {
        let because = "a named person".to_owned();
        out.times.entry(*trigger).or_default().push(Candidate {
            at: time(at),
            because,
        });
    }
    out
}

#[track_caller]
fn deadlines(id: &str, facts: &Facts) -> Vec<Deadline> {
    ClockEngine::new(&shipped())
        .deadlines(id, facts)
        .expect("the rule is shipped")
}

/// Compares strictest and mildest reading with times as RFC 3339 with offset.
#[track_caller]
fn check(id: &str, facts: &Facts, expected: &[(&str, &str)]) {
    let found: Vec<_> = deadlines(id, facts)
        .into_iter()
        .map(|d| (d.due.unwrap_or_default(), d.due_latest.unwrap_or_default()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(due, mild)| (time(due), time(mild)))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn vector_1_gdpr_runs_through_weekend_and_change_of_clock() {
    let aware = facts(&[(Trigger::Aware, "2026-11-20T17:00:00+01:00")]);
    check(
        "gdpr-33",
        &aware,
        &[("2026-11-23T17:00:00+01:00", "2026-11-23T18:00:00+01:00")],
    );
    // The night of 25 October 2026 has an hour more.
    let aware = facts(&[(Trigger::Aware, "2026-10-23T17:00:00+02:00")]);
    check(
        "gdpr-33",
        &aware,
        &[("2026-10-26T16:00:00+01:00", "2026-10-26T17:00:00+01:00")],
    );
}

#[test]
fn vector_2_dora_initial_is_the_earlier_of_two_bounds() {
    let both = facts(&[
        (Trigger::Aware, "2026-11-23T09:00:00Z"),
        (Trigger::ClassifiedMajor, "2026-11-23T20:00:00Z"),
    ]);
    check(
        "dora-initial",
        &both,
        &[("2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z")],
    );
    let late = facts(&[
        (Trigger::Aware, "2026-11-23T09:00:00Z"),
        (Trigger::ClassifiedMajor, "2026-11-24T15:00:00Z"),
    ]);
    check(
        "dora-initial",
        &late,
        &[("2026-11-24T19:00:00Z", "2026-11-24T19:00:00Z")],
    );
    let near = facts(&[
        (Trigger::Aware, "2026-11-23T09:00:00Z"),
        (Trigger::ClassifiedMajor, "2026-11-24T07:00:00Z"),
    ]);
    check(
        "dora-initial",
        &near,
        &[("2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z")],
    );
}

#[test]
fn vector_3_dora_intermediate_counts_from_submission() {
    let mut facts = facts(&[(Trigger::ClassifiedMajor, "2026-11-23T20:00:00Z")]);
    check("dora-intermediate", &facts, &[]);
    facts
        .sent
        .insert("dora-initial".into(), time("2026-11-23T22:30:00Z"));
    check(
        "dora-intermediate",
        &facts,
        &[("2026-11-26T22:30:00Z", "2026-11-26T22:30:00Z")],
    );
}

#[test]
fn vector_4_form_8k_skips_thanksgiving_and_weekend() {
    let determined = facts(&[(Trigger::DeterminedMaterial, "2026-11-25T11:00:00-05:00")]);
    // Friday, Monday, Tuesday, Wednesday; after 17:30 Eastern it is the next day.
    let due = "2026-12-02T17:30:00-05:00";
    check("sec-8k-105", &determined, &[(due, due)]);
}

#[test]
fn vector_5_california_attorney_general_hangs_on_the_notice_as_sent() {
    let mut facts = facts(&[(Trigger::Detected, "2026-11-23T10:00:00-05:00")]);
    check(
        "us-ca-individuals",
        &facts,
        &[(
            "2026-12-23T10:00:00-05:00",
            "2026-12-23T23:59:59.999999-05:00",
        )],
    );
    check("us-ca-ag", &facts, &[]);
    for (sent, due, end) in [
        (
            "2026-12-10T10:00:00-05:00",
            "2026-12-25T10:00:00-05:00",
            "2026-12-25T23:59:59.999999-05:00",
        ),
        (
            "2026-12-20T10:00:00-05:00",
            "2027-01-04T10:00:00-05:00",
            "2027-01-04T23:59:59.999999-05:00",
        ),
    ] {
        facts.sent.insert("us-ca-individuals".into(), time(sent));
        check("us-ca-ag", &facts, &[(due, end)]);
    }
}

#[test]
fn vector_6_visa_counts_calendar_days_over_a_weekend() {
    let suspected = facts(&[(Trigger::Suspected, "2026-11-20T15:00:00Z")]);
    check(
        "visa-notify",
        &suspected,
        &[("2026-11-23T15:00:00Z", "2026-11-23T23:59:59.999999Z")],
    );
}

#[test]
fn vector_7_investigator_report_counts_by_two_calendars() {
    let engaged = facts(&[(Trigger::InvestigatorEngaged, "2026-11-24T10:00:00Z")]);
    // Thanksgiving is a holiday for one of both: Tuesday there, Wednesday here.
    check(
        "pfi-preliminary-report",
        &engaged,
        &[(
            "2026-12-01T23:59:59.999999+01:00",
            "2026-12-02T23:59:59.999999-05:00",
        )],
    );
}

#[test]
fn vector_8_cert_in_is_six_hours_at_night_too() {
    let aware = facts(&[(Trigger::Aware, "2026-11-23T02:00:00+05:30")]);
    let due = "2026-11-23T08:00:00+05:30";
    check("in-cert-in", &aware, &[(due, due)]);
}

#[test]
fn vector_9_a_month_after_31_january_ends_with_february() {
    let mut facts = Facts::default();
    facts.sent.insert(
        "nis2-notification".into(),
        time("2027-01-31T12:00:00+01:00"),
    );
    check(
        "nis2-final",
        &facts,
        &[(
            "2027-02-28T12:00:00+01:00",
            "2027-02-28T23:59:59.999999+01:00",
        )],
    );
}

#[test]
fn vector_10_nothing_pauses_but_a_documented_ground_of_the_rule() {
    let mut facts = facts(&[
        (Trigger::Aware, "2026-11-20T16:00:00Z"),
        (Trigger::Detected, "2026-11-20T15:00:00Z"),
    ]);
    let engine = ClockEngine::new(&shipped());
    let mut ask = |id: &str, document: &str| {
        let delay = Delay {
            ground: "law enforcement".into(),
            document: document.into(),
            until: time("2027-03-01T00:00:00Z"),
        };
        facts.delays = BTreeMap::from([(id.to_owned(), delay)]);
        engine.deadlines(id, &facts)
    };
    assert!(matches!(
        ask("gdpr-33", "letter 7"),
        Err(ClockError::DelayRefused { .. })
    ));
    assert!(matches!(
        ask("us-ny-individuals", " "),
        Err(ClockError::DelayRefused { .. })
    ));
    let waits = ask("us-ny-individuals", "letter 7").expect("a ground the rule names");
    assert_eq!(waits[0].due, Some(time("2027-03-01T00:00:00Z")));
    assert_eq!(waits[0].delayed_by.as_deref(), Some("law enforcement"));
}

#[test]
fn vector_11_a_disputed_start_shows_both_deadlines() {
    let two = facts(&[
        (Trigger::Aware, "2026-11-23T12:00:00Z"),
        (Trigger::Aware, "2026-11-22T12:00:00Z"),
    ]);
    check(
        "mastercard-adc",
        &two,
        &[
            ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z"),
            ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
        ],
    );
}

#[test]
fn vector_12_days_of_23_and_25_hours_keep_the_time_of_day() {
    let spring = facts(&[(Trigger::Detected, "2027-02-13T10:00:00-05:00")]);
    // Thirty days later the clock of New York has moved: 10:00 there is an hour earlier here.
    check(
        "us-ny-individuals",
        &spring,
        &[(
            "2027-03-15T10:00:00-04:00",
            "2027-03-15T23:59:59.999999-04:00",
        )],
    );
    let autumn = facts(&[(Trigger::Detected, "2026-10-15T10:00:00-04:00")]);
    check(
        "us-ny-individuals",
        &autumn,
        &[(
            "2026-11-14T10:00:00-05:00",
            "2026-11-14T23:59:59.999999-05:00",
        )],
    );
}

#[test]
fn aims_at_half_of_the_time() {
    let aware = facts(&[(Trigger::Aware, "2026-11-23T12:00:00Z")]);
    let found = deadlines("mastercard-adc", &aware);
    assert_eq!(found[0].internal_target, Some(time("2026-11-24T00:00:00Z")));
}

#[test]
fn a_time_out_of_range_is_an_error_and_no_panic() {
    let engine = ClockEngine::new(&shipped());
    for at in [i64::MIN, i64::MAX, 0, -1] {
        let mut facts = Facts::default();
        for trigger in [
            Trigger::Aware,
            Trigger::Detected,
            Trigger::Suspected,
            Trigger::InvestigatorEngaged,
        ] {
            let candidate = Candidate {
                at: Timestamp(at),
                because: String::new(),
            };
            facts.times.insert(trigger, vec![candidate]);
        }
        for rule in shipped().rules() {
            drop(engine.deadlines(&rule.id, &facts));
        }
    }
}

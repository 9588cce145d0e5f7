//! What every sink must do, whatever it tells: run for each of them.

use model::{
    Act, Actor, ActorKind, Asset, AssetKind, Count, DataClass, Decision, EventRef, Exposure,
    Finding, Grade, Incident, IncidentState, Joined, Lane, Level, Person, Scope, Sequence,
    Timestamp,
};

use crate::{Decided, Sink};

/// A finding with every field filled, and text that breaks careless writers.
#[must_use]
pub fn finding() -> Finding {
    Finding {
        id: "00112233445566778899aabbccddeeff".to_owned(),
        rule: "payment-table-read".to_owned(),
        title: "Payment table read by an unusual account".to_owned(),
        level: Level::High,
        lane: Lane::Live,
        first: Timestamp::from_seconds(1_785_924_930),
        last: Timestamp::from_seconds(1_785_924_990),
        actors: vec![
            Actor {
                kind: ActorKind::Address,
                value: "192.0.2.1".to_owned(),
            },
            Actor {
                kind: ActorKind::DatabaseAccount,
                value: "report".to_owned(),
            },
            Actor {
                kind: ActorKind::Session,
                value: "5f2b".to_owned(),
            },
        ],
        scope: Scope::Installation,
        assets: vec![Asset {
            kind: AssetKind::Table,
            name: "sales_order_payment".to_owned(),
            class: DataClass::PanTruncated,
        }],
        rows: Some(Count {
            lower: 10,
            upper: None,
            grade: Grade::Bounded,
        }),
        bytes: Some(2048),
        event_count: 3,
        events: vec![EventRef {
            sequence: Sequence(7),
            index: 0,
        }],
        reason: "a \"quoted\" reason,\nwith \u{0}, \u{1b}[31m and \u{202e}ü".to_owned(),
        attack: vec!["T1190".to_owned(), "T1505.003".to_owned()],
        requirements: vec!["10.4.1".to_owned()],
        false_positives: vec!["a nightly report".to_owned()],
        external: None,
    }
}

/// An incident of [`finding`].
#[must_use]
pub fn incident() -> Incident {
    let finding = finding();
    Incident {
        id: finding.id.clone(),
        title: finding.title,
        state: IncidentState::Signal,
        lane: finding.lane,
        severity: finding.level,
        severity_because: vec![finding.reason],
        first: finding.first,
        last: finding.last,
        detected: finding.last,
        actors: finding.actors,
        assets: finding.assets.clone(),
        scopes: vec![finding.scope.clone()],
        findings: vec![Joined {
            finding: finding.id,
            because: "first".to_owned(),
        }],
        exposure: Exposure {
            assets: finding.assets,
            scopes: vec![finding.scope],
            first: finding.first,
            last: finding.last,
            rows: finding.rows,
            bytes: finding.bytes,
            channels: vec!["database".to_owned()],
            basis: Vec::new(),
        },
        obligations: Vec::new(),
        requirements: Vec::new(),
        related: Vec::new(),
        severity_floor: Level::Informational,
    }
}

/// A decision on [`incident`].
#[must_use]
pub fn decision() -> Decision {
    Decision {
        id: "ffeeddccbbaa99887766554433221100".to_owned(),
        incident: incident().id,
        by: Person {
            account: "17".to_owned(),
            name: "Ana \"A\"".to_owned(),
        },
        at: Timestamp::from_seconds(1_785_925_000),
        seen: 0,
        act: Act::Move {
            to: IncidentState::Declared,
        },
        reason: "the agency denies it\n\u{202e}".to_owned(),
    }
}

/// Checks that a sink takes findings, incidents and decisions, again when they grow, and whatever text they
/// hold; and that it may be flushed when nothing waits. Whoever is told must be there.
///
/// # Panics
///
/// When the sink breaks the contract.
pub fn check(sink: &mut dyn Sink) {
    let name = sink.name();
    assert!(
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        "{name} is a name"
    );
    let mut grown = finding();
    let steps = [sink.flush(), sink.finding(&grown, "shop"), {
        grown.event_count += 1;
        grown.last = grown.last.plus_seconds(1);
        sink.finding(&grown, "shop")
    }];
    for step in steps.into_iter().chain([
        sink.incident(&incident(), "shop"),
        sink.decision(
            &Decided {
                decision: &decision(),
                sequence: Sequence(9),
                state: IncidentState::Declared,
                severity: Level::High,
            },
            "shop",
        ),
        sink.flush(),
        sink.flush(),
    ]) {
        assert!(step.is_ok(), "{name}: {step:?}");
    }
}

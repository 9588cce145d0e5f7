//! Claims about titles, severity, exposure and duties of one incident.

use model::{
    Actor, ActorKind, Asset, AssetKind, Count, DataClass, EventRef, Finding, Grade, Incident,
    Level, Sequence, Timestamp,
};

use crate::rules::shipped;
use crate::{EntityProfile, Grouper, GroupingSettings};

fn actor(kind: ActorKind, value: &str) -> Actor {
    Actor {
        kind,
        value: value.to_owned(),
    }
}

fn table(name: &str, class: DataClass) -> Asset {
    Asset {
        kind: AssetKind::Table,
        name: name.to_owned(),
        class,
    }
}

fn count(lower: u64, upper: Option<u64>, grade: Grade) -> Option<Count> {
    Some(Count {
        lower,
        upper,
        grade,
    })
}

fn finding(id: &str, rule: &str, assets: Vec<Asset>, rows: Option<Count>) -> Finding {
    Finding {
        id: id.to_owned(),
        title: "Card data read in bulk".to_owned(),
        level: Level::Medium,
        last: Timestamp::from_seconds(1_795_000_004),
        actors: vec![
            actor(ActorKind::DatabaseAccount, "shop"),
            actor(ActorKind::DatabaseConnection, "shop#123"),
        ],
        assets,
        rows,
        ..crate::plain::finding(rule)
    }
}

fn incident(findings: &[Finding], profile: EntityProfile) -> Incident {
    let settings = GroupingSettings {
        profile,
        ..GroupingSettings::default()
    };
    let mut grouper = Grouper::new(settings, &shipped());
    for finding in findings {
        grouper.push(finding, Timestamp::from_seconds(1_795_000_010));
    }
    let mut all = grouper.incidents();
    let one = all.next().expect("it opens").clone();
    assert!(all.next().is_none());
    one
}

fn payment() -> Vec<Asset> {
    vec![table("sales_order_payment", DataClass::PanTruncated)]
}

#[test]
fn title_says_who_and_what() {
    let found = incident(
        &[finding("a", "bulk", payment(), None)],
        EntityProfile::default(),
    );
    let expected =
        "Card data read in bulk: database account shop (connection 123) on sales_order_payment";
    assert_eq!(found.title, expected);
}

#[track_caller]
fn check_severity(assets: Vec<Asset>, rows: Option<Count>, expected: Level) {
    let found = incident(
        &[finding("a", "bulk", assets, rows)],
        EntityProfile::default(),
    );
    assert_eq!(found.severity, expected, "{:?}", found.severity_because);
}

#[test]
fn severity_rises_by_floors() {
    let log = Asset {
        kind: AssetKind::Log,
        name: "system.log".into(),
        class: DataClass::Pan,
    };
    let some = count(20, Some(20), Grade::Exact);
    let many = count(500, Some(900), Grade::Bounded);
    let people = || vec![table("customer_entity", DataClass::Personal)];
    check_severity(people(), None, Level::Medium);
    check_severity(people(), some, Level::High);
    check_severity(people(), many, Level::Critical);
    check_severity(vec![log], None, Level::High);
    check_severity(
        vec![table("quote_payment", DataClass::Pan)],
        some,
        Level::Critical,
    );
    check_severity(
        vec![table("quote_payment", DataClass::Sad)],
        None,
        Level::Critical,
    );
}

#[test]
fn a_denied_attempt_exposes_nothing_and_starts_no_clock() {
    let denied = finding(
        "a",
        "outfile-denied",
        payment(),
        count(0, Some(0), Grade::Exact),
    );
    let found = incident(&[denied], EntityProfile::default());
    assert_eq!(
        (found.exposure.rows, found.exposure.assets.len()),
        (None, 0)
    );
    assert!(found.obligations.is_empty());
    assert!(
        found
            .exposure
            .basis
            .iter()
            .any(|line| line.contains("refused"))
    );
}

#[track_caller]
fn check_rows(findings: &[Finding], lower: u64, upper: Option<u64>, grade: Grade) {
    let found = incident(findings, EntityProfile::default());
    assert_eq!(
        found.exposure.rows,
        count(lower, upper, grade),
        "{:?}",
        found.exposure.basis
    );
}

#[test]
fn rows_are_those_of_the_best_witness_of_each_act() {
    let at = |mut finding: Finding, sequence: u64| {
        finding.events = vec![EventRef {
            sequence: Sequence(sequence),
            index: 0,
        }];
        finding
    };
    let exact = || {
        at(
            finding("a", "bulk", payment(), count(245, Some(245), Grade::Exact)),
            1,
        )
    };
    let shape = || {
        at(
            finding("b", "shape", payment(), count(1, None, Grade::WorstCase)),
            1,
        )
    };
    check_rows(&[exact()], 245, Some(245), Grade::Exact);
    check_rows(&[exact(), shape()], 245, Some(245), Grade::Exact);
    let mut later = at(
        finding("c", "bulk", payment(), count(5, Some(5), Grade::Exact)),
        9,
    );
    later.first = Timestamp::from_seconds(1_795_000_060);
    later.last = later.first;
    check_rows(&[exact(), later], 250, Some(250), Grade::Exact);
    check_rows(
        &[finding("d", "bulk", payment(), None)],
        0,
        None,
        Grade::WorstCase,
    );
}

#[test]
fn duties_follow_the_data_and_what_is_known_of_people() {
    let ids = |assets: Vec<Asset>, profile: EntityProfile| -> Vec<String> {
        let found = incident(&[finding("a", "bulk", assets, None)], profile);
        found
            .obligations
            .into_iter()
            .map(|duty| duty.rule)
            .collect()
    };
    let has = |ids: &[String], id: &str| ids.iter().any(|other| other == id);
    let card = ids(payment(), EntityProfile::default());
    for id in [
        "acquirer-contract",
        "visa-notify",
        "mastercard-adc",
        "amex-dsop",
        "gdpr-33",
    ] {
        assert!(has(&card, id), "{id}");
    }
    let personal = || vec![table("customer_entity", DataClass::Personal)];
    let person = ids(personal(), EntityProfile::default());
    assert!(has(&person, "gdpr-33") && has(&person, "us-ca-individuals"));
    assert!(!has(&person, "visa-notify"));
    let german = EntityProfile {
        regions: Some(["EU".to_owned()].into()),
        entities: Some(["investment adviser".to_owned()].into()),
    };
    let known = ids(personal(), german);
    assert!(has(&known, "gdpr-33") && has(&known, "reg-sp-individuals"));
    assert!(!has(&known, "us-ca-individuals") && !has(&known, "dora-initial"));
    assert!(
        ids(
            vec![table("cms_page", DataClass::Public)],
            EntityProfile::default()
        )
        .is_empty()
    );
}

#[test]
fn unknown_residence_is_said() {
    let found = incident(
        &[finding("a", "bulk", payment(), None)],
        EntityProfile::default(),
    );
    let gdpr = found
        .obligations
        .iter()
        .find(|duty| duty.rule == "gdpr-33")
        .expect("projected");
    assert!(
        gdpr.depends_on
            .iter()
            .any(|fact| fact.starts_with("residence of the people"))
    );
    assert_eq!(gdpr.due, Some(found.detected.plus_seconds(72 * 3600)));
    let chained = found
        .obligations
        .iter()
        .find(|duty| duty.rule == "us-ca-ag")
        .expect("projected");
    assert_eq!(chained.due, None);
}

#[test]
fn an_address_many_share_is_not_named() {
    let mut local = finding("a", "probe", Vec::new(), None);
    local.actors = vec![actor(ActorKind::Address, "127.0.0.1")];
    let found = incident(&[local], EntityProfile::default());
    assert!(found.actors.is_empty());
    assert!(found.title.ends_with("nobody named"));
}

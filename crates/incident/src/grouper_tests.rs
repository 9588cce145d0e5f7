//! Claims about what belongs together, and that the order of arrival doesn't matter.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Actor, ActorKind, Asset, AssetKind, DataClass, Finding, Incident, IncidentState, Lane, Level,
    Timestamp,
};
use proptest::prelude::*;

use super::{Change, Grouper};
use crate::{GroupingSettings, ObligationRules};

const START: i64 = 1_795_000_000;

/// A finding in short: id, rule, seconds from the start, duration, actors, tables, technique.
#[derive(Clone)]
pub(crate) struct Short {
    id: &'static str,
    rule: &'static str,
    span: (i64, i64),
    actors: &'static str,
    tables: &'static str,
    attack: &'static str,
}

fn actors(text: &str) -> Vec<Actor> {
    text.split_whitespace()
        .map(|word| {
            let (kind, value) = word.split_once('=').expect("tests write kind=value");
            let kind = match kind {
                "ip" => ActorKind::Address,
                "db" => ActorKind::DatabaseAccount,
                "conn" => ActorKind::DatabaseConnection,
                "token" => ActorKind::Token,
                "admin" => ActorKind::Administrator,
                "program" => ActorKind::HostProcess,
                "account" => ActorKind::HostAccount,
                _ => ActorKind::Session,
            };
            Actor {
                kind,
                value: value.to_owned(),
            }
        })
        .collect()
}

pub(crate) fn finding(short: &Short, level: Level) -> Finding {
    let first = Timestamp::from_seconds(START + short.span.0);
    Finding {
        id: short.id.to_owned(),
        title: short.rule.to_owned(),
        level,
        first,
        last: first.plus_seconds(short.span.1),
        actors: actors(short.actors),
        assets: short
            .tables
            .split_whitespace()
            .map(|name| Asset {
                kind: if name.contains(':') {
                    AssetKind::Row
                } else if name.contains('/') {
                    AssetKind::Path
                } else {
                    AssetKind::Table
                },
                name: name.to_owned(),
                class: DataClass::PanTruncated,
            })
            .collect(),
        attack: short.attack.split_whitespace().map(str::to_owned).collect(),
        ..crate::plain::finding(short.rule)
    }
}

pub(crate) fn grouper() -> Grouper {
    Grouper::new(GroupingSettings::default(), &ObligationRules::default())
}

pub(crate) fn ids(incident: &Incident) -> BTreeSet<String> {
    incident
        .findings
        .iter()
        .map(|joined| joined.finding.clone())
        .collect()
}

pub(crate) fn short(
    id: &'static str,
    rule: &'static str,
    span: (i64, i64),
    actors: &'static str,
    tables: &'static str,
    attack: &'static str,
) -> Short {
    Short {
        id,
        rule,
        span,
        actors,
        tables,
        attack,
    }
}

/// Groups high findings and compares the sets, written `a b|c`.
#[track_caller]
fn check(shorts: &[Short], expected: &str) {
    let expected: BTreeSet<BTreeSet<String>> = expected
        .split('|')
        .map(|set| set.split_whitespace().map(str::to_owned).collect())
        .collect();
    for reverse in [false, true] {
        let mut all = shorts.to_vec();
        if reverse {
            all.reverse();
        }
        let mut grouper = grouper();
        for short in &all {
            grouper.push(&finding(short, Level::High), Timestamp::default());
        }
        let found: BTreeSet<_> = grouper.incidents().map(ids).collect();
        assert_eq!(found, expected, "reverse: {reverse}");
        assert!(
            grouper
                .incidents()
                .flat_map(|i| &i.findings)
                .all(|j| !j.because.is_empty())
        );
    }
}

#[test]
fn one_address_joins_within_its_gaps_only() {
    let a = short("a", "walk", (0, 10), "ip=192.0.2.7", "", "");
    check(
        &[
            a.clone(),
            short("b", "walk", (300, 5), "ip=192.0.2.7", "", ""),
        ],
        "a b",
    );
    check(
        &[
            a.clone(),
            short("b", "walk", (311, 5), "ip=192.0.2.7", "", ""),
        ],
        "a|b",
    );
    check(
        &[
            a.clone(),
            short("b", "login", (130, 5), "ip=192.0.2.7", "", ""),
        ],
        "a b",
    );
    check(
        &[
            a.clone(),
            short("b", "login", (131, 5), "ip=192.0.2.7", "", ""),
        ],
        "a|b",
    );
    check(
        &[a, short("b", "walk", (1, 5), "ip=192.0.2.8", "", "")],
        "a|b",
    );
}

#[test]
fn the_shops_own_account_joins_nothing_alone() {
    let dump = short(
        "a",
        "dump",
        (0, 1),
        "db=shop conn=shop#1",
        "payment",
        "T1005",
    );
    let other = short(
        "b",
        "skimmer",
        (2, 0),
        "db=shop conn=shop#2",
        "core_config_data",
        "T1059.007",
    );
    check(&[dump.clone(), other], "a|b");
    let again = short(
        "b",
        "dump",
        (4, 0),
        "db=shop conn=shop#2",
        "payment",
        "T1005",
    );
    check(&[dump.clone(), again], "a b");
    let later = short(
        "b",
        "dump",
        (30, 0),
        "db=shop conn=shop#2",
        "payment",
        "T1005",
    );
    check(&[dump.clone(), later], "a|b");
    let same = short(
        "b",
        "insert",
        (600, 0),
        "db=shop conn=shop#1",
        "admin_user",
        "T1136",
    );
    check(&[dump, same], "a b");
}

#[test]
fn an_injection_seen_by_web_and_database_is_one() {
    let web = short(
        "a",
        "sql-injection-web",
        (0, 20),
        "ip=192.0.2.7",
        "",
        "T1190",
    );
    let one = short(
        "b",
        "union-select",
        (3, 0),
        "db=shop conn=shop#1",
        "payment",
        "T1190",
    );
    let two = short(
        "c",
        "error-burst",
        (9, 2),
        "db=shop conn=shop#2",
        "",
        "T1190",
    );
    check(&[web.clone(), one.clone(), two.clone()], "a b c");
    let cli = short(
        "d",
        "union-select",
        (40, 0),
        "db=shop conn=shop#9",
        "payment",
        "T1190",
    );
    check(&[web.clone(), one.clone(), two, cli], "a b c|d");
    let dump = short(
        "d",
        "dump",
        (5, 0),
        "db=shop conn=shop#9",
        "payment",
        "T1005",
    );
    check(&[web, one, dump], "a b|d");
}

#[test]
fn an_injection_that_could_be_of_two_clients_is_nobodys() {
    let a = short("a", "sqli-web", (0, 20), "ip=192.0.2.7", "", "T1190");
    let b = short("b", "sqli-web", (0, 20), "ip=192.0.2.8", "", "T1190");
    let c = short(
        "c",
        "union",
        (3, 0),
        "db=shop conn=shop#1",
        "payment",
        "T1190",
    );
    check(&[a, b, c], "a|b|c");
}

#[test]
fn a_log_that_names_nobody_joins_the_one_it_can_be_of() {
    let web = short("a", "upload", (0, 5), "ip=192.0.2.7", "", "T1505.003");
    let file = short("b", "php-in-media", (30, 0), "", "", "T1505.003");
    check(&[web.clone(), file.clone()], "a b");
    let other = short("c", "upload", (10, 5), "ip=192.0.2.8", "", "T1505.003");
    check(&[web.clone(), file, other], "a|b|c");
    check(
        &[web, short("b", "php-in-media", (90, 0), "", "", "T1505")],
        "a|b",
    );
}

#[test]
fn a_program_that_wrote_a_file_is_no_client_of_its_own() {
    let php = "program=/usr/sbin/php-fpm8.2 account=www-data";
    let web = |id, at, ip| short(id, "upload", (at, 5), ip, "", "T1505.003");
    let file = |id, at, name| short(id, "fs-exec", (at, 0), php, name, "T1505.003");
    let (one, other) = (file("b", 30, "pub/media/x.php"), file("d", 31, "var/y.php"));
    check(&[web("a", 0, "ip=192.0.2.7"), one.clone()], "a b");
    let clients = [
        web("a", 0, "ip=192.0.2.7"),
        one.clone(),
        web("c", 10, "ip=192.0.2.8"),
    ];
    check(&clients, "a|b|c");
    // That PHP wrote two files doesn't make them one act: it writes for everybody.
    check(&[one.clone(), other], "b|d");
    // A program another log saw start is somebody a file's log can mean.
    let shell = short(
        "s",
        "host-web-shell",
        (0, 0),
        "program=/bin/dash account=www-data",
        "",
        "T1505.003",
    );
    check(&[shell, one], "b s");
}

#[test]
fn what_two_rules_tell_of_one_file_is_one_act() {
    let place = short("a", "fs-exec", (0, 0), "", "pub/media/x.php", "T1505.003");
    let text = |file| short("b", "fs-signature", (1, 0), "", file, "T1056.003");
    check(&[place.clone(), text("pub/media/x.php")], "a b");
    check(&[place, text("pub/media/y.php")], "a|b");
    // So it is where the program that wrote it is known, to both or to one of them.
    let php = "program=/usr/sbin/php-fpm8.2 account=www-data";
    let place = |file| short("a", "fs-exec", (0, 0), php, file, "T1505.003");
    let by = |who, file| short("b", "fs-polyglot", (1, 0), who, file, "T1027.009");
    check(
        &[place("pub/media/x.php"), by(php, "pub/media/x.php")],
        "a b",
    );
    check(
        &[place("pub/media/x.php"), by("", "pub/media/x.php")],
        "a b",
    );
    check(
        &[place("pub/media/x.php"), by(php, "pub/media/y.php")],
        "a|b",
    );
    let asked = by("ip=192.0.2.7", "pub/media/x.php");
    check(&[place("pub/media/x.php"), asked], "a|b");
    // Everybody uses a table.
    let rows = short("a", "dump", (0, 0), "", "quote_payment", "");
    let drop = short("b", "trigger", (1, 0), "", "quote_payment", "");
    check(&[rows, drop], "a|b");
}

#[test]
fn a_rule_over_many_addresses_joins_itself() {
    let a = short(
        "a",
        "stuffing",
        (0, 5),
        "ip=192.0.2.1 ip=192.0.2.2 ip=192.0.2.3",
        "",
        "T1110",
    );
    let b = short(
        "b",
        "stuffing",
        (60, 5),
        "ip=192.0.2.4 ip=192.0.2.5 ip=192.0.2.6",
        "",
        "T1110",
    );
    check(&[a, b], "a b");
}

#[test]
fn loopback_joins_one_act_only() {
    let a = short("a", "probe", (0, 1), "ip=127.0.0.1", "", "T1595");
    check(
        &[
            a.clone(),
            short("b", "upload", (2, 1), "ip=127.0.0.1", "", "T1505"),
        ],
        "a|b",
    );
    check(
        &[a, short("b", "probe", (2, 1), "ip=127.0.0.1", "", "T1595")],
        "a b",
    );
}

#[test]
fn an_address_told_to_be_shared_parts_what_it_joined() {
    let mut grouper = grouper();
    let a = short("a", "walk", (0, 1), "ip=192.0.2.7", "", "T1119");
    let b = short("b", "login", (60, 1), "ip=192.0.2.7", "", "T1110");
    for short in [&a, &b] {
        grouper.push(&finding(short, Level::High), Timestamp::default());
    }
    assert_eq!(grouper.incidents().count(), 1);
    grouper.note_actor_traffic(&actors("ip=192.0.2.7")[0], 1000);
    assert_eq!(grouper.incidents().count(), 2);
}

#[test]
fn low_findings_join_and_open_nothing() {
    let mut grouper = grouper();
    let low = short("a", "probe", (0, 1), "ip=192.0.2.7", "", "");
    let pushed = grouper.push(&finding(&low, Level::Low), Timestamp::default());
    assert_eq!(
        (pushed, grouper.incidents().count()),
        (vec![Change::None], 0)
    );
    let high = short("b", "walk", (30, 1), "ip=192.0.2.7", "", "");
    let pushed = grouper.push(&finding(&high, Level::High), Timestamp::default());
    assert_eq!(pushed, vec![Change::Opened("b".into())]);
    let one = grouper.incident("b").expect("opened");
    assert_eq!(ids(one), ["a".to_owned(), "b".to_owned()].into());
    assert_eq!(one.first, Timestamp::from_seconds(START));
    assert_eq!(grouper.findings_of("b").count(), 2);
}

#[test]
fn the_action_log_says_who_changed_a_row() {
    let who = "ip=192.0.2.7 admin=alice";
    let skimmer = short("s", "skimmer", (100, 0), "", "cms_page:1", "");
    // Of two incidents it could hang on, that of the row it tells of.
    let other = short("o", "two addresses", (1, 0), who, "", "");
    for (actors, at, row, expected) in [
        (who, 0, "cms_page:1", true),
        (who, 400, "cms_page:1", true),
        (who, 401, "cms_page:1", false),
        (who, 0, "cms_page:2", false),
        ("ip=192.0.2.7", 0, "cms_page:1", false),
    ] {
        let act = short("a", "act", (at, 0), actors, row, "");
        for reverse in [false, true] {
            let mut all = [
                finding(&skimmer, Level::Critical),
                finding(&other, Level::High),
                finding(&act, Level::Low),
            ];
            if reverse {
                all.reverse();
            }
            let mut grouper = grouper();
            for one in &all {
                grouper.push(one, Timestamp::default());
            }
            let one = grouper.incident("s").expect("opened");
            assert_eq!(ids(one).contains("a"), expected, "{actors} {at} {row}");
            let named = one.actors.iter().any(|actor| actor.value == "alice");
            assert_eq!(named, expected, "{:?}", one.actors);
            assert_eq!(one.title.contains("192.0.2.7"), expected, "{}", one.title);
        }
    }
}

#[test]
fn a_finding_that_grew_replaces_the_former() {
    let mut grouper = grouper();
    let mut grows = finding(
        &short("a", "walk", (0, 1), "ip=192.0.2.7", "", ""),
        Level::High,
    );
    grouper.push(&grows, Timestamp(5));
    assert!(grouper.push(&grows, Timestamp(6)).is_empty());
    grows.last = grows.last.plus_seconds(100);
    grows.event_count = 7;
    assert_eq!(
        grouper.push(&grows, Timestamp(7)),
        vec![Change::Grew("a".into())]
    );
    let one = grouper.incident("a").expect("opened");
    assert_eq!(
        (one.last, one.findings.len(), one.detected),
        (grows.last, 1, Timestamp(5))
    );
}

#[test]
fn an_earlier_finding_that_comes_later_gives_the_name() {
    let mut grouper = grouper();
    let later = short("b", "walk", (30, 1), "ip=192.0.2.7", "", "");
    let earlier = short("a", "walk", (0, 1), "ip=192.0.2.7", "", "");
    grouper.push(&finding(&later, Level::High), Timestamp::default());
    let pushed = grouper.push(&finding(&earlier, Level::High), Timestamp::default());
    let merged = Change::Merged {
        into: "a".into(),
        from: "b".into(),
    };
    assert_eq!(pushed, vec![Change::Opened("a".into()), merged]);
    assert_eq!(
        grouper.incident("b").map(|i| i.state),
        Some(IncidentState::Merged)
    );
    assert_eq!(grouper.incidents().count(), 1);
}

#[test]
fn exercises_never_join_the_shop() {
    let mut grouper = grouper();
    let a = finding(
        &short("a", "walk", (0, 1), "ip=192.0.2.7", "", ""),
        Level::High,
    );
    let mut b = finding(
        &short("b", "walk", (1, 1), "ip=192.0.2.7", "", ""),
        Level::High,
    );
    b.lane = Lane::Exercise;
    grouper.push(&a, Timestamp::default());
    grouper.push(&b, Timestamp::default());
    assert_eq!(grouper.incidents().count(), 2);
}

pub(crate) fn any_finding() -> impl Strategy<Value = Finding> {
    let who = prop_oneof![
        Just("ip=192.0.2.1"),
        Just("ip=192.0.2.2 token=t"),
        Just("db=shop conn=shop#1"),
        Just("db=shop conn=shop#2"),
        Just("ip=127.0.0.1"),
        Just("ip=192.0.2.1 ip=192.0.2.2 ip=192.0.2.3"),
        Just(""),
    ];
    let rule = prop_oneof![Just("sqli-web"), Just("dump"), Just("union")];
    let attack = prop_oneof![Just("T1190"), Just("T1005"), Just("")];
    let tables = prop_oneof![Just("payment"), Just("customer"), Just("")];
    let level = prop_oneof![Just(Level::Low), Just(Level::High)];
    (
        0_u32..12,
        who,
        rule,
        attack,
        tables,
        level,
        0_i64..900,
        0_i64..40,
    )
        .prop_map(|(id, actors, rule, attack, tables, level, start, length)| {
            let short = Short {
                id: "",
                rule,
                span: (start, length),
                actors,
                tables,
                attack,
            };
            Finding {
                id: format!("{id:02}"),
                ..finding(&short, level)
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn order_of_arrival_does_not_matter(
        (sorted, shuffled) in prop::collection::vec(any_finding(), 1..24)
            .prop_map(|all| all.into_iter().map(|f| (f.id.clone(), f)).collect::<BTreeMap<_, _>>())
            .prop_map(|all| all.into_values().collect::<Vec<_>>())
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let group = |all: &[Finding]| {
            let mut grouper = grouper();
            for finding in all {
                grouper.push(finding, Timestamp(1));
            }
            grouper.incidents().cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(group(&sorted), group(&shuffled));
    }

    #[test]
    fn growing_findings_end_as_if_only_the_last_were_given(
        all in prop::collection::vec(any_finding(), 1..30)
    ) {
        let mut grown = grouper();
        let mut last = BTreeMap::new();
        for finding in &all {
            grown.push(finding, Timestamp(1));
            last.insert(finding.id.clone(), finding.clone());
        }
        let mut fresh = grouper();
        for finding in last.values() {
            fresh.push(finding, Timestamp(1));
        }
        let (grown, fresh): (Vec<_>, Vec<_>) =
            (grown.incidents().cloned().collect(), fresh.incidents().cloned().collect());
        prop_assert_eq!(grown, fresh);
    }

    #[test]
    fn any_times_and_words_never_panic(
        first in any::<i64>(),
        last in any::<i64>(),
        value in ".{0,20}",
    ) {
        let mut grouper = Grouper::new(GroupingSettings::default(), &crate::rules::shipped());
        for kind in [ActorKind::Address, ActorKind::DatabaseAccount, ActorKind::HostProcess] {
            let short = short("a", "r", (0, 0), "", "payment", "T1190");
            let mut finding = finding(&short, Level::High);
            (finding.first, finding.last) = (Timestamp(first), Timestamp(last));
            finding.actors = vec![Actor { kind, value: value.clone() }];
            finding.title.clone_from(&value);
            grouper.push(&finding, Timestamp(last));
            finding.id = "b".to_owned();
            grouper.push(&finding, Timestamp(first));
        }
    }
}

/// What a shop under noisy attack gives: many findings, each growing, in one hour.
#[test]
fn many_growing_findings_cost_little() {
    let mut grouper = Grouper::new(GroupingSettings::default(), &crate::rules::shipped());
    for round in 0..5 {
        for at in 0..400_i64 {
            let short = short("", "walk", (at * 9, 4 + round), "", "payment", "T1119");
            let mut finding = finding(&short, Level::High);
            finding.id = format!("{at:04}");
            let value = format!("198.51.100.{}", at % 200);
            finding.actors = vec![Actor {
                kind: ActorKind::Address,
                value,
            }];
            grouper.push(&finding, Timestamp(1));
        }
    }
    assert_eq!(grouper.incidents().count(), 400);
}

//! What rules match and what windows count, from the outside.

use model::{
    Category, Event, EventRef, Field, Finding, InstallationId, Lane, Scope, Sequence, Timestamp,
    Value,
};
use proptest::prelude::*;

use crate::{Detector, RuleError, RuleSource, Settings};

fn detector(text: &str) -> Result<Detector, RuleError> {
    Detector::new(
        &[RuleSource {
            name: "test.yml",
            text,
        }],
        Settings {
            installation: InstallationId("shop".to_owned()),
            ..Settings::default()
        },
    )
}

fn web(second: i64, path: &str, client: &str) -> Event<'static> {
    let mut event = Event::new(Category::Webserver);
    event.time = Some(Timestamp::from_seconds(second));
    event.put_text(Field::UriStem, path.to_owned());
    event.put_text(Field::ClientIp, client.to_owned());
    event.put_int(Field::Status, 200);
    event
}

/// Tells the findings after the last event, each in its latest state, by id.
fn told(rules: &str, events: &[Event<'static>]) -> Vec<Finding> {
    let mut detector = detector(rules).unwrap();
    let mut out = Vec::new();
    for (event, number) in events.iter().zip(0..) {
        detector.push(
            event,
            &[EventRef {
                sequence: Sequence(number),
                index: 0,
            }],
            Lane::Live,
            &Scope::Unknown,
            &mut out,
        );
    }
    detector.flush(Timestamp::from_seconds(i64::from(u32::MAX)), &mut out);
    let mut latest = std::collections::BTreeMap::new();
    for finding in out {
        latest.insert(finding.id.clone(), finding);
    }
    latest.into_values().collect()
}

fn rule(detection: &str) -> String {
    format!(
        "title: t\nid: r\nlogsource: {{ category: webserver }}\nlevel: high\ndetection:\n{detection}\n"
    )
}

#[track_caller]
fn check(item: &str, value: &str, expected: bool) {
    let mut event = Event::new(Category::Webserver);
    match value.parse() {
        Ok(number) => event.put_int(Field::Status, number),
        Err(_) => event.put_text(Field::Status, value.to_owned()),
    }
    event.put_text(Field::Method, "GET");
    let rules = rule(&format!("  a: {{ {item} }}\n  condition: a"));
    assert_eq!(
        !told(&rules, &[event]).is_empty(),
        expected,
        "{item} on {value}"
    );
}

#[test]
fn values_match_whole_and_in_any_case() {
    check("sc-status: abc", "ABC", true);
    check("sc-status: abc", "abcd", false);
    check("sc-status: [x, abc]", "abc", true);
    check("sc-status: 200", "200", true);
}

#[test]
fn wildcards_match_and_escapes_do_not() {
    check("sc-status: 'a*c'", "abbbc", true);
    check("sc-status: 'a?c'", "abbc", false);
    check(r"sc-status: 'a\*c'", "abc", false);
    check(r"sc-status: 'a\*c'", "a*c", true);
    check(r"sc-status: 'a\\b'", r"a\b", true);
    check(r"sc-status: '\*'", "anything", false);
}

#[test]
fn modifiers_follow_the_specification() {
    check("sc-status|contains: bc", "aBCd", true);
    check("sc-status|startswith: ab", "ABc", true);
    check("sc-status|endswith: bc", "xabC", true);
    check("sc-status|contains|all: [ab, cd]", "abxcd", true);
    check("sc-status|contains|all: [ab, cd]", "abx", false);
    check("sc-status|cased: abc", "ABC", false);
    check("sc-status|contains|cased: b", "abc", true);
    check("sc-status|re: '^a.c$'", "abc", true);
    check("sc-status|re: '^a.c$'", "ABC", false);
    check("sc-status|re|i: '^a.c$'", "ABC", true);
    check("sc-status|cidr: 192.0.2.0/24", "192.0.2.77", true);
    check("sc-status|cidr: 192.0.2.0/24", "192.0.3.77", false);
    check("sc-status|cidr: '2001:db8::/32'", "2001:db8::7", true);
    check("sc-status|cidr: 0.0.0.0/0", "198.51.100.1", true);
    check("sc-status|gte: 400", "400", true);
    check("sc-status|gt: 400", "400", false);
    check("sc-status|lt: 400", "399", true);
    check("sc-status|exists: true", "x", true);
    check("sc-bytes|exists: false", "x", true);
    check("sc-bytes: null", "x", true);
    check("sc-status|fieldref: cs-method", "GET", true);
    check("sc-status|fieldref: cs-method", "POST", false);
    check("sc-status|windash|contains: ' -x'", "run /x", true);
    check("sc-status|base64|contains: foobar", "xZm9vYmFyx", true);
    check(
        "sc-status|base64offset|contains: foobar",
        "AGZvb2Jhcg==",
        true,
    );
    check("sc-status|wide|base64|contains: ab", "YQBiAA==", true);
}

#[test]
fn unknown_fields_never_match_and_are_told() {
    let rules = rule("  a: { CommandLine|contains: x }\n  condition: a");
    assert!(told(&rules, &[web(0, "/x", "192.0.2.1")]).is_empty());
    assert_eq!(
        detector(&rules)
            .unwrap()
            .rules()
            .next()
            .unwrap()
            .unknown_fields,
        ["CommandLine"]
    );
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    assert_eq!(detector(text).map(drop).unwrap_err().to_string(), expected);
}

#[test]
fn refusals_name_file_rule_and_reason() {
    check_refused(
        &rule("  a: { cs-uri|expand: '%x%' }\n  condition: a"),
        "rule `r` in test.yml: modifier `expand` needs placeholders, which there are none of; write the values",
    );
    check_refused(
        &rule("  a: { cs-uri|nonsense: x }\n  condition: a"),
        "test.yml can't be read as Sigma rules: Unknown modifier 'nonsense' (in the document that begins at line 1)",
    );
    check_refused(
        &rule("  a: { cs-uri: x }\n  condition: b"),
        "rule `r` in test.yml: the condition names `b`, which is no selection",
    );
}

const WALK: &str = "title: base\nid: base\nlogsource: { category: webserver }\ndetection: { a: { cs-uri-stem|startswith: /o/ }, condition: a }\n---\ntitle: walk\nid: walk\nlevel: high\ncorrelation: { type: value_count, rules: [base], group-by: [c-ip], timespan: 60s, condition: { field: cs-uri-stem, gte: 5 } }\n";

#[track_caller]
fn check_walk(events: &[Event<'static>], expected: &[u64]) {
    let counts: Vec<u64> = told(WALK, events)
        .iter()
        .map(|finding| finding.event_count)
        .collect();
    assert_eq!(counts, expected);
}

#[test]
fn windows_count_values_by_group_within_the_span() {
    let walk = |step: i64, count: i64, client: &'static str| -> Vec<_> {
        (0..count)
            .map(|number| web(number * step, &format!("/o/{number}"), client))
            .collect()
    };
    check_walk(&walk(1, 5, "192.0.2.1"), &[5]);
    check_walk(&walk(1, 4, "192.0.2.1"), &[]);
    check_walk(&walk(30, 20, "192.0.2.1"), &[]);
    check_walk(&walk(1, 300, "192.0.2.1"), &[300]);
    check_walk(
        &[walk(1, 4, "192.0.2.1"), walk(1, 4, "192.0.2.2")].concat(),
        &[],
    );
    check_walk(
        &(0..9)
            .map(|_| web(0, "/o/1", "192.0.2.1"))
            .collect::<Vec<_>>(),
        &[],
    );
}

#[test]
fn a_twin_in_another_log_counts_once() {
    let events: Vec<_> = (0..6)
        .flat_map(|number| {
            ["nginx_json", "nginx_combined"].map(|format| {
                let mut event = web(number, "/o/x", "192.0.2.1");
                event.put_text(Field::Uri, format!("/o/x?n={number}"));
                event.put_text(Field::Format, format);
                event
            })
        })
        .collect();
    let rules = rule("  a: { cs-uri-stem: /o/x }\n  condition: a");
    let findings = told(&rules, &events);
    assert_eq!(
        findings
            .iter()
            .map(|finding| finding.event_count)
            .collect::<Vec<_>>(),
        [6]
    );
}

#[test]
fn rules_in_order_need_the_order() {
    let text = "title: a\nid: a\nlogsource: { category: webserver }\ndetection: { s: { cs-uri-stem: /a }, condition: s }\n---\ntitle: b\nid: b\nlogsource: { category: webserver }\ndetection: { s: { cs-uri-stem: /b }, condition: s }\n---\ntitle: c\nid: c\nlevel: high\ncorrelation: { type: temporal_ordered, rules: [a, b], group-by: [c-ip], timespan: 60s }\n";
    let (a, b) = (
        |at| web(at, "/a", "192.0.2.1"),
        |at| web(at, "/b", "192.0.2.1"),
    );
    assert_eq!(told(text, &[a(0), b(5)]).len(), 1);
    assert_eq!(told(text, &[b(0), a(5)]).len(), 0);
    assert_eq!(
        told(&text.replace("temporal_ordered", "temporal"), &[b(0), a(5)]).len(),
        1
    );
    assert_eq!(told(text, &[a(0), b(500)]).len(), 0);
}

#[test]
fn what_is_new_in_a_finding_is_told_at_once_and_the_rest_when_it_doubled() {
    let rules = rule("  a: { sc-status: 200 }\n  condition: a").replace("webserver", "file_event");
    let mut detector = detector(&rules).unwrap();
    let mut told = Vec::new();
    for (name, number) in ["a", "b", "c", "c", "c", "c", "d", "d", "d"]
        .iter()
        .zip(0..)
    {
        let mut event = web(number, "/", "203.0.113.1");
        event.category = Category::File;
        event.put_text(Field::FilePath, *name);
        let mut out = Vec::new();
        let at = EventRef {
            sequence: Sequence(number.unsigned_abs()),
            index: 0,
        };
        detector.push(&event, &[at], Lane::Live, &Scope::Unknown, &mut out);
        told.push(out.first().map(|finding| finding.event_count));
    }
    let expected = [
        Some(1),
        Some(2),
        Some(3),
        None,
        None,
        Some(6),
        Some(7),
        None,
        None,
    ];
    assert_eq!(told, expected);
    let mut out = Vec::new();
    detector.refresh(&mut out);
    detector.refresh(&mut out);
    let counts: Vec<_> = out.iter().map(|finding| finding.event_count).collect();
    assert_eq!(counts, [9], "what grew is told when asked, once");
}

#[test]
fn what_is_told_late_is_a_finding_too() {
    let rules = rule("  a: { cs-uri-stem: /a }\n  condition: a");
    let findings = told(
        &rules,
        &[web(100_000, "/a", "192.0.2.1"), web(5, "/a", "192.0.2.1")],
    );
    let mut firsts: Vec<_> = findings.iter().map(|finding| finding.first).collect();
    firsts.sort();
    assert_eq!(
        firsts,
        [Timestamp::from_seconds(5), Timestamp::from_seconds(100_000)]
    );
}

#[test]
fn windows_are_bounded_and_given_up_ones_counted() {
    let text = rule("  a: { cs-uri-stem: /a }\n  condition: a");
    let settings = Settings {
        state_entries_max: 100,
        ..Settings::default()
    };
    let mut detector = Detector::new(
        &[RuleSource {
            name: "test.yml",
            text: &text,
        }],
        settings,
    )
    .unwrap();
    let mut out = Vec::new();
    for number in 0..1000 {
        let event = web(number, "/a", &format!("192.0.2.{number}"));
        detector.push(
            &event,
            &[EventRef {
                sequence: Sequence(0),
                index: 0,
            }],
            Lane::Live,
            &Scope::Unknown,
            &mut out,
        );
    }
    assert!(detector.evicted() >= 900, "{}", detector.evicted());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn order_of_arrival_within_the_span_does_not_matter(shuffled in Just((0..12_i64).collect::<Vec<_>>()).prop_shuffle()) {
        let events: Vec<_> = shuffled.iter().map(|number| web(number * 4, &format!("/o/{number}"), "192.0.2.1")).collect();
        let findings = told(WALK, &events);
        prop_assert_eq!(findings.len(), 1);
        prop_assert_eq!((findings[0].event_count, findings[0].first, findings[0].last), (12, Timestamp::default(), Timestamp::from_seconds(44)));
    }

    #[test]
    fn no_rule_text_makes_it_panic(text in "\\PC{0,300}") {
        let _rules = detector(&text).map(drop);
    }

    #[test]
    fn no_value_makes_it_panic(path in "\\PC{0,200}", number in any::<i64>()) {
        let mut event = web(number, &path, "192.0.2.1");
        event.put(Field::Tables, Value::List(vec![path.clone().into()]));
        let _findings = told(WALK, &[event]);
    }
}

#[test]
fn an_act_of_an_administrator_names_who_did_it_and_the_row_it_was_done_to() {
    let rules = rule("  a: { admin.target: '*' }\n  condition: a")
        .replace("category: webserver", "category: shop_row");
    let act = |who: &dyn Fn(&mut Event<'static>)| {
        let mut event = Event::new(Category::ShopRow);
        event.put_text(Field::ClientIp, "192.0.2.7");
        event.put_text(Field::Table, "admin_activity_detail");
        event.put_text(Field::RowKey, "17");
        event.put_text(Field::AdminTarget, "cms_page:7");
        who(&mut event);
        let finding = told(&rules, &[event]).pop().expect("told");
        let actors = finding.actors.iter();
        let actors: Vec<_> = actors
            .map(|one| format!("{} {}", one.kind.name(), one.value))
            .collect();
        let assets: Vec<_> = finding.assets.iter().map(|one| one.name.clone()).collect();
        (actors.join(", "), assets.join(", "))
    };
    for (who, expected) in [
        (Some("alice"), "address 192.0.2.7, administrator alice"),
        (None, "address 192.0.2.7, administrator user_id 4"),
    ] {
        let told = act(&|event| {
            event.put_int(Field::AdminId, 4);
            if let Some(who) = who {
                event.put_text(Field::AdminName, who);
            }
        });
        assert_eq!(told, (expected.to_owned(), "cms_page:7".to_owned()));
    }
}

#[test]
fn a_rule_that_an_order_names_twice_must_match_twice() {
    let rules = "title: t\nid: a\nlogsource: { category: webserver }\nlevel: low\ndetection:\n  a: { cs-uri-stem: /a }\n  condition: a\n---\n\
        title: t\nid: b\nlogsource: { category: webserver }\nlevel: low\ndetection:\n  b: { cs-uri-stem: /b }\n  condition: b\n---\n\
        title: t\nid: c\ncorrelation: { type: temporal_ordered, rules: [a, a, b], group-by: [c-ip], timespan: 1m }\nlevel: high\n";
    for (paths, expected) in [
        (["/a", "/a", "/b"], 1),
        (["/a", "/b", "/b"], 0),
        (["/b", "/a", "/a"], 0),
        (["/a", "/b", "/a"], 0),
    ] {
        let events: Vec<_> = (0..)
            .zip(paths)
            .map(|(second, path)| web(second, path, "192.0.2.7"))
            .collect();
        let findings = told(rules, &events);
        assert_eq!(findings.len(), expected, "{paths:?}");
    }
}

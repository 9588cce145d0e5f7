//! Our matcher and windows against another engine for the same rules (crate `rsigma-eval`).
//!
//! Differences that are meant are kept out of what is generated, and each stands in a test of its own.

use std::fs;
use std::path::Path;

use detect::{Detector, RuleSource, Settings};
use model::{Category, Event, EventRef, Field, Lane, Scope, Sequence, Timestamp, Value};
use proptest::prelude::*;
use rsigma_eval::event::JsonEvent;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, Engine};
use rsigma_parser::parse_sigma_yaml;
use serde_json::json;

/// The shipped rules, by file.
fn shipped() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/rules");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("read").path())
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).expect("text"),
            )
        })
        .collect();
    files.sort();
    files
}

/// The same event for the other engine.
fn as_json(event: &Event<'_>) -> serde_json::Value {
    let fields = event.fields().iter().map(|(field, value)| {
        let value = match value {
            Value::Int(number) => json!(number),
            Value::Text(text) => json!(text),
            Value::List(list) => json!(list),
        };
        (field.name().to_owned(), value)
    });
    serde_json::Value::Object(fields.collect())
}

/// Whether a rule without correlation matches one event, here and there.
fn both(rule: &str, event: &Event<'_>) -> (bool, bool) {
    let sources = [RuleSource {
        name: "generated.yml",
        text: rule,
    }];
    let mut detector = Detector::new(&sources, Settings::default()).expect(rule);
    let refs = [EventRef {
        sequence: Sequence(0),
        index: 0,
    }];
    let mut out = Vec::new();
    detector.push(event, &refs, Lane::Live, &Scope::Unknown, &mut out);
    detector.flush(Timestamp(i64::MAX), &mut out);
    let mut engine = Engine::new();
    let read = parse_sigma_yaml(rule).expect("a rule");
    engine.add_collection(&read).expect(rule);
    let there = engine.evaluate(&JsonEvent::borrow(&as_json(event)));
    (!out.is_empty(), !there.is_empty())
}

/// Parts that texts and values are made of: they meet often.
const PARTS: [&str; 17] = [
    "admin", "ADMIN", "a", "x", "/", " -", "=", "1", "%27", "select", "y", "é", "", "\\", "*", "?",
    "10.0.0.7",
];

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PARTS.as_slice()), 1..4)
        .prop_map(|parts| parts.concat())
}

const TEXTS: [Field; 3] = [Field::Uri, Field::UserAgent, Field::Host];
const NUMBERS: [Field; 2] = [Field::Status, Field::ResponseBytes];

fn event() -> impl Strategy<Value = Event<'static>> {
    let texts = proptest::collection::vec(proptest::option::of(text()), TEXTS.len());
    let numbers = proptest::collection::vec(proptest::option::of(0_i64..6), NUMBERS.len());
    // Always there: findings are grouped by it.
    let address =
        proptest::sample::select(["10.0.0.7", "10.0.1.7", "192.0.2.1", "2001:db8::1"].as_slice());
    (texts, numbers, address).prop_map(|(texts, numbers, address)| {
        let mut event = Event::new(Category::Webserver);
        event.time = Some(Timestamp::from_seconds(1_785_924_930));
        for (field, text) in TEXTS.iter().zip(texts) {
            if let Some(text) = text {
                event.put(*field, Value::Text(text.into()));
            }
        }
        for (field, number) in NUMBERS.iter().zip(numbers) {
            if let Some(number) = number {
                event.put(*field, Value::Int(number));
            }
        }
        event.put(Field::ClientIp, Value::Text(address.into()));
        event
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One `field|modifiers: values` of a selection, as YAML.
fn item() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|contains|all",
        "|cased",
        "|contains|cased",
        "|startswith|cased",
        "|endswith|cased",
        "|windash",
        "|windash|contains",
    ];
    let texts = (
        proptest::sample::select(TEXTS.as_slice()),
        proptest::sample::select(WORDS),
        proptest::collection::vec(text(), 1..4),
    )
        .prop_map(|(field, modifiers, values)| {
            // The other engine refuses `all` of one value.
            let modifiers = if values.len() == 1 {
                modifiers.trim_end_matches("|all")
            } else {
                modifiers
            };
            // The other engine reads wildcards beside these in a way of its own: see the test on them.
            let plain = ["windash", "startswith", "endswith", "contains"]
                .iter()
                .any(|name| modifiers.contains(name));
            let values: Vec<_> = values
                .iter()
                .map(|value| match plain {
                    true => quoted(&value.replace(['*', '?', '\\'], "y")),
                    false => quoted(value),
                })
                .collect();
            format!("{}{modifiers}: [{}]", field.name(), values.join(", "))
        });
    let patterns = (
        proptest::sample::select(TEXTS.as_slice()),
        proptest::sample::select(["|re", "|re|i"].as_slice()),
        proptest::sample::select(
            ["^admin", "a.*x", "[0-9]+$", "(?i)select|x", "^$", r"\\"].as_slice(),
        ),
    )
        .prop_map(|(field, modifiers, pattern)| {
            format!("{}{modifiers}: {}", field.name(), quoted(pattern))
        });
    let numbers = (
        proptest::sample::select(NUMBERS.as_slice()),
        proptest::sample::select(["", "|gt", "|gte", "|lt", "|lte"].as_slice()),
        -2_i64..6,
    )
        .prop_map(|(field, modifiers, number)| format!("{}{modifiers}: {number}", field.name()));
    let presence = (
        proptest::sample::select(TEXTS.as_slice()),
        proptest::sample::select(["|exists: true", "|exists: false", ": null"].as_slice()),
    )
        .prop_map(|(field, rest)| format!("{}{rest}", field.name()));
    let networks = proptest::sample::select(
        [
            "10.0.0.0/24",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.1/32",
            "2001:db8::/32",
        ]
        .as_slice(),
    )
    .prop_map(|network| format!("{}|cidr: {network}", Field::ClientIp.name()));
    prop_oneof![6 => texts, 2 => patterns, 3 => numbers, 2 => presence, 1 => networks]
}

fn selection() -> impl Strategy<Value = String> {
    let map = proptest::collection::vec(item(), 1..4).prop_map(|items| {
        let mut seen = std::collections::BTreeSet::new();
        let items: Vec<_> = items
            .into_iter()
            .filter(|item| seen.insert(item.split(':').next().unwrap_or_default().to_owned()))
            .collect();
        items
    });
    proptest::collection::vec(map, 1..3).prop_map(|maps| match maps.as_slice() {
        [one] => one.iter().map(|item| format!("    {item}\n")).collect(),
        several => several
            .iter()
            .map(|one| format!("    - {}\n", one.join("\n      ")))
            .collect(),
    })
}

fn rule() -> impl Strategy<Value = String> {
    const CONDITIONS: &[&str] = &[
        "selection_a",
        "not selection_a",
        "selection_a and selection_b",
        "selection_a or not selection_b",
        "1 of selection_*",
        "all of selection_*",
        "all of them",
        "1 of them and not filter",
        "(selection_a or selection_b) and not filter",
        "selection_a and not 1 of filter*",
    ];
    (selection(), selection(), selection(), proptest::sample::select(CONDITIONS)).prop_map(
        |(a, b, filter, condition)| {
            format!(
                "title: generated\nid: generated\nlogsource: {{ category: webserver }}\ndetection:\n  selection_a:\n{a}  selection_b:\n{b}  filter:\n{filter}  condition: {condition}\nlevel: high\n"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None,
        // The same cases every time: another number looks at others.
        rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn a_rule_matches_here_what_it_matches_there(rule in rule(), event in event()) {
        let (here, there) = both(&rule, &event);
        prop_assert_eq!(here, there, "{}\n{}", rule, as_json(&event));
    }
}

/// Where we mean to differ: a selection, the value of its field, what matches here and what there.
#[test]
fn differences_are_meant_and_are_these() {
    let uri = Field::Uri.name();
    for (selection, value, here, there) in [
        // Counts are whole numbers.
        (format!("{uri}|gt: 3"), "30.5", false, true),
        (format!("{uri}|gt: 3"), "30", true, true),
        // Wildcards work beside every modifier of texts.
        (format!("{uri}|windash: '?'"), "a", true, false),
        (format!("{uri}|startswith: '?x'"), "adminx", false, true),
    ] {
        let rule = format!(
            "title: t\nid: t\nlogsource: {{ category: webserver }}\ndetection:\n  a:\n    {selection}\n  condition: a\nlevel: high\n"
        );
        let mut event = Event::new(Category::Webserver);
        event.time = Some(Timestamp::from_seconds(1_785_924_930));
        event.put(Field::ClientIp, Value::Text("192.0.2.1".into()));
        event.put(Field::Uri, Value::Text(value.into()));
        assert_eq!(both(&rule, &event), (here, there), "{selection} {value}");
    }
}

/// Makes an event of a shipped rule's own words: values of its texts in the fields it asks.
fn event_from(words: &[String], seed: u64, category: Category) -> Event<'static> {
    let mut event = Event::new(category);
    event.time = Some(Timestamp::from_seconds(1_785_924_930));
    let mut random = seed;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap_or(0) % below.max(1)
    };
    for field in Field::ALL {
        if next(3) == 0 {
            continue;
        }
        if next(6) == 0 {
            let number = [0, 1, 5, 200, 302, 404, 500, 5000][next(8)];
            event.put(*field, Value::Int(number));
        } else {
            let text: String = (0..1 + next(3))
                .map(|_| words[next(words.len())].as_str())
                .collect::<Vec<_>>()
                .join(" ");
            event.put(*field, Value::Text(text.into()));
        }
    }
    event
}

#[test]
fn every_shipped_rule_matches_here_what_it_matches_there() {
    let files = shipped();
    let mut words: Vec<String> = files
        .iter()
        .flat_map(|(_, text)| {
            text.split(|letter: char| !(letter.is_alphanumeric() || "/_.%$`-".contains(letter)))
        })
        // Decimal fractions: see the test on numbers.
        .filter(|word| word.len() > 1 && word.parse::<f64>().is_err())
        .map(str::to_owned)
        .collect();
    words.sort();
    words.dedup();
    let (mut compared, mut matched) = (0_u32, 0_u32);
    for (name, text) in &files {
        let read = parse_sigma_yaml(text).expect("rules");
        for rule in &read.rules {
            // Each rule alone, as plain as the other engine takes it.
            let mut engine = Engine::new();
            engine.add_rule(rule).expect(name);
            let alone = alone(text, &rule.title);
            let sources = [RuleSource { name, text: &alone }];
            let category = rule
                .logsource
                .category
                .as_deref()
                .and_then(Category::named)
                .unwrap_or(Category::Health);
            // Words of this very rule meet its selections more often.
            let own: Vec<String> = words
                .iter()
                .filter(|word| alone.contains(word.as_str()))
                .cloned()
                .collect();
            let mut detector = Detector::new(&sources, Settings::default()).expect("compiles");
            for seed in 0..200 {
                let words = if seed % 4 == 0 { &words } else { &own };
                let mut event = event_from(words, seed, category);
                // Far apart: no window holds two of them.
                event.time = Some(Timestamp::from_seconds(
                    i64::from(u32::try_from(seed).expect("few")) * 1_000_000,
                ));
                let mut out = Vec::new();
                let refs = [EventRef {
                    sequence: Sequence(0),
                    index: 0,
                }];
                detector.push(&event, &refs, Lane::Live, &Scope::Unknown, &mut out);
                detector.flush(Timestamp(i64::MAX), &mut out);
                let here = out
                    .iter()
                    .any(|finding| Some(&finding.rule) == rule.id.as_ref());
                let there = !engine
                    .evaluate(&JsonEvent::borrow(&as_json(&event)))
                    .is_empty();
                assert_eq!(here, there, "{name} {} {}", rule.title, as_json(&event));
                compared += 1;
                matched += u32::from(here);
            }
        }
    }
    assert!(
        compared > 10_000 && matched > 100,
        "{compared} compared, {matched} matched"
    );
}

/// The document of a file with a title.
fn alone(text: &str, title: &str) -> String {
    text.split("\n---\n")
        .find(|document| document.contains(&format!("title: {title}")))
        .expect("there")
        .to_owned()
}

/// Rules that are counted: what the other engine fires on first, ours has told by then.
fn correlation(kind: &str, condition: &str) -> String {
    format!(
        "title: base\nid: base\nname: base\nlogsource: {{ category: webserver }}\ndetection:\n  a: {{ {uri}|contains: hit }}\n  condition: a\nlevel: low\n---\ntitle: counted\nid: counted\ncorrelation:\n  type: {kind}\n  rules: [base]\n  group-by: [{client}]\n  timespan: 60s\n  condition: {condition}\nlevel: high\n",
        uri = Field::Uri.name(),
        client = Field::ClientIp.name(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None,
        // The same cases every time: another number looks at others.
        rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn what_is_counted_fires_at_the_same_event(
        gaps in proptest::collection::vec(0_i64..40, 1..30),
        clients in proptest::collection::vec(0_u8..2, 30),
        agents in proptest::collection::vec(0_u8..4, 30),
        hits in proptest::collection::vec(any::<bool>(), 30),
        by_value in any::<bool>(),
        least in 2_u8..5,
    ) {
        let text = if by_value {
            correlation("value_count", &format!("{{ field: {}, gte: {least} }}", Field::UserAgent.name()))
        } else {
            correlation("event_count", &format!("{{ gte: {least} }}"))
        };
        let sources = [RuleSource { name: "generated.yml", text: &text }];
        let mut detector = Detector::new(&sources, Settings::default()).expect("compiles");
        let mut engine = CorrelationEngine::new(CorrelationConfig::default());
        engine.add_collection(&parse_sigma_yaml(&text).expect("rules")).expect("compiles");
        let mut now = 1_785_924_930;
        let mut told = [false; 2];
        for (number, gap) in gaps.iter().enumerate() {
            now += gap;
            let client = usize::from(clients[number]);
            let mut event = Event::new(Category::Webserver);
            event.time = Some(Timestamp::from_seconds(now));
            event.put(Field::Uri, Value::Text(if hits[number] { "/hit" } else { "/miss" }.into()));
            event.put(Field::ClientIp, Value::Text(format!("192.0.2.{client}").into()));
            event.put(Field::UserAgent, Value::Text(format!("agent {}", agents[number]).into()));
            let refs = [EventRef { sequence: Sequence(number as u64), index: 0 }];
            let mut out = Vec::new();
            detector.push(&event, &refs, Lane::Live, &Scope::Unknown, &mut out);
            let here = out.iter().any(|finding| finding.rule == "counted");
            let json = as_json(&event);
            let there = engine.process_event_at(&JsonEvent::borrow(&json), now).iter().any(|result| result.is_correlation());
            // Ours tells a finding once and lets it grow: the first time must be the same.
            if !told[client] {
                prop_assert_eq!(here, there, "event {} of {:?}", number, gaps);
            }
            told[client] |= here || there;
        }
    }
}

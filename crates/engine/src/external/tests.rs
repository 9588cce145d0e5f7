//! What claims of other systems become, and which are refused.

use super::{Claim, vet};
use model::{Level, Scope, Timestamp};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_seconds(1_785_924_930);

/// A claim with one field as it is given.
fn claim(field: &str, value: Value) -> Result<Claim, serde_json::Error> {
    let mut claim = json!({
        "system": "QRadar", "external_id": "OFF-17", "title": "Card data in a log", "level": "high",
        "first": "2026-08-05T10:15:00Z", "reason": "rule 4 matched",
    });
    claim[field] = value;
    serde_json::from_value(claim)
}

#[track_caller]
fn refuses(field: &str, value: Value) {
    if let Ok(claim) = claim(field, value) {
        let told = vet(claim, &[7; 32], NOW).err();
        let told = told.unwrap_or_else(|| panic!("{field} was taken"));
        let name = field.split('.').next().unwrap_or_default();
        assert!(
            told.contains(name) || told.contains("actor"),
            "{field}: {told}"
        );
    }
}

#[test]
fn a_claim_becomes_a_finding_of_its_system() {
    let given = claim(
        "actors",
        json!([{"kind": "address", "value": "::ffff:192.0.2.7"}]),
    );
    let finding = vet(given.expect("read"), &[7; 32], NOW).expect("fits");
    assert_eq!(finding.rule, "external:qradar");
    assert_eq!(finding.level, Level::High);
    assert_eq!(finding.scope, Scope::Unknown);
    assert_eq!(finding.first, finding.last);
    assert_eq!(finding.actors[0].value, "192.0.2.7");
    let external = finding.external.expect("there");
    assert_eq!(
        (external.system.as_str(), external.id.as_str()),
        ("qradar", "OFF-17")
    );
    assert_eq!(finding.id.len(), 32);
}

#[test]
fn an_id_is_one_finding_whatever_else_is_told_and_another_key_gives_another() {
    let id = |field, value, key| {
        vet(claim(field, value).expect("read"), &[key; 32], NOW)
            .expect("fits")
            .id
    };
    let one = id("title", json!("x"), 7);
    assert_eq!(id("level", json!("low"), 7), one);
    assert_eq!(id("system", json!("qradar"), 7), one);
    assert_ne!(id("system", json!("splunk"), 7), one);
    assert_ne!(id("external_id", json!("OFF-18"), 7), one);
    assert_ne!(id("title", json!("x"), 8), one);
    // Two that are masked alike are two.
    let number = |number| id("external_id", json!(number), 7);
    assert_ne!(number("4111 1111 1111 1111"), number("4000 0000 0000 1111"));
}

#[test]
fn card_numbers_are_masked_wherever_they_are_written() {
    let number = "4111 1111 1111 1111";
    for (field, value) in [
        ("external_id", json!(number)),
        ("title", json!(number)),
        ("reason", json!(number)),
        (
            "actors",
            json!([{"kind": "administrator", "value": number}]),
        ),
        (
            "assets",
            json!([{"kind": "path", "name": number, "class": "pan"}]),
        ),
        ("link", json!("https://siem.example/?q=4111111111111111")),
    ] {
        let finding = vet(claim(field, value).expect("read"), &[7; 32], NOW).expect("fits");
        let text = serde_json::to_string(&finding).expect("JSON");
        assert!(
            !text.contains("4111 1111 1111") && !text.contains("411111111111"),
            "{text}"
        );
        assert!(text.contains("1111"), "{text}");
    }
}

#[test]
fn control_and_direction_characters_are_made_inert() {
    let finding = vet(
        claim("title", json!("a\u{202e}b\nc\u{1b}[31m")).expect("read"),
        &[7; 32],
        NOW,
    );
    assert_eq!(finding.expect("fits").title, "a\u{fffd}b c\u{fffd}[31m");
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    for system in [
        "",
        "4111111111111111",
        "a b",
        "<b>",
        "a4111111111111111",
        &"a".repeat(33),
    ] {
        refuses("system", json!(system));
    }
    for id in ["", "  ", &"x".repeat(129)] {
        refuses("external_id", json!(id));
    }
    refuses("title", json!("x".repeat(201)));
    refuses("reason", json!("x".repeat(2001)));
    refuses("level", json!("severe"));
    for first in [
        "",
        "yesterday",
        "2026-08-05",
        "2026-08-05T12:00:00Z",
        "1970-01-01T00:00:00Z",
    ] {
        refuses("first", json!(first));
    }
    refuses("last", json!("2026-08-05T10:14:59Z"));
    refuses(
        "actors",
        json!([{"kind": "address", "value": "shop.example"}]),
    );
    refuses("actors", json!([{"kind": "ghost", "value": "x"}]));
    refuses(
        "actors",
        Value::from(vec![json!({"kind": "token", "value": "x"}); 17]),
    );
    for code in ["", "us en", "4111111111111111", &"a".repeat(33)] {
        refuses("scope", json!({"kind": "view", "code": code}));
    }
    refuses("scope", json!({"kind": "host", "code": "<b>"}));
    for technique in ["", "1059", "T105", "TT1059", "T1059.07", "T1059.007.1"] {
        refuses("attack", json!([technique]));
    }
    for requirement in ["", "10.", "AA1", "4111111111111111", "1.2.3.4.5.6"] {
        refuses("requirements", json!([requirement]));
    }
    for link in [
        "javascript:alert(1)",
        "data:text/html,x",
        "//siem.example/",
        "https://",
        "https://a:b@siem.example/",
        "https://siem.example/\"x",
        "https://siem.example/ x",
    ] {
        refuses("link", json!(link));
    }
    refuses("rows", json!(5));
}

#[test]
fn what_fits_is_taken() {
    for (field, value) in [
        ("attack", json!(["T1059", "T1059.007"])),
        ("requirements", json!(["10.4.1", "A1.1.1", "6.4.3"])),
        ("link", json!("https://siem.example:8443/offenses/17?a=b#c")),
        (
            "scope",
            json!({"kind": "host", "code": "shop.example:8443"}),
        ),
        ("scope", json!({"kind": "installation"})),
        ("last", json!("2026-08-05T10:15:30+00:00")),
    ] {
        let read = claim(field, value).expect("read");
        assert!(vet(read, &[7; 32], NOW).is_ok(), "{field}");
    }
}

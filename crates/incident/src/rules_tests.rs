//! Claims about the shipped obligations and about files that can't be used.

use super::{ObligationRules, shipped};

/// The files the binary embeds.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    (
        "calendars",
        include_str!("../../../content/obligations/calendars.toml"),
    ),
    (
        "card-brands",
        include_str!("../../../content/obligations/card-brands.toml"),
    ),
    (
        "internal",
        include_str!("../../../content/obligations/internal.toml"),
    ),
    (
        "europe",
        include_str!("../../../content/obligations/europe.toml"),
    ),
    (
        "united-states",
        include_str!("../../../content/obligations/united-states.toml"),
    ),
    (
        "us-states",
        include_str!("../../../content/obligations/us-states.toml"),
    ),
    (
        "asia-pacific-americas",
        include_str!("../../../content/obligations/asia-pacific-americas.toml"),
    ),
];

/// A minimal rule with one line changed or added.
fn rule(line: &str) -> String {
    format!(
        "[[obligation]]\nid = \"a\"\nregime = \"r\"\nkind = \"statutory\"\nrecipient = \"x\"\n\
         trigger = \"t\"\nlimit_text = \"l\"\nsource = \"s\"\n{line}\n"
    )
}

#[track_caller]
fn check(line: &str, expected: Result<(), &str>) {
    let text = rule(line);
    let result = ObligationRules::parse(&[("f", text.as_str())]).map(|_| ());
    assert_eq!(
        result.map_err(|error| error.to_string()),
        expected.map_err(str::to_owned)
    );
}

#[test]
fn reads_or_refuses_rules() {
    let sure = "confidence = \"verified\"";
    check(
        &format!("{sure}\nstarts_from = \"aware\"\nlimit = {{ hours = 4 }}"),
        Ok(()),
    );
    check(
        &format!("{sure}\nstarts_from = \"aware\"\nlimit = {{ business_days = 4 }}"),
        Err("`a` names an unknown calendar: `none, though it counts days`"),
    );
    check(
        &format!("{sure}\nstarts_from = \"aware\"\ncalendars = [\"moon\"]"),
        Err("`a` names an unknown calendar: `moon`"),
    );
    check(
        &format!("{sure}\nstarts_from = \"prior_report_sent\"\nchained_after = \"b\""),
        Err("`a` names an unknown predecessor: `b`"),
    );
    check(
        "confidence = \"sure\"\nstarts_from = \"aware\"",
        Err("`a` names an unknown confidence: `sure`"),
    );
    check(
        &format!("{sure}\nstarts_from = \"whenever\""),
        Err("`f` is no file of obligations"),
    );
    check(
        &format!("{sure}\nstarts_from = \"aware\"\nunknown_key = 1"),
        Err("`f` is no file of obligations"),
    );
}

#[test]
fn refuses_an_id_that_is_there_twice() {
    let text = rule("confidence = \"verified\"\nstarts_from = \"aware\"");
    let result = ObligationRules::parse(&[("f", text.as_str()), ("g", text.as_str())]);
    assert_eq!(
        result.map(|_| ()).map_err(|e| e.to_string()),
        Err("`a` in `g` is there twice".into())
    );
}

#[test]
fn shipped_rules_name_sources_and_claim_no_counsel() {
    let rules = shipped();
    assert!(rules.rules().count() > 100);
    for rule in rules.rules() {
        assert!(
            !rule.source.is_empty() && !rule.counsel_confirmed,
            "{}",
            rule.id
        );
        let text = format!("{rule:?}").to_lowercase();
        assert!(!text.contains("compliant"), "{}", rule.id);
    }
}

#[test]
fn bills_and_proposals_are_not_projected() {
    let rules = shipped();
    for id in [
        "digital-omnibus",
        "uk-csr-initial",
        "circia-incident",
        "psd2-96",
    ] {
        assert!(!rules.rule(id).expect("it is shipped").projected, "{id}");
    }
}

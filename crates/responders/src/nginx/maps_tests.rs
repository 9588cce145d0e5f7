//! Tests of what is written for nginx; whether nginx closes by it what a shop would serve is asked of a real one
//! (`tests/services/contain.py`).

use std::collections::BTreeSet;

use model::{Argument, ParameterKind};

use super::{SERVER, alternatives, http, quoted, refusal, state_of, written};
use crate::memory::stores;
use crate::nginx::rule::{Rule, read};

fn rule(kind: ParameterKind, text: &str) -> Rule {
    let argument = Argument::read(kind, text).expect("an argument");
    match kind {
        ParameterKind::Website => Rule::Website(argument),
        ParameterKind::Network => Rule::Network(argument),
        ParameterKind::Route => Rule::Route(argument),
        _ => Rule::View(argument),
    }
}

#[track_caller]
fn check(rules: &[Rule], present: &[&str], absent: &[&str]) {
    let rules: BTreeSet<_> = rules.iter().cloned().collect();
    let text = http(&rules, &stores());
    assert_eq!(read(&text), Some(rules));
    for line in present {
        assert!(text.contains(line), "lacks {line}\n{text}");
    }
    for line in absent {
        assert!(!text.contains(line), "has {line}\n{text}");
    }
}

#[test]
fn a_closed_view_closes_calls_for_all_stores_and_a_closed_website_each_of_its_views() {
    check(&[], &[], &["\"=all\" \"1\"", "  \"~^fr$\" \"1\""]);
    let view = rule(ParameterKind::View, "fr");
    let fr = ["  \"~^fr$\" \"1\"", "\"=all\" \"1\""];
    check(&[view], &fr, &["  \"~^de$\" \"1\"", "  \"~^us$\" \"1\""]);
    let website = rule(ParameterKind::Website, "base");
    let both = [
        "  \"~^fr$\" \"1\"",
        "  \"~^de$\" \"1\"",
        "  \"~^old$\" \"1\"",
    ];
    check(&[website], &both, &["  \"~^us$\" \"1\""]);
}

#[test]
fn networks_routes_and_php_are_refused() {
    let network = rule(ParameterKind::Network, "2001:db8::/32");
    let route = rule(ParameterKind::Route, "/rest/V1/guest.carts/");
    let lines = ["  2001:db8::/32 1;", r"rest/+V1/+guest\.carts(?:/|$)"];
    check(&[network, route], &lines, &["phtml"]);
    check(&[Rule::Php], &["phtml"], &[]);
}

#[test]
fn the_address_of_a_state_is_of_this_state_alone() {
    let (one, other) = (
        http(&BTreeSet::new(), &stores()),
        http(&BTreeSet::from([Rule::Php]), &stores()),
    );
    assert_eq!(one, http(&BTreeSet::new(), &stores()));
    let (one, other) = (state_of(&one), state_of(&other));
    assert!(one.is_some() && other.is_some() && one != other);
    assert_eq!(state_of("map $a $b { }"), None);
}

#[test]
fn no_text_leaves_its_quotes_and_no_word_is_too_long() {
    assert_eq!(quoted("a.b"), r"a\.b");
    assert_eq!(quoted("x\" ; } $a\\"), "x.......a.");
    assert_eq!(written("o_"), "(?:o|%6[fF])(?:_|%5[fF])");
    let codes: Vec<_> = (0..500)
        .map(|number| format!("view_{number:027}"))
        .collect();
    let parts = alternatives(codes.iter().map(String::as_str));
    assert!(parts.iter().all(|part| part.len() < 3000), "{parts:?}");
    assert_eq!(parts.join("|").split('|').count(), 500);
    let mut many = stores();
    let place = many.views["fr"].clone();
    many.views
        .extend(codes.into_iter().map(|code| (code, place.clone())));
    let text = http(&BTreeSet::new(), &many);
    let longest = text.lines().map(str::len).max();
    assert!(longest < Some(4000), "{longest:?}");
}

#[test]
fn refusals_are_what_nginx_is_told_to_answer() {
    for status in [403, 503] {
        let text = refusal(status).replace('"', "\\\"").replace('\n', "\\n");
        let told = format!("return {status} \"{text}\";");
        assert!(SERVER.contains(&told), "{told}");
    }
}

//! Plans against policies: what is allowed, what is never touched, however it is written.

use std::collections::BTreeMap;

use model::{
    Argument, ForensicImpact, Layer, ParameterKind, Person, Plan, PlanStep, PlannedBy, Reach,
    Stops, StoreMap, Touched, UndoWords, ViewPlace, Work,
};
use playbook::EXPECTED;
use proptest::prelude::*;

use super::{Around, LISTS, Policy, PolicyError, overlap};

fn step(action: &str, arguments: &[(&str, &str)]) -> PlanStep {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    PlanStep {
        id: action.to_owned(),
        name: String::new(),
        only_if: vec![],
        work: Work::Action {
            action: action.to_owned(),
            arguments: arguments.iter().map(owned).collect(),
            missing: BTreeMap::new(),
            // What a plan says of itself counts for nothing here.
            layer: Layer::Evidence,
            reach: Reach::Nobody,
            touched: Touched::default(),
            closes: false,
            undo: UndoWords {
                words: String::new(),
                is_danger: false,
            },
            forensic_impact: ForensicImpact::None,
            stays_open: String::new(),
        },
        stops: Stops::Contains,
        deadline_seconds: None,
        timeout_milliseconds: None,
        waiver: None,
        on_breach: model::OnBreach::Hold,
    }
}

fn plan(steps: Vec<PlanStep>) -> Plan {
    Plan {
        version: 1,
        playbook: PlannedBy {
            id: "playbook--x".to_owned(),
            name: "x".to_owned(),
            modified: String::new(),
        },
        variables: BTreeMap::new(),
        steps,
        questions: vec![],
        stops: Stops::Contains,
        because: String::new(),
        needs_two_people: false,
    }
}

fn stores() -> StoreMap {
    let mut map = StoreMap::default();
    for (code, website) in [("fr", "base"), ("de", "base"), ("us", "second")] {
        let place = ViewPlace {
            website: website.to_owned(),
            store: "main".to_owned(),
            is_active: true,
            is_default: false,
        };
        map.views.insert(code.to_owned(), place);
    }
    map
}

/// All actions are allowed, and never is what `never` says.
fn policy(never: &str) -> Policy {
    let names: Vec<_> = EXPECTED
        .iter()
        .map(|one| format!("'{}'", one.name))
        .collect();
    let text = format!("actions = [{}]\n[never]\n{never}", names.join(","));
    Policy::read(&text, EXPECTED).expect("a policy")
}

fn refuses(policy: &Policy, step: PlanStep) -> Vec<String> {
    let proxies = ["198.51.100.0/24".to_owned()];
    let stores = stores();
    let around = Around {
        facts: EXPECTED,
        stores: &stores,
        proxies: &proxies,
    };
    policy.refuses(&plan(vec![step]), around)
}

#[track_caller]
fn check(never: &str, action: &str, arguments: &[(&str, &str)], is_allowed: bool) {
    let reasons = refuses(&policy(never), step(action, arguments));
    assert_eq!(reasons.is_empty(), is_allowed, "{arguments:?}: {reasons:?}");
}

#[test]
fn without_a_policy_evidence_is_kept_and_addresses_are_blocked_and_no_more() {
    let policy = Policy::default();
    assert_eq!(
        Policy::read("", EXPECTED),
        Ok(Policy::read("people = 1", EXPECTED).expect("it"))
    );
    for facts in EXPECTED {
        let is_allowed = facts.layer == Layer::Evidence || facts.name == "block_network";
        let examples: Vec<_> = match facts.name {
            "block_network" => vec![("network", "203.0.113.66")],
            _ => vec![],
        };
        let reasons = refuses(&policy, step(facts.name, &examples));
        assert_eq!(
            reasons.is_empty(),
            is_allowed,
            "{}: {reasons:?}",
            facts.name
        );
    }
    // The web server's own proxies are in no list, and never blocked.
    let reasons = refuses(
        &policy,
        step("block_network", &[("network", "198.51.100.7")]),
    );
    assert_eq!(reasons.len(), 1, "{reasons:?}");
}

#[test]
fn a_plan_is_refused_whole_with_every_reason() {
    let policy = Policy::read("[never]\nnetworks = ['192.0.2.0/24']", EXPECTED).expect("a policy");
    let steps = vec![
        step("keep_evidence", &[]),
        step("block_network", &[("network", "192.0.2.7")]),
        step("close_view", &[("view", "fr")]),
        step("make_coffee", &[]),
    ];
    let stores = stores();
    let around = Around {
        facts: EXPECTED,
        stores: &stores,
        proxies: &[],
    };
    let reasons = policy.refuses(&plan(steps), around);
    for (reason, expected) in reasons.iter().zip([
        "step 2 block_network: 192.0.2.0/24 is never to be touched",
        "step 3 close_view: this host's policy doesn't allow the action",
        "step 4 make_coffee: this host's policy doesn't allow the action",
        "step 4 make_coffee: there is no such action",
    ]) {
        assert_eq!(reason, expected);
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}");
}

#[test]
fn networks_are_compared_by_what_they_have_in_common() {
    let never = "networks = ['192.0.2.0/25', '2001:db8::/48', '203.0.113.9']";
    for (network, is_allowed) in [
        ("192.0.2.7", false),
        ("192.0.2.128", true),
        ("192.0.0.0/16", false),
        ("192.0.2.64/26", false),
        ("::ffff:192.0.2.7", false),
        ("::ffff:192.0.2.0/120", false),
        ("::/1", false),
        ("2001:db8:0:1::/64", false),
        ("2001:db8:1::/64", true),
        ("203.0.113.9/32", false),
        ("203.0.113.8", true),
        ("198.51.0.0/16", false),
        ("no network", false),
    ] {
        for action in ["block_network", "drop_packets"] {
            check(never, action, &[("network", network)], is_allowed);
        }
    }
}

#[test]
fn names_are_compared_as_the_shop_compares_them() {
    for (never, action, argument, refused, allowed) in [
        (
            "administrators = ['Owner']",
            "deactivate_administrator",
            "administrator",
            &["owner", "OWNER", "öwner"][..],
            &["owner2"][..],
        ),
        (
            "accounts = ['shop', 'erp@192.0.2.7']",
            "lock_database_account",
            "account",
            &[
                "shop@%",
                "shop@localhost",
                "erp@192.0.2.7",
                "erp@%",
                "erp@192.0.2.0/24",
            ],
            &["erp@192.0.2.8", "Shop@localhost", "thief@%"],
        ),
        (
            "accounts = ['shop', 'erp@192.0.2.7']",
            "limit_database_account",
            "account",
            &["shop@localhost", "erp@192.0.2.%"],
            &["erp@192.0.2.8"],
        ),
        (
            "accounts = ['shop', 'erp@192.0.2.7']",
            "narrow_grants",
            "account",
            &["shop@localhost", "erp@%"],
            &["thief@%"],
        ),
        (
            "files = ['app/etc/', 'pub/index.php']",
            "quarantine_file",
            "file",
            &["app/etc/env.php", "app/etc", "app", "pub/index.php", "../x"],
            &["app/etcetera", "pub/media/x.php", "pub/index.php5"],
        ),
        (
            "views = ['fr']",
            "close_view",
            "view",
            &["fr", "FR"],
            &["de", "us"],
        ),
        (
            "websites = ['Second']",
            "close_view",
            "view",
            &["us", "unknown"],
            &["fr", "de"],
        ),
        (
            "websites = ['base']",
            "close_website",
            "website",
            &["base", "BASE"],
            &["second"],
        ),
        (
            "views = ['fr']",
            "close_website",
            "website",
            &["base"],
            &["second"],
        ),
        (
            "views = ['elsewhere']",
            "close_website",
            "website",
            &["base", "second"],
            &[],
        ),
    ] {
        for text in refused {
            check(never, action, &[(argument, text)], false);
        }
        for text in allowed {
            check(never, action, &[(argument, text)], true);
        }
    }
    let method = |method| [("website", "second"), ("method", method)];
    let never = "payment_methods = ['checkmo']";
    check(never, "disable_payment_method", &method("CheckMo"), false);
    check(never, "disable_payment_method", &method("braintree"), true);
    check(
        "websites = ['second']",
        "disable_payment_method",
        &method("x"),
        false,
    );
}

#[test]
fn what_reaches_everybody_reaches_what_is_never_touched() {
    check("views = ['fr']", "maintenance", &[], false);
    check("websites = ['base']", "maintenance", &[], false);
    check("files = ['app']", "maintenance", &[], true);
    check(
        "websites = ['base']",
        "end_all_customer_sessions",
        &[],
        false,
    );
    check("files = ['app']", "end_all_customer_sessions", &[], true);
    check(
        "websites = ['base']",
        "end_customer_sessions",
        &[("customer", "12")],
        true,
    );
}

#[test]
fn keeping_evidence_touches_nothing() {
    check(
        "files = ['app/etc']",
        "keep_evidence",
        &[("file", "app/etc/env.php")],
        true,
    );
}

#[test]
fn what_an_action_does_not_take_is_refused() {
    check("", "block_network", &[("host", "x")], false);
    check("", "block_network", &[("network", "203.0.113.66")], true);
}

#[test]
fn a_policy_with_a_slip_is_none() {
    #[track_caller]
    fn none(text: &str, expected: &str) {
        let error = Policy::read(text, EXPECTED).expect_err(text);
        assert!(error.to_string().contains(expected), "{error}");
    }
    none("action = []", "unknown field `action`");
    none("[never]\nnetwork = []", "unknown field `network`");
    none("actions = ['close_veiw']", "`close_veiw`");
    none("people = 0", "at least 1");
    none(
        "[never]\nnetworks = ['192.0.2.0/33']",
        "`networks` is no address",
    );
    none("[never]\nfiles = ['/srv/shop/app']", "`files` is no path");
    none("[never]\nviews = ['fr-de']", "`views` is no code");
    assert_eq!(
        Policy::read("people = 0", EXPECTED),
        Err(PolicyError::Nobody)
    );
}

#[test]
fn people_are_counted_once_and_machines_are_nobody() {
    let person = |account: &str| Person {
        account: account.to_owned(),
        name: "x".to_owned(),
    };
    let read = |text: &str| Policy::read(text, EXPECTED).expect("a policy");
    for (text, by, is_enough) in [
        ("", &["ann"][..], true),
        ("", &[], false),
        ("", &[""], false),
        ("people = 2", &["ann"], false),
        ("people = 2", &["ann", "ann"], false),
        ("people = 2", &["ann", ""], false),
        ("people = 2", &["ann", "bob"], true),
        ("automatic = true", &[""], true),
        ("people = 2\nautomatic = true", &["ann"], false),
    ] {
        let by: Vec<_> = by.iter().map(|one| person(one)).collect();
        let refused = read(text).refuses_people(&by);
        assert_eq!(refused.is_none(), is_enough, "{text} {by:?}: {refused:?}");
    }
}

/// A text of a kind, near to others of it.
fn text_of(kind: ParameterKind) -> BoxedStrategy<String> {
    match kind {
        ParameterKind::Network => prop_oneof![
            (0..4_u8, 0..4_u8, 20..=32_u8).prop_map(|(a, b, bits)| format!("192.0.{a}.{b}/{bits}")),
            (0..4_u8, 0..4_u8).prop_map(|(a, b)| format!("192.0.{a}.{b}")),
            (0..4_u8, 0..4_u8).prop_map(|(a, b)| format!("::ffff:192.0.{a}.{b}")),
            (1..=128_u8).prop_map(|bits| format!("2001:db8::/{bits}")),
        ]
        .boxed(),
        ParameterKind::File => "[ab](/[ab]){0,3}".boxed(),
        ParameterKind::DatabaseAccount => "[ab]@(%|[ab]|192\\.0\\.2\\.[1-3])".boxed(),
        ParameterKind::View | ParameterKind::Website => "(fr|FR|de|us|base|second)".boxed(),
        _ => "[abAB]{1,2}".boxed(),
    }
}

/// Whether an address of one is an address of the other, counted out.
fn have_in_common(one: &str, other: &str) -> bool {
    let bounds = |text: &str| {
        let (address, bits) = text.split_once('/').unwrap_or((text, ""));
        let address: std::net::IpAddr = address.parse().expect("an address");
        let (whole, most, offset) = match address {
            std::net::IpAddr::V4(address) => (u128::from(address.to_ipv6_mapped()), 32, 96),
            std::net::IpAddr::V6(address) => (u128::from(address), 128, 0),
        };
        let bits = offset + bits.parse().unwrap_or(most);
        let hosts = u128::MAX.checked_shr(bits).unwrap_or_default();
        (whole & !hosts, whole | hosts)
    };
    let ((first, last), (other_first, other_last)) = (bounds(one), bounds(other));
    first <= other_last && other_first <= last
}

proptest! {
    #[test]
    fn networks_overlap_when_they_have_an_address_in_common(
        one in text_of(ParameterKind::Network), other in text_of(ParameterKind::Network),
    ) {
        prop_assert_eq!(overlap(&one, &other), have_in_common(&one, &other));
        prop_assert_eq!(overlap(&one, &other), overlap(&other, &one));
    }

    #[test]
    fn no_plan_that_passes_holds_what_is_never_touched(
        (list, kind, entries, texts) in (0..LISTS.len()).prop_flat_map(|at| {
            let (list, kind) = LISTS[at];
            let some = || prop::collection::vec(text_of(kind), 1..4);
            (Just(list), Just(kind), some(), some())
        }),
    ) {
        let quoted: Vec<_> = entries.iter().map(|entry| format!("'{entry}'")).collect();
        let policy = policy(&format!("{list} = [{}]", quoted.join(",")));
        for facts in EXPECTED.iter().filter(|facts| facts.layer != Layer::Evidence) {
            let of_kind = facts.parameters.iter().find(|one| one.kind == kind);
            let Some(parameter) = of_kind else { continue };
            for text in &texts {
                if !refuses(&policy, step(facts.name, &[(parameter.name, text)])).is_empty() {
                    continue;
                }
                for entry in &entries {
                    let written = |text: &str| Argument::read(kind, text).expect("read").as_str().to_lowercase();
                    prop_assert_ne!(written(entry), written(text));
                    if kind == ParameterKind::Network {
                        prop_assert!(!have_in_common(entry, text));
                    }
                    if kind == ParameterKind::File {
                        let below = format!("{}/", written(entry));
                        prop_assert!(!written(text).starts_with(&below));
                    }
                }
            }
        }
    }
}

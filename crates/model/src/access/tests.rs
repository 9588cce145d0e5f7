//! What grants cover, and that nothing covers more than it says.

use super::{Grant, GrantError, Principal, Right, Role, Via};
use crate::{RunType, Scope, StoreMap, ViewPlace};

fn website(code: &str) -> Scope {
    Scope::Website(code.to_owned())
}
fn store(code: &str) -> Scope {
    Scope::Store(code.to_owned())
}
fn view(code: &str) -> Scope {
    Scope::View(code.to_owned())
}
fn host(name: &str) -> Scope {
    Scope::Host(name.to_owned())
}

/// Two websites; `us` has two stores, `eu` one with two views.
fn map() -> StoreMap {
    let mut map = StoreMap::default();
    for (code, website, store) in [
        ("us_en", "us", "us_main"),
        ("us_b2b", "us", "us_trade"),
        ("de", "eu", "eu_main"),
        ("fr", "eu", "eu_main"),
        // A view whose nesting isn't known.
        ("lost", "", ""),
    ] {
        let place = ViewPlace {
            website: website.to_owned(),
            store: store.to_owned(),
            is_active: true,
            is_default: false,
        };
        map.views.insert(code.to_owned(), place);
    }
    for (name, run, code) in [
        ("us.example.test", RunType::Website, "us"),
        ("trade.example.test", RunType::Store, "us_trade"),
        ("de.example.test", RunType::View, "de"),
    ] {
        map.hosts.insert(name.to_owned(), (run, code.to_owned()));
    }
    map
}

fn everywhere() -> Vec<Scope> {
    let mut all = vec![Scope::Unknown, Scope::Installation];
    all.extend(["us", "eu", "gone", ""].map(website));
    all.extend(["us_main", "us_trade", "eu_main", "gone", ""].map(store));
    all.extend(["us_en", "us_b2b", "de", "fr", "lost", "gone", ""].map(view));
    all.extend(
        [
            "us.example.test",
            "US.example.test:8443",
            "trade.example.test",
            "de.example.test",
            "other.test",
            "[::1]:80",
            "",
        ]
        .map(host),
    );
    all
}

fn of(role: Role, scope: Scope) -> Principal {
    Principal {
        account: "a1".to_owned(),
        name: "anna".to_owned(),
        shown: "Anna".to_owned(),
        grants: vec![Grant { role, scope }],
        via: Via::Session,
    }
}

/// What a grant covers of everything, in words.
#[track_caller]
fn covers(scope: &Scope, expected: &[Scope]) {
    let grant = Grant {
        role: Role::Viewer,
        scope: scope.clone(),
    };
    let covered: Vec<Scope> = everywhere()
        .into_iter()
        .filter(|asked| grant.covers(asked, &map()))
        .collect();
    assert_eq!(covered, expected, "{scope}");
}

#[test]
fn a_grant_covers_what_lies_in_its_place() {
    covers(&Scope::Installation, &everywhere());
    let us_hosts = [
        "us.example.test",
        "US.example.test:8443",
        "trade.example.test",
    ];
    let mut us = vec![
        website("us"),
        store("us_main"),
        store("us_trade"),
        view("us_en"),
        view("us_b2b"),
    ];
    us.extend(us_hosts.map(host));
    covers(&website("us"), &us);
    covers(
        &website("eu"),
        &[website("eu"), store("eu_main"), view("de"), view("fr")],
    );
    covers(
        &store("us_trade"),
        &[
            store("us_trade"),
            view("us_b2b"),
            host("trade.example.test"),
        ],
    );
    covers(&view("de"), &[view("de")]);
}

#[test]
fn without_a_map_only_the_place_itself_is_covered() {
    for scope in [website("us"), store("us_main"), view("us_en")] {
        let grant = Grant {
            role: Role::Viewer,
            scope: scope.clone(),
        };
        let covered: Vec<Scope> = everywhere()
            .into_iter()
            .filter(|asked| grant.covers(asked, &StoreMap::default()))
            .collect();
        assert_eq!(covered, [scope]);
    }
}

#[test]
fn everything_asked_for_must_be_covered_and_nothing_is_an_unknown_place() {
    let (anna, map) = (of(Role::Analyst, website("us")), map());
    assert!(anna.sees(&[view("us_en"), store("us_trade")], &map));
    assert!(!anna.sees(&[view("us_en"), view("de")], &map));
    assert!(!anna.sees(&[], &map), "no place is no leave");
    assert!(of(Role::Analyst, Scope::Installation).sees(&[], &map));
    let mut both = anna;
    both.grants.push(Grant {
        role: Role::Viewer,
        scope: website("eu"),
    });
    assert!(both.sees(&[view("us_en"), view("de")], &map));
    assert!(
        !both.may(Right::Work, &[view("us_en"), view("de")], &map),
        "the other role doesn't work there"
    );
}

#[test]
fn no_place_gives_more_than_the_whole_and_no_role_more_than_its_row() {
    let map = map();
    for role in Role::ALL {
        let whole = of(role, Scope::Installation);
        for scope in everywhere() {
            let scoped = of(role, scope.clone());
            for right in Right::ALL {
                assert_eq!(whole.may_all(right), role.may(right));
                for asked in everywhere() {
                    let one = [asked];
                    assert_eq!(whole.may(right, &one, &map), role.may(right));
                    if scoped.may(right, &one, &map) {
                        assert!(whole.may(right, &one, &map), "{role} {right:?} {one:?}");
                    }
                }
                if scope != Scope::Installation {
                    for asked in [&[][..], &[Scope::Unknown], &[Scope::Installation]] {
                        assert!(!scoped.may(right, asked, &map), "{role} of {scope}");
                    }
                    assert!(!scoped.may_all(right), "{role} of {scope}");
                }
            }
        }
    }
}

#[test]
fn asking_for_more_never_allows_more() {
    let map = map();
    for scope in everywhere() {
        let anna = of(Role::IncidentLead, scope);
        for one in everywhere() {
            for two in everywhere() {
                let both = anna.sees(&[one.clone(), two.clone()], &map);
                let each = anna.sees(std::slice::from_ref(&one), &map)
                    && anna.sees(std::slice::from_ref(&two), &map);
                assert_eq!(both, each);
            }
        }
    }
}

#[test]
fn grants_that_one_account_may_not_hold_are_refused_with_the_reason() {
    let all = |roles: &[Role]| roles.iter().copied().map(Grant::all).collect::<Vec<_>>();
    assert_eq!(Grant::check(&[]), Err(GrantError::None));
    assert_eq!(Grant::check(&all(&[Role::Admin, Role::Analyst])), Ok(()));
    let refused = Grant::check(&all(&[Role::Analyst, Role::Admin, Role::Approver]));
    assert_eq!(
        refused.expect_err("apart").to_string(),
        "admin and approver may not be one person: who lets people in could otherwise make the second person for an action"
    );
    // Different places don't make it two people.
    let mut places = all(&[Role::EvidenceCustodian, Role::IncidentLead]);
    places[0].scope = website("us");
    places[1].scope = website("eu");
    assert!(matches!(
        Grant::check(&places),
        Err(GrantError::Apart { .. })
    ));
    for scope in [Scope::Unknown, host("us.example.test"), website("")] {
        let role = Role::Viewer;
        assert_eq!(
            Grant::check(&[Grant { role, scope }]),
            Err(GrantError::NoPlace)
        );
    }
    let role = Role::Admin;
    let scope = website("us");
    assert_eq!(
        Grant::check(&[Grant { role, scope }]),
        Err(GrantError::ForAllOnly { role })
    );
}

#[test]
fn nobody_acts_on_a_console_that_only_shows() {
    let anybody = Principal::open();
    for right in Right::ALL {
        assert!(right.only_sees() || !anybody.may_somewhere(right));
    }
    assert!(anybody.may_all(Right::SeeEvidence));
}

#[test]
fn a_place_is_read_as_it_is_written() {
    for (text, expected) in [
        ("", Some(Scope::Installation)),
        (" installation ", Some(Scope::Installation)),
        ("website:us", Some(website("us"))),
        ("store: us_main", Some(store("us_main"))),
        ("view:de", Some(view("de"))),
        ("host:us.example.test", None),
        ("website:", None),
        ("website:a b", None),
        ("us", None),
    ] {
        assert_eq!(Grant::place(text), expected, "{text:?}");
    }
}

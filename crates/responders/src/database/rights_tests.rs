//! What taking a right away would leave, by rows as MariaDB shows them.

use super::{Held, Place, Right, Rights, have_in_common, letters_of, overlap, pattern_of};
use model::{Argument, PRIVILEGES, ParameterKind};
use proptest::prelude::*;

/// A right, written `report@% SELECT shop.orders title!`; the `!` says that it may be granted.
fn right(text: &str) -> Right {
    let (text, is_grantable) = match text.strip_suffix('!') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut parts = text.split(' ');
    let mut next = || parts.next().unwrap_or_default();
    let (user, host) = next().split_once('@').expect("an account");
    let name = next().replace('-', " ");
    let (schema, table) = next().split_once('.').expect("a place");
    let named = |text: &str| {
        if text == "*" {
            String::new()
        } else {
            text.to_owned()
        }
    };
    Right {
        grantee: format!("'{user}'@'{host}'"),
        schema: named(schema),
        table: named(table),
        column: next().to_owned(),
        name,
        is_grantable,
    }
}

/// What `report@%` has, and others of its name or of none.
fn rights(all: &[&str]) -> Rights {
    Rights {
        account: "'report'@'%'".to_owned(),
        all: all.iter().map(|text| right(text)).collect(),
    }
}

fn place(text: &str) -> Place {
    Place::read(&Argument::read(ParameterKind::GrantPlace, text).expect("a place"))
}

#[track_caller]
fn check(all: &[&str], name: &str, at: &str, expected: Option<&str>) {
    let told = rights(all).refuses(name, &place(at));
    match (&told, expected) {
        (None, None) => {}
        (Some(told), Some(words)) => assert!(told.contains(words), "{told}"),
        _ => panic!("{told:?} instead of {expected:?}"),
    }
}

#[test]
fn what_holds_by_a_wider_place_is_taken_there() {
    let too = "too, which holds there";
    check(&["report@% FILE *.*"], "FILE", "*.*", None);
    let both = ["report@% SELECT *.*", "report@% SELECT shop.*"];
    check(&both, "SELECT", "*.*", None);
    check(&both, "SELECT", "shop.*", Some("on *.*"));
    check(&both[1..], "SELECT", "shop.*", None);
    check(&both[1..], "SELECT", "shop.orders", Some("on shop.*"));
    check(&both[1..], "INSERT", "shop.orders", None);
    check(&both[1..], "SELECT", "shop2.orders", None);
    check(
        &["report@% SELECT sh%.*"],
        "SELECT",
        "shop.orders",
        Some(too),
    );
    check(&["report@% SELECT sh%.*"], "SELECT", "shop.*", Some(too));
    check(
        &["report@% SELECT my\\_shop.*"],
        "SELECT",
        "my_shop.a",
        Some(too),
    );
    check(
        &["report@% SELECT my\\_shop.*"],
        "SELECT",
        "my-shop.a",
        None,
    );
    check(&["report@10.0.0.1 SELECT *.*"], "SELECT", "shop.*", None);
}

#[test]
fn no_right_comes_into_force_by_taking_another() {
    let instead = "holds for it instead";
    let last = "report@% SELECT shop.*";
    check(
        &[last, "report@% INSERT sh%.*"],
        "SELECT",
        "shop.*",
        Some(instead),
    );
    check(
        &[last, "report@10.0.0.1 INSERT shop.*"],
        "SELECT",
        "shop.*",
        Some(instead),
    );
    check(
        &[last, "@% INSERT shop.*"],
        "SELECT",
        "shop.*",
        Some("@% has on shop.*"),
    );
    check(&[last, "report@% INSERT erp.*"], "SELECT", "shop.*", None);
    check(
        &[last, "report@% INSERT shop.orders"],
        "SELECT",
        "shop.*",
        None,
    );
    // What comes first anyway doesn't come into force by it.
    let pattern = "report@% SELECT sh%.*";
    check(
        &[pattern, "report@% INSERT shop.*"],
        "SELECT",
        "sh%.*",
        None,
    );
    check(
        &[pattern, "report@% INSERT sho_.*"],
        "SELECT",
        "sh%.*",
        Some(instead),
    );
    check(
        &[pattern, "report@10.0.0.1 INSERT shop.*"],
        "SELECT",
        "sh%.*",
        Some(instead),
    );
    // The row stays for what is left in it.
    for stays in ["report@% UPDATE shop.*", "report@% SELECT shop.*!"] {
        check(
            &[last, stays, "report@% INSERT sh%.*"],
            "SELECT",
            "shop.*",
            None,
        );
    }
    let table = "report@% SELECT shop.orders id";
    check(
        &[table, "report@10.0.0.1 INSERT shop.orders"],
        "SELECT",
        "shop.orders",
        Some(instead),
    );
    check(
        &[
            table,
            "report@% UPDATE shop.orders total",
            "report@10.0.0.1 INSERT shop.orders",
        ],
        "SELECT",
        "shop.orders",
        None,
    );
    check(
        &[table, "report@10.0.0.1 INSERT shop.quote"],
        "SELECT",
        "shop.orders",
        None,
    );
}

#[test]
fn a_right_is_found_where_it_is_and_nowhere_else() {
    let all = rights(&[
        "report@% SELECT shop.orders",
        "report@% SELECT shop.orders id",
        "report@% SELECT shop.orders total",
        "report@% UPDATE shop.orders email",
        "report@% SELECT shop.quote id",
        "report@10.0.0.1 SELECT shop.*",
    ]);
    let held = all.held("SELECT", &place("shop.orders"));
    assert_eq!(held.words(), "granted, and on columns id, total");
    assert_eq!(held.statement("SELECT"), "SELECT, SELECT (`id`, `total`)");
    assert_eq!(all.elsewhere("SELECT", "shop.orders"), "shop.quote");
    let columns = all.held("SELECT", &place("shop.quote"));
    assert_eq!(columns.statement("SELECT"), "SELECT (`id`)");
    assert!(all.held("SELECT", &place("shop.*")).is_none());
    assert!(columns.is_within(&held) && !held.is_within(&columns));
    assert!(Held::default().is_within(&columns));
}

#[test]
fn whoever_gives_a_right_holds_it_and_may_grant() {
    #[track_caller]
    fn gives(all: &[&str], name: &str, at: &str, expected: bool) {
        assert_eq!(
            rights(all).gives(name, &place(at)),
            expected,
            "{all:?} {name} {at}"
        );
    }
    gives(&["report@% FILE *.*!"], "FILE", "*.*", true);
    gives(&["report@% FILE *.*"], "FILE", "*.*", false);
    gives(&["report@% PROCESS *.*!"], "FILE", "*.*", false);
    gives(&["report@% SELECT *.*!"], "SELECT", "shop.orders", true);
    // The two may come of different places.
    gives(
        &["report@% USAGE *.*!", "report@% SELECT shop.*"],
        "SELECT",
        "shop.orders",
        true,
    );
    gives(
        &["report@% USAGE erp.*!", "report@% SELECT shop.*"],
        "SELECT",
        "shop.*",
        false,
    );
    gives(&["report@% SELECT shop.*!"], "SELECT", "*.*", false);
    gives(&["report@% SELECT sh%.*!"], "SELECT", "shop.*", true);
    gives(&["report@% SELECT shop.*!"], "SELECT", "sh%.*", false);
    gives(&["report@% SELECT sh%.*!"], "SELECT", "sh%.*", true);
    gives(
        &["report@% SELECT shop.orders!"],
        "SELECT",
        "shop.orders",
        true,
    );
    gives(
        &["report@% SELECT shop.orders id!"],
        "SELECT",
        "shop.orders",
        false,
    );
}

#[test]
fn rights_are_granted_where_the_server_has_them() {
    for name in PRIVILEGES {
        assert!(Place::Server.has(name), "{name}");
    }
    for (name, at, expected) in [
        ("FILE", "shop.*", false),
        ("CREATE USER", "shop.orders", false),
        ("EVENT", "shop.*", true),
        ("EVENT", "shop.orders", false),
        ("TRIGGER", "shop.orders", true),
    ] {
        assert_eq!(place(at).has(name), expected, "{name} {at}");
    }
    assert!(place("sh%.*").reaches("shop") && place("shop.a").reaches("shop"));
    assert!(!place("mysql.*").reaches("shop") && !place("shop2.a").reaches("shop"));
    assert_eq!(place("my\\_shop.*").quoted(), "`my\\_shop`.*");
}

/// Whether a text fits, by trying every way.
fn fits(pattern: &str, text: &str) -> bool {
    fn rest_fits(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'%', rest @ ..], text) => {
                (0..=text.len()).any(|at| rest_fits(rest, text.get(at..).unwrap_or_default()))
            }
            ([b'_', rest @ ..], [_, text @ ..]) => rest_fits(rest, text),
            ([b'\\', one, rest @ ..], [other, text @ ..])
            | ([one, rest @ ..], [other, text @ ..]) => one == other && rest_fits(rest, text),
            _ => false,
        }
    }
    rest_fits(pattern.as_bytes(), text.as_bytes())
}

proptest! {
    #[test]
    fn patterns_that_fit_one_text_overlap(
        one in "([ab%_]|\\\\_){0,6}", other in "([ab%_]|\\\\_){0,6}", texts in prop::collection::vec("[ab_]{0,6}", 40)
    ) {
        prop_assert_eq!(have_in_common(&one, &other), have_in_common(&other, &one));
        for text in texts {
            let one_fits = fits(&one, &text);
            prop_assert_eq!(overlap(&pattern_of(&one), &letters_of(&text)), one_fits);
            if one_fits && fits(&other, &text) {
                prop_assert!(have_in_common(&one, &other));
            }
        }
    }

    #[test]
    fn patterns_that_overlap_fit_one_text(one in "[ab%_]{0,4}", other in "[ab%_]{0,4}") {
        // The shortest text that fits both has at most as many letters as the two together.
        let is_there = (0..=8_u32).any(|length| (0..1_u32 << length).any(|bits| {
            let text: String = (0..length).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect();
            fits(&one, &text) && fits(&other, &text)
        }));
        prop_assert_eq!(have_in_common(&one, &other), is_there);
    }
}

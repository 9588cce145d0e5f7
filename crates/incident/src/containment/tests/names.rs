//! No name breaks out of a statement that is offered.

use std::collections::BTreeSet;

use model::{ActorKind, AssetKind};
use proptest::prelude::*;

use super::super::{Lever, Told, levers};
use super::{finding, incident, of};

#[test]
fn a_name_that_could_hurt_is_told_and_put_into_no_statement() {
    let all = of(
        &[finding(
            "db-payment-unknown-shape",
            &[(ActorKind::DatabaseAccount, "x`@`%`; DROP TABLE t; -- ")],
            &[],
        )],
        &[],
    );
    let lock = all.first().expect("the account is named");
    assert!(lock.lines.is_empty());
    // What is told to be looked at is there all the same: everybody's.
    assert_eq!(
        lock.looks,
        [
            "SELECT user, host FROM mysql.user;",
            "SELECT id, user, host, time, info FROM information_schema.processlist;"
        ]
    );
    assert!(lock.because.contains("characters that could do harm"));
}

/// Every kind of name there is, all the same.
fn everything(name: &str) -> Vec<Lever> {
    use ActorKind::{Address, Administrator, DatabaseAccount, DatabaseConnection};
    let slashed = format!("/{name}");
    let connection = format!("{name}#{name}");
    let row = format!("core_config_data:{name}/{name}/{name}");
    let findings = [
        finding(
            "db-payment-unknown-shape",
            &[
                (DatabaseAccount, name),
                (DatabaseConnection, &connection),
                (Address, name),
            ],
            &[],
        ),
        finding(
            "web-sqli-series",
            &[(Address, name)],
            &[(AssetKind::Path, &slashed)],
        ),
        finding(
            "admin-log-exports",
            &[(Administrator, name)],
            &[(AssetKind::Row, name)],
        ),
        finding("row-skimmer", &[], &[(AssetKind::Row, &row)]),
        finding("fs-signature", &[], &[(AssetKind::Path, name)]),
        finding("fs-entry-point", &[], &[(AssetKind::Path, &slashed)]),
        finding("ex-vuln-installed", &[], &[(AssetKind::Path, name)]),
        finding(
            "api-record-walk",
            &[(Address, name)],
            &[(AssetKind::Path, &format!("/rest/V1/{name}"))],
        ),
        finding("db-trigger-on-payment", &[(DatabaseAccount, name)], &[]),
        finding("skimmer-config-sql", &[(DatabaseAccount, name)], &[]),
    ];
    let trigger = format!("CREATE TRIGGER `{name}` AFTER INSERT ON t");
    let setting =
        format!("INSERT INTO core_config_data VALUES ('stores',2,'{name}/{name}/{name}','{name}')");
    let told: Vec<Told<'_>> = findings
        .iter()
        .map(|finding| Told {
            finding,
            root: Some(name),
            texts: &[],
        })
        .collect();
    let texts = [trigger.as_str(), setting.as_str()];
    let told: Vec<Told<'_>> = told
        .into_iter()
        .map(|told| Told {
            texts: &texts,
            ..told
        })
        .collect();
    levers(&incident(&findings), &told)
}

/// A statement with every run of what names may hold folded: what is left is what a shell, a server or a database reads.
fn skeleton(line: &str) -> String {
    let mut out = String::new();
    let mut is_word = false;
    for c in line.chars() {
        let fits = c.is_ascii_alphanumeric() || "_./-+=,@:".contains(c);
        if !(fits && is_word) {
            out.push(if fits { 'w' } else { c });
        }
        is_word = fits;
    }
    out
}

fn skeletons(levers: &[Lever]) -> BTreeSet<String> {
    let lines = levers.iter().flat_map(|lever| {
        let lines = lever.looks.iter().chain(&lever.lines).chain(&lever.last);
        lines.chain(std::iter::once(&lever.undo))
    });
    lines.map(|line| skeleton(line)).collect()
}

proptest! {
    #[test]
    fn no_name_breaks_out_of_a_statement(
        name in prop_oneof![any::<String>(), "[a-z'`\"\\\\;\n$()#|& /.{}*-]{1,12}", "[0-9a-f:.]{1,20}", "[A-Za-z_/.]{1,12}"],
    ) {
        let mut known = BTreeSet::new();
        for plain in ["name", "Acme_Feed", "acme/feed", "203.0.113.66", "2001:db8::1", "/a/b", "/pub/static/a", "a/b/c", "7"] {
            known.extend(skeletons(&everything(plain)));
        }
        for found in skeletons(&everything(&name)) {
            prop_assert!(known.contains(&found), "{found:?} by {name:?}");
        }
    }
}

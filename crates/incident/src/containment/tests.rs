//! Claims about what is offered to stop an incident, and that no name breaks out of a statement.

use std::collections::BTreeSet;

use model::{
    Actor, ActorKind, Asset, AssetKind, DataClass, Finding, Incident, Lane, Level, Scope, Timestamp,
};
use proptest::prelude::*;

use super::{Effect, Lever, Told, levers};
use crate::compose::Member;
use crate::{EntityProfile, ObligationRules};

fn finding(rule: &str, actors: &[(ActorKind, &str)], assets: &[(AssetKind, &str)]) -> Finding {
    Finding {
        id: rule.to_owned(),
        rule: rule.to_owned(),
        title: rule.replace('-', " "),
        level: Level::High,
        lane: Lane::Live,
        first: Timestamp::from_seconds(1_795_000_000),
        last: Timestamp::from_seconds(1_795_000_001),
        actors: actors
            .iter()
            .map(|(kind, value)| Actor {
                kind: *kind,
                value: (*value).to_owned(),
            })
            .collect(),
        scope: Scope::Unknown,
        assets: assets
            .iter()
            .map(|(kind, name)| Asset {
                kind: *kind,
                name: (*name).to_owned(),
                class: DataClass::Public,
            })
            .collect(),
        rows: None,
        bytes: None,
        event_count: 1,
        events: Vec::new(),
        reason: String::new(),
        attack: Vec::new(),
        requirements: Vec::new(),
        false_positives: Vec::new(),
        external: None,
    }
}

fn incident(findings: &[Finding]) -> Incident {
    let members = findings.iter().map(|finding| Member {
        finding,
        detected: finding.first,
        because: "",
        names: true,
        opens: true,
    });
    let projector =
        crate::project::Projector::new(&ObligationRules::default(), EntityProfile::default());
    crate::compose::compose("i", members.collect(), &|_| false, 60, &projector)
        .expect("it has findings that open")
}

fn of(findings: &[Finding], texts: &[&str]) -> Vec<Lever> {
    let told: Vec<Told<'_>> = findings
        .iter()
        .map(|finding| Told {
            finding,
            root: Some("/srv/shop"),
            texts,
        })
        .collect();
    levers(&incident(findings), &told)
}

#[track_caller]
fn check(
    finding: Finding,
    texts: &[&str],
    does: &str,
    effect: Effect,
    looks: &[&str],
    lines: &[&str],
) {
    let all = of(&[finding], texts);
    let lever = all
        .iter()
        .find(|lever| lever.does.starts_with(does))
        .unwrap_or_else(|| panic_with(&all, does));
    assert_eq!(lever.effect, effect);
    assert_eq!(lever.looks, looks);
    assert_eq!(lever.lines, lines);
}

#[track_caller]
fn panic_with<'a>(all: &'a [Lever], does: &str) -> &'a Lever {
    panic!(
        "no lever begins with {does:?}: {:?}",
        all.iter().map(|lever| &lever.does).collect::<Vec<_>>()
    )
}

#[test]
fn an_account_is_locked_and_its_connection_ended() {
    use ActorKind::{Address, DatabaseAccount, DatabaseConnection};
    let dump = || {
        let who = [
            (DatabaseAccount, "x"),
            (DatabaseConnection, "x#91"),
            (Address, "203.0.113.66"),
        ];
        finding(
            "db-dump-of-sensitive-tables",
            &who,
            &[(AssetKind::Table, "sales_order_payment")],
        )
    };
    check(
        dump(),
        &[],
        "Lock the database account x, which came from 203.0.113.66, and end its connection 91.",
        Effect::Contains,
        &[
            "SELECT user, host FROM mysql.user WHERE user = 'x';",
            "SELECT id, user, host, time, info FROM information_schema.processlist WHERE id IN (91);",
        ],
        &[
            "ALTER USER `x`@`203.0.113.66` ACCOUNT LOCK;",
            "KILL CONNECTION 91;",
        ],
    );
    check(
        dump(),
        &[],
        "Keep the address 203.0.113.66 from the database",
        Effect::OnlyMitigates,
        &[],
        &["iptables -I INPUT -s 203.0.113.66 -p tcp --dport 3306 -j REJECT"],
    );
    let lock = of(&[dump()], &[])
        .into_iter()
        .next()
        .expect("the cause stands first");
    assert_eq!(lock.undo, "ALTER USER `x`@`203.0.113.66` ACCOUNT UNLOCK;");
}

#[test]
fn a_skimmer_is_taken_out_of_its_row_and_scope() {
    let who = [(ActorKind::DatabaseAccount, "shop")];
    let text = "INSERT INTO core_config_data (scope,scope_id,path,value) VALUES ('stores',2,'design/head/includes','<script>')";
    check(
        finding(
            "skimmer-config-sql",
            &who,
            &[(AssetKind::Table, "core_config_data")],
        ),
        &[text],
        "Take what was put into core_config_data, path design/head/includes, scope stores/2",
        Effect::Contains,
        &[
            "SELECT config_id, scope, scope_id, path, value, updated_at FROM core_config_data WHERE path = 'design/head/includes' AND scope = 'stores' AND scope_id = 2;",
        ],
        &[
            "UPDATE core_config_data SET value = '' WHERE path = 'design/head/includes' AND scope = 'stores' AND scope_id = 2;",
        ],
    );
}

#[test]
fn what_came_by_injection_closes_the_route_and_not_the_shops_account() {
    let web = finding(
        "web-sqli-series",
        &[(ActorKind::Address, "203.0.113.66")],
        &[(AssetKind::Path, "/storelocator/find")],
    );
    let database = finding(
        "db-sqli-union",
        &[(ActorKind::DatabaseAccount, "shop")],
        &[(AssetKind::Table, "admin_user")],
    );
    let all = of(&[web, database], &[]);
    let does: Vec<_> = all.iter().map(|lever| lever.does.as_str()).collect();
    assert_eq!(
        does,
        [
            "Close the route /storelocator/find on the host named above at the web server.",
            "Keep the address 203.0.113.66 out, at the web server.",
        ]
    );
    assert_eq!(
        all.first()
            .map(|lever| lever.lines.clone())
            .unwrap_or_default(),
        ["location ^~ /storelocator/find { return 403; }"]
    );
}

#[test]
fn files_triggers_people_and_modules_are_named() {
    let file = |rule: &str| finding(rule, &[], &[(AssetKind::Path, "pub/media/a.php")]);
    check(
        file("fs-exec-in-writable"),
        &[],
        "Close the file /srv/shop/pub/media/a.php",
        Effect::Contains,
        &["stat '/srv/shop/pub/media/a.php'; sha256sum '/srv/shop/pub/media/a.php'"],
        &["chmod 000 '/srv/shop/pub/media/a.php'"],
    );
    // The shop's own entry point is never closed.
    let all = of(&[file("fs-entry-point")], &[]);
    assert!(
        all.iter()
            .all(|lever| lever.lines.iter().all(|line| !line.contains("chmod")))
    );
    check(
        finding(
            "db-trigger-on-payment",
            &[],
            &[(AssetKind::Table, "quote_payment")],
        ),
        &["CREATE TRIGGER `grab` AFTER INSERT ON quote_payment FOR EACH ROW"],
        "Take the trigger grab",
        Effect::Contains,
        &["SHOW CREATE TRIGGER `grab`;"],
        &["DROP TRIGGER `grab`;"],
    );
    check(
        finding(
            "admin-log-exports",
            &[(ActorKind::Administrator, "mallory")],
            &[],
        ),
        &[],
        "Switch off the administrator mallory",
        Effect::Contains,
        &[],
        &["n98-magerun2 admin:user:deactivate 'mallory'"],
    );
    check(
        finding(
            "ex-vuln-installed",
            &[],
            &[(AssetKind::Path, "acme/feed 1.2.0")],
        ),
        &[],
        "Update acme/feed",
        Effect::Contains,
        &["composer show --all acme/feed"],
        &["composer update acme/feed"],
    );
}

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
    assert!(lock.looks.is_empty() && lock.lines.is_empty());
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
        for plain in ["name", "Acme_Feed", "acme/feed", "203.0.113.66", "2001:db8::1", "/a/b", "a/b/c", "7"] {
            known.extend(skeletons(&everything(plain)));
        }
        for found in skeletons(&everything(&name)) {
            prop_assert!(known.contains(&found), "{found:?} by {name:?}");
        }
    }
}

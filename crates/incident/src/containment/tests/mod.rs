//! Claims about what is offered to stop an incident.

mod names;

use model::{Actor, ActorKind, Asset, AssetKind, DataClass, Finding, Incident};

use super::{Effect, Lever, Told, levers};
use crate::compose::Member;
use crate::{EntityProfile, ObligationRules};

fn finding(rule: &str, actors: &[(ActorKind, &str)], assets: &[(AssetKind, &str)]) -> Finding {
    Finding {
        actors: actors
            .iter()
            .map(|(kind, value)| Actor {
                kind: *kind,
                value: (*value).to_owned(),
            })
            .collect(),
        assets: assets
            .iter()
            .map(|(kind, name)| Asset {
                kind: *kind,
                name: (*name).to_owned(),
                class: DataClass::Public,
            })
            .collect(),
        ..crate::plain::finding(rule)
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
fn an_account_granted_for_other_hosts_gets_a_new_password_by_a_lever_of_its_own() {
    use ActorKind::{Address, DatabaseAccount, DatabaseConnection};
    let who = [
        (DatabaseAccount, "x"),
        (DatabaseConnection, "x#91"),
        (Address, "203.0.113.66"),
    ];
    let all = of(&[finding("db-payment-unknown-shape", &who, &[])], &[]);
    let does = "Give the database account x a new password";
    let at = all.iter().position(|lever| lever.does.starts_with(does));
    let lock = at.and_then(|at| all.get(at.checked_sub(1)?));
    assert!(lock.is_some_and(|lock| lock.does.starts_with("Lock the database account x")));
    let password = at
        .and_then(|at| all.get(at))
        .unwrap_or_else(|| panic_with(&all, does));
    assert!(
        password
            .does
            .ends_with("for % or another host than 203.0.113.66.")
    );
    assert_eq!(
        password.lines,
        [
            "ALTER USER `x`@`HOST` IDENTIFIED BY 'NEW-PASSWORD';",
            "KILL CONNECTION 91;"
        ]
    );
    let order = password.told.join(" ");
    let shop = order
        .find("write it into app/etc/env.php")
        .expect("the shop's part is told");
    let database = order
        .find("3. At once, at the database")
        .expect("the database's part is told");
    assert!(shop < database);
    assert!(
        password
            .costs
            .contains("every store, the back end, cron and consumers")
    );
    assert!(password.undo.contains("old password again in both places"));
}

#[test]
fn which_connections_are_ended_is_said_with_their_hosts_and_times() {
    use ActorKind::{Address, DatabaseAccount, DatabaseConnection};
    let one = finding(
        "db-dump-of-sensitive-tables",
        &[
            (DatabaseAccount, "x"),
            (DatabaseConnection, "x#52"),
            (Address, "203.0.113.66"),
        ],
        &[],
    );
    let lock = |findings: &[Finding]| {
        let all = of(findings, &[]);
        let lock = all.into_iter().next();
        lock.expect("the cause stands first")
    };
    assert_eq!(
        lock(&[one]).told,
        [
            "Is it the shop's own account? Ask on every node of the shop: grep -n \"'username' => 'x'\" app/etc/env.php. If it stands there on any of \
             them, don't lock it: give it a new password, which is the next one here. If it stands on none, lock it.",
            "Connection 52 (the number the database gave it): from 203.0.113.66, seen from 2026-11-18 11:06:40 UTC to 2026-11-18 11:06:41 UTC, \
             for: db dump of sensitive tables."
        ]
    );
    let many: Vec<String> = (1..=20).map(|number| format!("x#{number}")).collect();
    let mut who = vec![
        (DatabaseAccount, "x"),
        (Address, "192.0.2.1"),
        (Address, "192.0.2.2"),
    ];
    who.extend(
        many.iter()
            .map(|value| (DatabaseConnection, value.as_str())),
    );
    let lock_of_many = lock(&[finding("db-payment-unknown-shape", &who, &[])]);
    assert!(lock_of_many.does.ends_with("and end its 20 connections."));
    assert_eq!(lock_of_many.told.len(), 14);
    // Which of two hosts each came from no log tells, and none is guessed.
    assert!(
        lock_of_many
            .told
            .iter()
            .skip(1)
            .take(12)
            .all(|line| line.contains("a host the log doesn't tell"))
    );
    assert!(
        lock_of_many
            .looks
            .iter()
            .any(|look| look.ends_with("WHERE user = 'x';"))
    );
    let nameless = lock(&[finding(
        "db-payment-unknown-shape",
        &[(DatabaseAccount, "x")],
        &[],
    )]);
    assert!(nameless.told.join(" ").contains("No log told the number"));
}

#[test]
fn caches_are_told_beside_what_empties_them_and_nowhere_else() {
    let row = finding("row-skimmer", &[], &[(AssetKind::Row, "cms_block:5")]);
    let changed = finding(
        "fs-changed",
        &[],
        &[(AssetKind::Path, "pub/static/frontend/a.js")],
    );
    let account = finding(
        "db-payment-unknown-shape",
        &[(ActorKind::DatabaseAccount, "x")],
        &[],
    );
    for lever in of(&[row, changed, account], &[]) {
        assert_eq!(
            lever.last.is_empty(),
            lever.lasts.is_empty(),
            "{}",
            lever.does
        );
        if !lever.lasts.is_empty() {
            assert!(lever.lasts.contains("86400 s"), "{}", lever.does);
        }
        let is_row = lever.does.contains("cms_block:5");
        assert_eq!(lever.lasts.contains("3 days"), is_row, "{}", lever.does);
        let is_static = lever.does.contains("pub/static");
        assert_eq!(
            lever.lasts.contains("for a year"),
            is_static,
            "{}",
            lever.does
        );
    }
}

#[test]
fn a_block_says_the_same_host_wherever_it_names_one() {
    use ActorKind::{Address, DatabaseAccount};
    let who = [(DatabaseAccount, "x"), (Address, "203.0.113.66")];
    let database = finding("db-payment-unknown-shape", &who, &[]);
    let web = finding("web-sqli-series", &[(Address, "203.0.113.67")], &[]);
    let all = of(&[database, web], &[]);
    let blocks = all
        .iter()
        .filter(|lever| lever.does.starts_with("Keep the address"));
    let mut told = 0;
    for block in blocks {
        let (here, there) = if block.does.contains("203.0.113.66") {
            ("on the database's host", "on the shop's host")
        } else {
            ("on the shop's host", "on the database's host")
        };
        assert!(
            block.does.contains(here) && !block.does.contains(there),
            "{}",
            block.does
        );
        let words = block.at.words().to_lowercase();
        assert!(words.contains(here) && !words.contains(there), "{words}");
        assert!(
            block.told.iter().any(|why| why.contains(here)),
            "{}",
            block.does
        );
        told += 1;
    }
    assert_eq!(told, 2);
}

#[test]
fn cutting_the_api_says_what_is_known_of_the_calls_and_how_to_find_whose_they_are() {
    let walk = finding(
        "api-record-walk",
        &[(ActorKind::Address, "203.0.113.66")],
        &[(AssetKind::Path, "/rest/V1/orders/{n}")],
    );
    let all = of(&[walk], &[]);
    let does = "Cut the API access";
    let cut = all.iter().find(|lever| lever.does.starts_with(does));
    let cut = cut.unwrap_or_else(|| panic_with(&all, does));
    assert!(cut.does.contains("which one isn't known"));
    let told = cut.told.join(" ");
    assert!(told.contains("/rest/V1/orders/{n}, from 203.0.113.66, from 2026-11-18 11:06:40 UTC"));
    assert!(told.contains("To find which it is"));
    assert!(
        cut.looks
            .iter()
            .any(|look| look.contains("JOIN oauth_consumer c"))
    );
    let named = finding(
        "api-record-walk",
        &[(ActorKind::Token, "integration 7")],
        &[(AssetKind::Path, "/rest/V1/orders/{n}")],
    );
    let all = of(&[named], &[]);
    assert!(
        all.iter()
            .any(|lever| lever.does.contains("what was used: integration 7"))
    );
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
            "Close the route /storelocator/find on the host named above, at the web server: on the shop's host.",
            "Keep the address 203.0.113.66 out of the shop: on the shop's host.",
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

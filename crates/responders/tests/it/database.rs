//! The same contract at a real MariaDB: run by `tests/services/contain_database.py`, which says where it is.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::{Argument, Arguments};
use responders::contract::{Trial, check_at, seen_in_database};
use responders::{
    Action, ActionError, DatabaseSettings, Host, HostSettings, MagentoSettings, action, memory,
};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::runtime::Runtime;

use crate::broken;
use crate::grants;
use crate::refused::REFUSED;

/// The stand-in shop's tables; prefix `mg_`.
const SCHEMA: &str = include_str!("../../../../tests/shop/schema.sql");
/// Whose statements for our account are taken as they stand there.
const MANUAL: &str = include_str!("../../../../docs/containment.md");
/// Where the manual begins with what our account needs for this one alone, which others are tried without.
const FOR_NARROWING: &str = "### Rights that are taken away";
const NARROW: &str = "narrow_grants";
/// What is in the shop beside its tables.
const ROWS: &str = include_str!("rows.sql");
/// Rows as they should be.
const GOOD: [(&str, &str); 4] = [
    ("core_config_data:91", r#"{"value": null}"#),
    (
        "cms_block:1",
        r#"{"title": "Note", "content": "<p>We ship – é \\ ' within a day.</p>"}"#,
    ),
    ("cms_block:77", r#"{"title": "Note"}"#),
    ("cms_page:1", r#"{"identifier": "home"}"#),
];
/// As env.php has it.
const ENV: &str = "<?php return ['crypt' => ['key' => '0123456789abcdef0123456789abcdef'], 'system' => ['websites' => ['second' => ['payment' => ['hosted' => ['active' => 0]]]], \
    'stores' => ['fr' => ['payment' => ['hosted' => ['active' => '0'], 'checkmo' => ['active' => '1']]]]], 'db' => ['table_prefix' => 'mg_', 'connection' => ['default' => ['username' => 'shop']]]];\n";

/// An action, what it is given, what stays after its undo.
struct Tried {
    name: &'static str,
    values: &'static [(&'static str, &'static str)],
    stays: &'static [&'static str],
}

const WHOLE: Tried = Tried {
    name: "",
    values: &[],
    stays: &[],
};

const fn narrowed(values: &'static [(&'static str, &'static str)]) -> Tried {
    Tried {
        name: NARROW,
        values,
        ..WHOLE
    }
}

const TRIED: &[Tried] = &[
    Tried {
        name: "lock_database_account",
        values: &[("account", "report@%")],
        ..WHOLE
    },
    Tried {
        name: "limit_database_account",
        values: &[
            ("account", "erp@%"),
            ("queries_per_hour", "60"),
            ("connections", "2"),
        ],
        ..WHOLE
    },
    Tried {
        name: "limit_database_account",
        values: &[("account", "report@%"), ("connections", "1")],
        ..WHOLE
    },
    narrowed(&[("account", "erp@%"), ("privilege", "FILE"), ("on", "*.*")]),
    narrowed(&[
        ("account", "erp@%"),
        ("privilege", "SELECT"),
        ("on", "shop.*"),
    ]),
    narrowed(&[
        ("account", "erp@%"),
        ("privilege", "UPDATE"),
        ("on", "shop.mg_cms_block"),
    ]),
    narrowed(&[
        ("account", "erp@%"),
        ("privilege", "INSERT"),
        ("on", "shop.mg_cms_block"),
    ]),
    narrowed(&[
        ("account", "erp@%"),
        ("privilege", "INSERT"),
        ("on", "shop.mg_cms_page"),
    ]),
    narrowed(&[
        ("account", "feed@localhost"),
        ("privilege", "DELETE"),
        ("on", "sh%.*"),
    ]),
    Tried {
        name: "end_connections",
        values: &[("account", "report@%")],
        ..WHOLE
    },
    Tried {
        name: "drop_trigger",
        values: &[("trigger", "copy$2")],
        ..WHOLE
    },
    Tried {
        name: "deactivate_administrator",
        values: &[("administrator", "Ann O'Neill")],
        stays: &[
            "table mg_admin_user_session",
            "table mg_oauth_token",
            "table mg_jwt_auth_revoked",
        ],
    },
    Tried {
        name: "revoke_integration",
        values: &[("integration", "ERP & feeds")],
        ..WHOLE
    },
    Tried {
        name: "disable_payment_method",
        values: &[("website", "base"), ("method", "hosted")],
        ..WHOLE
    },
    Tried {
        name: "switch_payment_method",
        values: &[
            ("website", "base"),
            ("method", "hosted"),
            ("instead", "redirect"),
        ],
        ..WHOLE
    },
    Tried {
        name: "pause_job",
        values: &[("job", "sales_clean_quotes")],
        ..WHOLE
    },
    Tried {
        name: "pause_consumer",
        values: &[("consumer", "exportProcessor")],
        ..WHOLE
    },
    Tried {
        name: "rotate_crypt_key",
        values: &[],
        ..WHOLE
    },
    Tried {
        name: "end_customer_sessions",
        values: &[("website", "base")],
        stays: &["table mg_customer_entity"],
    },
    Tried {
        name: "end_all_customer_sessions",
        values: &[],
        stays: &["table mg_customer_entity"],
    },
    Tried {
        name: "revert_row",
        values: &[("row", "core_config_data:91")],
        ..WHOLE
    },
    Tried {
        name: "revert_row",
        values: &[("row", "cms_block:1")],
        ..WHOLE
    },
];

/// The socket of a MariaDB whose `root` has no password, and whose schema `shop` is ours to drop.
fn socket() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the server is, is said by the script that started it"
    )]
    let told = std::env::var("MAGEWARDEN_TEST_MARIADB").ok();
    told.map(PathBuf::from)
}

pub(crate) fn settings(
    socket: &Path,
    user: &str,
    password_file: Option<PathBuf>,
    good_rows: Option<PathBuf>,
) -> DatabaseSettings {
    DatabaseSettings {
        socket: Some(socket.to_owned()),
        host: None,
        port: 0,
        ca_file: None,
        user: user.to_owned(),
        password_file,
        schema: "shop".to_owned(),
        prefix: "mg_".to_owned(),
        good_rows,
    }
}

/// Runs statements as `root`; more than one at once.
pub(crate) fn root(socket: &Path, statements: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let options = MySqlConnectOptions::new().socket(socket).username("root");
        let mut connection = options.connect().await.expect("a server");
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()));
        connection.execute(statements).await.expect("statements");
        connection.close().await.expect("a farewell");
    });
}

/// Connections of somebody who reads along; a shop made anew has new ones.
static HELD: Mutex<Vec<(Runtime, MySqlConnection)>> = Mutex::new(Vec::new());

fn read_along(socket: &Path) {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.clear();
    // The last is another account's.
    for user in ["report", "report", "report", "REPORT"] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let options = MySqlConnectOptions::new()
            .socket(socket)
            .username(user)
            .password("report");
        let connection = runtime.block_on(options.connect()).expect("a connection");
        held.push((runtime, connection));
    }
}

/// Whether the connection of another account, whose name differs in its letters' case alone, is still open.
fn other_reads() -> bool {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let (runtime, connection) = held.last_mut().expect("connections");
    runtime.block_on(connection.ping()).is_ok()
}

/// The statements of the manual that make our account, for a shop whose tables have a prefix; then those for `narrow_grants`.
fn account() -> [String; 2] {
    let (all, narrowing) = MANUAL.split_once(FOR_NARROWING).expect("a part");
    [all, narrowing].map(|part| {
        let lines = part
            .lines()
            .filter(|line| line.starts_with("CREATE USER") || line.starts_with("GRANT "));
        let lines: Vec<_> = lines
            .map(|line| {
                line.replace("`shop`.`", "`shop`.`mg_")
                    .replace("PASSWORD", "word")
            })
            .collect();
        assert!(!lines.is_empty(), "the manual has statements");
        lines.join("\n")
    })
}

/// Gives our account what the manual says that `narrow_grants` needs.
pub(crate) fn let_narrow(socket: &Path) {
    let [_, narrowing] = account();
    let by_a_pattern = "GRANT DELETE ON `sh%`.* TO containment@localhost WITH GRANT OPTION;";
    root(socket, &format!("{narrowing}\n{by_a_pattern}"));
}

/// A shop in a folder and at the server, afresh.
pub(crate) fn shop(socket: &Path, folder: &Path) -> Result<Host, ActionError> {
    let mut host = memory::host(folder)?;
    let etc = folder.join("shop/app/etc");
    let good = folder.join("good");
    for made in [&etc, &good] {
        std::fs::create_dir_all(made).expect("a folder");
    }
    std::fs::write(etc.join("env.php"), ENV).expect("write");
    for (row, text) in GOOD {
        std::fs::write(good.join(format!("{row}.json")), text).expect("write");
    }
    let word = folder.join("word");
    std::fs::write(&word, "word\n").expect("write");
    for (path, mode) in [(&word, 0o600), (&good, 0o700)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("rights");
    }
    let begin = "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; USE shop; DROP USER IF EXISTS containment@localhost, report@'%', REPORT@'%', shop@localhost, erp@'%', feed@localhost; \
        DROP ROLE IF EXISTS reader;";
    let [ours, _] = account();
    root(socket, &format!("{begin}{SCHEMA}{ROWS}{ours}"));
    read_along(socket);
    host.settings = HostSettings {
        magento: Some(MagentoSettings {
            root: folder.join("shop"),
            quarantine: None,
            good_files: None,
            environment: Some(Vec::new()),
            consumers: ["exportProcessor", "async.operations.all"]
                .map(str::to_owned)
                .into(),
        }),
        database: Some(settings(socket, "containment", Some(word), Some(good))),
        ..host.settings
    };
    Ok(host)
}

pub(crate) fn arguments(action: &dyn Action, values: &[(&str, &str)]) -> Arguments {
    let given = |(name, value): &(&str, &str)| {
        let parameter = action
            .facts()
            .parameters
            .iter()
            .find(|one| one.name == *name)
            .expect("a parameter");
        (
            parameter.name,
            Argument::read(parameter.kind, value).expect("an argument"),
        )
    };
    values.iter().map(given).collect()
}

/// Names of the actions that are tried here.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = TRIED.iter().map(|one| one.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

// One test for all: they share the server's accounts.
#[test]
fn actions_at_the_database_keep_the_contract() {
    let Some(socket) = socket() else {
        #[expect(
            clippy::print_stderr,
            reason = "whoever runs it has to know that nothing was tried"
        )]
        {
            eprintln!(
                "skipped: MAGEWARDEN_TEST_MARIADB names no server; tests/services/contain_database.py starts one"
            );
        }
        return;
    };
    for tried in TRIED {
        let one = action(tried.name).expect("an action");
        let folder = tempfile::tempdir().expect("a folder");
        let trial = Trial {
            folder: folder.path(),
            make: &|folder| {
                let made = shop(&socket, folder);
                if tried.name == NARROW {
                    let_narrow(&socket);
                }
                made
            },
            see: &|| seen_in_database(&settings(&socket, "root", None, None)),
            stays: tried.stays,
        };
        check_at(one, &trial, &arguments(one, tried.values));
        assert!(other_reads(), "{}: another account goes on", tried.name);
    }
    a_key_that_was_used_stays(&socket);
    a_consumer_that_was_held_by_two_is_let_go_by_the_last(&socket);
    grants::are_what_they_were(&socket);
    broken::is_caught(&socket);
    // What is refused changes nothing, so that all of it is tried at one shop.
    let folder = tempfile::tempdir().expect("a folder");
    let host = shop(&socket, folder.path()).expect("a host");
    for (name, values, words) in REFUSED {
        let one = action(name).expect("an action");
        let told = one
            .survey(&host, &arguments(one, values))
            .expect_err("it is refused");
        assert!(told.to_string().contains(words), "{name}: {told}");
    }
}

/// What was encrypted with the new key would be lost without it.
fn a_key_that_was_used_stays(socket: &Path) {
    let one = action("rotate_crypt_key").expect("an action");
    let folder = tempfile::tempdir().expect("a folder");
    let host = shop(socket, folder.path()).expect("a host");
    let given = Arguments::new();
    let env = || std::fs::read_to_string(folder.path().join("shop/app/etc/env.php")).expect("read");
    let survey = one.survey(&host, &given).expect("a survey");
    let told = format!("{:?}", survey.changes);
    for words in [
        "values in oauth_consumer.secret",
        "1 with key 0",
        "values in tfa_user_config.encoded_config",
    ] {
        assert!(told.contains(words), "{told}");
    }
    // Counts, and never a key or a value.
    assert!(
        !told.contains("c2Vj") && !told.contains("0123456789abcdef"),
        "{told}"
    );
    one.act(&host, &given, &survey.kept).expect("act");
    let now = env();
    let (before, after) = now
        .split_once("0123456789abcdef\n")
        .expect("the old key, and one more");
    let (key, after) = after.split_at(32);
    assert!(
        key.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{key}"
    );
    assert_eq!(format!("{before}0123456789abcdef{after}"), ENV);
    root(
        socket,
        "UPDATE shop.mg_oauth_consumer SET secret = '1:3:bmV3LXNlY3JldA==' WHERE name = 'feeds'",
    );
    let told = one.undo(&host, &given, &survey.kept).expect_err("refused");
    assert!(
        told.to_string()
            .contains("1 values of oauth_consumer.secret"),
        "{told}"
    );
    assert_eq!(env(), now);
    root(
        socket,
        "UPDATE shop.mg_oauth_consumer SET secret = '0:3:b2xkLXNlY3JldA==' WHERE name = 'feeds'",
    );
    one.undo(&host, &given, &survey.kept).expect("undo");
    assert_eq!(env(), ENV);
}

/// Two runs hold two consumers: the list is the later one's, so that one is taken back first.
fn a_consumer_that_was_held_by_two_is_let_go_by_the_last(socket: &Path) {
    let one = action("pause_consumer").expect("an action");
    let folder = tempfile::tempdir().expect("a folder");
    let host = shop(socket, folder.path()).expect("a host");
    let env = || std::fs::read_to_string(folder.path().join("shop/app/etc/env.php")).expect("read");
    let first = arguments(one, &[("consumer", "exportProcessor")]);
    let second = arguments(one, &[("consumer", "async.operations.all")]);
    let kept = one.survey(&host, &first).expect("a survey").kept;
    one.act(&host, &first, &kept).expect("act");
    assert!(
        env().contains("'cron_consumers_runner' => ['consumers' => ['async.operations.all']],")
    );
    let again = one.survey(&host, &first).expect("a survey");
    assert_eq!(again.changes[0].now, "not started by cron");
    let kept_second = one.survey(&host, &second).expect("a survey").kept;
    one.act(&host, &second, &kept_second).expect("act");
    // Of an empty list cron would start all.
    assert!(env().contains("'consumers' => ['held-by-magewarden']"));
    let told = one.undo(&host, &first, &kept).expect_err("refused");
    assert!(told.to_string().contains("the later step first"), "{told}");
    one.undo(&host, &second, &kept_second).expect("undo");
    one.undo(&host, &first, &kept).expect("undo");
    assert_eq!(env(), ENV);
}

//! `magewarden up` without a database: what it says of a shop, and what it refuses.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[expect(
    clippy::disallowed_methods,
    reason = "the test starts the program under test"
)]
fn run(command: &str, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_magewarden"))
        .arg(command)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

fn up(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    run("up", folder, arguments, environment)
}

fn doctor(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    run("doctor", folder, arguments, environment)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A shop whose database listens nowhere.
fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("shop");
    fs::create_dir_all(root.join("app/etc")).expect("made");
    fs::create_dir_all(root.join("var/log")).expect("made");
    fs::write(root.join("var/log/system.log"), "").expect("written");
    let settings = "<?php return ['db' => ['table_prefix' => 'mg_', 'connection' => ['default' => ['host' => '/nowhere/sock', \
                    'dbname' => 'shop', 'username' => 'shop', 'password' => 'SECRET']]]];";
    fs::write(root.join("app/etc/env.php"), settings).expect("written");
    folder
}

fn ids(run: &Output) -> Vec<String> {
    let answer: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let gaps = answer["gaps"].as_array().expect("gaps");
    gaps.iter()
        .map(|gap| gap["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn looks_without_starting_and_goes_on_when_nobody_listens() {
    let folder = shop();
    let check = ["--magento", "shop", "--format", "json"];
    let run = doctor(folder.path(), &check, &[]);
    assert_eq!(run.status.code(), Some(10), "{}", text(&run.stderr));
    assert!(!text(&run.stdout).contains("SECRET"));
    assert_eq!(ids(&run).first().map(String::as_str), Some("account-none"));
    // By the environment, and by a file that the environment wins over.
    let run = doctor(
        folder.path(),
        &check,
        &[("MAGEWARDEN_DATABASE_USER", "warden")],
    );
    assert_eq!(
        ids(&run).first().map(String::as_str),
        Some("account-refused")
    );
    fs::write(
        folder.path().join("c.toml"),
        "magento = \"shop\"\n[database]\nuser = \"warden\"\nserver = \"/else/where\"\n",
    )
    .expect("written");
    let run = doctor(
        folder.path(),
        &["--config", "c.toml"],
        &[("MAGEWARDEN_DATABASE_SERVER", "/by/environment")],
    );
    let said = text(&run.stdout);
    assert!(
        said.contains("no log-in at /by/environment as `warden`"),
        "{said}"
    );
    assert!(
        !folder.path().join("magewarden-data").exists(),
        "looking writes nothing"
    );
}

#[test]
fn prints_an_account_of_its_own_and_refuses_the_shops() {
    let folder = shop();
    let run = up(folder.path(), &["--magento", "shop", "--print-grants"], &[]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0));
    assert!(
        said.contains("CREATE USER '") && said.contains("ON `shop`.`mg_store`"),
        "{said}"
    );
    assert!(
        !said.contains("cc_") && said.contains("-- Undo: DROP USER"),
        "{said}"
    );
    let run = doctor(
        folder.path(),
        &["--magento", "shop", "--database-user", "shop"],
        &[],
    );
    assert_eq!(run.status.code(), Some(1));
    assert!(
        text(&run.stderr).contains("the shop's own account"),
        "{}",
        text(&run.stderr)
    );
}

#[test]
fn says_what_is_missing_when_no_shop_is_named() {
    let folder = shop();
    let run = doctor(folder.path(), &[], &[]);
    assert!(
        text(&run.stderr).contains("--magento ROOT"),
        "{}",
        text(&run.stderr)
    );
    for arguments in [
        &["--print-grants"][..],
        &["--log", "x.log", "--database-user", "warden"],
    ] {
        let run = up(folder.path(), arguments, &[]);
        assert_eq!(run.status.code(), Some(1), "{arguments:?}");
        assert!(
            text(&run.stderr).contains("--magento ROOT"),
            "{}",
            text(&run.stderr)
        );
    }
}

#[test]
fn names_the_platform_a_shop_runs_on_and_what_it_never_shows() {
    let folder = shop();
    let settings = "<?php return ['db' => ['connection' => ['default' => ['host' => \
                    'shop.cluster-abc.eu-central-1.rds.amazonaws.com', 'dbname' => 'shop', 'username' => 'shop']]]];";
    fs::write(folder.path().join("shop/app/etc/env.php"), settings).expect("written");
    // What the variable holds is nobody's business.
    let cloud = [("MAGENTO_CLOUD_RELATIONSHIPS", "SECRET")];
    let run = doctor(folder.path(), &["--magento", "shop"], &cloud);
    let said = text(&run.stdout);
    for line in [
        "platform  Adobe Commerce on cloud infrastructure, by the environment variable MAGENTO_CLOUD_RELATIONSHIPS",
        "platform  Amazon Aurora MySQL, by the database's host shop.cluster-abc.eu-central-1.rds.amazonaws.com",
        "never shows: who read what in the database",
        "Unverified on a live cluster",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(
        !said.contains("SECRET") && !said.contains("SET GLOBAL"),
        "{said}"
    );
    let run = doctor(
        folder.path(),
        &["--magento", "shop", "--format", "json"],
        &cloud,
    );
    let answer: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let platforms = answer["platforms"].as_array().expect("platforms");
    let ids: Vec<_> = platforms.iter().map(|one| one["id"].as_str()).collect();
    assert_eq!(ids, [Some("adobe-commerce-cloud"), Some("amazon-aurora")]);
    assert!(platforms.iter().all(|one| {
        one["never"]
            .as_array()
            .is_some_and(|never| never.len() >= 3)
    }));
    // A host of one's own is none of them.
    let run = doctor(shop().path(), &["--magento", "shop"], &[]);
    let said = text(&run.stdout);
    assert!(!said.contains("platform  A"), "{said}");
}

#[test]
#[cfg(feature = "postgres")]
fn a_state_that_cannot_be_kept_is_refused_with_what_to_do_and_without_its_password() {
    let folder = shop();
    let log = "shop/var/log/system.log";
    let check = |more: &[&str], expected: [&str; 2]| {
        let arguments = [&["--log", log, "--port", "0"], more].concat();
        let run = up(folder.path(), &arguments, &[]);
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(1), "{said}");
        for expected in expected {
            assert!(said.contains(expected), "{said}");
        }
        assert!(!said.contains("SECRET"), "{said}");
    };
    let address = "postgres://m:SECRET@127.0.0.1:1/state";
    check(&["--state", address], ["holds a password", "mode 0600"]);
    let weak = "postgres://m@db1/state?sslmode=disable";
    check(&["--state", weak], ["nothing may stand", "docs/state.md"]);
    let file = ["--state-password-file", "password"];
    check(&file, ["no server", "--state"]);
    // Nobody listens at port 1.
    let nobody = ["--state", "postgres://m@127.0.0.1:1/state"];
    check(
        &nobody,
        ["Connection refused", "check that PostgreSQL runs"],
    );
    let password = folder.path().join("password");
    fs::write(&password, "SECRET").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    fs::set_permissions(&password, mode).expect("set");
    let open = [nobody[0], nobody[1], file[0], file[1]];
    check(&open, ["may be read or changed by others", "chmod 600"]);
    // The same by a settings file.
    let settings = format!(
        "state = \"{}\"\nstate_password_file = \"password\"",
        nobody[1]
    );
    fs::write(folder.path().join("up.toml"), settings).expect("written");
    check(
        &["--config", "up.toml"],
        ["may be read or changed", "chmod 600"],
    );
}

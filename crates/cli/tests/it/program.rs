//! The built program, run as a user runs it, on logs written here.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[expect(
    clippy::disallowed_methods,
    reason = "the test starts the program under test"
)]
fn magewarden(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_magewarden"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A thief's dump of the payment table over one connection, between a shop's own statements.
fn dump() -> String {
    let mut lines = String::new();
    for order in 1..40 {
        let second = order % 60;
        lines.push_str(&format!(
            "20260805 10:15:{second:02},db1,shop,web1,41,{id},READ,shop,sales_order_payment,\n\
             20260805 10:15:{second:02},db1,shop,web1,41,{id},QUERY,shop,'SELECT `sales_order_payment`.* FROM `sales_order_payment` WHERE (`sales_order_payment`.`parent_id` = {order})',0\n",
            id = 5000 + order,
        ));
    }
    lines.push_str(
        "20260805 10:16:00,db1,shop,203.0.113.66,91,0,CONNECT,shop,,0\n\
         20260805 10:16:00,db1,shop,203.0.113.66,91,9002,QUERY,shop,'START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */',0\n\
         20260805 10:16:00,db1,shop,203.0.113.66,91,9003,QUERY,shop,'SET SQL_QUOTE_SHOW_CREATE=1',0\n\
         20260805 10:16:00,db1,shop,203.0.113.66,91,9005,READ,shop,sales_order_payment,\n\
         20260805 10:16:00,db1,shop,203.0.113.66,91,9005,QUERY,shop,'SELECT /*!40001 SQL_NO_CACHE */ * FROM `sales_order_payment`',0\n\
         20260805 10:16:01,db1,shop,203.0.113.66,91,0,DISCONNECT,shop,,0\n",
    );
    lines
}

#[test]
fn a_dump_of_the_payment_table_becomes_an_incident_with_evidence_that_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("logs")).expect("writable");
    fs::write(folder.path().join("logs/server_audit.log"), dump()).expect("writable");
    fs::write(folder.path().join("logs/notes.bin"), [0_u8, 159, 146, 150]).expect("writable");
    let run = magewarden(&["analyze", "logs", "--format", "json"], folder.path());
    assert_eq!(
        run.status.code(),
        Some(10),
        "{}{}",
        text(&run.stdout),
        text(&run.stderr)
    );
    let report: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let incidents = report["incidents"].as_array().expect("incidents");
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    let incident = incidents[0].to_string();
    assert!(incident.contains("sales_order_payment"), "{incident}");
    assert!(incident.contains("\"shop\""), "{incident}");
    assert_eq!(report["not_read"].as_array().map(Vec::len), Some(1));
    let verified = magewarden(&["verify", "magewarden-out/latest/ledger"], folder.path());
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{}{}",
        text(&verified.stdout),
        text(&verified.stderr)
    );
    let html = fs::read_to_string(folder.path().join("magewarden-out/latest/report.html"))
        .expect("a report");
    assert!(html.contains("sales_order_payment"));
}

#[test]
fn one_flipped_bit_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("server_audit.log"), dump()).expect("writable");
    magewarden(&["analyze", "server_audit.log"], folder.path());
    let segments = folder.path().join("magewarden-out/latest/ledger/segments");
    let segment = fs::read_dir(&segments)
        .expect("segments")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "leaf"))
        .expect("a segment");
    let mut bytes = fs::read(&segment).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).expect("writable");
    let verified = magewarden(
        &[
            "verify",
            "magewarden-out/latest/ledger",
            "--checkpoint",
            "magewarden-out/latest/checkpoints.copy",
        ],
        folder.path(),
    );
    assert_eq!(
        verified.status.code(),
        Some(1),
        "{}",
        text(&verified.stdout)
    );
}

#[test]
fn says_what_to_do_when_a_path_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = magewarden(&["analyze", "nowhere"], folder.path());
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("try:"), "{}", text(&run.stderr));
    assert!(
        !folder.path().join("magewarden-out").exists(),
        "nothing is written before the inputs are found"
    );
}

#[test]
fn usage_errors_exit_with_two() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(
        magewarden(&["analyze"], folder.path()).status.code(),
        Some(2)
    );
    assert_eq!(
        magewarden(&["nonsense"], folder.path()).status.code(),
        Some(2)
    );
}

#[test]
fn every_command_has_help_with_an_example() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [
        "analyze",
        "up",
        "demo",
        "verify",
        "parse",
        "shape",
        "scan",
        "rules",
        "playbooks",
    ] {
        let run = magewarden(&[command, "--help"], folder.path());
        assert_eq!(run.status.code(), Some(0));
        assert!(
            text(&run.stdout).contains("Example"),
            "{command} has no example"
        );
    }
}

#[test]
fn scan_finds_a_test_number_only_when_asked_and_never_prints_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.log"), "card=4111111111111111\n").expect("writable");
    let quiet = magewarden(&["scan", "a.log", "--format", "json"], folder.path());
    assert_eq!(quiet.status.code(), Some(0));
    let asked = magewarden(
        &["scan", "a.log", "--test-numbers", "--format", "json"],
        folder.path(),
    );
    let found: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    assert_eq!(found["found"].as_array().map(Vec::len), Some(1));
    assert!(!text(&asked.stdout).contains("4111111111"));
}

#[test]
fn playbooks_are_listed_shown_checked_and_planned() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let run = magewarden(&[&["playbooks"], arguments].concat(), folder.path());
        (run.status.code(), text(&run.stdout), text(&run.stderr))
    };
    let (_, list, _) = run(&[]);
    let names: Vec<_> = list.lines().filter(|line| !line.starts_with(' ')).collect();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../content/playbooks");
    let shipped = fs::read_dir(shipped).expect("a folder").count();
    assert_eq!(names.len(), shipped, "{list}");
    for name in names {
        let name = name.split_whitespace().next().expect("a name");
        let (code, out, error) = run(&["check", name]);
        assert_eq!(code, Some(0), "{name}: {out}{error}");
        let (code, out, error) = run(&["plan", name]);
        assert_eq!(code, Some(0), "{name}: {out}{error}");
        assert!(out.contains("sha256 "), "{out}");
    }
    let (_, drawn, _) = run(&["show", "stray-card-data"]);
    assert!(drawn.contains("├─ when it is file"), "{drawn}");
    let set = [
        "plan",
        "database-account-stolen",
        "--set",
        "__account__=report@%",
        "--set",
        "__is_shop_account__=false",
    ];
    let (_, plan, _) = run(&set);
    assert!(
        plan.contains("lock_database_account  account report@%"),
        "{plan}"
    );
    assert!(
        plan.contains("contains: closes what it came through"),
        "{plan}"
    );
    let (_, json, _) = run(&[set.as_slice(), &["--json"]].concat());
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["stops"], "contains");
    let (code, _, error) = run(&[
        "plan",
        "database-account-stolen",
        "--set",
        "__account__=x';--",
    ]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("`__account__` of “") && error.contains("no database account"),
        "{error}"
    );

    // Exported, changed by a hand that turns the order round, brought back: refused with both steps and the reason.
    let (_, exported, _) = run(&["show", "skimmer-in-files", "--json"]);
    let naive = exported
        .replace(r#""action": "keep_evidence""#, r#""action": "later""#)
        .replace(r#""action": "purge_cache""#, r#""action": "keep_evidence""#)
        .replace(r#""action": "later""#, r#""action": "hold_retention""#);
    fs::write(folder.path().join("naive.json"), naive).expect("writable");
    let (code, out, _) = run(&["check", "naive.json"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("“Empty the caches” isn't done before “Put the file back” on every way"),
        "{out}"
    );
    fs::write(folder.path().join("no.json"), "[]").expect("writable");
    let (code, _, error) = run(&["check", "no.json"]);
    assert!(
        code != Some(0) && error.contains("no JSON object"),
        "{error}"
    );
}

#[test]
fn the_rules_own_examples_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = magewarden(&["rules", "test"], folder.path());
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stdout));
    // Each content rule has contents that it must and must not match.
    let check = magewarden(&["rules", "check"], folder.path());
    let (named, tested) = (text(&check.stdout), text(&run.stdout));
    let names: Vec<_> = named
        .lines()
        .filter_map(|line| line.strip_prefix("ok  yara:")?.split_once("  "))
        .collect();
    assert!(names.len() > 10, "{named}");
    for (name, description) in names {
        assert!(!description.is_empty(), "{name}");
        for example in ["match 1", "pass 1"] {
            let line = format!("ok      yara:{name}  {example}");
            assert!(tested.lines().any(|one| one == line), "{line}");
        }
    }
}

#[test]
fn a_folder_of_content_rules_is_checked_by_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |text: &str| fs::write(folder.path().join("a.yar"), text).expect("written");
    let run = |what| magewarden(&["rules", what, "--yara", "."], folder.path());
    write(
        "rule good { meta: match = \"abcd\" pass = \"abcd\" strings: $a = \"abcd\" condition: $a }\n",
    );
    assert_eq!(run("check").status.code(), Some(0));
    let tested = run("test");
    assert_eq!(tested.status.code(), Some(1));
    let lines = text(&tested.stdout);
    assert!(
        lines.contains("ok      merchant:good  match 1\nFAILED  merchant:good  pass 1\n"),
        "{lines}"
    );
    write("rule wrong {\n  condition: $b\n}\n");
    let checked = run("check");
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        text(&checked.stdout).starts_with("FAILED  a.yar:2: "),
        "{}",
        text(&checked.stdout)
    );
}

/// A published test number in base64: no mask looks into that.
const HIDDEN: &str = "Y2FyZD00MTExMTExMTExMTExMTEx";

#[test]
fn a_number_the_mask_missed_is_found_destroyed_and_its_neighbours_still_prove() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |path: &str| {
        format!(
            "203.0.113.9 - - [05/Aug/2026:10:15:00 +0000] \"GET {path} HTTP/1.1\" 200 512 \"-\" \"x\"\n"
        )
    };
    let lines: String = (0..40)
        .map(|number| match number {
            17 => line(&format!("/checkout?d={HIDDEN}")),
            _ => line(&format!("/product-{number}.html")),
        })
        .collect();
    fs::write(folder.path().join("access.log"), lines).expect("written");
    let run = |arguments: &[&str]| {
        let run = magewarden(arguments, folder.path());
        (run.status.code(), text(&run.stdout), text(&run.stderr))
    };
    let ledger = "magewarden-out/latest/ledger";
    assert_eq!(run(&["analyze", "access.log"]).0, Some(0));
    let (_, found, _) = run(&["scan", ledger, "--test-numbers", "--format", "json"]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let hits = found["found"].as_array().expect("hits");
    assert_eq!(hits.len(), 1, "{hits:#?}");
    assert_eq!(hits[0]["form"], "base64");
    assert_eq!(hits[0]["last_four"], "1111");
    let entry = hits[0]["entry"].to_string();
    let (_, shown, _) = run(&["entries", ledger, "--sequence", &entry]);
    assert!(shown.contains(HIDDEN), "{shown}");

    let one = [
        "redact",
        ledger,
        &entry,
        "--yes",
        "--reason",
        "card number",
        "--by",
        "Anna",
    ];
    let refused = run(&[&one[..], &["--and-by", "anna "]].concat());
    assert_eq!(refused.0, Some(1), "{refused:?}");
    let data = folder.path().join(ledger).join("segments/00000000.data");
    let before = fs::read(&data).expect("payloads");
    let done = run(&[&one[..], &["--and-by", "Ben"]].concat());
    assert_eq!(done.0, Some(0), "{done:?}");

    let (code, found, _) = run(&["scan", ledger, "--test-numbers"]);
    assert_eq!(code, Some(0));
    assert!(found.starts_with("0 found"), "{found}");
    let (_, shown, _) = run(&["entries", ledger, "--sequence", &entry]);
    assert!(shown.contains("(destroyed)"), "{shown}");
    let (_, neighbour, _) = run(&[
        "entries",
        ledger,
        "--address",
        "203.0.113.9",
        "--limit",
        "1000",
    ]);
    assert_eq!(neighbour.matches("/product-").count(), 39, "{neighbour}");
    let verified = run(&[
        "verify",
        ledger,
        "--checkpoint",
        "magewarden-out/latest/checkpoints.copy",
    ]);
    assert_eq!(verified.0, Some(0), "{verified:?}");
    assert!(verified.1.contains("1 of them redacted"), "{verified:?}");

    // Nothing of what was stored before is left: not the record, not its ciphertext, not its key.
    let after = fs::read(&data).expect("payloads");
    let window = &before[before.len() / 2..before.len() / 2 + 64];
    let mut files = vec![folder.path().join("magewarden-out")];
    while let Some(path) = files.pop() {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files.extend(
                fs::read_dir(&path)
                    .expect("read")
                    .map(|entry| entry.expect("read").path()),
            );
            continue;
        }
        let bytes = fs::read(&path).expect("read");
        for needle in [HIDDEN.as_bytes(), b"4111111111111111", window] {
            let there = bytes.windows(needle.len()).any(|part| part == needle);
            assert!(!there, "{} still holds it", path.display());
        }
    }
    assert!(after.len() > before.len());
}

#[test]
fn shape_tells_whether_magento_issues_a_statement_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let judged = |sql: &str| -> Value {
        let run = magewarden(&["shape", "--format", "json", sql], folder.path());
        serde_json::from_slice(&run.stdout).expect("JSON")
    };
    let load = judged(
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7)",
    );
    assert_eq!(load["magento"], "known");
    assert_eq!(
        (&load["predicate"], &load["row_class"]),
        (&"key".into(), &"few".into())
    );
    assert_eq!(load["key_literal"], 7);
    let theft =
        judged("SELECT * FROM sales_order_payment WHERE cc_owner = '4111111111111111' OR 2>1");
    assert_eq!(
        (&theft["magento"], &theft["why"]),
        (&"unknown".into(), &"a condition that is always true".into())
    );
    assert_eq!(theft["literals"][1], "2");
    assert!(!theft.to_string().contains("4111111111"));
}

#[test]
fn shape_judges_every_statement_of_a_log_that_touches_a_listed_table() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("audit.log"), dump()).expect("writable");
    let lines = |more: &[&str]| -> Vec<Value> {
        let run = magewarden(
            &[&["shape", "--log", "audit.log", "--format", "ndjson"], more].concat(),
            folder.path(),
        );
        text(&run.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    let listed = lines(&[]);
    let known = listed
        .iter()
        .filter(|line| line["magento"] == "known")
        .count();
    assert_eq!(known, 39);
    assert!(
        listed
            .iter()
            .any(|line| line["magento"] == "unknown" && line["account"] == "shop")
    );
    assert!(lines(&["--all"]).len() > listed.len());
}

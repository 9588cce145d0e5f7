//! What a tree of files becomes, through the source as it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::scan::Reading;
use super::{Files, Signatures};
use crate::source::{Given, Kind as _, Positions, Receipt, Running};

const SIGNATURES: &str = "[[signature]]\nid = 'shell'\nwhat = 'x'\nonly = ['php']\nall = [['eval('], ['$_post']]\nmatch = ['<?php eval($_POST);']\npass = ['x']\n";

/// A content rule of ours.
const RULES: &str =
    "rule spelled { meta: needs = \"chr(\" strings: $a = /(chr\\(\\d+\\)\\.){4}/ condition: $a }";

pub(super) fn given(data: &Path) -> Given {
    Given {
        now: Timestamp(1),
        resume: Positions::new(),
        formats: Vec::new(),
        database: None,
        data: data.to_owned(),
        clock: || Timestamp(1_754_388_930_000_000),
        key: [9; 32],
        magento: None,
        signatures: Arc::new(
            Signatures::parse(&[("a", SIGNATURES)], &[("a.yar", RULES)]).expect("reads"),
        ),
        // The published test number stands for a number here.
        cards: Arc::new(|bytes| {
            u32::from(bytes.windows(16).any(|part| part == b"4111111111111111"))
        }),
    }
}

pub(super) fn start(root: &Path, data: &Path, settings: &str) -> Running {
    let table = toml::from_str(&format!(
        "root = {:?}\n{settings}",
        root.display().to_string()
    ))
    .expect("TOML");
    Running::start(vec![Files.open(table, &given(data)).expect("opens")]).expect("starts")
}

pub(super) type Record = Map<String, Value>;

/// Takes records until none came for a while, or one fits.
pub(super) fn take(
    running: &Running,
    patience: u64,
    until: &dyn Fn(&Record) -> bool,
) -> Vec<Record> {
    let (mut records, mut last) = (Vec::new(), Instant::now());
    while last.elapsed() < Duration::from_millis(patience) {
        let Some(delivery) = running.next(Duration::from_millis(20)) else {
            continue;
        };
        let mut fits = false;
        for chunk in delivery
            .chunks
            .iter()
            .filter(|chunk| !chunk.bytes.is_empty())
        {
            last = Instant::now();
            let record: Record = serde_json::from_slice(&chunk.bytes).expect("JSON");
            fits |= until(&record);
            records.push(record);
        }
        delivery.receipt.into_iter().for_each(Receipt::sealed);
        if fits {
            return records;
        }
    }
    records
}

pub(super) fn text<'a>(record: &'a Record, field: &str) -> &'a str {
    record
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn begun(running: &Running) -> Vec<Record> {
    let records = take(running, 10_000, &|record| {
        text(record, "change") == "baseline"
    });
    assert_eq!(
        records.last().map(|record| text(record, "change")),
        Some("baseline")
    );
    // Watching begins once it is sealed.
    take(running, 100, &|_| false);
    records
}

pub(super) fn end(running: &Running) {
    running.stop();
    let until = Instant::now() + Duration::from_secs(5);
    while !running.ended() {
        assert!(Instant::now() < until, "it doesn't end");
        if let Some(delivery) = running.next(Duration::from_millis(10)) {
            delivery.receipt.into_iter().for_each(Receipt::sealed);
        }
    }
}

pub(super) fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, content).expect("written");
}

pub(super) fn shop() -> (tempfile::TempDir, tempfile::TempDir) {
    let (root, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    write(root.path(), "pub/index.php", b"<?php run();");
    write(root.path(), "pub/media/a.jpg", b"\xff\xd8\xff picture");
    write(root.path(), "vendor/a/B.php", b"<?php class B {}");
    (root, data)
}

#[test]
fn what_is_planted_is_told_with_what_it_is() {
    let (root, data) = shop();
    let running = start(root.path(), data.path(), "");
    begun(&running);
    #[track_caller]
    fn check(running: &Running, path: &str, expected: &[(&str, Value)]) {
        let records = take(running, 6000, &|record| text(record, "file.path") == path);
        let record = records
            .last()
            .filter(|record| text(record, "file.path") == path)
            .expect("told");
        for (field, value) in expected {
            assert_eq!(record.get(*field), Some(value), "{path} {record:?}");
        }
    }
    let root = root.path();
    write(root, "pub/media/x.php", b"<?php eval($_POST['a']);");
    check(
        &running,
        "pub/media/x.php",
        &[
            ("change", "created".into()),
            ("file.class", "media".into()),
            ("file.content", vec!["php"].into()),
            ("signatures", vec!["shell"].into()),
        ],
    );
    write(root, "pub/media/b.gif", b"GIF89a <?php echo 1;");
    check(
        &running,
        "pub/media/b.gif",
        &[("file.content", vec!["image", "php", "polyglot"].into())],
    );
    write(root, "pub/index.php", b"<?php run(); more();");
    check(
        &running,
        "pub/index.php",
        &[
            ("change", "modified".into()),
            ("file.class", "entry_point".into()),
        ],
    );
    write(root, "pub/media/new/deep/.htaccess", b"AddHandler x .jpg");
    check(
        &running,
        "pub/media/new/deep/.htaccess",
        &[("file.class", "settings".into())],
    );
    write(root, "var/log/dump.csv", b"a 4111111111111111");
    check(
        &running,
        "var/log/dump.csv",
        &[("file.pan_count", 1.into()), ("change", "created".into())],
    );
    std::fs::remove_file(root.join("pub/media/a.jpg")).expect("removed");
    check(&running, "pub/media/a.jpg", &[("change", "removed".into())]);
    // One change of code waits a little for others, and is told.
    write(root, "vendor/a/B.php", b"<?php class B { }");
    check(
        &running,
        "vendor/a/B.php",
        &[
            ("change", "modified".into()),
            ("file.class", "vendor".into()),
        ],
    );
    std::fs::rename(root.join("vendor/a/B.php"), root.join("vendor/a/C.php")).expect("renamed");
    let records = take(&running, 5000, &|_| false);
    let told: BTreeSet<_> = records
        .iter()
        .map(|record| (text(record, "file.path"), text(record, "change")))
        .collect();
    assert_eq!(
        told,
        BTreeSet::from([("vendor/a/B.php", "removed"), ("vendor/a/C.php", "created")])
    );
    end(&running);
}

#[test]
fn no_hash_beside_a_card_number() {
    let (root, data) = shop();
    write(root.path(), "pub/media/list.txt", b"4111111111111111");
    let running = start(root.path(), data.path(), "");
    let seen = begun(&running);
    let record = seen
        .iter()
        .find(|record| text(record, "file.path") == "pub/media/list.txt")
        .expect("seen");
    assert!(!record.contains_key("file.sha256") && record.contains_key("file.pan_count"));
    end(&running);
}

#[test]
fn a_release_is_one_record_and_a_shell_in_it_is_told_alone() {
    let (root, data) = shop();
    let running = start(root.path(), data.path(), "release_files = 100");
    begun(&running);
    for number in 0..2000 {
        write(
            root.path(),
            &format!("vendor/new/{}/{number}.php", number % 40),
            b"<?php class X {}",
        );
    }
    write(
        root.path(),
        "vendor/new/7/door.php",
        b"<?php eval($_POST['x']);",
    );
    write(root.path(), "pub/static/x.php", b"<?php echo 1;");
    write(root.path(), "pub/index.php", b"<?php newer();");
    let records = take(&running, 8000, &|record| {
        text(record, "change") == "release"
    });
    let release = records.last().expect("told");
    assert_eq!(release.get("change_count"), Some(&2001.into()));
    // What decides what the shop runs is named first.
    let named = release.get("row.values").and_then(Value::as_array);
    assert_eq!(
        named.and_then(|named| named.first()),
        Some(&"pub/index.php".into())
    );
    let alone: BTreeSet<_> = records
        .iter()
        .filter(|record| record.contains_key("file.path"))
        .map(|record| text(record, "file.path"))
        .collect();
    assert_eq!(
        alone,
        BTreeSet::from(["pub/static/x.php", "vendor/new/7/door.php"])
    );
    end(&running);
}

#[test]
fn a_thousand_uploads_are_a_thousand_records() {
    let (root, data) = shop();
    let running = start(root.path(), data.path(), "");
    begun(&running);
    for number in 0..1000 {
        write(
            root.path(),
            &format!("pub/media/up/{number}.jpg"),
            b"\xff\xd8\xff x",
        );
    }
    let records = take(&running, 3000, &|_| false);
    let paths: BTreeSet<_> = records
        .iter()
        .map(|record| text(record, "file.path").to_owned())
        .collect();
    assert_eq!((records.len(), paths.len()), (1000, 1000));
    end(&running);
}

#[test]
fn a_start_tells_what_changed_meanwhile_and_a_poisoned_baseline_is_seen() {
    let (root, data) = shop();
    let running = start(root.path(), data.path(), "");
    begun(&running);
    end(&running);
    write(root.path(), "pub/media/new.jpg", b"\xff\xd8\xff new");
    // As long as before, and with its old time: only the change time tells.
    let path = root.path().join("vendor/a/B.php");
    let before = std::fs::metadata(&path)
        .expect("there")
        .modified()
        .expect("a time");
    write(root.path(), "vendor/a/B.php", b"<?php class Z {}");
    std::fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_modified(before))
        .expect("set");
    let running = start(root.path(), data.path(), "");
    let told: BTreeMap<_, _> = take(&running, 5000, &|_| false)
        .iter()
        .map(|record| {
            (
                text(record, "file.path").to_owned(),
                text(record, "change").to_owned(),
            )
        })
        .collect();
    assert_eq!(
        told,
        BTreeMap::from([
            ("pub/media/new.jpg".to_owned(), "created".to_owned()),
            ("vendor/a/B.php".to_owned(), "modified".to_owned())
        ])
    );
    end(&running);
    let kept = std::fs::read_dir(data.path())
        .expect("listed")
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("files-"))
        .expect("kept")
        .path();
    let bent = std::fs::read_to_string(&kept)
        .expect("text")
        .replace("\"size\":1", "\"size\":2");
    std::fs::write(&kept, bent).expect("written");
    let running = start(root.path(), data.path(), "");
    let records = begun(&running);
    assert!(
        records
            .iter()
            .any(|record| text(record, "change") == "baseline_changed")
    );
    end(&running);
}

#[test]
fn links_and_hostile_names_end_and_are_told_apart() {
    use std::os::unix::ffi::OsStrExt as _;
    let (root, data) = shop();
    std::os::unix::fs::symlink(root.path(), root.path().join("pub/loop")).expect("linked");
    std::os::unix::fs::symlink("/etc/passwd", root.path().join("pub/media/p.php")).expect("linked");
    let running = start(root.path(), data.path(), "");
    begun(&running);
    let hostile = std::ffi::OsStr::from_bytes(b"pub/media/a\n\xff%\x1b.php");
    std::fs::write(root.path().join(hostile), b"<?php echo 1;").expect("written");
    let records = take(&running, 3000, &|record| {
        text(record, "file.path").starts_with("pub/media/a")
    });
    assert_eq!(
        records.last().map(|record| text(record, "file.path")),
        Some("pub/media/a%0A%FF%25%1B.php")
    );
    end(&running);
}

#[test]
fn rights_given_after_writing_make_no_less_of_it() {
    let (root, data) = shop();
    let running = start(root.path(), data.path(), "");
    begun(&running);
    write(root.path(), "vendor/a/New.php", b"<?php class New {}");
    assert!(take(&running, 500, &|_| false).is_empty());
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(root.path().join("vendor/a/New.php"), rights).expect("set");
    let records = take(&running, 6000, &|_| true);
    let told: Vec<_> = records
        .iter()
        .map(|record| (text(record, "change"), text(record, "file.mode")))
        .collect();
    assert_eq!(told, [("created", "0600")]);
    end(&running);
}

#[test]
fn what_waits_at_a_stop_is_told() {
    let (root, data) = shop();
    let running = start(root.path(), data.path(), "");
    begun(&running);
    std::fs::remove_file(root.path().join("vendor/a/B.php")).expect("removed");
    assert!(take(&running, 500, &|_| false).is_empty());
    running.stop();
    let records = take(&running, 1000, &|_| false);
    assert_eq!(
        records.last().map(|record| text(record, "file.path")),
        Some("vendor/a/B.php")
    );
    end(&running);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a pipe is made by mkfifo")]
fn a_pipe_is_not_waited_for_and_a_log_is_only_looked_at() {
    let (root, data) = shop();
    write(root.path(), "var/log/system.log", &[b'a'; 70_000]);
    let reading = given(data.path());
    let reading = Reading {
        root: root.path().to_owned(),
        signatures: reading.signatures,
        cards: reading.cards,
    };
    let mut reader = reading.reader();
    let pipe = root.path().join("pub/media/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    assert!(reader.read(&pipe).is_none());
    let log = root.path().join("var/log/system.log");
    write(
        root.path(),
        "var/log/tail.log",
        &[&[b'a'; 70_000][..], b"4111111111111111"].concat(),
    );
    let tail = root.path().join("var/log/tail.log");
    assert!(reader.head(&log).expect("read").state.hash.is_empty());
    assert_eq!(reader.head(&tail).expect("read").content.cards, 0);
    assert_eq!(reader.read(&tail).expect("read").content.cards, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn comparing_finds_exactly_what_changed(changes in prop::collection::btree_map(0_u8..30, 0_u8..3, 0..12)) {
        let (root, data) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let path = |number: u8| format!("pub/media/{}/{number}.txt", number % 3);
        for number in 0..20 {
            write(root.path(), &path(number), b"before");
        }
        let running = start(root.path(), data.path(), "");
        begun(&running);
        end(&running);
        let mut expected = BTreeMap::new();
        for (number, change) in changes {
            let (name, there) = (path(number), number < 20);
            match change {
                0 if there => {
                    std::fs::remove_file(root.path().join(&name)).expect("removed");
                    expected.insert(name, "removed".to_owned());
                }
                0 => {}
                1 => {
                    write(root.path(), &name, b"after!");
                    expected.insert(name, if there { "modified" } else { "created" }.to_owned());
                }
                _ if there => {
                    // Written anew with the same bytes: nothing to tell.
                    write(root.path(), &name, b"before");
                }
                _ => {}
            }
        }
        let running = start(root.path(), data.path(), "");
        let told: BTreeMap<_, _> = take(&running, 400, &|_| false)
            .iter()
            .map(|record| (text(record, "file.path").to_owned(), text(record, "change").to_owned()))
            .collect();
        end(&running);
        prop_assert_eq!(told, expected);
    }
}

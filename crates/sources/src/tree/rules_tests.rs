//! What content rules make of a tree's files, through the source as it runs.

use std::path::Path;

use serde_json::Value;

use super::scan::{BLOCK_BYTES, Reading};
use super::tests::{Record, begun, end, given, shop, start, take, text, write};

/// A merchant's file of rules, of which one can't be used.
const MERCHANTS: &str =
    "rule campaign { strings: $a = \"/collect.gif?\" condition: $a and extension == \".txt\" }
rule wrong {
  condition: $b
}";

fn rules() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "march.yar", MERCHANTS.as_bytes());
    write(folder.path(), "notes.txt", b"no rules");
    let settings = format!("yara = {:?}", folder.path().display().to_string());
    (folder, settings)
}

fn list(record: &Record, field: &str) -> Vec<String> {
    serde_json::from_value(record.get(field).cloned().unwrap_or(Value::Null)).unwrap_or_default()
}

#[test]
fn rules_of_ours_and_of_the_merchant_are_told_apart_and_a_wrong_one_is_named() {
    let ((root, data), (_folder, settings)) = (shop(), rules());
    let running = start(root.path(), data.path(), &settings);
    let records = begun(&running);
    let refused = records
        .iter()
        .find(|record| text(record, "change") == "rules_refused")
        .expect("told");
    assert_eq!(refused.get("change_count"), Some(&1.into()));
    assert!(
        list(refused, "row.values")
            .iter()
            .all(|one| one.starts_with("march.yar:3: ")),
        "{refused:?}"
    );
    let words = text(records.last().expect("a baseline"), "log.context");
    assert!(
        words.contains(
            "1 signatures, 1 content rules, 1 of the merchant's (1 can't be used: march.yar:3: "
        ),
        "{words}"
    );
    write(
        root.path(),
        "pub/media/a.txt",
        b"chr(1).chr(2).chr(3).chr(4).'/collect.gif?'",
    );
    let records = take(&running, 6000, &|record| {
        text(record, "file.path") == "pub/media/a.txt"
    });
    let record = records.last().expect("told");
    assert_eq!(
        list(record, "signatures"),
        ["yara:spelled", "merchant:campaign"]
    );
    end(&running);
}

#[test]
fn what_was_there_before_a_rule_is_told_once() {
    let ((root, data), (_folder, settings)) = (shop(), rules());
    write(root.path(), "pub/media/old.txt", b"/collect.gif?");
    let running = start(root.path(), data.path(), "");
    let before = begun(&running);
    assert!(
        before
            .iter()
            .all(|record| text(record, "file.path") != "pub/media/old.txt")
    );
    end(&running);
    for is_first in [true, false] {
        let running = start(root.path(), data.path(), &settings);
        let records = take(&running, 1500, &|_| false);
        let seen: Vec<_> = records
            .iter()
            .filter(|record| text(record, "file.path") == "pub/media/old.txt")
            .collect();
        assert_eq!(seen.len(), usize::from(is_first), "{records:?}");
        for record in seen {
            assert_eq!(
                (text(record, "change"), list(record, "signatures")),
                ("seen", vec!["merchant:campaign".to_owned()])
            );
        }
        let compared = records
            .iter()
            .any(|record| text(record, "log.context").contains("rules are other"));
        assert_eq!(compared, is_first);
        end(&running);
    }
}

#[test]
fn a_folder_that_is_not_there_is_refused_at_start() {
    let (root, data) = shop();
    let table = toml::from_str(&format!(
        "root = {:?}\nyara = '/nowhere'",
        root.path().display().to_string()
    ))
    .expect("TOML");
    let opened = crate::source::Kind::open(&super::Files, table, &given(data.path()));
    assert!(
        opened
            .err()
            .expect("refused")
            .to_string()
            .contains("/nowhere")
    );
}

#[test]
fn a_pattern_across_blocks_is_found_and_whole_files_keep_their_size() {
    let (root, data) = shop();
    let given = given(data.path());
    let rules = Path::new(data.path());
    write(
        rules,
        "a.yar",
        b"rule small { condition: filesize < 100 } rule first { condition: uint16(0) == 0x6161 }",
    );
    let reading = Reading {
        root: root.path().to_owned(),
        signatures: given.signatures.with(rules).expect("reads").into(),
        cards: given.cards,
    };
    let mut reader = reading.reader();
    let mut found = |bytes: &[u8]| {
        write(root.path(), "pub/media/x.txt", bytes);
        let read = reader
            .read(&root.path().join("pub/media/x.txt"))
            .expect("reads");
        (
            read.content.signatures,
            read.hash.expect("a hash").to_string(),
        )
    };
    let shell = b"chr(1).chr(2).chr(3).chr(4).";
    assert_eq!(found(shell).0, ["yara:spelled", "merchant:small"]);
    assert_eq!(found(b"aa").0, ["merchant:first", "merchant:small"]);
    for blocks in [1, 2] {
        let mut bytes = vec![b'a'; BLOCK_BYTES * blocks - 10];
        bytes.extend_from_slice(shell);
        let (signatures, hash) = found(&bytes);
        assert_eq!(signatures, ["yara:spelled"]);
        let expected: String =
            sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(&bytes))
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
        assert_eq!(hash, expected);
    }
    // As large as a block, to the byte.
    assert_eq!(found(&vec![b'b'; BLOCK_BYTES]).0, [""; 0]);
}

//! Files that take long to read, and what comes meanwhile.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use super::tests::{begun, end, shop, start, take, text, write};

/// A file with a hole before its end, which says `content`.
fn large(root: &Path, path: &str, mebibytes: u64, content: &[u8]) {
    let mut file = File::create(root.join(path)).expect("made");
    file.seek(SeekFrom::Start(mebibytes << 20)).expect("sought");
    file.write_all(content).expect("written");
}

#[test]
fn a_large_file_holds_up_nothing_and_a_stop_neither() {
    let (root, data) = shop();
    let running = start(root.path(), data.path(), "");
    begun(&running);
    large(
        root.path(),
        "pub/media/large.bin",
        100,
        b"<?php eval($_POST[1]); 4111111111111111 ",
    );
    std::thread::sleep(Duration::from_millis(100));
    write(
        root.path(),
        "pub/media/shell.php",
        b"<?php eval($_POST[1]);",
    );
    let records = take(&running, 60_000, &|record| {
        text(record, "file.path") == "pub/media/large.bin"
    });
    let told: Vec<_> = records
        .iter()
        .map(|record| text(record, "file.path"))
        .collect();
    assert_eq!(told, ["pub/media/shell.php", "pub/media/large.bin"]);
    let last = records.last().expect("two");
    assert_eq!(
        last.get("file.pan_count")
            .and_then(serde_json::Value::as_i64),
        Some(1),
        "{last:?}"
    );

    // What was being read when it was told to stop is told by the next start.
    large(
        root.path(),
        "pub/media/other.bin",
        4000,
        b"<?php eval($_POST[1]);",
    );
    std::thread::sleep(Duration::from_millis(200));
    end(&running);
    let other = root.path().join("pub/media/other.bin");
    File::options()
        .write(true)
        .open(&other)
        .and_then(|file| file.set_len(1 << 20))
        .expect("cut");
    let running = start(root.path(), data.path(), "");
    let records = take(&running, 10_000, &|record| {
        text(record, "file.path") == "pub/media/other.bin"
    });
    let last = records.last().expect("told");
    assert_eq!(
        (text(last, "file.path"), text(last, "change")),
        ("pub/media/other.bin", "created")
    );
    end(&running);
}

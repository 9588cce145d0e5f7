//! Who wrote, through the source as it runs, by the real fanotify where it may be used.

use std::collections::BTreeMap;
use std::path::Path;

use super::Writers;
use super::tests::{begun, end, shop, start, take, text};

#[test]
#[expect(clippy::disallowed_methods, reason = "somebody else has to write")]
#[expect(clippy::print_stderr, reason = "says that it was skipped")]
fn who_wrote_is_named_also_of_what_is_moved_into_place() {
    let (root, data) = shop();
    let words = Writers::new(root.path()).words();
    if words.starts_with("who wrote is not known") {
        eprintln!("skipped: {words}");
        return;
    }
    let running = start(root.path(), data.path(), "");
    begun(&running);
    let outside = tempfile::NamedTempFile::new_in(data.path()).expect("a file");
    let script = "cd \"$1\"; echo '<?php a();' > pub/media/one.php; \
        echo '<?php b();' > pub/media/.two; mv pub/media/.two pub/media/two.php; \
        echo '<?php c();' > \"$2\"; mv \"$2\" pub/media/three.php; \
        echo '<?php d();' > vendor/a/four.php; chmod 600 vendor/a/four.php; read -r _";
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", script, "4111 1111 1111 1111"])
        .args([root.path(), outside.path()])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let shell = std::fs::canonicalize("/bin/sh").expect("there");
    let mut told = BTreeMap::new();
    // Code waits for a release it may be part of, and is told with who wrote it.
    for record in take(&running, 8000, &|record| {
        text(record, "file.path") == "vendor/a/four.php"
    }) {
        told.insert(text(&record, "file.path").to_owned(), record);
    }
    for name in [
        "pub/media/one.php",
        "pub/media/two.php",
        "pub/media/three.php",
        "vendor/a/four.php",
    ] {
        let record = told
            .get(name)
            .unwrap_or_else(|| panic!("{name} is told: {told:?}"));
        assert_eq!(text(record, "change"), "created");
        assert_eq!(
            record.get("process.pid"),
            Some(&child.id().into()),
            "{record:?}"
        );
        assert_eq!(Path::new(text(record, "process.executable")), shell);
        let command = text(record, "process.command_line");
        assert!(
            command.starts_with("/bin/sh -c cd") && !command.contains("1111"),
            "{command}"
        );
        assert_eq!(text(record, "user.name"), text(record, "file.owner"));
    }
    // Who took a file away, or changed its rights, isn't known by that.
    std::fs::set_permissions(
        root.path().join("pub/media/one.php"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .expect("set");
    std::fs::remove_file(root.path().join("pub/media/two.php")).expect("removed");
    let after = take(&running, 1000, &|_| false);
    let changes: Vec<_> = after.iter().map(|record| text(record, "change")).collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.contains(&"attributes") && changes.contains(&"removed"));
    assert!(
        after
            .iter()
            .all(|record| !record.contains_key("process.pid"))
    );
    child.kill().expect("ended");
    child.wait().expect("buried");
    end(&running);
}

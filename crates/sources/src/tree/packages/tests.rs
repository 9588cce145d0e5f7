//! What a file is to its package: by itself, and through the source as it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::members::tests::zip;
use super::{Found, Hash, Known, Packages, Places, hexadecimal};
use crate::tree::record::NAMED_OF_PACKAGE_MAX;
use crate::tree::tests::{Record, begun, end, start, take, text, write};

/// A package in `composer.lock`.
fn locked(name: &str, url: &str, shasum: &str) -> String {
    format!(
        r#"{{"name":"{name}","version":"1.2.0","dist":{{"type":"zip","url":"{url}","reference":"abc","shasum":"{shasum}"}}}}"#
    )
}

fn lock(root: &Path, packages: &[String]) {
    let text = format!("{{\"packages\":[{}]}}", packages.join(","));
    write(root, "composer.lock", text.as_bytes());
}

fn sha1(bytes: &[u8]) -> String {
    hexadecimal(&Sha1::digest(bytes))
}

fn content(bytes: &[u8]) -> Found {
    Found::Content(Hash::of(Sha256::new_with_prefix(bytes)))
}

struct Shop {
    root: tempfile::TempDir,
    cache: tempfile::TempDir,
    vouched: tempfile::TempDir,
    data: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        Self {
            root: folder(),
            cache: folder(),
            vouched: folder(),
            data: folder(),
        }
    }

    /// Puts an archive into composer's cache under composer's name.
    fn fetch(&self, name: &str, url: &str, archive: &[u8]) {
        let path = format!("files/{name}/{}.zip", sha1(url.as_bytes()));
        write(self.cache.path(), &path, archive);
    }

    fn unread(&self) -> Packages {
        let places = Places {
            root: self.root.path().to_owned(),
            vouched: Some(self.vouched.path().to_owned()),
            cache: Some(self.cache.path().to_owned()),
            kept: self.data.path().join("packages.baseline"),
        };
        Packages::new(places, [7; 32])
    }

    fn packages(&self) -> Packages {
        let mut packages = self.unread();
        packages.load().expect("reads");
        packages.refresh().expect("looks");
        packages
    }

    fn settings(&self) -> String {
        format!(
            "composer_cache = {:?}\npackages = {:?}\n",
            self.cache.path().display().to_string(),
            self.vouched.path().display().to_string()
        )
    }
}

/// A package of three files.
fn pay() -> Vec<u8> {
    zip(&[
        ("pay-1.2.0/", b""),
        ("pay-1.2.0/Model/Pay.php", b"<?php class Pay {}"),
        ("pay-1.2.0/README.md", b"words"),
        ("pay-1.2.0/card.js", b"// 4111111111111111"),
    ])
}

#[test]
fn a_file_is_judged_by_the_archive_that_composer_lock_names() {
    let shop = Shop::new();
    let archive = pay();
    shop.fetch("acme/pay", "u", &archive);
    lock(
        shop.root.path(),
        &[
            locked("Acme/Pay", "u", &sha1(&archive)),
            locked("acme/hub", "v", ""),
            locked("acme/lost", "w", &"0".repeat(40)),
            r#"{"name":"acme/meta","type":"metapackage"}"#.to_owned(),
        ],
    );
    let packages = shop.packages();
    let check = |path: &str, found: Found, expected: Known| {
        assert_eq!(packages.judge(path, found).known, expected, "{path}");
    };
    let (same, other) = (content(b"<?php class Pay {}"), content(b"<?php door();"));
    let file = "vendor/Acme/Pay/Model/Pay.php";
    check(file, same, Known::Package);
    check(file, other, Known::ChangedFromPackage);
    check(file, Found::Unread, Known::Unknown);
    check(file, Found::Gone, Known::ChangedFromPackage);
    check("vendor/Acme/Pay/Model/Door.php", same, Known::NotInPackage);
    check(
        "vendor/Acme/Pay/Model/Door.php",
        Found::Gone,
        Known::Package,
    );
    check("vendor/acme/hub/A.php", same, Known::Unknown);
    check("vendor/acme/lost/A.php", same, Known::Unknown);
    check("vendor/acme/meta/A.php", same, Known::NotInPackage);
    // Of no package.
    for path in [
        "vendor/none/here/A.php",
        "vendor/door.php",
        "vendor/acme/door.php",
        "vendor/composer/door.php",
        "vendor/bin/deep/door.php",
    ] {
        check(path, same, Known::NotInPackage);
        check(path, Found::Gone, Known::Package);
    }
    // Composer's own.
    for path in [
        "vendor/autoload.php",
        "vendor/composer/autoload_real.php",
        "vendor/bin/tool",
    ] {
        check(path, same, Known::Unknown);
    }
    check("app/code/A/B/C.php", same, Known::No);
    let judged = packages.judge(file, same);
    assert_eq!(
        (judged.package.as_str(), judged.version.as_str()),
        ("Acme/Pay", "1.2.0")
    );
    assert_eq!(
        packages.words(),
        "packages known: 1 by composer.lock, 0 vouched for; unknown: 2 (1 without a hash, 1 whose archive isn't found, \
         0 whose archive can't be used)"
    );
}

#[test]
fn an_archive_whose_hash_is_another_is_not_trusted_and_its_name_does_not_matter() {
    let shop = Shop::new();
    let (archive, forged) = (pay(), zip(&[("x/Model/Pay.php", b"<?php door();")]));
    shop.fetch("acme/pay", "u", &forged);
    lock(
        shop.root.path(),
        &[locked("acme/pay", "u", &sha1(&archive))],
    );
    let judge = || {
        let found = content(b"<?php door();");
        shop.packages()
            .judge("vendor/acme/pay/Model/Pay.php", found)
            .known
    };
    assert_eq!(judge(), Known::Unknown);
    write(shop.cache.path(), "files/acme/pay/mirror.zip", &archive);
    assert_eq!(judge(), Known::ChangedFromPackage);
}

#[test]
fn what_the_merchant_vouches_for_counts_before_what_lies_in_the_shop() {
    for name in [sha1(b"u"), "abc".to_owned(), "1.2.0".to_owned()] {
        let shop = Shop::new();
        let forged = zip(&[("x/Model/Pay.php", b"<?php door();")]);
        shop.fetch("acme/pay", "u", &forged);
        lock(shop.root.path(), &[locked("acme/pay", "u", &sha1(&forged))]);
        let judge = || {
            let found = content(b"<?php door();");
            shop.packages()
                .judge("vendor/acme/pay/Model/Pay.php", found)
                .known
        };
        // Who may change composer.lock and the cache may feign a package; the folder isn't his.
        assert_eq!(judge(), Known::Package);
        let path = format!("acme/pay/{name}.zip");
        write(shop.vouched.path(), &path, &pay());
        assert_eq!(judge(), Known::ChangedFromPackage, "{name}");
        // Another archive under the same name is read again.
        write(shop.vouched.path(), &path, &forged);
        assert_eq!(judge(), Known::Package, "{name}");
        write(shop.vouched.path(), &path, b"no archive");
        assert_eq!(judge(), Known::Unknown, "{name}");
    }
    let shop = Shop::new();
    lock(shop.root.path(), &[locked("acme/pay", "u", "")]);
    lock(shop.vouched.path(), &[]);
    // The vouched composer.lock has no such package.
    let judged = shop.packages().judge("vendor/acme/pay/A.php", content(b""));
    assert_eq!(judged.known, Known::NotInPackage);
}

#[test]
fn an_archive_is_read_once_and_what_is_kept_of_it_is_sealed() {
    let shop = Shop::new();
    let archive = pay();
    shop.fetch("acme/pay", "u", &archive);
    lock(
        shop.root.path(),
        &[locked("acme/pay", "u", &sha1(&archive))],
    );
    let found = content(b"<?php class Pay {}");
    let judge = |packages: &Packages| packages.judge("vendor/acme/pay/Model/Pay.php", found).known;
    assert_eq!(judge(&shop.packages()), Known::Package);
    std::fs::remove_dir_all(shop.cache.path().join("files")).expect("removed");
    assert_eq!(judge(&shop.packages()), Known::Package);
    let kept = shop.data.path().join("packages.baseline");
    let bent = std::fs::read_to_string(&kept)
        .expect("kept")
        .replace("Pay.php", "Bay.php");
    std::fs::write(&kept, bent).expect("written");
    assert!(shop.unread().load().expect("reads"));
    assert_eq!(judge(&shop.packages()), Known::Unknown);
    // It is told once: what was bent is written over.
    assert!(!shop.unread().load().expect("reads"));
    // What is installed no longer is forgotten.
    shop.fetch("acme/pay", "u", &archive);
    assert_eq!(judge(&shop.packages()), Known::Package);
    lock(shop.root.path(), &[]);
    shop.packages();
    let text = std::fs::read_to_string(&kept).expect("kept");
    assert!(!text.contains("Pay.php"));
}

#[test]
fn without_a_composer_lock_nothing_is_known() {
    let shop = Shop::new();
    for text in [None, Some("{")] {
        if let Some(text) = text {
            write(shop.root.path(), "composer.lock", text.as_bytes());
        }
        let packages = shop.packages();
        let judged = packages.judge("vendor/a/b/C.php", content(b""));
        assert_eq!(judged.known, Known::Unknown);
        assert!(packages.words().contains("packages known: none, "));
        assert!(!shop.data.path().join("packages.baseline").exists());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a pipe is made by mkfifo")]
fn a_pipe_in_the_cache_is_not_waited_for() {
    let shop = Shop::new();
    let folder = shop.cache.path().join("files/acme/pay");
    std::fs::create_dir_all(&folder).expect("made");
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("a.zip"))
        .status();
    assert!(made.expect("mkfifo runs").success());
    lock(
        shop.root.path(),
        &[locked("acme/pay", "u", &"1".repeat(40))],
    );
    assert!(
        shop.packages()
            .words()
            .contains("1 whose archive isn't found")
    );
}

/// Paths, what became of them and what they are to their packages.
fn told(records: &[Record]) -> BTreeSet<(&str, &str, &str)> {
    records
        .iter()
        .filter(|record| record.contains_key("file.path"))
        .map(|record| {
            (
                text(record, "file.path"),
                text(record, "change"),
                text(record, "file.known"),
            )
        })
        .collect()
}

/// A shop with one package installed as it was distributed.
fn installed() -> Shop {
    let shop = Shop::new();
    let archive = pay();
    shop.fetch("acme/pay", "u", &archive);
    lock(
        shop.root.path(),
        &[
            locked("acme/pay", "u", &sha1(&archive)),
            locked("acme/hub", "v", ""),
        ],
    );
    for (path, bytes) in [
        ("vendor/acme/pay/Model/Pay.php", &b"<?php class Pay {}"[..]),
        ("vendor/acme/pay/README.md", b"words"),
        ("vendor/acme/pay/card.js", b"// 4111111111111111"),
        ("vendor/acme/hub/Hub.php", b"<?php class Hub {}"),
        ("vendor/autoload.php", b"<?php load();"),
    ] {
        write(shop.root.path(), path, bytes);
    }
    shop
}

#[test]
fn the_first_look_tells_code_that_is_not_as_it_was_distributed_and_only_once() {
    let shop = installed();
    let root = shop.root.path();
    // Beside a number like a card's no hash is kept, and it is seen all the same.
    write(
        root,
        "vendor/acme/pay/card.js",
        b"// 4111111111111111 steal()",
    );
    write(root, "vendor/acme/pay/README.md", b"other words");
    write(root, "vendor/acme/pay/Model/Door.php", b"<?php echo 1;");
    write(root, "vendor/none/here/Door.php", b"<?php echo 1;");
    let running = start(root, shop.data.path(), &shop.settings());
    let records = begun(&running);
    assert_eq!(
        told(&records),
        BTreeSet::from([
            ("vendor/acme/pay/card.js", "seen", "changed_from_package"),
            ("vendor/acme/pay/Model/Door.php", "seen", "not_in_package"),
            ("vendor/none/here/Door.php", "seen", "not_in_package"),
        ])
    );
    let card = records
        .iter()
        .find(|record| text(record, "file.path").ends_with("card.js"))
        .expect("told");
    assert!(!card.contains_key("file.sha256"));
    assert_eq!(text(card, "package.name"), "acme/pay");
    let last = records.last().expect("the baseline");
    assert!(
        text(last, "log.context").contains("unknown: 1 (1 without a hash"),
        "{last:?}"
    );
    end(&running);
    let running = start(root, shop.data.path(), &shop.settings());
    assert_eq!(told(&take(&running, 1500, &|_| false)), BTreeSet::new());
    end(&running);
}

#[test]
fn a_baseline_that_was_poisoned_before_its_package_was_known_is_told_then() {
    let shop = installed();
    write(
        shop.root.path(),
        "vendor/acme/hub/Hub.php",
        b"<?php door();",
    );
    let running = start(shop.root.path(), shop.data.path(), &shop.settings());
    assert_eq!(told(&begun(&running)), BTreeSet::new());
    end(&running);
    let archive = zip(&[("hub/Hub.php", b"<?php class Hub {}"), ("hub/x", b"")]);
    write(shop.vouched.path(), "acme/hub/1.2.0.zip", &archive);
    let running = start(shop.root.path(), shop.data.path(), &shop.settings());
    let records = take(&running, 1500, &|_| false);
    assert_eq!(
        told(&records),
        BTreeSet::from([("vendor/acme/hub/Hub.php", "seen", "changed_from_package")])
    );
    end(&running);
}

#[test]
fn an_update_that_equals_its_packages_says_so() {
    let shop = installed();
    let running = start(shop.root.path(), shop.data.path(), &shop.settings());
    begun(&running);
    let next = zip(&[
        ("pay/Model/Pay.php", b"<?php class Pay { public $new; }"),
        ("pay/Model/More.php", b"<?php class More {}"),
        ("pay/README.md", b"words"),
    ]);
    let root = shop.root.path();
    // Files before what says what they should be: they are judged when all has come.
    write(
        root,
        "vendor/acme/pay/Model/Pay.php",
        b"<?php class Pay { public $new; }",
    );
    write(
        root,
        "vendor/acme/pay/Model/More.php",
        b"<?php class More {}",
    );
    write(
        root,
        "vendor/acme/pay/Model/Door.php",
        b"<?php class Door {}",
    );
    std::fs::remove_file(root.join("vendor/acme/pay/card.js")).expect("removed");
    std::fs::remove_file(root.join("vendor/acme/pay/README.md")).expect("removed");
    shop.fetch("acme/pay", "u2", &next);
    lock(
        root,
        &[
            locked("acme/pay", "u2", &sha1(&next)),
            locked("acme/hub", "v", ""),
        ],
    );
    let records = take(&running, 6000, &|_| false);
    assert_eq!(
        told(&records),
        BTreeSet::from([
            ("composer.lock", "modified", ""),
            (
                "vendor/acme/pay/Model/Door.php",
                "created",
                "not_in_package"
            ),
            ("vendor/acme/pay/Model/More.php", "created", "package"),
            ("vendor/acme/pay/Model/Pay.php", "modified", "package"),
            (
                "vendor/acme/pay/README.md",
                "removed",
                "changed_from_package"
            ),
            ("vendor/acme/pay/card.js", "removed", "package"),
        ])
    );
    end(&running);
}

#[test]
fn a_release_hides_no_foreign_code_and_a_crowd_of_it_is_counted() {
    let shop = installed();
    let settings = format!("release_files = 5\n{}", shop.settings());
    let running = start(shop.root.path(), shop.data.path(), &settings);
    begun(&running);
    let root = shop.root.path();
    let many = NAMED_OF_PACKAGE_MAX + 7;
    for number in 0..many {
        let path = format!("vendor/acme/pay/Model/{number}.php");
        write(root, &path, b"<?php class X {}");
    }
    write(
        root,
        "composer.json",
        br#"{"extra":{"patches":{"acme/pay":{"fix":"fix.patch"}}}}"#,
    );
    write(root, "vendor/acme/hub/New.php", b"<?php class New {}");
    let records = take(&running, 8000, &|record| {
        text(record, "change") == "release"
    });
    let release = records.last().expect("told");
    assert_eq!(
        text(release, "log.context"),
        format!("{many} not_in_package, 1 unknown")
    );
    let by: BTreeMap<_, usize> = records.iter().fold(BTreeMap::new(), |mut by, record| {
        *by.entry((text(record, "change"), text(record, "file.known")))
            .or_default() += 1;
        by
    });
    assert_eq!(
        by.get(&("created", "not_in_package")),
        Some(&NAMED_OF_PACKAGE_MAX)
    );
    let rest = records
        .iter()
        .find(|record| text(record, "change") == "seen")
        .expect("counted");
    assert_eq!(rest.get("change_count"), Some(&7.into()));
    assert_eq!(
        rest.get("package.patches"),
        Some(&vec!["composer.json"].into())
    );
    end(&running);
}

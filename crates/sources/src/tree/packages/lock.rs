//! What composer wrote down: the packages of `composer.lock`, and which patches are declared.
//!
//! Follows composer 2 (`Locker`, `FileDownloader`), cweagans/composer-patches and vaimo/composer-patches (`extra.patches`,
//! `extra.patches-file`), and Adobe's `m2-hotfixes`. Nothing is run, and nothing is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::super::scan::State;

/// Largest `composer.lock`, in bytes.
const LOCK_BYTES_MAX: u64 = 64 << 20;
/// Most packages of one.
const PACKAGES_MAX: usize = 5_000;
/// Largest `composer.json` or file of patches, in bytes.
const JSON_BYTES_MAX: u64 = 4 << 20;
/// Most files of patches that `composer.json` names.
const PATCH_LISTS_MAX: usize = 20;
/// Largest patch of `m2-hotfixes`, in bytes.
const PATCH_BYTES_MAX: u64 = 1 << 20;
/// Most patches there.
const PATCHES_MAX: usize = 500;

/// A package as it is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Locked {
    /// Its version, as written.
    pub(super) version: String,
    /// Whether it brings no files of its own.
    pub(super) is_empty: bool,
    /// Where its archive comes from.
    pub(super) url: String,
    /// The commit it was made of, where there is one.
    pub(super) reference: String,
    /// SHA-1 of its archive, hexadecimal; empty where the host gives none.
    pub(super) shasum: String,
}

#[derive(Deserialize)]
struct File {
    packages: Vec<Written>,
    #[serde(default, rename = "packages-dev")]
    packages_dev: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    name: String,
    version: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    dist: Option<Dist>,
}

#[derive(Default, Deserialize)]
struct Dist {
    #[serde(rename = "type")]
    kind: Option<String>,
    url: Option<String>,
    reference: Option<String>,
    shasum: Option<String>,
}

/// Reads a file of which the whole is wanted, with what it is on disk. A pipe isn't waited for.
///
/// # Errors
///
/// What the system said, or that it is no file, or too large.
pub(super) fn whole(path: &Path, bytes_max: u64) -> Result<(State, Vec<u8>), std::io::Error> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("no file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!(
            "it is larger than {bytes_max} bytes"
        )));
    }
    Ok((State::of(&metadata), bytes))
}

/// Packages by their folder below `vendor`, as composer names it.
///
/// # Errors
///
/// Why there are none, in words.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Locked>, String> {
    let (_, bytes) = whole(path, LOCK_BYTES_MAX).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no composer.lock".to_owned(),
        _ => format!("composer.lock can't be read: {error}"),
    })?;
    let file: File = serde_json::from_slice(&bytes)
        .map_err(|error| format!("composer.lock can't be read: {error}"))?;
    let written: Vec<_> = file.packages.into_iter().chain(file.packages_dev).collect();
    if written.len() > PACKAGES_MAX {
        return Err(format!(
            "composer.lock has more than {PACKAGES_MAX} packages"
        ));
    }
    let mut packages = BTreeMap::new();
    for one in written {
        let dist = one.dist.unwrap_or_default();
        let is_zip = dist.kind.as_deref() == Some("zip");
        let of = |text: Option<String>| text.filter(|_| is_zip).unwrap_or_default();
        if is_name(&one.name) {
            let locked = Locked {
                version: one.version.unwrap_or_default(),
                is_empty: one.kind.as_deref() == Some("metapackage"),
                url: of(dist.url),
                reference: of(dist.reference),
                shasum: of(dist.shasum).to_ascii_lowercase(),
            };
            packages.insert(one.name, locked);
        }
    }
    Ok(packages)
}

/// Whether a text is a package's name, `vendor/package`, and no way out of a folder.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|one: char| one.is_ascii_alphanumeric())
            && part.chars().all(is_letter_of_a_name)
    };
    name.len() <= 256
        && name
            .split_once('/')
            .is_some_and(|(vendor, package)| is_part(vendor) && is_part(package))
}

fn is_letter_of_a_name(one: char) -> bool {
    one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-')
}

/// Whether a text can be the name of an archive beside others.
pub(super) fn is_stem(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text
            .chars()
            .all(|one| is_letter_of_a_name(one) || one == '+')
}

/// Patches that change packages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Patches {
    /// Packages, in small letters.
    packages: BTreeSet<String>,
    /// Files below the shop's root.
    files: BTreeSet<String>,
}

impl Patches {
    /// None.
    pub(super) const NONE: Self = Self {
        packages: BTreeSet::new(),
        files: BTreeSet::new(),
    };

    /// Reads what is declared below a shop's root; what can't be read declares nothing.
    pub(super) fn read(root: &Path) -> Self {
        let mut patches = Self::default();
        let composer = json(&root.join("composer.json")).unwrap_or_default();
        let extra = composer.get("extra").unwrap_or(&Json::Null);
        patches.declare(extra);
        let lists = [
            extra.get("patches-file"),
            extra
                .get("composer-patches")
                .and_then(|of| of.get("patches-file")),
        ];
        let texts = lists.into_iter().flatten().flat_map(|list| match list {
            Json::Array(many) => many.iter().filter_map(Json::as_str).collect(),
            one => one.as_str().into_iter().collect::<Vec<_>>(),
        });
        for list in texts.take(PATCH_LISTS_MAX) {
            let is_below = Path::new(list)
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            if let (true, Some(list)) = (is_below, json(&root.join(list))) {
                patches.declare(&list);
            }
        }
        patches.hotfixes(&root.join("m2-hotfixes"));
        patches
    }

    fn declare(&mut self, of: &Json) {
        let declared = of.get("patches").and_then(Json::as_object);
        for (package, patches) in declared.into_iter().flatten() {
            let is_any = match patches {
                Json::Array(list) => !list.is_empty(),
                Json::Object(map) => !map.is_empty(),
                _ => false,
            };
            if is_any && is_name(package) {
                self.packages.insert(package.to_ascii_lowercase());
            }
        }
    }

    fn hotfixes(&mut self, folder: &Path) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "patch"));
        for path in paths.take(PATCHES_MAX) {
            let Ok((_, bytes)) = whole(&path, PATCH_BYTES_MAX) else {
                continue;
            };
            for line in String::from_utf8_lossy(&bytes).lines() {
                let Some(named) = line.strip_prefix("+++ ") else {
                    continue;
                };
                let named = named.split('\t').next().unwrap_or_default().trim_end();
                let named = named.strip_prefix("b/").unwrap_or(named);
                if named.starts_with("vendor/") {
                    self.files.insert(named.to_owned());
                }
            }
        }
    }

    /// Where patches are declared that may change a file of a package.
    pub(super) fn of(&self, package: &str, path: &str) -> Vec<&'static str> {
        let mut declared = Vec::new();
        if self.packages.contains(&package.to_ascii_lowercase()) {
            declared.push("composer.json");
        }
        if self.files.contains(path) {
            declared.push("m2-hotfixes");
        }
        declared
    }
}

fn json(path: &Path) -> Option<Json> {
    let (_, bytes) = whole(path, JSON_BYTES_MAX).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{Patches, is_name, is_stem, read};

    #[test]
    fn a_name_is_no_way_out() {
        for name in ["magento/module-sales", "a/b", "Vendor/Pay_2.x"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["a", "a/b/c", "../b", "a/..", "a/", "/b", "a/b\0", "a\\b/c"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_stem("1.2.0+1") && !is_stem("../x") && !is_stem("dev/x") && !is_stem(""));
    }

    #[test]
    fn reads_packages_of_both_lists_and_hashes_of_zips_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("composer.lock");
        assert!(read(&path).expect_err("none").contains("no composer.lock"));
        let text = r#"{"packages":[
            {"name":"a/zip","version":"1","dist":{"type":"zip","url":"u","reference":null,"shasum":"AB"}},
            {"name":"a/tar","dist":{"type":"tar","url":"u","shasum":"ab"}},
            {"name":"a/meta","type":"metapackage"},{"name":"../x"}],
            "packages-dev":[{"name":"a/dev","dist":{"type":"zip","shasum":""}}]}"#;
        std::fs::write(&path, text).expect("written");
        let told: Vec<_> = read(&path)
            .expect("reads")
            .into_iter()
            .map(|(name, one)| format!("{name} {} {} {}", one.version, one.shasum, one.is_empty))
            .collect();
        assert_eq!(
            told,
            [
                "a/dev   false",
                "a/meta   true",
                "a/tar   false",
                "a/zip 1 ab false"
            ]
        );
        for wrong in ["{", "[]", r#"{"packages":[{"name":1}]}"#] {
            std::fs::write(&path, wrong).expect("written");
            assert!(read(&path).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patches_are_found_where_the_plugins_look() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        assert_eq!(Patches::read(root.path()), Patches::default());
        write(
            "composer.json",
            r#"{"extra":{"patches":{"A/one":{"fix":"x.patch"},"a/none":{},"*":["x"]},"patches-file":["p/1.json","../2.json"],
                "composer-patches":{"patches-file":"3.json"}}}"#,
        );
        write("p/1.json", r#"{"patches":{"a/two":[{"url":"x"}]}}"#);
        write("3.json", r#"{"patches":{"a/three":{"x":"y"}}}"#);
        write(
            "m2-hotfixes/x.patch",
            "--- a/vendor/a/four/X.php\n+++ b/vendor/a/four/X.php\t2021-01-01\n@@\n+++ /etc/passwd\n",
        );
        write("m2-hotfixes/x.txt", "+++ b/vendor/a/four/Y.php\n");
        let patches = Patches::read(root.path());
        let of = |package: &str, file: &str| {
            patches
                .of(package, &format!("vendor/{package}/{file}"))
                .join(",")
        };
        for package in ["a/one", "a/two", "A/Three"] {
            assert_eq!(of(package, "X.php"), "composer.json", "{package}");
        }
        assert_eq!(of("a/four", "X.php"), "m2-hotfixes");
        assert_eq!(of("a/four", "Y.php") + &of("a/none", "X.php"), "");
    }
}

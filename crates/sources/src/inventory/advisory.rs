//! Advisories that a merchant puts into a folder: OSV (JSON), FriendsOfPHP's security-advisories (YAML), and sansecio's magevulndb
//! (CSV), which may be used for one's own shops and not be shipped.
//!
//! Follows `threats.md` §4.1, §4.2.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Package, read, version};
use crate::SourceError;

/// Files of advisories read of one folder, folders in it included.
const ADVISORIES_MAX: usize = 200_000;
/// What magevulndb's file begins with.
const MAGEVULNDB: &str = "Name,Fixed in,";

/// What an advisory is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A package of composer, in lower case.
    Package(String),
    /// A module, e.g. `Vendor_Module`, in lower case.
    Module(String),
}

/// One advisory about one package or module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advisory {
    id: String,
    about: About,
    /// Versions it names one by one.
    versions: BTreeSet<String>,
    /// From a version on, up to another: `fixed` not included, `last_affected` included.
    ranges: Vec<(String, Option<String>, bool)>,
}

/// Reads a folder of advisories; a file that is none is left out.
pub(super) fn advisories(folder: &Path) -> Result<Vec<Advisory>, SourceError> {
    let (mut found, mut folders, mut files) = (Vec::new(), vec![folder.to_owned()], 0_usize);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .map_err(SourceError::io(&folder))?
            .flatten()
        {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                continue;
            }
            let ending = path
                .extension()
                .and_then(|ending| ending.to_str())
                .unwrap_or_default();
            if !["json", "yaml", "yml", "csv"].contains(&ending) || files >= ADVISORIES_MAX {
                continue;
            }
            files += 1;
            let Some(bytes) = read(&path)? else { continue };
            match ending {
                "json" => {
                    if let Ok(json) = serde_json::from_slice::<Json>(&bytes) {
                        found.extend(of_osv(&json));
                    }
                }
                "csv" => found.extend(of_magevulndb(&String::from_utf8_lossy(&bytes))),
                _ => found.extend(of_friends(&bytes)),
            }
        }
    }
    Ok(found)
}

/// One advisory of FriendsOfPHP.
#[derive(Deserialize)]
struct Friends {
    #[serde(default)]
    cve: Option<String>,
    #[serde(default)]
    link: String,
    reference: String,
    branches: BTreeMap<String, Branch>,
}

#[derive(Deserialize)]
struct Branch {
    /// Bounds that hold together, e.g. `>=2.4`, `<2.4.3`.
    #[serde(default)]
    versions: Vec<String>,
}

fn of_friends(bytes: &[u8]) -> Option<Advisory> {
    let file: Friends = yaml_serde::from_slice(bytes).ok()?;
    let package = file
        .reference
        .strip_prefix("composer://")?
        .to_ascii_lowercase();
    let mut advisory = Advisory {
        id: file.cve.filter(|cve| !cve.is_empty()).unwrap_or(file.link),
        about: About::Package(package),
        versions: BTreeSet::new(),
        ranges: Vec::new(),
    };
    for branch in file.branches.values() {
        let (mut from, mut to) = ("0".to_owned(), None);
        for bound in &branch.versions {
            let bound = bound.trim();
            if let Some(version) = bound.strip_prefix(">=") {
                version.trim().clone_into(&mut from);
            } else if let Some(version) = bound.strip_prefix("<=") {
                to = Some((version.trim().to_owned(), true));
            } else if let Some(version) = bound.strip_prefix('<') {
                to = Some((version.trim().to_owned(), false));
            } else if let Some(version) = bound.strip_prefix('>') {
                // From right behind it: the version itself is told as fitting, too, which errs on the safe side.
                version.trim().clone_into(&mut from);
            } else {
                let exact = bound.trim_start_matches('=').trim();
                advisory.versions.insert(exact.to_owned());
            }
        }
        if let Some((to, is_last)) = to {
            advisory.ranges.push((from, Some(to), is_last));
        } else if from != "0" {
            advisory.ranges.push((from, None, false));
        }
    }
    Some(advisory)
}

/// Rows of magevulndb: the module's name, and the version that mends it. A name with `_` in front is not to be matched by version,
/// and a date is no version: both are left out.
fn of_magevulndb(text: &str) -> Vec<Advisory> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    if !lines
        .next()
        .is_some_and(|header| header.replace('"', "").starts_with(MAGEVULNDB))
    {
        return Vec::new();
    }
    let row = |line: &str| {
        let mut cells = cells(line).into_iter();
        let (name, fixed) = (cells.next()?, cells.next()?);
        let reference = cells.nth(1).unwrap_or_default();
        let name = name.trim().trim_end_matches('?');
        let fixed = fixed.trim();
        let is_date = fixed.len() == 10 && fixed.bytes().filter(|byte| *byte == b'-').count() == 2;
        if name.is_empty() || name.starts_with('_') || is_date {
            return None;
        }
        let id = if reference.trim().is_empty() {
            "magevulndb".to_owned()
        } else {
            format!("magevulndb {}", reference.trim())
        };
        Some(Advisory {
            id,
            about: About::Module(name.to_ascii_lowercase()),
            versions: BTreeSet::new(),
            // No version mends it: every one is meant.
            ranges: vec![(
                "0".to_owned(),
                (!fixed.is_empty()).then(|| fixed.to_owned()),
                false,
            )],
        })
    };
    lines.filter_map(row).collect()
}

/// A line's cells; quotes as RFC 4180 has them.
fn cells(line: &str) -> Vec<String> {
    let (mut out, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => out.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    out.push(cell);
    out
}

fn of_osv(json: &Json) -> Vec<Advisory> {
    let list = |json: &Json, name: &str| {
        json.get(name)
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let text = |json: &Json, name: &str| {
        json.get(name)
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if json.get("withdrawn").is_some() {
        return Vec::new();
    }
    // The name people search for, where there is one.
    let aliases = list(json, "aliases");
    let id = aliases
        .iter()
        .filter_map(Json::as_str)
        .find(|alias| alias.starts_with("CVE-"))
        .map_or_else(|| text(json, "id"), str::to_owned);
    let mut found = Vec::new();
    for affected in list(json, "affected") {
        let package = affected.get("package").unwrap_or(&Json::Null);
        if text(package, "ecosystem") != "Packagist" {
            continue;
        }
        let mut ranges = Vec::new();
        for range in list(&affected, "ranges")
            .iter()
            .filter(|range| text(range, "type") != "GIT")
        {
            let mut from: Option<String> = None;
            for event in list(range, "events") {
                let (introduced, fixed, last) = (
                    text(&event, "introduced"),
                    text(&event, "fixed"),
                    text(&event, "last_affected"),
                );
                if !introduced.is_empty() {
                    from = Some(introduced);
                } else if let Some(begin) = from.take_if(|_| !fixed.is_empty() || !last.is_empty())
                {
                    let is_last = fixed.is_empty();
                    ranges.push((begin, Some(if is_last { last } else { fixed }), is_last));
                }
            }
            ranges.extend(from.map(|begin| (begin, None, false)));
        }
        found.push(Advisory {
            id: id.clone(),
            about: About::Package(text(package, "name").to_ascii_lowercase()),
            versions: list(&affected, "versions")
                .iter()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect(),
            ranges,
        });
    }
    found
}

/// Notes at each package which advisories fit its version.
pub(super) fn apply(packages: &mut BTreeMap<String, Package>, advisories: &[Advisory]) {
    let modules: BTreeMap<String, String> = packages
        .iter()
        .filter(|(_, package)| !package.module.is_empty())
        .map(|(name, package)| (package.module.to_ascii_lowercase(), name.clone()))
        .collect();
    for advisory in advisories {
        let name = match &advisory.about {
            About::Package(name) => Some(name),
            About::Module(module) => modules.get(module),
        };
        if let Some(package) = name.and_then(|name| packages.get_mut(name))
            && fits(advisory, &package.version)
        {
            package.advisories.insert(advisory.id.clone());
        }
    }
}

fn fits(advisory: &Advisory, version: &str) -> bool {
    let plain = version.trim_start_matches(['v', 'V']);
    if advisory
        .versions
        .iter()
        .any(|one| one.trim_start_matches(['v', 'V']) == plain)
    {
        return true;
    }
    version::is_ordered(version)
        && advisory.ranges.iter().any(|(from, to, is_last)| {
            version::compare(version, from) != Ordering::Less
                && to
                    .as_ref()
                    .is_none_or(|to| match version::compare(version, to) {
                        Ordering::Less => true,
                        Ordering::Equal => *is_last,
                        Ordering::Greater => false,
                    })
        })
}

#[cfg(test)]
mod tests {
    use super::{About, cells, fits, of_friends, of_magevulndb};
    use proptest::prelude::*;

    #[test]
    fn friends_of_php_name_bounds_for_each_branch() {
        let text = "title: x\nlink: https://example.com/a\ncve: ~\nbranches:\n    1.0.x:\n        time: 2026-01-02 10:00:00\n        versions: ['>=1.0.0', '<1.0.5']\n    \
                    2.x:\n        versions: ['>=2.0', '<=2.1']\nreference: composer://Vendor/Pay\n";
        let advisory = of_friends(text.as_bytes()).expect("reads");
        assert_eq!(advisory.about, About::Package("vendor/pay".to_owned()));
        assert_eq!(advisory.id, "https://example.com/a");
        for (version, fit) in [
            ("0.9", false),
            ("1.0.0", true),
            ("1.0.4", true),
            ("1.0.5", false),
            ("2.1", true),
            ("2.1.1", false),
        ] {
            assert_eq!(fits(&advisory, version), fit, "{version}");
        }
        assert!(of_friends(b"reference: pear://x\nbranches: {}\n").is_none());
    }

    #[test]
    fn magevulndb_names_modules() {
        let text = "Name,Fixed in,Relevant URI,Reference,Update URL\nVendor_Pay,1.2.3,/pay/x;y,\"https://example.com/a,b\",\nVendor_Old,,,,\n_Vendor_Same,1.0,,,\nVendor_Date,2026-01-02,,,\nVendor_Maybe?,2.0,,,\n";
        let found = of_magevulndb(text);
        let names: Vec<_> = found
            .iter()
            .map(|one| format!("{:?} {}", one.about, one.id))
            .collect();
        assert_eq!(
            names,
            [
                "Module(\"vendor_pay\") magevulndb https://example.com/a,b",
                "Module(\"vendor_old\") magevulndb",
                "Module(\"vendor_maybe\") magevulndb"
            ]
        );
        assert!(fits(&found[0], "1.2.2") && !fits(&found[0], "1.2.3"));
        assert!(fits(&found[1], "99.0"));
        assert!(of_magevulndb("a,b\nc,d\n").is_empty());
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _cells = cells(&text);
            let _rows = of_magevulndb(&format!("Name,Fixed in,x\n{text}"));
            let _yaml = of_friends(&bytes);
            let _yaml = of_friends(text.as_bytes());
        }
    }
}

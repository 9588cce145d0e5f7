//! What is installed: packages of `composer.lock`, modules of `app/code`, and the advisories that fit them (PCI DSS v4.0.1
//! req. 6.3.1–6.3.3).
//!
//! Advisories are files that the merchant puts in a folder; none are shipped, and nothing is fetched. What was
//! there at the last look is kept beside the ledger, so that a start tells only what changed.

mod advisory;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Category, Field, SourceId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use self::advisory::{Advisory, advisories, apply};
use crate::observation::Observation;
use crate::source::{Given, Hand, Kind, News, Recorder, Source};
use crate::{SourceError, settings};

/// How often it is looked at what is installed.
const EVERY: Duration = Duration::from_secs(300);
/// How often advisories, which may be many, are read again.
const ADVISORIES_EVERY: Duration = Duration::from_secs(3600);
/// Largest file read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How long sealing is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kind `inventory`.
pub(crate) struct Inventory;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Magento's root folder; that of `--magento` when it isn't said.
    root: Option<PathBuf>,
    /// Folder of advisories: OSV, FriendsOfPHP, magevulndb.
    advisories: Option<PathBuf>,
}

impl Kind for Inventory {
    fn name(&self) -> &'static str {
        "inventory"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let root =
            settings
                .root
                .or_else(|| given.magento.clone())
                .ok_or(SourceError::Settings {
                    kind: "inventory",
                    why: "it wants root, or --magento".to_owned(),
                })?;
        let id = SourceId(format!("inventory:{}", root.display()));
        Ok(Box::new(Installed {
            root,
            advisories: settings.advisories,
            kept: given.data.join("inventory.json"),
            clock: given.clock,
            recorder: Recorder::observing(id, given.now),
        }))
    }
}

struct Installed {
    root: PathBuf,
    advisories: Option<PathBuf>,
    kept: PathBuf,
    clock: fn() -> Timestamp,
    recorder: Recorder,
}

/// One package or module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Package {
    version: String,
    /// Composer's type, or `app/code`.
    kind: String,
    /// The module it brings, e.g. `Vendor_Module`.
    #[serde(default)]
    module: String,
    /// `yes` or `no` by `app/etc/config.php`; empty where that doesn't name it.
    #[serde(default)]
    enabled: String,
    advisories: BTreeSet<String>,
}

impl Source for Installed {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let mut due: Option<Instant> = None;
        let (mut known, mut read_at): (Vec<Advisory>, Option<Instant>) = (Vec::new(), None);
        while !hand.stopped() {
            if due.is_none_or(|due| Instant::now() >= due) {
                due = Some(Instant::now() + EVERY);
                let mut now = packages(&self.root)?;
                if let Some(folder) = &self.advisories
                    && read_at.is_none_or(|at| at.elapsed() >= ADVISORIES_EVERY)
                {
                    known = advisories(folder)?;
                    read_at = Some(Instant::now());
                }
                apply(&mut now, &known);
                if self.tell(&now, hand)? {
                    let what = format!(
                        "knows {} packages and {} advisories",
                        now.len(),
                        known.len()
                    );
                    hand.tell(self.id(), News::Well { what });
                }
            }
            hand.pause(Duration::from_millis(500));
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

impl Installed {
    /// Hands over what differs from the last look; false when it could not be sealed, and is told again.
    fn tell(&mut self, now: &BTreeMap<String, Package>, hand: &Hand) -> Result<bool, SourceError> {
        let kept: Option<BTreeMap<String, Package>> = std::fs::read(&self.kept)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let before = kept.clone().unwrap_or_default();
        let time = (self.clock)();
        let mut records = Vec::new();
        for (name, package) in now {
            let change = match (before.get(name), &kept) {
                (Some(known), _) if known == package => continue,
                (Some(_), _) => "modified",
                (None, Some(_)) => "created",
                (None, None) => "seen",
            };
            records.push(observe(name, package, change, time));
        }
        for (name, package) in &before {
            if !now.contains_key(name) {
                records.push(observe(name, package, "removed", time));
            }
        }
        if records.is_empty() {
            return Ok(true);
        }
        for batch in records.chunks(500) {
            let chunks = batch
                .iter()
                .map(|record| self.recorder.chunk(record.clone()))
                .collect();
            if hand.give_and_wait(chunks, PATIENCE).is_err() {
                return Ok(false);
            }
        }
        let beside = self.kept.with_extension("json.new");
        std::fs::write(&beside, serde_json::to_vec(now).unwrap_or_default())
            .and_then(|()| std::fs::rename(&beside, &self.kept))
            .map_err(SourceError::io(&self.kept))?;
        Ok(true)
    }
}

fn observe(name: &str, package: &Package, change: &str, time: Timestamp) -> Vec<u8> {
    Observation::new(Category::Inventory, time)
        .text(Field::Package, name)
        .text(Field::PackageVersion, &package.version)
        .text(Field::PackageKind, &package.kind)
        .text(Field::Module, &package.module)
        .text(Field::ModuleEnabled, &package.enabled)
        .text(Field::Change, change)
        .list(Field::Advisories, &package.advisories)
        .record()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(SourceError::TooLarge {
                path: path.to_owned(),
                limit_bytes: FILE_BYTES_MAX,
            });
        }
        _ => {}
    }
    std::fs::read(path).map(Some).map_err(SourceError::io(path))
}

/// Packages of `composer.lock`, and modules of `app/code`, which no package manager knows.
fn packages(root: &Path) -> Result<BTreeMap<String, Package>, SourceError> {
    let mut found = BTreeMap::new();
    if let Some(bytes) = read(&root.join("composer.lock"))? {
        let lock: Json = serde_json::from_slice(&bytes).map_err(|error| SourceError::Settings {
            kind: "inventory",
            why: format!("composer.lock can't be read: {error}"),
        })?;
        for package in lock
            .get("packages")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let text = |name: &str| package.get(name).and_then(Json::as_str).unwrap_or_default();
            if !text("name").is_empty() {
                let one = Package {
                    version: text("version").to_owned(),
                    kind: text("type").to_owned(),
                    module: module(&root.join("vendor").join(text("name"))),
                    ..Package::default()
                };
                found.insert(text("name").to_ascii_lowercase(), one);
            }
        }
    }
    for vendor in std::fs::read_dir(root.join("app/code"))
        .into_iter()
        .flatten()
        .flatten()
    {
        for module in std::fs::read_dir(vendor.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if !module.path().join("registration.php").is_file() {
                continue;
            }
            let own = read(&module.path().join("composer.json"))?
                .and_then(|bytes| serde_json::from_slice::<Json>(&bytes).ok());
            let text = |name: &str| {
                own.as_ref()
                    .and_then(|json| json.get(name)?.as_str())
                    .map(str::to_owned)
            };
            let folder = format!(
                "app/code/{}/{}",
                vendor.file_name().to_string_lossy(),
                module.file_name().to_string_lossy()
            );
            let one = Package {
                version: text("version").unwrap_or_default(),
                kind: "app/code".to_owned(),
                module: self::module(&module.path()),
                ..Package::default()
            };
            found.insert(
                text("name").map_or(folder, |name| name.to_ascii_lowercase()),
                one,
            );
        }
    }
    let enabled = enabled(root)?;
    for package in found.values_mut() {
        if let Some(is_enabled) = enabled.get(&package.module) {
            package.enabled = if *is_enabled { "yes" } else { "no" }.to_owned();
        }
    }
    Ok(found)
}

/// The module a folder brings, by its `etc/module.xml`; empty when it brings none.
fn module(folder: &Path) -> String {
    ["etc/module.xml", "src/etc/module.xml"]
        .into_iter()
        .find_map(|path| {
            let text = read(&folder.join(path)).ok()??;
            let text = String::from_utf8_lossy(&text).into_owned();
            let (_, rest) = text.split_once("<module")?;
            let (_, rest) = rest.split_once("name=\"")?;
            let (name, _) = rest.split_once('"')?;
            Some(name.to_owned())
        })
        .unwrap_or_default()
}

/// Whether a module is on by `app/etc/config.php`; not where that can't be read.
pub(crate) fn is_on(root: &Path, module: &str) -> bool {
    enabled(root).is_ok_and(|modules| modules.get(module) == Some(&true))
}

/// Which modules `app/etc/config.php` names, and whether they are on. Lines are read, nothing is run.
fn enabled(root: &Path) -> Result<BTreeMap<String, bool>, SourceError> {
    let Some(bytes) = read(&root.join("app/etc/config.php"))? else {
        return Ok(BTreeMap::new());
    };
    let text = String::from_utf8_lossy(&bytes);
    let of_line = |line: &str| {
        let (name, state) = line.trim().trim_end_matches(',').split_once("=>")?;
        let name = name.trim().trim_matches(['\'', '"']);
        let is_module = name
            .split_once('_')
            .is_some_and(|(vendor, module)| !vendor.is_empty() && !module.is_empty());
        match state.trim() {
            "1" if is_module => Some((name.to_owned(), true)),
            "0" if is_module => Some((name.to_owned(), false)),
            _ => None,
        }
    };
    Ok(text.lines().filter_map(of_line).collect())
}

#[cfg(test)]
mod tests {
    use super::{advisories, apply, packages};

    fn shop() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write(
            "composer.lock",
            r#"{"packages":[{"name":"Magento/product-community-edition","version":"2.4.6-p2","type":"metapackage"},
                {"name":"vendor/pay","version":"v1.4.0","type":"magento2-module"},{"name":"vendor/dev","version":"dev-main","type":"library"},{"version":"1"}]}"#,
        );
        write("app/code/Own/Feed/registration.php", "<?php");
        write("app/code/Other/Pay/registration.php", "<?php");
        write(
            "app/code/Other/Pay/composer.json",
            r#"{"name":"other/pay","version":"0.9.1"}"#,
        );
        write("app/code/Other/NoModule/a.php", "<?php");
        write(
            "app/code/Other/Pay/etc/module.xml",
            "<config><module name=\"Other_Pay\" setup_version=\"1\"/></config>",
        );
        write(
            "vendor/vendor/pay/src/etc/module.xml",
            "<config><module name=\"Vendor_Pay\"/></config>",
        );
        write(
            "app/etc/config.php",
            "<?php\nreturn [\n 'modules' => [\n  'Other_Pay' => 0,\n  'Vendor_Pay' => 1,\n ],\n];\n",
        );
        write(
            "osv/vulnerable-extensions.csv",
            "Name,Fixed in,Relevant URI,Reference,Update URL\nVendor_Pay,1.5.0,,https://example.com/v,\n",
        );
        write(
            "osv/a/1.json",
            r#"{"id":"GHSA-1","aliases":["CVE-2026-0001"],"affected":[{"package":{"ecosystem":"Packagist","name":"magento/product-community-edition"},
                "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.4.5-p9"},{"introduced":"2.4.6"},{"fixed":"2.4.6-p7"}]}]},
                {"package":{"ecosystem":"npm","name":"vendor/pay"},"versions":["v1.4.0"]}]}"#,
        );
        write(
            "osv/2.json",
            r#"{"id":"OSV-2","affected":[{"package":{"ecosystem":"Packagist","name":"other/pay"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0.9.1"},{"last_affected":"0.9.1"}]}]}]}"#,
        );
        write(
            "osv/3.json",
            r#"{"id":"OSV-3","withdrawn":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Packagist","name":"vendor/pay"},"versions":["1.4.0"]}]}"#,
        );
        write(
            "osv/4.json",
            r#"{"id":"OSV-4","affected":[{"package":{"ecosystem":"Packagist","name":"vendor/dev"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}"#,
        );
        write("osv/5.json", "no JSON");
        root
    }

    #[test]
    fn finds_packages_modules_and_the_advisories_that_fit() {
        let root = shop();
        let mut found = packages(root.path()).expect("reads");
        let advisories = advisories(&root.path().join("osv")).expect("reads");
        apply(&mut found, &advisories);
        let told: Vec<_> = found
            .iter()
            .map(|(name, one)| {
                format!(
                    "{name} {} {} {}{} {:?}",
                    one.version, one.kind, one.module, one.enabled, one.advisories
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "app/code/Own/Feed  app/code  {}",
                "magento/product-community-edition 2.4.6-p2 metapackage  {\"CVE-2026-0001\"}",
                "other/pay 0.9.1 app/code Other_Payno {\"OSV-2\"}",
                "vendor/dev dev-main library  {}",
                "vendor/pay v1.4.0 magento2-module Vendor_Payyes {\"magevulndb https://example.com/v\"}",
            ]
        );
    }

    #[test]
    fn a_shop_without_a_lock_has_no_packages() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(packages(root.path()).expect("reads").is_empty());
        std::fs::write(root.path().join("composer.lock"), "{").expect("written");
        assert!(packages(root.path()).is_err());
    }
}

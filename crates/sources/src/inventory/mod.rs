//! What is installed: packages of `composer.lock`, modules of `app/code`, the advisories that fit them, and what each module
//! can touch (PCI DSS v4.0.1 req. 6.3.1–6.3.3).
//!
//! Advisories are files that the merchant puts in a folder; none are shipped, and nothing is fetched. What was
//! there at the last look is kept beside the ledger, so that a start tells only what changed.

mod advisory;
mod reach;
mod version;
mod xml;

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
/// Most things told of what a module reaches; a record's lists have no more than 256 texts.
const REACH_TOLD_MAX: usize = 250;
/// Records handed over at once; what a module reaches makes up to 240 KiB of one.
const BATCH: usize = 60;
/// How long sealing is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a module's XML; see [`crate::hostile::xml`].
pub(crate) fn read_xml(bytes: &[u8], see: &mut dyn FnMut(&[&str], Option<&str>)) -> bool {
    let read = xml::walk(bytes, &mut |open, text| {
        let names: Vec<&str> = open.iter().map(|element| element.name).collect();
        see(&names, text);
    });
    read.is_ok()
}

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
    /// What its modules that are on can touch; `None` where that was not looked at.
    #[serde(default)]
    reach: Option<BTreeSet<String>>,
}

/// A package that differs from the last look.
struct Difference<'a> {
    name: &'a str,
    package: &'a Package,
    change: &'static str,
    /// What it reaches and didn't at the last look.
    reach_new: Vec<&'a str>,
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
                if self.tell(&mut now, hand)? {
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
    fn tell(
        &mut self,
        now: &mut BTreeMap<String, Package>,
        hand: &Hand,
    ) -> Result<bool, SourceError> {
        let before: Option<BTreeMap<String, Package>> = std::fs::read(&self.kept)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let time = (self.clock)();
        if let Some(before) = &before {
            keep_reach(before, now);
        }
        let records: Vec<Vec<u8>> = differences(before.as_ref(), now)
            .iter()
            .map(|one| observe(one, time))
            .collect();
        if records.is_empty() {
            return Ok(true);
        }
        for batch in records.chunks(BATCH) {
            let chunks = batch
                .iter()
                .map(|record| self.recorder.chunk(record.clone()))
                .collect();
            if hand.give_and_wait(chunks, PATIENCE).is_err() {
                return Ok(false);
            }
        }
        let beside = self.kept.with_extension("json.new");
        std::fs::write(&beside, serde_json::to_vec(&*now).unwrap_or_default())
            .and_then(|()| std::fs::rename(&beside, &self.kept))
            .map_err(SourceError::io(&self.kept))?;
        Ok(true)
    }
}

/// Takes over what a package reached where it isn't there now, so that what it reaches afterwards is no news; one that
/// composer names before it unpacks it reached nothing.
fn keep_reach(before: &BTreeMap<String, Package>, now: &mut BTreeMap<String, Package>) {
    for (name, package) in now {
        if package.reach.is_none() {
            package.reach = match before.get(name) {
                Some(known) => known.reach.clone(),
                None => Some(BTreeSet::new()),
            };
        }
    }
}

/// What came, changed and went since the last look; all is `seen` at the first.
fn differences<'a>(
    before: Option<&'a BTreeMap<String, Package>>,
    now: &'a BTreeMap<String, Package>,
) -> Vec<Difference<'a>> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::new();
    for (name, package) in now {
        let reach = package.reach.as_ref().unwrap_or(&NONE);
        let known = before.and_then(|before| before.get(name));
        let (change, reached) = match known {
            Some(known) if known == package => continue,
            // What was not looked at before is no change.
            Some(known) if known.reach.is_none() => {
                let is_same = Package {
                    reach: package.reach.clone(),
                    ..known.clone()
                } == *package;
                match (is_same, reach.is_empty()) {
                    (true, true) => continue,
                    (true, false) => ("seen", reach),
                    (false, _) => ("modified", reach),
                }
            }
            Some(known) => ("modified", known.reach.as_ref().unwrap_or(&NONE)),
            None if before.is_some() => ("created", &NONE),
            None => ("seen", reach),
        };
        found.push(Difference {
            name,
            package,
            change,
            reach_new: reach.difference(reached).map(String::as_str).collect(),
        });
    }
    for (name, package) in before.into_iter().flatten() {
        if !now.contains_key(name) {
            found.push(Difference {
                name,
                package,
                change: "removed",
                reach_new: Vec::new(),
            });
        }
    }
    found
}

fn observe(one: &Difference<'_>, time: Timestamp) -> Vec<u8> {
    let package = one.package;
    let reach = package.reach.iter().flatten().map(String::as_str);
    Observation::new(Category::Inventory, time)
        .text(Field::Package, one.name)
        .text(Field::PackageVersion, &package.version)
        .text(Field::PackageKind, &package.kind)
        .text(Field::Module, &package.module)
        .text(Field::ModuleEnabled, &package.enabled)
        .text(Field::Change, one.change)
        .list(Field::Advisories, &package.advisories)
        .list(Field::Reach, told(reach.collect()))
        .list(Field::ReachNew, told(one.reach_new.clone()))
        .record()
}

/// The first of what is reached, and how much more there is.
fn told(things: Vec<&str>) -> Vec<String> {
    let more = things.len().saturating_sub(REACH_TOLD_MAX);
    let mut told: Vec<String> = things
        .into_iter()
        .take(REACH_TOLD_MAX)
        .map(str::to_owned)
        .collect();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told
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
        // A pipe would never end.
        Ok(metadata) if !metadata.is_file() => {
            return Err(SourceError::io(path)(std::io::Error::other(
                "it is no file",
            )));
        }
        _ => {}
    }
    std::fs::read(path).map(Some).map_err(SourceError::io(path))
}

/// Packages of `composer.lock`, and modules of `app/code`, which no package manager knows.
fn packages(root: &Path) -> Result<BTreeMap<String, Package>, SourceError> {
    let enabled = enabled(root)?;
    let is_off = |folder: &Path| enabled.get(&module(folder)) == Some(&false);
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
            let name = text("name");
            let folder = reach::inside(&root.join("vendor"), name);
            if !name.is_empty() {
                let one = Package {
                    version: text("version").to_owned(),
                    kind: text("type").to_owned(),
                    module: folder.as_deref().map(module).unwrap_or_default(),
                    reach: match folder {
                        Some(folder) if !reach::is_platform(name) => {
                            reach::of_package(&folder, package, &is_off)
                        }
                        _ => Some(BTreeSet::new()),
                    },
                    ..Package::default()
                };
                found.insert(name.to_ascii_lowercase(), one);
            }
        }
    }
    for folder in modules(root) {
        let own = read(&folder.join("composer.json"))
            .ok()
            .flatten()
            .and_then(|bytes| serde_json::from_slice::<Json>(&bytes).ok());
        let text = |name: &str| {
            own.as_ref()
                .and_then(|json| json.get(name)?.as_str())
                .map(str::to_owned)
        };
        let one = Package {
            version: text("version").unwrap_or_default(),
            kind: "app/code".to_owned(),
            module: module(&folder),
            reach: Some(if is_off(&folder) {
                BTreeSet::new()
            } else {
                reach::of_module(&folder)
            }),
            ..Package::default()
        };
        let place = folder.strip_prefix(root).unwrap_or(&folder);
        let place = place.display().to_string();
        // A module that takes the name of another must not stand in for it.
        let name = text("name")
            .map(|name| name.to_ascii_lowercase())
            .filter(|name| !found.contains_key(name));
        found.insert(name.unwrap_or(place), one);
    }
    for package in found.values_mut() {
        if let Some(is_enabled) = enabled.get(&package.module) {
            package.enabled = if *is_enabled { "yes" } else { "no" }.to_owned();
        }
    }
    Ok(found)
}

/// Folders of the modules of `app/code`, in order.
fn modules(root: &Path) -> Vec<PathBuf> {
    let inside = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut found: Vec<PathBuf> = inside(&root.join("app/code"))
        .iter()
        .flat_map(|vendor| inside(vendor))
        .filter(|folder| folder.join("registration.php").is_file())
        .collect();
    found.sort();
    found
}

/// The module a folder brings, by its `etc/module.xml`; empty when it brings none.
fn module(folder: &Path) -> String {
    ["etc/module.xml", "src/etc/module.xml"]
        .into_iter()
        .find_map(|path| {
            let text = read(&folder.join(path)).ok()??;
            let mut name = None;
            let mut see = |open: &[xml::Element<'_>], _: Option<&str>| {
                if let [_, module] = open
                    && module.name == "module"
                    && name.is_none()
                {
                    name = Some(module.get("name").to_owned());
                }
            };
            // A file that is broken behind the name has told it.
            xml::walk(&text, &mut see).ok();
            name
        })
        .unwrap_or_default()
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
    use std::collections::BTreeMap;
    use std::path::Path;

    use model::Timestamp;

    use super::{
        Package, REACH_TOLD_MAX, advisories, apply, differences, keep_reach, observe, packages,
    };

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

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// A shop with a package, a module of its own and the platform, of which each observes a customer's login.
    fn reaching() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        let events =
            "<config><event name='customer_login'><observer instance='A'/></event></config>";
        write(
            root.path(),
            "composer.lock",
            r#"{"packages":[{"name":"magento/module-customer","version":"103.0.8"},{"name":"vendor/pay","version":"1.4.0"}]}"#,
        );
        for (folder, module) in [
            ("vendor/magento/module-customer", "Magento_Customer"),
            ("vendor/vendor/pay", "Vendor_Pay"),
            ("app/code/Own/Feed", "Own_Feed"),
        ] {
            let config = format!(
                "<!-- <module name=\"Not_This\"/> --><config><module name=\"{module}\"/></config>"
            );
            write(root.path(), &format!("{folder}/etc/module.xml"), &config);
            write(root.path(), &format!("{folder}/etc/events.xml"), events);
        }
        write(root.path(), "app/code/Own/Feed/registration.php", "<?php");
        root
    }

    /// A line for each difference: name, change and what is newly reached.
    fn told(
        before: Option<&BTreeMap<String, Package>>,
        now: &BTreeMap<String, Package>,
    ) -> Vec<String> {
        differences(before, now)
            .iter()
            .map(|one| format!("{} {} {}", one.name, one.change, one.reach_new.join("; ")))
            .collect()
    }

    #[test]
    fn what_a_module_reaches_at_the_first_look_is_no_news_and_the_platforms_is_not_told() {
        let root = reaching();
        let now = packages(root.path()).expect("reads");
        assert_eq!(
            told(None, &now),
            [
                "app/code/Own/Feed seen ",
                "magento/module-customer seen ",
                "vendor/pay seen "
            ]
        );
        let reach = |name: &str| now[name].reach.clone().expect("looked at").len();
        assert_eq!(reach("app/code/Own/Feed"), 1);
        assert_eq!(reach("vendor/pay"), 1);
        assert_eq!(reach("magento/module-customer"), 0);
        assert_eq!(now["vendor/pay"].module, "Vendor_Pay");
        assert!(told(Some(&now), &now).is_empty());
    }

    #[test]
    fn an_update_that_reaches_more_says_what() {
        let root = reaching();
        let before = packages(root.path()).expect("reads");
        write(
            root.path(),
            "vendor/vendor/pay/etc/events.xml",
            "<config><event name='customer_login'><observer instance='A'/></event>
             <event name='payment_method_assign_data'><observer instance='B'/></event></config>",
        );
        write(
            root.path(),
            "vendor/vendor/pay/etc/webapi.xml",
            "<routes><route url='/V1/a' method='GET'><resources><resource ref='anonymous'/></resources></route></routes>",
        );
        let now = packages(root.path()).expect("reads");
        assert_eq!(
            told(Some(&before), &now),
            [
                "vendor/pay modified observes payment_method_assign_data by B; opens GET /V1/a to anyone"
            ]
        );
        assert_eq!(
            told(Some(&now), &before),
            ["vendor/pay modified "],
            "less is no news"
        );
        assert_eq!(
            told(Some(&BTreeMap::new()), &before)[0],
            "app/code/Own/Feed created observes customer_login by A"
        );
        assert_eq!(
            told(Some(&before), &BTreeMap::new())[0],
            "app/code/Own/Feed removed "
        );
    }

    #[test]
    fn a_module_that_is_switched_on_reaches_anew() {
        let root = reaching();
        let config = |state: u8| {
            let text = format!(
                "<?php\nreturn ['modules' => [\n 'Vendor_Pay' => {state},\n 'Own_Feed' => {state},\n]];\n"
            );
            write(root.path(), "app/etc/config.php", &text);
            packages(root.path()).expect("reads")
        };
        let (off, on) = (config(0), config(1));
        assert_eq!(
            told(Some(&off), &on),
            [
                "app/code/Own/Feed modified observes customer_login by A",
                "vendor/pay modified observes customer_login by A"
            ]
        );
    }

    #[test]
    fn a_package_that_is_away_during_a_release_reaches_what_it_did() {
        let root = reaching();
        let before = packages(root.path()).expect("reads");
        std::fs::remove_dir_all(root.path().join("vendor/vendor/pay")).expect("removed");
        let mut away = packages(root.path()).expect("reads");
        assert_eq!(away["vendor/pay"].reach, None);
        keep_reach(&before, &mut away);
        assert_eq!(told(Some(&before), &away), ["vendor/pay modified "]);
        assert_eq!(told(Some(&away), &before), ["vendor/pay modified "]);

        let earlier = BTreeMap::new();
        let mut named = packages(root.path()).expect("reads");
        keep_reach(&earlier, &mut named);
        assert_eq!(
            told(Some(&named), &before),
            ["vendor/pay modified observes customer_login by A"],
            "named before it was unpacked"
        );
    }

    #[test]
    fn what_an_earlier_version_did_not_look_at_is_no_change() {
        let root = reaching();
        let now = packages(root.path()).expect("reads");
        let mut before = now.clone();
        for package in before.values_mut() {
            package.reach = None;
        }
        assert_eq!(
            told(Some(&before), &now),
            ["app/code/Own/Feed seen ", "vendor/pay seen "]
        );
        if let Some(package) = before.get_mut("vendor/pay") {
            package.version = "1.3.9".to_owned();
        }
        assert_eq!(told(Some(&before), &now)[1], "vendor/pay modified ");
    }

    #[test]
    fn a_module_that_takes_the_name_of_another_does_not_stand_in_for_it() {
        let root = reaching();
        write(
            root.path(),
            "app/code/Own/Feed/composer.json",
            r#"{"name":"magento/module-customer","version":"103.0.8"}"#,
        );
        let now = packages(root.path()).expect("reads");
        assert_eq!(now["app/code/Own/Feed"].kind, "app/code");
        assert_eq!(now["magento/module-customer"].kind, "");
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_of_packages_is_told_and_not_followed() {
        let root = reaching();
        for name in ["../app/code/Own/Feed", "/etc"] {
            let lock = format!(r#"{{"packages":[{{"name":"{name}","version":"1"}}]}}"#);
            write(root.path(), "composer.lock", &lock);
            let now = packages(root.path()).expect("reads");
            let one = now.get(&name.to_ascii_lowercase()).expect("told");
            assert_eq!((one.module.as_str(), &one.reach), ("", &Some([].into())));
        }
    }

    #[test]
    fn a_record_tells_some_and_how_much_more() {
        let things = |count: usize| (0..count).map(|number| format!("opens {number:04}"));
        let package = Package {
            reach: Some(things(REACH_TOLD_MAX + 7).collect()),
            ..Package::default()
        };
        let (before, now) = (
            BTreeMap::new(),
            BTreeMap::from([("a/b".to_owned(), package)]),
        );
        let differences = differences(Some(&before), &now);
        let record = observe(&differences[0], Timestamp::from_seconds(0));
        let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
        for field in ["package.reach", "package.reach_new"] {
            let list = record[field].as_array().expect("a list");
            assert_eq!(list.len(), REACH_TOLD_MAX + 1);
            assert_eq!(list[REACH_TOLD_MAX], "and 7 more");
        }
    }
}

//! What is installed at one shop, by what was told of each package last, and what each can touch.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Field, Sequence};
use serde::{Deserialize, Serialize};

use super::{History, SHORT_MAX, Told, has_room, some_of};

/// Packages of one list; a large shop has about a thousand.
const PACKAGES_MAX: usize = 5000;
/// Bytes of a name.
const NAME_MAX: usize = 300;
/// Words by which a line of what a module reaches is of payments, in small letters.
const PAYMENT: [&str; 6] = [
    "payment",
    "checkout",
    "vault",
    "paypal",
    "braintree",
    "quote",
];

/// What a package can touch, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// It opens a route of the web API to anyone.
    Open,
    /// It reaches payments or the checkout.
    Payment,
    /// It reaches orders, customers, logins, or what can't be read.
    Other,
    /// Nothing was told.
    None,
}

impl Power {
    /// Of one line.
    #[must_use]
    pub fn of(line: &str) -> Self {
        let lower = line.to_ascii_lowercase();
        if line.starts_with("opens ") {
            Self::Open
        } else if PAYMENT.iter().any(|word| lower.contains(word)) {
            Self::Payment
        } else {
            Self::Other
        }
    }
}

/// A package or module by what was told of it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Composer's name of it, or its folder.
    pub name: String,
    /// Its version, as written; may be empty.
    pub version: String,
    /// Composer's type, or `app/code`.
    pub kind: String,
    /// The module it brings, e.g. `Vendor_Module`; may be empty.
    pub module: String,
    /// `yes` or `no` by the shop's configuration; empty where that doesn't name it.
    pub enabled: String,
    /// Advisories that fit it.
    pub advisories: Vec<String>,
    /// What its modules can touch, the gravest first.
    pub reach: Vec<String>,
    /// When and by which entries it was told.
    #[serde(flatten)]
    pub history: History,
}

impl Package {
    /// The gravest of what it can touch.
    #[must_use]
    pub fn power(&self) -> Power {
        let powers = self.reach.iter().map(|line| Power::of(line));
        powers.min().unwrap_or(Power::None)
    }
}

/// What is known of one shop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageList {
    /// Packages by name, those that are gone, too.
    #[serde(with = "super::shared")]
    pub packages: BTreeMap<String, Arc<Package>>,
    /// How many were told beyond what a list holds.
    pub left_out: u64,
}

impl PackageList {
    /// Takes an entry of the inventory.
    pub fn take(&mut self, sequence: Sequence, payload: &[u8]) {
        let Some(told) = Told::read(payload) else {
            return;
        };
        let (name, time, change) = (
            told.text(Field::Package, NAME_MAX),
            told.time(),
            told.text(Field::Change, SHORT_MAX),
        );
        if name.is_empty() || time.is_empty() || change.is_empty() {
            return;
        }
        if !self.packages.contains_key(&name)
            && !has_room(
                &mut self.packages,
                PACKAGES_MAX,
                &mut self.left_out,
                |package| &package.history,
            )
        {
            self.left_out += 1;
            return;
        }
        let known = self.packages.get(&name);
        let mut reach = told.list(Field::Reach);
        reach.sort_by_key(|line| Power::of(line));
        let package = Package {
            history: History::told(
                known.map(|package| &package.history),
                time,
                change,
                sequence,
            ),
            version: told.text(Field::PackageVersion, NAME_MAX),
            kind: told.text(Field::PackageKind, NAME_MAX),
            module: told.text(Field::Module, NAME_MAX),
            enabled: told.text(Field::ModuleEnabled, SHORT_MAX),
            advisories: some_of(&told.list(Field::Advisories)),
            reach: some_of(&reach),
            name: name.clone(),
        };
        self.packages.insert(name, Arc::new(package));
    }
}

#[cfg(test)]
mod tests {
    use model::Sequence;
    use serde_json::json;

    use super::{PACKAGES_MAX, PackageList, Power};

    fn take(list: &mut PackageList, sequence: u64, mut record: serde_json::Value) {
        record["time"] = format!("2026-08-05T10:15:{:02}Z", sequence % 60).into();
        list.take(Sequence(sequence), record.to_string().as_bytes());
    }

    #[test]
    fn a_package_is_as_it_was_told_last_and_names_its_entries() {
        let mut list = PackageList::default();
        take(
            &mut list,
            1,
            json!({"package.name": "vendor/pay", "change": "seen", "package.version": "1.0"}),
        );
        take(
            &mut list,
            2,
            json!({"package.name": "vendor/pay", "change": "modified", "package.version": "1.1", "package.module": "Vendor_Pay",
            "package.enabled": "yes", "package.advisories": ["CVE-2026-0001"],
            "package.reach": ["observes customer_login by A", "observes payment_method_assign_data by B", "opens GET /V1/a to anyone"]}),
        );
        let package = &list.packages["vendor/pay"];
        assert_eq!(
            (
                package.history.since_entry,
                package.history.entry,
                package.history.changes
            ),
            (1, 2, 1)
        );
        assert_eq!(
            (package.version.as_str(), package.module.as_str()),
            ("1.1", "Vendor_Pay")
        );
        assert_eq!(
            (package.enabled.as_str(), package.advisories.len()),
            ("yes", 1)
        );
        assert_eq!(package.power(), Power::Open);
        assert!(
            package.reach[0].starts_with("opens") && package.reach[1].contains("payment"),
            "the gravest first"
        );
        take(
            &mut list,
            3,
            json!({"package.name": "vendor/pay", "change": "removed"}),
        );
        assert!(list.packages["vendor/pay"].history.is_gone());
    }

    #[test]
    fn a_list_is_bounded_and_says_what_it_left_out() {
        let mut list = PackageList::default();
        let record = |change: &str, number: usize| json!({"package.name": format!("a/{number}"), "change": change});
        for number in 0..=PACKAGES_MAX {
            take(&mut list, 1, record("seen", number));
        }
        assert_eq!((list.packages.len(), list.left_out), (PACKAGES_MAX, 1));
        take(&mut list, 1, record("removed", 7));
        take(&mut list, 1, record("created", PACKAGES_MAX));
        assert_eq!((list.packages.len(), list.left_out), (PACKAGES_MAX, 2));
        let many: Vec<_> = (0..100)
            .map(|number| format!("opens GET /V1/{number} to anyone {}", "x".repeat(5000)))
            .collect();
        take(
            &mut list,
            1,
            json!({"package.name": "a/7", "change": "created", "package.reach": many}),
        );
        take(
            &mut list,
            1,
            json!({"package.name": "a/8", "change": "modified", "package.reach": many}),
        );
        let package = &list.packages["a/8"];
        assert_eq!(
            (package.reach.len(), package.reach[40].as_str()),
            (41, "and 60 more")
        );
        assert!(package.reach.iter().all(|line| line.len() < 1100));
    }
}

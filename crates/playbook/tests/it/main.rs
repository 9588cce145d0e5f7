//! What holds of whole playbooks: those that ship, and any order of steps.

mod drawn;
mod edited;
mod hostile;
mod orders;
mod shipped;
mod ways;

use std::path::Path;

use model::{Plan, StoreMap, ViewPlace};
use playbook::{Document, EXPECTED, plan};

pub(crate) const NAMES: [&str; 19] = [
    "address-that-attacks",
    "administrator-account-stolen",
    "api-token-stolen",
    "card-testing",
    "customer-sessions-taken-over",
    "database-account-stolen",
    "gateway-diversion",
    "insider-bulk-export",
    "job-planted",
    "key-compromise",
    "log-tampering",
    "malicious-extension",
    "skimmer-in-configuration-or-cms",
    "skimmer-in-files",
    "sql-injection",
    "store-that-leaks",
    "stray-card-data",
    "trigger-left-behind",
    "web-shell",
];

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/playbooks");
    std::fs::read(folder.join(format!("{name}.json"))).expect("it ships")
}

pub(crate) fn shipped(name: &str) -> Document {
    Document::read(&bytes(name)).expect("it is read")
}

pub(crate) fn stores(views: usize) -> StoreMap {
    let mut map = StoreMap::default();
    for at in 0..views {
        let website = if at < 2 {
            "base".to_owned()
        } else {
            format!("site{}", at / 4)
        };
        let view = ViewPlace {
            website,
            is_active: true,
            ..ViewPlace::default()
        };
        let code = if at == 0 {
            "us_en".to_owned()
        } else {
            format!("view{at}")
        };
        map.views.insert(code, view);
    }
    map
}

pub(crate) fn planned(name: &str) -> Plan {
    let document = shipped(name);
    plan(&document, &document.examples(), EXPECTED, &stores(8)).expect("it is planned")
}

//! A pipeline over a folder, as every test of a start opens it.

use std::path::Path;

use engine::pipeline::{Pipeline, Settings};
use model::{InstallationId, Lane, Timestamp};
use parse::Context;

/// When tests happen.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_785_924_930);

/// Opens the pipeline of a folder.
pub(crate) fn open(folder: &Path) -> Pipeline {
    let settings = Settings {
        installation: InstallationId("shop".to_owned()),
        ledger: folder.join("ledger"),
        state: None,
        keys: folder.join("keys"),
        second_place: Some(folder.join("copy")),
        context: Context::default(),
        lane: Lane::Live,
        own_rules: Vec::new(),
        merchant: Default::default(),
    };
    Pipeline::open(&settings, NOW).expect("the pipeline opens")
}

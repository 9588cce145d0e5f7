//! Codes of store views and websites, so that a row's store is told by its name.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::look::name;
use crate::database::gentle::{Ask, End};

/// How long codes hold.
const EVERY: Duration = Duration::from_secs(300);
/// Stores taken.
const STORES_MAX: usize = 10_000;

/// Codes of store views and websites by their ids.
#[derive(Default)]
pub(super) struct Stores {
    pub(super) views: BTreeMap<String, String>,
    pub(super) websites: BTreeMap<String, String>,
    read: Option<Instant>,
}

impl Stores {
    /// Reads them unless they hold still.
    pub(super) fn read_when_old(&mut self, ask: &mut Ask<'_>) -> Result<(), End> {
        if self.read.is_some_and(|read| read.elapsed() <= EVERY) {
            return Ok(());
        }
        for (table, key, to) in [
            ("store", "store_id", &mut self.views),
            ("store_website", "website_id", &mut self.websites),
        ] {
            let statement = format!("SELECT {key}, code FROM {}", name(ask.access, table));
            match ask.pairs(statement, "for stores", STORES_MAX) {
                Ok(codes) => *to = codes,
                // Without them a row's place is unknown, and said so.
                Err(End::Failed(_)) => {}
                Err(end) => return Err(end),
            }
        }
        self.read = Some(Instant::now());
        Ok(())
    }
}

//! Codes of store views and websites, so that a row's store is told by its name.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::look::name;
use super::{Access, PAUSE};
use crate::database::ask::Asking;
use crate::source::Hand;

/// Codes of store views and websites by their ids.
#[derive(Default)]
pub(super) struct Stores {
    pub(super) views: BTreeMap<String, String>,
    pub(super) websites: BTreeMap<String, String>,
    read: Option<Instant>,
}

impl Stores {
    pub(super) fn is_old(&self) -> bool {
        self.read
            .is_none_or(|read| read.elapsed() > Duration::from_secs(300))
    }

    pub(super) fn read(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        asking: &mut Asking<'_>,
        access: &Access,
        hand: &Hand,
    ) {
        for (table, key, to) in [
            ("store", "store_id", &mut self.views),
            ("store_website", "website_id", &mut self.websites),
        ] {
            let statement = format!("SELECT {key}, code FROM {}", name(access, table));
            hand.pause(PAUSE);
            // Without them a row's place is unknown, and said so.
            if let Ok(rows) =
                runtime.block_on(asking.rows(sqlx::AssertSqlSafe(statement), "for stores"))
            {
                to.clear();
                to.extend(rows.into_iter().filter_map(|row| {
                    let mut row = row.into_iter();
                    Some((row.next()?, row.next()?))
                }));
            }
        }
        self.read = Some(Instant::now());
    }
}

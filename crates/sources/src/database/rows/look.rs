//! One look at one table: which rows differ, and what they say.

use std::collections::BTreeMap;

use model::{Category, Field, Timestamp};

use super::stores::Stores;
use super::tables::{Place, READABLE_CONFIG, Watched, Way};
use super::{AGAIN, Access, FETCH, PAUSE, ROWS_MAX, VALUE_BYTES};
use crate::database::account::{quoted_name, quoted_text};
use crate::database::ask::{AskError, Asking};
use crate::observation::Observation;
use crate::source::Hand;

pub(super) fn name(access: &Access, table: &str) -> String {
    format!(
        "{}.{}",
        quoted_name(&access.schema),
        quoted_name(&format!("{}{table}", access.prefix))
    )
}

/// One look at one table.
pub(super) struct Look<'a> {
    pub(super) watched: &'a Watched,
    pub(super) columns: &'a [&'static str],
    pub(super) access: &'a Access,
    pub(super) salt: &'a str,
}

/// What a look found.
#[derive(Default)]
pub(super) struct Found {
    /// Rows that differ from the last look.
    pub(super) rows: Vec<FoundRow>,
    /// Keys that went.
    pub(super) gone: Vec<String>,
    /// The rows as they are now.
    pub(super) hashes: BTreeMap<String, String>,
}

pub(super) struct FoundRow {
    pub(super) key: String,
    columns: Vec<(&'static str, String)>,
}

impl Look<'_> {
    /// An expression of a column as text, cut; of configuration only where it may be read.
    fn expression(&self, column: &str) -> String {
        let quoted = quoted_name(column);
        let cut = format!("LEFT({quoted}, {VALUE_BYTES})");
        if self.watched.place == Place::ConfigScope && column == "value" {
            let readable: Vec<_> = READABLE_CONFIG
                .iter()
                .map(|pattern| format!("path LIKE {}", quoted_text(pattern)))
                .collect();
            return format!("IF({}, {cut}, NULL)", readable.join(" OR "));
        }
        cut
    }

    /// The short salted hash of a row, made by the server: of what isn't read, too.
    fn hash(&self) -> String {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|column| format!("IFNULL({}, '\\0')", quoted_name(column)))
            .collect();
        format!(
            "LEFT(SHA2(CONCAT_WS('\\n', {}, {}), 256), 16)",
            quoted_text(self.salt),
            columns.join(", ")
        )
    }

    pub(super) async fn at(
        &self,
        asking: &mut Asking<'_>,
        before: &BTreeMap<String, String>,
        hand: &Hand,
    ) -> Result<Found, AskError> {
        let (table, key) = (
            name(self.access, self.watched.table),
            quoted_name(self.watched.key),
        );
        let limit = match self.watched.way {
            Way::Whole => format!("LIMIT {ROWS_MAX}"),
            // At a first look what is there already is taken, too, as far as it goes.
            Way::Latest if before.is_empty() => {
                format!("ORDER BY {key} DESC LIMIT {}", ROWS_MAX / 10)
            }
            Way::Latest => format!("ORDER BY {key} DESC LIMIT {}", AGAIN * 5),
        };
        let statement = format!("SELECT {key}, {} FROM {table} {limit}", self.hash());
        hand.pause(PAUSE);
        let hashes: BTreeMap<String, String> = asking
            .rows_up_to(sqlx::AssertSqlSafe(statement), "for rows", ROWS_MAX)
            .await?
            .into_iter()
            .filter_map(|row| {
                let mut row = row.into_iter();
                Some((row.next()?, row.next()?))
            })
            .collect();
        // What comes into sight again because later rows went was told long ago.
        let number = |key: &String| key.parse::<u64>().unwrap_or(u64::MAX);
        let told_up_to = match self.watched.way {
            Way::Whole => 0,
            Way::Latest => before.keys().map(number).min().unwrap_or(0),
        };
        let changed: Vec<String> = hashes
            .iter()
            .filter(|(key, hash)| before.get(*key) != Some(hash) && number(key) >= told_up_to)
            .map(|(key, _)| key.clone())
            .collect();
        let mut found = Found::default();
        for keys in changed.chunks(FETCH) {
            let wanted: Vec<_> = keys.iter().map(|key| quoted_text(key)).collect();
            let columns: Vec<_> = self
                .columns
                .iter()
                .map(|one| self.expression(one))
                .collect();
            let statement = format!(
                "SELECT {key}, {} FROM {table} WHERE {key} IN ({})",
                columns.join(", "),
                wanted.join(", ")
            );
            hand.pause(PAUSE);
            if hand.stopped() {
                break;
            }
            let rows = asking
                .rows_up_to(sqlx::AssertSqlSafe(statement), "for changed rows", FETCH)
                .await?;
            for row in rows {
                let mut row = row.into_iter();
                let Some(key) = row.next() else { continue };
                found.rows.push(FoundRow {
                    key,
                    columns: self.columns.iter().copied().zip(row).collect(),
                });
            }
        }
        // Of a table that grows, what is out of sight isn't gone: it was told when it came.
        if self.watched.way == Way::Whole {
            found.gone = before
                .keys()
                .filter(|key| !hashes.contains_key(*key))
                .cloned()
                .collect();
        }
        found.hashes = hashes;
        Ok(found)
    }
}

impl FoundRow {
    pub(super) fn observe(
        &self,
        watched: &Watched,
        change: &str,
        stores: &Stores,
        now: Timestamp,
    ) -> Vec<u8> {
        let find = |name: &str| {
            self.columns
                .iter()
                .find(|(column, _)| *column == name)
                .map(|(_, value)| value.as_str())
        };
        let mut observation = Observation::new(Category::ShopRow, now)
            .text(Field::Table, watched.table)
            .text(Field::RowKey, &self.key)
            .text(Field::Change, change)
            .list(
                Field::RowColumns,
                self.columns.iter().map(|(column, _)| column),
            )
            .list(
                Field::RowValues,
                self.columns
                    .iter()
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(column, value)| format!("{column}={value}")),
            );
        match watched.place {
            Place::None => {}
            Place::StoreId(column) => {
                // Store 0 is all of them.
                let id = if column == watched.key {
                    Some(self.key.as_str())
                } else {
                    find(column)
                };
                if let Some(code) = id
                    .filter(|id| *id != "0")
                    .and_then(|id| stores.views.get(id))
                {
                    observation = observation.text(Field::StoreView, code);
                }
            }
            Place::ConfigScope => {
                observation = observation.text(Field::ConfigPath, find("path").unwrap_or_default());
                let id = find("scope_id").unwrap_or_default();
                let (field, codes) = match find("scope") {
                    Some("stores") => (Field::StoreView, &stores.views),
                    Some("websites") => (Field::Website, &stores.websites),
                    _ => return observation.record(),
                };
                if let Some(code) = codes.get(id) {
                    observation = observation.text(field, code);
                }
            }
        }
        observation.record()
    }
}

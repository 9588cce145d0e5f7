//! One look at one table: which rows differ, and what they say.

use std::collections::BTreeMap;

use model::{Category, Field, Timestamp};

use super::stores::Stores;
use super::tables::{Place, READABLE_CONFIG, Watched, Way};
use super::{AGAIN, Access, FETCH, ROWS_MAX, VALUE_BYTES};
use crate::database::account::{quoted_name, quoted_text};
use crate::database::gentle::{Ask, End, Order};
use crate::observation::Observation;

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
    /// The table has more rows than are compared.
    pub(super) is_cut: bool,
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

    /// Compares the rows with those of the look before, if there was one.
    pub(super) fn at(
        &self,
        ask: &mut Ask<'_>,
        before: Option<&BTreeMap<String, String>>,
    ) -> Result<Found, End> {
        let (table, key) = (
            name(self.access, self.watched.table),
            quoted_name(self.watched.key),
        );
        let (order, most) = match self.watched.way {
            Way::Whole => (Order::Rising, ROWS_MAX),
            // At a first look what is there already is taken, too, as far as it goes.
            Way::Latest if before.is_none_or(BTreeMap::is_empty) => (Order::Falling, ROWS_MAX / 10),
            Way::Latest => (Order::Falling, AGAIN * 5),
        };
        let select = format!("SELECT {key}, {} FROM {table}", self.hash());
        let hashes = ask.pages(&select, &key, order, most)?;
        // What comes into sight again because later rows went was told long ago.
        let number = |key: &String| key.parse::<u64>().unwrap_or(u64::MAX);
        let known = |key: &String| before.and_then(|before| before.get(key));
        let told_up_to = match self.watched.way {
            Way::Whole => None,
            Way::Latest => before.and_then(|before| before.keys().map(number).min()),
        };
        let changed: Vec<&String> = hashes
            .iter()
            .filter(|(key, hash)| {
                known(key) != Some(hash) && told_up_to.is_none_or(|told| number(key) >= told)
            })
            .map(|(key, _)| key)
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
            for row in ask.rows(statement, "for changed rows", FETCH)? {
                let mut row = row.into_iter();
                let Some(key) = row.next() else { continue };
                found.rows.push(FoundRow {
                    key,
                    columns: self.columns.iter().copied().zip(row).collect(),
                });
            }
        }
        // Of a table that grows, what is out of sight isn't gone: it was told when it came. Of one that isn't seen whole
        // a row may only have moved out of sight.
        if self.watched.way == Way::Whole {
            found.is_cut = hashes.len() >= ROWS_MAX;
            let before = before.filter(|_| !found.is_cut);
            found.gone = before
                .into_iter()
                .flat_map(BTreeMap::keys)
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

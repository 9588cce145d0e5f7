//! One look at one table: which rows differ, and what they say.

use std::collections::BTreeMap;

use model::{Category, Field, Timestamp};

use super::config::READABLE_CONFIG;
use super::stores::Stores;
use super::watched::{Place, Watched, Way};
use super::{Access, FETCH, ROWS_MAX, There, VALUE_BYTES, act};
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
    pub(super) there: &'a There,
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
    /// Of the row it belongs to.
    of: Vec<(&'static str, String)>,
    /// When the act was that it tells of.
    time: Option<Timestamp>,
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
            .there
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

    /// An expression of the row it belongs to.
    fn of(&self, what: &str) -> Option<String> {
        let of = self.watched.of.as_ref()?;
        Some(format!(
            "(SELECT {what} FROM {} AS o WHERE o.{} = r.{})",
            name(self.access, of.table),
            quoted_name(of.key),
            quoted_name(of.by)
        ))
    }

    /// The statement that fetches rows by their keys: key, columns, those of the row it belongs to, and seconds of its time.
    fn fetch(&self, keys: &[&String]) -> String {
        let key = quoted_name(self.watched.key);
        let time = quoted_name(self.watched.time);
        let seconds = format!("UNIX_TIMESTAMP({time})");
        let time = if self.there.columns.contains(&self.watched.time) {
            Some(seconds)
        } else if self.there.of.contains(&self.watched.time) {
            self.of(&seconds)
        } else {
            None
        };
        let own = self.there.columns.iter().map(|one| self.expression(one));
        let of = self.there.of.iter();
        let of =
            of.filter_map(|one| self.of(&format!("LEFT({}, {VALUE_BYTES})", quoted_name(one))));
        let read: Vec<_> = std::iter::once(key.clone())
            .chain(own)
            .chain(of)
            .chain(time)
            .collect();
        let wanted: Vec<_> = keys.iter().map(|key| quoted_text(key)).collect();
        format!(
            "SELECT {} FROM {} AS r WHERE {key} IN ({})",
            read.join(", "),
            name(self.access, self.watched.table),
            wanted.join(", ")
        )
    }

    fn row(&self, row: Vec<String>) -> Option<FoundRow> {
        let mut row = row.into_iter();
        Some(FoundRow {
            key: row.next()?,
            columns: self
                .there
                .columns
                .iter()
                .copied()
                .zip(row.by_ref().take(self.there.columns.len()))
                .collect(),
            of: self
                .there
                .of
                .iter()
                .copied()
                .zip(row.by_ref().take(self.there.of.len()))
                .collect(),
            // A time in DATETIME(6) has a fraction.
            time: row
                .next()
                .and_then(|seconds| seconds.split('.').next()?.parse().ok())
                .map(Timestamp::from_seconds),
        })
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
        let number = |key: &String| key.parse::<u64>().unwrap_or(u64::MAX);
        let known = |key: &String| before.and_then(|before| before.get(key));
        let known_numbers = || before.into_iter().flat_map(BTreeMap::keys).map(number);
        let (order, most, down_to) = match self.watched.way {
            Way::Whole => (Order::Rising, ROWS_MAX, None),
            // At a first look what is there already is taken, too, as far as it goes.
            Way::Latest(again) if before.is_none() => (Order::Falling, again * 4, None),
            Way::Latest(again) => (Order::Falling, again, known_numbers().max().or(Some(0))),
        };
        let select = format!("SELECT {key}, {} FROM {table}", self.hash());
        let hashes = ask.pages(&select, &key, order, most, down_to)?;
        // What comes into sight again because later rows went was told long ago.
        let told_up_to = match self.watched.way {
            Way::Whole => None,
            Way::Latest(_) => known_numbers().min(),
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
            let rows = ask.rows(self.fetch(keys), "for changed rows", FETCH)?;
            found
                .rows
                .extend(rows.into_iter().filter_map(|row| self.row(row)));
        }
        found.is_cut = hashes.len() >= ROWS_MAX;
        // Of a table that grows, what is out of sight isn't gone: it was told when it came. Of one that isn't seen whole
        // a row may only have moved out of sight.
        if self.watched.way == Way::Whole {
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
        // What is said to be of later than now was written by a clock or a hand that is wrong.
        let time = self.time.filter(|time| *time <= now).unwrap_or(now);
        let observation = Observation::new(Category::ShopRow, time)
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
        let mut observation = act::tell(observation, watched.acts, |name| {
            let of = || self.of.iter().find(|(column, _)| *column == name);
            find(name).or_else(|| Some(of()?.1.as_str()))
        });
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Look, There};
    use crate::database::rows::tables::WATCHED;
    use crate::database::{Access, Account, Server};

    fn access() -> Access {
        Access {
            account: Account {
                user: "magewarden".to_owned(),
                password_file: None,
                ca_file: None,
            },
            server: Server::Socket(PathBuf::from("/s")),
            schema: "shop".to_owned(),
            prefix: "mg_".to_owned(),
        }
    }

    /// What is fetched of a table that has these columns, and what of the row it belongs to.
    #[track_caller]
    fn check(table: &str, columns: &[&'static str], of: &[&'static str], expected: &str) {
        let watched = WATCHED.iter().find(|one| one.table == table);
        let look = Look {
            watched: watched.expect("watched"),
            there: &There {
                columns: columns.to_vec(),
                of: of.to_vec(),
                hashed: String::new(),
            },
            access: &access(),
            salt: "",
        };
        assert_eq!(look.fetch(&[&"7".to_owned()]), expected);
    }

    #[test]
    fn a_row_is_fetched_with_its_time_and_what_it_belongs_to() {
        check(
            "admin_login_log",
            &["username", "created_at"],
            &[],
            "SELECT `entity_id`, LEFT(`username`, 16384), LEFT(`created_at`, 16384), UNIX_TIMESTAMP(`created_at`) \
             FROM `shop`.`mg_admin_login_log` AS r WHERE `entity_id` IN ('7')",
        );
        let of = "FROM `shop`.`mg_admin_activity` AS o WHERE o.`entity_id` = r.`activity_id`)";
        check(
            "admin_activity_log",
            &["activity_id", "field_name"],
            &["username", "created_at"],
            &format!(
                "SELECT `entity_id`, LEFT(`activity_id`, 16384), LEFT(`field_name`, 16384), \
                 (SELECT LEFT(`username`, 16384) {of}, (SELECT LEFT(`created_at`, 16384) {of}, \
                 (SELECT UNIX_TIMESTAMP(`created_at`) {of} \
                 FROM `shop`.`mg_admin_activity_log` AS r WHERE `entity_id` IN ('7')"
            ),
        );
        // A shop that doesn't have the other table, or its columns.
        check(
            "admin_activity_log",
            &["field_name"],
            &[],
            "SELECT `entity_id`, LEFT(`field_name`, 16384) FROM `shop`.`mg_admin_activity_log` AS r \
             WHERE `entity_id` IN ('7')",
        );
    }
}

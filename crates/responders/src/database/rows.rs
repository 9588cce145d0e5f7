//! Rows that are changed and put back: what each was, what it becomes, and which of the two it is.
//!
//! Invariants: a row that is neither is somebody else's change and is left alone; what the server would set by itself
//! (`ON UPDATE CURRENT_TIMESTAMP`) is put back with the rest; all rows of an action change together or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Cell, Database, ROWS_MAX, quote};
use crate::ActionError;
use crate::action::Effect;

/// Cells by their columns.
pub(crate) type Cells = BTreeMap<String, Cell>;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowChange {
    /// Magento's name of its table.
    pub(crate) table: String,
    /// What tells it from all others.
    pub(crate) key: Cells,
    /// The columns that change and those that the server sets with them; none when it isn't there.
    pub(crate) before: Option<Cells>,
    /// The columns that change.
    pub(crate) after: Cells,
}

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Before,
    After,
    Other,
}

/// Cells of a few columns.
pub(crate) fn cells<const N: usize>(cells: [(&str, &str); N]) -> Cells {
    let cell = |(column, value): (&str, &str)| (column.to_owned(), Some(value.to_owned()));
    cells.into_iter().map(cell).collect()
}

impl RowChange {
    /// Looks at a row that is to become `after`; none when it is so already.
    pub(crate) fn survey(
        database: &mut Database<'_>,
        table: &str,
        key: Cells,
        after: Cells,
    ) -> Result<Option<Self>, ActionError> {
        let mut columns: Vec<_> = after.keys().cloned().collect();
        columns.extend(set_by_server(database, table)?);
        let before = read(database, table, &key, &columns, "")?;
        let is_so = before.as_ref().is_some_and(|before| holds(before, &after));
        let change = Self {
            table: table.to_owned(),
            key,
            before,
            after,
        };
        Ok((!is_so).then_some(change))
    }

    fn is(&self, database: &mut Database<'_>, lock: &str) -> Result<Is, ActionError> {
        // What the server sets by itself may have been set anew without a change of what counts.
        let columns: Vec<_> = self.after.keys().cloned().collect();
        let now = read(database, &self.table, &self.key, &columns, lock)?;
        Ok(match (now, &self.before) {
            (None, None) => Is::Before,
            (Some(now), _) if now == self.after => Is::After,
            (Some(now), Some(before)) if holds(before, &now) => Is::Before,
            _ => Is::Other,
        })
    }

    fn put(&self, database: &mut Database<'_>, is_undone: bool) -> Result<(), ActionError> {
        let (from, to) = if is_undone {
            (Some(&self.after), self.before.as_ref())
        } else {
            (self.before.as_ref(), Some(&self.after))
        };
        let table = database.table(&self.table);
        let what = format!("change a row of {}", self.table);
        let (statement, values) = match (from, to) {
            (Some(_), Some(to)) => {
                let (set, mut values) = listed(to, ", ", " = ?");
                let (key, more) = condition(&self.key);
                values.extend(more);
                (format!("UPDATE {table} SET {set} WHERE {key}"), values)
            }
            (None, Some(to)) => {
                let mut whole = self.key.clone();
                whole.extend(
                    to.iter()
                        .map(|(column, cell)| (column.clone(), cell.clone())),
                );
                let (columns, values) = listed(&whole, ", ", "");
                let places = vec!["?"; values.len()].join(", ");
                (
                    format!("INSERT INTO {table} ({columns}) VALUES ({places})"),
                    values,
                )
            }
            (_, None) => {
                let (key, values) = condition(&self.key);
                (format!("DELETE FROM {table} WHERE {key}"), values)
            }
        };
        let changed = database.change(&what, &statement, &values)?;
        if changed == 1 {
            return Ok(());
        }
        Err(ActionError::refused(format!(
            "{changed} rows of {} would have changed instead of one",
            self.table
        )))
    }
}

/// Makes all of them what they are to become.
pub(crate) fn act(database: &mut Database<'_>, changes: &[RowChange]) -> Result<(), ActionError> {
    all(database, changes, false)
}

/// Puts all of them back.
pub(crate) fn undo(database: &mut Database<'_>, changes: &[RowChange]) -> Result<(), ActionError> {
    all(database, changes, true)
}

fn all(
    database: &mut Database<'_>,
    changes: &[RowChange],
    is_undone: bool,
) -> Result<(), ActionError> {
    if changes.is_empty() {
        return Ok(());
    }
    database.whole("change rows", |database| {
        put_all(database, changes, is_undone)
    })
}

/// Whether all of them are what they were to become.
pub(crate) fn is_done(
    database: &mut Database<'_>,
    changes: &[RowChange],
) -> Result<bool, ActionError> {
    Ok(read_back(database, changes)? == Effect::InEffect)
}

/// Changes all of them in a transaction that is the caller's.
pub(crate) fn put_all(
    database: &mut Database<'_>,
    changes: &[RowChange],
    is_undone: bool,
) -> Result<(), ActionError> {
    let wanted = if is_undone { Is::Before } else { Is::After };
    for change in changes {
        match change.is(database, " FOR UPDATE")? {
            is if is == wanted => {}
            Is::Other => {
                return Err(ActionError::refused(format!(
                    "the row of {} with {} was changed by somebody else since it was surveyed: see to it by hand, or survey again",
                    change.table,
                    shown(&change.key)
                )));
            }
            _ => change.put(database, is_undone)?,
        }
    }
    Ok(())
}

/// Whether all of them are what they were to become. Where there are none, nothing had to be done.
pub(crate) fn read_back(
    database: &mut Database<'_>,
    changes: &[RowChange],
) -> Result<Effect, ActionError> {
    let mut told = Vec::new();
    for change in changes {
        told.push((change.is(database, "")?, change));
    }
    let is_all = |wanted| told.iter().all(|(is, _)| *is == wanted);
    if is_all(Is::After) {
        return Ok(Effect::InEffect);
    }
    if is_all(Is::Before) {
        return Ok(Effect::NotInEffect);
    }
    let words = told.iter().filter(|(is, _)| *is != Is::After);
    let words = words.map(|(is, change)| {
        let how = if *is == Is::Before {
            "is as before"
        } else {
            "is something else"
        };
        format!("{} {} {how}", change.table, shown(&change.key))
    });
    Ok(Effect::Partly(words.collect::<Vec<_>>().join("; ")))
}

/// A key in words: column and value.
fn shown(key: &Cells) -> String {
    let part = |(column, cell): (&String, &Cell)| {
        format!("{column} {}", cell.as_deref().unwrap_or("NULL"))
    };
    key.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn holds(now: &Cells, wanted: &Cells) -> bool {
    wanted
        .iter()
        .all(|(column, cell)| now.get(column) == Some(cell))
}

/// Columns in a row, each with what follows it, and their values in the same order.
fn listed(cells: &Cells, between: &str, behind: &str) -> (String, Vec<Cell>) {
    let columns = cells
        .keys()
        .map(|column| format!("{}{behind}", quote::name(column)));
    let columns = columns.collect::<Vec<_>>().join(between);
    (columns, cells.values().cloned().collect())
}

/// The condition that finds a row by its key.
fn condition(key: &Cells) -> (String, Vec<Cell>) {
    listed(key, " AND ", " <=> ?")
}

/// The row of a key; an error when there are several.
fn read(
    database: &mut Database<'_>,
    table: &str,
    key: &Cells,
    columns: &[String],
    lock: &str,
) -> Result<Option<Cells>, ActionError> {
    let found = select(database, table, key, columns, &format!(" LIMIT 2{lock}"))?;
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (row, None) => Ok(row),
        _ => Err(ActionError::refused(format!(
            "{table} has several rows with {}",
            shown(key)
        ))),
    }
}

/// The rows of a key, whose columns need not tell one from all others; too many are an error.
pub(crate) fn find(
    database: &mut Database<'_>,
    table: &str,
    key: &Cells,
    columns: &[&str],
) -> Result<Vec<Cells>, ActionError> {
    let columns: Vec<_> = columns.iter().map(|&column| column.to_owned()).collect();
    // One more than is taken of an answer: nobody fills our memory with rows of theirs.
    let end = format!(" LIMIT {}", ROWS_MAX + 1);
    select(database, table, key, &columns, &end)
}

/// Columns of the one row that has a name in a column; refused when there is none, or several.
pub(crate) fn named<const N: usize>(
    database: &mut Database<'_>,
    table: &str,
    (column, name): (&str, &str),
    columns: [&str; N],
) -> Result<[Cell; N], ActionError> {
    let found = find(database, table, &cells([(column, name)]), &columns)?;
    let [row] = found.as_slice() else {
        return Err(ActionError::refused(format!(
            "the shop has {} rows of {table} with {column} {name}",
            found.len()
        )));
    };
    Ok(columns.map(|column| row.get(column).cloned().flatten()))
}

fn select(
    database: &mut Database<'_>,
    table: &str,
    key: &Cells,
    columns: &[String],
    end: &str,
) -> Result<Vec<Cells>, ActionError> {
    let cast = |column: &String| format!("CAST({} AS CHAR)", quote::name(column));
    let wanted: Vec<_> = columns.iter().map(cast).collect();
    let (condition, values) = condition(key);
    let statement = format!(
        "SELECT {} FROM {} WHERE {condition}{end}",
        wanted.join(", "),
        database.table(table)
    );
    let found = database.rows(&format!("read {table}"), &statement, &values)?;
    let named = |row: Vec<Cell>| columns.iter().cloned().zip(row).collect();
    Ok(found.into_iter().map(named).collect())
}

/// Columns of a table that the server sets by itself with any other one.
fn set_by_server(database: &mut Database<'_>, table: &str) -> Result<Vec<String>, ActionError> {
    let statement = "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
        WHERE table_schema = ? AND table_name = ? AND extra LIKE '%on update%' ORDER BY ordinal_position";
    let place = [
        Some(database.schema().to_owned()),
        Some(database.prefixed(table)),
    ];
    let found = database.rows(&format!("say the columns of {table}"), statement, &place)?;
    Ok(found.into_iter().flatten().flatten().collect())
}

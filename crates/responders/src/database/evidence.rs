//! What the database shows of an attack before anything is changed: who is connected and does what, where the binary log is, then
//! what is named.

use model::{Argument, Arguments};

use super::{Cell, Database, quote};
use crate::ActionError;
use crate::evidence::Evidence;
use crate::host::Host;

/// What the server is asked to do, as an error says it.
const KEPT: &str = "show what is kept before a change";
/// Characters kept of a cell: whoever wrote it may have written gigabytes.
const CELL_MAX: usize = 1 << 20;
/// Characters kept of a statement: there are as many as there are connections.
const STATEMENT_MAX: usize = 1 << 16;
/// Rows kept of what has a key of several columns.
const ROWS_MAX: usize = 100;

/// Gathers it; nothing of it fails the whole.
pub(crate) fn gather(host: &Host, arguments: &Arguments) -> Vec<Evidence> {
    let named: Vec<_> = ["row", "account", "trigger"]
        .into_iter()
        .filter_map(|name| Some((name, arguments.get(name)?)))
        .collect();
    if host.settings.database.is_none() && named.is_empty() {
        return Vec::new();
    }
    let mut database = match Database::open(host) {
        Ok(database) => database,
        Err(error) => {
            let names = named
                .iter()
                .map(|(name, value)| format!("{name} {}", value.as_str()));
            let names = std::iter::once("database connections".to_owned()).chain(names);
            return names
                .enumerate()
                .map(|(at, name)| {
                    let none = Evidence::none(name, error.to_string());
                    if at == 0 { none } else { none.named() }
                })
                .collect();
        }
    };
    let mut out = vec![
        asked(
            &mut database,
            "database connections",
            &format!(
                "SELECT ID, USER, HOST, DB, COMMAND, TIME, STATE, LEFT(INFO, {STATEMENT_MAX}) FROM information_schema.PROCESSLIST ORDER BY ID"
            ),
        ),
        asked(
            &mut database,
            "position of the binary log",
            "SHOW MASTER STATUS",
        ),
    ];
    for (name, value) in named {
        let shown = format!("{name} {}", value.as_str());
        let found = match name {
            "row" => row(&mut database, value),
            "account" => account(&mut database, value),
            _ => trigger(&mut database, value),
        };
        out.push(piece(shown, found, CELL_MAX).named());
    }
    out
}

fn asked(database: &mut Database<'_>, name: &str, statement: &str) -> Evidence {
    let shown = database.shown(KEPT, statement);
    piece(name.to_owned(), shown, STATEMENT_MAX)
}

fn row(database: &mut Database<'_>, row: &Argument) -> Result<Vec<Vec<Cell>>, ActionError> {
    let (table, key) = row.as_str().split_once(':').unwrap_or_default();
    let of_table = [
        Some(database.schema().to_owned()),
        Some(database.prefixed(table)),
    ];
    let columns = database.rows(
        KEPT,
        "SELECT CAST(COLUMN_NAME AS CHAR), CAST(COLUMN_KEY AS CHAR) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
        &of_table,
    )?;
    let cell = |row: &[Cell], at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let primary = columns.iter().find(|row| cell(row, 1) == "PRI");
    let Some(primary) = primary.map(|row| cell(row, 0)) else {
        return Err(ActionError::refused(format!(
            "{} has no key that is seen from here",
            database.prefixed(table)
        )));
    };
    let names: Vec<_> = columns.iter().map(|row| cell(row, 0)).collect();
    let chosen: Vec<_> = names
        .iter()
        .map(|name| format!("LEFT(CAST({} AS CHAR), {CELL_MAX})", quote::name(name)))
        .collect();
    let statement = format!(
        "SELECT {} FROM {} WHERE {} = ? LIMIT {}",
        chosen.join(", "),
        database.table(table),
        quote::name(&primary),
        ROWS_MAX + 1
    );
    let mut found = database.rows(KEPT, &statement, &[Some(key.to_owned())])?;
    if found.is_empty() {
        return Err(ActionError::refused(format!(
            "{} isn't there",
            row.as_str()
        )));
    }
    if found.len() > ROWS_MAX {
        return Err(ActionError::refused(format!(
            "{} is more than {ROWS_MAX} rows: keep them by hand",
            row.as_str()
        )));
    }
    found.insert(0, names.into_iter().map(Some).collect());
    Ok(found)
}

fn account(database: &mut Database<'_>, account: &Argument) -> Result<Vec<Vec<Cell>>, ActionError> {
    let quoted = quote::account(account);
    // Its password's hash is of no use to whoever investigates, and of use to others: rights alone.
    let mut out = database.shown(KEPT, &format!("SHOW GRANTS FOR {quoted}"))?;
    for text in out.iter_mut().flatten().flatten() {
        if let Some(at) = text.find(" IDENTIFIED ") {
            text.truncate(at);
        }
    }
    Ok(out)
}

fn trigger(database: &mut Database<'_>, trigger: &Argument) -> Result<Vec<Vec<Cell>>, ActionError> {
    let name = quote::within(database.schema(), trigger.as_str());
    database.shown(KEPT, &format!("SHOW CREATE TRIGGER {name}"))
}

/// Rows as lines of cells between tabs; `cell_max` is where the server cut them.
fn piece(name: String, found: Result<Vec<Vec<Cell>>, ActionError>, cell_max: usize) -> Evidence {
    let rows = match found {
        Ok(rows) => rows,
        Err(error) => return Evidence::none(name, error.to_string()),
    };
    let is_cut = |cell: &Cell| {
        let text = cell.as_deref().unwrap_or_default();
        text.len() >= cell_max && text.chars().count() >= cell_max
    };
    let lacks = match rows.iter().flatten().any(is_cut) {
        true => format!("cells are cut after {cell_max} characters"),
        false => String::new(),
    };
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .map(|cell| cell.as_deref().unwrap_or("\\N"))
            .map(|cell| cell.replace(['\t', '\n', '\r'], " "));
        text.push_str(&cells.collect::<Vec<_>>().join("\t"));
        text.push('\n');
    }
    Evidence {
        lacks,
        ..Evidence::whole(name, text)
    }
}

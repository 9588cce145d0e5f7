//! Events in their order → records: which rows of watched tables changed, by which statement, and which definitions.
//!
//! Pure: the same events give the same bytes, so a record read again is the same record. Of a watched table the names of
//! changed columns are told, and values only of columns that `shop_rows` may read; of other tables' rows, and of orders and carts, nothing is.

use std::collections::{BTreeMap, BTreeSet};

use model::{Category, Field, Timestamp};

use super::bytes::text;
use super::event::{self, Broken, Change, Header, Rows, Table, Told};
use super::place::ROOM;
use super::row::{Cell, Image, Images, value};
use super::statement::{self, Kind};
use crate::database::{Place, WATCHED, Watched, is_readable_config};
use crate::observation::Observation;

/// Bytes of the statement told at the first row of an event, and at those that follow.
const STATEMENT_BYTES: (usize, usize) = (16 * 1024, 2 * 1024);
/// Bytes of each value in a record that would be too long for its place.
const VALUE_BYTES: usize = 2 * 1024;
/// Tables named by one statement.
const TABLES_MAX: usize = 10_000;

/// The tables whose rows are told one by one.
fn followed() -> impl Iterator<Item = &'static Watched> {
    WATCHED.iter().filter(|watched| !watched.is_busy())
}

/// What one event gave.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Records, each with its number in the event.
    pub(super) records: Vec<(u64, Vec<u8>)>,
    /// Whether all of a transaction was told before the event, or is with it.
    pub(super) boundary: Option<Boundary>,
    /// Each event ends in a checksum from now on, or doesn't.
    pub(super) has_checksums: Option<bool>,
    /// The file that follows, and where in it.
    pub(super) rotate: Option<(String, u64)>,
    /// Rows went untold: why.
    pub(super) dropped: Option<String>,
    /// Less is told than could be: why.
    pub(super) poor: Option<String>,
}

/// Where reading can begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    Before,
    After,
}

/// The log of one shop.
pub(super) struct Log {
    schema: String,
    prefix: String,
    /// Tables that the statement at work named; `None` for those that aren't watched.
    tables: BTreeMap<u64, Option<(&'static Watched, Table)>>,
    statement: Option<String>,
    gtid: String,
    connection: Option<u32>,
}

/// Where an event stands, as a record says it.
pub(super) struct At<'a> {
    pub(super) file: &'a str,
    pub(super) position: u64,
}

impl Log {
    pub(super) fn new(schema: &str, prefix: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            prefix: prefix.to_owned(),
            tables: BTreeMap::new(),
            statement: None,
            gtid: String::new(),
            connection: None,
        }
    }

    /// Takes one event, without its checksum.
    pub(super) fn take(&mut self, header: &Header, body: &[u8], at: &At<'_>) -> Taken {
        let mut taken = Taken::default();
        if let Err(broken) = self.read(header, body, at, &mut taken) {
            taken.dropped = Some(format!("{broken}, at {}:{}", at.file, at.position));
        }
        taken
    }

    fn read(
        &mut self,
        header: &Header,
        body: &[u8],
        at: &At<'_>,
        taken: &mut Taken,
    ) -> Result<(), Broken> {
        let told = event::read(header, body, |schema, table| {
            self.watched(schema, table).is_some()
        })?;
        match told {
            Told::Format { has_checksums } => {
                self.end();
                taken.has_checksums = Some(has_checksums);
            }
            Told::Rotate { file, position } => {
                self.end();
                taken.rotate = Some((file, position));
            }
            Told::Gtid { gtid, connection } => {
                self.end();
                (self.gtid, self.connection) = (gtid, connection);
                taken.boundary = Some(Boundary::Before);
            }
            Told::End => {
                self.end();
                taken.boundary = Some(Boundary::After);
            }
            Told::Statement(statement) => self.statement = Some(text(statement)),
            Told::Table(table) => {
                let watched = self.watched(&table.schema, &table.name);
                if self.tables.len() < TABLES_MAX {
                    let named = watched.map(|watched| (watched, table.clone()));
                    self.tables.insert(table.id, named);
                }
            }
            Told::Rows(rows) => {
                let is_last = rows.is_last;
                let result = self.rows(header, &rows, at, taken);
                if is_last {
                    self.tables.clear();
                    self.statement = None;
                }
                result?;
            }
            Told::Query {
                connection,
                schema,
                statement,
            } => self.query(header, connection, &schema, &statement, at, taken),
            Told::NotRead(why) => taken.dropped = Some(why.to_owned()),
            Told::Nothing => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        self.tables.clear();
        self.statement = None;
        self.connection = None;
        self.gtid.clear();
    }

    fn watched(&self, schema: &str, table: &str) -> Option<&'static Watched> {
        let name = table.strip_prefix(&self.prefix)?;
        followed().find(|watched| schema == self.schema && watched.table == name)
    }

    fn names_watched(&self, statement: &str) -> bool {
        followed().any(|watched| statement.contains(&format!("{}{}", self.prefix, watched.table)))
    }

    fn observe(&self, category: Category, header: &Header, at: &At<'_>) -> Observation {
        let time = Timestamp(i64::from(header.time) * Timestamp::SECOND);
        let observation = Observation::new(category, time)
            .text(Field::Schema, &self.schema)
            .int(Field::ServerId, i64::from(header.server))
            .text(Field::Gtid, &self.gtid)
            .text(Field::LogPosition, &format!("{}:{}", at.file, at.position));
        match self.connection {
            Some(connection) => observation.int(Field::ConnectionId, i64::from(connection)),
            None => observation,
        }
    }

    fn query(
        &mut self,
        header: &Header,
        connection: u32,
        schema: &str,
        statement: &str,
        at: &At<'_>,
        taken: &mut Taken,
    ) {
        let is_ours = schema == self.schema
            || statement.contains(&format!("{}.", self.schema))
            || statement.contains(&format!("`{}`", self.schema));
        match statement::kind(statement) {
            // MySQL's transactions begin with one; its connection wrote what follows.
            Kind::Begin => self.connection = Some(connection),
            Kind::End => {
                self.end();
                taken.boundary = Some(Boundary::After);
            }
            Kind::Definition if is_ours => {
                self.connection = Some(connection);
                let record = self
                    .observe(Category::Database, header, at)
                    .text(Field::Operation, "query")
                    .text(Field::Statement, statement)
                    .record();
                taken.records.push((0, record));
            }
            Kind::Rows if is_ours && self.names_watched(statement) => {
                taken.dropped = Some(
                    "a statement stands in the log without its rows; SET GLOBAL binlog_format = ROW, and no session may set another"
                        .to_owned(),
                );
            }
            Kind::Definition | Kind::Rows | Kind::Other => {}
        }
    }

    fn rows(
        &self,
        header: &Header,
        rows: &Rows<'_>,
        at: &At<'_>,
        taken: &mut Taken,
    ) -> Result<(), Broken> {
        // A table with the highest number ends a statement and has no rows.
        let Some(named) = self.tables.get(&rows.table) else {
            let is_mark = rows.are_none();
            return if is_mark {
                Ok(())
            } else {
                Err(Broken("rows of a table that was not named"))
            };
        };
        let Some((watched, table)) = named else {
            return Ok(());
        };
        if !table.is_named {
            taken.poor = Some(
                "the log doesn't name columns, so no key and no value is told; SET GLOBAL binlog_row_metadata = FULL"
                    .to_owned(),
            );
        }
        let mut told = Vec::new();
        let mut allowed = BTreeSet::new();
        let bytes = rows.images()?;
        let mut images = Images::new(rows, &bytes, table)?;
        let mut result = Ok(());
        while !images.are_read() {
            match Row::read(&mut images, rows.change, watched, table) {
                Ok(row) => {
                    allowed.extend(row.readable.iter().cloned());
                    told.push(row);
                }
                Err(broken) => {
                    result = Err(broken);
                    break;
                }
            }
        }
        let statement = self
            .statement
            .as_deref()
            .and_then(|text| statement::told(text, &allowed))
            .unwrap_or_default();
        for (number, row) in (0..).zip(told) {
            let record = |statement_bytes: usize, value_bytes: usize| {
                let shown = cut(&statement, statement_bytes);
                let observation = self.observe(Category::ShopRow, header, at);
                let observation = row
                    .observe(observation, watched, value_bytes)
                    .text(Field::Statement, shown);
                if shown.len() < statement.len() {
                    return observation.int(Field::StatementCut, 1).record();
                }
                observation.record()
            };
            let (first, later) = STATEMENT_BYTES;
            let mut made = record(if number == 0 { first } else { later }, usize::MAX);
            if made.len() as u64 >= ROOM {
                made = record(later, VALUE_BYTES);
            }
            taken.records.push((number, made));
        }
        result
    }
}

/// A changed row, as far as it may be told.
struct Row {
    change: &'static str,
    key: String,
    path: Option<String>,
    columns: Vec<String>,
    values: Vec<String>,
    /// Every value in it that may be read, changed or not.
    readable: Vec<String>,
}

impl Row {
    fn read(
        images: &mut Images<'_>,
        change: Change,
        watched: &Watched,
        table: &Table,
    ) -> Result<Self, Broken> {
        let first = images.next(false)?;
        let (before, after) = match change {
            Change::Created => (None, first),
            Change::Removed => (Some(first), Vec::new()),
            Change::Modified => (Some(first), images.next(true)?),
        };
        let newest = |name: &str| find(&after, table, name);
        let oldest = |name: &str| before.as_ref().and_then(|image| find(image, table, name));
        let paths: Vec<String> = match watched.place {
            Place::ConfigScope => newest("path").into_iter().chain(oldest("path")).collect(),
            Place::None | Place::StoreId(_) => Vec::new(),
        };
        // A secret that is moved to another path stays one.
        let is_readable = !paths.is_empty() && paths.iter().all(|path| is_readable_config(path));
        let may_read = |name: &str| {
            let is_listed = name == watched.key || watched.columns.contains(&name);
            let is_config = watched.place == Place::ConfigScope && name == "value";
            is_listed && (!is_config || is_readable)
        };
        let mut row = Self {
            change: match change {
                Change::Created => "created",
                Change::Modified => "modified",
                Change::Removed => "removed",
            },
            // A changed key is told as it was.
            key: oldest(watched.key)
                .or_else(|| newest(watched.key))
                .unwrap_or_default(),
            columns: Vec::new(),
            values: Vec::new(),
            readable: Vec::new(),
            path: paths.first().cloned(),
        };
        for (at, column) in table.columns.iter().enumerate() {
            let was = cell(before.as_ref(), at);
            let is = cell(Some(&after), at);
            if may_read(&column.name) {
                for cell in [was, is] {
                    if let Cell::Bytes(bytes) = cell {
                        row.readable.extend(value(column, bytes));
                    }
                }
            }
            let told = match change {
                Change::Removed => was,
                Change::Created => is,
                // An image may leave out what didn't change.
                Change::Modified if is == Cell::Absent || is == was => continue,
                Change::Modified => is,
            };
            if told == Cell::Absent || column.name.is_empty() {
                continue;
            }
            row.columns.push(column.name.clone());
            if let (true, Cell::Bytes(bytes)) = (may_read(&column.name), told)
                && let Some(value) = value(column, bytes).filter(|value| !value.is_empty())
                && column.name != watched.key
            {
                row.values.push(format!("{}={value}", column.name));
            }
        }
        Ok(row)
    }

    fn observe(
        &self,
        observation: Observation,
        watched: &Watched,
        value_bytes: usize,
    ) -> Observation {
        let values = self.values.iter().map(|value| cut(value, value_bytes));
        observation
            .text(Field::Table, watched.table)
            .text(Field::RowKey, &self.key)
            .text(Field::Change, self.change)
            .text(Field::ConfigPath, self.path.as_deref().unwrap_or_default())
            .list(Field::RowColumns, &self.columns)
            .list(Field::RowValues, values)
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes))
        .unwrap_or_default()
}

fn cell<'a>(image: Option<&Image<'a>>, at: usize) -> Cell<'a> {
    image
        .and_then(|image| image.get(at))
        .copied()
        .unwrap_or(Cell::Absent)
}

/// The text of a column that may always be read: a key or a path.
fn find(image: &Image<'_>, table: &Table, name: &str) -> Option<String> {
    let at = table
        .columns
        .iter()
        .position(|column| column.name == name)?;
    match image.get(at)? {
        Cell::Bytes(bytes) => value(table.columns.get(at)?, bytes),
        Cell::Absent | Cell::Null => None,
    }
}

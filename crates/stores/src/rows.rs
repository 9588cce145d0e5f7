//! The rows of the state as plain values, and how they are written: many by one statement.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row as _};
use tokio_stream::StreamExt as _;

use crate::{Database, SettledRow, StoreError};

/// Where a source goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Its id.
    pub id: String,
    /// Its generation, as JSON.
    pub generation: String,
    /// First byte not sealed.
    pub offset_bytes: u64,
}

/// A finding's latest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRow {
    /// Its id.
    pub id: String,
    /// The entry this state is of.
    pub sequence: u64,
    /// When it was first sealed, in microseconds; the earliest that was ever told stays.
    pub detected: i64,
    /// First event's time, in microseconds.
    pub first: i64,
    /// Last event's time, in microseconds.
    pub last: i64,
    /// The finding, as JSON.
    pub body: String,
}

/// An incident's latest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: String,
    /// The entry this state is of.
    pub sequence: u64,
    /// First event's time, in microseconds.
    pub first: i64,
    /// Last event's time, in microseconds.
    pub last: i64,
    /// The incident, as JSON.
    pub body: String,
}

/// How people handle an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlingRow {
    /// The incident.
    pub incident: String,
    /// The last decision's entry.
    pub sequence: u64,
    /// What comes of the decisions, as JSON.
    pub body: String,
}

/// What a source's records list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRow {
    /// The source.
    pub source: String,
    /// The list, as JSON with its version.
    pub body: String,
}

/// What was told of one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRow {
    /// The hour, in whole hours since 1970.
    pub hour: i64,
    /// The table that was read; empty for the hour itself.
    pub name: String,
    /// What was told, as JSON.
    pub body: String,
}

/// Rows to be written together; each id or source stands once.
#[derive(Clone, Debug, Default)]
pub struct StateUpdate {
    /// Entries that the rows there must reflect at least: those of earlier updates.
    pub after: u64,
    /// Entries reflected once these rows are there.
    pub reflects: u64,
    /// Sources that went on.
    pub sources: Vec<SourceRow>,
    /// Findings that are new or changed.
    pub findings: Vec<FindingRow>,
    /// Incidents that are new or changed.
    pub incidents: Vec<IncidentRow>,
    /// Incidents that were decided on.
    pub handlings: Vec<HandlingRow>,
    /// Rows of the outbox that were sealed or refused.
    pub settled: Vec<SettledRow>,
    /// Lists that are new or changed.
    pub lists: Vec<ListRow>,
    /// Hours of reads that are new or changed.
    pub reads: Vec<ReadRow>,
    /// Before these are written, earlier hours than this go.
    pub reads_from: Option<i64>,
}

/// Most rows of one statement: a server is asked seldom, and a value has a number below every database's highest.
const ROWS_MAX: usize = 100;

/// Rows that are written, or written over.
struct Upsert {
    /// Table and columns.
    columns: &'static str,
    /// How many columns there are.
    count: usize,
    /// What is done with a row that is there.
    instead: &'static str,
}

impl Upsert {
    async fn run<T>(
        &self,
        all: &mut AnyConnection,
        rows: &[T],
        bind: impl for<'q> Fn(Query<'q, Any, AnyArguments>, &'q T) -> Query<'q, Any, AnyArguments>,
    ) -> Result<(), sqlx::Error> {
        for some in rows.chunks(ROWS_MAX) {
            let values: Vec<String> = (0..some.len())
                .map(|row| {
                    let numbers = row * self.count + 1..=(row + 1) * self.count;
                    let numbers: Vec<String> = numbers.map(|number| format!("${number}")).collect();
                    format!("({})", numbers.join(", "))
                })
                .collect();
            let (columns, values) = (self.columns, values.join(", "));
            let text = format!(
                "INSERT INTO {columns} VALUES {values} ON CONFLICT {}",
                self.instead
            );
            // Nothing but our own words and numbers; values are bound.
            let query = sqlx::query(AssertSqlSafe(text));
            let query = some.iter().fold(query, &bind);
            query.execute(&mut *all).await?;
        }
        Ok(())
    }
}

/// Writes everything but the count of entries, inside a transaction.
pub(crate) async fn write(
    all: &mut AnyConnection,
    update: &StateUpdate,
) -> Result<(), sqlx::Error> {
    let sources = Upsert {
        columns: "source (id, generation, offset_bytes)",
        count: 3,
        instead: "(id) DO UPDATE SET generation = excluded.generation, \
                  offset_bytes = excluded.offset_bytes",
    };
    sources
        .run(all, &update.sources, |query, row| {
            query
                .bind(row.id.as_str())
                .bind(row.generation.as_str())
                .bind(row.offset_bytes.cast_signed())
        })
        .await?;
    let findings = Upsert {
        columns: "finding (id, sequence, detected, first, last, body)",
        count: 6,
        instead: "(id) DO UPDATE SET sequence = excluded.sequence, \
                  detected = CASE WHEN excluded.detected < finding.detected \
                  THEN excluded.detected ELSE finding.detected END, \
                  first = excluded.first, last = excluded.last, body = excluded.body",
    };
    findings
        .run(all, &update.findings, |query, row| {
            query
                .bind(row.id.as_str())
                .bind(row.sequence.cast_signed())
                .bind(row.detected)
                .bind(row.first)
                .bind(row.last)
                .bind(row.body.as_str())
        })
        .await?;
    let incidents = Upsert {
        columns: "incident (id, sequence, first, last, body)",
        count: 5,
        instead: "(id) DO UPDATE SET sequence = excluded.sequence, \
                  first = excluded.first, last = excluded.last, body = excluded.body",
    };
    incidents
        .run(all, &update.incidents, |query, row| {
            query
                .bind(row.id.as_str())
                .bind(row.sequence.cast_signed())
                .bind(row.first)
                .bind(row.last)
                .bind(row.body.as_str())
        })
        .await?;
    let handlings = Upsert {
        columns: "handling (incident, sequence, body)",
        count: 3,
        instead: "(incident) DO UPDATE SET sequence = excluded.sequence, body = excluded.body",
    };
    handlings
        .run(all, &update.handlings, |query, row| {
            query
                .bind(row.incident.as_str())
                .bind(row.sequence.cast_signed())
                .bind(row.body.as_str())
        })
        .await?;
    crate::outbox::settle(all, &update.settled).await?;
    let lists = Upsert {
        columns: "list (source, body)",
        count: 2,
        instead: "(source) DO UPDATE SET body = excluded.body",
    };
    lists
        .run(all, &update.lists, |query, row| {
            query.bind(row.source.as_str()).bind(row.body.as_str())
        })
        .await?;
    if let Some(from) = update.reads_from {
        let old = sqlx::query("DELETE FROM read_hour WHERE hour < $1");
        old.bind(from).execute(&mut *all).await?;
    }
    let reads = Upsert {
        columns: "read_hour (hour, name, body)",
        count: 3,
        instead: "(hour, name) DO UPDATE SET body = excluded.body",
    };
    reads
        .run(all, &update.reads, |query, row| {
            query
                .bind(row.hour)
                .bind(row.name.as_str())
                .bind(row.body.as_str())
        })
        .await
}

/// A number that is never negative, as databases hold it.
fn number(row: &AnyRow, column: usize) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}

/// What a row of a query says.
pub(crate) trait FromRow: Sized {
    /// The query.
    const QUERY: &'static str;

    /// Reads one row of it.
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error>;
}

impl FromRow for SourceRow {
    const QUERY: &'static str = "SELECT id, generation, offset_bytes FROM source";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            generation: row.try_get(1)?,
            offset_bytes: number(row, 2)?,
        })
    }
}

impl FromRow for FindingRow {
    const QUERY: &'static str = "SELECT id, sequence, detected, first, last, body FROM finding";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            sequence: number(row, 1)?,
            detected: row.try_get(2)?,
            first: row.try_get(3)?,
            last: row.try_get(4)?,
            body: row.try_get(5)?,
        })
    }
}

impl FromRow for IncidentRow {
    const QUERY: &'static str = "SELECT id, sequence, first, last, body FROM incident";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            sequence: number(row, 1)?,
            first: row.try_get(2)?,
            last: row.try_get(3)?,
            body: row.try_get(4)?,
        })
    }
}

impl FromRow for HandlingRow {
    const QUERY: &'static str = "SELECT incident, sequence, body FROM handling";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            incident: row.try_get(0)?,
            sequence: number(row, 1)?,
            body: row.try_get(2)?,
        })
    }
}

impl FromRow for ListRow {
    const QUERY: &'static str = "SELECT source, body FROM list";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            source: row.try_get(0)?,
            body: row.try_get(1)?,
        })
    }
}

impl FromRow for ReadRow {
    const QUERY: &'static str = "SELECT hour, name, body FROM read_hour";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            hour: row.try_get(0)?,
            name: row.try_get(1)?,
            body: row.try_get(2)?,
        })
    }
}

/// How many entries the rows reflect.
pub(crate) struct Reflects(pub(crate) u64);

impl FromRow for Reflects {
    const QUERY: &'static str = "SELECT entries FROM reflects";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        number(row, 0).map(Self)
    }
}

/// A row of the projections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateRow {
    /// Where a source goes on.
    Source(SourceRow),
    /// A finding.
    Finding(FindingRow),
    /// An incident.
    Incident(IncidentRow),
    /// How an incident is handled.
    Handling(HandlingRow),
}

/// Hands over every row of the projections as they were at one moment, beside whoever writes, one by one in no order; gives
/// how many entries they reflect.
///
/// # Errors
///
/// [`StoreError`] when the database can't be read.
pub fn each_row(database: &Database, take: &mut dyn FnMut(StateRow)) -> Result<u64, StoreError> {
    let read = async {
        let mut all = database.pool().begin().await?;
        if database.place().is_server() {
            // SQLite's readers see one moment by themselves.
            let one = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
            sqlx::query(one).execute(&mut *all).await?;
        }
        let mut reflects = 0;
        every(&mut all, &mut |row: Reflects| reflects = row.0).await?;
        every(&mut all, &mut |row| take(StateRow::Source(row))).await?;
        every(&mut all, &mut |row| take(StateRow::Finding(row))).await?;
        every(&mut all, &mut |row| take(StateRow::Incident(row))).await?;
        every(&mut all, &mut |row| take(StateRow::Handling(row))).await?;
        Ok(reflects)
    };
    let read: Result<u64, sqlx::Error> = database.runtime().block_on(read);
    read.map_err(|source| database.place().failed(source))
}

async fn every<T: FromRow>(
    all: &mut AnyConnection,
    take: &mut dyn FnMut(T),
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query(T::QUERY).fetch(all);
    while let Some(row) = rows.next().await {
        take(T::from_row(&row?)?);
    }
    Ok(())
}

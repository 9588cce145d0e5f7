//! Watches rows of the shop's database: what is new, what changed, what went, each as one observation.
//!
//! Gentle: one connection, at most five statements a second, each within two seconds and read-only; a table that is
//! looked at whole is first asked for short hashes of its rows, and only rows that differ are fetched. Hashes are
//! salted and kept beside the ledger, so that a start tells only what is new; where that file is lost, every row is told
//! as `seen` once more.

mod look;
mod stores;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Category, Field, Generation, SourceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::account::quoted_text;
use super::ask::{AskError, Asking, log_in};
use super::{Account, Server};
use crate::observation::Observation;
use crate::source::{Chunk, Framing, Given, Hand, Kind, News, NotSealed, Source};
use crate::{SourceError, settings};
use look::{Found, Look};
use stores::Stores;
use tables::{Place, WATCHED, Watched};

/// Shortest pause between two statements.
const PAUSE: Duration = Duration::from_millis(200);
/// Rows remembered of one table; what is beyond is told once and not compared.
const ROWS_MAX: usize = 200_000;
/// Rows fetched by one statement.
const FETCH: usize = 200;
/// Rows of a table that grows that are looked at again each time.
const AGAIN: usize = 1000;
/// Bytes of one column that are fetched.
const VALUE_BYTES: usize = 16_384;
/// How long sealing is waited for before rows are looked at again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tables and columns that are read, for the grants an account needs.
pub(super) fn granted() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    WATCHED.iter().map(|watched| {
        let mut columns = vec![watched.key];
        columns.extend(watched.columns);
        (watched.table, columns)
    })
}

/// How the shop's database is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it listens.
    pub server: Server,
    /// Magewarden's own account.
    pub account: Account,
    /// The shop's schema.
    pub schema: String,
    /// Its table prefix.
    pub prefix: String,
}

/// The kind `shop_rows`.
pub(crate) struct ShopRows;

/// Its settings: none so far.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl Kind for ShopRows {
    fn name(&self) -> &'static str {
        "shop_rows"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let Settings {} = settings(self.name(), table)?;
        let access = given.database.clone().ok_or(SourceError::Settings {
            kind: "shop_rows",
            why: "it wants --magento and --database-user".to_owned(),
        })?;
        Ok(Box::new(Watch {
            access,
            memory: Memory::load(&given.data.join("shop_rows.json"), given.random),
            generation: Generation {
                inode: given.now.0.unsigned_abs(),
                ..Generation::default()
            },
            next: 0,
            clock: given.clock,
        }))
    }
}

struct Watch {
    access: Access,
    memory: Memory,
    generation: Generation,
    /// Receipt counter of this run.
    next: u64,
    clock: fn() -> Timestamp,
}

/// What the last look found.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    #[serde(skip)]
    path: PathBuf,
    salt: String,
    /// Of each table the short hash of each row, by key.
    rows: BTreeMap<String, BTreeMap<String, String>>,
}

impl Memory {
    fn load(path: &Path, random: [u8; 16]) -> Self {
        let kept = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|kept| !kept.salt.is_empty());
        let mut memory = kept.unwrap_or_else(|| Self {
            salt: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            ..Self::default()
        });
        path.clone_into(&mut memory.path);
        memory
    }

    /// Written beside and moved over: a torn file is never read.
    fn save(&self) -> Result<(), SourceError> {
        let beside = self.path.with_extension("json.new");
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        std::fs::write(&beside, bytes).map_err(SourceError::io(&beside))?;
        std::fs::rename(&beside, &self.path).map_err(SourceError::io(&self.path))
    }
}

impl Source for Watch {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| SourceError::Thread { source })?;
        let failed = |source: AskError| SourceError::Database {
            server: self.access.server.to_string(),
            source: Box::new(source),
        };
        let access = self.access.clone();
        let mut asking = Asking {
            connection: runtime
                .block_on(log_in(&access.server, &access.account))
                .map_err(failed)?,
            server: &access.server,
        };
        let columns = runtime
            .block_on(prepare(&mut asking, &access))
            .map_err(failed)?;
        let known = columns.len();
        let what = format!(
            "watches {known} of {} tables of {}",
            WATCHED.len(),
            access.server
        );
        hand.tell(self.id(), News::Well { what });
        let mut due: BTreeMap<&str, Instant> = BTreeMap::new();
        let mut stores = Stores::default();
        while !hand.stopped() {
            for watched in &WATCHED {
                let now = Instant::now();
                let Some(columns) = columns.get(watched.table) else {
                    continue;
                };
                if hand.stopped() || due.get(watched.table).is_some_and(|due| now < *due) {
                    continue;
                }
                due.insert(watched.table, now + watched.every);
                let look = Look {
                    watched,
                    columns,
                    access: &access,
                    salt: &self.memory.salt,
                };
                if watched.place != Place::None && stores.is_old() {
                    stores.read(&runtime, &mut asking, &access, hand);
                }
                let before = self.memory.rows.get(watched.table).cloned();
                let known = before.clone().unwrap_or_default();
                let found = runtime
                    .block_on(look.at(&mut asking, &known, hand))
                    .map_err(|source| SourceError::Database {
                        server: access.server.to_string(),
                        source: Box::new(source),
                    })?;
                match self.tell(watched, &found, before.as_ref(), &stores, hand) {
                    Ok(()) => {}
                    // They are looked at again: nothing is remembered that isn't sealed.
                    Err(NotSealed::Late) => continue,
                    Err(NotSealed::Stopped) => return Ok(()),
                }
                if Some(&found.hashes) != before.as_ref() {
                    self.memory
                        .rows
                        .insert(watched.table.to_owned(), found.hashes);
                    self.memory.save()?;
                }
            }
            hand.pause(PAUSE);
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        SourceId(format!("shop_rows:{}", self.access.schema))
    }
}

impl Watch {
    /// Hands over what differs; returns once it is sealed.
    fn tell(
        &mut self,
        watched: &Watched,
        found: &Found,
        before: Option<&BTreeMap<String, String>>,
        stores: &Stores,
        hand: &Hand,
    ) -> Result<(), NotSealed> {
        let now = (self.clock)();
        let mut records = Vec::new();
        for row in &found.rows {
            let change = match before {
                None => "seen",
                Some(before) if before.contains_key(&row.key) => "modified",
                Some(_) => "created",
            };
            records.push(row.observe(watched, change, stores, now));
        }
        for key in &found.gone {
            records.push(
                Observation::new(Category::ShopRow, now)
                    .text(Field::Table, watched.table)
                    .text(Field::RowKey, key)
                    .text(Field::Change, "removed")
                    .record(),
            );
        }
        for batch in records.chunks(FETCH) {
            let chunks = batch.iter().map(|record| self.chunk(record)).collect();
            hand.give_and_wait(chunks, PATIENCE)?;
        }
        Ok(())
    }

    fn chunk(&mut self, record: &[u8]) -> Chunk {
        let offset_bytes = self.next;
        self.next += record.len() as u64;
        Chunk {
            source: self.id(),
            generation: self.generation,
            offset_bytes,
            bytes: record.to_vec(),
            framing: Framing::OneRecord,
            format: Some("observation"),
            end_of_generation: false,
            news: None,
        }
    }
}

/// Limits the session, and asks which tables and columns there are and may be read.
async fn prepare(
    asking: &mut Asking<'_>,
    access: &Access,
) -> Result<BTreeMap<&'static str, Vec<&'static str>>, AskError> {
    asking
        .rows("SET SESSION TRANSACTION READ ONLY", "to read only")
        .await?;
    // MariaDB counts seconds, MySQL milliseconds; a server without either is held to the time by us alone.
    if asking
        .rows("SET SESSION max_statement_time = 2", "for a limit of time")
        .await
        .is_err()
    {
        drop(
            asking
                .rows(
                    "SET SESSION max_execution_time = 2000",
                    "for a limit of time",
                )
                .await,
        );
    }
    let statement = format!(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {}",
        quoted_text(&access.schema)
    );
    let there: BTreeSet<(String, String)> = asking
        .rows_up_to(sqlx::AssertSqlSafe(statement), "for its columns", 50_000)
        .await?
        .into_iter()
        .filter_map(|row| {
            let mut row = row.into_iter();
            Some((row.next()?, row.next()?))
        })
        .collect();
    let mut found = BTreeMap::new();
    for watched in &WATCHED {
        let has = |column: &&str| {
            there.contains(&(
                format!("{}{}", access.prefix, watched.table),
                (*column).to_owned(),
            ))
        };
        if has(&watched.key) {
            let columns: Vec<_> = watched
                .columns
                .iter()
                .copied()
                .filter(|one| has(one))
                .collect();
            if !columns.is_empty() {
                found.insert(watched.table, columns);
            }
        }
    }
    Ok(found)
}

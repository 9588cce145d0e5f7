//! Watches rows of the shop's database: what is new, what changed, what went, each as one observation.
//!
//! Gentle: one connection, at most five statements a second, each within two seconds and read-only; a table that is
//! looked at whole is first asked for short hashes of its rows, and only rows that differ are fetched. When an incident opens every table is looked at at once. Hashes are
//! salted and kept beside the ledger, so that a start tells only what is new; where that file is lost, every row is told
//! as `seen` once more.

mod act;
pub(super) mod config;
mod held;
mod look;
mod stores;
pub(super) mod tables;
pub(super) mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Category, Field, SourceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Access;
use super::gentle::{Ask, End, PAUSE};
use crate::observation::Observation;
use crate::source::{Alarm, Given, Hand, Kind, News, NotSealed, Recorder, Source};
use crate::{SourceError, private, settings};
use held::Held;
use look::{Found, Look};
use stores::Stores;
use tables::WATCHED;
use watched::{Place, Watched};

/// Rows compared of one table, in order of their keys; those beyond aren't seen, and that is said.
pub(super) const ROWS_MAX: usize = 200_000;
/// Rows fetched by one statement.
const FETCH: usize = 200;
/// Bytes of one column that are fetched.
const VALUE_BYTES: usize = 16_384;
/// How long sealing is waited for before rows are looked at again.
const PATIENCE: Duration = Duration::from_secs(30);

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
        let id = SourceId(format!("shop_rows:{}", access.schema));
        Ok(Box::new(Watch {
            access,
            memory: Memory::load(&given.data.join("shop_rows.json")),
            // Nobody else can guess a value by its hash.
            salt: private::code(&given.key, b"magewarden shop_rows 1"),
            recorder: Recorder::observing(id, given.now),
            clock: given.clock,
        }))
    }
}

struct Watch {
    access: Access,
    memory: Memory,
    salt: String,
    recorder: Recorder,
    clock: fn() -> Timestamp,
}

/// What the last look found.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    #[serde(skip)]
    path: PathBuf,
    /// Of each table, with the columns hashed, the short hash of each row, by key. Hashes of other columns tell nothing.
    rows: BTreeMap<String, BTreeMap<String, String>>,
}

impl Memory {
    fn load(path: &Path) -> Self {
        let kept = std::fs::read(path).ok();
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        Self {
            path: path.to_owned(),
            ..kept.unwrap_or_default()
        }
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
        End::told(self.watch(hand))
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

impl Watch {
    fn watch(&mut self, hand: &Hand) -> Result<(), End> {
        let access = self.access.clone();
        let mut ask = Ask::open(&access, hand)?;
        let found = there(&mut ask)?;
        self.memory
            .rows
            .retain(|known, _| found.values().any(|there| there.hashed == *known));
        let well = || News::Well {
            what: format!(
                "watches {} of {} tables of {}",
                found.len(),
                WATCHED.len(),
                access.server
            ),
        };
        hand.tell(self.id(), well());
        let mut due: BTreeMap<&str, Instant> = BTreeMap::new();
        let mut cut: BTreeSet<&str> = BTreeSet::new();
        let (mut stores, mut held, mut alarm) =
            (Stores::default(), Held::default(), Alarm::default());
        loop {
            if alarm.rings(hand) {
                due.clear();
            }
            for watched in &WATCHED {
                let now = Instant::now();
                let Some(there) = found.get(watched.table) else {
                    continue;
                };
                if due.get(watched.table).is_some_and(|due| now < *due) {
                    continue;
                }
                let look = Look {
                    watched,
                    there,
                    access: &access,
                    salt: &self.salt,
                };
                let Some(found) = self.look(&look, &mut ask, &mut stores, &mut held, hand)? else {
                    // The others don't wait for it.
                    due.insert(watched.table, now + held::PAUSE);
                    continue;
                };
                if held.frees(watched.table) {
                    hand.tell(self.id(), well());
                }
                if found.is_cut && cut.insert(watched.table) {
                    let why = format!(
                        "{} has over {ROWS_MAX} rows, or so many came between two looks: those beyond aren't told, and none is told as removed",
                        watched.table
                    );
                    hand.tell(self.id(), News::Refused { why });
                }
                match self.tell(watched, there, &found, &stores, hand) {
                    Ok(()) => {}
                    // They are looked at again at once: nothing is remembered that isn't sealed.
                    Err(NotSealed::Late) => continue,
                    Err(NotSealed::Stopped) => return Ok(()),
                }
                due.insert(watched.table, now + watched.every);
                if Some(&found.hashes) != self.memory.rows.get(&there.hashed) {
                    self.memory.rows.insert(there.hashed.clone(), found.hashes);
                    self.memory.save()?;
                }
                if watched.is_slow() {
                    // It may have taken long, at a first look above all: those that are looked at each minute come first.
                    break;
                }
            }
            hand.pause(PAUSE);
            if hand.stopped() {
                return Ok(());
            }
        }
    }

    /// One look at a table; `None`, told where it is news, while somebody holds the table or those of the stores.
    fn look(
        &self,
        look: &Look<'_>,
        ask: &mut Ask<'_>,
        stores: &mut Stores,
        held: &mut Held,
        hand: &Hand,
    ) -> Result<Option<Found>, End> {
        let placed = match look.watched.place {
            Place::None => Ok(()),
            Place::StoreId(_) | Place::ConfigScope => stores.read_when_old(ask),
        };
        let before = self.memory.rows.get(&look.there.hashed);
        match placed.and_then(|()| look.at(ask, before)) {
            Ok(found) => Ok(Some(found)),
            Err(End::Locked(_)) => {
                if let Some(news) = held.holds(look.watched.table, Instant::now()) {
                    hand.tell(self.id(), news);
                }
                Ok(None)
            }
            Err(end) => Err(end),
        }
    }

    /// Hands over what differs; returns once it is sealed.
    fn tell(
        &mut self,
        watched: &Watched,
        there: &There,
        found: &Found,
        stores: &Stores,
        hand: &Hand,
    ) -> Result<(), NotSealed> {
        let now = (self.clock)();
        let before = self.memory.rows.get(&there.hashed);
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
        self.recorder.seal(hand, &records, FETCH, PATIENCE)
    }
}

/// What a shop has of a watched table.
struct There {
    columns: Vec<&'static str>,
    /// Columns of the row a row belongs to.
    of: Vec<&'static str>,
    /// The table and its columns, as hashes are remembered by: where a shop, or a grant, changes which there are, rows are
    /// told as seen and not as changed.
    hashed: String,
}

/// Which of the watched tables and columns there are and may be read.
fn there(ask: &mut Ask<'_>) -> Result<BTreeMap<&'static str, There>, End> {
    let all = ask.columns()?;
    let prefix = ask.access.prefix.as_str();
    let has =
        |table: &str, column: &str| all.contains(&(format!("{prefix}{table}"), column.to_owned()));
    let those = |table: &str, columns: &[&'static str]| -> Vec<_> {
        columns
            .iter()
            .copied()
            .filter(|one| has(table, one))
            .collect()
    };
    let mut found = BTreeMap::new();
    for watched in WATCHED.iter().filter(|one| has(one.table, one.key)) {
        let columns = those(watched.table, watched.columns);
        if columns.is_empty() {
            continue;
        }
        let of = match &watched.of {
            Some(of) if has(of.table, of.key) && columns.contains(&of.by) => {
                those(of.table, of.columns)
            }
            _ => Vec::new(),
        };
        let hashed = format!("{} {}", watched.table, columns.join(" "));
        found.insert(
            watched.table,
            There {
                columns,
                of,
                hashed,
            },
        );
    }
    Ok(found)
}

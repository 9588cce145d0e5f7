//! Looks into Redis or Valkey, gently: card numbers in sessions and caches, keys that never end, dangerous commands.
//!
//! Keys are walked with `SCAN`, so many a second, on one connection that only reads; what the server counts of commands
//! and refusals is asked for each minute. A session's id is as good as a password: a record holds a keyed hash of it. What
//! is compressed with something else than zlib isn't looked into, and counted.

mod counters;
mod walk;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::{Category, Field, SourceId, Timestamp};
use redis::{Client, Connection, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use serde::Deserialize;

use crate::observation::Observation;
use crate::source::{Alarm, Given, Hand, Kind, News, Recorder, Source};
use crate::{SourceError, private, settings};
use counters::Counters;
use walk::{Totals, Walk};

/// How often the server's counters are looked at.
const COUNTERS_EVERY: Duration = Duration::from_secs(60);
/// Longest time for connecting and for each answer.
const TIME_MAX: Duration = Duration::from_secs(2);
/// How keys of sessions begin: Magento's, and those of PHP's own handler.
const SESSIONS: [&str; 2] = ["sess_", "PHPREDIS_SESSION:"];
/// Longest name of another key in a record, in bytes.
const KEY_BYTES_MAX: usize = 200;
/// Keys with card numbers that are remembered, so that each is told once.
const TOLD_MAX: usize = 100_000;

/// The kind `redis`.
pub(crate) struct Redis;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Host and port.
    #[serde(default = "server")]
    server: String,
    /// Numbers of the databases that are walked; Magento's own are 0, 1 and 2.
    #[serde(default = "databases")]
    databases: Vec<i64>,
    /// Account, where the server has several.
    user: Option<String>,
    /// File with its password, its owner's alone.
    password_file: Option<PathBuf>,
    /// Keys looked at in a second.
    #[serde(default = "keys_per_second")]
    keys_per_second: u32,
    /// Minutes between the end of a walk and the next.
    #[serde(default = "pause_minutes")]
    pause_minutes: u64,
}

fn server() -> String {
    "127.0.0.1:6379".to_owned()
}

fn databases() -> Vec<i64> {
    vec![0, 1, 2]
}

const fn keys_per_second() -> u32 {
    500
}

const fn pause_minutes() -> u64 {
    60
}

impl Kind for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let wrong = |why: &str| SourceError::Settings {
            kind: "redis",
            why: why.to_owned(),
        };
        let place = settings.server.rsplit_once(':');
        let (host, port) = place
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
            .ok_or_else(|| wrong("server wants a host and a port, e.g. 127.0.0.1:6379"))?;
        if settings.keys_per_second == 0 {
            return Err(wrong("keys_per_second is at least 1"));
        }
        let mut login = RedisConnectionInfo::default();
        if let Some(user) = &settings.user {
            login = login.set_username(user);
        }
        if let Some(file) = &settings.password_file {
            login = login.set_password(private::read(file)?.trim_end_matches(['\n', '\r']));
        }
        let info = ConnectionAddr::Tcp(host, port).into_connection_info();
        let client = info.and_then(|info| Client::open(info.set_redis_settings(login)));
        let id = SourceId(format!("redis:{}", settings.server));
        Ok(Box::new(Watch {
            client: client.map_err(|_| wrong("server can't be used"))?,
            settings,
            recorder: Recorder::observing(id, given.now),
            counters: Counters::default(),
            told: BTreeSet::new(),
            key: given.key,
            cards: std::sync::Arc::clone(&given.cards),
            clock: given.clock,
        }))
    }
}

struct Watch {
    client: Client,
    settings: Settings,
    recorder: Recorder,
    counters: Counters,
    /// Databases and keys, as they are shown, that were told.
    told: BTreeSet<(i64, String)>,
    key: [u8; 32],
    cards: std::sync::Arc<crate::tree::CardCount>,
    clock: fn() -> Timestamp,
}

impl Source for Watch {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let mut connection = self.connect()?;
        let what = format!("looks into {}", self.settings.server);
        hand.tell(self.id(), News::Well { what });
        let mut counted: Option<Instant> = None;
        let mut begin: Option<Instant> = Some(Instant::now());
        let (mut walk, mut alarm): (Option<Walk>, _) = (None, Alarm::default());
        while !hand.stopped() {
            let mut records = Vec::new();
            if counted.is_none_or(|at| at.elapsed() >= COUNTERS_EVERY) {
                counted = Some(Instant::now());
                let now = self
                    .counters
                    .ask(&mut connection)
                    .map_err(|e| self.failed(e))?;
                for (command, count, change) in now {
                    records.push(
                        self.plain(change)
                            .text(Field::RedisCommand, &command)
                            .int(Field::ChangeCount, count)
                            .record(),
                    );
                }
            }
            if walk.is_none() && alarm.rings(hand) {
                begin = Some(Instant::now());
            }
            if begin.is_some_and(|at| Instant::now() >= at) {
                begin = None;
                walk = Some(Walk::new(&self.settings.databases));
            }
            let mut pause = Duration::from_millis(500);
            if let Some(running) = &mut walk {
                let step = running.step(&mut connection, &*self.cards);
                let found = step.map_err(|e| self.failed(e))?;
                pause = Duration::from_secs(1) * found.looked / self.settings.keys_per_second;
                for one in found.with_cards {
                    let key = self.shown(&one.key);
                    if self.told.len() < TOLD_MAX && self.told.insert((one.database, key.clone())) {
                        records.push(
                            self.plain("seen")
                                .text(Field::RedisKey, &key)
                                .int(Field::RedisDatabase, one.database)
                                .int(Field::StoredCards, i64::from(one.cards))
                                .text(Field::Context, &one.ends())
                                .record(),
                        );
                    }
                }
                if found.is_end {
                    records.push(self.summary(running.totals()).record());
                    walk = None;
                    begin = Some(Instant::now() + Duration::from_secs(60) * self.pause());
                }
            }
            let chunks: Vec<_> = records
                .into_iter()
                .map(|record| self.recorder.chunk(record))
                .collect();
            // While the queue is full the walk waits. What is killed before it is sealed is found again.
            if hand.give(chunks).is_err() {
                break;
            }
            hand.pause(pause);
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

impl Watch {
    fn connect(&self) -> Result<Connection, SourceError> {
        let connect = || {
            let connection = self.client.get_connection_with_timeout(TIME_MAX)?;
            connection.set_read_timeout(Some(TIME_MAX))?;
            connection.set_write_timeout(Some(TIME_MAX))?;
            Ok(connection)
        };
        connect().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: redis::RedisError) -> SourceError {
        SourceError::Network {
            place: format!("redis://{}", self.settings.server),
            source: std::io::Error::other(error),
        }
    }

    fn pause(&self) -> u32 {
        u32::try_from(self.settings.pause_minutes).unwrap_or(u32::MAX)
    }

    fn plain(&self, change: &str) -> Observation {
        Observation::new(Category::Redis, (self.clock)())
            .text(Field::Change, change)
            .text(Field::Against, &self.settings.server)
    }

    /// A key as a record may hold it: of a session only a keyed hash.
    fn shown(&self, key: &[u8]) -> String {
        let Some(prefix) = SESSIONS
            .iter()
            .find(|prefix| key.starts_with(prefix.as_bytes()))
        else {
            return String::from_utf8_lossy(key.get(..KEY_BYTES_MAX).unwrap_or(key)).into_owned();
        };
        let code = private::code(&self.key, key);
        format!("{prefix}#{}", code.get(..16).unwrap_or_default())
    }

    /// What a walk saw: how many keys of what kind there were, and how long they live.
    fn summary(&self, totals: &Totals) -> Observation {
        self.plain("compared")
            .int(
                Field::ChangeCount,
                i64::try_from(totals.keys).unwrap_or(i64::MAX),
            )
            .int(
                Field::StoredCards,
                i64::try_from(totals.cards).unwrap_or(i64::MAX),
            )
            .text(Field::Context, &totals.words())
    }
}

#[cfg(test)]
mod tests {
    use super::Redis;
    use crate::source::Kind as _;
    use crate::tree::Signatures;
    use crate::{Given, Positions};
    use model::Timestamp;
    use std::sync::Arc;

    fn given() -> Given {
        Given {
            now: Timestamp(1),
            resume: Positions::new(),
            formats: Vec::new(),
            database: None,
            data: std::env::temp_dir(),
            clock: || Timestamp(1),
            key: [9; 32],
            magento: None,
            signatures: Arc::new(Signatures::parse(&[], &[]).expect("none")),
            cards: Arc::new(|_| 0),
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (text, is_right) in [
            ("", true),
            ("server = '10.0.0.6:6380'\ndatabases = [2]", true),
            ("server = '10.0.0.6'", false),
            ("keys_per_second = 0", false),
            ("password_file = '/nowhere'", false),
            ("password = 'x'", false),
        ] {
            let opened = Redis.open(toml::from_str(text).expect("TOML"), &given());
            assert_eq!(opened.is_ok(), is_right, "{text}");
        }
    }
}

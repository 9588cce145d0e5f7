//! Magento's caches in Redis or Valkey: entries by their keys, as Cm_Cache_Backend_Redis writes them (up to Magento 2.4.8).
//!
//! Invariants: nothing but entries of a cache (`zc:k:`) is ever removed – sessions have other keys and may be in the same database –,
//! and no index of tags: an entry that is written meanwhile would be missing in it, and Magento would never clean that one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use redis::{
    Client, Connection, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, Value,
};

use crate::host::{CacheServer, CacheSettings};
use crate::{ActionError, secret};

/// Longest time for connecting and for each answer.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Keys that the server is asked for at once, and how often: what is beyond is told as a failure.
const BATCH: usize = 500;
const BATCHES_MAX: usize = 100_000;
/// How the key of an entry begins, and of the set of those with one tag.
const ENTRY: &str = "zc:k:";
const TAGGED: &str = "zc:ti:";
/// What only Magento 2.4.9 and later have (Symfony Cache).
const LATER: &str = "cache:all_ids";
/// Seconds that a mark of ours stays at most: what it tells isn't asked for any more.
const MARK_SECONDS: u32 = 30 * 86_400;

/// One database, open.
pub(crate) struct Cache {
    connection: Connection,
    prefix: String,
    /// When nothing more is listed, where something else is more urgent.
    until: Option<Instant>,
}

/// Entries' keys, a few at a time.
type Look<'a> = &'a mut dyn FnMut(&mut Connection, &[Vec<u8>]) -> Result<(), ActionError>;

impl Cache {
    /// Logs in; a database of a later Magento is refused, its keys aren't known here.
    pub(crate) fn open(
        settings: &CacheSettings,
        server: &CacheServer,
    ) -> Result<Self, ActionError> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !settings.prefix.bytes().all(is_plain) {
            return Err(ActionError::NotSetUp {
                what: "`prefix` of [cache] has letters, digits, - and _".to_owned(),
            });
        }
        let mut login = RedisConnectionInfo::default().set_db(server.database);
        if let Some(user) = &settings.user {
            login = login.set_username(user);
        }
        if let Some(file) = &settings.password_file {
            login = login.set_password(secret::password(file)?);
        }
        let mut connection = connect(server.at, login).map_err(failed("be reached"))?;
        let is_later: bool = redis::cmd("EXISTS")
            .arg(LATER)
            .query(&mut connection)
            .map_err(failed("be asked"))?;
        if is_later {
            return Err(ActionError::NotSetUp {
                what: format!(
                    "database {} at {} has keys of Magento 2.4.9 or later, which aren't known here: run `bin/magento cache:clean`, then purge Varnish",
                    server.database, server.at
                ),
            });
        }
        Ok(Self {
            connection,
            prefix: settings.prefix.clone(),
            until: None,
        })
    }

    /// The server's time in seconds, and the microseconds of it.
    pub(crate) fn time(&mut self) -> Result<(i64, i64), ActionError> {
        redis::cmd("TIME")
            .query(&mut self.connection)
            .map_err(failed("tell the time"))
    }

    /// How many entries there are, of a tag or at all, and when the newest was written, in seconds by the clock of whoever did.
    pub(crate) fn count(&mut self, tag: Option<&str>) -> Result<(u64, i64), ActionError> {
        let (mut count, mut newest) = (0, 0);
        self.written(tag, &mut |at| {
            count += 1;
            newest = newest.max(at);
        })?;
        Ok((count, newest))
    }

    /// How many of them were written by then.
    pub(crate) fn count_until(
        &mut self,
        tag: Option<&str>,
        newest: i64,
    ) -> Result<u64, ActionError> {
        let mut count = 0;
        self.written(tag, &mut |at| count += u64::from(at <= newest))?;
        Ok(count)
    }

    /// What entries there are, a line each – seconds since it was written and until it goes, bytes, tags, key –, and whether all of them
    /// are told: no more than so many, and none after so long. Nothing of what they hold is read.
    pub(crate) fn listed(
        &mut self,
        most: usize,
        within: Duration,
    ) -> Result<(Vec<String>, bool), ActionError> {
        let (now, _) = self.time()?;
        let until = Instant::now() + within;
        self.until = Some(until);
        let mut lines = Vec::new();
        let told = self.walk(None, &mut |connection, keys| {
            if lines.len() >= most {
                return Err(enough());
            }
            let mut pipe = redis::pipe();
            for key in keys {
                pipe.cmd("HGET").arg(key).arg("m");
                pipe.cmd("PTTL").arg(key);
                pipe.cmd("HSTRLEN").arg(key).arg("d");
                pipe.cmd("HGET").arg(key).arg("t");
            }
            let told: Vec<Value> = pipe
                .query(connection)
                .map_err(failed("say how old entries are"))?;
            for (key, one) in keys.iter().zip(told.chunks(4)) {
                if let [at, left, bytes, tags] = one {
                    let number = |told: &Value| shown(told)?.parse::<i64>().ok();
                    let age = number(at)
                        .map_or_else(|| "?".to_owned(), |at| now.saturating_sub(at).to_string());
                    let left = match number(left) {
                        Some(left) if left >= 0 => (left / 1000).to_string(),
                        Some(-1) => "stays".to_owned(),
                        _ => "gone".to_owned(),
                    };
                    let bytes = number(bytes).unwrap_or_default();
                    let (tags, key) = (shown(tags).unwrap_or_default(), shown_text(key));
                    lines.push(format!("{age}\t{left}\t{bytes}\t{tags}\t{key}\n"));
                }
            }
            Ok(())
        });
        self.until = None;
        let is_whole = told.is_ok();
        match told {
            Err(error) if lines.len() < most && Instant::now() <= until => Err(error),
            _ => Ok((lines, is_whole)),
        }
    }

    /// Removes entries, of a tag or all; each batch is a step.
    pub(crate) fn remove(
        &mut self,
        tag: Option<&str>,
        step: &dyn Fn() -> Result<(), ActionError>,
    ) -> Result<(), ActionError> {
        self.walk(tag, &mut |connection, keys| {
            step()?;
            let mut command = redis::cmd("UNLINK");
            command.arg(keys);
            command
                .query::<()>(connection)
                .map_err(failed("remove entries"))
        })
    }

    /// Whether a mark of ours is there.
    pub(crate) fn has_mark(&mut self, name: &str) -> Result<bool, ActionError> {
        let asked = redis::cmd("EXISTS").arg(mark(name)).clone();
        asked
            .query(&mut self.connection)
            .map_err(failed("look for our mark"))
    }

    /// Sets a mark of ours.
    pub(crate) fn set_mark(&mut self, name: &str) -> Result<(), ActionError> {
        let mut command = redis::cmd("SET");
        command.arg(mark(name)).arg(1).arg("EX").arg(MARK_SECONDS);
        command
            .query::<()>(&mut self.connection)
            .map_err(failed("set our mark"))
    }

    /// Takes it away.
    pub(crate) fn remove_mark(&mut self, name: &str) -> Result<(), ActionError> {
        let mut command = redis::cmd("UNLINK");
        command.arg(mark(name));
        command
            .query::<()>(&mut self.connection)
            .map_err(failed("remove our mark"))
    }

    /// Tells of each entry that is there when it was written (its field `m`); one that doesn't say counts as old.
    fn written(&mut self, tag: Option<&str>, tell: &mut dyn FnMut(i64)) -> Result<(), ActionError> {
        self.walk(tag, &mut |connection, keys| {
            let mut pipe = redis::pipe();
            for key in keys {
                pipe.cmd("EXISTS").arg(key).cmd("HGET").arg(key).arg("m");
            }
            let told: Vec<Option<String>> = pipe
                .query(connection)
                .map_err(failed("say how old entries are"))?;
            for one in told.chunks(2) {
                let [Some(is_there), at] = one else {
                    continue;
                };
                if is_there == "1" {
                    tell(at.as_ref().and_then(|at| at.parse().ok()).unwrap_or(0));
                }
            }
            Ok(())
        })
    }

    fn walk(&mut self, tag: Option<&str>, look: Look<'_>) -> Result<(), ActionError> {
        let prefix = self.prefix.clone();
        let Some(tag) = tag else {
            return self.keys(&format!("{ENTRY}{prefix}*"), look);
        };
        // The adapter writes tags as ids: in capitals, behind the prefix.
        let tag = tag.to_ascii_uppercase();
        let mut sets = Vec::new();
        if prefix.is_empty() {
            self.keys(&format!("{TAGGED}*{tag}"), &mut |_, keys| {
                sets.extend(keys.iter().cloned());
                Ok(())
            })?;
        } else {
            sets.push(format!("{TAGGED}{prefix}{tag}").into_bytes());
        }
        for set in sets {
            self.scan(
                &mut |cursor| {
                    let mut command = redis::cmd("SSCAN");
                    command.arg(&set).arg(cursor);
                    command
                },
                &mut |connection, ids| {
                    let key = |id: &Vec<u8>| [ENTRY.as_bytes(), id].concat();
                    look(connection, &ids.iter().map(key).collect::<Vec<_>>())
                },
            )?;
        }
        Ok(())
    }

    fn keys(&mut self, pattern: &str, look: Look<'_>) -> Result<(), ActionError> {
        self.scan(
            &mut |cursor| {
                let mut command = redis::cmd("SCAN");
                command.arg(cursor).arg("MATCH").arg(pattern);
                command
            },
            look,
        )
    }

    /// What is there all the while is found; it may be found twice.
    fn scan(
        &mut self,
        ask: &mut dyn FnMut(u64) -> redis::Cmd,
        look: Look<'_>,
    ) -> Result<(), ActionError> {
        let mut cursor = 0;
        for _ in 0..BATCHES_MAX {
            // Keys of others are passed by without a look.
            if self.until.is_some_and(|until| Instant::now() > until) {
                return Err(enough());
            }
            let mut command = ask(cursor);
            command.arg("COUNT").arg(BATCH);
            let (next, found): (u64, Vec<Vec<u8>>) = command
                .query(&mut self.connection)
                .map_err(failed("list entries"))?;
            for some in found.chunks(BATCH) {
                look(&mut self.connection, some)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
        Err(ActionError::Cache {
            what: "list entries",
            how: "there are too many".to_owned(),
        })
    }
}

/// Ends a walk that told enough.
fn enough() -> ActionError {
    ActionError::Cache {
        what: "list entries",
        how: "there are more".to_owned(),
    }
}

/// Letters of a key, or of an entry's tags, that are told.
const SHOWN_CHARS_MAX: usize = 500;

fn shown(told: &Value) -> Option<String> {
    match told {
        Value::Int(number) => Some(number.to_string()),
        Value::BulkString(text) => Some(shown_text(text)),
        _ => None,
    }
}

fn shown_text(text: &[u8]) -> String {
    let whole = String::from_utf8_lossy(text);
    let shown = whole.replace(|one: char| one.is_control(), " ");
    let Some((end, _)) = shown.char_indices().nth(SHOWN_CHARS_MAX) else {
        return shown;
    };
    // A number that is cut can't be recognised and masked any more.
    let is_of_number = |one: char| one.is_ascii_digit() || " -.".contains(one);
    format!(
        "{}…",
        shown
            .get(..end)
            .unwrap_or_default()
            .trim_end_matches(is_of_number)
    )
}

fn mark(name: &str) -> String {
    format!("magewarden:purged:{name}")
}

fn connect(at: SocketAddr, login: RedisConnectionInfo) -> Result<Connection, redis::RedisError> {
    let info = ConnectionAddr::Tcp(at.ip().to_string(), at.port()).into_connection_info()?;
    let client = Client::open(info.set_redis_settings(login))?;
    let connection = client.get_connection_with_timeout(TIME_MAX)?;
    connection.set_read_timeout(Some(TIME_MAX))?;
    connection.set_write_timeout(Some(TIME_MAX))?;
    Ok(connection)
}

/// For `map_err`: what the server or the connection said.
fn failed(what: &'static str) -> impl FnOnce(redis::RedisError) -> ActionError {
    move |error| ActionError::Cache {
        what,
        how: error.to_string(),
    }
}

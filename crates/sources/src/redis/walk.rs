//! One walk over the keys: a few at a time, what each holds looked at for card numbers.

use std::borrow::Cow;
use std::io::Read as _;

use redis::{Connection, RedisResult, Value};

use super::SESSIONS;
use crate::tree::CardCount;

/// Keys the server is asked for at once.
const BATCH: usize = 100;
/// Bytes of one value that are looked at.
const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one value after it is decompressed.
const PLAIN_BYTES_MAX: u64 = 1 << 20;
/// Fields of hashes that hold text: a session's data (php-redis-session-abstract), a cache entry's (Cm_Cache).
const HASH_FIELDS: [&str; 2] = ["data", "d"];
/// How compressed values begin in sessions and in caches (`magento.md` §5.1, §5.3), and whether it is zlib.
const COMPRESSED: [(&[u8], bool); 8] = [
    (b":gz:", true),
    (b"gz:\x1f\x8b", true),
    (b":l4:", false),
    (b"l4:\x1f\x8b", false),
    (b":sn:", false),
    (b"sn:\x1f\x8b", false),
    (b":lz:", false),
    (b"zs:\x1f\x8b", false),
];

/// What a walk saw so far.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) keys: u64,
    sessions: u64,
    /// Keys with card numbers.
    pub(super) cards: u64,
    endless_sessions: u64,
    longest_seconds: i64,
    unread: u64,
    cut: u64,
}

impl Totals {
    pub(super) fn words(&self) -> String {
        format!(
            "{} sessions, {} of them without an end; the longest of the others lives {} s; {} values compressed in a way that \
             isn't read, {} longer than is read",
            self.sessions, self.endless_sessions, self.longest_seconds, self.unread, self.cut
        )
    }
}

/// A key whose value holds card numbers.
pub(super) struct WithCards {
    pub(super) key: Vec<u8>,
    pub(super) database: i64,
    pub(super) cards: u32,
    milliseconds_left: i64,
}

impl WithCards {
    /// When it ends by itself.
    pub(super) fn ends(&self) -> String {
        match self.milliseconds_left {
            left @ 0.. => format!("it ends by itself in {} s", left / 1000),
            _ => "it has no end".to_owned(),
        }
    }
}

/// What one step found.
#[derive(Default)]
pub(super) struct Step {
    pub(super) looked: u32,
    pub(super) with_cards: Vec<WithCards>,
    pub(super) is_end: bool,
}

/// A walk over databases.
pub(super) struct Walk {
    databases: Vec<i64>,
    cursor: Option<u64>,
    totals: Totals,
}

impl Walk {
    pub(super) fn new(databases: &[i64]) -> Self {
        Self {
            databases: databases.iter().rev().copied().collect(),
            cursor: None,
            totals: Totals::default(),
        }
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Looks at the next keys.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        cards: &CardCount,
    ) -> RedisResult<Step> {
        let Some(database) = self.databases.last().copied() else {
            return Ok(Step {
                is_end: true,
                ..Step::default()
            });
        };
        if self.cursor.is_none() {
            redis::cmd("SELECT").arg(database).query::<()>(connection)?;
        }
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(self.cursor.unwrap_or(0))
            .arg("COUNT")
            .arg(BATCH)
            .query(connection)?;
        self.cursor = (next != 0).then_some(next);
        if next == 0 {
            self.databases.pop();
        }
        let mut step = Step {
            // Where keys are few, looking for them is work, too.
            looked: u32::try_from(keys.len().max(BATCH)).unwrap_or(u32::MAX),
            ..Step::default()
        };
        for keys in keys.chunks(BATCH) {
            self.look(connection, database, keys, cards, &mut step)?;
        }
        Ok(step)
    }

    fn look(
        &mut self,
        connection: &mut Connection,
        database: i64,
        keys: &[Vec<u8>],
        cards: &CardCount,
        step: &mut Step,
    ) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("TYPE").arg(key).cmd("PTTL").arg(key);
        }
        let kinds: Vec<Value> = pipe.query(connection)?;
        // Of a hash the lengths first: a value may be of any size.
        let mut pipe = redis::pipe();
        let mut asked = Vec::new();
        for (key, kind) in keys.iter().zip(kinds.chunks(2)) {
            let milliseconds_left = match kind.get(1) {
                Some(Value::Int(left)) => *left,
                _ => -2,
            };
            self.count(key, milliseconds_left);
            match kind.first() {
                Some(Value::SimpleString(kind)) if kind == "string" => {
                    pipe.cmd("GETRANGE")
                        .arg(key)
                        .arg(0)
                        .arg(VALUE_BYTES_MAX - 1);
                    asked.push((key, milliseconds_left, None));
                }
                Some(Value::SimpleString(kind)) if kind == "hash" => {
                    for field in HASH_FIELDS {
                        pipe.cmd("HSTRLEN").arg(key).arg(field);
                        asked.push((key, milliseconds_left, Some(field)));
                    }
                }
                // Sets and lists hold names of other keys.
                _ => {}
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let answers: Vec<Value> = pipe.query(connection)?;
        let (mut values, mut pipe, mut wanted) = (Vec::new(), redis::pipe(), Vec::new());
        for ((key, left, field), answer) in asked.into_iter().zip(answers) {
            match (field, answer) {
                (None, Value::BulkString(value)) => values.push((key, left, value)),
                (Some(field), Value::Int(length @ 1..)) => {
                    if usize::try_from(length).is_ok_and(|length| length <= VALUE_BYTES_MAX) {
                        pipe.cmd("HGET").arg(key).arg(field);
                        wanted.push((key, left));
                    } else {
                        self.totals.cut += 1;
                    }
                }
                _ => {}
            }
        }
        if !wanted.is_empty() {
            // One that went meanwhile is nothing.
            let answers: Vec<Option<Vec<u8>>> = pipe.query(connection)?;
            let fields = wanted.into_iter().zip(answers);
            values.extend(fields.filter_map(|((key, left), value)| Some((key, left, value?))));
        }
        for (key, milliseconds_left, value) in values {
            self.totals.cut += u64::from(value.len() >= VALUE_BYTES_MAX);
            let Some(plain) = plain(&value) else {
                self.totals.unread += 1;
                continue;
            };
            let found = cards(&plain);
            if found > 0 {
                self.totals.cards += 1;
                step.with_cards.push(WithCards {
                    key: key.clone(),
                    database,
                    cards: found,
                    milliseconds_left,
                });
            }
        }
        Ok(())
    }

    fn count(&mut self, key: &[u8], milliseconds_left: i64) {
        self.totals.keys += 1;
        if SESSIONS
            .iter()
            .any(|prefix| key.starts_with(prefix.as_bytes()))
        {
            self.totals.sessions += 1;
            if milliseconds_left == -1 {
                self.totals.endless_sessions += 1;
            }
            self.totals.longest_seconds = self.totals.longest_seconds.max(milliseconds_left / 1000);
        }
    }
}

/// A value without its compression; `None` when that isn't read.
fn plain(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let compressed = COMPRESSED
        .iter()
        .find_map(|(prefix, is_zlib)| Some((value.strip_prefix(*prefix)?, *is_zlib)));
    let rest = match compressed {
        None => return Some(value.into()),
        Some((_, false)) => return None,
        Some((rest, true)) => rest,
    };
    let mut out = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(rest).take(PLAIN_BYTES_MAX);
    // Of a value that was cut, what comes before the cut is read.
    match reader.read_to_end(&mut out) {
        Err(_) if out.is_empty() => None,
        _ => Some(out.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{PLAIN_BYTES_MAX, plain};
    use proptest::prelude::*;
    use std::io::Write as _;

    #[test]
    fn zlib_is_undone_and_what_is_not_read_is_said() {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(b"card 4111").expect("written");
        let zlib = zlib.finish().expect("ended");
        for prefix in [&b":gz:"[..], b"gz:\x1f\x8b"] {
            let value = [prefix, &zlib].concat();
            assert_eq!(plain(&value).as_deref(), Some(&b"card 4111"[..]));
        }
        assert_eq!(plain(b"plain").as_deref(), Some(&b"plain"[..]));
        assert_eq!(plain(b":gz:nonsense"), None);
        assert_eq!(plain(b":l4:abc"), None);
    }

    #[test]
    fn what_grows_without_end_is_read_to_the_limit() {
        let mut zlib =
            flate2::write::ZlibEncoder::new(b":gz:".to_vec(), flate2::Compression::best());
        zlib.write_all(&vec![0; 8 << 20]).expect("written");
        let bomb = zlib.finish().expect("ended");
        assert!(bomb.len() < 64 * 1024);
        assert_eq!(
            plain(&bomb).map(|out| out.len() as u64),
            Some(PLAIN_BYTES_MAX)
        );
    }

    proptest! {
        #[test]
        fn no_value_breaks_it(prefix in prop::sample::select(vec![&b""[..], b":gz:", b"gz:\x1f\x8b", b":sn:"]), rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let value = [prefix, &rest].concat();
            prop_assert!(plain(&value).is_none_or(|out| out.len() as u64 <= PLAIN_BYTES_MAX));
        }
    }
}

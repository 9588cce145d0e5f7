//! Joins TABLE records with the QUERY record of the same connection and query id.
//!
//! The server writes a statement's TABLE records before its QUERY record; they tell tables that a
//! cut statement no longer names. Bounded in number, bytes and time: the oldest waiting statement leaves
//! as what is known of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::{Event, EventRef, Field, Timestamp, Value};

/// Statements waiting for their QUERY record.
const WAITING_MAX: usize = 4096;
/// Bytes of text that waiting statements hold together.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Longest wait in seconds of the log's time: a long dump's QUERY record comes at its end.
const WAIT_SECONDS: i64 = 3600;
/// The same while no QUERY record was seen at all: such a log may hold none.
const WAIT_UNANSWERED_SECONDS: i64 = 60;
/// Tables remembered of one statement.
const TABLES_MAX: usize = 128;

/// An event with every entry it was read from, the telling one first.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined<'a> {
    /// The event.
    pub event: Event<'a>,
    /// Where it was read.
    pub refs: Vec<EventRef>,
}

/// What TABLE records told of one statement.
#[derive(Debug)]
struct Waiting {
    first: Event<'static>,
    tables: Vec<String>,
    written: Vec<String>,
    refs: Vec<EventRef>,
    order: u64,
    bytes: usize,
}

/// Joins one source's events.
#[derive(Debug, Default)]
pub struct Joiner {
    waiting: BTreeMap<(i64, i64), Waiting>,
    order: BTreeMap<u64, (i64, i64)>,
    next: u64,
    /// Bytes of text in `waiting`.
    bytes: usize,
    /// Whether this log has QUERY records.
    is_answered: bool,
}

impl Joiner {
    /// Makes a joiner that waits for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event; what is whole is added to `out`.
    pub fn push<'a>(&mut self, mut event: Event<'a>, at: EventRef, out: &mut Vec<Joined<'a>>) {
        if let Some(now) = event.time {
            self.expire(now, out);
        }
        let key = event
            .int(Field::ConnectionId)
            .zip(event.int(Field::QueryId));
        let (Some(key), Some(operation)) = (key, event.text(Field::Operation)) else {
            out.push(Joined {
                event,
                refs: vec![at],
            });
            return;
        };
        if operation != "query" {
            self.wait(key, event, at, out);
            return;
        }
        self.is_answered = true;
        let mut refs = vec![at];
        if let Some(told) = self.waiting.remove(&key) {
            self.order.remove(&told.order);
            self.bytes = self.bytes.saturating_sub(told.bytes);
            refs.extend(told.refs);
            put(&mut event, Field::Tables, told.tables);
            put(&mut event, Field::TablesWritten, told.written);
        }
        out.push(Joined { event, refs });
    }

    fn wait<'a>(
        &mut self,
        key: (i64, i64),
        event: Event<'a>,
        at: EventRef,
        out: &mut Vec<Joined<'a>>,
    ) {
        let written: Vec<String> = event
            .list(Field::TablesWritten)
            .iter()
            .map(|name| name.to_string())
            .collect();
        let tables: Vec<String> = event
            .list(Field::Tables)
            .iter()
            .map(|name| name.to_string())
            .collect();
        if let Some(told) = self.waiting.get_mut(&key) {
            let added = add(&mut told.tables, tables) + add(&mut told.written, written);
            told.bytes = told.bytes.saturating_add(added);
            self.bytes = self.bytes.saturating_add(added);
            if told.refs.len() < TABLES_MAX {
                told.refs.push(at);
            }
        } else {
            let first = event.into_owned();
            let bytes = text_bytes(&first).saturating_mul(2);
            let order = self.next;
            self.next = self.next.wrapping_add(1);
            self.order.insert(order, key);
            self.bytes = self.bytes.saturating_add(bytes);
            let waiting = Waiting {
                first,
                tables,
                written,
                refs: vec![at],
                order,
                bytes,
            };
            self.waiting.insert(key, waiting);
        }
        while self.waiting.len() > WAITING_MAX || self.bytes > WAITING_BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.leave(&oldest, out);
        }
    }

    /// Gives up what has waited too long at `now`: its QUERY record will not come.
    fn expire(&mut self, now: Timestamp, out: &mut Vec<Joined<'_>>) {
        let longest = if self.is_answered {
            WAIT_SECONDS
        } else {
            WAIT_UNANSWERED_SECONDS
        };
        while let Some((_, key)) = self.order.first_key_value() {
            let is_over = self.waiting.get(key).is_none_or(|told| {
                told.first
                    .time
                    .is_some_and(|said| now.seconds_since(said) > longest)
            });
            if !is_over {
                break;
            }
            let key = *key;
            self.order.pop_first();
            self.leave(&key, out);
        }
    }

    fn leave(&mut self, key: &(i64, i64), out: &mut Vec<Joined<'_>>) {
        if let Some(told) = self.waiting.remove(key) {
            self.bytes = self.bytes.saturating_sub(told.bytes);
            out.push(told.leave());
        }
    }

    /// Gives up everything that waits.
    pub fn flush(&mut self, out: &mut Vec<Joined<'static>>) {
        for (_, key) in std::mem::take(&mut self.order) {
            self.leave(&key, out);
        }
    }
}

impl Waiting {
    fn leave(self) -> Joined<'static> {
        let mut event = self.first;
        if !self.written.is_empty() && event.text(Field::Operation) == Some("read") {
            event.set(Field::Operation, Value::Text(Cow::Borrowed("write")));
        }
        put(&mut event, Field::Tables, self.tables);
        put(&mut event, Field::TablesWritten, self.written);
        Joined {
            event,
            refs: self.refs,
        }
    }
}

/// Adds names that aren't known yet; gives their bytes.
fn add(known: &mut Vec<String>, new: Vec<String>) -> usize {
    let mut bytes = 0_usize;
    for name in new {
        if known.len() < TABLES_MAX && !known.contains(&name) {
            bytes = bytes.saturating_add(name.len());
            known.push(name);
        }
    }
    bytes
}

/// Bytes of an event's texts.
fn text_bytes(event: &Event<'_>) -> usize {
    let bytes = |value: &Value<'_>| match value {
        Value::Text(text) => text.len(),
        Value::Int(_) => 0,
        Value::List(list) => list.iter().map(|text| text.len()).sum(),
    };
    event.fields().iter().map(|(_, value)| bytes(value)).sum()
}

fn put(event: &mut Event<'_>, field: Field, names: Vec<String>) {
    if !names.is_empty() {
        event.set(
            field,
            Value::List(names.into_iter().map(Cow::Owned).collect()),
        );
    }
}

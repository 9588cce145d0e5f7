//! Joins TABLE records with the QUERY record of the same connection and query id.
//!
//! The server writes a statement's TABLE records before its QUERY record; they tell tables that a
//! cut statement no longer names. Bounded: the oldest waiting statement leaves as what is known of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::{Event, EventRef, Field, Timestamp, Value};

/// Statements waiting for their QUERY record.
const WAITING_MAX: usize = 4096;
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
}

/// Joins one source's events.
#[derive(Debug, Default)]
pub struct Joiner {
    waiting: BTreeMap<(i64, i64), Waiting>,
    order: BTreeMap<u64, (i64, i64)>,
    next: u64,
}

impl Joiner {
    /// Makes a joiner that waits for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event; what is whole is added to `out`.
    pub fn push<'a>(&mut self, mut event: Event<'a>, at: EventRef, out: &mut Vec<Joined<'a>>) {
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
        let mut refs = vec![at];
        if let Some(told) = self.waiting.remove(&key) {
            self.order.remove(&told.order);
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
            add(&mut told.tables, tables);
            add(&mut told.written, written);
            if told.refs.len() < TABLES_MAX {
                told.refs.push(at);
            }
            return;
        }
        while self.waiting.len() >= WAITING_MAX {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            out.extend(self.waiting.remove(&oldest).map(Waiting::leave));
        }
        let order = self.next;
        self.next += 1;
        self.order.insert(order, key);
        let waiting = Waiting {
            first: event.into_owned(),
            tables,
            written,
            refs: vec![at],
            order,
        };
        self.waiting.insert(key, waiting);
    }

    /// Gives up what waited since before `time`: its QUERY record will not come.
    pub fn expire(&mut self, time: Timestamp, out: &mut Vec<Joined<'static>>) {
        while let Some((_, key)) = self.order.first_key_value() {
            let Some(told) = self.waiting.get(key) else {
                break;
            };
            if told.first.time.is_none_or(|said| said >= time) {
                break;
            }
            let key = *key;
            self.order.pop_first();
            out.extend(self.waiting.remove(&key).map(Waiting::leave));
        }
    }

    /// Gives up everything that waits.
    pub fn flush(&mut self, out: &mut Vec<Joined<'static>>) {
        for (_, key) in std::mem::take(&mut self.order) {
            out.extend(self.waiting.remove(&key).map(Waiting::leave));
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

fn add(known: &mut Vec<String>, new: Vec<String>) {
    for name in new {
        if known.len() < TABLES_MAX && !known.contains(&name) {
            known.push(name);
        }
    }
}

fn put(event: &mut Event<'_>, field: Field, names: Vec<String>) {
    if !names.is_empty() {
        event.set(
            field,
            Value::List(names.into_iter().map(Cow::Owned).collect()),
        );
    }
}

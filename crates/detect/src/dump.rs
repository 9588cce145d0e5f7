//! Dump tools: a few tables with payments read whole over one connection are a theft, the whole
//! schema read so by one connection is a backup. What tells them apart is breadth, not text.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Actor, ActorKind, Asset, AssetKind, Category, Count, Event, EventRef, Field, Finding, Grade,
    InstallationId, Lane, Level, Scope, Timestamp,
};

use crate::finding::peer;
use crate::hash::fnv128;
use crate::shape::data_class;

/// Rule id of its findings.
const RULE: &str = "db-dump-of-sensitive-tables";
/// Tables from which a dump is taken for a backup of the whole schema.
const BACKUP_TABLES_MIN: usize = 60;
/// Seconds of silence after which a connection's dump is judged.
const QUIET_SECONDS: i64 = 20;
/// The same once the connection has ended: other logs may still tell of its last second.
const ENDED_SECONDS: i64 = 3;
/// Connections followed at once.
const CONNECTIONS_MAX: usize = 4096;

#[derive(Debug)]
struct Dump {
    tables: BTreeSet<String>,
    first: Timestamp,
    last: Timestamp,
    refs: Vec<EventRef>,
    rows: BTreeMap<u64, i64>,
    bytes: BTreeMap<u64, i64>,
    lane: Lane,
    count: u64,
    ended: bool,
    /// Address the connection came from.
    peer: Option<String>,
}

/// Dumps in progress, by account and connection.
pub(crate) struct Dumps {
    installation: InstallationId,
    open: BTreeMap<(String, i64), Dump>,
    newest: Timestamp,
}

impl Dumps {
    pub(crate) fn new(installation: InstallationId) -> Self {
        Self {
            installation,
            open: BTreeMap::new(),
            newest: Timestamp::default(),
        }
    }

    pub(crate) fn push(
        &mut self,
        event: &Event<'_>,
        refs: &[EventRef],
        lane: Lane,
        out: &mut Vec<Finding>,
    ) {
        if event.category != Category::Database {
            return;
        }
        let (Some(user), Some(connection), Some(time)) = (
            event.text(Field::DbUser),
            event.int(Field::ConnectionId),
            event.time,
        ) else {
            return;
        };
        if time > self.newest {
            self.newest = time;
            self.judge_quiet(time, out);
        }
        let key = (user.to_owned(), connection);
        if event.text(Field::Operation) == Some("disconnect") {
            if let Some(dump) = self.open.get_mut(&key) {
                dump.ended = true;
            }
            return;
        }
        let dumps = event
            .list(Field::ShapeTraits)
            .iter()
            .any(|name| name == "no_cache_hint")
            && event.text(Field::StatementClass) == Some("select");
        if !dumps {
            return;
        }
        if self.open.len() >= CONNECTIONS_MAX && !self.open.contains_key(&key) {
            let oldest = self
                .open
                .iter()
                .min_by_key(|(_, dump)| dump.last)
                .map(|(key, _)| key.clone());
            if let Some((oldest, dump)) = oldest.and_then(|oldest| self.open.remove_entry(&oldest))
            {
                out.extend(self.finding(&oldest, &dump));
            }
        }
        let dump = self.open.entry(key).or_insert_with(|| Dump {
            tables: BTreeSet::new(),
            first: time,
            last: time,
            refs: Vec::new(),
            rows: BTreeMap::new(),
            bytes: BTreeMap::new(),
            lane,
            count: 0,
            ended: false,
            peer: None,
        });
        dump.peer = dump.peer.take().or_else(|| peer(event));
        dump.tables.extend(
            event
                .list(Field::Tables)
                .iter()
                .map(|table| table.to_string()),
        );
        dump.first = dump.first.min(time);
        dump.last = dump.last.max(time);
        dump.count += 1;
        if dump.refs.len() < 256 {
            dump.refs.extend(refs.iter().take(4));
        }
        let shape = crate::hash::fnv64(&[event
            .text(Field::ShapeFingerprint)
            .unwrap_or_default()
            .as_bytes()]);
        if let Some(rows) = event.int(Field::RowsSent) {
            dump.rows.insert(shape, rows);
        }
        if let Some(bytes) = event.int(Field::BytesSent) {
            dump.bytes.insert(shape, bytes);
        }
    }

    /// Judges connections that have been silent.
    fn judge_quiet(&mut self, now: Timestamp, out: &mut Vec<Finding>) {
        let quiet: Vec<_> = self
            .open
            .iter()
            .filter(|(_, dump)| {
                now.seconds_since(dump.last)
                    >= if dump.ended {
                        ENDED_SECONDS
                    } else {
                        QUIET_SECONDS
                    }
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in quiet {
            if let Some(dump) = self.open.remove(&key) {
                out.extend(self.finding(&key, &dump));
            }
        }
    }

    /// Ends what waits: at the end of input, or when the clock has moved on.
    pub(crate) fn flush(&mut self, _now: Timestamp, out: &mut Vec<Finding>) {
        for (key, dump) in std::mem::take(&mut self.open) {
            out.extend(self.finding(&key, &dump));
        }
    }

    fn finding(&self, (user, connection): &(String, i64), dump: &Dump) -> Option<Finding> {
        let assets: Vec<Asset> = dump
            .tables
            .iter()
            .filter_map(|table| {
                Some(Asset {
                    kind: AssetKind::Table,
                    name: table.clone(),
                    class: data_class(table)?,
                })
            })
            .take(32)
            .collect();
        if assets.is_empty() {
            return None;
        }
        let whole = dump.tables.len() >= BACKUP_TABLES_MIN;
        let first = dump.refs.first()?;
        let group = format!("{user}#{connection}");
        let total = |of: &BTreeMap<u64, i64>| u64::try_from(of.values().sum::<i64>()).unwrap_or(0);
        let rows = total(&dump.rows);
        Some(Finding {
            id: fnv128(&[
                self.installation.0.as_bytes(),
                RULE.as_bytes(),
                group.as_bytes(),
                &first.sequence.0.to_be_bytes(),
                &first.index.to_be_bytes(),
            ]),
            rule: if whole {
                "db-backup-of-whole-schema"
            } else {
                RULE
            }
            .to_owned(),
            title: if whole {
                "Whole schema dumped, as a backup does"
            } else {
                "Sensitive tables dumped by a dump tool"
            }
            .to_owned(),
            level: if whole {
                Level::Informational
            } else {
                Level::Critical
            },
            lane: dump.lane,
            first: dump.first,
            last: dump.last,
            actors: [
                (ActorKind::Address, dump.peer.clone()),
                (ActorKind::DatabaseAccount, Some(user.clone())),
                (ActorKind::DatabaseConnection, Some(group)),
            ]
            .into_iter()
            .filter_map(|(kind, value)| {
                Some(Actor {
                    kind,
                    value: value?,
                })
            })
            .collect(),
            scope: Scope::Unknown,
            assets,
            rows: (!dump.rows.is_empty()).then_some(Count {
                lower: rows,
                upper: Some(rows),
                grade: Grade::Exact,
            }),
            bytes: (!dump.bytes.is_empty()).then(|| total(&dump.bytes)),
            event_count: dump.count,
            events: dump.refs.clone(),
            reason: format!(
                "{} tables read whole with a dump tool's hint over one connection; a backup of the whole schema reads {BACKUP_TABLES_MIN} or more",
                dump.tables.len()
            ),
            attack: vec!["T1005".to_owned()],
            requirements: vec!["10.2.1.1".to_owned(), "10.4.1".to_owned()],
            false_positives: vec!["a backup of single tables".to_owned()],
            external: None,
        })
    }
}

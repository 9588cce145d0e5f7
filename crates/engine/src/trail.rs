//! What people do here – log in, read evidence – on its way into the outbox, without anyone's waiting for it.
//!
//! Kept in memory only until the database takes it, which is tried until it does. While there is no more
//! room, evidence isn't shown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{AccessEvent, Person, Timestamp};
use sources::Waker;
use stores::{Outbox, OutboxRow, StoreError};
use tokio::sync::mpsc;

use crate::sealed::{Decided, Read, VERSION};

/// Deeds that wait for the database.
const WAITING_MAX: usize = 4096;
/// Between two tries of one.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for room among them.
const FULL_MAX: Duration = Duration::from_secs(2);
/// Seconds within which one person's reading an entry again is the same reading.
const READING_SECONDS: i64 = 3600;
/// Readings that are remembered for that; the oldest go first.
const READINGS_MAX: usize = 65_536;

/// Takes what people do. Clones share it.
#[derive(Clone)]
pub struct Trail {
    queue: mpsc::Sender<OutboxRow>,
    readings: Arc<Mutex<BTreeMap<(String, u64), Timestamp>>>,
}

impl Trail {
    /// Begins a trail; the future writes it and has to be run.
    pub fn begin(outbox: Outbox, waker: Waker) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, mut rows) = mpsc::channel::<OutboxRow>(WAITING_MAX);
        let trail = Self {
            queue,
            readings: Arc::default(),
        };
        let write = async move {
            while let Some(row) = rows.recv().await {
                while outbox.put(&row).await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
                waker.wake();
            }
        };
        (trail, write)
    }

    /// Notes something that happened to an account. Whoever tells doesn't wait: while the queue is full, a task does.
    pub fn access(&self, event: AccessEvent) {
        let Some(row) = access_row(event) else { return };
        if let Err(mpsc::error::TrySendError::Full(row)) = self.queue.try_send(row)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let queue = self.queue.clone();
            drop(runtime.spawn(async move { queue.send(row).await }));
        }
    }

    /// Notes that somebody reads entries; those the person read within the hour are left out. Tells whether it is noted:
    /// what can't be is not to be shown.
    pub async fn read(&self, by: &Person, entries: &[u64], at: Timestamp) -> bool {
        let entries = self.news(by, entries, at);
        if entries.is_empty() {
            return true;
        }
        let read = Read {
            at,
            by: by.clone(),
            entries: entries.clone(),
        };
        let (id, written) = (new_id(), at.0);
        let decided = Decided::Read {
            v: VERSION,
            id: id.clone(),
            read,
        };
        let noted = match serde_json::to_string(&decided) {
            Ok(body) => {
                let row = OutboxRow { id, written, body };
                self.queue.send_timeout(row, FULL_MAX).await.is_ok()
            }
            Err(_) => false,
        };
        if !noted {
            let mut readings = self.readings();
            for entry in entries {
                readings.remove(&(by.account.clone(), entry));
            }
        }
        noted
    }

    fn readings(&self) -> MutexGuard<'_, BTreeMap<(String, u64), Timestamp>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self, by: &Person, entries: &[u64], at: Timestamp) -> Vec<u64> {
        let mut readings = self.readings();
        if readings.len() + entries.len() > READINGS_MAX {
            readings.retain(|_, read| at.seconds_since(*read) < READING_SECONDS);
        }
        if readings.len() + entries.len() > READINGS_MAX {
            readings.clear();
        }
        let mut news: Vec<u64> = entries.to_vec();
        news.sort_unstable();
        news.dedup();
        news.retain(|entry| match readings.get(&(by.account.clone(), *entry)) {
            Some(read) if at.seconds_since(*read) < READING_SECONDS => false,
            _ => {
                readings.insert((by.account.clone(), *entry), at);
                true
            }
        });
        news
    }
}

/// Puts something that happened to an account where no pipeline runs: the next one seals it.
///
/// # Errors
///
/// [`StoreError`] when it can't be written.
pub async fn put_access(outbox: &Outbox, event: AccessEvent) -> Result<(), StoreError> {
    if let Some(row) = access_row(event) {
        outbox.put(&row).await?;
    }
    Ok(())
}

fn access_row(event: AccessEvent) -> Option<OutboxRow> {
    let (written, id) = (event.at.0, new_id());
    let decided = Decided::Access {
        v: VERSION,
        id: id.clone(),
        event,
    };
    let body = serde_json::to_string(&decided).ok()?;
    Some(OutboxRow { id, written, body })
}

/// A new id: 128 random bits, hexadecimal.
///
/// # Panics
///
/// When the operating system gives no randomness, with which nothing here could go on.
#[must_use]
pub fn new_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Trail;
    use model::{Person, Timestamp};
    use sources::Running;
    use stores::{Database, Outbox, StatePlace};

    #[test]
    fn an_entry_read_again_within_the_hour_is_read_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = StatePlace::File(folder.path().join("state.sqlite"));
        let outbox = Outbox::new(Database::open(&place).expect("opened"));
        let running = Running::start(Vec::new()).expect("no source");
        let (trail, _write) = Trail::begin(outbox, running.waker());
        let person = |account: &str| Person {
            account: account.to_owned(),
            name: String::new(),
        };
        let news = |account, entries: &[u64], at| {
            trail.news(&person(account), entries, Timestamp::from_seconds(at))
        };
        assert_eq!(news("ana", &[7, 3, 7], 0), [3, 7]);
        assert_eq!(news("ana", &[3, 4], 10), [4]);
        assert_eq!(news("ben", &[3], 10), [3]);
        assert_eq!(news("ana", &[3], 3600), [3]);
    }
}

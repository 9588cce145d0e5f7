//! Records that agents on shops' hosts hand over: into the queue of live sources, and answered once they are sealed.
//!
//! Invariant: a batch is taken only when it comes after the place up to which its source is in the ledger, so that nothing is
//! sealed twice, left out or out of order, whatever died in between. What was handed over and isn't known to be sealed is waited for
//! before anything else of that host is looked at. A host is believed about itself alone: its sources bear its name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::records::{Batch, Carried, Happened, Place, Status};
use link::wire::{Known, LINK_VERSION, Places, SOURCE_KINDS, SOURCES_MAX};
use model::{SourceId, Timestamp};
use sources::{Chunk, Hand, News, NotSealed, Pending, Positions, Source, SourceError};

use super::Agents;
use crate::hide::{hide, is_hidden};

/// Longest wait for the queue, and then until what was handed over is sealed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most records of one request.
const RECORDS_MAX: usize = 100_000;
/// Bytes of records that one host may hand over in a minute.
const MINUTE_BYTES_MAX: u64 = 1 << 30;
/// Seconds after which a host that collects and isn't heard of is trouble; it tells how it is every quarter of a minute.
const SILENT_SECONDS: i64 = 300;
/// Seconds between two words on how a host that is well is.
const WORD_SECONDS: i64 = 10;
/// Letters of a host's words that are shown.
const SHOWN_CHARS_MAX: usize = 300;
/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Why records aren't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrivalError {
    /// Nothing is wrong with them: the host asks for its places and comes again.
    #[error("{why}")]
    Away {
        /// Why, in words.
        why: &'static str,
    },
    /// They don't come after what is in the ledger: the host asks for its places.
    #[error("they don't come after what the ledger has of their source: ask for places")]
    Moved,
    /// They aren't taken as they are, and won't be.
    #[error("{why}")]
    Unfit {
        /// Why, in words.
        why: String,
    },
}

const fn away(why: &'static str) -> ArrivalError {
    ArrivalError::Away { why }
}

fn unfit(why: impl Into<String>) -> ArrivalError {
    ArrivalError::Unfit { why: why.into() }
}

/// Takes what hosts hand over. Clones share it; one of them runs as a source.
#[derive(Clone)]
pub struct Arrivals(Arc<Shared>);

struct Shared {
    agents: Arc<Agents>,
    fingerprint: [u8; 32],
    clock: fn() -> Timestamp,
    /// The queue's end, while it runs.
    hand: Mutex<Option<Hand>>,
    doors: Mutex<BTreeMap<String, Arc<Mutex<Door>>>>,
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// Where the sources of one host stand.
#[derive(Default)]
struct Door {
    places: BTreeMap<String, Place>,
    /// What was handed over and isn't known to be sealed, and where things stand when it is.
    pending: Option<(Pending, BTreeMap<String, Place>)>,
    /// The minute that is counted, and its bytes.
    minute: (i64, u64),
}

/// How a host is, as it said last.
#[derive(Default)]
struct Seen {
    heard: Timestamp,
    status: Option<Status>,
    /// What was told of it, when, and whether it was trouble.
    told: Option<(News, Timestamp)>,
}

impl Arrivals {
    /// Of hosts that may come in, from where the ledger has what they handed over; they mask with `fingerprint`.
    #[must_use]
    pub fn new(
        agents: Arc<Agents>,
        positions: &Positions,
        fingerprint: [u8; 32],
        clock: fn() -> Timestamp,
    ) -> Self {
        let mut doors: BTreeMap<String, Door> = BTreeMap::new();
        for (source, place) in positions {
            if let Some((host, source)) = of_host(source) {
                let door = doors.entry(host.to_owned()).or_default();
                door.places.insert(source.to_owned(), *place);
            }
        }
        let now = clock();
        let seen = doors.keys().map(|host| {
            let seen = Seen {
                heard: now,
                ..Seen::default()
            };
            (host.clone(), seen)
        });
        let seen = Mutex::new(seen.collect());
        let doors = doors.into_iter();
        let doors = doors.map(|(host, door)| (host, Arc::new(Mutex::new(door))));
        Self(Arc::new(Shared {
            agents,
            fingerprint,
            clock,
            hand: Mutex::new(None),
            doors: Mutex::new(doors.collect()),
            seen,
        }))
    }

    /// Up to where the ledger has what a host handed over, and the key that it masks with.
    ///
    /// # Errors
    ///
    /// [`ArrivalError::Away`] while something of it is being sealed.
    pub fn places(&self, host: &str) -> Result<Places, ArrivalError> {
        let door = self.door(host);
        let mut door = door
            .try_lock()
            .map_err(|_| away("what came before is being sealed"))?;
        door.settle()?;
        let known = door.places.iter().map(|(source, place)| Known {
            source: source.clone(),
            generation: place.0,
            position: place.1,
        });
        Ok(Places {
            v: LINK_VERSION,
            at: (self.0.clock)(),
            places: known.collect(),
            fingerprint: self.0.fingerprint.to_vec(),
        })
    }

    /// Takes batches in their order, all or none; when it returns they are durable. Blocks, for twenty seconds at most.
    ///
    /// `host` is the name that the host was invited by, from its certificate's key and not from what it says.
    ///
    /// # Errors
    ///
    /// [`ArrivalError`].
    pub fn take(
        &self,
        host: &str,
        status: Status,
        batches: Vec<Batch>,
    ) -> Result<(), ArrivalError> {
        if status.v != LINK_VERSION {
            return Err(unfit(format!(
                "this server knows records of version {LINK_VERSION}"
            )));
        }
        self.hear(host, status);
        if batches.is_empty() {
            return Ok(());
        }
        let hand = lock(&self.0.hand).clone();
        let hand = hand.ok_or(away("the server begins, or ends"))?;
        let door = self.door(host);
        let mut door = door
            .try_lock()
            .map_err(|_| away("what came before is being sealed"))?;
        door.settle()?;
        door.count(&batches, (self.0.clock)())?;
        let (places, chunks) = follow(&door.places, host, batches)?;
        let pending = hand
            .offer(chunks, PATIENCE)
            .map_err(|_| away("the server is behind"))?;
        door.pending = Some((pending, places));
        door.settle()
    }

    fn door(&self, host: &str) -> Arc<Mutex<Door>> {
        let mut doors = lock(&self.0.doors);
        Arc::clone(doors.entry(host.to_owned()).or_default())
    }

    fn hear(&self, host: &str, status: Status) {
        let mut seen = lock(&self.0.seen);
        let seen = seen.entry(host.to_owned()).or_default();
        seen.heard = (self.0.clock)();
        seen.status = Some(status);
    }

    /// What is to be told of hosts now.
    fn look(&self, now: Timestamp) -> Vec<(SourceId, News)> {
        let mut out = Vec::new();
        let mut seen = lock(&self.0.seen);
        seen.retain(|host, seen| {
            let is_silent = now.seconds_since(seen.heard) > SILENT_SECONDS;
            // One that was removed is expected no more.
            let is_over = is_silent && !self.is_let_in(host);
            let news = match is_over {
                true => seen.told.is_some().then(|| News::Well {
                    what: "it was removed: nothing is expected of it".to_owned(),
                }),
                false => seen.news(host, is_silent),
            };
            if let Some(news) = news.filter(|news| seen.is_news(news, now)) {
                out.push((SourceId(format!("host:{host}")), news.clone()));
                seen.told = Some((news, now));
            }
            !is_over
        });
        out
    }

    fn is_let_in(&self, host: &str) -> bool {
        // A list that can't be read lets nobody be forgotten.
        let list = self.0.agents.list();
        list.map_or(true, |all| all.iter().any(|one| one.name == host))
    }
}

impl Source for Arrivals {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        *lock(&self.0.hand) = Some(hand.clone());
        while !hand.stopped() {
            for (source, news) in self.look((self.0.clock)()) {
                hand.tell(source, news);
            }
            hand.pause(LOOK);
        }
        *lock(&self.0.hand) = None;
        Ok(())
    }

    fn id(&self) -> SourceId {
        SourceId("hosts".to_owned())
    }
}

impl Seen {
    /// How it is; none while that isn't known.
    fn news(&self, host: &str, is_silent: bool) -> Option<News> {
        if is_silent {
            let why = format!(
                "nothing was heard of host {host} since {}: what it collects waits there, in its spool and its files",
                self.heard
            );
            return Some(News::Failed { why });
        }
        let status = self.status.as_ref()?;
        let trouble = status.trouble.chars();
        let trouble = trouble.filter(|one| !model::is_hidden(*one));
        let mut trouble: String = trouble.take(SHOWN_CHARS_MAX).collect();
        // The host masked nothing that whoever took it over wrote.
        hide(&mut trouble);
        if !trouble.is_empty() {
            return Some(News::Failed { why: trouble });
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let mut what = format!(
            "its spool holds {} of {} MiB",
            mib(status.spool_bytes),
            mib(status.spool_bytes_max)
        );
        if let Some(since) = status.waits_since {
            what.push_str(&format!("; something waits there since {since}"));
        }
        Some(News::Well { what })
    }

    /// Whether it is told: trouble and its end at once, other words now and then.
    fn is_news(&self, news: &News, now: Timestamp) -> bool {
        self.told.as_ref().is_none_or(|(told, at)| {
            let is_kind = std::mem::discriminant(told) == std::mem::discriminant(news);
            told != news && (!is_kind || now.seconds_since(*at) >= WORD_SECONDS)
        })
    }
}

impl Door {
    /// Waits for what was handed over before.
    fn settle(&mut self) -> Result<(), ArrivalError> {
        let Some((pending, places)) = self.pending.take() else {
            return Ok(());
        };
        match pending.wait(PATIENCE) {
            Ok(()) => {
                self.places = places;
                Ok(())
            }
            Err(NotSealed::Late) => {
                self.pending = Some((pending, places));
                Err(away("the server is behind, or its disk is full"))
            }
            // Whether it is sealed is found out by whoever starts next, from the ledger.
            Err(_) => {
                self.pending = Some((pending, places));
                Err(away("the server ends"))
            }
        }
    }

    fn count(&mut self, batches: &[Batch], now: Timestamp) -> Result<(), ArrivalError> {
        let (mut records, mut bytes) = (0, 0);
        for batch in batches {
            records += batch.records();
            if let Carried::Records { records, .. } = &batch.what {
                bytes += records
                    .iter()
                    .map(|one| one.bytes.len() as u64)
                    .sum::<u64>();
            }
        }
        if records > RECORDS_MAX {
            let why = format!("a request holds {RECORDS_MAX} records at most");
            return Err(unfit(why));
        }
        let minute = now.0.div_euclid(60 * Timestamp::SECOND);
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        self.minute.1 += bytes;
        match self.minute.1 > MINUTE_BYTES_MAX {
            true => Err(away("more than 1 GiB a minute: wait a minute")),
            false => Ok(()),
        }
    }
}

/// Checks that batches follow what is known of their sources, each the one before; gives where things stand after them and
/// the chunks that they are.
fn follow(
    known: &BTreeMap<String, Place>,
    host: &str,
    batches: Vec<Batch>,
) -> Result<(BTreeMap<String, Place>, Vec<Chunk>), ArrivalError> {
    let (mut places, mut chunks) = (known.clone(), Vec::new());
    for batch in batches {
        if !is_taken(&batch.source) {
            let why = "a host hands over records of files and of a journal: `file:PATH`, `journald:system`";
            return Err(unfit(why));
        }
        if !is_plain(&batch.source) {
            let why = "the name of a source holds what is masked, or characters that nobody sees";
            return Err(unfit(why));
        }
        if places.get(&batch.source).copied() != batch.after {
            return Err(ArrivalError::Moved);
        }
        let end = batch.end();
        let source = SourceId(format!("{host}/{}", batch.source));
        match batch.what {
            Carried::Records {
                generation,
                format,
                records,
            } => {
                let format = parse::named(&format).map(|one| one.name());
                // Observations are what magewarden itself saw: no log is one.
                let format = format.filter(|name| *name != parse::OBSERVATION);
                let format = format.ok_or_else(|| {
                    unfit("this server doesn't know the format: are both of one version?")
                })?;
                for record in records {
                    let mut chunk = Chunk::record(
                        source.clone(),
                        generation,
                        record.offset_bytes,
                        record.bytes,
                        Some(format),
                    );
                    chunk.marks = record.marks;
                    chunks.push(chunk);
                }
            }
            Carried::Happened(happened) => chunks.push(Chunk::news(source, news(happened)?)),
            _ => return Err(unfit("this server doesn't know what a batch brings")),
        }
        if let Some(end) = end {
            places.insert(batch.source, end);
        }
        if places.len() > SOURCES_MAX {
            let why = format!("a host has {SOURCES_MAX} sources at most");
            return Err(unfit(why));
        }
    }
    Ok((places, chunks))
}

/// Whether sources of its kind are taken of hosts.
fn is_taken(source: &str) -> bool {
    SOURCE_KINDS.iter().any(|kind| source.starts_with(kind))
}

/// Whether a source's name may stand on every page and in the ledger as it is.
pub(crate) fn is_plain(source: &str) -> bool {
    !source.chars().any(model::is_hidden) && !is_hidden(source)
}

fn news(happened: Happened) -> Result<News, ArrivalError> {
    Ok(match happened {
        Happened::Truncated => News::Truncated,
        Happened::Rotated => News::Rotated,
        Happened::Deleted => News::Deleted,
        Happened::Appeared => News::Appeared,
        Happened::Missing => News::Missing,
        Happened::Unreadable => News::Unreadable,
        Happened::Lost(bytes) => News::Lost { bytes },
        Happened::Dropped(records) => News::Dropped {
            records,
            since: None,
        },
        _ => return Err(unfit("this server doesn't know what happened")),
    })
}

/// The host that a source is of, and the source's name there.
fn of_host(source: &SourceId) -> Option<(&str, &str)> {
    let (host, name) = source.0.split_once('/')?;
    // No other source has a name of letters, digits and `-` alone before its first slash.
    let is_name = super::agents::is_name(host);
    (is_name && is_taken(name)).then_some((host, name))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "arrivals_tests.rs"]
mod tests;

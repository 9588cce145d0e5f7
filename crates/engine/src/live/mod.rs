//! Live sources → the pipeline, until told to stop.
//!
//! The same intake, seal and judge as everywhere. A source resumes from the ledger's last entry of
//! it; a checkpoint is made at least every second while entries arrive; every ten what grew is told, or a tick sealed while none do.

mod delay;
mod show;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{Category, Field, SourceId, Timestamp};
use parse::Format;
use sources::{Chunk, DELIVERY_BYTES_MAX, Framing, News, Observation, Receipt, Recorder, Running};

use crate::desk::Desk;
use crate::framer::{Framer, With};
use crate::health::{Health, Told};
use crate::intake::Block;
use crate::ledger::NewEntry;
use crate::pipeline::{Pipeline, PipelineError};
pub use delay::Delay;

/// Longest wait for something new before the clock is looked at.
const WAIT: Duration = Duration::from_millis(200);
/// Seconds between ticks while nothing arrives, and between looks at what grew while something does.
const TICK_SECONDS: i64 = 10;
/// How long sources are waited for when told to stop.
const STOP_MAX: Duration = Duration::from_secs(15);
/// Seconds between two looks at how sources are.
const LOOK_SECONDS: i64 = 5;
/// Seconds between two looks at what other processes put into the outbox; this one's own wakes the pipeline.
const OUTBOX_SECONDS: i64 = 2;

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The pipeline can't take more.
    #[error("what was read can't be sealed")]
    Pipeline {
        /// What the pipeline said.
        source: PipelineError,
    },
}

/// What is known of one source.
struct Track {
    framer: Framer,
    news: String,
    /// Whether it works, as far as it says.
    well: bool,
    /// Records, or bytes of a file, that went before they could be read.
    lost: u64,
    last_event: Option<Timestamp>,
    /// How long its records waited to be judged.
    delay: Delay,
}

/// Takes what sources hand over into a pipeline.
pub struct Live {
    pipeline: Pipeline,
    sources: Running,
    tracks: BTreeMap<SourceId, Track>,
    desk: Desk,
    started: Timestamp,
    last_entry: Timestamp,
    last_checkpoint: Timestamp,
    last_refresh: Timestamp,
    last_outbox: Timestamp,
    unsigned: bool,
    health: Health,
    /// Whether there is something to show that is no record.
    news: bool,
    /// What is told of sources is a record of this one.
    own: Recorder,
    last_look: Timestamp,
    /// Incidents there are; one more, and sources of what dies by itself look at once.
    incidents: usize,
    /// Records taken and not sealed yet: while there are any, nothing more is taken.
    waiting: Vec<NewEntry>,
    /// When the source of each of them handed it over.
    given: Vec<Instant>,
    /// Who waits to hear that they are sealed.
    receipts: Vec<Receipt>,
    /// Why nothing is acknowledged at the moment; empty when all is well.
    trouble: String,
    /// Why rows aren't written at the moment, as it was told; empty when all is well. Sealing goes on.
    state_trouble: String,
    last_save: Timestamp,
    /// Says a change of that where whoever started it looks.
    tell: Box<dyn FnMut(&str)>,
}

impl Live {
    /// Takes over running sources; nothing is taken before [`Self::run`]. `tell` is given what must be seen at once.
    #[must_use]
    pub fn new(
        pipeline: Pipeline,
        sources: Running,
        desk: Desk,
        now: Timestamp,
        tell: Box<dyn FnMut(&str)>,
    ) -> Self {
        let incidents = pipeline.judge().incidents().count();
        let mut health = Health::default();
        health.expect(pipeline.pauses(), now);
        if let Some(sealed) = pipeline.stopped() {
            for source in sources.forgetful() {
                health.was_off(source, sealed, now);
            }
        }
        let mut live = Self {
            pipeline,
            sources,
            tracks: BTreeMap::new(),
            desk,
            started: now,
            last_entry: now,
            // The first entries are signed at once: a start may be a short one.
            last_checkpoint: Timestamp::default(),
            last_refresh: Timestamp::default(),
            last_outbox: Timestamp::default(),
            unsigned: true,
            health,
            // The pages know nothing yet.
            news: true,
            own: Recorder::observing(SourceId("magewarden:health".to_owned()), now),
            last_look: now,
            incidents,
            waiting: Vec::new(),
            given: Vec::new(),
            receipts: Vec::new(),
            trouble: String::new(),
            state_trouble: String::new(),
            last_save: now,
            tell,
        };
        // Sealed before anything else: a run that is killed at once leaves no hole untold.
        let mut first = Vec::new();
        live.look(now, &mut first);
        live.given = vec![Instant::now(); first.len()];
        live.waiting = first;
        live
    }

    /// Runs until `stop` says so; then takes what was handed over, ends what is open and signs.
    ///
    /// # Errors
    ///
    /// [`LiveError`] when the ledger can't take more. Nothing that was acknowledged is lost: the next start
    /// resumes from the ledger. A full disk is no error: it waits, and goes on when there is room.
    pub fn run(
        &mut self,
        clock: &dyn Fn() -> Timestamp,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), LiveError> {
        let failed = |source| LiveError::Pipeline { source };
        while !stop() {
            if self.trouble.is_empty() {
                self.take_deliveries(WAIT, clock);
            } else {
                std::thread::sleep(WAIT);
            }
            let now = clock();
            match self.step(now) {
                Ok(()) if self.trouble.is_empty() => {}
                Ok(()) => self.tell_trouble(String::new(), now),
                // What was taken waits; as nothing more is, the sources keep the rest.
                Err(error) if error.is_full_disk() => {
                    let trouble = "the disk is full: nothing more is sealed or acknowledged; \
                                   free some space, it goes on by itself";
                    self.tell_trouble(trouble.to_owned(), now);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        self.sources.stop();
        // A sender that never ends its message holds nobody up for ever.
        let until = Instant::now() + STOP_MAX;
        loop {
            // Before the queue is looked at: what a source hands over last is there once it has ended.
            let ended = self.sources.ended();
            self.take_deliveries(WAIT, clock);
            let idle = self.waiting.is_empty();
            self.step(clock()).map_err(failed)?;
            if (ended || Instant::now() >= until) && idle {
                break;
            }
        }
        self.pipeline.flush(clock()).map_err(failed)
    }

    /// Takes what is handed over within `wait`, and what is there already beside it.
    fn take_deliveries(&mut self, wait: Duration, clock: &dyn Fn() -> Timestamp) {
        let mut entries = std::mem::take(&mut self.waiting);
        let mut bytes = 0;
        let mut next = self.sources.next(wait);
        while let Some(delivery) = next {
            let now = clock();
            for chunk in &delivery.chunks {
                bytes += chunk.bytes.len();
                self.news |= chunk.news.is_some();
                self.take(chunk, now, &mut entries);
            }
            self.given.resize(entries.len(), delivery.given);
            self.receipts.extend(delivery.receipt);
            if bytes >= DELIVERY_BYTES_MAX {
                break;
            }
            next = self.sources.ready();
        }
        let now = clock();
        if now.seconds_since(self.last_look) >= LOOK_SECONDS {
            self.last_look = now;
            self.look(now, &mut entries);
            self.given.resize(entries.len(), Instant::now());
        }
        self.waiting = entries;
    }

    /// Looks how sources are; what is to be told becomes records.
    fn look(&mut self, now: Timestamp, entries: &mut Vec<NewEntry>) {
        self.health.expect(self.pipeline.pauses(), now);
        for told in self.health.look(now) {
            let record = self.observe(&told, now);
            let chunk = self.own.chunk(record);
            self.take(&chunk, now, entries);
        }
    }

    /// The record of what is told of a source: what failed, since when, until when and why (10.7.3).
    fn observe(&self, told: &Told, now: Timestamp) -> Vec<u8> {
        let (source, kind) = match told {
            Told::Began {
                source, trouble, ..
            } => (source, trouble.name().to_owned()),
            Told::Over {
                source, trouble, ..
            } => (source, format!("{} over", trouble.name())),
            Told::Lost { source, .. } => (source, "lost".to_owned()),
        };
        let format = self
            .tracks
            .get(source)
            .and_then(|track| track.framer.intake());
        let observation = Observation::new(Category::Health, now)
            .text(Field::HealthKind, &kind)
            .text(Field::HealthSource, &source.0)
            .text(
                Field::Logger,
                format.map_or("", |intake| intake.format().name()),
            );
        match told {
            Told::Began { since, why, .. } => observation
                .text(Field::Message, why)
                .text(Field::Context, &format!("since {since}")),
            Told::Over { since, until, .. } => {
                observation.text(Field::Context, &format!("from {since} to {until}"))
            }
            Told::Lost {
                count,
                since,
                until,
                ..
            } => observation
                .int(
                    Field::ChangeCount,
                    i64::try_from(*count).unwrap_or(i64::MAX),
                )
                .text(Field::Context, &format!("from {since} to {until}")),
        }
        .record()
    }

    /// Says a change of trouble where it is seen: on standard error and on the pages.
    fn tell_trouble(&mut self, trouble: String, now: Timestamp) {
        if trouble != self.trouble {
            let word = if trouble.is_empty() {
                "going on: what waited is sealed"
            } else {
                &trouble
            };
            (self.tell)(word);
            self.trouble = trouble;
        }
        self.show(now);
    }

    /// Seals what waits, or tells the time when nothing did for long; signs when it is due.
    fn step(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        if !self.waiting.is_empty() {
            self.pipeline.append(&self.waiting)?;
            self.note_delays();
            self.waiting.clear();
            let incidents = self.pipeline.judge().incidents().count();
            if incidents > self.incidents {
                self.sources.alarm();
            }
            self.incidents = incidents;
            if now.seconds_since(self.last_refresh) >= TICK_SECONDS {
                self.pipeline.refresh(now)?;
                self.last_refresh = now;
            }
            self.last_entry = now;
            self.unsigned = true;
            self.show(now);
        } else if now.seconds_since(self.last_entry) >= TICK_SECONDS {
            self.pipeline.tick(now)?;
            self.last_entry = now;
            self.unsigned = true;
            self.show(now);
        } else if self.news {
            self.show(now);
        }
        if self.sources.was_woken() || now.seconds_since(self.last_outbox) >= OUTBOX_SECONDS {
            self.last_outbox = now;
            let before = self.pipeline.ledger().len();
            self.pipeline.take_outbox(now)?;
            self.unsigned |= self.pipeline.ledger().len() > before;
        }
        self.news = false;
        self.receipts.drain(..).for_each(Receipt::sealed);
        if self.unsigned && now.seconds_since(self.last_checkpoint) >= 1 {
            self.pipeline.checkpoint(now)?;
            self.last_checkpoint = now;
            self.unsigned = false;
        }
        self.watch_state(now)
    }

    /// Says when the state's server goes away or comes back, and tries it again while it is away.
    fn watch_state(&mut self, now: Timestamp) -> Result<(), PipelineError> {
        if !self.state_trouble.is_empty() && now.seconds_since(self.last_save) >= 1 {
            self.last_save = now;
            self.pipeline.save()?;
        }
        let trouble = self.pipeline.state_trouble().unwrap_or_default().to_owned();
        // What exactly is wrong changes from try to try; that is for the pages.
        if trouble.is_empty() != self.state_trouble.is_empty() {
            let word = if trouble.is_empty() {
                "the state's database is back: what waited is written".to_owned()
            } else {
                format!(
                    "the state isn't written: {trouble}; sealing goes on, nothing is lost, it is tried again by itself"
                )
            };
            (self.tell)(&word);
        }
        if trouble != self.state_trouble {
            self.state_trouble = trouble;
            self.show(now);
        }
        Ok(())
    }

    /// Turns one chunk into entries; keeps bytes of a source whose format is not known yet.
    fn take(&mut self, chunk: &Chunk, now: Timestamp, entries: &mut Vec<NewEntry>) {
        let (source, named) = named(chunk);
        let track = self.tracks.entry(source.clone()).or_insert_with(|| Track {
            framer: Framer::default(),
            news: String::new(),
            well: true,
            lost: 0,
            last_event: None,
            delay: Delay::default(),
        });
        if let Some(news) = &chunk.news {
            track.news = show::describe(news);
            let trouble = match news {
                News::Failed { why } => Some(why.as_str()),
                _ => None,
            };
            track.well = trouble.is_none();
            track.lost += lost(news);
            self.health.works(&chunk.source, trouble, now);
            let since = match news {
                News::Dropped { since, .. } => *since,
                _ => None,
            };
            self.health.lost(&chunk.source, lost(news), since, now);
        }
        // What looks by itself tells what differs: its silence is no news.
        let is_sent = named.is_none_or(|format| format.name() != parse::OBSERVATION);
        if !chunk.bytes.is_empty() && is_sent {
            self.health.gave(&source, now);
        }
        // News alone begin no incarnation.
        if chunk.bytes.is_empty() && !chunk.end_of_generation {
            return;
        }
        let with = With {
            masker: self.pipeline.masker(),
            context: self.pipeline.context(),
            tokens: self.pipeline.ledger().token_key(),
        };
        let mut block = Block::default();
        let Some(intake) = track.framer.take(chunk, &source, named, with, &mut block) else {
            return;
        };
        let mut records = std::mem::take(&mut block.records);
        if let Some(least) = records.iter().filter_map(|record| record.said).min() {
            self.health.said(&chunk.source, least, now);
        }
        for record in &mut records {
            track.last_event = record.said.max(track.last_event);
            entries.push(self.pipeline.entry(intake, &block.bytes, record, now));
        }
    }
}

/// The source a chunk's records are of, and their format where it is known.
///
/// A sender's messages may be of several formats: each that its source doesn't name makes a source of its own.
fn named(chunk: &Chunk) -> (SourceId, Option<&'static dyn Format>) {
    let format = chunk.format.and_then(parse::named);
    if chunk.framing == Framing::ByFormat || format.is_some() || chunk.bytes.is_empty() {
        return (chunk.source.clone(), format);
    }
    let format = parse::sniff(&chunk.bytes).or_else(|| parse::named("plain"));
    let name = format.map_or("plain", Format::name);
    (SourceId(format!("{}#{name}", chunk.source.0)), format)
}

/// How much a source says it lost.
fn lost(news: &News) -> u64 {
    match news {
        News::Lost { bytes } => *bytes,
        News::Dropped { records, .. } => *records,
        _ => 0,
    }
}

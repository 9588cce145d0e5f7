//! Files that grow → the pipeline, until told to stop.
//!
//! The same intake, seal and judge as everywhere. A source resumes from the ledger's last entry of
//! it; a checkpoint is made at least every second while entries arrive, a tick every ten while none do.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{SourceId, Timestamp};
use sources::{Chunk, Follower, News, SourceError};

use crate::desk::{Desk, Overview, SourceView, Update};
use crate::intake::{Block, Intake};
use crate::ledger::NewEntry;
use crate::pipeline::{Pipeline, PipelineError};

/// Longest wait for something new before the clock is looked at.
const WAIT: Duration = Duration::from_millis(200);
/// Seconds between ticks while nothing arrives.
const TICK_SECONDS: i64 = 10;
/// Bytes within which a format must be recognised.
const HEAD_BYTES: usize = 16 * 1024;

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The files can't be followed.
    #[error("the logs can't be followed")]
    Source {
        /// What the follower said.
        source: SourceError,
    },
    /// The pipeline can't take more.
    #[error("what was read can't be sealed")]
    Pipeline {
        /// What the pipeline said.
        source: PipelineError,
    },
}

/// What is known of one followed source.
struct Track {
    intake: Option<Intake>,
    /// Bytes kept until a format is recognised.
    head: Vec<u8>,
    /// Where `head` starts.
    head_offset: u64,
    news: String,
    last_event: Option<Timestamp>,
}

/// Follows files into a pipeline.
pub struct Live {
    pipeline: Pipeline,
    follower: Follower,
    tracks: BTreeMap<SourceId, Track>,
    desk: Desk,
    started: Timestamp,
    last_entry: Timestamp,
    last_checkpoint: Timestamp,
    unsigned: bool,
}

impl Live {
    /// Starts following; nothing is read before [`Self::run`].
    #[must_use]
    pub fn new(pipeline: Pipeline, follower: Follower, desk: Desk, now: Timestamp) -> Self {
        Self {
            pipeline,
            follower,
            tracks: BTreeMap::new(),
            desk,
            started: now,
            last_entry: now,
            last_checkpoint: now,
            unsigned: true,
        }
    }

    /// Runs until `stop` says so; then ends what is open and signs.
    ///
    /// # Errors
    ///
    /// [`LiveError`] when files can't be followed or the ledger can't take more. Nothing that was
    /// acknowledged is lost: the next start resumes from the ledger.
    pub fn run(
        &mut self,
        clock: &dyn Fn() -> Timestamp,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), LiveError> {
        let mut chunks = Vec::new();
        while !stop() {
            chunks.clear();
            self.follower
                .next(WAIT, &mut chunks)
                .map_err(|source| LiveError::Source { source })?;
            let now = clock();
            self.step(&chunks, now)
                .map_err(|source| LiveError::Pipeline { source })?;
        }
        self.pipeline
            .flush(clock())
            .map_err(|source| LiveError::Pipeline { source })
    }

    fn step(&mut self, chunks: &[Chunk], now: Timestamp) -> Result<(), PipelineError> {
        let mut entries = Vec::new();
        for chunk in chunks {
            self.take(chunk, now, &mut entries);
        }
        if entries.is_empty() {
            if now.seconds_since(self.last_entry) >= TICK_SECONDS {
                self.pipeline.tick(now)?;
                self.last_entry = now;
                self.unsigned = true;
                self.show(now);
            }
        } else {
            self.pipeline.append(&entries)?;
            self.last_entry = now;
            self.unsigned = true;
            self.show(now);
        }
        if self.unsigned && now.seconds_since(self.last_checkpoint) >= 1 {
            self.pipeline.checkpoint(now)?;
            self.last_checkpoint = now;
            self.unsigned = false;
        }
        Ok(())
    }

    /// Turns one chunk into entries; keeps bytes of a source whose format is not known yet.
    fn take(&mut self, chunk: &Chunk, now: Timestamp, entries: &mut Vec<NewEntry>) {
        let track = self
            .tracks
            .entry(chunk.source.clone())
            .or_insert_with(|| Track {
                intake: None,
                head: Vec::new(),
                head_offset: chunk.offset_bytes,
                news: String::new(),
                last_event: None,
            });
        if let Some(news) = &chunk.news {
            track.news = describe(news);
        }
        let known = track.intake.as_ref().is_some_and(|intake| {
            intake.generation() == chunk.generation && intake.offset_bytes() <= chunk.offset_bytes
        });
        let mut block = Block::default();
        if !known {
            let format = track.intake.take().map(|intake| intake.format());
            if track.head.is_empty() {
                track.head_offset = chunk.offset_bytes;
            }
            track.head.extend_from_slice(&chunk.bytes);
            let Some(format) = format.or_else(|| parse::sniff(&track.head)) else {
                track.head.truncate(HEAD_BYTES);
                return;
            };
            let offset = track.head_offset;
            let tokens = self.pipeline.ledger().token_key();
            let mut intake = Intake::new(
                chunk.source.clone(),
                chunk.generation,
                offset,
                format,
                tokens,
            );
            let head = std::mem::take(&mut track.head);
            let end = chunk.end_of_generation;
            intake.push(
                &head,
                end,
                self.pipeline.masker(),
                self.pipeline.context(),
                &mut block,
            );
            track.intake = Some(intake);
        } else if let Some(intake) = &mut track.intake {
            let end = chunk.end_of_generation;
            let (masker, context) = (self.pipeline.masker(), self.pipeline.context());
            intake.push(&chunk.bytes, end, masker, context, &mut block);
        }
        let Some(intake) = &track.intake else { return };
        let mut records = std::mem::take(&mut block.records);
        for record in &mut records {
            track.last_event = record.said.max(track.last_event);
            entries.push(self.pipeline.entry(intake, &block.bytes, record, now));
        }
    }

    /// Shows sources and counters on the pages.
    fn show(&self, now: Timestamp) {
        let sources = self.tracks.iter().map(|(id, track)| {
            let counters = track
                .intake
                .as_ref()
                .map(Intake::counters)
                .unwrap_or_default();
            SourceView {
                id: id.0.clone(),
                format: track
                    .intake
                    .as_ref()
                    .map_or("", |intake| intake.format().name())
                    .to_owned(),
                state: if track.intake.is_some() {
                    "reading"
                } else {
                    "not read"
                }
                .to_owned(),
                records: counters.records,
                bytes: counters.bytes,
                quarantined: counters.quarantined,
                lag_seconds: track.last_event.map(|time| now.seconds_since(time).max(0)),
                last_event: track.last_event,
                reason: if track.intake.is_some() {
                    track.news.clone()
                } else {
                    "no known format recognises its first bytes".to_owned()
                },
            }
        });
        self.desk.publish(Update::Sources(sources.collect()));
        let counters = self.pipeline.judge().counters();
        self.desk.publish(Update::Overview(Overview {
            installation: self.pipeline.installation().0.clone(),
            lane: self.pipeline.lane(),
            records: counters.records,
            events: counters.events,
            findings: counters.findings,
            ledger_size: self.pipeline.ledger().len(),
            checkpoint: self.pipeline.ledger().last_checkpoint().unwrap_or_default(),
            started: self.started,
            now,
        }));
    }
}

fn describe(news: &News) -> String {
    match news {
        News::Truncated => "was truncated; read again from its start".to_owned(),
        News::Rotated => "was rotated; the old file was read to its end".to_owned(),
        News::Deleted => "was deleted; waiting for it to come back".to_owned(),
        News::Appeared => "appeared".to_owned(),
        News::Lost { bytes } => format!("{bytes} bytes were lost before they could be read"),
        News::Missing => "is not there yet; waiting for it".to_owned(),
        News::Unreadable => "can't be read; check its permissions".to_owned(),
        _ => String::new(),
    }
}

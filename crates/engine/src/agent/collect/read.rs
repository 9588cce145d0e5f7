//! Files, and what else is collected → masked records → the spool.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use cardholder::Masker;
use link::records::{BATCH_BYTES, BATCH_RECORDS_MAX, Batch, Carried, Happened, Record};
use model::SourceId;
use parse::Context;
use sources::{Chunk, Follower, News, Receipt, Running};

use super::spool::Spool;
use super::{Shared, TICK};
use crate::framer::{Framer, With};
use crate::intake::{Block, Intake, TokenKey};

/// Bytes of batches that are written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Longest wait for the end of sources that aren't files.
const END_WAIT: Duration = Duration::from_secs(3);
/// What trouble with it is about.
const SPOOL: &str = "the spool";

/// Reads.
pub(super) struct Reader<'a> {
    shared: &'a Shared,
    spool: &'a Spool,
    masker: &'a Masker,
    context: Context,
    follower: Follower,
    others: Running,
    framers: BTreeMap<SourceId, Framer>,
    /// Read and not written yet: while there are any, nothing more is read.
    waiting: VecDeque<Batch>,
    /// Who waits for what is in `waiting`.
    receipt: Option<Receipt>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        spool: &'a Spool,
        masker: &'a Masker,
        (follower, others): (Follower, Running),
    ) -> Self {
        Self {
            shared,
            spool,
            masker,
            // Times are read where records are sealed.
            context: Context::default(),
            follower,
            others,
            framers: BTreeMap::new(),
            waiting: VecDeque::new(),
            receipt: None,
        }
    }

    /// Reads until it is over.
    pub(super) fn run(&mut self, is_over: &dyn Fn() -> bool) {
        while !is_over() {
            if self.waiting.is_empty() {
                let mut chunks = Vec::new();
                let delivery = match self.shared.collect.files.is_empty() {
                    true => self.others.next(TICK),
                    false => None,
                };
                if delivery.is_none()
                    && let Err(error) = self.follower.next(self.patience(), &mut chunks)
                {
                    self.shared.trouble(SPOOL, Some(error.to_string()));
                    std::thread::sleep(TICK);
                }
                // One delivery at a time: what isn't written yet is all that is held.
                if let Some(delivery) = delivery.or_else(|| self.others.ready()) {
                    chunks.extend(delivery.chunks);
                    self.receipt = delivery.receipt;
                }
                for chunk in chunks {
                    self.take(&chunk);
                }
                if self.waiting.is_empty() {
                    self.answer();
                }
            } else if !self.write() {
                std::thread::sleep(TICK);
            }
        }
    }

    /// Ends what isn't files; waits a while for that, since another one of a kind can't begin before.
    pub(super) fn end(self) {
        self.others.stop();
        let until = Instant::now() + END_WAIT;
        while !self.others.ended() && Instant::now() < until {
            // What it hands over still isn't taken: it is read again.
            drop(self.others.ready());
            std::thread::sleep(TICK / 20);
        }
    }

    /// How long a look at files may take: none at all where there are none.
    fn patience(&self) -> Duration {
        match self.shared.collect.files.is_empty() {
            true => Duration::ZERO,
            false => TICK,
        }
    }

    /// Tells whoever waits that all that was handed over is on disk.
    fn answer(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.sealed();
        }
    }

    /// Writes some of what waits; whether it could.
    fn write(&mut self) -> bool {
        let (mut group, mut bytes): (Vec<Batch>, usize) = (Vec::new(), 0);
        while bytes < WRITE_BYTES
            && let Some(batch) = self.waiting.pop_front()
        {
            bytes += size(&batch);
            group.push(batch);
        }
        let trouble = match self.spool.append(&mut group, self.shared.now()) {
            Ok(true) => None,
            Ok(false) => Some(
                "the spool is full: files aren't read until the server took some of it, and what is rotated away and removed meanwhile is lost"
                    .to_owned(),
            ),
            Err(error) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(|one| format!(": {one}")).unwrap_or_default();
                Some(format!("the spool can't be written, so files aren't read: {error}{cause}"))
            }
        };
        let is_written = trouble.is_none();
        if !is_written {
            for batch in group.into_iter().rev() {
                self.waiting.push_front(batch);
            }
        }
        self.shared.trouble(SPOOL, trouble);
        if self.waiting.is_empty() {
            self.answer();
        }
        is_written
    }

    /// Makes batches of one chunk.
    fn take(&mut self, chunk: &Chunk) {
        let source = chunk.source.0.clone();
        if !chunk.bytes.is_empty() || chunk.end_of_generation {
            let framer = self.framers.entry(chunk.source.clone()).or_default();
            let with = With {
                masker: self.masker,
                context: &self.context,
                tokens: TokenKey::default(),
            };
            let mut block = Block::default();
            let named = chunk.format.and_then(parse::named);
            if let Some(intake) = framer.take(chunk, &chunk.source, named, with, &mut block) {
                add(&mut self.waiting, &source, intake, block);
            }
            let is_lost = framer.is_lost();
            // What isn't a file says itself how it is.
            if let Some(path) = source.strip_prefix("file:") {
                let why =
                    format!("{path}: no known format recognises its first bytes, so it isn't read");
                self.shared.trouble(path, is_lost.then_some(why));
            }
        }
        let Some(happened) = chunk.news.as_ref().and_then(happened) else {
            return self.hear(&source, chunk.news.as_ref());
        };
        self.waiting.push_back(Batch {
            source,
            after: None,
            what: Carried::Happened(happened),
        });
    }
}

impl Reader<'_> {
    /// Takes a source's word on how it is.
    fn hear(&self, source: &str, news: Option<&News>) {
        match news {
            Some(News::Well { .. }) => self.shared.trouble(source, None),
            Some(News::Failed { why }) => {
                self.shared
                    .trouble(source, Some(format!("{source}: {why}")));
            }
            // It works: nothing is held up that would have to be well again.
            Some(News::Refused { why }) => self.shared.say(&format!("{source}: {why}")),
            _ => {}
        }
    }
}

/// Adds the records of a block, so many to a batch.
fn add(out: &mut VecDeque<Batch>, source: &str, intake: &Intake, block: Block) {
    let (generation, format) = (intake.generation(), intake.format().name());
    let (mut records, mut bytes) = (Vec::new(), 0);
    let mut end = |records: &mut Vec<Record>| {
        if !records.is_empty() {
            out.push_back(Batch {
                source: source.to_owned(),
                after: None,
                what: Carried::Records {
                    generation,
                    format: format.to_owned(),
                    records: std::mem::take(records),
                },
            });
        }
    };
    for masked in block.records {
        let of = block.bytes.get(masked.range).unwrap_or_default();
        let record = Record {
            offset_bytes: masked.offset_bytes,
            marks: masked.marks,
            bytes: of.to_vec(),
        };
        bytes += size_of(&record);
        records.push(record);
        if bytes >= BATCH_BYTES || records.len() >= BATCH_RECORDS_MAX {
            end(&mut records);
            bytes = 0;
        }
    }
    end(&mut records);
}

/// About as many bytes as a record is written in.
fn size_of(record: &Record) -> usize {
    record.bytes.len() + record.marks.len() * 32 + 14
}

fn size(batch: &Batch) -> usize {
    match &batch.what {
        Carried::Records { records, .. } => records.iter().map(size_of).sum(),
        _ => batch.source.len(),
    }
}

/// What of a source's news is told on.
fn happened(news: &News) -> Option<Happened> {
    Some(match news {
        News::Truncated => Happened::Truncated,
        News::Rotated => Happened::Rotated,
        News::Deleted => Happened::Deleted,
        News::Appeared => Happened::Appeared,
        News::Missing => Happened::Missing,
        News::Unreadable => Happened::Unreadable,
        News::Lost { bytes } => Happened::Lost(*bytes),
        News::Dropped { records, .. } => Happened::Dropped(*records),
        _ => return None,
    })
}

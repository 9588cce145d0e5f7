//! A folder of logs → one stream in order of event time → the pipeline.
//!
//! Every input is read once, in blocks; the streams are merged by the time their records say, so
//! that the ledger's order is close to the order of events. Memory is bounded by one block per
//! open input, however large the inputs are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use model::Timestamp;
use parse::Format;
use sha2::{Digest, Sha256};
use sources::{Input, Limits, Reader, SourceError, group_rotated};

use crate::intake::{Block, Intake, IntakeCounters};
use crate::ledger::NewEntry;
use crate::pipeline::{Pipeline, PipelineError};
use crate::sealed::InputFacts;

/// Records sealed with one write.
const BATCH_RECORDS: usize = 4096;
/// Bytes read at once from one input.
const READ_BYTES: usize = 128 * 1024;
/// Bytes a format is recognised by.
const HEAD_BYTES: usize = 16 * 1024;

/// Told how far the work is.
pub trait Progress {
    /// `bytes` more of `total` bytes (compressed size on disk) are done.
    fn advance(&mut self, bytes: u64);
}

/// What became of one input.
#[derive(Clone, Debug)]
pub struct InputOutcome {
    /// What was sealed about it.
    pub facts: InputFacts,
    /// What was counted.
    pub counters: IntakeCounters,
}

/// What became of a folder of logs.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Inputs read, in order.
    pub inputs: Vec<InputOutcome>,
    /// Inputs not read: path, and why.
    pub not_read: Vec<(String, String)>,
}

/// One logical log: its rotated files, oldest first, read one after the other.
struct Stream {
    queue: VecDeque<(Input, &'static dyn Format)>,
    open: Option<Open>,
    block: Block,
    next: usize,
}

/// The file of a stream that is being read.
struct Open {
    input: Input,
    reader: Reader,
    intake: Intake,
    ended: bool,
    error: String,
}

/// Recognises the inputs under `paths`, reads them and gives them to the pipeline.
///
/// `named` reads every input as that format instead of recognising it. The pipeline is flushed at the end.
///
/// # Errors
///
/// [`PipelineError`] when the ledger can't take the records. An input that can't be read is no
/// error: it is listed in the outcome with the reason.
pub fn analyze(
    pipeline: &mut Pipeline,
    inputs: Vec<Input>,
    named: Option<&'static dyn Format>,
    limits: &Limits,
    clock: &dyn Fn() -> Timestamp,
    progress: &mut dyn Progress,
) -> Result<Outcome, PipelineError> {
    let mut outcome = Outcome::default();
    let mut streams = recognise(inputs, named, limits, &mut outcome, progress);
    let mut heap = BinaryHeap::new();
    for (index, stream) in streams.iter_mut().enumerate() {
        refill(stream, pipeline, limits, clock, &mut outcome, progress)?;
        heap.extend(stream.head().map(|time| Reverse((time, index))));
    }
    let mut batch: Vec<NewEntry> = Vec::with_capacity(BATCH_RECORDS);
    let mut received = clock();
    while let Some(Reverse((_, index))) = heap.pop() {
        let Some(stream) = streams.get_mut(index) else {
            continue;
        };
        let bound = heap.peek().map(|Reverse((time, _))| *time);
        // Records of one stream follow each other until another stream is due.
        while let Some(time) = stream.head() {
            if bound.is_some_and(|bound| time > bound) {
                break;
            }
            batch.extend(stream.take(pipeline, received));
            if batch.len() >= BATCH_RECORDS {
                received = clock();
                pipeline.append_ahead(std::mem::take(&mut batch))?;
            }
        }
        if stream.head().is_none() {
            // What was read must be sealed before its input is said to be done.
            if stream.open.as_ref().is_some_and(|open| open.ended) {
                pipeline.append_ahead(std::mem::take(&mut batch))?;
            }
            refill(stream, pipeline, limits, clock, &mut outcome, progress)?;
        }
        heap.extend(stream.head().map(|time| Reverse((time, index))));
    }
    pipeline.append_ahead(batch)?;
    pipeline.flush(clock())?;
    Ok(outcome)
}

/// Groups rotated files to streams; what no format recognises goes to `outcome.not_read`.
fn recognise(
    inputs: Vec<Input>,
    named: Option<&'static dyn Format>,
    limits: &Limits,
    outcome: &mut Outcome,
    progress: &mut dyn Progress,
) -> Vec<Stream> {
    let mut streams = Vec::new();
    for group in group_rotated(inputs) {
        let mut queue = VecDeque::new();
        for input in group {
            let found = match named {
                Some(format) => Ok(Some(format)),
                None => head(&input, limits).map(|head| parse::sniff(&head)),
            };
            match found {
                Ok(Some(format)) => queue.push_back((input, format)),
                Ok(None) => {
                    progress.advance(input.size_bytes);
                    let reason = if input.size_bytes == 0 {
                        "empty"
                    } else {
                        "no known format"
                    };
                    outcome
                        .not_read
                        .push((input.id.0.clone(), reason.to_owned()));
                }
                Err(error) => {
                    progress.advance(input.size_bytes);
                    outcome
                        .not_read
                        .push((input.id.0.clone(), error.to_string()));
                }
            }
        }
        if !queue.is_empty() {
            streams.push(Stream {
                queue,
                open: None,
                block: Block::default(),
                next: 0,
            });
        }
    }
    streams
}

/// Reads what a format is recognised by.
fn head(input: &Input, limits: &Limits) -> Result<Vec<u8>, SourceError> {
    let reader = input.open(limits)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    // A read error inside the head still leaves what came before it to recognise.
    drop(reader.take(HEAD_BYTES as u64).read_to_end(&mut head));
    Ok(head)
}

impl Stream {
    /// Time of the next record; a record that says no time comes at once.
    fn head(&self) -> Option<Timestamp> {
        self.block
            .records
            .get(self.next)
            .map(|record| record.said.unwrap_or(Timestamp(i64::MIN)))
    }

    fn take(&mut self, pipeline: &Pipeline, received: Timestamp) -> Option<NewEntry> {
        let record = self.block.records.get_mut(self.next)?;
        self.next += 1;
        let open = self.open.as_ref()?;
        Some(pipeline.entry(&open.intake, &self.block.bytes, record, received))
    }
}

/// Reads on until the stream has a record again or is at its end.
fn refill(
    stream: &mut Stream,
    pipeline: &mut Pipeline,
    limits: &Limits,
    clock: &dyn Fn() -> Timestamp,
    outcome: &mut Outcome,
    progress: &mut dyn Progress,
) -> Result<(), PipelineError> {
    let mut buffer = vec![0; READ_BYTES];
    stream.block.bytes.clear();
    stream.block.records.clear();
    stream.next = 0;
    while stream.block.records.is_empty() {
        if let Some(open) = stream.open.take_if(|open| open.ended) {
            progress.advance(open.input.size_bytes);
            let input = close(open, pipeline);
            pipeline.seal_input(input.facts.clone(), clock())?;
            outcome.inputs.push(input);
        }
        if stream.open.is_none() {
            let Some((input, format)) = stream.queue.pop_front() else {
                return Ok(());
            };
            match open(input, format, limits, pipeline) {
                Ok(open) => stream.open = Some(open),
                Err((id, error)) => outcome.not_read.push((id, error.to_string())),
            }
            continue;
        }
        let Some(open) = stream.open.as_mut() else {
            continue;
        };
        let length = match open.reader.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                open.error = error.to_string();
                0
            }
        };
        open.ended = length == 0;
        open.intake.push(
            buffer.get(..length).unwrap_or_default(),
            open.ended,
            pipeline.masker(),
            pipeline.context(),
            &mut stream.block,
        );
    }
    Ok(())
}

fn open(
    input: Input,
    format: &'static dyn Format,
    limits: &Limits,
    pipeline: &Pipeline,
) -> Result<Open, (String, SourceError)> {
    let opened = input
        .open(limits)
        .and_then(|mut reader| Ok((reader.generation()?, reader)));
    let (generation, reader) = opened.map_err(|error| (input.id.0.clone(), error))?;
    let intake = Intake::new(
        input.id.clone(),
        generation,
        0,
        format,
        pipeline.ledger().token_key(),
    );
    Ok(Open {
        input,
        reader,
        intake,
        ended: false,
        error: String::new(),
    })
}

fn close(open: Open, pipeline: &Pipeline) -> InputOutcome {
    let counters = open.intake.counters();
    let key = (counters.card_numbers > 0).then(|| pipeline.ledger().fingerprint_key());
    let hash_kind = if key.is_some() {
        "hmac-sha256"
    } else {
        "sha256"
    };
    let hash = hash_file(&open.input.path, key).unwrap_or_else(|error| format!("unknown: {error}"));
    let facts = InputFacts {
        source: open.input.id.0.clone(),
        path: open.input.path.display().to_string(),
        format: open.intake.format().name().to_owned(),
        size_bytes: open.input.size_bytes,
        modified: open
            .input
            .modified
            .map(|time| time.to_string())
            .unwrap_or_default(),
        hash,
        hash_kind: hash_kind.to_owned(),
        records: counters.records,
        quarantined: counters.quarantined,
        error: open.error,
    };
    InputOutcome { facts, counters }
}

/// Hashes a file as it is on disk, keyed where a key is given.
fn hash_file(path: &Path, key: Option<[u8; 32]>) -> Result<String, std::io::Error> {
    let mut file = File::open(path)?;
    let mut plain = Sha256::new();
    let mut keyed = key
        .map(|key| Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length"));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        match &mut keyed {
            Some(keyed) => keyed.update(bytes),
            None => Digest::update(&mut plain, bytes),
        }
    }
    let digest = match keyed {
        Some(keyed) => keyed.finalize().into_bytes(),
        None => plain.finalize(),
    };
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lists where what [`analyze`] wrote lies, below one folder.
#[derive(Clone, Debug)]
pub struct OutputFolder {
    /// The folder of this run.
    pub root: PathBuf,
}

impl OutputFolder {
    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The second place for checkpoints.
    #[must_use]
    pub fn second_place(&self) -> PathBuf {
        self.root.join("checkpoints.copy")
    }
}

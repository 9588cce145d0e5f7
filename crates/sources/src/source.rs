//! What a live source is, and what it hands over.
//!
//! Each source runs on a thread of its own and hands chunks over through one bounded queue: when the pipeline
//! can't keep up, or the disk is full, handing over waits, and with it whatever the source reads from. A source
//! whose sender waits for an answer hands over with [`Hand::give_and_wait`] and answers once all is sealed.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use model::{Generation, Position, SourceId, Timestamp};

use crate::SourceError;
pub use crate::chunk::{Chunk, Framing, News};
use crate::database::Access;
use crate::tree::{CardCount, Signatures};

/// Deliveries that wait for the pipeline; with at most [`DELIVERY_BYTES_MAX`] each they bound its memory.
const QUEUE: usize = 16;
/// Most bytes handed over at once.
pub const DELIVERY_BYTES_MAX: usize = 16 << 20;
/// Shortest time between two looks because of an incident.
const ALARM_PAUSE: Duration = Duration::from_secs(60);
/// How long a full queue is waited for before a look at whether to stop.
const FULL_WAIT: Duration = Duration::from_millis(20);

/// A kind of live source. Yours: a file here, its `mod` line, its entry in [`crate::SOURCES`].
pub trait Kind: Sync {
    /// Its name in settings, e.g. `syslog`.
    fn name(&self) -> &'static str;

    /// Makes one from its settings, a table of the settings file without `kind`. What it listens at is bound already.
    ///
    /// # Errors
    ///
    /// [`SourceError::Settings`] when they make no sense, another when what they name can't be used.
    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError>;
}

/// What every source is given.
pub struct Given {
    /// When it starts.
    pub now: Timestamp,
    /// Where each source's records are sealed up to.
    pub resume: Positions,
    /// Names of the formats there are; a sender may name one.
    pub formats: Vec<&'static str>,
    /// How the shop's database is reached, where an account of magewarden's own is named.
    pub database: Option<Access>,
    /// Folder for what a source keeps; losing it costs looks, no evidence.
    pub data: PathBuf,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// A key that only this installation has, for what is kept outside the ledger.
    pub key: [u8; 32],
    /// Magento's root folder, where one is named.
    pub magento: Option<PathBuf>,
    /// Signatures looked for in files.
    pub signatures: Arc<Signatures>,
    /// Counts card numbers in bytes.
    pub cards: Arc<CardCount>,
}

/// Something that gives records, live.
pub trait Source: Send {
    /// Hands over what it reads until it is told to stop ([`Hand::stopped`]); looks at that at least five times a second.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when it can't go on; it is started again after a pause.
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError>;

    /// Its name on the page of sources, e.g. `syslog:127.0.0.1:5514`.
    fn id(&self) -> SourceId;

    /// Whether what came while it didn't run is gone, since nobody sends it again and it can't be asked for.
    fn forgets(&self) -> bool {
        false
    }
}

/// Where each source's records are sealed up to.
pub type Positions = BTreeMap<SourceId, (Generation, Position)>;

/// Chunks handed over together.
pub struct Delivery {
    /// When its source had read all of it; waiting for a full queue comes after.
    pub given: Instant,
    /// The chunks, in order for each source.
    pub chunks: Vec<Chunk>,
    /// Who waits to hear that all of them are sealed.
    pub receipt: Option<Receipt>,
}

/// Told once a delivery is sealed; dropped untold when it never will be.
pub struct Receipt(SyncSender<()>);

impl Receipt {
    /// Says that the delivery is sealed.
    pub fn sealed(self) {
        // Who waited may have given up.
        let _heard = self.0.try_send(());
    }
}

/// What was handed over and isn't known to be sealed: whoever is sent it again asks this first, so that it isn't sealed twice.
pub struct Pending(Receiver<()>);

impl Pending {
    /// Waits until it is sealed, at most `patience`; of what is sealed it says so once.
    ///
    /// # Errors
    ///
    /// [`NotSealed::Late`]: it may be sealed later; [`NotSealed::Stopped`]: never by this run.
    pub fn wait(&self, patience: Duration) -> Result<(), NotSealed> {
        match self.0.recv_timeout(patience) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(NotSealed::Late),
            Err(RecvTimeoutError::Disconnected) => Err(NotSealed::Stopped),
        }
    }
}

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSealed {
    /// Told to stop.
    #[error("stopping")]
    Stopped,
    /// Not sealed in time: the pipeline is behind, or the disk is full.
    #[error("not sealed in time")]
    Late,
}

/// A source's end of the queue.
#[derive(Clone)]
pub struct Hand {
    queue: SyncSender<Delivery>,
    stop: Arc<AtomicBool>,
    alarms: Arc<AtomicU64>,
}

/// Notices that an incident opened, at most once a minute.
#[derive(Default)]
pub(crate) struct Alarm {
    known: u64,
    last: Option<Instant>,
}

impl Alarm {
    /// Whether one opened since this last said so: what dies by itself is to be looked at now.
    pub(crate) fn rings(&mut self, hand: &Hand) -> bool {
        let opened = hand.alarms.load(Ordering::Acquire);
        let is_early = self.last.is_some_and(|last| last.elapsed() < ALARM_PAUSE);
        if opened == self.known || is_early {
            return false;
        }
        (self.known, self.last) = (opened, Some(Instant::now()));
        true
    }
}

impl Hand {
    /// Hands chunks over; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// [`NotSealed::Stopped`].
    pub fn give(&self, chunks: Vec<Chunk>) -> Result<(), NotSealed> {
        if chunks.is_empty() {
            return Ok(());
        }
        let delivery = Delivery {
            given: Instant::now(),
            chunks,
            receipt: None,
        };
        self.push(delivery, None)
    }

    /// Hands chunks over and waits until they are sealed, at most `patience`.
    ///
    /// # Errors
    ///
    /// [`NotSealed`]: the sender must send them again. They may be sealed later all the same.
    pub fn give_and_wait(&self, chunks: Vec<Chunk>, patience: Duration) -> Result<(), NotSealed> {
        let until = Instant::now() + patience;
        self.offer(chunks, patience)?
            .wait(until.saturating_duration_since(Instant::now()))
    }

    /// Hands chunks over, within `patience`; what it gives tells when they are sealed.
    ///
    /// # Errors
    ///
    /// [`NotSealed`]: nobody has them.
    pub fn offer(&self, chunks: Vec<Chunk>, patience: Duration) -> Result<Pending, NotSealed> {
        let (told, sealed) = sync_channel(1);
        let delivery = Delivery {
            given: Instant::now(),
            chunks,
            receipt: Some(Receipt(told)),
        };
        self.push(delivery, Some(Instant::now() + patience))?;
        Ok(Pending(sealed))
    }

    /// Tells news of a source; when told to stop, nobody is left to hear it.
    pub fn tell(&self, source: SourceId, news: News) {
        let _heard = self.give(vec![Chunk::news(source, news)]);
    }

    /// Whether to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits up to `pause`, less when told to stop.
    pub fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    fn push(&self, mut delivery: Delivery, until: Option<Instant>) -> Result<(), NotSealed> {
        loop {
            delivery = match self.queue.try_send(delivery) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(NotSealed::Stopped),
                Err(TrySendError::Full(delivery)) => delivery,
            };
            if self.stopped() {
                return Err(NotSealed::Stopped);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(NotSealed::Late);
            }
            std::thread::sleep(FULL_WAIT);
        }
    }
}

/// Wakes whoever waits for deliveries, though there is none: something else is to be looked at.
#[derive(Clone)]
pub struct Waker {
    queue: SyncSender<Delivery>,
    woken: Arc<AtomicBool>,
}

impl Waker {
    /// Wakes it.
    pub fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        // A full queue wakes by itself.
        let _full = self.queue.try_send(Delivery {
            chunks: Vec::new(),
            receipt: None,
            given: Instant::now(),
        });
    }
}

/// Sources at work, and what they hand over.
pub struct Running {
    queue: Receiver<Delivery>,
    waker: Waker,
    stop: Arc<AtomicBool>,
    alarms: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
    forgetful: Vec<SourceId>,
}

impl Running {
    /// Starts each source on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`SourceError::Thread`] when the machine has no room for one.
    pub fn start(sources: Vec<Box<dyn Source>>) -> Result<Self, SourceError> {
        let (sender, queue) = sync_channel(QUEUE);
        let stop = Arc::new(AtomicBool::new(false));
        let alarms = Arc::new(AtomicU64::new(0));
        let (mut threads, mut forgetful) = (Vec::new(), Vec::new());
        for source in sources {
            if source.forgets() {
                forgetful.push(source.id());
            }
            let hand = Hand {
                queue: sender.clone(),
                stop: Arc::clone(&stop),
                alarms: Arc::clone(&alarms),
            };
            let thread = std::thread::Builder::new()
                .name("source".to_owned())
                .spawn(move || keep_running(source, &hand))
                .map_err(|source| SourceError::Thread { source })?;
            threads.push(thread);
        }
        let woken = Arc::new(AtomicBool::new(false));
        let waker = Waker {
            queue: sender,
            woken,
        };
        Ok(Self {
            queue,
            waker,
            stop,
            alarms,
            threads,
            forgetful,
        })
    }

    /// Sources that lost what came before they were started ([`Source::forgets`]).
    #[must_use]
    pub fn forgetful(&self) -> &[SourceId] {
        &self.forgetful
    }

    /// Waits up to `wait` for a delivery.
    #[must_use]
    pub fn next(&self, wait: Duration) -> Option<Delivery> {
        self.queue.recv_timeout(wait).ok()
    }

    /// A delivery that is there already.
    #[must_use]
    pub fn ready(&self) -> Option<Delivery> {
        self.queue.try_recv().ok()
    }

    /// What wakes [`Self::next`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Whether somebody woke it since this was asked last.
    #[must_use]
    pub fn was_woken(&self) -> bool {
        self.waker.woken.swap(false, Ordering::AcqRel)
    }

    /// Says that an incident opened: sources of what dies by itself look at once.
    pub fn alarm(&self) {
        self.alarms.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells every source to stop. What they handed over is still there.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether every source has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.threads
            .iter()
            .all(std::thread::JoinHandle::is_finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a source; one that fails is tried again, after longer and longer pauses of up to a minute.
fn keep_running(mut source: Box<dyn Source>, hand: &Hand) {
    let mut pause = Duration::from_secs(1);
    while !hand.stopped() {
        let began = Instant::now();
        // A source that panics is one that fails: it is said, and tried again.
        let run = std::panic::catch_unwind(AssertUnwindSafe(|| source.run(hand)));
        let why = match run {
            Ok(Ok(())) => return,
            Ok(Err(error)) => chain(&error),
            Err(_) => "it broke at something it can't handle; report it".to_owned(),
        };
        if began.elapsed() > Duration::from_secs(60) {
            pause = Duration::from_secs(1);
        }
        hand.tell(source.id(), News::Failed { why });
        hand.pause(pause);
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors say their cause themselves.
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// The incarnation of what only this run numbers.
pub(crate) fn generation_of(run: Timestamp) -> Generation {
    Generation {
        inode: run.0.unsigned_abs(),
        ..Generation::default()
    }
}

/// Gives the records of a source that numbers nothing their places: each follows the one before.
pub struct Recorder {
    source: SourceId,
    generation: Generation,
    next: u64,
    format: Option<&'static str>,
}

impl Recorder {
    /// Of a source whose records are recognised one by one.
    pub(crate) fn new(source: SourceId, run: Timestamp) -> Self {
        Self {
            source,
            generation: generation_of(run),
            next: 0,
            format: None,
        }
    }

    /// Of a source whose records are observations ([`crate::Observation`]).
    #[must_use]
    pub fn observing(source: SourceId, run: Timestamp) -> Self {
        Self {
            format: Some(crate::observation::FORMAT),
            ..Self::new(source, run)
        }
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Hands records over, `most` at once; returns once all are sealed.
    pub(crate) fn seal(
        &mut self,
        hand: &Hand,
        records: &[Vec<u8>],
        most: usize,
        patience: Duration,
    ) -> Result<(), NotSealed> {
        for batch in records.chunks(most) {
            let chunks = batch
                .iter()
                .map(|record| self.chunk(record.clone()))
                .collect();
            hand.give_and_wait(chunks, patience)?;
        }
        Ok(())
    }

    /// The chunk of one record.
    pub fn chunk(&mut self, record: Vec<u8>) -> Chunk {
        let at = self.next;
        self.next += record.len() as u64;
        Chunk::record(
            self.source.clone(),
            self.generation,
            at,
            record,
            self.format,
        )
    }
}

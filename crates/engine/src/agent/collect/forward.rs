//! The spool → the server.
//!
//! What became of a request that wasn't answered isn't known here: the server is asked where it stands before anything is sent again.

use std::time::{Duration, Instant};

use link::CallError;
use link::records::Status;
use link::wire::LINK_VERSION;

use super::line::{Line, SERVER};
use super::spool::{Spool, SpoolError, standing};
use super::{Shared, TICK};
use crate::agent::calls::pause;

/// Bytes of one request, but for its last frame, and its records.
const REQUEST_BYTES: usize = 4 << 20;
const REQUEST_RECORDS: usize = 50_000;
/// How often it says how it is while there is nothing to send.
const WORD: Duration = Duration::from_secs(15);
/// Pause between two small requests: what comes meanwhile goes together.
const GATHER: Duration = Duration::from_millis(100);
/// Bytes from which on a request isn't a small one.
const SMALL_BYTES: usize = 256 << 10;

/// Sends.
pub(super) struct Forward<'a> {
    shared: &'a Shared,
    spool: &'a Spool,
    line: Line<'a>,
    key: [u8; 32],
    /// Whether it is known where the server stands.
    is_fit: bool,
    told: Option<Instant>,
}

/// Why something wasn't sent.
enum Unsent {
    Call(CallError),
    Spool(SpoolError),
    /// The spool is to be begun anew.
    Anew(String),
}

impl From<CallError> for Unsent {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<SpoolError> for Unsent {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Damaged { .. } => Self::Anew(error.to_string()),
            other => Self::Spool(other),
        }
    }
}

impl<'a> Forward<'a> {
    pub(super) fn new(shared: &'a Shared, spool: &'a Spool, line: Line<'a>, key: [u8; 32]) -> Self {
        Self {
            shared,
            spool,
            line,
            key,
            is_fit: false,
            told: None,
        }
    }

    /// Sends until it is over; gives why the spool is to be begun anew, if it is.
    pub(super) fn run(mut self, is_over: &dyn Fn() -> bool) -> Option<String> {
        let (mut failures, mut next) = (0_u32, Instant::now());
        while !is_over() {
            if Instant::now() < next {
                std::thread::sleep(TICK / 2);
                continue;
            }
            let sent = match self.is_fit {
                true => self.send(),
                false => self.fit(),
            };
            let trouble = match sent {
                Ok(()) => {
                    if self.is_fit && self.told.is_some() {
                        failures = 0;
                        self.shared.trouble(SERVER, None);
                    }
                    continue;
                }
                Err(Unsent::Anew(why)) => return Some(why),
                // It stands elsewhere: where, is asked at once, and less and less often where that doesn't help.
                Err(Unsent::Call(CallError::Refused { status: 412, .. })) if failures == 0 => None,
                Err(Unsent::Call(error)) => Some(error.to_string()),
                Err(Unsent::Spool(error)) => Some(error.to_string()),
            };
            self.is_fit = false;
            self.told = None;
            failures = failures.saturating_add(1);
            if let Some(trouble) = trouble {
                if failures <= 2 {
                    let line = format!("what is collected waits here: {trouble}");
                    self.shared.trouble(SERVER, Some(line));
                }
                next = Instant::now() + pause(failures, chance());
            }
        }
        None
    }

    /// Asks where the server stands, and passes by what it has.
    fn fit(&mut self) -> Result<(), Unsent> {
        let places = self.line.places()?;
        if places.fingerprint != self.key {
            let path = self.shared.folder.join("fingerprint.key");
            stores::destroy(&path).map_err(SpoolError::from)?;
            let why = "the server's key of fingerprints is another one than before";
            return Err(Unsent::Anew(why.to_owned()));
        }
        let strange = self.spool.fit(&standing(places.places))?;
        if let Some(source) = strange.first() {
            let why =
                format!("the server stands at a place of {source} that this spool doesn't know");
            return Err(Unsent::Anew(why));
        }
        self.is_fit = true;
        Ok(())
    }

    /// Sends what waits, or a word on how it is.
    fn send(&mut self) -> Result<(), Unsent> {
        let load = self.spool.load(REQUEST_BYTES, REQUEST_RECORDS)?;
        if load.frames.is_empty() && load.moves {
            return Ok(self.spool.sent(load)?);
        }
        let is_word_due = self.told.is_none_or(|told| told.elapsed() >= WORD);
        if load.frames.is_empty() && !is_word_due {
            self.spool.wait(TICK);
            return Ok(());
        }
        self.line.send(&self.status(), &load.frames)?;
        self.told = Some(Instant::now());
        let is_small = load.frames.len() < SMALL_BYTES;
        if load.moves {
            self.spool.sent(load)?;
        }
        if is_small {
            std::thread::sleep(GATHER);
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let (spool_bytes, spool_bytes_max, waits_since) = self.spool.fill();
        Status {
            v: LINK_VERSION,
            spool_bytes,
            spool_bytes_max,
            waits_since,
            trouble: self.shared.troubles(),
        }
    }
}

/// Hosts that call at once are no harm to one of them.
fn chance() -> u8 {
    let mut chance = [u8::MAX];
    let _same = getrandom::fill(&mut chance);
    chance[0]
}

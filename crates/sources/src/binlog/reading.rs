//! One connection's reading: events in, records handed over, and the place kept once they are sealed.
//!
//! Invariant: the place that is kept is before every record that isn't sealed, and between two transactions.

use std::time::{Duration, Instant};

use super::event::{CHECKSUM, HEADER, Header};
use super::log::{At, Boundary, Log};
use super::place::{Mark, Place};
use super::wire::{self, Connection};
use super::{FIRST, Follow};
use crate::SourceError;
use crate::observation::FORMAT;
use crate::source::{Chunk, Hand, News, NotSealed};

/// Records handed over at once, at most, unless one event has more.
const BATCH: usize = 200;
/// Longest time a record waits for others.
const BATCH_TIME: Duration = Duration::from_millis(500);
/// How often the place is kept while nothing is told.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often losses are told, at most.
const LOSSES_EVERY: Duration = Duration::from_secs(10);
/// How long sealing is waited for at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the server's silence is borne; it says often that nothing happens.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// Why reading ends.
pub(super) enum End {
    Stopped,
    Lost(std::io::Error),
    Failed(Box<SourceError>),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// One connection's reading.
pub(super) struct Reading<'a> {
    follow: &'a mut Follow,
    hand: &'a Hand,
    log: Log,
    has_checksums: bool,
    /// The file read, when it was begun, and how far.
    file: String,
    begun: u32,
    end: u64,
    /// Where reading could begin again, once all before it is sealed; and what of that is kept.
    place: Place,
    kept: Place,
    kept_at: Instant,
    batch: Vec<Chunk>,
    /// Place of the batch's last record.
    last: Option<Mark>,
    since: Instant,
    /// What was said already on this connection.
    said: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        follow: &'a mut Follow,
        hand: &'a Hand,
        place: Place,
        has_checksums: bool,
    ) -> Self {
        Self {
            log: Log::new(&follow.schema, &follow.prefix),
            has_checksums,
            begun: place.begun,
            file: place.file.clone(),
            end: place.position,
            kept: place.clone(),
            place,
            kept_at: Instant::now(),
            batch: Vec::new(),
            last: None,
            since: Instant::now(),
            said: Vec::new(),
            follow,
            hand,
        }
    }

    /// Reads until it is told to stop, or the connection ends.
    pub(super) fn all(&mut self, connection: &mut Connection) -> Result<(), End> {
        let mut heard = Instant::now();
        loop {
            let packet = connection.packet()?;
            match packet {
                Some(packet) => {
                    heard = Instant::now();
                    match packet.bytes.first() {
                        Some(0) => self.event(&packet.bytes, packet.forgotten)?,
                        Some(0xff) => {
                            self.seal()?;
                            return Err(End::Lost(wire::refusal(&packet.bytes)));
                        }
                        _ => {
                            self.seal()?;
                            return Err(End::Lost(std::io::Error::other(
                                "the server ends the log",
                            )));
                        }
                    }
                    if self.batch.len() >= BATCH || self.since.elapsed() > BATCH_TIME {
                        self.seal()?;
                    }
                }
                None => self.seal()?,
            }
            self.say_losses();
            if self.hand.stopped() {
                return Err(End::Stopped);
            }
            if heard.elapsed() > SILENCE_MAX {
                return Err(End::Lost(std::io::ErrorKind::TimedOut.into()));
            }
        }
    }

    /// Takes one event behind its packet's first byte.
    fn event(&mut self, packet: &[u8], forgotten: u64) -> Result<(), End> {
        let event = packet.get(1..).unwrap_or_default();
        let damaged = |why: &str| End::Lost(std::io::Error::other(why.to_owned()));
        let header = Header::read(event).ok_or_else(|| damaged("an event has no header"))?;
        let start = self.stands(&header);
        if forgotten > 0 {
            self.dropped(format!("an event at {}:{start} is over 64 MiB", self.file));
            return Ok(());
        }
        if header.size as usize != event.len() {
            return Err(damaged("an event has another size than it says"));
        }
        let body = self.body(&header, event).ok_or_else(|| {
            damaged("an event's checksum doesn't fit: the log or the way here is damaged")
        })?;
        if header.kind == 15 {
            self.file_begins(&header)?;
        }
        let file = self.file.clone();
        let at = At {
            file: &file,
            position: start,
        };
        let taken = self.log.take(&header, body, &at);
        if let Some(has_checksums) = taken.has_checksums {
            self.has_checksums = has_checksums;
        }
        if let Some(why) = taken.dropped {
            self.dropped(why);
        }
        if let Some(why) = taken.poor.filter(|why| !self.said.contains(why)) {
            self.follow.refused(self.hand, &why);
            self.said.push(why);
        }
        for (number, record) in taken.records {
            self.record(start, number, record);
        }
        match taken.boundary {
            Some(Boundary::Before) => self.boundary(start),
            Some(Boundary::After) => self.boundary(self.end),
            None => {}
        }
        if let Some((name, position)) = taken.rotate {
            // The server's first word names the file that was asked for.
            if name != self.file {
                (self.file, self.begun, self.end) = (name, 0, position);
                self.boundary(position);
            } else if !header.is_artificial {
                self.end = position;
            }
        }
        Ok(())
    }

    /// Where an event starts, counted on over the four bytes that its header has for its end.
    fn stands(&mut self, header: &Header) -> u64 {
        if header.end == 0 || header.is_artificial || header.kind == 27 {
            return self.end;
        }
        let round = 1_u64 << 32;
        let mut end = self.end / round * round + u64::from(header.end);
        if end + round / 2 < self.end {
            end += round;
        }
        // What the server repeats when reading begins stands before it.
        if end < self.end {
            return self.end;
        }
        self.end = end;
        end.saturating_sub(u64::from(header.size))
    }

    /// An event without header and checksum; `None` when the checksum is wrong.
    fn body<'b>(&self, header: &Header, event: &'b [u8]) -> Option<&'b [u8]> {
        let end = event.len().checked_sub(CHECKSUM)?;
        let (text, sum) = event.split_at_checked(end)?;
        let fits = sum == crc32fast::hash(text).to_le_bytes();
        match header.kind {
            // The event that says whether there are checksums has room for one in any case.
            15 => text.get(HEADER..),
            _ if header.is_artificial && !fits => event.get(HEADER..),
            _ if self.has_checksums || header.is_artificial => {
                fits.then(|| text.get(HEADER..)).flatten()
            }
            _ => event.get(HEADER..),
        }
    }

    /// A file's first event: one begun at another time than before is another file of the same name.
    fn file_begins(&mut self, header: &Header) -> Result<(), End> {
        let begun = header.time;
        if self.begun != 0 && self.begun != begun {
            self.follow.lost(
                self.hand,
                &format!("the binary log was begun anew: {} is another file than the one read before; it is read from its start", self.file),
            );
            self.kept = Place {
                position: FIRST,
                begun,
                numbering: (self.follow.clock)().0.unsigned_abs(),
                ..self.place.clone()
            };
            self.follow.keeper.save(&self.kept)?;
            return Err(End::Lost(std::io::Error::other("it begins anew")));
        }
        self.begun = begun;
        self.place.begun = begun;
        Ok(())
    }

    fn boundary(&mut self, position: u64) {
        if self.place.file != self.file {
            self.place.file.clone_from(&self.file);
        }
        (self.place.position, self.place.begun) = (position, self.begun);
    }

    fn record(&mut self, start: u64, number: u64, record: Vec<u8>) {
        let mark = Mark::new(&self.place, &self.file, start, number);
        if mark.is_sealed(self.follow.sealed) {
            return;
        }
        if self.batch.is_empty() {
            self.since = Instant::now();
        }
        self.last = Some(mark);
        self.batch.push(Chunk::record(
            self.follow.id.clone(),
            mark.generation(),
            mark.offset_bytes(),
            record,
            Some(FORMAT),
        ));
    }

    fn dropped(&mut self, why: String) {
        self.follow.missed = (self.follow.missed.0 + 1, why);
    }

    /// Says what went untold: a log of statements alone would be said a thousand times a second.
    fn say_losses(&mut self) {
        let follow = &mut *self.follow;
        let is_early = follow
            .missed_at
            .is_some_and(|at| at.elapsed() < LOSSES_EVERY);
        let (records, why) = std::mem::take(&mut follow.missed);
        if records == 0 || is_early {
            follow.missed = (records, why);
            return;
        }
        follow.missed_at = Some(Instant::now());
        let id = follow.id.clone();
        self.hand.tell(
            id,
            News::Dropped {
                records,
                since: None,
            },
        );
        follow.refused(self.hand, &why);
    }

    /// Hands over what there is, waits until it is sealed, and keeps the place.
    fn seal(&mut self) -> Result<(), End> {
        let is_empty = self.batch.is_empty();
        if !is_empty {
            let stopped = |_: NotSealed| End::Stopped;
            self.hand
                .give(std::mem::take(&mut self.batch))
                .map_err(stopped)?;
            // Handed over once; however long it takes, it isn't handed over again.
            while let Err(not) = self.hand.give_and_wait(Vec::new(), PATIENCE) {
                if not == NotSealed::Stopped || self.hand.stopped() {
                    return Err(End::Stopped);
                }
            }
            self.follow.sealed = self.last.take().or(self.follow.sealed);
        }
        if self.place != self.kept && (!is_empty || self.kept_at.elapsed() > KEEP_EVERY) {
            self.follow.keeper.save(&self.place)?;
            self.kept = self.place.clone();
            self.kept_at = Instant::now();
        }
        Ok(())
    }
}

//! Masked records on their way from a shop's host: batches, the frames they lie in on disk and travel in, and a request's body.
//!
//! One format for the host's spool and for the wire, so that what was made durable is what is sent. A batch tells after which place of
//! its source it comes: whoever takes it can tell a gap, a repetition and another order. Records are masked before they get here;
//! nothing here looks into them. Big-endian, fixed widths, lengths in front; there is one way to write each batch.

mod read;
#[cfg(test)]
mod tests;

use model::{Brand, Generation, Mark, MarkKind, Position};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use read::Input;

/// Version of the encoding.
const VERSION: u8 = 1;
/// Longest frame, in bytes without its head: the longest record, its marks, and what else a batch holds by then.
pub const FRAME_BYTES_MAX: usize = 2 << 20;
/// Bytes from which on a batch takes no further record.
pub const BATCH_BYTES: usize = 512 << 10;
/// Longest record, in bytes, as it is framed everywhere.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most records of a batch.
pub const BATCH_RECORDS_MAX: usize = 20_000;
/// Most marks of a record, as the ledger keeps.
pub const MARKS_MAX: usize = 1000;
/// Longest name of a source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1000;
/// Longest name of a format, in bytes.
pub const FORMAT_BYTES_MAX: usize = 64;
/// Farthest place in a generation.
const OFFSET_MAX: u64 = 1 << 62;
/// Bytes of a frame's head: length and check.
pub const FRAME_HEAD_BYTES: usize = 12;
/// Longest status of a body, in bytes.
const STATUS_BYTES_MAX: usize = 8 << 10;

/// Up to where a source's records are known: a generation, and the first byte in it that isn't.
pub type Place = (Generation, Position);

/// Records of one source and generation, or something that happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The source's name on its host, e.g. `file:/var/log/nginx/access.log`.
    pub source: String,
    /// Where the source stood before; none at its beginning.
    pub after: Option<Place>,
    /// What it brings.
    pub what: Carried,
}

/// What a batch brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carried {
    /// Records, in order.
    Records {
        /// Of which incarnation.
        generation: Generation,
        /// Name of their format.
        format: String,
        /// At least one.
        records: Vec<Record>,
    },
    /// Something happened to the source, after all before it.
    Happened(Happened),
}

/// One masked record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it starts in its generation.
    pub offset_bytes: u64,
    /// What was masked, in order of place.
    pub marks: Vec<Mark>,
    /// The masked bytes: as many as the record had.
    pub bytes: Vec<u8>,
}

impl Record {
    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset_bytes.saturating_add(self.bytes.len() as u64)
    }
}

/// What happens to a source, as `sources::News` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened {
    /// It got shorter and is read again.
    Truncated,
    /// It was renamed away, read to its end.
    Rotated,
    /// It was deleted.
    Deleted,
    /// It came, or came back.
    Appeared,
    /// What was read before isn't there any more.
    Missing,
    /// It can't be read.
    Unreadable,
    /// So many bytes at least went before they could be read.
    Lost(u64),
    /// So many records at least went before they could be read.
    Dropped(u64),
}

/// Why bytes are no batch. An operator sees it; it holds places, never bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// It ends too early, or something follows it.
    #[error("the bytes end too early, or too late")]
    Length,
    /// The check of a frame isn't that of its bytes.
    #[error("a frame isn't what was written")]
    Check,
    /// A value isn't one that is written.
    #[error("`{field}` isn't what may be there")]
    Value {
        /// Of what.
        field: &'static str,
    },
}

const fn value(field: &'static str) -> RecordsError {
    RecordsError::Value { field }
}

impl Batch {
    /// Where its source stands after it.
    #[must_use]
    pub fn end(&self) -> Option<Place> {
        match &self.what {
            Carried::Records {
                generation,
                records,
                ..
            } => {
                let offset_bytes = records.last().map_or(0, Record::end);
                Some((*generation, Position { offset_bytes }))
            }
            Carried::Happened(_) => self.after,
        }
    }

    /// What of it comes after a place that lies in it; none when the place is none of its ends.
    #[must_use]
    pub fn behind(&self, place: Place) -> Option<Self> {
        let Carried::Records {
            generation,
            format,
            records,
        } = &self.what
        else {
            return None;
        };
        if *generation != place.0 {
            return None;
        }
        let last = records
            .iter()
            .position(|one| one.end() == place.1.offset_bytes)?;
        Some(Self {
            source: self.source.clone(),
            after: Some(place),
            what: Carried::Records {
                generation: *generation,
                format: format.clone(),
                records: records.get(last + 1..).unwrap_or_default().to_vec(),
            },
        })
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.what, Carried::Records { records, .. } if records.is_empty())
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> usize {
        match &self.what {
            Carried::Records { records, .. } => records.len(),
            Carried::Happened(_) => 0,
        }
    }

    /// Its bytes, without a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let name = |out: &mut Vec<u8>, text: &str| {
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        name(&mut out, &self.source);
        out.push(u8::from(self.after.is_some()));
        if let Some((generation, position)) = &self.after {
            put_generation(&mut out, generation);
            out.extend_from_slice(&position.offset_bytes.to_be_bytes());
        }
        match &self.what {
            Carried::Happened(happened) => {
                let (code, count) = match happened {
                    Happened::Truncated => (1, 0),
                    Happened::Rotated => (2, 0),
                    Happened::Deleted => (3, 0),
                    Happened::Appeared => (4, 0),
                    Happened::Missing => (5, 0),
                    Happened::Unreadable => (6, 0),
                    Happened::Lost(bytes) => (7, *bytes),
                    Happened::Dropped(records) => (8, *records),
                };
                out.push(code);
                out.extend_from_slice(&count.to_be_bytes());
            }
            Carried::Records {
                generation,
                format,
                records,
            } => {
                out.push(0);
                put_generation(&mut out, generation);
                name(&mut out, format);
                let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&count.to_be_bytes());
                for record in records {
                    put_record(&mut out, record);
                }
            }
        }
        out
    }

    /// Reads one. What is read, written again, is the same bytes.
    ///
    /// # Errors
    ///
    /// [`RecordsError`] when the bytes are no batch of this version, or one that couldn't have come about: records over each other,
    /// marks outside of their record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordsError> {
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return Err(value("version"));
        }
        let source = input.name(SOURCE_BYTES_MAX, "source")?;
        let after = match input.byte()? {
            0 => None,
            1 => Some((input.generation()?, input.position()?)),
            _ => return Err(value("after")),
        };
        let what = match input.byte()? {
            0 => input.records()?,
            code => {
                let count = u64::from_be_bytes(input.array()?);
                let happened = match code {
                    1 => Happened::Truncated,
                    2 => Happened::Rotated,
                    3 => Happened::Deleted,
                    4 => Happened::Appeared,
                    5 => Happened::Missing,
                    6 => Happened::Unreadable,
                    7 if count <= OFFSET_MAX => Happened::Lost(count),
                    8 if count <= OFFSET_MAX => Happened::Dropped(count),
                    _ => return Err(value("what")),
                };
                if count != 0 && !matches!(happened, Happened::Lost(_) | Happened::Dropped(_)) {
                    return Err(value("count"));
                }
                Carried::Happened(happened)
            }
        };
        if !input.0.is_empty() {
            return Err(RecordsError::Length);
        }
        Ok(Self {
            source,
            after,
            what,
        })
    }

    /// Its frame: length, check, bytes.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let body = self.encode();
        let mut out = Vec::with_capacity(body.len() + FRAME_HEAD_BYTES);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&check(&body));
        out.extend_from_slice(&body);
        out
    }

    /// Reads the first frame of `bytes`; gives how many of them it is.
    ///
    /// # Errors
    ///
    /// [`RecordsError`]; [`RecordsError::Length`] when the frame isn't whole.
    pub fn unframe(bytes: &[u8]) -> Result<(Self, usize), RecordsError> {
        let mut input = Input(bytes);
        let length = u32::from_be_bytes(input.array()?) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(value("length"));
        }
        let said: [u8; 8] = input.array()?;
        let body = input.take(length)?;
        if check(body) != said {
            return Err(RecordsError::Check);
        }
        Ok((Self::decode(body)?, FRAME_HEAD_BYTES + length))
    }
}

/// The first bytes of SHA-256: against damage, not against anybody.
fn check(body: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    for (to, from) in out.iter_mut().zip(Sha256::digest(body)) {
        *to = from;
    }
    out
}

fn put_generation(out: &mut Vec<u8>, generation: &Generation) {
    out.extend_from_slice(&generation.device.to_be_bytes());
    out.extend_from_slice(&generation.inode.to_be_bytes());
    out.extend_from_slice(&generation.head_hash);
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(&record.offset_bytes.to_be_bytes());
    let length = u32::try_from(record.bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    let marks = record.marks.get(..record.marks.len().min(MARKS_MAX));
    let marks = marks.unwrap_or_default();
    out.extend_from_slice(&u16::try_from(marks.len()).unwrap_or(u16::MAX).to_be_bytes());
    for mark in marks {
        let kind = MarkKind::BY_NUMBER.iter().position(|one| *one == mark.kind);
        let brand = mark.brand.map_or(255, |brand| {
            let at = Brand::BY_NUMBER.iter().position(|one| *one == brand);
            u8::try_from(at.unwrap_or_default()).unwrap_or_default()
        });
        out.extend_from_slice(&mark.offset_bytes.to_be_bytes());
        out.extend_from_slice(&mark.length_bytes.to_be_bytes());
        out.push(u8::try_from(kind.unwrap_or_default()).unwrap_or_default());
        out.push(brand);
        out.push(mark.digits);
        out.push(
            u8::from(mark.is_test)
                | u8::from(mark.last_four.is_some()) << 1
                | u8::from(mark.fingerprint.is_some()) << 2,
        );
        out.extend_from_slice(&mark.last_four.unwrap_or_default());
        out.extend_from_slice(&mark.fingerprint.unwrap_or_default());
    }
    out.extend_from_slice(&record.bytes);
}

/// How a host's collecting stands, told with every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`crate::wire::LINK_VERSION`].
    pub v: u32,
    /// Bytes that wait in its spool.
    pub spool_bytes: u64,
    /// What its spool may hold.
    pub spool_bytes_max: u64,
    /// Since when something waits, by the host's clock; none while nothing does.
    pub waits_since: Option<model::Timestamp>,
    /// What holds it up, in words; empty when nothing does.
    pub trouble: String,
}

/// A request's body: the status, then frames.
#[must_use]
pub fn body(status: &Status, frames: &[u8]) -> Vec<u8> {
    let status = serde_json::to_vec(status).unwrap_or_default();
    let mut out = Vec::with_capacity(4 + status.len() + frames.len());
    out.extend_from_slice(
        &u32::try_from(status.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    out.extend_from_slice(&status);
    out.extend_from_slice(frames);
    out
}

/// Reads a request's body.
///
/// # Errors
///
/// [`RecordsError`] when any part of it isn't what is written.
pub fn read_body(bytes: &[u8]) -> Result<(Status, Vec<Batch>), RecordsError> {
    let mut input = Input(bytes);
    let length = u32::from_be_bytes(input.array()?) as usize;
    if length > STATUS_BYTES_MAX {
        return Err(value("length of the status"));
    }
    let status = serde_json::from_slice(input.take(length)?).map_err(|_| value("status"))?;
    let mut batches = Vec::new();
    while !input.0.is_empty() {
        let (batch, length) = Batch::unframe(input.0)?;
        input.take(length)?;
        batches.push(batch);
    }
    Ok((status, batches))
}

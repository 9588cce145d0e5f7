//! The bytes of an entry's header: the leaf of the tree. Big-endian, fixed widths, lengths in front.
//!
//! The header commits to the payload by a salted hash and does not hold it.

use model::{
    Brand, Generation, Lane, Mark, MarkKind, Position, RecordIdentity, Sequence, SourceId,
    Timestamp,
};

use crate::Hash;

/// Version of the encoding.
const VERSION: u8 = 1;
/// Most marks an entry keeps; more are counted, not kept, so that a leaf stays under 65 535 bytes.
pub const MARKS_MAX: usize = 1000;

/// Longest name of a source and of a format, in bytes.
const SOURCE_MAX: usize = 4096;
const FORMAT_MAX: usize = 255;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// What a source said.
    Observed = 0,
    /// What magewarden or a person decided.
    Decided = 1,
    /// The time, while nothing arrives.
    Tick = 2,
    /// The destruction of payloads.
    Redacted = 3,
}

/// An entry without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Place in the ledger.
    pub sequence: Sequence,
    /// What it is.
    pub kind: EntryKind,
    /// Live or exercise.
    pub lane: Lane,
    /// Whether the record could not be read.
    pub quarantined: bool,
    /// When it was received.
    pub received: Timestamp,
    /// When the record says it happened.
    pub said: Option<Timestamp>,
    /// Where it came from; at most 4096 bytes.
    pub source: SourceId,
    /// Format it is read as; at most 255 bytes.
    pub format: String,
    /// The record's identity, for what a source said.
    pub identity: Option<RecordIdentity>,
    /// What was masked; at most [`MARKS_MAX`].
    pub marks: Vec<Mark>,
    /// SHA-256 over salt and payload.
    pub payload_hash: Hash,
}

/// Why bytes are no header.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The bytes end early or go on too long.
    #[error("the entry ends early or has bytes behind its end")]
    Length,
    /// A value isn't one of those defined.
    #[error("`{field}` has a value this version does not know")]
    Value {
        /// Name of the field.
        field: &'static str,
    },
}

impl Header {
    /// Writes the header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192 + self.marks.len() * 40);
        out.extend_from_slice(&[
            VERSION,
            self.kind as u8,
            u8::from(self.lane == Lane::Exercise),
            u8::from(self.quarantined),
        ]);
        out.extend_from_slice(&self.sequence.0.to_be_bytes());
        out.extend_from_slice(&self.received.0.to_be_bytes());
        out.push(u8::from(self.said.is_some()));
        out.extend_from_slice(&self.said.unwrap_or_default().0.to_be_bytes());
        text(&mut out, &self.source.0, SOURCE_MAX);
        text(&mut out, &self.format, FORMAT_MAX);
        out.push(u8::from(self.identity.is_some()));
        if let Some(identity) = &self.identity {
            out.extend_from_slice(&identity.generation.device.to_be_bytes());
            out.extend_from_slice(&identity.generation.inode.to_be_bytes());
            out.extend_from_slice(&identity.generation.head_hash);
            out.extend_from_slice(&identity.position.offset_bytes.to_be_bytes());
            out.extend_from_slice(&identity.length_bytes.to_be_bytes());
        }
        let marks = self
            .marks
            .get(..self.marks.len().min(MARKS_MAX))
            .unwrap_or_default();
        out.extend_from_slice(&u16::try_from(marks.len()).unwrap_or(u16::MAX).to_be_bytes());
        for mark in marks {
            out.extend_from_slice(&mark.offset_bytes.to_be_bytes());
            out.extend_from_slice(&mark.length_bytes.to_be_bytes());
            out.push(place(&MarkKind::BY_NUMBER, mark.kind));
            out.push(
                mark.brand
                    .map_or(255, |brand| place(&Brand::BY_NUMBER, brand)),
            );
            out.push(mark.digits);
            out.push(
                u8::from(mark.is_test)
                    | u8::from(mark.last_four.is_some()) << 1
                    | u8::from(mark.fingerprint.is_some()) << 2,
            );
            out.extend_from_slice(&mark.last_four.unwrap_or_default());
            out.extend_from_slice(&mark.fingerprint.unwrap_or_default());
        }
        out.extend_from_slice(&self.payload_hash);
        out
    }

    /// Reads a header. There is one way to write each: what is read, written again, is the same bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the bytes are no header of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodeError> {
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return Err(EncodeError::Value { field: "version" });
        }
        let kind = match input.byte()? {
            0 => EntryKind::Observed,
            1 => EntryKind::Decided,
            2 => EntryKind::Tick,
            3 => EntryKind::Redacted,
            _ => return Err(EncodeError::Value { field: "kind" }),
        };
        let lane = if input.flag("lane")? {
            Lane::Exercise
        } else {
            Lane::Live
        };
        let quarantined = input.flag("quarantined")?;
        let sequence = Sequence(input.number()?);
        let received = Timestamp(i64::from_be_bytes(input.array()?));
        let has_said = input.flag("said")?;
        let said = Timestamp(i64::from_be_bytes(input.array()?));
        if !has_said && said != Timestamp::default() {
            return Err(EncodeError::Value { field: "said" });
        }
        let source = SourceId(input.text(SOURCE_MAX)?);
        let format = input.text(FORMAT_MAX)?;
        let identity = if input.flag("identity")? {
            let generation = Generation {
                device: input.number()?,
                inode: input.number()?,
                head_hash: input.array()?,
            };
            let position = Position {
                offset_bytes: input.number()?,
            };
            let length_bytes = u32::from_be_bytes(input.array()?);
            Some(RecordIdentity {
                source: source.clone(),
                generation,
                position,
                length_bytes,
            })
        } else {
            None
        };
        let count = u16::from_be_bytes(input.array()?);
        if usize::from(count) > MARKS_MAX {
            return Err(EncodeError::Value { field: "marks" });
        }
        let mut marks = Vec::new();
        for _ in 0..count {
            marks.push(input.mark()?);
        }
        let payload_hash = input.array()?;
        if !input.0.is_empty() {
            return Err(EncodeError::Length);
        }
        Ok(Self {
            sequence,
            kind,
            lane,
            quarantined,
            received,
            said: has_said.then_some(said),
            source,
            format,
            identity,
            marks,
            payload_hash,
        })
    }
}

fn place<T: PartialEq + Copy>(list: &[T], value: T) -> u8 {
    list.iter()
        .position(|known| *known == value)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(0)
}

fn text(out: &mut Vec<u8>, text: &str, most: usize) {
    let bytes = text.as_bytes();
    let mut end = bytes.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&u16::try_from(end).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(bytes.get(..end).unwrap_or_default());
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], EncodeError> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(EncodeError::Length)?;
        self.0 = rest;
        Ok(*first)
    }

    fn byte(&mut self) -> Result<u8, EncodeError> {
        Ok(self.array::<1>()?[0])
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, EncodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(EncodeError::Value { field }),
        }
    }

    fn number(&mut self) -> Result<u64, EncodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn text(&mut self, most: usize) -> Result<String, EncodeError> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > most {
            return Err(EncodeError::Value { field: "text" });
        }
        let (text, rest) = self.0.split_at_checked(length).ok_or(EncodeError::Length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| EncodeError::Value { field: "text" })
    }

    fn mark(&mut self) -> Result<Mark, EncodeError> {
        let offset_bytes = u32::from_be_bytes(self.array()?);
        let length_bytes = u32::from_be_bytes(self.array()?);
        let kind = *MarkKind::BY_NUMBER
            .get(usize::from(self.byte()?))
            .ok_or(EncodeError::Value { field: "mark" })?;
        let brand = match self.byte()? {
            255 => None,
            number => Some(
                *Brand::BY_NUMBER
                    .get(usize::from(number))
                    .ok_or(EncodeError::Value { field: "brand" })?,
            ),
        };
        let digits = self.byte()?;
        let flags = self.byte()?;
        if flags > 7 {
            return Err(EncodeError::Value {
                field: "mark flags",
            });
        }
        let (last_four, fingerprint): ([u8; 4], [u8; 16]) = (self.array()?, self.array()?);
        let unsaid =
            (flags & 2 == 0 && last_four != [0; 4]) || (flags & 4 == 0 && fingerprint != [0; 16]);
        if unsaid {
            return Err(EncodeError::Value {
                field: "mark flags",
            });
        }
        Ok(Mark {
            offset_bytes,
            length_bytes,
            kind,
            brand,
            digits,
            last_four: (flags & 2 != 0).then_some(last_four),
            fingerprint: (flags & 4 != 0).then_some(fingerprint),
            is_test: flags & 1 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryKind, Header};
    use model::{
        Brand, Generation, Lane, Mark, MarkKind, Position, RecordIdentity, Sequence, SourceId,
        Timestamp,
    };
    use proptest::prelude::*;

    fn header(source: &str, marks: usize) -> Header {
        let source = SourceId(source.to_owned());
        let identity = RecordIdentity {
            source: source.clone(),
            generation: Generation {
                device: 1,
                inode: 2,
                head_hash: [3; 16],
            },
            position: Position { offset_bytes: 4 },
            length_bytes: 5,
        };
        let mark = Mark {
            offset_bytes: 1,
            length_bytes: 16,
            kind: MarkKind::Pan,
            brand: Some(Brand::Visa),
            digits: 16,
            last_four: Some(*b"1111"),
            fingerprint: Some([9; 16]),
            is_test: true,
        };
        Header {
            sequence: Sequence(7),
            kind: EntryKind::Observed,
            lane: Lane::Exercise,
            quarantined: true,
            received: Timestamp(8),
            said: Some(Timestamp(-9)),
            source,
            format: "x".to_owned(),
            identity: Some(identity),
            marks: vec![mark; marks],
            payload_hash: [1; 32],
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read(source in "[ -~é]{0,60}", marks in 0_usize..20) {
            let header = header(&source, marks);
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _read = Header::decode(&bytes).is_ok();
        }
    }

    #[test]
    fn there_is_one_way_to_write_a_leaf() {
        let whole = header("a", 1).encode();
        let mut read = 0;
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                if let Ok(other) = Header::decode(&bytes) {
                    assert_eq!(other.encode(), bytes, "byte {at}");
                    read += 1;
                }
            }
        }
        assert!(read > 100, "{read} were read");
    }

    #[test]
    fn a_leaf_stays_within_its_limit() {
        assert!(header(&"é".repeat(9000), 5000).encode().len() <= 65_535);
    }
}

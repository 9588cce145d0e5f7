//! Reads batches: every length is bounded and every value looked at before anything is made of it.

use model::{Brand, Generation, Mark, MarkKind, Position};

use super::{
    BATCH_RECORDS_MAX, Carried, FORMAT_BYTES_MAX, MARKS_MAX, OFFSET_MAX, RECORD_BYTES_MAX, Record,
    RecordsError, value,
};

/// What is left to read.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], RecordsError> {
        let (first, rest) = self.0.split_at_checked(count).ok_or(RecordsError::Length)?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordsError> {
        let (first, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(RecordsError::Length)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecordsError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn name(
        &mut self,
        most: usize,
        field: &'static str,
    ) -> Result<String, RecordsError> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length == 0 || length > most {
            return Err(value(field));
        }
        let text = String::from_utf8(self.take(length)?.to_vec()).map_err(|_| value(field))?;
        match text.chars().any(char::is_control) {
            true => Err(value(field)),
            false => Ok(text),
        }
    }

    pub(super) fn generation(&mut self) -> Result<Generation, RecordsError> {
        Ok(Generation {
            device: u64::from_be_bytes(self.array()?),
            inode: u64::from_be_bytes(self.array()?),
            head_hash: self.array()?,
        })
    }

    pub(super) fn position(&mut self) -> Result<Position, RecordsError> {
        let offset_bytes = u64::from_be_bytes(self.array()?);
        match offset_bytes <= OFFSET_MAX {
            true => Ok(Position { offset_bytes }),
            false => Err(value("position")),
        }
    }

    pub(super) fn records(&mut self) -> Result<Carried, RecordsError> {
        let generation = self.generation()?;
        let format = self.name(FORMAT_BYTES_MAX, "format")?;
        let count = u32::from_be_bytes(self.array()?) as usize;
        if count == 0 || count > BATCH_RECORDS_MAX {
            return Err(value("count of records"));
        }
        let (mut records, mut end) = (Vec::new(), 0);
        for _ in 0..count {
            let record = self.record()?;
            if record.offset_bytes < end {
                return Err(value("place of a record"));
            }
            end = record.end();
            records.push(record);
        }
        Ok(Carried::Records {
            generation,
            format,
            records,
        })
    }

    fn record(&mut self) -> Result<Record, RecordsError> {
        let Position { offset_bytes } = self.position()?;
        let length = u32::from_be_bytes(self.array()?) as usize;
        if length == 0 || length > RECORD_BYTES_MAX {
            return Err(value("length of a record"));
        }
        let count = usize::from(u16::from_be_bytes(self.array()?));
        if count > MARKS_MAX {
            return Err(value("count of marks"));
        }
        let mut marks: Vec<Mark> = Vec::new();
        for _ in 0..count {
            let mark = self.mark()?;
            let end = u64::from(mark.offset_bytes) + u64::from(mark.length_bytes);
            let is_behind = marks
                .last()
                .is_none_or(|last| last.offset_bytes <= mark.offset_bytes);
            if end > length as u64 || mark.length_bytes == 0 || !is_behind {
                return Err(value("place of a mark"));
            }
            marks.push(mark);
        }
        Ok(Record {
            offset_bytes,
            marks,
            bytes: self.take(length)?.to_vec(),
        })
    }

    fn mark(&mut self) -> Result<Mark, RecordsError> {
        let offset_bytes = u32::from_be_bytes(self.array()?);
        let length_bytes = u32::from_be_bytes(self.array()?);
        let kind = MarkKind::BY_NUMBER.get(usize::from(self.byte()?));
        let kind = *kind.ok_or(value("kind of a mark"))?;
        let brand = match self.byte()? {
            255 => None,
            number => {
                let brand = Brand::BY_NUMBER.get(usize::from(number));
                Some(*brand.ok_or(value("brand"))?)
            }
        };
        let digits = self.byte()?;
        let flags = self.byte()?;
        let (last_four, fingerprint): ([u8; 4], [u8; 16]) = (self.array()?, self.array()?);
        let unsaid =
            (flags & 2 == 0 && last_four != [0; 4]) || (flags & 4 == 0 && fingerprint != [0; 16]);
        let is_four = flags & 2 == 0 || last_four.iter().all(u8::is_ascii_digit);
        if flags > 7 || unsaid || !is_four {
            return Err(value("a mark"));
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

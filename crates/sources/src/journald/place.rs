//! Where a record stands in a journal.
//!
//! `sd_journal_get_cursor(3)` calls a cursor's parts private. That they are named `s` (id of a numbering), `i` (number in it)
//! and `t` (µs since 1970) was seen in systemd 252 and holds in its sources since its first journal. A cursor that reads
//! otherwise is none here, and its record is told as lost rather than placed wrongly.

use model::{Generation, Position};

/// Longest cursor, in bytes; systemd's have about 130.
const BYTES_MAX: usize = 256;
/// A record's number takes the upper bits of its offset: below it there is room for a record's bytes, at most 1 MiB.
const NUMBER_SHIFT: u32 = 20;
/// Greatest number, so that offsets stay below 2^62.
const NUMBER_MAX: u64 = 1 << 42;

/// The id of a numbering: one writer's files, over their rotation.
pub(super) type Numbering = [u8; 16];

/// A record's place: which numbering, and its number there, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) numbering: Numbering,
    pub(super) number: u64,
}

impl Place {
    /// The place that a cursor says.
    pub(super) fn read(cursor: &str) -> Option<Self> {
        let numbering = part(cursor, "s").filter(|name| name.len() == 32)?;
        Some(Self {
            numbering: u128::from_str_radix(numbering, 16).ok()?.to_be_bytes(),
            number: number(cursor, "i").filter(|number| (1..NUMBER_MAX).contains(number))?,
        })
    }

    /// The place of the sealed record that ends at `end`.
    pub(super) fn sealed(generation: Generation, end: Position) -> Option<Self> {
        Some(Self {
            numbering: generation.head_hash,
            number: end.offset_bytes.checked_sub(1)? >> NUMBER_SHIFT,
        })
    }

    /// The numbering as a generation.
    pub(super) fn generation(&self) -> Generation {
        Generation {
            head_hash: self.numbering,
            ..Generation::default()
        }
    }

    /// The number as an offset.
    pub(super) fn offset_bytes(&self) -> u64 {
        self.number << NUMBER_SHIFT
    }

    /// A cursor that says no more than the place: the journal finds this numbering by it, and others from their starts.
    pub(super) fn cursor(&self) -> String {
        let numbering = u128::from_be_bytes(self.numbering);
        format!("s={numbering:032x};i={:x}", self.number)
    }
}

/// A record's cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// As the journal writes it.
    pub(super) text: String,
    pub(super) place: Place,
    /// When the journal took the record, in µs since 1970.
    pub(super) micros: u64,
}

impl Cursor {
    /// Reads `s=…;i=…;b=…;m=…;t=…;x=…`, values in hexadecimal.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'=' || byte == b';';
        if text.len() > BYTES_MAX || !text.bytes().all(is_plain) {
            return None;
        }
        Some(Self {
            text: text.to_owned(),
            place: Place::read(text)?,
            micros: number(text, "t")?,
        })
    }
}

fn part<'a>(cursor: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = cursor.split(';').filter_map(|part| part.split_once('='));
    parts.find(|(one, _)| *one == name).map(|(_, value)| value)
}

fn number(cursor: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(part(cursor, name)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Cursor, NUMBER_MAX, Place};
    use model::Position;
    use proptest::prelude::*;

    #[test]
    fn reads_a_cursor_as_systemd_writes_it() {
        let text = "s=d60890a30ab640dda1773a7c4fef031e;i=a;b=0123456789abcdef0123456789abcdef;m=2329;t=661665c5ebb56;x=c2cccb1f02c53b78";
        let cursor = Cursor::read(text).expect("a cursor");
        assert_eq!(cursor.place.number, 10);
        assert_eq!(cursor.micros, 0x0006_6166_5c5e_bb56);
        assert!(text.starts_with(&cursor.place.cursor()));
        assert_eq!(Place::read(&cursor.place.cursor()), Some(cursor.place));
        for wrong in [
            "",
            "s=d60890a30ab640dda1773a7c4fef031e;i=a",
            "s=d608;i=a;t=1",
            "s=d60890a30ab640dda1773a7c4fef031e;i=0;t=1",
            "s=d60890a30ab640dda1773a7c4fef031e;i=fffffffffffffff;t=1",
            "s=d60890a30ab640dda1773a7c4fef031e;i=a;t=1 --file=/etc/passwd",
        ] {
            assert_eq!(Cursor::read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_sealed_record_tells_its_place(number in 1..NUMBER_MAX, length in 1_u64..=(1 << 20)) {
            let place = Place { numbering: [3; 16], number };
            let end = Position { offset_bytes: place.offset_bytes() + length };
            prop_assert_eq!(Place::sealed(place.generation(), end), Some(place));
        }

        #[test]
        fn never_panics(text in ".{0,80}") {
            let _cursor = Cursor::read(&text);
        }
    }
}

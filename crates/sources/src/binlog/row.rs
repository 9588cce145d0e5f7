//! Images of rows: where each column's bytes lie, and what those of a column that may be read say.
//!
//! A column that isn't asked for is stepped over by its length; its value is never made.

use super::bytes::{Bytes, bit};
use super::event::{Broken, Column, Rows, Table};

/// A column's value in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// The image doesn't tell it.
    Absent,
    Null,
    Bytes(&'a [u8]),
}

/// One image: a cell for each column.
pub(super) type Image<'a> = Vec<Cell<'a>>;

/// Takes images off rows, one after the other.
pub(super) struct Images<'a> {
    table: &'a Table,
    present: [&'a [u8]; 2],
    bytes: Bytes<'a>,
}

impl<'a> Images<'a> {
    /// Of rows and their bytes, unpacked.
    pub(super) fn new(rows: &Rows<'a>, bytes: &'a [u8], table: &'a Table) -> Result<Self, Broken> {
        if rows.columns != table.columns.len() {
            return Err(Broken("rows with other columns than their table"));
        }
        Ok(Self {
            table,
            present: rows.present,
            bytes: Bytes(bytes),
        })
    }

    pub(super) fn are_read(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next image; of a change the one before is first.
    pub(super) fn next(&mut self, is_after: bool) -> Result<Image<'a>, Broken> {
        let present = self.present[usize::from(is_after)];
        self.image(present).ok_or(Broken("a row"))
    }

    fn image(&mut self, present: &[u8]) -> Option<Image<'a>> {
        let there = |at| bit(present, at);
        let columns = &self.table.columns;
        let count = (0..columns.len()).filter(|at| there(*at)).count();
        let nulls = self.bytes.take(count.div_ceil(8))?;
        let mut nth = 0;
        let mut image = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            if !there(at) {
                image.push(Cell::Absent);
                continue;
            }
            image.push(if bit(nulls, nth) {
                Cell::Null
            } else {
                let length = length(column, self.bytes)?;
                Cell::Bytes(self.bytes.take(length)?)
            });
            nth += 1;
        }
        // An image of no column would never end.
        (count > 0).then_some(image)
    }
}

/// How many bytes a value takes, its own length with it.
fn length(column: &Column, mut bytes: Bytes<'_>) -> Option<usize> {
    let meta = usize::from(column.meta);
    let (high, low) = (meta >> 8, meta & 0xff);
    let mut counted = |width: usize| {
        let length = usize::try_from(bytes.number(width)?).ok()?;
        length.checked_add(width)
    };
    Some(match column.kind {
        1 | 13 => 1,
        2 => 2,
        9..=11 | 14 => 3,
        3 | 7 => 4,
        8 | 12 => 8,
        // Real numbers say their own width.
        4 | 5 => Some(meta).filter(|width| matches!(width, 4 | 8))?,
        // Times and the bytes of their fractions.
        17 => 4 + fraction(meta)?,
        18 => 5 + fraction(meta)?,
        19 => 3 + fraction(meta)?,
        15 | 253 | 141 => counted(if meta > 255 { 2 } else { 1 })?,
        16 => high + usize::from(low > 0),
        140 | 242 | 245 | 249..=252 | 255 => {
            counted(Some(meta).filter(|width| (1..=4).contains(width))?)?
        }
        246 => decimal(high, low)?,
        247 | 248 => low,
        254 => match high {
            247 | 248 => low,
            // Two bits of a long text's length are hidden, inverted, in its type.
            _ => {
                let most = ((high & 0x30) ^ 0x30) << 4 | low;
                counted(if most > 255 { 2 } else { 1 })?
            }
        },
        6 => 0,
        _ => return None,
    })
}

fn fraction(digits: usize) -> Option<usize> {
    (digits <= 6).then(|| digits.div_ceil(2))
}

/// Nine digits take four bytes; what is left over takes as many as it needs.
fn decimal(precision: usize, scale: usize) -> Option<usize> {
    const LEFT: [usize; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    let part = |digits: usize| Some(digits / 9 * 4 + LEFT.get(digits % 9)?);
    part(precision.checked_sub(scale)?)?.checked_add(part(scale)?)
}

/// What a value says; `None` for types that no watched column has.
pub(super) fn value(column: &Column, bytes: &[u8]) -> Option<String> {
    let meta = usize::from(column.meta);
    let text = |width: usize| Some(super::bytes::text(bytes.get(width..)?));
    match column.kind {
        1 | 2 | 3 | 8 | 9 => number(bytes, column.is_unsigned),
        7 => moment(i64::try_from(Bytes(bytes).number(4)?).ok()?),
        17 => moment(i64::from(u32::from_be_bytes(
            bytes.get(..4)?.try_into().ok()?,
        ))),
        18 => datetime(bytes),
        10 | 14 => {
            let day = Bytes(bytes).number(3)?;
            Some(format!(
                "{:04}-{:02}-{:02}",
                day >> 9,
                day >> 5 & 15,
                day & 31
            ))
        }
        15 | 253 => text(if meta > 255 { 2 } else { 1 }),
        249..=252 => text(meta),
        254 if !matches!(meta >> 8, 247 | 248) => {
            let most = ((meta >> 8 & 0x30) ^ 0x30) << 4 | meta & 0xff;
            text(if most > 255 { 2 } else { 1 })
        }
        _ => None,
    }
}

fn number(bytes: &[u8], is_unsigned: bool) -> Option<String> {
    let number = Bytes(bytes).number(bytes.len())?;
    if is_unsigned {
        return Some(number.to_string());
    }
    let unused = 64_usize.checked_sub(bytes.len() * 8)?;
    Some((number.cast_signed() << unused >> unused).to_string())
}

/// Seconds since 1970 as the log has them: in UTC.
fn moment(seconds: i64) -> Option<String> {
    if seconds == 0 {
        return Some("0000-00-00 00:00:00".to_owned());
    }
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Year and month in 17 bits behind a sign, then day, hour, minute and second.
fn datetime(bytes: &[u8]) -> Option<String> {
    let packed = bytes.get(..5)?;
    let packed = packed
        .iter()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let packed = packed ^ 1 << 39;
    let (months, rest) = (packed >> 22 & 0x1_ffff, packed & 0x3f_ffff);
    Some(format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        months / 13,
        months % 13,
        rest >> 17,
        rest >> 12 & 31,
        rest >> 6 & 63,
        rest & 63
    ))
}

#[cfg(test)]
mod tests {
    use super::{decimal, length, value};
    use crate::binlog::bytes::Bytes;
    use crate::binlog::event::Column;

    fn column(kind: u8, meta: u16, is_unsigned: bool) -> Column {
        Column {
            kind,
            meta,
            is_unsigned,
            ..Column::default()
        }
    }

    #[test]
    fn reads_values() {
        #[track_caller]
        fn check(column: &Column, bytes: &[u8], expected: Option<&str>) {
            assert_eq!(length(column, Bytes(bytes)), Some(bytes.len()));
            assert_eq!(value(column, bytes).as_deref(), expected);
        }
        check(&column(2, 0, false), &[0xff, 0xff], Some("-1"));
        check(&column(2, 0, true), &[0xff, 0xff], Some("65535"));
        check(&column(8, 0, false), &[1, 0, 0, 0, 0, 0, 0, 0], Some("1"));
        check(&column(15, 40, false), b"\x03abc", Some("abc"));
        check(&column(15, 400, false), b"\x03\0abc", Some("abc"));
        check(&column(252, 2, false), b"\x02\0ab", Some("ab"));
        // CHAR(3), and one of over 255 bytes.
        check(&column(254, 0xfe03, false), b"\x02de", Some("de"));
        check(&column(254, 0xeefc, false), b"\x02\0de", Some("de"));
        check(
            &column(17, 0, false),
            &[0x6a, 0x73, 0x0d, 0x42],
            Some("2026-08-05 10:15:30"),
        );
        check(
            &column(18, 0, false),
            &[0x99, 0xba, 0x8a, 0xa3, 0xde],
            Some("2026-08-05 10:15:30"),
        );
        check(
            &column(10, 0, false),
            &[0x05, 0xd5, 0x0f],
            Some("2026-08-05"),
        );
        // What no watched column has is stepped over.
        check(&column(246, 20 << 8 | 6, false), &[0; 10], None);
        check(&column(254, 0xf701, false), &[1], None);
        check(&column(5, 8, false), &[0; 8], None);
        assert_eq!(decimal(20, 6), Some(10));
        assert_eq!(decimal(5, 9), None);
    }
}

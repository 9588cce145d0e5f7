//! Events of MariaDB's and MySQL's binary log, as bytes → values; pure, and never more than the bytes can hold.
//!
//! Follows MariaDB's and MySQL's own documentation of the format (version 4). Of rows only their places are kept
//! here ([`super::row`] reads them), so that what isn't asked for is never copied.

use std::borrow::Cow;
use std::io::Read as _;

use super::bytes::{Bytes, bit, text};

/// Bytes of an event's header.
pub(super) const HEADER: usize = 19;
/// Bytes of a checksum.
pub(super) const CHECKSUM: usize = 4;
/// Set where the server made the event up for who reads.
const ARTIFICIAL: u16 = 0x20;
/// Most bytes of a statement or of rows that were compressed.
const UNPACKED_MAX: u64 = 64 << 20;
/// Most columns a table has.
const COLUMNS_MAX: usize = 4096;

/// Why an event can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the binary log can't be read: {0}")]
pub(super) struct Broken(pub(super) &'static str);

/// An event's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// When its statement began, in seconds since 1970.
    pub(super) time: u32,
    pub(super) kind: u8,
    pub(super) server: u32,
    pub(super) size: u32,
    /// Lower half of its end's place in the file; zero where it has none.
    pub(super) end: u32,
    pub(super) is_artificial: bool,
}

impl Header {
    pub(super) fn read(event: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(event);
        let mut number = |count| u32::try_from(bytes.number(count)?).ok();
        let (time, kind, server) = (number(4)?, number(1)?, number(4)?);
        let (size, end, flags) = (number(4)?, number(4)?, number(2)?);
        Some(Self {
            time,
            kind: u8::try_from(kind).ok()?,
            server,
            size,
            end,
            is_artificial: u16::try_from(flags).ok()? & ARTIFICIAL != 0,
        })
    }
}

/// A table as it was when its rows were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) id: u64,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Whether the log names the columns (`binlog_row_metadata = FULL`).
    pub(super) is_named: bool,
}

/// A column of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name; empty where the log has none.
    pub(super) name: String,
    pub(super) kind: u8,
    /// What its type needs to be read, as the log has it.
    pub(super) meta: u16,
    pub(super) is_unsigned: bool,
}

/// What became of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Modified,
    Removed,
}

/// Rows of one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows<'a> {
    pub(super) table: u64,
    pub(super) change: Change,
    /// Whether the statement ends here.
    pub(super) is_last: bool,
    pub(super) columns: usize,
    /// Which columns stand in an image; of a change there are two, before and after.
    pub(super) present: [&'a [u8]; 2],
    images: &'a [u8],
    is_packed: bool,
}

impl<'a> Rows<'a> {
    /// The images, unpacked where MariaDB compressed them.
    pub(super) fn images(&self) -> Result<Cow<'a, [u8]>, Broken> {
        if self.is_packed {
            Ok(Cow::Owned(unpack(self.images)?))
        } else {
            Ok(Cow::Borrowed(self.images))
        }
    }

    pub(super) fn are_none(&self) -> bool {
        self.images.is_empty()
    }
}

/// What an event tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told<'a> {
    /// How the file is written: whether each event ends in a checksum.
    Format {
        has_checksums: bool,
    },
    /// The next event is in this file.
    Rotate {
        file: String,
        position: u64,
    },
    /// A transaction begins.
    Gtid {
        gtid: String,
        connection: Option<u32>,
    },
    /// A statement that isn't told by rows.
    Query {
        connection: u32,
        schema: String,
        statement: Cow<'a, str>,
    },
    /// The statement that wrote the rows that follow.
    Statement(&'a [u8]),
    Table(Table),
    Rows(Rows<'a>),
    /// A transaction ends.
    End,
    /// Rows are in there, and it isn't read: why, and what to do about it.
    NotRead(&'static str),
    Nothing,
}

/// Reads the body of an event, without its checksum; columns only of tables that are wanted.
pub(super) fn read<'a>(
    header: &Header,
    body: &'a [u8],
    is_wanted: impl Fn(&str, &str) -> bool,
) -> Result<Told<'a>, Broken> {
    let mut bytes = Bytes(body);
    let told = match header.kind {
        2 => query(&mut bytes, false)?,
        165 => query(&mut bytes, true)?,
        4 => (|| {
            let position = bytes.number(8)?;
            let file = text(bytes.rest());
            Some(Told::Rotate { file, position })
        })()
        .ok_or(Broken("a change of files"))?,
        // The algorithm stands last: 0 is none, 1 is CRC-32.
        15 => Told::Format {
            has_checksums: body.last() == Some(&1),
        },
        16 => Told::End,
        // A byte of length that is too small to be one.
        29 => Told::Statement(body.get(1..).unwrap_or_default()),
        160 => Told::Statement(body),
        19 => {
            let mut told = table(&mut bytes).ok_or(Broken("a table's name"))?;
            if is_wanted(&told.schema, &told.name) {
                columns(&mut told, &mut bytes).ok_or(Broken("a table's columns"))?;
            }
            Told::Table(told)
        }
        23 | 30 | 166 | 169 => rows(&mut bytes, header.kind, Change::Created)?,
        24 | 31 | 167 | 170 => rows(&mut bytes, header.kind, Change::Modified)?,
        25 | 32 | 168 | 171 => rows(&mut bytes, header.kind, Change::Removed)?,
        33 => mysql_gtid(&mut bytes).ok_or(Broken("a GTID"))?,
        34 | 42 => Told::Gtid {
            gtid: String::new(),
            connection: None,
        },
        162 => mariadb_gtid(&mut bytes, header.server).ok_or(Broken("a GTID"))?,
        39 => Told::NotRead(
            "changes inside JSON aren't read; unset binlog_row_value_options=PARTIAL_JSON",
        ),
        40 => Told::NotRead(
            "compressed transactions aren't read; SET GLOBAL binlog_transaction_compression = OFF",
        ),
        _ => Told::Nothing,
    };
    Ok(told)
}

fn mysql_gtid(bytes: &mut Bytes<'_>) -> Option<Told<'static>> {
    bytes.take(1)?;
    let server = bytes.take(16)?;
    let number = bytes.number(8)?;
    let mut gtid = String::new();
    for (at, byte) in server.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            gtid.push('-');
        }
        gtid.push_str(&format!("{byte:02x}"));
    }
    Some(Told::Gtid {
        gtid: format!("{gtid}:{number}"),
        connection: None,
    })
}

fn mariadb_gtid(bytes: &mut Bytes<'_>, server: u32) -> Option<Told<'static>> {
    let (number, domain, flags) = (bytes.number(8)?, bytes.number(4)?, bytes.byte()?);
    // MariaDB 11.5 and later may say which connection wrote; what stands before it depends on flags.
    let connection = (|| {
        if flags & 0x02 != 0 {
            bytes.take(8)?;
        }
        if flags & 0xc0 != 0 {
            bytes.take(4)?;
            let lengths = [bytes.byte()?, bytes.byte()?];
            bytes.take(lengths.iter().map(|length| usize::from(*length)).sum())?;
        }
        let extra = bytes.byte()?;
        if extra & 0x01 != 0 {
            bytes.take(1)?;
        }
        if extra & 0x0c != 0 {
            bytes.take(8)?;
        }
        if extra & 0x10 == 0 {
            return None;
        }
        u32::try_from(bytes.number(4)?).ok()
    })();
    Some(Told::Gtid {
        gtid: format!("{domain}-{server}-{number}"),
        connection,
    })
}

fn query<'a>(bytes: &mut Bytes<'a>, is_packed: bool) -> Result<Told<'a>, Broken> {
    let parts = (|| {
        let connection = u32::try_from(bytes.number(4)?).ok()?;
        bytes.take(4)?;
        let schema = usize::from(bytes.byte()?);
        bytes.take(2)?;
        let status = usize::try_from(bytes.number(2)?).ok()?;
        bytes.take(status)?;
        let schema = text(bytes.take(schema)?);
        bytes.take(1)?;
        Some((connection, schema, bytes.rest()))
    })();
    let (connection, schema, statement) = parts.ok_or(Broken("a statement"))?;
    let statement = if is_packed {
        Cow::Owned(text(&unpack(statement)?))
    } else {
        String::from_utf8_lossy(statement)
    };
    Ok(Told::Query {
        connection,
        schema,
        statement,
    })
}

/// What MariaDB compressed (`log_bin_compress`): a byte with the length's length, the length, and zlib's bytes.
fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Broken> {
    let broken = Broken("compressed bytes");
    let mut bytes = Bytes(bytes);
    let first = bytes.byte().ok_or(broken)?;
    let broken = Broken("compressed bytes");
    // Zlib is 0, and the highest bit says that it is there.
    if first & 0xf0 != 0x80 {
        return Err(Broken("compressed in a way that isn't read"));
    }
    let length = bytes.take(usize::from(first & 0x07)).ok_or(broken)?;
    let length = length
        .iter()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if length > UNPACKED_MAX {
        return Err(Broken("over 64 MiB when it is unpacked"));
    }
    let mut unpacked = Vec::new();
    let read = flate2::read::ZlibDecoder::new(bytes.0)
        .take(length)
        .read_to_end(&mut unpacked);
    if read.ok().map(|read| read as u64) == Some(length) {
        Ok(unpacked)
    } else {
        Err(Broken("compressed bytes"))
    }
}

fn table(bytes: &mut Bytes<'_>) -> Option<Table> {
    let id = bytes.number(6)?;
    bytes.take(2)?;
    let mut name = || {
        let length = usize::from(bytes.byte()?);
        let name = text(bytes.take(length)?);
        bytes.take(1)?;
        Some(name)
    };
    Some(Table {
        id,
        schema: name()?,
        name: name()?,
        ..Table::default()
    })
}

fn columns(table: &mut Table, bytes: &mut Bytes<'_>) -> Option<()> {
    let count = bytes.count().filter(|count| *count <= COLUMNS_MAX)?;
    let kinds = bytes.take(count)?;
    let mut metas = Bytes(bytes.counted()?);
    // Which may be NULL isn't of interest: each row says which are.
    bytes.take(count.div_ceil(8))?;
    for kind in kinds {
        table.columns.push(Column {
            kind: *kind,
            meta: meta(*kind, &mut metas)?,
            ..Column::default()
        });
    }
    while !bytes.is_empty() {
        let kind = bytes.byte()?;
        let mut field = Bytes(bytes.counted()?);
        match kind {
            // Signs: one bit a number, the highest first.
            1 => {
                let numbers = table.columns.iter_mut().filter(|one| is_number(one.kind));
                for (at, column) in numbers.enumerate() {
                    column.is_unsigned = bit(field.0, at ^ 7);
                }
            }
            4 => {
                for column in &mut table.columns {
                    column.name = text(field.counted()?);
                }
                table.is_named = true;
            }
            _ => {}
        }
    }
    Some(())
}

/// Bytes that a type needs, beside its number: none, one, or two with either first.
fn meta(kind: u8, metas: &mut Bytes<'_>) -> Option<u16> {
    let number = match kind {
        4 | 5 | 17 | 18 | 19 | 140 | 242 | 245 | 249..=252 | 255 => metas.number(1)?,
        15 | 16 | 141 => metas.number(2)?,
        // The real type, or a precision, stands first.
        246 | 247 | 248 | 253 | 254 => {
            let first = metas.number(1)?;
            first << 8 | metas.number(1)?
        }
        _ => 0,
    };
    u16::try_from(number).ok()
}

const fn is_number(kind: u8) -> bool {
    matches!(kind, 1 | 2 | 3 | 4 | 5 | 8 | 9 | 13 | 246)
}

fn rows<'a>(bytes: &mut Bytes<'a>, kind: u8, change: Change) -> Result<Told<'a>, Broken> {
    let parts = (|| {
        let table = bytes.number(6)?;
        let is_last = bytes.number(2)? & 1 == 1;
        if matches!(kind, 30..=32 | 169..=171) {
            let further = usize::try_from(bytes.number(2)?).ok()?.checked_sub(2)?;
            bytes.take(further)?;
        }
        let columns = bytes.count().filter(|count| *count <= COLUMNS_MAX)?;
        let mut present = || bytes.take(columns.div_ceil(8));
        let first = present()?;
        let present = match change {
            Change::Modified => [first, present()?],
            Change::Created | Change::Removed => [first, first],
        };
        Some((table, is_last, columns, present, bytes.rest()))
    })();
    let (table, is_last, columns, present, images) = parts.ok_or(Broken("rows"))?;
    Ok(Told::Rows(Rows {
        table,
        change,
        is_last,
        columns,
        present,
        images,
        is_packed: kind >= 166,
    }))
}

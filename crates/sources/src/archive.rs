//! What lies in tar and zip archives: names, places and sizes, never content.
//!
//! Written here because an archive's headers are hostile: every name and table has a limit, every
//! sum is checked. Follows POSIX.1-2017 pax (ustar, pax headers), GNU tar's long names, and APPNOTE.TXT 6.3.10 (zip64 too).

use std::fs::File;
use std::io::{self, Read};

use model::Timestamp;

/// Bytes of a tar block.
const BLOCK_BYTES: usize = 512;
/// Bytes of a member by which its own compression is told.
pub(crate) const MEMBER_MAGIC_BYTES: u64 = 8;
/// Longest name of a member, in bytes.
const NAME_BYTES_MAX: u64 = 4096;
/// Largest pax header read, in bytes.
const PAX_BYTES_MAX: u64 = 64 << 10;
/// Largest central directory of a zip read, in bytes.
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;

/// A regular file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name as the archive has it.
    pub(crate) name: String,
    /// First byte of its content: in the tar after decompression, or in the zip file.
    pub(crate) offset: u64,
    /// Bytes there.
    pub(crate) size: u64,
    /// RFC 1951; only in zips.
    pub(crate) deflated: bool,
    /// Its first bytes, where the listing passed them.
    pub(crate) head: Option<Vec<u8>>,
    /// When it was last changed.
    pub(crate) modified: Option<Timestamp>,
}

/// What an archive holds, as far as it can be read.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Regular files in the archive's order.
    pub(crate) members: Vec<Member>,
    /// Members that can't be read: name, and why.
    pub(crate) skipped: Vec<(String, String)>,
    /// Why the listing ends early; empty when it doesn't.
    pub(crate) fault: String,
}

/// Whether a file's first block is a tar header.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar".as_slice())
        && head
            .get(..BLOCK_BYTES)
            .and_then(|block| block.try_into().ok())
            .is_some_and(checksum_holds)
}

/// Whether a file's first bytes are those of a zip.
pub(crate) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// Lists a tar stream; at most `members_max` members.
pub(crate) fn list_tar(reader: &mut dyn Read, members_max: usize) -> Listing {
    let mut listing = Listing::default();
    if let Err(error) = walk_tar(reader, members_max, &mut listing) {
        listing.fault = error.to_string();
    }
    listing
}

fn walk_tar(reader: &mut dyn Read, members_max: usize, listing: &mut Listing) -> io::Result<()> {
    let mut at: u64 = 0;
    let (mut long_name, mut long_size) = (None, None);
    loop {
        let mut block = [0; BLOCK_BYTES];
        if !fill(reader, &mut block)? || block.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if !checksum_holds(&block) {
            return Err(io::Error::other(format!(
                "no tar header at byte {at} of the archive"
            )));
        }
        at = at.saturating_add(BLOCK_BYTES as u64);
        let kind = block[156];
        let size = match kind {
            b'x' | b'g' | b'L' | b'K' => number(&block[124..136]),
            _ => long_size.take().or_else(|| number(&block[124..136])),
        };
        let size = size.ok_or_else(|| {
            io::Error::other(format!("no size in the tar header before byte {at}"))
        })?;
        let padded = size
            .checked_next_multiple_of(BLOCK_BYTES as u64)
            .and_then(|size| Some((size, at.checked_add(size)?)));
        let (padded, next) =
            padded.ok_or_else(|| io::Error::other("a tar member larger than any file"))?;
        let mut left = padded;
        match kind {
            b'L' => long_name = Some(text(&content(reader, size, NAME_BYTES_MAX, &mut left)?)),
            b'x' => {
                let pax = content(reader, size, PAX_BYTES_MAX, &mut left)?;
                long_name = pax_value(&pax, b"path").map(text).or(long_name);
                long_size = pax_value(&pax, b"size")
                    .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
            }
            b'0' | 0 | b'7' => {
                if listing.members.len() >= members_max {
                    return Err(io::Error::other(format!("more than {members_max} members")));
                }
                let name = long_name.take().unwrap_or_else(|| header_name(&block));
                let modified =
                    number(&block[136..148]).and_then(|seconds| i64::try_from(seconds).ok());
                let head = content(
                    reader,
                    size.min(MEMBER_MAGIC_BYTES),
                    MEMBER_MAGIC_BYTES,
                    &mut left,
                )?;
                listing.members.push(Member {
                    name,
                    offset: at,
                    size,
                    deflated: false,
                    head: Some(head),
                    modified: modified.map(Timestamp::from_seconds),
                });
            }
            b'S' => listing.skipped.push((
                long_name.take().unwrap_or_else(|| header_name(&block)),
                "a sparse tar member".to_owned(),
            )),
            b'g' | b'K' => {}
            _ => long_name = None,
        }
        if io::copy(&mut (&mut *reader).take(left), &mut io::sink())? < left {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the archive ends before byte {next}"),
            ));
        }
        at = next;
    }
}

/// Reads a block; `false` at the end.
fn fill(reader: &mut dyn Read, block: &mut [u8; BLOCK_BYTES]) -> io::Result<bool> {
    let mut got = 0;
    while let Some(rest) = block.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) if got == 0 => return Ok(false),
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the archive ends within a header",
                ));
            }
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads a header's content.
fn content(reader: &mut dyn Read, size: u64, max: u64, left: &mut u64) -> io::Result<Vec<u8>> {
    if size > max {
        return Err(io::Error::other(format!(
            "a tar name or header of more than {max} bytes"
        )));
    }
    let mut bytes = Vec::new();
    *left = left.saturating_sub((&mut *reader).take(size).read_to_end(&mut bytes)? as u64);
    Ok(bytes)
}

fn checksum_holds(block: &[u8; BLOCK_BYTES]) -> bool {
    // The checksum's own eight bytes count as spaces.
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u64::from(*byte)
            }
        })
        .sum();
    number(&block[148..156]) == Some(sum)
}

/// Octal digits, or GNU's binary form for large ones.
fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        let digits = field.get(field.len().checked_sub(8)?..)?;
        return digits
            .try_into()
            .ok()
            .map(u64::from_be_bytes)
            .filter(|number| number >> 60 == 0);
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

fn header_name(block: &[u8; BLOCK_BYTES]) -> String {
    let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
    // GNU's own header (`ustar  `) has times where POSIX has the prefix.
    if prefix.is_empty() || &block[257..263] != b"ustar\0" {
        name
    } else {
        format!("{prefix}/{name}")
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// A record's value in a pax header: `length key=value\n`.
fn pax_value<'a>(mut pax: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    while !pax.is_empty() {
        let space = pax.iter().take(8).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(pax.get(..space)?).ok()?.parse().ok()?;
        let record = pax.get(space + 1..length.checked_sub(1)?)?;
        let value = record
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(b"="));
        found = value
            .filter(|value| value.len() as u64 <= NAME_BYTES_MAX)
            .or(found);
        pax = pax.get(length..)?;
    }
    found
}

/// Bytes that can be read at any place.
pub(crate) trait ReadAt {
    /// How many there are.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills the buffer from a place; an error when they end before.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn bytes(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, at)
    }
}

impl ReadAt for &[u8] {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let part = from.and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Lists a zip by its central directory; at most `members_max` members.
pub(crate) fn list_zip(file: &dyn ReadAt, members_max: usize) -> Listing {
    let mut listing = Listing::default();
    if let Err(error) = walk_zip(file, members_max, &mut listing) {
        listing.fault = error.to_string();
    }
    listing
}

fn walk_zip(file: &dyn ReadAt, members_max: usize, listing: &mut Listing) -> io::Result<()> {
    let (offset, size) = directory(file)?;
    if size > DIRECTORY_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a zip directory of more than {DIRECTORY_BYTES_MAX} bytes"
        )));
    }
    // A directory that says it is longer than the file is read as far as there is any.
    let size = size.min(file.bytes()?.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut bytes, offset)?;
    let mut rest = bytes.as_slice();
    while rest.starts_with(b"PK\x01\x02") {
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the zip's directory is cut");
        let field = |at| le(rest, at, 2).ok_or_else(cut);
        let (name_length, extra_length, comment_length) = (field(28)?, field(30)?, field(32)?);
        let slice = |from: u64, length: u64| {
            rest.get(usize::try_from(from).ok()?..usize::try_from(from + length).ok()?)
        };
        let name = slice(46, name_length).ok_or_else(cut)?;
        let extra = slice(46 + name_length, extra_length).ok_or_else(cut)?;
        let (flags, method) = (field(8)?, field(10)?);
        let wide = |at| le(rest, at, 4).ok_or_else(cut);
        let (size, header) = zip64(extra, wide(24)?, wide(20)?, wide(42)?).ok_or_else(cut)?;
        if listing.members.len() + listing.skipped.len() >= members_max {
            return Err(io::Error::other(format!("more than {members_max} members")));
        }
        let full = text(name);
        if flags & 1 != 0 {
            listing.skipped.push((full, "encrypted".to_owned()));
        } else if method != 0 && method != 8 {
            listing
                .skipped
                .push((full, format!("zip method {method} is not read")));
        } else if !name.ends_with(b"/") {
            match content_offset(file, header) {
                Ok(offset) => listing.members.push(Member {
                    name: full,
                    offset,
                    size,
                    deflated: method == 8,
                    head: None,
                    modified: None,
                }),
                Err(error) => listing.skipped.push((full, error.to_string())),
            }
        }
        let next =
            usize::try_from(46 + name_length + extra_length + comment_length).unwrap_or(usize::MAX);
        rest = rest.get(next..).ok_or_else(cut)?;
    }
    Ok(())
}

/// Where the central directory lies: offset and size.
fn directory(file: &dyn ReadAt) -> io::Result<(u64, u64)> {
    let length = file.bytes()?;
    // The record of 22 bytes, and a comment of at most 65535.
    let start = length.saturating_sub(22 + 65_535 + 20);
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut tail, start)?;
    let missing = || io::Error::other("a zip without its directory");
    let end = memchr_last(&tail, b"PK\x05\x06").ok_or_else(missing)?;
    let record = tail.get(end..).unwrap_or_default();
    let (size, offset) = (
        le(record, 12, 4).ok_or_else(missing)?,
        le(record, 16, 4).ok_or_else(missing)?,
    );
    if size < 0xffff_ffff && offset < 0xffff_ffff {
        return Ok((offset, size));
    }
    let locator = end
        .checked_sub(20)
        .and_then(|at| tail.get(at..))
        .filter(|rest| rest.starts_with(b"PK\x06\x07"));
    let at = locator
        .and_then(|locator| le(locator, 8, 8))
        .ok_or_else(missing)?;
    let mut wide = [0; 56];
    file.read_exact_at(&mut wide, at)?;
    match (le(&wide, 48, 8), le(&wide, 40, 8)) {
        (Some(offset), Some(size)) if wide.starts_with(b"PK\x06\x06") => Ok((offset, size)),
        _ => Err(missing()),
    }
}

fn memchr_last(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).rposition(|window| window == what)
}

/// Compressed size and place of the local header, from the zip64 field where the short ones are full.
fn zip64(extra: &[u8], full: u64, size: u64, header: u64) -> Option<(u64, u64)> {
    if [full, size, header]
        .iter()
        .all(|short| *short < 0xffff_ffff)
    {
        return Some((size, header));
    }
    let mut rest = extra;
    loop {
        let (id, length) = (le(rest, 0, 2)?, usize::try_from(le(rest, 2, 2)?).ok()?);
        let field = rest.get(4..4 + length)?;
        if id == 1 {
            let mut at = 0;
            let mut wide = |short: u64| {
                if short < 0xffff_ffff {
                    return Some(short);
                }
                at += 8;
                le(field, at - 8, 8)
            };
            wide(full)?;
            return Some((wide(size)?, wide(header)?));
        }
        rest = rest.get(4 + length..)?;
    }
}

/// First byte of a member's content, behind its local header.
fn content_offset(file: &dyn ReadAt, header: u64) -> io::Result<u64> {
    let mut bytes = [0; 30];
    file.read_exact_at(&mut bytes, header)?;
    match (
        bytes.starts_with(b"PK\x03\x04"),
        le(&bytes, 26, 2),
        le(&bytes, 28, 2),
    ) {
        (true, Some(name), Some(extra)) => Ok(header.saturating_add(30 + name + extra)),
        _ => Err(io::Error::other(
            "no local header where the zip's directory says",
        )),
    }
}

/// A little-endian number.
fn le(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(
        bytes
            .get(at..at.checked_add(length)?)?
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

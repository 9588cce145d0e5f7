//! What the archive of a package holds: a hash of each file, by the path it has once composer put it in place.
//!
//! Read from memory, so that what was vouched for is what is read. Hostile nevertheless: members and bytes have
//! limits, and an archive that goes over one, or names a place outside, isn't used at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::scan::shown;
use crate::archive::{Member, list_zip};

/// Largest archive read, in bytes.
pub(super) const ARCHIVE_BYTES_MAX: u64 = 128 << 20;
/// Most members of one.
pub(super) const MEMBERS_MAX: usize = 100_000;
/// Largest member, in bytes once decompressed.
const MEMBER_BYTES_MAX: u64 = 128 << 20;
/// Most bytes of all members of an archive, decompressed.
const TOTAL_BYTES_MAX: u64 = 1 << 30;
/// Bytes decompressed at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// A SHA-256, written in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(in super::super) struct Hash([u8; 32]);

impl Hash {
    /// Takes the hash of what was fed in.
    pub(in super::super) fn of(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// Reads it back; `None` when it is no hash.
    pub(in super::super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no SHA-256")
    }
}

/// Files of a package by their paths in its folder.
pub(super) type Members = BTreeMap<String, Hash>;

/// Hashes every file of a zip.
///
/// # Errors
///
/// Why it can't be used, in words.
pub(super) fn read(zip: &[u8]) -> Result<Members, String> {
    within(zip, MEMBER_BYTES_MAX, TOTAL_BYTES_MAX)
}

fn within(zip: &[u8], member_bytes_max: u64, total_bytes_max: u64) -> Result<Members, String> {
    let listing = list_zip(&zip, MEMBERS_MAX);
    if !listing.fault.is_empty() {
        return Err(listing.fault);
    }
    if let Some((_, why)) = listing.skipped.first() {
        return Err(format!("a member can't be read: {why}"));
    }
    let (mut left, mut files) = (total_bytes_max, Vec::new());
    for member in &listing.members {
        let (hash, size) = hash(zip, member, left.min(member_bytes_max))?;
        left -= size;
        files.push((path(&member.name)?, hash));
    }
    let strip = top_folder(&files);
    let mut members = Members::new();
    for (parts, hash) in files {
        let kept = parts.get(strip..).unwrap_or_default();
        if kept.is_empty() {
            continue;
        }
        // As the watcher writes the names of what it finds on disk.
        let name = shown(Path::new(""), Path::new(&kept.join("/")));
        if members.insert(name, hash).is_some() {
            return Err("a name is there twice".to_owned());
        }
    }
    Ok(members)
}

/// The parts of a member's name.
fn path(name: &str) -> Result<Vec<&str>, String> {
    let parts: Vec<_> = name.split('/').filter(|part| *part != ".").collect();
    let is_inside = parts
        .iter()
        .all(|part| !part.is_empty() && *part != ".." && !part.contains('\\'));
    if is_inside && !parts.is_empty() {
        Ok(parts)
    } else {
        Err("a name leads out of it".to_owned())
    }
}

/// How many folders composer takes away: the only one at the top, `.DS_Store` beside it not counted.
fn top_folder(files: &[(Vec<&str>, Hash)]) -> usize {
    let tops: BTreeSet<_> = files
        .iter()
        .filter(|(parts, _)| parts.as_slice() != [".DS_Store"])
        .map(|(parts, _)| (parts.len() > 1).then(|| parts.first()))
        .collect();
    usize::from(tops.len() == 1 && tops.first().is_some_and(Option::is_some))
}

/// Hashes a member's content of at most so many bytes; tells how many they were.
fn hash(zip: &[u8], member: &Member, bytes_max: u64) -> Result<(Hash, u64), String> {
    let range = || {
        let from = usize::try_from(member.offset).ok()?;
        zip.get(from..from.checked_add(usize::try_from(member.size).ok()?)?)
    };
    let stored = range().ok_or("it is cut")?;
    let mut reader: Box<dyn Read> = if member.deflated {
        Box::new(flate2::bufread::DeflateDecoder::new(stored))
    } else {
        Box::new(stored)
    };
    let (mut hasher, mut buffer, mut size) = (Sha256::new(), vec![0; BLOCK_BYTES], 0_u64);
    loop {
        let length = reader
            .read(&mut buffer)
            .map_err(|error| error.to_string())?;
        if length == 0 {
            return Ok((Hash::of(hasher), size));
        }
        size = size.saturating_add(length as u64);
        if size > bytes_max {
            return Err("it holds more than may be decompressed".to_owned());
        }
        hasher.update(buffer.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
pub(in super::super) mod tests {
    use super::{Hash, read, within};
    use sha2::{Digest as _, Sha256};
    use std::io::Write as _;

    /// A zip: names and contents, deflated; a name that ends in `/` is a folder.
    pub(in super::super::super) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        let long = |value: usize| u32::try_from(value).expect("small").to_le_bytes();
        for (name, content) in members {
            let mut encoder =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).expect("written");
            let deflated = encoder.finish().expect("written");
            let mut middle = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
            middle.extend_from_slice(&[0; 4]);
            middle.extend_from_slice(&long(deflated.len()));
            middle.extend_from_slice(&long(content.len()));
            middle.extend_from_slice(&u16::try_from(name.len()).expect("short").to_le_bytes());
            middle.extend_from_slice(&[0, 0]);
            directory.extend_from_slice(b"PK\x01\x02\x14\x00");
            directory.extend_from_slice(&middle);
            directory.extend_from_slice(&[0; 10]);
            directory.extend_from_slice(&long(out.len()));
            directory.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"PK\x03\x04");
            out.extend_from_slice(&middle);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&deflated);
        }
        let at = long(out.len());
        out.extend_from_slice(&directory);
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&long(directory.len()));
        out.extend_from_slice(&at);
        out.extend_from_slice(&[0, 0]);
        out
    }

    #[track_caller]
    fn check(members: &[(&str, &[u8])], expected: Result<&[&str], &str>) {
        let found = read(&zip(members)).map(|members| members.into_keys().collect::<Vec<_>>());
        match (found, expected) {
            (Ok(names), Ok(expected)) => assert_eq!(names, expected),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (found, expected) => panic!("{found:?} and not {expected:?}"),
        }
    }

    #[test]
    fn names_are_those_that_composer_puts_in_place() {
        check(
            &[("a-1.2/", b""), ("a-1.2/src/A.php", b"x"), ("a-1.2/b", b"")],
            Ok(&["b", "src/A.php"]),
        );
        check(&[("src/A.php", b"x"), ("b", b"")], Ok(&["b", "src/A.php"]));
        check(&[("x/a", b""), ("y/b", b"")], Ok(&["x/a", "y/b"]));
        check(&[(".DS_Store", b""), ("x/a", b"")], Ok(&["a"]));
        check(&[("./x/a", b""), ("x/b%", b"")], Ok(&["a", "b%25"]));
        check(&[("only.php", b"")], Ok(&["only.php"]));
        check(&[], Ok(&[]));
    }

    #[test]
    fn an_archive_that_leads_out_or_is_ambiguous_is_not_used() {
        for name in ["../a", "x/../../a", "/etc/a", "x//a", "x\\..\\a", ".."] {
            check(&[("x/b", b""), (name, b"")], Err("leads out"));
        }
        check(&[("x/a", b"1"), ("x/a", b"2")], Err("twice"));
    }

    #[test]
    fn a_bomb_is_stopped() {
        let zeros = vec![0; 1 << 20];
        let bomb = zip(&[("x/a", &zeros), ("x/b", &zeros)]);
        assert!(bomb.len() < 1 << 16);
        let whole = 1 << 20;
        for (member, total, is_read) in [
            (whole, 2 * whole, true),
            (whole - 1, 2 * whole, false),
            (whole, 2 * whole - 1, false),
            (whole, whole, false),
        ] {
            let read = within(&bomb, member, total);
            assert_eq!(read.is_ok(), is_read, "{member} {total}");
            assert!(read.is_ok() || read.is_err_and(|why| why.contains("decompressed")));
        }
    }

    #[test]
    fn what_is_cut_or_bent_is_refused_or_holds_what_it_held() {
        let whole = zip(&[("x/a", b"one"), ("x/b", b"two")]);
        // Behind the directory's place only the length of a remark is left.
        for length in 0..whole.len() - 2 {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 0x41;
            let found = read(&bent).unwrap_or_default();
            assert!(found.len() <= 2, "{at}");
        }
    }

    #[test]
    fn a_hash_is_read_back_as_it_was_written() {
        let hash = Hash::of(Sha256::new_with_prefix(b"x"));
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        for wrong in ["", "00", &"é".repeat(32), &"g".repeat(64)] {
            assert_eq!(Hash::parse(wrong), None);
        }
        let members = read(&zip(&[("p/a", b"x")])).expect("read");
        assert_eq!(members.get("a"), Some(&hash));
    }
}

//! What lies in packed bytes that are held in memory: archives and compressed files, also inside each other.
//!
//! For what a person hands over, which is looked into before it is kept. Hostile: bytes, members and depth have limits,
//! and what can't be opened is an error, never silence.

use std::io::{Cursor, Read};

use crate::archive::{Listing, is_tar, is_zip, list_tar, list_zip};
use crate::reader::decompress;
use crate::{Compression, Limits};

/// How often something may be packed into something else.
const DEPTH_MAX: usize = 4;

/// Why not all of it could be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// It goes over a limit.
    #[error("more than {what} when unpacked")]
    TooMuch {
        /// Over what, in words.
        what: String,
    },
    /// It can't be opened: encrypted, damaged, or of another kind than it says.
    #[error("{why}")]
    Closed {
        /// Why, in words.
        why: String,
    },
}

/// Hands `take` the bytes themselves and everything packed into them, each whole; `limits` holds for all of it together.
///
/// # Errors
///
/// [`UnpackError`] when something isn't looked at; what was handed over before stays so.
pub fn unpack(
    bytes: &[u8],
    limits: &Limits,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), UnpackError> {
    let mut unpacking = Unpacking {
        bytes_max: limits.decompressed_bytes_max,
        bytes_left: limits.decompressed_bytes_max,
        members_max: limits.members_max,
        members_left: limits.members_max,
        take,
    };
    unpacking.look(bytes, 0)
}

struct Unpacking<'a> {
    bytes_max: u64,
    bytes_left: u64,
    members_max: usize,
    members_left: usize,
    take: &'a mut dyn FnMut(&[u8]),
}

impl Unpacking<'_> {
    fn look(&mut self, bytes: &[u8], depth: usize) -> Result<(), UnpackError> {
        (self.take)(bytes);
        let compression = Compression::of(bytes);
        let is_packed = compression != Compression::Plain || is_tar(bytes) || is_zip(bytes);
        if !is_packed {
            return Ok(());
        }
        if depth == DEPTH_MAX {
            return Err(too_much(format!("{DEPTH_MAX} archives in each other")));
        }
        if compression != Compression::Plain {
            let stream = decompress(compression, Cursor::new(bytes.to_vec()))
                .map_err(|error| closed(&error))?;
            let whole = self.read(stream)?;
            return self.look(&whole, depth + 1);
        }
        let listing = if is_tar(bytes) {
            list_tar(&mut &*bytes, self.members_left)
        } else {
            list_zip(&bytes, self.members_left)
        };
        self.members(bytes, &listing, depth)
    }

    fn members(
        &mut self,
        bytes: &[u8],
        listing: &Listing,
        depth: usize,
    ) -> Result<(), UnpackError> {
        if listing.members.len() + listing.skipped.len() >= self.members_left {
            return Err(too_much(format!("{} files", self.members_max)));
        }
        let why = listing.skipped.first().map(|(_, why)| why);
        if let Some(why) = why.or(Some(&listing.fault).filter(|fault| !fault.is_empty())) {
            return Err(closed(&why));
        }
        self.members_left -= listing.members.len();
        for member in &listing.members {
            let from = usize::try_from(member.offset).ok();
            let size = usize::try_from(member.size).ok();
            let range = from.zip(size).and_then(|(from, size)| {
                let to = from.checked_add(size)?;
                bytes.get(from..to)
            });
            let stored = range.ok_or_else(|| closed(&"a file in it is cut"))?;
            let whole = if member.deflated {
                self.read(flate2::bufread::DeflateDecoder::new(stored))?
            } else {
                self.read(stored)?
            };
            self.look(&whole, depth + 1)?;
        }
        Ok(())
    }

    fn read(&mut self, stream: impl Read) -> Result<Vec<u8>, UnpackError> {
        let mut whole = Vec::new();
        stream
            .take(self.bytes_left.saturating_add(1))
            .read_to_end(&mut whole)
            .map_err(|error| closed(&error))?;
        let left = self.bytes_left.checked_sub(whole.len() as u64);
        self.bytes_left = left.ok_or_else(|| too_much(format!("{} bytes", self.bytes_max)))?;
        Ok(whole)
    }
}

fn too_much(what: String) -> UnpackError {
    UnpackError::TooMuch { what }
}

fn closed(why: &dyn std::fmt::Display) -> UnpackError {
    let why = why.to_string();
    UnpackError::Closed { why }
}

#[cfg(test)]
mod tests {
    use super::{UnpackError, unpack};
    use crate::Limits;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder
            .write_all(text)
            .and_then(|()| encoder.finish())
            .expect("written")
    }

    /// A zip of one deflated file.
    fn zip(text: &[u8], flags: u16) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("written");
        let bytes = encoder.finish().expect("written");
        let size = u32::try_from(bytes.len()).expect("small").to_le_bytes();
        let mut middle = Vec::new();
        for short in [20, flags, 8, 0, 0] {
            middle.extend_from_slice(&u16::to_le_bytes(short));
        }
        middle.extend_from_slice(&[0; 4]);
        middle.extend_from_slice(&[size, size].concat());
        middle.extend_from_slice(&[1, 0, 0, 0]);
        let mut out = [b"PK\x03\x04", middle.as_slice(), b"a", &bytes].concat();
        let at = u32::try_from(out.len()).expect("small");
        out.extend_from_slice(b"PK\x01\x02\x14\x00");
        out.extend_from_slice(&middle);
        out.extend_from_slice(&[0; 14]);
        out.extend_from_slice(b"a");
        let length = u32::try_from(out.len()).expect("small") - at;
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&at.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out
    }

    fn limits() -> Limits {
        Limits {
            decompressed_bytes_max: 100_000,
            members_max: 100,
            ..Limits::default()
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<(), &str>) {
        let (mut found, mut handed) = (false, 0);
        let result = unpack(bytes, &limits(), &mut |part| {
            found |= part.starts_with(b"the secret");
            handed += part.len();
        });
        let told = result.as_ref().copied().map_err(ToString::to_string);
        match expected {
            Ok(()) => assert_eq!((told, found), (Ok(()), true)),
            Err(says) => assert!(told.is_err_and(|why| why.contains(says)), "{result:?}"),
        }
        assert!(handed <= bytes.len() + 100_001, "{handed}");
    }

    #[test]
    fn what_is_packed_in_each_other_is_handed_over_and_what_can_not_be_opened_is_an_error() {
        let secret = b"the secret is here";
        check(secret, Ok(()));
        check(&gzip(secret), Ok(()));
        check(&zip(secret, 0), Ok(()));
        check(&gzip(&zip(&zip(&gzip(secret), 0), 0)), Ok(()));
        let deep = (0..6).fold(secret.to_vec(), |inner, _| gzip(&inner));
        check(&deep, Err("4 archives in each other"));
        check(&zip(secret, 1), Err("encrypted"));
        let whole = gzip(&secret.repeat(100));
        check(&whole[..whole.len() - 9], Err(""));
        check(b"PK\x03\x04 only looks like one", Err(""));
    }

    #[test]
    fn a_bomb_ends_at_the_cap_of_all_together() {
        let zeros = vec![0; 60_000];
        check(&gzip(&vec![0; 10_000_000]), Err("100000 bytes"));
        let two = [gzip(&zeros), gzip(&zeros)].concat();
        check(&two, Err("100000 bytes"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_go_over_its_limit(at in any::<prop::sample::Index>(), bit in 0..8_u8, keep in any::<prop::sample::Index>()) {
            let mut bytes = zip(&gzip(&zip(b"the secret", 0)), 0);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes.truncate(keep.index(bytes.len()) + 1);
            let mut handed = 0;
            let result = unpack(&bytes, &limits(), &mut |part| handed += part.len());
            prop_assert!(handed <= bytes.len() + 100_001);
            let is_silent = matches!(result, Err(UnpackError::Closed { why }) if why.is_empty());
            prop_assert!(!is_silent);
        }
    }
}

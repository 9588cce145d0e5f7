//! How far the log is sealed, kept in the data folder under a code that only this installation can make.
//!
//! Reading begins there. What of it is sealed already is known from the ledger: each record's place is its file's number
//! and its own place in it ([`Mark`]), so that a kill between sealing and keeping tells nothing twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{Generation, Position};
use serde::{Deserialize, Serialize};

use crate::SourceError;
use crate::baseline::{self, Kept};

/// A record's place in the ledger is that of its event and its number there, times this: no record is as long, so
/// places never overlap, and that of the last one tells which it is.
pub(super) const ROOM: u64 = 1 << 18;
/// Records of one event that are told apart.
pub(super) const NUMBERS: u64 = 1 << 12;
/// The one thing kept.
const NAME: &str = "binlog";

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Name of the file.
    pub(super) file: String,
    /// Bytes in it before the first transaction that isn't told.
    pub(super) position: u64,
    /// When the file was begun, as its first event says; 0 when that was not read yet.
    pub(super) begun: u32,
    /// The server's own number.
    pub(super) server: u32,
    /// Which numbering of files: another since they were begun anew.
    pub(super) numbering: u64,
}

/// A record's place: numbering of files, file's number, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) numbering: u64,
    pub(super) file: u64,
    /// Its event's place times [`NUMBERS`], and its number there.
    pub(super) at: u64,
}

impl Mark {
    /// Of a record of the event that starts at `start`. Beyond [`NUMBERS`] the last rows of an event share one.
    pub(super) fn new(place: &Place, file: &str, start: u64, number: u64) -> Self {
        Self {
            numbering: place.numbering,
            file: self::number(file),
            at: start
                .saturating_mul(NUMBERS)
                .saturating_add(number.min(NUMBERS - 1)),
        }
    }

    /// Of the ledger's last record.
    pub(super) fn sealed(generation: Generation, end: Position) -> Self {
        Self {
            numbering: generation.device,
            file: generation.inode,
            at: end.offset_bytes.saturating_sub(1) / ROOM,
        }
    }

    pub(super) fn generation(self) -> Generation {
        Generation {
            device: self.numbering,
            inode: self.file,
            ..Generation::default()
        }
    }

    pub(super) fn offset_bytes(self) -> u64 {
        self.at.saturating_mul(ROOM)
    }

    /// Whether a record there is sealed, when `last` is.
    pub(super) fn is_sealed(self, last: Option<Self>) -> bool {
        last.is_some_and(|last| {
            last.numbering == self.numbering && (self.file, self.at) <= (last.file, last.at)
        })
    }
}

/// The number a file's name ends in: `mysql-bin.000012` is the twelfth.
pub(super) fn number(file: &str) -> u64 {
    file.rsplit_once('.')
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

/// What is known of how far the log was read.
pub(super) enum Known {
    Nothing,
    Place(Place),
    /// Somebody else wrote it.
    Changed,
}

/// Keeps the place.
pub(super) struct Keeper {
    path: PathBuf,
    key: [u8; 32],
}

impl Keeper {
    pub(super) fn new(data: &Path, name: &str, key: [u8; 32]) -> Self {
        let name: String = name
            .chars()
            .map(|one| {
                if one.is_ascii_alphanumeric() {
                    one
                } else {
                    '-'
                }
            })
            .collect();
        Self {
            path: data.join(format!("{name}.place")),
            key,
        }
    }

    pub(super) fn load(&self) -> Result<Known, SourceError> {
        Ok(match baseline::load(&self.path, &self.key)? {
            Kept::None => Known::Nothing,
            Kept::Changed => Known::Changed,
            Kept::Whole(mut kept) => kept.remove(NAME).map_or(Known::Changed, Known::Place),
        })
    }

    pub(super) fn save(&self, place: &Place) -> Result<(), SourceError> {
        let kept = BTreeMap::from([(NAME.to_owned(), place.clone())]);
        baseline::save(&self.path, &baseline::write(&self.key, &kept))
    }
}

#[cfg(test)]
mod tests {
    use super::{Keeper, Known, Mark, Place, number};
    use model::Position;

    #[test]
    fn the_ledgers_last_record_tells_which_are_sealed() {
        let mark = |file, at| Mark {
            numbering: 7,
            file,
            at,
        };
        let last = mark(3, 1000);
        for length in [1, 200_000, super::ROOM] {
            let end = Position {
                offset_bytes: last.offset_bytes() + length,
            };
            let sealed = Mark::sealed(last.generation(), end);
            assert_eq!(sealed, last);
            assert!(mark(3, 1000).is_sealed(Some(sealed)) && mark(2, 9000).is_sealed(Some(sealed)));
            assert!(!mark(3, 1001).is_sealed(Some(sealed)) && !mark(4, 4).is_sealed(Some(sealed)));
        }
        let anew = Mark {
            numbering: 8,
            ..mark(1, 4)
        };
        assert!(!anew.is_sealed(Some(last)) && !anew.is_sealed(None));
        assert_eq!((number("a.b.000012"), number("none")), (12, 0));
    }

    #[test]
    fn a_place_that_somebody_else_wrote_is_known_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = Keeper::new(folder.path(), "binlog:/run/x.sock", [7; 32]);
        assert!(matches!(keeper.load(), Ok(Known::Nothing)));
        let place = Place {
            file: "b.000002".to_owned(),
            position: 4,
            ..Place::default()
        };
        keeper.save(&place).expect("kept");
        assert!(matches!(keeper.load(), Ok(Known::Place(kept)) if kept == place));
        let other = Keeper::new(folder.path(), "binlog:/run/x.sock", [8; 32]);
        assert!(matches!(other.load(), Ok(Known::Changed)));
    }
}

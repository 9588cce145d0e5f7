//! Where to look: for each 256 entries the root over their leaves, where they end, their bounds of
//! time, and which of them name what.
//!
//! Derived from the segments and disposable. `blocks` holds a record of 88 bytes per block: segment
//! (4, big-endian as all), end of leaves (8), end of payloads (8), root (32), first and last time
//! (8, 8), place and length of its postings (8, 4), check (8, FNV-1a over version, record and postings): a block of
//! another version doesn't hold, and is made again.
//! `postings` holds per block its tokens in order, each with a bitmap of 256 entries (8 + 32).

mod search;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{Place, StoreError};

use search::{Bitmap, place};
pub use search::{IndexQuery, Order};

/// Entries in one block.
pub const BLOCK_ENTRIES: u64 = 256;
/// What entries are indexed by: raised whenever that changes. Version 1 knew no administrators, packages and places.
const VERSION: u64 = 2;
const RECORD_BYTES: usize = 88;
const POSTING_BYTES: usize = 40;

/// What is indexed of one entry.
#[derive(Clone, Debug)]
pub struct Indexed<'a> {
    /// Time said, or else received, in microseconds.
    pub time: i64,
    /// Hashes of source, actors and scope.
    pub tokens: &'a [u64],
}

#[derive(Clone, Debug)]
struct Block {
    root: [u8; 32],
    first: i64,
    last: i64,
    postings: u64,
    postings_bytes: u32,
}

/// The block that is not whole yet.
#[derive(Clone, Debug)]
struct Open {
    count: u64,
    first: i64,
    last: i64,
    postings: BTreeMap<u64, Bitmap>,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            count: 0,
            first: i64::MAX,
            last: i64::MIN,
            postings: BTreeMap::new(),
        }
    }
}

struct Files {
    blocks: File,
    postings: File,
    postings_end: u64,
}

/// The blocks of a ledger, in order. In memory: 64 bytes per block.
pub struct BlockIndex {
    folder: PathBuf,
    blocks: Vec<Block>,
    open: Open,
    /// Files of whole blocks; a reader and a new index without blocks have none to write to.
    files: Option<Files>,
    writer: bool,
    /// Whole blocks that are not in the files: record and postings. A reader's stay here, a writer's until there is room.
    unwritten: BTreeMap<usize, (Vec<u8>, Vec<u8>)>,
}

impl BlockIndex {
    /// Opens the index below `folder`; gives where the whole blocks it knows end. What doesn't hold
    /// is left out, and made again by pushing its entries.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when its files can't be used.
    pub fn open(folder: &Path, writer: bool) -> Result<(Self, Vec<Place>), StoreError> {
        let open = |name: &str| {
            let path = folder.join(name);
            match OpenOptions::new()
                .read(true)
                .write(writer)
                .create(writer)
                .truncate(false)
                .mode(0o600)
                .open(&path)
            {
                Err(error) if !writer && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                opened => opened.map(Some).map_err(StoreError::io(&path)),
            }
        };
        let (records, postings) = (open("blocks")?, open("postings")?);
        let mut index = Self {
            folder: folder.to_owned(),
            blocks: Vec::new(),
            open: Open::default(),
            files: None,
            writer,
            unwritten: BTreeMap::new(),
        };
        let mut ends = Vec::new();
        let (Some(records), Some(postings)) = (records, postings) else {
            return Ok((index, ends));
        };
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut &records, &mut bytes)
            .map_err(StoreError::io(&folder.join("blocks")))?;
        let mut postings_end = 0;
        for record in bytes.as_chunks::<RECORD_BYTES>().0 {
            let Some((block, end)) = decode(record, &postings) else {
                break;
            };
            // A block that reaches beyond the segments tells of entries that are not there.
            let there = |ending, length| {
                std::fs::metadata(crate::frames::path(
                    &folder.join("segments"),
                    end.segment,
                    ending,
                ))
                .is_ok_and(|facts| facts.len() >= length)
            };
            if !there("leaf", end.leaf) || !there("data", end.data) {
                break;
            }
            postings_end = block.postings + u64::from(block.postings_bytes);
            index.blocks.push(block);
            ends.push(end);
        }
        index.files = Some(Files {
            blocks: records,
            postings,
            postings_end,
        });
        Ok((index, ends))
    }

    /// Forgets every block: they don't fit what was signed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the files can't be emptied.
    pub fn clear(folder: &Path) -> Result<(), StoreError> {
        for name in ["blocks", "postings"] {
            let path = folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whole blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The root over a whole block's leaves.
    #[must_use]
    pub fn root(&self, block: u64) -> Option<[u8; 32]> {
        Some(self.blocks.get(usize::try_from(block).ok()?)?.root)
    }

    /// Adds the next entry; true when its block is whole now, to be ended by [`Self::end_block`].
    pub fn push(&mut self, entry: &Indexed<'_>) -> bool {
        let open = &mut self.open;
        open.first = open.first.min(entry.time);
        open.last = open.last.max(entry.time);
        let (word, bit) = place(open.count);
        for token in entry.tokens {
            if let Some(word) = open.postings.entry(*token).or_default().get_mut(word) {
                *word |= bit;
            }
        }
        open.count += 1;
        open.count == BLOCK_ENTRIES
    }

    /// Ends a whole block: `root` over its leaves, `end` of its entries. It is in the files after the next
    /// [`Self::write`].
    pub fn end_block(&mut self, root: [u8; 32], end: Place) {
        let open = std::mem::take(&mut self.open);
        let postings = encode_postings(&open.postings);
        let block = Block {
            root,
            first: open.first,
            last: open.last,
            postings: self.files.as_ref().map_or(0, |files| files.postings_end),
            postings_bytes: u32::try_from(postings.len()).unwrap_or(u32::MAX),
        };
        if let Some(files) = &mut self.files {
            files.postings_end += postings.len() as u64;
        }
        let record = encode(&block, end, &postings);
        self.unwritten.insert(self.blocks.len(), (record, postings));
        self.blocks.push(block);
    }

    /// Writes the whole blocks that are not in the files yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they can't be written: they are found all the same, and written the next time.
    pub fn write(&mut self) -> Result<(), StoreError> {
        let Some(files) = self.files.as_ref().filter(|_| self.writer) else {
            return Ok(());
        };
        // In order: what lies behind a block that isn't there would not be read.
        while let Some(next) = self.unwritten.first_entry() {
            let (record, postings) = next.get();
            let block = self.blocks.get(*next.key());
            files
                .postings
                .write_all_at(postings, block.map_or(0, |block| block.postings))
                .map_err(StoreError::io(&self.folder.join("postings")))?;
            files
                .blocks
                .write_all_at(record, *next.key() as u64 * RECORD_BYTES as u64)
                .map_err(StoreError::io(&self.folder.join("blocks")))?;
            next.remove();
        }
        Ok(())
    }

    /// Forgets what one entry names: its payload is destroyed, and what named its actors with it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the index can't be written.
    pub fn forget(&mut self, number: u64, end: Place) -> Result<(), StoreError> {
        self.write()?;
        let (word, bit) = place(number % BLOCK_ENTRIES);
        let clear = |postings: &mut BTreeMap<u64, Bitmap>| {
            postings.retain(|_, bitmap| {
                if let Some(word) = bitmap.get_mut(word) {
                    *word &= !bit;
                }
                bitmap.iter().any(|word| *word != 0)
            });
        };
        let at = usize::try_from(number / BLOCK_ENTRIES).unwrap_or(usize::MAX);
        let Some(block) = self.blocks.get(at) else {
            clear(&mut self.open.postings);
            return Ok(());
        };
        let bytes = self.postings(at, block)?;
        let mut postings = BTreeMap::new();
        for entry in bytes.as_chunks::<POSTING_BYTES>().0 {
            let (token, bitmap) = decode_posting(entry);
            // Zeros are what an earlier forgetting left behind.
            if bitmap != [0; 4] {
                postings.insert(token, bitmap);
            }
        }
        clear(&mut postings);
        let mut kept = encode_postings(&postings);
        kept.resize(bytes.len(), 0);
        let (Some(files), record) = (&self.files, encode(block, end, &kept)) else {
            return Ok(());
        };
        files
            .postings
            .write_all_at(&kept, block.postings)
            .and_then(|()| files.postings.sync_data())
            .map_err(StoreError::io(&self.folder.join("postings")))?;
        files
            .blocks
            .write_all_at(&record, at as u64 * RECORD_BYTES as u64)
            .map_err(StoreError::io(&self.folder.join("blocks")))
    }

    /// The postings of the block that is number `at`.
    fn postings(&self, at: usize, block: &Block) -> Result<Vec<u8>, StoreError> {
        if let Some((_, postings)) = self.unwritten.get(&at) {
            return Ok(postings.clone());
        }
        let mut bytes = vec![0; block.postings_bytes as usize];
        if let Some(files) = &self.files {
            files
                .postings
                .read_exact_at(&mut bytes, block.postings)
                .map_err(StoreError::io(&self.folder.join("postings")))?;
        }
        Ok(bytes)
    }
}

fn encode_postings(postings: &BTreeMap<u64, Bitmap>) -> Vec<u8> {
    let mut out = Vec::with_capacity(postings.len() * POSTING_BYTES);
    for (token, bitmap) in postings {
        out.extend_from_slice(&token.to_be_bytes());
        for word in bitmap {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
    out
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let part = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
    u64::from_be_bytes(part.unwrap_or_default())
}

fn decode_posting(entry: &[u8; POSTING_BYTES]) -> (u64, Bitmap) {
    let bitmap = std::array::from_fn(|at| number(entry, 8 + at * 8));
    (number(entry, 0), bitmap)
}

fn check(record: &[u8], postings: &[u8]) -> [u8; 8] {
    let hash = VERSION
        .to_be_bytes()
        .iter()
        .chain(record)
        .chain(postings)
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    hash.to_be_bytes()
}

fn encode(block: &Block, end: Place, postings: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_BYTES);
    out.extend_from_slice(&end.segment.to_be_bytes());
    out.extend_from_slice(&end.leaf.to_be_bytes());
    out.extend_from_slice(&end.data.to_be_bytes());
    out.extend_from_slice(&block.root);
    out.extend_from_slice(&block.first.to_be_bytes());
    out.extend_from_slice(&block.last.to_be_bytes());
    out.extend_from_slice(&block.postings.to_be_bytes());
    out.extend_from_slice(&block.postings_bytes.to_be_bytes());
    let check = check(&out, postings);
    out.extend_from_slice(&check);
    out
}

/// Reads a record; `None` when record or postings don't hold.
fn decode(record: &[u8; RECORD_BYTES], postings: &File) -> Option<(Block, Place)> {
    let (body, told) = record.split_at(RECORD_BYTES - 8);
    let short = |at: usize| {
        let part = body.get(at..at + 4).and_then(|part| part.try_into().ok());
        u32::from_be_bytes(part.unwrap_or_default())
    };
    let end = Place {
        segment: short(0),
        leaf: number(body, 4),
        data: number(body, 12),
    };
    let block = Block {
        root: body.get(20..52)?.try_into().ok()?,
        first: number(body, 52).cast_signed(),
        last: number(body, 60).cast_signed(),
        postings: number(body, 68),
        postings_bytes: short(76),
    };
    let available = postings.metadata().ok()?.len();
    if block.postings + u64::from(block.postings_bytes) > available {
        return None;
    }
    let mut bytes = vec![0; block.postings_bytes as usize];
    postings.read_exact_at(&mut bytes, block.postings).ok()?;
    (check(body, &bytes) == told).then_some((block, end))
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_ENTRIES, BlockIndex, IndexQuery, Indexed, Order};
    use crate::{Place, StoreError};
    use std::fs;
    use std::path::Path;

    /// An index of 1000 entries at times 0…999; 700 names 77, each fifth 5. Its segments are long enough.
    fn filled(folder: &Path) -> BlockIndex {
        fs::create_dir_all(folder.join("segments")).expect("made");
        for ending in ["leaf", "data"] {
            fs::write(folder.join(format!("segments/00000000.{ending}")), [0; 64])
                .expect("written");
        }
        let (mut index, known) = BlockIndex::open(folder, true).expect("opened");
        for number in known.len() as u64 * BLOCK_ENTRIES..1000 {
            let tokens: &[u64] = match number {
                700 => &[77, 5],
                _ if number % 5 == 0 => &[5],
                _ => &[],
            };
            let time = number.cast_signed();
            if index.push(&Indexed { time, tokens }) {
                let end = Place {
                    leaf: 8,
                    data: 8,
                    ..Place::default()
                };
                index.end_block([7; 32], end);
            }
        }
        index.write().expect("written");
        index
    }

    fn found(index: &BlockIndex, query: &IndexQuery) -> Vec<u64> {
        let mut found = Vec::new();
        index
            .search(query, |number| {
                found.push(number);
                Ok::<_, StoreError>(true)
            })
            .expect("searched");
        found
    }

    fn by(tokens: &[u64]) -> IndexQuery {
        IndexQuery {
            tokens: tokens.to_vec(),
            ..IndexQuery::default()
        }
    }

    #[test]
    fn what_is_not_written_yet_is_found_and_written_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = filled(folder.path());
        // As when the disk was full: whole blocks, and none of them in the files.
        for number in 1000..1600 {
            let tokens: &[u64] = if number == 1100 { &[78] } else { &[] };
            if index.push(&Indexed { time: 0, tokens }) {
                index.end_block([8; 32], Place::default());
            }
        }
        assert_eq!(index.blocks(), 6);
        assert_eq!(found(&index, &by(&[78])), [1100]);
        let (reader, known) = BlockIndex::open(folder.path(), false).expect("opened");
        assert_eq!((reader.blocks(), known.len()), (3, 3));
        index.write().expect("written");
        drop(index);
        let (index, known) = BlockIndex::open(folder.path(), true).expect("opened");
        assert_eq!(known.len(), 6);
        assert_eq!(found(&index, &by(&[78])), [1100]);
        assert_eq!(found(&index, &by(&[77])), [700]);
    }

    #[test]
    fn finds_exactly_who_names_a_token_and_the_blocks_of_a_time_after_a_restart_too() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(filled(folder.path()));
        let index = filled(folder.path());
        assert_eq!(found(&index, &by(&[77])), [700]);
        assert_eq!(found(&index, &by(&[77, 5])), [700]);
        assert_eq!(found(&index, &by(&[5])).len(), 200);
        assert_eq!(found(&index, &by(&[6])), [0_u64; 0]);
        let time = IndexQuery {
            from: Some(600),
            to: Some(700),
            ..IndexQuery::default()
        };
        assert_eq!(found(&index, &time), (512..768).collect::<Vec<_>>());
    }

    /// Finds in an order within some blocks, at most three: the entries, and the block it did not come to.
    #[track_caller]
    fn check(
        index: &BlockIndex,
        query: &IndexQuery,
        order: Order,
        blocks_max: u64,
        expected: (&[u64], Option<u64>),
    ) {
        let mut found = Vec::new();
        let left = index.search_in(query, order, blocks_max, |number| {
            found.push(number);
            Ok::<_, StoreError>(found.len() < 3)
        });
        let left = left.expect("searched");
        assert_eq!((found.as_slice(), left), expected, "{query:?} {order:?}");
    }

    #[test]
    fn a_search_goes_either_way_between_two_numbers_and_says_where_it_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = filled(folder.path());
        let (oldest, newest) = (Order::Oldest, Order::Newest);
        check(&index, &by(&[5]), oldest, 9, (&[0, 5, 10], None));
        // The last block isn't whole.
        check(&index, &by(&[5]), newest, 9, (&[995, 990, 985], None));
        let between = |tokens: &[u64], first, end| IndexQuery {
            first,
            end: Some(end),
            ..by(tokens)
        };
        check(
            &index,
            &between(&[5], 251, 262),
            oldest,
            9,
            (&[255, 260], None),
        );
        check(
            &index,
            &between(&[5], 251, 262),
            newest,
            9,
            (&[260, 255], None),
        );
        check(
            &index,
            &between(&[], 998, 5000),
            newest,
            9,
            (&[999, 998], None),
        );
        check(&index, &between(&[], 1000, 5000), newest, 9, (&[], None));
        check(&index, &between(&[], 7, 7), oldest, 9, (&[], None));
        check(&index, &by(&[77]), newest, 1, (&[], Some(2)));
        check(
            &index,
            &between(&[77], 0, 768),
            newest,
            1,
            (&[700], Some(1)),
        );
        check(&index, &by(&[77]), oldest, 2, (&[], Some(2)));
    }

    #[test]
    fn of_each_group_one_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = filled(folder.path());
        let any = |any: &[&[u64]]| IndexQuery {
            any: any.iter().map(|group| group.to_vec()).collect(),
            ..by(&[5])
        };
        assert_eq!(found(&index, &any(&[&[77, 78]])), [700]);
        assert_eq!(found(&index, &any(&[&[78], &[77]])), [0_u64; 0]);
        assert_eq!(found(&index, &any(&[&[]])), [0_u64; 0]);
        assert_eq!(found(&index, &any(&[&[5, 77], &[77]])), [700]);
    }

    #[test]
    fn blocks_of_another_version_are_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(filled(folder.path()));
        // As version 1 wrote it: the check without a version.
        let path = folder.path().join("blocks");
        let (mut records, postings) = (
            fs::read(&path).expect("read"),
            fs::read(folder.path().join("postings")).expect("read"),
        );
        for record in records.chunks_exact_mut(super::RECORD_BYTES) {
            let (body, told) = record.split_at_mut(super::RECORD_BYTES - 8);
            let from = usize::try_from(super::number(body, 68)).expect("short");
            let length = u32::from_be_bytes(body[76..80].try_into().expect("four")) as usize;
            let bytes = body.iter().chain(&postings[from..from + length]);
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            told.copy_from_slice(&hash.to_be_bytes());
        }
        fs::write(&path, records).expect("written");
        let (_, known) = BlockIndex::open(folder.path(), true).expect("opened");
        assert_eq!(known.len(), 0);
        assert_eq!(found(&filled(folder.path()), &by(&[77])), [700]);
    }

    #[test]
    fn a_forgotten_entry_is_named_no_more_and_others_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = filled(folder.path());
        let end = Place {
            leaf: 8,
            data: 8,
            ..Place::default()
        };
        index.forget(700, end).expect("forgotten");
        index.forget(995, end).expect("forgotten");
        drop(index);
        let postings = fs::read(folder.path().join("postings")).expect("read");
        assert!(!postings.windows(8).any(|part| part == 77_u64.to_be_bytes()));
        let index = filled(folder.path());
        assert_eq!(index.blocks(), 3);
        assert_eq!(found(&index, &by(&[77])), [0_u64; 0]);
        // 995 lies in the block that is not whole: it was made again from its entry.
        assert_eq!(found(&index, &by(&[5])).len(), 199);
    }

    #[test]
    fn a_flipped_bit_or_a_torn_end_only_costs_making_it_again() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(filled(folder.path()));
        for name in ["blocks", "postings"] {
            let path = folder.path().join(name);
            let whole = fs::read(&path).expect("read");
            for at in (0..whole.len()).step_by(13) {
                let mut bytes = whole.clone();
                bytes[at] ^= 4;
                fs::write(&path, &bytes).expect("written");
                assert_eq!(found(&filled(folder.path()), &by(&[77])), [700]);
                fs::write(&path, &whole[..at]).expect("written");
                assert_eq!(found(&filled(folder.path()), &by(&[77])), [700]);
            }
        }
    }
}

//! What is looked for in the index, and looking for it: block by block, either way.

use super::{BLOCK_ENTRIES, BlockIndex, POSTING_BYTES, decode_posting, number};
use crate::StoreError;

/// Which entries of a block name something.
pub(super) type Bitmap = [u64; 4];

/// What a block's entries name.
enum Postings {
    /// Of a whole block, as they are stored.
    Whole(Vec<u8>),
    /// Of the block that isn't whole yet.
    Open,
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct IndexQuery {
    /// Earliest time, said or else received, in microseconds.
    pub from: Option<i64>,
    /// Latest time, in microseconds.
    pub to: Option<i64>,
    /// Hashes that must all be there.
    pub tokens: Vec<u64>,
    /// Groups of hashes: of each at least one must be there.
    pub any: Vec<Vec<u64>>,
    /// First entry that is looked at.
    pub first: u64,
    /// The entry after the last one that is looked at; `None` is the end.
    pub end: Option<u64>,
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// With the first entry.
    #[default]
    Oldest,
    /// With the last one.
    Newest,
}

impl IndexQuery {
    fn fits(&self, first: i64, last: i64) -> bool {
        self.from.is_none_or(|from| last >= from) && self.to.is_none_or(|to| first <= to)
    }
}

impl BlockIndex {
    /// The entries that name every token asked for, of blocks within the time asked for, in order:
    /// exactly those by token and number, all of a block by time.
    ///
    /// # Errors
    ///
    /// The closure's, and [`StoreError`] when the index can't be read. `visit` ends the search by
    /// giving false.
    pub fn search<E: From<StoreError>>(
        &self,
        query: &IndexQuery,
        visit: impl FnMut(u64) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.search_in(query, Order::Oldest, u64::MAX, visit)
            .map(|_| ())
    }

    /// The same in an order, and in `blocks_max` blocks at most. Gives the block it did not come to; `None` when it came
    /// to the end, or was ended by `visit`.
    ///
    /// # Errors
    ///
    /// As [`Self::search`].
    pub fn search_in<E: From<StoreError>>(
        &self,
        query: &IndexQuery,
        order: Order,
        blocks_max: u64,
        mut visit: impl FnMut(u64) -> Result<bool, E>,
    ) -> Result<Option<u64>, E> {
        let size = self.blocks() * BLOCK_ENTRIES + self.open.count;
        let end = query.end.unwrap_or(u64::MAX).min(size);
        if query.first >= end {
            return Ok(None);
        }
        let (least, most) = (query.first / BLOCK_ENTRIES, (end - 1) / BLOCK_ENTRIES);
        let mut looked = 0;
        for step in 0..=most - least {
            let at = match order {
                Order::Oldest => least + step,
                Order::Newest => most - step,
            };
            let Some(mut found) = self.found(at, query)? else {
                continue;
            };
            // What lies outside the time was told by the block alone; what is read is what takes its time.
            if looked == blocks_max {
                return Ok(Some(at));
            }
            looked += 1;
            let begin = at * BLOCK_ENTRIES;
            keep(&mut found, query.first.saturating_sub(begin), end - begin);
            if !visit_block(begin, found, order, &mut visit)? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Tells of each token which entries name it, the last block first, of those that are asked for. Gives the block it did
    /// not come to, as [`Self::search_in`].
    ///
    /// # Errors
    ///
    /// As [`Self::search`]. `visit` is given the entry and the token's place in `tokens`.
    pub fn each_in<E: From<StoreError>>(
        &self,
        query: &IndexQuery,
        tokens: &[u64],
        blocks_max: u64,
        mut visit: impl FnMut(u64, usize) -> Result<bool, E>,
    ) -> Result<Option<u64>, E> {
        let size = self.blocks() * BLOCK_ENTRIES + self.open.count;
        let end = query.end.unwrap_or(u64::MAX).min(size);
        if query.first >= end {
            return Ok(None);
        }
        let (least, most) = (query.first / BLOCK_ENTRIES, (end - 1) / BLOCK_ENTRIES);
        let mut looked = 0;
        for block in (least..=most).rev() {
            if !self.is_within(block, query) {
                continue;
            }
            if looked == blocks_max {
                return Ok(Some(block));
            }
            let postings = self.postings_of(block)?;
            looked += 1;
            let begin = block * BLOCK_ENTRIES;
            let mut asked = self.joined(&postings, query);
            keep(&mut asked, query.first.saturating_sub(begin), end - begin);
            for (at, token) in tokens.iter().enumerate() {
                let found = both(asked, self.bitmap(&postings, *token), |a, b| a & b);
                let one = &mut |entry| visit(entry, at);
                if !visit_block(begin, found, Order::Newest, one)? {
                    return Ok(Some(block));
                }
            }
        }
        Ok(None)
    }

    /// Which entries of a block name what is asked for; `None` when the block lies outside the time.
    fn found(&self, at: u64, query: &IndexQuery) -> Result<Option<Bitmap>, StoreError> {
        if !self.is_within(at, query) {
            return Ok(None);
        }
        // By time alone nothing is read.
        if query.tokens.is_empty() && query.any.is_empty() {
            return Ok(Some([u64::MAX; 4]));
        }
        Ok(Some(self.joined(&self.postings_of(at)?, query)))
    }

    /// Whether a block lies within the time that is asked for.
    fn is_within(&self, at: u64, query: &IndexQuery) -> bool {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let block = self.blocks.get(at);
        let (first, last) = block.map_or((self.open.first, self.open.last), |block| {
            (block.first, block.last)
        });
        query.fits(first, last)
    }

    fn postings_of(&self, at: u64) -> Result<Postings, StoreError> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        match self.blocks.get(at) {
            Some(block) => Ok(Postings::Whole(self.postings(at, block)?)),
            None => Ok(Postings::Open),
        }
    }

    fn bitmap(&self, postings: &Postings, token: u64) -> Bitmap {
        match postings {
            Postings::Whole(bytes) => posting(bytes, token),
            Postings::Open => self.open.postings.get(&token).copied().unwrap_or_default(),
        }
    }

    /// Which entries of a block name what is asked for.
    fn joined(&self, postings: &Postings, query: &IndexQuery) -> Bitmap {
        let of = |token: &u64| self.bitmap(postings, *token);
        let all = query.tokens.iter().map(of);
        let any = query.any.iter().map(|group| {
            let each = group.iter().map(of);
            each.fold([0; 4], |found, one| both(found, one, |a, b| a | b))
        });
        all.chain(any)
            .fold([u64::MAX; 4], |found, one| both(found, one, |a, b| a & b))
    }
}

pub(super) fn place(within: u64) -> (usize, u64) {
    (
        usize::try_from(within / 64).unwrap_or(0),
        1 << (within % 64),
    )
}

fn both(a: Bitmap, b: Bitmap, join: impl Fn(u64, u64) -> u64) -> Bitmap {
    std::array::from_fn(|at| {
        join(
            a.get(at).copied().unwrap_or(0),
            b.get(at).copied().unwrap_or(0),
        )
    })
}

/// Leaves of a bitmap what lies from `first` to before `end`.
fn keep(found: &mut Bitmap, first: u64, end: u64) {
    if first == 0 && end >= BLOCK_ENTRIES {
        return;
    }
    for within in (0..BLOCK_ENTRIES).filter(|within| *within < first || *within >= end) {
        let (word, bit) = place(within);
        if let Some(word) = found.get_mut(word) {
            *word &= !bit;
        }
    }
}

fn visit_block<E>(
    begin: u64,
    found: Bitmap,
    order: Order,
    visit: &mut impl FnMut(u64) -> Result<bool, E>,
) -> Result<bool, E> {
    for step in 0..BLOCK_ENTRIES {
        let within = match order {
            Order::Oldest => step,
            Order::Newest => BLOCK_ENTRIES - 1 - step,
        };
        let (word, bit) = place(within);
        if found.get(word).is_some_and(|word| word & bit != 0) && !visit(begin + within)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bitmap of a token among a block's postings.
fn posting(bytes: &[u8], token: u64) -> Bitmap {
    let entries = bytes.as_chunks::<POSTING_BYTES>().0;
    // Zeros that a forgetting left behind lie at the end.
    let used = entries.partition_point(|entry| decode_posting(entry).1 != [0; 4]);
    let entries = entries.get(..used).unwrap_or(entries);
    entries
        .binary_search_by_key(&token, |entry| number(entry, 0))
        .ok()
        .and_then(|at| entries.get(at))
        .map(|entry| decode_posting(entry).1)
        .unwrap_or_default()
}

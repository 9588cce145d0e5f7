//! Where to look: for each 256 entries their bounds of time and a bloom filter of what they name.
//!
//! Derived from the segments and disposable. A query reads blocks (288 bytes each) and gives those
//! that may hold what is asked.

/// Entries in one block.
pub const BLOCK_ENTRIES: u64 = 256;
/// Words of the bloom filter of one block: 8192 bits.
const BLOOM_WORDS: usize = 128;

/// What is indexed of one entry.
#[derive(Clone, Debug)]
pub struct Indexed<'a> {
    /// Received time in microseconds.
    pub received: i64,
    /// Time said in microseconds.
    pub said: Option<i64>,
    /// Hashes of source, actors and scope.
    pub tokens: &'a [u64],
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
}

#[derive(Clone, Debug)]
struct Block {
    first: i64,
    last: i64,
    bloom: Box<[u64; BLOOM_WORDS]>,
}

/// The blocks of a ledger, in order.
#[derive(Clone, Debug, Default)]
pub struct BlockIndex {
    blocks: Vec<Block>,
    entries: u64,
}

impl BlockIndex {
    /// Adds the next entry.
    pub fn push(&mut self, entry: &Indexed<'_>) {
        if self.entries.is_multiple_of(BLOCK_ENTRIES) {
            self.blocks.push(Block {
                first: i64::MAX,
                last: i64::MIN,
                bloom: Box::new([0; BLOOM_WORDS]),
            });
        }
        self.entries += 1;
        let Some(block) = self.blocks.last_mut() else {
            return;
        };
        let time = entry.said.unwrap_or(entry.received);
        block.first = block.first.min(time);
        block.last = block.last.max(time);
        for token in entry.tokens {
            for (word, bit) in bits(*token) {
                if let Some(word) = block.bloom.get_mut(word) {
                    *word |= 1 << bit;
                }
            }
        }
    }

    /// The first entries of blocks that may hold what is asked, in order.
    pub fn candidates<'a>(&'a self, query: &'a IndexQuery) -> impl Iterator<Item = u64> + 'a {
        self.blocks
            .iter()
            .zip((0..).step_by(256))
            .filter(move |(block, _)| {
                query.from.is_none_or(|from| block.last >= from)
                    && query.to.is_none_or(|to| block.first <= to)
                    && query.tokens.iter().all(|token| {
                        bits(*token).all(|(word, bit)| {
                            block
                                .bloom
                                .get(word)
                                .is_some_and(|word| word >> bit & 1 == 1)
                        })
                    })
            })
            .map(|(_, first)| first)
    }
}

/// Four places in the filter, from four parts of the hash spread once more.
fn bits(token: u64) -> impl Iterator<Item = (usize, u64)> {
    let spread = token.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..4).map(move |part| {
        let bit = spread >> (part * 16) & 0x1fff;
        (usize::try_from(bit / 64).unwrap_or(0), bit % 64)
    })
}

#[cfg(test)]
mod tests {
    use super::{BlockIndex, IndexQuery, Indexed};

    #[test]
    fn finds_the_block_of_a_token_and_of_a_time() {
        let mut index = BlockIndex::default();
        for number in 0..2000_i64 {
            let tokens = if number == 1500 { vec![77] } else { vec![5] };
            index.push(&Indexed {
                received: 0,
                said: Some(number),
                tokens: &tokens,
            });
        }
        let of = |query: IndexQuery| index.candidates(&query).collect::<Vec<_>>();
        assert_eq!(
            of(IndexQuery {
                tokens: vec![77],
                ..IndexQuery::default()
            }),
            [1280]
        );
        assert_eq!(
            of(IndexQuery {
                from: Some(600),
                to: Some(700),
                ..IndexQuery::default()
            }),
            [512]
        );
    }
}

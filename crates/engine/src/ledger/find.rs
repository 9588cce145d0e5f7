//! Finding entries by time, number, source, actor and scope.

use model::{Sequence, SourceId, Timestamp};
use stores::{BLOCK_ENTRIES, IndexQuery, Order};

use super::{Ledger, LedgerError};

/// What is looked for in a ledger.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Earliest time, said or else received.
    pub from: Option<Timestamp>,
    /// Latest time.
    pub to: Option<Timestamp>,
    /// Source.
    pub source: Option<SourceId>,
    /// Hashes of actors and scopes ([`crate::intake::TokenKey::token`]) that must all be there.
    pub tokens: Vec<u64>,
    /// Groups of such hashes, of each of which one must be there.
    pub any: Vec<Vec<u64>>,
    /// First entry.
    pub first: u64,
    /// The entry after the last one; `None` is the end.
    pub end: Option<u64>,
}

/// What a search found in a part of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Entries in the order asked for, each with its time, said or else received.
    pub entries: Vec<(Sequence, Timestamp)>,
    /// Where to go on: the end (newest first) or the first entry (oldest first) of what wasn't looked through.
    /// `None` when all was.
    pub next: Option<u64>,
}

impl Ledger {
    /// Finds entries, in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when entries can't be read.
    pub fn find(&self, query: &Query, limit: usize) -> Result<Vec<Sequence>, LedgerError> {
        let found = self.find_in(query, Order::Oldest, limit, u64::MAX)?;
        Ok(found.entries.iter().map(|(number, _)| *number).collect())
    }

    /// Finds entries in an order, at most `limit`, in the index of `blocks_max` times 256 entries at most.
    ///
    /// # Errors
    ///
    /// As [`Self::find`].
    pub fn find_in(
        &self,
        query: &Query,
        order: Order,
        limit: usize,
        blocks_max: u64,
    ) -> Result<Found, LedgerError> {
        let mut tokens = query.tokens.clone();
        tokens.extend(query.source.as_ref().map(source_token));
        let index = IndexQuery {
            from: query.from.map(|time| time.0),
            to: query.to.map(|time| time.0),
            tokens,
            any: query.any.clone(),
            first: query.first,
            end: query.end,
        };
        let mut found = Found::default();
        let left = self.index.search_in(&index, order, blocks_max, |number| {
            let header = self.header(Sequence(number))?;
            let time = header.said.unwrap_or(header.received);
            let fits =
                query.from.is_none_or(|from| time >= from) && query.to.is_none_or(|to| time <= to);
            if fits && found.entries.len() == limit {
                found.next = Some(match order {
                    Order::Oldest => number,
                    Order::Newest => number + 1,
                });
                return Ok::<_, LedgerError>(false);
            }
            if fits {
                found.entries.push((Sequence(number), time));
            }
            Ok(true)
        })?;
        if let Some(block) = left {
            found.next = Some(match order {
                Order::Oldest => block * BLOCK_ENTRIES,
                Order::Newest => (block + 1) * BLOCK_ENTRIES,
            });
        }
        Ok(found)
    }
}

/// How often each of several tokens was named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Of each token, in their order, the times of the entries that name it, said or else received.
    pub times: Vec<Vec<Timestamp>>,
    /// When the first entry was received before which nothing was looked through; `None` when all was.
    pub since: Option<Timestamp>,
}

impl Ledger {
    /// Counts, the newest first, which entries name which token: at most `limit` in all, in the index of `blocks_max` times
    /// 256 entries at most.
    ///
    /// # Errors
    ///
    /// As [`Self::find`].
    pub fn tally(
        &self,
        query: &Query,
        tokens: &[u64],
        limit: usize,
        blocks_max: u64,
    ) -> Result<Tallied, LedgerError> {
        let index = IndexQuery {
            from: query.from.map(|time| time.0),
            any: query.any.clone(),
            ..IndexQuery::default()
        };
        let mut times = vec![Vec::new(); tokens.len()];
        let mut count = 0;
        let left = self
            .index
            .each_in(&index, tokens, blocks_max, |number, at| {
                if count == limit {
                    return Ok::<_, LedgerError>(false);
                }
                let header = self.header(Sequence(number))?;
                let time = header.said.unwrap_or(header.received);
                if query.from.is_none_or(|from| time >= from)
                    && let Some(times) = times.get_mut(at)
                {
                    times.push(time);
                    count += 1;
                }
                Ok(true)
            })?;
        let since = match left {
            None => None,
            Some(block) => {
                let first = ((block + 1) * BLOCK_ENTRIES).min(self.len().saturating_sub(1));
                Some(self.header(Sequence(first))?.received)
            }
        };
        Ok(Tallied { times, since })
    }
}

/// Hash under which a source's entries are found.
pub(super) fn source_token(source: &SourceId) -> u64 {
    source.0.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

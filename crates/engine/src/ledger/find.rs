//! Finding entries by time, source, actor and scope.

use model::{Sequence, SourceId, Timestamp};
use stores::IndexQuery;

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
}

impl Ledger {
    /// Finds entries, in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when entries can't be read.
    pub fn find(&self, query: &Query, limit: usize) -> Result<Vec<Sequence>, LedgerError> {
        let mut tokens = query.tokens.clone();
        tokens.extend(query.source.as_ref().map(source_token));
        let by_time = query.from.is_some() || query.to.is_some();
        let index = IndexQuery {
            from: query.from.map(|time| time.0),
            to: query.to.map(|time| time.0),
            tokens,
        };
        let mut found = Vec::new();
        self.index.search(&index, |number| {
            let sequence = Sequence(number);
            let fits = if by_time {
                let header = self.header(sequence)?;
                let time = header.said.unwrap_or(header.received);
                query.from.is_none_or(|from| time >= from) && query.to.is_none_or(|to| time <= to)
            } else {
                true
            };
            if fits && found.len() < limit {
                found.push(sequence);
            }
            Ok::<_, LedgerError>(found.len() < limit)
        })?;
        Ok(found)
    }
}

/// Hash under which a source's entries are found.
pub(super) fn source_token(source: &SourceId) -> u64 {
    source.0.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

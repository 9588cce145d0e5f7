//! Where another system's findings enter: may whoever sends them, how many, do they fit; then the outbox, and the wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;

use model::{Finding, Person, Principal, Right, Timestamp};
use stores::{OutboxRow, Outcome, StoreError};

use super::{Claim, vet};
use crate::decider::{Decider, SEAL_MAX, sealed};
use crate::hide::hide;
use crate::sealed::{Decided, VERSION};
use crate::trail::new_id;

/// Findings that may be told at once.
pub const CLAIMS_MAX: usize = 100;
/// Findings that one token, or person, may tell within a minute.
pub const PER_MINUTE: usize = 600;
/// Of which it is remembered; whoever told nothing within the minute is forgotten.
const SECONDS: i64 = 60;

/// Why findings aren't taken: none of them is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// None, or too many at once.
    #[error("tell 1 to {CLAIMS_MAX} findings at once")]
    Count,
    /// Too many within a minute.
    #[error("more than {PER_MINUTE} findings within a minute: try again in {seconds} seconds")]
    Often {
        /// When the next ones are taken.
        seconds: i64,
    },
    /// One doesn't fit.
    #[error("finding {at}: {why}")]
    Unfit {
        /// Which one, from zero.
        at: usize,
        /// What doesn't, and how it would.
        why: String,
    },
    /// Whoever tells may not, at that place.
    #[error(
        "finding {at}: your roles don't let you tell of that place; ask an administrator for one that lets you work on incidents there"
    )]
    NotAllowed {
        /// Which one, from zero.
        at: usize,
    },
    /// Its id was told of another place.
    #[error(
        "finding {at}: this id of the system was told of another place, and a finding stays where it is"
    )]
    Elsewhere {
        /// Which one, from zero.
        at: usize,
    },
    /// The database is away: nothing was written.
    #[error("nothing was recorded, since the database can't be used; try again in a minute")]
    Away {
        /// What it said.
        source: StoreError,
    },
    /// It can't be written as JSON, which the types rule out.
    #[error("the finding can't be written")]
    Encode {
        /// What serde said.
        source: serde_json::Error,
    },
}

/// A finding that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its id here.
    pub finding: String,
    /// What became of it; `None` while it is recorded and not sealed.
    pub outcome: Option<Outcome>,
}

impl Decider {
    /// Takes findings of another system, all or none; tells of each, in their order, the entry that tells it. What is
    /// known as it is told is not sealed again.
    ///
    /// # Errors
    ///
    /// [`TellError`], each with what to do.
    pub async fn tell(
        &self,
        by: &Principal,
        claims: Vec<Claim>,
        now: Timestamp,
    ) -> Result<Vec<Heard>, TellError> {
        let inner = self.inner();
        if claims.is_empty() || claims.len() > CLAIMS_MAX {
            return Err(TellError::Count);
        }
        inner
            .quota
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(format!("{}\n{}", by.account, by.shown), claims.len(), now)
            .map_err(|seconds| TellError::Often { seconds })?;
        let mut rows = Vec::with_capacity(claims.len());
        let mut heard = Vec::with_capacity(claims.len());
        for (at, claim) in claims.into_iter().enumerate() {
            let finding =
                vet(claim, &inner.hash_key, now).map_err(|why| TellError::Unfit { at, why })?;
            self.may_tell(by, &finding, at)?;
            heard.push(finding.id.clone());
            rows.push(row(by, finding, now, at)?);
        }
        // From before they are put: news in between wake the wait below.
        let version = inner.desk.version();
        inner
            .outbox
            .put_all(&rows)
            .await
            .map_err(|source| TellError::Away { source })?;
        inner.waker.wake();
        let mut outcomes = BTreeMap::new();
        let wait = async {
            for row in &rows {
                let outcome = sealed(&inner.desk, version.clone(), &row.id, None).await;
                outcomes.insert(row.id.clone(), outcome);
            }
        };
        // Together they wait no longer than one.
        let _is_over = tokio::time::timeout(SEAL_MAX, wait).await;
        let heard = heard.into_iter().zip(&rows);
        Ok(heard
            .map(|(finding, row)| Heard {
                finding,
                outcome: outcomes.remove(&row.id).flatten(),
            })
            .collect())
    }

    fn may_tell(&self, by: &Principal, finding: &Finding, at: usize) -> Result<(), TellError> {
        let inner = self.inner();
        if !by.may(
            Right::Work,
            std::slice::from_ref(&finding.scope),
            &inner.stores,
        ) {
            return Err(TellError::NotAllowed { at });
        }
        match inner.desk.finding(&finding.id) {
            Some(known) if known.scope != finding.scope => Err(TellError::Elsewhere { at }),
            _ => Ok(()),
        }
    }
}

fn row(
    by: &Principal,
    finding: Finding,
    now: Timestamp,
    at: usize,
) -> Result<OutboxRow, TellError> {
    let mut by = Person {
        account: by.account.clone(),
        name: by.shown.clone(),
    };
    hide(&mut by.name);
    let id = new_id();
    let decided = Decided::External {
        v: VERSION,
        id: id.clone(),
        by,
        at: now,
        finding: Box::new(finding),
    };
    let body = serde_json::to_string(&decided).map_err(|source| TellError::Encode { source })?;
    // The outbox is in order of this: told twice at once, the later one counts.
    let written = now.0.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
    Ok(OutboxRow { id, written, body })
}

/// How many findings each caller told within the minute.
#[derive(Debug, Default)]
pub(crate) struct Quota(BTreeMap<String, VecDeque<(Timestamp, usize)>>);

impl Quota {
    /// Notes that somebody tells so many, at most [`CLAIMS_MAX`]; or gives the seconds until they may.
    pub(crate) fn take(&mut self, who: String, count: usize, now: Timestamp) -> Result<(), i64> {
        // A clock set back forgets, and locks nobody out.
        self.0.retain(|_, told| {
            told.retain(|(at, _)| (0..SECONDS).contains(&now.seconds_since(*at)));
            !told.is_empty()
        });
        let told = self.0.entry(who).or_default();
        let mut all: usize = told.iter().map(|(_, count)| count).sum();
        if all + count <= PER_MINUTE {
            told.push_back((now, count));
            return Ok(());
        }
        for (at, gone) in told.iter() {
            all -= gone;
            if all + count <= PER_MINUTE {
                return Err((SECONDS - now.seconds_since(*at)).max(1));
            }
        }
        Err(SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::{PER_MINUTE, Quota};
    use model::Timestamp;

    #[test]
    fn within_a_minute_only_so_many_are_taken_of_each() {
        let mut quota = Quota::default();
        let mut take =
            |who: &str, count, at| quota.take(who.to_owned(), count, Timestamp::from_seconds(at));
        for second in 0..i64::try_from(PER_MINUTE / 100).expect("small") {
            assert_eq!(take("a", 100, second), Ok(()));
        }
        assert_eq!(take("a", 1, 20), Err(40));
        // The first two hundred have to be over.
        assert_eq!(take("a", 101, 20), Err(41));
        assert_eq!(take("b", 100, 20), Ok(()));
        assert_eq!(take("a", 100, 59), Err(1));
        assert_eq!(take("a", 100, 60), Ok(()));
        assert_eq!(take("a", 1, 60), Err(1));
        assert_eq!(take("a", 100, -500), Ok(()), "the clock was set back");
    }
}

//! What is new at the incidents somebody watches or leads, since they looked last.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use model::{Incident, Taken, Timestamp};
use stores::{Looked, Looks};
use tokio::time::timeout;

use crate::desk::{Sight, Work};

/// Longest wait for the database: without it the page is there, too.
const DATABASE_MAX: Duration = Duration::from_secs(1);

/// Something that changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The incident.
    pub work: Work,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: News,
}

/// What changed.
#[derive(Clone, Debug)]
pub enum News {
    /// Somebody else decided something.
    Decided(Box<Taken>),
    /// So many findings more.
    Found(u64),
}

/// Knows who looked at what. Clones share it.
#[derive(Clone)]
pub struct Watching(Looks);

impl Watching {
    /// Keeps looks there.
    #[must_use]
    pub fn new(looks: Looks) -> Self {
        Self(looks)
    }

    /// Notes that somebody looks at an incident, if they watch or lead it. What can't be noted is told once more.
    pub async fn look(&self, sight: &Sight, work: &Work<Incident>) {
        let account = &sight.principal().account;
        if !work.handling.is_followed_by(account) {
            return;
        }
        let looked = Looked {
            decisions: work.handling.version(),
            findings: work.incident.findings.len() as u64,
        };
        let look = self.0.look(account, &work.incident.id, looked);
        drop(timeout(DATABASE_MAX, look).await);
    }

    /// What is new for them, the newest first; `None` when that can't be told now.
    pub async fn news(&self, sight: &Sight) -> Option<Vec<Change>> {
        let followed = sight.followed();
        if followed.is_empty() {
            return Some(Vec::new());
        }
        let account = &sight.principal().account;
        let looked = timeout(DATABASE_MAX, self.0.of(account)).await;
        Some(news(&followed, account, &looked.ok()?.ok()?))
    }
}

fn news(followed: &[Work], account: &str, looked: &BTreeMap<String, Looked>) -> Vec<Change> {
    let mut all = Vec::new();
    for work in followed {
        let change = |at, what| Change {
            work: work.clone(),
            at,
            what,
        };
        let last = looked.get(&work.incident.id);
        let taken = &work.handling.taken;
        let own = taken
            .iter()
            .filter(|one| one.decision.by.account == *account);
        // Who decides has seen what they say they had.
        let seen = own.map(|one| one.decision.seen).max().unwrap_or(0);
        let seen = seen.max(last.map_or(0, |last| last.decisions));
        let others = taken
            .iter()
            .skip(usize::try_from(seen).unwrap_or(usize::MAX))
            .filter(|one| one.decision.by.account != *account);
        all.extend(others.map(|one| change(one.decision.at, News::Decided(Box::new(one.clone())))));
        let findings = work.incident.findings as u64;
        let more = last.map_or(0, |last| findings.saturating_sub(last.findings));
        if more > 0 {
            all.push(change(work.incident.last, News::Found(more)));
        }
    }
    all.sort_by_key(|change| Reverse(change.at));
    all
}

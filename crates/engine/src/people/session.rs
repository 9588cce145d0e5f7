//! Sessions: who a browser's token is, until when, and ending them.

use model::{AccessKind, Grant, Principal, Timestamp, Via};
use serde::{Deserialize, Serialize};
use stores::{AccountRow, SessionRow};

use crate::zone::Zone;

use super::{Act, IDLE_SECONDS, People, PeopleError, SESSION_SECONDS_MAX, grants, hash};

/// Factors of a session after the first step.
pub(super) const PENDING: &str = "password";
/// Factors of a session after all.
pub(super) const FULL: &str = "password totp";
pub(super) const PASSWORD_PASSKEY: &str = "password passkey";
pub(super) const PASSKEY: &str = "passkey";
/// A first step, and the factors of sessions it leads to.
pub(super) struct Way {
    /// Its name: of who somebody is there, of what is begun, and of a session where all factors were shown there.
    pub(super) name: &'static str,
    /// After the first step.
    pub(super) pending: &'static str,
    /// After a code, too.
    pub(super) totp: &'static str,
    /// After a passkey, too.
    pub(super) passkey: &'static str,
}

pub(super) const PASSWORD: Way = Way {
    name: "password",
    pending: PENDING,
    totp: FULL,
    passkey: PASSWORD_PASSKEY,
};
pub(super) const OIDC: Way = Way {
    name: "oidc",
    pending: "oidc pending",
    totp: "oidc totp",
    passkey: "oidc passkey",
};
pub(super) const SAML: Way = Way {
    name: "saml",
    pending: "saml pending",
    totp: "saml totp",
    passkey: "saml passkey",
};

impl Way {
    /// The way a session waits for its second factor; none for one that doesn't.
    pub(super) fn of_pending(factors: &str) -> Option<&'static Self> {
        [&PASSWORD, &OIDC, &SAML]
            .into_iter()
            .find(|way| way.pending == factors)
    }
}

/// Every one that opens anything: what isn't here opens nothing.
const ALL_FULL: [&str; 9] = [
    FULL,
    OIDC.name,
    OIDC.totp,
    OIDC.passkey,
    SAML.name,
    SAML.totp,
    SAML.passkey,
    PASSWORD_PASSKEY,
    PASSKEY,
];
/// Seconds between two writes that somebody is there. Idleness is told that much early, never late.
const SEEN_SECONDS: i64 = 60;

/// A person who is logged in.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who, and what they may do now.
    pub principal: Principal,
    /// What forms of this session must send.
    pub csrf: String,
    /// In which they are told times, where they chose one.
    pub zone: Option<Zone>,
}

/// One of somebody's own sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// When it began.
    pub created: Timestamp,
    /// When it was last used.
    pub seen: Timestamp,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// A further role a session holds for a while.
#[derive(Serialize, Deserialize)]
pub(super) struct Raised {
    pub(super) grant: Grant,
    pub(super) reason: String,
}

impl People {
    /// Who a browser's token is; nobody when the session ended, or has a step to go. `is_activity` says whether a person
    /// does something now: a page that renews itself keeps nobody logged in.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`], [`PeopleError::Unreadable`].
    pub async fn session(
        &self,
        token: &str,
        is_activity: bool,
        now: Timestamp,
    ) -> Result<Option<Session>, PeopleError> {
        let Some(row) = self.store().session(&hash(token)).await? else {
            return Ok(None);
        };
        if !is_live(&row, now) {
            drop(self.store().end_session(&row.hash).await);
            return Ok(None);
        }
        if !ALL_FULL.contains(&row.factors.as_str()) {
            return Ok(None);
        }
        let account = self.store().account(&row.account).await?;
        let Some(account) = account.filter(|account| account.state == "active") else {
            return Ok(None);
        };
        if is_activity && now.seconds_since(Timestamp(row.seen)) >= SEEN_SECONDS {
            // A disk that is full keeps nobody out who is in; they idle until it isn't.
            drop(self.store().used_session(&row.hash, now.0).await);
            drop(self.store().used_account(&account.id, now.0, false).await);
        }
        Ok(Some(Session {
            principal: principal(&account, &row, now)?,
            csrf: row.csrf,
            // One that this version's database doesn't have any more is none.
            zone: Zone::named(&account.zone).ok(),
        }))
    }

    /// Ends the session of a token.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn log_out(&self, token: &str, act: Act<'_>) -> Result<(), PeopleError> {
        if self.store().end_session(&hash(token)).await? {
            self.tell(act, AccessKind::LoggedOut, &act.by.name);
        }
        Ok(())
    }

    /// Ends all of somebody's own sessions but the one of a token.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn log_out_elsewhere(&self, token: &str, act: Act<'_>) -> Result<(), PeopleError> {
        let ended = self
            .store()
            .end_sessions(&act.by.account, &hash(token))
            .await?;
        if ended > 0 {
            self.tell(act, AccessKind::LoggedOutEverywhere, &act.by.name);
        }
        Ok(())
    }

    /// Somebody's own sessions, the newest first.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn sessions(
        &self,
        by: &Principal,
        token: &str,
        now: Timestamp,
    ) -> Result<Vec<SessionView>, PeopleError> {
        self.sessions_of(&by.account, &hash(token), now).await
    }

    /// An account's sessions, the newest first; `this` is the hash of the one that asks.
    pub(super) async fn sessions_of(
        &self,
        account: &str,
        this: &str,
        now: Timestamp,
    ) -> Result<Vec<SessionView>, PeopleError> {
        let rows = self.store().sessions_of(account).await?;
        let live = rows
            .into_iter()
            .filter(|row| ALL_FULL.contains(&row.factors.as_str()) && is_live(row, now));
        let view = |row: SessionRow| SessionView {
            created: Timestamp(row.created),
            seen: Timestamp(row.seen),
            is_this: row.hash == this,
        };
        Ok(live.map(view).collect())
    }
}

/// Whether a session was used of late, and didn't begin too long ago.
fn is_live(row: &SessionRow, now: Timestamp) -> bool {
    now.seconds_since(Timestamp(row.seen)) < IDLE_SECONDS
        && now.seconds_since(Timestamp(row.created)) < SESSION_SECONDS_MAX
}

fn principal(
    account: &AccountRow,
    row: &SessionRow,
    now: Timestamp,
) -> Result<Principal, PeopleError> {
    let mut grants = grants(&account.grants)?;
    let until = Timestamp(row.raised_until);
    let mut via = Via::Session;
    if !row.raised.is_empty() && until > now {
        let raised: Raised = serde_json::from_str(&row.raised)?;
        // What was granted since decides whether the two may still be one person.
        grants.push(raised.grant);
        if Grant::check(&grants).is_ok() {
            via = Via::BreakGlass { until };
        } else {
            grants.pop();
        }
    }
    Ok(Principal {
        account: account.id.clone(),
        name: account.name.clone(),
        shown: account.shown.clone(),
        grants,
        via,
    })
}

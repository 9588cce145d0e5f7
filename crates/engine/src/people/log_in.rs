//! Logging in: name and password, then a code. Locks, and tells every attempt.
//!
//! Invariant: an attempt is counted before it is looked at, so that no number of them at once gets by. A name that isn't
//! there, a wrong password and a locked account have one answer, after one hash and about the same time.

use std::time::Duration;

use model::{AccessKind, Timestamp};
use stores::{AccountRow, IdentityRow, SessionRow};
use tokio::time::{Instant, sleep_until};

use super::session::{PENDING, Way};
use super::{
    FAILURES_MAX, LOCK_SECONDS, People, PeopleError, STEP_SECONDS_MAX, UNUSED_DAYS_MAX, fold, hash,
    secret, totp,
};

/// How soon a refusal comes at the earliest: a hash and two writes take less.
const REFUSAL: Duration = Duration::from_millis(150);
/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// A session that begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Fresh {
    /// What the browser keeps; stored as its hash.
    pub token: String,
}

/// What came of counting an attempt.
enum Attempt {
    /// It may be looked at.
    Counted(i64),
    /// The account is locked, or there are too many at once.
    Locked,
}

impl People {
    /// The first step: name and password. Gives what the second step needs; it opens nothing yet.
    ///
    /// # Errors
    ///
    /// [`PeopleError::LogIn`] whatever isn't right; [`PeopleError::Busy`].
    pub async fn log_in(
        &self,
        name: &str,
        password: &str,
        from: &str,
        now: Timestamp,
    ) -> Result<Fresh, PeopleError> {
        let answer = Instant::now() + REFUSAL;
        let done = self.first_step(name, password, from, now).await;
        if matches!(done, Err(PeopleError::LogIn)) {
            // A name somebody has is written to, which a disk takes its time for; others aren't.
            sleep_until(answer).await;
        }
        done
    }

    async fn first_step(
        &self,
        name: &str,
        password: &str,
        from: &str,
        now: Timestamp,
    ) -> Result<Fresh, PeopleError> {
        let account = match fold(name) {
            Ok(name) => self.store().account_named(&name).await?,
            Err(_) => None,
        };
        let mut hashes = Vec::new();
        let mut counted = None;
        if let Some(account) = &account
            && account.state == "active"
            && let Attempt::Counted(failures) = self.begin(account, from, now).await?
        {
            let identity = self.store().identity("password", &account.id).await?;
            hashes.extend(secret_of(identity));
            counted = Some(failures);
        }
        let fits = self.0.hashing.is_any(password, hashes).await?;
        let Some(account) = account else {
            // What was typed may be a password: it isn't told.
            self.tell_own(now, from, AccessKind::LogInFailed, "");
            return Err(PeopleError::LogIn);
        };
        // Locked, disabled, or not here yet.
        let Some(failures) = counted else {
            self.tell_own(now, from, AccessKind::LogInFailed, &account.name);
            return Err(PeopleError::LogIn);
        };
        if !fits {
            self.failed(&account, failures, from, now).await?;
            return Err(PeopleError::LogIn);
        }
        self.store().uncount_attempt(&account.id).await?;
        let unused = Timestamp(account.last_seen).plus_seconds(UNUSED_DAYS_MAX * DAY);
        if unused < now {
            self.disable_unused(&account, now).await?;
            return Err(PeopleError::LogIn);
        }
        let token = secret()?;
        let row = session_row(&token, &account.id, PENDING, now)?;
        self.store().begin_session(&row, None).await?;
        Ok(Fresh { token })
    }

    /// The second step: a code. Gives a new session in place of the first step's.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Late`], [`PeopleError::Code`]; [`PeopleError::LogIn`] once the account is locked.
    pub async fn confirm(
        &self,
        pending: &str,
        code: &str,
        from: &str,
        now: Timestamp,
    ) -> Result<Fresh, PeopleError> {
        let (old, row, account) = self.pending(pending, now).await?;
        match self.prove(&account, code, from, now).await {
            Ok(()) => {}
            Err(PeopleError::LogIn) => {
                // The first step is done again after a lock.
                self.store().end_session(&old).await?;
                return Err(PeopleError::LogIn);
            }
            Err(error) => return Err(error),
        }
        let way = Way::of_pending(&row.factors).ok_or(PeopleError::Late)?;
        let token = self
            .begin_full(&account, way.totp, Some(&old), from, now)
            .await?;
        Ok(Fresh { token })
    }

    /// The first step's session by its hash, and whose it is.
    pub(super) async fn pending(
        &self,
        pending: &str,
        now: Timestamp,
    ) -> Result<(String, SessionRow, AccountRow), PeopleError> {
        let old = hash(pending);
        let row = self.store().session(&old).await?;
        let fits = |row: &SessionRow| {
            Way::of_pending(&row.factors).is_some()
                && Timestamp(row.created).plus_seconds(STEP_SECONDS_MAX) > now
        };
        let Some(row) = row.filter(fits) else {
            return Err(PeopleError::Late);
        };
        let account = self.store().account(&row.account).await?;
        let account = account.filter(|account| account.state == "active");
        Ok((old, row, account.ok_or(PeopleError::Late)?))
    }

    /// Begins a session of somebody who showed everything, in place of the first step's where there was one.
    pub(super) async fn begin_full(
        &self,
        account: &AccountRow,
        factors: &str,
        instead: Option<&str>,
        from: &str,
        now: Timestamp,
    ) -> Result<String, PeopleError> {
        self.store().used_account(&account.id, now.0, true).await?;
        let token = secret()?;
        let row = session_row(&token, &account.id, factors, now)?;
        self.store().begin_session(&row, instead).await?;
        let factors = factors.to_owned();
        self.tell_own(now, from, AccessKind::LoggedIn { factors }, &account.name);
        Ok(token)
    }

    /// Takes a code of an account, once; a wrong one counts as a failure to log in, a right one takes its count back.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Code`]; [`PeopleError::LogIn`] when the account is locked, or was by this.
    pub(super) async fn prove(
        &self,
        account: &AccountRow,
        code: &str,
        from: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let Attempt::Counted(failures) = self.begin(account, from, now).await? else {
            self.tell_own(now, from, AccessKind::LogInFailed, &account.name);
            return Err(PeopleError::LogIn);
        };
        let step = match self.store().identity("totp", &account.id).await? {
            Some(identity) => {
                let opened = totp::open(&self.0.key, &account.id, &identity.secret)?;
                totp::step_of(&opened, code, now)
            }
            None => None,
        };
        if let Some(step) = step
            && self.store().use_step(&account.id, step).await?
        {
            self.store().uncount_attempt(&account.id).await?;
            return Ok(());
        }
        if self.failed(account, failures, from, now).await? {
            return Err(PeopleError::LogIn);
        }
        Err(PeopleError::Code)
    }

    /// Takes an account's password again; a wrong one counts as a failure to log in.
    ///
    /// # Errors
    ///
    /// [`PeopleError::LogIn`].
    pub(super) async fn prove_password(
        &self,
        account: &AccountRow,
        password: &str,
        from: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let Attempt::Counted(failures) = self.begin(account, from, now).await? else {
            self.tell_own(now, from, AccessKind::LogInFailed, &account.name);
            return Err(PeopleError::LogIn);
        };
        let identity = self.store().identity("password", &account.id).await?;
        let hashes = secret_of(identity).into_iter().collect();
        if self.0.hashing.is_any(password, hashes).await? {
            self.store().uncount_attempt(&account.id).await?;
            return Ok(());
        }
        self.failed(account, failures, from, now).await?;
        Err(PeopleError::LogIn)
    }

    async fn begin(
        &self,
        account: &AccountRow,
        from: &str,
        now: Timestamp,
    ) -> Result<Attempt, PeopleError> {
        Ok(
            match self.store().begin_attempt(&account.id, now.0).await? {
                Some(failures) if failures <= FAILURES_MAX => Attempt::Counted(failures),
                // Others are still being looked at, or nobody came to tell how they ended.
                Some(_) => {
                    self.lock(account, from, now).await?;
                    Attempt::Locked
                }
                None => Attempt::Locked,
            },
        )
    }

    /// Tells a failure, and locks after the last one; whether it did.
    async fn failed(
        &self,
        account: &AccountRow,
        failures: i64,
        from: &str,
        now: Timestamp,
    ) -> Result<bool, PeopleError> {
        self.tell_own(now, from, AccessKind::LogInFailed, &account.name);
        let locks = failures >= FAILURES_MAX;
        if locks {
            self.lock(account, from, now).await?;
        }
        Ok(locks)
    }

    async fn lock(
        &self,
        account: &AccountRow,
        from: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let until = now.plus_seconds(LOCK_SECONDS);
        if self.store().lock(&account.id, until.0).await? {
            self.tell_own(now, from, AccessKind::Locked { until }, &account.name);
        }
        Ok(())
    }

    /// Disables an account nobody used for too long.
    pub(super) async fn disable_unused(
        &self,
        account: &AccountRow,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        if self.store().disable(&account.id).await? {
            self.tell_own(now, "", AccessKind::DisabledUnused, &account.name);
        }
        Ok(())
    }
}

/// A password's hash; none where it opens nothing any more.
pub(super) fn secret_of(identity: Option<IdentityRow>) -> Option<String> {
    let secret = identity.map(|identity| identity.secret);
    secret.filter(|secret| !secret.is_empty())
}

/// A session of an account that begins now.
pub(super) fn session_row(
    token: &str,
    account: &str,
    factors: &str,
    now: Timestamp,
) -> Result<SessionRow, PeopleError> {
    Ok(SessionRow {
        hash: hash(token),
        account: account.to_owned(),
        factors: factors.to_owned(),
        csrf: secret()?,
        created: now.0,
        seen: now.0,
        raised: String::new(),
        raised_until: 0,
    })
}

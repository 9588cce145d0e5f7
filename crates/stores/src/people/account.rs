//! Accounts and what shows that somebody is an account's person.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{PeopleStore, PeopleStoreError, all};

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub id: String,
    /// Its name, folded: no two differ by case alone.
    pub name: String,
    /// The name that pages show.
    pub shown: String,
    /// `invited`, `active` or `disabled`.
    pub state: String,
    /// Its grants, as JSON.
    pub grants: String,
    /// When it was made, in microseconds.
    pub created: i64,
    /// When it was last used, in microseconds; when it was made until then.
    pub last_seen: i64,
    /// Failures to log in since the last success, those in the middle of it counted.
    pub failures: i64,
    /// Until when it is locked, in microseconds; zero when it isn't.
    pub locked_until: i64,
    /// The zone in which its person is told times; empty where none was chosen.
    pub zone: String,
}

/// What shows that somebody is an account's person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// `password`, `totp`, `directory`, `mail`, `oidc` or `saml`.
    pub kind: String,
    /// Whose, in the kind's own terms: the provider's for `oidc` and `saml`, the account's id for the others.
    pub subject: String,
    /// The account.
    pub account: String,
    /// A password's hash (PHC), a second factor's sealed secret, what a directory says as JSON, an address of mail.
    pub secret: String,
    /// Earlier ones, as JSON.
    pub previous: String,
    /// Last step of time that was used; -1 when none was.
    pub used: i64,
    /// Since when, in microseconds.
    pub changed: i64,
}

fn read_account(row: &AnyRow) -> Result<AccountRow, sqlx::Error> {
    Ok(AccountRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        shown: row.try_get("shown")?,
        state: row.try_get("state")?,
        grants: row.try_get("grants")?,
        created: row.try_get("created")?,
        last_seen: row.try_get("last_seen")?,
        failures: row.try_get("failures")?,
        locked_until: row.try_get("locked_until")?,
        zone: row.try_get("zone")?,
    })
}

fn read_identity(row: &AnyRow) -> Result<IdentityRow, sqlx::Error> {
    Ok(IdentityRow {
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        account: row.try_get("account")?,
        secret: row.try_get("secret")?,
        previous: row.try_get("previous")?,
        used: row.try_get("used")?,
        changed: row.try_get("changed")?,
    })
}

/// Writes an account that isn't there; false when one of that name is.
pub(super) async fn insert(
    row: &AccountRow,
    connection: &mut AnyConnection,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO account (id, name, shown, state, grants, created, last_seen, failures, locked_until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING",
    )
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.shown)
    .bind(&row.state)
    .bind(&row.grants)
    .bind(row.created)
    .bind(row.last_seen)
    .bind(row.failures)
    .bind(row.locked_until)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes an identity, over one that is there.
pub(super) async fn put(
    row: &IdentityRow,
    connection: &mut AnyConnection,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO identity (kind, subject, account, secret, previous, used, changed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (kind, subject) DO UPDATE SET account = excluded.account, secret = excluded.secret, \
         previous = excluded.previous, used = excluded.used, changed = excluded.changed",
    )
    .bind(&row.kind)
    .bind(&row.subject)
    .bind(&row.account)
    .bind(&row.secret)
    .bind(&row.previous)
    .bind(row.used)
    .bind(row.changed)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes an account out of use, and away whatever anybody could come in by; its earlier passwords stay, so that none
/// comes back. False when it was out of use.
pub(super) async fn take_access(
    id: &str,
    connection: &mut AnyConnection,
) -> Result<bool, sqlx::Error> {
    let done =
        sqlx::query("UPDATE account SET state = 'disabled' WHERE id = $1 AND state <> 'disabled'")
            .bind(id)
            .execute(&mut *connection)
            .await?;
    for text in [
        "DELETE FROM session WHERE account = $1",
        "DELETE FROM api_token WHERE account = $1",
        "DELETE FROM invitation WHERE account = $1",
        "DELETE FROM passkey WHERE account = $1",
        "DELETE FROM ceremony WHERE account = $1",
        "DELETE FROM identity WHERE account = $1 AND kind IN ('totp', 'oidc', 'saml')",
    ] {
        sqlx::query(text).bind(id).execute(&mut *connection).await?;
    }
    Ok(done.rows_affected() == 1)
}

impl PeopleStore {
    /// Every account, by name.
    ///
    /// # Errors
    ///
    /// [`PeopleStoreError`] when it can't be read; so for every function here.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, PeopleStoreError> {
        let rows = sqlx::query("SELECT * FROM account ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        all(&rows, read_account)
    }

    /// One account.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn account(&self, id: &str) -> Result<Option<AccountRow>, PeopleStoreError> {
        let row = sqlx::query("SELECT * FROM account WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(read_account).transpose()?)
    }

    /// The account of a folded name.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn account_named(&self, name: &str) -> Result<Option<AccountRow>, PeopleStoreError> {
        let row = sqlx::query("SELECT * FROM account WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(read_account).transpose()?)
    }

    /// Writes an account that isn't there; false when one of that name is.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn add_account(&self, row: &AccountRow) -> Result<bool, PeopleStoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(insert(row, &mut connection).await?)
    }

    /// Changes what an account may do, as long as that is still `before`; false when it isn't.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn set_grants(
        &self,
        id: &str,
        before: &str,
        after: &str,
    ) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query("UPDATE account SET grants = $1 WHERE id = $2 AND grants = $3")
            .bind(after)
            .bind(id)
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps the zone in which an account's person is told times; empty for none.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn set_zone(&self, id: &str, zone: &str) -> Result<(), PeopleStoreError> {
        sqlx::query("UPDATE account SET zone = $1 WHERE id = $2")
            .bind(zone)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes an account out of use with its sessions, tokens, invitations, passkeys and second factor, in one; false when
    /// it already was.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn disable(&self, id: &str) -> Result<bool, PeopleStoreError> {
        let mut all = self.pool.begin().await?;
        let done = take_access(id, &mut all).await?;
        all.commit().await?;
        Ok(done)
    }

    /// Takes an account's password, second factor, passkeys, sessions and invitations away and lets it be invited again; its
    /// earlier passwords stay, so that none comes back.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn reset(&self, id: &str) -> Result<(), PeopleStoreError> {
        let mut all = self.pool.begin().await?;
        for text in [
            "UPDATE account SET state = 'invited', failures = 0, locked_until = 0 WHERE id = $1",
            "DELETE FROM identity WHERE account = $1 AND kind IN ('totp', 'oidc', 'saml')",
            "DELETE FROM passkey WHERE account = $1",
            "DELETE FROM ceremony WHERE account = $1",
            "DELETE FROM session WHERE account = $1",
            "DELETE FROM invitation WHERE account = $1",
        ] {
            sqlx::query(text).bind(id).execute(&mut *all).await?;
        }
        all.commit().await?;
        Ok(())
    }

    /// Counts an attempt to log in before it is looked at, so that no number of them at once gets by uncounted.
    /// Gives the failures with this one; nothing while the account is locked, or when there is none.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn begin_attempt(&self, id: &str, now: i64) -> Result<Option<i64>, PeopleStoreError> {
        let row = sqlx::query(
            "UPDATE account SET failures = CASE WHEN locked_until > 0 THEN 1 ELSE failures + 1 END, locked_until = 0 \
             WHERE id = $1 AND locked_until <= $2 RETURNING failures",
        )
        .bind(id)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Takes back one counted attempt: its factor was right, others are still to come.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn uncount_attempt(&self, id: &str) -> Result<(), PeopleStoreError> {
        sqlx::query("UPDATE account SET failures = failures - 1 WHERE id = $1 AND failures > 0")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Locks an account; false when it already was.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn lock(&self, id: &str, until: i64) -> Result<bool, PeopleStoreError> {
        let done =
            sqlx::query("UPDATE account SET locked_until = $1 WHERE id = $2 AND locked_until = 0")
                .bind(until)
                .bind(id)
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Lifts the lock of an account, and forgets its failures; false when it isn't locked.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn unlock(&self, id: &str, now: i64) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query(
            "UPDATE account SET failures = 0, locked_until = 0 WHERE id = $1 AND locked_until > $2",
        )
        .bind(id)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that an account was used, and with `forgive` that all its factors were right.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn used_account(
        &self,
        id: &str,
        now: i64,
        forgive: bool,
    ) -> Result<(), PeopleStoreError> {
        let text = if forgive {
            "UPDATE account SET last_seen = $1, failures = 0, locked_until = 0 WHERE id = $2"
        } else {
            "UPDATE account SET last_seen = $1 WHERE id = $2"
        };
        sqlx::query(text)
            .bind(now)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Active accounts that were used last before a time.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn unused_since(&self, before: i64) -> Result<Vec<AccountRow>, PeopleStoreError> {
        let rows = sqlx::query(
            "SELECT * FROM account WHERE state = 'active' AND last_seen < $1 ORDER BY name",
        )
        .bind(before)
        .fetch_all(&self.pool)
        .await?;
        all(&rows, read_account)
    }

    /// What of a kind shows that somebody is an account's person.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn identity(
        &self,
        kind: &str,
        subject: &str,
    ) -> Result<Option<IdentityRow>, PeopleStoreError> {
        let row = sqlx::query("SELECT * FROM identity WHERE kind = $1 AND subject = $2")
            .bind(kind)
            .bind(subject)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(read_identity).transpose()?)
    }

    /// Everything of a kind, by subject.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn identities(&self, kind: &str) -> Result<Vec<IdentityRow>, PeopleStoreError> {
        let rows = sqlx::query("SELECT * FROM identity WHERE kind = $1 ORDER BY subject")
            .bind(kind)
            .fetch_all(&self.pool)
            .await?;
        all(&rows, read_identity)
    }

    /// Writes an identity, over one that is there.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn put_identity(&self, row: &IdentityRow) -> Result<(), PeopleStoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(put(row, &mut connection).await?)
    }

    /// Uses a step of time: true once, and for later ones than the last only.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::accounts`].
    pub async fn use_step(&self, subject: &str, step: i64) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query(
            "UPDATE identity SET used = $1 WHERE kind = 'totp' AND subject = $2 AND used < $1",
        )
        .bind(step)
        .bind(subject)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

//! Sessions of people, and tokens of programs: both found by the hash of what is shown.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{PeopleStore, PeopleStoreError, all};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of its token, hexadecimal.
    pub hash: String,
    /// The account.
    pub account: String,
    /// What was shown so far: `password`, `oidc pending` or `saml pending` alone wait for the second factor.
    pub factors: String,
    /// What a form of this session must send.
    pub csrf: String,
    /// When it began, in microseconds.
    pub created: i64,
    /// When it was last used, in microseconds.
    pub seen: i64,
    /// A role that was taken for a while, as JSON with its reason; empty when none was.
    pub raised: String,
    /// Until when, in microseconds.
    pub raised_until: i64,
}

/// A token for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 of it, hexadecimal.
    pub hash: String,
    /// Its name.
    pub name: String,
    /// The account that made it; empty for the command line.
    pub account: String,
    /// What it allows, as JSON.
    pub grants: String,
    /// When it was made, in microseconds.
    pub created: i64,
    /// When it ends, in microseconds.
    pub expires: i64,
    /// When it was last used, in microseconds; zero when it never was.
    pub last_used: i64,
    /// Empty, `people` for one that may manage people, or `directory` for one that provisions them and does nothing else.
    pub purpose: String,
    /// Hash of the token by which it was made, with which it ends; empty where a person made it.
    pub parent: String,
}

fn read_session(row: &AnyRow) -> Result<SessionRow, sqlx::Error> {
    Ok(SessionRow {
        hash: row.try_get("hash")?,
        account: row.try_get("account")?,
        factors: row.try_get("factors")?,
        csrf: row.try_get("csrf")?,
        created: row.try_get("created")?,
        seen: row.try_get("seen")?,
        raised: row.try_get("raised")?,
        raised_until: row.try_get("raised_until")?,
    })
}

fn read_token(row: &AnyRow) -> Result<TokenRow, sqlx::Error> {
    Ok(TokenRow {
        hash: row.try_get("hash")?,
        name: row.try_get("name")?,
        account: row.try_get("account")?,
        grants: row.try_get("grants")?,
        created: row.try_get("created")?,
        expires: row.try_get("expires")?,
        last_used: row.try_get("last_used")?,
        purpose: row.try_get("purpose")?,
        parent: row.try_get("parent")?,
    })
}

pub(super) async fn insert(
    row: &SessionRow,
    connection: &mut AnyConnection,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO session (hash, account, factors, csrf, created, seen, raised, raised_until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&row.hash)
    .bind(&row.account)
    .bind(&row.factors)
    .bind(&row.csrf)
    .bind(row.created)
    .bind(row.seen)
    .bind(&row.raised)
    .bind(row.raised_until)
    .execute(connection)
    .await?;
    Ok(())
}

impl PeopleStore {
    /// Begins a session, in place of another where one is named.
    ///
    /// # Errors
    ///
    /// [`PeopleStoreError`] when it can't be written; so for every function here.
    pub async fn begin_session(
        &self,
        row: &SessionRow,
        instead: Option<&str>,
    ) -> Result<(), PeopleStoreError> {
        let mut all = self.pool.begin().await?;
        if let Some(hash) = instead {
            sqlx::query("DELETE FROM session WHERE hash = $1")
                .bind(hash)
                .execute(&mut *all)
                .await?;
        }
        insert(row, &mut all).await?;
        all.commit().await?;
        Ok(())
    }

    /// One session.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn session(&self, hash: &str) -> Result<Option<SessionRow>, PeopleStoreError> {
        let row = sqlx::query("SELECT * FROM session WHERE hash = $1")
            .bind(hash)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(read_session).transpose()?)
    }

    /// An account's sessions, the newest first.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn sessions_of(&self, account: &str) -> Result<Vec<SessionRow>, PeopleStoreError> {
        let rows = sqlx::query("SELECT * FROM session WHERE account = $1 ORDER BY created DESC")
            .bind(account)
            .fetch_all(&self.pool)
            .await?;
        all(&rows, read_session)
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn used_session(&self, hash: &str, now: i64) -> Result<(), PeopleStoreError> {
        sqlx::query("UPDATE session SET seen = $1 WHERE hash = $2")
            .bind(now)
            .bind(hash)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Gives a session a further role for a while, or takes it back; false when the session is gone.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn raise(
        &self,
        hash: &str,
        raised: &str,
        until: i64,
    ) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query("UPDATE session SET raised = $1, raised_until = $2 WHERE hash = $3")
            .bind(raised)
            .bind(until)
            .bind(hash)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a session; false when it was gone.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn end_session(&self, hash: &str) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query("DELETE FROM session WHERE hash = $1")
            .bind(hash)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends an account's sessions but one; how many there were.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn end_sessions(&self, account: &str, but: &str) -> Result<u64, PeopleStoreError> {
        let done = sqlx::query("DELETE FROM session WHERE account = $1 AND hash <> $2")
            .bind(account)
            .bind(but)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Writes a token; false when one of that name is there.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn add_token(&self, row: &TokenRow) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query(
            "INSERT INTO api_token (hash, name, account, grants, created, expires, last_used, purpose, parent) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING",
        )
        .bind(&row.hash)
        .bind(&row.name)
        .bind(&row.account)
        .bind(&row.grants)
        .bind(row.created)
        .bind(row.expires)
        .bind(row.last_used)
        .bind(&row.purpose)
        .bind(&row.parent)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The token of a hash.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn token(&self, hash: &str) -> Result<Option<TokenRow>, PeopleStoreError> {
        let row = sqlx::query("SELECT * FROM api_token WHERE hash = $1")
            .bind(hash)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(read_token).transpose()?)
    }

    /// Every token, by name.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, PeopleStoreError> {
        let rows = sqlx::query("SELECT * FROM api_token ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        all(&rows, read_token)
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn used_token(&self, hash: &str, now: i64) -> Result<(), PeopleStoreError> {
        sqlx::query("UPDATE api_token SET last_used = $1 WHERE hash = $2")
            .bind(now)
            .bind(hash)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes a token back, with those it made; false when there is none of that name.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn revoke_token(&self, name: &str, hash: &str) -> Result<bool, PeopleStoreError> {
        let done =
            sqlx::query("DELETE FROM api_token WHERE (name = $1 AND hash = $2) OR parent = $2")
                .bind(name)
                .bind(hash)
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes away sessions that began or were used before a time, and tokens and invitations that ended before one.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_session`].
    pub async fn sweep(
        &self,
        begun_before: i64,
        used_before: i64,
        ended_before: i64,
    ) -> Result<(), PeopleStoreError> {
        sqlx::query("DELETE FROM session WHERE created < $1 OR seen < $2")
            .bind(begun_before)
            .bind(used_before)
            .execute(&self.pool)
            .await?;
        for text in [
            "DELETE FROM api_token WHERE expires < $1",
            "DELETE FROM invitation WHERE expires < $1",
        ] {
            sqlx::query(text)
                .bind(ended_before)
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}

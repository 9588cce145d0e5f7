//! Passkeys, and what was begun in a browser and has to come back to it.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{PeopleStore, PeopleStoreError, all};

/// Begun and not yet come back: beyond this the oldest are forgotten.
const CEREMONIES_MAX: i64 = 10_000;

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyRow {
    /// The credential's id, hexadecimal.
    pub id: String,
    /// The account.
    pub account: String,
    /// What its owner calls it.
    pub name: String,
    /// Its public key and counter, as JSON.
    pub body: String,
    /// When it was added, in microseconds.
    pub created: i64,
    /// When it was last used, in microseconds; zero when it never was.
    pub last_used: i64,
}

/// Something begun in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeremonyRow {
    /// SHA-256 of what the browser keeps, hexadecimal.
    pub hash: String,
    /// What it is.
    pub kind: String,
    /// Whose; empty before that is known.
    pub account: String,
    /// What is needed to end it, as JSON.
    pub body: String,
    /// When it began, in microseconds.
    pub created: i64,
}

fn read_passkey(row: &AnyRow) -> Result<PasskeyRow, sqlx::Error> {
    Ok(PasskeyRow {
        id: row.try_get("id")?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        body: row.try_get("body")?,
        created: row.try_get("created")?,
        last_used: row.try_get("last_used")?,
    })
}

impl PeopleStore {
    /// Writes a passkey; false when it is there already, whoever's it is.
    ///
    /// # Errors
    ///
    /// [`PeopleStoreError`] when it can't be written; so for every function here.
    pub async fn add_passkey(&self, row: &PasskeyRow) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query(
            "INSERT INTO passkey (id, account, name, body, created, last_used) \
             SELECT $1, id, $2, $3, $4, $5 FROM account WHERE id = $6 AND state = 'active' \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&row.id)
        .bind(&row.name)
        .bind(&row.body)
        .bind(row.created)
        .bind(row.last_used)
        .bind(&row.account)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// An account's passkeys, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::add_passkey`].
    pub async fn passkeys_of(&self, account: &str) -> Result<Vec<PasskeyRow>, PeopleStoreError> {
        let rows = sqlx::query("SELECT * FROM passkey WHERE account = $1 ORDER BY created, id")
            .bind(account)
            .fetch_all(&self.pool)
            .await?;
        all(&rows, read_passkey)
    }

    /// Uses a passkey: notes when, and what it is now, as long as it is still `before`. False when it isn't, so that of
    /// two uses with one counter only one counts.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::add_passkey`].
    pub async fn use_passkey(
        &self,
        id: &str,
        before: &str,
        after: &str,
        now: i64,
    ) -> Result<bool, PeopleStoreError> {
        let done =
            sqlx::query("UPDATE passkey SET body = $1, last_used = $2 WHERE id = $3 AND body = $4")
                .bind(after)
                .bind(now)
                .bind(id)
                .bind(before)
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes one of an account's passkeys; false when there is none.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::add_passkey`].
    pub async fn remove_passkey(&self, account: &str, id: &str) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query("DELETE FROM passkey WHERE account = $1 AND id = $2")
            .bind(account)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Begins something; the oldest of too many are forgotten.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::add_passkey`].
    pub async fn begin_ceremony(&self, row: &CeremonyRow) -> Result<(), PeopleStoreError> {
        sqlx::query(
            "DELETE FROM ceremony WHERE hash IN \
             (SELECT hash FROM ceremony ORDER BY created DESC, hash LIMIT 1000 OFFSET $1)",
        )
        .bind(CEREMONIES_MAX - 1)
        .execute(&self.pool)
        .await?;
        sqlx::query(
            "INSERT INTO ceremony (hash, kind, account, body, created) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&row.hash)
        .bind(&row.kind)
        .bind(&row.account)
        .bind(&row.body)
        .bind(row.created)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes what was begun, once, of a kind and not before a time.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::add_passkey`].
    pub async fn take_ceremony(
        &self,
        hash: &str,
        kind: &str,
        not_before: i64,
    ) -> Result<Option<CeremonyRow>, PeopleStoreError> {
        let row = sqlx::query("DELETE FROM ceremony WHERE hash = $1 AND kind = $2 RETURNING *")
            .bind(hash)
            .bind(kind)
            .fetch_optional(&self.pool)
            .await?;
        let read = |row: &AnyRow| {
            Ok::<_, sqlx::Error>(CeremonyRow {
                hash: row.try_get("hash")?,
                kind: row.try_get("kind")?,
                account: row.try_get("account")?,
                body: row.try_get("body")?,
                created: row.try_get("created")?,
            })
        };
        let row = row.as_ref().map(read).transpose()?;
        Ok(row.filter(|row| row.created >= not_before))
    }

    /// Forgets what was begun before a time and never came back.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::add_passkey`].
    pub async fn sweep_ceremonies(&self, before: i64) -> Result<(), PeopleStoreError> {
        sqlx::query("DELETE FROM ceremony WHERE created < $1")
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

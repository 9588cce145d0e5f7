//! Invitations: links that work once.

use sqlx::any::AnyRow;
use sqlx::{Executor as _, Row as _};

use super::account::{AccountRow, IdentityRow};
use super::session::SessionRow;
use super::{PeopleStore, PeopleStoreError, account, session};

/// An invitation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvitationRow {
    /// SHA-256 of its token, hexadecimal.
    pub hash: String,
    /// The account; empty in the very first one, whose person chooses the name.
    pub account: String,
    /// The name that was chosen, folded.
    pub name: String,
    /// The name for pages that was chosen.
    pub shown: String,
    /// What the account will be allowed, as JSON.
    pub grants: String,
    /// Hash (PHC) of the password that was chosen; empty until one is.
    pub password: String,
    /// The second factor's sealed secret; empty until the password is chosen.
    pub secret: String,
    /// When it was made, in microseconds.
    pub created: i64,
    /// When it ends, in microseconds.
    pub expires: i64,
}

/// What taking an invitation writes, all or nothing.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The invitation's hash.
    pub invitation: String,
    /// The account as it will be; made when it isn't there.
    pub account: AccountRow,
    /// Its password; none for somebody whom a provider knows.
    pub password: Option<IdentityRow>,
    /// Its second factor.
    pub factor: IdentityRow,
    /// The session that begins.
    pub session: SessionRow,
}

fn read(row: &AnyRow) -> Result<InvitationRow, sqlx::Error> {
    Ok(InvitationRow {
        hash: row.try_get("hash")?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        shown: row.try_get("shown")?,
        grants: row.try_get("grants")?,
        password: row.try_get("password")?,
        secret: row.try_get("secret")?,
        created: row.try_get("created")?,
        expires: row.try_get("expires")?,
    })
}

impl PeopleStore {
    /// Writes an invitation in place of any other of the account's.
    ///
    /// # Errors
    ///
    /// [`PeopleStoreError`] when it can't be written; so for every function here.
    pub async fn invite(&self, row: &InvitationRow) -> Result<(), PeopleStoreError> {
        let mut all = self.pool.begin().await?;
        sqlx::query("DELETE FROM invitation WHERE account = $1")
            .bind(&row.account)
            .execute(&mut *all)
            .await?;
        sqlx::query(
            "INSERT INTO invitation (hash, account, name, shown, grants, password, secret, created, expires) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&row.hash)
        .bind(&row.account)
        .bind(&row.name)
        .bind(&row.shown)
        .bind(&row.grants)
        .bind(&row.password)
        .bind(&row.secret)
        .bind(row.created)
        .bind(row.expires)
        .execute(&mut *all)
        .await?;
        all.commit().await?;
        Ok(())
    }

    /// The invitation of a hash.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::invite`].
    pub async fn invitation(&self, hash: &str) -> Result<Option<InvitationRow>, PeopleStoreError> {
        let row = sqlx::query("SELECT * FROM invitation WHERE hash = $1")
            .bind(hash)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// Keeps what an invited person chose until the second factor is confirmed.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::invite`].
    pub async fn chose(&self, row: &InvitationRow) -> Result<(), PeopleStoreError> {
        sqlx::query(
            "UPDATE invitation SET name = $1, shown = $2, password = $3, secret = $4 WHERE hash = $5",
        )
        .bind(&row.name)
        .bind(&row.shown)
        .bind(&row.password)
        .bind(&row.secret)
        .bind(&row.hash)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes an invitation: writes the account with its factors and its session, and ends its other sessions.
    /// False when the invitation was taken before, or the name was.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::invite`].
    pub async fn join(&self, joining: &Joining) -> Result<bool, PeopleStoreError> {
        let account = &joining.account;
        let mut all = self.pool.begin().await?;
        let taken = sqlx::query("DELETE FROM invitation WHERE hash = $1")
            .bind(&joining.invitation)
            .execute(&mut *all)
            .await?;
        if taken.rows_affected() != 1 {
            return Ok(false);
        }
        // Somebody is here: the very first invitation is no more.
        all.execute("DELETE FROM invitation WHERE account = ''")
            .await?;
        let known = sqlx::query(
            "UPDATE account SET shown = $1, state = 'active', last_seen = $2, failures = 0, locked_until = 0 \
             WHERE id = $3",
        )
        .bind(&account.shown)
        .bind(account.last_seen)
        .bind(&account.id)
        .execute(&mut *all)
        .await?;
        if known.rows_affected() == 0 && !account::insert(account, &mut all).await? {
            return Ok(false);
        }
        if let Some(password) = &joining.password {
            account::put(password, &mut all).await?;
        }
        account::put(&joining.factor, &mut all).await?;
        sqlx::query("DELETE FROM session WHERE account = $1")
            .bind(&account.id)
            .execute(&mut *all)
            .await?;
        session::insert(&joining.session, &mut all).await?;
        all.commit().await?;
        Ok(true)
    }
}

//! People as the company's directory has them: made, changed and ended, each in one.

use sqlx::Row as _;

use super::account::{AccountRow, IdentityRow, insert, put, take_access};
use super::{PeopleStore, PeopleStoreError};

/// What a directory changes of an account, all or nothing.
#[derive(Clone, Debug)]
pub struct DirectoryChange {
    /// The account, with its name for pages and its grants as they will be.
    pub account: AccountRow,
    /// Its grants as they were read.
    pub grants_before: String,
    /// Whether it may be used.
    pub access: DirectoryAccess,
    /// What the directory says of it.
    pub identity: IdentityRow,
}

/// What a directory does to an account's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryAccess {
    /// Stays as it is.
    Stays,
    /// Ends, with every session, token, passkey and factor.
    Ends,
    /// Begins again.
    Returns,
}

impl PeopleStore {
    /// Writes an account with what the directory says of it; false when one of that name is there.
    ///
    /// # Errors
    ///
    /// [`PeopleStoreError`] when it can't be written; so for every function here.
    pub async fn provision(
        &self,
        account: &AccountRow,
        identity: &IdentityRow,
    ) -> Result<bool, PeopleStoreError> {
        let mut all = self.pool.begin().await?;
        if !insert(account, &mut all).await? {
            return Ok(false);
        }
        put(identity, &mut all).await?;
        all.commit().await?;
        Ok(true)
    }

    /// Changes an account as a directory wants it; false when its grants were changed meanwhile.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::provision`].
    pub async fn change_by_directory(
        &self,
        change: &DirectoryChange,
    ) -> Result<bool, PeopleStoreError> {
        let account = &change.account;
        let mut all = self.pool.begin().await?;
        let text = match change.access {
            DirectoryAccess::Returns => {
                "UPDATE account SET shown = $1, grants = $2, last_seen = $3, state = 'active', failures = 0, \
                 locked_until = 0 WHERE id = $4 AND grants = $5"
            }
            // One that ended meanwhile stays so.
            DirectoryAccess::Stays | DirectoryAccess::Ends => {
                "UPDATE account SET shown = $1, grants = $2, last_seen = $3 WHERE id = $4 AND grants = $5"
            }
        };
        let done = sqlx::query(text)
            .bind(&account.shown)
            .bind(&account.grants)
            .bind(account.last_seen)
            .bind(&account.id)
            .bind(&change.grants_before)
            .execute(&mut *all)
            .await?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        if change.access == DirectoryAccess::Ends {
            take_access(&account.id, &mut all).await?;
        }
        put(&change.identity, &mut all).await?;
        all.commit().await?;
        Ok(true)
    }

    /// Makes an invited account one that is used, without the links it was sent. Earlier passwords stay only so that none
    /// comes back: one opens nothing without a second factor.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::provision`].
    pub async fn activate(&self, id: &str, now: i64) -> Result<(), PeopleStoreError> {
        let mut all = self.pool.begin().await?;
        sqlx::query("UPDATE account SET state = 'active', last_seen = $1 WHERE id = $2 AND state = 'invited'")
            .bind(now)
            .bind(id)
            .execute(&mut *all)
            .await?;
        sqlx::query("DELETE FROM invitation WHERE account = $1")
            .bind(id)
            .execute(&mut *all)
            .await?;
        all.commit().await?;
        Ok(())
    }

    /// How many identities of a kind an account has.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::provision`].
    pub async fn links_of(&self, kind: &str, account: &str) -> Result<i64, PeopleStoreError> {
        let row = sqlx::query("SELECT COUNT(*) FROM identity WHERE kind = $1 AND account = $2")
            .bind(kind)
            .bind(account)
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get(0)?)
    }
}

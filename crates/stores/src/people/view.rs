//! Views of the queue that people keep under a name.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{PeopleStore, PeopleStoreError, all};

/// A view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewRow {
    /// The account whose it is.
    pub account: String,
    /// Its name: one of an account's.
    pub name: String,
    /// The query of the queue's address.
    pub query: String,
    /// When it was made, in microseconds.
    pub made: i64,
}

fn read(row: &AnyRow) -> Result<ViewRow, sqlx::Error> {
    Ok(ViewRow {
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        query: row.try_get("query")?,
        made: row.try_get("made")?,
    })
}

impl PeopleStore {
    /// Writes a view in place of one of its name; false when the account has `most` others.
    ///
    /// # Errors
    ///
    /// [`PeopleStoreError`] when it can't be written; so for every function here.
    pub async fn put_view(&self, row: &ViewRow, most: i64) -> Result<bool, PeopleStoreError> {
        let mut whole = self.pool.begin().await?;
        // Asked in one statement with the row's own account: two forms at once are counted one after the other.
        sqlx::query("UPDATE account SET last_seen = last_seen WHERE id = $1")
            .bind(&row.account)
            .execute(&mut *whole)
            .await?;
        let others = sqlx::query("SELECT name FROM saved_view WHERE account = $1 AND name <> $2")
            .bind(&row.account)
            .bind(&row.name)
            .fetch_all(&mut *whole)
            .await?;
        if i64::try_from(others.len()).unwrap_or(i64::MAX) >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO saved_view (account, name, query, made) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (account, name) DO UPDATE SET query = excluded.query, made = excluded.made",
        )
        .bind(&row.account)
        .bind(&row.name)
        .bind(&row.query)
        .bind(row.made)
        .execute(&mut *whole)
        .await?;
        whole.commit().await?;
        Ok(true)
    }

    /// An account's views, by name.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::put_view`].
    pub async fn views_of(&self, account: &str) -> Result<Vec<ViewRow>, PeopleStoreError> {
        let rows = sqlx::query("SELECT * FROM saved_view WHERE account = $1")
            .bind(account)
            .fetch_all(&self.pool)
            .await?;
        let mut views = all(&rows, read)?;
        // By bytes, whatever the database's own order of letters is.
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    /// Removes a view; false when the account has none of that name.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::put_view`].
    pub async fn remove_view(&self, account: &str, name: &str) -> Result<bool, PeopleStoreError> {
        let done = sqlx::query("DELETE FROM saved_view WHERE account = $1 AND name = $2")
            .bind(account)
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

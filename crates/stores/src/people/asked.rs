//! What was asked under a key, and what was answered: asked again, it isn't done again.

use sqlx::Row as _;

use super::{PeopleStore, PeopleStoreError};

/// What was asked under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedRow {
    /// Hash of account and key, hexadecimal.
    pub id: String,
    /// Hash of what was asked, hexadecimal.
    pub what: String,
    /// What was answered, as JSON; empty until it is known.
    pub answer: String,
    /// When it was asked, in microseconds.
    pub written: i64,
}

impl PeopleStore {
    /// Takes a key; gives what stands under it where it was taken before.
    ///
    /// # Errors
    ///
    /// [`PeopleStoreError`] when it can't be read or written; so for every function here.
    pub async fn begin_asked(&self, row: &AskedRow) -> Result<Option<AskedRow>, PeopleStoreError> {
        let done = sqlx::query(
            "INSERT INTO asked (id, what, answer, written) VALUES ($1, $2, '', $3) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&row.id)
        .bind(&row.what)
        .bind(row.written)
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(None);
        }
        let known = sqlx::query("SELECT * FROM asked WHERE id = $1")
            .bind(&row.id)
            .fetch_optional(&self.pool)
            .await?;
        // Let go of in between: whoever had it failed, and this one may try again.
        let Some(known) = known else {
            return Ok(Some(row.clone()));
        };
        Ok(Some(AskedRow {
            id: known.try_get("id")?,
            what: known.try_get("what")?,
            answer: known.try_get("answer")?,
            written: known.try_get("written")?,
        }))
    }

    /// Keeps the answer under a key.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_asked`].
    pub async fn end_asked(&self, id: &str, answer: &str) -> Result<(), PeopleStoreError> {
        sqlx::query("UPDATE asked SET answer = $1 WHERE id = $2")
            .bind(answer)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Lets go of a key under which nothing was done.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_asked`].
    pub async fn forget_asked(&self, id: &str) -> Result<(), PeopleStoreError> {
        sqlx::query("DELETE FROM asked WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Lets go of keys that were taken before a time.
    ///
    /// # Errors
    ///
    /// As [`PeopleStore::begin_asked`].
    pub async fn sweep_asked(&self, before: i64) -> Result<(), PeopleStoreError> {
        sqlx::query("DELETE FROM asked WHERE written < $1")
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

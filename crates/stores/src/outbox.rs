//! What people decide, on its way into the ledger: written here first, sealed by the one who writes the ledger.
//!
//! The body is the entry's exact bytes. A row is put once by its id: told again, it says what became of it.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::rows::FromRow;
use crate::{Database, StoreError};

/// A row that waits to be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its id, by which it is told from others for good.
    pub id: String,
    /// When it was written, in microseconds.
    pub written: i64,
    /// The bytes to seal.
    pub body: String,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sealed, as the entry of this number.
    Sealed(u64),
    /// Refused, with the reason.
    Refused(String),
}

/// A row that was sealed or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledRow {
    /// Its id.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What putting a row found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is new, and waits.
    New,
    /// One of this id was put before.
    Known {
        /// Its bytes.
        body: String,
        /// What became of it, once that is known.
        outcome: Option<Outcome>,
    },
}

/// Where decisions are put. Clones share its connections.
#[derive(Clone)]
pub struct Outbox {
    database: Database,
}

impl Outbox {
    /// The outbox of a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Puts a row; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be written: nothing is.
    pub async fn put(&self, row: &OutboxRow) -> Result<Put, StoreError> {
        self.put_with(row, None).await
    }

    /// Puts rows, all or none; those that are known keep their own.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they can't be written: nothing is.
    pub async fn put_all(&self, rows: &[OutboxRow]) -> Result<(), StoreError> {
        let write = async {
            let mut all = self.database.pool().begin().await?;
            for row in rows {
                insert(&mut all, row).await?;
            }
            all.commit().await
        };
        write.await.map_err(|source| self.failed(source))
    }

    /// Puts a row with content that goes into the ledger beside it, both or neither. A row that is known keeps its own.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be written: nothing is.
    pub async fn put_with(
        &self,
        row: &OutboxRow,
        content: Option<&str>,
    ) -> Result<Put, StoreError> {
        if self
            .insert(row, content)
            .await
            .map_err(|source| self.failed(source))?
        {
            return Ok(Put::New);
        }
        let known = sqlx::query("SELECT sequence, refused, body FROM outbox WHERE id = $1")
            .bind(row.id.as_str())
            .fetch_one(self.database.pool())
            .await;
        let read = |known: AnyRow| {
            let (body, outcome) = (known.try_get(2)?, outcome(&known)?);
            Ok(Put::Known { body, outcome })
        };
        known.and_then(read).map_err(|source| self.failed(source))
    }

    /// What became of a row; `None` while it waits, or where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub async fn outcome(&self, id: &str) -> Result<Option<Outcome>, StoreError> {
        let row = sqlx::query("SELECT sequence, refused FROM outbox WHERE id = $1")
            .bind(id)
            .fetch_optional(self.database.pool())
            .await
            .map_err(|source| self.failed(source))?;
        let outcome = row.map(|row| outcome(&row)).transpose();
        outcome
            .map(Option::flatten)
            .map_err(|source| self.failed(source))
    }

    /// Writes both; tells whether the row is new.
    async fn insert(&self, row: &OutboxRow, content: Option<&str>) -> Result<bool, sqlx::Error> {
        let mut both = self.database.pool().begin().await?;
        let is_new = insert(&mut both, row).await?;
        if let Some(content) = content.filter(|_| is_new) {
            sqlx::query("INSERT INTO upload (id, body) VALUES ($1, $2)")
                .bind(row.id.as_str())
                .bind(content)
                .execute(&mut *both)
                .await?;
        }
        both.commit().await?;
        Ok(is_new)
    }

    fn failed(&self, source: sqlx::Error) -> StoreError {
        self.database.place().failed(source)
    }
}

/// Writes a row; tells whether it is new.
async fn insert(to: &mut AnyConnection, row: &OutboxRow) -> Result<bool, sqlx::Error> {
    let written = sqlx::query(
        "INSERT INTO outbox (id, written, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id.as_str())
    .bind(row.written)
    .bind(row.body.as_str())
    .execute(to)
    .await?;
    Ok(written.rows_affected() == 1)
}

fn outcome(row: &AnyRow) -> Result<Option<Outcome>, sqlx::Error> {
    let sequence: Option<i64> = row.try_get(0)?;
    let refused: Option<String> = row.try_get(1)?;
    let sealed = sequence.map(|sequence| Outcome::Sealed(sequence.cast_unsigned()));
    Ok(sealed.or(refused.map(Outcome::Refused)))
}

impl FromRow for OutboxRow {
    // Bounded: whoever fills it faster than the ledger seals waits.
    const QUERY: &'static str = "SELECT id, written, body FROM outbox \
        WHERE sequence IS NULL AND refused IS NULL ORDER BY written, id LIMIT 256";

    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            written: row.try_get(1)?,
            body: row.try_get(2)?,
        })
    }
}

/// Writes what became of rows, inside a transaction.
pub(crate) async fn settle(
    all: &mut AnyConnection,
    rows: &[SettledRow],
) -> Result<(), sqlx::Error> {
    for row in rows {
        let (sequence, refused) = match &row.outcome {
            Outcome::Sealed(sequence) => (Some(sequence.cast_signed()), None),
            Outcome::Refused(why) => (None, Some(why.as_str())),
        };
        sqlx::query("UPDATE outbox SET sequence = $1, refused = $2 WHERE id = $3")
            .bind(sequence)
            .bind(refused)
            .bind(row.id.as_str())
            .execute(&mut *all)
            .await?;
        sqlx::query("DELETE FROM upload WHERE id = $1")
            .bind(row.id.as_str())
            .execute(&mut *all)
            .await?;
    }
    Ok(())
}

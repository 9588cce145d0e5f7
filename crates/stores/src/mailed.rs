//! What each address of mail was told of which incident: what it isn't told yet is what differs.
//!
//! So that no letter has to wait here: one that couldn't be sent is made anew, with what came since. Where it is lost, something
//! may be told twice.

use sqlx::Row as _;

use crate::{Database, StoreError};

/// What an address was told of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailedRow {
    /// The address, in lower case.
    pub address: String,
    /// The incident; empty for since when the address is told anything.
    pub incident: String,
    /// What it was told, as JSON.
    pub body: String,
    /// When the last letter of it was sent, in microseconds; zero when none was.
    pub sent: i64,
}

/// Where it is kept. Clones share its connections.
#[derive(Clone)]
pub struct Mailed {
    database: Database,
}

impl Mailed {
    /// That of a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Keeps rows in place of earlier ones, all or none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they can't be written: none is.
    pub async fn keep(&self, rows: &[MailedRow]) -> Result<(), StoreError> {
        let write = async {
            let mut all = self.database.pool().begin().await?;
            for row in rows {
                let text = "INSERT INTO mailed (address, incident, body, sent) VALUES ($1, $2, $3, $4) \
                            ON CONFLICT (address, incident) DO UPDATE SET body = excluded.body, sent = excluded.sent";
                sqlx::query(text)
                    .bind(row.address.as_str())
                    .bind(row.incident.as_str())
                    .bind(row.body.as_str())
                    .bind(row.sent)
                    .execute(&mut *all)
                    .await?;
            }
            all.commit().await
        };
        write
            .await
            .map_err(|source| self.database.place().failed(source))
    }

    /// Every row.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they can't be read.
    pub async fn all(&self) -> Result<Vec<MailedRow>, StoreError> {
        let rows = sqlx::query("SELECT address, incident, body, sent FROM mailed")
            .fetch_all(self.database.pool())
            .await;
        let read = rows.and_then(|rows| {
            let row = |row: &sqlx::any::AnyRow| {
                Ok(MailedRow {
                    address: row.try_get(0)?,
                    incident: row.try_get(1)?,
                    body: row.try_get(2)?,
                    sent: row.try_get(3)?,
                })
            };
            rows.iter().map(row).collect()
        });
        read.map_err(|source| self.database.place().failed(source))
    }
}

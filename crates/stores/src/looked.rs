//! How much of an incident somebody saw who watches it: so that the overview tells what is new.
//!
//! Nothing rests on it: where it is lost, more is told as new.

use std::collections::BTreeMap;

use sqlx::Row as _;

use crate::{Database, StoreError};

/// How much there was when somebody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Decisions on the incident.
    pub decisions: u64,
    /// Findings in it.
    pub findings: u64,
}

/// Where looks are kept. Clones share its connections.
#[derive(Clone)]
pub struct Looks {
    database: Database,
}

impl Looks {
    /// Those of a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Keeps that an account looked at an incident. What it saw before isn't unseen by it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be written.
    pub async fn look(
        &self,
        account: &str,
        incident: &str,
        looked: Looked,
    ) -> Result<(), StoreError> {
        let text = "INSERT INTO looked (account, incident, decisions, findings) VALUES ($1, $2, $3, $4) \
                    ON CONFLICT (account, incident) DO UPDATE SET decisions = CASE WHEN excluded.decisions > looked.decisions \
                    THEN excluded.decisions ELSE looked.decisions END, findings = excluded.findings \
                    WHERE looked.decisions < excluded.decisions OR looked.findings <> excluded.findings";
        let written = sqlx::query(text)
            .bind(account)
            .bind(incident)
            .bind(looked.decisions.cast_signed())
            .bind(looked.findings.cast_signed())
            .execute(self.database.pool())
            .await;
        written
            .map(drop)
            .map_err(|source| self.database.place().failed(source))
    }

    /// What an account saw, by incident.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it can't be read.
    pub async fn of(&self, account: &str) -> Result<BTreeMap<String, Looked>, StoreError> {
        let rows =
            sqlx::query("SELECT incident, decisions, findings FROM looked WHERE account = $1")
                .bind(account)
                .fetch_all(self.database.pool())
                .await;
        let read = rows.and_then(|rows| {
            let row = |row: &sqlx::any::AnyRow| {
                let (decisions, findings): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
                let looked = Looked {
                    decisions: decisions.cast_unsigned(),
                    findings: findings.cast_unsigned(),
                };
                Ok((row.try_get(0)?, looked))
            };
            rows.iter().map(row).collect()
        });
        read.map_err(|source| self.database.place().failed(source))
    }
}

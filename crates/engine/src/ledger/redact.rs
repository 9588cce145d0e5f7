//! Destroying payloads while every proof holds.

use std::collections::{BTreeMap, BTreeSet};

use custody::{Header, PayloadKey};
use model::{Lane, Sequence, SourceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{EntryKind, Ledger, LedgerError, NewEntry, keys};

/// Whether a stored payload was destroyed: zeros, which no encryption gives (its tag would be zero too).
pub(super) fn is_destroyed(stored: &[u8]) -> bool {
    stored.iter().all(|byte| *byte == 0)
}

/// The payload of a `redacted` entry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Redaction {
    what: String,
    v: u32,
    /// Entries whose payload is destroyed.
    pub(super) entries: Vec<u64>,
    /// Who decided.
    who: [String; 2],
    reason: String,
}

impl Ledger {
    /// Destroys payloads: their bytes are overwritten, the rest of their source's day is written
    /// under a new key, the old key destroyed; a `redacted` entry tells who, why and which. Proofs hold.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotThere`] when an entry doesn't exist: nothing was done. Otherwise the
    /// `redacted` entry is sealed first, and what a crash left undone is done by [`Self::finish_redaction`].
    pub fn redact(
        &mut self,
        which: &[Sequence],
        who: [&str; 2],
        reason: &str,
        now: Timestamp,
    ) -> Result<Sequence, LedgerError> {
        if let Some(missing) = which.iter().find(|sequence| sequence.0 >= self.len()) {
            return Err(LedgerError::NotThere { sequence: *missing });
        }
        let told = Redaction {
            what: "redacted".to_owned(),
            v: 1,
            entries: which.iter().map(|sequence| sequence.0).collect(),
            who: who.map(str::to_owned),
            reason: reason.to_owned(),
        };
        let payload = serde_json::to_vec(&told).map_err(|source| LedgerError::Json { source })?;
        let sealed = self.append(&[NewEntry {
            kind: EntryKind::Redacted,
            lane: Lane::Live,
            identity: None,
            source: SourceId("magewarden".to_owned()),
            said: None,
            received: now,
            format: "magewarden_v1".into(),
            quarantined: false,
            marks: Vec::new(),
            payload,
            tokens: Vec::new(),
        }])?;
        self.destroy(&told.entries)?;
        Ok(sealed)
    }

    /// Does what a sealed redaction orders and a crash left undone; gives whether anything was.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the entry is no redaction, or files can't be written.
    pub fn finish_redaction(&mut self, sealed: Sequence) -> Result<bool, LedgerError> {
        let mut left = Vec::new();
        for number in self.redacted_by(sealed)? {
            let row = self.files.read(number)?;
            if row.is_some_and(|row| !is_destroyed(&row.payload)) {
                left.push(number);
            }
        }
        if left.is_empty() {
            return Ok(false);
        }
        self.destroy(&left)?;
        Ok(true)
    }

    /// The entries whose destruction a `redacted` entry tells.
    pub(super) fn redacted_by(&self, sealed: Sequence) -> Result<Vec<u64>, LedgerError> {
        let payload = self.read(sealed)?.payload.unwrap_or_default();
        let told: Redaction =
            serde_json::from_slice(&payload).map_err(|source| LedgerError::Json { source })?;
        Ok(told.entries)
    }

    fn destroy(&mut self, numbers: &[u64]) -> Result<(), LedgerError> {
        let numbers: BTreeSet<u64> = numbers.iter().copied().collect();
        let mut days: BTreeMap<(SourceId, i64), Timestamp> = BTreeMap::new();
        for number in &numbers {
            let header = self.header(Sequence(*number))?;
            let day = keys::day(header.received);
            days.insert((header.source, day), header.received);
        }
        for ((source, day), received) in days {
            let (key, old) = self.payload_keys.renew(&self.keys, &source, received)?;
            for sequence in self.of_source(&source)? {
                let header = self.header(sequence)?;
                if keys::day(header.received) != day {
                    continue;
                }
                let Some(row) = self.files.read(sequence.0)? else {
                    break;
                };
                if is_destroyed(&row.payload) {
                    continue;
                }
                let bytes = if numbers.contains(&sequence.0) {
                    vec![0; row.payload.len()]
                } else {
                    self.reseal(&header, &row.payload, &key)?
                };
                self.files.overwrite_payload(sequence.0, &bytes)?;
            }
            for path in old {
                stores::destroy(&path)?;
            }
            self.payload_keys.forget(&source, day);
        }
        for number in numbers {
            let block = number / stores::BLOCK_ENTRIES;
            let end = self.files.end_of_block(block).unwrap_or_default();
            self.index.forget(number, end)?;
        }
        Ok(())
    }

    /// Every entry of a source, in order.
    fn of_source(&self, source: &SourceId) -> Result<Vec<Sequence>, LedgerError> {
        let query = super::Query {
            source: Some(source.clone()),
            ..super::Query::default()
        };
        self.find(&query, usize::MAX)
    }

    fn reseal(
        &self,
        header: &Header,
        stored: &[u8],
        key: &PayloadKey,
    ) -> Result<Vec<u8>, LedgerError> {
        let salted = self.open(header, stored)?;
        key.reseal(header.sequence, &salted)
            .map_err(|source| LedgerError::Payload {
                sequence: header.sequence,
                source,
            })
    }
}

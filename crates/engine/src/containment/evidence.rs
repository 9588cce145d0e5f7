//! Evidence of runs, handed over by the hosts that kept it: what a host has alone is gone with the host.
//!
//! A run's entries name each piece by its hash, sealed before the step that it is kept for. So the bytes can come later, in any order and
//! more than once: what isn't named there isn't taken, and what is there isn't asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::{Piece, Sequence, Timestamp, WantedPiece};
use playbook::RunError;
use serde::{Deserialize, Serialize};

use super::hosts::HostDesk;
use super::{Containments, Standing, other_host};
use crate::attach::{PART_BYTES, hash_of, mask_all};
use crate::decider::DecideError;
use crate::link::ReportError;
use crate::sealed::{Decided, VERSION};

/// Largest piece that is taken, in bytes: a file of 16 MiB and what is told of it.
pub const EVIDENCE_BYTES_MAX: usize = 17 << 20;
/// Bytes of all pieces of a run; what is beyond stays on its host, and its page says so.
const RUN_BYTES_MAX: u64 = 512 << 20;
/// Pieces that are asked for at once.
const WANTED_MAX: usize = 8;
/// Seconds until a piece that didn't come is asked for again, the first time and at most: each time twice as many.
const AGAIN_SECONDS: i64 = 60;
const AGAIN_SECONDS_MAX: i64 = 3600;
/// Bytes of evidence that one host may hand over in an hour.
const HOUR_BYTES_MAX: u64 = 2 << 30;

/// A piece as it is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPiece {
    /// SHA-256 over its bytes, hexadecimal: as the run's entry has it.
    pub hash: String,
    /// How many there are.
    pub bytes: u64,
}

impl KeptPiece {
    /// Entries that hold its bytes.
    pub(crate) fn entries(&self) -> u64 {
        self.bytes.div_ceil(PART_BYTES as u64)
    }
}

/// Pieces of one run that are in the ledger, by their hash, with the entry that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence(BTreeMap<String, (KeptPiece, Sequence)>);

impl Evidence {
    /// The entry that says that a piece is there, and those that hold its bytes.
    #[must_use]
    pub fn find(&self, hash: &str) -> Option<(Sequence, Range<u64>)> {
        let (piece, sequence) = self.0.get(hash)?;
        Some((
            *sequence,
            sequence.0.saturating_sub(piece.entries())..sequence.0,
        ))
    }

    fn bytes(&self) -> u64 {
        self.0.values().map(|(piece, _)| piece.bytes).sum()
    }
}

impl Standing {
    /// A piece that its host keeps, by its hash.
    #[must_use]
    pub fn piece(&self, hash: &str) -> Option<&Piece> {
        let steps = self.carried.iter().flat_map(|run| &run.steps);
        let mut pieces = steps.flat_map(|step| &step.pieces);
        pieces.find(|piece| piece.hash == hash && piece.bytes > 0)
    }

    /// Pieces that are to be had and aren't, each once, in the order in which they were kept.
    fn wanted(&self) -> Vec<&Piece> {
        let mut left = RUN_BYTES_MAX.saturating_sub(self.evidence.bytes());
        let mut known = BTreeSet::new();
        let steps = self.carried.iter().flat_map(|run| &run.steps);
        let mut out = Vec::new();
        for piece in steps.flat_map(|step| &step.pieces) {
            let fits = piece.bytes > 0 && piece.bytes <= left.min(EVIDENCE_BYTES_MAX as u64);
            let is_new = !self.evidence.0.contains_key(&piece.hash) && known.insert(&piece.hash);
            if fits && is_new {
                left -= piece.bytes;
                out.push(piece);
            }
        }
        out
    }
}

impl Containments {
    /// Whether a piece may be sealed: the number of the entry that says so when it is already.
    ///
    /// # Errors
    ///
    /// [`RunError`] when no run of this host has it.
    pub fn may_keep(
        &self,
        host: &str,
        run: &str,
        piece: &KeptPiece,
    ) -> Result<Option<Sequence>, RunError> {
        let unfit = |why: &str| RunError::Unfit {
            why: why.to_owned(),
        };
        let standing = self.0.get(run).ok_or(unfit("there is no such run"))?;
        other_host(standing, host)?;
        if let Some((sequence, _)) = standing.evidence.find(&piece.hash) {
            return Ok(Some(sequence));
        }
        let wanted = standing.wanted().into_iter();
        let mut wanted = wanted.filter(|one| one.hash == piece.hash && one.bytes == piece.bytes);
        match wanted.next() {
            Some(_) => Ok(None),
            None => Err(unfit("the run has no such piece, or more than is taken")),
        }
    }

    /// Takes that a piece is in the ledger.
    ///
    /// # Errors
    ///
    /// As [`Self::may_keep`].
    pub fn keep(
        &mut self,
        host: &str,
        run: &str,
        piece: &KeptPiece,
        sequence: Sequence,
    ) -> Result<Arc<Standing>, RunError> {
        let known = self.may_keep(host, run, piece)?;
        let standing = self.0.get_mut(run).ok_or_else(|| RunError::Unfit {
            why: "there is no such run".to_owned(),
        })?;
        if known.is_none() {
            let kept = (piece.clone(), sequence);
            let evidence = &mut Arc::make_mut(standing).evidence;
            evidence.0.insert(piece.hash.clone(), kept);
        }
        Ok(Arc::clone(standing))
    }
}

/// What was asked for and didn't come yet, and what hosts handed over lately.
#[derive(Default)]
pub(super) struct Asked {
    /// When a piece is asked for again, and after how many seconds it was.
    pieces: BTreeMap<WantedPiece, (Timestamp, i64)>,
    /// By host, the hour that is counted and its bytes.
    hours: BTreeMap<String, (i64, u64)>,
}

impl HostDesk {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a host is to hand over now, of its newest runs first: what it was asked for in vain is asked for less and less often, so that
    /// what is gone holds up nothing.
    pub(super) fn wanted(&self, host: &str, now: Timestamp) -> Vec<WantedPiece> {
        let mut standings = self.decider.inner().desk.runs_of_host(host);
        standings.sort_by(|one, other| other.run.cmp(&one.run));
        let mut asked = self.asked();
        let pieces = standings.iter().flat_map(|standing| {
            let wanted = standing.wanted().into_iter();
            wanted.map(|piece| WantedPiece {
                run: standing.run.clone(),
                hash: piece.hash.clone(),
            })
        });
        let is_due = |piece: &WantedPiece| asked.pieces.get(piece).is_none_or(|(at, _)| *at <= now);
        let pieces: Vec<_> = pieces.filter(is_due).take(WANTED_MAX).collect();
        for piece in &pieces {
            let known = asked.pieces.get(piece);
            let seconds = known.map_or(AGAIN_SECONDS, |(_, seconds)| seconds.saturating_mul(2));
            let seconds = seconds.min(AGAIN_SECONDS_MAX);
            let again = (now.plus_seconds(seconds), seconds);
            asked.pieces.insert(piece.clone(), again);
        }
        pieces
    }

    /// Whether a host may hand over so much more in this hour.
    fn count(&self, host: &str, bytes: u64, now: Timestamp) -> bool {
        let hour = now.0.div_euclid(3600 * Timestamp::SECOND);
        let mut asked = self.asked();
        let counted = asked.hours.entry(host.to_owned()).or_default();
        if counted.0 != hour {
            *counted = (hour, 0);
        }
        counted.1 = counted.1.saturating_add(bytes);
        counted.1 <= HOUR_BYTES_MAX
    }

    /// Seals a piece that a host hands over.
    pub(super) async fn keep(
        &self,
        host: &str,
        wanted: WantedPiece,
        content: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), ReportError> {
        let unfit = |why: &str| ReportError::Unfit {
            why: why.to_owned(),
        };
        let piece = KeptPiece {
            hash: wanted.hash.clone(),
            bytes: content.len() as u64,
        };
        let is_known = {
            let desk = &self.decider.inner().desk;
            let run = desk.run(&wanted.run);
            let run = run.map(|run| (run.run.clone(), run));
            Containments(run.into_iter().collect()).may_keep(host, &wanted.run, &piece)
        };
        match is_known {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            Err(error) => return Err(unfit(&error.to_string())),
        }
        if !self.count(host, piece.bytes, now) {
            return Err(ReportError::Away);
        }
        let expected = piece.hash.clone();
        // Whoever goes meanwhile doesn't end the look: the next one waits for it.
        let turn = Arc::clone(&self.decider.inner().vetting);
        let turn = turn.acquire_owned().await;
        let turn = turn.map_err(|_| ReportError::Away)?;
        let looked = tokio::task::spawn_blocking(move || {
            let (mut content, _turn) = (content, turn);
            if hash_of(&content) != expected {
                return Err("its bytes aren't those that the run's entry names");
            }
            // The host masked it; whoever speaks for it may not have. Masked here, it would be another piece.
            let looked = mask_all(&mut content).map(|_| hash_of(&content) == expected);
            match looked {
                Ok(true) => Ok(BASE64.encode(content)),
                _ => Err("something in it can be read that was to be masked"),
            }
        });
        let content = looked
            .await
            .map_err(|_| ReportError::Away)?
            .map_err(unfit)?;
        let id = crate::trail::new_id();
        let decided = Decided::Evidence {
            v: VERSION,
            id: id.clone(),
            host: host.to_owned(),
            run: wanted.run.clone(),
            piece,
        };
        let put = self
            .decider
            .seal((id, now), decided, Some(content), |_| false);
        let put = put.await;
        if put.is_ok() {
            self.asked().pieces.remove(&wanted);
        }
        match put {
            Ok(_) => Ok(()),
            Err(DecideError::Refused { why }) => Err(ReportError::Unfit { why }),
            Err(_) => Err(ReportError::Away),
        }
    }
}

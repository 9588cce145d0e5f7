//! What records are of, and where each named source stands.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{Generation, Position, SourceId, Timestamp};

use super::Refusal;
use crate::source::{Chunk, Given, Positions, Recorder};

/// Longest name of a source.
const NAME_BYTES_MAX: usize = 128;
/// Names of sources, over which no new one is taken.
const NAMES_MAX: usize = 1024;
/// Incarnations of a numbered source whose ends are remembered, the oldest forgotten first.
const INCARNATIONS_MAX: usize = 64;

/// What a record is of.
pub(super) struct Origin {
    pub(super) id: SourceId,
    /// Its format, where it is named.
    pub(super) format: Option<&'static str>,
}

/// What records of a named source are of.
///
/// A source that is sent numbered is another than one of the same name that isn't: their places have nothing in common.
pub(super) fn origin(
    kind: &str,
    name: &str,
    format: Option<&'static str>,
) -> Result<Arc<Origin>, Refusal> {
    // What follows a `#` is a format's name elsewhere.
    let is_name = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.chars().any(|one| one.is_control() || one == '#');
    if !is_name {
        return Err(Refusal::BadData(
            "a source's name has 1 to 128 bytes, none of them `#` or a control character",
        ));
    }
    let id = SourceId(format!("{kind}:{name}"));
    Ok(Arc::new(Origin { id, format }))
}

/// Where each named source stands.
pub(super) struct Names {
    run: Timestamp,
    recorders: BTreeMap<SourceId, Recorder>,
    /// Incarnations of numbered sources and what of each is sealed, the newest last.
    numbered: BTreeMap<SourceId, VecDeque<(Generation, u64)>>,
    sealed: Positions,
}

impl Names {
    pub(super) fn new(given: &Given) -> Self {
        Self {
            run: given.now,
            recorders: BTreeMap::new(),
            numbered: BTreeMap::new(),
            sealed: given.resume.clone(),
        }
    }

    fn room(&self) -> Result<(), Refusal> {
        if self.recorders.len() + self.numbered.len() < NAMES_MAX {
            Ok(())
        } else {
            Err(Refusal::TooManyNames)
        }
    }

    /// The chunk of a record whose sender numbers nothing.
    pub(super) fn chunk(&mut self, origin: &Origin, record: Vec<u8>) -> Result<Chunk, Refusal> {
        if !self.recorders.contains_key(&origin.id) {
            self.room()?;
            let recorder = Recorder::new(origin.id.clone(), self.run);
            self.recorders.insert(origin.id.clone(), recorder);
        }
        let recorder = self
            .recorders
            .get_mut(&origin.id)
            .ok_or(Refusal::TooManyNames)?;
        Ok(Chunk {
            format: origin.format,
            ..recorder.chunk(record)
        })
    }

    /// The first byte of an incarnation that isn't sealed.
    pub(super) fn next(&mut self, id: &SourceId, generation: Generation) -> Result<u64, Refusal> {
        if !self.numbered.contains_key(id) {
            self.room()?;
            let of_ledger = self.sealed.get(id);
            let known = of_ledger.map(|(of, Position { offset_bytes })| (*of, *offset_bytes));
            self.numbered
                .insert(id.clone(), known.into_iter().collect());
        }
        let known = self.numbered.get(id).into_iter().flatten();
        Ok(known
            .filter(|(of, _)| *of == generation)
            .map(|(_, next)| *next)
            .next()
            .unwrap_or(0))
    }

    pub(super) fn sealed(&mut self, id: &SourceId, generation: Generation, next: u64) {
        let known = self.numbered.entry(id.clone()).or_default();
        known.retain(|(of, _)| *of != generation);
        known.push_back((generation, next));
        if known.len() > INCARNATIONS_MAX {
            known.pop_front();
        }
    }
}

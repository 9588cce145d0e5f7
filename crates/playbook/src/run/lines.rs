//! A run from the lines of its journal.

use model::RunEntry;

use super::{Run, RunError};

/// A line of a journal that can't be taken.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct LineError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: LineFault,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// It is no entry.
    #[error("it is no entry ({0})")]
    Json(serde_json::Error),
    /// It doesn't follow the line before.
    #[error("{0}")]
    Unfit(RunError),
}

impl Run {
    /// The run that a journal's bytes tell of – none when no line is whole –, and how many of them are whole lines. What stands behind
    /// the last end of a line was cut off while it was written.
    ///
    /// # Errors
    ///
    /// [`LineError`] at the first line that is no entry, or doesn't follow.
    pub fn read(bytes: &[u8]) -> Result<(Option<Self>, u64), LineError> {
        let mut run: Option<Self> = None;
        let mut whole = 0;
        for (at, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if !text.ends_with(b"\n") {
                break;
            }
            let fault = |why| LineError { line: at + 1, why };
            let entry: RunEntry =
                serde_json::from_slice(text).map_err(|error| fault(LineFault::Json(error)))?;
            let taken = match &mut run {
                Some(run) => run.take(&entry),
                None => Self::begin(&entry).map(|begun| run = Some(begun)),
            };
            taken.map_err(|error| fault(LineFault::Unfit(error)))?;
            whole += text.len() as u64;
        }
        Ok((run, whole))
    }
}

//! From a pipeline's end state to a document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::Timestamp;
use report::{Document, EntryLine, InputLine};

use crate::analyze::Outcome;
use crate::evidence::view;
use crate::pipeline::Pipeline;

/// Entries shown of one finding.
const ENTRIES_PER_FINDING: usize = 12;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The file can't be written.
    #[error("can't write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The page can't be made.
    #[error("the report can't be made")]
    Make {
        /// What is wrong.
        source: report::ReportError,
    },
}

/// Writes `report.html` and `report.json` below `root`.
///
/// # Errors
///
/// [`ReportError`] when they can't be made or written.
pub fn write(
    pipeline: &Pipeline,
    outcome: &Outcome,
    root: &Path,
    now: Timestamp,
) -> Result<(), ReportError> {
    let entries = entries(pipeline);
    let document = Document {
        installation: pipeline.installation().0.clone(),
        lane: pipeline.lane(),
        generated: now,
        incidents: pipeline.judge().incidents().cloned().collect(),
        findings: pipeline
            .judge()
            .findings()
            .map(|finding| (finding.id.clone(), finding.clone()))
            .collect(),
        entries,
        inputs: outcome
            .inputs
            .iter()
            .map(|input| InputLine {
                path: input.facts.path.clone(),
                format: input.facts.format.clone(),
                records: input.facts.records,
                quarantined: input.facts.quarantined,
                hash: format!("{} {}", input.facts.hash_kind, input.facts.hash),
                error: input.facts.error.clone(),
            })
            .collect(),
        not_read: outcome.not_read.clone(),
        checkpoint: pipeline.ledger().last_checkpoint().unwrap_or_default(),
        entries_total: pipeline.ledger().len(),
    };
    let put = |name: &str, text: String| {
        let path = root.join(name);
        std::fs::write(&path, text).map_err(|source| ReportError::Write { path, source })
    };
    put(
        "report.html",
        report::html(&document).map_err(|source| ReportError::Make { source })?,
    )?;
    put("report.json", report::json(&document))
}

/// The entries incidents rest on, the first ones of each finding.
#[must_use]
pub fn entries(pipeline: &Pipeline) -> BTreeMap<u64, EntryLine> {
    let mut wanted = BTreeSet::new();
    for incident in pipeline.judge().incidents() {
        for finding in incident
            .findings
            .iter()
            .filter_map(|joined| pipeline.judge().finding(&joined.finding))
        {
            wanted.extend(
                finding
                    .events
                    .iter()
                    .take(ENTRIES_PER_FINDING)
                    .map(|event| event.sequence),
            );
        }
    }
    wanted
        .into_iter()
        .filter_map(|sequence| {
            let view = view(pipeline.ledger().read(sequence).ok()?, None);
            Some((
                view.sequence,
                EntryLine {
                    source: view.source,
                    offset_bytes: view.offset_bytes,
                    said: view.said,
                    text: view.text.unwrap_or_else(|| "destroyed".to_owned()),
                    leaf_hash: view.leaf_hash,
                },
            ))
        })
        .collect()
}

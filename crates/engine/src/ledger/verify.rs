//! Checks a ledger from its files alone, and against checkpoints held elsewhere.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use custody::{Checkpoint, EntryKind, Header, Tree, Verifier, hash_leaf};
use serde::Serialize;
use stores::SegmentFiles;

use super::LedgerError;

/// One thing that doesn't hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The entry, where one is meant.
    pub sequence: Option<u64>,
    /// What doesn't hold.
    pub what: String,
}

/// What verifying found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether everything holds.
    pub ok: bool,
    /// Entries on disk.
    pub entries: u64,
    /// Entries whose payload was destroyed.
    pub redacted: u64,
    /// Checkpoints checked, those held elsewhere included.
    pub checkpoints: u64,
    /// Size of the largest checkpoint that holds.
    pub proven: u64,
    /// What doesn't hold.
    pub breaks: Vec<Break>,
    /// What this check can't find.
    pub cannot_find: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.ok { "verified" } else { "BROKEN" };
        writeln!(
            f,
            "{word}: {} entries, {} of them redacted; {} checkpoints checked, proven up to entry {}",
            self.entries, self.redacted, self.checkpoints, self.proven
        )?;
        for broken in &self.breaks {
            match broken.sequence {
                Some(sequence) => writeln!(f, "  entry {sequence}: {}", broken.what)?,
                None => writeln!(f, "  {}", broken.what)?,
            }
        }
        for limit in &self.cannot_find {
            writeln!(f, "  not found by this check: {limit}")?;
        }
        Ok(())
    }
}

/// Checks every entry and every checkpoint of a ledger.
///
/// Payloads are checked where the keys lie beside the ledger in `keys/`; leaves and tree without any key.
///
/// # Errors
///
/// [`LedgerError`] when the files can't be read at all; what doesn't hold is in the report.
pub fn verify(
    folder: &Path,
    key: Option<&str>,
    held_elsewhere: Option<&Path>,
) -> Result<Report, LedgerError> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map_err(|source| LedgerError::Io { path, source })
    };
    let key_beside = key.is_none();
    let key = match key {
        Some(key) => key.to_owned(),
        None => read(folder.join("verifier.key"))?,
    };
    let verifier = Verifier::decode(&key).map_err(|source| LedgerError::Checkpoint { source })?;
    let mut breaks = Vec::new();
    let mut notes = vec![(
        "the ledger",
        fs::read_to_string(folder.join("checkpoints.log")).unwrap_or_default(),
    )];
    if let Some(path) = held_elsewhere {
        notes.push(("elsewhere", read(path.to_owned())?));
    }
    let mut checkpoints: Vec<(&str, Checkpoint)> = Vec::new();
    let mut of_others = 0_u64;
    for (place, text) in &notes {
        for note in notes_of(text) {
            // A second place outlives a ledger that was set aside.
            if *place == "elsewhere" && note.lines().next() != Some(verifier.name()) {
                of_others += 1;
                continue;
            }
            match verifier.verify(note) {
                Ok(checkpoint) => checkpoints.push((place, checkpoint)),
                Err(error) => breaks.push(Break {
                    sequence: None,
                    what: format!("a checkpoint from {place}: {error}"),
                }),
            }
        }
    }
    checkpoints.sort_by_key(|(_, checkpoint)| checkpoint.size);
    let mut walk = Walk {
        entries: 0,
        redacted: 0,
        proven: 0,
        breaks,
    };
    walk.run(folder, &checkpoints)?;
    let mut cannot_find = vec!["a rewrite of everything with the signing key".to_owned()];
    if held_elsewhere.is_none() {
        cannot_find.push("a roll-back to an earlier checkpoint (name a checkpoint held elsewhere with --checkpoint)".to_owned());
    }
    if of_others > 0 {
        cannot_find.push(format!(
            "anything that {of_others} checkpoints of other ledgers tell (name those ledgers' folders)"
        ));
    }
    if key_beside {
        cannot_find.push(format!(
            "another key put in place of the signing key's (this one was used: {}; hold it elsewhere and name it with --key)",
            key.trim()
        ));
    }
    if checkpoints.is_empty() {
        walk.breaks.push(Break {
            sequence: None,
            what: "there is no checkpoint to check against".to_owned(),
        });
    }
    Ok(Report {
        ok: walk.breaks.is_empty(),
        entries: walk.entries,
        redacted: walk.redacted,
        checkpoints: checkpoints.len() as u64,
        proven: walk.proven,
        breaks: walk.breaks,
        cannot_find,
    })
}

/// The notes of a file: each is a body, an empty line, signature lines, an empty line.
pub(super) fn notes_of(text: &str) -> Vec<&str> {
    let mut notes = Vec::new();
    let mut rest = text;
    while let Some((body, after)) = rest.split_once("\n\n") {
        let end = after.find("\n\n").map_or(after.len(), |end| end + 1);
        let whole = body.len() + 2 + end;
        notes.push(rest.get(..whole).unwrap_or(rest));
        rest = rest
            .get(whole..)
            .unwrap_or_default()
            .trim_start_matches('\n');
    }
    notes
}

/// One pass over the entries.
struct Walk {
    entries: u64,
    redacted: u64,
    proven: u64,
    breaks: Vec<Break>,
}

impl Walk {
    fn run(
        &mut self,
        folder: &Path,
        checkpoints: &[(&str, Checkpoint)],
    ) -> Result<(), LedgerError> {
        let files = match SegmentFiles::open_read(&folder.join("segments"), &[]) {
            Ok(files) => files,
            Err(error) => {
                self.breaks.push(Break {
                    sequence: None,
                    what: error.to_string(),
                });
                return Ok(());
            }
        };
        let keys = folder
            .parent()
            .map(|parent| parent.join("keys"))
            .filter(|keys| keys.join("wrapping.key").is_file());
        let reader = match keys
            .map(|keys| super::Ledger::open_read(folder, &keys, &parse::Context::default()))
        {
            Some(Ok(reader)) => Some(reader),
            Some(Err(error)) => {
                self.breaks.push(Break {
                    sequence: None,
                    what: format!("payloads can't be checked: {error}"),
                });
                None
            }
            None => None,
        };
        let (mut zeroed, mut decided) = (Vec::new(), BTreeSet::new());
        let mut tree = Tree::default();
        let mut due = checkpoints.iter().peekable();
        self.entries = files.len();
        for number in 0..=files.len() {
            while let Some((place, checkpoint)) =
                due.next_if(|(_, checkpoint)| checkpoint.size == number)
            {
                if tree.root() == checkpoint.root {
                    self.proven = checkpoint.size;
                } else {
                    self.breaks.push(Break {
                        sequence: None,
                        what: format!(
                            "the first {number} entries are not those of a checkpoint from {place}"
                        ),
                    });
                }
            }
            let Some(row) = files.read(number)? else {
                break;
            };
            match Header::decode(&row.leaf) {
                Ok(header) if header.sequence.0 == number => {
                    if header.kind == EntryKind::Redacted
                        && let Some(reader) = &reader
                    {
                        decided.extend(reader.redacted_by(header.sequence).unwrap_or_default());
                    }
                }
                Ok(header) => {
                    self.broken(number, format!("says it is entry {}", header.sequence.0))
                }
                Err(error) => self.broken(number, error.to_string()),
            }
            tree.push(hash_leaf(&row.leaf));
            if row.payload.iter().all(|byte| *byte == 0) {
                self.redacted += 1;
                zeroed.push(number);
            } else if let Some(Err(error)) = reader
                .as_ref()
                .map(|reader| reader.read(model::Sequence(number)))
            {
                self.broken(number, error.to_string());
            }
        }
        // Without the keys nobody can read who decided: the count is told, the check is not made.
        for number in zeroed.into_iter().filter(|_| reader.is_some()) {
            if !decided.contains(&number) {
                self.broken(
                    number,
                    "its payload is gone and no sealed decision says so".to_owned(),
                );
            }
        }
        for (place, checkpoint) in due {
            self.breaks.push(Break {
                sequence: None,
                what: format!(
                    "a checkpoint from {place} tells of {} entries, {} are there",
                    checkpoint.size,
                    files.len()
                ),
            });
        }
        Ok(())
    }

    fn broken(&mut self, sequence: u64, what: String) {
        if self.breaks.len() < 100 {
            self.breaks.push(Break {
                sequence: Some(sequence),
                what,
            });
        }
    }
}

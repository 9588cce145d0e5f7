//! The runs of this host, read again only where their files grew: it is looked often, and a run lasts for weeks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use playbook::Run;

use super::hands::said;
use crate::runs::{JournalError, read};

/// Journals that were read.
pub(super) struct Journals {
    folder: PathBuf,
    known: BTreeMap<String, Known>,
}

struct Known {
    /// A journal only grows; one that was cut and written anew has another time.
    form: (u64, Option<SystemTime>),
    run: Option<Arc<Run>>,
}

impl Journals {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            known: BTreeMap::new(),
        }
    }

    /// Every run that can be read, by id; `trouble` hears of those that can't, when that is new.
    pub(super) fn look(&mut self, trouble: &dyn Fn(&str)) -> Vec<Arc<Run>> {
        let mut known = std::mem::take(&mut self.known);
        let files = match std::fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    trouble(&format!("can't read {}: {error}", self.folder.display()));
                }
                return Vec::new();
            }
        };
        for file in files.flatten() {
            let path = file.path();
            if path.extension().is_none_or(|ending| ending != "ndjson") {
                continue;
            }
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            let Ok(about) = file.metadata() else { continue };
            let form = (about.len(), about.modified().ok());
            let entry = match known.remove(&*id) {
                Some(same) if same.form == form => same,
                _ => Known {
                    form,
                    run: match read(&self.folder, &id) {
                        Ok(run) => Some(Arc::new(run)),
                        // Not begun: its first line isn't whole.
                        Err(JournalError::NoRun { .. }) => None,
                        Err(error) => {
                            trouble(&said(&error));
                            None
                        }
                    },
                },
            };
            self.known.insert(id.into_owned(), entry);
        }
        let runs = self.known.values();
        runs.filter_map(|known| known.run.clone()).collect()
    }
}

//! The runs in a folder, read again only where their files grew: they are looked at often, and a run lasts for weeks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use playbook::Run;

use super::journal::{ENDING, JournalError, read};

/// The runs of a folder, oldest first, and what of it can't be read.
pub type Looked = (Vec<Arc<Run>>, Vec<Arc<JournalError>>);

/// Journals that were read.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, One>);

#[derive(Debug)]
struct One {
    /// A journal only grows; one that was cut and written anew has another time.
    form: (u64, Option<SystemTime>),
    run: Result<Arc<Run>, Arc<JournalError>>,
}

impl Known {
    /// Looks at a folder; one that isn't there has no runs.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it can't be read.
    pub(super) fn look(&mut self, folder: &Path) -> Result<Looked, JournalError> {
        let mut before = std::mem::take(&mut self.0);
        let files = match std::fs::read_dir(folder) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Looked::default());
            }
            Err(error) => return Err(JournalError::file("read", folder)(error)),
        };
        for file in files {
            let path = file.map_err(JournalError::file("read", folder))?.path();
            if path.extension().is_none_or(|ending| ending != ENDING) {
                continue;
            }
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            let about = path.metadata().ok();
            let form = about.map(|about| (about.len(), about.modified().ok()));
            let form = form.unwrap_or_default();
            let same = before.remove(&*id).filter(|one| one.form == form);
            // What could not be opened is tried again: it may have been the system's fault.
            let same = same.filter(|one| {
                !matches!(&one.run, Err(error) if matches!(**error, JournalError::File { .. }))
            });
            let one = same.unwrap_or_else(|| One {
                form,
                run: read(folder, &id).map(Arc::new).map_err(Arc::new),
            });
            self.0.insert(id.into_owned(), one);
        }
        let (mut runs, mut errors) = Looked::default();
        for one in self.0.values() {
            match &one.run {
                Ok(run) => runs.push(Arc::clone(run)),
                Err(error) => errors.push(Arc::clone(error)),
            }
        }
        runs.sort_by(|one, other| (one.approved, &one.id).cmp(&(other.approved, &other.id)));
        Ok((runs, errors))
    }
}

//! What an agent remembers beside its runs: who it is, what the server has of them, and what it refused.
//!
//! Each a file that is whole or absent. Who it is can't be lost without enrolling anew; the other one can: then everything is told again, and
//! an order that was refused is judged once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use link::Identity;
use model::Refused;
use serde::{Deserialize, Serialize};
use stores::StoreError;

use crate::runs::make_ours;

/// Refusals that are kept until the server has them; the oldest goes where there are more.
const REFUSED_MAX: usize = 1000;
/// Letters of a reason: a plan of 500 steps has many, and a report has to arrive.
const WHY_MAX: usize = 4000;

/// Why what is kept can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptError {
    /// The host isn't enrolled; its administrator enrols it.
    #[error("this host isn't enrolled: there is no {}", path.display())]
    NotEnrolled {
        /// What isn't there.
        path: PathBuf,
    },
    /// It is enrolled already.
    #[error("this host is enrolled already: {} is there", path.display())]
    Enrolled {
        /// What is there.
        path: PathBuf,
    },
    /// A file can't be used.
    #[error("can't use {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> KeptError {
    let path = path.to_owned();
    move |source| KeptError::File { path, source }
}

fn identity_of(folder: &Path) -> PathBuf {
    folder.join("agent.identity")
}

/// Who the agent of a folder is.
///
/// # Errors
///
/// [`KeptError`].
pub fn identity(folder: &Path) -> Result<Identity, KeptError> {
    let path = identity_of(folder);
    let text = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => KeptError::NotEnrolled { path: path.clone() },
        _ => file(&path)(error),
    })?;
    serde_json::from_slice(&text).map_err(|error| file(&path)(error.into()))
}

/// Whether there is room for an identity: asked before anything is sent, since an invitation works once.
///
/// # Errors
///
/// [`KeptError::Enrolled`] when there is one, or when the folder can't be made.
pub fn may_enrol(folder: &Path) -> Result<(), KeptError> {
    let path = identity_of(folder);
    make_ours(folder).map_err(file(folder))?;
    match path.try_exists().map_err(file(&path))? {
        true => Err(KeptError::Enrolled { path }),
        false => Ok(()),
    }
}

/// Keeps who the agent is (mode 0600).
///
/// # Errors
///
/// [`KeptError`].
pub fn keep_identity(folder: &Path, identity: &Identity) -> Result<(), KeptError> {
    let path = identity_of(folder);
    let text = serde_json::to_vec(identity).map_err(|error| file(&path)(error.into()))?;
    Ok(stores::write_atomically(&path, &text)?)
}

/// What the server has of this host, and what it doesn't have yet beside the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Version of this form; 1.
    v: u32,
    /// By run, how many of its entries are sealed.
    pub(super) sealed: BTreeMap<String, u64>,
    /// What was refused, until the server heard of it.
    pub(super) refused: Vec<Refused>,
}

impl Told {
    /// Of a folder; one that is damaged is as one that is lost.
    ///
    /// # Errors
    ///
    /// [`KeptError`] when it is there and can't be read.
    pub(super) fn read(folder: &Path) -> Result<Self, KeptError> {
        let path = folder.join("agent.told");
        match std::fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(file(&path)(error)),
        }
    }

    pub(super) fn write(&mut self, folder: &Path) -> Result<(), KeptError> {
        self.v = 1;
        let path = folder.join("agent.told");
        let text = serde_json::to_vec(self).map_err(|error| file(&path)(error.into()))?;
        Ok(stores::write_atomically(&path, &text)?)
    }

    /// Notes a refusal; one of the same order counts once.
    pub(super) fn refuse(&mut self, mut refused: Refused) {
        if refused.why.chars().count() > WHY_MAX {
            refused.why = refused.why.chars().take(WHY_MAX).chain(['…']).collect();
        }
        if self.refused.iter().any(|one| one.order == refused.order) {
            return;
        }
        if self.refused.len() >= REFUSED_MAX {
            self.refused.remove(0);
        }
        self.refused.push(refused);
    }
}

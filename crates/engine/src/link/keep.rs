//! The keys of the link beside the installation's others: each in a 0600 file of its own, made at first use.

use std::path::Path;

use link::{Authority, Plans};
use model::Timestamp;

use super::AgentError;
use crate::runs::make_ours;

/// The authority of agents, of `keys/agents`.
///
/// # Errors
///
/// [`AgentError`].
pub fn authority(keys: &Path, now: Timestamp) -> Result<Authority, AgentError> {
    let path = keys.join("agents");
    match std::fs::read(&path) {
        Ok(kept) => Ok(Authority::kept(&kept)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            make_ours(keys).map_err(AgentError::file(keys))?;
            let made = Authority::make(now)?;
            stores::write_atomically(&path, &made.to_keep())?;
            Ok(made)
        }
        Err(error) => Err(AgentError::file(&path)(error)),
    }
}

/// What signs plans, of `keys/plans.key`.
///
/// # Errors
///
/// [`AgentError`].
pub fn plans(keys: &Path) -> Result<Plans, AgentError> {
    make_ours(keys).map_err(AgentError::file(keys))?;
    let fresh = Plans::fresh()?;
    let key = stores::read_or_make(&keys.join("plans.key"), || fresh)?;
    Ok(Plans::new(&key))
}

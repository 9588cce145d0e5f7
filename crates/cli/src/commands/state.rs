//! Where the state is kept: flags that `up` and `redact` share, and what to do when it can't be.

use std::path::PathBuf;

use clap::Args;
use engine::pipeline::PipelineError;
use engine::projection::ProjectionError;
use engine::state::{Server, StatePlace, StoreError};

use crate::failure::{Failure, OrFail};

/// Where the state is kept. Flags win over the settings file.
#[derive(Args, Clone, Default)]
pub(super) struct StateFlags {
    /// Keep the state in PostgreSQL: `postgres://user@host:port/database` [default: a file beside the ledger]
    #[arg(long, value_name = "URL", global = true, hide = !cfg!(feature = "postgres"))]
    pub(super) state: Option<String>,
    /// File with the password of --state, mode 0600
    #[arg(long, value_name = "FILE", global = true, hide = !cfg!(feature = "postgres"))]
    pub(super) state_password_file: Option<PathBuf>,
    /// Certificate (PEM) of who signed the one of --state; on another host TLS is always required
    #[arg(long, value_name = "FILE", global = true, hide = !cfg!(feature = "postgres"))]
    pub(super) state_ca_file: Option<PathBuf>,
}

impl StateFlags {
    /// The place that is named, if one is.
    pub(super) fn place(&self) -> Result<Option<StatePlace>, Failure> {
        let Some(url) = &self.state else {
            if self.state_password_file.is_some() || self.state_ca_file.is_some() {
                return Err(Failure::say(
                    "a password or a certificate for the state's server is named, and no server",
                    "name it with --state, or leave the files out",
                ));
            }
            return Ok(None);
        };
        let server = Server::new(
            url,
            self.state_password_file.clone(),
            self.state_ca_file.clone(),
        )
        .or_fail("docs/state.md has examples")?;
        Ok(Some(StatePlace::Server(server)))
    }
}

/// What to do when the pipeline doesn't open.
pub(super) fn hint(error: &PipelineError) -> &'static str {
    match error {
        PipelineError::Projection {
            source: ProjectionError::Store { source },
            ..
        } => store_hint(source),
        _ => {
            "another magewarden may hold the ledger; otherwise check that --data is writable and has room"
        }
    }
}

/// What to do when the state can't be used.
pub(super) fn store_hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::Server { .. } => {
            "check that PostgreSQL runs there and lets this account in (docs/state.md), then start again; the ledger is whole, and \
             what came into the logs meanwhile is read then"
        }
        StoreError::InUse { .. } => {
            "stop the other magewarden, or give this one a database of its own with --state"
        }
        StoreError::Owned { .. } => {
            "each installation has a database or a schema of its own: name another with --state (docs/state.md says how one \
             changes hands)"
        }
        StoreError::NotPrivate { .. } => "make it its owner's alone: chmod 600",
        _ => "check that the place of the state is readable, writable and has room",
    }
}

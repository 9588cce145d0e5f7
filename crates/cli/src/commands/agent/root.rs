//! `agent root`: the root helper, which answers a closed list of operations on a socket that systemd opened.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use model::StoreMap;
use responders::as_root::{RootSettings, SettingsError, alone, inherited, serve};

use super::now;
use crate::commands::console::stop_on_signals;
use crate::commands::settings::read_stores;
use crate::failure::{Failure, OrFail};

/// What it is told.
#[derive(Args)]
pub(super) struct Root {
    /// Who may ask, and which programs are run (TOML; docs/agent.md): root's alone
    #[arg(long, value_name = "FILE", default_value = "/etc/magewarden/root.toml")]
    settings: PathBuf,
}

impl Root {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let settings = RootSettings::open(&self.settings).map_err(|error| wrong(&error))?;
        let stores = match &settings.stores {
            None => StoreMap::default(),
            Some(path) => {
                alone(path).map_err(|error| wrong(&error))?;
                read_stores(Some(path))?
            }
        };
        let stop = stop_on_signals()?;
        let tell = |line: &str| {
            let line = crate::terminal::inert(line);
            drop(writeln!(std::io::stderr(), "{}  {line}", now()));
        };
        let hint = "systemctl enable --now magewarden-agent-root.socket starts it (docs/agent.md)";
        let listener = inherited().or_fail(hint)?;
        serve(&listener, &settings, &stores, &stop, &tell).or_fail(hint)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn wrong(error: &SettingsError) -> Failure {
    let hint = match error {
        SettingsError::Open { .. } => "chown root: and chmod go-w it, and every folder above it",
        SettingsError::File { .. } => "docs/agent.md shows one",
        _ => "docs/agent.md shows what it may say",
    };
    Failure::new(error, hint)
}

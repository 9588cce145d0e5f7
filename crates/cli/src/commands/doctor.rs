//! `magewarden doctor`: what can and cannot be seen of a shop, what closes each gap, what that costs, and what undoes it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Output;
use super::settings::Reading;
use super::up::{Database, Up};
use crate::failure::Failure;

/// Say what can't be seen of a shop: the statement or setting that closes each gap, its price and its undo
///
/// Starts nothing and changes nothing. Prices of logs were measured at a shop under load (`docs/performance.md`).
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden doctor --magento /var/www/shop\n  \
    magewarden doctor --magento /var/www/shop --database-user magewarden --format json\n\n\
    Exit code 10 when there is a gap."
)]
pub(crate) struct Doctor {
    /// Magento's root folder
    #[arg(long, value_name = "ROOT")]
    magento: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
    #[command(flatten)]
    database: Database,
    /// Settings (TOML), as `magewarden up` takes them; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

impl Doctor {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        Up::looking(
            self.magento,
            self.database,
            self.config,
            self.reading,
            self.format,
        )
        .run()
    }
}

//! `magewarden doctor`: what can and cannot be seen of a shop, and what closes each gap; whether the state says what the ledger says.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use engine::compare::{Compared, Rows, compare};
use engine::ledger::Ledger;
use engine::state::StoreError;
use model::InstallationId;
use parse::Context;

use super::settings::Reading;
use super::state::{StateFlags, store_hint};
use super::up::{Database, Up};
use super::{FOUND, Output};
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Say what can't be seen of a shop: the statement or setting that closes each gap, its price and its undo
///
/// Starts nothing and changes nothing. Prices of logs were measured at a shop under load (`docs/performance.md`).
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden doctor --magento /var/www/shop\n  \
    magewarden doctor --magento /var/www/shop --database-user magewarden --format json\n\n\
    The state's rows held against the ledger they are copies of; and made again where they differ (stop `up` first):\n  \
    magewarden doctor --data magewarden-data\n  \
    magewarden doctor --data magewarden-data --rebuild\n\n\
    Exit code 10 when there is a gap, or a row that differs."
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
    /// Hold the state's database against the ledger in this folder of `up`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where rows differ, empty the state: the next `up` makes them again from the ledger. What people made stays
    #[arg(long, requires = "data")]
    rebuild: bool,
    #[command(flatten)]
    state: StateFlags,
}

impl Doctor {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let differs = match &self.data {
            Some(data) => self.compare(data)?,
            None => false,
        };
        if self.data.is_some() && self.magento.is_none() && self.config.is_none() {
            return Ok(if differs {
                ExitCode::from(FOUND)
            } else {
                ExitCode::SUCCESS
            });
        }
        let looked = Up::looking(
            self.magento,
            self.database,
            self.config,
            self.reading,
            self.format,
        )
        .run()?;
        Ok(if differs {
            ExitCode::from(FOUND)
        } else {
            looked
        })
    }

    /// Holds the state against the ledger, and prints what differs; tells whether something still does.
    fn compare(&self, data: &Path) -> Result<bool, Failure> {
        let (folder, keys) = (data.join("ledger"), data.join("keys"));
        if !folder.join("segments").is_dir() {
            return Err(Failure::say(
                format!("{} holds no ledger", data.display()),
                "name the folder that `up` has with --data",
            ));
        }
        let failed = |error: StoreError| Failure::new(&error, store_hint(&error));
        let place = self.state.place()?;
        let database = engine::state::database(&folder, place.as_ref()).map_err(failed)?;
        // The rows first: what is sealed meanwhile isn't missing in them.
        let rows = Rows::read(&database).map_err(failed)?;
        let ledger = Ledger::open_read(&folder, &keys, &Context::default())
            .or_fail("check that --data is readable")?;
        let compared = compare(&ledger, rows)
            .or_fail("the ledger isn't what was sealed: magewarden verify says what differs")?;
        self.print(&compared).or_fail("write to another place")?;
        if compared.count == 0 || !self.rebuild {
            return Ok(compared.count > 0);
        }
        drop((ledger, database));
        let installation = InstallationId("shop".to_owned());
        let (ledger, _) =
            Ledger::create_or_open(&folder, &keys, &installation, None, &Context::default())
                .or_fail("stop the magewarden that writes to it, then try again")?;
        let mut state =
            engine::state::open(&ledger, &folder, place.as_ref(), &installation).map_err(failed)?;
        state.clear().map_err(failed)?;
        drop(writeln!(
            std::io::stderr(),
            "the state's rows are emptied; the next `up` makes them again from the ledger"
        ));
        Ok(false)
    }

    fn print(&self, compared: &Compared) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match self.format {
            Output::Json => {
                return writeln!(
                    out,
                    "{:#}",
                    serde_json::json!({ "version": 1, "state": compared })
                );
            }
            Output::Ndjson => {
                return writeln!(
                    out,
                    "{}",
                    serde_json::json!({ "version": 1, "state": compared })
                );
            }
            Output::Human => {}
        }
        writeln!(
            out,
            "state     {} rows of {} entries (of {} in the ledger): {}",
            compared.rows,
            compared.reflects,
            compared.entries,
            match compared.count {
                0 => "as the ledger has them".to_owned(),
                count => format!("{count} differ; the ledger is right"),
            }
        )?;
        for one in &compared.differences {
            let entry = one
                .entry
                .map_or(String::new(), |entry| format!("  (entry {entry})"));
            writeln!(
                out,
                "          {} {} {}{entry}",
                one.table,
                inert(&one.id),
                one.what
            )?;
        }
        Ok(())
    }
}

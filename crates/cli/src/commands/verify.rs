//! `magewarden verify`: every entry, every proof, every checkpoint.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use engine::ledger::{self, Ledger};
use parse::Context;
use serde_json::json;

use super::Output;
use crate::failure::{Failure, OrFail};

/// Check a ledger: every entry, every proof, every checkpoint
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden verify magewarden-out/latest/ledger\n  \
    magewarden verify LEDGER --checkpoint /mnt/elsewhere/checkpoints.copy\n\n\
    Alone, it finds every change except a roll-back to an earlier checkpoint and a rewrite with\n\
    the signing key; with a checkpoint held elsewhere it finds those too.\n\
    Exit codes: 0 verified, 1 broken or not readable."
)]
pub(crate) struct Verify {
    /// Folder of the ledger
    ledger: PathBuf,
    /// Checkpoint, or a file of checkpoints, held elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Verifier key (`name+id+key`); otherwise the one stored with the ledger
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Opens a ledger to read from; the keys lie beside it unless told otherwise.
pub(crate) fn open_ledger(path: &Path, context: &Context) -> Result<Ledger, Failure> {
    let keys = path
        .parent()
        .map_or_else(|| PathBuf::from("keys"), |parent| parent.join("keys"));
    Ledger::open_read(path, &keys, context)
        .or_fail("name the folder that holds `segments/`; its keys lie in `keys/` beside it")
}

impl Verify {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let report = ledger::verify(
            &self.ledger,
            self.key.as_deref(),
            self.checkpoint.as_deref(),
        )
        .or_fail("name the folder that holds `segments/` and `checkpoint`")?;
        let mut out = std::io::stdout().lock();
        let hint = "check where the output goes";
        if self.format == Output::Human {
            writeln!(out, "{report}").or_fail(hint)?;
        } else {
            writeln!(out, "{}", json!(report)).or_fail(hint)?;
        }
        Ok(if report.ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

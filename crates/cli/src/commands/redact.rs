//! `magewarden redact`: destroy what an entry holds while every proof still checks.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use engine::ledger::{Ledger, Opening};
use model::{InstallationId, Sequence};
use parse::Context;
use serde_json::json;

use super::Output;
use super::state::{StateFlags, store_hint};
use crate::failure::{Failure, OrFail};

/// Destroy the payload of entries: a number the mask missed, a person's data, a secret
///
/// The payload is overwritten, the rest of its source's day is written under a new key, and the old
/// key is destroyed. The leaf stays, so the ledger and every proof verify as before. Who decided,
/// why, and which entries is sealed first.
#[derive(Args)]
#[command(
    after_help = "Example:\n  magewarden scan LEDGER                  tells the entries\n  \
    magewarden redact LEDGER 1041 1042 --by 'A. Jung' --and-by 'R. Sanz' --reason 'card number in base64'\n  \
    magewarden verify LEDGER                as before\n\n\
    Two people decide. Both names are sealed as given: without accounts nothing proves that two\n\
    people gave them. It can't be undone. Copies outside the ledger (logs at the shop, reports,\n\
    backups) are not touched; what lies beside the ledger and still holds a number is named."
)]
pub(crate) struct Redact {
    /// Folder of the ledger; nothing else may be writing to it
    ledger: PathBuf,
    /// Entries, by sequence number
    #[arg(required = true, value_name = "ENTRY")]
    entries: Vec<u64>,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Who decides with them
    #[arg(long, value_name = "NAME")]
    and_by: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Name of the installation, as given to the command that made the ledger
    #[arg(long, value_name = "NAME", default_value = "shop")]
    installation: String,
    /// Second place for checkpoints [default: checkpoints.copy beside the ledger]
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    #[command(flatten)]
    state: StateFlags,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

impl Redact {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let plain = |name: &str| name.trim().to_lowercase();
        if plain(&self.by).is_empty() || plain(&self.by) == plain(&self.and_by) {
            return Err(Failure::say(
                "a redaction is decided by two different people",
                "name them with --by and --and-by",
            ));
        }
        if !self.ledger.join("segments").is_dir() {
            return Err(Failure::say(
                format!("{} is no ledger", self.ledger.display()),
                "name the folder that holds `segments/`",
            ));
        }
        let place = self.state.place()?;
        if !self.confirmed()? {
            return Err(Failure::say("nothing was destroyed", ""));
        }
        let beside = |name: &str| self.ledger.with_file_name(name);
        let second_place = self
            .checkpoints
            .clone()
            .unwrap_or_else(|| beside("checkpoints.copy"));
        let (mut ledger, opening) = Ledger::create_or_open(
            &self.ledger,
            &beside("keys"),
            &InstallationId(self.installation.clone()),
            Some(&second_place),
            &Context::default(),
        )
        .or_fail("stop the magewarden that writes to it, then try again")?;
        if let Opening::Broken { aside, why, .. } = opening {
            return Err(Failure::say(
                format!("the ledger is not what was signed ({why}); it was set aside"),
                format!("magewarden verify {}", aside.display()),
            ));
        }
        // Before anything is destroyed: the state may quote it.
        let mut state = engine::state::open(
            &ledger,
            &self.ledger,
            place.as_ref(),
            &InstallationId(self.installation.clone()),
        )
        .map_err(|error| Failure::new(&error, store_hint(&error)))?;
        let which: Vec<Sequence> = self.entries.iter().copied().map(Sequence).collect();
        let sealed = ledger
            .redact(&which, [&self.by, &self.and_by], &self.reason, super::now())
            .or_fail("free some disk space and try again; the decision is sealed first, the rest is done at the next start")?;
        ledger
            .checkpoint()
            .or_fail("free some disk space; the entries are destroyed")?;
        // It is made again from the ledger at the next start.
        state
            .forget()
            .or_fail("the entries are destroyed, the state may quote them yet: empty it yourself (docs/state.md)")?;
        drop((state, ledger));
        self.print(sealed)
    }

    fn confirmed(&self) -> Result<bool, Failure> {
        if self.yes || !std::io::stdin().is_terminal() {
            return Ok(self.yes);
        }
        let mut out = std::io::stderr().lock();
        drop(write!(
            out,
            "destroy the payload of {} entries for good? type `destroy`: ",
            self.entries.len()
        ));
        drop(out.flush());
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .or_fail("say --yes instead")?;
        Ok(answer.trim() == "destroy")
    }

    fn print(&self, sealed: Sequence) -> Result<ExitCode, Failure> {
        let left = super::scan::files_with_numbers(
            ["report.html", "report.json", "findings.ocsf.ndjson"]
                .map(|name| self.ledger.with_file_name(name)),
        );
        let mut out = std::io::stdout().lock();
        let hint = "check where the output goes";
        if self.format == Output::Human {
            writeln!(
                out,
                "destroyed: {} entries; the decision is entry {}\nnext:      magewarden verify {}",
                self.entries.len(),
                sealed.0,
                self.ledger.display()
            )
            .or_fail(hint)?;
            for path in &left {
                writeln!(out, "still holds a number: {} (delete it)", path.display())
                    .or_fail(hint)?;
            }
        } else {
            let left: Vec<_> = left.iter().map(|path| path.display().to_string()).collect();
            writeln!(
                out,
                "{}",
                json!({"version": 1, "destroyed": self.entries, "decision": sealed.0, "still_holds_a_number": left})
            )
            .or_fail(hint)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! The binary `magewarden`: settings and commands; everything else is below.
//!
//! Exit codes: 0 nothing found, 1 error, 2 usage, 10 findings at or above `--fail-on`.

mod commands;
mod failure;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;

/// The version, and what it was built without.
const VERSION: &str = match (cfg!(feature = "postgres"), cfg!(feature = "yara")) {
    (true, true) => env!("CARGO_PKG_VERSION"),
    (true, false) => concat!(env!("CARGO_PKG_VERSION"), " (without yara)"),
    (false, true) => concat!(env!("CARGO_PKG_VERSION"), " (without postgres)"),
    (false, false) => concat!(env!("CARGO_PKG_VERSION"), " (without postgres, yara)"),
};

/// Finds leaks of cardholder data at Magento shops, and keeps the evidence.
#[derive(Parser)]
#[command(name = "magewarden", version = VERSION, about, long_about = None, arg_required_else_help = true)]
#[command(after_help = "Examples:\n  \
    magewarden demo                          an incident to look at, nothing of yours is touched\n  \
    magewarden analyze /var/log/nginx /var/log/mysql\n                                           \
    what happened; writes only under ./magewarden-out\n  \
    magewarden verify magewarden-out/latest/ledger\n\n\
    Exit codes: 0 nothing found, 1 error, 2 usage, 10 findings at or above --fail-on.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match commands::run(Arguments::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            ExitCode::from(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_has_names_of_its_own_for_what_it_takes() {
        Arguments::command().debug_assert();
    }
}

//! The commands, one file each.

mod accounts;
mod agent;
mod analyze;
mod console;
mod demo;
mod doctor;
mod entries;
mod grants;
mod guard;
mod look;
mod mail;
mod merchant;
mod parse;
mod payment_page;
mod platform;
mod playbooks;
mod redact;
mod respond;
mod rules;
mod runs;
mod saml;
mod scan;
mod settings;
mod shape;
mod sign_in;
mod state;
mod up;
mod verify;
mod watched;

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use model::Timestamp;

use crate::failure::Failure;

/// What magewarden can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Find out what happened from a folder of logs
    Analyze(analyze::Analyze),
    /// Watch a shop live and show incidents on 127.0.0.1
    Up(Box<up::Up>),
    /// Let people and programs into the console, and out
    Accounts(accounts::Accounts),
    /// Say what can't be seen of a shop, and what closes each gap
    Doctor(Box<doctor::Doctor>),
    /// Show a recorded leak at a three-store shop, as an exercise
    Demo(demo::Demo),
    /// Send a letter to see whether letters go
    Mail(mail::Mail),
    /// Check a ledger: every entry, every proof, every checkpoint
    Verify(verify::Verify),
    /// Find sealed entries by sequence number, time, source, actor and scope
    Entries(entries::Entries),
    /// List what is on a payment page, since when, and who authorised it
    PaymentPage(payment_page::PaymentPage),
    /// Destroy what an entry holds while every proof still checks
    Redact(redact::Redact),
    /// Do, check or undo one step of containment on this host, by hand
    Respond(respond::Respond),
    /// Let a shop's host carry out plans of the console: enrol it, run it, say what it may do
    Agent(agent::Agent),
    /// Walk the shop's views to the payment and say which still sell
    Guard(guard::Guard),
    /// Carry out and undo plans on this host, step by step, through any crash
    Runs(runs::Runs),
    /// Show what a log format reads from a file
    Parse(parse::Parse),
    /// Show the shape of an SQL statement
    Shape(shape::Shape),
    /// Find card numbers in files and archives
    Scan(scan::Scan),
    /// Check rules, or run their own examples
    Rules(rules::Rules),
    /// Show playbooks, check one, or say what one would do
    Playbooks(playbooks::Playbooks),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
}

/// Runs a command.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Analyze(command) => command.run(),
        Command::Up(command) => command.run(),
        Command::Accounts(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Mail(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Entries(command) => command.run(),
        Command::PaymentPage(command) => command.run(),
        Command::Redact(command) => command.run(),
        Command::Respond(command) => command.run(),
        Command::Agent(command) => command.run(),
        Command::Guard(command) => command.run(),
        Command::Runs(command) => command.run(),
        Command::Parse(command) => command.run(),
        Command::Shape(command) => command.run(),
        Command::Scan(command) => command.run(),
        Command::Rules(command) => command.run(),
        Command::Playbooks(command) => command.run(),
    }
}

/// The exit code that says: something was found.
pub(crate) const FOUND: u8 = 10;

/// The time now; the edge is the only place that reads the clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge reads the clock and hands it in"
)]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

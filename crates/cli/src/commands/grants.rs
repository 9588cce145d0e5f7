//! The statements that make magewarden's own accounts at the shop's database, for an administrator to read and run.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;

use super::look::Shop;
use super::settings::SourceSettings;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Prints how magewarden's own account is made.
pub(super) fn print(
    shop: Option<&Shop<'_>>,
    sources: &[SourceSettings],
) -> Result<ExitCode, Failure> {
    let Some(shop) = shop else {
        return Err(Failure::say(
            "without a shop its schema isn't known",
            "name it with --magento ROOT",
        ));
    };
    let grants = shop.grants();
    let kinds: BTreeSet<&str> = sources.iter().map(|source| source.kind.as_str()).collect();
    let further = grants
        .further
        .iter()
        .filter(|(kind, _)| kinds.contains(*kind));
    let further: Vec<&String> = further.flat_map(|(_, lines)| lines).collect();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "-- magewarden's own account at {}. Read it, then run it as the database's administrator.\n\
         -- It may read names of stores and the keys of the payment tables (for their size){}, no card column.\n\
         -- MySQL: say IDENTIFIED WITH auth_socket instead of VIA unix_socket. A table the shop doesn't have: leave its line out.\n\
         {}\n-- Undo: {}",
        inert(&shop.server.to_string()),
        if further.is_empty() { "" } else { ", and what the sources asked for need, as named below" },
        grants.create.iter().chain(further).map(|line| inert(line)).collect::<Vec<_>>().join("\n"),
        inert(&grants.undo)
    )
    .or_fail("write to another place")?;
    for line in shop.log_grants(sources) {
        writeln!(out, "{}", inert(&line)).or_fail("write to another place")?;
    }
    Ok(ExitCode::SUCCESS)
}

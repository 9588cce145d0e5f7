//! Says on which platform a shop runs, how its logs come here from there, and what it can never show.

use std::io::Write;
use std::path::PathBuf;

use engine::desk::GapView;
use serde_json::{Value, json};
use sources::database::{Gap, Run, Server};
use sources::platform::{Platform, VARIABLES};

use crate::terminal::inert;

/// Which variables of a platform are set. What they hold isn't looked at.
pub(super) fn variables() -> Vec<&'static str> {
    let set = VARIABLES.iter().copied();
    set.filter(|name| std::env::var_os(name).is_some())
        .collect()
}

/// Prints them for a person.
pub(super) fn print(platforms: &[(Platform, String)], out: &mut dyn Write) -> std::io::Result<()> {
    for (platform, by) in platforms {
        writeln!(out, "platform  {}, by {}", platform.name, inert(by))?;
        writeln!(out, "          its logs come here: {}", platform.comes)?;
        for never in platform.never {
            writeln!(out, "          never shows: {never}")?;
        }
        writeln!(out, "          by {}", platform.rests_on)?;
    }
    Ok(())
}

/// The same for machines.
pub(super) fn json(platforms: &[(Platform, String)]) -> Value {
    let each = platforms.iter().map(|(platform, by)| {
        json!({
            "id": platform.id, "name": platform.name, "by": by, "comes": platform.comes, "never": platform.never,
            "rests_on": platform.rests_on,
        })
    });
    each.collect()
}

/// The same as the console's page shows it: nothing closes it.
pub(super) fn views(platforms: &[(Platform, String)]) -> impl Iterator<Item = GapView> {
    platforms.iter().map(|(platform, by)| GapView {
        what: format!("What {} can never show", platform.name),
        why_it_matters: report::inert(format!(
            "Recognised by {by}. Rests on {}.",
            platform.rests_on
        )),
        statement: format!(
            "{}\n\nIts logs come here: {}",
            platform.never.join("\n"),
            platform.comes
        ),
        price: "nothing closes it".to_owned(),
        undo: "–".to_owned(),
    })
}

/// Logs that a database on another host writes there.
///
/// `comes`: how they come here from a host that nobody starts anything on.
pub(super) fn elsewhere(
    server: &Server,
    logs: &[(PathBuf, &'static str)],
    comes: Option<&str>,
) -> Option<Gap> {
    if logs.is_empty() {
        return None;
    }
    let paths: Vec<String> = logs
        .iter()
        .map(|(path, what)| format!("{} ({what})", path.display()))
        .collect();
    Some(Gap {
        id: "logs-elsewhere",
        what: format!("The database at {server} writes its logs on its own host"),
        why: format!("Not seen from here: {}.", paths.join(", ")),
        run: Run::Person,
        close: comes.map_or_else(
            || {
                let logs = logs
                    .iter()
                    .map(|(path, _)| format!("--log {}", path.display()));
                format!(
                    "on that host: magewarden up {}",
                    logs.collect::<Vec<_>>().join(" ")
                )
            },
            str::to_owned,
        ),
        keep: String::new(),
        price: match comes {
            Some(_) => "what the platform asks for keeping and sending them".to_owned(),
            None => "a second magewarden there, with a ledger of its own".to_owned(),
        },
        undo: "stop it".to_owned(),
    })
}

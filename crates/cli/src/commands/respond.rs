//! `respond`: one step of containment by hand, on the host it is for.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use model::{ActionFacts, Argument, Arguments, Undo};
use responders::{ACTIONS, Action, ActionError, Effect, Host, HostSettings};

use super::FOUND;
use super::settings::read_stores;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Longest name of a file in the vault, in bytes.
const NAME_BYTES_MAX: usize = 240;

/// What `respond` is told.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    magewarden respond                                 every action there is\n  \
    magewarden respond close_view                      what one does, costs and leaves open\n  \
    magewarden respond --prepare --host host.toml --stores stores.toml\n  \
    magewarden respond close_view --set view=fr --host host.toml --stores stores.toml --survey\n  \
    magewarden respond close_view --set view=fr --host host.toml --stores stores.toml --vault /var/lib/magewarden/vault --act\n  \
    … the same with --check, and with --undo\n\n\
    For administrators, on the shop's own host (docs/containment.md). What is needed to undo is kept in --vault before anything changes.\n\n\
    Exit codes: 0 done, or in effect; 1 error; 2 usage; 10 --check: not, or only partly, in effect.")]
pub(crate) struct Respond {
    /// The action
    #[arg(value_name = "ACTION")]
    action: Option<String>,
    /// A value that the action is given; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    values: Vec<String>,
    /// What is there on this host (TOML; docs/containment.md)
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// Websites, stores, views and hosts of the shop (TOML; docs/stores.md)
    #[arg(long, value_name = "FILE")]
    stores: Option<PathBuf>,
    /// Folder for what is needed to undo, readable by its owner alone
    #[arg(long, value_name = "DIR")]
    vault: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

/// What is done with the action; at most one.
#[derive(Args)]
#[group(multiple = false)]
struct How {
    /// Write our include files where there are none, closing nothing
    #[arg(long)]
    prepare: bool,
    /// Say what would change; changes nothing
    #[arg(long)]
    survey: bool,
    /// Do it
    #[arg(long, requires = "vault")]
    act: bool,
    /// Say whether it is in effect
    #[arg(long)]
    check: bool,
    /// Put back what was before
    #[arg(long, requires = "vault")]
    undo: bool,
}

impl Respond {
    /// Runs it.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        if self.how.prepare {
            responders::prepare(&self.open()?).map_err(|error| failure(&error))?;
            return say(
                "prepared: include http.conf in http{} and server.conf in each server{} of the shop, then reload nginx\n",
            );
        }
        let Some(name) = &self.action else {
            let lines = ACTIONS.iter().map(|action| {
                let facts = action.facts();
                format!("{:24} {}\n", facts.name, facts.about)
            });
            return say(&lines.collect::<String>());
        };
        let action = responders::action(name).ok_or_else(|| {
            let known: Vec<_> = ACTIONS.iter().map(|action| action.facts().name).collect();
            Failure::say(
                format!("there is no action `{name}`"),
                format!("actions: {}", known.join(", ")),
            )
        })?;
        let how = &self.how;
        if !(how.survey || how.act || how.check || how.undo) {
            return say(&about(action.facts()));
        }
        let arguments = arguments(action.facts(), &self.values)?;
        let host = self.open()?;
        let kept = self
            .vault
            .as_deref()
            .map(|vault| kept_at(vault, action, &arguments));
        let kept = kept.transpose()?;
        self.carry_out(action, &host, &arguments, kept.as_deref())
    }

    fn carry_out(
        &self,
        action: &dyn Action,
        host: &Host,
        arguments: &Arguments,
        place: Option<&Path>,
    ) -> Result<ExitCode, Failure> {
        let surveyed = || {
            let survey = action.survey(host, arguments);
            survey.map_err(|error| failure(&error))
        };
        if self.how.survey {
            let mut out = String::new();
            for change in surveyed()?.changes {
                out.push_str(&format!(
                    "{}: {} → {}\n",
                    change.what, change.now, change.then
                ));
            }
            return say(&out);
        }
        let kept = match place {
            Some(place) if place.exists() => {
                Some(std::fs::read(place).or_fail("see to the vault's rights")?)
            }
            _ => None,
        };
        if self.how.check {
            let kept = kept.map_or_else(|| surveyed().map(|survey| survey.kept), Ok)?;
            return told(action, host, arguments, &kept);
        }
        let place = place.expect("clap asks for --vault with --act and --undo");
        if self.how.undo {
            let Some(kept) = kept else {
                return Err(Failure::say(
                    "nothing is kept that could be undone with these values",
                    "give the vault and the values that it was done with",
                ));
            };
            let undone = action.undo(host, arguments, &kept);
            undone.map_err(|error| failure(&error))?;
            std::fs::remove_file(place).or_fail("see to the vault's rights")?;
            return say("undone\n");
        }
        // What was kept before an act that was cut short is what was before; what is now may be half done.
        let kept = match kept {
            Some(kept) => kept,
            None => {
                let kept = surveyed()?.kept;
                keep(place, &kept).or_fail("see to the vault's rights and space")?;
                kept
            }
        };
        let done = action.act(host, arguments, &kept);
        done.map_err(|error| failure(&error))?;
        told(action, host, arguments, &kept)
    }

    fn open(&self) -> Result<Host, Failure> {
        let Some(path) = &self.host else {
            return Err(Failure::say(
                "--host FILE is missing",
                "docs/containment.md shows one",
            ));
        };
        let text = std::fs::read_to_string(path).or_fail("check the path of --host")?;
        let settings: HostSettings =
            toml::from_str(&text).or_fail("docs/containment.md shows one")?;
        Ok(Host::new(settings, read_stores(self.stores.as_deref())?))
    }
}

fn failure(error: &ActionError) -> Failure {
    Failure::new(error, error.next())
}

fn say(text: &str) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .or_fail("check where the output goes")?;
    Ok(ExitCode::SUCCESS)
}

fn told(
    action: &dyn Action,
    host: &Host,
    arguments: &Arguments,
    kept: &[u8],
) -> Result<ExitCode, Failure> {
    let effect = action.read_back(host, arguments, kept);
    match effect.map_err(|error| failure(&error))? {
        Effect::InEffect => say("in effect\n"),
        Effect::NotInEffect => say("not in effect\n").map(|_| ExitCode::from(FOUND)),
        Effect::Partly(words) => {
            say(&format!("partly in effect: {}\n", inert(&words))).map(|_| ExitCode::from(FOUND))
        }
    }
}

/// What is known of an action, for people.
fn about(facts: &ActionFacts) -> String {
    let mut out = format!("{}\n{}.\n\n", facts.name, facts.about);
    for parameter in facts.parameters {
        let need = if parameter.is_required {
            ""
        } else {
            " (may be left out)"
        };
        out.push_str(&format!(
            "  --set {}=…  {}{need}: {}\n",
            parameter.name,
            parameter.about,
            parameter.kind.words()
        ));
    }
    let undo = match facts.undo {
        Undo::Whole => "whole".to_owned(),
        Undo::AllBut(what) => format!("all but {what}"),
        Undo::MadeAnew(what) => {
            format!("{what} aren't given back; whoever needs them makes them anew")
        }
        Undo::Danger => "none: two people approve it".to_owned(),
    };
    out.push_str(&format!(
        "  undo: {undo}\n  stays open, costs: {}\n",
        facts.stays_open
    ));
    out
}

fn arguments(facts: &ActionFacts, values: &[String]) -> Result<Arguments, Failure> {
    let mut out = Arguments::new();
    for value in values {
        let (name, text) = value.split_once('=').unwrap_or((value, ""));
        let parameter = facts
            .parameters
            .iter()
            .find(|parameter| parameter.name == name);
        let Some(parameter) = parameter else {
            let known: Vec<_> = facts.parameters.iter().map(|one| one.name).collect();
            return Err(Failure::say(
                format!("{} has no `{name}`", facts.name),
                format!("it has: {}", known.join(", ")),
            ));
        };
        let read =
            Argument::read(parameter.kind, text).or_fail("respond ACTION says what is wanted")?;
        if out.insert(parameter.name, read).is_some() {
            return Err(Failure::say(
                format!("`{name}` is given twice"),
                "give it once",
            ));
        }
    }
    Ok(out)
}

/// Where what undoes an action with these values is kept: the same for every call with them.
fn kept_at(vault: &Path, action: &dyn Action, arguments: &Arguments) -> Result<PathBuf, Failure> {
    let mut name = action.facts().name.to_owned();
    for (key, value) in arguments {
        name.push_str(&format!(" {key}="));
        for byte in value.as_str().bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => {
                    name.push(char::from(byte))
                }
                byte => name.push_str(&format!("%{byte:02x}")),
            }
        }
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Failure::say(
            "the values are too long for a name in the vault",
            "",
        ));
    }
    Ok(vault.join(name))
}

/// Keeps it before anything changes: whole and on disk, for its owner alone.
fn keep(place: &Path, kept: &[u8]) -> io::Result<()> {
    let vault = place.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(vault)?;
    let temporary = vault.join(format!(".{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = made.open(&temporary)?;
    file.write_all(kept)?;
    file.sync_all()?;
    std::fs::rename(&temporary, place)?;
    File::open(vault)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{about, arguments, keep, kept_at};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    #[track_caller]
    fn check(name: &str, values: &[&str], expected: Result<&str, &str>) {
        let action = responders::action(name).expect("an action");
        let values: Vec<_> = values.iter().map(|&value| value.to_owned()).collect();
        let place = arguments(action.facts(), &values)
            .and_then(|arguments| kept_at(Path::new("vault"), action, &arguments))
            .map_err(|failure| format!("{failure:?}"));
        match expected {
            Ok(name) => assert_eq!(place.as_deref(), Ok(Path::new(name))),
            Err(words) => {
                let told = place.expect_err("it is refused");
                assert!(told.contains(words), "{told}");
            }
        }
    }

    #[test]
    fn values_are_read_to_their_kind_and_name_a_file_inside_of_the_vault() {
        check("close_view", &["view=fr"], Ok("vault/close_view view=fr"));
        check("deny_php", &[], Ok("vault/deny_php"));
        let route = "vault/block_route route=%2frest%2f%2e";
        check("block_route", &["route=/rest/."], Ok(route));
        check("close_view", &["view=../x"], Err("no code of a store view"));
        check("close_view", &["vieW=fr"], Err("it has: view"));
        check("close_view", &["view=fr", "view=de"], Err("given twice"));
        let long = format!("route=/{}", "a".repeat(300));
        check("block_route", &[&long], Err("too long"));
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("vault/one");
        keep(&place, b"kept").expect("kept");
        assert_eq!(std::fs::read(&place).expect("read"), b"kept");
        for (path, mode) in [(place, 0o600), (folder.path().join("vault"), 0o700)] {
            let about = std::fs::metadata(path).expect("it is there");
            assert_eq!(about.permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn an_action_says_what_it_leaves_open() {
        for action in responders::ACTIONS {
            let text = about(action.facts());
            assert!(text.contains("stays open, costs: ") && text.contains("undo: "));
        }
    }
}

//! What an agent collects: named as `up` names it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use engine::agent::{Collect, FILES_MAX, SOURCE_KINDS, SPOOL_BYTES, SPOOL_BYTES_MIN};

use crate::commands::now;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Flags of `agent run`; they win over its settings file.
#[derive(Args, Default)]
pub(super) struct Collected {
    /// A log to follow, mask here and hand over to the server; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// Settings (TOML), by the names of `up`: logs, [[source]] of kind journald; and spool_mib
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What may wait here while the server is away, in MiB, at least 4 [default: 1024]
    #[arg(long, value_name = "MIB")]
    spool_mib: Option<u64>,
}

/// What the settings file may say.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    logs: Vec<PathBuf>,
    spool_mib: Option<u64>,
    source: Vec<toml::Table>,
}

impl Collected {
    /// Reads and checks them; none when nothing is collected.
    pub(super) fn checked(mut self, data: &Path) -> Result<Option<Collect>, Failure> {
        let mut sources = Vec::new();
        if let Some(path) = &self.config {
            let text = std::fs::read_to_string(path).or_fail("check the path of --config")?;
            let file: File = toml::from_str(&text)
                .or_fail("known settings: logs, spool_mib, [[source]]; docs/agent.md")?;
            self.logs.extend(file.logs);
            sources = file.source;
            self.spool_mib = self.spool_mib.or(file.spool_mib);
        }
        if self.logs.is_empty() && sources.is_empty() {
            return match self.spool_mib {
                None => Ok(None),
                Some(_) => Err(Failure::say(
                    "a spool for nothing: no log is named",
                    "name logs with --log FILE or `logs` in --config",
                )),
            };
        }
        if self.logs.len() > FILES_MAX {
            return Err(Failure::say(
                format!(
                    "{} logs are more than a server takes of one host",
                    self.logs.len()
                ),
                format!("name {FILES_MAX} at most"),
            ));
        }
        // A source is named by its path: one that depends on where the agent was started is none.
        if let Some(path) = self.logs.iter().find(|path| !path.is_absolute()) {
            return Err(Failure::say(
                format!(
                    "`{}` isn't named from the root",
                    inert(&path.display().to_string())
                ),
                "name logs as /var/log/nginx/access.log",
            ));
        }
        if let Some(at) = self.logs.iter().position(|path| !Collect::takes(path)) {
            return Err(Failure::say(
                format!(
                    "the path of log {} holds what looks like a card number, or characters that nobody sees: a source is named by it",
                    at + 1
                ),
                "rename the file, or its folder",
            ));
        }
        let spool_bytes = self
            .spool_mib
            .map_or(SPOOL_BYTES, |mib| mib.saturating_mul(1 << 20));
        if spool_bytes < SPOOL_BYTES_MIN {
            return Err(Failure::say(
                format!("a spool of {spool_bytes} bytes doesn't hold what comes at once"),
                "--spool-mib takes 4 and more",
            ));
        }
        let collect = Collect {
            files: self.logs,
            sources,
            spool_bytes,
            tell: Arc::new(|line| {
                drop(writeln!(std::io::stderr(), "{}  {}", now(), inert(line)));
            }),
        };
        let kinds = format!("kinds: {}; docs/agent.md", SOURCE_KINDS.join(", "));
        collect.check(data).or_fail(&kinds)?;
        Ok(Some(collect))
    }
}

#[cfg(test)]
mod tests {
    use super::Collected;
    use std::path::Path;

    #[track_caller]
    fn check(logs: &[&str], spool_mib: Option<u64>, expected: Result<Option<u64>, &str>) {
        let collected = Collected {
            logs: logs.iter().map(Into::into).collect(),
            config: None,
            spool_mib,
        };
        match (collected.checked(Path::new("none")), expected) {
            (Ok(one), Ok(expected)) => assert_eq!(one.map(|one| one.spool_bytes), expected),
            (Err(failure), Err(expected)) => {
                assert!(format!("{failure:?}").contains(expected), "{failure:?}");
            }
            (Ok(_), Err(expected)) => panic!("isn't refused: {expected}"),
            (Err(failure), Ok(_)) => panic!("{failure:?}"),
        }
    }

    #[test]
    fn what_is_collected_is_named_and_bounded() {
        check(&[], None, Ok(None));
        check(&["/var/log/a.log"], None, Ok(Some(1 << 30)));
        check(&["/var/log/a.log"], Some(4), Ok(Some(4 << 20)));
        check(&["/var/log/a.log"], Some(3), Err("4 and more"));
        check(&["/var/log/a.log"], Some(u64::MAX), Ok(Some(u64::MAX)));
        check(&["a.log"], None, Err("from the root"));
        check(&["/var/log/4111111111111111"], None, Err("a card number"));
        check(&[], Some(64), Err("no log is named"));
        let many: Vec<String> = (0..201).map(|number| format!("/a/{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(&many, None, Err("200 at most"));
    }

    #[test]
    fn a_settings_file_has_the_words_of_up_and_no_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("written");
            let collected = Collected {
                config: Some(path.clone()),
                ..Collected::default()
            };
            collected.checked(folder.path())
        };
        let one = read("logs = [\"/var/log/nginx/access.log\"]\nspool_mib = 64\n");
        let one = one.expect("fine").expect("something");
        assert_eq!((one.files.len(), one.spool_bytes), (1, 64 << 20));
        assert!(read("log = []\n").is_err());
    }
}

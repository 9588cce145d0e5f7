//! Who a process is: its program, its command line, and whose it is, as `/proc` tells (proc(5)).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use model::{Field, conceal};

use super::accounts::Accounts;
use crate::observation::Observation;

/// Bytes of a command line that are read.
pub(super) const COMMAND_BYTES_MAX: usize = 2048;
/// Bytes of another file of `/proc` that are read.
pub(super) const PROC_BYTES_MAX: u64 = 8192;

/// One process and whose it is. All texts are what it says of itself, but for the programs' paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) number: i32,
    pub(super) executable: String,
    pub(super) parent: String,
    pub(super) command: String,
    pub(super) user: u32,
    pub(super) login: Option<u32>,
}

impl Process {
    /// Reads what `/proc` tells of a process; `None` once it is gone, or where it can't be seen from here.
    pub(super) fn read(proc: &Path, number: i32) -> Option<Self> {
        let own = proc.join(number.to_string());
        let program = |process: &Path| {
            let link = std::fs::read_link(process.join("exe")).unwrap_or_default();
            conceal(&link.to_string_lossy())
        };
        // What a process loses first when it ends is read first; whose it is stays until its parent took notice.
        let (executable, mut command) = (program(&own), command(&own.join("cmdline")));
        let status = text(&own.join("status"), PROC_BYTES_MAX)?.0;
        let said = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()
        };
        if command.is_empty() {
            // As `ps` shows it.
            command = said("Name:").map_or_else(String::new, |name| format!("[{}]", conceal(name)));
        }
        let (login, _) = text(&own.join("loginuid"), PROC_BYTES_MAX).unwrap_or_default();
        Some(Self {
            number,
            executable,
            parent: said("PPid:").map_or_else(String::new, |parent| program(&proc.join(parent))),
            command,
            user: said("Uid:")?.parse().ok()?,
            // The highest number stands for no login.
            login: login.trim().parse().ok().filter(|login| *login != u32::MAX),
        })
    }

    /// Adds who it is to what was observed.
    pub(super) fn put(&self, observation: Observation, accounts: &Accounts) -> Observation {
        let login = self.login.map(|login| accounts.name(login));
        observation
            .int(Field::ProcessId, i64::from(self.number))
            .text(Field::ProcessName, &self.executable)
            .text(Field::ParentProcess, &self.parent)
            .text(Field::CommandLine, &self.command)
            .text(Field::OsUser, &accounts.name(self.user))
            .text(Field::LoginUser, &login.unwrap_or_default())
    }

    /// How much memory its texts take.
    pub(super) const fn text_bytes(&self) -> usize {
        self.executable.len() + self.parent.len() + self.command.len()
    }
}

/// A small file's text, and whether it goes on.
pub(super) fn text(path: &Path, limit: u64) -> Option<(String, bool)> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).ok()?.take(limit + 1);
    file.read_to_end(&mut bytes).ok()?;
    let goes_on = bytes.len() as u64 > limit;
    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Some((String::from_utf8_lossy(&bytes).into_owned(), goes_on))
}

fn command(path: &Path) -> String {
    let (line, goes_on) = text(path, COMMAND_BYTES_MAX as u64).unwrap_or_default();
    let line = line.replace('\0', " ");
    if goes_on {
        // Digits at the cut may begin a number too short to be told as one.
        let whole = line.trim_end_matches(|one: char| !one.is_alphabetic());
        return format!("{}…", conceal(whole));
    }
    conceal(line.trim())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Process;

    fn process(proc: &Path, number: &str, exe: Option<&str>, files: &[(&str, &str)]) {
        let own = proc.join(number);
        std::fs::create_dir_all(&own).expect("made");
        if let Some(exe) = exe {
            std::os::unix::fs::symlink(exe, own.join("exe")).expect("linked");
        }
        for (name, text) in files {
            std::fs::write(own.join(name), text).expect("written");
        }
    }

    #[test]
    fn a_process_is_read_without_what_may_be_a_card_number() {
        let proc = tempfile::tempdir().expect("a folder");
        let proc = proc.path();
        process(proc, "1", Some("/usr/sbin/php-fpm8.2"), &[]);
        let status = "Name:\tphp\nPPid:\t1\nUid:\t33\t0\t0\t0\n";
        let long = format!("php\0{}41111111111", "a".repeat(2040));
        for (number, cmdline, login, expected) in [
            (
                "7",
                "php\0-r\0copy(4111 1111 1111 1111);\0",
                "4294967295",
                ("php -r copy(…);", None),
            ),
            (
                "8",
                "php-fpm: pool www\0\0\0",
                "1000\n",
                ("php-fpm: pool www", Some(1000)),
            ),
            (
                "9",
                long.as_str(),
                "",
                (&*format!("php {}…", "a".repeat(2040)), None),
            ),
        ] {
            process(
                proc,
                number,
                Some("/usr/bin/php8.2"),
                &[
                    ("status", status),
                    ("cmdline", cmdline),
                    ("loginuid", login),
                ],
            );
            let read = Process::read(proc, number.parse().expect("a number")).expect("there");
            assert_eq!((read.command.as_str(), read.login), expected);
            assert_eq!(
                (read.user, read.executable.as_str(), read.parent.as_str()),
                (33, "/usr/bin/php8.2", "/usr/sbin/php-fpm8.2")
            );
        }
        // Of one that ended and isn't buried the account is known still.
        process(proc, "10", None, &[("status", status), ("cmdline", "")]);
        let read = Process::read(proc, 10).expect("there");
        assert_eq!(
            (read.user, read.executable.as_str(), read.command.as_str()),
            (33, "", "[php]")
        );
        assert_eq!(Process::read(proc, 0), None);
        assert_eq!(Process::read(proc, 11), None);
    }
}

//! Log files the server's settings name, and whether this program may read them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::gap::{Gap, Run, log_folder};
use super::{Make, Told};

/// The files the server writes now: path, and what it is. Empty when nothing is on, or when files aren't where it writes.
#[must_use]
pub fn logs(told: &Told) -> Vec<(PathBuf, &'static str)> {
    let mut logs = Vec::new();
    let mut add = |told_path: Option<&str>, what| {
        logs.extend(absolute(told, told_path).map(|path| (path, what)));
    };
    let syslog = |name| {
        told.get(name)
            .is_some_and(|to| to.eq_ignore_ascii_case("syslog"))
    };
    if told.on("server_audit_logging") == Some(true) && !syslog("server_audit_output_type") {
        let current = told
            .status
            .get("server_audit_current_log")
            .filter(|path| !path.is_empty());
        // The default where neither settings nor status name one.
        let path = current
            .map(String::as_str)
            .or(told.get("server_audit_file_path"));
        add(path.or(Some("server_audit.log")), "audit log of MariaDB");
    }
    if told.get("audit_log_file").is_some() && !syslog("audit_log_handler") {
        add(told.get("audit_log_file"), "audit log of MySQL");
    }
    if told.get("audit_log_filter.file").is_some() {
        add(told.get("audit_log_filter.file"), "audit log of MySQL");
    }
    if to_files(told) {
        if told.on("slow_query_log") == Some(true) {
            add(told.get("slow_query_log_file"), "slow query log");
        }
        if told.on("general_log") == Some(true) {
            add(told.get("general_log_file"), "general log");
        }
    }
    logs
}

/// Files that will be written once the gap of their log is closed as printed: they can be followed before they are there.
#[must_use]
pub fn awaited(told: &Told) -> Vec<PathBuf> {
    let in_folder = |name: &str| log_folder(told).map(|folder| format!("{folder}/{name}"));
    let mut awaited = Vec::new();
    if told.by_server && told.on("server_audit_logging") != Some(true) {
        let path = match told.get("server_audit_file_path") {
            Some(path) => Some(path.to_owned()),
            None if told.make() == Some(Make::MariaDb) => {
                in_folder("server_audit.log").or(Some("server_audit.log".to_owned()))
            }
            None => None,
        };
        awaited.extend(absolute(told, path.as_deref()));
    }
    if told.on("slow_query_log") == Some(false) {
        let set = told.get("slow_query_log_file").map(str::to_owned);
        let path = match set {
            Some(path) if path.starts_with('/') => Some(path),
            set => in_folder("slow.log").or(set),
        };
        awaited.extend(absolute(told, path.as_deref()));
    }
    awaited
}

/// Whether slow and general log go to files.
pub(super) fn to_files(told: &Told) -> bool {
    told.get("log_output").is_none_or(|to| {
        to.split(',')
            .any(|to| to.trim().eq_ignore_ascii_case("file"))
    })
}

/// A path as the server means it: one that is relative lies in its data folder.
fn absolute(told: &Told, path: Option<&str>) -> Option<PathBuf> {
    let path = Path::new(path.filter(|path| !path.is_empty())?);
    let path = if path.is_absolute() {
        path.to_owned()
    } else {
        let folder = told.get("datadir").unwrap_or("/var/lib/mysql");
        Path::new(folder).join(path.strip_prefix(".").unwrap_or(path))
    };
    // The audit plugin takes a folder, too.
    Some(if path.is_dir() {
        path.join("server_audit.log")
    } else {
        path
    })
}

/// Says what keeps `user` from reading logs, and how to allow it: one gap for those of a folder.
#[must_use]
pub fn unread(logs: &[(PathBuf, &'static str)], user: &str) -> Vec<Gap> {
    let mut gaps = Vec::new();
    // By folder, and by the group that may read them.
    let mut denied: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for log in logs {
        match File::open(&log.0) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => gaps.push(not_here(log)),
            Err(_) => {
                let folder = log.0.parent().unwrap_or(Path::new("/"));
                let group = readable_by_logs_group(&log.0);
                denied.entry((folder, group)).or_default().push(log);
            }
        }
    }
    gaps.extend(
        denied
            .into_iter()
            .map(|((folder, group), logs)| refused(folder, group, &logs, user)),
    );
    gaps
}

fn not_here((path, what): &(PathBuf, &'static str)) -> Gap {
    Gap {
        id: "log-not-here",
        what: format!("The {what} {} is not there", path.display()),
        why: "It should be written there. Either the server runs in a container or on another host, or it couldn't make the \
              file. What it holds stays unseen; once it is there it is followed by itself."
            .to_owned(),
        run: Run::Person,
        close: format!(
            "run magewarden where {} lies, or name the file as this host sees it with --log FILE",
            path.display()
        ),
        keep: String::new(),
        price: "none for the shop".to_owned(),
        undo: "leave --log out".to_owned(),
    }
}

fn refused(
    folder: &Path,
    group: Option<&str>,
    logs: &[&(PathBuf, &'static str)],
    user: &str,
) -> Gap {
    let blocked = blocked(folder);
    let names: Vec<String> = logs.iter().map(|(path, _)| shell(path)).collect();
    let (names, shown) = (names.join(" "), shell(folder));
    let (close, undo, price) = if let (None, Some(group)) = (&blocked, group) {
        (
            format!("usermod -aG {group} {user}   # then start magewarden again"),
            format!("gpasswd -d {user} {group}"),
            format!("none for the shop; {user} may then read every log of the group {group}"),
        )
    } else {
        let (mut close, mut undo) = (Vec::new(), vec![format!("setfacl -x u:{user} {names}")]);
        if let Some(blocked) = &blocked {
            close.push(format!("setfacl -m u:{user}:x {}", shell(blocked)));
        }
        close.push(format!("setfacl -m u:{user}:r {names}"));
        // A log that is rotated is a new file: it takes its rights from the folder.
        let is_for_logs = is_only_for_logs(folder);
        if is_for_logs {
            close.push(format!("setfacl -d -m u:{user}:r {shown}"));
            undo.push(format!("setfacl -d -x u:{user} {shown}"));
        }
        if let Some(blocked) = &blocked {
            undo.push(format!("setfacl -x u:{user} {}", shell(blocked)));
        }
        let price = if is_for_logs {
            format!(
                "none for the shop; {user} may then read the logs of {shown}, which hold personal data"
            )
        } else {
            format!(
                "none for the shop; {user} may then read these files. They seem to lie among the database's own, where rights for new \
                 files can't be given safely: after a rotation it must be given again. Better let the server write its logs \
                 to a folder of their own"
            )
        };
        (close.join(" && "), undo.join(" && "), price)
    };
    let paths: Vec<String> = logs
        .iter()
        .map(|(path, what)| format!("{} ({what})", path.display()))
        .collect();
    Gap {
        id: "log-unreadable",
        what: format!("{user} can't read {}", paths.join(", ")),
        why: "It is there, and magewarden may not open it. What it holds stays unseen; once it may be read it is followed by \
              itself."
            .to_owned(),
        run: Run::Shell,
        close,
        keep: String::new(),
        price,
        undo,
    }
}

/// The outermost folder on the way that may not be entered.
fn blocked(folder: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = folder.ancestors().collect();
    way.reverse();
    way.into_iter()
        .find(|folder| fs::metadata(folder.join(".")).is_err())
        .map(Path::to_owned)
}

/// The group by which a log may be read, when it is one that is there for logs: a database's own
/// group reads its tables, too.
fn readable_by_logs_group(path: &Path) -> Option<&'static str> {
    let file = fs::metadata(path).ok()?;
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    ["adm", "systemd-journal"].into_iter().find(|name| {
        file.permissions().mode() & 0o040 != 0
            && groups.lines().any(|line| {
                let mut fields = line.split(':');
                fields.next() == Some(name) && fields.nth(1) == Some(&file.gid().to_string())
            })
    })
}

/// Whether a folder holds no tables, as far as it may be looked into.
fn is_only_for_logs(folder: &Path) -> bool {
    folder.starts_with("/var/log")
        || fs::read_dir(folder).is_ok_and(|mut entries| {
            !entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    let name = entry.file_name();
                    name == "ibdata1" || name == "mysql.ibd" || name == "aria_log_control"
                })
            })
        })
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{awaited, logs, refused, shell, unread};
    use crate::database::Told;
    use std::path::Path;

    #[test]
    fn names_files_that_are_written_now() {
        #[track_caller]
        fn check(variables: &[(&str, &str)], expected: &[&str]) {
            let told = Told {
                by_server: true,
                variables: variables
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                ..Told::default()
            };
            let found: Vec<String> = logs(&told)
                .into_iter()
                .map(|(path, _)| path.display().to_string())
                .collect();
            assert_eq!(found, expected);
        }
        check(
            &[
                ("datadir", "/d/"),
                ("server_audit_logging", "ON"),
                ("server_audit_file_path", "server_audit.log"),
                ("slow_query_log", "ON"),
                ("slow_query_log_file", "/l/slow.log"),
                ("general_log", "OFF"),
                ("general_log_file", "host.log"),
                ("log_output", "TABLE,FILE"),
            ],
            &["/d/server_audit.log", "/l/slow.log"],
        );
        check(
            &[
                ("server_audit_logging", "ON"),
                ("server_audit_output_type", "syslog"),
                ("slow_query_log", "ON"),
                ("slow_query_log_file", "/l/slow.log"),
                ("log_output", "TABLE"),
            ],
            &[],
        );
        check(
            &[
                ("datadir", "/d"),
                ("general_log", "1"),
                ("general_log_file", "./host.log"),
                ("audit_log_file", "audit.log"),
            ],
            &["/d/audit.log", "/d/host.log"],
        );
    }

    #[test]
    fn a_log_that_is_off_is_awaited_where_its_remedy_puts_it() {
        #[track_caller]
        fn check(variables: &[(&str, &str)], expected: &[&str]) {
            let mut told = Told {
                by_server: true,
                ..Told::default()
            };
            let common = [
                ("version", "10.11.14-MariaDB"),
                ("datadir", "/d/"),
                ("log_error", "/l/error.log"),
            ];
            for (name, value) in common.iter().chain(variables) {
                told.variables
                    .insert((*name).to_owned(), (*value).to_owned());
            }
            let found: Vec<String> = awaited(&told)
                .into_iter()
                .map(|path| path.display().to_string())
                .collect();
            assert_eq!(found, expected);
            // The remedy of each names the same file.
            let gaps = crate::database::gaps(&told, &crate::database::Circumstances::default());
            for path in expected.iter().filter(|path| path.starts_with("/l/")) {
                assert!(gaps.iter().any(|gap| gap.close.contains(path)), "{gaps:#?}");
            }
        }
        check(
            &[
                ("slow_query_log", "OFF"),
                ("slow_query_log_file", "h-slow.log"),
            ],
            &["/l/server_audit.log", "/l/slow.log"],
        );
        check(
            &[
                ("server_audit_logging", "OFF"),
                ("server_audit_file_path", "a.log"),
                ("slow_query_log", "OFF"),
                ("slow_query_log_file", "/s/slow.log"),
            ],
            &["/d/a.log", "/s/slow.log"],
        );
        check(
            &[
                ("server_audit_logging", "ON"),
                ("slow_query_log", "ON"),
                ("slow_query_log_file", "/s/slow.log"),
            ],
            &[],
        );
    }

    #[test]
    fn says_that_a_file_is_not_there_and_nothing_of_one_that_may_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.log");
        let logs = [(file.clone(), "slow query log")];
        let gaps = unread(&logs, "warden");
        assert_eq!(
            gaps.iter().map(|gap| gap.id).collect::<Vec<_>>(),
            ["log-not-here"]
        );
        std::fs::write(&file, "").expect("written");
        assert_eq!(unread(&logs, "warden"), []);
    }

    #[test]
    fn says_how_to_allow_reading_by_group_or_by_list_and_how_to_undo_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = (folder.path().join("a.log"), "slow query log");
        let place = folder.path().display();
        let gap = refused(folder.path(), None, &[&log], "warden");
        assert_eq!(
            gap.close,
            format!("setfacl -m u:warden:r {place}/a.log && setfacl -d -m u:warden:r {place}")
        );
        assert_eq!(
            gap.undo,
            format!("setfacl -x u:warden {place}/a.log && setfacl -d -x u:warden {place}")
        );
        let gap = refused(folder.path(), Some("adm"), &[&log], "warden");
        assert_eq!(gap.undo, "gpasswd -d warden adm");
        // New files among tables must not be readable by themselves.
        std::fs::write(folder.path().join("ibdata1"), "").expect("written");
        let gap = refused(folder.path(), None, &[&log], "warden");
        assert_eq!(gap.close, format!("setfacl -m u:warden:r {place}/a.log"));
    }

    #[test]
    fn quotes_paths_for_a_shell() {
        assert_eq!(shell(Path::new("/a/b-c.log")), "/a/b-c.log");
        assert_eq!(shell(Path::new("/a b/$(x)'")), r"'/a b/$(x)'\'''");
    }
}

//! Where a shop's logs lie: Magento's own, the web server's, the database's.
//!
//! Looks in the usual folders and in what nginx, Apache and MariaDB settings name. It reads names of
//! files only; what it did not find is said with where it looked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::database::{Server, Told};
use crate::env_php::ShopConfig;

/// Largest settings file read, in bytes; what lies behind isn't looked at.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Settings files read of one server.
const SETTINGS_FILES_MAX: usize = 2000;
/// Depth of a server's folder of settings.
const SETTINGS_DEPTH_MAX: usize = 5;
/// Logs of one kind.
const LOGS_MAX: usize = 1000;

/// What was found, and what wasn't.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Logs: path, and what it is. Each file once.
    pub files: Vec<(PathBuf, &'static str)>,
    /// Those of them that can't be read: path, and what it is.
    pub denied: Vec<(PathBuf, &'static str)>,
    /// What wasn't found: what, and where it was looked for.
    pub missing: Vec<(String, String)>,
}

/// Looks for the logs of the shop at `root`.
#[must_use]
pub fn find_logs(root: &Path, config: &ShopConfig) -> Found {
    find_logs_below(root, config, Path::new("/"))
}

/// Looks for the logs with another root of the file system: of a container or a mounted image.
/// Paths in settings are taken from there, too.
#[must_use]
pub fn find_logs_below(root: &Path, config: &ShopConfig, system: &Path) -> Found {
    let mut found = Found::default();
    magento(&mut found, root, config);
    web(&mut found, system);
    database(&mut found, config, system);
    host(&mut found, system);
    let mut seen = BTreeSet::new();
    found
        .files
        .retain(|(path, _)| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    found
}

fn magento(found: &mut Found, root: &Path, config: &ShopConfig) {
    let folder = root.join("var/log");
    let mut logs = with_ending(&folder, ".log");
    let queries = root.join("var/debug/db.log");
    if queries.is_file() {
        logs.push(queries);
    }
    note(
        found,
        logs,
        "Magento's own log",
        "Magento's logs",
        &[&folder],
    );
    if config.logger_replaced {
        let looked = "app/etc/env.php replaces the logger (`log`): its own place isn't known";
        found
            .missing
            .push(("all of Magento's logs".to_owned(), looked.to_owned()));
    }
}

/// Texts of nginx's settings.
fn nginx(system: &Path) -> Vec<String> {
    settings(&system.join("etc/nginx"), &[])
}

/// Texts of Apache's settings; what is available isn't enabled.
fn apache(system: &Path) -> Vec<String> {
    let not = ["mods-available", "sites-available", "conf-available"];
    ["etc/apache2", "etc/httpd"]
        .iter()
        .flat_map(|folder| settings(&system.join(folder), &not))
        .collect()
}

/// Texts of the web servers' settings, without lines that are comments.
pub(crate) fn web_settings(system: &Path) -> impl Iterator<Item = String> {
    let texts = nginx(system).into_iter().chain(apache(system));
    texts.map(|text| {
        let lines = text.lines();
        let lines = lines.filter(|line| !line.trim_start().starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// Where Adobe Commerce on cloud infrastructure has the web server's logs, by Adobe's documentation of log locations.
fn cloud_logs(system: &Path) -> Vec<(PathBuf, bool)> {
    let log = system.join("var/log");
    let nodes = fs::read_dir(log.join("platform"));
    let nodes = nodes.into_iter().flatten().flatten();
    let folders = nodes.map(|entry| entry.path()).chain([log]);
    folders
        .flat_map(|folder| {
            ["access.log", "php.access.log", "error.log"].map(|name| {
                let is_access = name != "error.log";
                (folder.join(name), is_access)
            })
        })
        .filter(|(path, _)| path.is_file())
        .collect()
}

fn web(found: &mut Found, system: &Path) {
    let nginx = nginx(system);
    let apache = apache(system);
    let mut named: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for (texts, access, error) in [
        (&nginx, &["access_log"][..], &["error_log"][..]),
        (
            &apache,
            &["customlog", "transferlog"][..],
            &["errorlog"][..],
        ),
    ] {
        for text in texts {
            for (directive, path) in directives(text) {
                let is_access = access.contains(&directive.as_str());
                if is_access || error.contains(&directive.as_str()) {
                    named.extend(existing(system, &path).map(|path| (path, is_access)));
                }
            }
        }
    }
    let folders =
        ["var/log/nginx", "var/log/apache2", "var/log/httpd"].map(|folder| system.join(folder));
    for path in folders
        .iter()
        .flat_map(|folder| [with_ending(folder, ".log"), with_ending(folder, "_log")].concat())
    {
        let is_error = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("error"));
        named.entry(path).or_insert(!is_error);
    }
    for (path, is_access) in cloud_logs(system) {
        named.entry(path).or_insert(is_access);
    }
    let of = |wanted: bool| {
        named
            .iter()
            .filter(|(_, access)| **access == wanted)
            .map(|(path, _)| path.clone())
            .collect()
    };
    let folders = folders.each_ref().map(PathBuf::as_path);
    note(
        found,
        of(true),
        "web server log",
        "the web server's access log",
        &folders,
    );
    note(
        found,
        of(false),
        "web server error log",
        "the web server's error log",
        &folders,
    );
}

fn database(found: &mut Found, config: &ShopConfig, system: &Path) {
    let folders =
        ["var/log/mysql", "var/log/mariadb", "var/lib/mysql"].map(|folder| system.join(folder));
    let mut logs: BTreeSet<PathBuf> = folders
        .iter()
        .flat_map(|folder| with_ending(folder, ".log"))
        .collect();
    // The servers' own defaults: `<host>-slow.log` ends in `.log`; these don't, or lie elsewhere.
    logs.extend(
        [
            "var/log/mysqld.log",
            "var/log/mysql.log",
            "var/log/mariadb.log",
        ]
        .iter()
        .map(|path| system.join(path))
        .filter(|path| path.is_file()),
    );
    for (name, value) in variables(system) {
        if LOG_FILES.contains(&name.as_str()) {
            // A bare name lies in the server's own folder.
            let path = if value.starts_with('/') {
                value
            } else {
                format!("/var/lib/mysql/{value}")
            };
            logs.extend(existing(system, &path));
        }
    }
    let remote = PathBuf::from("this host; the database runs on another");
    let is_here = |host: &String| Server::new(host).is_here();
    let looked: Vec<&Path> = if config.database_hosts.values().all(is_here) {
        folders.iter().map(PathBuf::as_path).collect()
    } else {
        vec![remote.as_path()]
    };
    note(
        found,
        logs.into_iter().collect(),
        "database log",
        "the database's audit, slow and general log",
        &looked,
    );
}

/// Variables that name a log file.
const LOG_FILES: [&str; 5] = [
    "server_audit_file_path",
    "slow_query_log_file",
    "general_log_file",
    "log_error",
    "audit_log_file",
];
/// Newer and older names of one variable.
const ALIASES: [(&str, &str); 4] = [
    ("log_slow_query", "slow_query_log"),
    ("log_slow_query_file", "slow_query_log_file"),
    ("log_slow_query_time", "long_query_time"),
    ("log_slow_min_examined_row_limit", "min_examined_row_limit"),
];
/// Variables taken beside those of an audit log: no other is, since settings may hold passwords.
const TAKEN: [&str; 12] = [
    "datadir",
    "general_log",
    "general_log_file",
    "log_error",
    "log_output",
    "log_slow_filter",
    "log_slow_rate_limit",
    "long_query_time",
    "min_examined_row_limit",
    "query_cache_type",
    "slow_query_log",
    "slow_query_log_file",
];

/// What the database's settings files say of its logs, with another root of the file system.
///
/// A server may have been set otherwise since it started: only the server itself knows.
#[must_use]
pub fn database_settings_below(system: &Path) -> Told {
    Told {
        variables: variables(system).into_iter().collect(),
        ..Told::default()
    }
}

/// Variables of a server's groups, in the order read.
fn variables(system: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let files = ["etc/mysql", "etc/my.cnf.d"]
        .iter()
        .flat_map(|folder| settings(&system.join(folder), &[]));
    for text in read_text(&system.join("etc/my.cnf"))
        .into_iter()
        .chain(files)
    {
        let mut is_servers = false;
        for line in text.lines().map(str::trim) {
            if let Some(group) = line.strip_prefix('[') {
                is_servers = ["mysqld]", "server]", "mariadb]", "mariadbd]", "galera]"]
                    .contains(&group)
                    || group.starts_with("mysqld-")
                    || group.starts_with("mariadb-");
                continue;
            }
            if !is_servers || line.starts_with(['#', ';', '!']) {
                continue;
            }
            // A name alone is a switch that is on.
            let (name, value) = line.split_once('=').unwrap_or((line, "ON"));
            let name = name.trim().to_ascii_lowercase().replace('-', "_");
            let name = name.strip_prefix("loose_").unwrap_or(&name);
            let name = ALIASES
                .iter()
                .find(|(alias, _)| *alias == name)
                .map_or(name, |(_, name)| name);
            if TAKEN.contains(&name)
                || name.starts_with("server_audit")
                || name.starts_with("audit_log")
            {
                let value = value.split(" #").next().unwrap_or_default().trim();
                found.push((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
            }
        }
    }
    found
}

/// The audit log of the host itself: which programs the web server starts.
fn host(found: &mut Found, system: &Path) {
    let folder = system.join("var/log/audit");
    let logs = with_ending(&folder, ".log");
    note(
        found,
        logs,
        "Linux's audit log",
        "Linux's audit log",
        &[&folder],
    );
}

fn note(
    found: &mut Found,
    mut files: Vec<PathBuf>,
    what: &'static str,
    wanted: &str,
    looked: &[&Path],
) {
    if files.is_empty() {
        let looked: Vec<String> = looked
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        found.missing.push((wanted.to_owned(), looked.join(", ")));
    }
    if files.len() > LOGS_MAX {
        found.missing.push((
            format!("all but the first {LOGS_MAX}: {what}"),
            "there are too many".to_owned(),
        ));
        files.truncate(LOGS_MAX);
    }
    let denied = files.iter().filter(|file| File::open(file).is_err());
    found.denied.extend(denied.map(|file| (file.clone(), what)));
    found
        .files
        .extend(files.into_iter().map(|file| (file, what)));
}

fn with_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_log = |path: &PathBuf| path.is_file() && path.to_string_lossy().ends_with(ending);
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_log)
        .collect();
    files.sort();
    files
}

/// Texts of the settings below a folder, without those in folders named in `not`.
fn settings(folder: &Path, not: &[&str]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    let mut left = SETTINGS_FILES_MAX;
    while let Some((folder, depth)) = folders.pop() {
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        for path in paths {
            if left == 0 {
                return texts;
            }
            left -= 1;
            // Links are followed: enabled sites are links. The depth ends circles.
            let skipped = path
                .file_name()
                .is_some_and(|name| not.iter().any(|not| name == *not));
            if path.is_dir() && depth < SETTINGS_DEPTH_MAX && !skipped {
                folders.push((path, depth + 1));
            } else {
                texts.extend(read_text(&path));
            }
        }
    }
    texts
}

fn read_text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    if !path.is_file() {
        return None;
    }
    File::open(path)
        .ok()?
        .take(SETTINGS_BYTES_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Directives that name a path: lower-case name, path. Several may stand on one line (nginx).
fn directives(text: &str) -> impl Iterator<Item = (String, String)> {
    let parts = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split([';', '{', '}']));
    parts.filter_map(|part| {
        let mut words = part.split_whitespace();
        let (name, path) = (words.next()?, words.next()?);
        Some((
            name.to_ascii_lowercase(),
            path.trim_matches(['"', '\'']).to_owned(),
        ))
    })
}

/// The file a setting names, if it is there. Apache's own variable is its folder; others aren't known.
fn existing(system: &Path, path: &str) -> Option<PathBuf> {
    let path = path.replace("${APACHE_LOG_DIR}", "/var/log/apache2");
    let path = system.join(path.strip_prefix('/')?);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::{database_settings_below, find_logs_below};
    use crate::env_php::ShopConfig;
    use std::collections::BTreeMap;
    use std::fs;

    /// Files below a root; what of them is found, and how many things are missing.
    #[track_caller]
    fn check(
        files: &[(&str, &str)],
        config: &ShopConfig,
        expected: &[(&str, &str)],
        missing: &[&str],
    ) {
        let system = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = system.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        let found = find_logs_below(&system.path().join("shop"), config, system.path());
        let files: Vec<(String, &str)> = found
            .files
            .iter()
            .map(|(path, why)| {
                (
                    path.strip_prefix(system.path())
                        .expect("below")
                        .display()
                        .to_string(),
                    *why,
                )
            })
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, why)| (path.as_str(), *why))
            .collect();
        assert_eq!(files, expected);
        let what: Vec<&str> = found
            .missing
            .iter()
            .map(|(what, _)| what.as_str())
            .collect();
        assert_eq!(what, missing);
    }

    const WEB: [&str; 2] = ["the web server's access log", "the web server's error log"];
    const DATABASE: &str = "the database's audit, slow and general log";
    const HOST: &str = "Linux's audit log";

    #[test]
    fn finds_logs_and_says_what_is_missing() {
        check(
            &[
                ("shop/var/log/system.log", ""),
                ("shop/var/log/system.log.1", ""),
            ],
            &ShopConfig::default(),
            &[("shop/var/log/system.log", "Magento's own log")],
            &[WEB[0], WEB[1], DATABASE, HOST],
        );
    }

    #[test]
    fn finds_logs_that_settings_name_wherever_they_lie() {
        check(
            &[
                ("shop/var/log/system.log", ""),
                ("shop/var/debug/db.log", ""),
                ("srv/a.log", ""),
                ("var/log/audit/audit.log", ""),
                ("srv/e", ""),
                ("srv/off.log", ""),
                ("srv/audit.txt", ""),
                ("var/log/nginx/access.log", ""),
                ("var/lib/mysql/slow.txt", ""),
                (
                    "etc/nginx/sites-enabled/shop/a.conf",
                    "server { access_log \"/srv/a.log\" main; error_log /srv/e warn; }\n  # access_log /srv/off.log;\naccess_log off;",
                ),
                (
                    "etc/my.cnf",
                    "[mysqld]\nserver_audit_file_path = /srv/audit.txt\nslow-query-log-file=slow.txt\n",
                ),
            ],
            &ShopConfig::default(),
            &[
                ("shop/var/log/system.log", "Magento's own log"),
                ("shop/var/debug/db.log", "Magento's own log"),
                ("srv/a.log", "web server log"),
                ("var/log/nginx/access.log", "web server log"),
                ("srv/e", "web server error log"),
                ("srv/audit.txt", "database log"),
                ("var/lib/mysql/slow.txt", "database log"),
                ("var/log/audit/audit.log", HOST),
            ],
            &[],
        );
    }

    #[test]
    fn finds_apaches_logs_and_says_that_the_logger_was_replaced() {
        check(
            &[
                ("var/log/apache2/shop-access.log", ""),
                ("var/log/apache2/other_error.log", ""),
                (
                    "etc/apache2/sites-enabled/a.conf",
                    "  CustomLog ${APACHE_LOG_DIR}/shop-access.log combined\n",
                ),
            ],
            &ShopConfig {
                logger_replaced: true,
                ..ShopConfig::default()
            },
            &[
                ("var/log/apache2/shop-access.log", "web server log"),
                ("var/log/apache2/other_error.log", "web server error log"),
            ],
            &["Magento's logs", "all of Magento's logs", DATABASE, HOST],
        );
    }

    #[test]
    fn takes_a_servers_settings_of_logs_and_no_password() {
        let system = tempfile::tempdir().expect("a folder");
        let folder = system.path().join("etc/mysql/conf.d");
        fs::create_dir_all(&folder).expect("made");
        let text = "[client]\nlog_output=TABLE\npassword=SECRET\n[mysqld]\n# general_log=ON\nloose-server-audit-events = 'CONNECT' # x\n\
                    log-slow-query\nlog_slow_query_time=5\nwsrep_sst_auth=u:SECRET\nmaster-password=SECRET\n";
        fs::write(folder.join("a.cnf"), text).expect("written");
        let told = database_settings_below(system.path());
        let pairs: Vec<(&str, &str)> = told
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("long_query_time", "5"),
                ("server_audit_events", "CONNECT"),
                ("slow_query_log", "ON")
            ]
        );
        assert!(!told.by_server);
    }

    #[test]
    fn says_that_the_database_runs_elsewhere() {
        let system = tempfile::tempdir().expect("a folder");
        let hosts = BTreeMap::from([("default".to_owned(), "192.0.2.5:3306".to_owned())]);
        let config = ShopConfig {
            database_hosts: hosts,
            ..ShopConfig::default()
        };
        let found = find_logs_below(&system.path().join("shop"), &config, system.path());
        assert!(
            found
                .missing
                .iter()
                .any(|(_, looked)| looked == "this host; the database runs on another")
        );
    }
}

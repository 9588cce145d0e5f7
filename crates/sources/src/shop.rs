//! Where a shop's logs lie: Magento's own, the web server's, the database's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::env_php::ShopConfig;

/// What was found, and what wasn't.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Logs: path, and what it is.
    pub files: Vec<(PathBuf, &'static str)>,
    /// What wasn't found: what, and where it was looked for.
    pub missing: Vec<(String, String)>,
}

/// Looks for the logs of the shop at `root`.
#[must_use]
pub fn find_logs(root: &Path, config: &ShopConfig) -> Found {
    find_logs_below(root, config, Path::new("/"))
}

/// The same with another root of the file system, for tests.
pub(crate) fn find_logs_below(root: &Path, config: &ShopConfig, system: &Path) -> Found {
    let mut found = Found::default();
    let magento = with_ending(&root.join("var/log"), ".log");
    note(
        &mut found,
        magento,
        "Magento's own log",
        "Magento's logs",
        &root.join("var/log"),
    );
    let mut web: BTreeSet<PathBuf> = with_ending(&system.join("var/log/nginx"), ".log")
        .into_iter()
        .collect();
    web.extend(with_ending(&system.join("var/log/apache2"), ".log"));
    web.extend(nginx_logs(&system.join("etc/nginx")));
    note(
        &mut found,
        web.into_iter().collect(),
        "web server log",
        "the web server's access log",
        &system.join("var/log/nginx"),
    );
    let folders =
        ["var/log/mysql", "var/lib/mysql", "var/log/mariadb"].map(|folder| system.join(folder));
    let mut database = Vec::new();
    for folder in &folders {
        database.extend(with_ending(folder, ".log"));
    }
    let local = config
        .database_hosts
        .values()
        .all(|host| matches!(host.split(':').next(), Some("localhost" | "127.0.0.1" | "")));
    let place = if local {
        folders[0].display().to_string()
    } else {
        "this host; the database runs on another".to_owned()
    };
    note(
        &mut found,
        database,
        "database log",
        "the database's audit, slow and general log",
        Path::new(&place),
    );
    found
}

fn note(found: &mut Found, files: Vec<PathBuf>, what: &'static str, wanted: &str, looked: &Path) {
    if files.is_empty() {
        found
            .missing
            .push((wanted.to_owned(), looked.display().to_string()));
    }
    found
        .files
        .extend(files.into_iter().map(|file| (file, what)));
}

fn with_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// Paths of `access_log` and `error_log` in nginx's settings, one folder deep.
fn nginx_logs(folder: &Path) -> Vec<PathBuf> {
    let mut logs = Vec::new();
    for place in [
        folder.to_owned(),
        folder.join("conf.d"),
        folder.join("sites-enabled"),
    ] {
        for file in fs::read_dir(&place).into_iter().flatten().flatten() {
            let Ok(text) = fs::read_to_string(file.path()) else {
                continue;
            };
            for line in text.lines().map(str::trim) {
                let mut words = line.split_whitespace();
                if matches!(words.next(), Some("access_log" | "error_log"))
                    && let Some(path) = words.next().map(|path| path.trim_end_matches(';'))
                    && path.starts_with('/')
                    && Path::new(path).is_file()
                {
                    logs.push(PathBuf::from(path));
                }
            }
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::find_logs_below;
    use crate::env_php::ShopConfig;
    use std::fs;

    #[test]
    fn finds_logs_and_says_what_is_missing() {
        let system = tempfile::tempdir().expect("a folder");
        let root = system.path().join("shop");
        fs::create_dir_all(root.join("var/log")).expect("made");
        fs::write(root.join("var/log/system.log"), "").expect("written");
        let found = find_logs_below(&root, &ShopConfig::default(), system.path());
        assert_eq!(found.files.len(), 1);
        assert_eq!(found.missing.len(), 2);
    }
}

//! Environment variables of PHP that win over rows and files, `CONFIG__SCOPE__CODE__PATH` (Magento's
//! `Config/Model/Placeholder/Environment.php`).
//!
//! Looked for where they are set: settings of PHP-FPM, web servers and units (`env[…]`, `fastcgi_param`, `SetEnv`, `Environment=`), and the
//! environment of PHP's processes. What can't be read is told, so that nobody takes "not found" for "isn't there".

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::host::Host;

/// Where such variables are set unless the settings say where: files, and folders with all below.
const PLACES: [&str; 9] = [
    "/etc/php",
    "/etc/php-fpm.conf",
    "/etc/php-fpm.d",
    "/etc/nginx",
    "/etc/apache2",
    "/etc/httpd",
    "/etc/environment",
    "/etc/default",
    "/etc/systemd/system",
];
/// How the names of PHP's processes begin, web servers that run it inside included.
const PROGRAMS: [&str; 4] = ["php", "apache2", "httpd", "frankenphp"];
/// Files that are looked at, how deep folders go, and bytes of one file.
const FILES_MAX: usize = 4000;
const DEPTH_MAX: usize = 6;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Places that are told one by one.
const TOLD_MAX: usize = 3;

/// What was found of some variables.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// The first that is set, and where.
    pub(crate) found: Option<(String, String)>,
    /// What couldn't be looked at.
    unread: BTreeSet<String>,
}

impl Environment {
    /// What isn't known, to be put behind how things are now; empty when all was looked at.
    pub(crate) fn unknown(&self) -> String {
        if self.unread.is_empty() {
            return String::new();
        }
        let mut told: Vec<_> = self.unread.iter().take(TOLD_MAX).cloned().collect();
        let more = self.unread.len() - told.len();
        if more > 0 {
            told.push(format!("{more} more"));
        }
        format!(
            "; whether a variable of PHP's environment sets it isn't known, since it can't be read here: {}",
            told.join(", ")
        )
    }

    fn unread(&mut self, what: String) {
        self.unread.insert(what);
    }
}

/// The variable of a setting in a scope, e.g. `CONFIG__WEBSITES__BASE__PAYMENT__CHECKMO__ACTIVE`.
pub(crate) fn variable(scope: &[&str], setting: &str) -> String {
    let parts = scope.iter().copied().chain(setting.split('/'));
    let parts: Vec<_> = parts.map(str::to_ascii_uppercase).collect();
    format!("CONFIG__{}", parts.join("__"))
}

/// Looks for variables, by names as [`variable`] makes them; Magento takes them in any case.
pub(crate) fn look(host: &Host, names: &[String]) -> Environment {
    let told = host.settings.magento.as_ref();
    let told = told.and_then(|magento| magento.environment.clone());
    let places = told.unwrap_or_else(|| PLACES.iter().map(PathBuf::from).collect());
    let mut out = Environment::default();
    let mut files = Vec::new();
    for place in &places {
        gather(place, DEPTH_MAX, &mut files, &mut out);
    }
    for path in files {
        match read(&path, FILE_BYTES_MAX) {
            Ok(text) => {
                let mut lines = String::from_utf8_lossy(&text).into_owned();
                lines.make_ascii_uppercase();
                let lines = lines.lines().filter(|line| !is_comment(line));
                for line in lines {
                    if let Some(name) = names.iter().find(|name| names_it(line, name)) {
                        out.found = Some((name.clone(), path.display().to_string()));
                        return out;
                    }
                }
            }
            Err(_) => out.unread(path.display().to_string()),
        }
    }
    processes(Path::new("/proc"), names, &mut out);
    out
}

/// The files of a place, and those that links in it lead to.
fn gather(place: &Path, depth: usize, files: &mut Vec<PathBuf>, out: &mut Environment) {
    let Ok(about) = fs::metadata(place).inspect_err(|error| {
        if error.kind() != ErrorKind::NotFound {
            out.unread(place.display().to_string());
        }
    }) else {
        return;
    };
    if about.is_file() {
        if files.len() < FILES_MAX {
            files.push(place.to_owned());
        } else {
            out.unread(format!("what is beyond {FILES_MAX} files"));
        }
        return;
    }
    let entries = about.is_dir().then(|| fs::read_dir(place));
    match (entries, depth) {
        // Neither a file nor a folder sets anything.
        (None, _) => {}
        (Some(Ok(_)), 0) | (Some(Err(_)), _) => out.unread(place.display().to_string()),
        (Some(Ok(entries)), _) => {
            let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            entries.sort();
            for entry in entries {
                // A link to a folder may lead round.
                if entry.is_symlink() && entry.is_dir() {
                    out.unread(entry.display().to_string());
                } else {
                    gather(&entry, depth - 1, files, out);
                }
            }
        }
    }
}

fn processes(proc: &Path, names: &[String], out: &mut Environment) {
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let program = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let program = program.trim();
        if !is_process || !PROGRAMS.iter().any(|name| program.starts_with(name)) {
            continue;
        }
        match read(&entry.path().join("environ"), FILE_BYTES_MAX) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).to_ascii_uppercase();
                let set = text.split('\0').filter_map(|one| one.split_once('='));
                let found = set
                    .map(|(name, _)| name)
                    .find(|name| names.iter().any(|one| one == name));
                if let Some(name) = found {
                    let place = format!("the environment of {program}");
                    out.found = Some((name.to_owned(), place));
                    return;
                }
            }
            // One that ended meanwhile sets nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => out.unread(format!("the environment of {program}")),
        }
    }
}

fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(['#', ';'])
}

/// Whether a line holds a name as a word of its own.
fn names_it(line: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(name).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + name.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{HostSettings, MagentoSettings};

    #[test]
    fn a_setting_has_its_variable() {
        assert_eq!(
            variable(&["websites", "base"], "payment/checkmo/active"),
            "CONFIG__WEBSITES__BASE__PAYMENT__CHECKMO__ACTIVE"
        );
    }

    const NAME: &str = "CONFIG__WEBSITES__BASE__PAYMENT__CHECKMO__ACTIVE";

    fn host(environment: Vec<PathBuf>) -> Host {
        let settings = HostSettings {
            magento: Some(MagentoSettings {
                root: PathBuf::from("/nonexistent"),
                quarantine: None,
                good_files: None,
                consumers: Vec::new(),
                environment: Some(environment),
            }),
            ..HostSettings::default()
        };
        Host::new(settings, model::StoreMap::default())
    }

    #[track_caller]
    fn check(line: &str, is_set: bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let pools = folder.path().join("8.2/fpm/pool.d");
        fs::create_dir_all(&pools).expect("made");
        fs::write(pools.join("a.conf"), "[a]\nuser = shop\n").expect("written");
        let file = pools.join("shop.conf");
        fs::write(&file, format!("[shop]\n{line}\n")).expect("written");
        let told = look(&host(vec![folder.path().to_owned()]), &[NAME.to_owned()]);
        let place = file.display().to_string();
        assert_eq!(
            told.found,
            is_set.then(|| (NAME.to_owned(), place)),
            "{line}"
        );
    }

    #[test]
    fn a_variable_is_found_however_it_is_set() {
        for line in [
            format!("env[{NAME}] = 1"),
            format!("fastcgi_param {NAME} \"1\";"),
            format!("  SetEnv {NAME} 1"),
            format!("Environment=\"{NAME}=1\""),
            format!("export {NAME}=1"),
            format!("env[{}] = 1", NAME.to_ascii_lowercase()),
            format!("location / {{ fastcgi_param {NAME} 1; }} # ä"),
        ] {
            check(&line, true);
        }
        for line in [
            format!("; env[{NAME}] = 1"),
            format!("  # fastcgi_param {NAME} 1;"),
            format!("env[X{NAME}] = 1"),
            format!("env[{NAME}_FOR] = 1"),
            "env[CONFIG__WEBSITES__OTHER__PAYMENT__CHECKMO__ACTIVE] = 1".to_owned(),
        ] {
            check(&line, false);
        }
    }

    #[test]
    fn what_can_not_be_looked_at_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let large = folder.path().join("large");
        fs::write(&large, vec![b'a'; (1 << 20) + 1]).expect("written");
        let mut deep = folder.path().to_owned();
        for _ in 0..=DEPTH_MAX {
            deep.push("a");
        }
        fs::create_dir_all(&deep).expect("made");
        let round = folder.path().join("b");
        std::os::unix::fs::symlink(folder.path(), &round).expect("linked");
        let host = host(vec![folder.path().to_owned(), folder.path().join("gone")]);
        let told = look(&host, &[NAME.to_owned()]);
        assert_eq!(told.found, None);
        assert!(
            told.unknown()
                .contains("isn't known, since it can't be read here")
        );
        for path in [large, round] {
            assert!(told.unread.contains(&path.display().to_string()));
        }
        assert!(!told.unknown().contains("gone"), "{}", told.unknown());
        assert_eq!(Environment::default().unknown(), "");
    }

    #[test]
    fn a_process_tells_by_its_environment() {
        let proc = tempfile::tempdir().expect("a folder");
        let process = |number: &str, program: &str, environ: Option<&str>| {
            let folder = proc.path().join(number);
            fs::create_dir(&folder).expect("made");
            fs::write(folder.join("comm"), format!("{program}\n")).expect("written");
            match environ {
                Some(text) => fs::write(folder.join("environ"), text).expect("written"),
                None => fs::create_dir(folder.join("environ")).expect("made"),
            }
        };
        process("1", "init", Some(&format!("{NAME}=1\0")));
        process("2", "php-fpm8.2", Some("PATH=/bin\0"));
        process("self", "php", Some(&format!("{NAME}=1\0")));
        let look = || {
            let mut out = Environment::default();
            processes(proc.path(), &[NAME.to_owned()], &mut out);
            out
        };
        assert_eq!(look(), Environment::default());
        process("3", "php-fpm8.2", None);
        assert!(look().unknown().ends_with("the environment of php-fpm8.2"));
        process("4", "apache2", Some(&format!("A=1\0{NAME}=0\0")));
        let found = look().found.expect("found");
        assert_eq!(
            found,
            (NAME.to_owned(), "the environment of apache2".to_owned())
        );
    }
}

//! What root says of the helper, in a file that root alone writes: who may ask, which programs are run, what is never dropped.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::Deserialize;

use crate::network::Network;

/// Where accounts of the host are (passwd(5)).
const ACCOUNTS: &str = "/etc/passwd";

/// Why the settings can't be used. Root acts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A file can't be read.
    #[error("can't read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else may write it, or what it lies in.
    #[error("{} isn't root's alone: {why}", path.display())]
    Open {
        /// What was asked for.
        path: PathBuf,
        /// What of it is open, to whom.
        why: String,
    },
    /// It is no TOML of this form.
    #[error("the settings of the root helper can't be read: {why}")]
    Form {
        /// What is wrong, with the line where it is one.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    user: String,
    #[serde(default)]
    stores: Option<PathBuf>,
    #[serde(default)]
    nginx: Option<NginxPrograms>,
    #[serde(default)]
    nftables: Option<FilterPrograms>,
}

/// nginx, as root says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NginxPrograms {
    /// Folder of our include files: root's alone.
    pub folder: PathBuf,
    /// Program and arguments that test its configuration.
    #[serde(default = "test")]
    pub test: Vec<String>,
    /// Program and arguments that make it take its configuration anew.
    #[serde(default = "reload")]
    pub reload: Vec<String>,
}

/// nftables, as root says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterPrograms {
    /// Program that changes them.
    #[serde(default = "nft")]
    pub program: String,
    /// Networks that are never dropped, whoever asks.
    #[serde(default)]
    pub never: Vec<String>,
}

/// What the root helper goes by. A part that is missing refuses its operations.
#[derive(Clone, Debug)]
pub struct RootSettings {
    /// Number of the account that may ask, beside the one that the helper runs as.
    pub account: u32,
    /// Where root's own list of stores is.
    pub stores: Option<PathBuf>,
    /// nginx.
    pub nginx: Option<NginxPrograms>,
    /// nftables.
    pub nftables: Option<FilterPrograms>,
}

fn test() -> Vec<String> {
    ["/usr/sbin/nginx", "-t"].map(str::to_owned).to_vec()
}

fn reload() -> Vec<String> {
    ["/usr/sbin/nginx", "-s", "reload"]
        .map(str::to_owned)
        .to_vec()
}

pub(crate) fn nft() -> String {
    "/usr/sbin/nft".to_owned()
}

impl RootSettings {
    /// Reads the file that root wrote.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]: somebody else may write it, a word isn't known, a program has no whole path, there is no such account.
    pub fn open(path: &Path) -> Result<Self, SettingsError> {
        alone(path)?;
        let text = read(path)?;
        Self::read(&text, &read(Path::new(ACCOUNTS))?)
    }

    /// Reads its text, and the host's accounts (passwd(5)).
    ///
    /// # Errors
    ///
    /// [`SettingsError::Form`].
    pub fn read(text: &str, accounts: &str) -> Result<Self, SettingsError> {
        let wrong = |why: String| SettingsError::Form { why };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let account = number_of(&file.user, accounts)
            .ok_or_else(|| wrong(format!("there is no account `{}` here", file.user)))?;
        let nginx = file.nginx.iter();
        let programs = nginx.flat_map(|nginx| [nginx.test.first(), nginx.reload.first()]);
        let nftables = file.nftables.as_ref();
        let programs = programs.chain(nftables.map(|nftables| Some(&nftables.program)));
        for program in programs {
            if !program.is_some_and(|program| program.starts_with('/')) {
                return Err(wrong(
                    "a program is named by its whole path, e.g. /usr/sbin/nginx".to_owned(),
                ));
            }
        }
        let never = nftables.map(|nftables| nftables.never.as_slice());
        if let Some(none) = never
            .unwrap_or_default()
            .iter()
            .find(|one| Network::read(one).is_none())
        {
            return Err(wrong(format!("`{none}` of `never` is no network")));
        }
        if file.nginx.is_some() && file.stores.is_none() {
            return Err(wrong(
                "[nginx] wants `stores`, the file that the agent has, too".to_owned(),
            ));
        }
        Ok(Self {
            account,
            stores: file.stores,
            nginx: file.nginx,
            nftables: file.nftables,
        })
    }
}

fn read(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::File {
        path: path.to_owned(),
        source,
    })
}

/// An account's number, by its name or as it is.
fn number_of(user: &str, accounts: &str) -> Option<u32> {
    let lines = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let mut lines = lines.filter(|parts| parts.first() == Some(&user) && !user.is_empty());
    match lines.next() {
        Some(parts) => parts.get(2)?.parse().ok(),
        None => user.parse().ok(),
    }
}

/// Whether nobody but root – and who this process is, which is root where it matters – may write a file or folder, or put another in its place.
///
/// # Errors
///
/// [`SettingsError::Open`] with what is open, [`SettingsError::File`] when it can't be looked at.
pub fn alone(path: &Path) -> Result<(), SettingsError> {
    let failed = |source| SettingsError::File {
        path: path.to_owned(),
        source,
    };
    let whole = path.canonicalize().map_err(failed)?;
    for (height, place) in whole.ancestors().enumerate() {
        let about = place.symlink_metadata().map_err(failed)?;
        let open = |why: String| {
            Err(SettingsError::Open {
                path: path.to_owned(),
                why,
            })
        };
        if about.uid() != 0 && about.uid() != geteuid().as_raw() {
            return open(format!("{} is of account {}", place.display(), about.uid()));
        }
        // In a folder with the sticky bit nobody puts another thing in the place of root's.
        let is_sticky = height > 0 && about.mode() & 0o1000 != 0;
        if about.mode() & 0o022 != 0 && !is_sticky {
            return open(format!("others may write {}", place.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{RootSettings, alone};
    use std::os::unix::fs::PermissionsExt as _;

    const ACCOUNTS: &str = "root:x:0:0::/root:/bin/sh\nmagewarden:x:998:998::/:/bin/false\n";

    #[track_caller]
    fn check(text: &str, expected: Result<u32, &str>) {
        let read = RootSettings::read(text, ACCOUNTS).map(|read| read.account);
        match (read, expected) {
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (read, expected) => assert_eq!(read.ok(), expected.ok()),
        }
    }

    #[test]
    fn settings_say_who_may_ask_and_what_is_run() {
        check("user = 'magewarden'", Ok(998));
        check("user = '65534'", Ok(65534));
        check("user = 'nobody'", Err("no account `nobody`"));
        check("user = ''", Err("no account"));
        check("", Err("missing field `user`"));
        check("user = 'root'\nshell = 'x'", Err("unknown field"));
        check(
            "user = 'root'\n[nginx]\nfolder = '/x'",
            Err("wants `stores`"),
        );
        check(
            "user = 'root'\nstores = '/y'\n[nginx]\nfolder = '/x'",
            Ok(0),
        );
        check(
            "user = 'root'\nstores = '/y'\n[nginx]\nfolder = '/x'\ntest = ['nginx']",
            Err("whole path"),
        );
        check(
            "user = 'root'\nstores = '/y'\n[nginx]\nfolder = '/x'\nreload = []",
            Err("whole path"),
        );
        check("user = 'root'\n[nftables]", Ok(0));
        check(
            "user = 'root'\n[nftables]\nprogram = 'nft'",
            Err("whole path"),
        );
        check(
            "user = 'root'\n[nftables]\nnever = ['x']",
            Err("`x` of `never`"),
        );
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        let file = inner.join("root.toml");
        std::fs::create_dir(&inner).expect("made");
        std::fs::write(&file, "user = '0'").expect("written");
        let mode = |path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("rights")
        };
        mode(&file, 0o644);
        mode(&inner, 0o755);
        alone(&file).expect("it is root's alone");
        assert_eq!(RootSettings::open(&file).expect("read").account, 0);
        for (path, open, closed) in [
            (&file, 0o664, 0o644),
            (&file, 0o646, 0o644),
            (&inner, 0o775, 0o755),
            (&inner, 0o757, 0o755),
        ] {
            mode(path, open);
            let told = RootSettings::open(&file).expect_err("refused").to_string();
            assert!(
                told.contains("isn't root's alone: others may write"),
                "{told}"
            );
            mode(path, closed);
        }
        // A link is as what it leads to.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        alone(&link).expect("it is root's alone");
        mode(&file, 0o666);
        assert!(alone(&link).is_err());
        assert!(alone(&folder.path().join("nothing")).is_err());
    }
}

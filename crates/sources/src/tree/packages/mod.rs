//! What composer distributed: which archive belongs to each package, and what a file below `vendor/` is to it.
//!
//! An archive counts when its SHA-1 is the one `composer.lock` has (`dist.shasum`), or when it lies in the folder of packages
//! that the merchant vouches for. It is read once; hashes of its members are kept beside the ledger under the
//! installation's code. What composer has no hash of, e.g. an archive that GitHub makes, stays unknown, and is counted.

mod known;
mod lock;
mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

use super::scan::State;
use crate::SourceError;
use crate::baseline::{self, Kept};
use known::compare;
use lock::{Locked, Patches};
use members::Members;

pub(super) use known::{Found, Judged, Known};
pub(super) use members::Hash;

/// How often it is looked for archives that weren't there.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Archives of one package that are tried, where none has composer's own name.
const ARCHIVES_MAX: usize = 32;
/// Most files of all packages.
const FILES_MAX: usize = 2_000_000;

/// Files that composer writes below `vendor/` itself (`AutoloadGenerator`, `FilesystemRepository`): of no package.
const GENERATED: [&str; 15] = [
    ".htaccess",
    "autoload.php",
    "composer/ClassLoader.php",
    "composer/InstalledVersions.php",
    "composer/LICENSE",
    "composer/autoload_classmap.php",
    "composer/autoload_files.php",
    "composer/autoload_namespaces.php",
    "composer/autoload_psr4.php",
    "composer/autoload_real.php",
    "composer/autoload_static.php",
    "composer/include_paths.php",
    "composer/installed.json",
    "composer/installed.php",
    "composer/platform_check.php",
];

/// An archive that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Archive {
    /// What it was on disk, where its name vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<State>,
    /// Why it isn't used; empty when it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    fault: String,
    files: Members,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Installed {
    locked: Locked,
    trust: Trust,
}

/// Why an archive of a package is trusted, or isn't.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trust {
    /// It has no files.
    Empty,
    /// Its hash is in `composer.lock`; the archive by its key.
    Locked(String),
    /// The merchant vouches for it.
    Vouched(String),
    /// `composer.lock` has no hash.
    NoHash,
    /// No archive of that hash is found.
    NoArchive,
    /// The archive can't be used; its key, so that it isn't read again each hour.
    Unusable(String),
}

/// Where packages and their archives are.
pub(super) struct Places {
    /// Magento's root folder.
    pub(super) root: PathBuf,
    /// Folder of packages that the merchant vouches for.
    pub(super) vouched: Option<PathBuf>,
    /// Composer's folder of what it fetched; that of the owner of `vendor` when it isn't said.
    pub(super) cache: Option<PathBuf>,
    /// Where hashes are kept.
    pub(super) kept: PathBuf,
}

/// What composer distributed.
pub(super) struct Packages {
    places: Places,
    key: [u8; 32],
    archives: BTreeMap<String, Archive>,
    /// Somebody else wrote what is kept.
    is_bent: bool,
    installed: BTreeMap<String, Installed>,
    /// Why nothing is known of any package; empty when something is.
    fault: String,
    patches: Patches,
    /// What the files were that say what is installed, and when it was last looked.
    stamp: Vec<Option<State>>,
    looked: Option<Instant>,
}

impl Packages {
    pub(super) const fn new(places: Places, key: [u8; 32]) -> Self {
        Self {
            places,
            key,
            archives: BTreeMap::new(),
            is_bent: false,
            installed: BTreeMap::new(),
            fault: String::new(),
            patches: Patches::NONE,
            stamp: Vec::new(),
            looked: None,
        }
    }

    /// Takes what is kept; tells whether somebody else wrote it.
    pub(super) fn load(&mut self) -> Result<bool, SourceError> {
        match baseline::load(&self.places.kept, &self.key)? {
            Kept::Whole(archives) => self.archives = archives,
            Kept::Changed => {
                self.is_bent = true;
                return Ok(true);
            }
            Kept::None => {}
        }
        Ok(false)
    }

    pub(super) fn kept(&self) -> &Path {
        &self.places.kept
    }

    /// Looks at what is installed when that changed, or an hour has gone; tells whether files are to be judged anew.
    pub(super) fn refresh(&mut self) -> Result<bool, SourceError> {
        let stamp = self.stamp();
        let is_new = stamp != self.stamp;
        if !is_new && self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(false);
        }
        (self.stamp, self.looked) = (stamp, Some(Instant::now()));
        let locked = match lock::read(&self.lock()) {
            Ok(locked) => {
                self.fault = String::new();
                locked
            }
            Err(why) => {
                self.fault = why;
                BTreeMap::new()
            }
        };
        let folders = self.folders();
        let (mut used, mut is_read) = (BTreeSet::new(), std::mem::take(&mut self.is_bent));
        let mut installed = BTreeMap::new();
        for (name, locked) in locked {
            let trust = self.find(&name, &locked, &folders, is_new, &mut is_read);
            if let Trust::Locked(key) | Trust::Vouched(key) | Trust::Unusable(key) = &trust {
                used.insert(key.clone());
            }
            installed.insert(name, Installed { locked, trust });
        }
        let before = self.archives.len();
        // A composer.lock that is away for a moment doesn't cost what composer's cache may have no longer.
        if self.fault.is_empty() {
            self.archives.retain(|key, _| used.contains(key));
        }
        if is_read || self.archives.len() != before {
            baseline::save(
                &self.places.kept,
                &baseline::write(&self.key, &self.archives),
            )?;
        }
        let patches = Patches::read(&self.places.root);
        let is_other = is_read || self.installed != installed || self.patches != patches;
        (self.installed, self.patches) = (installed, patches);
        Ok(is_other)
    }

    /// `composer.lock`: that of the vouched folder where there is one.
    fn lock(&self) -> PathBuf {
        let vouched = self.places.vouched.as_ref();
        vouched
            .map(|folder| folder.join("composer.lock"))
            .filter(|path| path.is_file())
            .unwrap_or_else(|| self.places.root.join("composer.lock"))
    }

    fn stamp(&self) -> Vec<Option<State>> {
        let root = &self.places.root;
        [
            self.lock(),
            root.join("composer.json"),
            root.join("m2-hotfixes"),
        ]
        .iter()
        .map(|path| std::fs::metadata(path).ok().as_ref().map(State::of))
        .collect()
    }

    /// Folders with archives as composer's cache has them, `vendor/package/name.zip`; whether they are vouched for.
    fn folders(&self) -> Vec<(PathBuf, bool)> {
        // Composer's `cache-files-dir` is `files` in its `cache-dir` unless the shop says else.
        let both = |folder: &Path| [folder.join("files"), folder.to_owned()];
        let vouched = self.places.vouched.as_deref().map(both);
        let caches = match &self.places.cache {
            Some(cache) => vec![cache.clone()],
            None => home(&self.places.root)
                .map(|home| vec![home.join(".cache/composer"), home.join(".composer/cache")])
                .unwrap_or_default(),
        };
        let vouched = vouched.into_iter().flatten().map(|folder| (folder, true));
        let caches = caches.iter().flat_map(|cache| both(cache));
        vouched
            .chain(caches.map(|folder| (folder, false)))
            .collect()
    }

    /// Finds the archive of a package; `is_thorough` looks at archives of any name.
    fn find(
        &mut self,
        name: &str,
        locked: &Locked,
        folders: &[(PathBuf, bool)],
        is_thorough: bool,
        is_read: &mut bool,
    ) -> Trust {
        if locked.is_empty {
            return Trust::Empty;
        }
        let below = name.to_ascii_lowercase();
        let own = Sha1::digest(locked.url.as_bytes());
        let own = hexadecimal(&own);
        // The merchant's word counts before that of `composer.lock`, which lies beside what is judged.
        let stems = [own.as_str(), &locked.reference, &locked.version];
        for (folder, _) in folders.iter().filter(|(_, is_vouched)| *is_vouched) {
            for stem in stems.into_iter().filter(|stem| lock::is_stem(stem)) {
                let path = folder.join(&below).join(format!("{stem}.zip"));
                if let Some(key) = self.vouched(&path, is_read) {
                    return self.usable(key, Trust::Vouched);
                }
            }
        }
        if locked.shasum.len() != 40 {
            return Trust::NoHash;
        }
        let key = format!("sha1:{}", locked.shasum);
        if self.archives.contains_key(&key) {
            return self.usable(key, Trust::Locked);
        }
        for (folder, _) in folders {
            let folder = folder.join(&below);
            for path in candidates(&folder, &own, is_thorough) {
                let Ok((_, bytes)) = lock::whole(&path, members::ARCHIVE_BYTES_MAX) else {
                    continue;
                };
                if hexadecimal(&Sha1::digest(&bytes)) == locked.shasum {
                    *is_read = true;
                    self.keep(key.clone(), None, &bytes);
                    return self.usable(key, Trust::Locked);
                }
            }
        }
        Trust::NoArchive
    }

    /// The archive that the merchant vouches for at a path, where there is one; it is read when it is another.
    fn vouched(&mut self, path: &Path, is_read: &mut bool) -> Option<String> {
        let now = State::of(&std::fs::metadata(path).ok()?);
        let key = format!("vouched:{}", path.display());
        let kept = self.archives.get(&key);
        let is_kept = kept
            .and_then(|archive| archive.seen.as_ref())
            .is_some_and(|seen| seen.is_as(&now));
        if !is_kept {
            *is_read = true;
            match lock::whole(path, members::ARCHIVE_BYTES_MAX) {
                Ok((state, bytes)) => self.keep(key.clone(), Some(state), &bytes),
                Err(error) => {
                    let archive = Archive {
                        seen: Some(now),
                        fault: error.to_string(),
                        files: Members::new(),
                    };
                    self.archives.insert(key.clone(), archive);
                }
            }
        }
        Some(key)
    }

    fn keep(&mut self, key: String, seen: Option<State>, bytes: &[u8]) {
        let others: usize = self.archives.values().map(|one| one.files.len()).sum();
        let read = members::read(bytes).and_then(|files| {
            if others + files.len() > FILES_MAX {
                return Err(format!("all packages have more than {FILES_MAX} files"));
            }
            Ok(files)
        });
        let (files, fault) = match read {
            Ok(files) => (files, String::new()),
            Err(why) => (Members::new(), why),
        };
        self.archives.insert(key, Archive { seen, fault, files });
    }

    fn usable(&self, key: String, trust: fn(String) -> Trust) -> Trust {
        let is_usable = self
            .archives
            .get(&key)
            .is_some_and(|archive| archive.fault.is_empty());
        if is_usable {
            trust(key)
        } else {
            Trust::Unusable(key)
        }
    }

    /// What a file, by its path below the shop's root, is to its package.
    pub(super) fn judge(&self, path: &str, found: Found) -> Judged {
        let Some(below) = path.strip_prefix("vendor/") else {
            return Judged::default();
        };
        let unknown = Judged {
            known: Known::Unknown,
            ..Judged::default()
        };
        if !self.fault.is_empty()
            || GENERATED.contains(&below)
            || (below.starts_with("bin/") && below.matches('/').count() == 1)
        {
            return unknown;
        }
        let mut parts = below.splitn(3, '/');
        let folder = parts.next().zip(parts.next());
        let of = folder.map(|(vendor, package)| format!("{vendor}/{package}"));
        let found_in = of.as_ref().and_then(|of| self.installed.get(of));
        let (Some(package), Some(installed), Some(file)) = (of, found_in, parts.next()) else {
            let known = match found {
                Found::Gone => Known::Package,
                Found::Content(_) | Found::Unread => Known::NotInPackage,
            };
            return Judged {
                known,
                ..Judged::default()
            };
        };
        let known = match &installed.trust {
            Trust::Empty => compare(None, found),
            Trust::Locked(key) | Trust::Vouched(key) => {
                self.archives.get(key).map_or(Known::Unknown, |archive| {
                    compare(archive.files.get(file), found)
                })
            }
            Trust::NoHash | Trust::NoArchive | Trust::Unusable(_) => Known::Unknown,
        };
        Judged {
            known,
            patches: self.patches.of(&package, path),
            version: installed.locked.version.clone(),
            package,
        }
    }

    /// How many packages are known, and why the others aren't.
    pub(super) fn words(&self) -> String {
        if !self.fault.is_empty() {
            return format!("packages known: none, {}", self.fault);
        }
        let count = |is: fn(&Trust) -> bool| {
            let installed = self.installed.values();
            installed.filter(|one| is(&one.trust)).count()
        };
        let (locked, vouched) = (
            count(|trust| matches!(trust, Trust::Locked(_))),
            count(|trust| matches!(trust, Trust::Vouched(_))),
        );
        let (no_hash, no_archive, unusable) = (
            count(|trust| matches!(trust, Trust::NoHash)),
            count(|trust| matches!(trust, Trust::NoArchive)),
            count(|trust| matches!(trust, Trust::Unusable(_))),
        );
        format!(
            "packages known: {locked} by composer.lock, {vouched} vouched for; unknown: {} ({no_hash} without a hash, \
             {no_archive} whose archive isn't found, {unusable} whose archive can't be used)",
            no_hash + no_archive + unusable
        )
    }
}

/// Archives in a package's folder of the cache: the one of composer's own name (`FileDownloader`: SHA-1 of the address),
/// and, looked for thoroughly, others in order.
fn candidates(folder: &Path, own: &str, is_thorough: bool) -> Vec<PathBuf> {
    let own = folder.join(format!("{own}.zip"));
    let mut others = BTreeSet::new();
    if is_thorough {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let zips = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "zip") && *path != own);
        others.extend(zips.take(ARCHIVES_MAX));
    }
    std::iter::once(own).chain(others).collect()
}

/// The home of who owns `vendor`, and so most likely ran composer.
fn home(root: &Path) -> Option<PathBuf> {
    let owner = std::fs::metadata(root.join("vendor"))
        .or_else(|_| std::fs::metadata(root))
        .ok()?
        .uid();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_owner = fields.next()?.parse() == Ok(owner);
        let home = fields.nth(2)?;
        (is_owner && home.starts_with('/')).then(|| PathBuf::from(home))
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

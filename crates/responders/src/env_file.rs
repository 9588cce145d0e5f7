//! `app/etc/env.php` changed at one place: all other bytes stay, and the file is the one that was read or another that says the same there.
//!
//! It is apart from what only reads the file ([`config_files`](crate::config_files)). Invariants: the file is never run; a place that isn't
//! said in plain words is left alone; what is written is text between single quotes.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ActionError;
use crate::config_files::{ENV, FILE_BYTES_MAX, Php, placed};
use crate::disk::temporary;
use crate::host::Host;

/// The file as it was read.
pub(crate) struct EnvFile {
    path: PathBuf,
    text: String,
    /// Time of its last change, in seconds and nanoseconds.
    modified: (i64, i64),
}

/// One change of it. It may hold a secret of the shop, so nothing prints it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edit {
    /// Keys that lead to the array with the entry.
    within: Vec<String>,
    /// The entry's key.
    key: String,
    /// Its value before, as written; none when the entry wasn't there.
    from: Option<String>,
    /// Its value after.
    to: String,
    /// SHA-256 of the whole file before.
    sha256: String,
    modified: (i64, i64),
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Before,
    After,
    /// Somebody else's change.
    Other,
}

impl EnvFile {
    /// Reads it.
    pub(crate) fn read(host: &Host) -> Result<Self, ActionError> {
        let path = host.magento()?.root.join(ENV);
        let failed = |what| ActionError::file(what, &path);
        let file = std::fs::File::open(&path).map_err(failed("read"))?;
        let about = file.metadata().map_err(failed("look at"))?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(failed("read"))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(ActionError::refused(format!(
                "{} is longer than {FILE_BYTES_MAX} bytes",
                path.display()
            )));
        }
        Ok(Self {
            modified: (about.mtime(), about.mtime_nsec()),
            path,
            text,
        })
    }

    /// What it says at a path of keys; refused when that isn't said in plain words.
    pub(crate) fn value(&self, path: &[&str]) -> Result<Option<Php>, ActionError> {
        let found = placed(&self.text, path).map_err(|_| self.unclear(path))?;
        Ok(found.map(|(value, _)| value))
    }

    /// What would make the entry of a key `to`, as PHP.
    pub(crate) fn edit(&self, within: &[&str], key: &str, to: String) -> Result<Edit, ActionError> {
        let path = [within, &[key]].concat();
        let found = placed(&self.text, &path).map_err(|_| self.unclear(&path))?;
        let edit = Edit {
            within: within.iter().map(|&key| key.to_owned()).collect(),
            key: key.to_owned(),
            from: found.and_then(|(_, range)| self.text.get(range).map(str::to_owned)),
            to,
            sha256: sha256(&self.text),
            modified: self.modified,
        };
        // What can't be written as it is meant isn't approved, either.
        self.with(&edit).ok_or_else(|| self.unclear(&path))?;
        Ok(edit)
    }

    /// Whether an edit is done.
    pub(crate) fn is(&self, edit: &Edit) -> Is {
        let now = placed(&self.text, &edit.path());
        let now = now.map(|found| found.and_then(|(_, range)| self.text.get(range)));
        match now {
            Ok(Some(now)) if now == edit.to => Is::After,
            Ok(now) if now == edit.from.as_deref() => Is::Before,
            _ => Is::Other,
        }
    }

    /// Does an edit; done twice it is as done once.
    pub(crate) fn act(&self, host: &Host, edit: &Edit) -> Result<(), ActionError> {
        match self.is(edit) {
            Is::After => host.disk.remove(&temporary(&self.path)),
            Is::Before => {
                let new = self.with(edit).ok_or_else(|| self.changed(edit))?;
                host.disk.replace(&self.path, new.as_bytes(), None)
            }
            Is::Other => Err(self.changed(edit)),
        }
    }

    /// Takes it back. Where nothing else changed meanwhile all bytes and the time of the last change are as before.
    pub(crate) fn undo(&self, host: &Host, edit: &Edit) -> Result<(), ActionError> {
        match self.is(edit) {
            Is::Before => host.disk.remove(&temporary(&self.path)),
            Is::After => {
                let old = self.without(edit).ok_or_else(|| self.changed(edit))?;
                let is_whole = sha256(&old) == edit.sha256;
                let modified = time(edit.modified).filter(|_| is_whole);
                host.disk.replace(&self.path, old.as_bytes(), modified)
            }
            Is::Other => Err(self.changed(edit)),
        }
    }

    /// The text with an edit done; it is read back, so that nothing else is meant by it.
    fn with(&self, edit: &Edit) -> Option<String> {
        let within: Vec<_> = edit.within.iter().map(String::as_str).collect();
        let new = if edit.from.is_some() {
            let (_, range) = placed(&self.text, &edit.path()).ok()??;
            splice(&self.text, range, &edit.to)?
        } else {
            let (array, range) = placed(&self.text, &within).ok()??;
            let opened = self.text.get(range.clone())?;
            let opening = opened.find(['[', '('])? + 1;
            let at = range.start + opening;
            matches!(array, Php::Array(_)).then_some(())?;
            splice(&self.text, at..at, &edit.entry())?
        };
        let (_, range) = placed(&new, &edit.path()).ok()??;
        (new.get(range)? == edit.to).then_some(new)
    }

    /// The text without what was done.
    fn without(&self, edit: &Edit) -> Option<String> {
        let (_, range) = placed(&self.text, &edit.path()).ok()??;
        let Some(from) = &edit.from else {
            let entry = edit.entry();
            let before = entry.len() - edit.to.len() - 1;
            let whole = range.start.checked_sub(before)?..range.end + 1;
            (self.text.get(whole.clone())? == entry).then_some(())?;
            return splice(&self.text, whole, "");
        };
        splice(&self.text, range, from)
    }

    fn unclear(&self, path: &[&str]) -> ActionError {
        ActionError::refused(format!(
            "{} doesn't say {} in plain words: it is changed by hand",
            self.path.display(),
            path.join("/")
        ))
    }

    fn changed(&self, edit: &Edit) -> ActionError {
        ActionError::refused(format!(
            "{} of {} was changed by somebody else, or by another step, since it was surveyed: take back the later step first, or see to it by hand",
            edit.path().join("/"),
            self.path.display()
        ))
    }
}

impl Edit {
    fn path(&self) -> Vec<&str> {
        let keys = self.within.iter().chain([&self.key]);
        keys.map(String::as_str).collect()
    }

    /// A new entry as it is written, right behind what opens its array.
    fn entry(&self) -> String {
        format!("\n    {} => {},", quoted(&self.key), self.to)
    }
}

/// A text as PHP writes it.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn splice(text: &str, range: std::ops::Range<usize>, to: &str) -> Option<String> {
    let (before, after) = (text.get(..range.start)?, text.get(range.end..)?);
    Some([before, to, after].concat())
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn time((seconds, nanoseconds): (i64, i64)) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok()?;
    let nanoseconds = u32::try_from(nanoseconds).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{EnvFile, Is, quoted};
    use crate::host::{Host, HostSettings, MagentoSettings};

    fn host(folder: &Path, text: &str) -> Host {
        let etc = folder.join("app/etc");
        std::fs::create_dir_all(&etc).expect("a folder");
        std::fs::write(etc.join("env.php"), text).expect("written");
        let magento = MagentoSettings {
            root: folder.to_owned(),
            quarantine: None,
            good_files: None,
            consumers: Vec::new(),
            environment: None,
        };
        let settings = HostSettings {
            magento: Some(magento),
            ..HostSettings::default()
        };
        Host::new(settings, model::StoreMap::default())
    }

    /// What becomes of a text when the entry `a/b` is made `'new'`; it is taken back, too.
    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let host = host(folder.path(), text);
        let now = || std::fs::read_to_string(folder.path().join("app/etc/env.php")).expect("read");
        let read = || EnvFile::read(&host).expect("a file");
        let edit = read().edit(&["a"], "b", "'new'".to_owned());
        assert_eq!(edit.is_ok(), expected.is_some(), "{text}");
        let (Ok(edit), Some(expected)) = (edit, expected) else {
            return;
        };
        read().act(&host, &edit).expect("done");
        assert_eq!((now().as_str(), read().is(&edit)), (expected, Is::After));
        read().undo(&host, &edit).expect("undone");
        assert_eq!((now().as_str(), read().is(&edit)), (text, Is::Before));
    }

    #[test]
    fn one_entry_changes_and_no_other_byte() {
        check(
            "<?php return ['a' => ['b' => 1 /* x */, 'c' => f()]];",
            Some("<?php return ['a' => ['b' => 'new' /* x */, 'c' => f()]];"),
        );
        check(
            "<?php\nreturn array('a'=>array ( ));\n// end",
            Some("<?php\nreturn array('a'=>array (\n    'b' => 'new', ));\n// end"),
        );
        check(
            "<?php return ['a' => ['c' => 1]];",
            Some("<?php return ['a' => [\n    'b' => 'new','c' => 1]];"),
        );
        check("<?php return ['a' => ['b' => getenv('B')]];", None);
        check("<?php return ['a' => 'text'];", None);
        check("<?php return [];", None);
        check("<?php return merge(['a' => []]);", None);
    }

    #[test]
    fn what_somebody_else_changed_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = host(
            folder.path(),
            "<?php return ['a' => ['b' => '1'], 'z' => 1];",
        );
        let path = folder.path().join("app/etc/env.php");
        let edit = EnvFile::read(&host).expect("a file");
        let edit = edit.edit(&["a"], "b", "'2'".to_owned()).expect("an edit");
        EnvFile::read(&host)
            .expect("a file")
            .act(&host, &edit)
            .expect("done");
        // Another place of the file: it stays as it is now.
        std::fs::write(&path, "<?php return ['a' => ['b' => '2'], 'z' => 2];").expect("written");
        EnvFile::read(&host)
            .expect("a file")
            .undo(&host, &edit)
            .expect("undone");
        let now = std::fs::read_to_string(&path).expect("read");
        assert_eq!(now, "<?php return ['a' => ['b' => '1'], 'z' => 2];");
        // The same place: nobody's but theirs.
        std::fs::write(&path, "<?php return ['a' => ['b' => '3'], 'z' => 2];").expect("written");
        let file = EnvFile::read(&host).expect("a file");
        assert_eq!(file.is(&edit), Is::Other);
        assert!(file.act(&host, &edit).is_err() && file.undo(&host, &edit).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_itself(text in "\\PC{0,20}") {
            let file = format!("<?php return ['a' => {}];", quoted(&text));
            let (value, _) = crate::config_files::placed(&file, &["a"]).expect("plain").expect("there");
            prop_assert_eq!(value, crate::config_files::Php::Text(text));
        }
    }
}

//! What was there at the last look, kept on disk under a code that only magewarden can make.
//!
//! One line of JSON a thing, in order of name, and a last line with HMAC-SHA256 over all before it: who changes a thing
//! and the baseline with it is seen, unless he also holds the key.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::SourceError;
use crate::private::code;

/// What a baseline holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept<T> {
    /// There is none.
    None,
    /// It is as it was written.
    Whole(BTreeMap<String, T>),
    /// Somebody else wrote it, or it is damaged.
    Changed,
}

/// Reads it.
pub(crate) fn load<T: DeserializeOwned>(
    path: &Path,
    key: &[u8; 32],
) -> Result<Kept<T>, SourceError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(Kept::Changed),
        Err(error) => return Err(SourceError::io(path)(error)),
    };
    let Some((lines, last)) = text.trim_end().rsplit_once('\n') else {
        return Ok(Kept::Changed);
    };
    let lines = format!("{lines}\n");
    if code(key, lines.as_bytes()) != last {
        return Ok(Kept::Changed);
    }
    let mut things = BTreeMap::new();
    for line in lines.lines().skip(1) {
        match serde_json::from_str::<(String, T)>(line) {
            Ok((name, thing)) => drop(things.insert(name, thing)),
            Err(_) => return Ok(Kept::Changed),
        }
    }
    Ok(Kept::Whole(things))
}

/// A baseline as it will stand on disk.
pub(crate) struct Written {
    text: String,
    /// What it is known by.
    pub(crate) code: String,
}

/// Writes it down, in memory.
pub(crate) fn write<T: Serialize>(key: &[u8; 32], things: &BTreeMap<String, T>) -> Written {
    let mut text = String::from("magewarden baseline 1\n");
    for thing in things {
        text.push_str(&serde_json::to_string(&thing).unwrap_or_default());
        text.push('\n');
    }
    let code = code(key, text.as_bytes());
    text.push_str(&code);
    text.push('\n');
    Written { text, code }
}

/// Puts it beside the old one and moves it over.
pub(crate) fn save(path: &Path, written: &Written) -> Result<(), SourceError> {
    let beside = path.with_extension("new");
    let write = || -> Result<(), std::io::Error> {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(written.text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(SourceError::io(path))
}

#[cfg(test)]
mod tests {
    use super::{Kept, load, save, write};
    use std::collections::BTreeMap;

    #[test]
    fn what_somebody_else_wrote_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("files");
        assert_eq!(load::<u64>(&path, &[1; 32]).expect("reads"), Kept::None);
        let files = BTreeMap::from([("pub/index.php".to_owned(), 7_u64), ("a\"b".to_owned(), 0)]);
        save(&path, &write(&[1; 32], &files)).expect("written");
        assert_eq!(
            load::<u64>(&path, &[1; 32]).expect("reads"),
            Kept::Whole(files)
        );
        assert_eq!(load::<u64>(&path, &[2; 32]).expect("reads"), Kept::Changed);
        let text = std::fs::read_to_string(&path).expect("there");
        for bent in [
            text.replace(",7]", ",8]"),
            text.replacen('\n', "\n[\"x\",1]\n", 1),
            String::new(),
            "\u{0}".to_owned(),
        ] {
            std::fs::write(&path, bent).expect("written");
            assert_eq!(load::<u64>(&path, &[1; 32]).expect("reads"), Kept::Changed);
        }
    }
}

//! Content rules in YARA's language, whoever runs them: where they come from, what they say of a content, what is wrong with them.

use std::io::Read as _;
use std::path::Path;

use crate::SourceError;

/// Files of rules in a folder, and bytes of all of them.
const FILES_MAX: usize = 1000;
const BYTES_MAX: u64 = 16 << 20;

/// A rule, or a file of rules, that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}: {}", self.file, self.line, self.why)
    }
}

/// A content that a rule says it must, or must not, match.
pub(super) struct Example {
    pub(super) rule: String,
    pub(super) content: Vec<u8>,
    pub(super) matches: bool,
}

/// What rules say of a content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// `yara:NAME` of ours, then `merchant:NAME`, at most 32.
    pub(super) names: Vec<String>,
    /// They took too long: what they would have said isn't known.
    pub(super) is_unfinished: bool,
}

/// What became of a rule's own example.
#[derive(Debug, PartialEq, Eq)]
pub struct ExampleOutcome {
    /// The rule's name.
    pub rule: String,
    /// Which it is: `match 1`, `pass 2` …
    pub example: String,
    /// Whether it holds.
    pub passed: bool,
}

/// Names and texts of the files of rules in a folder (`*.yar`, `*.yara`), in order of name; folders in it aren't looked into.
///
/// # Errors
///
/// [`SourceError`] when one can't be read, there are more than 1 000 or more than 16 MiB of them, or rules aren't built in.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, SourceError> {
    let unusable = |why: &str| SourceError::Unusable {
        why: format!("rules of {}: {why}", folder.display()),
    };
    if !cfg!(feature = "yara") {
        return Err(unusable(
            "this magewarden is built without the feature `yara`",
        ));
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(SourceError::io(folder))? {
        let path = entry.map_err(SourceError::io(folder))?.path();
        let ending = path.extension().unwrap_or_default();
        if (ending == "yar" || ending == "yara") && path.is_file() {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(unusable("more than 1 000 files"));
        }
    }
    paths.sort();
    let (mut files, mut left) = (Vec::new(), BYTES_MAX);
    for path in paths {
        let (file, mut text) = (
            std::fs::File::open(&path).map_err(SourceError::io(&path))?,
            Vec::new(),
        );
        file.take(left + 1)
            .read_to_end(&mut text)
            .map_err(SourceError::io(&path))?;
        left = left
            .checked_sub(text.len() as u64)
            .ok_or_else(|| unusable("more than 16 MiB"))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push((name.into_owned(), text));
    }
    Ok(files)
}

#[cfg(all(test, not(feature = "yara")))]
mod tests {
    #[test]
    fn a_folder_is_refused_where_rules_are_not_built_in() {
        let refused = super::read_folder(std::path::Path::new("/")).expect_err("refused");
        assert_eq!(
            refused.to_string(),
            "rules of /: this magewarden is built without the feature `yara`"
        );
    }
}

//! Secrets: files of them are read only when they are their owner's alone, and what this installation's key makes.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};

use crate::SourceError;

/// Largest file of secrets, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// Reads a file of secrets.
///
/// # Errors
///
/// [`SourceError::NotPrivate`] when others may read or change it, [`SourceError::Io`] when it can't be read.
pub(crate) fn read(path: &Path) -> Result<String, SourceError> {
    let file = File::open(path).map_err(SourceError::io(path))?;
    // Of the open file, not of the path: it can't be exchanged in between.
    let mode = file.metadata().map_err(SourceError::io(path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SourceError::NotPrivate {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(SourceError::io(path))?;
    Ok(text)
}

/// The secrets of such a file's text, one a line; blank lines and those that begin with `#` are none.
///
/// # Errors
///
/// [`SourceError::Settings`] when there is none.
pub(crate) fn lines(
    kind: &'static str,
    path: &Path,
    text: &str,
) -> Result<Vec<String>, SourceError> {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if lines.is_empty() {
        return Err(SourceError::Settings {
            kind,
            why: format!("{} holds no secret; write one a line", path.display()),
        });
    }
    Ok(lines)
}

/// A code of a text that only who holds the key can make: HMAC-SHA-256, hexadecimal.
pub(crate) fn code(key: &[u8; 32], text: &[u8]) -> String {
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    let code = mac.finalize().into_bytes();
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{SourceError, lines, read};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_others_may_read_or_change_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "# who\n one \n\n").expect("written");
        for (mode, is_private) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o602, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            match read(&path) {
                Ok(_) => assert!(is_private, "{mode:o}"),
                Err(error) => assert!(
                    !is_private && matches!(error, SourceError::NotPrivate { .. }),
                    "{mode:o} {error}"
                ),
            }
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        let text = read(&path).expect("private");
        assert_eq!(lines("http", &path, &text).expect("one"), ["one"]);
        assert!(lines("http", &path, "#\n").is_err());
    }
}

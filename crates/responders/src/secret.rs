//! Passwords: read from files that are their owner's alone.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::ActionError;

/// Largest file of a password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Reads a password: the file's text without the line end.
pub(crate) fn password(path: &Path) -> Result<String, ActionError> {
    let file = File::open(path).map_err(ActionError::file("read", path))?;
    let about = file
        .metadata()
        .map_err(ActionError::file("look at", path))?;
    if about.mode() & 0o077 != 0 {
        return Err(ActionError::NotSetUp {
            what: format!("{} has to be its owner's alone (0600)", path.display()),
        });
    }
    let mut text = String::new();
    file.take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(ActionError::file("read", path))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

//! What an agent collects beside files: live sources of `up` whose records have places of their own, so that a spool can stand between.

use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Timestamp;
use sha2::Sha256;
use sources::{Given, Positions, Signatures, Source, SourceError};

/// Kinds that an agent collects.
pub const KINDS: [&str; 1] = ["journald"];

/// Opens each, to go on where its records are in the spool or at the server. What it keeps for itself is below `folder`; `key` is the one to mask with.
///
/// # Errors
///
/// [`SourceError`]: a kind that isn't collected, settings that make no sense, or what they name can't be used.
pub(super) fn open(
    wanted: &[toml::Table],
    folder: &Path,
    resume: &Positions,
    (clock, key): (fn() -> Timestamp, [u8; 32]),
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let data = folder.join("sources");
    crate::runs::make_ours(&data).map_err(|source| SourceError::Io {
        path: data.clone(),
        source,
    })?;
    let given = Given {
        now: clock(),
        resume: resume.clone(),
        formats: parse::FORMATS.iter().map(|format| format.name()).collect(),
        database: None,
        data,
        clock,
        key: derived(&key),
        magento: None,
        // Files aren't looked into here.
        signatures: Arc::new(Signatures::parse(&[], &[]).map_err(|error| {
            SourceError::Unusable {
                why: error.to_string(),
            }
        })?),
        cards: Arc::new(|_| 0),
    };
    let open = |wanted: &toml::Table| {
        let mut settings = wanted.clone();
        let kind = settings.remove("kind");
        let name = kind.as_ref().and_then(toml::Value::as_str).unwrap_or("");
        let kind = sources::kind(name).filter(|kind| KINDS.contains(&kind.name()));
        let kind = kind.ok_or_else(|| SourceError::Unusable {
            why: format!(
                "a host collects no source of kind `{name}`: only {}",
                KINDS.join(", ")
            ),
        })?;
        kind.open(settings, &given)
    };
    wanted.iter().map(open).collect()
}

/// A key for what sources keep, that tells nothing of the one to mask with.
fn derived(key: &[u8; 32]) -> [u8; 32] {
    let mut keyed = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    keyed.update(b"magewarden sources of a host v1");
    keyed.finalize().into_bytes().into()
}

//! Masks what people type: a number pasted into a remark is as readable as one in a log.
//!
//! Before it is written anywhere. Its marks are dropped, so no fingerprint is made and no key is needed.

use std::sync::LazyLock;

use cardholder::{FingerprintKey, Masker};

/// Masks card numbers, authentication data and secrets in a text.
pub(crate) fn hide(text: &mut String) {
    let mut bytes = std::mem::take(text).into_bytes();
    mask(&mut bytes);
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

/// Masks the same in bytes of a text; tells in how many places.
pub(crate) fn mask(bytes: &mut [u8]) -> usize {
    static MASKER: LazyLock<Masker> = LazyLock::new(|| Masker::new(FingerprintKey::new([0; 32])));
    let mut marks = Vec::new();
    MASKER.mask(bytes, &mut marks);
    marks.len()
}

/// Whether a text holds anything that is masked.
pub(crate) fn is_hidden(text: &str) -> bool {
    let mut hidden = text.to_owned();
    hide(&mut hidden);
    hidden != text
}

//! Password hashes as Magento writes them, wherever they stand.

use std::ops::Range;

use model::MarkKind;

use crate::secret::run;

/// Which bytes are hexadecimal digits.
static HEX: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let is = (byte as u8).is_ascii_hexdigit();
        table[byte] = is;
        byte += 1;
    }
    table
};

/// Finds Magento's `hash:salt:version` and Magento 1's `hash:salt` (`magento.md` §3.7), key or not.
///
/// A run of 32 hexadecimal digits covers a whole aligned block of 16, so only blocks are looked at.
pub(crate) fn hashes(bytes: &[u8], found: &mut dyn FnMut(MarkKind, Range<usize>)) {
    let (blocks, _) = bytes.as_chunks::<16>();
    let mut past = 0;
    for (index, block) in blocks.iter().enumerate() {
        let at = index * 16;
        // Four bytes at once, for one guess of the processor: log text turns nearly all blocks away here.
        let hex = |at: usize| HEX[usize::from(block[at])];
        if !(hex(0) & hex(5) & hex(10) & hex(15))
            || at < past
            || !block.iter().all(u8::is_ascii_hexdigit)
        {
            continue;
        }
        let before = bytes.get(at.saturating_sub(128)..at).unwrap_or_default();
        let start = at
            - before
                .iter()
                .rev()
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count();
        let length = run(bytes, start, |byte| byte.is_ascii_hexdigit());
        past = start + length;
        if [32, 64, 128].contains(&length)
            && bytes.get(past) == Some(&b':')
            && let Some(end) = salted(bytes, past + 1)
        {
            found(MarkKind::Secret, start..end);
            past = end;
        }
    }
}

/// The end of a salt that begins at `from`, and of the version behind it.
fn salted(bytes: &[u8], from: usize) -> Option<usize> {
    let salt = run(bytes.get(..bytes.len().min(from + 65))?, from, |byte| {
        byte.is_ascii_alphanumeric()
    });
    if !(2..=64).contains(&salt) {
        return None;
    }
    let end = from + salt;
    let version = run(bytes, end, |byte| {
        byte.is_ascii_digit() || byte == b':' || byte == b'_'
    });
    // Without a version only the two salt lengths that Magento has had count.
    (version > 1 || salt == 2 || salt == 32).then_some(end)
}

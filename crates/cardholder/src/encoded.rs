//! A stretch of bytes with its encoding taken off, and the way back to where each character stood.
//!
//! Apart because the search itself knows digits side by side only: numbers in UTF-16, or with their
//! digits written as `%34` or `\u0034`, are searched in such a stretch. Never longer than
//! [`STRETCH`] bytes of input, so a hostile input costs a constant factor at most.

/// Bytes of input before a place that are decoded with it, for the context.
pub(crate) const BEFORE: usize = 96;
/// Bytes of input decoded from a place on.
const AFTER: usize = 416;
/// Bytes of input in one stretch.
pub(crate) const STRETCH: usize = BEFORE + AFTER;
/// From a place on, every number that starts within this many bytes ends inside the stretch.
pub(crate) const COVERED: usize = 192;

/// How characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// One byte and a NUL, in either order; the place is that of a byte that isn't the NUL.
    Utf16,
    /// `%34` or `\u0034` for some or all characters.
    Escaped,
}

/// A decoded stretch.
pub(crate) struct Stretch {
    /// The characters; what isn't ASCII became one placeholder.
    pub(crate) text: Vec<u8>,
    /// For each character and the end: where its encoded form starts.
    starts: Vec<usize>,
    /// For each character: the byte that tells its value.
    tells: Vec<usize>,
}

impl Stretch {
    /// Decodes what stands around `at`, where the first encoded character starts.
    pub(crate) fn around(bytes: &[u8], at: usize, encoding: Encoding) -> Self {
        let mut stretch = Self {
            text: Vec::new(),
            starts: Vec::new(),
            tells: Vec::new(),
        };
        let end = bytes.len().min(at.saturating_add(AFTER));
        let mut from = at.saturating_sub(BEFORE);
        if encoding == Encoding::Utf16 {
            from += (at - from) % 2; // keep step with the pairs
        }
        while from < end {
            let (character, tell, length) = match encoding {
                Encoding::Utf16 => pair(bytes, from),
                Encoding::Escaped => escape(bytes, from),
            };
            stretch.text.push(character);
            stretch.starts.push(from);
            stretch.tells.push(from + tell);
            from += length;
        }
        stretch.starts.push(from.min(bytes.len()));
        stretch
    }

    /// Where the character at `index` starts in the input; the end, for an index past the last.
    pub(crate) fn start(&self, index: usize) -> usize {
        self.starts
            .get(index)
            .or(self.starts.last())
            .copied()
            .unwrap_or(0)
    }

    /// Where the byte stands that tells the value of the character at `index`.
    pub(crate) fn tell(&self, index: usize) -> usize {
        self.tells.get(index).copied().unwrap_or(0)
    }
}

/// Reads one UTF-16 unit, told by its lower byte at `at`: the character, which byte tells it, its length.
///
/// In ASCII text either order has a NUL on both sides of nearly every byte, so one reading serves both.
fn pair(bytes: &[u8], at: usize) -> (u8, usize, usize) {
    let beside = bytes.get(at + 1) == Some(&0)
        || at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&0);
    match bytes.get(at) {
        Some(0xa0) if beside => (b' ', 0, 2),
        Some(byte) if beside => (*byte, 0, 2),
        _ => (0xff, 0, 2),
    }
}

/// Reads one character or escape: the character, which of its bytes tells it, its length.
fn escape(bytes: &[u8], at: usize) -> (u8, usize, usize) {
    let hex = |from: usize| -> Option<u8> {
        let pair = bytes.get(from..from + 2)?;
        let value = |byte: u8| char::from(byte).to_digit(16);
        let byte = value(*pair.first()?)? * 16 + value(*pair.last()?)?;
        u8::try_from(byte).ok()
    };
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.starts_with(b"%")
        && let Some(byte) = hex(at + 1)
    {
        return (byte, 2, 3);
    }
    if rest.starts_with(b"\\u00")
        && let Some(byte) = hex(at + 4)
    {
        return (byte, 5, 6);
    }
    if rest.starts_with(b"\\x")
        && let Some(byte) = hex(at + 2)
    {
        return (byte, 3, 4);
    }
    (rest.first().copied().unwrap_or(0), 0, 1)
}

//! Search in a stream of chunks: what `magewarden scan` uses. Nothing is masked or kept.

use model::{Brand, MarkKind};

use crate::level::Level;
use crate::search::{self, AHEAD, BEHIND, Number};
use crate::secret::Secrets;

/// Less than this isn't searched before more comes or the end: small chunks would be searched again and again.
const FILL: usize = 4 * (AHEAD + BEHIND);
/// Verification codes and PIN blocks are looked for within so many bytes of a number.
const NEAR: usize = 128;

/// A place found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// First byte, from the start of the stream.
    pub offset_bytes: u64,
    /// Bytes covered.
    pub length_bytes: u32,
    /// What it is.
    pub kind: MarkKind,
    /// Brand, for card numbers.
    pub brand: Option<Brand>,
    /// Number of digits.
    pub digits: u8,
    /// Last four digits, never more.
    pub last_four: Option<[u8; 4]>,
    /// Whether it is a published test number.
    pub is_test: bool,
}

/// Searches a stream.
///
/// Reports card numbers and tracks, and verification codes and PIN blocks that stand near one.
/// Keeps at most the last chunk and a few kibibytes.
pub struct Scanner {
    level: Level,
    secrets: Secrets,
    buffer: Vec<u8>,
    /// Offset of `buffer`'s first byte in the stream.
    base: u64,
    /// Numbers that start before this place in `buffer` were reported already.
    reported: usize,
    /// Codes that start before this place in `buffer` were reported already.
    codes_reported: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// Starts at the beginning of a stream, with the widest instructions the machine has.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Level::widest())
    }

    /// Starts at the beginning of a stream, with no special instructions: what tests compare with.
    #[must_use]
    pub fn portable() -> Self {
        Self::at(Level::Portable)
    }

    fn at(level: Level) -> Self {
        Self {
            level,
            secrets: Secrets::new(level),
            buffer: Vec::new(),
            base: 0,
            reported: 0,
            codes_reported: 0,
        }
    }

    /// Takes the next bytes; `end` says that no more will come.
    ///
    /// Reports each number once and in order, however the stream was cut, each followed by the codes near it.
    pub fn push(&mut self, chunk: &[u8], end: bool, found: &mut dyn FnMut(Hit)) {
        // Only the seam with what was kept is copied; the rest of a big chunk is searched where it is.
        let big = chunk.len() >= 2 * FILL;
        let seam = if big { FILL } else { chunk.len() };
        self.buffer
            .extend_from_slice(chunk.get(..seam).unwrap_or_default());
        if !big && !end && self.buffer.len() < FILL {
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        let keep = self.search(&buffer, end && !big, found);
        self.buffer = buffer;
        self.buffer.drain(..keep);
        if big {
            // What was kept of the seam is the chunk's own: go on from there.
            let rest = chunk.get(seam - self.buffer.len()..).unwrap_or_default();
            let keep = self.search(rest, end, found);
            self.buffer.clear();
            self.buffer
                .extend_from_slice(rest.get(keep..).unwrap_or_default());
        }
    }

    /// Searches bytes that begin at `base`; tells how many of them aren't needed any more, and moves on by as many.
    fn search(&mut self, bytes: &[u8], end: bool, found: &mut dyn FnMut(Hit)) -> usize {
        // What starts in the last bytes may go on in the next chunk.
        let safe = if end {
            bytes.len()
        } else {
            bytes.len().saturating_sub(AHEAD)
        };
        let (secrets, base, reported) = (&self.secrets, self.base, self.reported);
        let mut codes_reported = self.codes_reported;
        search::numbers(self.level, bytes, &mut |number| {
            if number.start < reported || number.start >= safe {
                return;
            }
            found(hit(base, &number));
            let from = number.start.saturating_sub(NEAR);
            let around = bytes
                .get(from..bytes.len().min(number.whole_end + NEAR))
                .unwrap_or_default();
            secrets.find(around, true, &mut |kind, range| {
                let (start, end) = (from + range.start, from + range.end);
                let apart = end <= number.start || start >= number.whole_end;
                if kind != MarkKind::Secret && apart && start >= codes_reported {
                    codes_reported = end;
                    found(code(base, kind, start, end));
                }
            });
        });
        let drop = if end {
            safe
        } else {
            safe.saturating_sub(BEHIND)
        };
        self.reported = safe - drop;
        self.codes_reported = codes_reported.saturating_sub(drop);
        self.base += drop as u64;
        drop
    }
}

fn code(base: u64, kind: MarkKind, start: usize, end: usize) -> Hit {
    Hit {
        offset_bytes: base + start as u64,
        length_bytes: u32::try_from(end - start).unwrap_or(u32::MAX),
        kind,
        brand: None,
        digits: 0,
        last_four: None,
        is_test: false,
    }
}

fn hit(base: u64, number: &Number) -> Hit {
    let last_four = number
        .values()
        .last_chunk::<4>()
        .map(|digits| digits.map(|digit| digit + b'0'));
    Hit {
        offset_bytes: base + number.start as u64,
        length_bytes: u32::try_from(number.whole_end - number.start).unwrap_or(u32::MAX),
        kind: number.kind,
        brand: Some(number.brand),
        digits: number.count,
        last_four,
        is_test: number.is_test,
    }
}

#[cfg(test)]
mod tests {
    use super::Scanner;
    use model::MarkKind;
    use proptest::prelude::*;

    fn scan(mut scanner: Scanner, text: &[u8], cut: usize) -> Vec<(u64, u32, MarkKind)> {
        let mut found = Vec::new();
        for chunk in text.chunks(cut.max(1)) {
            scanner.push(chunk, false, &mut |hit| {
                found.push((hit.offset_bytes, hit.length_bytes, hit.kind))
            });
        }
        scanner.push(&[], true, &mut |hit| {
            found.push((hit.offset_bytes, hit.length_bytes, hit.kind))
        });
        found
    }

    /// Forms of test numbers, the bytes before the number apart.
    fn form(index: usize) -> (&'static [u8], Vec<u8>) {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        match index % 8 {
            0 => (b" ", b"4111-1111-1111-1111 ".to_vec()),
            1 => (b"%22", b"378282246310005%22".to_vec()),
            2 => (b"cc=", b"5555+5555+5555+4444&".to_vec()),
            3 => (
                b" ",
                b"%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31 ".to_vec(),
            ),
            4 => (b"=\0", wide("4111111111111111;")),
            5 => (b";", b"4111111111111111=29121010000?".to_vec()),
            6 => (b"n: ", b"6011%201111%201111%201117 ".to_vec()),
            _ => (
                b"\"",
                b"\\u0034\\u0031\\u0031\\u0031111111111111\"".to_vec(),
            ),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_cut_and_the_level_change_nothing(
            cut in 1_usize..40_000,
            parts in prop::collection::vec((1_usize..1500, 0_usize..8), 1..60),
        ) {
            let mut text = Vec::new();
            let mut expected = Vec::new();
            for (pad, index) in parts {
                text.extend(std::iter::repeat_n(b"x7 .,y12"[pad % 8], pad));
                text.push(b'\n');
                let (before, number) = form(index);
                text.extend_from_slice(before);
                expected.push(text.len() as u64);
                text.extend_from_slice(&number);
                text.push(b'\n');
            }
            let found = scan(Scanner::new(), &text, cut);
            let starts: Vec<u64> = found.iter().map(|hit| hit.0).collect();
            prop_assert_eq!(starts, expected);
            prop_assert_eq!(scan(Scanner::portable(), &text, text.len()), found);
        }

        #[test]
        fn every_level_finds_the_same_in_noise(text in "[0-9%\\-+ .\x00=3u\\\\]{0,3000}", cut in 1_usize..5000) {
            prop_assert_eq!(scan(Scanner::new(), text.as_bytes(), cut), scan(Scanner::portable(), text.as_bytes(), cut));
        }
    }

    #[test]
    fn reports_the_code_near_a_number_and_no_other() {
        let text = b"cvv=123 nothing near                                                                                   \
            ........................................................ {\"cvv\":\"737\",\"n\":\"4111111111111111\"}";
        let kinds: Vec<MarkKind> = scan(Scanner::new(), text, 7)
            .iter()
            .map(|hit| hit.2)
            .collect();
        assert_eq!(kinds, [MarkKind::Pan, MarkKind::Cvv]);
    }
}

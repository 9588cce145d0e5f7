//! Search in a stream of chunks: what `magewarden scan` uses. Nothing is masked or kept.

use model::{Brand, MarkKind};

use crate::search::{self, Number, SPAN_MAX};

/// Bytes kept between chunks: a number with its separators, and what stands before it.
const CARRY: usize = 2 * SPAN_MAX;

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
#[derive(Debug, Default)]
pub struct Scanner {
    buffer: Vec<u8>,
    /// Offset of `buffer`'s first byte in the stream.
    base: u64,
    /// Bytes of `buffer` that were reported already.
    reported: usize,
}

impl Scanner {
    /// Starts at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; `end` says that no more will come. Reports each number once, however the stream was cut.
    pub fn push(&mut self, chunk: &[u8], end: bool, found: &mut dyn FnMut(Hit)) {
        self.buffer.extend_from_slice(chunk);
        // What starts in the last bytes may go on in the next chunk.
        let safe = if end { self.buffer.len() } else { self.buffer.len().saturating_sub(SPAN_MAX) };
        let (base, mut reported) = (self.base, self.reported);
        search::numbers(&self.buffer, &mut |number| {
            if number.start >= reported && number.start < safe {
                reported = number.end;
                found(hit(base, &number));
            }
        });
        let drop = safe.saturating_sub(CARRY - SPAN_MAX);
        self.reported = reported.max(safe).saturating_sub(drop);
        self.buffer.drain(..drop);
        self.base += drop as u64;
    }
}

fn hit(base: u64, number: &Number) -> Hit {
    let last_four = number.values().last_chunk::<4>().map(|digits| digits.map(|digit| digit + b'0'));
    Hit {
        offset_bytes: base + number.start as u64,
        length_bytes: u32::try_from(number.end - number.start).unwrap_or(u32::MAX),
        kind: MarkKind::Pan,
        brand: Some(number.brand),
        digits: number.count,
        last_four,
        is_test: number.is_test,
    }
}

#[cfg(test)]
mod tests {
    use super::Scanner;
    use proptest::prelude::*;

    fn scan(text: &[u8], cut: usize) -> Vec<u64> {
        let mut scanner = Scanner::new();
        let mut found = Vec::new();
        for chunk in text.chunks(cut.max(1)) {
            scanner.push(chunk, false, &mut |hit| found.push(hit.offset_bytes));
        }
        scanner.push(&[], true, &mut |hit| found.push(hit.offset_bytes));
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_cut_changes_nothing(cut in 1_usize..300, pads in prop::collection::vec(1_usize..200, 1..6)) {
            let mut text = Vec::new();
            let mut expected = Vec::new();
            for pad in pads {
                text.extend(std::iter::repeat_n(b'x', pad));
                text.push(b' ');
                expected.push(text.len() as u64);
                text.extend_from_slice(b"4111-1111-1111-1111 ");
            }
            prop_assert_eq!(scan(&text, cut), expected);
        }
    }
}

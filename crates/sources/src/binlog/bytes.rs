//! Takes numbers and texts off the front of bytes that may be anything: every step says when there is too little.

/// What is left to be read.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of up to eight bytes, the least significant first.
    pub(super) fn number(&mut self, count: usize) -> Option<u64> {
        let bytes = self.take(count)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number that says its own length, as the protocol packs it.
    pub(super) fn packed(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ ..=250 => Some(u64::from(small)),
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            // NULL, and an error's mark.
            0xfb | 0xff => None,
        }
    }

    /// A count that stands before what it counts; never more than could be there.
    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.packed()?).ok()
    }

    /// Bytes behind their length.
    pub(super) fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    /// Bytes up to a zero, which goes, too.
    pub(super) fn until_zero(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a bit is set, the lowest of the first byte first.
pub(super) fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8)
        .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// Bytes as text; what is no UTF-8 is marked.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Bytes, bit};

    #[test]
    fn too_little_is_none_and_takes_nothing() {
        let mut bytes = Bytes(&[1, 2]);
        assert_eq!(bytes.take(3), None);
        assert_eq!(bytes.number(2), Some(0x0201));
        assert!(bytes.is_empty() && bytes.byte().is_none());
        assert_eq!(Bytes(b"ab").until_zero(), None);
        assert_eq!(Bytes(b"ab\0c").until_zero(), Some(&b"ab"[..]));
    }

    #[test]
    fn reads_packed_numbers() {
        for (bytes, number) in [
            (&[250][..], Some(250)),
            (&[0xfc, 1, 2], Some(0x0201)),
            (&[0xfd, 1, 2, 3], Some(0x03_0201)),
            (&[0xfb], None),
            (&[0xfc, 1], None),
        ] {
            assert_eq!(Bytes(bytes).packed(), number);
        }
        assert!(bit(&[0b10], 1) && !bit(&[0b10], 0) && !bit(&[], 9));
    }
}

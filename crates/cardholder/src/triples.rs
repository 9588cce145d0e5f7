//! Finds where any of a few dozen triples of bytes stand, letters in either case.
//!
//! Apart because it knows nothing of what the triples mean. Vector instructions look at half bytes and
//! leave a few places too many; a table that knows each triple leaves the right ones. Time is linear.

use crate::level::{Digits, Level, Work};

/// Triples to look for, in at most eight groups; those of one group should be alike.
pub(crate) struct Triples {
    /// For each place in the triple and each lower half byte, one bit for each group; twice, as vectors want it.
    pub(crate) low: [[u8; 32]; 3],
    /// The same for the upper half byte.
    pub(crate) high: [[u8; 32]; 3],
    /// One bit for each key of [`Triples::shift`].
    known: Box<[u64; 512]>,
    /// The triples, lower case, for what the key joins.
    all: Vec<[u8; 3]>,
}

impl Triples {
    /// Takes groups of triples of lower-case letters and other ASCII bytes; what isn't three bytes long is left out.
    pub(crate) fn new(groups: &[&[&str]]) -> Self {
        let mut triples = Self {
            low: [[0; 32]; 3],
            high: [[0; 32]; 3],
            known: Box::new([0; 512]),
            all: Vec::new(),
        };
        for (group, list) in groups.iter().take(8).enumerate() {
            for triple in *list {
                if let Ok(triple) = <[u8; 3]>::try_from(triple.as_bytes()) {
                    triples.add(1 << group, triple);
                }
            }
        }
        triples
    }

    fn add(&mut self, group: u8, triple: [u8; 3]) {
        let key = triple.iter().fold(0, |key, byte| Self::shift(key, *byte));
        if let Some(word) = self.known.get_mut(usize::from(key >> 6)) {
            *word |= 1 << (key & 63);
        }
        self.all.push(triple);
        for ((byte, low), high) in triple.into_iter().zip(&mut self.low).zip(&mut self.high) {
            for byte in [byte, byte.to_ascii_uppercase()] {
                for lane in [0, 16] {
                    low[usize::from(byte & 0x0f) + lane] |= group;
                    high[usize::from(byte >> 4) + lane] |= group;
                }
            }
        }
    }

    /// Moves a key on by one byte: five bits of each of the last three bytes, the same for both cases.
    #[inline(always)]
    pub(crate) fn shift(key: u16, byte: u8) -> u16 {
        (key >> 5) | (u16::from(byte & 31) << 10)
    }

    /// Tells whether a triple has this key.
    #[inline(always)]
    pub(crate) fn may_be(&self, key: u16) -> bool {
        self.known[usize::from((key >> 6) & 511)] & (1 << (key & 63)) != 0
    }

    /// Gives `found` each place where a triple begins, in order.
    pub(crate) fn find(&self, level: Level, bytes: &[u8], found: &mut dyn FnMut(usize)) {
        level.run(Find {
            triples: self,
            bytes,
            found,
        });
    }

    fn is_known(&self, three: &[u8; 3]) -> bool {
        let key = three.iter().fold(0, |key, byte| Self::shift(key, *byte));
        self.may_be(key)
            && self
                .all
                .iter()
                .any(|triple| three.eq_ignore_ascii_case(triple))
    }
}

struct Find<'a> {
    triples: &'a Triples,
    bytes: &'a [u8],
    found: &'a mut dyn FnMut(usize),
}

impl Work for Find<'_> {
    #[inline(always)]
    fn with<D: Digits>(mut self, level: D) {
        let mut base = 0;
        while let Some(rest) = self.bytes.get(base..)
            && let Some(window) = rest.first_chunk::<34>()
        {
            let mask = level.triples(self.triples, window);
            if mask != 0 {
                self.look(base, mask);
            }
            base += 32;
        }
        let rest = self.bytes.get(base..).unwrap_or_default();
        if rest.len() < 3 {
            return;
        }
        // The last places: the last 34 bytes, those before `base` shifted out; a copy only where there are fewer.
        let mask = if let Some(window) = self.bytes.last_chunk::<34>() {
            level.triples(self.triples, window) >> (34 - rest.len())
        } else {
            let mut window = [0; 34];
            if let Some(front) = window.get_mut(..rest.len()) {
                front.copy_from_slice(rest);
            }
            level.triples(self.triples, &window)
        };
        if mask != 0 {
            self.look(base, mask);
        }
    }
}

impl Find<'_> {
    /// Keeps of the places in `mask` those where a triple really stands.
    #[inline(never)]
    fn look(&mut self, base: usize, mut mask: u32) {
        while mask != 0 {
            let at = base + mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if let Some(three) = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<3>)
                && self.triples.is_known(three)
            {
                (self.found)(at);
            }
        }
    }
}

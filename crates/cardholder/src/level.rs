//! The widest instructions this machine has, and the two questions asked of them: which of 64 bytes are
//! digits, and where among 32 may one of a few triples of letters stand.
//!
//! Apart because everything else is the same code at every level. `pulp` proves by its tokens that
//! the machine has the instructions, so no `unsafe` is needed. The portable level is always there
//! and is the one that tests hold the others to.

use pulp::NullaryFnOnce;

use crate::triples::Triples;

/// Tells where ASCII digits and certain triples of bytes stand.
pub(crate) trait Digits: Copy {
    /// One bit for each byte, lowest first.
    fn digits(self, block: &[u8; 64]) -> u64;

    /// One bit for each of the first 32 bytes, lowest first, where one of `triples` begins. May tell too
    /// many, never too few.
    fn triples(self, triples: &Triples, window: &[u8; 34]) -> u32;
}

/// Eight bytes a step in plain registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Digits for Portable {
    #[inline(always)]
    fn digits(self, block: &[u8; 64]) -> u64 {
        let (chunks, _) = block.as_chunks::<8>();
        let mut mask = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            let low = u64::from_le_bytes(*chunk) ^ 0x3030_3030_3030_3030;
            // A byte is a digit when it is at most 9 now: adding 0x76 leaves its top bit clear.
            let over = (low & 0x7f7f_7f7f_7f7f_7f7f).wrapping_add(0x7676_7676_7676_7676) | low;
            let digits = (!over & 0x8080_8080_8080_8080) >> 7;
            mask |= (digits.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (index * 8);
        }
        mask
    }

    #[inline(always)]
    fn triples(self, triples: &Triples, window: &[u8; 34]) -> u32 {
        let ([first, second, rest @ ..], mut mask) = (*window, 0);
        let mut key = Triples::shift(Triples::shift(0, first), second);
        for (at, byte) in rest.into_iter().enumerate() {
            key = Triples::shift(key, byte);
            mask |= u32::from(triples.may_be(key)) << at;
        }
        mask
    }
}

/// For each of 32 bytes the groups of triples it can stand in, by tables of its halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn may_stand(
    level: pulp::x86::V3,
    bytes: [u8; 32],
    low: &[u8; 32],
    high: &[u8; 32],
) -> core::arch::x86_64::__m256i {
    let half = level.avx._mm256_set1_epi8(0x0f);
    let bytes: core::arch::x86_64::__m256i = pulp::cast(bytes);
    let upper = level.avx2._mm256_srli_epi16::<4>(bytes);
    level.avx2._mm256_and_si256(
        level
            .avx2
            ._mm256_shuffle_epi8(pulp::cast(*low), level.avx2._mm256_and_si256(bytes, half)),
        level
            .avx2
            ._mm256_shuffle_epi8(pulp::cast(*high), level.avx2._mm256_and_si256(upper, half)),
    )
}

/// The digits among 32 bytes. A function and no closure: a closure doesn't take over the caller's instructions.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn small_digits(level: pulp::x86::V3, bytes: core::arch::x86_64::__m256i) -> u64 {
    let (zero, nine) = (
        level.avx._mm256_set1_epi8(0x30),
        level.avx._mm256_set1_epi8(9),
    );
    let value = level.avx2._mm256_sub_epi8(bytes, zero);
    let small = level
        .avx2
        ._mm256_cmpeq_epi8(level.avx2._mm256_min_epu8(value, nine), value);
    u64::from(level.avx2._mm256_movemask_epi8(small).cast_unsigned())
}

#[cfg(target_arch = "x86_64")]
impl Digits for pulp::x86::V3 {
    #[inline(always)]
    fn digits(self, block: &[u8; 64]) -> u64 {
        let [low, high]: [core::arch::x86_64::__m256i; 2] = pulp::cast(*block);
        let (low, high) = (small_digits(self, low), small_digits(self, high));
        low | (high << 32)
    }

    #[inline(always)]
    fn triples(self, triples: &Triples, window: &[u8; 34]) -> u32 {
        // "Teddy" (Langdale): each half byte tells by table in which groups of triples it can stand.
        let ([first @ .., _, _], [_, second @ .., _], [_, _, third @ ..]) =
            (*window, *window, *window);
        let groups = self.avx2._mm256_and_si256(
            self.avx2._mm256_and_si256(
                may_stand(self, first, &triples.low[0], &triples.high[0]),
                may_stand(self, second, &triples.low[1], &triples.high[1]),
            ),
            may_stand(self, third, &triples.low[2], &triples.high[2]),
        );
        let none = self
            .avx2
            ._mm256_cmpeq_epi8(groups, self.avx._mm256_set1_epi8(0));
        !self.avx2._mm256_movemask_epi8(none).cast_unsigned()
    }
}

#[cfg(target_arch = "x86_64")]
impl Digits for pulp::x86::V4 {
    #[inline(always)]
    fn digits(self, block: &[u8; 64]) -> u64 {
        let bytes: core::arch::x86_64::__m512i = pulp::cast(*block);
        let value = self
            .avx512bw
            ._mm512_sub_epi8(bytes, self.avx512f._mm512_set1_epi8(0x30));
        self.avx512bw
            ._mm512_cmplt_epu8_mask(value, self.avx512f._mm512_set1_epi8(10))
    }

    #[inline(always)]
    fn triples(self, triples: &Triples, window: &[u8; 34]) -> u32 {
        let narrower: pulp::x86::V3 = *self;
        narrower.triples(triples, window)
    }
}

/// The level a search runs at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    /// 512-bit registers.
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// 256-bit registers.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// Plain registers.
    Portable,
}

/// Work that can be done at any level.
pub(crate) trait Work {
    /// Does it, with `level` to tell digits.
    fn with<D: Digits>(self, level: D);
}

/// Work bound to a level, as `pulp` wants it.
#[cfg(target_arch = "x86_64")]
struct Bound<W, D>(W, D);

#[cfg(target_arch = "x86_64")]
impl<W: Work, D: Digits> NullaryFnOnce for Bound<W, D> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.0.with(self.1);
    }
}

impl Level {
    /// The widest level this machine has.
    pub(crate) fn widest() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(level) = pulp::x86::V4::try_new() {
                return Self::Avx512(level);
            }
            if let Some(level) = pulp::x86::V3::try_new() {
                return Self::Avx2(level);
            }
        }
        Self::Portable
    }

    /// Every level this machine has, the portable one last.
    #[cfg(test)]
    pub(crate) fn every() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let wide = [
            pulp::x86::V4::try_new().map(Self::Avx512),
            pulp::x86::V3::try_new().map(Self::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wide: [Option<Self>; 0] = [];
        wide.into_iter().flatten().chain([Self::Portable]).collect()
    }

    /// Its name, as `level_name` gives it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Does `work` at this level.
    pub(crate) fn run(self, work: impl Work) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(level) => level.vectorize(Bound(work, level)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(level) => level.vectorize(Bound(work, level)),
            Self::Portable => work.with(Portable),
        }
    }
}

/// Names what the choice at run time came to: `avx512`, `avx2` or `portable`.
#[must_use]
pub fn level_name() -> &'static str {
    Level::widest().name()
}

#[cfg(test)]
mod tests {
    use super::{Digits, Level, Work};
    use crate::triples::Triples;
    use proptest::prelude::*;

    struct Ask<'a>(&'a [u8; 64], &'a mut u64);

    impl Work for Ask<'_> {
        #[inline(always)]
        fn with<D: Digits>(self, level: D) {
            *self.1 = level.digits(self.0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_level_sees_the_digits_that_are_there(block in prop::array::uniform32(any::<u8>()), near in prop::array::uniform32(0x2e_u8..0x3c)) {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&block);
            bytes[32..].copy_from_slice(&near);
            let expected = bytes.iter().enumerate().fold(0_u64, |mask, (at, byte)| mask | (u64::from(byte.is_ascii_digit()) << at));
            for level in Level::every() {
                let mut mask = 0;
                level.run(Ask(&bytes, &mut mask));
                prop_assert_eq!(mask, expected, "{}", level.name());
            }
        }

        #[test]
        fn every_level_sees_the_same_triples(text in "[cvokeyKEYs_in$2ab -]{0,300}", far in prop::collection::vec(any::<u8>(), 0..80)) {
            let triples = Triples::new(&[&["cvv", "key"], &["oke"], &["n_i", "n-i"], &["$2y"]]);
            let bytes = [text.as_bytes(), &far].concat();
            let mut all = Vec::new();
            for level in Level::every() {
                let mut places = Vec::new();
                triples.find(level, &bytes, &mut |at| places.push(at));
                all.push(places);
            }
            let expected: Vec<usize> = bytes.windows(3).enumerate().filter(|(_, three)| {
                let lower = three.to_ascii_lowercase();
                [&b"cvv"[..], b"key", b"oke", b"n_i", b"n-i", b"$2y"].contains(&&lower[..])
            }).map(|(at, _)| at).collect();
            for places in all {
                prop_assert_eq!(places, expected.clone());
            }
        }
    }
}

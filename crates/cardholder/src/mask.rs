//! Masks a record in place and leaves marks.

use std::ops::Range;

use hmac::{Hmac, KeyInit, Mac};
use model::{Mark, MarkKind};
use sha2::Sha256;

use crate::level::Level;
use crate::search::{self, Number};
use crate::secret::Secrets;

/// The key of fingerprints. Never printed, never written; overwritten when dropped.
pub struct FingerprintKey([u8; 32]);

impl FingerprintKey {
    /// Takes the key's 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Drop for FingerprintKey {
    fn drop(&mut self) {
        // As far as safe Rust goes: `black_box` keeps the write from being optimised away.
        self.0 = [0; 32];
        std::hint::black_box(&self.0);
    }
}

/// Masks records.
pub struct Masker {
    key: FingerprintKey,
    secrets: Secrets,
    level: Level,
}

impl Masker {
    /// Makes a mask that fingerprints with `key`.
    #[must_use]
    pub fn new(key: FingerprintKey) -> Self {
        let level = Level::widest();
        Self {
            key,
            secrets: Secrets::new(level),
            level,
        }
    }

    /// Masks in place, keeping length; adds a mark for each place, in order of offset.
    ///
    /// Of a card number the last four digits stay; separators stay; everything else found becomes `*`.
    /// A record holds at most 4 GiB, as [`Mark::offset_bytes`] does.
    pub fn mask(&self, record: &mut [u8], marks: &mut Vec<Mark>) {
        let mut numbers: Vec<Number> = Vec::new();
        search::numbers(self.level, record, &mut |number| numbers.push(number));
        let mut others: Vec<(MarkKind, Range<usize>)> = Vec::new();
        self.secrets
            .find(record, !numbers.is_empty(), &mut |kind, range| {
                others.push((kind, range))
            });
        if numbers.is_empty() && others.is_empty() {
            return;
        }
        let before = marks.len();
        for number in &numbers {
            marks.extend(self.number_mark(number));
            if number.kind == MarkKind::Pan {
                hide_number(record, number);
            } else {
                hide(record, number.start..number.whole_end);
            }
        }
        for (kind, range) in others {
            // Numbers are in order and apart, so only the first that ends behind the place can meet it.
            let next = numbers.partition_point(|number| number.whole_end <= range.start);
            let inside_number = numbers
                .get(next)
                .is_some_and(|number| number.start < range.end);
            if inside_number && kind != MarkKind::Secret {
                continue;
            }
            marks.extend(plain_mark(kind, &range));
            hide(record, range);
        }
        if let Some(new) = marks.get_mut(before..) {
            new.sort_by_key(|mark| mark.offset_bytes);
        }
    }

    fn number_mark(&self, number: &Number) -> Option<Mark> {
        let mut text = [0; 19];
        for (to, digit) in text.iter_mut().zip(number.values()) {
            *to = digit + b'0';
        }
        let digits = text.get(..number.values().len())?;
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.key.0).ok()?;
        hmac.update(digits);
        let full = hmac.finalize().into_bytes();
        let mut fingerprint = [0; 16];
        for (to, from) in fingerprint.iter_mut().zip(full.iter()) {
            *to = *from;
        }
        Some(Mark {
            offset_bytes: u32::try_from(number.start).ok()?,
            length_bytes: u32::try_from(number.whole_end - number.start).ok()?,
            kind: number.kind,
            brand: Some(number.brand),
            digits: number.count,
            last_four: digits.last_chunk::<4>().copied(),
            fingerprint: Some(fingerprint),
            is_test: number.is_test,
        })
    }
}

fn plain_mark(kind: MarkKind, range: &Range<usize>) -> Option<Mark> {
    Some(Mark {
        offset_bytes: u32::try_from(range.start).ok()?,
        length_bytes: u32::try_from(range.len()).ok()?,
        kind,
        brand: None,
        digits: 0,
        last_four: None,
        fingerprint: None,
        is_test: false,
    })
}

fn hide(record: &mut [u8], range: Range<usize>) {
    if let Some(bytes) = record.get_mut(range) {
        bytes.fill(b'*');
    }
}

/// Replaces every digit but the last four; of an encoded digit the byte that tells its value.
fn hide_number(record: &mut [u8], number: &Number) {
    let keep_from = number.places().len().saturating_sub(4);
    for place in number.places().take(keep_from) {
        if let Some(byte) = record.get_mut(place) {
            *byte = b'*';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FingerprintKey, Masker};
    use model::MarkKind;
    use proptest::prelude::*;

    fn mask(text: &str) -> (String, Vec<MarkKind>) {
        let (mut bytes, mut marks) = (text.as_bytes().to_vec(), Vec::new());
        Masker::new(FingerprintKey::new([7; 32])).mask(&mut bytes, &mut marks);
        (
            String::from_utf8_lossy(&bytes).into_owned(),
            marks.iter().map(|mark| mark.kind).collect(),
        )
    }

    #[track_caller]
    fn check(text: &str, masked: &str, kinds: &[MarkKind]) {
        assert_eq!(mask(text), (masked.to_owned(), kinds.to_vec()));
    }

    #[test]
    fn keeps_the_last_four_and_the_structure() {
        check(
            "cc=4111111111111111&x",
            "cc=************1111&x",
            &[MarkKind::Pan],
        );
        check(
            "4111 1111 1111 1111",
            "**** **** **** 1111",
            &[MarkKind::Pan],
        );
        check(
            "q=4111%201111%201111%201111",
            "q=****%20****%20****%201111",
            &[MarkKind::Pan],
        );
    }

    #[test]
    fn leaves_nothing_of_a_track_or_a_verification_code() {
        check(
            ";4111111111111111=29121010000?",
            ";****************************?",
            &[MarkKind::Track2],
        );
        check(
            "%B4111111111111111^DOE/JO^2912101000?",
            "%B**********************************?",
            &[MarkKind::Track1],
        );
        check("cvv=123", "cvv=***", &[MarkKind::Cvv]);
    }

    #[test]
    fn the_same_number_has_the_same_fingerprint_in_every_form() {
        let masker = Masker::new(FingerprintKey::new([7; 32]));
        let mut marks = Vec::new();
        masker.mask(&mut b"4111111111111111".to_vec(), &mut marks);
        masker.mask(&mut b"4111-1111-1111-1111".to_vec(), &mut marks);
        assert_eq!(marks[0].fingerprint, marks[1].fingerprint);
        assert!(marks[0].is_test);
    }

    /// A number that passes the check digit, made as the test runs.
    fn number(prefix: &str, body: &[u8], length: usize) -> String {
        let mut digits: Vec<u8> = prefix.bytes().map(|byte| byte - b'0').collect();
        digits.extend(body.iter().map(|byte| byte % 10));
        digits.truncate(length - 1);
        for last in 0..10 {
            digits.push(last);
            if crate::brand::check_digit_holds(&digits) {
                break;
            }
            digits.pop();
        }
        digits
            .iter()
            .map(|digit| char::from(digit + b'0'))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn never_panics_and_keeps_length(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let (mut masked, mut marks) = (bytes.clone(), Vec::new());
            Masker::new(FingerprintKey::new([1; 32])).mask(&mut masked, &mut marks);
            prop_assert_eq!(masked.len(), bytes.len());
        }

        #[test]
        fn masks_every_number_wherever_it_stands_in_every_form(
            body in prop::collection::vec(1_u8..=9, 19),
            brand in prop::sample::select(vec![
                ("4", 16), ("4", 19), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("36", 14), ("3528", 16), ("62", 16),
                ("62", 19), ("2200", 16), ("9792", 16), ("6762", 12), ("6762", 19), ("81", 16), ("5069", 16),
            ]),
            pad in 0_usize..140,
            form in 0_usize..12,
        ) {
            let number = number(brand.0, &body, brand.1);
            // Ten equal digits are refused as filler.
            prop_assume!(!number.as_bytes().windows(10).any(|window| window.iter().all(|byte| *byte == window[0])));
            let mut record = [vec![b'x'; pad], dress(&number, form)].concat();
            let (whole, mut marks) = (record.clone(), Vec::new());
            Masker::new(FingerprintKey::new([1; 32])).mask(&mut record, &mut marks);
            let found: Vec<_> = marks.iter().map(|mark| (mark.kind, usize::from(mark.digits))).collect();
            prop_assert_eq!(found, vec![(MarkKind::Pan, number.len())], "{}", String::from_utf8_lossy(&whole));
            // What changed are the digits but the last four, and nothing else.
            let changed: Vec<u8> = whole.iter().zip(&record).filter(|(left, right)| left != right).map(|(left, _)| *left).collect();
            prop_assert_eq!(changed, number.as_bytes()[..number.len() - 4].to_vec());
            prop_assert!(whole.iter().zip(&record).all(|(left, right)| left == right || *right == b'*'));
            // Masked once, nothing is left to find.
            marks.clear();
            Masker::new(FingerprintKey::new([1; 32])).mask(&mut record, &mut marks);
            prop_assert!(marks.is_empty());
        }
    }

    /// Writes a key and a number in one of twelve forms; groups only for the lengths that are written so.
    fn dress(number: &str, form: usize) -> Vec<u8> {
        let all = || format!(" card={number}&");
        match form {
            10 => return all().encode_utf16().flat_map(u16::to_le_bytes).collect(),
            11 => return all().encode_utf16().flat_map(u16::to_be_bytes).collect(),
            _ => {}
        }
        let joined = |separator: &str| {
            let cuts: &[usize] = match number.len() {
                14 | 15 => &[0, 4, 10],
                16 => &[0, 4, 8, 12],
                19 => &[0, 4, 8, 12, 16],
                _ => &[0],
            };
            let ends = cuts.iter().skip(1).chain([&19]);
            let groups: Vec<&str> = cuts
                .iter()
                .zip(ends)
                .filter_map(|(from, to)| number.get(*from..(*to).min(number.len())))
                .collect();
            groups.join(separator).into_bytes()
        };
        let dressed = match form {
            0 => number.as_bytes().to_vec(),
            1 => joined(" "),
            2 => joined("-"),
            3 => joined("."),
            4 => joined("+"),
            5 => joined("%20"),
            6 => joined("\u{a0}"),
            7 => joined("%C2%A0"),
            8 => number.bytes().flat_map(|byte| [b'%', b'3', byte]).collect(),
            _ => number
                .bytes()
                .flat_map(|byte| [b'\\', b'u', b'0', b'0', b'3', byte])
                .collect(),
        };
        [b" card=".to_vec(), dressed, b"&".to_vec()].concat()
    }
}

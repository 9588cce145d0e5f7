//! Brands by public prefix ranges and lengths, the check digit, and published test numbers
//! (ranges: `pci.md` §4.2; test numbers: §4.7).

use model::Brand;

/// One range of prefixes of a brand.
struct Range {
    /// Number of leading digits compared.
    digits: usize,
    from: u32,
    to: u32,
    brand: Brand,
    /// Bit n set: length n is issued.
    lengths: u32,
    /// Whether chance matches are so frequent that a context must speak for it.
    needs_context: bool,
}

const fn lengths(list: &[u32]) -> u32 {
    let (mut bits, mut index) = (0, 0);
    while index < list.len() {
        bits |= 1 << list[index];
        index += 1;
    }
    bits
}

const L16: u32 = lengths(&[16]);
const ANY: u32 = lengths(&[12, 13, 14, 15, 16, 17, 18, 19]);

macro_rules! ranges {
    ($(($digits:literal, $from:literal, $to:literal, $brand:ident, $lengths:expr, $context:literal),)*) => {
        &[$(Range { digits: $digits, from: $from, to: $to, brand: Brand::$brand, lengths: $lengths, needs_context: $context },)*]
    };
}

/// Longest prefix first, so that co-badged ranges win over the scheme they sit in.
static RANGES: &[Range] = ranges![
    (
        6,
        606_282,
        606_282,
        Hipercard,
        lengths(&[13, 16, 19]),
        false
    ),
    (6, 637_095, 637_095, Hipercard, L16, false),
    (6, 637_568, 637_568, Hipercard, L16, false),
    (6, 637_599, 637_599, Hipercard, L16, false),
    (6, 637_609, 637_612, Hipercard, L16, false),
    (6, 438_935, 438_935, Elo, L16, false),
    (6, 457_631, 457_632, Elo, L16, false),
    (6, 431_274, 431_274, Elo, L16, false),
    (6, 451_416, 451_416, Elo, L16, false),
    (6, 457_393, 457_393, Elo, L16, false),
    (6, 401_178, 401_179, Elo, L16, false),
    (6, 504_175, 504_175, Elo, L16, false),
    (6, 506_099, 506_198, Verve, lengths(&[16, 18, 19]), false),
    (6, 507_865, 507_964, Verve, lengths(&[16, 18, 19]), false),
    (6, 506_699, 506_778, Elo, L16, false),
    (6, 509_000, 509_999, Elo, L16, false),
    (6, 627_780, 627_780, Elo, L16, false),
    (6, 636_297, 636_297, Elo, L16, false),
    (6, 636_368, 636_368, Elo, L16, false),
    (6, 650_031, 651_679, Elo, L16, false),
    (6, 655_000, 655_058, Elo, L16, false),
    (6, 493_698, 493_698, Maestro, ANY, true),
    (4, 2131, 2131, Jcb, lengths(&[15]), false),
    (4, 1800, 1800, Jcb, lengths(&[15]), true),
    (4, 2200, 2204, Mir, lengths(&[16, 17, 18, 19]), false),
    (4, 2221, 2720, Mastercard, L16, false),
    (4, 3528, 3589, Jcb, lengths(&[16, 17, 18, 19]), false),
    (4, 3088, 3088, Jcb, L16, false),
    (4, 6011, 6011, Discover, lengths(&[16, 19]), false),
    (4, 9792, 9792, Troy, L16, false),
    (4, 8100, 8171, UnionPay, lengths(&[16, 17, 18, 19]), false),
    (4, 9704, 9704, Other, lengths(&[16, 19]), true),
    (4, 8600, 8600, Other, L16, true),
    (4, 9860, 9860, Other, L16, true),
    (3, 644, 649, Discover, lengths(&[16, 19]), false),
    (3, 300, 305, DinersClub, lengths(&[14, 16, 19]), false),
    (3, 309, 309, DinersClub, lengths(&[14, 16, 19]), false),
    (3, 353, 353, RuPay, L16, false),
    (3, 356, 356, RuPay, L16, false),
    (3, 508, 508, RuPay, L16, false),
    (2, 34, 34, AmericanExpress, lengths(&[15]), false),
    (2, 37, 37, AmericanExpress, lengths(&[15]), false),
    (2, 36, 36, DinersClub, lengths(&[14, 16, 19]), false),
    (2, 38, 39, DinersClub, lengths(&[14, 16, 19]), false),
    (2, 51, 55, Mastercard, L16, false),
    (2, 65, 65, Discover, lengths(&[16, 19]), false),
    (
        2,
        62,
        62,
        UnionPay,
        lengths(&[14, 15, 16, 17, 18, 19]),
        false
    ),
    (2, 60, 60, RuPay, L16, false),
    (2, 81, 82, RuPay, L16, false),
    (2, 50, 50, Maestro, ANY, true),
    (2, 56, 59, Maestro, ANY, true),
    (2, 63, 63, Maestro, ANY, true),
    (2, 67, 67, Maestro, ANY, true),
    (1, 4, 4, Visa, lengths(&[16, 18, 19]), false),
    (1, 4, 4, Visa, lengths(&[13]), true),
];

/// What brand and length say of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// The brand.
    pub(crate) brand: Brand,
    /// Whether a context must speak for it.
    pub(crate) needs_context: bool,
}

/// Tells which brand issues numbers of this prefix and length; `digits` holds values 0 to 9.
pub(crate) fn issued(digits: &[u8]) -> Option<Issued> {
    let length = u32::try_from(digits.len())
        .ok()
        .filter(|length| (12..=19).contains(length))?;
    let prefix = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0, |sum, digit| sum * 10 + u32::from(*digit))
    };
    let (one, two, three, four, six) = (prefix(1), prefix(2), prefix(3), prefix(4), prefix(6));
    RANGES
        .iter()
        .find(|range| {
            let value = match range.digits {
                1 => one,
                2 => two,
                3 => three,
                4 => four,
                _ => six,
            };
            (range.from..=range.to).contains(&value) && range.lengths & (1 << length) != 0
        })
        .map(|range| Issued {
            brand: range.brand,
            needs_context: range.needs_context,
        })
}

/// Checks the last digit (ISO/IEC 7812-1 annex B, "Luhn"); `digits` holds values 0 to 9.
pub(crate) fn check_digit_holds(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(*digit) << (index % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Published test numbers (`pci.md` §4.7), sorted as text.
static TEST_NUMBERS: [&str; 58] = [
    "30569309025904",
    "3056930009020004",
    "3088000000000017",
    "3530111333300000",
    "3566002020360505",
    "36227206271667",
    "36259600000004",
    "370000000000002",
    "371449635398431",
    "378282246310005",
    "378734493671000",
    "38000000000006",
    "38520000023237",
    "4000000000000002",
    "4000000000000077",
    "4000000000000341",
    "4000000000003220",
    "4000000000009995",
    "4000002500003155",
    "4000056655665556",
    "4000111111111115",
    "4005519200000004",
    "4007000000027",
    "4009348888881881",
    "4012000033330026",
    "4012000077777777",
    "4012888818888",
    "4012888888881881",
    "4111111111111111",
    "4217651111111119",
    "4222222222222",
    "4242424242424242",
    "4500600000000061",
    "5066991111111118",
    "5105105105105100",
    "5136333333333335",
    "5200828282828210",
    "5555341244441115",
    "5555555555554444",
    "5577000055770004",
    "2222400070000005",
    "2223000048400011",
    "2223003122003222",
    "6011000000000012",
    "6011000990139424",
    "6011000991300009",
    "6011111111111117",
    "6011981111111113",
    "6062820524845321",
    "6200000000000005",
    "6200000000000047",
    "6205500000000000004",
    "6221261111117766",
    "6223164991230014",
    "6243030000000001",
    "6304000000000000",
    "6370950000000005",
    "6555900000604105",
];

/// Tells whether a number is a published test number; exact match only.
pub(crate) fn is_test(digits: &[u8]) -> bool {
    TEST_NUMBERS.iter().any(|number| {
        number.len() == digits.len()
            && number
                .bytes()
                .zip(digits)
                .all(|(left, right)| left - b'0' == *right)
    })
}

#[cfg(test)]
mod tests {
    use super::{TEST_NUMBERS, check_digit_holds, is_test, issued};
    use model::Brand;

    fn values(number: &str) -> Vec<u8> {
        number.bytes().map(|byte| byte - b'0').collect()
    }

    #[test]
    fn every_test_number_passes_and_has_a_brand() {
        for number in TEST_NUMBERS {
            let digits = values(number);
            assert!(check_digit_holds(&digits), "{number}");
            assert!(issued(&digits).is_some(), "{number}");
            assert!(is_test(&digits));
        }
    }

    #[test]
    fn a_changed_digit_fails_the_check() {
        assert!(!check_digit_holds(&values("4111111111111112")));
        assert!(!is_test(&values("4111111111111112")));
    }

    #[track_caller]
    fn check(number: &str, expected: Brand) {
        assert_eq!(
            issued(&values(number)).map(|issued| issued.brand),
            Some(expected)
        );
    }

    #[test]
    fn co_badged_ranges_win() {
        check("5066991111111118", Brand::Elo);
        check("6062820524845321", Brand::Hipercard);
        check("378282246310005", Brand::AmericanExpress);
        check("6304000000000000", Brand::Maestro);
    }
}

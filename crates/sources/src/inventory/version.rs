//! Composer's order of versions, as far as released versions have one: `2.4.7-p1` comes after `2.4.7`, `2.4.8-beta1` before `2.4.8`.

use std::cmp::Ordering;

/// How far a version's suffix is from its release.
fn rank(word: &str) -> i64 {
    match word.to_ascii_lowercase().as_str() {
        "dev" => -4,
        "alpha" | "a" => -3,
        "beta" | "b" => -2,
        "rc" => -1,
        "p" | "pl" | "patch" => 1,
        _ => 0,
    }
}

/// The number of a month by its first three letters.
fn month(word: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let word = word.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| *month == word)?;
    i64::try_from(at + 1).ok()
}

/// Parts of a version: numbers as they are, words by their rank; what follows `+` is no part.
fn parts(version: &str) -> Vec<(i64, i64)> {
    let version = version.trim().trim_start_matches(['v', 'V']);
    let version = version.split('+').next().unwrap_or_default();
    let mut parts = Vec::new();
    for part in version.split(['.', '-', '_']) {
        let word: String = part.chars().take_while(char::is_ascii_alphabetic).collect();
        let rest = part.get(word.len()..).unwrap_or_default();
        let digits: String = rest
            .chars()
            .take_while(char::is_ascii_digit)
            .take(9)
            .collect();
        let number = digits.parse().unwrap_or(0);
        parts.push(match month(&word) {
            Some(month) => (0, month),
            // Adobe's monthly fixes, `2.4.8-2026-aug`, come after all numbered patches of their line.
            None if word.is_empty() && number >= 2000 && !parts.is_empty() => (2, number),
            None if word.is_empty() => (0, number),
            None => (rank(&word), number),
        });
    }
    parts
}

/// Compares two versions.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (parts(one), parts(other));
    for at in 0..one.len().max(other.len()) {
        let of = |parts: &[(i64, i64)]| parts.get(at).copied().unwrap_or((0, 0));
        match of(&one).cmp(&of(&other)) {
            Ordering::Equal => {}
            order => return order,
        }
    }
    Ordering::Equal
}

/// Whether a version says a number at all: branches such as `dev-main` have no place in the order.
pub(super) fn is_ordered(version: &str) -> bool {
    version
        .trim()
        .trim_start_matches(['v', 'V'])
        .starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{compare, is_ordered};
    use std::cmp::Ordering;

    #[test]
    fn orders_versions_as_they_were_released() {
        let order = [
            "2.3.7-p4",
            "2.4.0",
            "2.4.4",
            "2.4.4-p1",
            "2.4.4-p13",
            "2.4.6-alpha1",
            "2.4.6-beta1",
            "2.4.6-rc1",
            "2.4.6",
            "2.4.6-p1",
            "2.4.6-p15",
            "2.4.6-2026-jul",
            "2.4.6-2026-aug",
            "2.4.6-2027-jan",
            "2.4.7",
            "2.4.10",
            "10.0.0",
        ];
        for (at, one) in order.iter().enumerate() {
            for (to, other) in order.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&to), "{one} {other}");
            }
        }
        assert_eq!(compare("v1.2.0", "1.2"), Ordering::Equal);
        assert_eq!(compare("1.2.0+build", "1.2.0"), Ordering::Equal);
        assert!(is_ordered("v2.0") && !is_ordered("dev-main"));
    }
}

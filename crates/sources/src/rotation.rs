//! Which files are one log: `access.log`, `access.log.1`, `access.log.2.gz`, `access.log-20260805`.
//!
//! Apart because offline reading and following both need it. Follows the names that logrotate
//! (numbers, `dateext`, `extension`), Apache's rotatelogs (seconds) and the MariaDB audit plugin give.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Input;

/// How old a rotation is; the order is oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Age {
    /// Named by a date or a time.
    Dated(u64),
    /// Named by a number: the higher, the older.
    Numbered(Reverse<u64>),
    /// The one being written.
    Current,
}

/// Groups rotated siblings (`access.log`, `access.log.1`, `access.log.2.gz`): one log each, oldest file first.
#[must_use]
pub fn group_rotated(inputs: Vec<Input>) -> Vec<Vec<Input>> {
    let mut groups: BTreeMap<PathBuf, Vec<(Age, Input)>> = BTreeMap::new();
    for input in inputs {
        let place = match &input.member {
            Some(member) => PathBuf::from(format!("{}!{member}", input.path.display())),
            None => input.path.clone(),
        };
        let (base, age) = rotation(&place);
        groups.entry(base).or_default().push((age, input));
    }
    groups
        .into_values()
        .map(|mut group| {
            group.sort_by(|(age, input), (other_age, other)| {
                age.cmp(other_age).then_with(|| input.id.cmp(&other.id))
            });
            group.into_iter().map(|(_, input)| input).collect()
        })
        .collect()
}

/// A log's base path, and how old a rotation it is.
pub(crate) fn rotation(path: &Path) -> (PathBuf, Age) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        // A name that is no text has no rotation we could read.
        return (path.to_owned(), Age::Current);
    };
    let short = [".gz", ".bz2", ".xz", ".zst"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    let (base, age) = split_age(short);
    (path.with_file_name(base), age)
}

/// Splits a name without its compression ending.
fn split_age(name: &str) -> (String, Age) {
    if let Some((base, ending)) = name.rsplit_once('.')
        && !base.is_empty()
    {
        if ending == "old" {
            return (base.to_owned(), Age::Numbered(Reverse(1)));
        }
        if ending.len() <= 3
            && let Some(number) = digits(ending)
        {
            return (base.to_owned(), Age::Numbered(Reverse(number)));
        }
        if let Some(date) = date(ending) {
            return (base.to_owned(), Age::Dated(date));
        }
        // logrotate's `extension`: the date stands before the ending.
        if let Some((stem, date)) = dashed_date(base) {
            return (format!("{stem}.{ending}"), Age::Dated(date));
        }
    }
    match dashed_date(name) {
        Some((stem, date)) => (stem.to_owned(), Age::Dated(date)),
        None => (name.to_owned(), Age::Current),
    }
}

/// A date behind the first dash from which the rest is one.
fn dashed_date(name: &str) -> Option<(&str, u64)> {
    name.match_indices(['-', '.', '_']).find_map(|(at, _)| {
        let (stem, rest) = (name.get(..at)?, name.get(at + 1..)?);
        (!stem.is_empty()).then_some(())?;
        Some((stem, date(rest)?))
    })
}

/// `20260805`, `2026-08-05`, either with an hour or a time behind, or ten digits of seconds.
fn date(text: &str) -> Option<u64> {
    let plain: String = text
        .chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .collect();
    let number = digits(&plain)?;
    let year = || number / 10_u64.pow(u32::try_from(plain.len().saturating_sub(4)).unwrap_or(0));
    match plain.len() {
        // Seconds since the epoch, or a date with an hour: told apart by the year.
        10 if !(1990..2100).contains(&year()) => Some(number),
        8 | 10 | 12 | 14 if (1990..2100).contains(&year()) => {
            Some(number * 10_u64.pow(14 - u32::try_from(plain.len()).unwrap_or(14)))
        }
        _ => None,
    }
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() <= 14 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::rotation;
    use std::path::Path;

    /// Names oldest first; all of them are one log.
    #[track_caller]
    fn check(base: &str, names: &[&str]) {
        let ages: Vec<_> = names
            .iter()
            .map(|name| {
                let (found, age) = rotation(Path::new(name));
                assert_eq!(found, Path::new(base), "{name}");
                age
            })
            .collect();
        assert!(ages.windows(2).all(|pair| pair[0] < pair[1]), "{ages:?}");
    }

    #[test]
    fn orders_rotated_names_oldest_first() {
        check(
            "l/access.log",
            &[
                "l/access.log.10.gz",
                "l/access.log.2.xz",
                "l/access.log.1",
                "l/access.log",
            ],
        );
        check(
            "l/access.log",
            &[
                "l/access.log-20260804.gz",
                "l/access.log-20260805",
                "l/access.log.1",
                "l/access.log",
            ],
        );
        check(
            "l/access.log",
            &[
                "l/access-20260804.log.zst",
                "l/access-2026080512.log",
                "l/access.log",
            ],
        );
        check(
            "access_log",
            &[
                "access_log.1785924930",
                "access_log.1785928530",
                "access_log",
            ],
        );
        check(
            "exception.log",
            &[
                "exception.log.2026-08-04",
                "exception.log.2026-08-05",
                "exception.log.old",
                "exception.log",
            ],
        );
    }

    #[test]
    fn a_name_with_other_digits_is_its_own_log() {
        for name in [
            "shop-2.log",
            "v1.2345",
            "mysql-bin.000001",
            "12345678",
            ".1",
            "app-99999999.log",
        ] {
            assert_eq!(rotation(Path::new(name)).0, Path::new(name));
        }
    }
}

//! Points in time, apart from any clock: whoever needs "now" is told.

use serde::{Deserialize, Serialize};

/// A point in time in microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds in one second.
    pub const SECOND: i64 = 1_000_000;

    /// Makes a timestamp from whole seconds since the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(Self::SECOND))
    }

    /// Moves by whole seconds, saturating.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(Self::SECOND)))
    }

    /// Moves by whole milliseconds, saturating.
    #[must_use]
    pub fn plus_milliseconds(self, milliseconds: u64) -> Self {
        let micros = i64::try_from(milliseconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// Seconds from `earlier` to `self`, rounded down; negative when `earlier` is later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(Self::SECOND)
    }
}

/// Writes RFC 3339 in UTC with as many fraction digits as are needed (none, or six).
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.div_euclid(Self::SECOND);
        let micros = self.0.rem_euclid(Self::SECOND);
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60,
        );
        if !(0..=9999).contains(&year) {
            write!(
                f,
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
            )?;
            if micros != 0 {
                write!(f, ".{micros:06}")?;
            }
            return f.write_str("Z");
        }
        // Digit by digit: one is written for each record that is shown or sent.
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (end, mut number) in [
            (4, year),
            (7, month),
            (10, day),
            (13, hour),
            (16, minute),
            (19, second),
            (26, micros),
        ] {
            let mut at = end;
            while number > 0 {
                at -= 1;
                text[at] += u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        let mut length = text.len();
        if micros == 0 {
            text[19] = b'Z';
            length = 20;
        }
        f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
    }
}

/// Turns days since 1970-01-01 into year, month, day of the proleptic Gregorian calendar.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// How an event's time came to be known; a guess widens bounds and is shown as one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TimeQuality {
    /// The record says a time and its zone.
    Stated,
    /// The record says a local time; the zone comes from a setting or the source.
    ZoneConfigured,
    /// The record says a local time; the zone was assumed.
    ZoneGuessed,
    /// The record says no time; this is when it was received, or the time of its predecessor.
    #[default]
    Received,
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[track_caller]
    fn check(micros: i64, expected: &str) {
        assert_eq!(Timestamp(micros).to_string(), expected);
    }

    #[test]
    fn prints_rfc_3339() {
        check(0, "1970-01-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00Z");
        check(1_785_924_930_500_000, "2026-08-05T10:15:30.500000Z");
        check(4_107_542_400_000_000, "2100-03-01T00:00:00Z");
        check(253_402_300_799_000_001, "9999-12-31T23:59:59.000001Z");
        check(253_402_300_800_000_000, "10000-01-01T00:00:00Z");
        check(-62_167_219_200_000_001, "-001-12-31T23:59:59.999999Z");
    }
}

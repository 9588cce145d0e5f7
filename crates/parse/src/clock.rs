//! Times as logs write them → microseconds, with the second before remembered.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::Timestamp;

use crate::{Context, SourceState, number};

/// A civil time as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Civil {
    fn valid(self) -> bool {
        (1970..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..=60).contains(&self.second)
    }

    /// As UTC.
    pub(crate) fn utc(self) -> Option<Timestamp> {
        if !self.valid() {
            return None;
        }
        let year = if self.month <= 2 {
            self.year - 1
        } else {
            self.year
        };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (self.month + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        Some(Timestamp::from_seconds(
            days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second,
        ))
    }

    /// In a zone given by its offset in seconds east of UTC.
    pub(crate) fn offset(self, seconds: i64) -> Option<Timestamp> {
        Some(self.utc()?.plus_seconds(-seconds))
    }

    /// In the configured zone; the second before is remembered in `state`.
    pub(crate) fn local(self, context: &Context, state: &mut SourceState) -> Option<Timestamp> {
        let utc = self.utc()?;
        if context.zone == TimeZone::UTC {
            return Some(utc);
        }
        if let Some((key, time)) = state.second
            && key == utc.0
        {
            return Some(time);
        }
        let time = zoned(self, &context.zone)?;
        state.second = Some((utc.0, time));
        Some(time)
    }
}

fn zoned(civil: Civil, zone: &TimeZone) -> Option<Timestamp> {
    let small = |value: i64| i8::try_from(value).ok();
    let date_time = DateTime::new(
        i16::try_from(civil.year).ok()?,
        small(civil.month)?,
        small(civil.day)?,
        small(civil.hour)?,
        small(civil.minute)?,
        small(civil.second.min(59))?,
        0,
    )
    .ok()?;
    Some(Timestamp(
        zone.to_timestamp(date_time).ok()?.as_microsecond(),
    ))
}

fn digits(bytes: &[u8], from: usize, length: usize) -> Option<i64> {
    number(bytes.get(from..from + length)?)
}

/// `20260805 10:15:30`.
pub(crate) fn compact(bytes: &[u8]) -> Option<Civil> {
    if bytes.get(8) != Some(&b' ') || bytes.get(11) != Some(&b':') || bytes.get(14) != Some(&b':') {
        return None;
    }
    Some(Civil {
        year: digits(bytes, 0, 4)?,
        month: digits(bytes, 4, 2)?,
        day: digits(bytes, 6, 2)?,
        hour: digits(bytes, 9, 2)?,
        minute: digits(bytes, 12, 2)?,
        second: digits(bytes, 15, 2)?,
    })
}

/// `260805 10:15:30` or `260805  9:15:30`.
pub(crate) fn short(bytes: &[u8]) -> Option<Civil> {
    let hour = bytes.get(7..9)?.trim_ascii_start();
    Some(Civil {
        year: 2000 + digits(bytes, 0, 2)?,
        month: digits(bytes, 2, 2)?,
        day: digits(bytes, 4, 2)?,
        hour: number(hour)?,
        minute: (bytes.get(9) == Some(&b':')).then(|| digits(bytes, 10, 2))??,
        second: digits(bytes, 13, 2)?,
    })
}

/// `2026-08-05T10:15:30` or with a blank, or `2026/08/05 10:15:30`; gives the bytes read too.
pub(crate) fn iso_civil(bytes: &[u8]) -> Option<Civil> {
    let dash = *bytes.get(4)?;
    if !(dash == b'-' || dash == b'/')
        || bytes.get(7) != Some(&dash)
        || !matches!(bytes.get(10), Some(b'T' | b' '))
    {
        return None;
    }
    Some(Civil {
        year: digits(bytes, 0, 4)?,
        month: digits(bytes, 5, 2)?,
        day: digits(bytes, 8, 2)?,
        hour: number(bytes.get(11..13)?.trim_ascii_start())?,
        minute: (bytes.get(13) == Some(&b':')).then(|| digits(bytes, 14, 2))??,
        second: digits(bytes, 17, 2)?,
    })
}

/// ISO 8601 with optional fraction and zone. Gives the time, and whether the zone was said.
pub(crate) fn iso(
    bytes: &[u8],
    context: &Context,
    state: &mut SourceState,
) -> Option<(Timestamp, bool)> {
    let civil = iso_civil(bytes)?;
    let mut rest = bytes.get(19..).unwrap_or_default();
    let mut fraction = 0;
    if let Some(b'.' | b',') = rest.first() {
        let count = rest
            .iter()
            .skip(1)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let mut six = [b'0'; 6];
        for (to, from) in six.iter_mut().zip(rest.get(1..=count)?) {
            *to = *from;
        }
        fraction = number(&six)?;
        rest = rest.get(count + 1..)?;
    }
    let rest = rest.trim_ascii_start();
    let (time, said) = match rest.first() {
        Some(b'Z') => (civil.utc()?, true),
        Some(b'U') if rest.starts_with(b"UTC") => (civil.utc()?, true),
        Some(b'+' | b'-') => match zone_offset(rest) {
            Some(seconds) => (civil.offset(seconds)?, true),
            None => (civil.local(context, state)?, false),
        },
        _ => (civil.local(context, state)?, false),
    };
    Some((Timestamp(time.0 + fraction), said))
}

/// `+00:00`, `+0000` as seconds.
pub(crate) fn zone_offset(bytes: &[u8]) -> Option<i64> {
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let minutes_at = if bytes.get(3) == Some(&b':') { 4 } else { 3 };
    Some(sign * (digits(bytes, 1, 2)? * 3600 + digits(bytes, minutes_at, 2)? * 60))
}

/// Month by its English short name.
pub(crate) fn month(name: &[u8]) -> Option<i64> {
    let names: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    names
        .iter()
        .position(|known| *known == name)
        .and_then(|at| i64::try_from(at + 1).ok())
}

/// `05/Aug/2026:10:15:30 +0000` (common log format).
pub(crate) fn common_log(bytes: &[u8]) -> Option<Timestamp> {
    if bytes.get(2) != Some(&b'/') || bytes.get(6) != Some(&b'/') || bytes.get(11) != Some(&b':') {
        return None;
    }
    let civil = Civil {
        year: digits(bytes, 7, 4)?,
        month: month(bytes.get(3..6)?)?,
        day: digits(bytes, 0, 2)?,
        hour: digits(bytes, 12, 2)?,
        minute: digits(bytes, 15, 2)?,
        second: digits(bytes, 18, 2)?,
    };
    civil.offset(zone_offset(bytes.get(21..)?)?)
}

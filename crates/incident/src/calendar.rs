//! Which days count as working days where, as data says it.
//!
//! Apart from the clock because a calendar is shared by many rules and can be wrong by itself.
//! Invariant: every calendar has at least one working day a week, so counting always ends.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

/// A calendar as a file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CalendarSource {
    id: String,
    zone: String,
    #[serde(default)]
    weekend: Vec<String>,
    #[serde(default)]
    holidays: Vec<Holiday>,
    /// Where the days are from.
    #[serde(rename = "source")]
    _source: String,
    /// How sure they are.
    #[serde(rename = "confidence")]
    _confidence: String,
}

/// A day off, every year.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Holiday {
    /// Days after (before, when negative) Easter Sunday.
    Easter { easter: i16 },
    /// A date; `observed`: on a Saturday taken the Friday before, on a Sunday the Monday after.
    Fixed {
        month: i8,
        day: i8,
        #[serde(default)]
        observed: bool,
    },
    /// A weekday of a month; `nth` from its end when negative.
    Nth { month: i8, weekday: String, nth: i8 },
}

/// Why a calendar can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarError {
    /// No such time zone.
    #[error("`{zone}` is no time zone")]
    Zone {
        /// What the file says.
        zone: String,
        /// What the zone database said.
        source: Box<jiff::Error>,
    },
    /// No such weekday, or no working day left.
    #[error("`{value}` is no weekday, or no working day is left")]
    Weekday {
        /// What the file says.
        value: String,
    },
}

/// Working days of one place.
#[derive(Clone, Debug)]
pub struct BusinessCalendar {
    id: String,
    zone: TimeZone,
    weekend: BTreeSet<i8>,
    holidays: Vec<Holiday>,
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// Easter Sunday by the anonymous Gregorian algorithm (Meeus, Jones, Butcher).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

impl BusinessCalendar {
    pub(crate) fn new(source: CalendarSource) -> Result<Self, CalendarError> {
        let zone = TimeZone::get(&source.zone).map_err(|error| CalendarError::Zone {
            zone: source.zone.clone(),
            source: Box::new(error),
        })?;
        let mut weekend = BTreeSet::new();
        for name in &source.weekend {
            let day = weekday(name).ok_or_else(|| CalendarError::Weekday {
                value: name.clone(),
            })?;
            weekend.insert(day.to_monday_zero_offset());
        }
        if weekend.len() > 6 {
            return Err(CalendarError::Weekday {
                value: source.weekend.join(", "),
            });
        }
        for holiday in &source.holidays {
            if let Holiday::Nth { weekday: name, .. } = holiday
                && weekday(name).is_none()
            {
                return Err(CalendarError::Weekday {
                    value: name.clone(),
                });
            }
        }
        Ok(Self {
            id: source.id,
            zone,
            weekend,
            holidays: source.holidays,
        })
    }

    /// Its name in files.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The zone its days begin and end in.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether people work there on a day.
    #[must_use]
    pub fn is_working_day(&self, date: Date) -> bool {
        !self.is_weekend(date)
            && !self
                .holidays
                .iter()
                .any(|holiday| self.falls_on(holiday, date))
    }

    fn is_weekend(&self, date: Date) -> bool {
        self.weekend
            .contains(&date.weekday().to_monday_zero_offset())
    }

    fn falls_on(&self, holiday: &Holiday, date: Date) -> bool {
        match holiday {
            Holiday::Easter { easter: offset } => {
                let span = jiff::Span::new().days(i64::from(*offset));
                easter(date.year()).and_then(|day| day.checked_add(span).ok()) == Some(date)
            }
            Holiday::Nth {
                month,
                weekday: name,
                nth,
            } => weekday(name)
                .and_then(|day| {
                    let first = Date::new(date.year(), *month, 1).ok()?;
                    first.nth_weekday_of_month(*nth, day).ok()
                })
                .is_some_and(|day| day == date),
            Holiday::Fixed {
                month,
                day,
                observed,
            } => {
                // Observed New Year's Day may lie in the year before.
                [date.year(), date.year().saturating_add(1)]
                    .into_iter()
                    .any(|year| {
                        let Ok(exact) = Date::new(year, *month, *day) else {
                            return false;
                        };
                        let shifted = match exact.weekday() {
                            Weekday::Saturday if *observed => exact.yesterday(),
                            Weekday::Sunday if *observed => exact.tomorrow(),
                            _ => Ok(exact),
                        };
                        shifted.is_ok_and(|day| day == date)
                    })
            }
        }
    }

    /// The nth working day after a day, which itself isn't counted.
    pub(crate) fn working_day_after(&self, date: Date, count: u32) -> Option<Date> {
        let mut day = date;
        let mut left = count.min(1000);
        // A year has fewer than a hundred holidays in any calendar; the bound only ends bad data.
        for _ in 0..20_000 {
            if left == 0 {
                return Some(day);
            }
            day = day.tomorrow().ok()?;
            if self.is_working_day(day) {
                left -= 1;
            }
        }
        None
    }
}

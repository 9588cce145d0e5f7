//! Clocks: from a start and a limit to a deadline. Calendar and business days end at 23:59:59 UTC of the day.

use model::Timestamp;
use serde::Deserialize;

const DAY: i64 = 86_400;

/// A time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// So many hours, to the second.
    Hours(i64),
    /// So many calendar days; the day of the start doesn't count.
    CalendarDays(i64),
    /// So many days that are no Saturday or Sunday; holidays differ by place and are not known here.
    BusinessDays(i64),
}

/// The deadline of a limit from a start.
#[must_use]
pub fn due(start: Timestamp, limit: Limit) -> Timestamp {
    let start_day = start.0.div_euclid(Timestamp::SECOND).div_euclid(DAY);
    let end_of = |day: i64| Timestamp::from_seconds((day + 1) * DAY - 1);
    match limit {
        Limit::Hours(hours) => start.plus_seconds(hours * 3600),
        Limit::CalendarDays(days) => end_of(start_day + days),
        Limit::BusinessDays(days) => {
            let (mut day, mut left) = (start_day, days);
            while left > 0 {
                day += 1;
                // 1970-01-01 was a Thursday: 0 is Monday.
                if (day + 3).rem_euclid(7) < 5 {
                    left -= 1;
                }
            }
            end_of(day)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, due};
    use model::Timestamp;

    #[track_caller]
    fn check(start: i64, limit: Limit, expected: &str) {
        assert_eq!(
            due(Timestamp::from_seconds(start), limit).to_string(),
            expected
        );
    }

    /// 2026-03-27 10:00:00 UTC, a Friday, two days before clocks change in Europe.
    const FRIDAY: i64 = 1_774_605_600;

    #[test]
    fn hours_are_elapsed_time_and_days_end_with_the_day() {
        check(FRIDAY, Limit::Hours(72), "2026-03-30T10:00:00Z");
        check(FRIDAY, Limit::CalendarDays(3), "2026-03-30T23:59:59Z");
        check(FRIDAY, Limit::BusinessDays(3), "2026-04-01T23:59:59Z");
        check(FRIDAY, Limit::BusinessDays(1), "2026-03-30T23:59:59Z");
        check(FRIDAY, Limit::CalendarDays(30), "2026-04-26T23:59:59Z");
    }
}

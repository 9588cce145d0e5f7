//! The zone in which somebody is told times: every page has them by this, with their offset. What leaves the console – the API, reports,
//! evidence – stays in UTC.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::Timestamp;

/// What is no zone.
#[derive(Debug, thiserror::Error)]
#[error("a zone has a name of the IANA time zone database, e.g. Europe/Berlin; UTC is one")]
pub struct ZoneError;

/// A time zone by its IANA name; UTC where nobody said another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// The one of a name.
    ///
    /// # Errors
    ///
    /// [`ZoneError`] when there is none in the database that the binary embeds.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(Self::default());
        }
        let zone = TimeZone::get(name).map_err(|_| ZoneError)?;
        // What stands for a zone that isn't known has no name of the database.
        zone.iana_name().ok_or(ZoneError)?;
        Ok(Self(zone))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// A time for people, to the second: `2026-08-05 12:15:00 +02:00`, in UTC `2026-08-05 10:15:00 UTC`.
    #[must_use]
    pub fn words(&self, time: &Timestamp) -> String {
        let here = jiff::Timestamp::from_microsecond(time.0).ok();
        match here.filter(|_| self.0 != TimeZone::UTC) {
            Some(here) => here
                .to_zoned_datetime(self.0.clone())
                .strftime("%Y-%m-%d %H:%M:%S %:z")
                .to_string(),
            None => report::when(time),
        }
    }

    /// The time of a day, with its offset.
    #[must_use]
    pub fn clock(&self, time: &Timestamp) -> String {
        let whole = self.words(time);
        let clock = whole.split_once(' ').map(|(_, clock)| clock.to_owned());
        clock.unwrap_or(whole)
    }

    /// A span for people; the date once when it is one day, the offset once when it is the same.
    #[must_use]
    pub fn span(&self, first: &Timestamp, last: &Timestamp) -> String {
        let (from, to) = (self.words(first), self.words(last));
        if from == to {
            return from;
        }
        let (Some((begin, offset)), Some((_, same))) = (from.rsplit_once(' '), to.rsplit_once(' '))
        else {
            return format!("{from} to {to}");
        };
        let begin = if offset == same { begin } else { &from };
        match (begin.split_once(' '), to.split_once(' ')) {
            (Some((day, _)), Some((until_day, until))) if day == until_day => {
                format!("{begin} to {until}")
            }
            _ => format!("{from} to {to}"),
        }
    }

    /// A time as a form has it, without a zone: `2026-11-29T18:30` is meant here. One that the clocks leave out in spring is taken an
    /// hour later, one that they show twice the first time.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<Timestamp> {
        let there: DateTime = text.parse().ok()?;
        let zoned = there.to_zoned_datetime(self.0.clone()).ok()?;
        Some(Timestamp(zoned.timestamp().as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::Zone;
    use model::Timestamp;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().expect("a time");
        Timestamp(time.as_microsecond())
    }

    #[track_caller]
    fn check(zone: &str, time: &str, expected: &str) {
        let zone = Zone::named(zone).expect("a zone");
        assert_eq!(zone.words(&at(time)), expected);
    }

    #[test]
    fn a_time_is_told_with_its_offset_on_both_sides_of_a_change_of_the_clocks() {
        check("UTC", "2026-08-05T10:15:00.9Z", "2026-08-05 10:15:00 UTC");
        check(
            "Europe/Berlin",
            "2026-08-05T10:15:00Z",
            "2026-08-05 12:15:00 +02:00",
        );
        check(
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            "2026-10-25 02:30:00 +02:00",
        );
        check(
            "Europe/Berlin",
            "2026-10-25T01:30:00Z",
            "2026-10-25 02:30:00 +01:00",
        );
        check(
            "Asia/Kathmandu",
            "2026-08-05T20:15:00Z",
            "2026-08-06 02:00:00 +05:45",
        );
        check(
            "America/St_Johns",
            "2026-01-05T01:00:00Z",
            "2026-01-04 21:30:00 -03:30",
        );
        check(
            "Europe/London",
            "2026-01-05T01:00:00Z",
            "2026-01-05 01:00:00 +00:00",
        );
    }

    #[test]
    fn what_is_no_name_of_a_zone_is_none() {
        for name in [
            "",
            "Berlin",
            "+02:00",
            "../etc/passwd",
            "Europe/Berlin\n",
            "Etc/Unknown",
        ] {
            assert!(Zone::named(name).is_err(), "{name:?}");
        }
        assert_eq!(Zone::named("utc").expect("UTC").name(), "UTC");
        assert_eq!(
            Zone::named("europe/berlin").expect("one").name(),
            "Europe/Berlin"
        );
    }

    #[track_caller]
    fn check_span(zone: &str, first: &str, last: &str, expected: &str) {
        let zone = Zone::named(zone).expect("a zone");
        assert_eq!(zone.span(&at(first), &at(last)), expected);
    }

    #[test]
    fn a_span_says_what_both_ends_share_once() {
        let (night, morning) = ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
        check_span("UTC", night, night, "2026-10-25 00:30:00 UTC");
        check_span("UTC", night, morning, "2026-10-25 00:30:00 to 01:30:00 UTC");
        check_span(
            "Europe/Berlin",
            night,
            morning,
            "2026-10-25 02:30:00 +02:00 to 02:30:00 +01:00",
        );
        check_span(
            "Asia/Tokyo",
            "2026-10-24T14:59:00Z",
            "2026-10-24T15:01:00Z",
            "2026-10-24 23:59:00 +09:00 to 2026-10-25 00:01:00 +09:00",
        );
    }

    #[test]
    fn what_is_typed_is_meant_in_the_zone_that_is_shown() {
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        assert_eq!(
            berlin.read("2026-11-29T18:30"),
            Some(at("2026-11-29T17:30:00Z"))
        );
        assert_eq!(
            berlin.read("2026-03-29T02:30"),
            Some(at("2026-03-29T01:30:00Z"))
        );
        assert_eq!(
            berlin.read("2026-10-25T02:30"),
            Some(at("2026-10-25T00:30:00Z"))
        );
        assert_eq!(berlin.read("tomorrow"), None);
    }
}

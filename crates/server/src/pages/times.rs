//! How every page tells a time: in the reader's zone with its offset, with the same in UTC where it is pointed at, and for programs.

use engine::zone::Zone;
use model::Timestamp;

use super::Frame;

/// A time as markup of our own.
fn markup(zone: &Zone, time: &Timestamp) -> String {
    format!(
        "<time datetime=\"{time}\" title=\"{}\">{}</time>",
        report::when(time),
        zone.words(time)
    )
}

impl Frame {
    /// A time, as markup.
    pub(super) fn time(&self, time: &Timestamp) -> String {
        markup(&self.zone, time)
    }

    /// A time in words alone, where there can be no markup.
    pub(super) fn words(&self, time: &Timestamp) -> String {
        self.zone.words(time)
    }

    /// A span, as markup.
    pub(super) fn span(&self, first: &Timestamp, last: &Timestamp) -> String {
        format!(
            "<span title=\"{}\">{}</span>",
            report::span(first, last),
            self.zone.span(first, last)
        )
    }

    /// A record's own time, as markup; what can't be read as one is unknown, and stands in its entry.
    pub(super) fn moment(&self, time: &str) -> String {
        match time.parse::<jiff::Timestamp>() {
            Ok(read) => markup(&self.zone, &Timestamp(read.as_microsecond())),
            Err(_) => "at an unknown time".to_owned(),
        }
    }
}

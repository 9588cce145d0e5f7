//! What the text logs of MySQL and MariaDB share: the lines of a start, and their two spellings of time.

use model::{Category, Event, Field, TimeQuality, Timestamp};

use crate::{Context, SourceState, clock};

/// Whether a line is the first of those a server writes when it opens a log.
pub(crate) fn is_banner(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    line.len() < 512 && line.trim_ascii_end().ends_with(b"started with:")
}

/// Reads the lines of a start: `mysqld, Version: … started with:`, `Tcp port: …`, `Time  Id Command  Argument`.
pub(crate) fn server_start(record: &[u8], state: &SourceState) -> Option<Event<'static>> {
    let is_heading = record
        .strip_prefix(b"Time")
        .is_some_and(|rest| rest.starts_with(b"\t") || rest.starts_with(b" "));
    if !is_banner(record) && !record.starts_with(b"Tcp port:") && !is_heading {
        return None;
    }
    let mut event = Event::new(Category::Health);
    event.time = state.last;
    event.put_text(Field::HealthKind, "server_start");
    Some(event)
}

/// Reads `260805 10:15:30` (MariaDB) or ISO 8601 (MySQL 5.7 and later).
pub(crate) fn time(
    bytes: &[u8],
    context: &Context,
    state: &mut SourceState,
) -> Option<(Timestamp, TimeQuality)> {
    if let Some((time, said)) = clock::iso(bytes, context, state) {
        let quality = if said {
            TimeQuality::Stated
        } else {
            context.zone_quality
        };
        return Some((time, quality));
    }
    let time = clock::short(bytes)?.local(context, state)?;
    Some((time, context.zone_quality))
}

//! Syslog lines as files hold them: RFC 3164 (no year, local time) and RFC 5424.

use model::{Category, Event, Field, TimeQuality, Timestamp};

use crate::{Context, Format, ParseError, SourceState, clock, lines, number, text};

pub(crate) struct Syslog3164;
pub(crate) struct Syslog5424;

impl Format for Syslog5424 {
    fn name(&self) -> &'static str {
        "syslog_5424"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 2).all(|line| split_5424(line).is_some()) && lines(head, 2).count() > 0
    }

    /// `<PRI>1 TIMESTAMP HOST APP PROCID MSGID SD MSG` (RFC 5424 §6).
    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let rest = split_5424(record.trim_ascii_end()).ok_or(ParseError::Missing {
            format: "syslog_5424",
            field: "VERSION",
        })?;
        let mut words = rest.splitn(6, |byte| *byte == b' ');
        let mut event = Event::new(Category::Syslog);
        if let Some((time, said)) = words
            .next()
            .and_then(|word| clock::iso(word, context, state))
        {
            event.time = Some(time);
            event.time_quality = if said {
                TimeQuality::Stated
            } else {
                context.zone_quality
            };
        }
        // `-` is the standard's word for nothing.
        for field in [Field::LogHost, Field::Logger] {
            if let Some(word) = words.next().filter(|word| !matches!(*word, b"" | b"-")) {
                event.put_text(field, text(word));
            }
        }
        if let Some(id) = words.next().and_then(number) {
            event.put_int(Field::ProcessId, id);
        }
        words.next();
        let tail = words.next().unwrap_or_default();
        let message = after_structured_data(tail);
        // The standard lets a byte order mark say that UTF-8 follows.
        event.put_text(
            Field::Message,
            text(message.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(message)),
        );
        Ok(event)
    }
}

fn split_5424(line: &[u8]) -> Option<&[u8]> {
    let close = memchr::memchr(b'>', line.get(..6.min(line.len()))?)?;
    number(line.get(1..close)?)?;
    line.first().filter(|byte| **byte == b'<')?;
    line.get(close + 1..)?.strip_prefix(b"1 ")
}

/// Skips `-` or `[id name="value"]…`; `\]`, `\"` and `\\` are escapes (RFC 5424 §6.3.3).
fn after_structured_data(tail: &[u8]) -> &[u8] {
    if let Some(rest) = tail
        .strip_prefix(b"-")
        .filter(|rest| matches!(rest.first(), None | Some(b' ')))
    {
        return rest.trim_ascii_start();
    }
    if tail.first() != Some(&b'[') {
        return tail;
    }
    let (mut at, mut quoted) = (0, false);
    while let Some(byte) = tail.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => quoted = !quoted,
            b']' if !quoted && tail.get(at + 1) != Some(&b'[') => {
                return tail.get(at + 1..).unwrap_or_default().trim_ascii_start();
            }
            _ => {}
        }
        at += 1;
    }
    tail
}

impl Format for Syslog3164 {
    fn name(&self) -> &'static str {
        "syslog_3164"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 2).all(|line| {
            split_3164(line)
                .is_some_and(|(_, rest)| memchr::memchr(b' ', rest).is_some_and(|at| at > 0))
        }) && lines(head, 2).count() > 0
    }

    /// `<PRI>Aug  5 10:15:30 host tag[pid]: message` (RFC 3164 §4.1), or with rsyslog's ISO 8601 time.
    ///
    /// The short time says no year and so no time at all: the event has none, and the time of its
    /// receipt counts.
    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let header =
            header(record.trim_ascii_end(), context, state).ok_or(ParseError::Missing {
                format: "syslog_3164",
                field: "TIMESTAMP",
            })?;
        let mut event = Event::new(Category::Syslog);
        if let Some((time, quality)) = header.time {
            event.time = Some(time);
            event.time_quality = quality;
            state.last = Some(time);
        }
        let mut words = header.rest.splitn(2, |byte| *byte == b' ');
        event.put_text(Field::LogHost, text(words.next().unwrap_or_default()));
        let body = words.next().unwrap_or_default();
        let colon = memchr::memmem::find(body, b": ").unwrap_or(body.len());
        let tag = body.get(..colon).unwrap_or_default();
        let name = tag.split(|byte| *byte == b'[').next().unwrap_or_default();
        event.put_text(Field::Logger, text(name));
        if let Some(id) = tag
            .get(name.len() + 1..)
            .and_then(|id| id.strip_suffix(b"]"))
            .and_then(number)
        {
            event.put_int(Field::ProcessId, id);
        }
        event.put_text(
            Field::Message,
            text(body.get(colon + 2..).unwrap_or_default()),
        );
        Ok(event)
    }
}

/// What stands before the host in a line that syslog wrote.
pub(crate) struct Header<'a> {
    /// The time, where the line says a year.
    pub(crate) time: Option<(Timestamp, TimeQuality)>,
    /// From the host on.
    pub(crate) rest: &'a [u8],
}

/// Reads `<PRI>` (optional) and the time.
pub(crate) fn header<'a>(
    line: &'a [u8],
    context: &Context,
    state: &mut SourceState,
) -> Option<Header<'a>> {
    let (time, rest) = split_3164(line)?;
    if time.get(10) != Some(&b'T') {
        return Some(Header { time: None, rest });
    }
    let (time, said) = clock::iso(time, context, state)?;
    let quality = if said {
        TimeQuality::Stated
    } else {
        context.zone_quality
    };
    Some(Header {
        time: Some((time, quality)),
        rest,
    })
}

/// Splits off `Aug  5 10:15:30` or `2026-08-05T10:15:30.123456+00:00`.
fn split_3164(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = match line.first() {
        Some(b'<') => line.get(memchr::memchr(b'>', line.get(..6.min(line.len()))?)? + 1..)?,
        _ => line,
    };
    if line.get(10) == Some(&b'T') && clock::iso_civil(line).is_some() {
        let blank = memchr::memchr(b' ', line.get(..40.min(line.len()))?)?;
        return Some((line.get(..blank)?, line.get(blank + 1..)?));
    }
    let clock = line.get(7..15)?;
    let two = |at: usize| number(clock.get(at..at + 2)?);
    let good = (1..=31).contains(&number(line.get(4..6)?.trim_ascii_start())?)
        && two(0)? < 24
        && two(3)? < 60
        && two(6)? <= 60
        && clock.get(2) == Some(&b':')
        && clock.get(5) == Some(&b':')
        && line.get(15) == Some(&b' ');
    clock::month(line.get(..3)?)?;
    good.then(|| Some((line.get(..15)?, line.get(16..)?)))?
}

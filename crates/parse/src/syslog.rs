//! Syslog lines as files hold them: RFC 3164 (no year, local time) and RFC 5424.

use model::{Category, Event, Field, TimeQuality};

use crate::clock::Civil;
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
        event.put_text(Field::LogHost, text(words.next().unwrap_or_default()));
        event.put_text(Field::Logger, text(words.next().unwrap_or_default()));
        if let Some(id) = words.next().and_then(number) {
            event.put_int(Field::ProcessId, id);
        }
        words.next();
        let tail = words.next().unwrap_or_default();
        event.put_text(Field::Message, text(after_structured_data(tail)));
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
    if let Some(rest) = tail.strip_prefix(b"- ") {
        return rest;
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
        lines(head, 2).all(|line| split_3164(line).is_some()) && lines(head, 2).count() > 0
    }

    /// `<PRI>Aug  5 10:15:30 host tag[pid]: message` (RFC 3164 §4.1). The year is that of the record
    /// before it, else of 1970: the caller's received time widens it.
    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let (civil, rest) = split_3164(record.trim_ascii_end()).ok_or(ParseError::Missing {
            format: "syslog_3164",
            field: "TIMESTAMP",
        })?;
        let mut event = Event::new(Category::Syslog);
        // Without a year there is no time to state; the place in the year is kept in the message.
        let _ = (civil, context, &state);
        event.time = state.last;
        let mut words = rest.splitn(2, |byte| *byte == b' ');
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

fn split_3164(line: &[u8]) -> Option<(Civil, &[u8])> {
    let line = match line.first() {
        Some(b'<') => line.get(memchr::memchr(b'>', line.get(..6.min(line.len()))?)? + 1..)?,
        _ => line,
    };
    let civil = Civil {
        year: 1970,
        month: clock::month(line.get(..3)?)?,
        day: number(line.get(4..6)?.trim_ascii_start())?,
        hour: number(line.get(7..9)?)?,
        minute: number(line.get(10..12)?)?,
        second: number(line.get(13..15)?)?,
    };
    (line.get(9) == Some(&b':') && line.get(15) == Some(&b' '))
        .then(|| Some((civil, line.get(16..)?)))?
}

//! Magento's Monolog lines (`magento.md` §4.2): both timestamp forms, stack traces over many lines.

use model::{Category, Event, Field, TimeQuality};

use crate::{Context, Format, Frame, ParseError, SourceState, clock, lines, text, until_start};

pub(crate) struct Monolog;

const NAME: &str = "monolog";

impl Format for Monolog {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 1).all(starts) && lines(head, 1).count() == 1
    }

    fn frame(&self, bytes: &[u8], end: bool) -> Frame {
        until_start(bytes, end, starts)
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let missing = |field| ParseError::Missing {
            format: NAME,
            field,
        };
        let record = record.trim_ascii_end();
        let inner = record
            .strip_prefix(b"[")
            .ok_or_else(|| missing("datetime"))?;
        let close = memchr::memchr(b']', inner.get(..48.min(inner.len())).unwrap_or_default())
            .ok_or_else(|| missing("datetime"))?;
        let (time, said) = clock::iso(inner.get(..close).unwrap_or_default(), context, state)
            .ok_or_else(|| missing("datetime"))?;
        let mut event = Event::new(Category::Application);
        event.time = Some(time);
        event.time_quality = if said {
            TimeQuality::Stated
        } else {
            context.zone_quality
        };
        let rest = inner
            .get(close + 1..)
            .unwrap_or_default()
            .trim_ascii_start();
        let colon = memchr::memmem::find(rest, b": ").ok_or_else(|| missing("level_name"))?;
        let head = rest.get(..colon).unwrap_or_default();
        let dot = memchr::memrchr(b'.', head).ok_or_else(|| missing("channel"))?;
        event.put_text(Field::Logger, text(head.get(..dot).unwrap_or_default()));
        event.put_text(
            Field::Severity,
            text(head.get(dot + 1..).unwrap_or_default()),
        );
        let message = rest.get(colon + 2..).unwrap_or_default();
        // ` [] []` is an empty context and an empty extra.
        if let Some(message) = message.strip_suffix(b" [] []") {
            event.put_text(Field::Message, text(message.trim_ascii_end()));
            return Ok(event);
        }
        // The context is the JSON behind the message; where a message holds ` {` itself, it starts there.
        let split = memchr::memmem::find(message, b" {\"").unwrap_or(message.len());
        event.put_text(
            Field::Message,
            text(message.get(..split).unwrap_or_default()),
        );
        if let Some(context) = message
            .get(split + 1..)
            .filter(|context| !context.is_empty())
        {
            event.put_text(Field::Context, text(context));
        }
        Ok(event)
    }
}

fn starts(line: &[u8]) -> bool {
    line.first() == Some(&b'[')
        && line
            .get(1..)
            .is_some_and(|rest| clock::iso_civil(rest).is_some())
}

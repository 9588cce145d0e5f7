//! Lines of text without a structure anyone knows: the line is the message.
//!
//! Never recognised from bytes; a sender names it, or has none to name.

use model::{Category, Event, Field};

use crate::{Context, Format, ParseError, SourceState, text};

pub(crate) struct Plain;

impl Format for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn sniff(&self, _: &[u8]) -> bool {
        false
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        _: &Context,
        _: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let mut event = Event::new(Category::Application);
        event.put_text(Field::Message, text(record.trim_ascii_end()));
        Ok(event)
    }
}

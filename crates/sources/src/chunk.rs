//! What a source hands over: bytes of it in order, and what happened to it.

use model::{Generation, Mark, SourceId, Timestamp};

/// What happened to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// It got shorter, or its first bytes changed; it is read again from its start.
    Truncated,
    /// It was renamed away; the old one was read to its end.
    Rotated,
    /// It was deleted; what is still written to it is read as long as it is open.
    Deleted,
    /// It came, or came back.
    Appeared,
    /// Bytes went before they could be read.
    Lost {
        /// How many at least.
        bytes: u64,
    },
    /// Records went before they could be read.
    Dropped {
        /// How many at least.
        records: u64,
        /// When they went at the earliest, where that is known.
        since: Option<Timestamp>,
    },
    /// The file read before isn't there, nor under a rotated name: how much of it went unread is unknown.
    Missing,
    /// It is there and can't be read, or not on; it is tried again.
    Unreadable,
    /// It does what it should.
    Well {
        /// What that is, e.g. where it listens.
        what: String,
    },
    /// It works, and didn't take something.
    Refused {
        /// What, and why.
        why: String,
    },
    /// It doesn't work, and is tried again.
    Failed {
        /// Why, and what to do about it.
        why: String,
    },
}

/// How a chunk's bytes come apart into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Framing {
    /// Where the format says; the rest of the last record may come with the next chunk.
    #[default]
    ByFormat,
    /// The chunk is one record.
    OneRecord,
}

/// Bytes of one source, in order.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The source.
    pub source: SourceId,
    /// Which incarnation.
    pub generation: Generation,
    /// Where the bytes start in it.
    pub offset_bytes: u64,
    /// The bytes; at most 256 KiB, or one record. Empty when there is only news.
    pub bytes: Vec<u8>,
    /// How they come apart.
    pub framing: Framing,
    /// The format, where the source knows it; else it is recognised.
    pub format: Option<&'static str>,
    /// Whether this incarnation ends here.
    pub end_of_generation: bool,
    /// What happened.
    pub news: Option<News>,
    /// What was masked of the one record where it was collected; its bytes are masked then.
    pub marks: Vec<Mark>,
}

impl Chunk {
    /// One record at its place.
    #[must_use]
    pub fn record(
        source: SourceId,
        generation: Generation,
        offset_bytes: u64,
        bytes: Vec<u8>,
        format: Option<&'static str>,
    ) -> Self {
        Self {
            source,
            generation,
            offset_bytes,
            bytes,
            framing: Framing::OneRecord,
            format,
            end_of_generation: false,
            news: None,
            marks: Vec::new(),
        }
    }

    /// News of a source, without bytes.
    #[must_use]
    pub fn news(source: SourceId, news: News) -> Self {
        Self {
            source,
            generation: Generation::default(),
            offset_bytes: 0,
            bytes: Vec::new(),
            framing: Framing::ByFormat,
            format: None,
            end_of_generation: false,
            news: Some(news),
            marks: Vec::new(),
        }
    }
}

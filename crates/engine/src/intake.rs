//! Bytes of one source → masked records with their place and their time.
//!
//! One [`Intake`] per source and generation. It frames, masks and reads the time said; it never
//! judges. Bounded: it keeps at most one unfinished record, and a record longer than
//! [`parse::RECORD_BYTES_MAX`] is cut there, with a counter.

use std::hash::Hasher as _;
use std::ops::Range;

use cardholder::Masker;
use model::{Event, Field, Generation, Mark, Position, RecordIdentity, Scope, SourceId, Timestamp};
use parse::{Context, Format, Frame, ParseError, RECORD_BYTES_MAX, SourceState};
use siphasher::sip::SipHasher13;

use crate::judge::scope;

/// One masked record, not yet sealed.
#[derive(Debug)]
pub struct MaskedRecord {
    /// Where its masked bytes lie in [`Block::bytes`].
    pub range: Range<usize>,
    /// First byte in the generation.
    pub offset_bytes: u64,
    /// What was masked.
    pub marks: Vec<Mark>,
    /// Time the record says, or that of its predecessor when it says none.
    pub said: Option<Timestamp>,
    /// Whether it can't be read as the source's format.
    pub quarantined: bool,
    /// Hashes of the actors and the scope it names, for finding entries; see [`TokenKey::token`].
    pub tokens: Vec<u64>,
}

/// Key of the hashes under which entries are found: who doesn't have it learns no address from an index.
///
/// The default key is for records that are never sealed.
#[derive(Clone, Copy, Default)]
pub struct TokenKey(pub(crate) [u8; 16]);

impl TokenKey {
    /// Hash under which an entry is found by a field's value: SipHash-1-3 over name, `=`, value.
    #[must_use]
    pub fn token(&self, field: Field, value: &str) -> u64 {
        self.hash(field.name(), value)
    }

    /// Hash under which the entries of a place are found.
    #[must_use]
    pub fn place(&self, place: &Scope) -> u64 {
        self.hash("place", &place.to_string())
    }

    /// Hash under which an administrator's entries are found, by the name that findings call them by.
    #[must_use]
    pub fn administrator(&self, name: &str) -> u64 {
        self.token(Field::AdminName, name)
    }

    fn hash(&self, name: &str, value: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(name.as_bytes());
        hasher.write(b"=");
        hasher.write(value.as_bytes());
        hasher.finish()
    }

    fn of_event(self, event: &Event<'_>, context: &Context) -> Vec<u64> {
        let fields = INDEXED
            .iter()
            .filter_map(|field| Some(self.token(*field, event.text(*field)?)));
        let mut tokens: Vec<u64> = fields.collect();
        if let (None, Some(id)) = (event.text(Field::AdminName), event.int(Field::AdminId)) {
            tokens.push(self.administrator(&format!("user_id {id}")));
        }
        let signatures = event.list(Field::Signatures).iter().take(SIGNATURES_MAX);
        tokens.extend(signatures.map(|name| self.token(Field::Signatures, name)));
        tokens.push(self.place(&scope(event, context)));
        tokens
    }
}

/// The hashes under which a sealed record is found; none when it can't be read.
#[must_use]
pub fn tokens(key: TokenKey, format: &str, payload: &[u8], context: &Context) -> Vec<u64> {
    parse::named(format)
        .and_then(|format| {
            let mut state = SourceState::default();
            let event = format.parse(payload, context, &mut state).ok()?;
            Some(key.of_event(&event, context))
        })
        .unwrap_or_else(|| vec![key.place(&Scope::Unknown)])
}

/// Signatures by which one entry is found.
const SIGNATURES_MAX: usize = 16;
/// The fields by whose value entries are found. What is changed here, or in places, is a new version of the index
/// (`stores/src/index/mod.rs`).
const INDEXED: [Field; 6] = [
    Field::ClientIp,
    Field::DbUser,
    Field::Host,
    Field::AdminName,
    Field::Package,
    Field::Module,
];

/// Records masked together, sharing one buffer.
#[derive(Debug, Default)]
pub struct Block {
    /// Masked bytes.
    pub bytes: Vec<u8>,
    /// Records in order of the source.
    pub records: Vec<MaskedRecord>,
}

/// What an intake counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeCounters {
    /// Records framed.
    pub records: u64,
    /// Bytes framed.
    pub bytes: u64,
    /// Records that could not be read.
    pub quarantined: u64,
    /// Records cut at [`RECORD_BYTES_MAX`].
    pub cut: u64,
    /// Card numbers masked, published test numbers included.
    pub card_numbers: u64,
}

/// One source's way from bytes to masked records.
pub struct Intake {
    source: SourceId,
    generation: Generation,
    format: &'static dyn Format,
    state: SourceState,
    rest: Vec<u8>,
    offset_bytes: u64,
    last_said: Option<Timestamp>,
    tokens: TokenKey,
    counters: IntakeCounters,
}

impl Intake {
    /// Starts at `offset_bytes` of a generation.
    #[must_use]
    pub fn new(
        source: SourceId,
        generation: Generation,
        offset_bytes: u64,
        format: &'static dyn Format,
        tokens: TokenKey,
    ) -> Self {
        Self {
            source,
            generation,
            format,
            state: SourceState::default(),
            rest: Vec::new(),
            offset_bytes,
            last_said: None,
            tokens,
            counters: IntakeCounters::default(),
        }
    }

    /// Goes on with what was counted of the source's other generations.
    #[must_use]
    pub fn counting_on(mut self, counters: IntakeCounters) -> Self {
        self.counters = counters;
        self
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// The format it reads.
    #[must_use]
    pub fn format(&self) -> &'static dyn Format {
        self.format
    }

    /// The generation it reads.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Where the next byte it has not framed lies.
    #[must_use]
    pub fn offset_bytes(&self) -> u64 {
        self.offset_bytes
    }

    /// What it counted so far.
    #[must_use]
    pub fn counters(&self) -> IntakeCounters {
        self.counters
    }

    /// The identity of one of this intake's records.
    ///
    /// # Panics
    ///
    /// Never: a record is at most [`RECORD_BYTES_MAX`] long.
    #[must_use]
    pub fn identity(&self, record: &MaskedRecord) -> RecordIdentity {
        RecordIdentity {
            source: self.source.clone(),
            generation: self.generation,
            position: Position {
                offset_bytes: record.offset_bytes,
            },
            length_bytes: u32::try_from(record.range.len())
                .expect("a record is at most RECORD_BYTES_MAX long"),
        }
    }

    /// Takes the next bytes; `end` says that no more will come. The records they finish are added to `block`.
    pub fn push(
        &mut self,
        bytes: &[u8],
        end: bool,
        masker: &Masker,
        context: &Context,
        block: &mut Block,
    ) {
        self.push_heard(bytes, end, masker, context, block, &mut |_| {});
    }

    /// [`Intake::push`], and `heard` is told of each record what it was read as, or why it can't be read.
    pub fn push_heard(
        &mut self,
        bytes: &[u8],
        end: bool,
        masker: &Masker,
        context: &Context,
        block: &mut Block,
        heard: &mut dyn FnMut(&Result<Event<'_>, ParseError>),
    ) {
        let mut buffer = std::mem::take(&mut self.rest);
        buffer.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(open) = buffer.get(start..).filter(|open| !open.is_empty()) {
            let length = match self.format.frame(open, end) {
                Frame::Record { end } => end.clamp(1, open.len()),
                Frame::More if open.len() >= RECORD_BYTES_MAX => RECORD_BYTES_MAX,
                Frame::More if end => open.len(),
                Frame::More => break,
            };
            if length > RECORD_BYTES_MAX || (length == RECORD_BYTES_MAX && open.len() > length) {
                self.counters.cut += 1;
            }
            let length = length.min(RECORD_BYTES_MAX);
            let record = open.get(..length).unwrap_or(open);
            self.take(record, &[], masker, context, block, heard);
            start += length;
        }
        buffer.drain(..start);
        self.rest = buffer;
    }

    /// Takes one record that its source has framed already, at the place it says; what is longer than
    /// [`RECORD_BYTES_MAX`] is cut there. `marks` is what was masked of it before; it is looked through once more.
    pub fn push_record(
        &mut self,
        record: &[u8],
        (offset_bytes, marks): (u64, &[Mark]),
        masker: &Masker,
        context: &Context,
        block: &mut Block,
    ) {
        let kept = record.get(..RECORD_BYTES_MAX).unwrap_or(record);
        self.counters.cut += u64::from(kept.len() < record.len());
        // Between records of a sender there may be bytes that are none of them.
        self.offset_bytes = offset_bytes;
        self.take(kept, marks, masker, context, block, &mut |_| {});
    }

    fn take(
        &mut self,
        record: &[u8],
        before: &[Mark],
        masker: &Masker,
        context: &Context,
        block: &mut Block,
        heard: &mut dyn FnMut(&Result<Event<'_>, ParseError>),
    ) {
        let from = block.bytes.len();
        block.bytes.extend_from_slice(record);
        let range = from..block.bytes.len();
        let masked = block
            .bytes
            .get_mut(range.clone())
            .expect("the range was just appended");
        let mut marks = Vec::new();
        masker.mask(masked, &mut marks);
        if !before.is_empty() {
            // What is masked already may look like a secret once more: whoever saw the record itself knows better.
            marks.retain(|mark| !before.iter().any(|known| overlap(known, mark)));
            marks.extend_from_slice(before);
            marks.sort_by_key(|mark| mark.offset_bytes);
        }
        let mut tokens = vec![self.tokens.place(&Scope::Unknown)];
        let read = self.format.parse(masked, context, &mut self.state);
        heard(&read);
        let (said, quarantined) = match &read {
            Ok(event) => {
                tokens = self.tokens.of_event(event, context);
                (event.time, false)
            }
            // An empty line is no record anyone lost.
            Err(_) => (None, !record.trim_ascii().is_empty()),
        };
        self.last_said = said.or(self.last_said);
        self.counters.records += 1;
        self.counters.bytes += record.len() as u64;
        self.counters.quarantined += u64::from(quarantined);
        self.counters.card_numbers += marks
            .iter()
            .filter(|mark| mark.kind == model::MarkKind::Pan)
            .count() as u64;
        block.records.push(MaskedRecord {
            range,
            offset_bytes: self.offset_bytes,
            marks,
            said: self.last_said,
            quarantined,
            tokens,
        });
        self.offset_bytes += record.len() as u64;
    }
}

fn overlap(one: &Mark, other: &Mark) -> bool {
    let end = |mark: &Mark| u64::from(mark.offset_bytes) + u64::from(mark.length_bytes);
    u64::from(one.offset_bytes) < end(other) && u64::from(other.offset_bytes) < end(one)
}

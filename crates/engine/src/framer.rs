//! Chunks of one source → masked records, over its incarnations: its format is recognised by its first bytes.
//!
//! The same on the server, for what it reads itself and what hosts hand over, and on a host that collects.

use cardholder::Masker;
use parse::{Context, Format};
use sources::{Chunk, Framing};

use crate::intake::{Block, Intake, TokenKey};

/// Bytes within which a format must be recognised.
const HEAD_BYTES: usize = 16 * 1024;

/// With what records are masked and read.
#[derive(Clone, Copy)]
pub(crate) struct With<'a> {
    pub(crate) masker: &'a Masker,
    pub(crate) context: &'a Context,
    pub(crate) tokens: TokenKey,
}

/// One source's intake, and what came before its format was known.
#[derive(Default)]
pub(crate) struct Framer {
    intake: Option<Intake>,
    /// Bytes kept until a format is recognised.
    head: Vec<u8>,
    /// Where `head` starts.
    head_offset: u64,
}

impl Framer {
    /// The intake, once a format is known.
    pub(crate) fn intake(&self) -> Option<&Intake> {
        self.intake.as_ref()
    }

    /// Whether bytes came and no format recognises them.
    pub(crate) fn is_lost(&self) -> bool {
        self.intake.is_none() && !self.head.is_empty()
    }

    /// Adds the records that a chunk finishes to `block`; gives the intake that they are of. `source` is what they are filed
    /// under, `named` their format where the source knows it.
    pub(crate) fn take(
        &mut self,
        chunk: &Chunk,
        source: &model::SourceId,
        named: Option<&'static dyn Format>,
        with: With<'_>,
        block: &mut Block,
    ) -> Option<&Intake> {
        let known = self.intake.as_ref().is_some_and(|intake| {
            intake.generation() == chunk.generation && intake.offset_bytes() <= chunk.offset_bytes
        });
        if known {
            let intake = self.intake.as_mut()?;
            frame(intake, &chunk.bytes, chunk, with, block);
            return Some(intake);
        }
        let before = self.intake.take();
        let counters = before.as_ref().map(Intake::counters).unwrap_or_default();
        let format = before.map(|intake| intake.format());
        if self.head.is_empty() {
            self.head_offset = chunk.offset_bytes;
        }
        self.head.extend_from_slice(&chunk.bytes);
        let Some(format) = named.or(format).or_else(|| parse::sniff(&self.head)) else {
            self.head.truncate(HEAD_BYTES);
            return None;
        };
        let (generation, offset) = (chunk.generation, self.head_offset);
        let intake = Intake::new(source.clone(), generation, offset, format, with.tokens);
        let head = std::mem::take(&mut self.head);
        let intake = self.intake.insert(intake.counting_on(counters));
        frame(intake, &head, chunk, with, block);
        Some(intake)
    }
}

/// Gives a chunk's bytes to its intake.
fn frame(intake: &mut Intake, bytes: &[u8], chunk: &Chunk, with: With<'_>, block: &mut Block) {
    let (masker, context) = (with.masker, with.context);
    match chunk.framing {
        Framing::OneRecord if bytes.is_empty() => {}
        Framing::OneRecord => {
            let known = (chunk.offset_bytes, chunk.marks.as_slice());
            intake.push_record(bytes, known, masker, context, block);
        }
        Framing::ByFormat => intake.push(bytes, chunk.end_of_generation, masker, context, block),
    }
}

#[cfg(test)]
mod tests {
    use super::{Framer, With};
    use crate::intake::{Block, TokenKey};
    use cardholder::{FingerprintKey, Masker};
    use model::{Generation, Mark, SourceId};
    use parse::Context;
    use sources::Chunk;

    const LINE: &str = "192.0.2.1 - - [05/Aug/2026:10:15:30 +0000] \"GET /pay?cc=4111111111111111&password=hunter22 HTTP/1.1\" 200 5 \"-\" \"x\"\n";

    /// What becomes of one record that comes with marks.
    fn taken(bytes: &[u8], marks: &[Mark], masker: &Masker) -> (Vec<u8>, Vec<Mark>) {
        let source = SourceId("web1/file:/a".to_owned());
        let format = parse::named("nginx_combined");
        let mut chunk = Chunk::record(
            source.clone(),
            Generation::default(),
            0,
            bytes.to_vec(),
            format.map(|one| one.name()),
        );
        chunk.marks = marks.to_vec();
        let context = Context::default();
        let with = With {
            masker,
            context: &context,
            tokens: TokenKey::default(),
        };
        let (mut framer, mut block) = (Framer::default(), Block::default());
        let intake = framer.take(&chunk, &source, format, with, &mut block);
        assert_eq!(intake.expect("a format").counters().records, 1);
        (block.bytes, block.records.remove(0).marks)
    }

    #[test]
    fn what_a_host_masked_keeps_its_marks_and_what_it_left_readable_is_masked() {
        let (host, server) = (
            Masker::new(FingerprintKey::new([1; 32])),
            Masker::new(FingerprintKey::new([2; 32])),
        );
        let (mut masked, mut marks) = (LINE.as_bytes().to_vec(), Vec::new());
        host.mask(&mut masked, &mut marks);
        assert_eq!(marks.len(), 2, "a number and a secret");
        // As it came: nothing is marked twice, and the host's fingerprint stays.
        assert_eq!(
            taken(&masked, &marks, &server),
            (masked.clone(), marks.clone())
        );
        // Without its marks, or without having masked at all.
        let (bytes, own) = taken(LINE.as_bytes(), &[], &server);
        assert_eq!(bytes, masked);
        assert_eq!(own.len(), 2);
        assert_ne!(own[0].fingerprint, marks[0].fingerprint);
        // It says that it masked one thing and left the other.
        let mut half = masked.clone();
        let at = LINE.find("4111").expect("there");
        half[at..at + 16].copy_from_slice(&LINE.as_bytes()[at..at + 16]);
        let secret = marks.get(1..).expect("two");
        let (bytes, both) = taken(&half, secret, &server);
        assert_eq!(bytes, masked);
        assert_eq!(both, [own[0].clone(), marks[1].clone()]);
    }
}

//! One input as a stream of decompressed bytes, capped.
//!
//! Apart from finding inputs because here hostile bytes meet decompressors. Invariants: what was
//! read before a fault is always given first; every cap ends in an error that names it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Generation;
use sha2::{Digest, Sha256};

use crate::{Compression, Input, Limits, SourceError};

/// Bytes whose hash names a generation.
pub(crate) const HEAD_BYTES: usize = 256;
/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Memory one xz stream may ask for, in bytes; its header chooses otherwise.
const XZ_MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Decompressed bytes below which the ratio isn't looked at: small files may be anything.
const RATIO_FLOOR_BYTES: u64 = 64 << 20;

/// Where an input lies in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Container {
    /// It is the file.
    #[default]
    Whole,
    /// Bytes of a tar archive, after decompression.
    Tar {
        outer: Compression,
        offset: u64,
        size: u64,
    },
    /// Bytes of a zip archive; RFC 1951 or stored.
    Zip {
        offset: u64,
        size: u64,
        deflated: bool,
    },
}

/// An opened input, decompressed and capped.
///
/// A fault in the file is an error after all that could be read; the end follows it.
pub struct Reader {
    head: Cursor<Vec<u8>>,
    body: Capped,
    fault: Option<io::Error>,
    ended: bool,
    generation: Generation,
}

impl Input {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when it can't be opened. Bytes that can't be decompressed are an error of
    /// reading, after those that can.
    pub fn open(&self, limits: &Limits) -> Result<Reader, SourceError> {
        let open = || {
            let file = File::open(&self.path)?;
            let facts = file.metadata()?;
            if !facts.is_file() {
                return Err(io::Error::other("no regular file"));
            }
            Ok((
                open_body(file, self.container, self.compression, limits)?,
                facts,
            ))
        };
        let (mut body, facts) = open().map_err(SourceError::io(&self.path))?;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let fault = body
            .by_ref()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .err();
        let plain = self.compression == Compression::Plain && self.container == Container::Whole;
        let (device, inode) = if plain {
            (facts.dev(), facts.ino())
        } else {
            (0, 0)
        };
        let generation = Generation {
            device,
            inode,
            head_hash: head_hash(&head),
        };
        Ok(Reader {
            head: Cursor::new(head),
            body,
            fault,
            ended: false,
            generation,
        })
    }
}

impl Reader {
    /// Which generation is read: the hash is over the first 256 decompressed bytes, or all when there are fewer.
    ///
    /// # Errors
    ///
    /// None today; a reader that must read on to tell may fail.
    pub fn generation(&mut self) -> Result<Generation, SourceError> {
        Ok(self.generation)
    }

    /// The first bytes, whatever was read since.
    pub(crate) fn head(&self) -> &[u8] {
        self.head.get_ref()
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.head.read(buffer)?;
        if count > 0 || buffer.is_empty() || self.ended {
            return Ok(count);
        }
        let result = match self.fault.take() {
            Some(error) => Err(error),
            None => self.body.read(buffer),
        };
        if result
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::Interrupted)
        {
            self.ended = true;
        }
        result
    }
}

/// First 16 bytes of SHA-256 over a generation's first bytes.
pub(crate) fn head_hash(head: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(Sha256::digest(head)) {
        *to = from;
    }
    short
}

/// Opens the decompressed bytes of a file or a member.
pub(crate) fn open_body(
    mut file: File,
    container: Container,
    compression: Compression,
    limits: &Limits,
) -> io::Result<Capped> {
    let taken = Arc::new(AtomicU64::new(0));
    let start = match container {
        Container::Zip { offset, .. }
        | Container::Tar {
            outer: Compression::Plain,
            offset,
            ..
        } => offset,
        Container::Whole | Container::Tar { .. } => 0,
    };
    file.seek(SeekFrom::Start(start))?;
    taken.store(start, Ordering::Relaxed);
    let file = Counted {
        inner: BufReader::with_capacity(BUFFER_BYTES, file),
        taken: Arc::clone(&taken),
    };
    let inner = match container {
        Container::Whole => decompress(compression, file)?,
        Container::Tar {
            outer: Compression::Plain,
            size,
            ..
        } => decompress(compression, exactly(file, size))?,
        Container::Tar {
            outer,
            offset,
            size,
        } => {
            let mut stream = decompress(outer, file)?;
            io::copy(&mut stream.by_ref().take(offset), &mut io::sink())?;
            decompress(compression, exactly(stream, size))?
        }
        Container::Zip {
            size,
            deflated: false,
            ..
        } => decompress(compression, exactly(file, size))?,
        Container::Zip {
            size,
            deflated: true,
            ..
        } => {
            let stream = flate2::bufread::DeflateDecoder::new(exactly(file, size));
            decompress(compression, BufReader::new(stream))?
        }
    };
    Ok(Capped {
        inner,
        given: 0,
        max: limits.decompressed_bytes_max,
        ratio_max: limits.ratio_max,
        taken,
        start,
    })
}

/// Decompresses a stream; what it asks for in memory is capped, what it gives isn't.
pub(crate) fn decompress<R: BufRead + Send + 'static>(
    compression: Compression,
    from: R,
) -> io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::Plain => Box::new(from),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        Compression::Xz => {
            let stream = xz2::stream::Stream::new_stream_decoder(
                XZ_MEMORY_BYTES_MAX,
                xz2::stream::CONCATENATED,
            )
            .map_err(io::Error::other)?;
            Box::new(xz2::bufread::XzDecoder::new_stream(from, stream))
        }
        // Its window is capped at 128 MiB by the library.
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(from)?),
    })
}

/// Exactly `size` bytes; fewer are a fault, not an end.
fn exactly<R: Read>(inner: R, size: u64) -> BufReader<Exactly<R>> {
    BufReader::new(Exactly { inner, left: size })
}

struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.by_ref().take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends within its member",
            ));
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// Counts what a decompressor used of its file.
struct Counted {
    inner: BufReader<File>,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.taken.fetch_add(amount as u64, Ordering::Relaxed);
        self.inner.consume(amount);
    }
}

/// Decompressed bytes up to the limits.
pub(crate) struct Capped {
    inner: Box<dyn Read + Send>,
    given: u64,
    max: u64,
    ratio_max: u64,
    taken: Arc<AtomicU64>,
    start: u64,
}

impl Read for Capped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = || self.taken.load(Ordering::Relaxed);
        let count = self.inner.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            io::Error::new(
                error.kind(),
                format!(
                    "can't be read on after {} bytes of content, at byte {} of the file: {error}",
                    self.given,
                    taken()
                ),
            )
        })?;
        self.given = self.given.saturating_add(count as u64);
        if self.given > self.max {
            return Err(io::Error::other(format!(
                "more than {} bytes after decompression",
                self.max
            )));
        }
        let read = taken().saturating_sub(self.start).max(1);
        if self.given > RATIO_FLOOR_BYTES && self.given / read > self.ratio_max {
            return Err(io::Error::other(format!(
                "grows more than {} times when decompressed",
                self.ratio_max
            )));
        }
        Ok(count)
    }
}

//! Folders of logs as inputs: found in order of name, decompressed by what they are, not by their name.

use std::fs::{self, File};
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::{Generation, SourceId, Timestamp};
use sha2::{Digest, Sha256};

use crate::SourceError;

/// Bytes whose hash names a generation.
pub(crate) const HEAD_BYTES: usize = 256;

/// What is read at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Inputs under all paths together.
    pub inputs_max: usize,
    /// Depth of folders.
    pub depth_max: usize,
    /// Bytes after decompression of one input.
    pub decompressed_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inputs_max: 100_000,
            depth_max: 32,
            decompressed_bytes_max: 1 << 40,
        }
    }
}

/// How a file is compressed, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not.
    Plain,
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// RFC 8878.
    Zstd,
}

/// Something to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// `file:` and the path.
    pub id: SourceId,
    /// The file.
    pub path: PathBuf,
    /// How it is compressed.
    pub compression: Compression,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// When it was last changed.
    pub modified: Option<Timestamp>,
}

/// What lies under some paths.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Inputs in order of path.
    pub inputs: Vec<Input>,
    /// What is not read: path, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Finds inputs under paths. Links inside a folder are not followed.
///
/// # Errors
///
/// [`SourceError`] when a path that was named can't be read; what lies inside a folder is skipped with the reason.
pub fn discover(paths: &[PathBuf], limits: &Limits) -> Result<Discovery, SourceError> {
    let mut found = Discovery::default();
    for path in paths {
        let facts = fs::metadata(path).map_err(SourceError::io(path))?;
        if facts.is_dir() {
            walk(path, 0, limits, &mut found);
        } else {
            found
                .inputs
                .push(input(path, &facts).map_err(SourceError::io(path))?);
        }
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, limits: &Limits, found: &mut Discovery) {
    let mut entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return found.skipped.push((folder.to_owned(), error.to_string())),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if found.inputs.len() >= limits.inputs_max {
            found
                .skipped
                .push((path, format!("more than {} inputs", limits.inputs_max)));
            return;
        }
        if kind.is_symlink() {
            found
                .skipped
                .push((path, "a link; name its target to read it".to_owned()));
        } else if kind.is_dir() && depth < limits.depth_max {
            walk(&path, depth + 1, limits, found);
        } else if kind.is_file() {
            match entry.metadata().and_then(|facts| input(&path, &facts)) {
                Ok(input) => found.inputs.push(input),
                Err(error) => found.skipped.push((path, error.to_string())),
            }
        } else {
            found.skipped.push((path, "no regular file".to_owned()));
        }
    }
}

fn input(path: &Path, facts: &fs::Metadata) -> io::Result<Input> {
    if !facts.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    let mut magic = Vec::new();
    File::open(path)?.take(6).read_to_end(&mut magic)?;
    let compression = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [b'B', b'Z', b'h', ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::Plain,
    };
    Ok(Input {
        id: SourceId(format!("file:{}", path.display())),
        path: path.to_owned(),
        compression,
        size_bytes: facts.len(),
        modified: Some(Timestamp(
            facts.mtime() * Timestamp::SECOND + facts.mtime_nsec() / 1000,
        )),
    })
}

/// An opened input, decompressed and capped.
pub struct Reader {
    inner: Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>,
    device: u64,
    inode: u64,
    head_hash: [u8; 16],
    left: u64,
    limit: u64,
}

impl Input {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when it can't be opened, or its first bytes can't be decompressed.
    pub fn open(&self, limits: &Limits) -> Result<Reader, SourceError> {
        let file = File::open(&self.path).map_err(SourceError::io(&self.path))?;
        let facts = file.metadata().map_err(SourceError::io(&self.path))?;
        let file = BufReader::with_capacity(256 * 1024, file);
        let mut inner: Box<dyn Read + Send> = match self.compression {
            Compression::Plain => Box::new(file),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
            Compression::Xz => Box::new(xz2::bufread::XzDecoder::new_multi_decoder(file)),
            Compression::Zstd => {
                Box::new(zstd::Decoder::with_buffer(file).map_err(SourceError::io(&self.path))?)
            }
        };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        inner
            .by_ref()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(SourceError::io(&self.path))?;
        let plain = self.compression == Compression::Plain;
        Ok(Reader {
            head_hash: head_hash(&head),
            inner: Cursor::new(head).chain(inner),
            device: if plain { facts.dev() } else { 0 },
            inode: if plain { facts.ino() } else { 0 },
            left: limits.decompressed_bytes_max,
            limit: limits.decompressed_bytes_max,
        })
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

impl Reader {
    /// Which generation is read.
    ///
    /// # Errors
    ///
    /// None today; a reader that must read on to tell may fail.
    pub fn generation(&mut self) -> Result<Generation, SourceError> {
        Ok(Generation {
            device: self.device,
            inode: self.inode,
            head_hash: self.head_hash,
        })
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!(
                "more than {} bytes after decompression",
                self.limit
            ))
        })?;
        Ok(count)
    }
}

/// Groups rotated siblings (`access.log`, `access.log.1`, `access.log.2.gz`): one log each, oldest file first.
#[must_use]
pub fn group_rotated(inputs: Vec<Input>) -> Vec<Vec<Input>> {
    let mut groups: std::collections::BTreeMap<PathBuf, Vec<(u64, Input)>> =
        std::collections::BTreeMap::new();
    for input in inputs {
        let (base, age) = rotation(&input.path);
        groups.entry(base).or_default().push((age, input));
    }
    groups
        .into_values()
        .map(|mut group| {
            group.sort_by_key(|(age, input)| (std::cmp::Reverse(*age), input.path.clone()));
            group.into_iter().map(|(_, input)| input).collect()
        })
        .collect()
}

/// A log's base path, and how old a rotation it is: 0 the one being written.
fn rotation(path: &Path) -> (PathBuf, u64) {
    let mut name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    for ending in [".gz", ".bz2", ".xz", ".zst"] {
        if let Some(short) = name.strip_suffix(ending) {
            name = short.to_owned();
        }
    }
    let age = match name.rsplit_once('.') {
        Some((base, number)) if number.len() <= 3 => {
            number.parse().ok().map(|age: u64| (base.to_owned(), age))
        }
        _ => None,
    };
    let (base, age) = age.unwrap_or((name, 0));
    (path.with_file_name(base), age)
}

#[cfg(test)]
mod tests {
    use super::{Limits, discover, group_rotated};
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::path::Path;

    fn gzip(path: &Path, text: &[u8]) {
        let mut encoder = flate2::write::GzEncoder::new(
            fs::File::create(path).expect("writable"),
            flate2::Compression::fast(),
        );
        encoder
            .write_all(text)
            .and_then(|()| encoder.finish())
            .expect("written");
    }

    #[test]
    fn reads_rotated_and_compressed_logs_oldest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.log"), "three").expect("written");
        fs::write(folder.path().join("a.log.1"), "two").expect("written");
        gzip(&folder.path().join("a.log.2.gz"), b"one");
        std::os::unix::fs::symlink(".", folder.path().join("loop")).expect("linked");
        let found = discover(&[folder.path().to_owned()], &Limits::default()).expect("found");
        assert_eq!(found.skipped.len(), 1);
        let groups = group_rotated(found.inputs);
        assert_eq!(groups.len(), 1);
        let mut text = String::new();
        for input in &groups[0] {
            input
                .open(&Limits::default())
                .expect("opened")
                .read_to_string(&mut text)
                .expect("read");
        }
        assert_eq!(text, "onetwothree");
    }

    #[test]
    fn a_corrupt_file_gives_what_could_be_read_and_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.gz");
        let text: Vec<u8> = (0..400_000_u32)
            .flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes())
            .collect();
        gzip(&path, &text);
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
        let found = discover(&[path], &Limits::default()).expect("found");
        let mut out = Vec::new();
        assert!(
            found.inputs[0]
                .open(&Limits::default())
                .expect("opened")
                .read_to_end(&mut out)
                .is_err()
        );
        assert!(!out.is_empty());
    }
}

//! Folders of logs as inputs: found in order of name, decompressed by what they are, not by their name.
//!
//! Members of archives are inputs of their own. What is not read is said with the reason, and every
//! limit has a name; reading itself is in `reader`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::{SourceId, Timestamp};

use crate::SourceError;
use crate::archive::{self, Listing, MEMBER_MAGIC_BYTES};
use crate::reader::{Container, open_body};

/// Bytes by which a file is recognised: a tar header.
const MAGIC_BYTES: u64 = 512;

/// What is read at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Inputs under all paths together.
    pub inputs_max: usize,
    /// Depth of folders.
    pub depth_max: usize,
    /// Entries looked at in one folder.
    pub folder_entries_max: usize,
    /// Members of one archive.
    pub members_max: usize,
    /// Bytes after decompression of one input.
    pub decompressed_bytes_max: u64,
    /// How many times larger an input may grow by decompression, once it gave more than 64 MiB.
    pub ratio_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inputs_max: 100_000,
            depth_max: 32,
            folder_entries_max: 1_000_000,
            members_max: 10_000,
            decompressed_bytes_max: 1 << 40,
            ratio_max: 5_000,
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

impl Compression {
    /// By a file's first bytes.
    pub(crate) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// Something to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// `file:` and the path; for a member also `!` and its name.
    pub id: SourceId,
    /// The file.
    pub path: PathBuf,
    /// Name within the archive `path`, as the archive has it.
    pub member: Option<String>,
    /// How it is compressed (a member: itself, not its archive).
    pub compression: Compression,
    /// Bytes on disk, or in the archive.
    pub size_bytes: u64,
    /// When it was last changed.
    pub modified: Option<Timestamp>,
    /// Where it lies in the file.
    pub(crate) container: Container,
}

/// What lies under some paths.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Inputs in order of path.
    pub inputs: Vec<Input>,
    /// What is not read: path, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Finds inputs under paths: files, members of tar archives (also compressed) and of zips. Links
/// inside a folder are not followed. A file named twice is read once.
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
            inputs(path, &facts, limits, &mut found).map_err(SourceError::io(path))?;
        }
    }
    let mut seen = BTreeSet::new();
    found.inputs.retain(|input| seen.insert(input.id.clone()));
    Ok(found)
}

fn walk(folder: &Path, depth: usize, limits: &Limits, found: &mut Discovery) {
    let read = |folder| {
        fs::read_dir(folder)?
            .take(limits.folder_entries_max + 1)
            .collect::<io::Result<Vec<_>>>()
    };
    let mut entries = match read(folder) {
        Ok(entries) => entries,
        Err(error) => return found.skipped.push((folder.to_owned(), error.to_string())),
    };
    if entries.len() > limits.folder_entries_max {
        let reason = format!(
            "only {} of its entries are looked at",
            limits.folder_entries_max
        );
        found.skipped.push((folder.to_owned(), reason));
        entries.truncate(limits.folder_entries_max);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) => {
                found.skipped.push((path, error.to_string()));
                continue;
            }
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
        } else if kind.is_dir() {
            found
                .skipped
                .push((path, format!("deeper than {} folders", limits.depth_max)));
        } else if kind.is_file() {
            if let Err(error) = entry
                .metadata()
                .and_then(|facts| inputs(&path, &facts, limits, found))
            {
                found.skipped.push((path, error.to_string()));
            }
        } else {
            found.skipped.push((path, "no regular file".to_owned()));
        }
    }
}

/// Adds a file, or the members of an archive.
fn inputs(
    path: &Path,
    facts: &fs::Metadata,
    limits: &Limits,
    found: &mut Discovery,
) -> io::Result<()> {
    let (whole, mut magic) = whole(path, facts)?;
    let compression = whole.compression;
    let stream = || open_body(File::open(path)?, Container::Whole, compression, limits);
    if compression != Compression::Plain {
        magic.clear();
        // A fault here comes again, with its place, when the input is read.
        drop(stream().and_then(|stream| stream.take(MAGIC_BYTES).read_to_end(&mut magic)));
    }
    let members_max = limits
        .members_max
        .min(limits.inputs_max.saturating_sub(found.inputs.len()));
    if archive::is_tar(&magic) {
        let listing = archive::list_tar(&mut stream()?, members_max);
        members(
            &whole,
            listing,
            |offset, size, _| Container::Tar {
                outer: compression,
                offset,
                size,
            },
            limits,
            found,
        );
    } else if compression == Compression::Plain && archive::is_zip(&magic) {
        let listing = archive::list_zip(&File::open(path)?, members_max);
        members(
            &whole,
            listing,
            |offset, size, deflated| Container::Zip {
                offset,
                size,
                deflated,
            },
            limits,
            found,
        );
    } else {
        found.inputs.push(whole);
    }
    Ok(())
}

/// A file as one input, with its first bytes.
pub(crate) fn whole(path: &Path, facts: &fs::Metadata) -> io::Result<(Input, Vec<u8>)> {
    if !facts.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    let mut magic = Vec::new();
    File::open(path)?
        .take(MAGIC_BYTES)
        .read_to_end(&mut magic)?;
    let modified = facts
        .mtime()
        .saturating_mul(Timestamp::SECOND)
        .saturating_add(facts.mtime_nsec() / 1000);
    let input = Input {
        id: SourceId(format!("file:{}", path.display())),
        path: path.to_owned(),
        member: None,
        compression: Compression::of(&magic),
        size_bytes: facts.len(),
        modified: Some(Timestamp(modified)),
        container: Container::Whole,
    };
    Ok((input, magic))
}

/// Adds an archive's members; an archive none can be told of is read as the file it is.
fn members(
    whole: &Input,
    listing: Listing,
    place: impl Fn(u64, u64, bool) -> Container,
    limits: &Limits,
    found: &mut Discovery,
) {
    let name = |member: &str| PathBuf::from(format!("{}!{member}", whole.path.display()));
    if !listing.fault.is_empty() {
        found.skipped.push((
            whole.path.clone(),
            format!("not all of its members: {}", listing.fault),
        ));
        if listing.members.is_empty() {
            return found.inputs.push(whole.clone());
        }
    }
    found.skipped.extend(
        listing
            .skipped
            .into_iter()
            .map(|(member, why)| (name(&member), why)),
    );
    for member in listing.members {
        let container = place(member.offset, member.size, member.deflated);
        let head = match member.head {
            Some(head) => Ok(head),
            None => magic(&whole.path, container, limits),
        };
        // A fault here comes again, with its place, when the member is read.
        let compression = head.map_or(Compression::Plain, |head| Compression::of(&head));
        found.inputs.push(Input {
            id: SourceId(format!("{}!{}", whole.id.0, member.name)),
            path: whole.path.clone(),
            member: Some(member.name),
            compression,
            size_bytes: member.size,
            modified: member.modified.or(whole.modified),
            container,
        });
    }
}

/// First bytes of a zip's member, for its own compression.
fn magic(path: &Path, container: Container, limits: &Limits) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    open_body(File::open(path)?, container, Compression::Plain, limits)?
        .take(MEMBER_MAGIC_BYTES)
        .read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::{Compression, Limits, discover};
    use crate::group_rotated;
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::path::Path;

    /// A ustar archive, made as the standard says.
    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, content) in members {
            let mut block = [0_u8; 512];
            block[..name.len()].copy_from_slice(name.as_bytes());
            block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            block[136..147].copy_from_slice(format!("{:011o}", 1_785_924_930).as_bytes());
            block[148..156].fill(b' ');
            block[156] = b'0';
            block[257..265].copy_from_slice(b"ustar\x0000");
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            out.extend_from_slice(&block);
            out.extend_from_slice(content);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out.resize(out.len() + 1024, 0);
        out
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder
            .write_all(text)
            .and_then(|()| encoder.finish())
            .expect("written")
    }

    /// A zip archive: name, flags, method, bytes as stored.
    fn zip(members: &[(&str, u16, u16, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, flags, method, bytes) in members {
            let (size, at) = (
                u32::try_from(bytes.len()).expect("small"),
                u32::try_from(out.len()).expect("small"),
            );
            let mut middle = Vec::new();
            for short in [20, *flags, *method, 0, 0] {
                middle.extend_from_slice(&u16::to_le_bytes(short));
            }
            for long in [0, size, size] {
                middle.extend_from_slice(&u32::to_le_bytes(long));
            }
            middle.extend_from_slice(&u16::try_from(name.len()).expect("short").to_le_bytes());
            middle.extend_from_slice(&[0, 0]);
            out.extend_from_slice(b"PK\x03\x04");
            out.extend_from_slice(&middle);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(bytes);
            directory.extend_from_slice(b"PK\x01\x02\x14\x00");
            directory.extend_from_slice(&middle);
            directory.extend_from_slice(&[0; 10]);
            directory.extend_from_slice(&at.to_le_bytes());
            directory.extend_from_slice(name.as_bytes());
        }
        let (at, size) = (
            u32::try_from(out.len()).expect("small"),
            u32::try_from(directory.len()).expect("small"),
        );
        out.extend_from_slice(&directory);
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&at.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out
    }

    /// Writes a file and reads all its inputs: id behind the file's name, and content.
    #[track_caller]
    fn check(bytes: &[u8], expected: &[(&str, &str)], skipped: usize) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, bytes).expect("written");
        let found = discover(
            &[path.clone(), folder.path().to_owned()],
            &Limits::default(),
        )
        .expect("found");
        let inputs: Vec<(String, String)> = found
            .inputs
            .iter()
            .map(|input| {
                let mut text = String::new();
                input
                    .open(&Limits::default())
                    .expect("opened")
                    .read_to_string(&mut text)
                    .expect("read");
                (
                    input.id.0.replace(&format!("file:{}", path.display()), ""),
                    text,
                )
            })
            .collect();
        let found_texts: Vec<(&str, &str)> = inputs
            .iter()
            .map(|(id, text)| (id.as_str(), text.as_str()))
            .collect();
        assert_eq!(found_texts, expected);
        // Named twice, once by its folder.
        assert_eq!(found.skipped.len(), skipped * 2, "{:?}", found.skipped);
    }

    fn packed(compression: Compression, text: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Plain => text.to_vec(),
            Compression::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder
                    .write_all(text)
                    .and_then(|()| encoder.finish())
                    .expect("written")
            }
            Compression::Bzip2 => {
                let mut encoder =
                    bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder
                    .write_all(text)
                    .and_then(|()| encoder.finish())
                    .expect("written")
            }
            Compression::Xz => {
                let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
                encoder
                    .write_all(text)
                    .and_then(|()| encoder.finish())
                    .expect("written")
            }
            Compression::Zstd => zstd::encode_all(text, 1).expect("written"),
        }
    }

    const ALL: [Compression; 5] = [
        Compression::Plain,
        Compression::Gzip,
        Compression::Bzip2,
        Compression::Xz,
        Compression::Zstd,
    ];

    #[test]
    fn reads_every_compression_whatever_the_name_and_concatenated() {
        for compression in ALL {
            let bytes = [packed(compression, b"one\n"), packed(compression, b"two\n")].concat();
            check(&bytes, &[("", "one\ntwo\n")], 0);
        }
    }

    #[test]
    fn reads_members_of_plain_and_compressed_tars() {
        let inner = packed(Compression::Xz, b"three");
        let archive = tar(&[("var/a.log", b"one"), ("b", b""), ("c.log.1", &inner)]);
        for compression in ALL {
            check(
                &packed(compression, &archive),
                &[("!var/a.log", "one"), ("!b", ""), ("!c.log.1", "three")],
                0,
            );
        }
    }

    #[test]
    fn reads_members_of_zips_and_says_which_it_cannot() {
        let archive = zip(&[
            ("a.log", 0, 8, &deflate(b"one")),
            ("b.gz", 0, 0, &packed(Compression::Gzip, b"two")),
            ("dir/", 0, 0, b""),
            ("c", 1, 8, b"xx"),
            ("d", 0, 99, b"xx"),
        ]);
        check(&archive, &[("!a.log", "one"), ("!b.gz", "two")], 2);
    }

    #[test]
    fn a_cut_archive_gives_the_members_before_the_cut_and_a_broken_one_its_bytes() {
        let archive = tar(&[("a", b"one"), ("b", b"two")]);
        check(&archive[..1100], &[("!a", "one")], 1);
        check(
            b"PK\x03\x04 only looks like one",
            &[("", "PK\u{3}\u{4} only looks like one")],
            1,
        );
    }

    #[test]
    fn a_bomb_ends_at_the_cap_and_at_the_ratio() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(
            &path,
            zstd::encode_all(&vec![0_u8; 80 << 20][..], 1).expect("written"),
        )
        .expect("written");
        for (limits, says) in [
            (
                Limits {
                    decompressed_bytes_max: 1000,
                    ..Limits::default()
                },
                "more than 1000 bytes",
            ),
            (
                Limits {
                    ratio_max: 100,
                    ..Limits::default()
                },
                "more than 100 times",
            ),
        ] {
            let found = discover(std::slice::from_ref(&path), &limits).expect("found");
            let mut reader = found.inputs[0].open(&limits).expect("opened");
            let error = std::io::copy(&mut reader, &mut std::io::sink()).expect_err("capped");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let archives = [
            tar(&[("a", b"one"), ("b", b"two")]),
            zip(&[("a", 0, 8, &deflate(b"one"))]),
            packed(Compression::Gzip, &tar(&[("a", b"one")])),
        ];
        for bytes in archives {
            let mut seed = 1_u32;
            for _ in 0..150 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let mut bytes = bytes.clone();
                let at = usize::try_from(seed >> 8).expect("fits") % bytes.len();
                bytes[at] ^= seed.to_le_bytes()[3];
                bytes.truncate(bytes.len() - usize::try_from(seed % 7).expect("fits"));
                fs::write(&path, &bytes).expect("written");
                let found =
                    discover(std::slice::from_ref(&path), &Limits::default()).expect("found");
                for input in found.inputs {
                    let mut out = Vec::new();
                    drop(
                        input
                            .open(&Limits::default())
                            .map(|mut reader| reader.read_to_end(&mut out)),
                    );
                    assert!(out.len() < 100_000);
                }
            }
        }
    }

    fn gzip(path: &Path, text: &[u8]) {
        fs::write(path, packed(Compression::Gzip, text)).expect("written");
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
        let mut reader = found.inputs[0].open(&Limits::default()).expect("opened");
        let error = reader.read_to_end(&mut out).expect_err("cut");
        assert!(
            error.to_string().contains(&format!(
                "after {} bytes of content, at byte {}",
                out.len(),
                bytes.len() / 2
            )),
            "{error}"
        );
        assert!(out.len() > 100_000 && text.starts_with(&out));
        assert_eq!(reader.read(&mut [0; 8]).expect("the end"), 0);
    }
}

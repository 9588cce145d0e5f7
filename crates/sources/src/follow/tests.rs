//! What following must survive: growth, rotation, copies, truncation, deletion, restarts.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Generation, Position, SourceId};

use super::{CHUNK_BYTES, CHUNKS_MAX, Chunk, Follower};
use crate::News;

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("writable");
    file.write_all(text.as_bytes()).expect("written");
}

fn gzip(from: &Path, to: &Path) {
    let mut encoder = flate2::write::GzEncoder::new(
        fs::File::create(to).expect("writable"),
        flate2::Compression::fast(),
    );
    encoder
        .write_all(&fs::read(from).expect("read"))
        .and_then(|()| encoder.finish())
        .expect("written");
    fs::remove_file(from).expect("removed");
}

fn text(chunks: &[Chunk]) -> String {
    chunks
        .iter()
        .map(|chunk| String::from_utf8_lossy(&chunk.bytes).into_owned())
        .collect()
}

fn news(chunks: &[Chunk]) -> Vec<News> {
    chunks
        .iter()
        .filter_map(|chunk| chunk.news.clone())
        .collect()
}

/// A folder with one followed log.
struct Case {
    folder: tempfile::TempDir,
    path: PathBuf,
    follower: Follower,
}

impl Case {
    fn new(first: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        if !first.is_empty() {
            append(&path, first);
        }
        let follower = Follower::new(vec![path.clone()], BTreeMap::new()).expect("followed");
        let mut case = Self {
            folder,
            path,
            follower,
        };
        case.gives(first);
        case
    }

    fn sibling(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads until `expected` came; nothing else may come.
    #[track_caller]
    fn gives(&mut self, expected: &str) -> Vec<Chunk> {
        let (mut chunks, start) = (Vec::new(), Instant::now());
        while text(&chunks).len() < expected.len() && start.elapsed() < Duration::from_secs(5) {
            self.follower
                .next(Duration::from_millis(500), &mut chunks)
                .expect("read");
        }
        self.follower
            .next(Duration::ZERO, &mut chunks)
            .expect("read");
        assert_eq!(text(&chunks), expected);
        chunks
    }

    /// Reads until there is `expected` news.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "tables read better without `&`"
    )]
    fn tells(&mut self, expected: News) {
        let (mut chunks, start) = (Vec::new(), Instant::now());
        while !news(&chunks).contains(&expected) {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{:?}",
                news(&chunks)
            );
            self.follower
                .next(Duration::from_millis(500), &mut chunks)
                .expect("read");
        }
    }

    /// Starts again with all records sealed up to `offset_bytes` of a generation.
    fn restart(&mut self, generation: Generation, offset_bytes: u64) {
        let source = SourceId(format!("file:{}", self.path.display()));
        let resume = BTreeMap::from([(source, (generation, Position { offset_bytes }))]);
        self.follower = Follower::new(vec![self.path.clone()], resume).expect("followed");
    }
}

#[test]
fn reads_growth_and_keeps_the_generation_of_the_first_byte() {
    let mut case = Case::new("one\n");
    let long = "x".repeat(400) + "\n";
    append(&case.path, &long);
    let first = case.gives(&long)[0].generation;
    append(&case.path, "two\n");
    let chunks = case.gives("two\n");
    assert_eq!((chunks[0].generation, chunks[0].offset_bytes), (first, 405));
    case.restart(first, 405);
    let chunks = case.gives("two\n");
    assert_eq!(chunks[0].generation, first);
}

#[test]
fn finishes_a_renamed_file_also_what_is_written_to_it_late() {
    let mut case = Case::new("one\n");
    let mut old = OpenOptions::new()
        .append(true)
        .open(&case.path)
        .expect("open");
    append(&case.path, "two\n");
    fs::rename(&case.path, case.sibling("a.log.1")).expect("renamed");
    append(&case.path, "four\n");
    let mut chunks = Vec::new();
    case.follower
        .next(Duration::from_secs(1), &mut chunks)
        .expect("read");
    assert_eq!(text(&chunks), "two\n");
    old.write_all(b"three\n").expect("written");
    let chunks = case.gives("three\nfour\n");
    let end = chunks
        .iter()
        .find(|chunk| chunk.end_of_generation)
        .expect("an end");
    assert_eq!(
        (end.news.clone(), end.offset_bytes),
        (Some(News::Rotated), 14)
    );
}

#[test]
fn finds_what_was_rotated_twice_between_two_looks() {
    let mut case = Case::new("one\n");
    append(&case.path, "two\n");
    fs::rename(&case.path, case.sibling("a.log.2")).expect("renamed");
    append(&case.sibling("a.log.1"), "three\n");
    append(&case.path, "four\n");
    case.gives("two\nthree\nfour\n");
}

#[test]
fn reads_the_rest_of_a_copied_and_truncated_file_from_the_copy() {
    let mut case = Case::new("the first line of it\n");
    append(&case.path, "two\n");
    fs::copy(&case.path, case.sibling("a.log.1")).expect("copied");
    fs::write(&case.path, "three\n").expect("written");
    let chunks = case.gives("two\nthree\n");
    assert!(news(&chunks).contains(&News::Truncated));
    assert!(
        !news(&chunks)
            .iter()
            .any(|news| matches!(news, News::Lost { .. }))
    );
}

#[test]
fn tells_a_truncation_without_a_copy_and_one_that_grew_past_the_position() {
    let mut case = Case::new("one\n");
    fs::write(&case.path, "2\n").expect("written");
    assert!(news(&case.gives("2\n")).contains(&News::Truncated));
    fs::write(&case.path, "a longer line than before\n").expect("written");
    assert!(news(&case.gives("a longer line than before\n")).contains(&News::Truncated));
}

#[test]
fn a_deleted_file_is_read_on_until_another_comes() {
    let mut case = Case::new("one\n");
    let mut old = OpenOptions::new()
        .append(true)
        .open(&case.path)
        .expect("open");
    fs::remove_file(&case.path).expect("removed");
    case.tells(News::Deleted);
    old.write_all(b"two\n").expect("written");
    case.gives("two\n");
    append(&case.path, "three\n");
    assert!(news(&case.gives("three\n")).contains(&News::Appeared));
}

#[test]
fn a_file_and_its_folder_may_come_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("later/a.log");
    let follower =
        Follower::new(vec![path.clone(), path.clone()], BTreeMap::new()).expect("followed");
    let mut case = Case {
        folder,
        path,
        follower,
    };
    case.gives("");
    fs::create_dir(case.sibling("later")).expect("made");
    append(&case.path, "one\n");
    assert_eq!(news(&case.gives("one\n")), [News::Appeared]);
}

#[test]
fn goes_on_in_a_rotated_file_however_it_lies_there() {
    for packed in [false, true] {
        let mut case = Case::new("the first line of it\n");
        append(&case.path, "two\n");
        let generation = case.gives("two\n")[0].generation;
        append(&case.path, "three\n");
        fs::rename(&case.path, case.sibling("a.log.3")).expect("renamed");
        append(&case.sibling("a.log.2"), "four\n");
        append(&case.sibling("a.log.1"), "five\n");
        append(&case.path, "six\n");
        if packed {
            gzip(&case.sibling("a.log.3"), &case.sibling("a.log.3.gz"));
            gzip(&case.sibling("a.log.2"), &case.sibling("a.log.2.gz"));
        }
        case.restart(generation, 21);
        let chunks = case.gives("two\nthree\nfour\nfive\nsix\n");
        assert_eq!(
            (chunks[0].generation, chunks[0].offset_bytes),
            (generation, 21)
        );
    }
}

#[test]
fn says_when_what_was_read_before_is_nowhere() {
    let mut case = Case::new("one\n");
    case.restart(
        Generation {
            device: 1,
            inode: 1,
            head_hash: [7; 16],
        },
        5,
    );
    assert_eq!(news(&case.gives("one\n")), [News::Missing]);
}

#[test]
fn a_file_that_cannot_be_read_stops_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    // A link to itself can't be opened by anyone, root included.
    let bad = folder.path().join("b.log");
    std::os::unix::fs::symlink(&bad, &bad).expect("linked");
    let path = folder.path().join("a.log");
    append(&path, "one\n");
    let follower = Follower::new(vec![bad, path.clone()], BTreeMap::new()).expect("followed");
    let mut case = Case {
        folder,
        path,
        follower,
    };
    assert_eq!(news(&case.gives("one\n")), [News::Unreadable]);
    append(&case.path, "two\n");
    assert_eq!(news(&case.gives("two\n")), []);
}

#[test]
fn one_call_gives_no_more_than_its_bound() {
    let size = CHUNK_BYTES * (CHUNKS_MAX + 3);
    let mut case = Case::new("");
    append(&case.path, &"x".repeat(size));
    let mut chunks = Vec::new();
    case.follower
        .next(Duration::from_secs(1), &mut chunks)
        .expect("read");
    assert_eq!(
        chunks
            .iter()
            .filter(|chunk| !chunk.bytes.is_empty())
            .count(),
        CHUNKS_MAX
    );
    assert!(chunks.iter().all(|chunk| chunk.bytes.len() <= CHUNK_BYTES));
    case.gives(&"x".repeat(size - CHUNK_BYTES * CHUNKS_MAX));
}

#[test]
fn gives_what_was_written_within_ten_milliseconds() {
    let mut case = Case::new("one\n");
    let mut delays = Vec::new();
    for _ in 0..20 {
        let path = case.path.clone();
        let writer = std::thread::spawn(move || {
            // The follower waits already when this is written.
            std::thread::sleep(Duration::from_millis(20));
            let written = Instant::now();
            append(&path, "x\n");
            written
        });
        let mut chunks = Vec::new();
        case.follower
            .next(Duration::from_secs(2), &mut chunks)
            .expect("read");
        let read = Instant::now();
        delays.push(read.saturating_duration_since(writer.join().expect("ended")));
    }
    delays.sort();
    // The median: this machine may be busy with other things for a while.
    assert!(
        delays[10] < Duration::from_millis(10),
        "write to chunk: {delays:?}"
    );
}

#[test]
fn loses_and_repeats_nothing_while_a_busy_log_is_rotated() {
    let mut case = Case::new("");
    let (path, folder) = (case.path.clone(), case.folder.path().to_owned());
    let lines = 20_000;
    // What a first start finds at the path is where following begins: nothing is rotated before that.
    fs::write(&path, "000000\n").expect("written");
    case.gives("000000\n");
    let writer = std::thread::spawn(move || {
        let mut file = OpenOptions::new()
            .append(true)
            .open(&path)
            .expect("writable");
        for line in 1..lines {
            writeln!(file, "{line:06}").expect("written");
            // Some lines go to the renamed file, as from a server that reopens its logs late.
            if line % 2500 == 1000 {
                for age in (1..9).rev() {
                    drop(fs::rename(
                        folder.join(format!("a.log.{age}")),
                        folder.join(format!("a.log.{}", age + 1)),
                    ));
                }
                fs::rename(&path, folder.join("a.log.1")).expect("renamed");
            }
            if line % 2500 == 1010 {
                file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&path)
                    .expect("writable");
            }
        }
    });
    let expected: String = (1..lines).map(|line| format!("{line:06}\n")).collect();
    let chunks = case.gives(&expected);
    writer.join().expect("ended");
    assert!(
        news(&chunks)
            .iter()
            .all(|news| matches!(news, News::Rotated | News::Appeared | News::Deleted))
    );
    // Within one incarnation every byte follows the last one.
    for pair in chunks
        .windows(2)
        .filter(|pair| pair[0].generation == pair[1].generation)
    {
        assert_eq!(
            pair[0].offset_bytes + pair[0].bytes.len() as u64,
            pair[1].offset_bytes
        );
    }
}

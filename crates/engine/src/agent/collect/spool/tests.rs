//! A spool through kills, torn writes, answers that were lost and damage: a server that is told all of it has each record once, in order.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use link::records::{Batch, Carried, Happened, Place, Record};
use model::{Generation, Position, Timestamp};
use proptest::prelude::*;

use super::{Load, Spool, Stand};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
const MOST: u64 = 4 << 20;
const SOURCES: [&str; 2] = ["file:/a", "file:/b"];

/// A server that takes batches only after what it has.
#[derive(Default)]
struct Server {
    stand: Stand,
    /// By source, what it has.
    has: std::collections::BTreeMap<String, Vec<u64>>,
}

impl Server {
    /// Takes frames, at most so many records of them: a kill in between leaves the rest.
    fn take(&mut self, mut frames: &[u8], most: usize) {
        let mut left = most;
        while !frames.is_empty() {
            let (batch, length) = Batch::unframe(frames).expect("a frame");
            frames = &frames[length..];
            assert_eq!(self.stand.get(&batch.source).copied(), batch.after);
            let Carried::Records {
                generation,
                records,
                ..
            } = batch.what
            else {
                continue;
            };
            for record in records {
                if left == 0 {
                    return;
                }
                left -= 1;
                let position = Position {
                    offset_bytes: record.end(),
                };
                self.stand
                    .insert(batch.source.clone(), (generation, position));
                let number = String::from_utf8(record.bytes).expect("text");
                let number = number.trim().parse().expect("a number");
                self.has
                    .entry(batch.source.clone())
                    .or_default()
                    .push(number);
            }
        }
    }
}

/// A source as a file would be: its records are numbers of eight bytes, a hundred to a generation.
fn after(place: Option<Place>, count: u64) -> Vec<Batch> {
    let (mut generation, mut at) = place.map_or((1, 0), |(generation, position)| {
        (generation.inode, position.offset_bytes)
    });
    let mut out = Vec::new();
    let mut left = count;
    while left > 0 {
        if at >= 800 {
            (generation, at) = (generation + 1, 0);
        }
        let mut records = Vec::new();
        while left > 0 && at < 800 {
            let number = (generation - 1) * 100 + at / 8;
            records.push(Record {
                offset_bytes: at,
                marks: Vec::new(),
                bytes: format!("{number:07}\n").into_bytes(),
            });
            at += 8;
            left -= 1;
        }
        out.push(Batch {
            source: String::new(),
            after: None,
            what: Carried::Records {
                generation: Generation {
                    inode: generation,
                    ..Generation::default()
                },
                format: "plain".to_owned(),
                records,
            },
        });
    }
    out
}

fn read_on(spool: &Spool, source: &str, count: u64) -> Vec<Batch> {
    let mut batches = after(spool.end().get(source).copied(), count);
    for batch in &mut batches {
        source.clone_into(&mut batch.source);
    }
    batches
}

fn open(folder: &Path) -> Spool {
    let (spool, found) = Spool::open(folder, MOST, NOW)
        .expect("opened")
        .expect("begun");
    assert_eq!(
        found.aside, None,
        "what a kill tears isn't taken for damage"
    );
    spool
}

fn last_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder");
    let files = files.map(|one| one.expect("a file").path());
    let spools = files.filter(|path| path.extension().is_some_and(|one| one == "spool"));
    spools.max().expect("a file")
}

#[derive(Clone, Debug)]
enum Step {
    /// Records of one source are read and written.
    Write(usize, u64),
    /// A request is answered.
    Send,
    /// A request is taken up to a record, and no answer comes.
    Lose(usize),
    /// The agent is killed, in the middle of a write of so many records.
    Kill(usize, u64, prop::sample::Index),
    /// Something happens to a file.
    News(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, 1..150_u64).prop_map(|(source, count)| Step::Write(source, count)),
        3 => Just(Step::Send),
        2 => (0..200_usize).prop_map(Step::Lose),
        2 => (0..2_usize, 1..50_u64, any::<prop::sample::Index>())
            .prop_map(|(source, count, at)| Step::Kill(source, count, at)),
        1 => (0..2_usize).prop_map(Step::News),
    ]
}

fn fit(spool: &Spool, server: &Server) {
    assert_eq!(
        spool.fit(&server.stand).expect("read"),
        Vec::<String>::new()
    );
}

fn load(spool: &Spool) -> Load {
    spool.load(2000, 100).expect("read")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_dies_each_record_is_there_once_and_in_order(steps in proptest::collection::vec(step(), 1..25)) {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("spool");
        let mut spool = Spool::begin(&folder, MOST, Stand::new(), NOW).expect("begun");
        let mut server = Server::default();
        for step in steps {
            match step {
                Step::Write(source, count) => {
                    let mut batches = read_on(&spool, SOURCES[source], count);
                    prop_assert!(spool.append(&mut batches, NOW).expect("written"));
                }
                Step::News(source) => {
                    let mut batches = [Batch { source: SOURCES[source].to_owned(), after: None, what: Carried::Happened(Happened::Rotated) }];
                    prop_assert!(spool.append(&mut batches, NOW).expect("written"));
                }
                Step::Send => {
                    let load = load(&spool);
                    server.take(&load.frames, usize::MAX);
                    spool.sent(load).expect("kept");
                }
                Step::Lose(records) => {
                    server.take(&load(&spool).frames, records);
                    fit(&spool, &server);
                }
                Step::Kill(source, count, at) => {
                    let path = last_file(&folder);
                    let before = std::fs::metadata(&path).expect("there").len();
                    let mut batches = read_on(&spool, SOURCES[source], count);
                    spool.append(&mut batches, NOW).expect("written");
                    drop(spool);
                    let path = last_file(&folder);
                    let after = std::fs::metadata(&path).expect("there").len();
                    // Cut anywhere within that write.
                    let cut = before.min(after) + at.index(usize::try_from(after.saturating_sub(before)).expect("short") + 1) as u64;
                    OpenOptions::new().write(true).open(&path).expect("opened").set_len(cut).expect("cut");
                    spool = open(&folder);
                    fit(&spool, &server);
                }
            }
        }
        loop {
            let load = load(&spool);
            if !load.moves {
                break;
            }
            server.take(&load.frames, usize::MAX);
            spool.sent(load).expect("kept");
        }
        prop_assert_eq!(&spool.end(), &server.stand);
        for numbers in server.has.values() {
            let expected: Vec<u64> = (0..numbers.len() as u64).collect();
            prop_assert_eq!(numbers, &expected);
        }
        prop_assert_eq!(spool.fill().2, None);
    }
}

/// A spool with three writes, of which none is sent.
fn written() -> (tempfile::TempDir, PathBuf, Spool) {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("spool");
    let spool = Spool::begin(&folder, MOST, Stand::new(), NOW).expect("begun");
    for _ in 0..3 {
        let mut batches = read_on(&spool, SOURCES[0], 50);
        assert!(spool.append(&mut batches, NOW).expect("written"));
    }
    (outer, folder, spool)
}

#[test]
fn what_is_damaged_is_kept_aside_and_read_again() {
    let (_outer, folder, spool) = written();
    let whole = spool.end();
    drop(spool);
    let path = last_file(&folder);
    let bytes = std::fs::read(&path).expect("read");
    let (_, first) = Batch::unframe(&bytes).expect("the first write");
    let file = OpenOptions::new().write(true).open(&path).expect("opened");
    // In the middle of the second write.
    let at = first + 100;
    file.write_all_at(&[bytes[at] ^ 1], at as u64)
        .expect("bent");
    let (spool, found) = Spool::open(&folder, MOST, NOW)
        .expect("opened")
        .expect("begun");
    let aside = found.aside.expect("kept aside");
    assert_eq!(found.cut_bytes, 0);
    let kept = std::fs::read(last_file(&aside)).expect("read");
    assert_eq!(kept.len(), bytes.len() - first);
    // The first write is there, and what comes after it is read again.
    assert_ne!(spool.end(), whole);
    let mut batches = read_on(&spool, SOURCES[0], 100);
    assert!(spool.append(&mut batches, NOW).expect("written"));
    assert_eq!(spool.end(), whole);
    let mut server = Server::default();
    server.take(&spool.load(1 << 20, 1000).expect("read").frames, usize::MAX);
    assert_eq!(server.has[SOURCES[0]].len(), 150);
}

#[test]
fn a_full_spool_takes_nothing_and_goes_on_when_some_was_sent() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("spool");
    let spool = Spool::begin(&folder, MOST, Stand::new(), NOW).expect("begun");
    let mut count = 0;
    let full = loop {
        let mut batches = read_on(&spool, SOURCES[0], 5000);
        let before = spool.end();
        if !spool.append(&mut batches, NOW).expect("written") {
            break before;
        }
        count += 5000;
    };
    assert_eq!(spool.end(), full);
    let (bytes, most, since) = spool.fill();
    assert!(bytes <= most && bytes > most * 9 / 10 && since == Some(NOW));
    let on_disk: u64 = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|one| one.expect("a file").metadata().expect("facts").len())
        .sum();
    assert!(on_disk <= MOST + 1000, "{on_disk}");
    let mut server = Server::default();
    loop {
        let load = spool.load(1 << 20, 1_000_000).expect("read");
        if !load.moves {
            break;
        }
        server.take(&load.frames, usize::MAX);
        spool.sent(load).expect("kept");
    }
    assert_eq!(server.has[SOURCES[0]].len(), count);
    let mut batches = read_on(&spool, SOURCES[0], 5000);
    assert!(spool.append(&mut batches, NOW).expect("written"));
}

#[test]
fn a_server_that_stands_where_the_spool_never_was_is_told_apart() {
    let (_outer, folder, spool) = written();
    // It knows nothing yet, as the spool says.
    assert_eq!(
        spool.fit(&Stand::new()).expect("read"),
        Vec::<String>::new()
    );
    let elsewhere = Generation {
        inode: 77,
        ..Generation::default()
    };
    let strange = Stand::from([(
        SOURCES[0].to_owned(),
        (elsewhere, Position { offset_bytes: 8 }),
    )]);
    assert_eq!(spool.fit(&strange).expect("read"), [SOURCES[0]]);
    let load = load(&spool);
    spool.sent(load).expect("kept");
    // Put back from a copy, it has less than it said.
    assert_eq!(spool.fit(&Stand::new()).expect("read"), [SOURCES[0]]);
    drop(spool);
    std::fs::write(folder.join("cursor"), "{").expect("written");
    assert!(matches!(
        Spool::open(&folder, MOST, NOW),
        Err(super::SpoolError::Damaged { .. })
    ));
}

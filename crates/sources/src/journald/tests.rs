//! The journal through a program that stands in for `journalctl`: it prints lines of a file from a cursor on, and stays.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Position, SourceId, Timestamp};

use super::{Journal, Journald};
use crate::source::{Chunk, Given, Kind as _, News, Positions, Running, Source as _};
use crate::tree::Signatures;

/// A journal of a test, and what is read of it.
struct Stage {
    folder: tempfile::TempDir,
    resume: Positions,
    /// Records of the last ones that were sealed.
    sealed: usize,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stage = Self {
            folder,
            resume: Positions::new(),
            sealed: 0,
        };
        let journal = stage.path("journal");
        let script = format!(
            "#!/bin/sh\necho $$ >> {pids}\nfor one; do case \"$one\" in --cursor=*) from=${{one#--cursor=}};; esac; done\n\
             if [ -n \"$from\" ] && /bin/grep -q \"$from\" {journal}; then /bin/sed -n \"/$from/,\\$p\" {journal}; else /bin/cat {journal}; fi\n\
             if [ -e {end} ]; then echo 'No permission to go on' >&2; exit 3; fi\nexec /bin/sleep 60\n",
            pids = stage.path("pids").display(),
            journal = journal.display(),
            end = stage.path("end").display(),
        );
        let program = stage.path("journalctl");
        fs::write(&program, script).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("set");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the journal anew: numbering and number of each record.
    fn write(&self, records: impl IntoIterator<Item = (u8, u64)>) {
        let lines: String = records.into_iter().map(line).collect();
        fs::write(self.path("journal"), lines).expect("written");
    }

    fn given(&self) -> Given {
        Given {
            now: Timestamp(1),
            resume: self.resume.clone(),
            formats: Vec::new(),
            database: None,
            data: self.folder.path().to_owned(),
            clock: || Timestamp(1),
            key: [9; 32],
            magento: None,
            signatures: Arc::new(Signatures::parse(&[], &[]).expect("none")),
            cards: Arc::new(|_| 0),
        }
    }

    fn open(&self, settings: &str) -> Result<Journal, crate::SourceError> {
        let table = toml::from_str(settings).expect("TOML");
        Journal::open(&self.path("journalctl"), table, &self.given())
    }

    /// Reads until `until` says that it is enough; then as many of the records as `sealed` says are sealed.
    fn read(
        &mut self,
        settings: &str,
        until: impl Fn(&[String], &[News]) -> bool,
        sealed: usize,
    ) -> (Vec<String>, Vec<News>) {
        let journal = self.open(settings).expect("opens");
        let id = journal.id();
        let running = Running::start(vec![Box::new(journal)]).expect("starts");
        let (mut chunks, mut news) = (Vec::<Chunk>::new(), Vec::new());
        let end = Instant::now() + Duration::from_secs(20);
        let texts = |chunks: &[Chunk]| chunks.iter().map(text).collect::<Vec<_>>();
        while !until(&texts(&chunks), &news) {
            assert!(Instant::now() < end, "{:?} {news:?}", texts(&chunks));
            if let Some(delivery) = running.next(Duration::from_millis(50)) {
                for chunk in delivery.chunks {
                    match chunk.news.clone() {
                        Some(one) => news.push(one),
                        None => chunks.push(chunk),
                    }
                }
            }
        }
        running.stop();
        let end = Instant::now() + Duration::from_secs(3);
        while !running.ended() {
            assert!(Instant::now() < end, "it doesn't end");
            drop(running.next(Duration::from_millis(10)));
        }
        if let Some(last) = chunks.get(sealed.wrapping_sub(1)) {
            let offset_bytes = last.offset_bytes + last.bytes.len() as u64;
            let at = (last.generation, Position { offset_bytes });
            self.resume.insert(id, at);
        }
        (texts(&chunks), news)
    }

    /// Whether any program that was started is still there.
    fn is_left_behind(&self) -> bool {
        let pids = fs::read_to_string(self.path("pids")).expect("started");
        pids.lines()
            .any(|pid| Path::new("/proc").join(pid).exists())
    }
}

/// A record as `journalctl` prints it: numbering, number.
fn line((numbering, number): (u8, u64)) -> String {
    let cursor = format!("s={numbering:032x};i={number:x};b=0;m=0;t={number:x};x=0");
    format!(
        "{{\"__CURSOR\":\"{cursor}\",\"SYSLOG_IDENTIFIER\":\"sshd\",\"MESSAGE\":\"{numbering}/{number}\"}}\n"
    )
}

fn text(chunk: &Chunk) -> String {
    assert_eq!(chunk.format, Some("journal_json"));
    let json: serde_json::Value = serde_json::from_slice(&chunk.bytes).expect("JSON");
    json["MESSAGE"].as_str().expect("a message").to_owned()
}

fn named(records: impl IntoIterator<Item = (u8, u64)>) -> Vec<String> {
    records
        .into_iter()
        .map(|(numbering, number)| format!("{numbering}/{number}"))
        .collect()
}

fn count(count: usize) -> impl Fn(&[String], &[News]) -> bool {
    move |texts, _| texts.len() >= count
}

fn dropped(news: &[News]) -> Vec<u64> {
    news.iter()
        .filter_map(|news| match news {
            News::Dropped { records, .. } => Some(*records),
            _ => None,
        })
        .collect()
}

/// Two numberings, one after the other's record.
fn interleaved(numbers: std::ops::Range<u64>) -> impl Iterator<Item = (u8, u64)> {
    numbers.flat_map(|number| [(1, number), (2, number)])
}

/// Whether records are these, each once, and of each numbering in order.
#[track_caller]
fn same(texts: &[String], expected: Vec<(u8, u64)>) {
    let of = |numbering: &str, texts: &[String]| {
        let is = |text: &&String| text.starts_with(numbering);
        texts.iter().filter(is).cloned().collect::<Vec<_>>()
    };
    let expected = named(expected);
    assert_eq!(texts.len(), expected.len());
    for numbering in ["1/", "2/"] {
        assert!(
            of(numbering, texts) == of(numbering, &expected),
            "{numbering} each once and in order"
        );
    }
}

#[test]
fn each_record_comes_once_over_starts() {
    let mut stage = Stage::new();
    stage.write(interleaved(1..1501));
    let (texts, news) = stage.read("", count(3000), 3000);
    same(&texts, interleaved(1..1501).collect());
    assert!(
        matches!(news.as_slice(), [News::Well { .. }]),
        "nothing is lost: {news:?}"
    );
    // What comes while nobody reads; and of a delivery only a part is sealed.
    stage.write(interleaved(1..1601));
    for sealed in [77, 50, 123, 0] {
        let left = 200 - stage.sealed;
        let (texts, news) = stage.read("", count(left), sealed.min(left));
        stage.sealed += sealed.min(left);
        assert_eq!(texts.len(), left, "what isn't sealed comes, each once");
        assert_eq!(dropped(&news), [0; 0]);
        if left == 0 {
            break;
        }
    }
    assert!(!stage.is_left_behind(), "its program is ended");
}

#[test]
fn what_was_vacuumed_before_it_was_read_is_told() {
    for (settings, lost) in [("", 9), ("identifiers = ['sshd']", 1)] {
        let mut stage = Stage::new();
        stage.write((1..=10).map(|number| (1, number)));
        let _texts = stage.read(settings, count(10), 10);
        stage.write((20..=25).map(|number| (1, number)));
        let (texts, news) = stage.read(settings, count(6), 6);
        assert_eq!(texts, named((20..=25).map(|number| (1, number))));
        assert_eq!(dropped(&news), [lost], "{settings}");
    }
}

#[test]
fn a_program_that_ends_is_told_with_why_and_started_again() {
    let mut stage = Stage::new();
    stage.write([(1, 1), (1, 2)]);
    fs::write(stage.path("end"), "").expect("written");
    let (journal, end) = (stage.path("journal"), stage.path("end"));
    let is_twice = |texts: &[String], news: &[News]| {
        if news.iter().any(|news| matches!(news, News::Failed { .. })) && end.exists() {
            let before = fs::read_to_string(&journal).expect("there");
            fs::write(&journal, before + &line((1, 3))).expect("written");
            fs::remove_file(&end).expect("there");
        }
        texts.len() >= 3
    };
    let (texts, news) = stage.read("", is_twice, 3);
    assert_eq!(texts, ["1/1", "1/2", "1/3"], "each once");
    let why = news.iter().find_map(|news| match news {
        News::Failed { why } => Some(why.as_str()),
        _ => None,
    });
    let why = why.expect("told");
    assert!(
        why.contains("exit status: 3 No permission to go on (who may read"),
        "{why}"
    );
    assert!(!stage.is_left_behind(), "its program is ended");
}

#[test]
fn what_comes_late_is_read_too() {
    let mut stage = Stage::new();
    stage.write([(1, 1), (2, 1)]);
    // Read past it before it was there: what follows shows that it is missing.
    let _texts = stage.read("", count(2), 2);
    stage.write([(1, 1), (1, 2), (2, 1), (2, 2), (1, 3)]);
    let (texts, news) = stage.read("", count(3), 3);
    assert_eq!(texts, ["2/2", "1/2", "1/3"]);
    assert_eq!(dropped(&news), [0; 0]);
}

#[test]
fn what_is_not_wanted_is_passed_by() {
    let mut stage = Stage::new();
    stage.write((1..=50).map(|number| (1, number)));
    let wanted = "identifiers = ['sshd']";
    let other = "identifiers = ['cron']";
    let (texts, _) = stage.read(wanted, count(50), 50);
    assert_eq!(texts.len(), 50);
    stage.write((1..=60).map(|number| (1, number)));
    let is_well = |_: &[String], news: &[News]| !news.is_empty();
    assert_eq!(stage.read(other, is_well, 0).0, [""; 0]);
    // Nothing of it was sealed, so it comes once it is wanted.
    let (texts, news) = stage.read(wanted, count(10), 10);
    assert_eq!(texts, named((51..=60).map(|number| (1, number))));
    assert_eq!(dropped(&news), [0; 0]);
}

#[test]
fn settings_that_make_no_sense_are_refused_and_one_source_reads_a_journal() {
    let stage = Stage::new();
    for (settings, is_right) in [
        ("", true),
        (
            "directory = '/var/log/journal'\nunits = ['nginx.service']\nidentifiers = ['sudo']",
            true,
        ),
        ("directory = 'journal'", false),
        ("units = ['']", false),
        ("units = 'nginx.service'", false),
        ("follow = true", false),
    ] {
        let opened = stage.open(settings);
        assert_eq!(opened.is_ok(), is_right, "{settings}");
    }
    let one = stage.open("").expect("opens");
    assert_eq!(one.id(), SourceId("journald:system".to_owned()));
    assert!(stage.open("units = ['a']").is_err(), "it is read already");
    assert!(
        stage.open("directory = '/a'").is_ok(),
        "another journal isn't"
    );
    drop(one);
    let again = stage.open("directory = '/j'");
    let arguments = again.expect("opens").arguments(Some("s=1;i=2"));
    assert_eq!(
        arguments.get(6..).expect("more"),
        ["--directory=/j", "--cursor=s=1;i=2"]
    );
    assert_eq!(Journald.name(), "journald");
}

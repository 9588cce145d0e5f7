//! Kills at any moment and a full disk while files are followed: nothing is lost, nothing doubled.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use engine::ledger::{EntryKind, Ledger, verify};
use model::Sequence;

/// Kills in a quick run; `MAGEWARDEN_KILLS` asks for another number.
const KILLS: u64 = 25;

/// Ends the program it holds, whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A followed log, its ledger, and what was written.
struct Shop {
    folder: tempfile::TempDir,
    written: u64,
    rotations: u64,
    random: u64,
}

impl Shop {
    fn new() -> Self {
        let shop = Self {
            folder: tempfile::tempdir().expect("a folder"),
            written: 0,
            rotations: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        };
        fs::write(shop.log(), "").expect("written");
        shop
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the test starts the program under test"
    )]
    fn start(&self, wrapper: &[&str]) -> Running {
        let log = self.log();
        let data = self.data();
        let own = [
            env!("CARGO_BIN_EXE_magewarden"),
            "up",
            "--port",
            "0",
            "--log",
        ];
        let mut words = wrapper.iter().chain(&own);
        let child = Command::new(words.next().expect("a program"))
            .args(words)
            .arg(log)
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Running(child)
    }

    /// Writes numbered records, and a thief's dump every hundred.
    fn write(&mut self, count: u64) {
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("opened");
        for _ in 0..count {
            let number = self.written;
            self.written += 1;
            writeln!(
                log,
                "203.0.113.{} - - [05/Aug/2026:10:15:{:02} +0000] \"GET /product-{number}.html HTTP/1.1\" 200 {} \"-\" \"test\"",
                number % 200,
                number % 60,
                1000 + number
            )
            .expect("written");
        }
    }

    fn rotate(&mut self) {
        let old = |number: u64| self.log().with_extension(format!("log.{number}"));
        for number in (1..=self.rotations).rev() {
            fs::rename(old(number), old(number + 1)).expect("renamed");
        }
        fs::rename(self.log(), old(1)).expect("renamed");
        self.rotations += 1;
        File::create(self.log()).expect("made");
    }

    /// How often each numbered record is in the ledger.
    fn sealed(&self) -> BTreeMap<u64, u64> {
        let data = self.data();
        let Ok(ledger) = Ledger::open_read(
            &data.join("ledger"),
            &data.join("keys"),
            &parse::Context::default(),
        ) else {
            return BTreeMap::new();
        };
        let mut seen = BTreeMap::new();
        for number in 0..ledger.len() {
            let entry = ledger.read(Sequence(number)).expect("readable");
            if entry.header.kind != EntryKind::Observed {
                continue;
            }
            let text = String::from_utf8(entry.payload.expect("there")).expect("text");
            let number = text
                .split_once("/product-")
                .and_then(|(_, rest)| rest.split_once(".html"))
                .and_then(|(number, _)| number.parse().ok());
            *seen.entry(number.unwrap_or(u64::MAX)).or_default() += 1;
        }
        seen
    }

    fn wait_until_sealed(&self) {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let sealed = self.sealed();
            if sealed.len() as u64 >= self.written {
                return;
            }
            let missing: Vec<u64> = (0..self.written)
                .filter(|number| !sealed.contains_key(number))
                .collect();
            assert!(
                Instant::now() < end,
                "{} of {} records not sealed, from {:?} to {:?}",
                missing.len(),
                self.written,
                missing.first(),
                missing.last()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn assert_each_once(&self) {
        let sealed = self.sealed();
        assert_eq!(sealed.len() as u64, self.written, "records lost or made up");
        let doubled: Vec<_> = sealed.iter().filter(|(_, count)| **count != 1).collect();
        assert!(
            doubled.is_empty(),
            "{} of {} records doubled, from {:?} to {:?}",
            doubled.len(),
            self.written,
            doubled.first(),
            doubled.last()
        );
        let report = verify(
            &self.data().join("ledger"),
            None,
            Some(&self.data().join("checkpoints.copy")),
        )
        .expect("readable");
        assert!(report.ok, "{report}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the long run asks for more")]
fn kills() -> u64 {
    std::env::var("MAGEWARDEN_KILLS").map_or(KILLS, |text| text.parse().expect("a number"))
}

#[test]
fn kills_at_any_moment_lose_and_double_nothing() {
    let mut shop = Shop::new();
    for kill in 0..kills() {
        let running = shop.start(&[]);
        // Every other one has time to seal something, on a busy machine too.
        let least = if kill % 2 == 0 { 20 } else { 400 };
        let end = Instant::now() + Duration::from_millis(least + shop.random(250));
        while Instant::now() < end {
            let count = 1 + shop.random(6);
            shop.write(count);
            std::thread::sleep(Duration::from_millis(shop.random(20)));
        }
        drop(running);
        // A rotation while nobody looks, with records in the old file that nobody read. A first
        // start begins with the file as it is: what was rotated away before is not its own.
        if kill % 10 == 9 && !shop.sealed().is_empty() {
            shop.write(5);
            shop.rotate();
        }
    }
    let running = shop.start(&[]);
    shop.wait_until_sealed();
    drop(running);
    shop.assert_each_once();
    assert!(!Path::new(&shop.data().join("ledger.broken-1")).exists());
}

#[test]
fn a_full_disk_stops_acknowledging_says_so_and_goes_on_by_itself() {
    let mut shop = Shop::new();
    // A limit on the size of files stands for the disk: writes beyond it fail.
    let mut running = shop.start(&["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=524288:"]);
    let lines = BufReader::new(running.0.stderr.take().expect("piped")).lines();
    let (told, news) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if told.send(line).is_err() {
                return;
            }
        }
    });
    let wait_for = |word: &str| {
        let end = Instant::now() + Duration::from_secs(30);
        while let Ok(line) = news.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if line.contains(word) {
                return;
            }
        }
        panic!("never said: {word}");
    };
    shop.write(50);
    shop.wait_until_sealed();
    for _ in 0..80 {
        shop.write(50);
        std::thread::sleep(Duration::from_millis(10));
    }
    wait_for("the disk is full");
    let before = shop.sealed().len() as u64;
    assert!(before > 0 && before < shop.written, "{before} sealed");
    free_space(running.0.id());
    wait_for("going on");
    shop.wait_until_sealed();
    drop(running);
    shop.assert_each_once();
}

#[expect(clippy::disallowed_methods, reason = "the test lifts the limit it set")]
fn free_space(process: u32) {
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited:", "--pid"])
        .arg(process.to_string())
        .status()
        .expect("prlimit starts");
    assert!(lifted.success());
}

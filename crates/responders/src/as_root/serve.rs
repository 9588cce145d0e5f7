//! The root helper: answers one request after the other on a socket that somebody else opened, and ends when nobody asks.
//!
//! One at a time, so that two changes never meet. Bounded: who waits in the socket's own queue, the request's bytes and time,
//! each program's time, the answer's time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::StoreMap;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{UnixCredentials, getsockopt, sockopt};
use nix::unistd::geteuid;

use super::carry::carry;
use super::operation::REQUEST_BYTES_MAX;
use super::{Operation, Reply, RequestError, RootSettings};
use crate::ActionError;
use crate::world::ThisHost;

/// A request comes within this, and its answer is taken within it.
const TALK_LIMIT: Duration = Duration::from_secs(2);
/// After so long without anybody it ends; its socket stays with whoever opened it.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How often it looks whether it is to end.
const LOOK: u16 = 200;

/// Why it can't listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Standard input is no Unix socket that somebody listens on, or it can't be waited at.
    #[error("standard input is no Unix socket to listen on")]
    NoSocket {
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// The socket that whoever started this process opened for it, as its standard input.
///
/// # Errors
///
/// [`ServeError`] when that is no Unix socket that somebody listens on.
pub fn inherited() -> Result<UnixListener, ServeError> {
    let no_socket = |source| ServeError::NoSocket { source };
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let listener = UnixListener::from(input.map_err(no_socket)?);
    let listens = getsockopt(&listener, sockopt::AcceptConn);
    let listens = listens.map_err(|error| no_socket(error.into()))?;
    let is_nameless = listener.local_addr().map_err(no_socket)?.is_unnamed();
    match listens && !is_nameless {
        true => Ok(listener),
        false => Err(no_socket(ErrorKind::NotConnected.into())),
    }
}

/// Answers until it is told to stop, or nobody has asked for a minute. `tell` is given a line for each request.
///
/// # Errors
///
/// [`ServeError`] when the socket can't be waited at.
pub fn serve(
    listener: &UnixListener,
    settings: &RootSettings,
    stores: &StoreMap,
    stop: &AtomicBool,
    tell: &dyn Fn(&str),
) -> Result<(), ServeError> {
    let no_socket = |source| ServeError::NoSocket { source };
    listener.set_nonblocking(true).map_err(no_socket)?;
    let mut since = Instant::now();
    while !stop.load(Ordering::SeqCst) && since.elapsed() < IDLE_LIMIT {
        let mut waits = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waits, PollTimeout::from(LOOK)) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(no_socket(error.into())),
        }
        match listener.accept() {
            Ok((link, _)) => {
                talk(&link, settings, stores, tell);
                since = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // Whoever called is gone again, or there are no descriptors: neither lasts.
            Err(error) => {
                tell(&format!("can't take a call: {error}"));
                std::thread::sleep(Duration::from_millis(u64::from(LOOK)));
            }
        }
    }
    Ok(())
}

/// One call, from its first byte to its answer.
fn talk(link: &UnixStream, settings: &RootSettings, stores: &StoreMap, tell: &dyn Fn(&str)) {
    let peer = getsockopt(link, sockopt::PeerCredentials);
    let reply = match peer {
        Ok(peer) if may_ask(&peer, settings) => answer(link, settings, stores, &peer, tell),
        Ok(peer) => {
            let why = format!("account {} isn't the one that may ask", peer.uid());
            tell(&format!(
                "process {} of account {}: refused",
                peer.pid(),
                peer.uid()
            ));
            Reply::refused(&why)
        }
        Err(error) => {
            tell(&format!("can't tell who calls: {error}"));
            Reply::refused("it can't be told who asks")
        }
    };
    let sent = link
        .set_write_timeout(Some(TALK_LIMIT))
        .and_then(|()| (&*link).write_all(&reply.line()));
    if let Err(error) = sent {
        tell(&format!("the answer wasn't taken: {error}"));
    }
}

/// The agent's account; and who this process is, who can do it all anyway.
fn may_ask(peer: &UnixCredentials, settings: &RootSettings) -> bool {
    peer.uid() == settings.account || peer.uid() == geteuid().as_raw()
}

fn answer(
    link: &UnixStream,
    settings: &RootSettings,
    stores: &StoreMap,
    peer: &UnixCredentials,
    tell: &dyn Fn(&str),
) -> Reply {
    let who = format!("process {} of account {}", peer.pid(), peer.uid());
    let read = match hear(link) {
        Ok(line) => Operation::read(&line).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let operation = match read {
        Ok(operation) => operation,
        Err(why) => {
            tell(&format!("{who}: refused: {why}"));
            return Reply::refused(&why);
        }
    };
    let told = carry(settings, stores, &operation, &ThisHost);
    let (words, reply) = match told {
        Ok(None) => ("done".to_owned(), Reply::Done {}),
        Ok(Some(networks)) => {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            (
                format!("{} networks", networks.len()),
                Reply::Networks { networks },
            )
        }
        Err(ActionError::Refused { why }) => (format!("refused: {why}"), Reply::refused(&why)),
        Err(error) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            let why = format!("{error}{cause}");
            (format!("failed: {why}"), Reply::failed(&why))
        }
    };
    tell(&format!("{who}: {operation}: {words}"));
    reply
}

/// Reads one line, within bounds of size and time.
fn hear(mut link: &UnixStream) -> Result<Vec<u8>, String> {
    let end = Instant::now() + TALK_LIMIT;
    let (mut line, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("it takes too long".to_owned());
        }
        let read = link
            .set_read_timeout(Some(left))
            .and_then(|()| link.read(&mut part));
        match read {
            Ok(0) => return Err("it ends before its line does".to_owned()),
            Ok(read) => line.extend(part.iter().take(read)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err("it takes too long".to_owned());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
        if line.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Long.to_string());
        }
        if let Some(at) = line.iter().position(|byte| *byte == b'\n') {
            let is_more = line.len() > at + 1;
            return match is_more {
                true => Err("one request a call".to_owned()),
                false => Ok(line),
            };
        }
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;

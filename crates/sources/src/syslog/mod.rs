//! Syslog as others send it here: UDP (RFC 5426), TCP (RFC 6587, both framings) and TLS (RFC 5425).
//!
//! Nothing tells a sender that its message arrived, so what is lost is bounded and counted instead: datagrams that
//! the kernel had no room for and messages whose number never came ([`News::Dropped`]), what of a connection was read and not sealed when the process is
//! killed (at most the queue), and messages over [`MESSAGE_BYTES_MAX`]. A sender's address is what the packet says:
//! over UDP anyone can write another's, so it names the source and proves nothing.

mod drops;
mod frames;
mod senders;
mod sequence;

use std::io::{ErrorKind, Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::{SourceId, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde::Deserialize;

use crate::source::{Chunk, Given, Hand, Kind, News, NotSealed, Source};
use crate::{SourceError, private, settings};
use drops::kernel_drops;
use frames::Frames;
use senders::Senders;

/// Longest message; RFC 5425 §4.3.1 asks for 8 KiB, some senders write long statements.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Connections at a time; more are closed and counted.
const CONNECTIONS_MAX: usize = 256;
/// Messages handed over together.
const BATCH: usize = 1024;
/// How long a socket is waited for before a look at whether to stop.
const LOOK: Duration = Duration::from_millis(100);
/// Longest time for TLS to be agreed on.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Time between two looks at what was lost.
const LOST_LOOK: Duration = Duration::from_secs(1);
/// What the kernel is asked to keep of a burst of datagrams.
const UDP_BUFFER_BYTES: usize = 8 << 20;

/// The kind `syslog`.
pub(crate) struct Syslog;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `udp://`, `tcp://` or `tls://`, an address and a port.
    listen: String,
    /// Addresses that may send; everyone when there are none.
    #[serde(default)]
    senders: Vec<IpAddr>,
    /// Certificate chain of this listener, PEM.
    certificate: Option<PathBuf>,
    /// Its private key, PEM; a file that is its owner's alone.
    key: Option<PathBuf>,
    /// Who signs senders' certificates, PEM; without it senders need none.
    client_ca: Option<PathBuf>,
}

impl Kind for Syslog {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let wrong = |why: &str| SourceError::Settings {
            kind: "syslog",
            why: why.to_owned(),
        };
        let (transport, place) = settings.listen.split_once("://").ok_or_else(|| {
            wrong("listen wants udp://, tcp:// or tls://, e.g. udp://127.0.0.1:5514")
        })?;
        let address: SocketAddr = place
            .parse()
            .map_err(|_| wrong("listen wants an address and a port, e.g. udp://127.0.0.1:5514"))?;
        let door = match transport {
            "udp" => Door::Udp(open_udp(address)?),
            "tcp" => Door::Stream(open_tcp(address)?, None),
            "tls" => {
                let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
                    return Err(wrong("tls:// wants certificate and key"));
                };
                let tls = tls(certificate, key, settings.client_ca.as_deref())?;
                Door::Stream(open_tcp(address)?, Some(tls))
            }
            _ => return Err(wrong("listen wants udp://, tcp:// or tls://")),
        };
        let bound = match &door {
            Door::Udp(socket) => socket.local_addr(),
            Door::Stream(listener, _) => listener.local_addr(),
        }
        .map_err(|source| SourceError::Network {
            place: settings.listen.clone(),
            source,
        })?;
        Ok(Box::new(Listener {
            name: format!("{transport}:{bound}"),
            transport: transport.to_owned(),
            door,
            allowed: settings.senders,
            senders: Senders::new(given.now),
            clock: given.clock,
        }))
    }
}

/// What is listened at.
enum Door {
    Udp(UdpSocket),
    Stream(TcpListener, Option<Arc<ServerConfig>>),
}

struct Listener {
    name: String,
    transport: String,
    door: Door,
    allowed: Vec<IpAddr>,
    senders: Senders,
    clock: fn() -> Timestamp,
}

impl Source for Listener {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let what = format!("listens for syslog at {}", self.name);
        hand.tell(self.id(), News::Well { what });
        match &self.door {
            Door::Udp(socket) => datagrams(socket, self, hand),
            Door::Stream(listener, tls) => connections(listener, tls.as_ref(), self, hand),
        }
    }

    fn id(&self) -> SourceId {
        SourceId(format!("syslog:{}", self.name))
    }

    fn forgets(&self) -> bool {
        true
    }
}

impl Listener {
    fn may_send(&self, from: IpAddr) -> bool {
        self.allowed.is_empty() || self.allowed.contains(&from)
    }
}

fn open_udp(address: SocketAddr) -> Result<UdpSocket, SourceError> {
    let failed = |source| SourceError::Network {
        place: format!("udp://{address}"),
        source,
    };
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM,
        None,
    )
    .map_err(failed)?;
    // As much as the kernel allows (`net.core.rmem_max`); less only drops earlier, and is counted.
    drop(socket.set_recv_buffer_size(UDP_BUFFER_BYTES));
    socket.bind(&address.into()).map_err(failed)?;
    let socket: UdpSocket = socket.into();
    socket.set_read_timeout(Some(LOOK)).map_err(failed)?;
    Ok(socket)
}

fn open_tcp(address: SocketAddr) -> Result<TcpListener, SourceError> {
    let failed = |source| SourceError::Network {
        place: format!("tcp://{address}"),
        source,
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn tls(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, SourceError> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| SourceError::Settings {
        kind: "syslog",
        why: format!("{} can't be used: {why}", path.display()),
    };
    let read = |path: &Path| -> Result<Vec<CertificateDer<'static>>, SourceError> {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| wrong(path, &error))
    };
    let chain = read(certificate)?;
    let secret = private::read(key)?;
    let secret =
        PrivateKeyDer::from_pem_slice(secret.as_bytes()).map_err(|error| wrong(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certificate, &error))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in read(path)? {
                roots.add(root).map_err(|error| wrong(path, &error))?;
            }
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            )
            .build()
            .map_err(|error| wrong(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder
        .with_single_cert(chain, secret)
        .map(Arc::new)
        .map_err(|error| wrong(certificate, &error))
}

/// Reads datagrams until told to stop.
fn datagrams(socket: &UdpSocket, listener: &Listener, hand: &Hand) -> Result<(), SourceError> {
    let failed = |source| SourceError::Network {
        place: listener.name.clone(),
        source,
    };
    let port = socket.local_addr().map_err(failed)?.port();
    let mut buffer = vec![0; 65_536];
    let (mut dropped, mut looked) = (kernel_drops(port), Instant::now());
    let mut looked_at = (listener.clock)();
    let mut refused = 0_u64;
    while !hand.stopped() {
        let mut chunks = Vec::new();
        let mut is_burst = false;
        while chunks.len() < BATCH {
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) if listener.may_send(from.ip()) => {
                    let message = buffer.get(..length).unwrap_or_default().trim_ascii_end();
                    if !message.is_empty() {
                        chunks.push(listener.senders.chunk("udp", from.ip(), message.to_vec()));
                    }
                }
                Ok(_) => refused += 1,
                Err(error) if is_pause(&error) => break,
                Err(error) => return Err(failed(error)),
            }
            if !is_burst {
                // The rest of a burst is there already.
                is_burst = true;
                socket.set_nonblocking(true).map_err(failed)?;
            }
        }
        if is_burst {
            socket.set_nonblocking(false).map_err(failed)?;
        }
        if looked.elapsed() >= LOST_LOOK {
            looked = Instant::now();
            let now = kernel_drops(port);
            let records = now.saturating_sub(dropped);
            dropped = now;
            let since = Some(std::mem::replace(&mut looked_at, (listener.clock)()));
            if records > 0 {
                let dropped = News::Dropped { records, since };
                chunks.push(Chunk::news(listener.id(), dropped));
            }
            chunks.extend(listener.senders.look(looked_at));
            if refused > 0 {
                let why = format!("{refused} datagrams of addresses that may not send");
                chunks.push(Chunk::news(listener.id(), News::Refused { why }));
                refused = 0;
            }
        }
        if hand.give(chunks).is_err() {
            break;
        }
    }
    Ok(())
}

/// Takes connections until told to stop; each is read on a thread of its own.
fn connections(
    door: &TcpListener,
    tls: Option<&Arc<ServerConfig>>,
    listener: &Listener,
    hand: &Hand,
) -> Result<(), SourceError> {
    let open = AtomicUsize::new(0);
    let mut looked = Instant::now();
    std::thread::scope(|scope| {
        while !hand.stopped() {
            if looked.elapsed() >= LOST_LOOK {
                looked = Instant::now();
                if hand
                    .give(listener.senders.look((listener.clock)()))
                    .is_err()
                {
                    break;
                }
            }
            let (stream, from) = match door.accept() {
                Ok(accepted) => accepted,
                Err(error) if is_pause(&error) => {
                    std::thread::sleep(LOOK / 5);
                    continue;
                }
                // One connection that broke before it was taken.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(source) => {
                    return Err(SourceError::Network {
                        place: listener.name.clone(),
                        source,
                    });
                }
            };
            if !listener.may_send(from.ip()) || open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
                let why = format!(
                    "a connection from {} was refused: it may not send, or {CONNECTIONS_MAX} are open",
                    from.ip()
                );
                hand.tell(listener.id(), News::Refused { why });
                continue;
            }
            let open = &open;
            open.fetch_add(1, Ordering::Relaxed);
            scope.spawn(move || {
                connection(stream, tls, from.ip(), listener, hand);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(())
    })
}

/// Reads one connection to its end.
fn connection(
    mut stream: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    from: IpAddr,
    listener: &Listener,
    hand: &Hand,
) {
    let read = move || -> Result<(), std::io::Error> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let Some(config) = tls else {
            return messages(&mut stream, from, listener, hand);
        };
        let mut connection =
            ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
        agree(&mut connection, &mut stream, hand)?;
        let mut stream = StreamOwned::new(connection, stream);
        messages(&mut stream, from, listener, hand)?;
        // A farewell for a farewell (RFC 5425 §4.4); a sender that is gone hears none.
        stream.conn.send_close_notify();
        drop(stream.flush());
        Ok(())
    };
    if let Err(error) = read() {
        let why = format!("a connection from {from} broke: {error}");
        hand.tell(listener.id(), News::Refused { why });
    }
}

/// Agrees on TLS: a connection that says nothing, or a byte at a time, doesn't take a place for long.
fn agree(
    connection: &mut ServerConnection,
    stream: &mut TcpStream,
    hand: &Hand,
) -> Result<(), std::io::Error> {
    let until = Instant::now() + HANDSHAKE_MAX;
    while connection.is_handshaking() && !hand.stopped() {
        if Instant::now() >= until {
            return Err(std::io::Error::new(
                ErrorKind::TimedOut,
                "TLS was not agreed on within 10 s",
            ));
        }
        if connection.wants_write() {
            connection.write_tls(stream)?;
            continue;
        }
        match connection.read_tls(stream) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                if let Err(error) = connection.process_new_packets() {
                    // The alert that says why; who is gone hears none.
                    let _told = connection.write_tls(stream);
                    return Err(std::io::Error::new(ErrorKind::InvalidData, error));
                }
            }
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn messages(
    stream: &mut impl Read,
    from: IpAddr,
    listener: &Listener,
    hand: &Hand,
) -> Result<(), std::io::Error> {
    let mut buffer = vec![0; 64 * 1024];
    let mut frames = Frames::default();
    let mut ended = false;
    while !ended && !hand.stopped() {
        match stream.read(&mut buffer) {
            Ok(0) => ended = true,
            Ok(length) => frames.push(buffer.get(..length).unwrap_or_default()),
            Err(error) if is_pause(&error) => continue,
            // TLS without its farewell: what came is whole all the same.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => ended = true,
            Err(error) => {
                return match give(&mut frames, true, from, listener, hand) {
                    Ok(()) => Err(error),
                    Err(_) => Ok(()),
                };
            }
        }
        if give(&mut frames, ended, from, listener, hand).is_err() {
            return Ok(());
        }
        if frames.broken {
            return Err(std::io::Error::new(
                ErrorKind::InvalidData,
                "its framing can't be followed, or a message is over 1 MiB",
            ));
        }
    }
    Ok(())
}

fn give(
    frames: &mut Frames,
    ended: bool,
    from: IpAddr,
    listener: &Listener,
    hand: &Hand,
) -> Result<(), NotSealed> {
    let mut chunks = Vec::new();
    while let Some(message) = frames.next(ended) {
        chunks.push(listener.senders.chunk(&listener.transport, from, message));
        if chunks.len() >= BATCH {
            hand.give(std::mem::take(&mut chunks))?;
        }
    }
    hand.give(chunks)
}

/// Nothing came for now.
fn is_pause(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

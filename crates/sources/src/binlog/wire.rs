//! The connection that reads the binary log: packets, log-in, TLS, a few statements, then events as they come.
//!
//! Blocking, with a short wait, so that whoever reads can look up in between. Own code because no client in the tree gives
//! packets, and the one that reads MySQL's log knows none of MariaDB's events (docs/decisions/0007).

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::bytes::{Bytes, text};
use super::login::{self, Greeting};
use crate::database::Server;

/// Longest time for connecting, logging in and each statement.
const TIME_MAX: Duration = Duration::from_secs(10);
/// How long a read waits before it says that nothing came.
const WAIT: Duration = Duration::from_millis(100);
/// Most bytes of an event that are kept; what is beyond is read and forgotten.
const EVENT_BYTES_MAX: usize = 64 << 20;
/// Most rows of an answer.
const ROWS_MAX: usize = 100_000;
/// Bytes of a packet that say that another follows.
const FULL: usize = 0xff_ffff;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// While TLS begins.
    None,
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
            Self::None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Self::None => Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// Who logs in.
pub(super) struct Login<'a> {
    pub(super) server: &'a Server,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) ca_file: Option<&'a Path>,
}

/// A connection that is logged in.
pub(super) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were taken.
    taken: usize,
    /// The packet that is being put together.
    packet: Vec<u8>,
    /// Bytes of it that were forgotten.
    forgotten: u64,
    sequence: u8,
    /// The server's version as it says it.
    pub(super) version: String,
}

/// One packet.
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    /// Bytes beyond what is kept.
    pub(super) forgotten: u64,
}

fn broken(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, why.into())
}

impl Connection {
    pub(super) fn open(login: &Login<'_>) -> Result<Self, Error> {
        let stream = match login.server {
            Server::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(WAIT))?;
                stream.set_write_timeout(Some(TIME_MAX))?;
                Stream::Unix(stream)
            }
            Server::Network { host, port } => {
                let mut last = broken("its name has no address");
                let mut open = None;
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, TIME_MAX) {
                        Ok(stream) => {
                            open = Some(stream);
                            break;
                        }
                        Err(error) => last = error,
                    }
                }
                let stream = open.ok_or(last)?;
                stream.set_read_timeout(Some(WAIT))?;
                stream.set_write_timeout(Some(TIME_MAX))?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
            taken: 0,
            packet: Vec::new(),
            forgotten: 0,
            sequence: 0,
            version: String::new(),
        };
        connection.log_in(login)?;
        Ok(connection)
    }

    fn log_in(&mut self, login: &Login<'_>) -> Result<(), Error> {
        let packet = self.answer()?;
        let Greeting {
            version,
            capabilities,
            mut salt,
            mut way,
        } = login::greeting(&packet)
            .ok_or_else(|| broken("it doesn't greet as MariaDB and MySQL do"))?;
        self.version = version;
        let is_tls = match (login.server, login.ca_file) {
            (Server::Network { host, .. }, Some(ca_file)) => {
                if capabilities & login::TLS == 0 {
                    return Err(broken("it speaks no TLS, and ca_file asks for it"));
                }
                self.send(&login::wants_tls())?;
                self.begin_tls(host, ca_file)?;
                true
            }
            _ => false,
        };
        let is_private = is_tls || matches!(self.stream, Stream::Unix(_));
        let password = login.password.as_bytes();
        // A way that isn't known here may not be the account's: the server asks again.
        let first = login::proof(&way, password, &salt);
        let named = if first.is_some() {
            way.as_str()
        } else {
            "mysql_native_password"
        };
        let proof = first.unwrap_or_default();
        self.send(&login::answer(login.user, named, &proof, is_tls))?;
        for _ in 0..4 {
            let packet = self.answer()?;
            let mut bytes = Bytes(packet.get(1..).unwrap_or_default());
            match packet.first() {
                Some(0) => {
                    self.sequence = 0;
                    return Ok(());
                }
                Some(0xfe) => {
                    way = text(bytes.until_zero().unwrap_or_default());
                    salt = bytes.rest().to_vec();
                    let proof = match way.as_str() {
                        "mysql_clear_password" if is_private => whole(password),
                        way => login::proof(way, password, &salt).ok_or_else(|| {
                            broken(format!("the account logs in by {way:.64}, which isn't known here; give it a password by mysql_native_password or caching_sha2_password"))
                        })?,
                    };
                    self.send(&proof)?;
                }
                // The proof was enough; the server's word follows.
                Some(1) if bytes.0 == [3] => {}
                Some(1) if bytes.0 == [4] && is_private => self.send(&whole(password))?,
                Some(1) => {
                    return Err(broken(
                        "this log-in needs TLS or the socket; name ca_file or the socket's path",
                    ));
                }
                _ => break,
            }
        }
        Err(broken("the log-in doesn't end"))
    }

    fn begin_tls(&mut self, host: &str, ca_file: &Path) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(ca_file).and_then(Iterator::collect);
        let certificates: Vec<_> =
            certificates.map_err(|error| broken(format!("{}: {error}", ca_file.display())))?;
        for certificate in certificates {
            roots.add(certificate).map_err(Error::other)?;
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(Error::other)?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(Error::other)?;
        let client = ClientConnection::new(Arc::new(config), name).map_err(Error::other)?;
        match std::mem::replace(&mut self.stream, Stream::None) {
            Stream::Tcp(stream) => {
                // A handshake isn't taken up again in the middle: it waits longer.
                stream.set_read_timeout(Some(TIME_MAX))?;
                let mut stream = StreamOwned::new(client, stream);
                stream.conn.complete_io(&mut stream.sock)?;
                stream.sock.set_read_timeout(Some(WAIT))?;
                self.stream = Stream::Tls(Box::new(stream));
                Ok(())
            }
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(packet.len())
            .ok()
            .filter(|length| (*length as usize) < FULL)
            .ok_or_else(|| broken("a packet is too long"))?;
        let mut bytes = length.to_le_bytes();
        bytes[3] = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write(&[&bytes, packet].concat())
    }

    /// A packet that must come soon; the server's refusal is an error.
    fn answer(&mut self) -> Result<Vec<u8>, Error> {
        let until = Instant::now() + TIME_MAX;
        loop {
            if let Some(packet) = self.packet()? {
                return match packet.bytes.first() {
                    Some(0xff) => Err(refusal(&packet.bytes)),
                    _ => Ok(packet.bytes),
                };
            }
            if Instant::now() > until {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// The next packet; nothing when none came for a moment.
    pub(super) fn packet(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            let mut bytes = Bytes(self.buffer.get(self.taken..).unwrap_or_default());
            let head = (bytes.number(3), bytes.byte());
            if let (Some(length), Some(sequence)) = head {
                let length = usize::try_from(length).unwrap_or(FULL);
                if let Some(part) = bytes.take(length) {
                    let room = EVENT_BYTES_MAX.saturating_sub(self.packet.len());
                    let kept = part.get(..room).unwrap_or(part);
                    self.packet.extend_from_slice(kept);
                    self.forgotten += (part.len() - kept.len()) as u64;
                    self.taken += 4 + length;
                    self.sequence = sequence.wrapping_add(1);
                    if length < FULL {
                        return Ok(Some(Packet {
                            bytes: std::mem::take(&mut self.packet),
                            forgotten: std::mem::take(&mut self.forgotten),
                        }));
                    }
                    continue;
                }
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads more; `false` when nothing came for a moment.
    fn fill(&mut self) -> Result<bool, Error> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let start = self.buffer.len();
        self.buffer.resize(start + 64 * 1024, 0);
        let read = self
            .stream
            .read(self.buffer.get_mut(start..).unwrap_or_default());
        self.buffer
            .truncate(start + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// A statement's rows as texts; none for one that only sets something.
    pub(super) fn ask(&mut self, statement: &str) -> Result<Vec<Vec<String>>, Error> {
        self.command(3, statement.as_bytes())?;
        let first = self.answer()?;
        if first.first() == Some(&0) {
            return Ok(Vec::new());
        }
        let columns = Bytes(&first).count().unwrap_or(0);
        // Columns, and a mark behind them.
        for _ in 0..=columns {
            self.answer()?;
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.answer()?;
            if packet.first() == Some(&0xfe) && packet.len() < 9 {
                return Ok(rows);
            }
            let mut bytes = Bytes(&packet);
            let mut row = Vec::new();
            while !bytes.is_empty() && row.len() < columns {
                if bytes.0.first() == Some(&0xfb) {
                    bytes.take(1);
                    row.push(String::new());
                } else {
                    let value = bytes.counted().ok_or_else(|| broken("an answer's row"))?;
                    row.push(text(value));
                }
            }
            if rows.len() < ROWS_MAX {
                rows.push(row);
            }
        }
    }

    /// Sends a command that begins a new exchange.
    fn command(&mut self, command: u8, bytes: &[u8]) -> Result<(), Error> {
        self.sequence = 0;
        self.send(&[&[command], bytes].concat())
    }

    /// Asks for the log from a place on; [`Connection::packet`] gives the events.
    pub(super) fn dump(
        &mut self,
        file: &str,
        position: u32,
        server_id: u32,
        with_statements: bool,
    ) -> Result<(), Error> {
        // MariaDB leaves out which statement wrote rows unless it is asked for.
        let flags: u16 = if with_statements { 2 } else { 0 };
        let mut bytes = position.to_le_bytes().to_vec();
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&server_id.to_le_bytes());
        bytes.extend_from_slice(file.as_bytes());
        self.command(0x12, &bytes)
    }
}

/// The password itself, as a server asks for it where nobody else hears.
fn whole(password: &[u8]) -> Vec<u8> {
    [password, b"\0"].concat()
}

/// What the server refused: its number and words. Of our own statements and of the log's files they hold no row.
pub(super) fn refusal(packet: &[u8]) -> Error {
    let mut bytes = Bytes(packet.get(1..).unwrap_or_default());
    let number = bytes.number(2).unwrap_or(0);
    if bytes.0.first() == Some(&b'#') {
        bytes.take(6);
    }
    let words: String = text(bytes.rest()).chars().take(300).collect();
    Error::other(format!("error {number}: {words}"))
}

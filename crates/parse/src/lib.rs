//! Bytes → bounds of records → events: one file a log format, joins beside them.
//!
//! Apart because it must read anything an attacker can write: pure, linear in time, and never
//! panicking. It reads what a record says and nothing more; what a statement means is `detect`'s.

mod auditd;
mod clock;
mod combined;
mod feeds;
mod join;
mod json_audit;
mod mariadb_server_audit;
mod monolog;
mod mysql_general;
mod mysql_log;
mod mysql_slow;
mod network;
mod nginx_json;
mod observation;
mod percona_audit_xml;
mod plain;
mod service_log;
mod syslog;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use model::{Event, Position, StoreMap, TimeQuality, Timestamp};

pub use join::{Joined, Joiner};
pub use network::IpNetwork;
pub use observation::NAME as OBSERVATION;

/// Longest record in bytes; the caller cuts a longer one here and counts it.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// How much of a line tells whether a record starts there.
const START_BYTES: usize = 512;
/// Longest account or host name remembered of a connection.
const NAME_BYTES_MAX: usize = 256;
/// Connections whose account a general log's reader remembers.
const CONNECTIONS_MAX: usize = 8192;

/// Where the next record ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first `end` bytes are one record, its line end included.
    Record {
        /// Bytes of the record.
        end: usize,
    },
    /// No record ends here yet.
    More,
}

/// Why a record could not be read. Holds places and names, never the record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// A field is missing.
    #[error("no `{field}` in the {format} record")]
    Missing {
        /// Name of the format.
        format: &'static str,
        /// Name of the field in that format's documentation.
        field: &'static str,
    },
    /// A field is present but can't be read.
    #[error("`{field}` can't be read in the {format} record at byte {}", at.offset_bytes)]
    Malformed {
        /// Name of the format.
        format: &'static str,
        /// Name of the field in that format's documentation.
        field: &'static str,
        /// Where in the record.
        at: Position,
    },
}

/// How records are read: what an installation's settings say.
#[derive(Clone, Debug)]
pub struct Context {
    /// Zone of times that say none.
    pub zone: TimeZone,
    /// How that zone came to be known.
    pub zone_quality: TimeQuality,
    /// Proxies in front of the shop; the client is the right-most address not among them.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Prefix of the shop's tables.
    pub table_prefix: String,
    /// Websites, stores and views, and how hosts are run; empty when nothing is known.
    pub stores: StoreMap,
}

impl Default for Context {
    /// UTC as a guess, no proxies, no prefix.
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            zone_quality: TimeQuality::ZoneGuessed,
            trusted_proxies: Vec::new(),
            table_prefix: String::new(),
            stores: StoreMap::default(),
        }
    }
}

impl Context {
    /// Strips schema quotes and the table prefix from a table's name.
    pub(crate) fn table<'a>(&self, name: &'a str) -> &'a str {
        // Comparing nothing with an empty string, which has no memory, makes some processors slow (an assist for a
        // masked load of an address that isn't there): ninety nanoseconds each.
        if self.table_prefix.is_empty() {
            return name;
        }
        name.strip_prefix(self.table_prefix.as_str())
            .filter(|rest| !rest.is_empty())
            .unwrap_or(name)
    }
}

/// What a format keeps of one source between records. Small; bounded.
#[derive(Clone, Debug, Default)]
pub struct SourceState {
    /// Time of the last record that said one.
    pub(crate) last: Option<Timestamp>,
    /// The last second read from text, so that the next record of the same second is cheap.
    pub(crate) second: Option<(i64, Timestamp)>,
    /// The last time as it was written, and what it is.
    pub(crate) written: Option<([u8; 17], Timestamp)>,
    /// Account and host of open connections.
    pub(crate) accounts: BTreeMap<i64, (String, String)>,
    /// Programs that an audit log spoke of.
    pub(crate) audit: auditd::Memory,
}

impl SourceState {
    /// Remembers a connection's account; the oldest id goes when there are too many. Names that are too
    /// long are not kept, nor is the account that had this id before: it is another's.
    pub(crate) fn remember(&mut self, connection: i64, user: &str, host: &str) {
        if user.len() > NAME_BYTES_MAX || host.len() > NAME_BYTES_MAX {
            self.accounts.remove(&connection);
            return;
        }
        if self.accounts.len() >= CONNECTIONS_MAX && !self.accounts.contains_key(&connection) {
            self.accounts.pop_first();
        }
        self.accounts
            .insert(connection, (user.to_owned(), host.to_owned()));
    }
}

/// One log format. Yours: a file here, its `mod` line, its entry in [`FORMATS`].
pub trait Format: Sync {
    /// The name used in settings, e.g. `nginx_combined`.
    fn name(&self) -> &'static str;

    /// Recognises the format from a source's first bytes (up to 16 KiB). Strict: a wrong yes loses a log.
    fn sniff(&self, head: &[u8]) -> bool;

    /// Finds where the next record ends; the caller masks and seals it before anyone parses it.
    ///
    /// `end` says that no more will come. One line unless a format says otherwise.
    fn frame(&self, bytes: &[u8], end: bool) -> Frame {
        let _ = end;
        line(bytes)
    }

    /// Reads one masked record.
    ///
    /// # Errors
    ///
    /// [`ParseError`] when the record isn't of this format.
    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError>;
}

/// Every format, in the order in which sniffing tries them: strictest first.
pub static FORMATS: &[&dyn Format] = &[
    &mariadb_server_audit::MariadbServerAudit,
    &json_audit::PerconaAuditJson,
    &percona_audit_xml::PerconaAuditXml,
    &json_audit::MysqlEnterpriseAuditJson,
    &mysql_slow::MysqlSlow,
    &mysql_general::MysqlGeneral,
    &monolog::Monolog,
    &auditd::Auditd,
    &feeds::PROXYSQL,
    &feeds::MODSECURITY,
    &feeds::CLOUDFLARE,
    &feeds::SURICATA,
    &feeds::ZEEK,
    &feeds::FALCO,
    &feeds::JOURNAL,
    &nginx_json::NginxJson,
    &combined::NginxCombined,
    &combined::ApacheCombined,
    &service_log::PhpFpmAccess,
    &service_log::NginxError,
    &service_log::MysqlError,
    &syslog::Syslog5424,
    &syslog::Syslog3164,
    &observation::Observation,
    &plain::Plain,
];

/// Recognises a format from a source's first bytes.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.sniff(head))
}

/// Finds a format by its name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// Frames one line.
pub(crate) fn line(bytes: &[u8]) -> Frame {
    memchr::memchr(b'\n', bytes).map_or(Frame::More, |at| Frame::Record { end: at + 1 })
}

/// Frames lines up to the next line that starts a record.
///
/// `starts` sees at most [`START_BYTES`] of a line, and sees them all before it decides: the bounds
/// are the same however the bytes were cut on their way here.
pub(crate) fn until_start(bytes: &[u8], end: bool, starts: impl Fn(&[u8]) -> bool) -> Frame {
    for at in memchr::memchr_iter(b'\n', bytes) {
        let Some(next) = bytes.get(at + 1..).filter(|next| !next.is_empty()) else {
            break;
        };
        let next = next.get(..START_BYTES).unwrap_or(next);
        // Only its own line decides: what follows may not have arrived yet.
        let line_end = memchr::memchr(b'\n', next);
        let line = line_end.and_then(|at| next.get(..at)).unwrap_or(next);
        if starts(line) {
            let whole = end || next.len() == START_BYTES || line_end.is_some();
            return if whole {
                Frame::Record { end: at + 1 }
            } else {
                Frame::More
            };
        }
    }
    Frame::More
}

/// The record as text: borrowed where it is UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // The strict check goes word by word over ASCII; the lossy one goes byte by byte.
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Texts of parts of one record, which is looked at for what is no text only once.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'a> {
    record: &'a [u8],
    whole: Option<&'a str>,
}

impl<'a> Texts<'a> {
    pub(crate) fn of(record: &'a [u8]) -> Self {
        Self {
            record,
            whole: std::str::from_utf8(record).ok(),
        }
    }

    /// The text of a part of the record.
    #[inline]
    pub(crate) fn get(self, part: &'a [u8]) -> Cow<'a, str> {
        let from = part
            .as_ptr()
            .addr()
            .wrapping_sub(self.record.as_ptr().addr());
        let there = self
            .whole
            .and_then(|whole| whole.get(from..from.checked_add(part.len())?));
        there.map_or_else(|| text(part), Cow::Borrowed)
    }
}

/// Reads a whole number.
pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 18 {
        return None;
    }
    bytes.iter().try_fold(0_i64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// Reads seconds with a fraction as microseconds.
pub(crate) fn micros(bytes: &[u8]) -> Option<i64> {
    let mut parts = bytes.splitn(2, |byte| *byte == b'.');
    let whole = number(parts.next()?)?;
    let fraction = parts.next().unwrap_or_default();
    let mut digits = [b'0'; 6];
    for (to, from) in digits.iter_mut().zip(fraction) {
        *to = *from;
    }
    whole.checked_mul(1_000_000)?.checked_add(number(&digits)?)
}

/// The first lines of a head that are whole, up to `count`.
pub(crate) fn lines(head: &[u8], count: usize) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n") || line.len() < 4096)
        .map(<[u8]>::trim_ascii_end)
        .filter(|line| !line.is_empty())
        .take(count)
}

#[cfg(test)]
mod tests;

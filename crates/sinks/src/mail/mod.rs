//! Letters by SMTP (RFC 5321), plain text and nothing else, over TLS that is checked.
//!
//! Says nothing of whom a letter is for: `engine` decides and composes. Whatever a letter holds – names and titles may be an
//! attacker's – its head has the fields written here and no other: no line end gets into it, and no character that is
//! not shown.

use std::error::Error as _;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, SmtpTransport, Transport as _};

/// Longest time that one answer of the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of a subject: with its name it stays below the 78 that a line should have (RFC 5322, 2.1.1).
pub const SUBJECT_CHARACTERS_MAX: usize = 68;
/// Longest address in bytes (RFC 5321, 4.5.3.1.3).
const ADDRESS_BYTES_MAX: usize = 254;
/// Bytes of what a server said that are shown.
const SAID_BYTES_MAX: usize = 300;

/// How what travels to the server is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS after the greeting (RFC 3207), never without: mostly port 587.
    StartTls,
    /// TLS from the first byte (RFC 8314): mostly port 465.
    Tls,
    /// None, to a server on loopback alone.
    Nothing,
}

impl Protection {
    /// That of a name in settings.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "starttls" => Some(Self::StartTls),
            "tls" => Some(Self::Tls),
            "none" => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// Why a server of mail can't be used as it is set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// The place of the server.
    #[error("`{server}` isn't the host and port of a mail server")]
    Place {
        /// As it was given.
        server: String,
    },
    /// Beyond loopback, in the clear.
    #[error("without TLS mail goes to a server on loopback alone, not to {host}")]
    Clear {
        /// The server's host.
        host: String,
    },
    /// What isn't an address of mail.
    #[error("`{address}` isn't an address of mail like name@example.com, in ASCII")]
    Address {
        /// As it was given, without what isn't shown.
        address: String,
    },
    /// A certificate that can't be read, or TLS that can't be set up.
    #[error("the certificate of who signed the mail server's can't be used: {why}")]
    Authority {
        /// What the reader said.
        why: String,
    },
}

/// Why a letter wasn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// No letter is: the server is away, isn't who it should be, or doesn't let this account in.
    #[error("the mail server {server} can't be used: {why}")]
    Server {
        /// Host and port.
        server: String,
        /// What happened, inert.
        why: String,
    },
    /// This one isn't; others may be.
    #[error("the mail server {server} does not take a letter to {to}: {why}")]
    Letter {
        /// Host and port.
        server: String,
        /// Whom it was for.
        to: String,
        /// What it said, inert.
        why: String,
    },
}

/// A letter to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// What it is about; cut to [`SUBJECT_CHARACTERS_MAX`] and made one line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// Its own id: the same letter sent twice has one. Letters and digits.
    pub id: String,
    /// What it belongs to, so that readers show letters of one thing together. Letters and digits; may be empty.
    pub thread: String,
}

/// Whoever takes letters.
pub trait Post: Send + Sync {
    /// Hands a letter over; when this returns the other side answers for it.
    ///
    /// # Errors
    ///
    /// [`PostError`] when it wasn't taken.
    fn send(&self, letter: &Letter) -> Result<(), PostError>;
}

/// How a server of mail is reached.
pub struct MailServer<'a> {
    /// Host and port, e.g. `smtp.example.com:587`.
    pub server: &'a str,
    /// How what travels is protected.
    pub protection: Protection,
    /// Account and password, if it asks for any.
    pub account: Option<(String, String)>,
    /// Whom letters are from, e.g. `magewarden <magewarden@example.com>`.
    pub from: &'a str,
    /// Certificates (PEM) of who signed the server's, in place of the public ones.
    pub authorities: Option<Vec<u8>>,
}

/// Sends letters to one server.
pub struct Smtp {
    transport: SmtpTransport,
    server: String,
    from: Mailbox,
}

impl Smtp {
    /// Takes the settings; calls nobody yet.
    ///
    /// # Errors
    ///
    /// [`MailError`], what of them can't be used.
    pub fn new(settings: MailServer<'_>) -> Result<Self, MailError> {
        let (host, port) = place(settings.server).ok_or_else(|| MailError::Place {
            server: one_line(settings.server),
        })?;
        let unfit = |_| MailError::Address {
            address: one_line(settings.from),
        };
        let from: Mailbox = settings.from.parse().map_err(unfit)?;
        if !is_address(from.email.as_ref()) || settings.from.chars().any(char::is_control) {
            return Err(MailError::Address {
                address: one_line(settings.from),
            });
        }
        let tls = match settings.protection {
            Protection::StartTls => Tls::Required(parameters(host, settings.authorities)?),
            Protection::Tls => Tls::Wrapper(parameters(host, settings.authorities)?),
            Protection::Nothing if is_loopback(host) => Tls::None,
            Protection::Nothing => {
                let host = host.to_owned();
                return Err(MailError::Clear { host });
            }
        };
        let mut builder = SmtpTransport::builder_dangerous(host)
            .port(port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if let Some((user, password)) = settings.account {
            builder = builder
                .credentials(Credentials::new(user, password))
                .authentication(vec![Mechanism::Plain, Mechanism::Login]);
        }
        Ok(Self {
            transport: builder.build(),
            server: settings.server.to_owned(),
            from,
        })
    }

    fn failed(&self, letter: &Letter, error: &lettre::transport::smtp::Error) -> PostError {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let told = error.to_string();
            if !why.contains(&told) {
                let _written = write!(why, ": {told}");
            }
            cause = error.source();
        }
        let (server, why) = (self.server.clone(), shortened(&why));
        // RFC 5321, 4.2.3 and RFC 4954, 6: these are said of the connection or the account; other codes of the one letter.
        let code = error.status().map(|code| code.to_string());
        let is_of_all = |code: &str| ["421", "454", "530", "534", "535", "538"].contains(&code);
        match code {
            Some(code) if !is_of_all(&code) => PostError::Letter {
                server,
                to: letter.to.clone(),
                why,
            },
            _ => PostError::Server { server, why },
        }
    }
}

impl Post for Smtp {
    fn send(&self, letter: &Letter) -> Result<(), PostError> {
        let message = message(&self.from, letter).map_err(|why| PostError::Letter {
            server: self.server.clone(),
            to: one_line(&letter.to),
            why,
        })?;
        match self.transport.send(&message) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(letter, &error)),
        }
    }
}

/// Says that no person wrote it, so that none is answered by a machine (RFC 3834, 5).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

fn message(from: &Mailbox, letter: &Letter) -> Result<Message, String> {
    if !is_address(&letter.to) {
        return Err("it isn't an address of mail".to_owned());
    }
    let to: Address = letter
        .to
        .parse()
        .map_err(|_| "it isn't an address".to_owned())?;
    let domain = from.email.domain();
    let id = |word: &str| format!("<{}@{domain}>", bare(word));
    let mut builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(cut(&one_line(&letter.subject), SUBJECT_CHARACTERS_MAX))
        .message_id(Some(id(&letter.id)))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    if !letter.thread.is_empty() {
        builder = builder.references(id(&letter.thread));
    }
    builder
        .body(lines(&letter.body))
        .map_err(|error| error.to_string())
}

/// Whether a text is one address of mail, in ASCII: what every server takes.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&byte);
    text.len() <= ADDRESS_BYTES_MAX && text.bytes().all(fits) && text.parse::<Address>().is_ok()
}

/// Host and port.
fn place(server: &str) -> Option<(&str, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let is_host = !host.is_empty()
        && host.bytes().all(fits)
        && (!host.contains(':') || host.parse::<IpAddr>().is_ok());
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host.then_some((host, port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn parameters(host: &str, authorities: Option<Vec<u8>>) -> Result<TlsParameters, MailError> {
    let unfit = |error: lettre::transport::smtp::Error| MailError::Authority {
        why: shortened(&error.to_string()),
    };
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = authorities {
        let all = Certificate::from_pem(&pem).map_err(unfit)?;
        // Whoever names their own means it: no public one vouches for their server.
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(all);
    }
    builder.build_rustls().map_err(unfit)
}

/// A word of letters, digits and `-`, for an id in a head.
fn bare(word: &str) -> String {
    let fits = |one: &char| one.is_ascii_alphanumeric() || *one == '-';
    word.chars().filter(fits).take(100).collect()
}

/// A text as one line: line ends are spaces, what isn't shown is a mark.
fn one_line(text: &str) -> String {
    let inert = |one| match one {
        '\n' | '\t' | '\r' => ' ',
        one if model::is_hidden(one) => '\u{fffd}',
        one => one,
    };
    text.chars().map(inert).collect()
}

/// A text of several lines, as inert.
fn lines(text: &str) -> String {
    let inert = |one| match one {
        '\n' => '\n',
        '\t' => ' ',
        one if model::is_hidden(one) => '\u{fffd}',
        one => one,
    };
    text.chars().map(inert).collect()
}

/// The first characters of a text, with a mark where it was cut.
#[must_use]
pub fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn shortened(said: &str) -> String {
    cut(&one_line(said), SAID_BYTES_MAX)
}

#[cfg(test)]
mod tests;

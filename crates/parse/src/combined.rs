//! The combined access log of nginx and Apache, with or without a virtual host in front.

use std::borrow::Cow;

use model::{Category, Event, Field, TimeQuality, percent_decoded};

use crate::network::client;
use crate::{Context, Format, ParseError, SourceState, clock, lines, number, text};

pub(crate) struct NginxCombined;
pub(crate) struct ApacheCombined;

impl Format for NginxCombined {
    fn name(&self) -> &'static str {
        "nginx_combined"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        sniff(head, false)
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        _state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        read(self.name(), record, context, false)
    }
}

impl Format for ApacheCombined {
    fn name(&self) -> &'static str {
        "apache_combined"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        sniff(head, true) || sniff(head, false)
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        _state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let vhost = split(record, false).is_none_or(|parts| parts.user.starts_with(b"- "));
        read(self.name(), record, context, vhost)
    }
}

fn sniff(head: &[u8], vhost: bool) -> bool {
    let (mut good, mut bad) = (0, 0);
    for line in lines(head, 8) {
        match split(line, vhost) {
            // With a virtual host in front, address and identity slide into the user's place.
            Some(parts)
                if !parts.user.starts_with(b"- ")
                    && (parts.client.contains(&b'.') || parts.client.contains(&b':')) =>
            {
                good += 1
            }
            _ => bad += 1,
        }
    }
    good > bad
}

struct Parts<'a> {
    host: Option<&'a [u8]>,
    client: &'a [u8],
    user: &'a [u8],
    time: &'a [u8],
    /// From the opening quote of the request on.
    rest: &'a [u8],
}

fn split(record: &[u8], vhost: bool) -> Option<Parts<'_>> {
    let mut rest = record;
    let mut word = || -> Option<&[u8]> {
        let at = memchr::memchr(b' ', rest)?;
        let word = rest.get(..at)?;
        rest = rest.get(at + 1..)?;
        Some(word)
    };
    let host = if vhost { Some(word()?) } else { None };
    let client = word()?;
    let _ident = word()?;
    let open = memchr::memchr(b'[', rest)?;
    // A user name may hold blanks; it ends before ` [`.
    let user = rest.get(..open)?.trim_ascii_end();
    let after = rest.get(open + 1..)?;
    let close = memchr::memchr(b']', after)?;
    let quote = after.get(close + 1..)?.strip_prefix(b" ")?;
    (quote.first() == Some(&b'"') && close >= 26).then_some(Parts {
        host,
        client,
        user,
        time: after.get(..close)?,
        rest: quote,
    })
}

/// Takes a quoted field; a quote inside is escaped by a backslash (`\"` or `\x22`).
fn quoted(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = rest.strip_prefix(b"\"")?;
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', inner.get(from..)?)?;
        if inner.get(at) == Some(&b'"') {
            return Some((inner.get(..at)?, inner.get(at + 1..)?));
        }
        from = at + 2;
    }
}

fn read<'a>(
    format: &'static str,
    record: &'a [u8],
    context: &Context,
    vhost: bool,
) -> Result<Event<'a>, ParseError> {
    let missing = |field| ParseError::Missing { format, field };
    let record = record.trim_ascii_end();
    let parts = split(record, vhost).ok_or_else(|| missing("time_local"))?;
    let mut event = Event::new(Category::Webserver);
    event.time = Some(clock::common_log(parts.time).ok_or_else(|| missing("time_local"))?);
    event.time_quality = TimeQuality::Stated;
    let (request, rest) = quoted(parts.rest).ok_or_else(|| missing("request"))?;
    let mut words = rest.trim_ascii_start().splitn(3, |byte| *byte == b' ');
    let status = words
        .next()
        .and_then(number)
        .ok_or_else(|| missing("status"))?;
    let bytes = words.next().and_then(number).unwrap_or(0);
    event.put_int(Field::Status, status);
    event.put_int(Field::ResponseBytes, bytes);
    let mut tail = words.next().unwrap_or_default();
    for field in [Field::Referer, Field::UserAgent] {
        let Some((value, after)) = quoted(tail) else {
            break;
        };
        if value != b"-" {
            event.put_text(field, unescaped(value));
        }
        tail = after.trim_ascii_start();
    }
    // A third quoted field is `$http_x_forwarded_for` in the packaged `main` format.
    let forwarded = quoted(tail)
        .map(|(value, _)| unescaped(value))
        .filter(|value| value != "-");
    let peer = text(parts.client);
    event.put_text(
        Field::ClientIp,
        client(
            &peer,
            forwarded.as_deref().unwrap_or_default(),
            &context.trusted_proxies,
        ),
    );
    event.put_text(Field::PeerIp, peer);
    if let Some(forwarded) = forwarded {
        event.put_text(Field::ForwardedFor, forwarded);
    }
    if !parts.user.is_empty() && parts.user != b"-" {
        event.put_text(Field::HttpUser, text(parts.user));
    }
    if let Some(host) = parts.host {
        event.put_text(Field::Host, text(host));
    }
    request_line(&mut event, request);
    Ok(event)
}

/// Reads `METHOD URI PROTOCOL`; what is none is kept whole as the address.
pub(crate) fn request_line<'a>(event: &mut Event<'a>, request: &'a [u8]) {
    let first = memchr::memchr(b' ', request);
    let last = memchr::memrchr(b' ', request);
    match (first, last) {
        (Some(first), Some(last)) if first < last => {
            event.put_text(
                Field::Method,
                text(request.get(..first).unwrap_or_default()),
            );
            uri(
                event,
                unescaped(request.get(first + 1..last).unwrap_or_default()),
            );
        }
        // HTTP/0.9 has no protocol.
        (Some(first), _)
            if request
                .get(..first)
                .is_some_and(|method| method.iter().all(u8::is_ascii_uppercase)) =>
        {
            event.put_text(
                Field::Method,
                text(request.get(..first).unwrap_or_default()),
            );
            uri(
                event,
                unescaped(request.get(first + 1..).unwrap_or_default()),
            );
        }
        _ => uri(event, unescaped(request)),
    }
}

/// Adds the address as sent, and its path and query decoded once.
pub(crate) fn uri<'a>(event: &mut Event<'a>, uri: Cow<'a, str>) {
    let at = uri.find('?').unwrap_or(uri.len());
    match &uri {
        Cow::Borrowed(whole) => {
            event.put_text(
                Field::UriStem,
                percent_decoded(whole.get(..at).unwrap_or_default(), false),
            );
            if let Some(query) = whole.get(at + 1..) {
                event.put_text(Field::UriQuery, percent_decoded(query, true));
            }
        }
        Cow::Owned(whole) => {
            event.put_text(
                Field::UriStem,
                percent_decoded(whole.get(..at).unwrap_or_default(), false).into_owned(),
            );
            if let Some(query) = whole.get(at + 1..) {
                event.put_text(Field::UriQuery, percent_decoded(query, true).into_owned());
            }
        }
    }
    event.put_text(Field::Uri, uri);
}

/// Undoes the logs' own escapes: `\xHH` (both servers), `\"`, `\\`, `\n`, `\r`, `\t` (Apache).
fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return text(raw);
    }
    let mut plain = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        let (letter, length) = match (byte, raw.get(at + 1)) {
            (b'\\', Some(b'x')) => match (hex(raw, at + 2), hex(raw, at + 3)) {
                (Some(high), Some(low)) => (high * 16 + low, 4),
                _ => (b'\\', 1),
            },
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(quoted @ (b'"' | b'\\'))) => (*quoted, 2),
            _ => (*byte, 1),
        };
        plain.push(letter);
        at += length;
    }
    owned(plain)
}

fn hex(bytes: &[u8], at: usize) -> Option<u8> {
    char::from(*bytes.get(at)?)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn owned<'a>(plain: Vec<u8>) -> Cow<'a, str> {
    Cow::Owned(
        String::from_utf8(plain)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

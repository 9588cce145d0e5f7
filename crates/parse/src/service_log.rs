//! Error logs of nginx and MariaDB, and PHP-FPM's access log: short line formats of services.

use model::{Category, Event, Field, TimeQuality};

use crate::{Context, Format, ParseError, SourceState, clock, combined, lines, number, text};

pub(crate) struct NginxError;
pub(crate) struct MysqlError;
pub(crate) struct PhpFpmAccess;

impl Format for NginxError {
    fn name(&self) -> &'static str {
        "nginx_error"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 1).any(|line| {
            clock::iso_civil(line).is_some()
                && line.get(4) == Some(&b'/')
                && line.get(20) == Some(&b'[')
        })
    }

    /// `2026/11/23 22:30:44 [error] 619#619: *1010 message, client: …, server: …, request: "…", host: "…"`.
    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let missing = |field| ParseError::Missing {
            format: "nginx_error",
            field,
        };
        let record = record.trim_ascii_end();
        let civil = clock::iso_civil(record).ok_or_else(|| missing("time"))?;
        let mut event = Event::new(Category::WebserverError);
        event.time = civil.local(context, state);
        event.time_quality = context.zone_quality;
        let rest = record
            .get(20..)
            .and_then(|rest| rest.strip_prefix(b"["))
            .ok_or_else(|| missing("level"))?;
        let close = memchr::memchr(b']', rest).ok_or_else(|| missing("level"))?;
        event.put_text(Field::Severity, text(rest.get(..close).unwrap_or_default()));
        let message = rest.get(close + 1..).unwrap_or_default().trim_ascii_start();
        // `619#619: ` is process and thread.
        if let Some(id) = memchr::memchr(b'#', message).and_then(|at| number(message.get(..at)?)) {
            event.put_int(Field::ProcessId, id);
        }
        event.put_text(Field::Message, text(message));
        for (field, key) in [
            (Field::ClientIp, &b", client: "[..]),
            (Field::PeerIp, b", client: "),
            (Field::Host, b", host: \""),
        ] {
            let Some(at) = memchr::memmem::find(message, key) else {
                continue;
            };
            let value = message.get(at + key.len()..).unwrap_or_default();
            let end = value
                .iter()
                .position(|byte| *byte == b',' || *byte == b'"')
                .unwrap_or(value.len());
            event.put_text(field, text(value.get(..end).unwrap_or_default()));
        }
        if let Some(at) = memchr::memmem::find(message, b", request: \"") {
            let request = message.get(at + 12..).unwrap_or_default();
            let mut words = request.split(|byte| *byte == b' ' || *byte == b'"');
            event.put_text(Field::Method, text(words.next().unwrap_or_default()));
            combined::uri(&mut event, text(words.next().unwrap_or_default()));
        }
        Ok(event)
    }
}

impl Format for MysqlError {
    fn name(&self) -> &'static str {
        "mysql_error"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 4).any(|line| split_mysql(line).is_some())
    }

    /// `2026-11-23 22:06:20 0 [Note] message`; a line without a time belongs to the one before it.
    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let record = record.trim_ascii_end();
        let mut event = Event::new(Category::Application);
        event.put_text(Field::Logger, "mysqld");
        let Some((level, message)) = split_mysql(record) else {
            if record.is_empty() {
                return Err(ParseError::Missing {
                    format: "mysql_error",
                    field: "message",
                });
            }
            event.time = state.last;
            event.put_text(Field::Message, text(record));
            return Ok(event);
        };
        let (time, said) = clock::iso(record, context, state)
            .map_or((None, false), |(time, said)| (Some(time), said));
        event.time = time;
        event.time_quality = if said {
            TimeQuality::Stated
        } else {
            context.zone_quality
        };
        state.last = time.or(state.last);
        event.put_text(Field::Severity, text(level));
        event.put_text(Field::Message, text(message));
        Ok(event)
    }
}

fn split_mysql(line: &[u8]) -> Option<(&[u8], &[u8])> {
    clock::iso_civil(line)?;
    let open = memchr::memmem::find(line.get(..64.min(line.len()))?, b" [")?;
    let rest = line.get(open + 2..)?;
    let close = memchr::memchr(b']', rest)?;
    let digits = line
        .get(19..open)?
        .iter()
        .all(|byte| byte.is_ascii_digit() || b" .Z+-:".contains(byte));
    digits.then(|| {
        Some((
            rest.get(..close)?,
            rest.get(close + 1..)?.trim_ascii_start(),
        ))
    })?
}

impl Format for PhpFpmAccess {
    fn name(&self) -> &'static str {
        "php_fpm_access"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 1).any(|line| split_fpm(line).is_some())
    }

    /// `127.0.0.1 -  23/Nov/2026:22:27:55 +0000 "GET /index.php" 200` (PHP-FPM's default `access.format`).
    fn parse<'a>(
        &self,
        record: &'a [u8],
        _context: &Context,
        _state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let missing = |field| ParseError::Missing {
            format: "php_fpm_access",
            field,
        };
        let Fpm {
            client,
            user,
            time,
            rest,
        } = split_fpm(record.trim_ascii_end()).ok_or_else(|| missing("time"))?;
        let mut event = Event::new(Category::Application);
        event.time = clock::common_log(time);
        event.time_quality = TimeQuality::Stated;
        event.put_text(Field::Logger, "php-fpm");
        if client != b"-" {
            event.put_text(Field::PeerIp, text(client));
        }
        if !user.is_empty() {
            event.put_text(Field::HttpUser, text(user));
        }
        let inner = rest.strip_prefix(b"\"").ok_or_else(|| missing("request"))?;
        let close = memchr::memrchr(b'"', inner).ok_or_else(|| missing("request"))?;
        let mut words = inner
            .get(..close)
            .unwrap_or_default()
            .split(|byte| *byte == b' ');
        event.put_text(Field::Method, text(words.next().unwrap_or_default()));
        combined::uri(&mut event, text(words.next().unwrap_or_default()));
        let status = inner.get(close + 1..).unwrap_or_default().trim_ascii();
        event.put_int(
            Field::Status,
            number(
                status
                    .split(|byte| *byte == b' ')
                    .next()
                    .unwrap_or_default(),
            )
            .ok_or_else(|| missing("status"))?,
        );
        Ok(event)
    }
}

/// A line of PHP-FPM's default `access.format`; the user may be empty.
struct Fpm<'a> {
    client: &'a [u8],
    user: &'a [u8],
    time: &'a [u8],
    /// From the opening quote of the request on.
    rest: &'a [u8],
}

fn split_fpm(line: &[u8]) -> Option<Fpm<'_>> {
    let client = line.get(..memchr::memchr(b' ', line)?)?;
    let rest = line.get(client.len()..)?.strip_prefix(b" - ")?;
    let user = rest.get(..memchr::memchr(b' ', rest)?)?;
    let rest = rest.get(user.len() + 1..)?;
    let time = rest.get(..26)?;
    clock::common_log(time)?;
    Some(Fpm {
        client,
        user,
        time,
        rest: rest.get(26..)?.trim_ascii_start(),
    })
}

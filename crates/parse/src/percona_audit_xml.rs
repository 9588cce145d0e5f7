//! Percona's audit plugin in XML: attributes (`OLD`) or tags (`NEW`), one record over many lines.
//!
//! Follows `threats.md` §3.2. Read by hand, not by an XML parser: the file is no document while the
//! server runs (its root is closed at shutdown), and a record may lack its end after a crash.

use std::borrow::Cow;

use memchr::memmem;
use model::{Category, Event, Field};

use crate::json_audit::{percona, time};
use crate::{Context, Format, Frame, ParseError, SourceState, number, text};

pub(crate) struct PerconaAuditXml;

const NAME: &str = "percona_audit_xml";
const START: &[u8] = b"<AUDIT_RECORD";

impl Format for PerconaAuditXml {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let head = head.trim_ascii_start();
        (head.starts_with(b"<?xml") || head.starts_with(b"<AUDIT"))
            && memmem::find(head, START).is_some()
    }

    /// What stands before a record (prologue, root) is part of it.
    fn frame(&self, bytes: &[u8], end: bool) -> Frame {
        let Some(start) = memmem::find(bytes, START) else {
            return Frame::More;
        };
        let from = start + START.len();
        let Some(body) = bytes.get(from..).filter(|body| !body.is_empty()) else {
            return Frame::More;
        };
        let closing: &[u8] = if body.first() == Some(&b'>') {
            b"</AUDIT_RECORD>"
        } else {
            b"/>"
        };
        let next = memmem::find(body, START);
        match memmem::find(
            next.and_then(|next| body.get(..next)).unwrap_or(body),
            closing,
        ) {
            Some(at) => line_end(bytes, from + at + closing.len(), end),
            None => next.map_or(Frame::More, |next| Frame::Record { end: from + next }),
        }
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let Some(body) =
            memmem::find(record, START).and_then(|start| record.get(start + START.len()..))
        else {
            let kind = if memmem::find(record, b"</AUDIT>").is_some() {
                "audit_stop"
            } else {
                "audit_start"
            };
            if memmem::find(record, b"AUDIT>").is_none() {
                return Err(ParseError::Missing {
                    format: NAME,
                    field: "AUDIT_RECORD",
                });
            }
            let mut event = Event::new(Category::Health);
            event.time = state.last;
            event.put_text(Field::HealthKind, kind);
            return Ok(event);
        };
        let value = |name: &str| {
            if body.first() == Some(&b'>') {
                tag(body, name)
            } else {
                attribute(body, name)
            }
        };
        let kind = value("NAME").ok_or(ParseError::Missing {
            format: NAME,
            field: "NAME",
        })?;
        let whole = |name: &str| value(name).and_then(|value| number(value.as_bytes()));
        let mut event = percona(&kind, whole("STATUS"));
        time(
            &mut event,
            &value("TIMESTAMP").unwrap_or_default(),
            context,
            state,
        );
        event.time = event.time.or(state.last);
        // A crash of the server leaves a record without its end.
        let record = record.trim_ascii_end();
        if event.category == Category::Database
            && !record.ends_with(b"/>")
            && !record.ends_with(b"</AUDIT_RECORD>")
        {
            event.put_int(Field::StatementCut, 1);
        }
        if let Some(id) = whole("CONNECTION_ID") {
            event.put_int(Field::ConnectionId, id);
        }
        if let Some(user) = value("USER").filter(|user| !user.is_empty()) {
            event.put_text(
                Field::DbUser,
                user.split('[').next().unwrap_or_default().trim().to_owned(),
            );
        }
        for (field, names) in [
            (Field::DbHost, &["IP", "HOST"][..]),
            (Field::Schema, &["DB"]),
            (Field::Statement, &["SQLTEXT"]),
        ] {
            if let Some(value) = names
                .iter()
                .find_map(|name| value(name).filter(|value| !value.is_empty()))
            {
                event.put_text(field, value);
            }
        }
        Ok(event)
    }
}

/// Ends a record behind `at`, with the line end that follows.
fn line_end(bytes: &[u8], at: usize, end: bool) -> Frame {
    let rest = bytes.get(at..).unwrap_or_default();
    let blank = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .count();
    match rest.get(blank) {
        Some(b'\n') => Frame::Record {
            end: at + blank + 1,
        },
        None if !end => Frame::More,
        _ => Frame::Record { end: at },
    }
}

/// `NAME="value"` among the attributes.
fn attribute<'a>(body: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut rest = body;
    loop {
        let equals = memmem::find(rest, b"=\"")?;
        let key = rest.get(..equals)?.trim_ascii();
        let inner = rest.get(equals + 2..)?;
        let close = memchr::memchr(b'"', inner)?;
        if key == name.as_bytes() {
            return Some(unescape(inner.get(..close)?));
        }
        rest = inner.get(close + 1..)?;
    }
}

/// `<NAME>value</NAME>`.
fn tag<'a>(body: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut rest = body;
    loop {
        let open = memchr::memchr(b'<', rest)?;
        let inner = rest.get(open + 1..)?;
        let close = memchr::memchr(b'>', inner)?;
        rest = inner.get(close + 1..)?;
        if inner.get(..close)? == name.as_bytes() {
            // A value holds no raw `<`.
            let end = memchr::memchr(b'<', rest).unwrap_or(rest.len());
            return Some(unescape(rest.get(..end)?));
        }
    }
}

/// Undoes `&lt;`, `&gt;`, `&amp;`, `&quot;`, `&apos;`, `&#10;`, `&#x0A;`; others stay as written.
fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let whole = text(raw);
    if memchr::memchr(b'&', raw).is_none() {
        return whole;
    }
    let mut plain = String::with_capacity(whole.len());
    let mut rest: &str = &whole;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let named = after
            .get(..10.min(after.len()))
            .unwrap_or(after)
            .split_once(';')
            .and_then(|(name, _)| Some((name, entity(name)?)));
        match named.and_then(|(name, letter)| Some((letter, after.get(name.len() + 1..)?))) {
            Some((letter, after)) => {
                plain.push(letter);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

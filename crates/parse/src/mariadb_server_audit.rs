//! MariaDB `server_audit`: file form, syslog form, with and without port and TLS version, RDS's and Aurora's.
//!
//! Follows the plugin's source as told in `threats.md` §3.1 and §3.4: 8 fields from the left, the
//! return code from the right, never split the middle on commas.

use std::borrow::Cow;

use model::{Category, Event, Field, TimeQuality, Timestamp, Value};

use crate::{
    Context, Format, Frame, ParseError, SourceState, Texts, clock, line, lines, number, syslog,
};

/// Bytes at which the plugin cuts a statement by default (`server_audit_query_log_limit`).
const STATEMENT_LIMIT: usize = 1024;

pub(crate) struct MariadbServerAudit;

const NAME: &str = "mariadb_server_audit";

impl Format for MariadbServerAudit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let mut seen = 0;
        for line in lines(head, 8) {
            if split(line).is_none_or(|fields| operation(fields.operation).is_none()) {
                return seen > 0 && !starts(line);
            }
            seen += 1;
        }
        seen > 0
    }

    fn frame(&self, bytes: &[u8], end: bool) -> Frame {
        // Very old plugins write newlines raw, but only inside a quoted statement: such a record
        // goes on where the next line starts no record.
        let Frame::Record { end: first_end } = line(bytes) else {
            return Frame::More;
        };
        match bytes.get(..first_end) {
            // Nearly every line is closed, which is told more quickly than a start.
            Some(first) if !closed(first) && starts(first) => {
                crate::until_start(bytes, end, starts)
            }
            _ => Frame::Record { end: first_end },
        }
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let record = record.trim_ascii_end();
        let fields = split(record).ok_or(ParseError::Missing {
            format: NAME,
            field: "operation",
        })?;
        let operation = operation(fields.operation).ok_or(ParseError::Missing {
            format: NAME,
            field: "operation",
        })?;
        let mut event = Event::new(Category::Database);
        let said = match fields.time {
            Some(time) => self::time(time, context, state),
            None => syslog::header(record, context, state).and_then(|header| header.time),
        };
        if let Some((time, quality)) = said {
            event.time = Some(time);
            event.time_quality = quality;
            state.last = Some(time);
        } else {
            event.time = state.last;
        }
        let texts = Texts::of(record);
        event.put_text(Field::DbUser, texts.get(fields.user));
        let host = without_port(fields.host);
        event.put_text(Field::DbHost, texts.get(host));
        event.put_text(Field::LogHost, texts.get(fields.server));
        event.put_int(Field::ConnectionId, fields.connection);
        if fields.query != 0 {
            event.put_int(Field::QueryId, fields.query);
        }
        event.put_text(Field::Operation, operation);
        object(&mut event, operation, &fields, texts, context);
        Ok(event)
    }
}

/// A record split by the plugin's own rules.
struct Fields<'a> {
    /// The plugin's own time; none behind a syslog header.
    time: Option<&'a [u8]>,
    server: &'a [u8],
    user: &'a [u8],
    host: &'a [u8],
    connection: i64,
    /// 0 where it tells none.
    query: i64,
    operation: &'a [u8],
    schema: &'a [u8],
    /// Object and return code, not yet apart.
    rest: &'a [u8],
}

/// Splits at the first commas: eight of them, or seven behind a syslog header, which tells the time.
fn split(record: &[u8]) -> Option<Fields<'_>> {
    let (time, server, user, host, rest) = if is_syslog(record) {
        let ([header, user, host], rest) = fields(record)?;
        let server = header.rsplit(|byte| *byte == b' ').next()?;
        (None, server, user, host, rest)
    } else {
        let ([time, server, user, host], rest) = fields(record)?;
        (Some(time), server, user, host, rest)
    };
    let (connection, rest) = number_to_comma(rest)?;
    let (query, rest) = number_to_comma(rest)?;
    let ([operation, schema], rest) = fields(rest)?;
    Some(Fields {
        time,
        server,
        user,
        host,
        connection,
        query,
        operation,
        schema,
        rest,
    })
}

/// Splits at the first commas; gives what is behind them too.
fn fields<const COUNT: usize>(record: &[u8]) -> Option<([&[u8]; COUNT], &[u8])> {
    let mut fields = [record; COUNT];
    let mut from = 0;
    for (field, comma) in fields.iter_mut().zip(commas::<COUNT>(record)?) {
        *field = record.get(from..comma)?;
        from = comma + 1;
    }
    Some((fields, record.get(from..)?))
}

/// Reads a whole number of up to 18 digits that ends with a comma; gives what is behind it too.
fn number_to_comma(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut sum = 0_i64;
    for (at, byte) in bytes.iter().take(19).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let is_whole = *byte == b',' && at > 0;
            return is_whole.then_some((sum, bytes.get(at + 1..)?));
        }
        // A nineteenth may not fit, and is not told.
        sum = sum.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    None
}

/// Where the first commas are, eight bytes at a time: the fields are a few bytes long, and a search begun for each costs
/// more than it skips.
fn commas<const COUNT: usize>(record: &[u8]) -> Option<[usize; COUNT]> {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let mut places = [0; COUNT];
    let mut open = places.iter_mut();
    let mut place = open.next()?;
    let (words, rest) = record.as_chunks::<8>();
    for (from, word) in (0..).step_by(8).zip(words) {
        let other = u64::from_le_bytes(*word) ^ (0x0101_0101_0101_0101 * u64::from(b','));
        // The high bit of each byte that is none other.
        let mut found = !(((other & LOW) + LOW) | other | LOW);
        while found != 0 {
            *place = from + found.trailing_zeros() as usize / 8;
            let Some(next) = open.next() else {
                return Some(places);
            };
            place = next;
            found &= found - 1;
        }
    }
    for (at, byte) in (record.len() - rest.len()..).zip(rest) {
        if *byte == b',' {
            *place = at;
            let Some(next) = open.next() else {
                return Some(places);
            };
            place = next;
        }
    }
    None
}

/// Whether a line has a syslog header in front: `<syslog ts> <host> <ident>: <info> <serverhost>,…`.
///
/// The plugin writes no time of its own there.
fn is_syslog(line: &[u8]) -> bool {
    let first = line.first();
    let header = first.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'<')
        || first.is_some_and(u8::is_ascii_digit) && line.get(10) == Some(&b'T');
    header && memchr::memmem::find(line, b": ").is_some()
}

fn starts(line: &[u8]) -> bool {
    clock::compact(line).is_some() && line.get(17) == Some(&b',')
        || line
            .iter()
            .take(17)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
            == 16
            && line.get(16) == Some(&b',')
}

/// Whether a QUERY record's statement is closed on its line: it ends with `',<code>`, or has no statement.
fn closed(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    if line.ends_with(b",") {
        return true;
    }
    let code = line
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let before = line.get(..line.len() - code).unwrap_or_default();
    code > 0 && before.ends_with(b"',") || memchr::memmem::find(line, b",'").is_none()
}

fn time(
    field: &[u8],
    context: &Context,
    state: &mut SourceState,
) -> Option<(Timestamp, TimeQuality)> {
    if let Some((written, time)) = &state.written
        && written == field
    {
        return Some((*time, context.zone_quality));
    }
    if let Some(civil) = clock::compact(field) {
        let time = civil.local(context, state)?;
        state.written = field.try_into().ok().map(|field| (field, time));
        return Some((time, context.zone_quality));
    }
    // Aurora: microseconds since the epoch.
    (field.len() == 16)
        .then(|| number(field))
        .flatten()
        .map(|micros| (Timestamp(micros), TimeQuality::Stated))
}

fn operation(field: &[u8]) -> Option<&'static str> {
    Some(match field {
        b"QUERY" | b"QUERY_DDL" | b"QUERY_DML" | b"QUERY_DCL" | b"QUERY_DML_NO_SELECT" => "query",
        b"READ" => "read",
        b"WRITE" => "write",
        b"CREATE" => "create",
        b"ALTER" => "alter",
        b"DROP" => "drop",
        b"RENAME" => "rename",
        b"CONNECT" => "connect",
        b"DISCONNECT" => "disconnect",
        b"FAILED_CONNECT" => "failed_connect",
        b"CHANGEUSER" => "change_user",
        _ => return None,
    })
}

fn without_port(host: &[u8]) -> &[u8] {
    // `[address]:port`.
    if let Some(inner) = host.strip_prefix(b"[") {
        return memchr::memchr(b']', inner)
            .and_then(|at| inner.get(..at))
            .unwrap_or(host);
    }
    let (name, port) = number_at_end(host);
    match name.strip_suffix(b":") {
        Some(name) if !port.is_empty() && !name.contains(&b':') => name,
        _ => host,
    }
}

/// Parts bytes from the digits they end with.
fn number_at_end(bytes: &[u8]) -> (&[u8], &[u8]) {
    let digits = bytes
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    bytes
        .split_at_checked(bytes.len() - digits)
        .unwrap_or((bytes, &[]))
}

/// Reads object and return code as the operation has them.
fn object<'a>(
    event: &mut Event<'a>,
    operation: &'static str,
    fields: &Fields<'a>,
    texts: Texts<'a>,
    context: &Context,
) {
    if !fields.schema.is_empty() {
        event.put_text(Field::Schema, texts.get(fields.schema));
    }
    let rest = fields.rest;
    match operation {
        "query" => {
            let (before, code) = number_at_end(rest);
            let (quoted, code) = match (before.strip_suffix(b","), number(code)) {
                (Some(quoted), Some(code)) if quoted.ends_with(b"'") => (quoted, Some(code)),
                _ => (rest, None),
            };
            let raw = quoted.strip_prefix(b"'").unwrap_or(quoted);
            let raw = if code.is_some() {
                raw.strip_suffix(b"'").unwrap_or(raw)
            } else {
                raw
            };
            if code.is_none() || raw.len() + 1 >= STATEMENT_LIMIT {
                event.put_int(Field::StatementCut, 1);
            }
            event.put_text(Field::Statement, unescape(raw, texts));
            if let Some(code) = code {
                event.put_int(Field::ErrorCode, code);
            }
        }
        "read" | "write" | "create" | "alter" | "drop" | "rename" => {
            // Nearly every such record ends with a comma.
            let name = rest.strip_suffix(b",").unwrap_or_else(|| {
                let comma = memchr::memrchr(b',', rest);
                comma.and_then(|at| rest.get(..at)).unwrap_or(rest)
            });
            let bar = memchr::memchr(b'|', name);
            let old = bar.and_then(|at| name.get(..at)).unwrap_or(name);
            // RENAME tells `old|schema.new`.
            let new = bar.and_then(|at| name.get(at + 1..)).map(|new| {
                let dot = memchr::memchr(b'.', new);
                dot.and_then(|dot| new.get(dot + 1..)).unwrap_or(new)
            });
            let tables = || {
                let mut tables = vec![table(texts.get(old), context)];
                tables.extend(new.map(|new| table(texts.get(new), context)));
                Value::List(tables)
            };
            if operation != "read" {
                event.put_with(Field::TablesWritten, tables);
            }
            event.put_with(Field::Tables, tables);
        }
        _ => {
            let mut parts = rest.split(|byte| *byte == b',');
            let _tls = parts.next();
            if let Some(code) = parts.next().and_then(number) {
                event.put_int(Field::ErrorCode, code);
            }
        }
    }
}

#[inline]
fn table<'a>(name: Cow<'a, str>, context: &Context) -> Cow<'a, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(context.table(name)),
        Cow::Owned(name) => Cow::Owned(context.table(&name).to_owned()),
    }
}

/// Undoes the plugin's escapes: `\'`, `\\`, `\n`, `\t`, `\r`, `\b`, `\f`.
fn unescape<'a>(raw: &'a [u8], texts: Texts<'a>) -> Cow<'a, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return texts.get(raw);
    }
    let mut plain = Vec::with_capacity(raw.len());
    let mut from = 0;
    while let Some(at) = raw.get(from..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        plain.extend_from_slice(raw.get(from..from + at).unwrap_or_default());
        match raw.get(from + at + 1) {
            Some(b'n') => plain.push(b'\n'),
            Some(b't') => plain.push(b'\t'),
            Some(b'r') => plain.push(b'\r'),
            Some(b'b') => plain.push(8),
            Some(b'f') => plain.push(12),
            Some(other) => plain.push(*other),
            None => {}
        }
        from += at + 2;
    }
    plain.extend_from_slice(raw.get(from..).unwrap_or_default());
    Cow::Owned(
        String::from_utf8(plain)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::number;

    proptest! {
        #[test]
        fn commas_are_where_a_plain_look_finds_them(record in prop::collection::vec(prop_oneof![Just(b','), any::<u8>()], 0..64)) {
            let plain: Vec<_> = (0..record.len()).filter(|at| record[*at] == b',').collect();
            prop_assert_eq!(super::commas(&record), plain.first_chunk::<1>().copied());
            prop_assert_eq!(super::commas(&record), plain.first_chunk::<8>().copied());
        }

        #[test]
        fn fields_are_what_a_plain_split_gives(record in prop::collection::vec(prop_oneof![Just(b','), any::<u8>()], 0..64)) {
            let plain: Vec<_> = record.splitn(4, |byte| *byte == b',').collect();
            let plain = plain.split_last_chunk::<1>().and_then(|(fields, [rest])| Some((*fields.first_chunk::<3>()?, *rest)));
            prop_assert_eq!(super::fields(&record), plain);
        }

        #[test]
        fn a_number_to_a_comma_is_the_number_before_it(text in "[0-9]{0,20}[,a-]?[0-9,]{0,3}") {
            let plain = text.split_once(',').and_then(|(before, rest)| Some((number(before.as_bytes())?, rest.as_bytes())));
            prop_assert_eq!(super::number_to_comma(text.as_bytes()), plain);
        }

        #[test]
        fn digits_at_the_end_are_parted(text in "[0-9a:,]{0,12}") {
            let (before, digits) = super::number_at_end(text.as_bytes());
            prop_assert_eq!([before, digits].concat(), text.as_bytes());
            prop_assert!(digits.iter().all(u8::is_ascii_digit));
            prop_assert!(!before.last().is_some_and(u8::is_ascii_digit));
        }
    }

    #[test]
    fn a_port_is_taken_off_a_host_that_has_one() {
        let check = |host: &str, expected: &str| {
            assert_eq!(super::without_port(host.as_bytes()), expected.as_bytes());
        };
        check("10.0.0.12", "10.0.0.12");
        check("10.0.0.12:53412", "10.0.0.12");
        check("app1:", "app1:");
        check("app1:x1", "app1:x1");
        check(":1", "");
        check("1", "1");
        check("", "");
        check("2001:db8::7", "2001:db8::7");
        check("[2001:db8::7]:53412", "2001:db8::7");
        check("[2001:db8::7", "[2001:db8::7");
    }
}

//! The slow query log of MySQL, MariaDB and Percona Server: some comment lines, then the statement.

use model::{Category, Event, Field, TimeQuality, Timestamp, Value};

use crate::mysql_log::{is_banner, server_start, time};
use crate::{
    Context, Format, Frame, ParseError, SourceState, lines, micros, number, text, until_start,
};

pub(crate) struct MysqlSlow;

const NAME: &str = "mysql_slow";

impl Format for MysqlSlow {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 12).any(|line| line.starts_with(b"# User@Host:"))
    }

    fn frame(&self, bytes: &[u8], end: bool) -> Frame {
        // `# User@Host:` starts a record unless `# Time:` stands right before it.
        let skip = if bytes.starts_with(b"# Time:") {
            memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
        } else {
            0
        };
        match until_start(bytes.get(skip..).unwrap_or_default(), end, |next| {
            next.starts_with(b"# User@Host:") || next.starts_with(b"# Time:") || is_banner(next)
        }) {
            Frame::Record { end } => Frame::Record { end: skip + end },
            Frame::More => Frame::More,
        }
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        if let Some(event) = server_start(record, state) {
            return Ok(event);
        }
        let mut event = Event::new(Category::Database);
        event.put_text(Field::Operation, "query");
        let mut rest = record;
        let mut said = None;
        while let Some((line, after)) = next_line(rest) {
            if line.starts_with(b"# Time:") {
                said = time(
                    line.get(7..).unwrap_or_default().trim_ascii(),
                    context,
                    state,
                );
            } else if line.starts_with(b"# User@Host:") {
                account(&mut event, line.get(12..).unwrap_or_default());
            } else if line.starts_with(b"# administrator command: ") {
                break;
            } else if line.starts_with(b"# explain:") {
                // A plan's table, not pairs.
            } else if line.starts_with(b"#") {
                pairs(&mut event, line.get(1..).unwrap_or_default());
            } else if let Some(schema) = line.strip_prefix(b"use ") {
                let schema = schema.trim_ascii().strip_suffix(b";").unwrap_or(schema);
                event.put_text(Field::Schema, text(schema.trim_ascii()).replace('`', ""));
            } else if let Some(seconds) = set_timestamp(line) {
                // Seconds since the epoch need no zone, so they count more than `# Time:`.
                said = Some((Timestamp::from_seconds(seconds), TimeQuality::Stated));
                // The server's own SET is the last header line: what follows is the statement.
                rest = after;
                break;
            } else {
                break;
            }
            rest = after;
        }
        let statement = rest.trim_ascii();
        let statement = statement.strip_suffix(b";").unwrap_or(statement);
        if event.get(Field::DbUser).is_none() {
            return Err(ParseError::Missing {
                format: NAME,
                field: "User@Host",
            });
        }
        if let Some(command) = statement.strip_prefix(b"# administrator command: ") {
            let operation = match command {
                b"Quit" => "disconnect".to_owned(),
                other => text(other).to_lowercase().replace(' ', "_"),
            };
            event.set(Field::Operation, Value::Text(operation.into()));
        } else {
            event.put_text(Field::Statement, text(statement));
        }
        if let Some((time, quality)) = said {
            event.time_quality = quality;
            state.last = Some(time);
        }
        event.time = state.last;
        Ok(event)
    }
}

/// The seconds of `SET timestamp=…;` or `SET last_insert_id=…,insert_id=…,timestamp=…;`.
fn set_timestamp(line: &[u8]) -> Option<i64> {
    let set = line.strip_prefix(b"SET ")?.strip_suffix(b";")?;
    let mut stamp = None;
    for pair in set.split(|byte| *byte == b',') {
        let equals = memchr::memchr(b'=', pair)?;
        let value = number(pair.get(equals + 1..)?.split(|byte| *byte == b'.').next()?)?;
        match pair.get(..equals)? {
            b"timestamp" => stamp = Some(value),
            b"last_insert_id" | b"insert_id" => {}
            _ => return None,
        }
    }
    stamp
}

fn next_line(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'\n', rest)?;
    Some((rest.get(..at)?.trim_ascii_end(), rest.get(at + 1..)?))
}

/// `magento[magento] @ app1 [10.0.0.12]  Id: 9`.
fn account<'a>(event: &mut Event<'a>, line: &'a [u8]) {
    let line = line.trim_ascii();
    let user = line.split(|byte| *byte == b'[').next().unwrap_or_default();
    event.put_text(Field::DbUser, text(user.trim_ascii()));
    // A user's name may hold `@`; the separator stands behind the bracketed real name.
    let at = memchr::memmem::find(line, b"] @ ")
        .map(|at| at + 2)
        .or_else(|| memchr::memchr(b'@', line));
    let Some(at) = at else { return };
    let after = line.get(at + 1..).unwrap_or_default();
    let open = memchr::memchr(b'[', after);
    let name = open
        .and_then(|open| after.get(..open))
        .unwrap_or(after)
        .trim_ascii();
    let address = open
        .and_then(|open| after.get(open + 1..))
        .and_then(|rest| rest.split(|byte| *byte == b']').next())
        .unwrap_or_default();
    event.put_text(
        Field::DbHost,
        text(if address.is_empty() { name } else { address }),
    );
    if let Some(id) = memchr::memmem::find(after, b"Id:").and_then(|at| after.get(at + 3..)) {
        event.put_int(Field::ConnectionId, number(id.trim_ascii()).unwrap_or(0));
    }
}

/// `Thread_id: 9  Schema: magento  Rows_sent: 5 …`.
fn pairs<'a>(event: &mut Event<'a>, line: &'a [u8]) {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    while let Some(name) = words.next() {
        let field = match name {
            b"Thread_id:" => Field::ConnectionId,
            b"Rows_sent:" => Field::RowsSent,
            b"Rows_examined:" => Field::RowsExamined,
            b"Rows_affected:" => Field::RowsAffected,
            b"Bytes_sent:" => Field::BytesSent,
            b"Query_time:" => {
                if let Some(time) = words.next().and_then(micros) {
                    event.put_int(Field::QueryTime, time);
                }
                continue;
            }
            b"Schema:" => {
                if let Some(schema) = words.next().filter(|word| !word.ends_with(b":")) {
                    event.put_text(Field::Schema, text(schema));
                }
                continue;
            }
            _ => continue,
        };
        if let Some(value) = words.next().and_then(number) {
            event.put_int(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MysqlSlow;
    use crate::{Format, Frame};

    #[test]
    fn a_statement_over_several_lines_is_one_record() {
        let text = b"# Time: 260805 10:15:30\n# User@Host: a[a] @ b []\nselect\n1;\n# User@Host: a[a] @ b []\nselect 2;\n";
        let Frame::Record { end } = MysqlSlow.frame(text, false) else {
            panic!("a record")
        };
        assert!(text[..end].ends_with(b"1;\n"));
        assert_eq!(MysqlSlow.frame(&text[end..], true), Frame::More);
    }
}

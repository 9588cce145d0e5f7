//! The general query log: MariaDB's two-tab form and MySQL 8's ISO form, statements over several lines.

use model::{Category, Event, Field, Value};

use crate::mysql_log::{is_banner, server_start, time};
use crate::{
    Context, Format, Frame, ParseError, SourceState, clock, lines, number, text, until_start,
};

pub(crate) struct MysqlGeneral;

const NAME: &str = "mysql_general";

/// Commands as the servers write them; longer names before their prefixes.
static COMMANDS: [(&[u8], &str); 22] = [
    (b"Query", "query"),
    (b"Connect", "connect"),
    (b"Quit", "disconnect"),
    // The text of an execution holds its values.
    (b"Execute", "query"),
    (b"Prepare", "prepare"),
    (b"Init DB", "init_db"),
    (b"Field List", "field_list"),
    (b"Close stmt", "close"),
    (b"Reset stmt", "reset"),
    (b"Change user", "change_user"),
    (b"Create DB", "create"),
    (b"Drop DB", "drop"),
    (b"Refresh", "refresh"),
    (b"Shutdown", "shutdown"),
    (b"Statistics", "statistics"),
    (b"Processlist", "processlist"),
    (b"Kill", "kill"),
    (b"Ping", "ping"),
    (b"Binlog Dump", "binlog_dump"),
    (b"Fetch", "fetch"),
    (b"Set option", "set_option"),
    (b"Reset connection", "reset"),
];

impl Format for MysqlGeneral {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 12).filter(|line| starts(line)).count() >= 1
    }

    fn frame(&self, bytes: &[u8], end: bool) -> Frame {
        until_start(bytes, end, |next| starts(next) || is_banner(next))
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
        let head = split(record).ok_or(ParseError::Missing {
            format: NAME,
            field: "command",
        })?;
        let mut event = Event::new(Category::Database);
        if let Some((time, quality)) = time(head.time, context, state) {
            state.last = Some(time);
            event.time_quality = quality;
        } else {
            // The log writes a time only when the second changes.
            event.time_quality = context.zone_quality;
        }
        event.time = state.last;
        event.put_int(Field::ConnectionId, head.connection);
        event.put_text(Field::Operation, head.operation);
        let argument = head.argument.trim_ascii();
        match head.operation {
            "connect" if argument.starts_with(b"Access denied for user ") => {
                event.set(Field::Operation, Value::Text("failed_connect".into()));
                // `Access denied for user 'x'@'h' (using password: YES)`.
                let account = argument.get(23..).unwrap_or_default();
                let mut parts = account.split(|byte| *byte == b'\'').skip(1);
                event.put_text(Field::DbUser, text(parts.next().unwrap_or_default()));
                event.put_text(Field::DbHost, text(parts.nth(1).unwrap_or_default()));
            }
            "connect" => {
                let account = argument
                    .split(|byte| *byte == b' ')
                    .next()
                    .unwrap_or_default();
                let at = memchr::memrchr(b'@', account).unwrap_or(account.len());
                let (user, host) = (
                    account.get(..at).unwrap_or_default(),
                    account.get(at + 1..).unwrap_or_default(),
                );
                state.remember(head.connection, &text(user), &text(host));
                event.put_text(Field::DbUser, text(user));
                event.put_text(Field::DbHost, text(host));
                // `user@host on schema using TCP/IP`.
                let mut words = argument
                    .split(|byte| *byte == b' ')
                    .skip_while(|word| *word != b"on")
                    .skip(1);
                if let Some(schema) = words
                    .next()
                    .filter(|schema| !schema.is_empty() && *schema != b"using")
                {
                    event.put_text(Field::Schema, text(schema));
                }
            }
            "disconnect" => {
                if let Some((user, host)) = state.accounts.remove(&head.connection) {
                    event.put_text(Field::DbUser, user);
                    event.put_text(Field::DbHost, host);
                }
            }
            _ => {
                if let Some((user, host)) = state.accounts.get(&head.connection) {
                    event.put_text(Field::DbUser, user.clone());
                    event.put_text(Field::DbHost, host.clone());
                }
                if head.operation == "init_db" {
                    event.put_text(Field::Schema, text(argument));
                } else if !argument.is_empty() {
                    event.put_text(Field::Statement, text(argument));
                }
            }
        }
        Ok(event)
    }
}

struct Head<'a> {
    time: &'a [u8],
    connection: i64,
    operation: &'static str,
    argument: &'a [u8],
}

/// `260805 10:15:30\t    12 Query\tselect 1`, `\t\t    12 Query\t…`, `2026-08-05T10:15:30.000000Z\t   12 Query\t…`.
fn split(line: &[u8]) -> Option<Head<'_>> {
    let (time, rest) = if let Some(rest) = line.strip_prefix(b"\t\t") {
        (&b""[..], rest)
    } else {
        let tab = memchr::memchr(b'\t', line.get(..40.min(line.len()))?)?;
        let time = line.get(..tab)?;
        if clock::short(time).is_none() && clock::iso_civil(time).is_none() {
            return None;
        }
        (time, line.get(tab + 1..)?)
    };
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let connection = number(rest.get(..digits)?)?;
    let command = rest.get(digits..)?.strip_prefix(b" ")?;
    let (name, operation) = COMMANDS.iter().find(|(name, _)| {
        command.starts_with(name)
            && matches!(
                command.get(name.len()),
                None | Some(b'\t' | b'\n' | b' ' | b'\r')
            )
    })?;
    Some(Head {
        time,
        connection,
        operation,
        argument: command.get(name.len()..)?,
    })
}

fn starts(line: &[u8]) -> bool {
    let first = line.first();
    (first == Some(&b'\t') || first.is_some_and(u8::is_ascii_digit)) && split(line).is_some()
}

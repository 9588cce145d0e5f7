//! Audit logs in JSON: Percona's plugin (one object a line) and MySQL Enterprise (elements of one array).
//!
//! Follows `threats.md` §3.2 and §3.3.

use model::{Category, Event, Field, TimeQuality, Value};
use serde_json::Value as Json;

use crate::{Context, Format, ParseError, SourceState, clock, lines};

pub(crate) struct PerconaAuditJson;
pub(crate) struct MysqlEnterpriseAuditJson;

/// A line of an array: the comma behind the object is not of it.
fn object(line: &[u8]) -> Option<Json> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"[").unwrap_or(line).trim_ascii();
    serde_json::from_slice(line.strip_suffix(b",").unwrap_or(line))
        .ok()
        .filter(Json::is_object)
}

/// Reads the time a record states.
pub(crate) fn time(
    event: &mut Event<'_>,
    written: &str,
    context: &Context,
    state: &mut SourceState,
) {
    if let Some((time, said)) = clock::iso(written.as_bytes(), context, state) {
        event.time = Some(time);
        event.time_quality = if said {
            TimeQuality::Stated
        } else {
            context.zone_quality
        };
        state.last = Some(time);
    }
}

/// Begins the event of a Percona record by its `NAME` and `STATUS`, in JSON and XML alike.
pub(crate) fn percona(name: &str, status: Option<i64>) -> Event<'static> {
    let operation = match name {
        "Audit" | "NoAudit" => {
            let mut event = Event::new(Category::Health);
            event.put_text(
                Field::HealthKind,
                if name == "Audit" {
                    "audit_start"
                } else {
                    "audit_off"
                },
            );
            return event;
        }
        "Connect" if status.is_some_and(|status| status != 0) => "failed_connect",
        "Connect" => "connect",
        "Quit" => "disconnect",
        "Query" | "Execute" => "query",
        "Prepare" => "prepare",
        "Change user" => "change_user",
        _ => "other",
    };
    let mut event = Event::new(Category::Database);
    event.put_text(Field::Operation, operation);
    if let Some(status) = status {
        event.put_int(Field::ErrorCode, status);
    }
    event
}

fn words(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn whole(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

impl Format for PerconaAuditJson {
    fn name(&self) -> &'static str {
        "percona_audit_json"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 1).any(|line| line.starts_with(b"{\"audit_record\""))
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let missing = ParseError::Missing {
            format: "percona_audit_json",
            field: "audit_record",
        };
        let Some(whole_record) = object(record) else {
            return Err(missing);
        };
        let record = &whole_record["audit_record"];
        if !record.is_object() {
            return Err(missing);
        }
        let mut event = percona(words(&record["name"]), whole(&record["status"]));
        time(&mut event, words(&record["timestamp"]), context, state);
        let user = words(&record["user"]);
        let address = if words(&record["ip"]).is_empty() {
            words(&record["host"])
        } else {
            words(&record["ip"])
        };
        let texts = [
            (Field::DbUser, user.split('[').next().unwrap_or(user).trim()),
            (Field::DbHost, address),
            (Field::Schema, words(&record["db"])),
            (Field::Statement, words(&record["sqltext"])),
        ];
        for (field, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            event.put_text(field, value.to_owned());
        }
        if let Some(id) = whole(&record["connection_id"]) {
            event.put_int(Field::ConnectionId, id);
        }
        Ok(event)
    }
}

impl Format for MysqlEnterpriseAuditJson {
    fn name(&self) -> &'static str {
        "mysql_enterprise_audit_json"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        lines(head, 3).any(|line| {
            object(line).is_some_and(|value| {
                value["class"].is_string()
                    && value["event"].is_string()
                    && value["connection_id"].is_number()
            })
        })
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        if let bracket @ (b"[" | b"]") = record.trim_ascii() {
            let mut event = Event::new(Category::Health);
            event.time = state.last;
            event.put_text(
                Field::HealthKind,
                if bracket == b"[" {
                    "audit_start"
                } else {
                    "audit_stop"
                },
            );
            return Ok(event);
        }
        let Some(value) = object(record) else {
            return Err(ParseError::Missing {
                format: "mysql_enterprise_audit_json",
                field: "object",
            });
        };
        let mut event = Event::new(Category::Database);
        enterprise(&mut event, &value, context);
        // The log is in UTC and says no zone.
        time(
            &mut event,
            &format!("{}Z", words(&value["timestamp"]).trim_end_matches('Z')),
            context,
            state,
        );
        Ok(event)
    }
}

/// Fills in what one element of MySQL Enterprise Audit's array says, by its class.
fn enterprise(event: &mut Event<'_>, value: &Json, context: &Context) {
    let class = words(&value["class"]);
    let data = match class {
        "connection" => &value["connection_data"],
        "table_access" => &value["table_access_data"],
        "general" => &value["general_data"],
        "audit" => {
            event.category = Category::Health;
            let kind = if words(&value["event"]) == "shutdown" {
                "audit_stop"
            } else {
                "audit_start"
            };
            event.put_text(Field::HealthKind, kind);
            return;
        }
        _ => &value["query_data"],
    };
    let status = whole(&data["status"]);
    let operation = match (class, words(&value["event"])) {
        ("connection", "connect") if status.is_some_and(|status| status != 0) => "failed_connect",
        ("connection", "connect") => "connect",
        ("connection", "disconnect") => "disconnect",
        ("connection", _) => "change_user",
        ("table_access", "read") => "read",
        ("table_access", _) => "write",
        _ => "query",
    };
    event.put_text(Field::Operation, operation);
    let address = words(&value["login"]["ip"]);
    let texts = [
        (Field::DbUser, words(&value["account"]["user"])),
        (
            Field::DbHost,
            if address.is_empty() {
                words(&value["account"]["host"])
            } else {
                address
            },
        ),
        (Field::Schema, words(&data["db"])),
        (Field::Statement, words(&data["query"])),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        event.put_text(field, text.to_owned());
    }
    if let Some(table) = data["table"].as_str() {
        let tables = vec![context.table(table).to_owned().into()];
        if operation == "write" {
            event.put(Field::TablesWritten, Value::List(tables.clone()));
        }
        event.put(Field::Tables, Value::List(tables));
    }
    let statistics = &value["query_statistics"];
    let numbers = [
        (Field::ConnectionId, whole(&value["connection_id"])),
        (Field::ErrorCode, status),
        (Field::RowsSent, whole(&statistics["rows_sent"])),
        (Field::RowsExamined, whole(&statistics["rows_examined"])),
        (Field::BytesSent, whole(&statistics["bytes_sent"])),
        (
            Field::QueryTime,
            crate::micros(statistics["query_time"].to_string().as_bytes()),
        ),
    ];
    for (field, number) in numbers {
        if let Some(number) = number {
            event.put_int(field, number);
        }
    }
}

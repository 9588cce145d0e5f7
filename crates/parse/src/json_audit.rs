//! Audit logs in JSON: Percona's plugin (one object a line) and MySQL Enterprise (elements of one array).
//!
//! Follows `threats.md` §3.2 and §3.3.

use model::{Category, Event, Field, TimeQuality};
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

fn time(event: &mut Event<'_>, written: &str, context: &Context, state: &mut SourceState) {
    if let Some((time, said)) = clock::iso(written.as_bytes(), context, state) {
        event.time = Some(time);
        event.time_quality = if said {
            TimeQuality::Stated
        } else {
            context.zone_quality
        };
    }
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
        let mut event = Event::new(Category::Database);
        time(&mut event, words(&record["timestamp"]), context, state);
        let operation = match words(&record["name"]) {
            "Connect" if whole(&record["status"]) != Some(0) => "failed_connect",
            "Connect" => "connect",
            "Quit" => "disconnect",
            "Query" | "Execute" => "query",
            "Prepare" => "prepare",
            "Change user" => "change_user",
            _ => "other",
        };
        event.put_text(Field::Operation, operation);
        let user = words(&record["user"]);
        event.put_text(
            Field::DbUser,
            user.split('[').next().unwrap_or(user).to_owned(),
        );
        let address = if words(&record["ip"]).is_empty() {
            words(&record["host"])
        } else {
            words(&record["ip"])
        };
        event.put_text(Field::DbHost, address.to_owned());
        event.put_text(Field::Schema, words(&record["db"]).to_owned());
        event.put_int(
            Field::ConnectionId,
            whole(&record["connection_id"]).unwrap_or(0),
        );
        event.put_int(Field::ErrorCode, whole(&record["status"]).unwrap_or(0));
        if let Some(statement) = record["sqltext"].as_str() {
            event.put_text(Field::Statement, statement.to_owned());
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
                    && value["connection_id"].is_i64()
            })
        })
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        if matches!(record.trim_ascii(), b"[" | b"]") {
            return Ok(Event::new(Category::Health));
        }
        let Some(value) = object(record) else {
            return Err(ParseError::Missing {
                format: "mysql_enterprise_audit_json",
                field: "object",
            });
        };
        let mut event = Event::new(Category::Database);
        // The log is in UTC and says no zone.
        time(
            &mut event,
            &format!("{}Z", words(&value["timestamp"])),
            context,
            state,
        );
        event.put_text(Field::DbUser, words(&value["account"]["user"]).to_owned());
        let address = words(&value["login"]["ip"]);
        event.put_text(
            Field::DbHost,
            if address.is_empty() {
                words(&value["account"]["host"])
            } else {
                address
            }
            .to_owned(),
        );
        event.put_int(
            Field::ConnectionId,
            value["connection_id"].as_i64().unwrap_or(0),
        );
        match words(&value["class"]) {
            "connection" => {
                let failed = whole(&value["connection_data"]["status"]).unwrap_or(0) != 0;
                let operation = match (words(&value["event"]), failed) {
                    ("connect", true) => "failed_connect",
                    ("connect", false) => "connect",
                    _ => "disconnect",
                };
                event.put_text(Field::Operation, operation);
            }
            _ => {
                event.put_text(Field::Operation, "query");
                let data = if value["general_data"].is_object() {
                    &value["general_data"]
                } else {
                    &value["query_data"]
                };
                event.put_text(Field::Statement, words(&data["query"]).to_owned());
                event.put_int(Field::ErrorCode, whole(&data["status"]).unwrap_or(0));
            }
        }
        for (field, name) in [
            (Field::RowsSent, "rows_sent"),
            (Field::RowsExamined, "rows_examined"),
            (Field::BytesSent, "bytes_sent"),
        ] {
            if let Some(count) = whole(&value["query_statistics"][name]) {
                event.put_int(field, count);
            }
        }
        Ok(event)
    }
}

//! JSON documents of other programs, one a line, each described by a table: where its time is, and which of its members is
//! which field. Yours: a [`Feed`] here and its entry in [`crate::FORMATS`].
//!
//! Follows `threats.md` §3.8–§3.10 (ProxySQL, ModSecurity v3). Names of Suricata's, Falco's, Zeek's and
//! Cloudflare's members are as their makers document them, and unverified on a live system; systemd's were read in systemd 252.

use std::borrow::Cow;

use model::{Category, Event, Field, TimeQuality, Timestamp, Value};
use serde_json::Value as Json;

use crate::network::client;
use crate::{Context, Format, ParseError, SourceState, clock, combined, lines, micros, text};

/// Texts read of one list.
const LIST_MAX: usize = 64;

/// How a member is read.
#[derive(Clone, Copy)]
enum How {
    Text,
    /// An address without its port.
    Address,
    /// Path and query.
    Uri,
    Int,
    /// A list of objects: one member of each.
    Each(&'static str),
}

/// How a time is written.
#[derive(Clone, Copy)]
enum Clock {
    Iso,
    /// Seconds since 1970 with a fraction.
    Seconds,
    /// Microseconds since 1970, also as a text.
    Micros,
    /// ISO 8601, or nanoseconds since 1970.
    IsoOrNanos,
    /// `Wed Aug  5 10:15:30 2026`, in the server's zone.
    Ctime,
}

/// A kind of document. Members are named by JSON pointers; of several the first that is there counts.
pub(crate) struct Feed {
    name: &'static str,
    category: Category,
    /// Members every one has.
    needs: &'static [&'static str],
    time: (&'static [&'static str], Clock),
    fields: &'static [(Field, &'static [&'static str], How)],
    /// What is said of every one.
    always: &'static [(Field, &'static str)],
}

pub(crate) static PROXYSQL: Feed = Feed {
    name: "proxysql_json",
    category: Category::Database,
    needs: &["/digest", "/username", "/thread_id", "/event"],
    time: (&["/starttime_timestamp_us"], Clock::Micros),
    fields: &[
        (Field::DbUser, &["/username"], How::Text),
        (Field::DbHost, &["/client"], How::Address),
        (Field::ConnectionId, &["/thread_id"], How::Int),
        (Field::Schema, &["/schemaname"], How::Text),
        (Field::Statement, &["/query"], How::Text),
        (Field::RowsSent, &["/rows_sent"], How::Int),
        (Field::RowsAffected, &["/rows_affected"], How::Int),
        (Field::QueryTime, &["/duration_us"], How::Int),
    ],
    always: &[(Field::Operation, "query")],
};

pub(crate) static MODSECURITY: Feed = Feed {
    name: "modsecurity_json",
    category: Category::Webserver,
    needs: &[
        "/transaction/client_ip",
        "/transaction/request",
        "/transaction/producer",
    ],
    time: (&["/transaction/time_stamp"], Clock::Ctime),
    fields: &[
        (Field::ClientIp, &["/transaction/client_ip"], How::Address),
        (Field::Method, &["/transaction/request/method"], How::Text),
        (Field::Uri, &["/transaction/request/uri"], How::Uri),
        (
            Field::Status,
            &["/transaction/response/http_code"],
            How::Int,
        ),
        (
            Field::Host,
            &[
                "/transaction/request/headers/Host",
                "/transaction/request/headers/host",
            ],
            How::Text,
        ),
        (
            Field::UserAgent,
            &[
                "/transaction/request/headers/User-Agent",
                "/transaction/request/headers/user-agent",
            ],
            How::Text,
        ),
        (
            Field::Signatures,
            &["/transaction/messages"],
            How::Each("/details/ruleId"),
        ),
        (
            Field::Message,
            &["/transaction/messages"],
            How::Each("/message"),
        ),
    ],
    always: &[],
};

pub(crate) static CLOUDFLARE: Feed = Feed {
    name: "cloudflare_json",
    category: Category::Webserver,
    needs: &["/ClientIP", "/ClientRequestURI", "/EdgeResponseStatus"],
    time: (&["/EdgeStartTimestamp"], Clock::IsoOrNanos),
    fields: &[
        (Field::ClientIp, &["/ClientIP"], How::Address),
        (Field::Method, &["/ClientRequestMethod"], How::Text),
        (Field::Uri, &["/ClientRequestURI"], How::Uri),
        (Field::Status, &["/EdgeResponseStatus"], How::Int),
        (
            Field::ResponseBytes,
            &["/EdgeResponseBytes", "/EdgeResponseBodyBytes"],
            How::Int,
        ),
        (Field::Host, &["/ClientRequestHost"], How::Text),
        (Field::UserAgent, &["/ClientRequestUserAgent"], How::Text),
        (Field::Referer, &["/ClientRequestReferer"], How::Text),
    ],
    always: &[],
};

pub(crate) static SURICATA: Feed = Feed {
    name: "suricata_eve",
    category: Category::Network,
    needs: &["/timestamp", "/event_type"],
    time: (&["/timestamp"], Clock::Iso),
    fields: &[
        (Field::NetworkEvent, &["/event_type"], How::Text),
        (Field::SourceIp, &["/src_ip"], How::Address),
        (Field::DestinationIp, &["/dest_ip"], How::Address),
        (Field::DestinationPort, &["/dest_port"], How::Int),
        (
            Field::DestinationName,
            &["/tls/sni", "/http/hostname"],
            How::Text,
        ),
        (Field::BytesOut, &["/flow/bytes_toserver"], How::Int),
        (
            Field::DnsName,
            &[
                "/dns/rrname",
                "/dns/queries/0/rrname",
                "/dns/query/0/rrname",
            ],
            How::Text,
        ),
        (
            Field::DnsType,
            &[
                "/dns/rrtype",
                "/dns/queries/0/rrtype",
                "/dns/query/0/rrtype",
            ],
            How::Text,
        ),
        (Field::Signatures, &["/alert/signature_id"], How::Text),
        (Field::Message, &["/alert/signature"], How::Text),
        (Field::Severity, &["/alert/severity"], How::Text),
        (Field::LogHost, &["/host"], How::Text),
    ],
    always: &[],
};

pub(crate) static ZEEK: Feed = Feed {
    name: "zeek_json",
    category: Category::Network,
    needs: &["/ts", "/uid", "/id.orig_h", "/id.resp_h"],
    time: (&["/ts"], Clock::Seconds),
    fields: &[
        (Field::SourceIp, &["/id.orig_h"], How::Address),
        (Field::DestinationIp, &["/id.resp_h"], How::Address),
        (Field::DestinationPort, &["/id.resp_p"], How::Int),
        (
            Field::DestinationName,
            &["/server_name", "/host"],
            How::Text,
        ),
        (Field::BytesOut, &["/orig_bytes"], How::Int),
        (Field::DnsName, &["/query"], How::Text),
        (Field::DnsType, &["/qtype_name"], How::Text),
    ],
    always: &[(Field::NetworkEvent, "flow")],
};

pub(crate) static FALCO: Feed = Feed {
    name: "falco_json",
    category: Category::Process,
    needs: &["/rule", "/priority", "/output_fields"],
    time: (&["/time"], Clock::Iso),
    fields: &[
        (Field::Message, &["/rule"], How::Text),
        (Field::Severity, &["/priority"], How::Text),
        (
            Field::ProcessName,
            &["/output_fields/proc.exepath", "/output_fields/proc.name"],
            How::Text,
        ),
        (
            Field::ParentProcess,
            &["/output_fields/proc.pexepath", "/output_fields/proc.pname"],
            How::Text,
        ),
        (
            Field::CommandLine,
            &["/output_fields/proc.cmdline"],
            How::Text,
        ),
        (Field::OsUser, &["/output_fields/user.name"], How::Text),
        (
            Field::LoginUser,
            &["/output_fields/user.loginname"],
            How::Text,
        ),
        (Field::FilePath, &["/output_fields/fd.name"], How::Text),
        (Field::LogHost, &["/hostname"], How::Text),
    ],
    always: &[],
};

pub(crate) static JOURNAL: Feed = Feed {
    name: "journal_json",
    category: Category::Syslog,
    needs: &["/__REALTIME_TIMESTAMP", "/MESSAGE"],
    time: (
        &["/_SOURCE_REALTIME_TIMESTAMP", "/__REALTIME_TIMESTAMP"],
        Clock::Micros,
    ),
    fields: &[
        (Field::Message, &["/MESSAGE"], How::Text),
        (Field::Logger, &["/SYSLOG_IDENTIFIER", "/_COMM"], How::Text),
        (Field::Severity, &["/PRIORITY"], How::Text),
        (Field::LogHost, &["/_HOSTNAME"], How::Text),
        (Field::ProcessId, &["/_PID"], How::Int),
    ],
    always: &[],
};

impl Format for Feed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let (mut good, mut bad) = (0, 0);
        for line in lines(head, 4) {
            let fits = serde_json::from_slice::<Json>(line).is_ok_and(|json| self.fits(&json));
            *(if fits { &mut good } else { &mut bad }) += 1;
        }
        good > bad
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let missing = |field| ParseError::Missing {
            format: self.name,
            field,
        };
        let json: Json = serde_json::from_str(&text(record)).map_err(|_| missing("object"))?;
        if let Some(field) = self
            .needs
            .iter()
            .find(|pointer| json.pointer(pointer).is_none())
        {
            return Err(missing(field));
        }
        let mut event = Event::new(self.category);
        if let Some((time, quality)) = self
            .time
            .0
            .iter()
            .find_map(|pointer| time(json.pointer(pointer)?, self.time.1, context, state))
        {
            event.time = Some(time);
            event.time_quality = quality;
        }
        for (field, pointers, how) in self.fields {
            if let Some(member) = pointers
                .iter()
                .find_map(|pointer| json.pointer(pointer).filter(|one| !one.is_null()))
            {
                read(&mut event, *field, member, *how, context);
            }
        }
        for (field, value) in self.always {
            event.put_text(*field, *value);
        }
        if event.get(Field::DnsName).is_some() {
            event.category = Category::Dns;
        }
        Ok(event)
    }
}

impl Feed {
    fn fits(&self, json: &Json) -> bool {
        self.needs
            .iter()
            .all(|pointer| json.pointer(pointer).is_some())
    }
}

/// A member's text; numbers as they are written.
fn words(member: &Json) -> Option<Cow<'_, str>> {
    match member {
        Json::String(text) => Some(Cow::Borrowed(text)),
        Json::Number(number) => Some(Cow::Owned(number.to_string())),
        // systemd writes bytes that are no text as numbers.
        Json::Array(bytes) => {
            let bytes: Option<Vec<u8>> = bytes
                .iter()
                .map(|byte| u8::try_from(byte.as_u64()?).ok())
                .collect();
            Some(Cow::Owned(String::from_utf8_lossy(&bytes?).into_owned()))
        }
        _ => None,
    }
}

fn whole(member: &Json) -> Option<i64> {
    member
        .as_i64()
        .or_else(|| member.as_str()?.trim().parse().ok())
}

fn read(event: &mut Event<'_>, field: Field, member: &Json, how: How, context: &Context) {
    let said = || {
        words(member)
            .filter(|text| !text.is_empty() && text != "-")
            .map(Cow::into_owned)
    };
    match how {
        How::Text => {
            if let Some(text) = said() {
                event.put_text(field, text);
            }
        }
        How::Uri => {
            if let Some(text) = said() {
                combined::uri(event, Cow::Owned(text));
            }
        }
        How::Address => {
            let Some(text) = said() else { return };
            // `10.0.0.12:53412`, `[2001:db8::1]:53412`; an IPv6 address by itself has no port.
            let without = match text.rsplit_once(':') {
                Some((address, port))
                    if port.bytes().all(|byte| byte.is_ascii_digit())
                        && (address.ends_with(']') || !address.contains(':')) =>
                {
                    address
                }
                _ => &text,
            };
            let address = Cow::Owned(without.trim_matches(['[', ']']).to_owned());
            if field == Field::ClientIp {
                event.put_text(field, client(&address, "", &context.trusted_proxies));
                event.put_text(Field::PeerIp, address);
            } else {
                event.put_text(field, address);
            }
        }
        How::Int => {
            if let Some(number) = whole(member) {
                event.put_int(field, number);
            }
        }
        How::Each(pointer) => {
            let all = member.as_array().into_iter().flatten();
            let texts: Vec<Cow<'_, str>> = all
                .filter_map(|one| {
                    words(one.pointer(pointer)?).map(|text| Cow::Owned(text.into_owned()))
                })
                .take(LIST_MAX)
                .collect();
            if !texts.is_empty() {
                event.put(field, Value::List(texts));
            }
        }
    }
}

fn time(
    member: &Json,
    clock: Clock,
    context: &Context,
    state: &mut SourceState,
) -> Option<(Timestamp, TimeQuality)> {
    let text = words(member)?;
    let stated = |micros: i64| Some((Timestamp(micros), TimeQuality::Stated));
    match clock {
        Clock::Iso => {
            let (time, said) = clock::iso(text.as_bytes(), context, state)?;
            Some((
                time,
                if said {
                    TimeQuality::Stated
                } else {
                    context.zone_quality
                },
            ))
        }
        Clock::Seconds => stated(micros(text.as_bytes())?),
        Clock::Micros => stated(text.parse().ok()?),
        Clock::IsoOrNanos => match text.parse::<i64>() {
            Ok(nanos) => stated(nanos / 1000),
            Err(_) => time(member, Clock::Iso, context, state),
        },
        Clock::Ctime => {
            // The weekday says nothing; the day may be padded with a blank.
            let mut words = text.split_ascii_whitespace().skip(1);
            let (month, day, of_day, year) =
                (words.next()?, words.next()?, words.next()?, words.next()?);
            let month = clock::month(month.as_bytes())?;
            let iso = format!("{year}-{month:02}-{day:0>2}T{of_day}");
            let civil = clock::iso_civil(iso.as_bytes())?;
            Some((civil.local(context, state)?, context.zone_quality))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PROXYSQL;
    use crate::{Context, FORMATS, Format as _, SourceState, sniff};
    use model::Field;
    use proptest::prelude::*;

    #[test]
    fn a_client_behind_a_port_is_its_address() {
        for (written, read) in [
            ("10.0.0.12:53412", "10.0.0.12"),
            ("[2001:db8::1]:53412", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("db1", "db1"),
        ] {
            let record = format!(
                r#"{{"digest":"0x1","username":"shop","thread_id":4,"event":"COM_QUERY","client":"{written}","query":"SELECT 1"}}"#
            );
            let event = PROXYSQL
                .parse(
                    record.as_bytes(),
                    &Context::default(),
                    &mut SourceState::default(),
                )
                .expect("reads")
                .into_owned();
            assert_eq!(event.text(Field::DbHost), Some(read));
            assert_eq!(
                sniff(format!("{record}\n").as_bytes()).map(|format| format.name()),
                Some("proxysql_json")
            );
        }
    }

    proptest! {
        #[test]
        fn any_document_is_read_or_refused(key in "[a-zA-Z_./]{1,12}", value in "\\PC{0,20}", number in any::<i64>(), at in 0..7_usize) {
            let feeds = ["proxysql_json", "modsecurity_json", "cloudflare_json", "suricata_eve", "zeek_json", "falco_json", "journal_json"];
            let format = FORMATS.iter().find(|format| format.name() == feeds[at]).expect("there");
            let odd = serde_json::json!([value, number, null, {"a": [value]}]);
            let record = serde_json::json!({"digest": value, "username": number, "thread_id": odd, "event": odd, "client": value, "starttime_timestamp_us": number, "query": odd,
                "transaction": {"client_ip": value, "request": odd, "producer": 1, "time_stamp": value, "messages": odd}, "ClientIP": value, "ClientRequestURI": value,
                "EdgeResponseStatus": odd, "EdgeStartTimestamp": number, "timestamp": value, "event_type": value, "src_ip": value, "ts": number, "uid": 1, "id.orig_h": value,
                "id.resp_h": odd, "rule": value, "priority": odd, "output_fields": {"proc.name": value}, "time": value, "__REALTIME_TIMESTAMP": value, "MESSAGE": [number, 7], key: odd});
            let _event = format.parse(record.to_string().as_bytes(), &Context::default(), &mut SourceState::default());
            let _none = format.parse(value.as_bytes(), &Context::default(), &mut SourceState::default());
        }
    }
}

//! JSON access logs of nginx and its like: one object a line, under the key names in common use.

use std::borrow::Cow;

use model::{Category, Event, Field, TimeQuality};
use serde_json::{Map, Value as Json};

use crate::network::client;
use crate::{Context, Format, ParseError, SourceState, clock, combined, lines, micros};

pub(crate) struct NginxJson;

const NAME: &str = "nginx_json";

impl Format for NginxJson {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let mut seen = 0;
        for line in lines(head, 4) {
            let Ok(Json::Object(map)) = serde_json::from_slice(line) else {
                return false;
            };
            let known = text(&map, &["status", "sc-status"]).is_some()
                && text(&map, &["uri", "request_uri", "request", "path"]).is_some();
            if !known {
                return false;
            }
            seen += 1;
        }
        seen > 0
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        let missing = |field| ParseError::Missing {
            format: NAME,
            field,
        };
        let Ok(Json::Object(map)) = serde_json::from_slice::<Json>(record) else {
            return Err(missing("object"));
        };
        let mut event = Event::new(Category::Webserver);
        time(&mut event, &map, context, state);
        let status = text(&map, &["status", "sc-status"])
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| missing("status"))?;
        event.put_int(Field::Status, status);
        let peer = Cow::Owned(
            text(
                &map,
                &[
                    "remote_addr",
                    "client_ip",
                    "clientip",
                    "client",
                    "remote_ip",
                ],
            )
            .ok_or_else(|| missing("remote_addr"))?,
        );
        let forwarded =
            text(&map, &["xff", "http_x_forwarded_for", "x_forwarded_for"]).unwrap_or_default();
        event.put_text(
            Field::ClientIp,
            client(&peer, &forwarded, &context.trusted_proxies),
        );
        event.put_text(Field::PeerIp, peer);
        if !forwarded.is_empty() && forwarded != "-" {
            event.put_text(Field::ForwardedFor, forwarded);
        }
        request(&mut event, &map).ok_or_else(|| missing("uri"))?;
        let number = |names: &[&str]| text(&map, names).and_then(|text| text.parse().ok());
        event.put_int(
            Field::ResponseBytes,
            number(&["bytes", "body_bytes_sent", "bytes_sent"]).unwrap_or(0),
        );
        for (field, names) in [
            (
                Field::UserAgent,
                &["ua", "http_user_agent", "user_agent", "agent"][..],
            ),
            (Field::Referer, &["referer", "http_referer", "referrer"]),
            (Field::Host, &["host", "http_host", "server", "server_name"]),
            (Field::HttpUser, &["remote_user", "user"]),
        ] {
            if let Some(value) = text(&map, names).filter(|value| !value.is_empty() && value != "-")
            {
                event.put_text(field, value);
            }
        }
        if let Some(time) =
            text(&map, &["rt", "request_time", "duration"]).and_then(|text| micros(text.as_bytes()))
        {
            event.put_int(Field::RequestTime, time);
        }
        Ok(event)
    }
}

/// The first of several keys that is there, as text.
fn text(map: &Map<String, Json>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match map.get(*name)? {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn time(
    event: &mut Event<'_>,
    map: &Map<String, Json>,
    context: &Context,
    state: &mut SourceState,
) {
    let Some(written) = text(
        map,
        &[
            "ts",
            "time",
            "time_iso8601",
            "@timestamp",
            "timestamp",
            "time_local",
            "msec",
        ],
    ) else {
        return;
    };
    let bytes = written.as_bytes();
    if let Some((time, said)) = clock::iso(bytes, context, state) {
        event.time = Some(time);
        event.time_quality = if said {
            TimeQuality::Stated
        } else {
            context.zone_quality
        };
    } else if let Some(time) =
        clock::common_log(bytes).or_else(|| micros(bytes).map(model::Timestamp))
    {
        event.time = Some(time);
        event.time_quality = TimeQuality::Stated;
    }
}

fn request(event: &mut Event<'_>, map: &Map<String, Json>) -> Option<()> {
    if let Some(address) = text(map, &["uri", "request_uri", "path"]) {
        if let Some(method) = text(map, &["method", "request_method"]) {
            event.put_text(Field::Method, method);
        }
        let query = text(map, &["args", "query_string"])
            .filter(|query| !query.is_empty() && !address.contains('?'));
        combined::uri(
            event,
            Cow::Owned(query.map_or_else(|| address.clone(), |query| format!("{address}?{query}"))),
        );
        return Some(());
    }
    let request = text(map, &["request"])?;
    let mut words = request.splitn(3, ' ');
    event.put_text(Field::Method, words.next().unwrap_or_default().to_owned());
    combined::uri(
        event,
        Cow::Owned(words.next().unwrap_or_default().to_owned()),
    );
    Some(())
}

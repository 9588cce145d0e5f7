//! JSON access logs of nginx and its like: one object a line, under the key names in common use.

use std::borrow::Cow;
use std::fmt;

use model::{Category, Event, Field, TimeQuality, Timestamp};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::network::client;
use crate::{Context, Format, ParseError, SourceState, clock, combined, lines, micros, text};

pub(crate) struct NginxJson;

const NAME: &str = "nginx_json";

const STATUS: &[&str] = &["status", "sc-status", "s"];
const PEER: &[&str] = &[
    "remote_addr",
    "client_ip",
    "clientip",
    "client",
    "remote_ip",
    "ip",
];
const ADDRESS: &[&str] = &["uri", "request_uri", "path", "u"];
const REQUEST: &[&str] = &["request"];
const TIME: &[&str] = &[
    "ts",
    "time",
    "time_iso8601",
    "@timestamp",
    "timestamp",
    "time_local",
    "msec",
];

impl Format for NginxJson {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let (mut good, mut bad) = (0, 0);
        for line in lines(head, 4) {
            let line = text(line);
            let known = serde_json::from_str::<Pairs<'_>>(&line).is_ok_and(|pairs| {
                pairs.find(STATUS).is_some()
                    && pairs.find(PEER).is_some()
                    && (pairs.find(ADDRESS).is_some() || pairs.find(REQUEST).is_some())
            });
            if known {
                good += 1;
            } else {
                bad += 1;
            }
        }
        good > bad
    }

    fn parse<'a>(
        &self,
        record: &'a [u8],
        context: &Context,
        state: &mut SourceState,
    ) -> Result<Event<'a>, ParseError> {
        // `escape=json` leaves bytes that are no UTF-8 as they came.
        match text(record) {
            Cow::Borrowed(record) => read(record, context, state),
            Cow::Owned(record) => read(&record, context, state).map(Event::into_owned),
        }
    }
}

fn read<'a>(
    record: &'a str,
    context: &Context,
    state: &mut SourceState,
) -> Result<Event<'a>, ParseError> {
    let missing = |field| ParseError::Missing {
        format: NAME,
        field,
    };
    let mut pairs: Pairs<'a> = serde_json::from_str(record).map_err(|_| missing("object"))?;
    let mut event = Event::new(Category::Webserver);
    if let Some((time, quality)) = pairs
        .find(TIME)
        .and_then(|value| time(value, context, state))
    {
        event.time = Some(time);
        event.time_quality = quality;
    }
    event.put_int(
        Field::Status,
        pairs
            .find(STATUS)
            .and_then(Scalar::whole)
            .ok_or_else(|| missing("status"))?,
    );
    let peer = pairs.take(PEER).ok_or_else(|| missing("remote_addr"))?;
    let forwarded = pairs.take(&["xff", "http_x_forwarded_for", "x_forwarded_for"]);
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
    request(&mut event, &mut pairs).ok_or_else(|| missing("uri"))?;
    if let Some(bytes) = pairs
        .find(&["bytes", "body_bytes_sent", "bytes_sent", "b"])
        .and_then(Scalar::whole)
    {
        event.put_int(Field::ResponseBytes, bytes);
    }
    for (field, names) in [
        (
            Field::UserAgent,
            &["ua", "http_user_agent", "user_agent", "agent"][..],
        ),
        (Field::Referer, &["referer", "http_referer", "referrer"]),
        (Field::Host, &["host", "http_host", "server", "server_name"]),
        (Field::HttpUser, &["remote_user", "user"]),
    ] {
        if let Some(value) = pairs.take(names) {
            event.put_text(field, value);
        }
    }
    // Here `-` and nothing are news: the request had none.
    for (field, names) in [
        (Field::StoreCookie, &["store_cookie", "cookie_store"][..]),
        (Field::StoreHeader, &["store_header", "http_store"]),
        (Field::RunCode, &["run_code", "mage_run_code"]),
        (Field::RunType, &["run_type", "mage_run_type"]),
    ] {
        if let Some(Scalar::Text(value)) = pairs.find(names) {
            let value = if value.is_empty() { "-" } else { value };
            event.put_text(field, value.to_owned());
        }
    }
    if let Some(time) = pairs
        .find(&["rt", "request_time", "duration"])
        .and_then(Scalar::micros)
    {
        event.put_int(Field::RequestTime, time);
    }
    Ok(event)
}

fn time(
    value: &Scalar<'_>,
    context: &Context,
    state: &mut SourceState,
) -> Option<(Timestamp, TimeQuality)> {
    if let Scalar::Text(written) = value {
        if let Some((time, said)) = clock::iso(written.as_bytes(), context, state) {
            return Some((
                time,
                if said {
                    TimeQuality::Stated
                } else {
                    context.zone_quality
                },
            ));
        }
        if let Some(time) = clock::common_log(written.as_bytes()) {
            return Some((time, TimeQuality::Stated));
        }
    }
    // `$msec`: seconds since the epoch.
    value
        .micros()
        .map(|time| (Timestamp(time), TimeQuality::Stated))
}

fn request<'a>(event: &mut Event<'a>, pairs: &mut Pairs<'a>) -> Option<()> {
    if let Some(address) = pairs.take(ADDRESS) {
        if let Some(method) = pairs.take(&["method", "request_method", "m"]) {
            event.put_text(Field::Method, method);
        }
        let query = pairs
            .take(&["args", "query_string"])
            .filter(|_| !address.contains('?'));
        combined::uri(
            event,
            query.map_or(address.clone(), |query| {
                Cow::Owned(format!("{address}?{query}"))
            }),
        );
        return Some(());
    }
    match pairs.take(REQUEST)? {
        Cow::Borrowed(request) => combined::request_line(event, request.as_bytes()),
        Cow::Owned(request) => {
            let mut read = Event::new(Category::Webserver);
            combined::request_line(&mut read, request.as_bytes());
            event.absorb(read.into_owned());
        }
    }
    Some(())
}

/// An object's members in order; of nested values only that they were there.
struct Pairs<'a>(Vec<(Cow<'a, str>, Scalar<'a>)>);

enum Scalar<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Other,
}

impl<'a> Pairs<'a> {
    /// The first of several names that is there.
    fn find(&self, names: &[&str]) -> Option<&Scalar<'a>> {
        names.iter().find_map(|name| {
            self.0
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        })
    }

    /// Takes the text of the first of several names that has one; `-` and nothing are none.
    fn take(&mut self, names: &[&str]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| {
            let (_, value) = self.0.iter_mut().find(|(key, _)| key == name)?;
            match value {
                Scalar::Text(text) if !text.is_empty() && text != "-" => Some(std::mem::take(text)),
                _ => None,
            }
        })
    }
}

impl Scalar<'_> {
    fn whole(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(text) => crate::number(text.as_bytes()),
            Self::Float(_) | Self::Other => None,
        }
    }

    /// Seconds as microseconds.
    fn micros(&self) -> Option<i64> {
        match self {
            Self::Int(number) => number.checked_mul(1_000_000),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the range is checked before"
            )]
            Self::Float(number) => (0.0..9e12)
                .contains(number)
                .then(|| (number * 1e6).round() as i64),
            Self::Text(text) => micros(text.as_bytes()),
            Self::Other => None,
        }
    }
}

/// A key: borrowed where nothing in it is escaped.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(ScalarVisitor)? {
            Scalar::Text(text) => Ok(Self(text)),
            Scalar::Int(_) | Scalar::Float(_) | Scalar::Other => Ok(Self(Cow::Borrowed(""))),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(24);
        while let Some(Key(key)) = map.next_key()? {
            pairs.push((key, map.next_value()?));
        }
        Ok(Pairs(pairs))
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

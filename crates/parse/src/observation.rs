//! What magewarden's own sources observed: files, rows, pages, what is installed, their own health.
//!
//! One flat JSON object a record, whose keys are the names of [`Field`]: `category` and `time` (RFC 3339) beside
//! them. A source writes what it saw, and this file reads it back: new kinds of observations need no new
//! format. Never recognised from bytes: only a source of ours may say that its records are observations.

use model::{Category, Event, Field, TimeQuality, Value};
use serde_json::{Map, Value as Json};

use crate::network::client;
use crate::{Context, Format, ParseError, SourceState, clock};

pub(crate) struct Observation;

/// The format's name.
pub const NAME: &str = "observation";
/// Texts of one list; more are left out.
const LIST_MAX: usize = 256;

impl Format for Observation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sniff(&self, _: &[u8]) -> bool {
        false
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
        let pairs: Map<String, Json> =
            serde_json::from_slice(record).map_err(|_| missing("object"))?;
        let find = |name: &str| pairs.get(name).and_then(Json::as_str);
        let category = find("category")
            .and_then(Category::named)
            .ok_or_else(|| missing("category"))?;
        let mut event = Event::new(category);
        event.put_text(Field::Format, NAME);
        if let Some((time, true)) =
            find("time").and_then(|time| clock::iso(time.as_bytes(), context, state))
        {
            event.time = Some(time);
            event.time_quality = TimeQuality::Stated;
        }
        for field in Field::ALL {
            if let Some(value) = pairs.get(field.name()).and_then(value) {
                event.put(*field, value);
            }
        }
        if let Some(peer) = event.text(Field::PeerIp).map(str::to_owned) {
            let forwarded = event.text(Field::ForwardedFor).unwrap_or_default();
            let client = client(&peer.into(), forwarded, &context.trusted_proxies);
            let client = client.into_owned();
            event.put_text(Field::ClientIp, client);
        }
        Ok(event)
    }
}

/// A value as events hold it; `None` for what they can't.
fn value(json: &Json) -> Option<Value<'static>> {
    Some(match json {
        Json::String(text) => Value::Text(text.clone().into()),
        Json::Number(number) => Value::Int(number.as_i64()?),
        Json::Array(list) => Value::List(
            list.iter()
                .take(LIST_MAX)
                .filter_map(|one| Some(one.as_str()?.to_owned().into()))
                .collect(),
        ),
        Json::Null | Json::Bool(_) | Json::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, expected: Option<(Category, &[(Field, Value<'static>)])>) {
        let (context, mut state) = (Context::default(), SourceState::default());
        let event = Observation.parse(record.as_bytes(), &context, &mut state);
        match expected {
            None => assert!(event.is_err(), "{record}"),
            Some((category, fields)) => {
                let event = event.expect("reads");
                assert_eq!(event.category, category);
                for (field, value) in fields {
                    assert_eq!(event.get(*field), Some(value), "{record}");
                }
            }
        }
    }

    #[test]
    fn reads_fields_by_their_names() {
        check(
            r#"{"category":"file_event","time":"2026-08-05T10:15:30Z","file.path":"pub/x.php","file.size_bytes":12,"signatures":["a","b"],"other":1}"#,
            Some((
                Category::File,
                &[
                    (Field::FilePath, Value::Text("pub/x.php".into())),
                    (Field::FileBytes, Value::Int(12)),
                    (Field::Signatures, Value::List(vec!["a".into(), "b".into()])),
                ],
            )),
        );
    }

    #[test]
    fn the_client_is_found_behind_a_proxy() {
        let context = Context {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
            ..Context::default()
        };
        for (peer, expected) in [("10.0.0.1", "192.0.2.7"), ("192.0.2.8", "192.0.2.8")] {
            let record = format!(
                r#"{{"category":"shop_row","peer-ip":"{peer}","x-forwarded-for":"198.51.100.1, 192.0.2.7"}}"#
            );
            let mut state = SourceState::default();
            let event = Observation.parse(record.as_bytes(), &context, &mut state);
            let event = event.expect("reads");
            assert_eq!(event.text(Field::ClientIp), Some(expected));
        }
    }

    #[test]
    fn refuses_what_is_no_observation() {
        check(r#"{"category":"nothing"}"#, None);
        check(r#"{"file.path":"x"}"#, None);
        check("[]", None);
        check("", None);
    }

    #[test]
    fn an_object_cannot_pass_for_another_format() {
        // `format` in the text isn't what the record was read as.
        check(
            r#"{"category":"shop_row","format":"nginx_combined"}"#,
            Some((
                Category::ShopRow,
                &[(Field::Format, Value::Text(NAME.into()))],
            )),
        );
    }

    #[test]
    fn is_never_recognised_from_bytes() {
        assert!(!Observation.sniff(b"{\"category\":\"file_event\"}\n"));
    }
}

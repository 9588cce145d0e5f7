//! The console for programs, `/api/v1`: what pages show and what can be decided on them, as `static/openapi.json` describes it.
//!
//! Errors are RFC 9457 problems. Lists are paged by a cursor over an order that nothing changes: the time of detection.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use engine::content::flows;
use engine::decider::{DecideError, Wish};
use engine::desk::{Clock, Sight, Work};
use incident::Duties;
use incident::handling::{MEASURES, measure, moves};
use model::{Act, IncidentState, Level, Obligation, Scope};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};

use crate::access::{Caller, Console, Seen};
use crate::pages::{json as answer, problem};

/// Items of a list, unless fewer are asked for.
const ITEMS_MAX: usize = 200;
/// Longest key by which a decision is told from others.
const KEY_CHARS_MAX: usize = 128;
/// Whole numbers below this are what JSON's numbers hold exactly (RFC 8259 §6).
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What is asked of a list. What isn't known is refused, so that a misspelt filter shows nothing it shouldn't.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    cursor: String,
    limit: Option<usize>,
    state: String,
    severity: String,
    store: String,
    q: String,
}

/// Incidents, the oldest first.
pub(crate) async fn incidents(
    Seen(sight): Seen,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        let known = "what may be asked is cursor, limit, state, severity, store and q, each once";
        return problem(StatusCode::BAD_REQUEST, known);
    };
    let state = IncidentState::named(&query.state);
    let severity = Level::named(&query.severity);
    if !query.state.is_empty() && state.is_none()
        || !query.severity.is_empty() && severity.is_none()
    {
        return problem(
            StatusCode::BAD_REQUEST,
            "there is no such state or severity",
        );
    }
    let after = match query
        .cursor
        .split_once('.')
        .map(|(at, id)| (at.parse::<i64>(), id))
    {
        None if query.cursor.is_empty() => None,
        Some((Ok(at), id)) => Some((at, id.to_owned())),
        _ => {
            return problem(
                StatusCode::BAD_REQUEST,
                "the cursor isn't one that was given out",
            );
        }
    };
    let limit = query.limit.unwrap_or(50);
    if limit == 0 || limit > ITEMS_MAX {
        return problem(StatusCode::BAD_REQUEST, "limit lies between 1 and 200");
    }
    let all = sight.incidents();
    let mut all: Vec<&Work> = all.iter().collect();
    all.retain(|work| {
        state.is_none_or(|state| work.state == state)
            && severity.is_none_or(|severity| work.severity == severity)
            && (query.store.is_empty() || is_of(work, &query.store))
            && crate::pages::names(&work.incident, &query.q.to_lowercase())
    });
    all.sort_by(|a, b| place(a).cmp(&place(b)));
    let total = all.len();
    if let Some((at, id)) = after {
        all.retain(|work| place(work) > (at, id.as_str()));
    }
    let has_more = all.len() > limit;
    all.truncate(limit);
    let next = all
        .last()
        .filter(|_| has_more)
        .map(|work| format!("{}.{}", work.incident.detected.0, work.incident.id));
    let items: Vec<Value> = all.into_iter().map(summary).collect();
    answer(&json!({ "items": items, "total": total, "next": next }))
}

/// None, or none for them to see.
pub(crate) fn no_incident() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such incident")
}

fn place(work: &Work) -> (i64, &str) {
    (work.incident.detected.0, &work.incident.id)
}

/// Whether it touches a website, store or view of a code.
fn is_of(work: &Work, code: &str) -> bool {
    work.incident.scopes.iter().any(|scope| match scope {
        Scope::Website(known) | Scope::Store(known) | Scope::View(known) => known == code,
        _ => false,
    })
}

fn summary(work: &Work) -> Value {
    let incident = &work.incident;
    json!({
        "id": incident.id,
        "title": incident.title,
        "state": work.state.name(),
        "severity": work.severity.name(),
        "lane": incident.lane,
        "first": incident.first.to_string(),
        "last": incident.last.to_string(),
        "detected": incident.detected.to_string(),
        "acknowledged": work.handling.acknowledged.map(|at| at.to_string()),
        "lead": work.handling.lead.as_ref().map(|lead| &lead.name),
        "scopes": incident.scopes,
        "findings": incident.findings,
        "clocks": incident.clocks.iter().map(clock).collect::<Vec<_>>(),
        "version": work.handling.version(),
    })
}

/// A duty that binds the merchant, by its time.
fn clock(clock: &Clock) -> Value {
    json!({
        "due": clock.due.to_string(),
        "duty": &*clock.rule,
        "regime": &*clock.regime,
        "recipient": &*clock.recipient,
    })
}

/// One incident: what the machine tells, how it is handled, what may be decided next.
pub(crate) async fn incident(Seen(sight): Seen, Path(id): Path<String>) -> Response {
    let Some(work) = sight.incident(&id) else {
        return no_incident();
    };
    let (incident, handling) = (&work.incident, &work.handling);
    let mut out = match sight.in_brief(&id) {
        Some(brief) => summary(&brief),
        None => return no_incident(),
    };
    let measures: BTreeMap<_, _> = MEASURES
        .iter()
        .map(|one| (one.id, measure(one, incident, handling)))
        .collect();
    let flows: Vec<Value> = flows()
        .of(incident, handling)
        .into_iter()
        .map(|flow| {
            let empty: Vec<_> = flow.empty(handling).map(|stage| &stage.id).collect();
            json!({ "id": flow.id, "title": flow.title, "follows": flow.follows, "empty": empty })
        })
        .collect();
    let next: Vec<Value> = moves(work.state)
        .map(|step| json!({ "to": step.to.name(), "reason": step.reason, "meaning": step.meaning }))
        .collect();
    let merchant = sight.merchant();
    let duties = Duties::of(incident, &merchant);
    let rules = |duties: &[&Obligation]| -> Vec<String> {
        duties.iter().map(|duty| duty.rule.clone()).collect()
    };
    let more = json!({
        "duties": {
            "binds": rules(&duties.binds),
            "unknown": rules(&duties.unknown),
            "elsewhere": rules(&duties.elsewhere),
        },
        "told": &**incident,
        "handling": &**handling,
        "measures_seconds": measures,
        "flows": flows,
        "moves": next,
    });
    if let (Some(out), Value::Object(more)) = (out.as_object_mut(), more) {
        out.extend(more);
    }
    answer(&out)
}

/// Findings of an incident, in its order.
pub(crate) async fn findings(Seen(sight): Seen, Path(id): Path<String>) -> Response {
    let Some(work) = sight.incident(&id) else {
        return no_incident();
    };
    let joined = work.incident.findings.iter();
    let items: Vec<Value> = joined
        .filter_map(|joined| {
            Some(json!({ "finding": &*sight.finding(&joined.finding)?, "because": joined.because }))
        })
        .collect();
    answer(&json!({ "items": items }))
}

/// A decision as a program asks for it.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(flatten)]
    act: Act,
    #[serde(default)]
    reason: String,
    /// As `version` had it; what somebody else changed since isn't overwritten.
    seen: u64,
}

/// Takes a decision; answers when it is sealed.
pub(crate) async fn decide(
    State(console): State<Console>,
    caller: Caller,
    Path(incident): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(decider) = &console.decider else {
        return problem(StatusCode::NOT_FOUND, "this console only shows");
    };
    let Ok(body) = body else {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a decision has at most 64 KiB",
        );
    };
    let Some(asked) = read(&body) else {
        let shape = "the body isn't a decision as /api/v1/openapi.json has it";
        return problem(StatusCode::BAD_REQUEST, shape);
    };
    let key = match key(&headers) {
        Ok(key) => key,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let wish = Wish {
        key,
        incident,
        seen: asked.seen,
        act: asked.act,
        reason: asked.reason,
    };
    decided(decider.decide(&caller.principal, wish, caller.now).await)
}

/// The key by which a decision is told from others, where one was sent; `Err` says what one looks like.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut sent = headers.get_all("idempotency-key").iter();
    let Some(key) = sent.next() else {
        return Ok(None);
    };
    let fits = (1..=KEY_CHARS_MAX).contains(&key.len())
        && key.as_bytes().iter().all(u8::is_ascii_graphic)
        && sent.next().is_none();
    key.to_str()
        .ok()
        .filter(|_| fits)
        .map(|key| Some(key.to_owned()))
        .ok_or(
            "one Idempotency-Key is sent, of 1 to 128 letters, digits or signs of ASCII, without spaces: 7f3c-41",
        )
}

/// What became of a decision, for programs.
pub(crate) fn decided(outcome: Result<u64, DecideError>) -> Response {
    match outcome {
        Ok(sequence) => answer(&json!({ "entry": sequence })),
        Err(DecideError::Waiting { id }) => {
            let kind = (header::CONTENT_TYPE, "application/json");
            (
                StatusCode::ACCEPTED,
                [kind],
                json!({ "id": id }).to_string(),
            )
                .into_response()
        }
        Err(error) => problem(status(&error), &error.to_string()),
    }
}

/// Reads a decision as JSON has it: what is named is a text, and `3.0` is a whole number as `3` is.
fn read(body: &[u8]) -> Option<Asked> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    value.get("act")?.as_str()?;
    whole(value.as_object_mut()?)?;
    serde_json::from_value(value).ok()
}

/// Writes whole numbers as such: `3.0` is one in JSON's schemas.
pub(crate) fn whole(object: &mut serde_json::Map<String, Value>) -> Option<()> {
    for value in object.values_mut() {
        let whole = value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && number.abs() < WHOLE_MAX);
        if let Some(whole) = whole.filter(|_| value.is_f64()) {
            *value = serde_json::from_str(&format!("{whole:.0}")).ok()?;
        }
    }
    Some(())
}

/// How HTTP says why a decision wasn't taken.
pub(crate) fn status(error: &DecideError) -> StatusCode {
    match error {
        DecideError::NotAllowed { .. } => StatusCode::FORBIDDEN,
        DecideError::NotThere => StatusCode::NOT_FOUND,
        DecideError::Refused { .. } => StatusCode::CONFLICT,
        DecideError::OtherDecision | DecideError::Unfit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        DecideError::Waiting { .. } => StatusCode::ACCEPTED,
        DecideError::Away { .. } | DecideError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Tells which incidents changed, as they do: those the caller sees.
pub(crate) async fn events(
    Seen(sight): Seen,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut before = *sight.version().borrow();
    let news = WatchStream::from_changes(sight.version()).map(move |version| {
        let changed = changed(&sight, std::mem::replace(&mut before, version));
        let ids: Vec<_> = changed.iter().map(|work| json!({ "id": work.incident.id, "state": work.state.name(), "severity": work.severity.name(), "version": work.handling.version() })).collect();
        (version, ids)
    });
    // What changed nothing they see is no event.
    let news = news.filter(|(_, ids)| !ids.is_empty());
    let event = |(version, ids): (u64, Vec<Value>)| {
        Ok(Event::default()
            .id(version.to_string())
            .event("incidents")
            .data(Value::from(ids).to_string()))
    };
    Sse::new(news.map(event)).keep_alive(KeepAlive::default())
}

fn changed(sight: &Sight, after: u64) -> Vec<Work> {
    sight.changed_since(after)
}

/// The API's description.
pub(crate) async fn description() -> Response {
    let kind = (header::CONTENT_TYPE, "application/json");
    ([kind], include_str!("../static/openapi.json")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{key, read};

    #[track_caller]
    fn check(body: &str, is_read: bool) {
        assert_eq!(read(body.as_bytes()).is_some(), is_read, "{body}");
    }

    #[test]
    fn a_decision_is_read_by_its_name_and_nothing_else() {
        check(r#"{"act":"acknowledge","seen":0}"#, true);
        check(r#"{"act":"acknowledge","seen":3.0}"#, true);
        check(r#"{"act":"acknowledge","seen":3.5}"#, false);
        check(r#"{"act":"acknowledge","seen":-1}"#, false);
        check(r#"{"act":0,"seen":0}"#, false);
        check(r#"{"act":"burn","seen":0}"#, false);
        check(
            r#"{"act":"change_task","task":2.0,"owner":null,"due":1e15,"state":"done","seen":1}"#,
            true,
        );
        check("[]", false);
        check("", false);
    }

    #[track_caller]
    fn check_key(sent: &[&str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for text in sent {
            let text = HeaderValue::from_bytes(text.as_bytes()).expect("a header's text");
            headers.append("idempotency-key", text);
        }
        let read = key(&headers);
        assert_eq!(read.ok().flatten().as_deref(), expected, "{sent:?}");
        assert_eq!(
            key(&headers).is_err(),
            !sent.is_empty() && expected.is_none(),
            "{sent:?}"
        );
    }

    #[test]
    fn a_key_is_what_the_description_says_and_nothing_else() {
        let longest = "x".repeat(128);
        check_key(&[], None);
        for one in ["ticket-4711", "!", "~", longest.as_str()] {
            check_key(&[one], Some(one));
        }
        for one in [
            "",
            " ",
            "ticket 4711",
            "a\tb",
            "schlüssel",
            &"x".repeat(129),
        ] {
            check_key(&[one], None);
        }
        check_key(&["a", "b"], None);
    }
}

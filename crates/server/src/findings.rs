//! Findings that other systems tell, for programs alone: read, handed on, answered when they are sealed.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use engine::external::{CLAIMS_MAX, Claim, Heard, Outcome, TellError};
use serde_json::{Value, json};

use crate::access::{Caller, Console};
use crate::pages::problem;

/// Longest body: a hundred findings of ten kilobytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// Takes one finding, or a list of them.
pub(crate) async fn post(
    State(console): State<Console>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(decider) = &console.decider else {
        return problem(StatusCode::NOT_FOUND, "this console only shows");
    };
    let Ok(body) = body else {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "findings told at once have at most 1 MiB",
        );
    };
    let claims = match read(&body) {
        Ok(claims) => claims,
        Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
    };
    match decider.tell(&caller.principal, claims, caller.now).await {
        Ok(heard) => answer(&heard),
        Err(error) => refusal(&error),
    }
}

/// Reads them; says which one can't be, and nothing of what it holds.
fn read(body: &[u8]) -> Result<Vec<Claim>, String> {
    let values = match serde_json::from_slice(body) {
        Ok(Value::Array(values)) => values,
        Ok(value @ Value::Object(_)) => vec![value],
        _ => return Err("the body is a finding or a list of them, as JSON".to_owned()),
    };
    if values.len() > CLAIMS_MAX {
        return Err(TellError::Count.to_string());
    }
    let claims = values.into_iter().enumerate().map(|(at, value)| {
        serde_json::from_value(value)
            .map_err(|_| format!("finding {at} isn't one as /api/v1/openapi.json has it"))
    });
    claims.collect()
}

fn answer(heard: &[Heard]) -> Response {
    let item = |one: &Heard| match &one.outcome {
        Some(Outcome::Sealed(entry)) => json!({ "finding": one.finding, "entry": entry }),
        Some(Outcome::Refused(why)) => json!({ "finding": one.finding, "refused": why }),
        None => json!({ "finding": one.finding }),
    };
    let items: Vec<Value> = heard.iter().map(item).collect();
    let status = if heard.iter().all(|one| one.outcome.is_some()) {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let kind = (header::CONTENT_TYPE, "application/json");
    (status, [kind], json!({ "items": items }).to_string()).into_response()
}

fn refusal(error: &TellError) -> Response {
    let status = match error {
        TellError::Count => StatusCode::BAD_REQUEST,
        TellError::Often { .. } => StatusCode::TOO_MANY_REQUESTS,
        TellError::Unfit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        TellError::NotAllowed { .. } => StatusCode::FORBIDDEN,
        TellError::Elsewhere { .. } => StatusCode::CONFLICT,
        TellError::Away { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = problem(status, &error.to_string());
    if let TellError::Often { seconds } = error {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    response
}

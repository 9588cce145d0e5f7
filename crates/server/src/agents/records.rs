//! What hosts collected: asked for places, and given records.

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use engine::link::{ArrivalError, Arrivals};
use link::records::read_body;
use link::wire::{LINK_VERSION, RECORDS_BYTES_MAX, Taken};
use serde::Serialize;
use tokio::time::timeout;

use super::listener::Peer;
use super::{BODY, Link, away, closing, json};
use crate::pages::problem;

/// Tells a host up to where its records are in the ledger.
pub(super) async fn places(
    State(link): State<Link>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Response {
    let agent = match link.who(&peer) {
        Ok(agent) => agent,
        Err(answer) => return *answer,
    };
    let answer = answered(&link, move |arrivals| arrivals.places(&agent.name)).await;
    closing(&peer, answer)
}

/// Takes records; answered once they are durable.
pub(super) async fn records(
    State(link): State<Link>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    let agent = match link.who(&peer) {
        Ok(agent) => agent,
        Err(answer) => return *answer,
    };
    let Ok(read) = timeout(BODY, to_bytes(request.into_body(), RECORDS_BYTES_MAX)).await else {
        let detail = "the body took longer than 30 seconds";
        return problem(StatusCode::REQUEST_TIMEOUT, detail);
    };
    let Ok(bytes) = read else {
        let detail = format!("the body has at most {RECORDS_BYTES_MAX} bytes, and comes whole");
        return problem(StatusCode::PAYLOAD_TOO_LARGE, &detail);
    };
    // Removed while the body came, it hands over nothing any more.
    if let Err(answer) = link.who(&peer) {
        return *answer;
    }
    let at = (link.clock)();
    let answer = answered(&link, move |arrivals| {
        let (status, batches) = read_body(&bytes).map_err(|error| ArrivalError::Unfit {
            why: error.to_string(),
        })?;
        // What follows may wait for long.
        drop(bytes);
        arrivals.take(&agent.name, status, batches)?;
        Ok(Taken {
            v: LINK_VERSION,
            at,
        })
    })
    .await;
    closing(&peer, answer)
}

/// Answers what is found out beside the other requests: it reads and waits. Whoever goes meanwhile doesn't end it.
async fn answered<T: Serialize + Send + 'static>(
    link: &Link,
    ask: impl FnOnce(Arrivals) -> Result<T, ArrivalError> + Send + 'static,
) -> Response {
    let Some(arrivals) = link.arrivals.clone() else {
        return problem(StatusCode::NOT_FOUND, "no records are taken here");
    };
    let answer = tokio::task::spawn_blocking(move || ask(arrivals)).await;
    match answer.unwrap_or(Err(ArrivalError::Away {
        why: "it broke at this request",
    })) {
        Ok(answer) => json(&answer),
        Err(ArrivalError::Moved) => {
            let detail = ArrivalError::Moved.to_string();
            problem(StatusCode::PRECONDITION_FAILED, &detail)
        }
        Err(ArrivalError::Unfit { why }) => problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Err(error) => away(&error.to_string()),
    }
}

//! Evidence of runs that hosts kept, handed over a piece at a time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use engine::containment::EVIDENCE_BYTES_MAX;
use engine::link::ReportError;
use link::wire::{LINK_VERSION, Taken};
use model::WantedPiece;
use serde::Deserialize;
use tokio::time::timeout;

use super::listener::Peer;
use super::{BODY, Busy, Link, away, closing, json};
use crate::pages::problem;

/// Longest time until a piece is looked through and sealed; a host waits for less than a minute.
const TAKING: Duration = Duration::from_secs(35);

/// What is handed over.
#[derive(Deserialize)]
pub(super) struct Asked {
    run: String,
    sha256: String,
}

/// Takes a piece; answered once it is durable.
pub(super) async fn evidence(
    State(link): State<Link>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    asked: Result<Query<Asked>, QueryRejection>,
    request: Request<Body>,
) -> Response {
    let agent = match link.who(&peer) {
        Ok(agent) => agent,
        Err(answer) => return *answer,
    };
    let Ok(Query(Asked { run, sha256: hash })) = asked else {
        return problem(StatusCode::BAD_REQUEST, "say of which run: ?run=…&sha256=…");
    };
    // Each is held whole: one of a host at a time, and few of all. No name of a host has a space.
    let one = Busy::begin(&link, &format!("evidence of {}", agent.name));
    let (Some(_one), Ok(_turn)) = (one, link.pieces.try_acquire()) else {
        return away("other evidence is being taken");
    };
    let Ok(read) = timeout(BODY, to_bytes(request.into_body(), EVIDENCE_BYTES_MAX)).await else {
        let detail = "the body took longer than 30 seconds";
        return problem(StatusCode::REQUEST_TIMEOUT, detail);
    };
    let Ok(content) = read else {
        let detail = format!("a piece has at most {EVIDENCE_BYTES_MAX} bytes, and comes whole");
        return problem(StatusCode::PAYLOAD_TOO_LARGE, &detail);
    };
    // Removed while the body came, it hands over nothing any more.
    if let Err(answer) = link.who(&peer) {
        return *answer;
    }
    let (at, piece) = ((link.clock)(), WantedPiece { run, hash });
    let taken = link
        .hosts
        .evidence(&agent.name, piece, content.to_vec(), at);
    let answer = match timeout(TAKING, taken).await {
        Ok(Ok(())) => json(&Taken {
            v: LINK_VERSION,
            at,
        }),
        Ok(Err(ReportError::Unfit { why })) => problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Ok(Err(_)) | Err(_) => away("come again later"),
    };
    closing(&peer, answer)
}

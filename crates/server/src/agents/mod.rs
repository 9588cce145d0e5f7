//! Where shops' hosts report and hand over what they collect: a listener of its own, mutual TLS 1.3, six addresses and no page.
//!
//! Who asks is whoever has the key of the certificate that was shown, as the list of hosts has it at this moment; what a body says of
//! itself counts for nothing. Without a certificate one can enrol and nothing else.

mod evidence;
mod listener;
mod records;
mod tries;

use std::collections::BTreeSet;
use std::future::{Future, IntoFuture as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use engine::link::{Agent, AgentError, Agents, Arrivals, Hosts, ReportError};
use link::wire::{
    BODY_BYTES_MAX, ENROL, EVIDENCE, Enrol, PLACES, RECORDS, RENEW, REPORT, REPORT_BYTES_MAX,
    WAIT_SECONDS_MAX,
};
use model::{HostReply, HostReport, ORDER_VERSION, Timestamp};
use rustls::ServerConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ServeError;
use crate::pages::problem;
use crate::tls::{Tls, TlsListener};

use listener::{Bounded, Peer};
use tries::Tries;

/// Longest time for a body to arrive.
const BODY: Duration = Duration::from_secs(30);
/// Longest time a report may take, without what it waits for.
const REPORT_TIME: Duration = Duration::from_secs(15);
/// Pieces of evidence that are taken at once.
const PIECES_AT_ONCE: usize = 4;
/// Seconds after which somebody is to come again.
const AGAIN: &str = "5";

/// What the listener joins: who may come in, and who answers them.
#[derive(Clone)]
pub struct Link {
    agents: Arc<Agents>,
    hosts: Arc<dyn Hosts>,
    arrivals: Option<Arrivals>,
    clock: fn() -> Timestamp,
    /// Hosts whose report is being answered.
    busy: Arc<Mutex<BTreeSet<String>>>,
    tries: Arc<Tries>,
    /// Taken by whoever hands evidence over.
    pieces: Arc<Semaphore>,
}

impl Link {
    /// Of a list of hosts and of whoever answers them.
    #[must_use]
    pub fn new(agents: Arc<Agents>, hosts: Arc<dyn Hosts>, clock: fn() -> Timestamp) -> Self {
        Self {
            agents,
            hosts,
            arrivals: None,
            clock,
            busy: Arc::default(),
            tries: Arc::default(),
            pieces: Arc::new(Semaphore::new(PIECES_AT_ONCE)),
        }
    }

    /// The same, and records that hosts collected are taken.
    #[must_use]
    pub fn collecting(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = Some(arrivals);
        self
    }

    /// Who is there, or why nothing is answered.
    fn who(&self, peer: &Peer) -> Result<Agent, Box<Response>> {
        let Some(certificate) = &peer.certificate else {
            let detail = "a host shows the certificate that it was enrolled with";
            return Err(problem(StatusCode::UNAUTHORIZED, detail).into());
        };
        match self.agents.who(certificate) {
            Ok(Some(agent)) => Ok(agent),
            Ok(None) => {
                let detail = "this host was removed: invite and enrol it anew";
                Err(problem(StatusCode::FORBIDDEN, detail).into())
            }
            Err(_) => Err(away("the list of hosts can't be read").into()),
        }
    }
}

/// Serves hosts until `stop` ends. `tls` is what [`link::Authority::server`] makes.
///
/// # Errors
///
/// [`ServeError`] when the listener fails.
pub async fn serve_agents(
    link: Link,
    listener: TcpListener,
    tls: ServerConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let listen = |source| ServeError::Listen { source };
    let listener = TlsListener::new(listener, Tls::of(tls)).map_err(listen)?;
    let listener = Bounded::new(listener, Arc::clone(&link.agents));
    let router = Router::new()
        .route(REPORT, post(report))
        .route(RENEW, post(renew))
        .route(ENROL, post(enrol))
        .route(PLACES, post(records::places))
        .route(RECORDS, post(records::records))
        .route(EVIDENCE, post(evidence::evidence))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is no such address") })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "all is posted here")
        })
        .with_state(link)
        .into_make_service_with_connect_info::<Peer>();
    // Reports that wait are dropped, not waited for: they are told again.
    tokio::select! {
        result = axum::serve(listener, router).into_future() => result.map_err(listen),
        () = stop => Ok(()),
    }
}

async fn report(
    State(link): State<Link>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    let agent = match link.who(&peer) {
        Ok(agent) => agent,
        Err(answer) => return *answer,
    };
    let Some(_one) = Busy::begin(&link, &agent.name) else {
        let detail = "another report of this host is being answered";
        return problem(StatusCode::CONFLICT, detail);
    };
    let wait = wait_of(request.headers());
    let report: HostReport = match body(request, REPORT_BYTES_MAX).await {
        Ok(report) => report,
        Err(answer) => return answer,
    };
    if report.v != ORDER_VERSION {
        let detail = format!("this server knows reports of version {ORDER_VERSION}");
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &detail);
    }
    let answered = answered(&link, &agent.name, report, wait).await;
    // Removed while the answer waited, it is told nothing any more.
    if let Err(answer) = link.who(&peer) {
        return *answer;
    }
    let answer = match answered {
        Ok(reply) => json(&reply),
        Err(ReportError::Unfit { why }) => problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Err(_) => away("come again later"),
    };
    closing(&peer, answer)
}

/// Asks to connect anew, before the connection is cut: none outlives what it began with for long.
fn closing(peer: &Peer, mut answer: Response) -> Response {
    if peer.is_old() {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

/// Takes a report; where there is nothing to tell, waits for something.
async fn answered(
    link: &Link,
    name: &str,
    report: HostReport,
    wait: Duration,
) -> Result<HostReply, ReportError> {
    let take = async |report| {
        let taken = link.hosts.report(name, report, (link.clock)());
        timeout(REPORT_TIME, taken)
            .await
            .unwrap_or(Err(ReportError::Away))
    };
    let tells = !report.entries.is_empty() || !report.refused.is_empty();
    let again = HostReport {
        entries: Vec::new(),
        refused: Vec::new(),
        ..report.clone()
    };
    // From before the report on, so that no change falls between.
    let changed = link.hosts.changed(name);
    let reply = take(report).await?;
    if tells || !reply.instructions.is_empty() || wait.is_zero() {
        return Ok(reply);
    }
    match timeout(wait, changed).await {
        Ok(()) => take(again).await,
        // The clock of the reply is that of its end.
        Err(_) => Ok(HostReply {
            at: (link.clock)(),
            ..reply
        }),
    }
}

async fn renew(State(link): State<Link>, ConnectInfo(peer): ConnectInfo<Peer>) -> Response {
    if let Err(answer) = link.who(&peer) {
        return *answer;
    }
    let certificate = peer.certificate.as_ref();
    match certificate.map(|one| link.agents.renew(one, (link.clock)())) {
        Some(Ok(certified)) => json(&certified),
        Some(Err(AgentError::NoSuch)) | None => {
            problem(StatusCode::FORBIDDEN, "this host was removed")
        }
        Some(Err(_)) => away("the certificate can't be made now"),
    }
}

async fn enrol(
    State(link): State<Link>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response {
    let now = (link.clock)();
    if !link.tries.may(peer.address, now) {
        let detail = "too many words that let nobody in: wait a minute";
        let mut answer = problem(StatusCode::TOO_MANY_REQUESTS, detail);
        let minute = HeaderValue::from_static("60");
        answer.headers_mut().insert(header::RETRY_AFTER, minute);
        return answer;
    }
    let enrol: Enrol = match body(request, BODY_BYTES_MAX).await {
        Ok(enrol) => enrol,
        Err(answer) => {
            link.tries.failed(peer.address, now);
            return answer;
        }
    };
    let error = match link.agents.enrol(&enrol, now) {
        Ok(enrolled) => {
            let from = peer.address.to_string();
            let told = link.hosts.enrolled(&enrolled.name, &from, now);
            return match timeout(REPORT_TIME, told).await {
                Ok(true) => json(&enrolled),
                // Nobody comes in unseen: without its certificate the word is all that is used up.
                _ => away(
                    "that the host was let in can't be written down: remove it, and invite it anew",
                ),
            };
        }
        Err(error) => error,
    };
    let status = match error {
        AgentError::NoInvitation => StatusCode::FORBIDDEN,
        AgentError::Unfit => StatusCode::UNPROCESSABLE_ENTITY,
        AgentError::KeyTaken | AgentError::NameTaken => StatusCode::FORBIDDEN,
        _ => return away("nobody can be let in now"),
    };
    link.tries.failed(peer.address, now);
    problem(status, &error.to_string())
}

/// One report of a host at a time.
struct Busy {
    busy: Arc<Mutex<BTreeSet<String>>>,
    name: String,
}

impl Busy {
    fn begin(link: &Link, name: &str) -> Option<Self> {
        let mut busy = link.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = busy.insert(name.to_owned());
        is_first.then(|| Self {
            busy: Arc::clone(&link.busy),
            name: name.to_owned(),
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.name);
    }
}

/// How long an answer may wait: `Prefer: wait=SECONDS` (RFC 7240 §4.3).
fn wait_of(headers: &HeaderMap) -> Duration {
    let prefer = headers.get("prefer").and_then(|one| one.to_str().ok());
    let wait = prefer.and_then(|text| text.trim().strip_prefix("wait="));
    let seconds: u64 = wait.and_then(|text| text.parse().ok()).unwrap_or_default();
    Duration::from_secs(seconds.min(WAIT_SECONDS_MAX))
}

async fn body<T: DeserializeOwned>(request: Request<Body>, most: usize) -> Result<T, Response> {
    let read = timeout(BODY, to_bytes(request.into_body(), most)).await;
    let read = read.map_err(|_| {
        let detail = "the body took longer than 30 seconds";
        problem(StatusCode::REQUEST_TIMEOUT, detail)
    })?;
    let bytes = read.map_err(|_| {
        let detail = format!("the body has at most {most} bytes, and comes whole");
        problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)
    })?;
    // Where it fails to be read is the host's own affair: its words aren't shown here.
    serde_json::from_slice(&bytes).map_err(|_| {
        problem(
            StatusCode::BAD_REQUEST,
            "the body isn't what is posted here",
        )
    })
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => away("the answer can't be written"),
    }
}

fn away(detail: &str) -> Response {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    let again = HeaderValue::from_static(AGAIN);
    answer.headers_mut().insert(header::RETRY_AFTER, again);
    answer
}

//! The console: pages and the same as JSON. Extract, ask the desk, show.
//!
//! Server-rendered, usable without scripts; a small script keeps pages live. Every string of a log is
//! escaped by the template and made inert; the content security policy allows nothing inline.

mod access;
mod api;
mod metrics;
mod pages;
mod qr;
mod scim;
mod tls;

use std::convert::Infallible;
use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use engine::desk::Sight;
use model::Right;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{IntervalStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};

pub use access::{Access, Console};
pub use tls::{Tls, TlsError};

use access::Caller;
use tls::TlsListener;

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener failed.
    #[error("the console can't be served")]
    Listen {
        /// What the system said.
        source: std::io::Error,
    },
}

/// Longest body, where a page says nothing else.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Pause between two looks whether an open page's session goes on.
const LIVE_CHECK: Duration = Duration::from_secs(30);

/// Serves the console until `stop` ends.
///
/// # Errors
///
/// [`ServeError`] when the listener fails.
pub async fn serve(
    console: impl Into<Console>,
    listener: TcpListener,
    tls: Option<Tls>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let router = router(console).into_make_service_with_connect_info::<SocketAddr>();
    let listen = |source| ServeError::Listen { source };
    // Pages that are live hold their connection open: on stopping they are dropped, not waited for.
    match tls {
        None => tokio::select! {
            result = axum::serve(listener, router).into_future() => result.map_err(listen),
            () = stop => Ok(()),
        },
        Some(tls) => {
            // The tap is what tells each request where it comes from.
            let listener = TlsListener::new(listener, tls)
                .map_err(listen)?
                .tap_io(|_| {});
            tokio::select! {
                result = axum::serve(listener, router).into_future() => result.map_err(listen),
                () = stop => Ok(()),
            }
        }
    }
}

/// Every route.
pub fn router(console: impl Into<Console>) -> Router {
    let console = console.into();
    let may = |right| from_fn_with_state(right, access::allow);
    let incidents = Router::new()
        .route("/", get(pages::overview))
        .route(
            "/incidents",
            get(pages::queue).post(pages::decide_on_several),
        )
        .route("/api/incidents", get(pages::api_incidents))
        .route("/api/v1/incidents", get(api::incidents))
        .route("/api/v1/events", get(api::events))
        .route("/api/v1/openapi.json", get(api::description))
        .route_layer(may(Right::SeeIncidents));
    let incident = Router::new()
        .route("/incidents/{id}", get(pages::incident))
        // Loaded again, the address of a form is the page it is on.
        .route(
            "/incidents/{id}/decide",
            get(pages::incident).post(pages::decide),
        )
        .route("/api/incidents/{id}", get(pages::api_incident))
        .route("/api/v1/incidents/{id}", get(api::incident))
        .route("/api/v1/incidents/{id}/findings", get(api::findings))
        .route("/api/v1/incidents/{id}/decisions", post(api::decide))
        .route_layer(from_fn_with_state(console.clone(), access::allow_incident))
        .route_layer(may(Right::SeeIncidents));
    let evidence = Router::new()
        .route("/entries/{sequence}", get(pages::entry))
        .route_layer(may(Right::SeeEvidence));
    let sources = Router::new()
        .route("/sources", get(pages::sources))
        .route("/payment-pages", get(pages::payment_pages))
        .route("/modules", get(pages::modules))
        .route("/api/payment-pages", get(pages::api_payment_pages))
        .route("/api/modules", get(pages::api_modules))
        .route_layer(may(Right::SeeSources));
    let people = match &console.access {
        Access::Open => Router::new(),
        Access::People { .. } => pages::people::routes().merge(scim::routes()),
    };
    Router::new()
        .merge(incidents)
        .merge(incident)
        .merge(evidence)
        .merge(sources)
        .merge(people)
        .route("/metrics", get(metrics::metrics))
        .route("/live", get(live))
        .route(
            "/style.css",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
                    include_str!("../static/style.css"),
                )
            }),
        )
        .route(
            "/icon.svg",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "image/svg+xml")],
                    include_str!("../static/icon.svg"),
                )
            }),
        )
        .route(
            "/live.js",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
                    include_str!("../static/live.js"),
                )
            }),
        )
        .route(
            "/passkey.js",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
                    include_str!("../static/passkey.js"),
                )
            }),
        )
        .fallback(pages::no_page)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(console.clone(), access::guard))
        .with_state(console)
}

/// Tells an open page that there is news, for as long as its session is one.
async fn live(
    State(console): State<Console>,
    caller: Caller,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stores = Arc::clone(&console.stores);
    let sight = Sight::new(console.desk.clone(), caller.principal, stores);
    let mut before = *sight.version().borrow();
    // What changed nothing they see is no event: its time alone would tell of another store.
    let news = WatchStream::from_changes(console.desk.version()).filter_map(move |version| {
        let after = std::mem::replace(&mut before, version);
        sight.has_news(after).then_some(Some(version))
    });
    let ticks = IntervalStream::new(tokio::time::interval(LIVE_CHECK)).map(|_| None);
    let told = news
        .merge(ticks)
        .then(move |version| {
            let (console, session) = (console.clone(), caller.session.clone());
            async move { (version, is_live(&console, &session).await) }
        })
        .take_while(|(_, is_live)| *is_live)
        .filter_map(|(version, _)| version)
        .map(|version| Ok(Event::default().data(version.to_string())));
    Sse::new(told).keep_alive(KeepAlive::default())
}

/// Whether a page that is open is still somebody's.
async fn is_live(console: &Console, session: &str) -> bool {
    match &console.access {
        Access::People { people, now } if !session.is_empty() => {
            matches!(people.session(session, false, now()).await, Ok(Some(_)))
        }
        _ => true,
    }
}

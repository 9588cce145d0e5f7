//! The console: pages and the same as JSON, on loopback only. Extract, ask the desk, show.
//!
//! Server-rendered, usable without scripts; a small script keeps pages live. Every string of a log is
//! escaped by the template and made inert; the content security policy allows nothing inline.

mod metrics;
mod pages;

use std::convert::Infallible;
use std::future::{Future, IntoFuture as _};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::desk::Desk;
use tokio::net::TcpListener;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};

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

/// What pages may load: their own style, script and pictures, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Serves the console until `stop` ends.
///
/// # Errors
///
/// [`ServeError`] when the listener fails.
pub async fn serve(
    desk: Desk,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    // Pages that are live hold their connection open: on stopping they are dropped, not waited for.
    tokio::select! {
        result = axum::serve(listener, router(desk)).into_future() => result.map_err(|source| ServeError::Listen { source }),
        () = stop => Ok(()),
    }
}

/// Every route.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(pages::queue))
        .route("/incidents/{id}", get(pages::incident))
        .route("/entries/{sequence}", get(pages::entry))
        .route("/sources", get(pages::sources))
        .route("/payment-pages", get(pages::payment_pages))
        .route("/modules", get(pages::modules))
        .route("/metrics", get(metrics::metrics))
        .route("/api/incidents", get(pages::api_incidents))
        .route("/api/incidents/{id}", get(pages::api_incident))
        .route("/api/payment-pages", get(pages::api_payment_pages))
        .route("/api/modules", get(pages::api_modules))
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
            "/live.js",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
                    include_str!("../static/live.js"),
                )
            }),
        )
        .fallback(pages::no_page)
        .layer(middleware::from_fn(guard))
        .with_state(desk)
}

/// Refuses a request made under another host's name (DNS rebinding), and sets the policies of every answer.
async fn guard(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !matches!(name, "127.0.0.1" | "localhost" | "[::1]") {
        return (
            StatusCode::MISDIRECTED_REQUEST,
            "this console answers on 127.0.0.1 and localhost only\n",
        )
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

/// Tells an open page that there is news.
async fn live(State(desk): State<Desk>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let news = WatchStream::from_changes(desk.version())
        .map(|version| Ok(Event::default().data(version.to_string())));
    Sse::new(news).keep_alive(KeepAlive::default())
}

//! The console: pages and the same as JSON. Extract, ask the desk, show.
//!
//! Server-rendered, usable without scripts; a small script keeps pages live. Every string of a log is
//! escaped by the template and made inert; the content security policy allows nothing inline.

mod access;
mod administration;
mod agents;
mod api;
mod attachments;
mod counsel;
mod findings;
mod live;
mod metrics;
mod pages;
mod paging;
mod qr;
mod scim;
mod tls;

use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use axum::serve::ListenerExt as _;
use model::Right;
use tokio::net::TcpListener;

pub use access::{Access, Console};
pub use agents::{Link, serve_agents};
pub use pages::{Telling, TellingError};
pub use tls::{Tls, TlsError};

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
        // Loaded again, the address of the form is the queue.
        .route(
            "/incidents/views",
            get(pages::queue).post(pages::change_views),
        )
        .route("/api/v1/incidents", get(api::incidents))
        .route(
            "/api/v1/views",
            get(pages::api_views)
                .post(pages::api_keep_view)
                .delete(pages::api_remove_view),
        )
        .route("/entities/{kind}/{name}", get(pages::entity))
        .route("/api/v1/entities/{kind}/{name}", get(pages::api_entity))
        .route("/rules", get(pages::rules))
        .route("/rules/{id}", get(pages::rule))
        .route("/api/v1/rules", get(pages::api_rules))
        .route("/api/v1/rules/{id}", get(pages::api_rule))
        .route("/runs", get(pages::runs))
        .route("/runs/{id}", get(pages::run).post(pages::say))
        .route("/runs/{id}/evidence/{sha256}", get(pages::piece))
        .route("/api/v1/runs/{id}/evidence/{sha256}", get(pages::piece))
        .route(
            "/api/v1/runs",
            get(pages::api_runs).post(pages::api_propose),
        )
        .route("/api/v1/runs/{id}", get(pages::api_run))
        .route("/api/v1/runs/{id}/orders", post(pages::api_ask))
        .route("/api/v1/hosts", get(pages::api_hosts))
        .route("/api/v1/reads", get(pages::api_reads))
        .route("/api/v1/events", get(api::events))
        .route("/api/v1/openapi.json", get(api::description))
        .route_layer(may(Right::SeeIncidents));
    let playbooks = Router::new()
        .route("/playbooks", get(pages::playbooks))
        // As of `decide`.
        .route(
            "/playbooks/import",
            get(pages::playbooks).post(pages::import_playbook),
        )
        .route(
            "/playbooks/{name}",
            get(pages::playbook).post(pages::give_playbook_up),
        )
        .route(
            "/playbooks/{name}/edit",
            get(pages::edit_playbook).post(pages::change_playbook),
        )
        .route("/api/v1/playbooks", get(pages::api_all_playbooks))
        .route(
            "/api/v1/playbooks/{name}",
            get(pages::api_playbook)
                .put(pages::api_keep_playbook)
                .delete(pages::api_give_playbook_up),
        )
        .layer(DefaultBodyLimit::max(pages::PLAYBOOK_BYTES_MAX))
        .route_layer(may(Right::SeeIncidents));
    let told = Router::new()
        .route("/api/v1/findings", post(findings::post))
        .layer(DefaultBodyLimit::max(findings::BODY_BYTES_MAX))
        .route_layer(may(Right::Work));
    let incident = Router::new()
        .route("/incidents/{id}", get(pages::incident))
        // Loaded again, the address of a form is the page it is on.
        .route(
            "/incidents/{id}/decide",
            get(pages::incident).post(pages::decide),
        )
        .route("/api/v1/incidents/{id}", get(api::incident))
        .route("/api/v1/incidents/{id}/findings", get(api::findings))
        .route("/api/v1/incidents/{id}/decisions", post(api::decide))
        .route(
            "/api/v1/incidents/{id}/playbooks",
            get(pages::api_playbooks),
        )
        .route("/api/v1/incidents/{id}/plans", post(pages::api_preview))
        .route(
            "/incidents/{id}/plans/{playbook}",
            get(pages::plan).post(pages::propose),
        )
        // As of `decide`.
        .route(
            "/incidents/{id}/attachments",
            get(pages::incident).post(attachments::form),
        )
        .route(
            "/incidents/{id}/attachments/{entry}",
            get(attachments::download),
        )
        .route(
            "/api/v1/incidents/{id}/attachments",
            get(attachments::list).post(attachments::post),
        )
        .route(
            "/api/v1/incidents/{id}/attachments/{entry}",
            get(attachments::download),
        )
        .route_layer(from_fn_with_state(console.clone(), access::allow_incident))
        .route_layer(may(Right::SeeIncidents));
    // Apart from the others: to whoever lacks the right they aren't there.
    let privileged = Router::new()
        .route(
            "/incidents/{id}/counsel-notes",
            get(pages::incident).post(counsel::form),
        )
        .route(
            "/api/v1/incidents/{id}/counsel-notes",
            get(counsel::list).post(counsel::post),
        )
        .route_layer(from_fn_with_state(console.clone(), access::allow_incident))
        .route_layer(may(Right::CounselNotes));
    let evidence = Router::new()
        .route("/entries", get(pages::entries))
        .route("/entries/{sequence}", get(pages::entry))
        .route("/entries/{sequence}/whole", get(pages::entry_whole))
        .route("/api/v1/entries", get(pages::api_entries))
        .route("/api/v1/entries/{sequence}/whole", get(pages::entry_whole))
        .route_layer(may(Right::SeeEvidence));
    let sources = Router::new()
        .route("/sources", get(pages::sources))
        // As of `decide`.
        .route("/sources/pause", get(pages::sources).post(pages::pause))
        .route("/api/v1/sources", get(pages::api_sources))
        .route("/api/v1/sources/{id}", get(pages::api_source))
        .route(
            "/api/v1/sources/{id}/decisions",
            post(pages::api_decide_source),
        )
        .route("/payment-pages", get(pages::payment_pages))
        .route("/modules", get(pages::modules))
        .route("/api/payment-pages", get(pages::api_payment_pages))
        .route("/api/modules", get(pages::api_modules))
        .route_layer(may(Right::SeeSources));
    let people = match &console.access {
        Access::Open => Router::new(),
        Access::People { .. } => pages::people::routes()
            .merge(scim::routes())
            .merge(administration_routes()),
    };
    Router::new()
        .merge(incidents)
        .merge(playbooks)
        .merge(told)
        .merge(incident)
        .merge(privileged)
        .merge(evidence)
        .merge(sources)
        .merge(people)
        .route("/api/v1/me", get(administration::me))
        .route("/metrics", get(metrics::metrics))
        .route("/live", get(live::live))
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

/// People and tokens by the API.
fn administration_routes() -> Router<Console> {
    let people = Router::new()
        .route(
            "/api/v1/people",
            get(administration::people).post(administration::invite),
        )
        .route("/api/v1/people/{name}", get(administration::person))
        .route(
            "/api/v1/people/{name}/changes",
            post(administration::change),
        )
        .route_layer(from_fn_with_state(Right::SeeAdministration, access::allow));
    Router::new()
        .route("/api/v1/roles", get(administration::roles))
        .route(
            "/api/v1/tokens",
            get(administration::tokens).post(administration::make_token),
        )
        .route(
            "/api/v1/tokens/{name}",
            delete(administration::revoke_token),
        )
        .merge(people)
}

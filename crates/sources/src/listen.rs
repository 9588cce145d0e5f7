//! Listeners that speak HTTP: so many requests at a time, each for so long, until told to stop.
//!
//! A request waits for its turn before its body is read, so the turns bound what bodies take. No TLS: they stand on
//! loopback or behind a proxy that has it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use crate::SourceError;
use crate::source::Hand;

/// Longest time a request may take, its body and its sealing included.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A bound listener.
pub(crate) struct Door {
    listener: TcpListener,
    address: SocketAddr,
}

impl Door {
    /// Binds it.
    ///
    /// # Errors
    ///
    /// [`SourceError::Network`] when the place is taken or not this host's.
    pub(crate) fn open(address: SocketAddr) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Network {
            place: format!("http://{address}"),
            source,
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, `turns` requests at a time.
    ///
    /// # Errors
    ///
    /// [`SourceError::Network`] when it can't be served on.
    pub(crate) fn serve(
        &self,
        router: Router,
        turns: usize,
        hand: &Hand,
    ) -> Result<(), SourceError> {
        let failed = |source| SourceError::Network {
            place: format!("http://{}", self.address),
            source,
        };
        let listener = self.listener.try_clone().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(turns)
            .build()
            .map_err(failed)?;
        let router = router.layer(from_fn_with_state(Arc::new(Semaphore::new(turns)), bounded));
        let hand = hand.clone();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let stopped = async move {
                while !hand.stopped() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await
                .map_err(failed)
        })
    }
}

async fn bounded(State(turns): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let answer = async {
        match turns.acquire().await {
            Ok(_turn) => next.run(request).await,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    };
    tokio::time::timeout(REQUEST_MAX, answer)
        .await
        .unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

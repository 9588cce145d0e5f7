//! Pieces of a run's evidence, as bytes that no browser shows.

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use model::Scope;

use crate::access::{Caller, Console, Seen};
use crate::attachments::{Kept, give, missing};

/// What a piece is of: processes, connections and caches are the host's, and so of every store.
pub(super) const WHOLE: [Scope; 1] = [Scope::Unknown];

/// Gives one out, by its SHA-256, for whoever may see evidence of every store. Who reads it is sealed.
pub(crate) async fn piece(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path((id, hash)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    let Some(standing) = sight.run(&id) else {
        return missing(&uri);
    };
    let kept = standing.piece(&hash).and_then(|piece| {
        let (_, entries) = standing.evidence.find(&piece.hash)?;
        Some(Kept {
            name: piece.name.clone(),
            hash: piece.hash.clone(),
            entries,
        })
    });
    give(&console, &sight, &caller, (&WHOLE, kept), &uri).await
}

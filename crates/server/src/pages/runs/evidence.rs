//! Pieces of a run's evidence, as bytes that no browser shows.

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;

use crate::access::{Caller, Console, Seen};
use crate::attachments::{Kept, give, missing};

/// Gives one out, by its SHA-256, for whoever may see evidence of what the run is for. Who reads it is sealed.
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
    let brief = sight.in_brief(&standing.incident);
    let scopes = brief.as_ref().map_or(&[][..], |work| &work.incident.scopes);
    give(&console, &sight, &caller, (scopes, kept), &uri).await
}

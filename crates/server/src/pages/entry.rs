//! One sealed entry, and what it keeps whole.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use engine::desk::EntryView;
use engine::evidence::Line;

use super::{Frame, missing, page};
use crate::access::{Caller, Console, Seen};
use crate::attachments;

#[derive(Template)]
#[template(path = "entry.html")]
struct EntryPage {
    frame: Frame,
    line: Line,
    entry: EntryView,
    /// Bytes of what it kept whole beside its fields.
    whole: Option<usize>,
}

/// One sealed entry.
pub(crate) async fn entry(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(sequence): Path<String>,
) -> Response {
    let sequence = sequence.parse().ok();
    let Some(entry) = sequence.and_then(|sequence| sight.entry(sequence)) else {
        return missing(&sight, "There is no such entry");
    };
    if let Err(refused) = console.read(&sight, &caller, &[entry.sequence]).await {
        return refused;
    }
    page(&EntryPage {
        frame: Frame::new(&sight).at("/entries", caller.now),
        line: Line::of(&entry),
        whole: entry.whole().map(|whole| whole.len()),
        entry,
    })
}

/// What an observation kept whole beside its fields, as bytes that no browser shows; that it is read is sealed.
pub(crate) async fn entry_whole(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(sequence): Path<String>,
    uri: Uri,
) -> Response {
    let entry = sequence.parse().ok().and_then(|one| sight.entry(one));
    let found = entry.and_then(|entry| Some((entry.sequence, entry.whole()?)));
    let Some((sequence, whole)) = found else {
        return attachments::missing(&uri);
    };
    if let Err(refused) = console.read(&sight, &caller, &[sequence]).await {
        return refused;
    }
    // Not `.html`: opened by mistake it would run what it is evidence of.
    attachments::saved(&format!("entry-{sequence}.txt"), whole.into_bytes())
}

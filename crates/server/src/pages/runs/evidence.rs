//! Evidence of a run: what its host kept, as bytes that no browser shows, and the payment pages that the server kept before it.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use engine::containment::Standing;
use engine::desk::Sight;
use engine::inventory::{List, Look, page_of};
use model::{Scope, Timestamp, Work};
use serde_json::{Value, json};

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

/// The payment page of a view that a run touches.
pub(super) struct KeptPage {
    pub(super) view: String,
    /// How it is looked at: `browser`, `fetch`.
    pub(super) way: String,
    /// When it was kept last before the run began, and the entry that holds it; nothing where it wasn't.
    pub(super) look: Option<Look>,
}

impl KeptPage {
    /// Those of every view that a plan touches and that somebody looks at, in order of view and way.
    pub(super) fn all(sight: &Sight, run: &Standing, now: Timestamp) -> Vec<Self> {
        let touched = run.plan.steps.iter().filter_map(|step| match &step.work {
            Work::Action { touched, .. } => Some(touched),
            Work::Person { .. } => None,
        });
        let (mut views, mut is_every) = (BTreeSet::new(), false);
        for one in touched {
            views.extend(one.views.iter().map(String::as_str));
            is_every |= one.is_everything || one.is_unknown;
        }
        let until = run.carried.as_ref().map_or(now, |run| run.approved);
        let lists = sight.lists().into_iter();
        let pages = lists.filter_map(|(source, list)| {
            let (view, way) = page_of(&source.0)?;
            let List::Page(page) = list.as_ref() else {
                return None;
            };
            (is_every || views.contains(view)).then(|| Self {
                view: view.to_owned(),
                way: way.to_owned(),
                look: page.kept_until(until).cloned(),
            })
        });
        pages.collect()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "view": self.view,
            "way": self.way,
            "time": self.look.as_ref().map(|look| &look.time),
            "entry": self.look.as_ref().map(|look| look.entry),
        })
    }
}

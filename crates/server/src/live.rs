//! Tells open pages that there is news, so that they load themselves again.
//!
//! Of two kinds: `incidents`, when one that the person sees changed, and `counters`, when anything else may have, seldom. What is told
//! has no content: the page asks for it as it did before, and is let in or not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use engine::desk::Sight;
use tokio::time::Instant;
use tokio_stream::wrappers::{IntervalStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};

use crate::access::{Access, Caller, Console};

/// Pause between two looks whether an open page's session goes on.
const CHECK: Duration = Duration::from_secs(30);
/// Pause between two tellings of anything.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause between two tellings that counters may have changed: they do all the time.
const COUNTERS_PAUSE: Duration = Duration::from_secs(15);

/// Tells an open page of news, for as long as its session is one.
pub(crate) async fn live(
    State(console): State<Console>,
    caller: Caller,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stores = Arc::clone(&console.stores);
    let sight = Sight::new(console.desk.clone(), caller.principal, stores);
    let mut before = *sight.version().borrow();
    let mut counted: Option<Instant> = None;
    // What changed nothing they see is no event: its time alone would tell of another store.
    // One change is several pieces of news: told together.
    let versions = WatchStream::from_changes(console.desk.version()).throttle(PAUSE);
    let news = versions.filter_map(move |version| {
        let after = std::mem::replace(&mut before, version);
        if sight.has_changes(after) {
            return Some(Some(("incidents", version)));
        }
        let is_due = counted.is_none_or(|last| last.elapsed() >= COUNTERS_PAUSE);
        if sight.is_narrow() || !is_due {
            return None;
        }
        counted = Some(Instant::now());
        Some(Some(("counters", version)))
    });
    let ticks = IntervalStream::new(tokio::time::interval(CHECK)).map(|_| None);
    let told = news
        .merge(ticks)
        .then(move |news| {
            let (console, session) = (console.clone(), caller.session.clone());
            async move { (news, is_live(&console, &session).await) }
        })
        .take_while(|(_, is_live)| *is_live)
        .filter_map(|(news, _)| news)
        .map(|(kind, version)| Ok(Event::default().event(kind).data(version.to_string())));
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

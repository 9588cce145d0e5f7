//! The page of all runs: what waits for a person first, then what holds, then what is over; and the hosts.

use askama::Template;
use axum::response::Response;
use engine::containment::HostSeen;
use model::Timestamp;

use super::{RunLine, is_silent};
use crate::access::{Caller, Seen};
use crate::pages::{Frame, page};

/// Runs that are over and listed on the page, the newest first; the others are listed all.
pub(super) const OVER_MAX: usize = 200;

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    waiting: Vec<RunLine>,
    going: Vec<RunLine>,
    over: Vec<RunLine>,
    more: usize,
    hosts: Vec<(String, HostSeen)>,
    now: Timestamp,
}

impl RunsPage {
    fn is_silent(&self, host: &HostSeen) -> bool {
        is_silent(host, self.now)
    }
}

/// Runs as the page lists them, each list the newest first.
pub(super) struct Lists {
    pub(super) waiting: Vec<RunLine>,
    pub(super) going: Vec<RunLine>,
    pub(super) over: Vec<RunLine>,
    /// How many more are over.
    pub(super) more: usize,
}

impl Lists {
    /// Whatever is waited for or holds is there, however old: only those that are over are cut.
    pub(super) fn of(lines: impl Iterator<Item = RunLine>) -> Self {
        let (waiting, rest): (Vec<_>, Vec<_>) = lines.partition(RunLine::is_waiting);
        let (mut over, going): (Vec<_>, Vec<_>) = rest.into_iter().partition(RunLine::is_over);
        let more = over.len().saturating_sub(OVER_MAX);
        over.truncate(OVER_MAX);
        Self {
            waiting,
            going,
            over,
            more,
        }
    }
}

/// Every run: those that wait for a person first.
pub(crate) async fn runs(Seen(sight): Seen, caller: Caller) -> Response {
    let now = caller.now;
    let all = sight.runs().into_iter();
    let Lists {
        waiting,
        going,
        over,
        more,
    } = Lists::of(all.map(|run| RunLine::new(&sight, run, now)));
    page(&RunsPage {
        frame: Frame::new(&sight).at("/runs", now),
        waiting,
        going,
        over,
        more,
        hosts: sight.hosts().into_iter().collect(),
        now,
    })
}

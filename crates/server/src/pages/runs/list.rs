//! The page of all runs: what waits for a person first, then what holds, then what is over; and the hosts.

use askama::Template;
use axum::response::Response;
use engine::containment::HostSeen;
use model::Timestamp;

use super::{RunLine, is_silent};
use crate::access::{Caller, Seen};
use crate::pages::{Frame, page};

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    waiting: Vec<RunLine>,
    going: Vec<RunLine>,
    over: Vec<RunLine>,
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
}

impl Lists {
    /// Of those that wait, first those of which something holds: the page shows the first of each list.
    pub(super) fn of(lines: impl Iterator<Item = RunLine>) -> Self {
        let (mut waiting, rest): (Vec<_>, Vec<_>) = lines.partition(RunLine::is_waiting);
        let (over, going) = rest.into_iter().partition(RunLine::is_over);
        waiting.sort_by_key(|line| line.holding() == 0);
        Self {
            waiting,
            going,
            over,
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
    } = Lists::of(all.map(|run| RunLine::new(&sight, run, now)));
    page(&RunsPage {
        frame: Frame::new(&sight).at("/runs", now),
        waiting,
        going,
        over,
        hosts: sight.hosts().into_iter().collect(),
        now,
    })
}

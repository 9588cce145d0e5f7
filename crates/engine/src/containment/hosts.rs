//! What the shop's hosts tell, and what they are told: the server's end of the link to the agents.

use std::sync::Arc;

use link::Plans;
use model::{
    AccessEvent, AccessKind, HostReply, HostReport, Instruction, ORDER_VERSION, Sales, Timestamp,
};
use serde_json::Value;
use stores::{OutboxRow, Outcome};
use tokio::time::Instant;

use crate::decider::{Decider, SEAL_MAX, sealed};
use crate::desk::Update;
use crate::hide::hide;
use crate::link::{Answer, Hosts, ReportError};
use crate::sealed::{Decided, VERSION};

/// Entries told at once, and orders refused.
const TOLD_MAX: usize = 200;
/// Longest entry, in bytes: the first one of a run holds its plan.
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Longest text of a host that is shown.
const SHOWN_CHARS_MAX: usize = 500;
/// Views whose orders a host tells, at most.
const VIEWS_MAX: usize = 1000;
/// Actions that a host names, at most.
const ACTIONS_MAX: usize = 200;

/// A host that reported, as it said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSeen {
    /// When, by our clock.
    pub at: Timestamp,
    /// Seconds that its clock is ahead of ours.
    pub ahead_seconds: i64,
    /// Version of its program.
    pub program: String,
    /// Actions that its policy lets it do.
    pub actions: Vec<String>,
    /// Why nothing is done there; empty when nothing holds it up.
    pub frozen: String,
    /// What it told that could not be taken; empty when all could.
    pub trouble: String,
    /// What its stores sold lately, where it counts that.
    pub sales: Option<Sales>,
}

/// The server's end. Clones share it.
#[derive(Clone)]
pub struct HostDesk {
    decider: Decider,
    installation: String,
    plans: Arc<Plans>,
    clock: fn() -> Timestamp,
}

impl HostDesk {
    /// Seals what hosts tell through `decider`, and signs by `plans` what they are to do.
    #[must_use]
    pub fn new(
        decider: Decider,
        installation: String,
        plans: Plans,
        clock: fn() -> Timestamp,
    ) -> Self {
        let plans = Arc::new(plans);
        Self {
            decider,
            installation,
            plans,
            clock,
        }
    }

    async fn answer(
        &self,
        host: &str,
        report: HostReport,
        now: Timestamp,
    ) -> Result<HostReply, ReportError> {
        let taken = self.take(host, &report, now).await;
        let trouble = match &taken {
            Err(ReportError::Unfit { why }) => shown(why),
            _ => String::new(),
        };
        self.decider
            .inner()
            .desk
            .publish(Update::Host(host.to_owned(), seen(&report, trouble, now)));
        taken?;
        Ok(self.reply(host, &report, now))
    }

    async fn take(
        &self,
        host: &str,
        report: &HostReport,
        now: Timestamp,
    ) -> Result<(), ReportError> {
        let unfit = |why: &str| ReportError::Unfit {
            why: why.to_owned(),
        };
        if report.v != ORDER_VERSION {
            return Err(unfit("the report is of another version of magewarden"));
        }
        if report.entries.len() + report.refused.len() > TOLD_MAX {
            return Err(unfit("a report tells 200 things at most"));
        }
        let inner = self.decider.inner();
        let mut rows = Vec::new();
        for entry in &report.entries {
            let known = inner.desk.run(&entry.run);
            if known.is_some_and(|known| known.host == host && entry.number < known.entries()) {
                continue;
            }
            let id = crate::trail::new_id();
            rows.push(Decided::Told {
                v: VERSION,
                id,
                host: host.to_owned(),
                entry: Box::new(entry.clone()),
            });
        }
        for refused in &report.refused {
            let known = inner.desk.run(&refused.run);
            if known.is_some_and(|known| known.refused.contains_key(&refused.order)) {
                continue;
            }
            let mut refused = refused.clone();
            refused.why = shown(&refused.why);
            rows.push(Decided::HostRefused {
                v: VERSION,
                id: crate::trail::new_id(),
                host: host.to_owned(),
                refused,
            });
        }
        let mut out = Vec::with_capacity(rows.len());
        for (at, decided) in rows.into_iter().enumerate() {
            let id = decided.outbox_id().unwrap_or_default().to_owned();
            let mut value = serde_json::to_value(&decided)
                .map_err(|_| unfit("an entry can't be written as JSON"))?;
            // The host masked it; whoever speaks for it may not have.
            hide_texts(&mut value);
            let body = value.to_string();
            if body.len() > ENTRY_BYTES_MAX {
                return Err(unfit("an entry is larger than 1 MiB"));
            }
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            // In the order they were told, whatever their ids.
            let written = now.0.saturating_add(at);
            out.push(OutboxRow { id, written, body });
        }
        if out.is_empty() {
            return Ok(());
        }
        let version = inner.desk.version();
        let put = inner.outbox.put_all(&out).await;
        put.map_err(|_| ReportError::Away)?;
        inner.waker.wake();
        let until = Instant::now() + SEAL_MAX;
        for row in &out {
            match sealed(&inner.desk, version.clone(), &row.id, None).await {
                Some(Outcome::Sealed(_)) => {}
                Some(Outcome::Refused(why)) => return Err(ReportError::Unfit { why }),
                None => return Err(ReportError::Away),
            }
            if Instant::now() > until {
                return Err(ReportError::Away);
            }
        }
        Ok(())
    }

    fn reply(&self, host: &str, report: &HostReport, now: Timestamp) -> HostReply {
        let desk = &self.decider.inner().desk;
        let mut reply = HostReply {
            v: ORDER_VERSION,
            at: now,
            ..HostReply::default()
        };
        for entry in &report.entries {
            if let Some(known) = desk.run(&entry.run).filter(|known| known.host == host) {
                reply.sealed.insert(entry.run.clone(), known.entries());
            }
        }
        // What names no order of ours is told once and forgotten on both sides.
        reply.heard = report
            .refused
            .iter()
            .map(|refused| refused.order.clone())
            .collect();
        let instructions = self.instructions(host, now);
        reply.instructions = instructions
            .iter()
            .map(|one| self.plans.sign(one))
            .collect();
        reply
    }

    fn instructions(&self, host: &str, now: Timestamp) -> Vec<Instruction> {
        let standings = self.decider.inner().desk.runs_of_host(host);
        let mut out = Vec::new();
        for standing in standings {
            for (order, by, until, what) in standing.instructions(now) {
                out.push(Instruction {
                    v: ORDER_VERSION,
                    installation: self.installation.clone(),
                    host: host.to_owned(),
                    run: standing.run.clone(),
                    order,
                    by,
                    at: now,
                    until,
                    what,
                });
            }
        }
        out
    }
}

impl Hosts for HostDesk {
    fn report<'a>(
        &'a self,
        host: &'a str,
        report: HostReport,
        now: Timestamp,
    ) -> Answer<'a, Result<HostReply, ReportError>> {
        Box::pin(self.answer(host, report, now))
    }

    fn enrolled<'a>(&'a self, host: &'a str, from: &'a str, now: Timestamp) -> Answer<'a, bool> {
        let inner = self.decider.inner();
        let event = AccessEvent {
            at: now,
            kind: AccessKind::HostEnrolled,
            account: host.to_owned(),
            by: host.to_owned(),
            from: from.to_owned(),
        };
        Box::pin(async move {
            let put = crate::trail::put_access(&inner.outbox, event).await;
            inner.waker.wake();
            put.is_ok()
        })
    }

    fn changed<'a>(&'a self, host: &'a str) -> Answer<'a, ()> {
        // From now on, whenever it is first waited for.
        let mut version = self.decider.inner().desk.version();
        Box::pin(async move {
            while self.instructions(host, (self.clock)()).is_empty() {
                if version.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        })
    }
}

fn seen(report: &HostReport, trouble: String, now: Timestamp) -> HostSeen {
    let actions = report.actions.iter().take(ACTIONS_MAX);
    let sales = report.sales.as_ref().map(|told| {
        let views = told.views.iter().take(VIEWS_MAX);
        Sales {
            at: told.at,
            views: views.map(|(code, orders)| (shown(code), *orders)).collect(),
        }
    });
    HostSeen {
        at: now,
        ahead_seconds: (report.at.0.saturating_sub(now.0)) / Timestamp::SECOND,
        program: shown(&report.program),
        actions: actions.map(|action| shown(action)).collect(),
        frozen: shown(&report.frozen),
        trouble,
        sales,
    }
}

/// Masks every text in a value but hashes, whose digits may look like anything.
fn hide_texts(value: &mut Value) {
    match value {
        Value::String(text) => {
            let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_hash {
                hide(text);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide_texts),
        // Names as well: some are a host's own words, e.g. codes of views.
        Value::Object(object) => {
            let hidden = std::mem::take(object)
                .into_iter()
                .map(|(mut name, mut value)| {
                    hide(&mut name);
                    hide_texts(&mut value);
                    (name, value)
                });
            *object = hidden.collect();
        }
        _ => {}
    }
}

/// A host's text, as it may be shown.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let mut text = report::inert(&text).replace(['\n', '\t'], " ");
    hide(&mut text);
    text
}

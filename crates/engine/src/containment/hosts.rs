//! What the shop's hosts tell, and what they are told: the server's end of the link to the agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use link::Plans;
use model::{
    AccessEvent, AccessKind, HostReply, HostReport, Instruction, ORDER_VERSION, Revenue, RunEntry,
    Sales, Sequence, Timestamp, WantedPiece,
};
use serde_json::Value;
use stores::{OutboxRow, Outcome};
use tokio::time::Instant;

use super::Containments;
use super::evidence::Asked;
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
    pub(super) decider: Decider,
    installation: String,
    plans: Arc<Plans>,
    clock: fn() -> Timestamp,
    /// Evidence that hosts were asked for.
    pub(super) asked: Arc<Mutex<Asked>>,
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
            asked: Arc::default(),
        }
    }

    async fn answer(
        &self,
        host: &str,
        report: HostReport,
        now: Timestamp,
    ) -> Result<HostReply, ReportError> {
        let taken = self.take(host, &report, now).await;
        let desk = &self.decider.inner().desk;
        let tells = report.entries.len() + report.refused.len() > 0;
        let trouble = match &taken {
            Ok(trouble) if tells => shown(&trouble.join("; ")),
            Err(ReportError::Unfit { why }) => shown(why),
            // A host tells what wasn't taken less and less often: until it tells something again, that stays shown.
            _ => {
                let before = desk.hosts().remove(host);
                before.map(|seen| seen.trouble).unwrap_or_default()
            }
        };
        desk.publish(Update::Host(host.to_owned(), seen(&report, trouble, now)));
        taken?;
        Ok(self.reply(host, &report, now))
    }

    /// Seals what fits; gives in words what doesn't.
    async fn take(
        &self,
        host: &str,
        report: &HostReport,
        now: Timestamp,
    ) -> Result<Vec<String>, ReportError> {
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
        let Fitting { rows, mut trouble } = fitting(self.known(host, report), host, report);
        let mut out = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            out.push(OutboxRow {
                id: row.id.clone(),
                // In the order they were told, whatever their ids.
                written: now.0.saturating_add(at),
                body: row.body.clone(),
            });
        }
        if out.is_empty() {
            return Ok(trouble);
        }
        let version = inner.desk.version();
        let put = inner.outbox.put_all(&out).await;
        put.map_err(|_| ReportError::Away)?;
        inner.waker.wake();
        let until = Instant::now() + SEAL_MAX;
        for row in &rows {
            match sealed(&inner.desk, version.clone(), &row.id, None).await {
                Some(Outcome::Sealed(_)) => {}
                // Things have moved since they were looked at.
                Some(Outcome::Refused(why)) => trouble.push(format!("{}: {why}", row.about)),
                None => return Err(ReportError::Away),
            }
            if Instant::now() > until {
                return Err(ReportError::Away);
            }
        }
        Ok(trouble)
    }

    /// Runs that a report may be about, as things stand.
    fn known(&self, host: &str, report: &HostReport) -> Containments {
        let desk = &self.decider.inner().desk;
        let theirs = desk.runs_of_host(host).into_iter();
        let named = report.entries.iter().map(|entry| &entry.run);
        let all = theirs.chain(named.filter_map(|run| desk.run(run)));
        Containments(all.map(|one| (one.run.clone(), one)).collect())
    }

    fn reply(&self, host: &str, report: &HostReport, now: Timestamp) -> HostReply {
        let desk = &self.decider.inner().desk;
        let mut reply = HostReply {
            v: ORDER_VERSION,
            at: now,
            ..HostReply::default()
        };
        // Of every run that was told of, so that the host tells the rest, or all of it, from where our knowledge ends.
        for entry in &report.entries {
            let known = desk.run(&entry.run).filter(|known| known.host == host);
            let entries = known.map_or(0, |known| known.entries());
            reply.sealed.insert(entry.run.clone(), entries);
        }
        // Those that name no order to it, too: they are told once and forgotten on both sides.
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
        reply.quiet_seconds = self.quiet(host, now);
        reply.wanted = self.wanted(host, now);
        reply
    }

    /// How long nothing has shown of what the runs of a host are for.
    fn quiet(&self, host: &str, now: Timestamp) -> BTreeMap<String, u64> {
        let desk = &self.decider.inner().desk;
        let is_open = |run: &playbook::Run| !run.is_closed && run.undo.is_none();
        let open = desk.runs_of_host(host).into_iter();
        open.filter(|one| one.carried.as_ref().is_some_and(is_open))
            .filter_map(|one| {
                let incident = desk.incident(&one.incident)?;
                let seconds = now.0.saturating_sub(incident.last.0) / Timestamp::SECOND;
                Some((one.run.clone(), u64::try_from(seconds).unwrap_or_default()))
            })
            .collect()
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

    fn evidence<'a>(
        &'a self,
        host: &'a str,
        piece: WantedPiece,
        content: Vec<u8>,
        now: Timestamp,
    ) -> Answer<'a, Result<(), ReportError>> {
        Box::pin(self.keep(host, piece, content, now))
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

/// Something told, to be put in the outbox.
pub(super) struct Row {
    id: String,
    pub(super) body: String,
    /// What it tells of, in words.
    about: String,
}

/// What of a report may be sealed, and in words what not.
#[derive(Default)]
pub(super) struct Fitting {
    pub(super) rows: Vec<Row>,
    pub(super) trouble: Vec<String>,
}

/// Looks at what a host tells, in its order, as if what comes before were sealed. Of a run nothing counts after what doesn't fit, and
/// what is known gives no row.
pub(super) fn fitting(mut known: Containments, host: &str, report: &HostReport) -> Fitting {
    let mut out = Fitting::default();
    let mut stopped = BTreeSet::new();
    for entry in &report.entries {
        let is_known = known
            .0
            .get(&entry.run)
            .is_some_and(|run| run.host == host && entry.number < run.entries());
        if is_known || stopped.contains(&entry.run) {
            continue;
        }
        let about = format!("entry {} of {}", entry.number, entry.run);
        match told(&mut known, host, entry) {
            Ok((id, body)) => out.rows.push(Row { id, body, about }),
            Err(why) => {
                out.trouble.push(format!("{about}: {why}"));
                stopped.insert(&entry.run);
            }
        }
    }
    for refused in &report.refused {
        let mut refused = refused.clone();
        refused.why = shown(&refused.why);
        // One that names no order to this host is told once and forgotten on both sides.
        if known.refuse(host, &refused).is_none() {
            continue;
        }
        let about = format!("refusal of {}", refused.order);
        let id = crate::trail::new_id();
        let decided = Decided::HostRefused {
            v: VERSION,
            id: id.clone(),
            host: host.to_owned(),
            refused,
        };
        match masked(&decided) {
            Ok((_, body)) => out.rows.push(Row { id, body, about }),
            Err(why) => out.trouble.push(format!("{about}: {why}")),
        }
    }
    out
}

/// An entry as it is sealed, once it is known to follow: its id in the outbox and its body.
fn told(
    known: &mut Containments,
    host: &str,
    entry: &RunEntry,
) -> Result<(String, String), String> {
    let id = crate::trail::new_id();
    let decided = Decided::Told {
        v: VERSION,
        id: id.clone(),
        host: host.to_owned(),
        entry: Box::new(entry.clone()),
    };
    let (decided, body) = masked(&decided)?;
    let Decided::Told { entry, .. } = decided else {
        return Err("it can't be read once it is masked".to_owned());
    };
    let may = known.may_hear(host, &entry);
    let heard = may.and_then(|_| known.hear(host, &entry, Sequence(0)));
    drop(heard.map_err(|error| error.to_string())?);
    Ok((id, body))
}

/// What is sealed, masked, and as JSON.
fn masked(decided: &Decided) -> Result<(Decided, String), String> {
    let value = serde_json::to_value(decided);
    let mut value = value.map_err(|_| "it can't be written as JSON")?;
    // The host masked it; whoever speaks for it may not have.
    hide_texts(&mut value);
    let body = value.to_string();
    if body.len() > ENTRY_BYTES_MAX {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let decided = serde_json::from_value(value);
    let decided = decided.map_err(|_| "it can't be read once it is masked")?;
    Ok((decided, body))
}

fn seen(report: &HostReport, trouble: String, now: Timestamp) -> HostSeen {
    let actions = report.actions.iter().take(ACTIONS_MAX);
    let sales = report.sales.as_ref().map(|told| {
        let views = told.views.iter().take(VIEWS_MAX);
        let revenue = told.revenue.iter().take(VIEWS_MAX);
        let one = |(code, one): (&String, &Revenue)| {
            let currency = shown(&one.currency);
            let hundredths = one.hundredths;
            (
                shown(code),
                Revenue {
                    hundredths,
                    currency,
                },
            )
        };
        Sales {
            at: told.at,
            views: views.map(|(code, orders)| (shown(code), *orders)).collect(),
            revenue: revenue.map(one).collect(),
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

//! What somebody is told of an incident, by what they were told before: decided purely, from how things stand.
//!
//! Nothing is remembered of single events: whatever wasn't told – since a server was away, an hour was full, or this program
//! was off – still differs from what was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Level, Principal, Right, StoreMap, TaskState, Timestamp};
use playbook::Wait;
use serde::{Deserialize, Serialize};

use crate::containment::{Stage, Standing};
use crate::desk::{Clock, Work};

/// Whoever is told, with the address as their name.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// The address, in lower case.
    pub(super) address: String,
    /// Whether the settings name it: it is told of every incident that is severe enough.
    pub(super) is_on_duty: bool,
    /// People with accounts whose address it is.
    pub(super) people: Vec<Principal>,
    /// Since when it is told anything; what was before is known.
    pub(super) since: Timestamp,
}

/// What an address was told of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    /// That there is one.
    opened: bool,
    severity: Option<Level>,
    /// By account that follows it, how many decisions there were.
    decisions: BTreeMap<String, u64>,
    findings: u64,
    /// Who leads, where it is one of them.
    leads: BTreeSet<String>,
    tasks: BTreeSet<u32>,
    /// Duties: whether their time was over, or only near.
    clocks: BTreeMap<String, bool>,
    /// Runs that wait, and for what.
    runs: BTreeMap<String, String>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    Opened,
    Rose {
        from: Level,
    },
    Leads,
    Task {
        number: u32,
        due: Option<Timestamp>,
    },
    Run {
        host: String,
        waits: String,
    },
    Clock {
        clock: Clock,
        is_over: bool,
    },
    Found(u64),
    /// What others did, the newest last: their names, and the act's.
    Decided(Vec<(String, &'static str)>),
}

/// From when and for how long something is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) severity: Level,
    /// Before a clock's end.
    pub(super) clock_seconds: i64,
}

/// What is to be told, and what is known from then on.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) occasions: Vec<Occasion>,
    pub(super) then: Known,
}

/// Looks at one incident for one address; `None` when it is none of theirs.
pub(super) fn look(
    reader: &Reader,
    work: &Work,
    runs: &[Arc<Standing>],
    known: Option<&Known>,
    limits: Limits,
    stores: &StoreMap,
    now: Timestamp,
) -> Option<Look> {
    let (incident, handling) = (&work.incident, &work.handling);
    let goes_on = !work.state.is_over();
    if known.is_none() && !goes_on {
        return None;
    }
    // Default deny: whoever doesn't see it now isn't told, whatever they watched once.
    let sees = |who: &&Principal| who.sees(&incident.scopes, stores);
    let people: Vec<&Principal> = reader.people.iter().filter(sees).collect();
    let followers = people
        .iter()
        .filter(|who| handling.is_followed_by(&who.account));
    let followers: Vec<&&Principal> = followers.collect();
    let known_before = known.cloned().unwrap_or_default();
    let is_severe = reader.is_on_duty && goes_on && work.severity >= limits.severity;
    let is_on_duty = reader.is_on_duty && goes_on && (is_severe || known_before.opened);
    let own = |account: &str| people.iter().any(|who| who.account == account);
    let mut look = Look {
        then: known_before.clone(),
        ..Look::default()
    };
    let then = &mut look.then;
    // Of what was decided before they were told anything, nothing is new.
    let is_new = |decision: u64| {
        let taken = handling
            .taken
            .get(usize::try_from(decision).ok()?.checked_sub(1)?)?;
        let by_others = !own(&taken.decision.by.account);
        Some(by_others && taken.decision.at >= reader.since)
    };
    let mut tell = Vec::new();

    if is_severe && !known_before.opened {
        then.opened = true;
        if incident.detected >= reader.since {
            tell.push(Occasion::Opened);
        }
    }
    if is_on_duty || !followers.is_empty() {
        if let Some(from) = known_before.severity.filter(|from| *from < work.severity) {
            tell.push(Occasion::Rose { from });
        }
        then.severity = Some(work.severity);
    }
    let leads = handling.lead.as_ref().map(|lead| &lead.account);
    then.leads = leads
        .filter(|lead| own(lead))
        .into_iter()
        .cloned()
        .collect();
    if !then.leads.is_subset(&known_before.leads) && is_new(handling.lead_changed) == Some(true) {
        tell.push(Occasion::Leads);
    }
    let theirs = handling.tasks.iter().filter(|task| {
        let is_own = |owner: &model::Person| own(&owner.account);
        task.state == TaskState::Open && task.owner.as_ref().is_some_and(is_own)
    });
    let theirs: Vec<_> = theirs.filter(|_| goes_on).collect();
    then.tasks = theirs.iter().map(|task| task.number).collect();
    for task in theirs {
        if !known_before.tasks.contains(&task.number) && is_new(task.changed) == Some(true) {
            let (number, due) = (task.number, task.due);
            tell.push(Occasion::Task { number, due });
        }
    }
    let approves = people
        .iter()
        .any(|who| who.may(Right::Approve, &incident.scopes, stores));
    let hears = is_on_duty || !followers.is_empty();
    then.runs = BTreeMap::new();
    for run in runs.iter().filter(|_| goes_on) {
        let Some(waits) = waits(&run.stage(now)) else {
            continue;
        };
        let takes = |who: &&&Principal| run.takes_approval(&who.account, now).is_ok();
        let may = approves && run.carried.is_none() && people.iter().any(|who| takes(&who));
        if !(hears || may) {
            continue;
        }
        if known_before.runs.get(&run.run) != Some(&waits) {
            let host = run.host.clone();
            let waits = waits.clone();
            tell.push(Occasion::Run { host, waits });
        }
        then.runs.insert(run.run.clone(), waits);
    }
    if hears && goes_on {
        let near = now.plus_seconds(limits.clock_seconds);
        let is_first = known.is_none() || tell.contains(&Occasion::Opened);
        then.clocks = BTreeMap::new();
        for clock in incident.clocks.iter().filter(|clock| clock.due <= near) {
            let is_over = clock.due <= now;
            let told = known_before.clocks.get(&*clock.rule);
            // A letter that tells of the incident has all of them.
            if !is_first && told.is_none_or(|was_over| is_over && !was_over) {
                let clock = clock.clone();
                tell.push(Occasion::Clock { clock, is_over });
            }
            then.clocks.insert(clock.rule.to_string(), is_over);
        }
    }
    then.decisions = BTreeMap::new();
    let (mut decided, mut is_known) = (Vec::new(), false);
    for who in &followers {
        let version = handling.version();
        if let Some(told) = known_before.decisions.get(&who.account) {
            is_known = true;
            let after = handling
                .taken
                .iter()
                .skip(usize::try_from(*told).unwrap_or(usize::MAX));
            let others = after.filter(|one| !own(&one.decision.by.account));
            let acts = others.map(|one| (one.decision.by.name.clone(), one.decision.act.name()));
            decided = acts.collect();
        }
        then.decisions.insert(who.account.clone(), version);
    }
    let findings = incident.findings as u64;
    if is_known && findings > known_before.findings {
        tell.push(Occasion::Found(findings - known_before.findings));
    }
    then.findings = if followers.is_empty() { 0 } else { findings };
    if !decided.is_empty() {
        tell.push(Occasion::Decided(decided));
    }
    look.occasions = tell;
    let is_theirs = known.is_some() || hears || !look.occasions.is_empty();
    is_theirs.then_some(look)
}

/// For what a run waits for a person, in words; `None` while it doesn't.
fn waits(stage: &Stage) -> Option<String> {
    let step = |wait: &Wait| wait.step() + 1;
    Some(match stage {
        Stage::Proposed { lacks: 1 } => "one person's approval".to_owned(),
        Stage::Proposed { lacks } => format!("the approval of {lacks} people"),
        Stage::Waits(wait) => {
            let step = step(wait);
            match wait {
                Wait::Answer { .. } => format!("an answer, before step {step}"),
                Wait::Person(_) => format!("a person to do step {step}"),
                Wait::Failed(_) => {
                    format!("a decision, since step {step} failed or was undone by the guard")
                }
                Wait::UndoFailed(_) => format!("a decision, since step {step} could not be undone"),
                Wait::Evidence(_) => format!("evidence to be kept, before step {step}"),
                Wait::Cause(_) => format!("the cause to be closed, before step {step}"),
                Wait::Guard(_) => {
                    format!("a decision, since a store stopped selling after step {step}")
                }
            }
        }
        _ => return None,
    })
}

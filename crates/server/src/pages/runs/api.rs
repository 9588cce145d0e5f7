//! Runs for programs.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use engine::containment::{OrderWish, Stage, Standing, Wanted};
use engine::decider::DecideError;
use model::{Right, Timestamp, Word};
use playbook::{Run, RunStep, Turn, hash_words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::evidence::KeptPage;
use super::plan::{planned, suggestions};
use super::{is_silent, read_told, stage_name, stage_words};
use crate::access::{Caller, Console, Seen};
use crate::api;
use crate::pages::{json as answer, problem};
use crate::paging::{Asked, paged};

/// Runs, the newest first.
pub(crate) async fn runs(Seen(sight): Seen, caller: Caller, query: Asked) -> Response {
    let (cursor, limit) = match paged(query) {
        Ok(page) => page,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let mut all = sight.runs();
    let total = all.len();
    all.retain(|run| cursor.is_empty() || run.run < cursor);
    let has_more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| has_more).map(|run| run.run.clone());
    let items: Vec<Value> = all.iter().map(|run| summary(run, caller.now)).collect();
    answer(&json!({ "items": items, "total": total, "next": next }))
}

/// One run.
pub(crate) async fn run(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
) -> Response {
    let Some(run) = sight.run(&id) else {
        return no_run();
    };
    match read_told(&console, &sight, &caller, &run).await {
        Ok(reads) => {
            let mut told = whole(&run, reads, caller.now);
            let pages = reads.then(|| KeptPage::all(&sight, &run, caller.now));
            let pages = pages.map(|pages| pages.iter().map(KeptPage::json).collect::<Vec<_>>());
            if let Some(told) = told.as_object_mut() {
                told.insert("payment_pages".to_owned(), json!(pages));
            }
            answer(&told)
        }
        Err(refused) => {
            let why = "who reads evidence is recorded, and the database that records it can't be used now: try again in a minute";
            problem(refused.status(), why)
        }
    }
}

fn no_run() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such run")
}

fn summary(run: &Standing, now: Timestamp) -> Value {
    let stage = run.stage(now);
    let asked = run.asked_by().map(|one| one.order.at.to_string());
    json!({
        "id": run.run,
        "incident": (!run.incident.is_empty()).then_some(&run.incident),
        "host": run.host,
        "playbook": run.plan.playbook,
        "sha256": run.hash,
        "stage": stage_name(&stage),
        "words": stage_words(&stage, run),
        "asked": asked,
        "needs": run.needs(),
        "approvals": run.approvals().iter().map(|one| &one.order.by.name).collect::<Vec<_>>(),
        "holding": run.carried.as_ref().map_or(0, Run::holding),
        "version": run.entries(),
    })
}

fn evidence(run: &Standing, step: &RunStep) -> Vec<Value> {
    let pieces = step.pieces.iter().map(|piece| {
        let kept = run.evidence.find(&piece.hash);
        json!({
            "name": piece.name,
            "bytes": piece.bytes,
            "hash": piece.hash,
            "lacks": piece.lacks,
            "entry": kept.map(|(entry, _)| entry.0),
        })
    });
    pieces.collect()
}

pub(super) fn whole(run: &Standing, reads: bool, now: Timestamp) -> Value {
    let mut out = summary(run, now);
    let steps = run.plan.steps.iter().enumerate().map(|(at, planned)| {
        let step = run.carried.as_ref().and_then(|run| run.steps.get(at));
        json!({
            "step": at + 1,
            "planned": planned,
            "state": step.map(RunStep::words),
            "at": step.and_then(|step| step.at).map(|at| at.to_string()),
            "changes": step.filter(|_| reads).map(|step| &step.changes),
            "evidence": step.filter(|_| reads).map(|step| evidence(run, step)),
            "unsealed": step.is_some_and(|step| step.unsealed),
            "guarded": step.and_then(|step| step.guarded.as_ref()),
            "heeded": step.is_some_and(|step| step.heeded),
            "unwound": step.and_then(|step| step.unwound.as_ref()).map(|one| &one.why),
            "holds": run.carried.as_ref().is_some_and(|run| run.may_hold(at)),
            "due": run.carried.as_ref().and_then(|run| run.due(at)).map(|due| due.to_string()),
            "late": run.carried.as_ref().is_some_and(|run| run.late(now).contains(&at)),
        })
    });
    let orders = run.orders.iter().map(|one| {
        json!({
            "entry": one.sequence.0,
            "order": one.order,
            "lapsed": run.is_lapsed(&one.order, now),
            "refused": run.refused.get(&one.order.id).map(|refused| &refused.why),
        })
    });
    let takes: Vec<&str> = match (&run.stage(now), run.carried.as_ref().map(Run::turn)) {
        _ if run.is_by_hand() => Vec::new(),
        (Stage::Waits(_), Some(Turn::Wait(wait))) => Word::ALL
            .into_iter()
            .filter(|word| wait.takes(*word))
            .map(Word::name)
            .collect(),
        (Stage::Running | Stage::Done | Stage::Undone, _) => {
            vec![Word::Undo.name(), Word::Close.name()]
        }
        _ => Vec::new(),
    };
    let more = json!({
        "stops": run.plan.stops,
        "because": run.plan.because,
        "steps": steps.collect::<Vec<_>>(),
        "orders": orders.collect::<Vec<_>>(),
        "told": run.told.iter().map(|one| one.0).collect::<Vec<_>>(),
        "takes": takes,
        "waits_until": run.carried.as_ref().and_then(Run::waits_until).map(|(_, until)| until.to_string()),
    });
    if let (Some(out), Value::Object(more)) = (out.as_object_mut(), more) {
        out.extend(more);
    }
    out
}

/// Hosts that carry runs out.
pub(crate) async fn hosts(Seen(sight): Seen, caller: Caller) -> Response {
    let items = sight.hosts().into_iter().map(|(name, host)| {
        json!({
            "name": name,
            "reported": host.at.to_string(),
            "is_silent": is_silent(&host, caller.now),
            "ahead_seconds": host.ahead_seconds,
            "program": host.program,
            "actions": host.actions,
            "frozen": host.frozen,
            "trouble": host.trouble,
        })
    });
    answer(&json!({ "items": items.collect::<Vec<_>>() }))
}

/// Playbooks for an incident: those that answer it first.
pub(crate) async fn playbooks(Seen(sight): Seen, Path(id): Path<String>) -> Response {
    let Some(work) = sight.incident(&id) else {
        return api::no_incident();
    };
    let all = suggestions(&sight, &work.incident).await;
    let items = all.iter().map(|one| {
        json!({
            "name": one.playbook.name,
            "title": one.playbook.document.name,
            "description": one.playbook.document.description,
            "answers": one.rules,
            "variables": one.playbook.document.variables.keys().collect::<Vec<_>>(),
            "known": one.values,
        })
    });
    answer(&json!({ "items": items.collect::<Vec<_>>() }))
}

/// What a program says of a plan.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    playbook: String,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

/// What a plan would be: nothing is asked for.
pub(crate) async fn preview(
    Seen(sight): Seen,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if sight.in_brief(&id).is_none() {
        return api::no_incident();
    }
    let bound: Bound = match read(body) {
        Ok(bound) => bound,
        Err((status, why)) => return problem(status, why),
    };
    let playbooks = sight.playbooks();
    if playbooks.named(&bound.playbook).is_none() {
        return problem(StatusCode::NOT_FOUND, "there is no such playbook");
    }
    match planned(&sight, &bound.playbook, &bound.values).await {
        Ok(plan) => answer(&json!({ "sha256": hash_words(&plan), "plan": plan })),
        Err(why) => problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
    }
}

/// A plan as a program asks for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposal {
    incident: String,
    playbook: String,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(default)]
    answers: BTreeMap<String, bool>,
    host: String,
    sha256: String,
    #[serde(default)]
    note: String,
}

/// Asks for a plan; answers when it is sealed.
pub(crate) async fn propose(
    State(console): State<Console>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let said: Proposal = match read(body) {
        Ok(said) => said,
        Err((status, why)) => return problem(status, why),
    };
    let wanted = Wanted::Propose {
        incident: said.incident,
        playbook: said.playbook,
        values: said.values,
        answers: said.answers,
        host: said.host,
        hash: said.sha256,
    };
    order(&console, &caller, &headers, said.note, wanted).await
}

/// What a program says to a run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "ask")]
enum Said {
    /// The plan that was read is approved.
    Approve {
        sha256: String,
        #[serde(default)]
        note: String,
    },
    /// It isn't to be carried out.
    Withdraw {
        #[serde(default)]
        note: String,
    },
    /// A word.
    Say {
        word: Word,
        seen: u64,
        #[serde(default)]
        note: String,
    },
}

/// Says something to a run; answers when it is sealed.
pub(crate) async fn ask(
    State(console): State<Console>,
    caller: Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let said: Said = match read(body) {
        Ok(said) => said,
        Err((status, why)) => return problem(status, why),
    };
    let (note, wanted) = match said {
        Said::Approve { sha256: hash, note } => (note, Wanted::Approve { run, hash }),
        Said::Withdraw { note } => (note, Wanted::Withdraw { run }),
        Said::Say { word, seen, note } => (note, Wanted::Say { run, seen, word }),
    };
    order(&console, &caller, &headers, note, wanted).await
}

/// Reads a body; what can't be read says how HTTP tells it, and why.
fn read<T: for<'a> Deserialize<'a>>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, (StatusCode, &'static str)> {
    let body = body.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, "the body has at most 64 KiB"))?;
    let read = || {
        let mut value: Value = serde_json::from_slice(&body).ok()?;
        api::whole(value.as_object_mut()?)?;
        serde_json::from_value(value).ok()
    };
    let shape = "the body isn't what /api/v1/openapi.json has here";
    read().ok_or((StatusCode::BAD_REQUEST, shape))
}

async fn order(
    console: &Console,
    caller: &Caller,
    headers: &HeaderMap,
    note: String,
    wanted: Wanted,
) -> Response {
    let Some(decider) = &console.decider else {
        return problem(StatusCode::NOT_FOUND, "this console only shows");
    };
    let key = match api::key(headers) {
        Ok(key) => key,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let wish = OrderWish { key, note, wanted };
    match decider.order(&caller.principal, wish, caller.now).await {
        Ok((run, entry)) => answer(&json!({ "run": run, "entry": entry })),
        Err(DecideError::NotThere) => {
            problem(StatusCode::NOT_FOUND, "there is no such incident or run")
        }
        Err(DecideError::NotAllowed {
            right: Right::Approve,
        }) => problem(
            StatusCode::FORBIDDEN,
            "your roles don't let you approve this plan: an approver or an incident lead does",
        ),
        Err(error) => api::decided(Err(error)),
    }
}

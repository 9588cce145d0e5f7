//! Runs in words: where each is, what it changed, what it waits for.

use engine::runs::{Place, Stand};
use model::Work;
use playbook::{Run, RunStep, Turn, Wait};
use std::process::ExitCode;

use super::{journal, say};
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

pub(super) fn show_all(place: &Place) -> Result<ExitCode, Failure> {
    let (runs, errors) = place.runs().map_err(|error| journal(&error))?;
    let mut out = String::new();
    if let Some(frozen) = place.frozen().or_fail("see to the folder's rights")? {
        out.push_str(&format!(
            "frozen since {} by {}: {}\n",
            frozen.at,
            inert(&frozen.by),
            inert(&frozen.why)
        ));
    }
    for run in &runs {
        out.push_str(&format!(
            "{}  {}  {}\n    {}\n",
            run.id,
            run.approved,
            inert(&run.plan.playbook.name),
            where_it_is(run)
        ));
    }
    if runs.is_empty() && errors.is_empty() {
        out.push_str("no runs on this host\n");
    }
    for error in &errors {
        out.push_str(&format!("FAILED  {}\n", inert(&error.to_string())));
    }
    say(&out)?;
    Ok(match errors.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

pub(super) fn show(run: &Run, json: bool) -> Result<ExitCode, Failure> {
    if json {
        let steps = run.plan.steps.iter().zip(&run.steps).enumerate();
        let steps: Vec<_> = steps
            .map(|(at, (planned, step))| {
                serde_json::json!({
                    "step": at + 1, "name": called(run, at), "state": state(step), "changes": step.changes,
                    "evidence": step.pieces, "undo": undo_words(&planned.work), "at": step.at.map(|at| at.to_string()),
                    "only_if": planned.only_if, "stops": planned.stops, "may_hold": run.may_hold(at),
                    "guarded": step.guarded, "heeded": step.heeded,
                    "unwound": step.unwound.as_ref().map(|one| &one.why), "guarded_after_undo": step.unwound.as_ref().and_then(|one| one.after.as_ref()),
                })
            })
            .collect();
        let waits = match run.turn() {
            Turn::Wait(wait) => Some(asks(run, &wait)),
            _ => None,
        };
        let whole = serde_json::json!({
            "run": run.id, "playbook": run.plan.playbook, "sha256": run.hash, "approved": run.approved.to_string(),
            "by": run.approved_by, "steps": steps, "waits": waits, "waits_until": run.waits_until().map(|(_, until)| until.to_string()), "undo": run.undo, "is_closed": run.is_closed,
        });
        return say(&format!("{whole}\n"));
    }
    let people: Vec<_> = run
        .approved_by
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let mut out = format!(
        "{}\n{}\napproved {} by {}, sha256 {}\n{}, because {}\n",
        run.id,
        inert(&run.plan.playbook.name),
        run.approved,
        inert(&people.join(" and ")),
        run.hash,
        run.plan.stops.words(),
        inert(&run.plan.because)
    );
    for (at, (planned, step)) in run.plan.steps.iter().zip(&run.steps).enumerate() {
        out.push_str(&format!(
            "\n{:>3}. {}\n     {}",
            at + 1,
            called(run, at),
            state(step)
        ));
        if let Some(at) = step.at {
            out.push_str(&format!(", {at}"));
        }
        out.push('\n');
        for change in &step.changes {
            let line = format!("{}: {} → {}", change.what, change.now, change.then);
            out.push_str(&format!("     {}\n", inert(&line)));
        }
        for piece in &step.pieces {
            let lacks = match piece.lacks.as_str() {
                "" => String::new(),
                lacks => format!(" ({lacks})"),
            };
            let line = format!("kept {}, {} bytes{lacks}", piece.name, piece.bytes);
            out.push_str(&format!("     {}\n", inert(&line)));
        }
        let guard = step.guard_words();
        if !guard.is_empty() {
            out.push_str(&format!("     other stores: {}\n", inert(&guard)));
        }
        if !step.note.is_empty() {
            out.push_str(&format!("     “{}”\n", inert(&step.note)));
        }
        // What only keeps evidence has nothing to undo, and what is undone says so itself.
        let undo = undo_words(&planned.work).filter(|_| !step.changes.is_empty());
        if let Some(undo) = undo.filter(|_| run.is_to_undo(at)) {
            out.push_str(&format!("     to undo: {}\n", inert(undo)));
        }
    }
    out.push_str(&format!("\n{}\n", where_it_is(run)));
    say(&out)
}

fn undo_words(work: &Work) -> Option<&str> {
    match work {
        Work::Action { undo, .. } => Some(&undo.words),
        Work::Person { .. } => None,
    }
}

pub(super) fn called(run: &Run, step: usize) -> String {
    inert(run.called(step))
}

pub(super) fn states(run: &Run) -> Vec<String> {
    run.steps.iter().map(state).collect()
}

/// Where a step is, in words.
pub(super) fn state(step: &RunStep) -> String {
    inert(&step.words())
}

fn where_it_is(run: &Run) -> String {
    let all = || (0..run.steps.len()).zip(&run.steps);
    let holds = run.holding();
    let undone = match run.undo {
        Some(_) => {
            let by_hand = all().filter(|(_, one)| one.by_hand);
            let by_hand: Vec<_> = by_hand.map(|(step, _)| (step + 1).to_string()).collect();
            match by_hand.as_slice() {
                [] => "undone; ".to_owned(),
                steps => format!(
                    "undone; what people did by hand they undo by hand: steps {}; ",
                    steps.join(", ")
                ),
            }
        }
        None => String::new(),
    };
    match run.turn() {
        Turn::Wait(wait) => asks(run, &wait),
        Turn::Nothing if run.is_closed => "ended for good".to_owned(),
        Turn::Nothing => format!("{undone}nothing is left to do, {holds} steps hold"),
        _ => format!("stopped on its way: `magewarden runs go {}`", run.id),
    }
}

pub(super) fn stands(run: &Run, stand: &Stand) -> String {
    match stand {
        Stand::Frozen(frozen) => format!(
            "frozen since {} by {}: {}\n",
            frozen.at,
            inert(&frozen.by),
            inert(&frozen.why)
        ),
        Stand::Over | Stand::Waits(_) => format!("{}\n", where_it_is(run)),
    }
}

/// What a run waits for, what can be said, and until when.
pub(super) fn asks(run: &Run, wait: &Wait) -> String {
    let asks = waits_for(run, wait);
    match run.waits_until() {
        Some((step, until)) => {
            format!(
                "{asks}; not answered by {until}, {}",
                inert(&run.after_time_out(step))
            )
        }
        None => asks,
    }
}

fn waits_for(run: &Run, wait: &Wait) -> String {
    let at = wait.step();
    let step = format!("step {} “{}”", at + 1, called(run, at));
    let told = |one: Option<&RunStep>| one.map(state).unwrap_or_default();
    match wait {
        Wait::Answer { condition, .. } => {
            format!("asks before {step}: {}? say yes or no", inert(condition))
        }
        Wait::Person(_) => format!("waits for a person to do {step}: say done, or skip"),
        Wait::Failed(_) => format!(
            "{step} {}; say retry, done when done by hand, or skip; or undo the run",
            told(run.steps.get(at))
        ),
        Wait::UndoFailed(_) => format!(
            "{step} {}; undo again, or say done when undone by hand",
            told(run.steps.get(at))
        ),
        Wait::Evidence(_) => {
            format!("evidence before {step} isn't kept: say skip, or waive by two people")
        }
        Wait::Guard(_) => {
            let broken = run.steps.get(at).map(RunStep::broken_words);
            format!(
                "since {step}, {}: say yes to keep the step, with why; or undo the run",
                inert(&broken.unwrap_or_default())
            )
        }
        Wait::Cause(_) => format!(
            "{step} would be in vain, since what acts on the cause wasn't done: say skip, or undo the run"
        ),
    }
}

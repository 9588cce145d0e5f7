//! Containment: plans for an incident, what people ask of them, and how their runs stand.

mod api;
mod choice;
mod cost;
mod evidence;
mod form;
mod list;
mod plan;
mod run;

use std::sync::Arc;

use axum::response::Response;
use engine::containment::{HostSeen, Stage, Standing};
use engine::desk::{Sight, Work};
use model::{Layer, Piece, PlanStep, Right, Stops, Timestamp};
use playbook::{Run, RunStep, StepState};

use super::shortened;
use crate::access::{Caller, Console};

pub(crate) use api::{
    ask as api_ask, hosts as api_hosts, playbooks as api_playbooks, preview as api_preview,
    propose as api_propose, run as api_run, runs as api_runs,
};
pub(crate) use evidence::piece;
pub(crate) use form::say;
pub(crate) use list::runs;
pub(crate) use plan::{plan, propose};
pub(crate) use run::run;

/// Seconds after which a host that doesn't report is told of: three of its reports.
const SILENT_SECONDS: i64 = 90;

/// Runs of one list, changes and pieces of evidence of one step that a page shows: all are in the JSON.
pub(super) const LINES_MAX: usize = 60;
pub(super) const SHOWN_MAX: usize = 20;
/// Bytes of a text that a host or a person wrote, as a page shows it.
const TEXT_BYTES_MAX: usize = 500;

/// A text of a host or a person, as a page shows it.
pub(super) fn short(text: &str) -> String {
    shortened(text, TEXT_BYTES_MAX)
}

/// A run in a line.
pub(super) struct RunLine {
    pub(super) standing: Arc<Standing>,
    pub(super) stage: Stage,
    pub(super) incident: Option<Work>,
    now: Timestamp,
}

impl RunLine {
    fn new(sight: &Sight, standing: Arc<Standing>, now: Timestamp) -> Self {
        Self {
            stage: standing.stage(now),
            incident: sight.in_brief(&standing.incident),
            standing,
            now,
        }
    }

    pub(super) fn words(&self) -> String {
        let words = stage_words(&self.stage, &self.standing);
        let run = self.standing.carried.as_ref();
        match run.map_or(0, |run| run.late(self.now).len()) {
            0 => words,
            1 => format!("{words}; 1 step is late"),
            late => format!("{words}; {late} steps are late"),
        }
    }

    /// Whether a person has to do something for it to go on.
    fn is_waiting(&self) -> bool {
        matches!(
            self.stage,
            Stage::Proposed { .. } | Stage::Waits(_) | Stage::Refused { .. } | Stage::Lapsed
        )
    }

    /// How many of its steps hold.
    fn holding(&self) -> usize {
        self.standing.carried.as_ref().map_or(0, Run::holding)
    }

    /// Whether nothing comes of it any more, and nothing of it holds.
    fn is_over(&self) -> bool {
        match self.stage {
            Stage::Withdrawn => true,
            Stage::Closed | Stage::Undone => self.holding() == 0,
            _ => false,
        }
    }

    /// When it was asked for.
    pub(super) fn at(&self) -> Timestamp {
        let asked = self.standing.asked_by().map(|one| one.order.at);
        let begun = self.standing.carried.as_ref().map(|run| run.approved);
        asked.or(begun).unwrap_or_default()
    }
}

/// Runs of an incident, the newest first.
pub(super) fn of_incident(sight: &Sight, incident: &str, now: Timestamp) -> Vec<RunLine> {
    let all = sight.runs_of(incident).into_iter();
    all.map(|run| RunLine::new(sight, run, now)).collect()
}

/// Where a run is, for people.
pub(super) fn stage_words(stage: &Stage, standing: &Standing) -> String {
    let holds = standing.carried.as_ref().map_or(0, Run::holding);
    let steps = |count: usize| match count {
        1 => "1 step holds".to_owned(),
        count => format!("{count} steps hold"),
    };
    match stage {
        Stage::Proposed { lacks: 1 } => "asked for: one more person has to approve it".to_owned(),
        Stage::Proposed { lacks } => format!("asked for: {lacks} people have to approve it"),
        Stage::Withdrawn => "withdrawn".to_owned(),
        Stage::Ordered => format!("approved: {} has yet to hear of it", standing.host),
        Stage::Lapsed => {
            format!(
                "{} didn't tell within an hour that it heard of it",
                standing.host
            )
        }
        Stage::Refused { why } => format!("nothing was done: {} refuses it: {why}", standing.host),
        Stage::Running => format!("{} is at it", standing.host),
        Stage::Waits(_) => format!("waits for a person; {}", steps(holds)),
        Stage::Done => format!("all done; {}", steps(holds)),
        Stage::Undone if holds == 0 => "undone".to_owned(),
        Stage::Undone => format!("undone, but {}", steps(holds)),
        Stage::Closed if holds == 0 => "ended for good".to_owned(),
        Stage::Closed => format!("ended for good; {}", steps(holds)),
    }
}

/// Its name in the API, and as a mark in lists.
pub(super) const fn stage_name(stage: &Stage) -> &'static str {
    match stage {
        Stage::Proposed { .. } => "asked for",
        Stage::Withdrawn => "withdrawn",
        Stage::Ordered => "approved",
        Stage::Lapsed => "lapsed",
        Stage::Refused { .. } => "refused",
        Stage::Running => "running",
        Stage::Waits(_) => "waits",
        Stage::Done => "in effect",
        Stage::Undone => "undone",
        Stage::Closed => "ended",
    }
}

/// How a step stands, for its mark.
pub(super) fn step_class(step: &RunStep) -> &'static str {
    match step.state {
        StepState::Done | StepState::Relies(_) => "is-done",
        StepState::Failed { .. } | StepState::UndoFailed { .. } => "is-failed",
        StepState::Undone { .. } | StepState::Skipped { .. } => "is-out",
        _ => "",
    }
}

/// What an action does, in a sentence; empty for one that isn't known here.
pub(super) fn about(action: &str) -> &'static str {
    let facts = playbook::EXPECTED.iter().find(|one| one.name == action);
    facts.map_or("", |facts| facts.about)
}

/// What a step does to the cause; empty for what only keeps or looks, of which nobody asks.
pub(super) fn stops_words(planned: &PlanStep) -> &'static str {
    let is_cut =
        matches!(&planned.work, model::Work::Action { layer, .. } if *layer != Layer::Evidence);
    match is_cut || planned.stops == Stops::Contains {
        true => planned.stops.words(),
        false => "",
    }
}

fn is_silent(host: &HostSeen, now: Timestamp) -> bool {
    now.seconds_since(host.at) > SILENT_SECONDS
}

/// One step as the page tells it.
pub(super) struct StepView<'a> {
    pub(super) at: usize,
    pub(super) planned: &'a PlanStep,
    pub(super) step: Option<&'a RunStep>,
    /// Whether what it changed and kept is shown.
    pub(super) reads: bool,
    /// The run, once there is one.
    pub(super) run: Option<&'a Standing>,
    /// Whether evidence of every store is given to them.
    pub(super) is_whole: bool,
    /// What the stores sold that it reaches, in words; empty where that isn't known or the step is past.
    pub(super) sold: String,
    /// Since how many minutes it should have been done.
    pub(super) late_minutes: Option<i64>,
}

impl StepView<'_> {
    /// Where a piece of evidence can be had here; empty where it isn't for them, or its host alone has it.
    fn place_of(&self, piece: &Piece) -> String {
        match self.run {
            Some(run) if self.is_whole && self.is_here(piece) => {
                format!("/runs/{}/evidence/{}", run.run, piece.hash)
            }
            _ => String::new(),
        }
    }

    /// Whether it was handed over; what has no bytes isn't missed.
    fn is_here(&self, piece: &Piece) -> bool {
        let find = |run: &Standing| run.evidence.find(&piece.hash).is_some();
        piece.bytes == 0 || self.run.is_some_and(find)
    }
}

/// Whether somebody may see what a run's host told of the shop; that they do is noted.
///
/// # Errors
///
/// The answer of a page instead, when it can't be noted.
async fn read_told(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    run: &Standing,
) -> Result<bool, Response> {
    let brief = sight.in_brief(&run.incident);
    let scopes = brief.as_ref().map_or(&[][..], |work| &work.incident.scopes);
    let reads = sight.may(Right::SeeEvidence, scopes);
    let told: Vec<u64> = run.told.iter().map(|one| one.0).collect();
    if reads && !told.is_empty() {
        console.read(sight, caller, &told).await?;
    }
    Ok(reads)
}

#[cfg(test)]
mod tests;

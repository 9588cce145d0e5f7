//! The page of one run: what it waits for, each step and what became of it, who decided what.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use engine::containment::{HostSeen, Stage, Standing};
use engine::desk::{Sight, Work};
use model::{Ask, Order, Right, Sequence, Timestamp, Word};
use playbook::{RunStep, Wait};

use super::choice::{Choice, choice};
use super::evidence::KeptPage;
use super::{StepView, is_silent, read_told, short, stage_words};
use crate::access::{Caller, Console, Fields, Seen};
use crate::pages::drawn::Picture;
use crate::pages::{Frame, missing, page};

/// Entries of one run that its page shows.
const TOLD_MAX: usize = 100;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    standing: Arc<Standing>,
    stage: Stage,
    incident: Option<Work>,
    host: Option<HostSeen>,
    /// Whether decisions are taken here at all.
    is_open: bool,
    may_approve: bool,
    may_decide: bool,
    works: bool,
    /// Whether they may see what its host told of the shop.
    reads: bool,
    /// Whether they may have evidence of every store.
    is_whole: bool,
    /// Payment pages that it touches; empty for who may not see evidence.
    kept_pages: Vec<KeptPage>,
    me: String,
    csrf: String,
    key: String,
    problem: String,
    typed: Fields,
    now: Timestamp,
}

impl RunPage {
    fn new(
        console: &Console,
        sight: &Sight,
        caller: &Caller,
        standing: Arc<Standing>,
        (reads, problem, typed): (bool, String, Fields),
    ) -> Self {
        let powers = sight.powers(&standing.plan);
        let incident = sight.in_brief(&standing.incident);
        let places = engine::containment::places_of(&standing.plan);
        Self {
            frame: Frame::new(sight).at("/runs", caller.now),
            stage: standing.stage(caller.now),
            host: sight.hosts().remove(&standing.host),
            is_open: console.decider.is_some(),
            may_approve: powers.approve,
            may_decide: powers.decide,
            works: sight.may(Right::Work, &places),
            reads,
            is_whole: sight.may(Right::SeeEvidence, &super::evidence::WHOLE),
            kept_pages: match reads {
                true => KeptPage::all(sight, &standing, caller.now),
                false => Vec::new(),
            },
            me: sight.person().account,
            csrf: caller.csrf.clone(),
            key: engine::trail::new_id(),
            problem,
            typed,
            now: caller.now,
            incident,
            standing,
        }
    }

    fn words(&self) -> String {
        stage_words(&self.stage, &self.standing)
    }

    fn seen(&self) -> u64 {
        self.standing.entries()
    }

    /// The newest entries that seal what its host told.
    fn told(&self) -> &[Sequence] {
        let told = &self.standing.told;
        told.get(self.untold()..).unwrap_or_default()
    }

    /// How many older ones there are.
    fn untold(&self) -> usize {
        self.standing.told.len().saturating_sub(TOLD_MAX)
    }

    fn steps(&self) -> Vec<StepView<'_>> {
        let planned = self.standing.plan.steps.iter().enumerate();
        let step = |at: usize| self.standing.carried.as_ref()?.steps.get(at);
        planned
            .map(|(at, planned)| StepView {
                at,
                planned,
                step: step(at),
                reads: self.reads,
                run: Some(&self.standing),
                is_whole: self.is_whole,
                sold: String::new(),
                late_minutes: self.late_minutes(at),
            })
            .collect()
    }

    fn picture(&self) -> Picture {
        Picture::of_plan(&self.standing.plan, self.standing.carried.as_ref())
    }

    fn late_minutes(&self, step: usize) -> Option<i64> {
        let run = self.standing.carried.as_ref()?;
        let is_late = run.late(self.now).contains(&step);
        let due = run.due(step).filter(|_| is_late)?;
        Some(self.now.seconds_since(due) / 60)
    }

    /// Whether this person asked for it.
    fn is_mine(&self) -> bool {
        let asked = self.standing.asked_by();
        asked.is_some_and(|asked| asked.order.by.account == self.me)
    }

    /// Whether they may approve it now.
    fn approves(&self) -> bool {
        let counts = self.standing.takes_approval(&self.me, self.now);
        self.is_open && self.may_approve && self.is_proposed() && counts.is_ok()
    }

    /// Whether it takes somebody's approval, for the first time or anew.
    fn is_proposed(&self) -> bool {
        matches!(
            self.stage,
            Stage::Proposed { .. } | Stage::Lapsed | Stage::Refused { .. }
        )
    }

    /// Whether nothing more can come of it.
    fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Withdrawn | Stage::Closed)
    }

    fn may_withdraw(&self) -> bool {
        let is_early = self.standing.carried.is_none() && self.stage != Stage::Withdrawn;
        self.is_open && is_early && (self.is_mine() || self.may_decide)
    }

    /// What it waits for, as a question.
    fn asks(&self) -> String {
        let next = "Approved anew it is asked for once more";
        match &self.stage {
            Stage::Refused { .. } => {
                let host = &self.standing.host;
                return format!(
                    "{next}, and refused again unless what {host} names has changed: its owner's policy, or how things are there."
                );
            }
            Stage::Lapsed => return format!("{next}. Look first how things stand now."),
            _ => {}
        }
        let (Stage::Waits(wait), Some(run)) = (&self.stage, &self.standing.carried) else {
            return String::new();
        };
        let at = wait.step();
        let step = format!("step {} “{}”", at + 1, run.called(at));
        let told = run.steps.get(at).map(RunStep::words).unwrap_or_default();
        match wait {
            Wait::Answer { condition, .. } => format!("Before {step}: does this hold? {condition}"),
            Wait::Person(_) => match run.planned(at).map(|planned| &planned.work) {
                Some(model::Work::Person { does }) if !does.is_empty() => {
                    format!("A person has to do {step}: {}", short(&does.join(" ")))
                }
                _ => format!("A person has to do {step}."),
            },
            Wait::Failed(_) => match run.steps.get(at).and_then(|one| one.unwound.as_ref()) {
                Some(unwound) => format!(
                    "The guard had {step} undone, since {}. Try it again, leave it out, or undo the run?",
                    short(&unwound.why)
                ),
                None => format!("At {step} it {told}."),
            },
            Wait::UndoFailed(_) => format!("At {step} it {told}."),
            Wait::Evidence(_) => {
                format!("What {step} would change isn't kept as evidence, so it isn't done.")
            }
            Wait::Guard(_) => {
                let broken = run.steps.get(at).map(RunStep::broken_words);
                format!(
                    "Since {step}, {}. Keep the step, or undo the run?",
                    broken.unwrap_or_default()
                )
            }
            Wait::Cause(_) => format!(
                "{step} would be in vain: nothing that acts on the cause was done, so what it empties would be filled again."
            ),
        }
    }

    /// By when what it waits for is due, and what comes otherwise.
    fn time_out(&self) -> Option<(Timestamp, String)> {
        let run = self.standing.carried.as_ref()?;
        let (step, until) = run.waits_until()?;
        Some((until, short(&run.after_time_out(step))))
    }

    /// What this person may say to it now.
    fn choices(&self) -> Vec<Choice> {
        let mut out = Vec::new();
        let is_theirs = self.is_open && !self.standing.is_by_hand();
        let Some(run) = self.standing.carried.as_ref().filter(|_| is_theirs) else {
            return out;
        };
        if let Stage::Waits(wait) = &self.stage {
            for word in Word::ALL.into_iter().filter(|word| word.is_answer()) {
                let is_theirs = match word {
                    Word::Skip | Word::Waive => self.may_decide,
                    Word::Yes if matches!(wait, Wait::Guard(_)) => self.may_decide,
                    _ => self.works || self.may_decide,
                };
                if is_theirs && wait.takes(word) {
                    out.push(choice(word, Some(wait)));
                }
            }
        }
        if self.may_decide && !run.is_closed {
            if run.undo.is_none() || run.holding() > 0 {
                out.push(choice(Word::Undo, None));
            }
            if matches!(self.stage, Stage::Done | Stage::Undone) {
                out.push(choice(Word::Close, None));
            }
        }
        out
    }

    /// Words that were said and that the host hasn't heard of yet, with whose they are.
    fn unheard(&self) -> Vec<(&'static str, String)> {
        let open = self.standing.unheard(self.now).into_iter();
        let wait = match &self.stage {
            Stage::Waits(wait) => Some(wait),
            _ => None,
        };
        open.map(|(word, by)| (choice(word, wait).label, by.name.clone()))
            .collect()
    }

    /// Answers that were given with the plan.
    fn answers(&self) -> Vec<(String, bool)> {
        let run = self.standing.carried.as_ref();
        if let Some(run) = run {
            return run.answers.clone().into_iter().collect();
        }
        match self.standing.asked_by().map(|one| &one.order.ask) {
            Some(Ask::Propose { answers, .. }) => answers.clone().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What was decided, for its record.
    fn said(&self, order: &Order) -> &'static str {
        match &order.ask {
            Ask::Propose { signs: true, .. } => "asked for it, and approves it",
            Ask::Propose { .. } => "asked for it",
            Ask::Approve { .. } => "approves it",
            Ask::Withdraw => "withdrew it",
            // What it was an answer to isn't kept with it.
            Ask::Say {
                word: Word::Yes, ..
            } => "Yes",
            Ask::Say { word, .. } => choice(*word, None).label,
            _ => "",
        }
    }

    fn is_silent(&self) -> bool {
        let host = self.host.as_ref();
        host.is_none_or(|host| is_silent(host, self.now))
    }

    fn is_lapsed(&self, order: &Order) -> bool {
        self.standing.is_lapsed(order, self.now)
    }

    fn refusal(&self, order: &Order) -> Option<&str> {
        let refused = self.standing.refused.get(&order.id)?;
        Some(&refused.why)
    }
}

/// One run.
pub(crate) async fn run(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
) -> Response {
    let fine = (StatusCode::OK, String::new(), Fields::default());
    show(&console, &sight, &caller, &id, fine).await
}

/// The page of a run; with a problem, what was typed comes back.
pub(super) async fn show(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    id: &str,
    (status, problem, typed): (StatusCode, String, Fields),
) -> Response {
    let Some(standing) = sight.run(id) else {
        return missing(sight, "There is no such run");
    };
    let reads = match read_told(console, sight, caller, &standing).await {
        Ok(reads) => reads,
        Err(refused) => return refused,
    };
    let shown = (reads, problem, typed);
    let mut response = page(&RunPage::new(console, sight, caller, standing, shown));
    *response.status_mut() = status;
    response
}

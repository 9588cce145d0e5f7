//! What to do next: on the first page, in the queue and on an incident's page, also where everything that is listed is done.
//!
//! Apart from the handling because it decides nothing: it says what the state and the record of an incident leave open.

use engine::desk::Work;
use incident::containment::{Effect, Lever};
use model::{IncidentState, TaskState};

use super::handling::Handled;
use super::shortened;

/// Bytes of a task's or stage's title.
const TITLE_BYTES: usize = 90;

/// Bytes of what a lever does.
const LEVER_BYTES: usize = 160;

/// Something to do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Address, on this page or another.
    pub(super) link: String,
    pub(super) words: String,
}

fn step(link: &str, words: impl Into<String>) -> Step {
    Step {
        link: link.to_owned(),
        words: words.into(),
    }
}

/// What an incident asks for next, for whoever looks: what they may do, else who can; where a console only shows, what is to be read.
pub(super) fn next_for<I>(work: &Work<I>, may: bool, is_open: bool) -> String {
    match (work.next(), is_open) {
        (_, false) => " · inside: what stops it, whom to tell by when".to_owned(),
        (next, true) if may => format!(" · next: {next}"),
        (next, true) => format!(" · next, by whoever works on incidents there: {next}"),
    }
}

/// What the state asks for, and where on the page of an incident it is done.
fn of_state(state: IncidentState) -> Option<Step> {
    let (link, words) = match state {
        IncidentState::Signal => (
            "#next",
            "decide whether to take it on: if cards or accounts may be at risk, suspect a leak at once",
        ),
        IncidentState::Triaged | IncidentState::Reopened => (
            "#next",
            "decide whether data is at risk: suspect a leak, or say why it is none",
        ),
        IncidentState::Suspected => (
            "#stop",
            "keep the evidence, stop it as “What stops it?” says, and let the incident lead declare it",
        ),
        IncidentState::Declared => (
            "#stop",
            "keep the evidence, stop it as “What stops it?” says, then move it to contained",
        ),
        IncidentState::Contained => (
            "#next",
            "find and close what made it possible (the hole, every copy, every account made meanwhile), then move it to eradicated",
        ),
        IncidentState::Eradicated => (
            "#next",
            "buy something in each store as a shopper would and look at it once more, then move it to recovered",
        ),
        IncidentState::Recovered => ("#next", "close it, with the reason"),
        _ => return None,
    };
    Some(step(link, words))
}

/// Whether nobody said yet that it can no longer act.
const fn still_acts(state: IncidentState) -> bool {
    matches!(
        state,
        IncidentState::Suspected | IncidentState::Declared | IncidentState::Reopened
    )
}

/// The first of what stops it, by its name: so that nobody has to look for what is meant.
fn first_lever(levers: &[Lever]) -> Option<Step> {
    let first = levers.first()?;
    let does = shortened(&first.does, LEVER_BYTES);
    let words = match first.effect {
        Effect::Contains => format!("the first there, which stops it: {does}"),
        Effect::OnlyMitigates => format!("the first there, which only gains time: {does}"),
    };
    Some(step("#stop", words))
}

impl Handled {
    /// What to do next here, the first thing first; never nothing. `levers`: what stops it, the first one first.
    pub(super) fn steps(&self, levers: &[Lever]) -> Vec<Step> {
        let state = self.work.state;
        if state.is_over() {
            let words = "nothing here: it is over. What burns elsewhere is on the first page";
            return vec![step("/", words)];
        }
        if !self.is_open {
            let mut steps = vec![step(
                "#stop",
                "read what stops it, and have whoever runs the shop do it",
            )];
            steps.extend(first_lever(levers));
            let words = "see whom to tell by when, and call counsel";
            steps.push(step("#tell", words));
            return steps;
        }
        let mut steps = Vec::new();
        if self.work.handling.acknowledged.is_none() {
            steps.push(step("#next", "say “I am looking at it”"));
        }
        if let [task, rest @ ..] = self.open_tasks().as_slice() {
            let title = shortened(&task.title, TITLE_BYTES);
            let more = match rest.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            steps.push(step("#tasks", format!("do the open task “{title}”{more}")));
        }
        steps.extend(of_state(state));
        steps.extend(first_lever(levers).filter(|_| still_acts(state)));
        let is_asked = !matches!(state, IncidentState::Signal | IncidentState::Triaged);
        let empty = self.flows().into_iter().find_map(|view| {
            let stage = view.flow.empty(&self.work.handling).next()?;
            Some((view.flow, stage, view.empty))
        });
        if let Some((flow, stage, count)) = empty.filter(|_| is_asked) {
            let title = shortened(&stage.title, TITLE_BYTES);
            let words =
                format!("fill the stage “{title}” ({count} empty: it can't be closed before)");
            steps.push(step(&format!("#flow-{}", flow.id), words));
        }
        steps
    }

    /// Whether there were tasks, and none is left to do.
    pub(super) fn is_every_task_done(&self) -> bool {
        let tasks = &self.work.handling.tasks;
        !tasks.is_empty() && tasks.iter().all(|task| task.state != TaskState::Open)
    }
}

/// What is known of a console that has nothing to work on.
pub(super) struct Quiet {
    /// Sources that give nothing, and all there are.
    pub(super) ailing: usize,
    pub(super) sources: usize,
    /// Things that can't be seen of the shop.
    pub(super) gaps: usize,
    /// Whether they see the whole installation.
    pub(super) is_whole: bool,
}

/// What to do while nothing burns, the first thing first.
pub(super) fn while_quiet(known: &Quiet) -> Vec<Step> {
    if !known.is_whole {
        let words = "nothing in the stores you see. What ended is in the queue";
        return vec![step("/incidents?state=all", words)];
    }
    let mut steps = Vec::new();
    if known.ailing > 0 {
        let words = format!(
            "make the {} of {} sources give something that don't: what they would tell isn't seen now",
            known.ailing, known.sources
        );
        steps.push(step("/sources", words));
    }
    if known.gaps > 0 {
        let words = format!(
            "go through the {} thing{} that can't be seen of this shop: each with what closes it, its price and its undo",
            known.gaps,
            if known.gaps == 1 { "" } else { "s" }
        );
        steps.push(step("/sources", words));
    }
    steps.push(step(
        "/payment-pages",
        "go through what is on the payment pages, and whether somebody authorised it",
    ));
    steps.push(step(
        "/rules",
        "see what the rules watch for, then rehearse: magewarden demo plays a leak through on a console of its own",
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::{Quiet, of_state, while_quiet};
    use model::IncidentState;

    #[test]
    fn every_state_that_goes_on_asks_for_something() {
        for state in IncidentState::ALL {
            assert_eq!(of_state(state).is_none(), state.is_over(), "{state:?}");
        }
    }

    #[track_caller]
    fn check(known: &Quiet, expected: &[&str]) {
        let links: Vec<_> = while_quiet(known).into_iter().map(|one| one.link).collect();
        assert_eq!(links, expected);
    }

    #[test]
    fn while_nothing_burns_what_isnt_seen_goes_first() {
        let known = |ailing, gaps, is_whole| Quiet {
            ailing,
            sources: 3,
            gaps,
            is_whole,
        };
        check(&known(0, 0, true), &["/payment-pages", "/rules"]);
        check(
            &known(1, 2, true),
            &["/sources", "/sources", "/payment-pages", "/rules"],
        );
        check(&known(1, 2, false), &["/incidents?state=all"]);
    }
}

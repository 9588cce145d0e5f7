//! How an incident is handled, on its page: what can be done next and what it means, tasks, stages, remarks, the record.
//!
//! Works without scripts: every act is a form. What is typed and refused comes back with the reason.

use ::incident::handling::{Flow, FlowStage, MEASURES, Move, measure, moves};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::content::flows;
use engine::decider::{DecideError, Wish};
use engine::desk::{Sight, Work};
use engine::zone::Zone;
use model::{
    Act, Attachment, CommentKind, Incident, IncidentState, Level, Person, Right, Taken, Task,
    TaskState, Timestamp,
};

use super::{incident, no_incident};
use crate::access::{Caller, Console, Fields, Seen};
use crate::api;

/// Lines of the record that are shown at once, the newest first.
const RECORD_MAX: usize = 50;

/// A move somebody may make, or may not and is told who may.
pub(super) struct Offer {
    pub(super) step: &'static Move,
    pub(super) is_allowed: bool,
}

/// A flow with its stages as they stand.
pub(super) struct FlowView {
    pub(super) flow: &'static Flow,
    pub(super) empty: usize,
}

/// A remark.
pub(super) struct Remark<'a> {
    pub(super) taken: &'a Taken,
    pub(super) text: &'a str,
    pub(super) is_guess: bool,
}

/// An attached file.
pub(super) struct File<'a> {
    pub(super) taken: &'a Taken,
    pub(super) attachment: &'a Attachment,
}

/// A measure and what it is computed from.
pub(super) struct Measured {
    pub(super) title: &'static str,
    pub(super) definition: &'static str,
    pub(super) words: String,
}

/// What the page shows of the handling.
pub(super) struct Handled {
    pub(super) work: Work<Incident>,
    /// Whether this person may work on it; only then are there forms.
    pub(super) works: bool,
    pub(super) decides: bool,
    /// Whether this person may see sealed records of it.
    pub(super) reads: bool,
    /// Whether decisions are taken here at all.
    pub(super) is_open: bool,
    pub(super) me: Person,
    /// Against forged requests.
    pub(super) csrf: String,
    /// The next decision's own id: sent twice, it counts once.
    pub(super) key: String,
    /// Why the last one wasn't taken.
    pub(super) problem: String,
    /// What was typed then.
    pub(super) typed: Fields,
    pub(super) now: Timestamp,
    /// In which times are told, and typed.
    zone: Zone,
}

impl Handled {
    pub(super) fn new(sight: &Sight, work: Work<Incident>, caller: &Caller) -> Self {
        let may = |right| sight.may(right, &work.incident.scopes);
        Self {
            works: may(Right::Work),
            decides: may(Right::Decide),
            reads: may(Right::SeeEvidence),
            is_open: true,
            me: sight.person(),
            csrf: caller.csrf.clone(),
            key: engine::trail::new_id(),
            problem: String::new(),
            typed: Fields::default(),
            now: caller.now,
            zone: sight.zone().clone(),
            work,
        }
    }

    /// What was typed into a field, when it was refused.
    pub(super) fn typed(&self, field: &str) -> &str {
        self.typed.text(field)
    }

    pub(super) fn seen(&self) -> u64 {
        self.work.handling.version()
    }

    pub(super) fn state(&self) -> String {
        words(&self.work.state)
    }

    pub(super) fn meaning(&self) -> &'static str {
        meaning(&self.work.state)
    }

    pub(super) fn offers(&self) -> Vec<Offer> {
        let offer = |step: &'static Move| Offer {
            is_allowed: if step.leads { self.decides } else { self.works },
            step,
        };
        moves(self.work.state).map(offer).collect()
    }

    /// Whether one of the moves asks for a reason.
    pub(super) fn asks_why(&self) -> bool {
        self.offers()
            .iter()
            .any(|offer| offer.is_allowed && offer.step.reason)
    }

    pub(super) fn levels(&self) -> Vec<Level> {
        Level::ALL
            .into_iter()
            .rev()
            .filter(|level| *level >= self.work.incident.severity_floor)
            .collect()
    }

    pub(super) fn open_tasks(&self) -> Vec<&Task> {
        let tasks = self.work.handling.tasks.iter();
        let mut open: Vec<_> = tasks.filter(|task| task.state == TaskState::Open).collect();
        open.sort_by_key(|task| (task.due.is_none(), task.due, task.number));
        open
    }

    pub(super) fn ended_tasks(&self) -> Vec<&Task> {
        let tasks = self.work.handling.tasks.iter();
        tasks.filter(|task| task.state != TaskState::Open).collect()
    }

    pub(super) fn is_late(&self, task: &Task) -> bool {
        task.state == TaskState::Open && task.due.is_some_and(|due| due < self.now)
    }

    pub(super) fn flows(&self) -> Vec<FlowView> {
        let (incident, handling) = (&self.work.incident, &self.work.handling);
        let view = |flow: &'static Flow| FlowView {
            flow,
            empty: flow.empty(handling).count(),
        };
        let flows = flows().of(incident, handling).into_iter();
        flows.map(view).collect()
    }

    /// What was filled into a field of a stage; what was typed and refused goes before it.
    pub(super) fn filled(&self, flow: &Flow, stage: &FlowStage, field: &str) -> &str {
        if self.typed("stage") == stage.id && self.typed("flow") == flow.id {
            return self.typed(&format!("field-{field}"));
        }
        let stages = self.work.handling.stages.get(&flow.id);
        let filled = stages.and_then(|stages| stages.get(&stage.id)?.fields.get(field));
        filled.map_or("", String::as_str)
    }

    /// By whom and when a stage was filled.
    pub(super) fn filled_by(&self, flow: &Flow, stage: &FlowStage) -> Option<(&str, Timestamp)> {
        let filled = self.work.handling.stages.get(&flow.id)?.get(&stage.id)?;
        Some((&filled.by.name, filled.at))
    }

    pub(super) fn remarks<'a>(&'a self) -> Vec<Remark<'a>> {
        let taken = self.work.handling.taken.iter();
        let remark = |taken: &'a Taken| match &taken.decision.act {
            Act::Comment { text, kind } => Some(Remark {
                taken,
                text,
                is_guess: *kind == CommentKind::Hypothesis,
            }),
            _ => None,
        };
        taken.filter_map(remark).collect()
    }

    pub(super) fn files(&self) -> Vec<File<'_>> {
        let files = self.work.handling.attachments();
        let file = |(taken, attachment, _)| File { taken, attachment };
        files.map(file).collect()
    }

    /// The record, the newest first, and how many lines are left out.
    pub(super) fn record(&self) -> (Vec<(&Taken, String)>, usize) {
        let taken = &self.work.handling.taken;
        let lines = taken
            .iter()
            .rev()
            .take(RECORD_MAX)
            .map(|taken| (taken, line(&taken.decision.act)));
        (lines.collect(), taken.len().saturating_sub(RECORD_MAX))
    }

    pub(super) fn measures(&self) -> Vec<Measured> {
        let (incident, handling) = (&self.work.incident, &self.work.handling);
        let measured = MEASURES.iter().map(|one| Measured {
            title: one.title,
            definition: one.definition,
            words: measure(one, incident, handling)
                .map_or_else(|| "not yet".to_owned(), report::duration),
        });
        measured.collect()
    }

    pub(super) fn watches(&self) -> bool {
        self.work.handling.watchers.contains(&self.me.account)
    }

    pub(super) fn leads(&self) -> bool {
        self.work
            .handling
            .lead
            .as_ref()
            .is_some_and(|lead| lead.account == self.me.account)
    }

    /// Reads a form into what it wishes.
    fn wish(&self, fields: &Fields) -> Result<Wish, String> {
        let act = act(fields, &self.me, &self.zone)?;
        let field = |name: &str| fields.text(name).trim();
        let key = field("key");
        Ok(Wish {
            key: (!key.is_empty()).then(|| key.to_owned()),
            incident: self.work.incident.id.clone(),
            seen: field("seen").parse().unwrap_or(0),
            act,
            reason: field("reason").to_owned(),
        })
    }
}

/// The act of a form.
fn act(fields: &Fields, me: &Person, zone: &Zone) -> Result<Act, String> {
    let field = |name: &str| fields.text(name).trim();
    let mine = |whose: &str| (whose == "me").then(|| me.clone());
    let task = || {
        field("task")
            .parse::<u32>()
            .map_err(|_| "the form names no task".to_owned())
    };
    Ok(match field("act") {
        "acknowledge" => Act::Acknowledge,
        "move" => Act::Move {
            to: IncidentState::named(field("to")).ok_or("the form names no state")?,
        },
        "severity" => Act::Severity {
            to: Level::named(field("to")),
            told: Level::default(),
        },
        "lead" => Act::Lead {
            to: mine(field("to")),
        },
        "comment" => Act::Comment {
            text: field("text").to_owned(),
            kind: if field("kind") == "hypothesis" {
                CommentKind::Hypothesis
            } else {
                CommentKind::Fact
            },
        },
        "add_task" => Act::AddTask {
            title: field("title").to_owned(),
            owner: mine(field("owner")),
            due: due(field("due"), zone)?,
        },
        "done" | "drop" | "open" => Act::ChangeTask {
            task: task()?,
            owner: mine(field("owner")),
            due: due(field("due"), zone)?,
            state: match field("act") {
                "done" => TaskState::Done,
                "drop" => TaskState::Dropped,
                _ => TaskState::Open,
            },
        },
        "watch" => Act::Watch {
            on: field("on") == "1",
        },
        "merge" => Act::Merge {
            into: field("into").to_owned(),
        },
        "split" => Act::Split {
            findings: fields
                .pairs()
                .filter_map(|(name, _)| name.strip_prefix("finding-"))
                .map(str::to_owned)
                .collect(),
        },
        "stage" => Act::Stage {
            flow: field("flow").to_owned(),
            stage: field("stage").to_owned(),
            fields: fields
                .pairs()
                .filter_map(|(name, value)| {
                    Some((
                        name.strip_prefix("field-")?.to_owned(),
                        value.trim().replace("\r\n", "\n"),
                    ))
                })
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        },
        other => return Err(format!("the form asks for “{other}”, which isn't known")),
    })
}

/// A time as a form has it: `2026-11-29T18:30`, in the zone that the page shows, or whole with its offset.
fn due(text: &str, zone: &Zone) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let whole = text.parse::<jiff::Timestamp>();
    let whole = whole.map(|time| Timestamp(time.as_microsecond()));
    let read = whole.ok().or_else(|| zone.read(text));
    read.map(Some)
        .ok_or_else(|| format!("“{text}” is no time such as 2026-11-29T18:30"))
}

/// A state in words.
pub(super) fn words(state: &IncidentState) -> String {
    state.name().replace('_', " ")
}

pub(super) fn meaning(state: &IncidentState) -> &'static str {
    match state {
        IncidentState::Signal => "Rules found this; nobody has looked yet.",
        IncidentState::Triaged => "Somebody took it on. Whether data is at risk isn't decided.",
        IncidentState::Suspected => {
            "Account data may be at risk. The response is due at once, without waiting for proof."
        }
        IncidentState::Declared => {
            "The response runs. What counts now is stopping it without losing evidence."
        }
        IncidentState::Contained => "It can no longer act. Find and close what made it possible.",
        IncidentState::Eradicated => {
            "What made it possible is gone. See that the shop works as it should."
        }
        IncidentState::Recovered => "The shop works again. Fill what is empty below, then close.",
        IncidentState::Closed => "Done.",
        IncidentState::Reopened => "Closed once, and work again.",
        IncidentState::FalsePositive => "Looked at, and nothing of the kind.",
        _ => "It went into another incident.",
    }
}

/// An act as a line of the record.
pub(super) fn line(act: &Act) -> String {
    let person = |person: &Option<Person>| {
        person
            .as_ref()
            .map_or("nobody".to_owned(), |person| person.name.clone())
    };
    match act {
        Act::Acknowledge => "looks at it".to_owned(),
        Act::Move { to } => format!("moved it to {}", words(to)),
        Act::Severity { to: Some(to), .. } => format!("set the severity to {}", to.name()),
        Act::Severity { to: None, .. } => "left the severity to the rules".to_owned(),
        Act::Lead { to } => format!("made {} the lead", person(to)),
        Act::Comment {
            kind: CommentKind::Hypothesis,
            ..
        } => "wrote a guess".to_owned(),
        Act::Comment { .. } => "wrote a remark".to_owned(),
        Act::AddTask { title, .. } => format!("added the task “{title}”"),
        Act::ChangeTask { task, state, .. } => format!("changed task {task}: {}", state.name()),
        Act::Watch { on: true } => "watches it".to_owned(),
        Act::Watch { on: false } => "no longer watches it".to_owned(),
        Act::Merge { into } => format!("put it into incident {into}"),
        Act::Split { findings } => format!("split off {} finding(s)", findings.len()),
        Act::Stage { flow, stage, .. } => {
            let title = flows()
                .named(flow)
                .and_then(|flow| flow.stages.iter().find(|known| known.id == *stage));
            format!(
                "filled “{}”",
                title.map_or(stage.as_str(), |stage| &stage.title)
            )
        }
        Act::Attach(attachment) => format!("attached “{}”", attachment.name),
        _ => act.name().replace('_', " "),
    }
}

/// Takes a decision from a form; what isn't taken comes back with the reason and what was typed.
pub(crate) async fn decide(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(id): Path<String>,
    fields: Fields,
) -> Response {
    let (Some(decider), Some(work)) = (&console.decider, sight.incident(&id)) else {
        return no_incident(&sight, &id);
    };
    let mut handled = Handled::new(&sight, work, &caller);
    let place = match fields.text("act") {
        "comment" => "remarks",
        "add_task" | "done" | "drop" | "open" => "tasks",
        "stage" => fields.text("flow"),
        _ => "next",
    };
    let place = if fields.text("act") == "stage" {
        format!("flow-{}", super::encoded(place))
    } else {
        place.to_owned()
    };
    let (status, problem) = match handled.wish(&fields) {
        Err(problem) => (axum::http::StatusCode::BAD_REQUEST, problem),
        Ok(wish) => {
            let into = match &wish.act {
                Act::Merge { into } => into.clone(),
                _ => id.clone(),
            };
            match decider.decide(&caller.principal, wish, caller.now).await {
                Ok(_) => {
                    return Redirect::to(&format!("/incidents/{}#{place}", super::encoded(&into)))
                        .into_response();
                }
                // It will be in the record; nothing is to be typed again.
                Err(error @ DecideError::Waiting { .. }) => {
                    handled.problem = error.to_string();
                    return incident::show(&console, &sight, &caller, handled, 0).await;
                }
                Err(error) => (api::status(&error), error.to_string()),
            }
        }
    };
    // As things stand now: somebody else may have been first.
    if let Some(work) = sight.incident(&id) {
        handled.work = work;
    }
    (handled.problem, handled.typed) = (problem, fields);
    let mut response = incident::show(&console, &sight, &caller, handled, 0).await;
    *response.status_mut() = status;
    response
}

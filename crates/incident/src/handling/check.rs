//! Whether a decision may be taken, as things stand: asked before it is written, and again before it is sealed.

use model::{Act, Attachment, Decision, Handling, Incident, IncidentState, TaskState};

use super::flow::Flows;
use super::life::moves;

/// Longest remark, in bytes.
pub const COMMENT_BYTES_MAX: usize = 16 * 1024;
/// Longest title of a task, name or reason, in characters.
pub const NAME_CHARS_MAX: usize = 500;
/// Longest name of an attached file, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 200;
/// Bytes of all files attached to one incident.
pub const ATTACHED_BYTES_MAX: u64 = 1 << 30;
/// Most decisions on one incident: a program that writes without end is stopped by this.
const TAKEN_MAX: u64 = 10_000;

/// Why a decision isn't taken. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody else changed the same thing in the meantime.
    #[error("{who} changed the {what} meanwhile: look at it as it is now, and decide again")]
    ChangedMeanwhile {
        /// What both changed.
        what: &'static str,
        /// Who was first.
        who: String,
    },
    /// There is no such move.
    #[error("an incident that is {} can't become {}", name(*.from), name(*.to))]
    NoSuchMove {
        /// Where it is.
        from: IncidentState,
        /// Where it should go.
        to: IncidentState,
    },
    /// It was put into another; that one goes on.
    #[error("it was put into incident {into}: work goes on there")]
    Merged {
        /// The one that goes on.
        into: String,
    },
    /// No reason where one is asked for.
    #[error("say why: the reason is part of the record")]
    NoReason,
    /// A required stage is empty.
    #[error("the stage “{stage}” of “{flow}” is empty: fill it before closing")]
    StageEmpty {
        /// The flow.
        flow: String,
        /// The first empty stage.
        stage: String,
    },
    /// A task is open.
    #[error("{count} task(s) are open, the first is “{first}”: finish or drop them before closing")]
    TasksOpen {
        /// How many.
        count: usize,
        /// The first one's title.
        first: String,
    },
    /// The severity would go below its floor.
    #[error("the severity can't go below {floor}: the standard itself weighs what was found")]
    BelowFloor {
        /// The floor.
        floor: &'static str,
    },
    /// A text is empty, too long, or another thing than its field takes.
    #[error("{what}")]
    Unfit {
        /// What is wrong, in words.
        what: String,
    },
    /// What it names isn't there.
    #[error("there is no {what} {id}")]
    NotThere {
        /// Of this kind.
        what: &'static str,
        /// The name.
        id: String,
    },
}

/// A state in words.
fn name(state: IncidentState) -> String {
    state.name().replace('_', " ")
}

/// Looks whether a decision may be taken; `other` finds the incident that a merge names.
///
/// # Errors
///
/// [`Refusal`], with what to do instead.
pub fn check(
    incident: &Incident,
    handling: &Handling,
    flows: &Flows,
    decision: &Decision,
    other: &dyn Fn(&str) -> Option<IncidentState>,
) -> Result<(), Refusal> {
    if handling.version() >= TAKEN_MAX {
        return Err(unfit(format!(
            "there are {TAKEN_MAX} decisions on this incident already"
        )));
    }
    // Else whoever claims to have seen everything would overwrite anything.
    if decision.seen > handling.version() {
        let version = handling.version();
        return Err(unfit(format!(
            "nobody can have seen {} decisions of {version}: send the incident's version as it was shown",
            decision.seen
        )));
    }
    if let Some(into) = &handling.merged_into {
        return Err(Refusal::Merged { into: into.clone() });
    }
    if incident.state == IncidentState::Merged {
        let into = "it grew into".to_owned();
        return Err(Refusal::Merged { into });
    }
    if decision.reason.chars().count() > NAME_CHARS_MAX {
        return Err(unfit(format!(
            "the reason is longer than {NAME_CHARS_MAX} characters"
        )));
    }
    if let Act::Lead { to: owner } | Act::AddTask { owner, .. } | Act::ChangeTask { owner, .. } =
        &decision.act
        && let Some(owner) = owner
    {
        fits(&owner.account, "the account", NAME_CHARS_MAX)?;
        fits(&owner.name, "the name", NAME_CHARS_MAX)?;
    }
    meanwhile(handling, decision)?;
    match &decision.act {
        Act::Move { to } => check_move(incident, handling, flows, *to, &decision.reason),
        Act::Severity { to: Some(to), .. } if *to < incident.severity_floor => {
            Err(Refusal::BelowFloor {
                floor: incident.severity_floor.name(),
            })
        }
        Act::Severity { to: Some(to), .. } if *to < incident.severity => {
            with_reason(&decision.reason)
        }
        Act::Comment { text, .. } => fits(text, "the remark", COMMENT_BYTES_MAX),
        Act::AddTask { title, .. } => fits(title, "the task", NAME_CHARS_MAX),
        Act::ChangeTask { task, state, .. } => {
            if !handling.tasks.iter().any(|known| known.number == *task) {
                let id = task.to_string();
                return Err(Refusal::NotThere { what: "task", id });
            }
            if *state == TaskState::Dropped {
                return with_reason(&decision.reason);
            }
            Ok(())
        }
        Act::Merge { into } => {
            with_reason(&decision.reason)?;
            match other(into) {
                _ if *into == incident.id => {
                    Err(unfit("an incident can't be put into itself".to_owned()))
                }
                Some(IncidentState::Merged) | None => Err(Refusal::NotThere {
                    what: "incident that goes on,",
                    id: into.clone(),
                }),
                Some(_) => Ok(()),
            }
        }
        Act::Split { findings } => {
            with_reason(&decision.reason)?;
            let has = |id: &String| incident.findings.iter().any(|joined| joined.finding == *id);
            if let Some(id) = findings.iter().find(|id| !has(id)) {
                return Err(Refusal::NotThere {
                    what: "finding in this incident",
                    id: id.clone(),
                });
            }
            if findings.is_empty() || findings.len() >= incident.findings.len() {
                return Err(unfit(
                    "name some of its findings, not none and not all".to_owned(),
                ));
            }
            Ok(())
        }
        Act::Stage {
            flow,
            stage,
            fields,
        } => {
            let Some(known) = flows.named(flow) else {
                return Err(Refusal::NotThere {
                    what: "flow",
                    id: flow.clone(),
                });
            };
            known
                .refuses(stage, fields)
                .map_or(Ok(()), |what| Err(unfit(what)))
        }
        Act::Attach(attachment) => check_attachment(handling, attachment),
        _ => Ok(()),
    }
}

/// Refuses to overwrite what somebody else changed since the person looked.
fn meanwhile(handling: &Handling, decision: &Decision) -> Result<(), Refusal> {
    let (what, changed) = match &decision.act {
        Act::Move { .. } | Act::Merge { .. } | Act::Split { .. } => {
            ("state", handling.state_changed)
        }
        Act::Severity { .. } => ("severity", handling.severity_changed),
        Act::Lead { .. } => ("lead", handling.lead_changed),
        Act::ChangeTask { task, .. } => {
            let known = handling.tasks.iter().find(|known| known.number == *task);
            ("task", known.map_or(0, |known| known.changed))
        }
        Act::Stage { flow, stage, .. } => {
            let filled = handling
                .stages
                .get(flow)
                .and_then(|stages| stages.get(stage));
            ("stage", filled.map_or(0, |filled| filled.changed))
        }
        _ => return Ok(()),
    };
    if changed <= decision.seen {
        return Ok(());
    }
    let first = usize::try_from(changed)
        .ok()
        .and_then(|at| handling.taken.get(at - 1));
    let who = first.map_or_else(
        || "somebody".to_owned(),
        |taken| taken.decision.by.name.clone(),
    );
    Err(Refusal::ChangedMeanwhile { what, who })
}

fn check_move(
    incident: &Incident,
    handling: &Handling,
    flows: &Flows,
    to: IncidentState,
    reason: &str,
) -> Result<(), Refusal> {
    let from = handling.state;
    let Some(step) = moves(from).find(|step| step.to == to) else {
        return Err(Refusal::NoSuchMove { from, to });
    };
    if step.reason {
        with_reason(reason)?;
    }
    if to != IncidentState::Closed {
        return Ok(());
    }
    for flow in flows.of(incident, handling) {
        if let Some(stage) = flow.empty(handling).next() {
            let (flow, stage) = (flow.title.clone(), stage.title.clone());
            return Err(Refusal::StageEmpty { flow, stage });
        }
    }
    let mut open = handling
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Open);
    match open.next() {
        Some(first) => Err(Refusal::TasksOpen {
            first: first.title.clone(),
            count: open.count() + 1,
        }),
        None => Ok(()),
    }
}

fn check_attachment(handling: &Handling, new: &Attachment) -> Result<(), Refusal> {
    fits(&new.name, "the file's name", FILE_NAME_BYTES_MAX)?;
    if new.about.trim().is_empty() {
        return Err(unfit("say in a line what the file is".to_owned()));
    }
    if new.about.chars().count() > NAME_CHARS_MAX {
        return Err(unfit(format!(
            "the line about the file is longer than {NAME_CHARS_MAX} characters"
        )));
    }
    let known = handling.attachments();
    let bytes: u64 = known.map(|(_, known, _)| known.size_bytes).sum();
    if bytes.saturating_add(new.size_bytes) > ATTACHED_BYTES_MAX {
        return Err(unfit(format!(
            "the files attached to this incident would be more than {ATTACHED_BYTES_MAX} bytes together"
        )));
    }
    Ok(())
}

fn with_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        Err(Refusal::NoReason)
    } else {
        Ok(())
    }
}

fn fits(text: &str, what: &str, max: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(unfit(format!("{what} is empty")));
    }
    if text.len() > max {
        return Err(unfit(format!("{what} is longer than {max} bytes")));
    }
    Ok(())
}

fn unfit(what: String) -> Refusal {
    Refusal::Unfit { what }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;

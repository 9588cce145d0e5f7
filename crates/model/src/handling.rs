//! How people handle an incident: what comes of their decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    Act, Attachment, Decision, IncidentState, Level, Person, Sequence, TaskState, Timestamp,
};

/// A decision that is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its entry.
    pub sequence: Sequence,
    /// The decision.
    pub decision: Decision,
}

impl Taken {
    /// The file it attached and the entries that hold it; `None` of any other decision.
    #[must_use]
    pub fn attachment(&self) -> Option<(&Attachment, Range<u64>)> {
        let Act::Attach(attachment) = &self.decision.act else {
            return None;
        };
        let first = self.sequence.0.checked_sub(u64::from(attachment.entries))?;
        Some((attachment, first..self.sequence.0))
    }
}

/// Work for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number in the incident, from 1.
    pub number: u32,
    /// What is to be done.
    pub title: String,
    /// Whose it is.
    pub owner: Option<Person>,
    /// By when.
    pub due: Option<Timestamp>,
    /// Where it is.
    pub state: TaskState,
    /// The decision that changed it last, counted from 1.
    pub changed: u64,
}

/// A stage of a flow that was filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// What was filled in, by the field's id.
    pub fields: BTreeMap<String, String>,
    /// By whom.
    pub by: Person,
    /// When.
    pub at: Timestamp,
    /// The decision that changed it last, counted from 1.
    pub changed: u64,
}

/// How an incident is handled: the fold of the decisions on it, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// Every decision, in the ledger's order.
    pub taken: Vec<Taken>,
    /// Where it is in its life.
    pub state: IncidentState,
    /// The decision that moved it last, counted from 1; zero when none did.
    pub state_changed: u64,
    /// The severity a person set, and what the machine's was then.
    pub severity: Option<(Level, Level)>,
    /// As of `state_changed`.
    pub severity_changed: u64,
    /// Who leads.
    pub lead: Option<Person>,
    /// As of `state_changed`.
    pub lead_changed: u64,
    /// When somebody first said that they look.
    pub acknowledged: Option<Timestamp>,
    /// When it first came to each state; the latest time for `contained` and what follows, since a containment that
    /// failed was none.
    pub reached: BTreeMap<IncidentState, Timestamp>,
    /// Tasks in order of number.
    pub tasks: Vec<Task>,
    /// Accounts that watch.
    pub watchers: BTreeSet<String>,
    /// Stages that were filled, by flow and stage.
    pub stages: BTreeMap<String, BTreeMap<String, Stage>>,
    /// The incident this one was put into.
    pub merged_into: Option<String>,
}

impl Handling {
    /// Files attached to it, in the ledger's order, with the entries that hold each.
    pub fn attachments(&self) -> impl Iterator<Item = (&Taken, &Attachment, Range<u64>)> {
        self.taken.iter().filter_map(|taken| {
            let (attachment, entries) = taken.attachment()?;
            Some((taken, attachment, entries))
        })
    }

    /// Whether an account watches or leads it: it is told of each change.
    #[must_use]
    pub fn is_followed_by(&self, account: &str) -> bool {
        let leads = |lead: &Person| lead.account == account;
        self.watchers.contains(account) || self.lead.as_ref().is_some_and(leads)
    }

    /// How many decisions were taken.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.taken.len() as u64
    }

    /// Takes a decision that is sealed. What it may do was looked at before: an entry is law.
    pub fn take(&mut self, sequence: Sequence, decision: Decision) {
        let number = self.version() + 1;
        let at = decision.at;
        match &decision.act {
            Act::Acknowledge => self.acknowledge(at),
            Act::Move { to } => self.moved(*to, at, number),
            Act::Severity { to, told } => {
                (self.severity, self.severity_changed) = (to.map(|to| (to, *told)), number);
            }
            Act::Lead { to } => (self.lead, self.lead_changed) = (to.clone(), number),
            Act::AddTask { title, owner, due } => self.tasks.push(Task {
                number: u32::try_from(self.tasks.len() + 1).unwrap_or(u32::MAX),
                title: title.clone(),
                owner: owner.clone(),
                due: *due,
                state: TaskState::Open,
                changed: number,
            }),
            Act::ChangeTask {
                task,
                owner,
                due,
                state,
            } => {
                if let Some(known) = self.tasks.iter_mut().find(|known| known.number == *task) {
                    (known.owner, known.due) = (owner.clone(), *due);
                    (known.state, known.changed) = (*state, number);
                }
            }
            Act::Watch { on: true } => drop(self.watchers.insert(decision.by.account.clone())),
            Act::Watch { on: false } => drop(self.watchers.remove(&decision.by.account)),
            Act::Merge { into } => {
                self.merged_into = Some(into.clone());
                self.moved(IncidentState::Merged, at, number);
            }
            Act::Stage {
                flow,
                stage,
                fields,
            } => {
                let filled = Stage {
                    fields: fields.clone(),
                    by: decision.by.clone(),
                    at,
                    changed: number,
                };
                let stages = self.stages.entry(flow.clone()).or_default();
                stages.insert(stage.clone(), filled);
            }
            Act::Comment { .. } | Act::Split { .. } | Act::Attach(_) => {}
        }
        self.taken.push(Taken { sequence, decision });
    }

    fn acknowledge(&mut self, at: Timestamp) {
        self.acknowledged = Some(self.acknowledged.map_or(at, |first| first.min(at)));
    }

    fn moved(&mut self, to: IncidentState, at: Timestamp, number: u64) {
        // Whoever moves it has looked.
        self.acknowledge(at);
        (self.state, self.state_changed) = (to, number);
        let first = matches!(
            to,
            IncidentState::Triaged | IncidentState::Suspected | IncidentState::Declared
        );
        if first {
            self.reached.entry(to).or_insert(at);
        } else {
            self.reached.insert(to, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Handling;
    use crate::{Act, Decision, IncidentState, Person, Sequence, TaskState, Timestamp};

    fn decide(handling: &mut Handling, at: i64, act: Act) {
        let decision = Decision {
            id: format!("d{at}"),
            incident: "i1".to_owned(),
            by: Person {
                account: "a1".to_owned(),
                name: "Ana".to_owned(),
            },
            at: Timestamp(at),
            seen: handling.version(),
            act,
            reason: String::new(),
        };
        handling.take(Sequence(at.cast_unsigned()), decision);
    }

    fn move_to(handling: &mut Handling, at: i64, to: IncidentState) {
        decide(handling, at, Act::Move { to });
    }

    #[test]
    fn the_first_time_counts_for_looking_and_the_last_for_containing() {
        let mut handling = Handling::default();
        move_to(&mut handling, 1, IncidentState::Suspected);
        decide(&mut handling, 2, Act::Acknowledge);
        move_to(&mut handling, 3, IncidentState::Declared);
        move_to(&mut handling, 4, IncidentState::Contained);
        move_to(&mut handling, 5, IncidentState::Declared);
        move_to(&mut handling, 6, IncidentState::Contained);
        assert_eq!(handling.acknowledged, Some(Timestamp(1)));
        assert_eq!(handling.reached[&IncidentState::Declared], Timestamp(3));
        assert_eq!(handling.reached[&IncidentState::Contained], Timestamp(6));
        assert_eq!((handling.state_changed, handling.version()), (6, 6));
    }

    #[test]
    fn a_task_is_numbered_and_changed_by_its_number() {
        let mut handling = Handling::default();
        for title in ["first", "second"] {
            let title = title.to_owned();
            let (owner, due) = (None, None);
            decide(&mut handling, 1, Act::AddTask { title, owner, due });
        }
        let (task, owner, due, state) = (2, None, Some(Timestamp(9)), TaskState::Done);
        let change = Act::ChangeTask {
            task,
            owner,
            due,
            state,
        };
        decide(&mut handling, 2, change);
        assert_eq!(handling.tasks[0].state, TaskState::Open);
        let second = &handling.tasks[1];
        assert_eq!(
            (second.state, second.due, second.changed),
            (TaskState::Done, Some(Timestamp(9)), 3)
        );
    }
}

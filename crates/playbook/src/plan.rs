//! A playbook bound to an incident: variables filled, each step with its place, cost, undo and what it does to the cause.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ActionFacts, Argument, Guard, Parameter, Plan, PlanStep, PlannedBy, Question, Stops, StoreMap,
    Work,
};

use crate::STEPS_MAX;
use crate::check::check;
use crate::condition::{Condition, Known};
use crate::document::{Document, Step, StepKind};
use crate::extension::{Wanted, variable_of};
use crate::fits::fits;
use crate::flow::{Flow, When, leads_to};
use crate::order::{Refusal, orders};
use crate::problem::{Problem, Weight, shown};
use crate::reach::{touched, undo};

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The playbook has to be mended first.
    #[error("the playbook has problems: {}", first(problems))]
    Problems {
        /// All that refuse it.
        problems: Vec<Problem>,
    },
    /// An order that it allows breaks a law.
    #[error("the order of steps is refused: {}", refusals.first().map_or("", |one| one.says.as_str()))]
    Order {
        /// All of them.
        refusals: Vec<Refusal>,
    },
    /// A value isn't what a step takes.
    #[error("`{variable}` of “{step}” is {source}")]
    Value {
        /// The variable.
        variable: String,
        /// The step that takes it.
        step: String,
        /// What was wanted.
        source: model::ArgumentError,
    },
    /// Loops within loops make too many steps.
    #[error("the plan would have more than {STEPS_MAX} steps: give its loops a smaller bound")]
    TooLong,
    /// The playbook has no such variable.
    #[error("the playbook has no variable `{variable}`")]
    NoVariable {
        /// Its name.
        variable: String,
    },
}

/// The condition of what a playbook does when any step fails that says nothing else.
pub(crate) const ANY_FAILS: &str = "a step fails that says nothing else";

/// The condition that a step fails, by what it is called.
pub(crate) fn fails(called: &str) -> String {
    format!("“{called}” fails")
}

fn first(problems: &[Problem]) -> String {
    problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// Binds a playbook to an incident.
///
/// `values` are of the incident, by name of the variable, and win over the playbook's own; what isn't known becomes a question.
///
/// # Errors
///
/// [`PlanError`] when the playbook has problems, an order it allows breaks a law, or a value isn't of its kind.
pub fn plan(
    document: &Document,
    values: &BTreeMap<String, String>,
    facts: &[ActionFacts],
    stores: &StoreMap,
) -> Result<Plan, PlanError> {
    let mut problems = check(document);
    problems.retain(|one| one.weight == Weight::Refuses);
    problems.extend(fits(document, facts));
    if !problems.is_empty() {
        return Err(PlanError::Problems { problems });
    }
    let refusals = orders(document, facts);
    if !refusals.is_empty() {
        return Err(PlanError::Order { refusals });
    }
    let known = known_values(document, values)?;
    let (flow, _) = Flow::of(document);
    let mut planner = Planner {
        document,
        flow: &flow,
        facts,
        stores,
        known: &known,
        steps: Vec::new(),
        questions: BTreeSet::new(),
    };
    planner.block(0, &[])?;
    if let Some(exception) = flow.exception {
        let guard = Guard {
            condition: ANY_FAILS.to_owned(),
            holds: true,
        };
        planner.block(exception, &[guard])?;
    }
    let (steps, questions) = (planner.steps, planner.questions);
    let (stops, because) = of_the_whole(&steps);
    Ok(Plan {
        version: 1,
        playbook: PlannedBy {
            id: document.id.clone(),
            name: document.name.clone(),
            modified: document.modified.clone(),
        },
        needs_two_people: steps.iter().any(needs_two_people),
        variables: known,
        steps,
        questions: questions.into_iter().collect(),
        stops,
        because,
    })
}

fn known_values(
    document: &Document,
    values: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, PlanError> {
    let own = document.variables.iter();
    let mut known: BTreeMap<_, _> = own
        .filter_map(|(name, one)| Some((name.clone(), one.value.clone()?)))
        .collect();
    for (name, value) in values {
        let Some(variable) = document.variables.get(name) else {
            return Err(PlanError::NoVariable {
                variable: shown(name),
            });
        };
        if !variable.is_constant {
            known.insert(name.clone(), value.clone());
        }
    }
    Ok(known)
}

pub(crate) fn needs_two_people(step: &PlanStep) -> bool {
    let is_danger = matches!(&step.work, Work::Action { undo, .. } if undo.is_danger);
    is_danger || step.waiver.is_some()
}

/// Whether the whole contains: something that acts on the cause is done for certain, and nothing that would has to be answered.
fn of_the_whole(steps: &[PlanStep]) -> (Stops, String) {
    let causes: Vec<_> = steps
        .iter()
        .filter(|step| step.stops == Stops::Contains)
        .collect();
    let name = |step: &PlanStep| {
        format!(
            "“{}”",
            if step.name.is_empty() {
                &step.id
            } else {
                &step.name
            }
        )
    };
    let lacks = causes.iter().find_map(|step| match &step.work {
        Work::Action { missing, .. } => Some((*step, missing.values().next()?)),
        Work::Person { .. } => None,
    });
    if causes.is_empty() {
        return (Stops::OnlyMitigates, "no step acts on the cause".to_owned());
    }
    if let Some((step, variable)) = lacks {
        let because = format!("{} can't be done before `{variable}` is known", name(step));
        return (Stops::OnlyMitigates, because);
    }
    let Some(certain) = causes.iter().find(|step| step.only_if.is_empty()) else {
        let guards = causes.iter().flat_map(|step| &step.only_if);
        let on: BTreeSet<_> = guards.map(|guard| guard.condition.as_str()).collect();
        let on = on.into_iter().collect::<Vec<_>>().join("; ");
        return (
            Stops::OnlyMitigates,
            format!("whether anything acts on the cause depends on: {on}"),
        );
    };
    let because = match certain.work {
        Work::Action { .. } => format!("{} acts on the cause", name(certain)),
        Work::Person { .. } => format!("a person acts on the cause: {}", name(certain)),
    };
    (Stops::Contains, because)
}

struct Planner<'a> {
    document: &'a Document,
    flow: &'a Flow,
    facts: &'a [ActionFacts],
    stores: &'a StoreMap,
    known: &'a BTreeMap<String, String>,
    steps: Vec<PlanStep>,
    questions: BTreeSet<Question>,
}

impl Planner<'_> {
    fn block(&mut self, block: usize, guards: &[Guard]) -> Result<(), PlanError> {
        let (flow, document) = (self.flow, self.document);
        let mut at: BTreeMap<&str, Vec<Guard>> = BTreeMap::new();
        for (index, id) in flow.blocks.get(block).into_iter().flatten().enumerate() {
            let Some(step) = document.steps.get(id) else {
                continue;
            };
            let own = if index == 0 {
                Some(guards.to_vec())
            } else {
                at.remove(id.as_str())
            };
            let Some(own) = own else {
                continue;
            };
            self.step(id, step, &own)?;
            for (next, is_failure) in leads_to(step) {
                let mut new = own.clone();
                if is_failure {
                    let condition = fails(step.called(id));
                    new.push(Guard {
                        condition,
                        holds: true,
                    });
                }
                // Reached in two ways: what both have in common has to hold.
                let joined = match at.remove(next) {
                    Some(old) => old
                        .into_iter()
                        .filter(|guard| new.contains(guard))
                        .collect(),
                    None => new,
                };
                at.insert(next, joined);
            }
        }
        Ok(())
    }

    fn step(&mut self, id: &str, step: &Step, guards: &[Guard]) -> Result<(), PlanError> {
        let wanted = step.wanted.clone().unwrap_or_default();
        let work = match &step.kind {
            StepKind::Start | StepKind::End | StepKind::Unknown => return Ok(()),
            StepKind::Action { commands, .. } => match wanted.action.as_deref() {
                Some(action) => self.action(action, step.called(id), &wanted)?,
                None => Work::Person {
                    does: commands
                        .iter()
                        .map(|one| person(&one.kind, &one.command))
                        .collect(),
                },
            },
            StepKind::PlaybookAction { playbook } => {
                let does = vec![format!("carry out the playbook {}", shown(playbook))];
                Work::Person { does }
            }
            StepKind::If { .. }
            | StepKind::While { .. }
            | StepKind::Parallel { .. }
            | StepKind::Switch { .. } => {
                return self.branches(id, step, guards, &wanted);
            }
        };
        let stops = match &work {
            Work::Action { action, .. } => {
                let known = self.facts.iter().find(|one| one.name == action);
                let is_cause = known.is_some_and(|one| one.acts_on_cause);
                // An author may say less of a step than the action can do, never more.
                let is_cause = is_cause && wanted.effect != Some(Stops::OnlyMitigates);
                if is_cause {
                    Stops::Contains
                } else {
                    Stops::OnlyMitigates
                }
            }
            Work::Person { .. } => wanted.effect.unwrap_or(Stops::OnlyMitigates),
        };
        if self.steps.len() == STEPS_MAX {
            return Err(PlanError::TooLong);
        }
        self.steps.push(PlanStep {
            id: id.to_owned(),
            name: step.name.clone(),
            only_if: guards.to_vec(),
            work,
            stops,
            deadline_seconds: wanted.deadline_seconds,
            timeout_milliseconds: step.timeout_milliseconds,
            waiver: wanted.waiver,
            on_breach: wanted.on_breach,
        });
        Ok(())
    }

    fn branches(
        &mut self,
        id: &str,
        step: &Step,
        guards: &[Guard],
        wanted: &Wanted,
    ) -> Result<(), PlanError> {
        let condition = match &step.kind {
            StepKind::If { condition, .. } | StepKind::While { condition, .. } => Some(condition),
            _ => None,
        };
        let holds = condition.map(|text| {
            let read = Condition::read(text).map(|read| read.holds(self.known));
            read.unwrap_or(Known::Unknown)
        });
        if let (Some(condition), Some(Known::Unknown)) = (condition, holds) {
            self.ask(
                condition,
                &format!("does it hold? “{}” depends on it", step.called(id)),
            );
        }
        let on = match &step.kind {
            StepKind::Switch { on, .. } => Some(on),
            _ => None,
        };
        let value = on.and_then(|on| self.known.get(variable_of(on).unwrap_or(on)).cloned());
        if let (Some(on), None) = (on, &value) {
            self.ask(
                on,
                &format!("what is it? “{}” depends on it", step.called(id)),
            );
        }
        let branches = self.flow.branches.get(id).cloned().unwrap_or_default();
        let has = |value: &String| {
            branches
                .iter()
                .any(|one| one.when == When::Case(value.clone()))
        };
        for branch in &branches {
            let guard = |text: &str, holds| {
                Some(Guard {
                    condition: text.to_owned(),
                    holds,
                })
            };
            let text = condition.map(String::as_str).unwrap_or_default();
            let (is_taken, guard) = match (&branch.when, holds) {
                (When::Always, _) => (true, None),
                (When::True, Some(Known::Yes)) | (When::False, Some(Known::No)) => (true, None),
                (When::True, Some(Known::No)) | (When::False, Some(Known::Yes)) => (false, None),
                (When::True, _) => (true, guard(text, true)),
                (When::False, _) => (true, guard(text, false)),
                (When::Again, Some(Known::No)) => (false, None),
                (When::Again, _) => {
                    self.rounds(branch.block, guards, text, wanted.bound.unwrap_or(1))?;
                    continue;
                }
                (When::Case(case), _) => match &value {
                    Some(value) => (value == case || (case == "default" && !has(value)), None),
                    None => {
                        let is = format!(
                            "{} is {}",
                            on.map(String::as_str).unwrap_or_default(),
                            shown(case)
                        );
                        (true, guard(&is, true))
                    }
                },
            };
            if is_taken {
                let mut inner = guards.to_vec();
                inner.extend(guard);
                self.block(branch.block, &inner)?;
            }
        }
        Ok(())
    }

    /// A loop as its rounds one after the other: each begins when the condition still holds after the one before.
    fn rounds(
        &mut self,
        block: usize,
        guards: &[Guard],
        condition: &str,
        bound: u32,
    ) -> Result<(), PlanError> {
        let mut inner = guards.to_vec();
        for round in 1..=bound {
            let condition = match round {
                1 => condition.to_owned(),
                _ => format!("{condition}, in round {round} of {bound} at most"),
            };
            inner.push(Guard {
                condition,
                holds: true,
            });
            self.block(block, &inner)?;
        }
        Ok(())
    }

    fn ask(&mut self, about: &str, asks: &str) {
        self.questions.insert(Question {
            about: about.to_owned(),
            asks: asks.to_owned(),
        });
    }

    fn action(&mut self, name: &str, called: &str, wanted: &Wanted) -> Result<Work, PlanError> {
        let no_such = || PlanError::Problems {
            problems: vec![Problem::refuses(
                "/workflow",
                "there is no such action",
                "name another",
            )],
        };
        let facts = self
            .facts
            .iter()
            .find(|one| one.name == name)
            .ok_or_else(no_such)?;
        let (mut arguments, mut missing) = (BTreeMap::new(), BTreeMap::new());
        for parameter in facts.parameters {
            let Some(text) = wanted.arguments.get(parameter.name) else {
                continue;
            };
            let value = match variable_of(text) {
                Some(variable) => match self.known.get(variable) {
                    Some(value) => value,
                    None => {
                        self.ask_value(variable, parameter, called);
                        missing.insert(parameter.name.to_owned(), variable.to_owned());
                        continue;
                    }
                },
                None => text,
            };
            let read =
                Argument::read(parameter.kind, value).map_err(|source| PlanError::Value {
                    variable: variable_of(text).unwrap_or(parameter.name).to_owned(),
                    step: shown(called),
                    source,
                })?;
            arguments.insert(parameter.name.to_owned(), read.as_str().to_owned());
        }
        Ok(Work::Action {
            action: name.to_owned(),
            touched: touched(facts, &arguments, self.stores),
            closes: facts.closes,
            arguments,
            missing,
            layer: facts.layer,
            reach: facts.reach,
            undo: undo(facts.undo),
            forensic_impact: facts.forensic_impact,
            stays_open: facts.stays_open.to_owned(),
        })
    }

    fn ask_value(&mut self, variable: &str, parameter: &Parameter, called: &str) {
        let about = self
            .document
            .variables
            .get(variable)
            .map(|one| one.description.as_str());
        let about = about
            .filter(|about| !about.is_empty())
            .unwrap_or(parameter.about);
        let kind = parameter.kind.words();
        self.ask(
            variable,
            &format!("{} – {kind}; “{}” needs it", shown(about), shown(called)),
        );
    }
}

/// A command for a person: what any program would run is shown as it stands, with its kind, and never run.
fn person(kind: &str, command: &str) -> String {
    match kind {
        "manual" => command.to_owned(),
        _ => format!(
            "look at this and decide, it isn't run ({}): {command}",
            shown(kind)
        ),
    }
}

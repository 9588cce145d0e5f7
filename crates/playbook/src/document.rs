//! A CACAO 2.0 document: kept whole as it was written, with a typed view of what planning needs beside it.
//!
//! Invariant: what is written is what was read, value by value; the view never changes it.

use std::collections::BTreeMap;

use model::TIMEOUT_MAX;
use serde_json::{Map, Value};

use crate::extension::{self, EXTENSION, Wanted};
use crate::problem::{Problem, part};
use crate::{BYTES_MAX, STEPS_MAX, strict};

/// Why bytes are no document at all; what a document has wrong is told by [`crate::check`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// More than [`BYTES_MAX`].
    #[error("the playbook has {bytes} bytes, at most {BYTES_MAX} are read")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// No JSON, or JSON that is nested too deep or has a key twice.
    #[error("the playbook is no JSON as it may be written")]
    Json {
        /// What the reader said, with line and column.
        source: serde_json::Error,
    },
    /// JSON, but no object.
    #[error("the playbook is no JSON object")]
    NoObject,
    /// More than [`STEPS_MAX`].
    #[error("the playbook has {steps} steps, at most {STEPS_MAX} are read")]
    TooManySteps {
        /// How many there are.
        steps: usize,
    },
}

/// Where a step leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Whatever came of it.
    pub completion: Option<String>,
    /// When it succeeded.
    pub success: Option<String>,
    /// When it failed.
    pub failure: Option<String>,
}

/// One command of a step: never run, shown to a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Its type, e.g. `manual`, `bash`.
    pub kind: String,
    /// The command as it stands there; base64 where the document has that.
    pub command: String,
}

/// What a step is (CACAO 2.0 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Where a workflow begins.
    Start,
    /// Where it, or a branch, ends.
    End,
    /// Commands.
    Action {
        /// In their order.
        commands: Vec<Command>,
        /// Who does them.
        agent: Option<String>,
        /// To what.
        targets: Vec<String>,
    },
    /// Another playbook.
    PlaybookAction {
        /// Its identifier.
        playbook: String,
    },
    /// Branches at the same time.
    Parallel {
        /// First step of each.
        branches: Vec<String>,
    },
    /// One branch or the other.
    If {
        /// The condition.
        condition: String,
        /// First step when it holds.
        on_true: String,
        /// First step otherwise.
        on_false: Option<String>,
    },
    /// A branch again and again.
    While {
        /// The condition.
        condition: String,
        /// First step of the branch.
        on_true: String,
    },
    /// One of several branches.
    Switch {
        /// What is looked at.
        on: String,
        /// First steps by value; `default` for any other.
        cases: BTreeMap<String, String>,
    },
    /// A type that the standard doesn't have.
    Unknown,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name; empty when it has none.
    pub name: String,
    /// What it does, in words; may be empty.
    pub description: String,
    /// What it is.
    pub kind: StepKind,
    /// Where it leads.
    pub next: Next,
    /// Milliseconds after which it counts as failed (CACAO 2.0 §4.1); 0 in a document is none.
    pub timeout_milliseconds: Option<u64>,
    /// Our extension, where it has one.
    pub wanted: Option<Wanted>,
}

impl Step {
    /// What a person calls it: its name, or its identifier.
    #[must_use]
    pub fn called<'a>(&'a self, id: &'a str) -> &'a str {
        if self.name.is_empty() { id } else { &self.name }
    }
}

/// A variable (CACAO 2.0 §10.18).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// Its type, e.g. `string`.
    pub kind: String,
    /// What it is, in words.
    pub description: String,
    /// Its value; `None` when it isn't known.
    pub value: Option<String>,
    /// Whether it never changes.
    pub is_constant: bool,
    /// Whether who starts the playbook gives it.
    pub is_external: bool,
}

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    value: Value,
    /// Identifier, `playbook--…`; empty when it has none.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// When this version was made.
    pub modified: String,
    /// First step.
    pub start: String,
    /// Step for whatever fails without a step of its own for that.
    pub exception: Option<String>,
    /// Steps by identifier.
    pub steps: BTreeMap<String, Step>,
    /// Variables of the whole playbook and of its steps, by name.
    pub variables: BTreeMap<String, Variable>,
    /// Names of agents by identifier.
    pub agents: BTreeMap<String, String>,
    /// Names of targets by identifier.
    pub targets: BTreeMap<String, String>,
    pub(crate) extension_problems: Vec<Problem>,
}

impl Document {
    /// Reads a document; whatever JSON object it is, nothing of it is lost.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when it is too large, or no JSON object.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let count = bytes.len();
        if count > BYTES_MAX {
            return Err(ReadError::TooLarge { bytes: count });
        }
        let value = strict::read(bytes).map_err(|source| ReadError::Json { source })?;
        let object = value.as_object().ok_or(ReadError::NoObject)?;
        let steps = dictionary(object, "workflow").count();
        if steps > STEPS_MAX {
            return Err(ReadError::TooManySteps { steps });
        }
        let mut problems = Vec::new();
        let steps = dictionary(object, "workflow")
            .map(|(id, step)| (id.clone(), self::step(id, step, &mut problems)))
            .collect();
        let mut variables = BTreeMap::new();
        // What stands in a step is seen there; of one name, the playbook's own counts.
        for (_, step) in dictionary(object, "workflow") {
            variables.extend(
                of_object(step)
                    .into_iter()
                    .flat_map(|step| declared(step, "step_variables")),
            );
        }
        variables.extend(declared(object, "playbook_variables"));
        let named =
            |key| dictionary(object, key).map(|(id, one)| (id.clone(), text_in(one, "name")));
        Ok(Self {
            id: text(object, "id"),
            name: text(object, "name"),
            description: text(object, "description"),
            modified: text(object, "modified"),
            start: text(object, "workflow_start"),
            exception: object
                .get("workflow_exception")
                .and_then(Value::as_str)
                .map(str::to_owned),
            steps,
            variables,
            agents: named("agent_definitions").collect(),
            targets: named("target_definitions").collect(),
            extension_problems: problems,
            value,
        })
    }

    /// The document as it was written, as a JSON value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// Values that its author gives as examples, by variable (our extension of the playbook).
    #[must_use]
    pub fn examples(&self) -> BTreeMap<String, String> {
        self.texts("examples")
    }

    /// Which incidents it answers (our extension of the playbook).
    #[must_use]
    pub fn answers(&self) -> Answers {
        let rules = self.ours().and_then(|ours| ours.get("rules"));
        let rules = rules.and_then(Value::as_array).into_iter().flatten();
        Answers {
            rules: rules.filter_map(Value::as_str).map(str::to_owned).collect(),
            values: self.texts("values"),
        }
    }

    fn ours(&self) -> Option<&Value> {
        let all = self.value.get("playbook_extensions")?;
        all.get(EXTENSION)
    }

    /// Texts by name that stand under a name of our extension.
    fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let all = self.ours().and_then(|ours| ours.get(name));
        let text =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        let all = all.and_then(Value::as_object).into_iter().flatten();
        all.filter_map(text).collect()
    }

    /// Writes it: the same values as were read; JSON knows no order of keys, so neither does this.
    #[must_use]
    pub fn write(&self) -> String {
        format!("{:#}\n", self.value)
    }
}

/// Which incidents a playbook answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Ids of rules, or how they begin with `*` after it.
    pub rules: Vec<String>,
    /// By variable, what of an incident it takes: `address`, `administrator`, `database_account`, `integration`, `path`, `route`,
    /// `row`, `view`, `website`.
    pub values: BTreeMap<String, String>,
}

fn of_object(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()
}

fn text(object: &Map<String, Value>, key: &str) -> String {
    let text = object.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn text_in(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn texts_in(value: &Value, key: &str) -> Vec<String> {
    let list = value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn optional(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn dictionary<'a>(
    object: &'a Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object
        .get(key)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn declared(object: &Map<String, Value>, key: &str) -> impl Iterator<Item = (String, Variable)> {
    dictionary(object, key).map(|(name, one)| {
        let flag = |key| one.get(key).and_then(Value::as_bool).unwrap_or_default();
        let variable = Variable {
            kind: text_in(one, "type"),
            description: text_in(one, "description"),
            value: optional(one, "value"),
            is_constant: flag("constant"),
            is_external: flag("external"),
        };
        (name.clone(), variable)
    })
}

fn step(id: &str, value: &Value, problems: &mut Vec<Problem>) -> Step {
    let kind = match text_in(value, "type").as_str() {
        "start" => StepKind::Start,
        "end" => StepKind::End,
        "action" => {
            let commands = value
                .get("commands")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let read = |one: &Value| Command {
                kind: text_in(one, "type"),
                command: optional(one, "command")
                    .or_else(|| optional(one, "command_b64"))
                    .unwrap_or_default(),
            };
            StepKind::Action {
                commands: commands.map(read).collect(),
                agent: optional(value, "agent"),
                targets: texts_in(value, "targets"),
            }
        }
        "playbook-action" => StepKind::PlaybookAction {
            playbook: text_in(value, "playbook_id"),
        },
        "parallel" => StepKind::Parallel {
            branches: texts_in(value, "next_steps"),
        },
        "if-condition" => StepKind::If {
            condition: text_in(value, "condition"),
            on_true: text_in(value, "on_true"),
            on_false: optional(value, "on_false"),
        },
        "while-condition" => StepKind::While {
            condition: text_in(value, "condition"),
            on_true: text_in(value, "on_true"),
        },
        "switch-condition" => {
            let cases = value
                .get("cases")
                .and_then(Value::as_object)
                .into_iter()
                .flatten();
            let read =
                |(case, step): (&String, &Value)| Some((case.clone(), step.as_str()?.to_owned()));
            StepKind::Switch {
                on: text_in(value, "switch"),
                cases: cases.filter_map(read).collect(),
            }
        }
        _ => StepKind::Unknown,
    };
    let at = format!("/workflow/{}/step_extensions/{EXTENSION}", part(id));
    let ours = value
        .get("step_extensions")
        .and_then(|all| all.get(EXTENSION));
    Step {
        name: text_in(value, "name"),
        description: text_in(value, "description"),
        kind,
        next: Next {
            completion: optional(value, "on_completion"),
            success: optional(value, "on_success"),
            failure: optional(value, "on_failure"),
        },
        timeout_milliseconds: value
            .get("timeout")
            .and_then(Value::as_u64)
            .filter(|time| (1..=TIMEOUT_MAX).contains(time)),
        wanted: ours.map(|ours| extension::read(ours, &at, problems)),
    }
}

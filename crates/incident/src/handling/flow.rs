//! Flows: stages that an incident of a kind has to go through, with the fields each wants.
//!
//! Data in `content/flows/`, so that a merchant's own procedure needs no new binary. A flow starts
//! itself: it applies to every incident one of whose findings serves its requirement.

use std::collections::BTreeMap;

use model::{Handling, Incident, IncidentState};
use serde::Deserialize;

/// Longest text of one field, in bytes.
pub(super) const FIELD_BYTES_MAX: usize = 16 * 1024;

/// Why a flow can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// It isn't TOML of this shape.
    #[error("the flow {name} can't be read")]
    Toml {
        /// The file.
        name: String,
        /// What the parser said.
        source: toml::de::Error,
    },
    /// A choice without anything to choose from, or an id that is there twice.
    #[error("the flow {name}: {what}")]
    Shape {
        /// The file.
        name: String,
        /// What is wrong.
        what: String,
    },
}

/// What a field takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// A line.
    #[default]
    Line,
    /// Some lines.
    Text,
    /// One of the choices.
    Choice,
    /// A day, `2026-11-29`.
    Date,
}

/// One thing that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// As stored.
    pub id: String,
    /// As shown.
    pub words: String,
}

/// A field of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowField {
    /// As stored.
    pub id: String,
    /// As shown.
    pub label: String,
    /// What to write, for somebody who does it for the first time.
    #[serde(default)]
    pub help: String,
    /// What it takes.
    #[serde(default)]
    pub kind: FieldKind,
    /// What may be chosen.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// Whether the stage is filled without it.
    #[serde(default)]
    pub optional: bool,
}

/// A stage of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowStage {
    /// As stored.
    pub id: String,
    /// As shown.
    pub title: String,
    /// Why it is asked for.
    pub meaning: String,
    /// Whether findings fill it.
    #[serde(default)]
    pub by_machine: bool,
    /// Its fields.
    #[serde(default, rename = "field")]
    pub fields: Vec<FlowField>,
}

/// Stages that an incident of a kind has to go through before it closes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// As stored, e.g. `pan_leak`.
    pub id: String,
    /// As shown.
    pub title: String,
    /// What it follows.
    pub follows: String,
    /// The requirement whose findings start it; empty: every incident that was suspected or declared.
    #[serde(default)]
    pub requirement: String,
    /// Its stages, in order.
    #[serde(rename = "stage")]
    pub stages: Vec<FlowStage>,
}

impl Flow {
    /// Whether it applies to an incident.
    #[must_use]
    pub fn applies(&self, incident: &Incident, handling: &Handling) -> bool {
        if self.requirement.is_empty() {
            let called = [IncidentState::Suspected, IncidentState::Declared];
            return called
                .iter()
                .any(|state| handling.reached.contains_key(state));
        }
        incident.requirements.contains(&self.requirement)
    }

    /// Its stages that aren't filled.
    pub fn empty<'a>(&'a self, handling: &'a Handling) -> impl Iterator<Item = &'a FlowStage> {
        self.stages.iter().filter(|stage| {
            !stage.by_machine
                && handling
                    .stages
                    .get(&self.id)
                    .is_none_or(|filled| !filled.contains_key(&stage.id))
        })
    }

    /// What is wrong with what somebody wants to fill in; `None` when it fits.
    #[must_use]
    pub fn refuses(&self, stage: &str, fields: &BTreeMap<String, String>) -> Option<String> {
        let Some(stage) = self
            .stages
            .iter()
            .find(|known| known.id == stage && !known.by_machine)
        else {
            return Some(format!(
                "the flow {} has no stage {stage} that people fill",
                self.id
            ));
        };
        for field in &stage.fields {
            let value = fields.get(&field.id).map_or("", |value| value.trim());
            if value.is_empty() {
                if field.optional {
                    continue;
                }
                return Some(format!("“{}” is empty", field.label));
            }
            if value.len() > FIELD_BYTES_MAX {
                return Some(format!(
                    "“{}” is longer than {FIELD_BYTES_MAX} bytes",
                    field.label
                ));
            }
            let fits = match field.kind {
                FieldKind::Line => !value.contains('\n'),
                FieldKind::Text => true,
                FieldKind::Choice => field.choices.iter().any(|choice| choice.id == value),
                FieldKind::Date => is_day(value),
            };
            if !fits {
                return Some(match field.kind {
                    FieldKind::Choice => format!("“{}” is none of its choices", field.label),
                    FieldKind::Date => format!("“{}” is no day such as 2026-11-29", field.label),
                    _ => format!("“{}” takes one line", field.label),
                });
            }
        }
        let is_known = |id: &String| stage.fields.iter().any(|field| field.id == *id);
        let unknown = fields.keys().find(|id| !is_known(id));
        unknown.map(|id| format!("the stage {} has no field {id}", stage.id))
    }
}

/// A day of the calendar, `2026-02-28`.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else {
        return false;
    };
    let number = |text: &str, length: usize| {
        (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<i16>().ok())
            .flatten()
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2))
    else {
        return false;
    };
    let (Ok(month), Ok(day)) = (i8::try_from(month), i8::try_from(day)) else {
        return false;
    };
    jiff::civil::Date::new(year, month, day).is_ok()
}

/// Every flow.
#[derive(Clone, Debug, Default)]
pub struct Flows(Vec<Flow>);

impl Flows {
    /// Reads flows: name and text of each.
    ///
    /// # Errors
    ///
    /// [`FlowError`] when one isn't of this shape.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, FlowError> {
        let mut flows: Vec<Flow> = Vec::with_capacity(files.len());
        for (name, text) in files {
            let name = (*name).to_owned();
            let flow: Flow = toml::from_str(text).map_err(|source| FlowError::Toml {
                name: name.clone(),
                source,
            })?;
            let what = shape(&flow).or_else(|| {
                flows
                    .iter()
                    .any(|known| known.id == flow.id)
                    .then(|| format!("the id {} is there twice", flow.id))
            });
            if let Some(what) = what {
                return Err(FlowError::Shape { name, what });
            }
            flows.push(flow);
        }
        Ok(Self(flows))
    }

    /// Those that apply to an incident.
    #[must_use]
    pub fn of<'a>(&'a self, incident: &Incident, handling: &Handling) -> Vec<&'a Flow> {
        let flows = self.0.iter();
        flows
            .filter(|flow| flow.applies(incident, handling))
            .collect()
    }

    /// One flow.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<&Flow> {
        self.0.iter().find(|flow| flow.id == id)
    }
}

/// What is wrong with a flow.
fn shape(flow: &Flow) -> Option<String> {
    let mut stages = std::collections::BTreeSet::new();
    for stage in &flow.stages {
        if !stages.insert(&stage.id) {
            return Some(format!("the stage {} is there twice", stage.id));
        }
        let mut fields = std::collections::BTreeSet::new();
        for field in &stage.fields {
            if !fields.insert(&field.id) {
                return Some(format!(
                    "the field {} is there twice in {}",
                    field.id, stage.id
                ));
            }
            if (field.kind == FieldKind::Choice) == field.choices.is_empty() {
                return Some(format!(
                    "the field {} of {}: choices go with kind \"choice\"",
                    field.id, stage.id
                ));
            }
        }
        if stage.by_machine != stage.fields.is_empty() {
            return Some(format!(
                "the stage {}: either findings fill it or it has fields",
                stage.id
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Flows;
    use std::collections::BTreeMap;

    const FLOW: &str = r#"
id = "pan_leak"
title = "Stray card data"
follows = "PCI DSS v4.0.1 req. 12.10.7"
requirement = "12.10.7"
[[stage]]
id = "found"
title = "Found"
meaning = "By the machine."
by_machine = true
[[stage]]
id = "decide"
title = "Decide"
meaning = "What becomes of it."
[[stage.field]]
id = "how"
label = "What becomes of it"
kind = "choice"
choices = [{ id = "delete", words = "Delete it securely" }]
[[stage.field]]
id = "by"
label = "Until"
kind = "date"
optional = true
"#;

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: Option<&str>) {
        let flows = Flows::parse(&[("a.toml", FLOW)]).expect("a flow");
        let fields: BTreeMap<_, _> = fields
            .iter()
            .map(|(id, value)| ((*id).to_owned(), (*value).to_owned()))
            .collect();
        let flow = flows.named("pan_leak").expect("there");
        assert_eq!(flow.refuses("decide", &fields).as_deref(), expected);
    }

    #[test]
    fn a_stage_takes_what_fits_its_fields_and_nothing_else() {
        check(&[("how", "delete")], None);
        check(&[("how", "delete"), ("by", "2028-02-29")], None);
        check(
            &[("how", "delete"), ("by", "2027-02-29")],
            Some("“Until” is no day such as 2026-11-29"),
        );
        check(
            &[("how", "burn")],
            Some("“What becomes of it” is none of its choices"),
        );
        check(&[("how", "  ")], Some("“What becomes of it” is empty"));
        check(
            &[("how", "delete"), ("x", "1")],
            Some("the stage decide has no field x"),
        );
    }

    #[test]
    fn what_findings_fill_nobody_fills() {
        let flows = Flows::parse(&[("a.toml", FLOW)]).expect("a flow");
        let refused = flows
            .named("pan_leak")
            .and_then(|flow| flow.refuses("found", &BTreeMap::new()));
        assert_eq!(
            refused.as_deref(),
            Some("the flow pan_leak has no stage found that people fill")
        );
    }

    #[test]
    fn a_flow_of_another_shape_is_refused_by_name() {
        for (from, to, what) in [
            (
                "id = \"by\"",
                "id = \"how\"",
                "the field how is there twice in decide",
            ),
            (
                "kind = \"date\"",
                "kind = \"choice\"",
                "the field by of decide: choices go with kind \"choice\"",
            ),
            (
                "by_machine = true",
                "by_machine = false",
                "the stage found: either findings fill it or it has fields",
            ),
        ] {
            let error = Flows::parse(&[("a.toml", &FLOW.replace(from, to))]).expect_err("refused");
            assert_eq!(error.to_string(), format!("the flow a.toml: {what}"));
        }
    }
}

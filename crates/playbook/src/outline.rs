//! A playbook as an outline: what its drawing shows, for lists.

use crate::document::{Document, StepKind};
use crate::drawing::Way;
use crate::flow::{Flow, When};

/// A line of an outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlined {
    /// How many branches it lies in.
    pub deep: usize,
    /// What stands there.
    pub what: Item,
}

/// What stands in a line of an outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A step, by identifier.
    Step(String),
    /// When the steps below, one further in, are done.
    Branch(Way),
    /// The steps below are done when anything else fails.
    Exception,
}

/// The steps of a document in order, those of branches further in; where a branch begins and ends isn't told.
#[must_use]
pub fn outline(document: &Document) -> Vec<Outlined> {
    let (flow, _) = Flow::of(document);
    let mut out = Vec::new();
    block(document, &flow, 0, 0, &mut out);
    if let Some(exception) = flow.exception {
        let what = Item::Exception;
        out.push(Outlined { deep: 0, what });
        block(document, &flow, exception, 1, &mut out);
    }
    out
}

fn block(document: &Document, flow: &Flow, at: usize, deep: usize, out: &mut Vec<Outlined>) {
    for id in flow.blocks.get(at).into_iter().flatten() {
        let Some(step) = document.steps.get(id) else {
            continue;
        };
        if deep > 0 && matches!(step.kind, StepKind::Start | StepKind::End) {
            continue;
        }
        let what = Item::Step(id.clone());
        out.push(Outlined { deep, what });
        for branch in flow.branches.get(id).into_iter().flatten() {
            let what = Item::Branch(Way::from(&branch.when));
            out.push(Outlined { deep, what });
            block(document, flow, branch.block, deep + 1, out);
        }
    }
}

impl From<&When> for Way {
    fn from(when: &When) -> Self {
        match when {
            When::True => Self::True,
            When::False => Self::False,
            When::Again => Self::Again,
            When::Always => Self::Always,
            When::Case(case) => Self::Case(case.clone()),
        }
    }
}

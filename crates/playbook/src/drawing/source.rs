//! What is drawn: a workflow's blocks, or a plan's steps below their conditions.

use std::collections::BTreeMap;

use model::PlanStep;

use super::block::{Block, Branch, Unit};
use super::{DOT_SIZE, FORK_SIZE, Mark, PILL_SIZE, SHAPES_MAX, STEP_SIZE, Way};
use crate::document::{Document, Step, StepKind};
use crate::flow::{Flow, When};

/// A block of a workflow with all below it.
pub(super) fn of_flow(document: &Document, flow: &Flow, block: usize) -> Block {
    of_block(document, flow, block, 0)
}

fn of_block(document: &Document, flow: &Flow, block: usize, deep: usize) -> Block {
    let mut out = Block::default();
    let ids = flow.blocks.get(block).map_or(&[][..], Vec::as_slice);
    let places: BTreeMap<&str, usize> = ids
        .iter()
        .enumerate()
        .map(|(at, id)| (id.as_str(), at))
        .collect();
    for (at, id) in ids.iter().enumerate() {
        let Some(step) = document.steps.get(id) else {
            continue;
        };
        out.units.push(unit(document, flow, (id, step), deep));
        for (next, way) in ways(step) {
            // A step leads to what stands behind it, or the flow was refused.
            if let Some(to) = places.get(next).filter(|to| **to > at) {
                out.links.push((at, *to, way));
            }
        }
    }
    out
}

/// Where a step leads within its block.
fn ways(step: &Step) -> impl Iterator<Item = (&str, Way)> {
    let next = &step.next;
    let well = if next.failure.is_some() {
        Way::Success
    } else {
        Way::Then
    };
    let completion = next.completion.iter().map(|id| (id.as_str(), Way::Then));
    let success = next.success.iter();
    let success = success.map(move |id| (id.as_str(), well.clone()));
    let failure = next.failure.iter().map(|id| (id.as_str(), Way::Failure));
    completion.chain(success).chain(failure)
}

fn unit(document: &Document, flow: &Flow, (id, step): (&str, &Step), deep: usize) -> Unit {
    let hanging = flow.branches.get(id).map_or(&[][..], Vec::as_slice);
    let mut branches: Vec<Branch> = hanging
        .iter()
        .map(|branch| Branch {
            way: Way::from(&branch.when),
            block: Some(of_block(document, flow, branch.block, deep + 1)),
        })
        // One that was refused has no step.
        .filter(|branch| {
            branch
                .block
                .as_ref()
                .is_some_and(|block| !block.units.is_empty())
        })
        .collect();
    let is_loop = matches!(step.kind, StepKind::While { .. });
    let goes_on = match &step.kind {
        StepKind::If { .. } => !hanging.iter().any(|one| one.when == When::False),
        StepKind::While { .. } => true,
        StepKind::Switch { cases, .. } => !cases.contains_key("default"),
        _ => false,
    };
    if goes_on && !branches.is_empty() {
        branches.push(Branch {
            way: Way::Otherwise,
            block: None,
        });
    }
    let size = match &step.kind {
        StepKind::Start | StepKind::End if deep > 0 => DOT_SIZE,
        StepKind::Start | StepKind::End => PILL_SIZE,
        StepKind::Action { .. } | StepKind::PlaybookAction { .. } | StepKind::Unknown => STEP_SIZE,
        _ => FORK_SIZE,
    };
    Unit {
        mark: Mark::Step(id.to_owned()),
        size,
        branches,
        is_loop,
    }
}

/// A plan's steps, one after the other, below the conditions that aren't decided; `None` when there are too many.
pub(super) fn of_plan(steps: &[PlanStep]) -> Option<Block> {
    let mut left = SHAPES_MAX;
    let all: Vec<(usize, &PlanStep)> = steps.iter().enumerate().collect();
    planned(&all, 0, &mut left)
}

fn planned(steps: &[(usize, &PlanStep)], deep: usize, left: &mut usize) -> Option<Block> {
    let mut out = Block::default();
    let mut rest = steps;
    while let Some((at, step)) = rest.first() {
        *left = left.checked_sub(1)?;
        let unit = match step.only_if.get(deep) {
            None => {
                rest = rest.get(1..).unwrap_or_default();
                Unit {
                    mark: Mark::Planned(*at),
                    size: STEP_SIZE,
                    branches: Vec::new(),
                    is_loop: false,
                }
            }
            Some(guard) => {
                let same = |holds: bool, steps: &[(usize, &PlanStep)]| {
                    let is_same = |(_, step): &&(usize, &PlanStep)| {
                        let known = step.only_if.get(deep);
                        known.is_some_and(|one| {
                            one.condition == guard.condition && one.holds == holds
                        })
                    };
                    steps.iter().take_while(is_same).count()
                };
                let (first, behind) = rest.split_at(same(guard.holds, rest));
                let (other, behind) = behind.split_at(same(!guard.holds, behind));
                rest = behind;
                let mut branches = Vec::new();
                for (steps, holds) in [(first, guard.holds), (other, !guard.holds)] {
                    let block = match steps {
                        [] => None,
                        steps => Some(planned(steps, deep + 1, left)?),
                    };
                    let way = match (&block, holds) {
                        (None, _) => Way::Otherwise,
                        (_, true) => Way::True,
                        (_, false) => Way::False,
                    };
                    branches.push(Branch { way, block });
                }
                Unit {
                    mark: Mark::Condition(guard.condition.clone()),
                    size: FORK_SIZE,
                    branches,
                    is_loop: false,
                }
            }
        };
        if let Some(before) = out.units.len().checked_sub(1) {
            out.links.push((before, before + 1, Way::Then));
        }
        out.units.push(unit);
    }
    Some(out)
}

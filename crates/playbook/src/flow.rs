//! The shape of a workflow: blocks of steps that follow each other, and the branches that hang off them.
//!
//! CACAO 2.0 §4.7–4.10: a branch ends in an end step of its own and control goes back to the step it hangs off. So every step
//! is in one block, blocks are nested, and nothing goes back but a loop's own branch.

use std::collections::{BTreeMap, BTreeSet};

use crate::BRANCHES_DEEP_MAX;
use crate::document::{Document, Step, StepKind};
use crate::problem::{Problem, part, shown};

/// When a branch is gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The condition holds.
    True,
    /// It doesn't.
    False,
    /// As long as it holds.
    Again,
    /// Always, at the same time as others.
    Always,
    /// The value is this one.
    Case(String),
}

/// A branch.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) when: When,
    /// Index of its block.
    pub(crate) block: usize,
}

/// A workflow's blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    /// Steps of each block, each after all that lead to it.
    pub(crate) blocks: Vec<Vec<String>>,
    /// Branches by the step they hang off.
    pub(crate) branches: BTreeMap<String, Vec<Branch>>,
    /// Block of what is done when something fails without a step for that.
    pub(crate) exception: Option<usize>,
    block_of: BTreeMap<String, usize>,
}

/// Where a step leads within its block: identifier, and whether that is when it failed.
pub(crate) fn leads_to(step: &Step) -> impl Iterator<Item = (&str, bool)> {
    let next = &step.next;
    let well = [&next.completion, &next.success];
    let well = well.into_iter().flatten().map(|id| (id.as_str(), false));
    well.chain(next.failure.iter().map(|id| (id.as_str(), true)))
}

fn branches_of(kind: &StepKind) -> Vec<(When, &str)> {
    match kind {
        StepKind::If {
            on_true, on_false, ..
        } => {
            let mut out = vec![(When::True, on_true.as_str())];
            out.extend(on_false.iter().map(|id| (When::False, id.as_str())));
            out
        }
        StepKind::While { on_true, .. } => vec![(When::Again, on_true)],
        StepKind::Parallel { branches } => branches
            .iter()
            .map(|id| (When::Always, id.as_str()))
            .collect(),
        StepKind::Switch { cases, .. } => cases
            .iter()
            .map(|(case, id)| (When::Case(case.clone()), id.as_str()))
            .collect(),
        StepKind::Start
        | StepKind::End
        | StepKind::Action { .. }
        | StepKind::PlaybookAction { .. }
        | StepKind::Unknown => Vec::new(),
    }
}

impl Flow {
    /// The blocks of a document, and what is wrong with how its steps lead to each other.
    pub(crate) fn of(document: &Document) -> (Self, Vec<Problem>) {
        let (mut flow, mut problems) = (Self::default(), Vec::new());
        if document.steps.contains_key(&document.start) {
            flow.block(
                document,
                &document.start,
                "/workflow_start",
                0,
                &mut problems,
            );
        }
        if let Some(exception) = &document.exception
            && document.steps.contains_key(exception)
        {
            flow.exception =
                flow.block(document, exception, "/workflow_exception", 0, &mut problems);
        }
        for id in document.steps.keys() {
            if !flow.block_of.contains_key(id) && problems.is_empty() {
                let at = format!("/workflow/{}", part(id));
                let hint = "let a step lead to it, or leave it out";
                problems.push(Problem::refuses(&at, "is never reached", hint));
            }
        }
        (flow, problems)
    }

    /// Steps of a block and of all branches below it.
    pub(crate) fn below(&self, block: usize, into: &mut Vec<String>) {
        for id in self.blocks.get(block).into_iter().flatten() {
            into.push(id.clone());
            for branch in self.branches.get(id).into_iter().flatten() {
                self.below(branch.block, into);
            }
        }
    }

    fn block(
        &mut self,
        document: &Document,
        entry: &str,
        from: &str,
        deep: usize,
        problems: &mut Vec<Problem>,
    ) -> Option<usize> {
        if deep > BRANCHES_DEEP_MAX {
            let says = format!("branches are nested deeper than {BRANCHES_DEEP_MAX}");
            problems.push(Problem::refuses(
                from,
                says,
                "make a playbook of its own of it",
            ));
            return None;
        }
        let block = self.blocks.len();
        self.blocks.push(Vec::new());
        let order = self.ordered(document, entry, block, from, problems)?;
        self.blocks[block].clone_from(&order);
        for id in order {
            let Some(step) = document.steps.get(&id) else {
                continue;
            };
            for (when, first) in branches_of(&step.kind) {
                let at = format!("/workflow/{}", part(&id));
                if !document.steps.contains_key(first) {
                    continue;
                }
                if let Some(block) = self.block(document, first, &at, deep + 1, problems) {
                    self.branches
                        .entry(id.clone())
                        .or_default()
                        .push(Branch { when, block });
                }
            }
        }
        Some(block)
    }

    /// Steps from `entry` on, each after all that lead to it; without recursion, as the steps may be many.
    fn ordered(
        &mut self,
        document: &Document,
        entry: &str,
        block: usize,
        from: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Vec<String>> {
        let (mut left, mut open, mut done) =
            (vec![(entry.to_owned(), false)], BTreeSet::new(), Vec::new());
        while let Some((id, is_left)) = left.pop() {
            let at = format!("/workflow/{}", part(&id));
            if is_left {
                open.remove(&id);
                done.push(id);
                continue;
            }
            if open.contains(&id) {
                let hint = "end the branch in an end step; only a while-condition repeats";
                problems.push(Problem::refuses(&at, "leads back to itself", hint));
                return None;
            }
            match self.block_of.get(&id) {
                Some(known) if *known == block => continue,
                Some(_) => {
                    let says = format!("`{}` is reached from two branches", shown(&id));
                    let hint = "give each branch steps and an end step of its own";
                    problems.push(Problem::refuses(from, says, hint));
                    return None;
                }
                None => {}
            }
            self.block_of.insert(id.clone(), block);
            open.insert(id.clone());
            left.push((id.clone(), true));
            if let Some(step) = document.steps.get(&id) {
                // The last one pushed is looked at first and so comes last of all: what follows a failure stands behind.
                let mut next: Vec<_> = leads_to(step).collect();
                next.sort_by_key(|(_, is_failure)| *is_failure);
                for (next, _) in next {
                    if document.steps.contains_key(next) {
                        left.push((next.to_owned(), false));
                    }
                }
            }
        }
        done.reverse();
        Some(done)
    }
}

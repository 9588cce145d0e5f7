//! What lies near in time, and which of it hangs together: the two structures grouping stands on.
//!
//! Apart from the fold because neither knows of incidents. Invariant: a set's root is its earliest place.

use std::collections::BTreeSet;

use model::{Finding, Timestamp};

/// Findings by the time they begin, with the longest duration, to find what lies near.
#[derive(Debug, Default)]
pub(crate) struct TimeIndex {
    pub(crate) by_first: BTreeSet<(Timestamp, String)>,
    longest: i64,
}

impl TimeIndex {
    pub(crate) fn insert(&mut self, finding: &Finding) {
        self.longest = self
            .longest
            .max(finding.last.0.saturating_sub(finding.first.0));
        self.by_first.insert((finding.first, finding.id.clone()));
    }

    pub(crate) fn remove(&mut self, finding: &Finding) {
        self.by_first.remove(&(finding.first, finding.id.clone()));
    }

    /// Ids of those that may lie within `gap` microseconds of a span; the caller checks the end.
    pub(crate) fn near(
        &self,
        first: Timestamp,
        last: Timestamp,
        gap: i64,
    ) -> impl Iterator<Item = &String> {
        let from = first.0.saturating_sub(gap).saturating_sub(self.longest);
        let to = last.0.max(first.0).saturating_add(gap).saturating_add(1);
        self.by_first
            .range((Timestamp(from), String::new())..(Timestamp(to.max(from)), String::new()))
            .map(|(_, id)| id)
    }
}

/// The gap between two spans in microseconds; zero when they overlap.
pub(crate) fn gap_between(a: &Finding, b: &Finding) -> i64 {
    let after = b.first.0.saturating_sub(a.last.0);
    let before = a.first.0.saturating_sub(b.last.0);
    after.max(before).max(0)
}

/// Disjoint sets over places in order of time; a set's root is its earliest place.
pub(crate) struct Parts {
    parent: Vec<usize>,
    because: Vec<Option<String>>,
}

impl Parts {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            parent: (0..count).collect(),
            because: vec![None; count],
        }
    }

    pub(crate) fn root(&mut self, mut at: usize) -> usize {
        while let Some(&parent) = self.parent.get(at).filter(|parent| **parent != at) {
            let above = self.parent.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.parent.get_mut(at) {
                *slot = above;
            }
            at = parent;
        }
        at
    }

    pub(crate) fn join(&mut self, a: usize, b: usize, because: &str) {
        // The later one joined; the earlier one needs a reason only if it has none and isn't first.
        for at in [a.max(b), a.min(b)] {
            if let Some(slot) = self.because.get_mut(at).filter(|slot| slot.is_none()) {
                *slot = Some(because.to_owned());
            }
        }
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.parent.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }

    pub(crate) fn because(&self, at: usize, root: usize) -> String {
        if at == root {
            return "opened the incident".to_owned();
        }
        self.because.get(at).cloned().flatten().unwrap_or_default()
    }
}

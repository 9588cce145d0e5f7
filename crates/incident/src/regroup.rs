//! Connected parts: which findings are one incident.
//!
//! Edges hold within a side alone: what people put into one incident is one side, what nobody
//! touched another. So the fold never merges or parts what a person decided on.

use std::collections::{BTreeMap, BTreeSet};

use model::Related;

use crate::grouper::Grouper;
use crate::held::Held;
use crate::links::opens;
use crate::near::{Parts, gap_between};

/// Findings of other incidents that an incident names as related.
const RELATED_MAX: usize = 16;

impl Grouper {
    /// Finds the connected parts of some findings; gives the incidents' ids.
    pub(crate) fn regroup(&mut self, openers: &BTreeSet<String>) -> BTreeSet<String> {
        self.pin_newcomers(openers);
        let mut findings: Vec<&Held> = openers.iter().filter_map(|id| self.held.get(id)).collect();
        findings.sort_by(|a, b| {
            (a.finding.first, &a.finding.id).cmp(&(b.finding.first, &b.finding.id))
        });
        let sides: Vec<Option<&str>> = findings
            .iter()
            .map(|held| self.pins.of(&held.finding.id))
            .collect();
        let mut parts = Parts::new(findings.len());
        let mut first_of: BTreeMap<&str, usize> = BTreeMap::new();
        // Per key: where the span that reaches furthest ends, and whose it is.
        let mut reach: BTreeMap<(&str, Option<&str>), (i64, usize)> = BTreeMap::new();
        for (at, (held, side)) in findings.iter().zip(&sides).enumerate() {
            if let Some(side) = side {
                let first = *first_of.entry(side).or_insert(at);
                if first != at {
                    parts.join(
                        first,
                        at,
                        "here by a person's decision, or since it hangs together with what is",
                    );
                }
            }
            for link in &held.links {
                let end = held.finding.last.0;
                match reach.get_mut(&(link.key.as_str(), *side)) {
                    Some((furthest, whose)) => {
                        if held.finding.first.0.saturating_sub(*furthest) <= link.gap {
                            parts.join(*whose, at, &link.because);
                        }
                        if end > *furthest {
                            (*furthest, *whose) = (end, at);
                        }
                    }
                    None => {
                        reach.insert((&link.key, *side), (end, at));
                    }
                }
            }
        }
        let places: BTreeMap<&str, usize> = findings
            .iter()
            .enumerate()
            .map(|(at, held)| (held.finding.id.as_str(), at))
            .collect();
        for (at, held) in findings.iter().enumerate() {
            let Some((twin, because)) = self.twins.get(&held.finding.id) else {
                continue;
            };
            if let Some(&of) = places.get(twin.as_str())
                && sides.get(of) == sides.get(at)
            {
                parts.join(of, at, because);
            }
        }
        let mut groups: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
        for (at, held) in findings.iter().enumerate() {
            let root = parts.root(at);
            let because = parts.because(at, root);
            groups
                .entry(root)
                .or_default()
                .insert(held.finding.id.clone(), because);
        }
        let mut dirty = BTreeSet::new();
        let mut named = Vec::with_capacity(groups.len());
        for (root, group) in groups {
            let side = sides.get(root).copied().flatten();
            let Some(id) = side.or_else(|| findings.get(root).map(|held| held.finding.id.as_str()))
            else {
                continue;
            };
            named.push((id.to_owned(), group));
        }
        for (id, group) in named {
            for member in group.keys() {
                self.member_of.insert(member.clone(), id.clone());
            }
            self.members.insert(id.clone(), group);
            dirty.insert(id);
        }
        dirty
    }

    /// Puts what hangs together with a pinned incident, and was sealed after, into it.
    fn pin_newcomers(&mut self, openers: &BTreeSet<String>) {
        if self.pins.is_empty() {
            return;
        }
        let mut more = true;
        while more {
            more = false;
            for id in openers {
                if self.pins.of(id).is_none()
                    && let Some(incident) = self.pinned_beside(id)
                {
                    self.pins.put(id, &incident);
                    more = true;
                }
            }
        }
    }

    /// The nearest pinned incident that a finding hangs together with and that takes it in.
    fn pinned_beside(&self, id: &str) -> Option<String> {
        let held = self.held.get(id)?;
        let beside = self.beside(held).filter_map(|(gap, other, _)| {
            let incident = self.pins.of(&other.finding.id)?;
            self.pins
                .takes(incident, held.detected)
                .then_some((gap, incident))
        });
        beside.min().map(|(_, incident)| incident.to_owned())
    }

    /// Findings that open and hang together with one: how far away, which, and why.
    fn beside<'a>(&'a self, held: &'a Held) -> impl Iterator<Item = (i64, &'a Held, &'a str)> {
        let finding = &held.finding;
        held.links.iter().flat_map(move |link| {
            let near = self.index.get(&link.key).into_iter();
            let near =
                near.flat_map(move |index| index.near(finding.first, finding.last, link.gap));
            near.filter_map(move |id| {
                let other = self.held.get(id)?;
                let gap = gap_between(finding, &other.finding);
                let fits =
                    other.finding.id != finding.id && opens(&other.finding) && gap <= link.gap;
                fits.then_some((gap, other, link.because.as_str()))
            })
        })
    }

    /// Findings of other incidents that those of one hang together with: a person merges them, or not.
    ///
    /// They name the finding, since the other incident's name may change without this one's being touched.
    pub(crate) fn related(&self, id: &str, group: &BTreeMap<String, String>) -> Vec<Related> {
        let mut out: BTreeMap<&str, &str> = BTreeMap::new();
        if self.pins.is_empty() {
            return Vec::new();
        }
        for held in group.keys().filter_map(|finding| self.held.get(finding)) {
            for (_, other, because) in self.beside(held) {
                let finding = other.finding.id.as_str();
                if self
                    .member_of
                    .get(finding)
                    .is_some_and(|incident| incident != id)
                {
                    out.entry(finding).or_insert(because);
                }
            }
        }
        let related = |(finding, because): (&str, &str)| Related {
            finding: finding.to_owned(),
            because: because.to_owned(),
        };
        out.into_iter().take(RELATED_MAX).map(related).collect()
    }

    /// What an incident was related to before that rests now.
    pub(crate) fn related_at_rest(&self, id: &str) -> Vec<Related> {
        let before = self.incidents.get(id).into_iter();
        let related = before.flat_map(|incident| &incident.related);
        related
            .filter(|related| !self.held.contains_key(&related.finding))
            .cloned()
            .collect()
    }
}

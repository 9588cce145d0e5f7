//! What the laws of order look at in a step, and what is known where a step begins.

use std::collections::{BTreeMap, BTreeSet};

use model::{ActionFacts, ForensicImpact, Layer, ParameterKind, Reach, Stops};

use super::Law;
use crate::document::{Step, StepKind};

/// What the laws look at in a step.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) id: String,
    pub(super) name: String,
    /// What it keeps.
    pub(super) keeps: Option<Keeps>,
    /// What it names.
    pub(super) names: BTreeSet<String>,
    pub(super) alters: bool,
    pub(super) is_waived: bool,
    pub(super) is_cause: bool,
    pub(super) keeps_away: bool,
    pub(super) layer: Option<Layer>,
    pub(super) ends_credentials: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keeps {
    /// All that is at hand.
    pub(super) whole: bool,
    pub(super) named: BTreeSet<String>,
}

impl Keeps {
    pub(super) fn holds(&self, deed: &Deed) -> bool {
        self.whole || (!deed.names.is_empty() && deed.names.is_subset(&self.named))
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.whole |= other.whole;
        self.named.extend(other.named.iter().cloned());
    }
}

impl Deed {
    pub(super) fn new(
        id: &str,
        name: &str,
        facts: Option<&ActionFacts>,
        arguments: &BTreeMap<String, String>,
        stops: bool,
        waived: bool,
    ) -> Self {
        let names: BTreeSet<_> = arguments.values().cloned().collect();
        let Some(facts) = facts else {
            return Self {
                id: id.to_owned(),
                name: name.to_owned(),
                keeps: None,
                names,
                alters: false,
                is_waived: false,
                is_cause: stops,
                keeps_away: false,
                layer: None,
                ends_credentials: false,
            };
        };
        let is_evidence = facts.layer == Layer::Evidence;
        // What names nothing that could be kept (a hold on deletion) keeps nothing from being altered.
        let keeps = (is_evidence && !facts.parameters.is_empty()).then(|| Keeps {
            whole: arguments.is_empty(),
            named: names.clone(),
        });
        let takes = |kind| facts.parameters.iter().any(|one| one.kind == kind);
        let names_people = [
            ParameterKind::View,
            ParameterKind::Website,
            ParameterKind::PaymentMethod,
        ]
        .into_iter()
        .any(takes);
        let is_whole_shop = facts.reach == Reach::Installation && facts.parameters.is_empty();
        let is_cut = !is_evidence && facts.layer != Layer::Cache;
        let destroys = facts.forensic_impact == ForensicImpact::Destroys;
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            keeps,
            names,
            alters: !is_evidence && facts.forensic_impact != ForensicImpact::None,
            is_waived: waived,
            is_cause: facts.acts_on_cause,
            keeps_away: is_cut
                && !facts.acts_on_cause
                && !destroys
                && (names_people || is_whole_shop),
            layer: Some(facts.layer),
            ends_credentials: is_cut
                && (destroys || (facts.acts_on_cause && facts.reach == Reach::Actor)),
        }
    }

    pub(super) fn of_step(id: &str, step: &Step, facts: &[ActionFacts]) -> Option<Self> {
        let is_done = matches!(
            step.kind,
            StepKind::Action { .. } | StepKind::PlaybookAction { .. }
        );
        let wanted = step.wanted.clone().unwrap_or_default();
        is_done.then(|| {
            let action = wanted.action.as_deref();
            let known = facts.iter().find(|one| Some(one.name) == action);
            let stops = wanted.effect == Some(Stops::Contains);
            Self::new(
                id,
                step.called(id),
                known,
                &wanted.arguments,
                stops,
                wanted.waiver.is_some(),
            )
        })
    }

    pub(super) fn is_purge(&self) -> bool {
        self.layer == Some(Layer::Cache)
    }

    /// What has to be true before it on every way.
    pub(super) fn lacks(&self, kept: &Keeps, cause_is_gone: bool) -> Vec<Law> {
        let mut out = Vec::new();
        if self.is_purge() {
            if !kept.holds(self) || !cause_is_gone {
                out.push(Law::PurgeLast);
            }
        } else if self.alters && !self.is_waived && !kept.holds(self) {
            out.push(Law::EvidenceFirst);
        }
        if self.ends_credentials && !kept.holds(self) && (self.is_waived || !self.alters) {
            out.push(Law::SessionsBeforeCredentials);
        }
        out
    }

    /// The law that this step before that one breaks.
    pub(super) fn may_not_precede(&self, later: &Self) -> Vec<Law> {
        let mut out = Vec::new();
        if self.keeps_away && later.is_cause {
            out.push(Law::CauseBeforeSymptom);
        }
        let is_front = |layer| matches!(layer, Layer::Edge | Layer::Web);
        if let (Some(behind), Some(front)) = (self.layer, later.layer)
            && self.keeps_away
            && is_front(front)
            && front < behind
        {
            out.push(Law::EdgeBeforeOrigin);
        }
        if self.is_purge() && later.is_cause {
            out.push(Law::PurgeLast);
        }
        out
    }
}

/// What is known where a step begins.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Kept on every way.
    pub(super) kept: Keeps,
    /// Done on every way.
    pub(super) must: BTreeSet<String>,
    /// Done on some way.
    pub(super) may: BTreeSet<String>,
    /// Whether something acted on the cause on every way.
    pub(super) cause_is_gone: bool,
}

impl State {
    pub(super) fn join(mut self, other: &Self) -> Self {
        self.kept.whole &= other.kept.whole;
        self.kept.named = &self.kept.named & &other.kept.named;
        self.must = &self.must & &other.must;
        self.may.extend(other.may.iter().cloned());
        self.cause_is_gone &= other.cause_is_gone;
        self
    }

    /// All of both was done.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.kept.add(&other.kept);
        self.must.extend(other.must.iter().cloned());
        self.may.extend(other.may.iter().cloned());
        self.cause_is_gone |= other.cause_is_gone;
        self
    }

    pub(super) fn done(&mut self, deed: &Deed) {
        self.may.insert(deed.id.clone());
        self.must.insert(deed.id.clone());
        if let Some(keeps) = &deed.keeps {
            self.kept.add(keeps);
        }
        self.cause_is_gone |= deed.is_cause;
    }

    /// It may have been done, in part: nothing is certain.
    pub(super) fn failed(&mut self, deed: &Deed) {
        self.may.insert(deed.id.clone());
    }
}

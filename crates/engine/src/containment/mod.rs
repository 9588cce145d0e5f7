//! Containment from the console: plans that people ask for and approve, carried out by the shop's hosts.
//!
//! What people ask and what hosts tell are entries of one source of the ledger, so a start folds them from there and no row of the
//! state is needed. A host hears of an order once it is sealed, and never before enough people approved the plan it read.

mod book;
mod edit;
mod evidence;
mod hosts;
mod modes;
mod order;
mod stage;
mod standing;
mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Ask, Order, Refused, RunEntry, Sequence, SourceId, Timestamp};
use playbook::RunError;

use crate::ledger::{Ledger, LedgerError, Order as InOrder, Query};
use crate::sealed::Decided;

pub use book::{
    Faults, OWN_BYTES_MAX, Own, PLAYBOOKS_SOURCE, Playbook, PlaybookEdit, Playbooks, is_name, sound,
};
pub use edit::PlaybookWish;
pub use evidence::{EVIDENCE_BYTES_MAX, Evidence, KeptPiece};
pub use hosts::{HostDesk, HostSeen};
pub use modes::{Mode, ModeError, ModeSetting, Modes};
pub use order::{OrderWish, Powers, Wanted, places_of, plan_of, powers, wrote};
pub use stage::{Misfit, Stage};
pub use standing::{ORDER_SECONDS_MAX, Ordered, Standing};
pub use suggest::{Suggestion, answers, facts, suggest};

/// Whose entries they are: a start finds them by it.
pub const SOURCE: &str = "magewarden:runs";

/// Entries of runs that a start looks up at once.
const PAGE: usize = 1000;
/// Runs that a host began by itself and that aren't over: what one host can make grow without anybody's order.
const OWN_OPEN_MAX: usize = 200;
/// Entries of one run.
const ENTRIES_MAX: u64 = 20_000;
/// Steps of a plan that a host began by itself.
const STEPS_MAX: usize = 500;
/// Bytes of a text of such a plan that lists show.
const TEXT_BYTES_MAX: usize = 1000;
/// Conditions of one of its steps.
const CONDITIONS_MAX: usize = 64;

/// All runs that are known.
#[derive(Clone, Debug, Default)]
pub struct Containments(BTreeMap<String, Arc<Standing>>);

impl Containments {
    /// Those that a ledger tells of.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when its entries can't be read.
    pub fn of(ledger: &Ledger) -> Result<Self, LedgerError> {
        Self::by_pages(ledger, PAGE)
    }

    /// All of them, oldest first, so many at once: what is left out at the beginning of a run leaves out the run.
    fn by_pages(ledger: &Ledger, page: usize) -> Result<Self, LedgerError> {
        let mut query = Query {
            source: Some(SourceId(SOURCE.to_owned())),
            ..Query::default()
        };
        let mut all = Self::default();
        loop {
            let found = ledger.find_in(&query, InOrder::Oldest, page, u64::MAX)?;
            all.fold(ledger, &found.entries)?;
            match found.next {
                Some(next) => query.first = next,
                None => return Ok(all),
            }
        }
    }

    fn fold(
        &mut self,
        ledger: &Ledger,
        entries: &[(Sequence, Timestamp)],
    ) -> Result<(), LedgerError> {
        for (sequence, _) in entries {
            // A payload that was destroyed tells nothing any more; what is left is folded as far as it goes.
            let payload = ledger.read(*sequence)?.payload.unwrap_or_default();
            match serde_json::from_slice(&payload) {
                Ok(Decided::Order { order, .. }) => drop(self.take(&order, *sequence)),
                Ok(Decided::Told { host, entry, .. }) => {
                    drop(self.hear(&host, &entry, *sequence));
                }
                Ok(Decided::HostRefused { host, refused, .. }) => {
                    drop(self.refuse(&host, &refused));
                }
                Ok(Decided::Evidence {
                    host, run, piece, ..
                }) => {
                    drop(self.keep(&host, &run, &piece, *sequence));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Every run, by id.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Standing>> {
        self.0.values()
    }

    /// Whether an order may be sealed as things stand; the entry's number when it is already.
    ///
    /// # Errors
    ///
    /// [`Misfit`].
    pub fn may(&self, order: &Order) -> Result<Option<Sequence>, Misfit> {
        let Some(standing) = self.0.get(&order.run) else {
            return match order.ask {
                Ask::Propose { .. } => Standing::proposed(order, Sequence(0)).map(|_| None),
                _ => Err(Misfit::NoRun),
            };
        };
        let known = standing.orders.iter().find(|one| one.order.id == order.id);
        if let Some(known) = known {
            return Ok(Some(known.sequence));
        }
        standing.may(order).map(|()| None)
    }

    /// Takes an order that is sealed.
    ///
    /// # Errors
    ///
    /// [`Misfit`] when it proposes what is no plan, or names no run.
    pub fn take(&mut self, order: &Order, sequence: Sequence) -> Result<Arc<Standing>, Misfit> {
        if let Some(standing) = self.0.get_mut(&order.run) {
            let standing = Arc::make_mut(standing);
            if !standing.orders.iter().any(|one| one.order.id == order.id) {
                standing.take(order, sequence);
            }
        } else {
            let standing = Standing::proposed(order, sequence)?;
            self.0.insert(order.run.clone(), Arc::new(standing));
        }
        self.known(&order.run).ok_or(Misfit::NoRun)
    }

    /// Whether an entry of a host may be sealed: `false` when it is already.
    ///
    /// # Errors
    ///
    /// [`RunError`] when it doesn't follow.
    pub fn may_hear(&self, host: &str, entry: &RunEntry) -> Result<bool, RunError> {
        let mut standing = match self.0.get(&entry.run) {
            Some(standing) => Standing::clone(standing),
            None => {
                let begun = Standing::begun(host, entry, Sequence(0))?;
                return self.may_begin(&begun).map(|()| true);
            }
        };
        other_host(&standing, host)?;
        if entry.number < standing.entries() {
            return Ok(false);
        }
        if entry.number >= ENTRIES_MAX {
            unfit("a run has 20,000 entries at most")?;
        }
        standing.hear(entry, Sequence(0)).map(|()| true)
    }

    /// Whether a host may begin one more by itself.
    fn may_begin(&self, begun: &Standing) -> Result<(), RunError> {
        if !crate::runs::is_id(&begun.run) {
            return unfit("a run's id has 1 to 64 small letters, digits and `-`");
        }
        // Lists and pages show these whole.
        let names = begun.carried.iter().flat_map(|run| &run.approved_by);
        let names = names.map(|person| &person.name);
        let mut shown = names.chain([&begun.plan.playbook.name, &begun.plan.because]);
        if shown.any(|text| text.len() > TEXT_BYTES_MAX) {
            return unfit("a plan's name and reason, and names of people, have 1000 bytes at most");
        }
        if begun.plan.steps.len() > STEPS_MAX {
            return unfit("a plan has 500 steps at most");
        }
        let mut steps = begun.plan.steps.iter();
        if steps.any(|step| step.only_if.len() > CONDITIONS_MAX) {
            return unfit("a step has 64 conditions at most");
        }
        let is_open = |one: &&Arc<Standing>| {
            let is_closed = one.carried.as_ref().is_some_and(|run| run.is_closed);
            one.host == begun.host && one.orders.is_empty() && !is_closed
        };
        if self.all().filter(is_open).count() >= OWN_OPEN_MAX {
            return unfit(
                "200 runs that were begun by hand on the host aren't over: close some there first",
            );
        }
        Ok(())
    }

    /// Where an entry that a host told stands in the ledger.
    #[must_use]
    pub fn sequence_of(&self, run: &str, number: u64) -> Option<Sequence> {
        let told = &self.0.get(run)?.told;
        told.get(usize::try_from(number).ok()?).copied()
    }

    /// Takes what a host told, sealed.
    ///
    /// # Errors
    ///
    /// As [`Self::may_hear`].
    pub fn hear(
        &mut self,
        host: &str,
        entry: &RunEntry,
        sequence: Sequence,
    ) -> Result<Arc<Standing>, RunError> {
        if let Some(standing) = self.0.get_mut(&entry.run) {
            other_host(standing, host)?;
            let mut heard = Standing::clone(standing);
            heard.hear(entry, sequence)?;
            *standing = Arc::new(heard);
            return Ok(Arc::clone(standing));
        }
        let standing = Arc::new(Standing::begun(host, entry, sequence)?);
        self.0.insert(entry.run.clone(), Arc::clone(&standing));
        Ok(standing)
    }

    /// Takes that a host won't carry out an order; `None` when it was known, or names nothing of that host.
    pub fn refuse(&mut self, host: &str, refused: &Refused) -> Option<Arc<Standing>> {
        if !self.may_refuse(host, refused) {
            return None;
        }
        let standing = self.0.get_mut(&refused.run)?;
        Arc::make_mut(standing)
            .refused
            .insert(refused.order.clone(), refused.clone());
        self.known(&refused.run)
    }

    /// Whether that a host won't carry out an order is new, and about an order to it.
    #[must_use]
    pub fn may_refuse(&self, host: &str, refused: &Refused) -> bool {
        self.0.get(&refused.run).is_some_and(|standing| {
            standing.host == host
                && !standing.refused.contains_key(&refused.order)
                && standing
                    .orders
                    .iter()
                    .any(|one| one.order.id == refused.order)
        })
    }

    fn known(&self, run: &str) -> Option<Arc<Standing>> {
        self.0.get(run).map(Arc::clone)
    }
}

fn other_host(standing: &Standing, host: &str) -> Result<(), RunError> {
    match standing.host == host {
        true => Ok(()),
        false => unfit("the run is another host's"),
    }
}

fn unfit(why: &str) -> Result<(), RunError> {
    let why = why.to_owned();
    Err(RunError::Unfit { why })
}

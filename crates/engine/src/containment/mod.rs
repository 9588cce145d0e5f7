//! Containment from the console: plans that people ask for and approve, carried out by the shop's hosts.
//!
//! What people ask and what hosts tell are entries of one source of the ledger, so a start folds them from there and no row of the
//! state is needed. A host hears of an order once it is sealed, and never before enough people approved the plan it read.

mod hosts;
mod modes;
mod order;
mod standing;
mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Ask, Order, Refused, RunEntry, Sequence, SourceId};
use playbook::RunError;

use crate::ledger::{Ledger, LedgerError, Order as InOrder, Query};
use crate::sealed::Decided;

pub use hosts::{HostDesk, HostSeen};
pub use modes::{Mode, ModeError, ModeSetting, Modes};
pub use order::{OrderWish, Powers, Wanted, places_of, plan_of, powers};
pub use standing::{Misfit, ORDER_SECONDS_MAX, Ordered, Stage, Standing};
pub use suggest::{Shipped, Suggestion, facts, playbooks, suggest};

/// Whose entries they are: a start finds them by it.
pub const SOURCE: &str = "magewarden:runs";

/// Entries of runs that a start reads, the newest ones: a run has some dozens.
const READ_MAX: usize = 50_000;

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
        let query = Query {
            source: Some(SourceId(SOURCE.to_owned())),
            ..Query::default()
        };
        let found = ledger.find_in(&query, InOrder::Newest, READ_MAX, u64::MAX)?;
        let mut all = Self::default();
        for (sequence, _) in found.entries.iter().rev() {
            // A payload that was destroyed tells nothing any more; what is left is folded as far as it goes.
            let payload = ledger.read(*sequence)?.payload.unwrap_or_default();
            match serde_json::from_slice(&payload) {
                Ok(Decided::Order { order, .. }) => drop(all.take(&order, *sequence)),
                Ok(Decided::Told { host, entry, .. }) => {
                    drop(all.hear(&host, &entry, *sequence));
                }
                Ok(Decided::HostRefused { host, refused, .. }) => {
                    drop(all.refuse(&host, &refused));
                }
                _ => {}
            }
        }
        Ok(all)
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
            None => return Standing::begun(host, entry, Sequence(0)).map(|_| true),
        };
        other_host(&standing, host)?;
        if entry.number < standing.entries() {
            return Ok(false);
        }
        standing.hear(entry, Sequence(0)).map(|()| true)
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
    if standing.host == host {
        return Ok(());
    }
    Err(RunError::Unfit {
        why: "the run is another host's".to_owned(),
    })
}

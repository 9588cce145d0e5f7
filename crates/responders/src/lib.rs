//! Steps of containment → the world: one file per action, each with what undoes it.
//!
//! It is apart because it changes a shop. Invariants: no action knows why it is done; none is given a text that wasn't
//! read to its kind ([`model::Argument`]); no shell is ever started; files are changed in one place ([`disk`]), the
//! database in another ([`database`]), and what undoes a change is known before. What only looks whether a shop still sells is apart, too ([`guard`]).

mod action;
pub mod as_root;
mod aside;
mod below;
mod block_network;
mod block_network_edge;
mod block_route;
mod cache;
mod close_view;
mod close_website;
mod config_files;
pub mod contract;
mod database;
mod deactivate_administrator;
mod deny_php;
mod disable_payment_method;
mod disk;
mod drop_packets;
mod drop_trigger;
mod edge;
mod end_all_customer_sessions;
mod end_connections;
mod end_customer_sessions;
mod env_file;
mod environment;
mod evidence;
mod guard;
mod hold;
mod hold_retention;
mod host;
mod http;
mod limit_database_account;
mod lock_database_account;
mod maintenance;
pub mod memory;
mod narrow_grants;
mod network;
mod nginx;
mod pause_consumer;
mod pause_job;
mod payment_setting;
mod purge_cache;
mod quarantine_file;
mod restore_file;
mod revert_row;
mod revoke_integration;
mod rotate_crypt_key;
mod secret;
mod steps;
mod switch_payment_method;
mod world;

use database::row_action::ByRows;

pub use action::{Action, ActionError, Change, Effect, Survey};
pub use evidence::{Evidence, gather};
pub use guard::{GuardSettings, ViewSettings, look};
pub use host::{
    Ask, CacheServer, CacheSettings, DatabaseSettings, EdgeService, EdgeSettings, HoldSettings,
    Host, HostSettings, MagentoSettings, NftablesSettings, NginxSettings, RootSocket, World,
};
pub use http::{Answer, NoAnswer, Request};
pub use network::Network;
pub use nginx::prepare;

/// Every action, evidence first, then outermost layer first.
pub static ACTIONS: &[&dyn Action] = &[
    &hold_retention::HoldRetention {
        space: hold_retention::space,
    },
    &block_network_edge::BlockNetworkEdge,
    &drop_packets::DropPackets,
    &block_network::BlockNetwork,
    &block_route::BlockRoute,
    &close_view::CloseView,
    &close_website::CloseWebsite,
    &deny_php::DenyPhp,
    &maintenance::Maintenance,
    &ByRows(pause_job::PauseJob),
    &pause_consumer::PauseConsumer,
    &ByRows(switch_payment_method::SwitchPaymentMethod),
    &ByRows(disable_payment_method::DisablePaymentMethod),
    &deactivate_administrator::DeactivateAdministrator,
    &ByRows(revoke_integration::RevokeIntegration),
    &end_customer_sessions::NAMED,
    &end_all_customer_sessions::EVERYBODY,
    &lock_database_account::LockDatabaseAccount,
    &limit_database_account::LimitDatabaseAccount,
    &narrow_grants::NarrowGrants,
    &end_connections::EndConnections,
    &drop_trigger::DropTrigger,
    &ByRows(revert_row::RevertRow),
    &quarantine_file::QuarantineFile,
    &restore_file::RestoreFile,
    &rotate_crypt_key::RotateCryptKey,
    &purge_cache::PurgeCache,
];

/// The action of a name.
#[must_use]
pub fn action(name: &str) -> Option<&'static dyn Action> {
    let named = ACTIONS.iter().find(|action| action.facts().name == name);
    named.copied()
}

#[cfg(test)]
mod tests {
    use super::ACTIONS;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_an_action_is_listed_once() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(source).expect("the crate's source") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.contains("\nstatic FACTS: ActionFacts") {
                let name = path.file_stem().expect("a name");
                files.insert(name.to_string_lossy().into_owned());
            }
        }
        let listed: BTreeSet<_> = ACTIONS.iter().map(|a| a.facts().name.to_owned()).collect();
        assert_eq!(files, listed);
        assert_eq!(listed.len(), ACTIONS.len());
    }
}

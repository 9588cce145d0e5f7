//! Carries an operation out, as root.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use model::StoreMap;

use super::filter::Filter;
use super::settings::{FilterPrograms, NginxPrograms, SettingsError, alone};
use super::{Operation, RootSettings};
use crate::ActionError;
use crate::disk::Disk;
use crate::host::World;
use crate::network::Network;
use crate::nginx;

const LIMIT: Duration = Duration::from_secs(30);

/// What an operation tells.
pub(crate) type Told = Option<BTreeSet<Network>>;

/// Carries it out by root's settings and root's list of stores.
///
/// # Errors
///
/// [`ActionError::Refused`] when root's settings don't let it; any other when it failed.
pub(crate) fn carry(
    settings: &RootSettings,
    stores: &StoreMap,
    operation: &Operation,
    world: &dyn World,
) -> Result<Told, ActionError> {
    match operation {
        Operation::TestNginx => world.run(&nginx_of(settings)?.test, LIMIT)?,
        Operation::ReloadNginx => world.run(&nginx_of(settings)?.reload, LIMIT)?,
        Operation::PutRules { rules, modified } => {
            let path = nginx_of(settings)?.folder.join("http.conf");
            let content = nginx::http(&rules.0, stores);
            Disk::default().replace(&path, content.as_bytes(), *modified)?;
        }
        Operation::ListNetworks => {
            let networks = filter(nftables_of(settings)?, world).list()?;
            return Ok(Some(networks.into_iter().collect()));
        }
        Operation::AddNetwork(network) => {
            let nftables = nftables_of(settings)?;
            let mut never = nftables.never.iter();
            // What can't be read meets everything.
            let met = never.find(|one| Network::read(one).is_none_or(|one| one.overlaps(*network)));
            if let Some(met) = met {
                return Err(ActionError::refused(format!(
                    "{met} is never dropped here, by root's settings"
                )));
            }
            filter(nftables, world).add(*network)?;
        }
        Operation::RemoveNetwork(network) => {
            filter(nftables_of(settings)?, world).remove(*network)?;
        }
    }
    Ok(None)
}

fn filter<'a>(nftables: &'a FilterPrograms, world: &'a dyn World) -> Filter<'a> {
    Filter {
        world,
        program: &nftables.program,
    }
}

fn nftables_of(settings: &RootSettings) -> Result<&FilterPrograms, ActionError> {
    let nftables = settings.nftables.as_ref();
    nftables.ok_or_else(|| ActionError::refused("root's settings have no part [nftables]"))
}

/// nginx, if what it reads of ours is root's alone: whoever writes what root's nginx reads may write any file by it.
fn nginx_of(settings: &RootSettings) -> Result<&NginxPrograms, ActionError> {
    let nginx = settings.nginx.as_ref();
    let nginx =
        nginx.ok_or_else(|| ActionError::refused("root's settings have no part [nginx]"))?;
    for path in ["http.conf", "server.conf"].map(|name| nginx.folder.join(name)) {
        alone_or_refused(&path)?;
    }
    Ok(nginx)
}

fn alone_or_refused(path: &Path) -> Result<(), ActionError> {
    alone(path).map_err(|error| match error {
        SettingsError::File { path, source } => ActionError::file("look at", &path)(source),
        other => ActionError::refused(other.to_string()),
    })
}

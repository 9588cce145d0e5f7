//! Drops packets of an address or a network at the kernel, before any server of the host sees them.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::as_root::Operation;
use crate::host::Host;
use crate::network::{Network, spare_proxies};

static FACTS: ActionFacts = ActionFacts {
    name: "drop_packets",
    about: "Drops every packet from this address or network before any server of the host sees it",
    parameters: &[Parameter {
        name: "network",
        kind: ParameterKind::Network,
        is_required: true,
        about: "whose packets to drop",
    }],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Web,
    reach: Reach::Actor,
    acts_on_cause: false,
    closes: false,
    stays_open: "whoever comes from another address. Behind a proxy, a balancer or a CDN packets come from it, so that block_network is the \
        one to use; QUIC's are met like all others. Connections that are open hang until they time out; replies aren't held back, and what the \
        host itself begins to this network fails, too. The web server logs nothing of it any more. What was dropped passes again after a restart of the host, \
        and after `flush ruleset`, by which /etc/nftables.conf usually begins; packets that a flow table or a program at the network card takes never come here",
};

/// `drop_packets`.
pub(crate) struct DropPackets;

/// What undoes it.
#[derive(Serialize, Deserialize)]
struct Kept {
    was_there: bool,
}

impl Action for DropPackets {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let network = network(host, arguments)?;
        let dropped = host.root(&Operation::ListNetworks)?;
        let was_there = dropped.contains(&network);
        let wider = dropped.iter().find(|one| one.holds(network));
        let change = Change {
            what: format!("packets of {network} at nftables"),
            now: match wider {
                Some(wider) if *wider == network => "dropped already".to_owned(),
                Some(wider) => format!("dropped already, as {wider} is"),
                None => "let through".to_owned(),
            },
            then: "dropped".to_owned(),
        };
        Ok(Survey {
            changes: vec![change],
            kept: keep(&Kept { was_there })?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let _kept: Kept = read_kept(kept)?;
        let network = network(host, arguments)?;
        if host.root(&Operation::ListNetworks)?.contains(&network) {
            return Ok(());
        }
        host.disk.steps.step(format_args!("{network} is dropped"))?;
        host.root(&Operation::AddNetwork(network)).map(drop)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        _kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let network = read(arguments)?;
        let dropped = host.root(&Operation::ListNetworks)?;
        Ok(match dropped.contains(&network) {
            true => Effect::InEffect,
            false => Effect::NotInEffect,
        })
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        // A network that became a proxy since may be let through again.
        let network = read(arguments)?;
        if kept.was_there || !host.root(&Operation::ListNetworks)?.contains(&network) {
            return Ok(());
        }
        host.disk
            .steps
            .step(format_args!("{network} is let through"))?;
        host.root(&Operation::RemoveNetwork(network)).map(drop)
    }
}

/// What is named.
fn read(arguments: &Arguments) -> Result<Network, ActionError> {
    let network = argument(arguments, "network")?;
    Network::read(network.as_str()).ok_or(ActionError::Missing { name: "network" })
}

/// The same, unless it must not be touched.
fn network(host: &Host, arguments: &Arguments) -> Result<Network, ActionError> {
    spare_proxies(host, argument(arguments, "network")?)?;
    read(arguments)
}

//! Refuses an address or a network at the CDN before the shop: Fastly or Cloudflare, by their API.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{Action, ActionError, Effect, Survey, argument, keep, read_kept};
use crate::edge::{Edge, Kept};
use crate::host::Host;
use crate::network::{spare, spare_proxies};

static FACTS: ActionFacts = ActionFacts {
    name: "block_network_edge",
    about: "Answers 403 to every request from this address or network at the CDN, what it serves from memory included",
    parameters: &[Parameter {
        name: "network",
        kind: ParameterKind::Network,
        is_required: true,
        about: "whom to refuse",
    }],
    forensic_impact: ForensicImpact::None,
    undo: Undo::AllBut("numbers of versions at the service"),
    layer: Layer::Edge,
    reach: Reach::Actor,
    acts_on_cause: false,
    closes: false,
    stays_open: "whoever comes from another address, or to the shop's own host past the CDN (block_network); other services or zones of the shop; \
        it takes the service some seconds to be so everywhere, which isn't asked: its word counts. Whoever has rights at the service undoes it there",
};

/// `block_network_edge`.
pub(crate) struct BlockNetworkEdge;

impl Action for BlockNetworkEdge {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let network = network(host, arguments)?;
        let (change, kept) = Edge::open(host)?.survey(network)?;
        Ok(Survey {
            changes: vec![change],
            kept: keep(&kept)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let (network, _) = (network(host, arguments)?, read_kept::<Kept>(kept)?);
        Edge::open(host)?.act(network)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let (network, _) = (argument(arguments, "network")?, read_kept::<Kept>(kept)?);
        Edge::open(host)?.read_back(network.as_str())
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept = read_kept(kept)?;
        let network = argument(arguments, "network")?;
        Edge::open(host)?.undo(network.as_str(), &kept)
    }
}

/// Whom to refuse, if it is nobody of the shop's own.
fn network<'a>(host: &Host, arguments: &'a Arguments) -> Result<&'a str, ActionError> {
    let network = argument(arguments, "network")?;
    spare_proxies(host, network)?;
    spare(&host.edge()?.never, network)?;
    Ok(network.as_str())
}

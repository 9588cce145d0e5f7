//! Refuses an address or a network at nginx.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, argument};
use crate::host::{Ask, Host};
use crate::network::spare_proxies;
use crate::nginx::{Rule, RuleAction};

static FACTS: ActionFacts = ActionFacts {
    name: "block_network",
    about: "Answers 403 to every request from this address or network",
    parameters: &[Parameter {
        name: "network",
        kind: ParameterKind::Network,
        is_required: true,
        about: "whom to refuse",
    }],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Web,
    reach: Reach::Actor,
    acts_on_cause: false,
    closes: false,
    stays_open: "whoever comes from another address; connections to other ports; pages that a CDN or Varnish in front serves \
        from memory. Behind a proxy nginx has to know clients by ngx_http_realip_module, else nobody is met",
};

/// `block_network`.
pub(crate) struct BlockNetwork;

impl RuleAction for BlockNetwork {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rule(&self, host: &Host, arguments: &Arguments) -> Result<Rule, ActionError> {
        host.nginx()?;
        let network = argument(arguments, "network")?;
        spare_proxies(host, network)?;
        Ok(Rule::Network(network.clone()))
    }

    fn what(&self, rule: &Rule) -> String {
        format!("requests of {rule} at nginx")
    }

    /// None: no request of ours comes from there. That nginx goes by our file is asked in any case.
    fn probes(&self, _host: &Host, _rule: &Rule) -> Vec<(Ask, u16)> {
        Vec::new()
    }
}

//! Refuses an address or a network at nginx.

use std::net::IpAddr;

use model::{
    ActionFacts, Argument, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo,
};

use crate::action::{ActionError, argument};
use crate::host::{Ask, Host};
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
        let network = argument(arguments, "network")?;
        refuse_proxies(network, &host.nginx()?.proxies)?;
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

/// Refuses a network that holds one of these, or lies in one.
pub(crate) fn refuse_proxies(network: &Argument, proxies: &[String]) -> Result<(), ActionError> {
    for proxy in proxies {
        let read = Argument::read(ParameterKind::Network, proxy);
        let read = read.map_err(|_| ActionError::NotSetUp {
            what: format!("`{proxy}`, which is never to be blocked, is no network"),
        })?;
        if overlap(network.as_str(), read.as_str()) {
            return Err(ActionError::Refused {
                why: format!(
                    "{network} holds {read}, a proxy: everybody behind it would be refused"
                ),
            });
        }
    }
    Ok(())
}

/// First bits of a network, as many as count.
fn bits(network: &str) -> Option<(u128, u32, bool)> {
    let (address, bits) = network.split_once('/').unwrap_or((network, ""));
    let (value, width, is_new) = match address.parse().ok()? {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32, false),
        IpAddr::V6(address) => (u128::from(address), 128, true),
    };
    let bits = if bits.is_empty() {
        width
    } else {
        bits.parse().ok()?
    };
    Some((value, bits, is_new))
}

fn overlap(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (bits(one), bits(other)) else {
        return true;
    };
    let shift = 128_u32.saturating_sub(one.1.min(other.1));
    let first = |value: u128| value.checked_shr(shift).unwrap_or_default();
    one.2 == other.2 && first(one.0) == first(other.0)
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        assert_eq!(overlap(one, other), expected, "{one} {other}");
        assert_eq!(overlap(other, one), expected, "{other} {one}");
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        check("192.0.2.7", "192.0.2.0/24", true);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.8", false);
        check("192.0.3.0/24", "192.0.2.0/24", false);
        check("192.0.0.0/8", "192.0.2.0/24", true);
        check("2001:db8::/32", "2001:db8::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("32.1.13.184", "2001:db8::/32", false);
        check("no network", "192.0.2.7", true);
    }
}

//! Refuses a path and all below it at nginx.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, argument};
use crate::host::{Ask, Host};
use crate::nginx::{Rule, RuleAction, some_host};

static FACTS: ActionFacts = ActionFacts {
    name: "block_route",
    about: "Answers 403 to every request for this path or one below it, however it is written",
    parameters: &[Parameter {
        name: "route",
        kind: ParameterKind::Route,
        is_required: true,
        about: "the path to refuse",
    }],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Web,
    reach: Reach::Host,
    acts_on_cause: false,
    closes: false,
    stays_open: "the same resource by another path: /rest/V1/x is also /rest/CODE/V1/x and /rest/all/V1/x, a page may have \
        rewrites (url_rewrite), and GraphQL has one path for all it does",
};

/// `block_route`.
pub(crate) struct BlockRoute;

impl RuleAction for BlockRoute {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rule(&self, _host: &Host, arguments: &Arguments) -> Result<Rule, ActionError> {
        let route = argument(arguments, "route")?;
        if route.as_str().trim_matches('/').is_empty() {
            return Err(ActionError::Refused {
                why: "the path / is the whole shop: close its views".to_owned(),
            });
        }
        Ok(Rule::Route(route.clone()))
    }

    fn what(&self, rule: &Rule) -> String {
        format!("{rule} at nginx, on all hosts")
    }

    fn probes(&self, host: &Host, rule: &Rule) -> Vec<(Ask, u16)> {
        let Rule::Route(route) = rule else {
            return Vec::new();
        };
        let ask = Ask {
            host: some_host(host),
            path: route.to_string(),
            store: None,
        };
        vec![(ask, 403)]
    }
}

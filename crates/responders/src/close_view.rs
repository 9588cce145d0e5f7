//! Closes one store view at nginx, by every way in which a request chooses it, on all hosts.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, argument};
use crate::host::{Ask, Host};
use crate::nginx::{Rule, RuleAction, probes_of_view};

/// What stays open when a view or a website is closed here.
pub(crate) const STAYS_OPEN: &str = "/rest/all/ and /soap/all are closed, too: they reach every view, so programs that call them \
    (ERP, feeds) fail meanwhile. Open stay: a `___store` in the body of a POST, two header lines Cookie or Store before nginx 1.23 (docs/containment.md closes it), a host that passes by this nginx or whose \
    server{} doesn't include server.conf, pages that a CDN or Varnish in front serves from memory, cron and consumers";

static FACTS: ActionFacts = ActionFacts {
    name: "close_view",
    about: "Answers 503 with Retry-After to every request that would be served this store view",
    parameters: &[Parameter {
        name: "view",
        kind: ParameterKind::View,
        is_required: true,
        about: "the view to close",
    }],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Web,
    reach: Reach::View,
    acts_on_cause: false,
    closes: true,
    stays_open: STAYS_OPEN,
};

/// `close_view`.
pub(crate) struct CloseView;

impl RuleAction for CloseView {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rule(&self, host: &Host, arguments: &Arguments) -> Result<Rule, ActionError> {
        let view = argument(arguments, "view")?;
        if !host.stores.views.contains_key(view.as_str()) {
            return Err(ActionError::Refused {
                why: format!("the shop has no store view {view}"),
            });
        }
        Ok(Rule::View(view.clone()))
    }

    fn what(&self, rule: &Rule) -> String {
        format!("store {rule} at nginx, with /rest/all/ and /soap/all")
    }

    fn probes(&self, host: &Host, rule: &Rule) -> Vec<(Ask, u16)> {
        match rule {
            Rule::View(view) => probes_of_view(host, view.as_str()),
            _ => Vec::new(),
        }
    }
}

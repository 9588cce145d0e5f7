//! Closes every view of one website at nginx.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, argument};
use crate::close_view::STAYS_OPEN;
use crate::host::{Ask, Host};
use crate::nginx::{Rule, RuleAction, probes_of_view};

static FACTS: ActionFacts = ActionFacts {
    name: "close_website",
    about: "Answers 503 with Retry-After to every request that would be served a view of this website",
    parameters: &[Parameter {
        name: "website",
        kind: ParameterKind::Website,
        is_required: true,
        about: "the website to close",
    }],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Web,
    reach: Reach::Website,
    acts_on_cause: false,
    closes: true,
    stays_open: STAYS_OPEN,
};

/// `close_website`.
pub(crate) struct CloseWebsite;

impl RuleAction for CloseWebsite {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rule(&self, host: &Host, arguments: &Arguments) -> Result<Rule, ActionError> {
        let website = argument(arguments, "website")?;
        let mut views = host.stores.views.values();
        if !views.any(|view| view.website == website.as_str()) {
            return Err(ActionError::Refused {
                why: format!("the shop has no view of a website {website}"),
            });
        }
        Ok(Rule::Website(website.clone()))
    }

    fn what(&self, rule: &Rule) -> String {
        format!("{rule} with its views at nginx, with /rest/all/ and /soap/all")
    }

    fn probes(&self, host: &Host, rule: &Rule) -> Vec<(Ask, u16)> {
        let Rule::Website(website) = rule else {
            return Vec::new();
        };
        let views = host.stores.views.iter();
        views
            .filter(|(_, view)| view.website == website.as_str())
            .flat_map(|(code, _)| probes_of_view(host, code))
            .collect()
    }
}

//! Refuses PHP outside Magento's entry points at nginx: what was dropped can't be called.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Reach, Undo};

use crate::action::ActionError;
use crate::host::{Ask, Host};
use crate::nginx::{Rule, RuleAction, some_host};

/// A name that no shop has.
const PROBE: &str = "/media/magewarden-probe.php";

static FACTS: ActionFacts = ActionFacts {
    name: "deny_php",
    about: "Answers 403 to requests for PHP files but index, get, static, health_check and errors/{report,404,503}",
    parameters: &[],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Web,
    reach: Reach::Host,
    acts_on_cause: false,
    closes: false,
    stays_open: "code in Magento's own files, in its database, and what an entry point includes; PHP under another ending that \
        the web server was told to run. Pages whose address ends with .php are refused, too, and cron.php over HTTP",
};

/// `deny_php`.
pub(crate) struct DenyPhp;

impl RuleAction for DenyPhp {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rule(&self, _host: &Host, _arguments: &Arguments) -> Result<Rule, ActionError> {
        Ok(Rule::Php)
    }

    fn what(&self, _rule: &Rule) -> String {
        "PHP outside Magento's entry points at nginx".to_owned()
    }

    fn probes(&self, host: &Host, _rule: &Rule) -> Vec<(Ask, u16)> {
        let ask = Ask {
            host: some_host(host),
            path: PROBE.to_owned(),
            store: None,
        };
        vec![(ask, 403)]
    }
}

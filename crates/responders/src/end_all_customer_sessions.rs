//! Ends every customer's sessions, wherever they are kept: what [`crate::end_customer_sessions`] does for one website, for all of them.
//!
//! A name of its own, so that nobody reaches all stores by leaving something out.

use model::{ActionFacts, ForensicImpact, Layer, Reach, Undo};

use crate::end_customer_sessions::EndCustomerSessions;

static FACTS: ActionFacts = ActionFacts {
    name: "end_all_customer_sessions",
    about: "Ends the sessions of every customer of the installation (customer_entity.session_cutoff, Magento 2.4.4 or later)",
    parameters: &[],
    forensic_impact: ForensicImpact::Destroys,
    undo: Undo::MadeAnew("sessions"),
    layer: Layer::Application,
    reach: Reach::Installation,
    acts_on_cause: false,
    closes: false,
    stays_open: "guests' sessions and carts; customers' tokens (REST, GraphQL), which hold for an hour; whoever knows a password logs \
        in again. Undoing gives nothing back: customers log in again",
};

/// `end_all_customer_sessions`.
pub(crate) static EVERYBODY: EndCustomerSessions = EndCustomerSessions {
    facts: &FACTS,
    is_everybody: true,
};
